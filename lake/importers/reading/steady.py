"""Files that a bot may write meanwhile: read as they are at one moment, or given up; never partly of another moment.

A bot that keeps its trades in JSON writes the whole file each time, in place. Who reads on while it does so finds the
beginning of one row and the end of another.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, BinaryIO, cast

from lake.errors import SourceError
from lake.importers.reading.packed import unpacked

_COPIED = 64 << 20  # bytes; a larger file is read where it lies, for longer
_ATTEMPTS = 6
_PAUSE = 0.05  # seconds, each time twice as long


def steady(path: Path, *, grows: bool = False) -> BinaryIO:
    """A file's bytes, all of one moment, unpacked when its name ends in .gz; to be closed.

    Args:
        path: of the file.
        grows: whether lines are added to it, so that what it held stays: one that never rests, or is large, is read
            while it grows.

    Raises:
        SourceError: it changes while it is copied, again and again; or, a large one, while it is read.
    """
    raw = _raw(path, grows=grows)
    return unpacked(raw, path) if path.suffix == ".gz" else raw


def _raw(path: Path, *, grows: bool) -> BinaryIO:
    file = path.open("rb")
    is_large = os.fstat(file.fileno()).st_size > _COPIED
    copy = None if is_large else _copied(file)
    if copy is not None:
        file.close()
        return copy
    if grows:
        file.seek(0)
        return file
    if is_large:
        return cast("BinaryIO", io.BufferedReader(_Watched(file, path)))
    file.close()
    raise _changing(path)


def _copied(file: BinaryIO) -> BinaryIO | None:
    """A copy during which the file did not change; None when it never rests."""
    copy = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 (it is given away)
    for attempt in range(_ATTEMPTS):
        before = _state(file)
        for one in (file, copy):
            one.seek(0)
        copy.truncate()
        shutil.copyfileobj(file, copy)
        if _state(file) == before:
            copy.seek(0)
            return copy
        time.sleep(_PAUSE * 2**attempt)
    copy.close()
    return None


class _Watched(io.RawIOBase):
    """A file of which nothing is given that was read after it had changed."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path, self._state = file, path, _state(file)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """The next bytes."""
        data = self._file.read(len(buffer))
        if _state(self._file) != self._state:
            raise _changing(self._path)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
        super().close()


def _state(file: BinaryIO) -> tuple[int, int]:
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns


def _changing(path: Path) -> SourceError:
    todo = "Stop its bot meanwhile, or import a copy; what has landed stays."
    return SourceError("the file changes while it is read", where=str(path), todo=todo)
