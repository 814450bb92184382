"""trade_history.json as an object: executions that an exchange listed, and round trips that a bot matched of them.

Sizes below one are rounded to 0 there: the money that changed hands tells how much it was. A buy is often matched with
the sell of another coin, which is no round trip.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from lake.errors import InvalidRowError, UsageError
from lake.importers.base import Notes, Options, Refused, Row, RowMap, Rule, Table
from lake.importers.mapping import IMPORTED
from lake.importers.reading.jsons import rows_in
from lake.importers.rules import base, constant, identity, moment, number, one_of, option, text
from lake.importers.values import number_in
from lake.importers.wording import counted

_SYMBOL = base("symbol")
_WORDS = {"BUY": "BUY", "SELL": "SELL"}
_BUY, _SELL = "order_id_buy", "order_id_sell"
_Order = tuple[Any, float | None]  # its symbol, and how much was executed
_UNKNOWN: _Order = (None, None)
_LABEL = "trades-json:trades"
_LANDED = (
    "SELECT external_order_id, extra FROM fills WHERE list_contains(?, external_order_id) "
    f"AND coalesce(bot_id, '') = ? AND contains(extra, '\"{_LABEL}\"') ORDER BY executed_at, fill_id"
)
_MISMATCHED = "the sell is of another symbol than the buy"


def _size(order: Row) -> float:
    """How much was executed, by the money where the size was rounded away."""
    size, funds, paid = (number_in(order, name) or 0.0 for name in ("size", "funds", "price"))
    return size if size > 0 or not paid else funds / paid


FILLS = RowMap(
    "fills",
    {
        "fill_id": identity("fill", _SYMBOL, text("order_id"), text("trade_id")),
        "bot_id": option("bot_id"),
        "symbol": _SYMBOL,
        "external_order_id": text("order_id"),
        "side": one_of(_WORDS, "side"),
        "quantity": Rule(("size", "funds", "price"), lambda row, _options: _size(row)),
        "price": number("price"),
        "commission": number("fee"),
        "commission_asset": text("fee_currency"),
        "mode": option("mode", "live"),
        "executed_at": moment("timestamp", "executed_at", unit="ms"),
    },
    sums={"quantity": "size", "commission": "fee"},
)


def _symbol(row: Row, options: Options) -> Any:
    sold = row.get("symbol_sell")
    if sold is not None and sold != row.get("symbol"):
        raise InvalidRowError(_MISMATCHED, where="order_id_sell", value=sold)
    return _SYMBOL.read(row, options)


def _pnl(row: Row, options: Options) -> Any:
    """As it was told; computed where the quantity, and with it the gross result, was rounded to 0."""
    entry, left, amount = (number_in(row, name) for name in ("entry_price", "exit_price", "quantity_by_funds"))
    if row.get("quantity") or amount is None or entry is None or left is None:
        return number("net_pnl").read(row, options)
    return (left - entry) * amount - (number_in(row, "fees") or 0.0)


def _pnl_percent(row: Row, options: Options) -> Any:
    amount, gained = number_in(row, "quantity") or number_in(row, "quantity_by_funds"), _pnl(row, options)
    cost = (amount or 0.0) * (number_in(row, "entry_price") or 0.0)
    return 100.0 * gained / cost if cost and gained is not None else None


ROUND_TRIPS = RowMap(
    "trades",
    {
        "trade_id": identity("trade", _SYMBOL, text("order_id_buy"), text("order_id_sell")),
        "bot_id": option("bot_id"),
        "symbol": Rule(("symbol", "symbol_sell"), _symbol),
        "side": constant("LONG"),
        "status": constant("closed"),
        "mode": option("mode", "live"),
        "strategy": option("strategy"),
        "quantity": Rule(("quantity",), lambda row, _options: row.get("quantity") or row["quantity_by_funds"]),
        "entry_price": number("entry_price"),
        "exit_price": number("exit_price"),
        "fees": number("fees"),
        "pnl": Rule(("net_pnl",), _pnl),
        "pnl_percent": Rule(("pnl_pct",), _pnl_percent),
        "order_id": text("order_id_buy"),
        "created_at": moment("opened_at", unit="ms"),
        "opened_at": moment("opened_at", unit="ms"),
        "closed_at": moment("closed_at", unit="ms"),
    },
    sums={"pnl": "net_pnl", "quantity": "quantity"},
)


def is_of_exchange(row: Any) -> bool:
    """Whether a row of ``trades`` is an execution, and no round trip."""
    return isinstance(row, dict) and "order_id" in row and "entry_price" not in row


def tables(path: Path, options: Options) -> list[Table]:
    """Executions and round trips.

    Raises:
        UsageError: nobody said what the prices are in.
    """
    if not options.quote:
        raise UsageError(
            "its symbols are only a base", where=str(path), todo="Say what they are traded against, e.g. --quote USDT."
        )
    return [
        Table("trades", (FILLS,), partial(_fills, path)),
        Table("matched_trades", (ROUND_TRIPS,), partial(_round_trips, path), completed=_with_landed_orders),
    ]


def _fills(path: Path, notes: Notes) -> Iterator[Row | Refused]:
    rounded = 0
    for row in rows_in(path, "trades", notes):
        if isinstance(row, dict):
            rounded += not row.get("size") and bool(row.get("funds"))
        yield row if isinstance(row, dict) else _stray(row)
    if rounded:
        notes.tell(f"{counted(rounded, 'size was', 'sizes were')} rounded to 0: taken as funds / price")


def _known_size(order: Row) -> float | None:
    try:
        return _size(order)
    except InvalidRowError:
        return None  # it is refused when it is mapped


def _round_trips(path: Path, notes: Notes) -> Iterator[Row | Refused]:
    quiet = Notes()
    executed = (row for row in rows_in(path, "trades", quiet) if is_of_exchange(row))
    orders = {str(row["order_id"]): (row.get("symbol"), _known_size(row)) for row in executed}
    for row in rows_in(path, "matched_trades", notes):
        yield _matched(row, orders) if isinstance(row, dict) else _stray(row)


def _stray(row: Any) -> Refused:
    return row if isinstance(row, Refused) else Refused(row, "not an object")


def _matched(row: Row, orders: Mapping[str, _Order]) -> Row:
    """A round trip with what its orders tell."""
    _, bought = orders.get(str(row.get(_BUY)), _UNKNOWN)
    sold_symbol, _ = orders.get(str(row.get(_SELL)), _UNKNOWN)
    return {**row, "quantity_by_funds": bought, "symbol_sell": sold_symbol}


def _with_landed_orders(lk: Any, rows: Sequence[Row], options: Options) -> Iterator[Row]:
    """Round trips; orders that have left the list since they landed tell what they told then."""
    names = {str(row[name]) for row in rows for name in (_BUY, _SELL) if row.get(name) is not None}
    orders: dict[str, _Order] = {}
    for name, extra in lk.frame(_LANDED, [sorted(names), options.bot_id]).iter_rows():
        told = orjson.loads(extra)[IMPORTED][_LABEL]
        orders[name] = (told.get("symbol"), _known_size(told))
    for row in rows:
        known = _matched(row, orders)
        yield {**known, **{name: value for name, value in row.items() if value is not None}}
