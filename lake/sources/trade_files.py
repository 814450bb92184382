"""Files of public trades: freqtrade (feather, parquet, json), ccxt objects, Kraken CSV, CSV with a header."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from lake.errors import SourceError
from lake.sources import csvs, frames, jsons
from lake.sources.base import Batch, CandleFiles, Options
from lake.sources.columns import NEEDED_TICKS, TICK_NAMES, require, translate
from lake.sources.freqtrade import pair
from lake.sources.naming import About, about, guess, need, venue_of
from lake.sources.opening import head, stem
from lake.sources.shape import candle_batch, tick_batch
from lake.spec import symbols

_ROW = ("time", "trade_id", "type", "side", "price", "quantity", "quote_quantity")
_NAME = re.compile(r"^(?P<pair>[A-Za-z0-9]+(?:_[A-Za-z0-9]+){1,2})-trades$")
_CCXT_KEYS = {"timestamp", "price", "amount"}
_KRAKEN = ("time", "price", "quantity")
_KRAKEN_CANDLE = ("open_time", "open", "high", "low", "close", "volume", "trade_count")
_KRAKEN_NAME = re.compile(r"^(?:kraken[_-])?(?P<pair>[A-Z0-9]{5,12})_(?P<minutes>\d{1,5})$")
_KRAKEN_NAMES = {"XBT": "BTC", "XDG": "DOGE"}


def guess_pair(path: Path) -> str:
    """The symbol that the file name says, or ``""``."""
    found = _NAME.match(stem(path))
    return pair(found["pair"]) if found else guess(path)[0]


def known_of(path: Path, options: Options, said: str = "") -> About:
    """Symbol and venue of a trades file; what its rows say comes before its name."""
    symbol = options.symbol or said or guess_pair(path)
    symbol = symbols.canonical(need(symbol, "symbol", path))
    return about(path, options, symbol=symbol, timeframe="", venue=venue_of(path), tz="UTC")


class _TradeFiles:
    """Base of sources that hold trades."""

    name = ""

    def series(self, path: Path, options: Options) -> str | None:
        """Source, venue and the symbol that the name says; files whose rows say another are folded on their own."""
        known = known_of(path, options, "-")
        return f"{self.name} {known.venue} {guess_pair(path)}"


class FreqtradeTrades(_TradeFiles):
    """``XRP_ETH-trades.feather`` and its kin (also arrays of seven values a trade); times are ms UTC."""

    name = "freqtrade-trades"

    def matches(self, path: Path, head: bytes) -> bool:
        """A table of timestamp, price and amount, or an array of trade rows."""
        if frames.kind_of(head) in ("feather", "parquet"):
            return {"timestamp", "price", "amount"} <= set(frames.columns(path, head))
        row = jsons.first_array(head)
        return len(row) == len(_ROW) and (row[3] in ("buy", "sell") or _NAME.match(stem(path)) is not None)

    def read(self, path: Path, options: Options) -> Iterator[Batch]:
        """Trades.

        Raises:
            SourceError: damaged, or the name says no pair and none is given.
        """
        known, first = known_of(path, options), head(path)
        if frames.kind_of(first):
            for frame in frames.slices(path, first):
                yield tick_batch(_renamed(frame, path), known)
            return
        for rows in jsons.rows(path):
            wrong = next((row for row in rows if not isinstance(row, list) or len(row) != len(_ROW)), None)
            if wrong is not None:
                raise SourceError(
                    "a trade is not [time, id, type, side, price, amount, cost]", where=str(path), value=wrong
                )
            columns = {name: [_text(row[place]) for row in rows] for place, name in enumerate(_ROW)}
            yield tick_batch(_sided(pl.DataFrame(columns, schema=dict.fromkeys(_ROW, pl.String))), known)


class CcxtTrades(_TradeFiles):
    """Arrays of trade objects as ccxt's ``fetch_trades`` returns them; times are ms UTC."""

    name = "ccxt-trades"

    def matches(self, _path: Path, head: bytes) -> bool:
        """An array of objects with timestamp, price and amount."""
        return head.lstrip()[:1] == b"[" and jsons.first_object(head) >= _CCXT_KEYS

    def read(self, path: Path, options: Options) -> Iterator[Batch]:
        """Trades.

        Raises:
            SourceError: damaged, or no symbol in the file, its name or the options.
        """
        for rows in jsons.rows(path):
            wrong = next((row for row in rows if not isinstance(row, dict)), None)
            if wrong is not None:
                raise SourceError("a trade is no object", where=str(path), value=wrong)
            said = str(rows[0].get("symbol") or "") if rows else ""
            yield tick_batch(_objects(rows, path), known_of(path, options, said))


class KrakenTrades(_TradeFiles):
    """Kraken's historical trades: unix seconds, price, amount, without header and without ids; UTC."""

    name = "kraken"

    def matches(self, _path: Path, head: bytes) -> bool:
        """Three numeric columns, the first a time in seconds."""
        row = csvs.first_row(head)
        return len(row) == len(_KRAKEN) and csvs.looks_like_data(row) and _numbers(row) and 1e9 < float(row[0]) < 1e10

    def read(self, path: Path, options: Options) -> Iterator[Batch]:
        """Trades; two equal rows are two trades.

        Raises:
            SourceError: damaged, or the name says no pair and none is given.
        """
        symbol = symbols.canonical(options.symbol or _kraken_pair(stem(path)))
        known = about(path, options, symbol=symbol, timeframe="", venue="kraken", tz="UTC")
        layout = csvs.Layout(_KRAKEN, csvs.separator_of(csvs.first_line(head(path))), header=False)
        for frame in csvs.frames(path, layout):
            yield tick_batch(frame, known)


