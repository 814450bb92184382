"""hummingbot's SQLite file: orders, fills and executors, and what it remembers beside them.

Decimals are stored times a million, as the columns' type tells. An order that came to nothing is a trade that was
cancelled; one that was executed is kept with its fills.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from lake.errors import InvalidRowError
from lake.importers.base import Known, Notes, Options, Refused, Row, RowMap, Rule, Table
from lake.importers.mapping import found_before
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
from lake.importers.there import columns_of
from lake.importers.values import number_in
from lake.importers.wording import counted
from lake.spec import registry

_SCALE = 1_000_000
_DECIMALS = {"amount", "price", "trade_fee_in_quote", "mid_price", "best_bid", "best_ask"}
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
    "ORDERCANCELLED": "cancelled", "ORDEREXPIRED": "cancelled", "ORDERFAILURE": "error", "BUYORDERCREATED": "pending",
    "SELLORDERCREATED": "pending",
}  # fmt: skip
_FILLED = {"OrderFilled", "BuyOrderCompleted", "SellOrderCompleted"}
_CLOSES = {
    "1": "timeout", "2": "sl", "3": "tp", "4": "expired", "5": "early_stop", "6": "trailing_stop",
    "7": "insufficient_balance", "8": "failed", "9": "completed", "10": "position_hold",
}  # fmt: skip
_LABEL = "hummingbot:TradeFill"
_OF_ORDER = ("exchange_order_id", "order", "statuses")  # what a fill has of its order
_LANDED = (
    "SELECT DISTINCT order_id, venue, symbol FROM fills WHERE list_contains(?, order_id) "
    f"AND coalesce(bot_id, '') = ? AND contains(extra, '\"{_LABEL}\"')"
)
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
    is_over = _ENDS.get(str(row["last_status"]).upper()) in {"cancelled", "error"}
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
FILLS = RowMap(
    "fills",
    {
        "fill_id": identity("fill", VENUE, SYMBOL, text("order_id", "id"), text("exchange_trade_id")),
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
    {"bot_id": option("bot_id", _BOT), "snapshot_time": moment("snapshot_time"), "state": gathered(*_MEMORY)},
    held=frozenset(_MEMORY),
)


def _metric(name: str, column: str, time: str = "timestamp") -> RowMap:
    columns = {"venue": VENUE, "symbol": SYMBOL, "metric": constant(name), "time": moment(time)}
    return RowMap("market_metrics", {**columns, "value": number(column)})


METRICS = {
    "FundingPayment": (_metric("funding_rate", "rate"), _metric("funding_payment", "amount")),
    "MarketData": tuple(_metric(name, name) for name in ("mid_price", "best_bid", "best_ask")),
}


def _with_landed_fills(lk: Any, rows: Sequence[Row], options: Options) -> Iterator[Row | Known]:
    """Orders without fills in the file; those whose fills the lake has are known by them."""
    names = [str(row["id"]) for row in rows if row["id"] is not None]
    there = set(lk.frame(_LANDED, [names, options.bot_id]).rows())
    for row in rows:
        with suppress(InvalidRowError):  # it is refused when it is mapped
            if (str(row["id"]), *(rule.read(row, options) for rule in (VENUE, SYMBOL))) in there:
                yield Known(row)
                continue
        yield row


def _with_landed_orders(lk: Any, rows: Sequence[Row], options: Options) -> Iterator[Row]:
    """Fills; one whose order was deleted since it landed keeps what that told."""
    names: dict[int, str] = {}
    for place, row in enumerate(rows):
        with suppress(InvalidRowError):  # it is refused when it is mapped
            names |= {} if "order" in row else {place: FILLS.columns["fill_id"].read(row, options)}
    keys = [{"fill_id": name} for name in set(names.values())]
    there = columns_of(lk, registry.get(FILLS.dataset), keys, ["fill_id", "extra"])
    for place, row in enumerate(rows):
        landed = there.get((names.get(place),), {})
        told = found_before(landed, _LABEL) or {}
        yield {**row, **{name: told[name] for name in _OF_ORDER if name in told}}


class Hummingbot:
    """Reads hummingbot's SQLite file."""

    name = "hummingbot"
    summary = "hummingbot's SQLite file: orders, fills, executors"

    def tables(self, source: str, _options: Options) -> Iterable[Table]:
        """Those that are there; the small ones together are the bot's memory."""
        db = database(source)
        store, there = _Store(db), require(db, _TABLES, kind=self.name)
        for name in there:
            if name not in _TABLES[:2] and not db.count(name):
                continue
            if name == "Order":
                maps, count = (ORDERS, ORDERS_AS_FILLS), db.count(name)
                yield Table(name, maps, store.orders, count, completed=_with_landed_fills)
            elif name == "TradeFill":
                yield Table(name, (FILLS,), store.fills, db.count(name), completed=_with_landed_orders)
            elif name == "Executors":
                yield Table(name, (EXECUTORS,), lambda notes: db.rows("Executors", notes), db.count(name))
            else:
                yield Table(name, METRICS[name], partial(store.decimals, name), db.count(name))
        if {*_MEMORY} & set(db.tables()):
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
        """Orders with their statuses; those that have fills come with these."""
        statuses, fills = self._beside(_JOINED, notes), self._beside("TradeFill", notes)
        with_fills = 0
        for order in self.decimals("Order", notes, order_by=("id",)):
            if fills(order["id"]):
                with_fills += 1
                continue
            yield {**order, "statuses": statuses(order["id"]), "was_filled": order["last_status"] in _FILLED}
        if with_fills:
            notes.tell(f"{counted(with_fills, 'order was', 'orders were')} executed: kept with the fills")

    def fills(self, notes: Notes) -> Iterator[Row]:
        """Fills with their orders."""
        orders = self._beside("Order", notes, "id")
        statuses = self._beside(_JOINED, notes)
        for fill in self.decimals("TradeFill", notes, order_by=("order_id", "exchange_trade_id")):
            order: Mapping[str, Any] = next(iter(orders(fill["order_id"])), {})
            more = {"order": order, "statuses": statuses(fill["order_id"])} if order else {}
            yield {**fill, "exchange_order_id": order.get("exchange_order_id"), **more}

    def memory(self, notes: Notes) -> Iterator[Row | Refused]:
        """The small tables as one snapshot, as of the newest time in them or in the orders."""
        state = {name: list(self.db.rows(name, notes)) for name in _MEMORY if name in self.there}
        state = {name: rows for name, rows in state.items() if rows}
        times = [row["timestamp"] for rows in state.values() for row in rows if row.get("timestamp")]
        if not times and "Order" in self.there:
            times = [row["last_update_timestamp"] for row in self.db.rows("Order", notes)]
        if times and state:
            yield {**state, "snapshot_time": max(times)}
        elif state:
            yield Refused(state, "no time in any of its rows")

    def _beside(self, table: str, notes: Notes, column: str = "order_id") -> Following:
        order = (column, "id") if table == _JOINED else (column,)
        rows = self.db.rows(table, notes, order_by=order) if table in self.there else iter(())
        return Following(rows, column)
