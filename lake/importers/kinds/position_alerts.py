"""Alerts of a positions.db: which of them the lake has, and which position each belongs to.

What a row of checkpoint_alerts tells never changes: the number of its position, the level, the moment and the price. So
these are its id, whatever its bot does with the position meanwhile. One that the lake has keeps the id that it has
there, and its position, though the database may no longer tell of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from lake.errors import InvalidRowError
from lake.importers.base import Options, Row, RowMap, Rule
from lake.importers.kinds.bound_positions import ALERTED, POSITION, TELLING, name_of
from lake.importers.mapping import IMPORTED, plain
from lake.importers.rules import constant, first_of, found, identity, one_of, price, share
from lake.importers.values import as_number

_ADVICE = {word: word for word in ("HOLD", "PARTIAL_CLOSE", "CLOSE_NOW", "MOVE_SL")}
_LANDED = Path(__file__).with_suffix(".sql")
_POSITIONS = Path(__file__).with_name("alerted_positions.sql")
_TABLES = ("open_positions", "positions")
_ROUNDED = timedelta(seconds=1)  # what a store may have cut off a time
DATABASE = "database"  # under which a position tells which it is from, so that numbers of two are told apart
_OWN = "position"  # under which an alert carries the row of its position


def _name(row: Row, _options: Options) -> str:
    name = name_of(row)
    if name is None:
        raise InvalidRowError("it names no position", where="signal_id or position_id")
    return _spelled(name)


def _spelled(name: Any) -> str:
    return name if isinstance(name, str) else f"position {name}"


def _level(row: Row, _options: Options) -> float | None:
    """In percent: of 25, of 25%, and of 0.25."""
    name, value = found(row, ("checkpoint_level", "level"))
    if value is None:
        return None
    given = as_number(name, value.strip().removesuffix("%") if isinstance(value, str) else value)
    return given * 100 if 0 < given < 1 else given


_NAME = Rule(("signal_id", "position_id"), _name)
_LEVEL, _PRICE = Rule(("checkpoint_level", "level"), _level), price("trigger_price", "checkpoint_price")
_FACTS = (_NAME, _LEVEL, ALERTED, _PRICE)


@dataclass(frozen=True, slots=True)
class _Landed:
    """An alert of the lake: its position, where that is known, with what tells it from others; and its found row."""

    alert_id: str
    position_id: str | None
    database: str | None
    telling: tuple[Any, ...]
    found: Row


@dataclass(frozen=True, slots=True)
class _Known:
    """A position of the lake: when it was held, and between which prices its levels lie."""

    position_id: str
    opened: datetime
    ended: datetime | None
    database: str | None
    low: float | None
    high: float | None

    def may_have(self, at: datetime, price: float | None) -> bool:
        """Whether an alert can be one of its own; its price may lie beyond the levels by as much as they span."""
        if price is not None and self.low is not None and self.high is not None:
            span = self.high - self.low
            if span and not self.low - span <= price <= self.high + span:
                return False
        return self.opened <= at and (self.ended is None or at < self.ended + _ROUNDED)


class PositionAlerts:
    """The ids and positions that alerts of one database have in the lake.

    A position that the database has dropped is known by its number alone where no other can have had it: the table
    counts on, and the lake has just one of that number that was held then, from the same database. That is the file at
    the same place, or one with alerts that landed from it.

    Args:
        kind: of the store, as importers are called.
        table: of the alerts.
        database: what the positions of this one are kept with.
        counts_on: whether the database gives no number of a position twice.
    """

    def __init__(self, kind: str, table: str, database: str, *, counts_on: bool) -> None:
        self._kind, self._label, self._counts_on = kind, f"{kind}:{table}", counts_on
        self._landed: Mapping[str, Sequence[_Landed]] = {}
        self._known: Mapping[str, Sequence[_Known]] = {}
        self._databases: set[str | None] = {database, None}  # an older version did not keep it with positions
        self._tied: dict[str, set[str]] = defaultdict(set)  # number -> positions that alerts of this database have

    @property
    def map(self) -> RowMap:
        """What an alert becomes."""
        return RowMap(
            "checkpoint_alerts",
            {
                "alert_id": Rule(_NAME.names, lambda row, options: self._placed(row, options)[0]),
                "position_id": Rule(_NAME.names, lambda row, options: self._placed(row, options)[1]),
                "level": _LEVEL,
                "price": _PRICE,
                "recommendation": one_of(_ADVICE, "recommendation"),
                "confidence": first_of(share("current_confidence"), share("confidence_at_checkpoint")),
                "alerted_at": ALERTED,
            },
            held=frozenset({_OWN}),
            decided=frozenset({"position_id"}),
        )

    def look(self, lk: Any, rows: Sequence[Row], options: Options) -> None:
        """Find what the lake has of these alerts, and of the positions that the database no longer tells of."""
        self._landed, self._known = {}, {}
        facts = [(row, told) for row in rows if (told := _told(row, options)) is not None]
        if lk is None or not facts:
            return
        times = [told[2] for _, told in facts]
        self._landed = self._there(lk, min(times), max(times), options)
        for _, told in facts:
            there = self._landed.get(_made(options, *told), ())
            if len(there) == 1 and there[0].position_id is not None:
                self._tied[told[0]].add(there[0].position_id)
                self._databases.add(there[0].database)
        if any(row[_OWN] is None for row, _ in facts):
            self._known = self._positions(lk, max(times), options)

    def _there(self, lk: Any, first: datetime, last: datetime, options: Options) -> Mapping[str, Sequence[_Landed]]:
        done = defaultdict(list)
        asked = {"first": first - _ROUNDED, "last": last + _ROUNDED, "label": self._label}
        for row in lk.frame(_LANDED.read_text("utf-8"), asked).rows(named=True):
            before = _imported(row["extra"]).get(self._label)
            if not isinstance(before, dict) or (name := name_of(before)) is None:
                continue
            facts = (_spelled(name), row["level"], row["alerted_at"], row["price"])
            if _is_of(row, facts, options):
                is_known = row["may_be"] and row["position_id"] != _stand_in(facts[0], options)
                telling = (row["symbol"], row["side"], row["opened_at"])
                one = _Landed(
                    row["alert_id"], row["position_id"] if is_known else None, row["database"], telling, before
                )
                done[_made(options, *facts)].append(one)
        return done

    def _positions(self, lk: Any, last: datetime, options: Options) -> Mapping[str, Sequence[_Known]]:
        done = defaultdict(list)
        asked = {"bot": options.bot_id, "last": last, "label": f"{self._kind}:"}
        for row in lk.frame(_POSITIONS.read_text("utf-8"), asked).rows(named=True):
            one = _Known(
                row["position_id"], row["opened_at"], row["ended_at"], row["database"], row["low"], row["high"]
            )
            told = _imported(row["extra"])
            for before in (told.get(f"{self._kind}:{table}") for table in _TABLES):
                _, name = found(before, ("signal_id", "id")) if isinstance(before, dict) else ("", None)
                if name is not None and (self._counts_on or isinstance(name, str)):
                    done[_spelled(name)].append(one)
        return done

    def _placed(self, row: Row, options: Options) -> tuple[str, str]:
        """The id of an alert, and that of its position."""
        facts = tuple(rule.read(row, options) for rule in _FACTS)
        own = None if row[_OWN] is None else POSITION.read(row[_OWN], options)
        made = _made(options, *facts)
        there = self._landed.get(made, ())
        same = self._same(there, row, own, options)
        known = same.position_id if same is not None else None
        position = known or own or self._only(facts) or _stand_in(facts[0], options)
        if same is not None:
            return same.alert_id, position
        return (_made(options, *facts, own) if there else made), position

    def _same(self, there: Sequence[_Landed], row: Row, own: str | None, options: Options) -> _Landed | None:
        """Which of the lake's alerts one is: of another position is another, of another database."""
        if own is None:
            fit = list(there)
        else:
            telling = tuple(rule.read(row[_OWN], options) for rule in TELLING)
            ranked = [
                [one for one in there if one.position_id == own],
                [one for one in there if one.position_id is not None and one.telling == telling],
                [one for one in there if one.position_id is None],
            ]
            fit = next((some for some in ranked if some), [])
        if len(fit) > 1:
            told = plain({name: value for name, value in row.items() if name != _OWN})
            return min(fit, key=lambda one: (one.found != told, one.alert_id))
        return fit[0] if fit else None

    def _only(self, facts: tuple[Any, ...]) -> str | None:
        """The one position of the lake that an alert can belong to."""
        name, _, at, price = facts
        if at is None:
            return None
        at, tied = at.replace(microsecond=0), self._tied.get(name)
        known = [one for one in self._known.get(name, ()) if one.database in self._databases]
        held = [one.position_id for one in known if one.may_have(at, price)]
        fit = {one for one in held if tied is None or one in tied}
        return fit.pop() if len(fit) == 1 else None


