"""Candles of local times without a zone in the hour that clocks have twice: where a series has it twice, it is both."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import polars as pl

_SERIES = ("venue", "symbol", "timeframe")
_AT, _PLACE, _PASS, _SECOND = "_at", "_place", "_pass", "_second"


def of_both_hours(candles: pl.DataFrame, twice: Mapping[datetime, datetime]) -> tuple[pl.DataFrame, int]:
    """Candles in the order of their source, of which the later of two equal hours are in the second; and how many are.

    An hour is there twice when one series has each of its times just twice, one pass directly behind the other, and
    they tell different stories. All else stays where it is: rows that are written again are no second hour.

    Args:
        candles: canonical, their local times taken for the first of two.
        twice: of times that come twice the first -> the second.
    """
    kind = candles.schema["open_time"]
    pairs = pl.DataFrame({"open_time": list(twice), _SECOND: list(twice.values())}, {"open_time": kind, _SECOND: kind})
    numbered = candles.with_row_index(_AT).with_columns(
        pl.int_range(pl.len()).over(_SERIES).alias(_PLACE),
        (pl.col("open_time").first() <= pl.col("open_time").last()).over(_SERIES).alias("_ascends"),
    )
    hours = numbered.join(pairs, on="open_time").sort(_AT)
    day = [*_SERIES, pl.col("open_time").dt.date()]
    hours = hours.with_columns(
        pl.len().over(*_SERIES, "open_time").alias("_times"),
        pl.int_range(pl.len()).over(*_SERIES, "open_time").alias(_PASS),
    )
    first, second = (pl.col(_PLACE).filter(pl.col(_PASS) == number) for number in (0, 1))
    is_both = (
        (pl.col("_times") == 2).all()
        & (first.max() < second.min())
        & (pl.col(_PLACE).max() - pl.col(_PLACE).min() + 1 == pl.len())
    )
    values = [name for name in candles.columns if name not in {*_SERIES, "open_time"}]
    is_other = pl.any_horizontal(pl.col(name).n_unique().over(*_SERIES, "open_time") > 1 for name in values)
    hours = hours.with_columns(is_other.alias("_is_other"))
    is_later = pl.when("_ascends").then(pl.col(_PASS) == 1).otherwise(pl.col(_PASS) == 0)
    moved = hours.filter(is_both.over(day) & pl.col("_is_other").any().over(day) & is_later).select(_AT, _SECOND)
    if moved.is_empty():
        return candles, 0
    joined = candles.with_row_index(_AT).join(moved, on=_AT, how="left", maintain_order="left")
    placed = joined.with_columns(pl.coalesce(_SECOND, "open_time").alias("open_time")).select(candles.columns)
    return placed, moved.height
