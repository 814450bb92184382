"""Sums, deviations, extremes and exponential means over the last n values, which depend on these n and nothing else.

The usual running sums carry a state along the series: their last bits tell where it began, and one infinity spoils all
that follows. Here a window is put together from halves: that of 2m values is that of the last m and that of the m
before. It takes log2(n) passes, has the same bits wherever the array begins, and rounds less. Distances from the mean
are put together in the same way (Chan, Golub & LeVeque, "Updating formulae and a pairwise algorithm for computing
sample variances", 1979), without the cancellation of a difference of squares. Here numpy joins the halves;
where there is much to do, :mod:`lake.kernels.window_compiled` joins the same ones, where there is little to do
:mod:`lake.kernels.window_few`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lake.errors import UsageError
from lake.kernels import window_compiled, window_few

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.intp]


class Windows:
    """All windows over one array; what several have in common is computed once.

    Every result has the array's length, or that of ``at``: positions in ascending order, of which alone the windows
    are wanted. The first values, whose window would begin before the array, are nan, and so are those with a nan in
    their window.

    >>> Windows(np.array([1.0, 2.0, 4.0, 8.0])).sums(3)
    array([nan, nan,  7., 14.])
    """

    def __init__(self, values: Floats) -> None:
        self._values = values
        self._known: dict[tuple[str, int, float], Floats] = {}

    def lagged(self, bars: int, at: Positions | None = None) -> Floats:
        """The value so many before.

        >>> Windows(np.array([1.0, 2.0, 4.0])).lagged(1)
        array([nan,  1.,  2.])
        """
        if at is not None:
            return np.where(at >= bars, self._values[np.maximum(at - bars, 0)], np.nan)
        found = np.empty(len(self._values))
        found[:bars] = np.nan
        if bars < len(found):
            found[bars:] = self._values[: len(found) - bars]
        return found

    def sums(self, bars: int, at: Positions | None = None) -> Floats:
        """Sum of the last values.

        >>> Windows(np.array([1.0, 2.0, 4.0, 8.0])).sums(2, np.array([1, 3]))
        array([ 3., 12.])
        """
        made = self._compiled("faded", self._values, bars, at, _fades(bars, 1.0))
        if made is None and at is not None and window_few.are_few(self._values, bars, at):
            return window_few.sums(self._values, bars, at)
        return _taken(self._sums(bars), at) if made is None else made

    def squares(self, bars: int, at: Positions | None = None) -> Floats:
        """Sum of the squared distances of the last values from their mean.

        >>> Windows(np.array([1.0, 2.0, 4.0, 9.0])).squares(3)
        array([ nan,  nan,  4.66666667, 26. ])
        """
        made = self._compiled("squares", self._values, bars, at)
        if made is None and at is not None and window_few.are_few(self._values, bars, at):
            return window_few.squares(self._values, bars, at)
        return _taken(self._squares(bars), at) if made is None else made

    def deviations(self, bars: int, freedom: int = 0, at: Positions | None = None) -> Floats:
        """Standard deviation of the last values; ``freedom`` is taken from the divisor, 1 for a sample's."""
        return np.sqrt(self.squares(bars, at) / (bars - freedom))

    def exponential(self, bars: int, alpha: float, at: Positions | None = None) -> Floats:
        """Mean of the last values with weights (1 - alpha)^age, scaled to sum to 1.

        >>> Windows(np.array([1.0, 2.0, 4.0])).exponential(2, 0.5)
        array([       nan, 1.66666667, 3.33333333])
        """
        keep = 1.0 - alpha
        made = self._compiled("faded", self._values, bars, at, _fades(bars, keep))
        found = _taken(self._faded(bars, keep), at) if made is None else made
        return np.multiply(found, alpha / (1.0 - keep**bars))

    def highest(self, bars: int, at: Positions | None = None) -> Floats:
        """Largest of the last values."""
        made = self._compiled("highest", self._values, bars, at)
        return _taken(self._extreme(np.maximum, bars), at) if made is None else made

    def lowest(self, bars: int, at: Positions | None = None) -> Floats:
        """Smallest of the last values."""
        made = self._compiled("highest", -self._values, bars, at)
        return _taken(self._extreme(np.minimum, bars), at) if made is None else -made

    def _compiled(self, name: str, values: Floats, bars: int, at: Positions | None, *more: Any) -> Floats | None:
        _powers(bars)
        return window_compiled.windows(name, values, bars, np.arange(len(values)) if at is None else at, *more)

    def _sums(self, bars: int) -> Floats:
        first, *others = _powers(bars)
        total, count = self._sum(first), first
        for size in others:
            total = _joined(np.add, total, self._sum(size), count)
            count += size
        return total

    def _squares(self, bars: int) -> Floats:
        count, *others = _powers(bars)
        total, held = self._square(count), self._sum(count)
        for size in others:
            before = self._sum(size)
            apart = _joined(np.subtract, held * (1.0 / count), before * (1.0 / size), count)
            apart *= apart
            apart *= count * size / (count + size)
            total = _joined(np.add, total, self._square(size), count)
            total += apart
            held = _joined(np.add, held, before, count)
            count += size
        return total

    def _faded(self, bars: int, keep: float) -> Floats:
        first, *others = _powers(bars)
        total, count = self._weighted(first, keep), first
        for size in others:
            total = _faded(total, self._weighted(size, keep), count, keep**count)
            count += size
        return total

    def _sum(self, size: int) -> Floats:
        """Of a power of two; so are the sizes of all that follow."""
        if size == 1:
            return self._values
        half = self._sum(size // 2)
        return self._once(("sum", size, 0.0), lambda: _joined(np.add, half, half, size // 2))

    def _weighted(self, size: int, keep: float) -> Floats:
        if size == 1:
            return self._values
        half, factor = self._weighted(size // 2, keep), keep ** (size // 2)
        return self._once(("weighted", size, keep), lambda: _faded(half, half, size // 2, factor))

    def _square(self, size: int) -> Floats:
        if size == 1:
            return self._values * 0.0
        half, total = self._square(size // 2), self._sum(size // 2)

        def joined() -> Floats:
            apart = _joined(np.subtract, total, total, size // 2)
            apart *= apart
            apart *= 1.0 / size
            apart += _joined(np.add, half, half, size // 2)
            return apart

        return self._once(("square", size, 0.0), joined)

    def _extreme(self, larger: np.ufunc, bars: int) -> Floats:
        size = _powers(bars)[0]
        found = self._extreme_of(larger, size)
        return found if size == bars else _joined(larger, found, found, bars - size)  # the two may overlap

    def _extreme_of(self, larger: np.ufunc, size: int) -> Floats:
        if size == 1:
            return self._values
        half = self._extreme_of(larger, size // 2)
        return self._once((larger.__name__, size, 0.0), lambda: _joined(larger, half, half, size // 2))

    def _once(self, key: tuple[str, int, float], compute: Callable[[], Floats]) -> Floats:
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]


def _joined(operation: np.ufunc, newer: Floats, older: Floats, bars: int) -> Floats:
    """The operation on each value and that of ``bars`` before."""
    found = np.empty(len(newer))
    found[:bars] = np.nan
    if bars < len(newer):
        operation(newer[bars:], older[:-bars], out=found[bars:])
    return found


def _faded(newer: Floats, older: Floats, bars: int, factor: float) -> Floats:
    """Each value, and that of ``bars`` before times the factor."""
    found = np.empty(len(newer))
    found[:bars] = np.nan
    if bars < len(newer):
        np.multiply(older[:-bars], factor, out=found[bars:])
        found[bars:] += newer[bars:]
    return found


def _fades(bars: int, keep: float) -> tuple[Floats, Floats]:
    """How much the older half of each power of two fades, and each rest that is joined to them."""
    sizes = _powers(bars)
    halves = [keep ** (1 << level) for level in range(sizes[0].bit_length())]
    return np.array(halves), np.array([keep ** sum(sizes[:n]) for n in range(1, len(sizes) + 1)])


def _taken(found: Floats, at: Positions | None) -> Floats:
    return found if at is None else found[at]


def _powers(bars: int) -> list[int]:
    """Powers of two that sum to ``bars``, falling."""
    if bars < 1:
        raise UsageError("a window has one bar or more", where="windows", value=bars)
    return [1 << bit for bit in reversed(range(bars.bit_length())) if bars >> bit & 1]
