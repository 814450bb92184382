"""Binance's public dumps: klines, trades, aggTrades and funding rates, as CSV or ZIP, with or without a header."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lake.errors import SourceError
from lake.sources import csvs
from lake.sources.base import Batch, Options
from lake.sources.columns import CANDLE_NAMES, NEEDED, NEEDED_TICKS, TICK_NAMES, require, translate
from lake.sources.naming import About, about, guess, is_perpetual, need, perpetual, price_kind
from lake.sources.opening import head, member_name, stem
from lake.sources.shape import candle_batch, metric_batch, tick_batch
from lake.spec import symbols

_KLINES = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "trade_count",
    "taker_buy_volume", "taker_buy_quote_volume", "ignore",
)  # fmt: skip
_TRADES = ("trade_id", "price", "quantity", "quote_quantity", "time", "buyer_is_maker", "best_match")
_AGG_TRADES = ("trade_id", "price", "quantity", "first_id", "last_id", "time", "buyer_is_maker", "best_match")
_FUNDING = ("time", "funding_interval_hours", "value")
_PLACES = {"klines": _KLINES, "trades": _TRADES, "aggTrades": _AGG_TRADES, "fundingRate": _FUNDING}
_FUNDING_NAMES: dict[str, tuple[str, ...]] = {
    "time": ("calc_time", "time"),
    "value": ("last_funding_rate", "funding_rate"),
}
_NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "klines": CANDLE_NAMES,
    "trades": TICK_NAMES,
    "aggTrades": TICK_NAMES,
    "fundingRate": _FUNDING_NAMES,
}
_NEEDED = {"klines": NEEDED, "trades": NEEDED_TICKS, "aggTrades": NEEDED_TICKS, "fundingRate": ("time", "value")}
_HEADERS = {
    "klines": {"open_time", "close_time"},
    "aggTrades": {"agg_trade_id"},
    "trades": {"id", "price", "qty", "time"},
    "fundingRate": {"calc_time", "last_funding_rate"},
}
_NAME = re.compile(
    r"(?:^|[_\-/ ])(?P<symbol>[A-Z0-9]{3,20}(?:_\d{6}|_PERP)?)"
    r"-(?P<kind>trades|aggTrades|fundingRate|\d+(?:mo|[smhdw])|1M)"
    r"(?:-(?P<date>\d{4}-\d{2}(?:-\d{2})?))?$"
)


@dataclass(frozen=True, slots=True)
class _Named:
    symbol: str
    kind: str


def _named(path: Path) -> _Named | None:
    found = _NAME.search(stem(path))
    return _Named(found["symbol"], found["kind"]) if found else None


def _kind(path: Path, first: bytes) -> str | None:
    """klines, trades, aggTrades or fundingRate, by header, by name, by the shape of the first row."""
    row = csvs.first_row(first)
    if not csvs.looks_like_data(row):
        return next((kind for kind, names in _HEADERS.items() if names <= {c.lower() for c in row}), None)
    named = _named(path)
    if named and named.kind in ("trades", "aggTrades", "fundingRate"):
        return named.kind
    if len(row) == 12 and _is_epoch(row[0]) and _is_epoch(row[6]):
        return "klines"
    flags = {"true", "false"}
    if len(row) in (7, 8) and row[-1].lower() in flags:
        return (
            "aggTrades" if len(row) == 8 or (row[-2].isdigit() and row[4].isdigit() and row[3].isdigit()) else "trades"
        )
    return "trades" if len(row) == 6 and row[-1].lower() in flags else None


def _is_epoch(cell: str) -> bool:
    try:
        return float(cell) >= 1e9
    except ValueError:
        return False


class BinanceDump:
    """``BTCUSDT-1m-2024-01.zip`` and its kin; UTC, ms until 2024, µs from 2025 on, told by magnitude."""

    name = "binance"

    def matches(self, path: Path, head: bytes) -> bool:
        """A CSV whose header, name or first row is that of a dump."""
        return head[:1] not in b"[{" and b"\0" not in head and _kind(path, head) is not None

    def read(self, path: Path, options: Options) -> Iterator[Batch]:
        """Candles, trades or funding rates.

        Raises:
            SourceError: not such a file, cut off, or its name says no symbol or timeframe.
        """
        first = head(path)
        kind = _kind(path, first)
        if kind is None:
            raise SourceError(
                "this is no Binance dump", where=str(path), todo="Leave out --format, or use csv with a column map."
            )
        known = _about(path, options, kind)
        layout = _layout(kind, first, path)
        for frame in csvs.frames(path, layout):
            yield _READERS[kind](frame, known)

    def series(self, path: Path, options: Options) -> str | None:
        """Market and kind of a trades file: trades and aggTrades count the same trades under other ids."""
        kind = _kind(path, head(path))
        return f"binance {kind} {_about(path, options, kind).symbol}" if kind in ("trades", "aggTrades") else None


def _about(path: Path, options: Options, kind: str) -> About:
    named = _named(path) or _named(Path(member_name(path)))
    guessed = guess(path) if named is None else ("", "")
    text = options.symbol or (named.symbol if named else guessed[0])
    symbol = symbols.canonical(need(text, "symbol", path))
    if options.symbol is None and (is_perpetual(path) or kind == "fundingRate"):
        symbol = perpetual(symbol)
    symbol += price_kind(path)
    frame = ""
    if kind == "klines":
        written = named.kind if named else guessed[1]
        frame = need(options.timeframe or ("1M" if written == "1mo" else written), "timeframe", path)
    return about(path, options, symbol=symbol, timeframe=frame, venue="binance", tz="UTC")


def _layout(kind: str, first: bytes, path: Path) -> csvs.Layout:
    """Columns by their names where there is a header, else by their places."""
    line = csvs.first_line(first)
    separator = csvs.separator_of(line)
    row = csvs.cells(line, separator)
    if not csvs.looks_like_data(row):
        header = csvs.unique(row)
        names = translate(header, _NAMES[kind])
        require(names.values(), _NEEDED[kind], path, header)
        return csvs.Layout(tuple(names.get(column, column) for column in header), separator)
    columns = _PLACES[kind]
    if len(row) < len(columns) - (columns[-1] == "best_match"):
        todo = "Fetch the file again."
        raise SourceError(
            f"a Binance {kind} file has {len(columns)} columns, this one {len(row)}", where=str(path), todo=todo
        )
    return csvs.Layout(columns[: len(row)], separator, header=False)


def _candles(frame: pl.DataFrame, known: About) -> Batch:
    return candle_batch(frame, known)


def _taker_buys() -> pl.Expr:
    flag = pl.col("buyer_is_maker").str.to_lowercase()
    return pl.when(flag.is_in(["true", "1"])).then(False).when(flag.is_in(["false", "0"])).then(True)


def _trades(frame: pl.DataFrame, known: About) -> Batch:
    return tick_batch(frame.with_columns(taker_buys=_taker_buys()), known)


def _agg_trades(frame: pl.DataFrame, known: About) -> Batch:
    first, last = (pl.col(c).cast(pl.Int64, strict=False) for c in ("first_id", "last_id"))
    return tick_batch(frame.with_columns(taker_buys=_taker_buys(), trades=(last - first + 1).fill_null(1)), known)


def _funding(frame: pl.DataFrame, known: About) -> Batch:
    return metric_batch(frame, known, "funding_rate")


_READERS = {"klines": _candles, "trades": _trades, "aggTrades": _agg_trades, "fundingRate": _funding}
