"""What each judged row is worth by a metric, which rows of two candidates belong together, and when they ran."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from lake.clock import MICROS_PER_HOUR, MICROS_PER_MINUTE
from lake.kernels.overlaps import Spans, spans
from lake.spec import timeframes

KEY: Final = ("venue", "symbol", "timeframe", "window")


@dataclass(frozen=True)
class Metric:
    """A value of each row.

    Args:
        name: of the metric.
        value: it; null where the row says nothing about it.
        more_is_better: whether a higher mean is the better one.
        unit: for people.
        scale: by which the value is shown.
    """

    name: str
    value: pl.Expr
    more_is_better: bool
    unit: str
    scale: float = 1.0


_IS_SETTLED = ~pl.col("traded") | pl.col("pnl").is_not_null()
METRICS: Final = {
    metric.name: metric
    for metric in (
        Metric("accuracy", pl.col("hit").cast(pl.Float64), more_is_better=True, unit="%", scale=100.0),
        Metric("win_rate", (pl.col("pnl") > 0).cast(pl.Float64), more_is_better=True, unit="%", scale=100.0),
        Metric(
            "net_pnl",
            pl.when(_IS_SETTLED).then(pl.col("pnl").fill_null(0.0) - pl.col("cost_usd").fill_null(0.0)),
            more_is_better=True,
            unit="a decision",
        ),
        Metric("brier", (pl.col("confidence") - pl.col("hit").cast(pl.Float64)) ** 2, more_is_better=False, unit=""),
    )
}


def valued(rows: pl.DataFrame, metric: Metric) -> pl.DataFrame:
    """Rows that say something about the metric, with their ``value``, in the order of time."""
    return rows.with_columns(metric.value.alias("value")).filter(pl.col("value").is_finite()).sort("made_at", "id")


def paired(a: pl.DataFrame, b: pl.DataFrame, window: str | None = None) -> pl.DataFrame:
    """Pairs of two candidates' rows: those on the same venue, symbol and timeframe, made in the same window of time.

    A window is one candle of the timeframe (an hour where the row names none), or ``window``. Of several rows of one
    candidate in a window their mean counts, so that nobody gains weight by asking often.

    Args:
        a, b: valued rows of each.
        window: a timeframe that all rows are cut by.

    Returns:
        venue, symbol, timeframe, window (micros), value, value_b, hold_minutes; in the order of time.
    """
    left, right = (_by_window(rows, window) for rows in (a, b))
    found = left.join(right, on=list(KEY), how="inner", nulls_equal=True, suffix="_b", maintain_order="left")
    hold = pl.max_horizontal("hold_minutes", "hold_minutes_b")
    return found.with_columns(hold.alias("hold_minutes")).sort("window", "venue", "symbol", "timeframe")


def lives_of(rows: pl.DataFrame) -> Spans:
    """When rows were made (``made_at``, or the micros of their ``window``), and over: ``hold_minutes`` later.

    A row that does not say how long it was held lasts a moment.
    """
    timed = "made_at" in rows.columns
    begins = rows.get_column("made_at").dt.epoch("us") if timed else rows.get_column("window")
    minutes = (
        rows.get_column("hold_minutes")
        if "hold_minutes" in rows.columns
        else pl.Series([0.0]).new_from_index(0, rows.height)
    )
    held = (minutes.cast(pl.Float64).fill_nan(None).fill_null(0.0) * MICROS_PER_MINUTE).round().cast(pl.Int64)
    return spans(begins.to_numpy(), (begins + held).to_numpy())


def _by_window(rows: pl.DataFrame, window: str | None) -> pl.DataFrame:
    if window is None:
        known = {name: timeframes.micros(name) for name in timeframes.ALL}
        length = pl.col("timeframe").replace_strict(known, default=MICROS_PER_HOUR, return_dtype=pl.Int64)
    else:
        length = pl.lit(timeframes.micros(timeframes.parse(window)))
    at = pl.col("made_at").dt.epoch("us")
    return (
        rows.with_columns((at // length * length).alias("window"))
        .group_by(KEY, maintain_order=True)
        .agg(pl.col("value").mean(), pl.col("hold_minutes").max())
    )
