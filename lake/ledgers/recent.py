"""Signals that a new one may repeat, in memory: those of its day, and those of which a trade or position is open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from weakref import ref

from lake.clock import MICROS_PER_DAY, MICROS_PER_HOUR
from lake.errors import UsageError
from lake.kernels.rounding import slack
from lake.ledgers.current import Key, Watch, key_of
from lake.ledgers.transaction import Transaction
from lake.ledgers.writer import Writer
from lake.query.engine import Engine
from lake.spec import registry
from lake.spec.dataset import Dataset
from lake.spec.numbers import finite
from lake.spec.times import from_micros
from lake.store.drain import is_open
from lake.store.hot.entry import Row

_DS = registry.get("signals")
_LINKED = (registry.get("trades"), registry.get("positions"))
_KNOWN = """
WITH open AS (
    SELECT signal_id, trade_id FROM trades WHERE status IN ('pending', 'open')
    UNION ALL
    SELECT signal_id, trade_id FROM positions WHERE status IN ('active', 'open')
)
SELECT signal_id, venue, symbol, timeframe, direction, entry_price, rejection_reason, trade_id, signal_time
FROM signals
WHERE direction IS NOT NULL AND entry_price IS NOT NULL AND (
    signal_time >= ?
    OR signal_id IN (SELECT signal_id FROM open)
    OR trade_id IN (SELECT trade_id FROM open)
)
"""
Group = tuple[str, str, str, str]  # venue, symbol, timeframe, direction


class Given(NamedTuple):
    """What is remembered of a signal."""

    signal_id: str
    at: int
    entry_price: float
    trade_id: str | None


@dataclass(frozen=True, slots=True)
class Sameness:
    """When a signal repeats another one of its venue, symbol, timeframe and direction.

    Attributes:
        min_price_difference: in percent of the other's entry price; from there on it is another signal.
        keep_hours: so long one is remembered; with 24 and more the end of its UTC day comes first.
    """

    min_price_difference: float = 0.5
    keep_hours: float = 168.0

    def __post_init__(self) -> None:
        for name in ("min_price_difference", "keep_hours"):
            value = finite(getattr(self, name))
            if value is None or value < 0:
                raise UsageError("a price difference and hours are at least 0", value=self)
            object.__setattr__(self, name, value)

    def is_near(self, price: float, other: float) -> bool:
        """Whether the prices differ by less than the minimum."""
        apart = abs(price - other) + slack(price, other, 0.0)
        return apart * 100.0 < self.min_price_difference * other

    def is_kept(self, at: int, other: int) -> bool:
        """Whether the other one is of the same day and remembered."""
        same_day = at // MICROS_PER_DAY == other // MICROS_PER_DAY
        return same_day and abs(at - other) <= self.keep_hours * MICROS_PER_HOUR


@dataclass(frozen=True, slots=True)
class Claim:
    """A signal that an open transaction is going to record."""

    transaction: ref[Transaction]
    group: Group
    given: Given

    def stands(self) -> bool:
        """False when it was rolled back, or its transaction is over: then it is among the recorded ones."""
        transaction = self.transaction()
        if transaction is None or (transaction.ended and not transaction.whole):
            return False
        return transaction.get(_DS, (self.given.signal_id,)) is not None


@dataclass
class RecentSignals:
    """What is remembered; its owner lets one thread in at a time."""

    writer: Writer
    engine: Engine
    claims: list[Claim] = field(default_factory=list)
    _groups: dict[Group, dict[str, Given]] = field(default_factory=dict)
    _group_of: dict[str, Group] = field(default_factory=dict)
    _watches: dict[str, Watch] = field(default_factory=dict)
    _links: dict[tuple[str, Key], tuple[str | None, str | None]] = field(default_factory=dict)
    _fresh: set[Key] = field(default_factory=set)
    _since: int = 0
    _version: int | None = None

    def repeated(self, group: Group, price: float, at: int, rule: Sameness) -> Given | None:
        """The signal that one of this group, price and time repeats; None when it is new."""
        self._refresh(at)
        self.claims = [claim for claim in self.claims if claim.stands()]
        known = [*self._groups.get(group, {}).values(), *(c.given for c in self.claims if c.group == group)]
        own = self.writer.unlanded(_DS.name)
        known += [given for row in own if (given := given_of(row)) is not None and group_of(row) == group]
        return self._first(known, price, at, rule)

    def repeated_claim(self, claim: Claim, rule: Sameness) -> Given | None:
        """The recorded signal that a claimed one repeats; None when there is none, or the claim does not stand."""
        if not claim.stands():
            return None
        given = claim.given
        self._refresh(given.at)
        others = [other for other in self._groups.get(claim.group, {}).values() if other.signal_id != given.signal_id]
        return self._first(others, given.entry_price, given.at, rule)

    def _first(self, known: Sequence[Given], price: float, at: int, rule: Sameness) -> Given | None:
        near = [given for given in known if rule.is_near(price, given.entry_price)]
        if not near:
            return None
        live = {value for link in self._links.values() for value in link if value is not None}
        for given in sorted(near, key=lambda found: found.at):
            if rule.is_kept(at, given.at) or given.signal_id in live or given.trade_id in live:
                return given
        return None

    def _refresh(self, at: int) -> None:
        current, latest = self.writer.hot().current, self.writer.hot().latest
        if not self._watches:
            self._begin()
        for ds in (_DS, *_LINKED):
            latest.look(ds)
        for ds in _LINKED:
            for key in current.news(self._watches[ds.name]):
                self._link(ds, key, current.get(ds, key))
        day = at // MICROS_PER_DAY * MICROS_PER_DAY
        version = self.writer.store.table("signals").known_state().version
        if version != self._version or day < self._since:
            self._load(day)
            self._since, self._version = day, version
        for key in current.news(self._watches["signals"]):
            self._fresh.add(key)
            self._take_current(key)

    def _take_current(self, key: Key) -> None:
        row = self.writer.hot().current.get(_DS, key)
        if row is not None:
            self._take(row)

    def _begin(self) -> None:
        """From now on notice what changes, on top of what is open."""
        hot = self.writer.hot()
        self._watches = {ds.name: hot.current.watch(ds.name) for ds in (_DS, *_LINKED)}
        for ds in _LINKED:
            for row in hot.latest.open_rows(ds):
                self._link(ds, key_of(ds, row), row)

    def _link(self, ds: Dataset, key: Key, row: Row | None) -> None:
        """Note which signal and trade an open trade or position is of; nothing, when it is not open."""
        if row is None or not is_open(ds, row):
            self._links.pop((ds.name, key), None)
            return
        signal_id = row.get("signal_id")
        link = (signal_id, row.get("trade_id"))
        if self._links.get((ds.name, key)) == link:
            return
        self._links[ds.name, key] = link
        found = None if signal_id is None else self.writer.known(_DS, (signal_id,))
        if found is not None:
            self._take(found)
        else:
            self._version = None  # a signal that names the trade may be too old to be among those known

    def _load(self, since: int) -> None:
        """Everything anew, as the lake holds it."""
        self._groups.clear()
        self._group_of.clear()
        frame = self.engine.frame(_KNOWN, [from_micros(since)])
        for row in frame.with_columns(frame["signal_time"].dt.timestamp("us")).iter_rows(named=True):
            self._take(row)
        for key in self._fresh:  # what waited for the disk just now is not in the frame
            self._take_current(key)
        self._fresh.clear()

    def _take(self, row: Row) -> None:
        before = self._group_of.pop(row["signal_id"], None)
        if before is not None:
            del self._groups[before][row["signal_id"]]
        given = given_of(row)
        if given is not None:
            group = self._group_of[given.signal_id] = group_of(row)
            self._groups.setdefault(group, {})[given.signal_id] = given


def group_of(row: Row) -> Group:
    """What signals that repeat each other have in common, besides the day."""
    return (row["venue"], row["symbol"], row.get("timeframe") or "", row["direction"])


def given_of(row: Row) -> Given | None:
    """What is remembered of a signal; None of one without direction or entry, or that was ignored as a duplicate."""
    if row.get("direction") is None or not row.get("entry_price") or row.get("rejection_reason") == "duplicate":
        return None
    return Given(row["signal_id"], row["signal_time"], row["entry_price"], row.get("trade_id"))
