"""What a candle must be, and what is missing or doubled in a series of them: frames in, frames out, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_

import numpy as np
import polars as pl

from lake.kernels import runs
from lake.kernels.resample import resample
from lake.spec import timeframes

__all__ = ["Deduped", "dedupe", "gaps", "resample", "violations"]

_PRICES = ("open", "high", "low", "close")
_AMOUNTS = ("volume", "quote_volume", "trade_count", "taker_buy_volume", "taker_buy_quote_volume")
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
    grid = _on_grid(frame)
    sane = frame.select(reduce(and_, [*_price_tests(), *_amount_tests(frame), grid]).alias("sane")).to_series()
    if sane.all(ignore_nulls=False):
        return pl.Series("reason", [None], dtype=pl.String).new_from_index(0, frame.height)
    wrong = (~sane.fill_null(False)).arg_true()
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


def _price_tests() -> list[pl.Expr]:
    high, low = pl.col("high"), pl.col("low")
    tests = [high >= pl.col("open"), high >= pl.col("close"), low <= pl.col("open"), low <= pl.col("close")]
    return [*tests, low > 0, high < _INFINITY]


def _amount_tests(frame: pl.DataFrame) -> list[pl.Expr]:
    present = [name for name in _AMOUNTS if name in frame.columns]
    return [((pl.col(n) >= 0) & (pl.col(n) < _INFINITY)).fill_null(True) for n in present]


def _on_grid(frame: pl.DataFrame) -> pl.Expr:
    """True where open_time is a multiple of its timeframe."""
    named = frame.get_column("timeframe")
    single = not frame.is_empty() and (named == named[0]).all(ignore_nulls=False)
    micros = pl.col("open_time").dt.cast_time_unit("us").to_physical()
    test = pl.lit(False)
    for timeframe in [named[0]] if single else named.drop_nulls().unique().to_list():
        if timeframe not in timeframes.ALL:
            continue
        fits = (micros - timeframes.offset(timeframe)) % timeframes.micros(timeframe) == 0
        test = fits if single else pl.when(pl.col("timeframe") == timeframe).then(fits).otherwise(test)
    return test


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
    for name in (n for n in _AMOUNTS if n in frame.columns):
        amount = pl.col(name).cast(pl.Float64)
        told.append(_when(~amount.is_finite(), f"{name} is not a finite number"))
        told.append(_when(amount.is_finite() & (amount < 0), f"{name} is negative"))
    known = pl.col("timeframe").is_in(list(timeframes.ALL))
    told.append(_when(~known.fill_null(False), "timeframe is unknown"))
    told.append(_when(pl.col("open_time").is_null(), "open_time is missing"))
    return [*told, _when(known & ~grid, pl.format("open_time is off the {} grid", pl.col("timeframe")))]


def _when(broken: pl.Expr, reason: str | pl.Expr) -> pl.Expr:
    return pl.when(broken).then(pl.lit(reason) if isinstance(reason, str) else reason)