class KrakenCandles(CandleFiles):
    """Kraken's historical candles, ``XBTUSD_60.csv`` (60 minutes): unix seconds, o, h, l, c, volume, trades."""

    name = "kraken-candles"

    def matches(self, path: Path, head: bytes) -> bool:
        """Seven numeric columns, the first a time in seconds, and a name that ends in minutes."""
        row = csvs.first_row(head)
        shaped = len(row) == len(_KRAKEN_CANDLE) and _numbers(row) and 1e9 < float(row[0]) < 1e10
        return shaped and _KRAKEN_NAME.match(stem(path)) is not None

    def read(self, path: Path, options: Options) -> Iterator[Batch]:
        """Candles.

        Raises:
            SourceError: damaged, or the name says no pair or minutes and none are given.
        """
        found = _KRAKEN_NAME.match(stem(path))
        symbol = symbols.canonical(need(options.symbol or (found and _kraken_pair(found["pair"])), "symbol", path))
        frame = need(options.timeframe or (found and found["minutes"]), "timeframe", path)
        known = about(path, options, symbol=symbol, timeframe=frame, venue="kraken", tz="UTC")
        for rows in csvs.frames(path, csvs.Layout(_KRAKEN_CANDLE, header=False)):
            yield candle_batch(rows, known)


class TradesCsv(_TradeFiles):
    """Any CSV whose header names time, price and amount, but no candle columns; naive times need ``tz``."""

    name = "trades-csv"

    def matches(self, _path: Path, head: bytes) -> bool:
        """The header has what a trade needs and is no candle's."""
        header = csvs.first_row(head)
        if csvs.looks_like_data(header) or head[:1] in b"[{" or b"\0" in head:
            return False
        found = set(translate(header, TICK_NAMES).values())
        return set(NEEDED_TICKS) <= found and not {"open", "high", "low"} & {c.lower() for c in header}

    def read(self, path: Path, options: Options) -> Iterator[Batch]:
        """Trades.

        Raises:
            SourceError: damaged, or no symbol in the file, its name or the options.
        """
        line = csvs.first_line(head(path))
        header = csvs.unique(csvs.cells(line, csvs.separator_of(line)))
        names = translate(header, TICK_NAMES, options.columns)
        require(names.values(), NEEDED_TICKS, path, header)
        said = "" if "symbol" not in names.values() else "-"
        known = known_of(path, options, said)
        for frame in csvs.frames(path, csvs.Layout(tuple(header), csvs.separator_of(line))):
            raw = csvs.named(frame, names)
            yield tick_batch(_sided(raw.drop("symbol", strict=False) if options.symbol else raw), known)


def _kraken_pair(text: str) -> str:
    """Kraken's name of a pair with the coins called as elsewhere."""
    name = re.sub(r"^kraken[_-]", "", text, flags=re.IGNORECASE)
    for theirs, ours in _KRAKEN_NAMES.items():
        name = re.sub(rf"^{theirs}|{theirs}$", ours, name)
    return name


def _numbers(row: list[str]) -> bool:
    try:
        return all(float(cell) >= 0 for cell in row)
    except ValueError:
        return False


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _renamed(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    names = translate(frame.columns, TICK_NAMES)
    require(names.values(), NEEDED_TICKS, path, frame.columns)
    return _sided(frame.select(list(names)).rename(names))


def _objects(rows: list[dict[str, Any]], path: Path) -> pl.DataFrame:
    header = list(dict.fromkeys(key for row in rows[:100] for key in row))
    names = translate(header, TICK_NAMES)
    require(names.values(), NEEDED_TICKS, path, header)
    columns = {ours: [_text(row.get(theirs)) for row in rows] for theirs, ours in names.items()}
    return _sided(pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String)))


def _sided(raw: pl.DataFrame) -> pl.DataFrame:
    """``taker_buys`` from the column that tells the side, and ``trades`` that an aggregate stands for."""
    new: dict[str, pl.Expr] = {}
    if "side" in raw.columns:
        side = pl.col("side").cast(pl.String).str.to_lowercase()
        new["taker_buys"] = pl.when(side.is_in(["buy", "b"])).then(True).when(side.is_in(["sell", "s"])).then(False)
    elif "buyer_is_maker" in raw.columns:
        maker = pl.col("buyer_is_maker").cast(pl.String).str.to_lowercase()
        new["taker_buys"] = pl.when(maker.is_in(["true", "1"])).then(False).when(maker.is_in(["false", "0"])).then(True)
    if {"first_id", "last_id"} <= set(raw.columns):
        first, last = (pl.col(c).cast(pl.Int64, strict=False) for c in ("first_id", "last_id"))
        new["trades"] = (last - first + 1).fill_null(1)
    return raw.with_columns(**new)
