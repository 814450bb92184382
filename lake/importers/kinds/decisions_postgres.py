"""Decisions of a language model with what came of them: trades, positions, decisions and prompt_versions.

The tables are as Drizzle makes them, with or without zones in their times, in snake or camel case.
``max_favorable`` and ``max_adverse`` are profits there, not prices, so they stay beside the row. An outcome without a
time was known when its trade was closed; one of which nothing tells the time is not taken, and counted.
Ids that are only numbers, and versions of prompts, are of one database: those of several are told apart by the bot
that the caller names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from lake.errors import InvalidRowError
from lake.importers.base import Notes, Options, Row, RowMap, Rule, Table
from lake.importers.kinds.decision_prompts import Prompts
from lake.importers.reading.database import Database, database, require
from lake.importers.rules import (
    constant,
    document,
    first_of,
    flag,
    found,
    moment,
    number,
    numbered,
    one_of,
    option,
    price,
    renamed,
    result,
    side,
    symbol,
    text,
    timeframe,
    whole,
    within,
)
from lake.importers.spellings import snake_and_camel
from lake.importers.unread import naming_unread
from lake.importers.wording import counted

_TABLES = ("prompt_versions", "decisions", "trades", "positions")
_STATUS = {word.upper(): word for word in ("pending", "open", "closed", "cancelled", "error")} | {
    "CANCELED": "cancelled"
}
_ENDS = {"tp_hit": "tp", "sl_hit": "sl", "take_profit": "tp", "stop_loss": "sl"}
_SAID = {
    "LONG": "LONG",
    "SHORT": "SHORT",
    "HOLD": "HOLD",
    "BUY": "LONG",
    "SELL": "SHORT",
    "NEUTRAL": "HOLD",
    "WAIT": "HOLD",
}


def _id(name: str) -> Rule:
    return numbered(*snake_and_camel(name), by=option("bot_id"))


def _moment(*names: str) -> Rule:
    return moment(*snake_and_camel(*names))


_ENTRY, _STOP, _TARGET = (price(*snake_and_camel(name)) for name in ("entry_price", "stop_loss", "take_profit"))
_OPENED, _CLOSED, _STATE = _moment("opened_at"), _moment("closed_at"), one_of(_STATUS, "status")

TRADES = RowMap(
    "trades",
    {
        "trade_id": _id("id"),
        "symbol": symbol("symbol"),
        "side": side("side"),
        "status": first_of(_STATE, constant("pending")),
        "mode": option("mode", "live"),
        "strategy": option("strategy"),
        "quantity": number("quantity"),
        "entry_price": _ENTRY,
        "exit_price": number(*snake_and_camel("exit_price")),
        "stop_loss": _STOP,
        "take_profit": _TARGET,
        "pnl": number("pnl"),
        "pnl_percent": result(*snake_and_camel("pnl_percent")),
        "exit_reason": renamed(_ENDS, *snake_and_camel("exit_reason")),
        "order_id": text(*snake_and_camel("bybit_order_id", "order_id")),
        "decision_id": _id("decision_id"),
        "prompt_version": text(*snake_and_camel("prompt_version")),
        "created_at": first_of(_moment("created_at"), _OPENED, _CLOSED),
        "opened_at": _OPENED,
        "closed_at": _CLOSED,
    },
    sums={"pnl": "pnl", "quantity": "quantity"},
)


def _held(row: Row, options: Options) -> str:
    """A position is held as long as its trade is not over."""
    return "closed" if within("trade", _STATE).read(row, options) in {"closed", "cancelled", "error"} else "open"


POSITIONS = RowMap(
    "positions",
    {
        "position_id": _id("id"),
        "symbol": symbol("symbol"),
        "side": side("side"),
        "quantity": number("quantity"),
        "entry_price": _ENTRY,
        "current_price": price(*snake_and_camel("current_price")),
        "stop_loss": within("trade", _STOP),
        "tp1": within("trade", _TARGET),
        "unrealized_pnl": number(*snake_and_camel("unrealized_pnl")),
        "unrealized_pnl_percent": result(*snake_and_camel("unrealized_pnl_percent")),
        "status": Rule(("trade",), _held),
        "trade_id": _id("trade_id"),
        "opened_at": first_of(
            within("trade", _OPENED), within("trade", _moment("created_at")), _moment("opened_at", "synced_at")
        ),
        "synced_at": _moment("synced_at"),
    },
    sums={"quantity": "quantity"},
    held=frozenset({"trade"}),
)

_ANALYZED, _HELD_FOR = (
    _moment("analyzed_at", "created_at"),
    number(*snake_and_camel("hold_duration_minutes", "hold_duration")),
)


_LONGEST = 5_256_000.0  # minutes that a position may be held: ten years
_CLOSED_WITH_TRADE = within("trade", _CLOSED)


def _recorded(row: Row, options: Options) -> datetime | None:
    """When the outcome was known: as told, or at the end of the trade; None where nothing tells."""
    said: datetime | None = _moment("outcome_recorded_at").read(row, options)
    if said is not None or not _has_outcome(row):
        return said
    begun, minutes = _ANALYZED.read(row, options), _HELD_FOR.read(row, options)
    if begun is None or minutes is None or not 0 <= minutes <= _LONGEST:
        return _CLOSED_WITH_TRADE.read(row, options)  # type: ignore[no-any-return]
    return begun + timedelta(minutes=minutes)  # type: ignore[no-any-return]


def _has_outcome(row: Row) -> bool:
    return found(row, snake_and_camel("outcome_correct", "actual_pnl", "actual_pnl_percent"))[1] is not None


def _once_known(rule: Rule) -> Rule:
    """Of an outcome of which nobody knows when it was known nothing is taken, or it would seem known from the start."""

    def read(row: Row, options: Options) -> Any:
        return None if _recorded(row, options) is None else rule.read(row, options)

    return Rule(rule.names, read)


def _source(row: Row, options: Options) -> str | None:
    return "given" if _has_outcome(row) and _recorded(row, options) is not None else None


DECISIONS = RowMap(
    "decisions",
    {
        "decision_id": _id("id"),
        "symbol": symbol("symbol"),
        "timeframe": timeframe("timeframe"),
        "recommendation": one_of(_SAID, "recommendation"),
        "confidence": number("confidence"),
        "entry_price": _ENTRY,
        "stop_loss": _STOP,
        "take_profit": _TARGET,
        "reasoning": text("reasoning"),
        "market_snapshot": document(*snake_and_camel("market_snapshot")),
        "raw_response": document(*snake_and_camel("raw_response")),
        "chart_image_path": text(*snake_and_camel("chart_image_path")),
        "prompt_version": text(*snake_and_camel("prompt_version")),
        "model_version": text(*snake_and_camel("model_version")),
        "latency_ms": number(*snake_and_camel("analysis_duration_ms", "latency_ms")),
        "input_tokens": whole(*snake_and_camel("input_tokens", "prompt_tokens")),
        "output_tokens": whole(*snake_and_camel("output_tokens", "completion_tokens")),
        "cost_usd": number(*snake_and_camel("cost_usd")),
        "traded": flag("traded"),
        "skip_reason": text(*snake_and_camel("skip_reason")),
        "trade_id": _id("trade_id"),
        "analyzed_at": _ANALYZED,
        "outcome_correct": _once_known(flag(*snake_and_camel("outcome_correct"))),
        "actual_pnl": _once_known(number(*snake_and_camel("actual_pnl"))),
        "actual_pnl_percent": _once_known(result(*snake_and_camel("actual_pnl_percent"))),
        "hold_duration_minutes": _once_known(_HELD_FOR),
        "outcome_recorded_at": Rule(snake_and_camel("outcome_recorded_at"), _recorded),
        "outcome_source": Rule(snake_and_camel("outcome_correct"), _source),
    },
    sums={"actual_pnl": snake_and_camel("actual_pnl")},
    held=frozenset({"trade"}),
)


def _maps(prompts: Prompts) -> dict[str, RowMap]:
    """What the tables become, with versions as they are named here."""
    done = {"positions": POSITIONS, "prompt_versions": prompts.map()}
    return done | {
        name: replace(made, columns={**made.columns, "prompt_version": prompts.version(made.columns["prompt_version"])})
        for name, made in (("trades", TRADES), ("decisions", DECISIONS))
    }


class DecisionsPostgres:
    """Reads the tables of a bot that asks a language model."""

    name = "decisions-postgres"
    summary = "tables trades, positions, decisions and prompt_versions in PostgreSQL"

    def tables(self, source: str, options: Options) -> Iterable[Table]:
        """Those that are there."""
        db = database(source)
        there = require(db, _TABLES, kind=self.name)
        yield from naming_unread(db, there, self._tables(db, there, options))

    def _tables(self, db: Database, there: tuple[str, ...], options: Options) -> Iterator[Table]:
        prompts = Prompts()
        maps = _maps(prompts)
        for name in there:
            if name == "prompt_versions":
                rows = partial(prompts.rows, db, options)
                count, look = db.count(name), prompts.look
                yield Table(name, (maps[name],), rows, count, before=prompts.before, look=look)
            else:
                yield Table(name, (maps[name],), partial(_rows, db, name, options), db.count(name))


def _rows(db: Database, name: str, options: Options, notes: Notes) -> Iterator[Row]:
    if db.columns(name).get("id", "").startswith("int") and not options.bot_id:
        notes.tell("its ids are numbers, which another database has as well: name the bot with --bot-id")
    if name == "decisions":
        return _decisions(db, options, notes)
    return _positions(db, notes) if name == "positions" else db.rows(name, notes, order_by=("id",))


def _positions(db: Database, notes: Notes) -> Iterator[Row]:
    """Positions, each with its trade, which knows when it was opened. There is one for each symbol, so they are few."""
    held = list(db.rows("positions", notes, ("id",)))
    wanted = {found(row, snake_and_camel("trade_id"))[1] for row in held}
    known = {trade["id"]: trade for trade in _trades(db, notes) if trade["id"] in wanted}
    yield from ({**row, "trade": known.get(found(row, snake_and_camel("trade_id"))[1])} for row in held)


def _decisions(db: Database, options: Options, notes: Notes) -> Iterator[Row]:
    """Decisions; one whose outcome has no time with the end of its trade."""
    ends: dict[Any, Row] | None = None
    untimed = 0
    for row in db.rows("decisions", notes, ("id",)):
        if not _is_untimed(row, options):
            yield row
            continue
        if ends is None:
            ends = {t["id"]: {n: t[n] for n in _CLOSED.names if n in t} for t in _trades(db, notes)}
        with_trade = {**row, "trade": ends.get(found(row, snake_and_camel("trade_id"))[1])}
        untimed += _is_untimed(with_trade, options)
        yield with_trade
    if untimed:
        some = counted(untimed, "outcome is not taken", "outcomes are not taken")
        notes.tell(f"{some}, as nothing tells when it was known: it stays beside its decision, in extra")


def _is_untimed(row: Row, options: Options) -> bool:
    """Whether there is an outcome, and nothing tells when it was known."""
    try:
        return _has_outcome(row) and _recorded(row, options) is None
    except InvalidRowError:
        return False  # it is refused when it is mapped


def _trades(db: Database, notes: Notes) -> Iterator[Row]:
    return db.rows("trades", notes) if "trades" in db.tables() else iter(())
