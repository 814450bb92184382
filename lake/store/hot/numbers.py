"""The highest sequence numbers that the hot logs of this host have given out, in a file that all its processes share.

Versions of one row that wait in two logs are ordered by their numbers, which come from the clock: after it was set
back, the later version would have the lower one. The file need not be synced: after a power cut the clock is usually
right, and each log knows its own numbers.

It has pairs of 8 bytes, a number and whose it is: the first is what all have given out in turns, each of the others
what one writer gave to rows of which nobody else has a version. Two writers may give such numbers at once, and the
same ones, so they take no turn, and are not compared with the others' unless the clock was set back: either takes
longer than all else here.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from struct import Struct

from lake.clock import ClockWatch

_BYTES = 8
_PAIR = Struct("<q8s")
_WRITERS = 255  # with a pair of their own; another one gives all its numbers in turns
_SIZE = (1 + _WRITERS) * _PAIR.size
_CLOSED = -1  # the descriptor of no file
_LARGEST = 1 << 62  # beyond it the file is damaged
_TRIES = 200  # to be alone with the file: some hundred microseconds, where another's turn takes three
_PATIENCE_SECONDS = 0.02  # with one who got no processor in the middle of a turn
_PAUSE_SECONDS = 0.0005


class Numbers:
    """The shared file in ``folder``; reading and writing it take microseconds and wait for nobody for longer.

    Args:
        folder: of the hot logs.
        writer: whose numbers they are; one process at a time writes under its name.
    """

    def __init__(self, folder: Path, writer: str) -> None:
        self._file = os.fdopen(os.open(folder / "numbers", os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
        self._descriptor = self._file.fileno()
        self._name = sha256(writer.encode()).digest()[:_BYTES]
        self._own = 0  # where its pair is; 0 without one
        self._watch = ClockWatch()
        self._floor = self.highest()  # when the clock was last seen to be where it should not
        with suppress(OSError):  # a full disk, say
            self._find_own()

    def _find_own(self) -> None:
        """Have a pair of its own, the one that it had or a new one."""
        self._await_turn()
        try:
            names = [name for _, name in self._pairs()]
            place = names.index(self._name, 1) if self._name in names[1:] else max(1, len(names))
            if place <= _WRITERS:
                os.pwrite(self._descriptor, self._name, place * _PAIR.size + _BYTES)
                self._own = place * _PAIR.size
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _pairs(self) -> list[tuple[int, bytes]]:
        found = os.pread(self._descriptor, _SIZE, 0)
        return list(_PAIR.iter_unpack(found + bytes(-len(found) % _PAIR.size)))

    def highest(self) -> int:
        """The highest number given out; 0 for none, or when the file cannot be read."""
        try:  # which takes half the time of suppress(), in each commit
            pairs = self._pairs()
        except OSError:
            return 0
        return max([number for number, _ in pairs if 0 < number < _LARGEST], default=0)

    def take(self, last: int, count: int) -> int:
        """The number before the next ``count``, which nobody else is given; ``last``, or a higher one that is known.

        A full disk keeps from the others what was taken, not the record.
        """
        try:
            return self._taken(last, count)
        except OSError:
            return max(last, self.highest())

    def take_own(self, last: int, count: int) -> int:
        """:meth:`take` for rows of which nobody else has a version; another log may give the same numbers to its."""
        if not self._own:
            return self.take(last, count)
        if self._watch.is_behind():
            self._floor = self.highest()
        before = max(self._floor, last)
        try:  # as in highest()
            os.pwrite(self._descriptor, _PAIR.pack(before + count, self._name), self._own)
        except OSError:  # a full disk keeps from the others what was given, not the record
            return before
        return before

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
        self._descriptor, self._own = _CLOSED, 0
        self._file.close()
