"""Candles as tables, checked and cut into the series that events are followed along."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from lake.errors import InvalidRowError, InvalidTimeError, UsageError
from lake.kernels import runs
from lake.kernels.barrier_bars import bars_of
from lake.kernels.barrier_types import Bars
from lake.spec import symbols, timeframes
from lake.spec.tables import as_polars

Name = tuple[str, str]  # venue, symbol
_PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class Market:
    """Candles of one timeframe.

    Attributes:
        step: length of a candle in microseconds.
        frame: symbol, open_time and prices, and venue where it is known, in order.
        places: (venue, symbol) -> its first row and the row after its last; the venue is "" where the frame has none.
    """

    step: int
    frame: pl.DataFrame
    places: Mapping[Name, tuple[int, int]]

    @property
    def has_venues(self) -> bool:
        """Whether candles are told apart by venue."""
        return "venue" in self.frame.columns

    @cached_property
    def venues(self) -> Mapping[str, list[str]]:
        """Symbol -> its venues."""
        found: dict[str, list[str]] = {}
        for venue, symbol in self.places:
            found.setdefault(symbol, []).append(venue)
        return found

    def name_of(self, venue: str, symbol: str) -> Name:
        """The series of an event: of its venue; without a venue that without one, else that of the only venue."""
        if not self.has_venues:
            return "", symbol
        held = self.venues.get(symbol, [])
        return (held[0], symbol) if not venue and len(held) == 1 else (venue, symbol)

    def bars(self, name: Name) -> Bars | None:
        """The candles of a series as the kernel reads them; None when there are none."""
        place = self.places.get(name if self.has_venues else ("", name[1]))
        if place is None:
            return None
        part = self.frame.slice(place[0], place[1] - place[0])
        opened, high, low, close = (part[price].to_numpy() for price in _PRICES)
        return bars_of(runs.micros(part), (opened, high, low, close), self.step)


def market_of(candles: Any, where: str = "candles", timeframe: str | None = None) -> Market:
    """Candles of one timeframe; see :func:`lake.learn.labels.label_events`.

    Raises:
        UsageError: a column is missing, timeframes are mixed, or a candle is there twice or closer to the one before
            it than its length.
        InvalidTimeError: naive times.
        InvalidRowError: prices that no candle has.
    """
    frame = _columns(as_polars(candles), where)
    series = runs.series_columns(frame)
    times = runs.micros(frame)
    heads = runs.starts(frame, series)
    if not runs.in_order(frame, series, heads, times):
        frame = frame.sort([*series, "open_time"])
        times, heads = runs.micros(frame), runs.starts(frame, series)
    spacing = np.diff(times)
    spacing[heads[1:] - 1] = np.iinfo(np.int64).max
    step = _step(frame, spacing, where, timeframe)
    if len(spacing) and spacing.min() < max(step, 1):
        row = frame.row(int(spacing.argmin()) + 1, named=True)
        raise UsageError(
            "a candle is there twice, or begins before the one before it ends",
            where=f"{where}, {row['symbol']}",
            value=row["open_time"],
            todo="Give candles of one timeframe, each once, and where many are missing the column `timeframe`.",
        )
    _check_prices(frame, where)
    venues = frame["venue"] if "venue" in frame.columns else None
    ends = np.append(heads, frame.height)[1:]
    names = [("" if venues is None else venues[int(head)], frame["symbol"][int(head)]) for head in heads]
    places = {name: (int(head), int(end)) for name, head, end in zip(names, heads, ends, strict=True)}
    return Market(step, frame.drop("timeframe", strict=False), places)


def finer_markets(finer: Any, base: Market) -> list[Market]:
    """The finer timeframes, coarsest first.

    Args:
        finer: a table, several, or {timeframe: table}; None for none. A table may hold several timeframes.
        base: the candles that events are followed on.

    Raises:
        UsageError: one is not finer, or there twice.
    """
    markets = [market_of(frame, "finer", timeframe) for frame, timeframe in _each(finer)]
    for market in markets:
        if market.step >= base.step and market.frame.height and base.frame.height:
            raise UsageError("candles that are not finer", where="finer", value=f"{market.step / 1e6:g} s")
    markets = [market for market in markets if market.frame.height]
    steps = [market.step for market in markets]
    if len(set(steps)) < len(steps):
        raise UsageError("a finer timeframe is there twice", where="finer", value=[f"{s / 1e6:g} s" for s in steps])
    return sorted(markets, key=lambda market: -market.step)


def _each(finer: Any) -> Iterator[tuple[pl.DataFrame, str | None]]:
    if finer is None:
        return
    if isinstance(finer, Mapping):
        yield from ((as_polars(frame), str(name)) for name, frame in finer.items())
        return
    for given in finer if isinstance(finer, Sequence) else [finer]:
        frame = as_polars(given)
        parts = frame.partition_by("timeframe") if "timeframe" in frame.columns and frame.height else [frame]
        yield from ((part, None) for part in parts)


def _columns(frame: pl.DataFrame, where: str) -> pl.DataFrame:
    for name in ("symbol", "open_time", *_PRICES):
        if name not in frame.columns:
            raise UsageError("a column is missing", where=where, value=name)
    wanted = [name for name in ("venue", "symbol", "timeframe", "open_time", *_PRICES) if name in frame.columns]
    found = frame.select(wanted).with_columns(
        moments(frame["open_time"], f"{where}.open_time"),
        canonical(frame["symbol"]),
        *(pl.col(name).cast(pl.Float64) for name in _PRICES),
    )
    return found.with_columns(pl.col("venue").fill_null("")) if "venue" in wanted else found


def moments(times: pl.Series, where: str) -> pl.Series:
    """A column of times in microseconds, UTC.

    Raises:
        InvalidTimeError: naive, or no times.
    """
    kind = times.dtype
    if isinstance(kind, pl.Null):
        return times.cast(pl.Datetime("us", "UTC"))
    if not isinstance(kind, pl.Datetime) or kind.time_zone is None:
        what = "a naive time could mean any zone" if isinstance(kind, pl.Datetime) else "not a time"
        raise InvalidTimeError(what, where=where, value=str(kind), todo="Give a Datetime column with a time zone.")
    return times.dt.cast_time_unit("us").dt.convert_time_zone("UTC")


def canonical(given: pl.Series) -> pl.Series:
    """Symbols in the lake's spelling."""
    names = given.cast(pl.String)
    spelled = {name: symbols.canonical(name) for name in names.unique().drop_nulls()}
    changed = {name: known for name, known in spelled.items() if name != known}
    return names.replace(changed) if changed else names


