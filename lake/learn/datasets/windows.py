"""Features of single rows from their own look-back alone, with made-up bars for all that came after.

Each row becomes a window: the bars that its features may look back at, its own bar, and some changed ones after it.
Windows are put one behind the other and computed together; what follows a window is not what followed the row. A value
that comes out otherwise than it was built looks ahead, or further back than it says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from lake.kernels import extremes, runs
from lake.learn import flags as market_flags
from lake.learn.features.changing import changed
from lake.learn.features.plan import Plan, Rows

AFTER = 8  # changed bars behind each window; what is further away lies in other windows
FLAGS_BEFORE = market_flags.Thresholds().window + market_flags.Thresholds().crash_bars  # bars that flags look back at
_BARS = 32_768  # bars that are computed at a time
_GAPS = 0.25  # share of changed bars that have a gap before them


@dataclass(frozen=True)
class Bars:
    """One series in order of time.

    Attributes:
        frame: open_time, known_at, the columns that the features need, and their market metrics.
        times: open times, microseconds.
    """

    frame: pl.DataFrame
    times: runs.Integers

    @classmethod
    def of(cls, plan: Plan, candles: pl.DataFrame, metrics: pl.DataFrame | None) -> Bars:
        """Candles of one series with each metric's newest value at their closes, unless that is too old."""
        times = runs.micros(candles)
        closes = times + plan.timeframe.micros
        found = candles.select("open_time", *plan.columns).with_columns(runs.column_of("known_at", closes))
        for name in plan.feature_set.metrics:
            found = found.with_columns(_metric(plan, name, metrics, closes))
        return cls(found, times)


def recomputed(plan: Plan, bars: Bars, wanted: Rows, rng: np.random.Generator) -> pl.DataFrame:
    """Features of the bars wanted (positions, ascending)."""
    return plan.finished(pl.concat(_gathered(plan, bars, wanted, rng)))


def _gathered(plan: Plan, bars: Bars, wanted: Rows, rng: np.random.Generator) -> Iterator[pl.DataFrame]:
    before = plan.feature_set.lookback
    width = before + 1 + AFTER
    padded = _padded(bars.frame, before)
    at_once = max(_BARS // width, 2)
    for first in range(0, len(wanted), at_once):
        some = wanted[first : first + at_once]
        stacked = pl.concat([padded.slice(int(row), width) for row in some], rechunk=True)
        later = np.tile(np.arange(width) > before, len(some))
        other = _delayed(changed(stacked, later, rng), later, plan.timeframe.micros, rng)
        yield plan.gathered(other, np.arange(len(some)) * width + before)


def flagged(bars: pl.DataFrame, wanted: Rows, rng: np.random.Generator) -> pl.DataFrame:
    """Flags of the bars wanted (positions, from ``FLAGS_BEFORE`` on)."""
    given = market_flags.values(bars)
    offsets = np.arange(-FLAGS_BEFORE, AFTER + 1)
    at_once = _BARS * 8 // len(offsets)
    found = [market_flags.at_bars(given, wanted[:0])]
    for first in range(0, len(wanted), at_once):
        some = wanted[first : first + at_once]
        places = np.minimum(some[:, None] + offsets, len(given.close) - 1)
        stacked = extremes.Bars(
            *(
                (column[places] * np.where(offsets > 0, rng.uniform(0.5, 2.0, places.shape), 1.0)).ravel()
                for column in given
            )
        )
        found.append(market_flags.at_bars(stacked, np.arange(len(some)) * len(offsets) + FLAGS_BEFORE))
    return pl.concat(found)


def _padded(frame: pl.DataFrame, before: int) -> pl.DataFrame:
    """The bars with so many before the first one, all of 1970, and the last one again after it for each changed bar."""
    first, last = frame.head(1), frame.tail(1)
    long_ago = first.with_columns(pl.lit(0).cast(frame.schema["open_time"]).alias("open_time"))
    return pl.concat([*[long_ago] * before, frame, *[last] * AFTER], rechunk=True)


def _delayed(stacked: pl.DataFrame, later: npt.NDArray[np.bool_], step: int, rng: np.random.Generator) -> pl.DataFrame:
    """The windows with gaps before some of their later bars."""
    shape = np.count_nonzero(later) // AFTER, AFTER
    gaps = rng.integers(1, 4, shape) * (rng.random(shape) < _GAPS)
    delays = np.zeros(stacked.height, np.int64)
    delays[later] = gaps.cumsum(axis=1).ravel() * step
    delay = pl.Series(delays).cast(pl.Duration("us"))
    return stacked.with_columns(stacked[name] + delay for name in ("open_time", "known_at"))


def _metric(plan: Plan, name: str, metrics: pl.DataFrame | None, closes: runs.Integers) -> pl.Series:
    mine = pl.DataFrame() if metrics is None else metrics.filter(pl.col("metric") == name)
    if mine.is_empty():
        return pl.Series(name, [None], dtype=pl.Float64).new_from_index(0, len(closes))
    times = runs.micros(mine, "time")
    newest = np.searchsorted(times, closes, side="right") - 1
    age = closes - times[np.maximum(newest, 0)]
    known = (newest >= 0) & (age <= plan.feature_set.metric_age.total_seconds() * 1_000_000)
    values = mine["value"][np.maximum(newest, 0)]
    return pl.select(pl.when(pl.Series(known)).then(values)).to_series().alias(name)
