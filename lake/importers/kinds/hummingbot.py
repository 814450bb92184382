"""hummingbot's SQLite file: orders, fills and executors, and what it remembers beside them.

Decimals are stored times a million, as the columns' type tells. An order that came to nothing is a trade that was
cancelled, until it is executed after all; one that was executed is kept with its fills. One that is in flight is
neither yet: it is kept with what the bot remembers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from lake.importers.base import Notes, Options, Refused, Row, RowMap, Rule, Table, Undone
from lake.importers.kinds.hummingbot_landed import IN_PLACE, ORDER, LandedOrders
from lake.importers.reading.database import Database, database, require
from lake.importers.reading.ordered import Following
from lake.importers.rules import (
    constant,
    document,
    first_of,
    gathered,
    identity,
    moment,
    number,
    one_of,
    option,
    percent,
    price,
    symbol,
    text,
    within,
)
from lake.importers.unread import naming_unread
from lake.importers.values import number_in
from lake.importers.wording import counted

_SCALE = 1_000_000
_DECIMALS = {"amount", "price", "trade_fee_in_quote", "mid_price", "best_bid", "best_ask"}
_EXECUTED = "the order was executed after all"
_BOT = "hummingbot"  # of the state of a bot that nobody named
_PERPETUAL = "_perpetual"
_PLAYED = re.compile(r"_paper_?trade|_testnet", re.IGNORECASE)
_ASIDE = re.compile(r"_paper_?trade|_testnet|_perpetual", re.IGNORECASE)
_TABLES = ("Order", "TradeFill", "Executors", "FundingPayment", "MarketData")
_JOINED = "OrderStatus"
_MEMORY = (
    "MarketState", "Metadata", "InventoryCost", "Position", "Controllers", "RangePositionUpdate",
    "RangePositionCollectedFees",
)  # fmt: skip
_WORDS = {"BUY": "BUY", "SELL": "SELL"}
_ENDS = {
    "ORDERCANCELLED": "cancelled", "ORDEREXPIRED": "cancelled", "ORDERFAILURE": "error",
}  # fmt: skip
_IN_FLIGHT = {"BuyOrderCreated", "SellOrderCreated"}
_FILLED = {"OrderFilled", "BuyOrderCompleted", "SellOrderCompleted"}
_CLOSES = {
    "1": "timeout", "2": "sl", "3": "tp", "4": "expired", "5": "early_stop", "6": "trailing_stop",
    "7": "insufficient_balance", "8": "failed", "9": "completed", "10": "position_hold",
}  # fmt: skip
_SIDES = {"1": "LONG", "BUY": "LONG", "TRADETYPE.BUY": "LONG", "2": "SHORT", "SELL": "SHORT", "TRADETYPE.SELL": "SHORT"}


def _market(row: Row) -> str:
    return str(row.get("market") or row.get("exchange") or row.get("connector_name") or "")


def _venue(row: Row, options: Options) -> str:
    """The exchange, without what tells that it is only played, or where on it."""
    return _ASIDE.sub("", _market(row)) or options.venue


def _mode(row: Row, options: Options) -> str:
    return options.mode or ("paper" if _PLAYED.search(_market(row)) else "live")


def _symbol(row: Row, options: Options) -> str:
    """A perpetual is called like the pair, and told by where it is traded."""
    pair: str = symbol("symbol", "trading_pair", "connector_pair").read(row, options)
    return f"{pair}.P" if _PERPETUAL in _market(row).lower() and "." not in pair else pair


def _way(row: Row, _options: Options) -> str | None:
    """Buy or sell: the first status of an order tells, or its id."""
    first = str((row.get("statuses") or [{}])[0].get("status", row.get("last_status")))
    word = first if first.startswith(("Buy", "Sell")) else str(row.get("id"))
    return "LONG" if word.lower().startswith("buy") else "SHORT" if word.lower().startswith("sell") else None


def _ended(row: Row, options: Options) -> Any:
    is_over = str(row["last_status"]).upper() in _ENDS
    return moment("last_update_timestamp").read(row, options) if is_over else None


def _commission(row: Row, options: Options) -> float | None:
    """In the quote, where it is there; else of flat fees in one currency, or by the rate."""
    if row.get("trade_fee_in_quote") is not None:
        return number("trade_fee_in_quote").read(row, options)  # type: ignore[no-any-return]
    flat, rate = _flat(row, options), number_in(_fee(row, options), "percent")
    if flat:
        return number_in(flat[0], "amount") if len(flat) == 1 else None
    paid, amount = number_in(row, "price"), number_in(row, "amount")
    return None if rate is None or paid is None or amount is None else rate * paid * amount


def _commission_asset(row: Row, options: Options) -> str | None:
    flat = _flat(row, options)
    if row.get("trade_fee_in_quote") is None and flat:
        return text("token").read(flat[0], options) if len(flat) == 1 else None
    return row.get("quote_asset")


def _fee(row: Row, options: Options) -> dict[str, Any]:
    found = document("trade_fee").read(row, options)
    return found if isinstance(found, dict) else {}


def _flat(row: Row, options: Options) -> list[dict[str, Any]]:
    """Fees that are amounts, each with its currency."""
    found = _fee(row, options).get("flat_fees")
    return [fee for fee in found if isinstance(fee, dict)] if isinstance(found, list) else []


VENUE, MODE = Rule(("market", "exchange", "connector_name"), _venue), Rule(("market", "connector_name"), _mode)
SYMBOL = Rule(("symbol", "trading_pair", "connector_pair"), _symbol)
ORDERS = RowMap(
    "trades",
    {
        "trade_id": identity("order", VENUE, SYMBOL, text("id")),
        "bot_id": option("bot_id"),
        "venue": VENUE,
        "symbol": SYMBOL,
        "side": Rule(("statuses", "id"), _way),
        "status": one_of(_ENDS, "last_status"),
        "mode": MODE,
        "strategy": text("strategy"),
        "quantity": number("amount"),
        "leverage": price("leverage"),
        "entry_price": price("price"),
        "order_id": text("exchange_order_id", "id"),
        "created_at": moment("creation_timestamp"),
        "closed_at": Rule(("last_status",), _ended),
    },
    sums={"quantity": "amount"},
    when=lambda row: not row["was_filled"],
)
_OF_ORDER = (VENUE, SYMBOL, text("order_id", "id"))
_OWN = identity("fill", *_OF_ORDER, constant(None))  # of an order as one fill
_TRADE = identity("order", *_OF_ORDER)  # of an order as a trade that came to nothing
FILLS = RowMap(
    "fills",
    {
        "fill_id": identity("fill", *_OF_ORDER, text("exchange_trade_id")),
        "bot_id": option("bot_id"),
        "venue": VENUE,
        "symbol": SYMBOL,
        "order_id": text("order_id", "id"),
        "external_order_id": text("exchange_order_id"),
        "side": first_of(
            one_of(_WORDS, "trade_type"),
            Rule(("statuses", "id"), lambda row, o: {"LONG": "BUY", "SHORT": "SELL"}.get(_way(row, o) or "")),
        ),
        "order_type": text("order_type"),
        "quantity": number("amount"),
        "price": price("price"),
        "commission": Rule(("trade_fee_in_quote", "trade_fee"), _commission),
        "commission_asset": Rule(("trade_fee", "quote_asset"), _commission_asset),
        "is_entry": one_of({"OPEN": True, "CLOSE": False, "NIL": None}, "position"),
        "mode": MODE,
        "executed_at": moment("timestamp", "last_update_timestamp"),
    },
    sums={"quantity": "amount"},
    when=lambda row: IN_PLACE not in row,
)
FILLS_IN_PLACE = RowMap(
    "fills",
    {**FILLS.columns, "fill_id": _OWN},
    FILLS.sums,
    when=lambda row: IN_PLACE in row,
    decided=frozenset(FILLS.columns) - {"fill_id"},
)
ORDERS_AS_FILLS = RowMap("fills", FILLS.columns, FILLS.sums, when=lambda row: bool(row["was_filled"]))
EXECUTORS = RowMap(
    "trades",
    {
        "trade_id": identity("executor", text("id")),
        "bot_id": option("bot_id"),
        "venue": within("config", VENUE),
        "symbol": within("config", SYMBOL),
        "side": within("config", one_of(_SIDES, "side")),
        "status": Rule(("is_active",), lambda row, _options: "open" if row["is_active"] else "closed"),
        "mode": within("config", MODE),
        "strategy": text("type"),
        "quantity": within("config", number("amount")),
        "leverage": within("config", price("leverage")),
        "entry_price": within("config", price("entry_price")),
        "fees": number("cum_fees_quote"),
        "pnl": number("net_pnl_quote"),
        "pnl_percent": percent("net_pnl_pct"),
        "exit_reason": one_of(_CLOSES, "close_type"),
        "created_at": moment("timestamp"),
        "opened_at": moment("timestamp"),
        "closed_at": moment("close_timestamp"),
    },
    sums={"pnl": "net_pnl_quote"},
)
STATES = RowMap(
    "bot_states",
    {
        "bot_id": option("bot_id", _BOT),
        "snapshot_time": moment("snapshot_time"),
        "state": gathered(*_MEMORY, "Order"),
    },
    held=frozenset({*_MEMORY, "Order"}),
)


def _metric(name: str, column: str, held: frozenset[str] = frozenset()) -> RowMap:
    columns = {"venue": VENUE, "symbol": SYMBOL, "metric": constant(name), "time": moment("timestamp")}
    return RowMap("market_metrics", {**columns, "value": number(column)}, held=held)


_BOOK = frozenset({
    "timestamp", "exchange", "trading_pair", "mid_price", "best_bid", "best_ask", "order_book", "stored",
})  # fmt: skip
METRICS = {
    "FundingPayment": (_metric("funding_rate", "rate"), _metric("funding_payment", "amount")),
    "MarketData": (
        _metric("mid_price", "mid_price"),  # beside which the row is kept as it was found, with its book of orders
        *(_metric(name, name, _BOOK) for name in ("best_bid", "best_ask")),
    ),
}


class Hummingbot:
    """Reads hummingbot's SQLite file."""

    name = "hummingbot"
    summary = "hummingbot's SQLite file: orders, fills, executors"

    def tables(self, source: str, _options: Options) -> Iterable[Table]:
        """Those that are there; the small ones together are the bot's memory."""
        db = database(source)
        there = require(db, _TABLES, kind=self.name)
        yield from naming_unread(db, (*_TABLES, _JOINED, *_MEMORY), self._tables(db, there))

    def _tables(self, db: Database, there: tuple[str, ...]) -> Iterator[Table]:
        store = _Store(db)
        landed = LandedOrders(FILLS, _OWN, _TRADE)
        undone = Undone(ORDERS, ORDER, landed.executed, _EXECUTED)
        for name in there:
            if name not in _TABLES[:2] and db.count(name) == 0:
                continue
            if name == "Order":
                maps, count = (ORDERS, ORDERS_AS_FILLS), db.count(name)
                yield Table(name, maps, store.orders, count, completed=landed.orders, undone=undone)
            elif name == "TradeFill":
                maps, count = (FILLS, FILLS_IN_PLACE), db.count(name)
                yield Table(name, maps, store.fills, count, completed=landed.fills, undone=undone)
            elif name == "Executors":
                yield Table(name, (EXECUTORS,), lambda notes: db.rows("Executors", notes), db.count(name))
            else:
                yield Table(name, METRICS[name], partial(store.decimals, name), db.count(name))
        if {*_MEMORY, "Order"} & store.there:
            yield Table("memory", (STATES,), store.memory)


