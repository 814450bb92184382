"""Executed trades, which one bot kept in JSON, PostgreSQL and Redis: one map, so that they merge by key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lake.errors import InvalidRowError
from lake.importers.base import Options, Row, RowMap, Rule
from lake.importers.kinds.rounded_trades import RoundedTrades
from lake.importers.rules import (
    first_of,
    found,
    identity,
    moment,
    number,
    option,
    price,
    renamed,
    result,
    side,
    symbol,
    text,
)
from lake.importers.values import known_number, number_in

_OPENED = moment(
    "entry_time", "entryTime", "open_time", "openTime", "opened_at", "openedAt", "entry_timestamp", "entry_date",
    "entryDate", "open_date", "openDate", "open_timestamp", "openTimestamp",
)  # fmt: skip
_CLOSED = moment(
    "exit_time", "exitTime", "close_time", "closeTime", "closed_at", "closedAt", "exit_timestamp", "exit_date",
    "exitDate", "close_date", "closeDate", "close_timestamp", "closeTimestamp",
)  # fmt: skip
_WRITTEN = moment("timestamp")
_PNL = (
    "pnl_usd", "pnl", "profit_usd", "realized_pnl", "realizedPnl", "realizedPnL", "pnl_usdt", "net_pnl", "netPnl",
    "net_profit", "profit_usdt",
)  # fmt: skip
_PERCENT = ("pnl_percent", "pnl_pct", "pnlPercent", "roiPercent", "pnl_percentage", "profit_percent", "profit_pct")
_RESULTS = (*_PNL, *_PERCENT)
_QUANTITY = ("quantity", "qty", "size", "amount")
_REASON = text("exit_reason", "exitReason", "close_reason", "closeReason", "exit_type")
_GOES_ON = frozenset({"OPEN", "OPENED", "ACTIVE", "PENDING", "RUNNING"})
_CAME_TO_NOTHING = frozenset({"CANCELLED", "CANCELED", "EXPIRED", "INVALIDATED", "REJECTED", "UNFILLED"})


def _if_any(*names: str) -> Rule:
    """A price or another amount under a name that may mean something else: what is no number, or 0, is none."""
    return Rule(names, lambda row, _options: next((n for name in names if (n := known_number(row.get(name)))), None))


def _directed(*names: str) -> Rule:
    """The side that a word says under a name which may say something else."""
    read: Callable[[Row, Options], Any] = side(*names).read

    def known(row: Row, options: Options) -> Any:
        try:
            return read(row, options)
        except InvalidRowError:
            return None

    return Rule(names, known)


_SYMBOL = symbol("symbol", "pair")
_SIDE = first_of(side("side", "direction", "position_side", "positionSide"), _directed("signal"))
_ENTRY = first_of(price("entry_price", "entryPrice"), _if_any("entry", "open_price", "openPrice"))
_EXIT = first_of(number("exit_price", "exitPrice"), _if_any("exit", "close_price", "closePrice"))


def _begun(row: Row, options: Options) -> Any:
    """When it was entered, or else written down, if that was before its end; when it was filled is not told then."""
    entered = _OPENED.read(row, options)
    if entered is not None:
        return entered
    ended, told = _CLOSED.read(row, options), _WRITTEN.read(row, options)
    return told if ended is not None and told is not None and told <= ended else None


_TELLING = (_ENTRY.read, _EXIT.read, number(*_PNL).read, number(*_PERCENT).read)
_BEGUN = Rule((*_OPENED.names, *_WRITTEN.names), _begun)


def _status(row: Row, options: Options) -> str:
    """A trade that was executed is over; one that goes on is named by its end later, and would be there twice."""
    if all(read(row, options) is None for read in _TELLING):
        raise InvalidRowError("neither a price nor a result", where="entry_price, exit_price, pnl or pnl_percent")
    word, named = (str(found(row, names)[1]).strip().upper() for names in (("status",), ("result", "outcome")))
    has_result = any(number_in(row, name) for name in _RESULTS)
    was_filled = found(row, ("isFilled", "is_filled"))[1] is not False
    if not has_result and (not was_filled or not _CAME_TO_NOTHING.isdisjoint({word, named})):
        return "cancelled"
    left, has_ended = _EXIT.read(row, options), _CLOSED.read(row, options) is not None
    is_said = left is not None or has_result or found(row, _REASON.names)[1] is not None
    if not has_ended and not (left if word in _GOES_ON else is_said):
        raise InvalidRowError("no exit and no result: it is not over yet", where="exit_time or exit_price")
    return "closed"


TRADES = RowMap(
    "trades",
    {
        "trade_id": identity("trade", _SYMBOL, _SIDE, _BEGUN, _CLOSED),
        "venue": first_of(option("venue"), renamed({}, "exchange")),
        "symbol": _SYMBOL,
        "side": _SIDE,
        "status": Rule(("status", "result", "outcome", "isFilled", "is_filled", *_CLOSED.names, *_EXIT.names), _status),
        "mode": option("mode", "live"),
        "strategy": first_of(text("strategy_name", "strategy", "strategyName"), option("strategy")),
        "quantity": number(*_QUANTITY),
        "leverage": price("leverage"),
        "entry_price": _ENTRY,
        "exit_price": _EXIT,
        "stop_loss": _if_any("stop_loss", "stopLoss", "sl_price", "sl", "stop"),
        "take_profit": _if_any("take_profit", "takeProfit", "tp_price", "tp", "tp1"),
        "fees": _if_any("fees", "total_fees", "totalFees", "fee"),
        "pnl": number(*_PNL),
        "pnl_percent": result(*_PERCENT),
        "exit_reason": _REASON,
        "created_at": _BEGUN,
        "opened_at": _OPENED,
        "closed_at": _CLOSED,
    },
    sums={"pnl": _PNL, "quantity": _QUANTITY},
    numbered=True,
    wanted=("side", "entry_price", "exit_price"),
)

_KINDS = ("trades-json", "trades-postgres", "trades-redis")


def met_by(kind: str) -> RoundedTrades:
    """How trades of one of the kinds meet those of the others."""
    return RoundedTrades(kind, TRADES, _KINDS)
