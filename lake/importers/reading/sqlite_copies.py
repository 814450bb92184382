"""Copies of SQLite files with the logs and journals that lie beside them, all of one moment."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal

from lake.errors import SourceError

LOG_HEADER = 32  # bytes
_FRAME_HEADER = 24  # bytes, before each page in a log
_ATTEMPTS = 5


def beside(path: Path, suffix: str) -> Path:
    """The path of a file's log or journal."""
    return path.with_name(path.name + suffix)


def size_of(path: Path) -> int:
    """Its bytes; none where it is not there."""
    return path.stat().st_size if path.exists() else 0


def head_of(path: Path, size: int) -> bytes:
    """Its first bytes."""
    with path.open("rb") as file:
        return file.read(size)


def copied(path: Path, folder: Path) -> Path:
    """The copy of a file and its log; taken again while the bot's checkpoints change the file meanwhile."""
    for _ in range(_ATTEMPTS):
        before = _state(path)
        for suffix in ("", "-wal", "-journal"):
            if beside(path, suffix).exists():
                shutil.copyfile(beside(path, suffix), folder / f"copy{suffix}")
        log, copy = beside(path, "-wal"), folder / "copy-wal"
        if _state(path) == before and not (_is_cut(copy) and size_of(copy) != size_of(log)):
            return folder / "copy"
    raise SourceError(
        "the file changes while it is copied", where=str(path), todo="Stop its bot meanwhile, or import a backup."
    )


def _state(path: Path) -> tuple[Any, ...]:
    """What tells whether a copy is whole: a log only grows behind its header while the file is the same."""
    file = path.stat()
    logs = [head_of(log, LOG_HEADER) if (log := beside(path, s)).exists() else b"" for s in ("-wal", "-journal")]
    return (file.st_mtime_ns, file.st_size, *logs)


def is_log_damaged(log: Path, used: int) -> bool:
    """Whether a write-ahead log holds, or held, more that was committed than SQLite can use.

    Frames of an earlier use of the log, and those of a transaction that was not committed, are none of that.

    Args:
        log: the file.
        used: how many of its frames SQLite uses.
    """
    head = head_of(log, LOG_HEADER)
    if not used:
        return any(head) and (len(head) < LOG_HEADER or _checksum(head[:24]) != head[24:])
    frame = _FRAME_HEADER + _page(head)
    with log.open("rb") as file:
        for place in range(LOG_HEADER + used * frame, size_of(log) - frame + 1, frame):
            file.seek(place)
            found = file.read(_FRAME_HEADER)
            if found[8:16] == head[16:24] and any(found[4:8]):
                return True
    return _is_cut(log)


def _is_cut(log: Path) -> bool:
    """Whether a log ends inside of a frame."""
    length = size_of(log) - LOG_HEADER
    return length > 0 and length % (_FRAME_HEADER + _page(head_of(log, LOG_HEADER))) > 0


def _page(head: bytes) -> int:
    return int.from_bytes(head[8:12], "big")


def _checksum(data: bytes) -> bytes:
    """What a log's header says of its first bytes."""
    order: Literal["big", "little"] = "big" if data[3] & 1 else "little"
    first = second = 0
    for place in range(0, len(data), 8):
        first = (first + int.from_bytes(data[place : place + 4], order) + second) % (1 << 32)
        second = (second + int.from_bytes(data[place + 4 : place + 8], order) + first) % (1 << 32)
    return first.to_bytes(4, "big") + second.to_bytes(4, "big")
