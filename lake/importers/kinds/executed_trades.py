"""Executed trades, which one bot kept in JSON, PostgreSQL and Redis: one map, so that they merge by key."""

from __future__ import annotations

from lake.errors import InvalidRowError
from lake.importers.base import Options, Row, RowMap, Rule
from lake.importers.kinds.rounded_trades import RoundedTrades
from lake.importers.rules import first_of, identity, moment, number, option, price, result, side, symbol, text
from lake.importers.values import number_in

_SYMBOL, _SIDE = symbol("symbol", "pair"), side("side", "direction", "position_side", "positionSide")
_OPENED = moment("entry_time", "entryTime", "open_time", "openTime", "opened_at", "openedAt", "entry_timestamp")
_CLOSED = moment("exit_time", "exitTime", "close_time", "closeTime", "closed_at", "closedAt", "exit_timestamp")
_PNL = ("pnl_usd", "pnl", "profit_usd", "realized_pnl", "realizedPnl", "realizedPnL", "pnl_usdt")
_PERCENT = ("pnl_percent", "pnl_pct", "pnlPercent", "roiPercent", "pnl_percentage", "profit_percent", "profit_pct")
_RESULTS = (*_PNL, *_PERCENT)
_QUANTITY = ("quantity", "qty", "size", "amount")
_EXIT = number("exit_price", "exitPrice")
_REASON = text("exit_reason", "exitReason", "close_reason", "closeReason", "exit_type")


def _over(row: Row, _options: Options) -> str:
    """A trade that was executed is over; one that goes on is named by its end later, and would be there twice."""
    ends = (*_CLOSED.names, *_EXIT.names, *_REASON.names)
    if all(row.get(name) in (None, "") for name in ends) and not any(number_in(row, name) for name in _RESULTS):
        raise InvalidRowError("no exit and no result: it is not over yet", where="exit_time or exit_price")
    return "closed"


TRADES = RowMap(
    "trades",
    {
        "trade_id": identity("trade", _SYMBOL, _SIDE, _OPENED, _CLOSED),
        "symbol": _SYMBOL,
        "side": _SIDE,
        "status": Rule((*_CLOSED.names, *_EXIT.names), _over),
        "mode": option("mode", "live"),
        "strategy": first_of(text("strategy_name", "strategy", "strategyName"), option("strategy")),
        "quantity": number(*_QUANTITY),
        "leverage": price("leverage"),
        "entry_price": price("entry_price", "entryPrice"),
        "exit_price": _EXIT,
        "pnl": number(*_PNL),
        "pnl_percent": result(*_PERCENT),
        "exit_reason": _REASON,
        "created_at": _OPENED,
        "opened_at": _OPENED,
        "closed_at": _CLOSED,
    },
    sums={"pnl": _PNL, "quantity": _QUANTITY},
    numbered=True,
)

_KINDS = ("trades-json", "trades-postgres", "trades-redis")


def met_by(kind: str) -> RoundedTrades:
    """How trades of one of the kinds meet those of the others."""
    return RoundedTrades(kind, TRADES, _KINDS)
