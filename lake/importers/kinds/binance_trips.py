"""Executions of one bot and symbol paired to round trips: from flat, in, and out to flat again.

Only what adds up is a round trip: entries of one side, then exits of the other, of the same quantity. What does not is
kept as executions alone, and told.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Any

from lake.errors import InvalidRowError
from lake.importers.base import Notes, Options, Row
from lake.importers.reading.database import Database
from lake.importers.reading.set_aside import SetAside
from lake.importers.rules import moment
from lake.importers.values import as_number, is_nothing, known_number
from lake.importers.wording import counted
from lake.spec.symbols import canonical, split

TRIP = "round trip"  # under which an execution carries the id of its round trip
MEMBERS = "fills"  # under which both carry the ids of all executions of the round trip
PURGED = "purged"  # under which an execution says that only the lake still has it
_ORDER = ("bot_id", "symbol", "is_test_mode", "execution_time", "created_at", "trade_id")
_SAME = 1e-9
_DIGITS = 10  # of an average price
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_AT = moment("execution_time", "created_at")
Series = tuple[Any, ...]
Purged = Callable[[], Mapping[Series, Callable[[], Iterator[Row]]]]


def configs(db: Database) -> Mapping[str, Row]:
    """Bot -> its configuration."""
    return {str(row["bot_id"]): row for row in db.rows("bot_configs", Notes())}


def with_configs(db: Database, table: str, known: Mapping[str, Row], notes: Notes) -> Iterator[Row]:
    """The rows of a table, each with its bot's configuration."""
    order = [name for name in ("bot_id", "signal_time", "signal_id") if name in db.columns(table)]
    yield from ({**row, "config": known.get(str(row["bot_id"]))} for row in db.rows(table, notes, order))


def fills(db: Database, purged: Purged, notes: Notes) -> Iterator[Row]:
    """All executions, each with the id of the round trip that it is part of; purged ones of a whole one too.

    Args:
        db: of the bots.
        purged: gives, in order of time and of each series as they were found, the executions that the lake has in no
            round trip, and the database no longer has.
        notes: told how many of them are taken.
    """
    taken = 0
    for group in _groups(db, purged, notes):
        trip = group.first["trade_id"] if group.is_whole else None
        members = group.members if group.is_whole else None
        for row in group.fills:
            if group.is_whole or PURGED not in row:
                taken += PURGED in row
                yield {**row, TRIP: trip, MEMBERS: members}
    if taken:
        said = ("purged execution is", "purged executions are")
        notes.tell(f"{counted(taken, *said)} taken from the lake: their round trips have ended")


def trips(db: Database, known: Mapping[str, Row], purged: Purged, notes: Notes) -> Iterator[Row]:
    """All round trips; how many executions of the bots are part of none is told."""
    left = elsewhere = 0
    for group in _groups(db, purged, Notes()):
        if group.is_whole:
            elsewhere += _is_paid_elsewhere(group)
            yield {**group.trip(), "config": known.get(str(group.first["bot_id"]))}
        else:
            left += group.own
    if left:
        notes.tell(f"{counted(left, 'execution is', 'executions are')} part of no whole round trip; kept as fills")
    if elsewhere:
        notes.tell(
            f"{counted(elsewhere, 'round trip')} paid fees in another currency than the prices, so the fees are empty"
        )


