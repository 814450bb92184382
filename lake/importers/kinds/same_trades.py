"""Which trades of a signal bot's stores are one, though they tell other seconds: a bot writes them one after the other.

Two stores mean one trade when its bot, symbol, timeframe, side and entry price are the same, its entry lies within
:data:`TOLERANCE`, and neither had ended before the other began. The later import then uses the id that the lake has,
and keeps its own in ``extra`` as ``known_as_STORE``. Trades of one store are never taken for one so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from lake.errors import InvalidRowError
from lake.importers.base import Options, Row, Rule
from lake.importers.kinds.met_trades import MetTrades, shared_id
from lake.importers.kinds.signal_bot import CLOSED, ENTRY, SIDE, SYMBOL, TIMEFRAME
from lake.importers.merging import is_same
from lake.importers.twins import is_twin

TOLERANCE = timedelta(minutes=2)
_MADE = "trade-"  # how ids of facts begin; others are shared by all stores, and meet by themselves
_NEVER = datetime.max.replace(tzinfo=UTC)
_FACTS = (SYMBOL, TIMEFRAME, SIDE)
_SQL = (
    "SELECT trade_id, symbol, timeframe, side, entry_price, created_at, closed_at, extra FROM trades "
    "WHERE created_at BETWEEN ? AND ? AND list_contains(?, symbol) AND bot_id = ? ORDER BY created_at, trade_id"
)


@dataclass(frozen=True, slots=True)
class _Trade:
    """What tells whether two trades are one."""

    name: str
    facts: tuple[Any, ...]
    entry: float | None
    at: datetime
    ended: datetime | None

    def may_be(self, other: _Trade) -> bool:
        """Whether the two can be one: their entries are, and neither had ended before the other began."""
        if not is_same(self.entry, other.entry) or abs(self.at - other.at) > TOLERANCE:
            return False
        ends_first = min(self.ended or _NEVER, other.ended or _NEVER)
        return ends_first >= max(self.at, other.at)


class SameTrades(MetTrades):
    """The ids that trades of one store have in the lake.

    Args:
        kind: of the store, as importers are called.
        own: the id that a row has by itself.
        given: when the trade began.
        ended: when it was closed, where the row tells.
    """

    def __init__(self, kind: str, own: Rule, given: Rule, ended: Rule = CLOSED) -> None:
        super().__init__(kind, own)
        self._given, self._ended = given, ended

    def look(self, lk: Any, rows: Sequence[Row], options: Options) -> None:
        """Find the trades of the lake that some rows are."""
        told = [trade for row in rows if (trade := self._told(row, options)) is not None]
        if lk is None or not told:
            return
        times, symbols = [trade.at for trade in told], list({trade.facts[0] for trade in told})
        span = [min(times) - TOLERANCE, max(times) + TOLERANCE, symbols, options.bot_id]
        there = lk.frame(_SQL, span).rows(named=True)
        names = self._theirs.keys() | {row["trade_id"] for row in there}
        lost = {trade.name: trade for trade in told if trade.name not in names}
        free = self._free(row for row in there if row["extra"]) if lost else {}
        for trade in lost.values():
            self._meet(trade, free.get(trade.facts, ()))

    def _told(self, row: Row, options: Options) -> _Trade | None:
        try:
            facts = tuple(rule.read(row, options) for rule in _FACTS)
            name, at = self._own.read(row, options), self._given.read(row, options)
            is_made = at is not None and str(name).startswith(_MADE)
            entry, ended = ENTRY.read(row, options), self._ended.read(row, options)
            return _Trade(name, facts, entry, at, ended) if is_made else None
        except InvalidRowError:
            return None  # it is refused when it is mapped

    def _free(self, there: Iterable[Row]) -> dict[tuple[Any, ...], list[tuple[_Trade, str | None]]]:
        """The lake's trades that other stores have told of, by their facts, each with its id in this store."""
        done = defaultdict(list)
        for row in there:
            labels, known_as = self.tellers(row["extra"])
            if labels and (known_as is not None or not self.is_told(labels)):
                facts = (row["symbol"], row["timeframe"], row["side"])
                trade = _Trade(row["trade_id"], facts, row["entry_price"], row["created_at"], row["closed_at"])
                done[facts].append((trade, known_as))
        return done

    def _meet(self, trade: _Trade, free: Sequence[tuple[_Trade, str | None]]) -> None:
        """Take the nearest that is nobody else's, or the one that was met before, whose twins know its name too."""
        taken = set(self._theirs.values())
        near = [
            (known_as != trade.name, known_as is not None and is_twin(other.name), abs(other.at - trade.at), other.name)
            for other, known_as in free
            if other.name not in taken and (known_as == trade.name or (known_as is None and other.may_be(trade)))
        ]
        if near:
            met = {other.name for other, known_as in free if known_as == trade.name}
            self._theirs[trade.name] = shared_id(min(near)[-1], met)
