"""The arrays that barrier loops read and write: candles of one series, events, and what became of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Integers = NDArray[np.int64]


class Bars(NamedTuple):
    """Candles of one symbol and timeframe. Prices are times the sign of a direction, so that up is good.

    The first axis of prices is the direction: 0 LONG, 1 SHORT. The last axis of ranges is worst, best.

    Attributes:
        step: length of a candle in microseconds.
        time: open times in microseconds, rising by at least a step.
        open, close: shape (2, n).
        span: worst and best price of each candle, shape (2, n, 2).
        small, large: the same of each full block of SMALL and LARGE candles.
        run: index of the first candle of each run without a gap, then n.
        run_time: the open time of each of those candles.
    """

    step: int
    time: Integers
    open: Numbers
    close: Numbers
    span: Numbers
    small: Numbers
    large: Numbers
    run: Integers
    run_time: Integers


class Events(NamedTuple):
    """Positions to be followed, one an entry; prices as they are, NaN where there is none.

    Attributes:
        side: 0 LONG, 1 SHORT.
        entry, stop: prices; the stop is on the losing side of the entry.
        targets: shape (m, 3), each at least as far as the one before.
        start: when it begins, in microseconds.
        timeout: when it is given up; NEVER for not at all.
        break_even: whether the stop moves to the entry at the first target, when there are more.
    """

    side: NDArray[np.int8]
    entry: Numbers
    stop: Numbers
    targets: Numbers
    start: Integers
    timeout: Integers
    break_even: NDArray[np.bool_]


class Lives(NamedTuple):
    """What became of events so far, one an entry; prices are times the sign of the side.

    Attributes:
        code: ALIVE, or how it ended; see :mod:`lake.kernels.barrier_loops`.
        hit: how many of its targets were reached.
        best, worst: of the prices it lived through.
        tp1: when the first target was reached, in microseconds; -1 when not.
        price: at which it ended.
        at: when it ended, in microseconds.
        last: index of the last candle looked at.
        bars: candles that it lived through, of the series that it is followed on.
        ambiguous: whether stop and target lay in one candle that nothing finer resolves.
    """

    code: NDArray[np.int8]
    hit: Integers
    best: Numbers
    worst: Numbers
    tp1: Integers
    price: Numbers
    at: Integers
    last: Integers
    bars: Integers
    ambiguous: NDArray[np.bool_]

    def taken(self, rows: Integers) -> Lives:
        """Copies of some of them."""
        copies: Any = (values[rows] for values in self)
        return Lives(*copies)

    def put(self, rows: Integers, saved: Lives) -> None:
        """Write copies back."""
        places: Any = self
        for values, old in zip(places, saved, strict=True):
            values[rows] = old