def _unscaled(value: Any) -> Any:
    """A decimal of a column that holds them times a million; what is no number is refused when it is mapped."""
    return value / _SCALE if isinstance(value, int | float) else value


class _Store:
    """Tables that belong together; decimals come as they were meant."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.there = set(db.tables())

    def decimals(self, table: str, notes: Notes, order_by: tuple[str, ...] = ()) -> Iterator[Row]:
        """The rows of a table, with whole numbers that stand for decimals divided; those are kept as ``stored``."""
        scaled = [c for c, kind in self.db.columns(table).items() if "int" in kind and c in _DECIMALS]
        for row in self.db.rows(table, notes, order_by=order_by):
            stored = {name: row[name] for name in scaled if row[name] is not None}
            yield {**row, **{name: _unscaled(value) for name, value in stored.items()}, "stored": stored}

    def orders(self, notes: Notes) -> Iterator[Row]:
        """Orders that are over, with their statuses; those that have fills come with these."""
        statuses, with_fills, in_flight = self._beside(_JOINED, notes), 0, 0
        for order, has_fills in self._orders(notes):
            if has_fills:
                with_fills += 1
            elif order["last_status"] in _IN_FLIGHT:
                in_flight += 1
            else:
                yield {**order, "statuses": statuses(order["id"]), "was_filled": order["last_status"] in _FILLED}
        if with_fills:
            notes.tell(f"{counted(with_fills, 'order was', 'orders were')} executed: kept with the fills")
        if in_flight:
            notes.tell(f"{counted(in_flight, 'order is', 'orders are')} in flight: kept with what the bot remembers")

    def fills(self, notes: Notes) -> Iterator[Row]:
        """Fills with their orders."""
        orders = self._beside("Order", notes, "id")
        statuses = self._beside(_JOINED, notes)
        for fill in self.decimals("TradeFill", notes, order_by=("order_id", "exchange_trade_id")):
            order: Mapping[str, Any] = next(iter(orders(fill["order_id"])), {})
            more = {"order": order, "statuses": statuses(fill["order_id"])} if order else {}
            yield {**fill, "exchange_order_id": order.get("exchange_order_id"), **more}

    def memory(self, notes: Notes) -> Iterator[Row | Refused]:
        """The small tables and the orders in flight as one snapshot, as of the newest time in them or in the orders."""
        state = {name: list(self.db.rows(name, notes)) for name in _MEMORY if name in self.there}
        times = [row.get("timestamp") for rows in state.values() for row in rows]
        in_flight = []
        for order, has_fills in self._orders(notes):
            times.append(order["last_update_timestamp"])
            in_flight += [order] if order["last_status"] in _IN_FLIGHT and not has_fills else []
        state = {name: rows for name, rows in {**state, "Order": in_flight}.items() if rows}
        newest = max((time for time in times if isinstance(time, int | float)), default=None)
        if newest and state:
            yield {**state, "snapshot_time": newest}
        elif state:
            yield Refused(state, "no time in any of its rows")

    def _orders(self, notes: Notes) -> Iterator[tuple[Row, bool]]:
        """All orders, each with whether there are fills of it."""
        fills = self._beside("TradeFill", notes)
        orders = self.decimals("Order", notes, order_by=("id",)) if "Order" in self.there else iter(())
        for order in orders:
            yield order, bool(fills(order["id"]))

    def _beside(self, table: str, notes: Notes, column: str = "order_id") -> Following:
        order = (column, "id") if table == _JOINED else (column,)
        rows = self.db.rows(table, notes, order_by=order) if table in self.there else iter(())
        return Following(rows, column)
