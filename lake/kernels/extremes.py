"""Which bars are extreme against the bars before them: arrays in, arrays out.

The scale is robust, so that what is extreme does not hide itself: the median absolute deviation (MAD) of the window's
log returns, times 1.4826, is the standard deviation of normal ones; where half of the returns are equal, and the MAD
is 0, it is 1.2533 times the mean absolute deviation (Iglewicz & Hoaglin, How to Detect and Handle Outliers, 1993).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from lake.errors import UsageError

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.intp]
_LANES = 8 * 255  # values whose count fits eight bytes
_CELLS = 50_000  # values of windows that are held at once: 400 kB, what a cache holds
_MAD, _MEAN = 1.482602218505602, 1.2533141373155001  # 1 / Phi^-1(3/4), sqrt(pi / 2)


@dataclass(frozen=True)
class Thresholds:
    """When a bar is extreme.

    Attributes:
        window: bars that the scale, the median and the quantile are of. They end before the ``crash_bars`` newest.
        outlier_scales: how many robust standard deviations the newest return is from the window's median.
        crash_bars: within so many bars the price went and came back.
        crash_scales: how far it went, in robust standard deviations of one bar times the root of ``crash_bars``.
        crash_move: how far it went at least, as a share of the price.
        crash_reverted: share of the way that it came back by the newest close.
        quiet_quantile: the newest volume is below this quantile of the window's.
    """

    window: int = 200
    outlier_scales: float = 10.0
    crash_bars: int = 5
    crash_scales: float = 8.0
    crash_move: float = 0.008
    crash_reverted: float = 0.5
    quiet_quantile: float = 0.05

    def __post_init__(self) -> None:
        for name, least in (("window", 10), ("crash_bars", 1)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise UsageError(f"a whole number of bars from {least} on is needed", where=name, value=value)
        for name, below in (
            ("outlier_scales", math.inf), ("crash_scales", math.inf), ("crash_move", 1.0),
            ("crash_reverted", 1.0), ("quiet_quantile", 1.0),
        ):  # fmt: skip
            value = getattr(self, name)
            if not 0 < value <= below or not math.isfinite(value):
                raise UsageError(f"a number above 0 and up to {below:g} is needed", where=name, value=value)


class Bars(NamedTuple):
    """One series in order of time."""

    high: Floats
    low: Floats
    close: Floats
    volume: Floats


class Extremes(NamedTuple):
    """Per position asked for; False where there are too few bars before it."""

    crash: Booleans
    outlier: Booleans
    quiet: Booleans


def extremes(bars: Bars, at: Positions, thresholds: Thresholds) -> Extremes:
    """What is extreme about the bars at some positions, by them and the bars before them alone."""
    found = Extremes(*(np.zeros(len(at), dtype=bool) for _ in range(3)))
    enough = np.flatnonzero(at >= thresholds.window + thresholds.crash_bars)
    if not len(enough):
        return found
    logs = np.log(bars.close)
    returns = np.full(len(logs), np.nan)
    np.subtract(logs[1:], logs[:-1], out=returns[1:])
    held = sliding_window_view(returns, thresholds.window), sliding_window_view(bars.volume, thresholds.window)
    step = max(1, _CELLS // thresholds.window)
    for first in range(0, len(enough), step):
        rows = enough[first : first + step]
        here = at[rows]
        begin = here + 1 - thresholds.crash_bars - thresholds.window
        middle, scale = _scale(held[0][begin])
        found.outlier[rows] = np.abs(returns[here] - middle) > thresholds.outlier_scales * scale
        found.crash[rows] = _crashed(bars, logs, here, scale, thresholds)
        found.quiet[rows] = _quiet(bars.volume[here], held[1][begin], thresholds.quiet_quantile)
    return found


def _scale(values: Floats) -> tuple[Floats, Floats]:
    """Median and robust standard deviation of each row; the values are overwritten."""
    middle = _median(values)
    values -= middle[:, None]
    np.abs(values, out=values)
    mad = _median(values)
    scale = _MAD * mad
    flat = np.flatnonzero(~(mad > 0))
    scale[flat] = _MEAN * values[flat].mean(axis=1)
    return middle, scale


def _median(values: Floats) -> Floats:
    """The median of each row, which is put in another order; of an even number, the mean of the two in the middle."""
    half = values.shape[1] // 2
    values.partition(half, axis=1)
    above = values[:, half]
    if values.shape[1] % 2:
        return above.copy()
    return np.asarray((values[:, :half].max(axis=1) + above) / 2, dtype=np.float64)


def _crashed(bars: Bars, logs: Floats, here: Positions, scale: Floats, thresholds: Thresholds) -> Booleans:
    """Whether the price fell far below where it stood, or rose far above, and came back by the newest close."""
    low, high = bars.low[here], bars.high[here]
    for age in range(1, thresholds.crash_bars):
        np.minimum(low, bars.low[here - age], out=low)
        np.maximum(high, bars.high[here - age], out=high)
    before, now = logs[here - thresholds.crash_bars], logs[here]
    least = np.maximum(
        -math.log1p(-min(thresholds.crash_move, 1 - 1e-12)),
        thresholds.crash_scales * scale * math.sqrt(thresholds.crash_bars),
    )
    fall, rise = before - np.log(low), np.log(high) - before
    back = thresholds.crash_reverted
    fell = (fall > least) & (now - (before - fall) >= back * fall)
    rose = (rise > least) & ((before + rise) - now >= back * rise)
    return np.asarray(fell | rose, dtype=bool)


def _quiet(newest: Floats, values: Floats, quantile: float) -> Booleans:
    """Whether the newest volume is nothing, or below the window's quantile (the value of the nearest rank)."""
    rank = max(0, math.ceil(quantile * values.shape[1]) - 1)
    below = _count(values <= newest[:, None]) <= rank  # so that the value of that rank is above it
    holes = np.isnan(values)
    if holes.any():
        below &= values.shape[1] - _count(holes) > rank
    return np.asarray((below & ~np.isnan(newest)) | (newest == 0), dtype=bool)


def _count(true: Booleans) -> npt.NDArray[np.int64]:
    """How many of each row are true; eight bytes are added at once, which is four times as fast as ``sum``."""
    rows, width = true.shape
    if width % 8 or width > _LANES:
        return np.asarray(true.sum(axis=1), dtype=np.int64)
    lanes = np.ascontiguousarray(true).view(np.uint64).sum(axis=1)
    return np.asarray(lanes.view(np.uint8).reshape(rows, 8).sum(axis=1, dtype=np.int64))
