"""Raw rows of any source made canonical batches: times, numbers, grid, duplicates; every row is accounted for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import polars as pl

from lake.kernels import ohlcv
from lake.sources.base import CANDLES, KEYS, METRICS, REJECTED, SCHEMAS, TICKS, Batch, no_rejects
from lake.sources.csvs import MORE
from lake.sources.moments import read_times
from lake.sources.naming import About, held_timeframe
from lake.spec import symbols, timeframes

SAME = "the same row stands in the file again"
TOO_LONG = "the row has more values than the file has columns"
HALF_BUILT = "the bar had not closed when the file was collected"
SUPERSEDED = "superseded by a later row of the file at the same time"


def candle_batch(raw: pl.DataFrame, about: About) -> Batch:
    """Candles from raw rows.

    Args:
        raw: columns named as the lake's, of any type; ``symbol``, ``timeframe`` and ``venue`` may be among them.
        about: what is known of the file; fills the columns that ``raw`` lacks.

    Raises:
        SourceError: times carry no zone and none is known, or epoch times are in mixed units.
    """
    times = _times(raw["open_time"], about)
    given = pl.col("timeframe") if "timeframe" in raw.columns else pl.lit(about.timeframe)
    frame = raw.with_columns(
        _venue(raw, about),
        _symbol(raw, about),
        _through(raw, "timeframe", about.timeframe, held_timeframe),
        given.cast(pl.String).alias("given"),
        open_time=times["time"],
        why_time=times["reason"],
    )
    if about.volume == "quote" and "volume" in raw.columns:
        frame = frame.with_columns(quote_volume=pl.col("volume"), volume=pl.lit(None, dtype=pl.Float64))
    frame, numbers = _numbers(frame, CANDLES)
    broken = ohlcv.violations(frame.select(pl.col("timeframe").fill_null(""), pl.exclude("timeframe")))
    reasons = [_no_symbol(), _unknown_timeframe(), pl.col("why_time"), *numbers, pl.lit(broken)]
    if about.collected is not None:
        reasons.append(_half_built(frame, about.collected))
    return _settled(frame, reasons, raw, "candles")


def _half_built(frame: pl.DataFrame, collected: datetime) -> pl.Expr:
    """A reason against bars that had not closed when they were fetched: their values are not those of the bar."""
    lengths = {name: timeframes.micros(name) for name in frame["timeframe"].drop_nulls().unique()}
    length = pl.col("timeframe").replace_strict(lengths, default=None, return_dtype=pl.Int64)
    closed = pl.col("open_time") + pl.duration(microseconds=length) <= collected
    return pl.when(~closed).then(pl.lit(HALF_BUILT))


def metric_batch(raw: pl.DataFrame, about: About, metric: str) -> Batch:
    """Market metrics from raw rows with ``time``, ``value`` and perhaps ``symbol`` and ``metric``."""
    frame = _timed(raw, about)
    if "metric" not in raw.columns:
        frame = frame.with_columns(metric=pl.lit(metric))
    frame, numbers = _numbers(frame, METRICS)
    missing = pl.when(pl.col("value").is_null()).then(pl.lit("value is missing"))
    return _settled(frame, [_no_symbol(), pl.col("why_time"), *numbers, missing], raw, "market_metrics")


def tick_batch(raw: pl.DataFrame, about: About) -> Batch:
    """Trades from raw rows with ``time``, ``price`` and ``quantity``.

    Perhaps also ``trade_id``, ``quote_quantity``, ``taker_buys`` (bool or null) and ``trades`` (how many one row
    stands for).
    """
    frame = _timed(raw, about)
    if "trades" not in raw.columns:
        frame = frame.with_columns(trades=pl.lit(1, dtype=pl.Int64))
    frame, numbers = _numbers(frame, TICKS)
    return _settled(frame, [_no_symbol(), pl.col("why_time"), *numbers, *_no_trade()], raw, "ticks")


def _no_trade() -> list[pl.Expr]:
    """Why a row is no trade: it would spoil its candle, and with it the good trades there. NaN is above all numbers."""
    infinity = float("inf")
    price, quantity, quote, count = (pl.col(name) for name in ("price", "quantity", "quote_quantity", "trades"))
    return [
        pl.when(price.is_null()).then(pl.lit("price is missing"))
        .when(~((price > 0) & (price < infinity))).then(pl.format("price is not a price: {}", price)),
        pl.when(quantity.is_null()).then(pl.lit("quantity is missing"))
        .when(~((quantity >= 0) & (quantity < infinity))).then(pl.format("quantity is not a size: {}", quantity)),
        pl.when((quote < 0) | (quote == infinity)).then(pl.format("quote_quantity is not a size: {}", quote)),
        pl.when(~(count >= 1)).then(pl.format("a row stands for at least one trade, not {}", count)),
    ]  # fmt: skip


def _timed(raw: pl.DataFrame, about: About) -> pl.DataFrame:
    """Rows that happen at a ``time``, with venue and symbol."""
    times = _times(raw["time"], about)
    return raw.with_columns(_venue(raw, about), _symbol(raw, about), time=times["time"], why_time=times["reason"])


def _times(values: pl.Series, about: About) -> pl.DataFrame:
    if about.time_unit is None:
        about.units.check(values, about.where)
    return read_times(values, unit=about.time_unit, tz=about.tz, where=about.where)


def _venue(raw: pl.DataFrame, about: About) -> pl.Expr:
    venue = pl.col("venue") if "venue" in raw.columns else pl.lit(about.venue)
    return venue.cast(pl.String).fill_null("").alias("venue")


def _symbol(raw: pl.DataFrame, about: About) -> pl.Expr:
    return _through(raw, "symbol", about.symbol, symbols.canonical)


def _through(raw: pl.DataFrame, column: str, constant: str, rule: Callable[[str], str | None]) -> pl.Expr:
    """The constant, or each distinct text of the column, through a rule once."""
    if column not in raw.columns:
        return pl.lit(rule(constant), dtype=pl.String).alias(column)
    names = raw[column].cast(pl.String).unique().drop_nulls()
    new = pl.Series([rule(name) for name in names], dtype=pl.String)
    return pl.col(column).cast(pl.String).replace_strict(names, new, default=None, return_dtype=pl.String)


def _numbers(
    frame: pl.DataFrame, schema: dict[str, pl.DataType | type[pl.DataType]]
) -> tuple[pl.DataFrame, list[pl.Expr]]:
    """The frame with its numbers as the schema wants them, absent ones null, and what is not a number."""
    casts: list[pl.Expr] = []
    reasons: list[pl.Expr] = []
    for name, kind in schema.items():
        if name not in frame.columns:
            casts.append(pl.lit(None, dtype=kind).alias(name))
        elif kind in (pl.Float64, pl.Int64) and frame[name].dtype != kind:
            text = frame[name].dtype == pl.String
            value = pl.col(name).str.strip_chars().replace("", None) if text else pl.col(name)
            number = value.cast(pl.Float64, strict=False)
            casts += [number.cast(kind, strict=False).alias(name), value.alias(f"given_{name}")]
            bad = pl.col(f"given_{name}").is_not_null() & pl.col(name).is_null()
            reasons.append(pl.when(bad).then(pl.format(f"{name} is not a number: {{}}", f"given_{name}")))
        elif kind in (pl.Boolean, pl.String) and frame[name].dtype != kind:
            casts.append(pl.col(name).cast(kind, strict=False))
    return frame.with_columns(casts), reasons


def _no_symbol() -> pl.Expr:
    return pl.when(pl.col("symbol").fill_null("") == "").then(pl.lit("symbol is missing"))


def _unknown_timeframe() -> pl.Expr:
    told = pl.when(pl.col("given").is_null()).then(pl.lit("timeframe is missing"))
    return pl.when(pl.col("timeframe").is_null()).then(
        told.otherwise(pl.format("unknown timeframe '{}'", pl.col("given")))
    )


def _settled(frame: pl.DataFrame, reasons: list[pl.Expr], raw: pl.DataFrame, dataset: str) -> Batch:
    """Rows with a reason set aside, then rows that a later one of the same key replaces."""
    if MORE in raw.columns:
        reasons = [pl.when(pl.col(MORE).str.strip_chars() != "").then(pl.lit(TOO_LONG)), *reasons]
    reason = frame.select(reason=pl.coalesce(reasons))["reason"]
    good = frame.select(pl.col(name).cast(kind) for name, kind in SCHEMAS[dataset].items())
    rejected = no_rejects()
    if reason.null_count() < len(reason):
        bad = reason.is_not_null()
        rows = raw.filter(bad).select(row=pl.struct(raw.columns).struct.json_encode())["row"]
        rejected = pl.DataFrame({"reason": reason.filter(bad), "row": rows}, schema=REJECTED)
        good = good.filter(~bad)
    if dataset not in KEYS:
        return Batch(dataset, good, rejected, raw.height)
    kept = ohlcv.dedupe(good, KEYS[dataset])  # a bar frozen half-built may stand before its final row
    notes = {SAME: kept.identical, SUPERSEDED: kept.replaced}
    lost = {text: count for text, count in notes.items() if count}
    return Batch(dataset, kept.frame, rejected, raw.height, kept.identical + kept.replaced, lost)