@dataclass
class _Group:
    """Executions that follow each other: a round trip that goes on or is whole, or what is none.

    A bot may go on for ever without being flat, so its executions wait on disk where they are many.
    """

    first: Row
    last: Row = field(default_factory=dict)
    fills: SetAside = field(default_factory=SetAside)
    entered: float = 0.0
    left: float = 0.0
    own: int = 0  # executions that the bots still have

    def __post_init__(self) -> None:
        self.add(self.first)

    @property
    def is_whole(self) -> bool:
        """Whether as much was sold as bought."""
        return self.entered > 0 and math.isclose(self.entered, self.left, rel_tol=_SAME)

    @property
    def members(self) -> list[str]:
        """The ids of its executions."""
        return [str(row["trade_id"]) for row in self.fills]

    def takes(self, row: Row) -> bool:
        """Whether an execution can follow."""
        begins = self.entered > 0 and not self.is_whole
        if not begins or series_of(row) != series_of(self.first) or not _quantity(row) > 0:
            return False
        if _is_entry(row):
            return row["side"] == self.first["side"] and self.left == 0
        return row["side"] != self.first["side"] and self.left + _quantity(row) <= self.entered * (1 + _SAME)

    def add(self, row: Row) -> None:
        """Take it."""
        self.fills.add(row)
        self.last, self.own = row, self.own + (PURGED not in row)
        if _is_entry(row):
            self.entered += _quantity(row)
        else:
            self.left += _quantity(row)

    def trip(self) -> dict[str, Any]:
        """A row of the round trip; its id is that of its first execution."""
        first, last = self.first, self.last
        results = (known_number(row.get("pnl")) for row in self.fills if not _is_entry(row))
        told = array("d", (math.nan if result is None else result for result in results))
        pnl = None if any(map(math.isnan, told)) else math.fsum(told)
        price = _average(row for row in self.fills if _is_entry(row))
        return {
            **{name: first.get(name) for name in ("trade_id", "bot_id", "symbol", "order_id", "is_test_mode")},
            "side": first["side"],
            "quantity": self.entered,
            "entry_price": price,
            "exit_price": _average(row for row in self.fills if not _is_entry(row)),
            "fees": _fees(self),
            "pnl": pnl,
            "pnl_percent": None if pnl is None else round(pnl / (price * self.entered) * 100, _DIGITS),
            "exit_reason": last.get("strategy_signal") or last.get("signal_reason"),
            "opened_at": first.get("execution_time") or first.get("created_at"),
            "closed_at": last.get("execution_time") or last.get("created_at"),
            MEMBERS: self.members,
        }


def _groups(db: Database, purged: Purged, notes: Notes) -> Iterator[_Group]:
    group: _Group | None = None
    for row in _executions(db, purged, notes):
        if group is not None and group.takes(row):
            group.add(row)
            continue
        if group is not None:
            yield group
        group = _Group(row)
    if group is not None:
        yield group


def _executions(db: Database, purged: Purged, notes: Notes) -> Iterator[Row]:
    """Those of the bots in order, with those that the lake has and the bots have purged."""
    order, gone = [name for name in _ORDER if name in db.columns("bot_trades")], purged()
    for series, rows in groupby(db.rows("bot_trades", notes, order), series_of):
        timed = _timed(rows, _LONG_AGO)
        if series in gone:
            timed = merge(_timed(({**row, PURGED: True} for row in gone[series]()), None), timed, key=itemgetter(0))
        yield from (row for _, row in timed)


def _timed(rows: Iterable[Row], before: datetime | None) -> Iterator[tuple[datetime, Row]]:
    """Rows, each with its time, or that of the one before it; none where that has none either."""
    for row in rows:
        with suppress(InvalidRowError):  # what has no time is refused when it is mapped
            before = _AT.read(row, Options()) or before
        if before is None:
            return
        yield before, row


def series_of(row: Row) -> Series:
    """What executions that follow each other have in common."""
    return row.get("bot_id"), row.get("symbol"), row.get("is_test_mode")


def _is_entry(row: Row) -> bool:
    """A row that does not say is one, as the schema has it."""
    value = row.get("is_entry")
    return value is None or bool(value)


def _quantity(row: Row) -> float:
    try:
        return as_number("quantity", row.get("quantity")) if as_number("price", row.get("price")) > 0 else 0.0
    except InvalidRowError:
        return 0.0


def _average(rows: Iterable[Row]) -> float:
    sizes, values = array("d"), array("d")
    for row in rows:
        sizes.append(_quantity(row))
        values.append(sizes[-1] * float(row["price"]))
    return round(math.fsum(values) / math.fsum(sizes), _DIGITS)


def _fees(group: _Group) -> float | None:
    """All commissions, where they were paid in the currency of the prices; one that names no currency was."""
    told = (row.get("commission") for row in group.fills)
    known = (known_number(commission) for commission in told if not is_nothing(commission))
    paid = array("d", (math.nan if commission is None else commission for commission in known))
    is_known = bool(paid) and not any(map(math.isnan, paid))
    return math.fsum(paid) if is_known and not _is_paid_elsewhere(group) else None


def _is_paid_elsewhere(group: _Group) -> bool:
    quote = split(canonical(str(group.first.get("symbol") or "")))[1]
    assets = {str(row.get("commission_asset") or quote).upper() for row in group.fills if row.get("commission")}
    return bool(assets - {quote})
