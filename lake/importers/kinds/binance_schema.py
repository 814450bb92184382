"""The PostgreSQL schema of the Binance bots: configurations, states, executions, signals, daily and current figures.

Shares are of two kinds there: risk, size, trailing stop, guard and drawdown are fractions; stop, target and win rate
are percent. ``max_drawdown`` of a day is of neither kind for sure, so it stays beside the row. Prices have four digits
behind the point: those of small coins are lost, and a price of which nothing is left is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from lake.importers.base import Options, Row, RowMap, Rule, Table
from lake.importers.kinds import binance_trips
from lake.importers.kinds.landed_trips import LandedTrips
from lake.importers.mapping import found_before
from lake.importers.reading.database import Database, database, require
from lake.importers.rules import (
    constant,
    document,
    first_of,
    flag,
    moment,
    number,
    numbered,
    one_of,
    option,
    percent,
    price,
    side,
    symbol,
    text,
    timeframe,
    whole,
    within,
)
from lake.importers.there import columns_of
from lake.importers.unread import naming_unread
from lake.spec import registry

_SCHEMA = "binance"
_BOT, _SYMBOL = text("bot_id"), symbol("symbol")
_OWNER = first_of(_BOT, option("bot_id"))  # databases count their rows each for itself
_VENUE = option("venue", "binance")
_HELD = {"LONG": "LONG", "SHORT": "SHORT", "BUY": "LONG", "SELL": "SHORT", "NONE": None, "FLAT": None}
_ORDERED = {"BUY": "BUY", "SELL": "SELL"}
_ACTIONS = {word: word for word in ("EXECUTED", "IGNORED", "REJECTED")} | {"PENDING": None, "NONE": None}


def _mode(row: Row, options: Options) -> str:
    """A row that does not say is of a test, as the schema has it."""
    is_test = flag("is_test_mode").read(row, options)
    return "live" if is_test is False else "paper"


_MODE = Rule(("is_test_mode",), _mode)
_EXECUTED = moment("execution_time", "created_at")

CONFIGS = RowMap(
    "bot_configs",
    {
        "bot_id": _BOT,
        "bot_name": text("bot_name"),
        "symbol": _SYMBOL,
        "strategy": text("strategy_name"),
        "strategy_params": document("strategy_params"),
        "timeframe": timeframe("interval"),
        "capital": number("capital"),
        "position_size": number("position_size"),
        "risk_per_trade": percent("risk_per_trade"),
        "max_position_size": percent("max_position_size"),
        "stop_loss_pct": number("stop_loss_pct"),
        "take_profit_pct": number("take_profit_pct"),
        "trailing_stop_pct": percent("trailing_stop_pct"),
        "drawdown_guard_pct": percent("drawdown_guard_pct"),
        "is_active": flag("is_active"),
        "is_running": flag("is_running"),
        "started_at": moment("last_started_at", "started_at"),
        "stopped_at": moment("last_stopped_at", "stopped_at"),
        "updated_at": moment("updated_at", "created_at"),
    },
)

STATES = RowMap(
    "bot_states",
    {
        "bot_id": _BOT,
        "snapshot_time": moment("snapshot_time"),
        "state": document("state_data"),
        "total_pnl": number("total_pnl"),
        "win_rate": number("win_rate"),
        "total_trades": whole("total_trades"),
        "winning_trades": whole("winning_trades"),
        "losing_trades": whole("losing_trades"),
        "position_side": one_of(_HELD, "current_position_side", "position_side"),
        "position_size": number("current_position_size", "position_size"),
        "position_entry_price": price("current_position_entry_price", "position_entry_price"),
        "current_trailing_stop": price("current_trailing_stop"),
        "peak_equity": number("peak_equity"),
        "current_drawdown_pct": percent("current_drawdown_pct"),
        "trading_halted": flag("trading_halted"),
        "halt_reason": text("halt_reason"),
    },
)

FILLS = RowMap(
    "fills",
    {
        "fill_id": numbered("trade_id", by=_OWNER),
        "trade_id": numbered(binance_trips.TRIP, by=_OWNER),
        "bot_id": _BOT,
        "venue": _VENUE,
        "symbol": _SYMBOL,
        "order_id": text("order_id"),
        "external_order_id": text("external_order_id"),
        "side": one_of(_ORDERED, "side"),
        "order_type": text("order_type"),
        "quantity": number("quantity"),
        "price": price("price"),
        "commission": number("commission"),
        "commission_asset": text("commission_asset"),
        "pnl": number("pnl"),
        "is_entry": flag("is_entry"),
        "mode": _MODE,
        "signal_reason": text("signal_reason", "strategy_signal"),
        "executed_at": _EXECUTED,
    },
    sums={"quantity": "quantity", "pnl": "pnl", "commission": "commission"},
    held=frozenset({binance_trips.TRIP, binance_trips.MEMBERS, binance_trips.PURGED}),
)

TRADES = RowMap(
    "trades",
    {
        "trade_id": numbered("trade_id", by=_OWNER),
        "bot_id": _BOT,
        "venue": _VENUE,
        "symbol": _SYMBOL,
        "side": side("side"),
        "status": constant("closed"),
        "mode": _MODE,
        "strategy": first_of(within("config", text("strategy_name")), option("strategy")),
        "timeframe": within("config", timeframe("interval")),
        "quantity": number("quantity"),
        "entry_price": number("entry_price"),
        "exit_price": number("exit_price"),
        "fees": number("fees"),
        "pnl": number("pnl"),
        "pnl_percent": number("pnl_percent"),
        "exit_reason": text("exit_reason"),
        "order_id": text("order_id"),
        "created_at": moment("opened_at"),
        "opened_at": moment("opened_at"),
        "closed_at": moment("closed_at"),
    },
    sums={"quantity": "quantity", "pnl": "pnl"},
    held=frozenset({"config"}),
)

DAYS = RowMap(
    "performance_snapshots",
    {
        "bot_id": _BOT,
        "date": text("snapshot_date"),
        "daily_pnl": number("daily_pnl"),
        "total_pnl": number("total_pnl"),
        "trades": whole("total_trades"),
        "wins": whole("winning_trades"),
        "losses": whole("losing_trades"),
        "win_rate": number("win_rate"),
        "sharpe_ratio": number("sharpe_ratio"),
    },
    sums={"daily_pnl": "daily_pnl"},
)

METRICS = RowMap(
    "bot_metrics",
    {
        "bot_id": _BOT,
        "time": moment("metric_time"),
        "price": price("current_price"),
        "position_side": one_of(_HELD, "position_side"),
        "position_size": number("position_size"),
        "unrealized_pnl": number("unrealized_pnl"),
        "realized_pnl": number("realized_pnl"),
        "indicators": document("strategy_indicators"),
        "market_conditions": document("market_conditions"),
    },
    sums={"realized_pnl": "realized_pnl"},
)


def _symbol_of_bot(row: Row, options: Options) -> Any:
    return within("config", _SYMBOL).read(row, options) or _SYMBOL.read(row, options)


SIGNALS = RowMap(
    "signals",
    {
        "signal_id": numbered("signal_id", by=_OWNER),
        "bot_id": _BOT,
        "venue": _VENUE,
        "symbol": Rule(("symbol",), _symbol_of_bot),
        "timeframe": within("config", timeframe("interval")),
        "strategy": first_of(within("config", text("strategy_name")), option("strategy")),
        "signal_type": one_of({**_ORDERED, "HOLD": "HOLD"}, "signal_type"),
        "direction": one_of({"BUY": "LONG", "SELL": "SHORT", "HOLD": None}, "signal_type"),
        "strength": number("signal_strength"),
        "indicators": document("indicators"),
        "entry_price": price("price_at_signal"),
        "action": one_of(_ACTIONS, "action_taken"),
        "rejection_reason": text("rejection_reason"),
        "trade_id": numbered("trade_id", by=_OWNER),
        "signal_time": moment("signal_time"),
    },
    held=frozenset({"config"}),
)

_PLAIN = {
    "bot_configs": (CONFIGS, ("bot_id",)),
    "bot_states": (STATES, ("bot_id", "snapshot_time")),
    "bot_performance_snapshots": (DAYS, ("bot_id", "snapshot_date")),
    "bot_metrics_realtime": (METRICS, ("bot_id", "metric_time")),
}
_TRADES, _SIGNALS, _CONFIGS = "bot_trades", "bot_signals", "binance-schema:bot_configs"


class BinanceSchema:
    """Reads the schema ``binance``."""

    name = "binance-schema"
    summary = "schema binance in PostgreSQL: bot_configs, bot_states, bot_trades and the others"

    def tables(self, source: str, _options: Options) -> Iterable[Table]:
        """Those that are there; of executions also the round trips that they make."""
        db = database(source, _SCHEMA)
        there = require(db, (*_PLAIN, _TRADES, _SIGNALS), kind=self.name)
        yield from naming_unread(db, there, self._tables(db, there))

    def _tables(self, db: Database, there: tuple[str, ...]) -> Iterator[Table]:
        for name in there:
            count = db.count(name)
            if name in _PLAIN:
                mapped, order = _PLAIN[name]
                yield Table(name, (mapped,), partial(db.rows, name, order_by=order), count)
            elif name == _SIGNALS:
                rows = partial(binance_trips.with_configs, db, name, _configs(db))
                yield Table(name, (SIGNALS,), rows, count, completed=_with_landed_configs)
            else:
                landed = LandedTrips(FILLS.columns["fill_id"], f"{self.name}:{name}", db)
                rows = partial(binance_trips.fills, db, landed.purged)
                yield Table(name, (FILLS,), rows, count, completed=landed.fills, opened=landed.opened)
                rows = partial(binance_trips.trips, db, _configs(db), landed.purged)
                yield Table("round trips", (TRADES,), rows, completed=landed.trips, opened=landed.opened)


def _with_landed_configs(lk: Any, rows: Sequence[Row], _options: Options) -> Iterator[Row]:
    """Rows of bots, each with its bot's configuration; as it landed, where it has been deleted since."""
    names = {str(row["bot_id"]) for row in rows if row["config"] is None and row["bot_id"] is not None}
    there = columns_of(lk, registry.get(CONFIGS.dataset), [{"bot_id": name} for name in names], ["bot_id", "extra"])
    for row in rows:
        landed = there.get((str(row["bot_id"]),)) if row["config"] is None else None
        yield row if landed is None else {**row, "config": found_before(landed, _CONFIGS)}


def _configs(db: Database) -> Mapping[str, Row]:
    """Bot -> its configuration: there are few."""
    return binance_trips.configs(db) if "bot_configs" in db.tables() else {}
