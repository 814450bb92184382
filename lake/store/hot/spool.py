"""The JSON-lines spool: where records go while SQLite cannot be used.

One line per write, fsynced before it is acknowledged, with the sequence numbers its entries would
have had; so replaying it into the hot log is the same insert again, and doing it twice is harmless.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import orjson

from lake.errors import CorruptLakeError
from lake.store.hot.entry import Stored


class Spool:
    """The spool file of one writer; it exists only while something is in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        """Whether records wait in it."""
        return self.path.exists()

    def append(self, entries: Sequence[tuple[int, str, bytes]]) -> None:
        """Add one write, all of its entries or none, durably.

        Raises:
            OSError: it cannot be written; nothing counts as written.
        """
        created = not self.path.exists()
        line = orjson.dumps([[seq, dataset, orjson.Fragment(payload)] for seq, dataset, payload in entries]) + b"\n"
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = _cut_torn_end(descriptor)
            try:
                _write_all(descriptor, line)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
        if created:
            _sync_folder(self.path.parent)

    def read(self) -> list[Stored]:
        """Everything in it, in order. A last line that a crash cut off was never acknowledged and is left out.

        Raises:
            CorruptLakeError: a line in the middle is damaged.
        """
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return []
        lines = raw.split(b"\n")
        whole = lines[:-1]
        found: list[Stored] = []
        for number, line in enumerate(whole, 1):
            try:
                found += [Stored(seq, dataset, orjson.dumps(rows)) for seq, dataset, rows in orjson.loads(line)]
            except (ValueError, TypeError):
                raise CorruptLakeError(
                    "a spooled line is damaged",
                    where=f"{self.path}:{number}",
                    value=line[:60],
                    todo="Move the line to another file to go on without it.",
                ) from None
        return found

    def remove(self) -> None:
        """Forget what was replayed."""
        self.path.unlink(missing_ok=True)
        _sync_folder(self.path.parent)


def _cut_torn_end(descriptor: int) -> int:
    """Drop a last line that a crash cut off, so that the next one begins a line; the size that is left."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        size = os.pread(descriptor, size, 0).rfind(b"\n") + 1
        os.ftruncate(descriptor, size)
    return size


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
