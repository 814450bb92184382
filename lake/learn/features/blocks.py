"""One series of candles cut into blocks: fixed slices of time whose features are computed by themselves.

A block's features come from its own rows and those within the set's reach before it, never from where the loaded rows
happen to begin: the same bars always give the same bits, whatever else was loaded with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import polars as pl

from lake.errors import UsageError
from lake.kernels import runs
from lake.learn.features.base import FeatureSet
from lake.learn.features.plan import Plan, Rows
from lake.ledgers.series import constant

#: Bars of one block: its columns fit a processor's cache, and its history adds a few percent.
BARS = 32_768
#: Blocks that are computed together where that changes no bit: fewer calls of Polars cost less than a cache gains.
AT_ONCE = 8
Name = tuple[str, str]


def empty(feature_set: FeatureSet) -> pl.DataFrame:
    """No rows, with the columns venue, symbol, known_at and the features."""
    moment = pl.Datetime("us", "UTC")
    features = {f.name: f.dtype for f in feature_set.features}
    return pl.DataFrame(schema={"venue": pl.String, "symbol": pl.String, "known_at": moment, **features})


def split(candles: pl.DataFrame, plan: Plan) -> list[tuple[Name, pl.DataFrame]]:
    """Each (venue, symbol) with its rows in order of time; a frame without venues has venue "".

    Raises:
        UsageError: columns are missing, or a bar is there twice.
    """
    missing = [n for n in ("symbol", "open_time", *plan.columns) if n not in candles.columns]
    if missing:
        raise UsageError("the candles lack columns", where="features", value=missing)
    series: list[str] = [n for n in ("venue", "symbol") if n in candles.columns]
    rows = candles.select(*series, "open_time", *plan.columns)
    heads = runs.starts(rows, series)
    if not runs.in_order(rows, series, heads, runs.micros(rows)):
        rows = rows.sort(*series, "open_time")
        heads = runs.starts(rows, series)
        if not runs.in_order(rows, series, heads, runs.micros(rows)):
            raise UsageError("a candle is there twice", where="features", todo="Keep one of each symbol and time.")
    ends = [*heads[1:].tolist(), rows.height]
    found = []
    for first, last in zip(heads.tolist(), ends, strict=True):
        venue = rows["venue"][first] if "venue" in series else ""
        found.append(((venue, rows["symbol"][first]), rows.slice(first, last - first).drop(series)))
    return sorted(found, key=lambda one: one[0])


def bounds(plan: Plan, times: runs.Integers) -> Iterator[tuple[int, int]]:
    """First row and row after the last of each block, of bars that open at these microseconds."""
    if len(times):
        numbers = number(plan, times)
        cuts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(times)]
        yield from pairwise(cuts)


def number(plan: Plan, times: runs.Integers) -> runs.Integers:
    """Which block a bar belongs to, counted from 1970."""
    return (times - plan.timeframe.offset) // (plan.timeframe.micros * BARS)


def start(plan: Plan, number_: int) -> int:
    """Open time of a block's first bar, in microseconds."""
    return number_ * plan.timeframe.micros * BARS + plan.timeframe.offset


def history(plan: Plan, number_: int) -> int | None:
    """Open time of the oldest bar that a block's features may depend on; None for all before."""
    reach = plan.feature_set.reach(plan.timeframe.micros)
    return None if reach is None else start(plan, number_) - reach


def frames(plan: Plan, name: Name, rows: pl.DataFrame, metrics: pl.DataFrame | None) -> Iterator[pl.DataFrame]:
    """venue, symbol, known_at and features of all rows of one series, a frame for each block."""
    rows = rows.rechunk()
    for first, last in bounds(plan, runs.micros(rows)):
        yield named(name, _finished(plan, _gathered(plan, rows, np.arange(first, last), metrics)))


def frame_at(
    plan: Plan, name: Name, rows: pl.DataFrame, metrics: pl.DataFrame | None, events: pl.DataFrame
) -> pl.DataFrame:
    """The same as of events (``__row`` and ``decision_time``, in order of time), with their ``__row``.

    Only blocks with events are computed. Events without a bar that closed in time are left out.
    """
    rows = rows.rechunk()  # once, not in each block
    times = runs.micros(rows)
    newest, held = as_of(plan, times, events)
    found = [_gathered(plan, rows, wanted, metrics) for wanted in _at_once(plan, times, newest)]
    rows = named(name, _finished(plan, pl.concat(found))) if found else empty(plan.feature_set)
    return rows.hstack([held["__row"]])


