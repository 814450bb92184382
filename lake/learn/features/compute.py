"""Feature columns out of a frame of candles."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from lake.errors import UsageError
from lake.learn.features import blocks
from lake.learn.features.base import FeatureSet
from lake.learn.features.plan import planned
from lake.spec import timeframes

_EVENT = ("venue", "symbol", "decision_time")


def compute(
    feature_set: FeatureSet,
    candles: pl.DataFrame,
    *,
    timeframe: str | None = None,
    metrics: pl.DataFrame | None = None,
    at: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """The features of candles: venue, symbol, known_at (the bar's close), then one column per feature.

    Args:
        feature_set: what to compute.
        candles: venue, symbol, open_time, open, high, low, close, volume, ... of one timeframe, each bar once.
        timeframe: of the candles; told by the set, or by their column ``timeframe``, when left out.
        metrics: rows of market_metrics; needed by a set with features of metrics.
        at: venue, symbol, decision_time. With it the result has one row for each row of ``at``, in its order: the
            features of the newest bar known by then; known_at and all features are null where there is none, or
            where it closed more than the set's ``stale`` bars before. Of each block only the rows asked for are kept,
            so 26 million candles need no frame of all their features.

    Returns:
        Without ``at`` a row for each candle, in order of venue, symbol and time.

    Raises:
        UsageError: columns are missing, the timeframe is not told, a bar is there twice, metrics are needed.
    """
    if candles.is_empty():
        return blocks.empty(feature_set) if at is None else aligned(feature_set, at, [])
    plan = planned(feature_set, timeframes.get(timeframe or feature_set.timeframe or _told(candles)))
    if feature_set.metrics and metrics is None:
        raise UsageError("the set needs market metrics", where=f"feature set {feature_set.name}", todo="Give metrics.")
    series = blocks.split(candles, plan)
    if at is None:
        parts = (blocks.frames(plan, name, rows, blocks.metrics_of(metrics, name)) for name, rows in series)
        return pl.concat(frame for part in parts for frame in part)
    events = by_series(at)
    found = (
        blocks.frame_at(plan, name, rows, blocks.metrics_of(metrics, name), events[name])
        for name, rows in series
        if name in events
    )
    return aligned(feature_set, at, found)


def by_series(at: pl.DataFrame) -> dict[blocks.Name, pl.DataFrame]:
    """(venue, symbol) -> its events in order of time: ``__row``, their row in ``at``, and decision_time.

    Raises:
        UsageError: columns are missing, or a decision has no time.
    """
    missing = [n for n in _EVENT if n not in at.columns]
    if missing:
        raise UsageError("events have venue, symbol and decision_time", where="features", value=missing)
    if at["decision_time"].null_count():
        raise UsageError("a decision without a time", where="features", value=at["decision_time"].null_count())
    rows = at.select(*_EVENT).with_row_index("__row").sort("decision_time", "__row")
    parts = rows.partition_by("venue", "symbol", as_dict=True, include_key=False, maintain_order=True)
    return {(str(venue), str(symbol)): part for (venue, symbol), part in parts.items()}


def aligned(feature_set: FeatureSet, at: pl.DataFrame, found: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Frames with ``__row`` put in the order of ``at``, nulls where nothing was found."""
    none = blocks.empty(feature_set).with_columns(pl.Series("__row", [], dtype=pl.get_index_type()))
    together = pl.concat([none, *found], rechunk=False)
    if together.height == at.height:
        ordered = together if together["__row"].is_sorted() else together.sort("__row")
        return ordered.drop("__row")
    rows = pl.DataFrame({"__row": pl.Series(range(at.height), dtype=pl.get_index_type())})
    everywhere = rows.join(together, on="__row", how="left", maintain_order="left")
    return everywhere.drop("__row").with_columns(at["venue"], at["symbol"])


def _told(candles: pl.DataFrame) -> str:
    if "timeframe" not in candles.columns:
        raise UsageError("which timeframe do the candles have?", where="features", todo="Give timeframe.")
    told = candles["timeframe"]
    if told.null_count() or not (told == told[0]).all():
        raise UsageError("candles of several timeframes", where="features", value=told.unique().to_list())
    return str(told[0])
