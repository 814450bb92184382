"""Which position of a positions.db a row of its history, or one of its alerts, belongs to.

Rows name positions by number, and a bot gives a number again once the position is gone, where its table is not made to
count on. So a number says which position is meant only together with what else the row tells: facts, or a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from lake.errors import InvalidRowError
from lake.importers.base import Notes, Options, Row, Rule
from lake.importers.kinds.signal_bot import CLOSED, ENTRY, GOES_ON, SIDE, SYMBOL, TIMEFRAME, named, shared_id
from lake.importers.reading.sqlite import SqliteFile
from lake.importers.rules import first_of, found, moment, second_of, text

OPENED = moment("opened_at", "entry_timestamp")
ALERTED = moment("triggered_at", "timestamp")
SHARED = shared_id("signal_id")
POSITION = named("position", first_of(SHARED, text("signal_id")), SYMBOL, TIMEFRAME, SIDE, ENTRY, OPENED)
TELLING = (SYMBOL, SIDE, second_of(OPENED))  # of whether two rows are of one position
HISTORY = "position_history"
_NAMES = ("signal_id", "position_id")  # under which a row names its position
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_OPENED, _CLOSED, _ALERTED = second_of(OPENED), second_of(CLOSED), second_of(ALERTED)


def name_of(row: Row) -> Any:
    """The signal or number by which a row names its position; None where it names none."""
    return found(row, _NAMES)[1]


class BoundPositions:
    """The positions that a database holds, and those of which its history tells.

    Args:
        db: the database.
        options: what the caller said.
    """

    def __init__(self, db: SqliteFile, options: Options) -> None:
        self._options = options
        there = db.tables()
        self._numbered = {row.get("id"): row for row in _rows(db, "open_positions", there)}
        self._signals = {row["signal_id"]: row for row in _rows(db, "positions", there) if row.get("signal_id")}
        self._told: dict[Any, list[Row]] = defaultdict(list)
        for row in _rows(db, HISTORY, there):
            self._told[name_of(row)].append(row)

    def end_of(self, position: Row) -> Row | None:
        """The row of the history that tells of the end of a position which is still held; None where there is none."""
        told = reversed(self._told.get(found(position, ("signal_id", "id"))[1], ()))
        return next((row for row in told if not goes_on(row) and self._are_one(row, position)), None)

    def of_history(self, told: Row) -> Row | None:
        """The position that is still held, and of which a row of the history tells."""
        name = name_of(told)
        position = self._signals.get(name) or self._numbered.get(name)
        return position if position is not None and self._are_one(told, position) else None

    def of_alert(self, alert: Row) -> Row | None:
        """The position that an alert belongs to: of those that have had its number the last that had begun by then.

        One that is no longer held, and had ended by then, is not it.
        """
        name = name_of(alert)
        if name in self._signals:
            return self._signals[name] if self._read(POSITION, self._signals[name]) else None
        at, done, latest = self._read(_ALERTED, alert), None, _LONG_AGO
        for position, ends in [*self._held(name), *self._gone(name)]:
            opened = self._opened(position)
            if at is not None and opened is not None and latest < opened <= at <= (ends or at):
                done, latest = position, opened
        return done

    def _held(self, name: Any) -> Iterator[tuple[Row, datetime | None]]:
        """The position that has the number now; its alerts are its own as long as it is there."""
        if name in self._numbered:
            yield self._numbered[name], None

    def _gone(self, name: Any) -> Iterator[tuple[Row, datetime | None]]:
        """What the history tells of those that have had a number, each with its end, where that is known."""
        told = self._told.get(name, ())
        ends = {self._opened(row): self._read(_CLOSED, row) for row in told if not goes_on(row)}
        for row in told:
            yield row, ends.get(self._opened(row))

    def _opened(self, row: Row) -> datetime | None:
        """When a position began; None of one that would be refused."""
        return self._read(_OPENED, row) if self._read(POSITION, row) else None

    def _read(self, rule: Rule, row: Row) -> Any:
        with suppress(InvalidRowError):
            return rule.read(row, self._options)
        return None

    def _are_one(self, told: Row, position: Row) -> bool:
        """Whether a row of the history tells of this position: of facts that it does not tell that is not asked."""
        try:
            ended, opened = _CLOSED.read(told, self._options), _OPENED.read(position, self._options)
            facts = [(rule.read(told, self._options), rule.read(position, self._options)) for rule in TELLING]
        except InvalidRowError:
            return False
        return (ended or opened or _LONG_AGO) >= (opened or _LONG_AGO) and all(one in {None, own} for one, own in facts)


def goes_on(told: Row) -> bool:
    """Whether a row of the history tells of a part of a position, which goes on."""
    return str(found(told, ("outcome",))[1]).strip().upper() in GOES_ON


def _rows(db: SqliteFile, table: str, there: Iterable[str]) -> Iterator[Row]:
    return db.rows(table, Notes()) if table in there else iter(())
