"""JSON candles of several makers: Bittrex objects of old freqtrade, ccxt, Bybit caches, Alpha Vantage."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from lake.errors import SourceError
from lake.sources import jsons
from lake.sources.base import BATCH_ROWS, Batch, CandleFiles, Options
from lake.sources.columns import CANDLE_NAMES, NEEDED, require, translate
from lake.sources.freqtrade import row_frame
from lake.sources.naming import about, guess, need, venue_of
from lake.sources.opening import head, stem
from lake.sources.shape import candle_batch
from lake.spec import symbols

_BITTREX_NAME = re.compile(r"^(?P<quote>[A-Z0-9]+)_(?P<base>[A-Z0-9]+)-(?P<minutes>\d+)(?P<unit>[mhd]?)$")
_BITTREX_KEYS = {"O", "H", "L", "C", "V", "T"}
_ROW_KEYS = ("ohlcv", "data", "rows", "candles", "klines", "list", "result")
_VANTAGE_KEY = re.compile(r"^Time Series(?: Crypto)? \((?:Digital Currency )?(?P<interval>[^)]+)\)$")
_VANTAGE_INTERVALS = {"daily": "1d", "weekly": "1w", "monthly": "1M"}
_VANTAGE_FIELD = re.compile(r"^\d+[a-z]?\. (open|high|low|close|volume)(?: \([A-Z]+\))?$")


def object_frame(rows: list[Any], path: Path) -> pl.DataFrame:
    """Rows given as objects, in the lake's column names.

    Raises:
        SourceError: a needed column is in no row, or a row is no object.
    """
    wrong = next((row for row in rows if not isinstance(row, dict)), None)
    if wrong is not None:
        raise SourceError("the rows are not all of one kind", where=str(path), value=wrong)
    header = list(dict.fromkeys(key for row in rows[:100] for key in row))
    names = translate(header, CANDLE_NAMES)
    require(names.values(), NEEDED, path, header)
    texts = {
        ours: [None if row.get(theirs) is None else str(row[theirs]) for row in rows] for theirs, ours in names.items()
    }
    return pl.DataFrame(texts, schema=dict.fromkeys(texts, pl.String))


class Bittrex(CandleFiles):
    """Old freqtrade downloads: objects O, H, L, C, V, T, BV; ``BTC_ETH-5`` is ETH priced in BTC, five minutes; UTC."""

    name = "bittrex"

    def matches(self, _path: Path, head: bytes) -> bool:
        """An array of objects with Bittrex's one-letter keys."""
        return head.lstrip()[:1] == b"[" and jsons.first_object(head) >= _BITTREX_KEYS

    def read(self, path: Path, options: Options) -> Iterator[Batch]:
        """Candles.

        Raises:
            SourceError: damaged, or the name says no pair and none is given.
        """
        found = _BITTREX_NAME.match(stem(path))
        pair = f"{found['base']}/{found['quote']}" if found else options.symbol
        minutes = f"{found['minutes']}{found['unit'] or 'm'}" if found else options.timeframe
        frame = need(options.timeframe or minutes, "timeframe", path)
        symbol = symbols.canonical(need(options.symbol or pair, "symbol", path))
        known = about(path, options, symbol=symbol, timeframe=frame, venue="bittrex", tz="UTC")
        for rows in jsons.rows(path):
            yield candle_batch(object_frame(rows, path), known)


class Ccxt(CandleFiles):
    """Arrays as ccxt's ``fetch_ohlcv`` returns them, bare or under ``{symbol, timeframe, ohlcv}``; Bybit caches."""

    name = "ccxt"

    def matches(self, _path: Path, head: bytes) -> bool:
        """Rows that start with a time and four prices, or an object that holds them."""
        row = jsons.first_array(head)
        if row:
            return len(row) in (5, 6, 7, 11, 12) and _time_first(row)
        keys = jsons.first_object(head)
        if head.lstrip()[:1] == b"[":
            return {"open", "high", "low", "close"} <= {k.lower() for k in keys} and not keys >= _BITTREX_KEYS
        return ("symbol" in keys and bool(keys & set(_ROW_KEYS))) or {"start_ms", "end_ms", "rows"} <= keys

    def read(self, path: Path, options: Options) -> Iterator[Batch]:
        """Candles; symbol and timeframe from the file, else from its name, else from the options.

        Raises:
            SourceError: damaged, of another shape, or symbol or timeframe are nowhere said.
        """
        wrapped = head(path).lstrip()[:1] == b"{"
        said = _unwrapped(jsons.load(path), path) if wrapped else _Said("", "", "", iter(jsons.rows(path)))
        guessed = guess(path)
        symbol = symbols.canonical(need(options.symbol or said.symbol or guessed[0], "symbol", path))
        frame = need(options.timeframe or said.timeframe or guessed[1], "timeframe", path)
        known = about(path, options, symbol=symbol, timeframe=frame, venue=said.venue or venue_of(path), tz="UTC")
        for rows in said.rows:
            yield candle_batch(_rows_frame(rows, path), known)


