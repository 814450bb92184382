"""Candles of a source beside those of the lake: what is new, what fills them in, and what tells them otherwise.

The lake's candle is kept, and gets what it did not know from one that contradicts it in nothing. One that goes further
than the lake's, which was stored while its time was not over, takes its place: a bar only ever grows. So of sources
that contradict each other none has the last word, however often they are imported.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from lake.spec import registry

KEY = ["venue", "symbol", "timeframe", "open_time"]
_VALUES = [name for name in registry.get("candles").by_name if name not in KEY]
_AS_NEAR = 1e-9  # of each other are values that decimals and floats cannot tell apart
_THERE = "_there"


@dataclass(frozen=True, slots=True)
class MergedCandles:
    """What candles of a source are beside those of the lake.

    Attributes:
        new: those whose time the lake does not have.
        changed: the lake's candles, as they become.
        unchanged: how many stay as they are.
        otherwise: one row for each value that is told otherwise: the key, ``column``, and what is kept and found.
    """

    new: pl.DataFrame
    changed: pl.DataFrame
    unchanged: int
    otherwise: pl.DataFrame


def merged_candles(good: pl.DataFrame, there: pl.DataFrame) -> MergedCandles:
    """Compare candles of a source with the lake's.

    Args:
        good: canonical candles, one of each key.
        there: the lake's of those keys, and any others.
    """
    absent = [pl.lit(None, dtype=there.schema[name]).alias(name) for name in _VALUES if name not in good.columns]
    told, held = good.with_columns(absent), there.select([*KEY, *_VALUES]).cast({"open_time": good.schema["open_time"]})
    pairs = told.join(held, on=KEY, how="inner", suffix=_THERE)
    is_other = [pl.col(name).is_not_null() & pl.col(name).ne_missing(_held(name)) for name in _VALUES]
    both = pairs.filter(pl.any_horizontal(is_other))  # of a second run nothing is left
    both = both.with_columns(_otherwise(name).alias(f"{name}_otherwise") for name in _VALUES)
    is_otherwise = pl.any_horizontal(map(_told, _VALUES))
    both = both.with_columns(_is_grown().alias("is_grown"), is_otherwise.alias("is_otherwise"))
    become = [pl.when("is_grown").then(pl.col(name)).otherwise(_filled(name)).alias(name) for name in _VALUES]
    done = both.with_columns(become)
    is_changed = pl.any_horizontal(pl.col(name).ne_missing(_held(name)) for name in _VALUES)
    changed = done.filter(is_changed).select([*KEY, *_VALUES])
    new = good.join(held, on=KEY, how="anti")
    return MergedCandles(new, changed, pairs.height - changed.height, _told_otherwise(both))


def _held(name: str) -> pl.Expr:
    return pl.col(f"{name}{_THERE}")


def _told(name: str) -> pl.Expr:
    return pl.col(f"{name}_otherwise")


def _otherwise(name: str) -> pl.Expr:
    """Whether both know the value, and tell it otherwise."""
    ours, apart = _held(name), (pl.col(name) - _held(name)).abs()
    return (apart > _AS_NEAR * pl.max_horizontal(pl.col(name).abs(), ours.abs())).fill_null(value=False)


def _is_grown() -> pl.Expr:
    """Whether it is the same bar at a later moment: it knows all that the lake knows, and nothing has become less."""
    knows = [pl.col(name).is_not_null() | _held(name).is_null() for name in _VALUES]
    more = [pl.col(name) >= _held(name) for name in _VALUES if name not in {"open", "low", "close"}]
    less = [~_told("open"), pl.col("low") <= _held("low"), pl.col("volume") > _held("volume")]
    return pl.all_horizontal(*knows, *(grown.fill_null(value=True) for grown in more), *less).fill_null(value=False)


def _filled(name: str) -> pl.Expr:
    return pl.when("is_otherwise").then(_held(name)).otherwise(pl.coalesce(_held(name), pl.col(name)))


def _told_otherwise(both: pl.DataFrame) -> pl.DataFrame:
    """The values that differ, those of one candle together."""
    some = both.filter("is_otherwise").with_row_index("place")
    parts = [
        some.filter(_told(name)).select(
            "place", *KEY, pl.lit(name).alias("column"),
            pl.when("is_grown").then(pl.col(name)).otherwise(_held(name)).cast(pl.Float64).alias("kept"),
            pl.when("is_grown").then(_held(name)).otherwise(pl.col(name)).cast(pl.Float64).alias("found"),
        )
        for name in _VALUES
    ]  # fmt: skip
    return pl.concat(parts).sort("place", maintain_order=True).drop("place")
