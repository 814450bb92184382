"""What a candle must be, and what is missing or doubled in a series of them: frames in, frames out, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, reduce
from operator import and_

import numpy as np
import polars as pl

from lake.kernels import runs
from lake.spec import timeframes
from lake.spec.decode import is_one_value

__all__ = ["Deduped", "dedupe", "gaps", "violations"]

_PRICES = ("open", "high", "low", "close")
_AMOUNTS = ("volume", "quote_volume", "trade_count", "taker_buy_volume", "taker_buy_quote_volume")
_FEW = 500  # values that Python looks through faster than Polars begins to
_AT_ONCE = 32_768  # rows whose prices and what is made of them stay in the processor's cache
_INFINITY = float("inf")  # Polars orders NaN above it: `x < inf` refuses both


@dataclass(frozen=True, slots=True)
class Deduped:
    """Rows with one of each key, the last; how many went that equalled it, and how many that differed."""

    frame: pl.DataFrame
    identical: int
    replaced: int


def violations(frame: pl.DataFrame) -> pl.Series:
    """Why each row is no candle, reasons joined by "; "; null where it is one.

    Args:
        frame: timeframe, open_time, open, high, low, close and any volumes and counts.

    A price is finite and above zero, high and low enclose open and close, amounts are finite and not
    negative (or null), and open_time is on the timeframe's grid.
    """
    if all(_plainly_sane(frame.slice(at, _AT_ONCE)) for at in range(0, frame.height, _AT_ONCE)):
        return pl.Series("reason", [None], dtype=pl.String).new_from_index(0, frame.height)
    grid = _on_grid(frame)
    held = frame.select(_sane(_amounts(frame)), grid.alias("grid"))
    sane = (held.get_column("sane") & held.get_column("grid")).fill_null(value=False)
    if sane.all():
        return pl.Series("reason", [None], dtype=pl.String).new_from_index(0, frame.height)
    wrong = (~sane).arg_true()
    told = frame[wrong].select(pl.concat_str(_reasons(frame, grid), separator="; ", ignore_nulls=True)).to_series()
    reasons = pl.DataFrame({"row": wrong, "reason": told})
    rows = pl.DataFrame({"row": pl.int_range(frame.height, dtype=pl.UInt32, eager=True)})
    return rows.join(reasons, on="row", how="left", maintain_order="left").get_column("reason")


def gaps(frame: pl.DataFrame, timeframe: str) -> pl.DataFrame:
    """Runs of missing candles between the first and the last of each series.

    Args:
        frame: venue, symbol (either may be absent) and open_time, in any order.
        timeframe: of all the rows.

    Returns:
        The series columns, gap_start and gap_end (open times of the first and the last one missing) and
        missing (how many).
    """
    columns = runs.series_columns(frame)
    step, offset = timeframes.micros(timeframe), timeframes.offset(timeframe)
    heads, times = runs.starts(frame, columns), runs.micros(frame)
    if not runs.in_order(frame, columns, heads, times):
        frame = frame.select(*columns, "open_time").sort(*columns, "open_time")
        heads, times = runs.starts(frame, columns), runs.micros(frame)
    slots = (times - offset) // step
    missing = np.diff(slots) - 1
    if len(heads):
        missing[heads[1:] - 1] = 0
    found = np.flatnonzero(missing > 0)
    series = [frame.get_column(name).gather(found) for name in columns]
    start = runs.column_of("gap_start", (slots[found] + 1) * step + offset)
    end = runs.column_of("gap_end", (slots[found + 1] - 1) * step + offset)
    return pl.DataFrame([*series, start, end, pl.Series("missing", missing[found], dtype=pl.Int64)])


def dedupe(frame: pl.DataFrame, key: Sequence[str]) -> Deduped:
    """One row of each key, the last one, in the order of the rows that stay."""
    if _plainly_unique(frame, key):
        return Deduped(frame, 0, 0)
    doubled = frame.select(pl.struct(key).is_duplicated()).to_series()
    if not doubled.any():
        return Deduped(frame, 0, 0)
    rows = frame.filter(doubled)
    last = rows.unique(key, keep="last")
    others = [name for name in frame.columns if name not in key]
    beside = rows.join(last, on=key, how="left", nulls_equal=True, suffix="_last")
    same = [pl.col(name).eq_missing(pl.col(f"{name}_last")) for name in others]
    equal = beside.select(pl.all_horizontal(pl.lit(True), *same).sum()).item() if others else rows.height
    identical = int(equal) - last.height
    kept = frame.unique(key, keep="last", maintain_order=True)
    return Deduped(kept, identical, frame.height - kept.height - identical)


def _plainly_unique(frame: pl.DataFrame, key: Sequence[str]) -> bool:
    """True when candles are in order of series and time: ten times cheaper to see than by hashing every key."""
    if not {"open_time"} <= set(key) <= {*runs.SERIES, "timeframe", "open_time"} or frame["open_time"].null_count():
        return False
    columns = [name for name in key if name in runs.SERIES]
    return runs.in_order(frame, columns, runs.starts(frame, columns), runs.micros(frame))


def _plainly_sane(frame: pl.DataFrame) -> bool:
    """True for candles of one timeframe that keep every rule; False may also mean that it is not plain to see."""
    if not _is_one_value(frame.get_column("timeframe")):
        return False
    timeframe = frame.get_column("timeframe")[0]
    if timeframe not in timeframes.ALL or any(frame.get_column(n).null_count() for n in (*_PRICES, "open_time")):
        return False
    start, high, low, end = (frame.get_column(name).to_numpy() for name in _PRICES)
    inside = (high >= np.maximum(start, end)) & (low <= np.minimum(start, end)) & (low > 0) & (high < _INFINITY)
    step, since = timeframes.micros(timeframe), runs.micros(frame) - timeframes.offset(timeframe)
    on_grid = since // step * step == since  # NumPy divides by a constant several times faster than it finds the rest
    amounts = [frame.get_column(name) for name in _amounts(frame)]
    return bool(inside.all() and on_grid.all() and all(_plainly_fits(amount) for amount in amounts))


def _plainly_fits(amount: pl.Series) -> bool:
    nulls = amount.null_count()
    if nulls:
        return nulls == len(amount)
    values = amount.to_numpy()
    return bool(values.min() >= 0 and values.max() < _INFINITY)


def _amounts(frame: pl.DataFrame) -> tuple[str, ...]:
    return tuple(name for name in _AMOUNTS if name in frame.columns)


@cache
def _sane(amounts: tuple[str, ...]) -> pl.Expr:
    """True where prices and amounts are those of a candle; made once, since making it takes as long as asking it."""
    high, low = pl.col("high"), pl.col("low")
    tests = [high >= pl.col("open"), high >= pl.col("close"), low <= pl.col("open"), low <= pl.col("close")]
    positive = [((pl.col(n) >= 0) & (pl.col(n) < _INFINITY)).fill_null(value=True) for n in amounts]
    return reduce(and_, [*tests, low > 0, high < _INFINITY, *positive]).alias("sane")


def _on_grid(frame: pl.DataFrame) -> pl.Expr:
    """True where open_time is a multiple of its timeframe."""
    named = frame.get_column("timeframe")
    single = not frame.is_empty() and _is_one_value(named)
    micros = pl.col("open_time").dt.cast_time_unit("us").to_physical()
    test = pl.lit(False)
    for timeframe in [named[0]] if single else named.drop_nulls().unique().to_list():
        if timeframe not in timeframes.ALL:
            continue
        fits = (micros - timeframes.offset(timeframe)) % timeframes.micros(timeframe) == 0
        test = fits if single else pl.when(pl.col("timeframe") == timeframe).then(fits).otherwise(test)
    return test


def _is_one_value(named: pl.Series) -> bool:
    if len(named) <= _FEW:
        return len(set(named.to_list())) == 1 and named[0] is not None
    return named[0] is not None and is_one_value(named)


def _reasons(frame: pl.DataFrame, grid: pl.Expr) -> list[pl.Expr]:
    """For each rule its name where it is broken, null where it holds."""
    told: list[pl.Expr] = []
    for name in _PRICES:
        price = pl.col(name)
        told.append(_when(price.is_null(), f"{name} is missing"))
        told.append(_when(~price.is_finite(), f"{name} is not a finite number"))
        told.append(_when(price == 0, f"{name} is zero"))
        told.append(_when(price.is_finite() & (price < 0), f"{name} is negative"))
    told += [_when(pl.col("high") < pl.col(side), f"high is below {side}") for side in ("open", "close", "low")]
    told += [_when(pl.col("low") > pl.col(side), f"low is above {side}") for side in ("open", "close")]
    for name in _amounts(frame):
        amount = pl.col(name).cast(pl.Float64)
        told.append(_when(~amount.is_finite(), f"{name} is not a finite number"))
        told.append(_when(amount.is_finite() & (amount < 0), f"{name} is negative"))
    known = pl.col("timeframe").is_in(list(timeframes.ALL))
    told.append(_when(~known.fill_null(False), "timeframe is unknown"))
    told.append(_when(pl.col("open_time").is_null(), "open_time is missing"))
    return [*told, _when(known & ~grid, pl.format("open_time is off the {} grid", pl.col("timeframe")))]


def _when(broken: pl.Expr, reason: str | pl.Expr) -> pl.Expr:
    return pl.when(broken).then(pl.lit(reason) if isinstance(reason, str) else reason)
