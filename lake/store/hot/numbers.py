"""The highest sequence number that any hot log of this host has given out, in a file that all its processes share.

Versions of one row that wait in two logs are ordered by their numbers, which come from the clock: after it was set
back, the later version would have the lower one. The file need not be synced: after a power cut the clock is usually
right, and each log knows its own numbers.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

_BYTES = 8
_CLOSED = -1  # the descriptor of no file
_LARGEST = 1 << 62  # beyond it the file is damaged
_TRIES = 1000  # to be alone with the file: some hundred microseconds, where another's turn takes three


class Numbers:
    """The shared file in ``folder``; reading and writing it take microseconds and wait for nobody for longer."""

    def __init__(self, folder: Path) -> None:
        self._file = os.fdopen(os.open(folder / "numbers", os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
        self._descriptor = self._file.fileno()

    def highest(self) -> int:
        """The highest number given out; 0 for none, or when the file cannot be read."""
        try:  # which takes half the time of suppress(), in each commit
            found = int.from_bytes(os.pread(self._descriptor, _BYTES, 0), "little")
        except OSError:
            return 0
        return found if found < _LARGEST else 0

    def gave(self, number: int) -> None:
        """Tell the others, unless they know of a higher one; a full disk keeps that from them, not the record."""
        try:  # noqa: SIM105 - as above
            self._raise_to(number)
        except OSError:
            pass

    def _raise_to(self, number: int) -> None:
        if self._descriptor == _CLOSED:
            return
        self._await_turn()
        try:
            if number > self.highest():
                os.pwrite(self._descriptor, number.to_bytes(_BYTES, "little"), 0)
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _await_turn(self) -> None:
        """Lock the file against others who compare and write; not for ever, as one may have been stopped at that."""
        for _ in range(_TRIES):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            return

    def close(self) -> None:
        """Let go of the file: who asks later is told of no number, and not of what another file has under its own."""
        self._descriptor = _CLOSED
        self._file.close()
