"""Coarser candles of one series out of several finer timeframes: each from the one that covers most of it."""

from __future__ import annotations

import numpy as np

from lake.kernels.resample import Buckets, Reduced

Span = tuple[int | None, int | None]


def lacking(found: Reduced, buckets: Buckets) -> list[Span]:
    """Between which times finer candles may make buckets that are absent or fuller; microseconds, both inclusive.

    These are the time before the first bucket, the time behind the last, and what lies from the first that is
    missing or partial in between to the last. All begin and end with buckets; neighbours are one.
    """
    if not len(found.times):
        return [(None, None)]
    step = buckets.length
    first, last = int(found.times[0]), int(found.times[-1]) + step
    gaps = np.flatnonzero(np.diff(found.times) > step)
    partial = found.times[found.bars < found.expected]
    begins = np.concatenate([partial, found.times[gaps] + step])
    if not len(begins):
        return [(None, first - 1), (last, None)]
    begin, end = int(begins.min()), int(np.concatenate([partial + step, found.times[gaps + 1]]).max())
    if begin == first and end == last:
        return [(None, None)]
    if begin == first:
        return [(None, end - 1), (last, None)]
    return [(None, first - 1), *([(begin, None)] if end == last else [(begin, end - 1), (last, None)])]


def fuller(coarse: Reduced, fine: Reduced) -> Reduced:
    """Each bucket from the one of the two that covers more of it, of equals from the first."""
    times = np.concatenate([coarse.times, fine.times])
    share = np.concatenate([coarse.bars / coarse.expected, fine.bars / fine.expected])
    order = np.lexsort((-share, times))  # stable: of equals the first stays the first
    kept = order[np.append(True, np.diff(times[order]) > 0)[: len(order)]]
    names = dict.fromkeys([*coarse.values, *fine.values])
    return Reduced(
        times[kept],
        np.concatenate([coarse.bars, fine.bars])[kept],
        np.concatenate([coarse.expected, fine.expected])[kept],
        {name: np.concatenate([coarse.column(name), fine.column(name)])[kept] for name in names},
        {name: np.concatenate([coarse.without(name), fine.without(name)])[kept] for name in names},
    )