def as_of(plan: Plan, times: runs.Integers, events: pl.DataFrame) -> tuple[Rows, pl.DataFrame]:
    """The newest bar known at each event, and the events that have one which is not stale."""
    moments = runs.micros(events, "decision_time")
    closes = times + plan.timeframe.micros
    newest = np.searchsorted(closes, moments, side="right") - 1
    age = moments - closes[np.maximum(newest, 0)] if len(times) else moments
    held = (newest >= 0) & (age <= plan.feature_set.stale * plan.timeframe.micros)
    return newest[held], events.filter(held)


def by_block(plan: Plan, times: runs.Integers, wanted: Rows) -> Iterator[tuple[int, Rows]]:
    """Ascending positions of bars, those of each block together, with the block's number."""
    for first, last in bounds(plan, times):
        low, high = np.searchsorted(wanted, (first, last)).tolist()
        if low < high:
            yield int(number(plan, times[first : first + 1])[0]), wanted[low:high]


def _at_once(plan: Plan, times: runs.Integers, wanted: Rows) -> Iterator[Rows]:
    """Those computed together: of one block, or of neighbours where no value depends on where a block begins."""
    most = AT_ONCE if plan.local else 1
    some: list[Rows] = []
    last = 0
    for number_, rows in by_block(plan, times, wanted):
        if some and (number_ != last + 1 or len(some) == most):
            yield np.concatenate(some)
            some = []
        some.append(rows)
        last = number_
    if some:
        yield np.concatenate(some)


def block(plan: Plan, rows: pl.DataFrame, number_: int, metrics: pl.DataFrame | None) -> pl.DataFrame:
    """known_at and features of all bars of one block; ``rows`` are these and the history before them."""
    times = runs.micros(rows)
    first, last = np.searchsorted(times, (start(plan, number_), start(plan, number_ + 1))).tolist()
    return _finished(plan, _gathered(plan, rows, np.arange(first, last), metrics))


def _gathered(plan: Plan, rows: pl.DataFrame, wanted: Rows, metrics: pl.DataFrame | None) -> pl.DataFrame:
    """What the features of some rows are made of: of one block, or of several that are next to each other."""
    times = runs.micros(rows)
    first, last = number(plan, times[wanted[[0, -1]]]).tolist()
    oldest = history(plan, first)
    begin = 0 if oldest is None else int(np.searchsorted(times, oldest))
    end = int(np.searchsorted(times, start(plan, last + 1)))
    known = runs.column_of("known_at", times[begin:end] + plan.timeframe.micros)
    bars = _with_metrics(plan, rows.slice(begin, end - begin).hstack([known]), metrics)
    return plan.gathered(bars, wanted - begin)


def named(name: Name, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with venue and symbol before them."""
    venue, symbol = (constant(n, value, rows.height) for n, value in zip(("venue", "symbol"), name, strict=True))
    return pl.DataFrame([venue, symbol, *rows.get_columns()])


def _finished(plan: Plan, gathered: pl.DataFrame) -> pl.DataFrame:
    """known_at and the features."""
    return pl.DataFrame([gathered["known_at"], *plan.finished(gathered).get_columns()])


def metrics_of(metrics: pl.DataFrame | None, name: Name) -> pl.DataFrame | None:
    """The market metrics of one series, in order of time: metric, time and value.

    Those that name no venue are of all venues; of two of one time that of the venue counts. What comes later changes
    nothing of this.
    """
    if metrics is None:
        return None
    venue, symbol = name
    mine = metrics.filter(pl.col("venue").is_in(["", venue]) & (pl.col("symbol") == symbol))
    found = mine.sort("metric", "time", "venue").unique(["metric", "time"], keep="last", maintain_order=True)
    return found.select("metric", "time", "value")


def _with_metrics(plan: Plan, bars: pl.DataFrame, metrics: pl.DataFrame | None) -> pl.DataFrame:
    """Each metric's newest value at or before the bar's close, unless that is too old."""
    for metric in plan.feature_set.metrics:
        if metrics is None:
            raise UsageError("the set needs market metrics", where=f"feature set {plan.feature_set.name}", value=metric)
        values = metrics.filter(pl.col("metric") == metric).select(
            pl.col("time").cast(pl.Datetime("us", "UTC")), pl.col("value").alias(metric)
        )
        bars = bars.join_asof(
            values.set_sorted("time"),
            left_on="known_at",
            right_on="time",
            tolerance=plan.feature_set.metric_age,
            coalesce=True,
        )
    return bars
