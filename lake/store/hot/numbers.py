"""The highest sequence number that any hot log of this host has given out, in a file that all its processes share.

Versions of one row that wait in two logs are ordered by their numbers, which come from the clock: after it was set
back, the later version would have the lower one. The file need not be synced: after a power cut the clock is usually
right, and each log knows its own numbers.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_BYTES = 8
_LARGEST = 1 << 62  # beyond it the file is damaged


class Numbers:
    """The shared file in ``folder``; reading and writing it take a microsecond each and wait for nobody."""

    def __init__(self, folder: Path) -> None:
        self._file = os.fdopen(os.open(folder / "numbers", os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)

    def highest(self) -> int:
        """The highest number given out; 0 for none, or when the file cannot be read."""
        with suppress(OSError):
            found = int.from_bytes(os.pread(self._file.fileno(), _BYTES, 0), "little")
            return found if found < _LARGEST else 0
        return 0

    def gave(self, number: int) -> None:
        """Tell the others; a full disk keeps that from them, not the record from landing."""
        with suppress(OSError):
            os.pwrite(self._file.fileno(), number.to_bytes(_BYTES, "little"), 0)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
