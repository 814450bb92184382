"""The highest sequence number that any hot log of this host has given out, in a file that all its processes share.

Versions of one row that wait in two logs are ordered by their numbers, which come from the clock: after it was set
back, the later version would have the lower one. The file need not be synced: after a power cut the clock is usually
right, and each log knows its own numbers.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

_BYTES = 8
_CLOSED = -1  # the descriptor of no file
_LARGEST = 1 << 62  # beyond it the file is damaged
_TRIES = 200  # to be alone with the file: some hundred microseconds, where another's turn takes three
_PATIENCE_SECONDS = 0.02  # with one who got no processor in the middle of a turn
_PAUSE_SECONDS = 0.0005


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

    def take(self, last: int, count: int) -> int:
        """The number before the next ``count``, which nobody else is given; ``last``, or a higher one that is known.

        A full disk keeps from the others what was taken, not the record.
        """
        try:
            return self._taken(last, count)
        except OSError:
            return max(last, self.highest())

    def _taken(self, last: int, count: int) -> int:
        if self._descriptor == _CLOSED:
            return last
        self._await_turn()
        try:
            before = max(last, self.highest())
            os.pwrite(self._descriptor, (before + count).to_bytes(_BYTES, "little"), 0)
            return before
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _await_turn(self) -> None:
        """Lock the file against others who compare and write; not for ever, as one may have been stopped at that."""
        for _ in range(_TRIES):
            if self._is_locked():
                return
        until = time.monotonic() + _PATIENCE_SECONDS
        while not self._is_locked() and time.monotonic() < until:
            time.sleep(_PAUSE_SECONDS)

    def _is_locked(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Let go of the file: who asks later is told of no number, and not of what another file has under its own."""
        self._descriptor = _CLOSED
        self._file.close()