def _told(row: Row, options: Options) -> tuple[Any, ...] | None:
    """The facts of an alert; None of one that is refused when it is mapped."""
    try:
        told = tuple(rule.read(row, options) for rule in _FACTS)
    except InvalidRowError:
        return None
    return told if told[2] is not None else None


def _made(options: Options, *facts: Any) -> str:
    done: str = identity("alert", *map(constant, facts)).read({}, options)
    return done


def _stand_in(name: str, options: Options) -> str:
    """For the position of an alert, while it is not known."""
    return f"{options.bot_id}:{name}" if options.bot_id else name


def _is_of(row: Row, facts: tuple[Any, ...], options: Options) -> bool:
    """Whether an alert of the lake is one of this bot's: itself it does not say."""
    if row["position_id"] == _stand_in(facts[0], options) or row["bot_id"] is not None:
        return row["bot_id"] in {None, options.bot_id}
    name, level, at, _ = facts
    before = (_made(options, one, level, at) for one in (row["position_id"], _stand_in(name, options)))
    return row["alert_id"] in {_made(options, *facts), _made(options, *facts, row["position_id"]), *before}


def _imported(extra: str) -> Mapping[str, Any]:
    told = orjson.loads(extra)
    imported = told.get(IMPORTED) if isinstance(told, dict) else None
    return imported if isinstance(imported, dict) else {}
