"""The names under which files keep the columns of candles, trades and metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from lake.errors import SourceError

CANDLE_NAMES: dict[str, tuple[str, ...]] = {
    "open_time": (
        "open_time",
        "opentime",
        "open time",
        "timestamp",
        "time",
        "date",
        "datetime",
        "unix",
        "ts",
        "start",
        "start_time",
        "t",
        "epoch",
    ),
    "open": ("open", "o", "open_price", "1. open"),
    "high": ("high", "h", "high_price", "2. high"),
    "low": ("low", "l", "low_price", "3. low"),
    "close": ("close", "c", "close_price", "4. close"),
    "volume": ("volume", "v", "vol", "base_volume", "volumefrom", "5. volume"),
    "quote_volume": (
        "quote_volume",
        "quote_asset_volume",
        "quoteassetvolume",
        "quote asset volume",
        "bv",
        "volumeto",
        "turnover",
    ),
    "trade_count": (
        "trade_count",
        "count",
        "trades",
        "number_of_trades",
        "number of trades",
        "tradecount",
        "num_trades",
    ),
    "taker_buy_volume": (
        "taker_buy_volume",
        "taker_buy_base_asset_volume",
        "taker buy base asset volume",
        "taker_buy_base_volume",
    ),
    "taker_buy_quote_volume": (
        "taker_buy_quote_volume",
        "taker_buy_quote_asset_volume",
        "taker buy quote asset volume",
    ),
    "symbol": ("symbol", "pair", "market", "ticker", "instrument"),
    "timeframe": ("timeframe", "interval", "time_frame", "period"),
    "venue": ("venue", "exchange"),
}
TICK_NAMES: dict[str, tuple[str, ...]] = {
    "time": ("timestamp", "time", "ts", "transact_time", "date", "datetime"),
    "trade_id": ("trade_id", "id", "agg_trade_id", "tradeid", "trade id"),
    "price": ("price", "p", "rate"),
    "quantity": ("quantity", "qty", "amount", "size", "volume", "q"),
    "quote_quantity": ("quote_quantity", "quote_qty", "quoteqty", "cost"),
    "side": ("side", "taker_side"),
    "buyer_is_maker": ("is_buyer_maker", "isbuyermaker", "buyer_is_maker", "is_maker"),
    "first_id": ("first_trade_id", "first_id"),
    "last_id": ("last_trade_id", "last_id"),
    "symbol": ("symbol", "pair", "market", "ticker", "instrument"),
}
NEEDED = ("open_time", "open", "high", "low", "close")
NEEDED_TICKS = ("time", "price", "quantity")


def translate(
    header: Iterable[str], names: Mapping[str, tuple[str, ...]], chosen: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Column of the file -> canonical name, for those that are known; the caller's choices come first.

    >>> translate(["Date", "Open", "foo"], CANDLE_NAMES)
    {'Date': 'open_time', 'Open': 'open'}
    """
    found = {theirs: ours for ours, theirs in (chosen or {}).items()}
    present = list(header)
    for ours, spellings in names.items():
        if ours in found.values():
            continue
        by_name = {h.strip().lower(): h for h in reversed(present) if h not in found}
        match = next((by_name[s] for s in spellings if s in by_name), None)
        if match is not None:
            found[match] = ours
    return found


def require(columns: Iterable[str], needed: tuple[str, ...], path: Path, header: Iterable[str]) -> None:
    """Refuse a file that lacks a column.

    Raises:
        SourceError: names the first one that is missing, and what the file has.
    """
    present = set(columns)
    missing = [name for name in needed if name not in present]
    if missing:
        todo = f"Map it: --map {missing[0]}=NAME."
        raise SourceError(
            f"the file has no column {' or '.join(missing)}", where=str(path), value=list(header)[:20], todo=todo
        )
