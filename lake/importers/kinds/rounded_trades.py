"""Which executed trades are one in two stores of which one keeps whole seconds: the id has both times in it.

They are one trade when its bot, symbol, side, prices and quantity are the same, and both times are equal, or less than
a second apart and one of them is a whole second. The later import then uses the id that the lake has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from lake.errors import InvalidRowError
from lake.importers.base import Options, Row, RowMap
from lake.importers.kinds.met_trades import MetTrades, shared_id
from lake.importers.merging import is_same

_SECOND = timedelta(seconds=1)
_FACTS, _NUMBERS = ("symbol", "side"), ("entry_price", "exit_price", "quantity")
_OTHERS = (
    f"SELECT trade_id, {', '.join((*_FACTS, *_NUMBERS))}, opened_at, closed_at, "
    "CASE WHEN contains(extra::VARCHAR, ?) THEN extra ->> ? END AS own FROM trades "
    "WHERE created_at BETWEEN ? AND ? AND bot_id = ? AND closed_at IS NOT NULL "
    "AND epoch(date_trunc('second', opened_at))::BIGINT IN (SELECT unnest(?::BIGINT[])) "
    "AND (NOT contains(extra::VARCHAR, ?) OR contains(extra::VARCHAR, ?)) ORDER BY trade_id"
)
_LANDED = "SELECT trade_id FROM trades WHERE created_at BETWEEN ? AND ? AND trade_id IN (SELECT unnest(?))"
_EXTRAS = "SELECT trade_id, extra FROM trades WHERE list_contains(?, trade_id) AND extra IS NOT NULL ORDER BY trade_id"


@dataclass(frozen=True, slots=True)
class _Trade:
    """What tells whether two trades are one."""

    name: str
    facts: tuple[Any, ...]
    numbers: tuple[Any, ...]
    times: tuple[datetime, datetime]

    def may_be(self, other: _Trade) -> bool:
        """Whether the two can be one that one store rounds, or cuts, to seconds."""
        are_near = all(map(_is_near, self.times, other.times))
        return are_near and self.facts == other.facts and all(map(is_same, self.numbers, other.numbers))

    def apart(self, other: _Trade) -> timedelta:
        """How far their times are apart."""
        return sum((abs(a - b) for a, b in zip(self.times, other.times, strict=True)), timedelta())


def _is_near(one: datetime, other: datetime) -> bool:
    return one == other or (abs(one - other) < _SECOND and 0 in {one.microsecond, other.microsecond})


class RoundedTrades(MetTrades):
    """The ids that executed trades of one store have in the lake.

    Args:
        kind: of the store, as importers are called.
        made: what its rows become.
        others: the kinds of stores that keep the same trades.
    """

    def __init__(self, kind: str, made: RowMap, others: Sequence[str]) -> None:
        super().__init__(kind, made.columns["trade_id"])
        self._columns, self._others = made.columns, tuple(f"{other}:" for other in others if other != kind)

    def look(self, lk: Any, rows: Sequence[Row], options: Options) -> None:
        """Find the trades of the lake that some rows are."""
        begun = [] if lk is None else list(self._begun(rows, options))
        if not begun:
            return
        times = [at for _, at in begun]
        span = [min(times) - _SECOND, max(times) + _SECOND]
        seconds = sorted({second for at in times for second in _seconds(at)})
        not_mine = [f'"{self._kind}:', f'"{self._known_as}"']  # but for those that were met before
        known = [not_mine[1], f"$.{self._known_as}"]
        found = lk.frame(_OTHERS, [*known, *span, options.bot_id, seconds, *not_mine])
        known_as = dict(found.select("trade_id", "own").iter_rows())
        others = defaultdict(list)
        for other in map(_trade, found.iter_rows(named=True)):
            others[int(other.times[0].timestamp())].append(other)
        told = dict(self._told((row for row, at in begun if not others.keys().isdisjoint(_seconds(at))), options))
        near = {
            name: [one for one in _beside(trade, others) if known_as[one.name] == name or trade.may_be(one)]
            for name, trade in told.items()
        }
        names = sorted(name for name, alike in near.items() if alike and name not in self._theirs)
        landed = set(lk.frame(_LANDED, [*span, names])["trade_id"]) if names else set()
        self._meet(lk, told, {name: near[name] for name in names if name not in landed})

    def _begun(self, rows: Iterable[Row], options: Options) -> Iterator[tuple[Row, datetime]]:
        """Rows, and when their trades began."""
        opened = self._columns["opened_at"].read
        for row in rows:
            with suppress(InvalidRowError):  # it is refused when it is mapped
                at = opened(row, options)
                if at is not None:
                    yield row, at

    def _told(self, rows: Iterable[Row], options: Options) -> Iterator[tuple[str, _Trade]]:
        names = ("trade_id", *_FACTS, *_NUMBERS, "opened_at", "closed_at")
        for row in rows:
            with suppress(InvalidRowError):
                made = {name: self._columns[name].read(row, options) for name in names}
                if made["closed_at"] is not None:
                    yield made["trade_id"], _trade(made)

    def _meet(self, lk: Any, told: dict[str, _Trade], near: dict[str, list[_Trade]]) -> None:
        """Take of each the nearest that other stores alone told of, or the one that was met before."""
        if not near:
            return
        names = sorted({other.name for others in near.values() for other in others})
        tellers = {name: self.tellers(extra) for name, extra in lk.frame(_EXTRAS, [names]).iter_rows()}
        taken = set(self._theirs.values())
        for name, others in near.items():
            free = [
                (self._known(tellers, other.name) != name, told[name].apart(other), other.name)
                for other in others
                if other.name not in taken and self._is_free(tellers, other.name, name)
            ]
            if free:
                one = min(free)[-1]
                known_as = {other.name for other in others if self._known(tellers, other.name) == name}
                self._theirs[name] = shared_id(one, known_as)
                taken.update({one, self._theirs[name]})

    def _known(self, tellers: dict[str, tuple[Any, str | None]], name: str) -> str | None:
        return tellers[name][1] if name in tellers else None

    def _is_free(self, tellers: dict[str, tuple[Any, str | None]], name: str, own: str) -> bool:
        labels, known_as = tellers.get(name, ({}, None))
        is_theirs = any(label.startswith(self._others) for label in labels)
        return known_as == own or (is_theirs and known_as is None and not self.is_told(labels))


def _seconds(at: datetime) -> tuple[int, int, int]:
    """The seconds in which a trade may begin elsewhere."""
    second = int(at.timestamp())
    return second - 1, second, second + 1


def _beside(trade: _Trade, others: Mapping[int, Iterable[_Trade]]) -> Iterator[_Trade]:
    """Those that began when it may have begun."""
    return (other for second in _seconds(trade.times[0]) for other in others.get(second, ()))


def _trade(row: Row) -> _Trade:
    facts, numbers = (tuple(row[name] for name in names) for names in (_FACTS, _NUMBERS))
    return _Trade(row["trade_id"], facts, numbers, (row["opened_at"], row["closed_at"]))
