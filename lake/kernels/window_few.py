"""A few windows of many: only their own values are taken, and joined by the halves of :mod:`lake.kernels.windows`.

Windows lie side by side, one in each column, so that numpy joins many of them at once. The bits are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Positions = npt.NDArray[np.intp]
_CELLS = 30_000  # values of windows that are held at once: more is new memory each time, which costs more
_SPARSE = 8  # times as many values as there are may be taken; beyond, all windows cost less


def are_few(values: Numbers, bars: int, at: Positions) -> bool:
    """Whether it takes less time to compute these windows by themselves than all of them."""
    return len(at) * bars <= _SPARSE * len(values)


def sums(values: Numbers, bars: int, at: Positions) -> Numbers:
    """Sum of the last values at these positions; nan where a window begins before the array.

    >>> sums(np.array([1.0, 2.0, 4.0, 8.0]), 3, np.array([1, 3]))
    array([nan, 14.])
    """

    def joined(window: Numbers) -> Numbers:
        total = np.zeros(0)
        for count, held in _parts(window):
            part = held
            while len(part) > 1:
                part = part[1::2] + part[::2]
            total = part[0] if not count else total + part[0]
        return total

    return _each(values, bars, at, joined)


def squares(values: Numbers, bars: int, at: Positions) -> Numbers:
    """Sum of the squared distances of the last values from their mean, at these positions.

    >>> squares(np.array([1.0, 2.0, 4.0, 9.0]), 3, np.array([1, 3]))
    array([nan, 26.])
    """

    def joined(window: Numbers) -> Numbers:
        total = held = np.zeros(0)
        for count, own in _parts(window):
            size, part, square = 1, own, own * 0.0
            while len(part) > 1:
                newer, older = part[1::2], part[::2]
                square = _apart(newer, older, 1.0 / (2 * size)) + (square[1::2] + square[::2])
                part, size = newer + older, 2 * size
            if not count:
                total, held = square[0], part[0]
                continue
            apart = _apart(held * (1.0 / count), part[0] * (1.0 / size), count * size / (count + size))
            total, held = (total + square[0]) + apart, held + part[0]
        return total

    return _each(values, bars, at, joined)


def _apart(newer: Numbers, older: Numbers, share: float) -> Numbers:
    apart = newer - older
    apart *= apart
    apart *= share
    return apart


def _parts(window: Numbers) -> Iterator[tuple[int, Numbers]]:
    """The window cut into powers of two, the largest and newest first, each with how many values are newer."""
    end = len(window)
    while end:
        size = 1 << (end.bit_length() - 1)
        yield len(window) - end, window[end - size : end]
        end -= size


def _each(values: Numbers, bars: int, at: Positions, joined: Callable[[Numbers], Numbers]) -> Numbers:
    found = np.full(len(at), np.nan)
    whole = np.flatnonzero(at >= bars - 1)
    step = max(1, _CELLS // bars)
    offsets = np.arange(1 - bars, 1)[:, None]
    for first in range(0, len(whole), step):
        rows = whole[first : first + step]
        found[rows] = joined(values[at[rows] + offsets])
    return found
