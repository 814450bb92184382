"""Candles and prices, as callers give them or as the lake holds them, made bars for phantoms to be followed along."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lake.clock import MICROS_PER_MINUTE, now_micros
from lake.errors import UsageError
from lake.kernels import phantom as kernel
from lake.kernels.phantom import Bar
from lake.ledgers import at_times
from lake.ledgers.candles import Candles
from lake.ledgers.writer import Writer
from lake.spec import symbols, timeframes
from lake.spec.numbers import finite
from lake.spec.times import from_micros, to_micros
from lake.store.hot.entry import Row

_PRICES = ("open", "high", "low", "close")
_AHEAD = MICROS_PER_MINUTE  # so far the clocks of an exchange and of this host may differ


def bar_of(given: Any, at: Any, timeframe: str | None) -> Bar:
    """A candle as a mapping, or a price, as a bar; see ``Phantoms.update``.

    Raises:
        UsageError: a candle without times, or prices that no candle has.
        InvalidTimeError: a naive time, or none.
    """
    if not isinstance(given, Mapping):
        return kernel.price_bar(now_micros() if at is None else to_micros(at, where="at"), _price("price", given))
    began = given.get("open_time") if given.get("open_time") is not None else at
    if began is None:
        raise UsageError("a candle has an open_time", value=dict(given), todo="Give its open_time, or at=.")
    start = to_micros(began, where="open_time")
    opened, high, low, closed = (_price(name, given.get(name)) for name in _PRICES)
    if not low <= min(opened, closed) <= max(opened, closed) <= high:
        raise UsageError("prices that no candle has: open and close lie between low and high", value=dict(given))
    return Bar(start, _close_time(given, start, timeframe), opened, high, low, closed)


def news_of(given: Any, at: Any, timeframe: str | None) -> Bar:
    """:func:`bar_of` something that has happened: what comes after it is news only from its end on.

    Raises:
        UsageError: it is of the future, or as :func:`bar_of` says.
        InvalidTimeError: a naive time, or none.
    """
    bar, now = bar_of(given, at, timeframe), now_micros()
    if bar.close_time > now + _AHEAD:
        closes = isinstance(given, Mapping)
        raise UsageError(
            "the candle has not closed yet" if closes else "a price of the future",
            where="close_time" if closes else "at",
            value=from_micros(bar.close_time),
            todo=f"It is {from_micros(now)} by this host's clock: give it when its time has come.",
        )
    return bar


def _close_time(given: Mapping[str, Any], start: int, timeframe: str | None) -> int:
    name = given.get("timeframe") or timeframe
    if name is not None:
        return start + timeframes.micros(timeframes.parse(name))
    if given.get("close_time") is None:
        raise UsageError("how long is the candle?", value=dict(given), todo="Give its timeframe or close_time.")
    end = to_micros(given["close_time"], where="close_time")
    if end < start:
        raise UsageError("a candle closes after its open", where="close_time", value=given["close_time"])
    return end


def _price(name: str, value: Any) -> float:
    found = finite(value)
    if found is None or found <= 0:
        raise UsageError("a price is a finite number above 0", where=name, value=value)
    return found


def rounds(rows: Sequence[Mapping[str, Any]], timeframe: str | None) -> Iterator[dict[str, Bar]]:
    """Candles of many symbols as rounds of one candle a symbol, each symbol's in order of time.

    Raises:
        UsageError: a candle without symbol or times, or prices that no candle has.
    """
    by_symbol: dict[str, list[Bar]] = {}
    for row in rows:
        if row.get("symbol") is None:
            raise UsageError("a candle of a frame has a symbol", value=dict(row))
        by_symbol.setdefault(symbols.canonical(row["symbol"]), []).append(news_of(row, None, timeframe))
    for found in by_symbol.values():
        found.sort()
    for number in range(max(map(len, by_symbol.values()), default=0)):
        yield {symbol: found[number] for symbol, found in by_symbol.items() if number < len(found)}


def series_of(writer: Writer, rows: Sequence[Row], now: Any) -> Iterator[tuple[Row, NDArray[Any], int]]:
    """Each phantom with the lake's bars of its symbol since it was looked at, and their length in microseconds.

    One that was looked at until ``now``, or begins later, is left out.
    """
    moment = now_micros() if now is None else to_micros(now, where="now")
    rows = [row for row in rows if kernel.looked_until(row) < moment]
    held = at_times.finest(writer.store, {row["symbol"] for row in rows})
    venues: dict[str, list[str]] = {}
    for symbol, venue in held:
        venues.setdefault(symbol, []).append(venue)
    wanted: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        name = (row["symbol"], row["venue"])
        if name not in held and not row["venue"] and len(venues.get(row["symbol"], ())) == 1:
            name = (row["symbol"], venues[row["symbol"]][0])
        if name in held:
            wanted.setdefault(name, []).append(row)
    for (symbol, venue), near in wanted.items():
        length = timeframes.micros(held[symbol, venue])
        start = min(kernel.looked_until(row) for row in near)
        frame = Candles(writer).read(
            symbol, held[symbol, venue], start, moment, columns=("open_time", *_PRICES), venue=venue
        )
        series = _bars(frame, length, moment)
        yield from ((row, series, length) for row in near)


def _bars(frame: pl.DataFrame, length: int, now: int) -> NDArray[Any]:
    series = np.empty(frame.height, kernel.BARS)
    series["open_time"] = frame["open_time"].dt.timestamp("us").to_numpy()
    series["close_time"] = series["open_time"] + length
    for name in _PRICES:
        series[name] = frame[name].to_numpy()
    return series[series["close_time"] <= now]


def walk(row: Row, series: NDArray[Any], length: int) -> dict[str, Any]:
    """What a whole series of bars changes of a phantom; it ends as unknown when a gap hides its end.

    Args:
        row: the phantom.
        series: bars in order of time.
        length: of each, in microseconds.
    """
    if not kernel.can_be_followed(row):
        return {}
    news = series[np.searchsorted(series["open_time"], kernel.looked_until(row)) :]
    if not len(news):
        return {}
    before = np.concatenate([[kernel.looked_until(row) + length - 1], news["close_time"][:-1]])
    late = np.flatnonzero(news["open_time"] > before)
    seen = news[: late[0]] if len(late) else news
    changes = kernel.advance_all(row, seen)
    if "status" in changes or not len(late) or news["close_time"][-1] < row.get("timeout_at", kernel.NEVER):
        return changes
    return {
        **changes,
        **kernel.begun({**row, **changes}),
        "status": "completed",
        "outcome": "unknown",
        "exit_reason": "gap",
    }


def day_given(value: Any) -> date:
    """A day, given as a date or YYYY-MM-DD.

    Raises:
        UsageError: neither.
    """
    try:
        return value if type(value) is date else date.fromisoformat(value)
    except (TypeError, ValueError):
        raise UsageError("a day is a date or YYYY-MM-DD", where="day", value=value) from None
