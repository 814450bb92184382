"""positions.db: what a signal bot holds, its advice at checkpoints on the way to the target, and what it closed.

Two schemas: tables open_positions, checkpoint_alerts and position_history, bound by position numbers; and tables
positions and checkpoint_alerts, bound by the id of a signal.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from lake.importers.base import Notes, Options, Row, RowMap, Rule, Table
from lake.importers.kinds.bound_positions import HISTORY, OPENED, POSITION, SHARED, BoundPositions, goes_on
from lake.importers.kinds.position_alerts import DATABASE, PositionAlerts
from lake.importers.kinds.same_trades import SameTrades
from lake.importers.kinds.signal_bot import (
    CLOSED,
    ENTRY,
    EXIT_REASON,
    NEEDED_SIDE,
    OUTCOME,
    PERCENT,
    SYMBOL,
    TIMEFRAME,
    trade_id,
)
from lake.importers.nested import item, together
from lake.importers.reading.database import require
from lake.importers.reading.sqlite import SqliteFile
from lake.importers.rules import (
    constant,
    first_of,
    flag,
    moment,
    number,
    one_of,
    option,
    price,
    result,
    share,
    text,
    within,
)
from lake.importers.unread import naming_unread
from lake.importers.wording import counted

_TRADE = trade_id(OPENED, "signal_id")
_SIGNAL = "original_signal_json"
_STATUS = {"OPEN": "open", "PARTIAL": "open", "ACTIVE": "active", "CLOSED": "closed"}
_DIGITS = 16
_CHECKPOINTS = (25, 50, 75, 85)
_END = "end"  # under which a position carries the row of the history that tells of its end


def _status(row: Row, options: Options) -> Any:
    """A position of whose end the history tells is closed, whatever it says itself."""
    said = one_of(_STATUS, "status").read(row, options)
    return said if row.get(_END) is None else "closed"


POSITIONS = RowMap(
    "positions",
    {
        "position_id": POSITION,
        "symbol": SYMBOL,
        "side": NEEDED_SIDE,
        "entry_price": ENTRY,
        "stop_loss": price("sl_price"),
        "tp1": price("tp1_price"),
        "tp2": price("tp2_price"),
        "tp3": price("tp3_price"),
        "confidence": first_of(share("confidence"), within(_SIGNAL, share("confidence"))),
        **{f"checkpoint_{level}": flag(f"checkpoint_{level}_triggered") for level in _CHECKPOINTS},
        "status": Rule(("status",), _status),
        "trade_id": _TRADE,
        "signal_id": SHARED,
        "opened_at": OPENED,
        "synced_at": first_of(within(_END, CLOSED), moment("last_checked_at")),
        "extra": together(timeframe=TIMEFRAME, share_left=number("current_size"), database=text(DATABASE)),
    },
    held=frozenset({_END, DATABASE}),
)


def _of_position(rule: Rule) -> Rule:
    return within("position", rule)


TRADES = RowMap(
    "trades",
    {
        "trade_id": _TRADE,
        "symbol": SYMBOL,
        "side": NEEDED_SIDE,
        "status": constant("closed"),
        "mode": option("mode", "live"),
        "strategy": option("strategy"),
        "timeframe": TIMEFRAME,
        "entry_price": ENTRY,
        "exit_price": price("exit_price"),
        "stop_loss": _of_position(price("sl_price")),
        "take_profit": first_of(_of_position(price("tp1_price")), _of_position(within(_SIGNAL, item(0, "tp_prices")))),
        "pnl": number("profit_loss_usd"),
        "pnl_percent": result(*PERCENT),
        "exit_reason": EXIT_REASON,
        "created_at": OPENED,
        "opened_at": OPENED,
        "closed_at": CLOSED,
        "extra": together(outcome=OUTCOME, position_id=_of_position(POSITION)),
    },
    sums={"pnl": "profit_loss_usd", "pnl_percent": PERCENT},
    held=frozenset({"position"}),
)


def _is_dropped(row: Row) -> bool:
    """Whether the history alone tells of a position, and of its end."""
    return row["position"] is None and not goes_on(row)


ENDED = RowMap(
    "positions",
    {
        **{name: POSITIONS.columns[name] for name in ("position_id", "symbol", "side", "entry_price", "trade_id")},
        "status": constant("closed"),
        "signal_id": SHARED,
        "opened_at": OPENED,
        "synced_at": CLOSED,
    },
    when=_is_dropped,
    keep_found=False,
    held=frozenset({"position"}),
)
_ALERTS = "checkpoint_alerts"
_MAPS: Mapping[str, RowMap] = {"open_positions": POSITIONS, "positions": POSITIONS, HISTORY: TRADES}


class PositionsSqlite:
    """Reads positions.db."""

    name = "positions-sqlite"
    summary = "positions.db: positions, advice at checkpoints and closed positions"

    def tables(self, source: str, options: Options) -> Iterable[Table]:
        """Those of its tables that are there; positions first."""
        db = SqliteFile(source)
        there = require(db, [*_MAPS, _ALERTS], kind=self.name)
        yield from naming_unread(db, there, self._tables(db, there, options))

    def _tables(self, db: SqliteFile, there: tuple[str, ...], options: Options) -> Iterator[Table]:
        same = SameTrades(self.name, _TRADE, OPENED, first_of(within(_END, CLOSED), CLOSED))
        for name in (one for one in there if one in _MAPS):
            rows = partial(_history, db, options) if name == HISTORY else partial(_held, db, name, options)
            yield Table(name, _maps(_MAPS[name], same), rows, db.count(name), look=same.look)
        if _ALERTS in there:
            alerts = PositionAlerts(self.name, _ALERTS, _digest(db), counts_on=db.counts_on("open_positions"))
            yield Table(_ALERTS, (alerts.map,), partial(_alerts, db, options), db.count(_ALERTS), look=alerts.look)


def _digest(db: SqliteFile) -> str:
    """Tells a database from others by where it is."""
    return hashlib.sha256(os.fsencode(Path(db.where).resolve())).hexdigest()[:_DIGITS]


def _maps(made: RowMap, same: SameTrades) -> tuple[RowMap, ...]:
    """Of a table, whose trades meet those of other stores."""
    if made is TRADES:
        return (same.map(TRADES), *_maps(ENDED, same))
    return (replace(made, columns={**made.columns, "trade_id": same.met_id}),)


def _held(db: SqliteFile, table: str, options: Options, notes: Notes) -> Iterator[Row]:
    """Positions, each with the row of the history that tells of its end."""
    bound, name, over = BoundPositions(db, options), _digest(db), 0
    for row in db.rows(table, notes):
        end = bound.end_of(row)
        over += end is not None and _STATUS.get(str(row.get("status")).strip().upper()) != "closed"
        yield {**row, _END: end, DATABASE: name}
    if over:
        notes.tell(
            f"{counted(over, 'position that is said to be held is', 'positions that are said to be held are')} "
            "taken as closed: the history tells of the end"
        )


def _history(db: SqliteFile, options: Options, notes: Notes) -> Iterator[Row]:
    """Rows of the history, each with the position that it tells of, where that is still held."""
    bound = BoundPositions(db, options)
    for row in db.rows(HISTORY, notes):
        yield {**row, "position": bound.of_history(row)}


def _alerts(db: SqliteFile, options: Options, notes: Notes) -> Iterator[Row]:
    """Alerts, each with the position that it belongs to, as it is held or as the history tells of it."""
    bound, lost = BoundPositions(db, options), 0
    for row in db.rows(_ALERTS, notes):
        position = bound.of_alert(row)
        lost += position is None
        yield {**row, "position": position}
    if lost:
        some = counted(lost, "alert belongs to a position that is", "alerts belong to positions that are")
        notes.tell(f"{some} no longer there")
