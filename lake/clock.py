"""The clock and the ids that are made from it."""

from __future__ import annotations

import os
import time
from random import Random
from threading import Lock

MICROS_PER_SECOND = 1_000_000
MICROS_PER_MINUTE = 60 * MICROS_PER_SECOND
MICROS_PER_HOUR = 60 * MICROS_PER_MINUTE
MICROS_PER_DAY = 24 * MICROS_PER_HOUR

_RANDOM_BITS = 62
_VARIANT = 0b10 << 62
_VERSION = 7 << 12
_JITTER = 50_000  # nanoseconds that may pass between a look at one clock and one at the other
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # the former goes on while the host sleeps
_random = Random()  # seeded by the system; asking that for each id takes three times as long
_ticks = 0  # 1/4096 milliseconds, of the last id; never the same twice in a process
_ticking = Lock()


def _begin_anew() -> None:
    """This is a forked child: its ids are not its parent's, a thread of which may have made one just now."""
    global _ticking  # noqa: PLW0603 - of each process one
    _ticking = Lock()
    _random.seed()


os.register_at_fork(after_in_child=_begin_anew)


def now_micros() -> int:
    """Microseconds since 1970, UTC.

    >>> now_micros() > 1_700_000_000_000_000
    True
    """
    return time.time_ns() // 1000


class ClockWatch:
    """Tells whether the clock was set back since it is watched, beside one that nobody sets."""

    __slots__ = ("_ahead",)

    def __init__(self) -> None:
        self._ahead = _ahead()

    def is_behind(self) -> bool:
        """Whether it was set back, and not forward again as far."""
        ahead = _ahead()
        self._ahead = max(self._ahead, ahead)
        return ahead + _JITTER < self._ahead


def _ahead() -> int:
    """By how many nanoseconds the clock is ahead of the one that nobody sets."""
    return time.time_ns() - time.clock_gettime_ns(_STEADY)


def uuid7() -> str:
    """A fresh UUIDv7: its text sorts by the time it was made, strictly within a process.

    >>> first, second = uuid7(), uuid7()
    >>> first < second, first[14]
    (True, '7')
    """
    global _ticks  # noqa: PLW0603 - an object of its own would take a tenth of the time of an id
    now = (time.time_ns() << 12) // 1_000_000
    with _ticking:
        _ticks = ticks = now if now > _ticks else _ticks + 1
    upper = (ticks >> 12) << 16 | _VERSION | ticks & 0xFFF
    text = (upper << 64 | _VARIANT | _random.getrandbits(_RANDOM_BITS)).to_bytes(16, "big").hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