class _Said:
    """What a wrapping object says of its rows."""

    def __init__(self, symbol: str, timeframe: str, venue: str, rows: Iterator[list[Any]]) -> None:
        self.symbol, self.timeframe, self.venue, self.rows = symbol, timeframe, venue, rows


def _unwrapped(document: Any, path: Path) -> _Said:
    if not isinstance(document, dict):
        raise SourceError("the JSON holds neither rows nor an object with rows", where=str(path))
    key = next((k for k in _ROW_KEYS if isinstance(document.get(k), list)), None)
    if key is None:
        raise SourceError("the JSON object holds no list of rows", where=str(path), value=list(document)[:10])
    rows = document[key]
    interval = str(document.get("timeframe") or document.get("interval") or "")
    symbol = str(document.get("symbol") or document.get("pair") or "")
    if {"start_ms", "end_ms"} <= set(document) or "category" in document:
        venue = "bybit"
    else:
        venue = str(document.get("exchange") or document.get("venue") or "")
    if document.get("category") in ("linear", "inverse"):
        symbol = f"{symbols.canonical(symbol)}.P"
    return _Said(
        symbol, interval, venue.lower(), iter(rows[i : i + BATCH_ROWS] for i in range(0, len(rows), BATCH_ROWS))
    )


def _rows_frame(rows: list[Any], path: Path) -> pl.DataFrame:
    if rows and isinstance(rows[0], dict):
        return object_frame(rows, path)
    padded = [[*row, None] if isinstance(row, list) and len(row) == 5 else row for row in rows]
    frame = row_frame(padded, path)
    if rows and all(len(row) == 7 for row in rows):
        turnover = [None if row[6] is None else str(row[6]) for row in rows]
        return frame.with_columns(quote_volume=pl.Series(turnover, dtype=pl.String))
    return frame


def _time_first(row: list[Any]) -> bool:
    try:
        numbers = [float(cell) for cell in row[:5] if cell is not None]
    except (TypeError, ValueError):
        return isinstance(row[0], str) and row[0][:4].isdigit() and not isinstance(row[1], str)
    return len(numbers) > 1 and numbers[0] > 1e8


class AlphaVantage(CandleFiles):
    """Objects keyed by time under ``Time Series (...)``, values text, newest first, the zone in ``Meta Data``."""

    name = "alphavantage"

    def matches(self, _path: Path, head: bytes) -> bool:
        """The object has ``Meta Data`` and a time series."""
        return b'"Meta Data"' in head and head.lstrip()[:1] == b"{"

    def read(self, path: Path, options: Options) -> Iterator[Batch]:
        """Candles.

        Raises:
            SourceError: damaged, or without a time series.
        """
        document = jsons.load(path)
        key = next((k for k in document if _VANTAGE_KEY.match(k)), None)
        if key is None:
            raise SourceError("the JSON holds no time series", where=str(path), value=list(document)[:5])
        meta = {k.split(". ", 1)[-1]: v for k, v in document["Meta Data"].items()}
        found = _VANTAGE_KEY.match(key)
        interval = found["interval"].lower() if found else ""
        frame = _VANTAGE_INTERVALS.get(interval, interval)
        base = str(meta.get("Digital Currency Code") or meta.get("Symbol") or "")
        digital = "Digital Currency" in str(meta.get("Information", "")) and "/" not in base
        quote = str(meta.get("Market Code") or ("USDT" if digital else ""))  # the daily files do not repeat the market
        symbol = symbols.canonical(f"{base}/{quote}" if quote and base else base)
        zone = str(meta.get("Time Zone") or "UTC")
        known = about(path, options, symbol=need(options.symbol or symbol, "symbol", path), timeframe=frame, tz=zone)
        rows = [{"open_time": time, **_fields(values)} for time, values in document[key].items()]
        if rows:
            yield candle_batch(object_frame(rows, path), known)


def _fields(values: dict[str, Any]) -> dict[str, Any]:
    """``1a. open (USD)`` and ``1. open`` as ``open``; the first spelling wins."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if match := _VANTAGE_FIELD.match(key):
            found.setdefault(match.group(1), value)
    return found
