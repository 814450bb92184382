"""positions.db: what a signal bot holds, its advice at checkpoints on the way to the target, and what it closed.

Two schemas: tables open_positions, checkpoint_alerts and position_history, bound by position numbers; and tables
positions and checkpoint_alerts, bound by the id of a signal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from lake.errors import InvalidRowError
from lake.importers.base import Notes, Options, Row, RowMap, Rule, Table
from lake.importers.kinds.same_trades import SameTrades
from lake.importers.kinds.signal_bot import (
    CLOSED,
    ENTRY,
    EXIT_REASON,
    GOES_ON,
    NEEDED_SIDE,
    OUTCOME,
    PERCENT,
    SIDE,
    SYMBOL,
    TIMEFRAME,
    named,
    shared_id,
    trade_id,
)
from lake.importers.nested import item, together
from lake.importers.reading.database import require
from lake.importers.reading.sqlite import SqliteFile
from lake.importers.rules import (
    constant,
    first_of,
    flag,
    found,
    identity,
    moment,
    number,
    one_of,
    option,
    price,
    result,
    second_of,
    share,
    text,
    within,
)
from lake.importers.values import as_number
from lake.importers.wording import counted

_OPENED = moment("opened_at", "entry_timestamp")
_SHARED = shared_id("signal_id")
_TELLING = (SYMBOL, SIDE, second_of(_OPENED))  # of whether two rows are of one position
_POSITION = named("position", first_of(_SHARED, text("signal_id")), SYMBOL, TIMEFRAME, SIDE, ENTRY, _OPENED)
_TRADE = trade_id(_OPENED, "signal_id")
_SIGNAL = "original_signal_json"
_STATUS = {"OPEN": "open", "PARTIAL": "open", "ACTIVE": "active", "CLOSED": "closed"}
_CHECKPOINTS = (25, 50, 75, 85)
_ADVICE = {word: word for word in ("HOLD", "PARTIAL_CLOSE", "CLOSE_NOW", "MOVE_SL")}

_END = "end"  # under which a position carries the row of the history that tells of its end


def _status(row: Row, options: Options) -> Any:
    """A position of whose end the history tells is closed, whatever it says itself."""
    said = one_of(_STATUS, "status").read(row, options)
    return said if row.get(_END) is None else "closed"


POSITIONS = RowMap(
    "positions",
    {
        "position_id": _POSITION,
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
        "signal_id": _SHARED,
        "opened_at": _OPENED,
        "synced_at": first_of(within(_END, CLOSED), moment("last_checked_at")),
        "extra": together(timeframe=TIMEFRAME, share_left=number("current_size")),
    },
    held=frozenset({_END}),
)


def _of_position(rule: Rule) -> Rule:
    return within("position", rule)


def _level(row: Row, _options: Options) -> float | None:
    """In percent: of 25, of 25%, and of 0.25."""
    name, value = found(row, ("checkpoint_level", "level"))
    if value is None:
        return None
    given = as_number(name, value.strip().removesuffix("%") if isinstance(value, str) else value)
    return given * 100 if 0 < given < 1 else given


_LEVEL, _ALERTED = Rule(("checkpoint_level", "level"), _level), moment("triggered_at", "timestamp")


def _position_of(row: Row, options: Options) -> str:
    """Of the position that it belongs to, or its number where that is no longer there."""
    done = _of_position(_POSITION).read(row, options)
    name, value = found(row, ("signal_id", "position_id"))
    if done is None and value is None:
        raise InvalidRowError("it names no position", where=name)
    scope = f"{options.bot_id}:" if options.bot_id else ""
    return str(done or f"{scope}{value if isinstance(value, str) else f'position {value}'}")


_ALERT_OF = Rule(("position_id", "signal_id"), _position_of)

ALERTS = RowMap(
    "checkpoint_alerts",
    {
        "alert_id": identity("alert", _ALERT_OF, _LEVEL, _ALERTED),
        "position_id": _ALERT_OF,
        "level": _LEVEL,
        "price": price("trigger_price", "checkpoint_price"),
        "recommendation": one_of(_ADVICE, "recommendation"),
        "confidence": first_of(share("current_confidence"), share("confidence_at_checkpoint")),
        "alerted_at": _ALERTED,
    },
    held=frozenset({"position"}),
)

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
        "created_at": _OPENED,
        "opened_at": _OPENED,
        "closed_at": CLOSED,
        "extra": together(outcome=OUTCOME, position_id=_of_position(_POSITION)),
    },
    sums={"pnl": "profit_loss_usd", "pnl_percent": PERCENT},
    held=frozenset({"position"}),
)


def _is_dropped(row: Row) -> bool:
    """Whether the history alone tells of a position, and of its end."""
    return row["position"] is None and not _goes_on(row)


ENDED = RowMap(
    "positions",
    {
        **{name: POSITIONS.columns[name] for name in ("position_id", "symbol", "side", "entry_price", "trade_id")},
        "status": constant("closed"),
        "signal_id": _SHARED,
        "opened_at": _OPENED,
        "synced_at": CLOSED,
    },
    when=_is_dropped,
    keep_found=False,
    held=frozenset({"position"}),
)
_TABLES = {"open_positions": POSITIONS, "positions": POSITIONS, "position_history": TRADES, "checkpoint_alerts": ALERTS}
_HISTORY, _ALERTS = "position_history", "checkpoint_alerts"


class PositionsSqlite:
    """Reads positions.db."""

    name = "positions-sqlite"
    summary = "positions.db: positions, advice at checkpoints and closed positions"

    def tables(self, source: str, options: Options) -> Iterable[Table]:
        """Those of its tables that are there; positions first."""
        db = SqliteFile(source)
        there = require(db, _TABLES, kind=self.name)
        same = SameTrades(self.name, _TRADE, _OPENED, first_of(within(_END, CLOSED), CLOSED))
        for name in there:
            rows = partial(_bound if name in {_HISTORY, _ALERTS} else _held, db, name, options)
            look = None if name == _ALERTS else same.look
            yield Table(name, _maps(_TABLES[name], same), rows, db.count(name), look=look)


def _maps(made: RowMap, same: SameTrades) -> tuple[RowMap, ...]:
    """Of a table, whose trades meet those of other stores."""
    if made is ALERTS:
        return (ALERTS,)
    if made is TRADES:
        return (same.map(TRADES), *_maps(ENDED, same))
    return (replace(made, columns={**made.columns, "trade_id": same.trade_id}),)


def _held(db: SqliteFile, table: str, options: Options, notes: Notes) -> Iterator[Row]:
    """Positions, each with the row of the history that tells of its end."""
    ends, over = _ends(db), 0
    for row in db.rows(table, notes):
        told = ends.get(row.get("signal_id", row.get("id")), [])
        end = next((one for one in reversed(told) if _is_end(one, row, options)), None)
        over += end is not None and _STATUS.get(str(row.get("status")).strip().upper()) != "closed"
        yield {**row, _END: end}
    if over:
        notes.tell(
            f"{counted(over, 'position that is said to be held is', 'positions that are said to be held are')} "
            "taken as closed: the history tells of the end"
        )


def _ends(db: SqliteFile) -> Mapping[Any, list[Row]]:
    """What the history tells of each position."""
    ends: dict[Any, list[Row]] = defaultdict(list)
    for row in db.rows(_HISTORY, Notes()) if _HISTORY in db.tables() else ():
        ends[row.get("signal_id", row.get("position_id"))].append(row)
    return ends


def _is_end(told: Row, position: Row, options: Options) -> bool:
    """Whether a row of the history is the end of this position: a number may have been given again."""
    try:
        CLOSED.read(told, options)
        same = all(rule.read(told, options) in {None, rule.read(position, options)} for rule in _TELLING)
    except InvalidRowError:
        return False
    return same and not _goes_on(told)


def _goes_on(told: Row) -> bool:
    """Whether a row of the history tells of a part of a position, which goes on."""
    return str(found(told, ("outcome",))[1]).strip().upper() in GOES_ON


def _bound(db: SqliteFile, table: str, options: Options, notes: Notes) -> Iterator[Row]:
    """Rows of a table, each with the position that it belongs to; of an alert also one that only the history tells."""
    positions = _positions(db)
    ends = _ends(db) if table == _ALERTS else {}
    lost = 0
    for row in db.rows(table, notes):
        name = row.get("signal_id", row.get("position_id"))
        position = positions.get(name) or _ended(ends.get(name, ()), row, options)
        lost += position is None
        yield {**row, "position": position}
    if lost and table == _ALERTS:
        some = counted(lost, "alert belongs to a position that is", "alerts belong to positions that are")
        notes.tell(f"{some} no longer there")


def _ended(told: Iterable[Row], alert: Row, options: Options) -> Row | None:
    """The last that had begun when the alert came: a number may have been given again."""
    done = None
    for one in told:
        try:
            _POSITION.read(one, options)
            opened, alerted = _OPENED.read(one, options), _ALERTED.read(alert, options)
        except InvalidRowError:
            continue
        if opened is not None and alerted is not None and opened <= alerted:
            done = one
    return done


def _positions(db: SqliteFile) -> Mapping[Any, Row]:
    there = db.tables()
    by_number = {row.get("id"): row for row in db.rows("open_positions", Notes())} if "open_positions" in there else {}
    by_signal = {row.get("signal_id"): row for row in db.rows("positions", Notes())} if "positions" in there else {}
    return {**by_number, **by_signal}
