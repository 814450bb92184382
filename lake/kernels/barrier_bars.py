"""Arrays for the barrier loops: candles in both directions with the extremes of their blocks, and untouched lives."""

from __future__ import annotations

import numpy as np

from lake.kernels.barrier_loops import ALIVE, LARGE, SMALL
from lake.kernels.barrier_types import Bars, Events, Integers, Lives, Numbers


def bars_of(time: Integers, ohlc: tuple[Numbers, Numbers, Numbers, Numbers], step: int) -> Bars:
    """Candles from their columns.

    Args:
        time: open times in microseconds, in order, at least a step apart.
        ohlc: open, high, low and close prices; finite, the low lowest and the high highest.
        step: length of a candle in microseconds.
    """
    opened, high, low, close = (np.ascontiguousarray(prices, np.float64) for prices in ohlc)
    time = np.ascontiguousarray(time, np.int64)
    span = np.stack([np.stack([low, high], axis=1), np.stack([-high, -low], axis=1)])
    small = _extremes(span, SMALL)
    heads = np.concatenate([np.zeros(min(1, len(time)), np.int64), np.flatnonzero(np.diff(time) != step) + 1])
    return Bars(
        step,
        time,
        np.stack([opened, -opened]),
        np.stack([close, -close]),
        span,
        small,
        _extremes(small, LARGE // SMALL),
        np.append(heads, len(time)).astype(np.int64),
        time[heads],
    )


def _extremes(span: Numbers, size: int) -> Numbers:
    """Worst and best of each full block of so many."""
    full = span.shape[1] // size
    blocks = span[:, : full * size].reshape(2, full, size, 2)
    found: Numbers = np.stack([blocks[..., 0].min(axis=2), blocks[..., 1].max(axis=2)], axis=2)
    return found


def lives_of(events: Events) -> Lives:
    """Nothing happened yet."""
    count = len(events.side)
    entry = np.where(events.side == 0, events.entry, -events.entry)
    at, last, bars = np.zeros((3, count), np.int64)
    return Lives(
        np.full(count, ALIVE, np.int8),
        np.zeros(count, np.int64),
        entry,
        entry.copy(),
        np.full(count, -1, np.int64),
        np.full(count, np.nan),
        at,
        last,
        bars,
        np.zeros(count, np.bool_),
    )
