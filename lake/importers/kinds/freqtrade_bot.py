"""The database of a freqtrade bot, as it has been since 2019: trades, orders, and what it remembers beside them.

Orders that were executed become fills; the others are kept with their trade. Pair locks, key-values and the history of
the wallet become snapshots of the bot's state.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import PurePath
from typing import Any

from lake.errors import InvalidRowError, SourceError
from lake.importers.base import Notes, Options, Refused, Row, RowMap, Rule, Table
from lake.importers.kinds.freqtrade_backtests import FEES, SIDE, STOP, TAGS, extreme, is_short
from lake.importers.moments import as_moment
from lake.importers.reading.database import Database, require
from lake.importers.reading.ordered import Following
from lake.importers.rules import (
    constant,
    first_of,
    flag,
    found,
    gathered,
    identity,
    moment,
    number,
    one_of,
    option,
    percent,
    price,
    renamed,
    text,
    whole,
)
from lake.importers.rules import symbol as symbol_of
from lake.importers.values import number_in
from lake.importers.wording import counted
from lake.spec.symbols import split

_ORDERS, _CUSTOM = "orders", "trade_custom_data"
_MEMORY = ("pairlocks", "KeyValueStore")
_WALLET = "wallet_history"
_BOT = "freqtrade"  # of the state of a bot that nobody named
_EXCHANGE = renamed({}, "trade_exchange", "exchange")  # of old databases in capitals, until freqtrade writes them anew
_PAIRS = ("trade_pair", "pair", "ft_pair", "symbol")
_RESULT = "close_profit_abs"
_DRY_RUN = "dry_run"  # how ids of its orders begin


def _symbol(row: Row, options: Options) -> Any:
    """Of a pair with an underscore, as Bittrex called them until 2018, the quote comes first: BTC_ETH is ETHBTC."""
    name, value = found(row, _PAIRS)
    quote, separator, base = value.partition("_") if isinstance(value, str) else ("", "", "")
    return symbol_of(name).read({name: f"{base}/{quote}"} if separator and "/" not in value else row, options)


_SYMBOL = Rule(_PAIRS, _symbol)
_IS_SHORT = first_of(flag("trade_is_short", "is_short"), constant(False))  # until 2022 there is no such column
_OPENED = moment("trade_open_date", "open_date")
_ID = identity("trade", _EXCHANGE, _SYMBOL, _IS_SHORT, _OPENED, whole("trade_number", "id"))
_WORDS = {"BUY": "BUY", "SELL": "SELL"}
_MODE = first_of(option("mode"), Rule(("is_dry_run",), lambda row, _options: "paper" if row["is_dry_run"] else "live"))
_OF_TRADE = ("exchange", "pair", "is_short", "open_date", "fee_open", "fee_close", "strategy")


def _timeframe(row: Row, options: Options) -> str | None:
    """Minutes; text in the oldest databases."""
    given = row.get("timeframe", row.get("ticker_interval"))
    return options.timeframe or None if given is None else f"{given}m" if isinstance(given, int) else str(given)


def _status(row: Row, _options: Options) -> str:
    if not row["is_open"]:
        return "closed"
    return "open" if row["was_entered"] else "pending"


def _reckoned(row: Row, _options: Options) -> float | None:
    """What a closed trade brought, as freqtrade reckons it of one from before 2020, which does not tell."""
    names = ("amount", "open_rate", "close_rate", "fee_open", "fee_close")
    given = [number_in(row, name) for name in names]
    if _RESULT in row or row["is_open"] or None in given:
        return None
    amount, entry, exit_, opening, closing = (value or 0.0 for value in given)
    return amount * (exit_ * (1 - closing) - entry * (1 + opening))


TRADES = RowMap(
    "trades",
    {
        "trade_id": _ID,
        "bot_id": option("bot_id"),
        "venue": _EXCHANGE,
        "symbol": _SYMBOL,
        "side": SIDE,
        "status": Rule(("is_open", "was_entered"), _status),
        "mode": _MODE,
        "strategy": text("strategy"),
        "timeframe": Rule(("timeframe", "ticker_interval"), _timeframe),
        "quantity": number("amount"),
        "leverage": price("leverage"),
        "entry_price": price("open_rate"),
        "exit_price": price("close_rate"),
        "stop_loss": STOP,
        "fees": FEES,
        "pnl": first_of(number(_RESULT), price("realized_profit"), Rule((_RESULT,), _reckoned)),
        "pnl_percent": percent("close_profit"),
        "exit_reason": text("exit_reason", "sell_reason"),
        "order_id": text("entry_order_id"),
        "conditions": TAGS,
        "max_favorable": extreme(favorable=True),
        "max_adverse": extreme(favorable=False),
        "created_at": _OPENED,
        "opened_at": Rule(("open_date",), lambda row, o: _OPENED.read(row, o) if row["was_entered"] else None),
        "closed_at": moment("close_date"),
    },
    sums={"pnl": _RESULT, "quantity": "amount"},
)


def _is_entry(row: Row) -> bool | None:
    if row.get("trade_pair") is None:
        return None
    return bool(row["ft_order_side"] == ("sell" if row.get("trade_is_short") else "buy"))


_PRICE = first_of(price("average"), price("price"))


def _commission(row: Row, options: Options) -> Any:
    """In the base, where freqtrade knows it; else by the rate of its trade, in the quote."""
    if row.get("ft_fee_base"):
        return row["ft_fee_base"]
    rate, filled = number_in(row, "trade_fee_open" if _is_entry(row) else "trade_fee_close"), number_in(row, "filled")
    paid = _PRICE.read(row, options)
    return None if rate is None or paid is None or filled is None else rate * paid * filled


def _commission_asset(row: Row, options: Options) -> str | None:
    base, quote, _ = split(_SYMBOL.read(row, options))
    return (base if row.get("ft_fee_base") else quote) or None


FILLS = RowMap(
    "fills",
    {
        "fill_id": identity("fill", _EXCHANGE, _SYMBOL, text("order_id")),
        "trade_id": Rule(_ID.names, lambda row, o: None if row.get("trade_pair") is None else _ID.read(row, o)),
        "bot_id": option("bot_id"),
        "venue": _EXCHANGE,
        "symbol": _SYMBOL,
        "external_order_id": text("order_id"),
        "side": one_of(_WORDS, "side", "ft_order_side"),
        "order_type": text("order_type"),
        "quantity": number("filled"),
        "price": _PRICE,
        "commission": Rule(("ft_fee_base", "filled"), _commission),
        "commission_asset": Rule(("ft_fee_base",), _commission_asset),
        "is_entry": Rule(("ft_order_side",), lambda row, _options: _is_entry(row)),
        "mode": _MODE,
        "signal_reason": text("ft_order_tag"),
        "executed_at": moment("order_filled_date", "order_update_date", "order_date"),
    },
    sums={"quantity": "filled"},
)
_FILL = FILLS.columns["fill_id"]
_LANDED = (
    "SELECT fill_id, symbol, external_order_id FROM fills WHERE bot_id = ? AND list_contains(?, external_order_id) "
    "AND contains(extra, '\"freqtrade:orders\"') ORDER BY fill_id"
)


class _Fills:
    """The ids of fills: an order names no exchange but by its trade, and without it is still the fill that landed."""

    def __init__(self) -> None:
        self._landed: dict[tuple[str, str], list[str]] = defaultdict(list)  # symbol and order -> ids

    def look(self, lk: Any, rows: Sequence[Row], options: Options) -> None:
        """Find the fills that the lake has of some orders."""
        self._landed.clear()
        orders = [str(row["order_id"]) for row in rows if row.get("order_id") is not None]
        if lk is not None and orders:
            for name, symbol, order in lk.frame(_LANDED, [options.bot_id, orders]).iter_rows():
                self._landed[symbol, order].append(name)

    @property
    def map(self) -> RowMap:
        """What an executed order becomes."""
        return replace(FILLS, columns={**FILLS.columns, "fill_id": Rule(_FILL.names, self._id)})

    def _id(self, row: Row, options: Options) -> str:
        own: str = _FILL.read(row, options)
        there = self._landed.get((_SYMBOL.read(row, options), str(row["order_id"])), [])
        unnamed = _FILL.read({**row, "trade_exchange": None, "exchange": None}, options)
        if own in there or len(there) != 1:
            return own
        return there[0] if own == unnamed or there[0] == unnamed else own


STATES = RowMap(
    "bot_states",
    {
        "bot_id": option("bot_id", _BOT),
        "snapshot_time": moment("snapshot_time"),
        "state": gathered(*_MEMORY, _WALLET),
    },
    held=frozenset({*_MEMORY, _WALLET}),
)


def tables(db: Database, *, several: bool = False) -> Iterable[Table]:
    """What a database holds: trades, and of the rest what is there; named after it, where there are several.

    Raises:
        SourceError: it is not freqtrade's.
    """
    require(db, ("trades",), kind="freqtrade")
    lacking = {"pair", "is_open", "open_rate", "open_date"} - db.columns("trades").keys()
    if lacking:
        raise SourceError(
            "the table trades is not freqtrade's", where=db.where, value=sorted(lacking), todo="Is it of another kind?"
        )
    store, prefix = _Store(db), f"{PurePath(db.where).name} " if several else ""
    yield Table(f"{prefix}trades", (TRADES,), store.trades, db.count("trades"), "trades")
    if _ORDERS in store.there:
        fills = _Fills()
        count = db.count(_ORDERS)
        yield Table(f"{prefix}{_ORDERS}", (fills.map,), store.orders, count, _ORDERS, look=fills.look)
    if {*_MEMORY} & store.there:
        yield Table(f"{prefix}memory", (STATES,), store.memory, label="memory")
    if _WALLET in store.there:
        yield Table(f"{prefix}{_WALLET}", (STATES,), store.wallet, label=_WALLET)


class _Store:
    """Tables that belong together, each read in order of the trades."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.there = set(db.tables())
        first = next(db.rows(_ORDERS, Notes()), None) if _ORDERS in self.there else None
        self._by = "name" if first is None else "ids of its orders"
        told = PurePath(db.where).name.replace("dryrun", _DRY_RUN) if first is None else str(first.get("order_id"))
        self.is_dry_run = _DRY_RUN in told if first is None else told.startswith(_DRY_RUN)

    def trades(self, notes: Notes) -> Iterator[Row]:
        """Each with what its orders say: whether it was entered, and orders that were never executed."""
        if self.is_dry_run:
            notes.tell(f"a dry run, by the {self._by}: taken as paper, unless --mode says else")
        if _RESULT not in self.db.columns("trades"):
            notes.tell(
                "what trades brought is not told: it is reckoned of amount, rates and fees, as later versions do"
            )
        unread = sorted(self.there - {"trades", _ORDERS, _CUSTOM, *_MEMORY, _WALLET})
        if unread:
            notes.tell(f"not read: {', '.join(unread)}")
        orders, custom = self._of_trades(_ORDERS, notes), self._of_trades(_CUSTOM, notes)
        kept = 0
        for trade in self.db.rows("trades", notes, order_by=("id",)):
            own = orders(trade["id"])
            entry = "sell" if is_short(trade) else "buy"
            entries = [o for o in own if o["ft_order_side"] == entry]
            idle = [o for o in own if not o.get("filled")]
            kept += len(idle)
            more: dict[str, Any] = {
                "is_dry_run": self.is_dry_run,
                "was_entered": not own or any(o.get("filled") for o in entries),
                "entry_order_id": entries[0]["order_id"] if entries else None,
            }
            lists = {"orders_not_executed": idle, _CUSTOM: custom(trade["id"])}
            yield {**trade, **more, **{name: found for name, found in lists.items() if found}}
        if kept:
            notes.tell(f"{counted(kept, 'order was', 'orders were')} never executed: kept with the trades")

    def orders(self, notes: Notes) -> Iterator[Row | Refused]:
        """The executed ones, each with what its trade says."""
        trades = Following(self.db.rows("trades", notes, order_by=("id",)), "id")
        for order in self.db.rows(_ORDERS, notes, order_by=("ft_trade_id", "id")):
            number_ = order.get("ft_trade_id")
            found = [] if number_ is None else trades(number_)
            trade = found[0] if found else None
            if not order.get("filled"):
                if trade is None:
                    yield Refused(order, "an order that was never executed, of no trade")
                continue
            of_trade = {f"trade_{name}": trade.get(name) for name in _OF_TRADE} if trade else {}
            yield {**order, **of_trade, "trade_number": number_, "is_dry_run": self.is_dry_run}

    def memory(self, notes: Notes) -> Iterator[Row | Refused]:
        """All pair locks and key-values as one snapshot, as of the newest of them."""
        state = {name: list(self.db.rows(name, notes)) for name in _MEMORY if name in self.there}
        times = [row.get(name) for rows in state.values() for row in rows for name in ("lock_time", "datetime_value")]
        known_times = [time for time in times if time is not None]
        if known_times:
            yield {**state, "snapshot_time": max(known_times, key=_comparable)}
        elif any(state.values()):
            yield Refused(state, "no time in any of its rows")

    def wallet(self, notes: Notes) -> Iterator[Row]:
        """The balances of one time as one snapshot."""
        rows = self.db.rows(_WALLET, notes, order_by=("timestamp", "id"))
        for time, of_time in groupby(rows, key=lambda row: row["timestamp"]):
            yield {"snapshot_time": time, _WALLET: list(of_time)}

    def _of_trades(self, table: str, notes: Notes) -> Callable[[int], list[Row]]:
        if table not in self.there:
            return lambda _: []
        return Following(self.db.rows(table, notes, order_by=("ft_trade_id", "id")), "ft_trade_id")


def _comparable(value: Any) -> Any:
    try:
        return as_moment("snapshot_time", value)
    except InvalidRowError:
        return as_moment("snapshot_time", 0, unit="s")