def _step(frame: pl.DataFrame, spacing: Any, where: str, timeframe: str | None) -> int:
    if "timeframe" in frame.columns and frame.height:
        named = frame["timeframe"].unique().to_list()
        if len(named) > 1:
            raise UsageError("candles of several timeframes", where=where, value=named, todo="Give one as candles.")
        return timeframes.micros(named[0])
    if timeframe is not None:
        return timeframes.micros(timeframe)
    if frame.is_empty():
        return timeframes.micros("1m")
    told = spacing[spacing < np.iinfo(np.int64).max]
    if not len(told):
        raise UsageError("how long is a candle?", where=where, todo="Add the column `timeframe`.")
    return _most_frequent(told)


def _most_frequent(spacing: runs.Integers) -> int:
    """Of several that are as frequent the least."""
    least = spacing.min()
    if 2 * np.count_nonzero(spacing == least) > len(spacing):  # as ever; sorting all of them takes far longer
        return int(least)
    values, counts = np.unique(spacing, return_counts=True)
    return int(values[counts.argmax()])


def _check_prices(frame: pl.DataFrame, where: str) -> None:
    low, high = pl.col("low"), pl.col("high")
    sane = (low > 0) & (high < float("inf"))
    for name in ("open", "close"):
        sane &= (low <= pl.col(name)) & (pl.col(name) <= high)
    wrong = frame.select((~sane.fill_null(value=False)).alias("wrong"))["wrong"].arg_true()
    if len(wrong):
        row = frame.row(int(wrong[0]), named=True)
        raise InvalidRowError(
            "prices that no candle has: open and close lie between low and high, all above 0",
            where=f"{where}, {row['symbol']} {row['open_time'].isoformat()}",
            value={name: row[name] for name in _PRICES},
        )
