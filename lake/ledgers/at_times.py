"""Prices at given times, from the candles of a lake."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import polars as pl

from lake.clock import MICROS_PER_DAY
from lake.ledgers.candles import Candles
from lake.spec import timeframes
from lake.spec.times import from_micros
from lake.store.store import Store

_Strategy = Literal["forward", "backward"]
Held = dict[tuple[str, str], str]
Timeframes = dict[tuple[str, str], list[str]]
_SLICE = 7 * MICROS_PER_DAY  # candles are read for so much time at once
_ASKED = {"number": pl.Int64, "venue": pl.String, "symbol": pl.String, "timeframe": pl.String, "at": pl.Int64}
_FOUND = {"number": pl.Int64, "close": pl.Float64}


def finest(store: Store, symbols: Iterable[str]) -> Held:
    """(symbol, venue) -> the finest timeframe of which candles are held, for those of the symbols that are held."""
    return {series: names[0] for series, names in held(store, symbols).items()}


def held(store: Store, symbols: Iterable[str]) -> Timeframes:
    """(symbol, venue) -> the timeframes of which candles are held, finest first, for those of the symbols held."""
    wanted = set(symbols)
    if not wanted:
        return {}
    snapshot = store.snapshot(["candles"])
    found: dict[tuple[str, str], dict[str, None]] = {}
    hot = snapshot.hot["candles"].select("symbol", "venue", "timeframe").unique()
    for name in timeframes.ALL:
        files = [f for f in snapshot.states["candles"].files.values() if f.partition["timeframe"] == name]
        bounds = {"symbol": (min(wanted), max(wanted))}
        near = set(hot.filter(pl.col("timeframe") == name).select("symbol", "venue").iter_rows())
        for part in store.scanner.parts("candles", files, bounds, ["symbol", "venue"]):
            if part.series is not None:
                near.add(part.series)
            else:
                constants = [pl.lit(value).alias(column) for column, value in part.constants.items()]
                rows = store.scanner.read(part).with_columns(constants).select("symbol", "venue").unique()
                near.update(rows.iter_rows())
        for series in near:
            found.setdefault(series, {})[name] = None
    return {series: list(names) for series, names in found.items() if series[0] in wanted}


def asked(rows: Iterable[tuple[int, str, str, str, int]]) -> pl.DataFrame:
    """What is asked for: number, venue, symbol, timeframe and the time in microseconds."""
    return pl.DataFrame(list(rows), schema=_ASKED, orient="row")


def closes_after(candles: Candles, times: pl.DataFrame, now: int, gap: int) -> pl.DataFrame:
    """Number -> close of the first candle that closes at or after its time; without those that have none.

    Args:
        candles: the lake's.
        times: see :func:`asked`.
        now: only candles that closed by then.
        gap: so many candles may be missing before it.
    """
    return _closes(candles, times, now, gap, "forward")


def closes_before(candles: Candles, times: pl.DataFrame, now: int, gap: int) -> pl.DataFrame:
    """Number -> close of the last candle that closed at or before its time; see :func:`closes_after`."""
    return _closes(candles, times, now, gap, "backward")


def _closes(candles: Candles, times: pl.DataFrame, now: int, gap: int, strategy: _Strategy) -> pl.DataFrame:
    found = [pl.DataFrame(schema=_FOUND)]
    for timeframe, part in _slices(times):
        length = timeframes.micros(timeframe)
        reach = (gap + 2) * length
        moments = part["at"].to_list()
        low, high = max(0, min(moments) - reach), min(now, max(moments) + reach)
        if low >= high:
            continue
        names = part["symbol"].unique().to_list()
        columns = ("venue", "symbol", "open_time", "close")
        rows = candles.read(names, timeframe, from_micros(low), from_micros(high), columns)
        closed = rows.select(
            "venue", "symbol", "close", (pl.col("open_time").dt.timestamp("us") + length).alias("closed_at")
        ).filter(pl.col("closed_at") <= now)
        joined = part.sort("at").join_asof(
            closed.sort("closed_at"),
            left_on="at",
            right_on="closed_at",
            by=["venue", "symbol"],
            strategy=strategy,
            check_sortedness=False,
        )
        late = (pl.col("closed_at") - pl.col("at")).abs()
        found.append(joined.filter(late < (gap + 1) * length).select("number", "close"))
    return pl.concat(found)


def _slices(times: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """The times by timeframe and slice of time: what lies far apart is not read together."""
    parts = times.with_columns((pl.col("at") // _SLICE).alias("slice")).partition_by("timeframe", "slice", as_dict=True)
    for (timeframe, _), part in parts.items():
        yield str(timeframe), part
