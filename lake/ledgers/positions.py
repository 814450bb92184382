"""Positions: what a bot holds, kept true to the exchange, with checkpoints on the way to the target."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from threading import Lock
from typing import Any

from lake.clock import MICROS_PER_MINUTE, now_micros, uuid7
from lake.errors import LifeCycleError, UsageError
from lake.kernels import guards
from lake.ledgers import alerts, worth
from lake.ledgers.base import Ledger, changed, given, told
from lake.ledgers.demands import demand, refuse_another, refuse_nan
from lake.ledgers.exchange_positions import Place, by_place, closed_later
from lake.ledgers.open_rows import open_rows
from lake.ledgers.receipt import Receipt
from lake.ledgers.writer import Writer
from lake.query.engine import Engine
from lake.spec import symbols
from lake.spec.decode import as_read
from lake.spec.numbers import finite
from lake.spec.patch import folder
from lake.spec.rows import row_checker
from lake.spec.times import to_micros
from lake.store.hot.entry import Row

_OPEN = ("active", "open")
_NOTED = MICROS_PER_MINUTE  # that nothing changed is noted so often


@dataclass(frozen=True, slots=True)
class Sync:
    """What a snapshot of an exchange changed: ids of positions, and the receipt of all that was written."""

    opened: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    receipt: Receipt = field(default_factory=Receipt)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A position reached a level, in % of the way from its entry to its target, for the first time."""

    position_id: str
    symbol: str
    level: int
    price: float


class Positions(Ledger):
    """Opens, follows and closes positions; ``lk.positions``."""

    dataset = "positions"

    def __init__(self, writer: Writer, engine: Engine) -> None:
        super().__init__(writer, engine)
        self._lock = Lock()
        self._taken: dict[str, int] = {}  # venue -> when the newest snapshot of it that was taken in was made

    def open(self, position: Mapping[str, Any] | None = None, /, **fields: Any) -> Receipt:
        """Open a position; its id is in the receipt, and may be given as position_id.

        Opening the same position again changes nothing, or what is said anew. What an exchange has not told yet may
        be left out; what is given is a number, and the quantity is above 0.

        Raises:
            InvalidRowError: a value does not fit.
            LifeCycleError: a position of this id is closed, or is of another bot, symbol, venue or side.
        """
        row = given(position, fields)
        if row.get("status", "open") not in _OPEN:
            raise UsageError("a position is opened as open or active", where="status", value=row["status"])
        refuse_nan(self._ds, row)
        if row.get("quantity") is not None:
            demand(self._ds, row_checker(self._ds)(row), "an open position", ("quantity",))
        if row.get("position_id") is None:
            return self._new.insert(row_checker(self._ds)(worth.valued(None, row)))
        position_id = str(row["position_id"])

        def fold(known: Row | None) -> Mapping[str, Any]:
            if known is None:
                return worth.valued(None, row)
            _refuse_closed(known, "opened")
            refuse_another(self._ds, known, row, ("symbol", "venue", "side"), self._writer.bot)
            return worth.valued(known, {name: value for name, value in told(row).items() if name != "opened_at"})

        return changed((position_id,), *self._writer.change("positions", (position_id,), fold))

    def close(self, position_id: str, *, at: Any = None, **fields: Any) -> Receipt:
        """Say that a position is no longer held; saying it again changes nothing.

        Raises:
            UnknownRowError: there is no such position.
        """
        moment = _moment(at)

        def fold(known: Row | None) -> Mapping[str, Any] | None:
            if known is None:
                raise self._unknown(position_id)
            if known["status"] == "closed":
                return None
            return worth.valued(known, {"synced_at": moment, **fields, "status": "closed"})

        return changed((position_id,), *self._writer.change("positions", (position_id,), fold))

    def active(self) -> list[dict[str, Any]]:
        """Positions that are held: all, or with a bot id those of that bot."""
        return as_read(self._ds, open_rows(self._writer, self._ds))

    def sync(self, snapshot: Iterable[Mapping[str, Any]], *, venue: str = "", at: Any = None) -> Sync:
        """Make the lake's open positions of this bot and venue those that the exchange shows, in one commit.

        Positions are the same when symbol and side are. What is new is opened, what differs is changed, what is
        not in the snapshot, or has quantity 0 there, is closed. An unchanged position is not written, except once a
        minute for its ``synced_at``. Of several open ones of a symbol and side the last opened one is that of the
        exchange; the others are closed. Inside a transaction those that it opened are seen too.

        A snapshot that comes late, after a newer one of its venue, changes nothing. After a restart it leaves alone
        what was opened or compared more than a minute after it, and opens nothing that was closed after it.

        Args:
            snapshot: a dict for each position: symbol, side, quantity, entry_price, current_price, ...; or as ccxt
                gives it, whose contracts become a quantity by their contractSize. What is None there, or missing, stays
                as it is known: an exchange without a stop order says nothing of the bot's own stop.
            venue: the exchange.
            at: when the snapshot was taken; now when left out.

        Raises:
            UsageError: one symbol and side is there twice.
            InvalidRowError: a value does not fit; nothing is written.
        """
        moment, shown = _moment(at), by_place(snapshot)
        with self._writer.alone(), self._lock:
            if moment < self._taken.get(venue, 0):
                return Sync(receipt=Receipt(unchanged=len(shown)))
            with self._writer.transaction():
                held, newer = self._held(venue, moment)
                if at is not None and not shown.keys() <= held.keys() | newer:
                    newer |= closed_later(self._engine, self._writer.bot, venue, moment)
                done = self._landed(shown, held, newer, {"venue": venue, "synced_at": moment})
            if self._writer.open_transaction() is None:
                self._taken[venue] = min(moment, now_micros())  # none is made later than now, whatever its clock says
        return done

    def _landed(
        self,
        shown: Mapping[Place, Mapping[str, Any]],
        held: Mapping[Place, list[str]],
        newer: Collection[Place],
        seen: Mapping[str, Any],
    ) -> Sync:
        """Open, change and close what a snapshot says, except at places of which newer things are known."""
        opened, altered, receipt = [], [], Receipt()
        for place, row in shown.items():
            wanted = {**row, "symbol": place[0], "side": place[1], **seen}
            if place in newer:
                made = Receipt(unchanged=1)
            elif held.get(place):
                position_id = held[place].pop()
                made = self._seen(position_id, wanted)
                altered += [position_id] if made.updated else []
            else:
                first = {"position_id": uuid7(), "bot_id": self._writer.bot, "opened_at": seen["synced_at"]}
                whole = row_checker(self._ds)(worth.valued(None, {**first, **wanted}))
                made = self._new.insert(whole)
                opened.append(made.id)
            receipt += made
        vanished = list(chain.from_iterable(held.values()))
        for position_id in vanished:
            receipt += self.close(position_id, at=seen["synced_at"])
        return Sync(opened, altered, vanished, receipt)

    def _held(self, venue: str, moment: int) -> tuple[dict[Place, list[str]], set[Place]]:
        """Ids of the open positions of this bot and venue, by place in the order of their opening.

        Beside them the places, not among those, where one was opened or compared well after the moment. That prices
        are taken in while a snapshot is on its way makes none of them newer.
        """
        found: dict[Place, list[str]] = {}
        newer: set[Place] = set()
        now = now_micros()
        for row in sorted(open_rows(self._writer, self._ds), key=itemgetter("opened_at", "position_id")):
            if row.get("bot_id", "") == self._writer.bot and row.get("venue", "") == venue:
                place = (row["symbol"], row.get("side", ""))
                found.setdefault(place, []).append(row["position_id"])
                if min(row.get("synced_at", row["opened_at"]), now) > moment + _NOTED:
                    newer.add(place)
        return {place: ids for place, ids in found.items() if place not in newer}, newer

    def _seen(self, position_id: str, wanted: Mapping[str, Any]) -> Receipt:
        """Write what differs; that nothing does, only once in a while."""
        given_ = {name: value for name, value in told(wanted).items() if name not in {"position_id", "opened_at"}}

        def fold(known: Row | None) -> Mapping[str, Any] | None:
            if known is None:
                raise self._unknown(position_id)
            changes = worth.valued(known, given_)
            made = folder(self._ds)(known, changes)
            same = all(made.get(n) == known.get(n) for n in made.keys() | known.keys() if n != "synced_at")
            return None if same and made["synced_at"] - known.get("synced_at", 0) < _NOTED else changes

        before, after = self._writer.change("positions", (position_id,), fold)
        only_time = after is not None and {**after, "synced_at": 0} == {**(before or {}), "synced_at": 0}
        return Receipt(unchanged=1, keys=((position_id,),)) if only_time else changed((position_id,), before, after)

    def update(self, symbol: str, price: float, at: Any = None, *, venue: str | None = None) -> list[Checkpoint]:
        """Take in a price: current price, unrealized result, and checkpoints that were reached.

        The way is from the entry to tp1, or to ``take_profit`` where that was given instead. Percent are of own
        money, by the ``leverage`` that was given with the position (1 when none was).

        A price that is older than the last one, or than the last snapshot, changes nothing, unless that is dated more
        than a minute ahead of the clock.

        A checkpoint is told once, and its alert lands with it, still without a recommendation: a bot that ends before
        it has called :meth:`checkpoint` finds it among ``alerts(unanswered=True)`` when it is back.

        Returns:
            Each checkpoint that a position reached for the first time, so that the bot can look at it again.
        """
        price = _positive("price", price)
        name, moment = symbols.canonical(symbol), _moment(at)
        events = []
        with self._writer.alone(), self._lock, self._writer.transaction():
            for row in open_rows(self._writer, self._ds):
                if row["symbol"] != name or (venue is not None and row.get("venue", "") != venue):
                    continue
                key = row["position_id"]
                before, after = self._writer.change("positions", (key,), lambda r: _priced(r, price, moment))
                if before is not None and after is not None:
                    levels = [n for n in guards.LEVELS if after.get(_flag(n)) and not before.get(_flag(n))]
                    for level in levels:
                        alerts.reached(self._writer, key, level, price, moment)
                    events += [Checkpoint(key, name, level, price) for level in levels]
        return events

    def checkpoint(self, position_id: str, level: int, price: float, recommendation: str, **fields: Any) -> Receipt:
        """Record what was advised when a position passed a checkpoint, and that it did, in one commit.

        One position has one alert for a level: recording it again changes its words, not its time. One that
        :meth:`update` has made keeps the time at which the level was reached, and gets ``answered_at``. An alert that
        comes late, after its position was closed, is taken when ``at`` says that it was given before: then it is true.
        One for a closed position without a time, or with a later one, is refused, as nothing is left to advise on.

        Args:
            position_id: the position.
            level: 25, 50, 75 or 85, in % of the way to its target.
            price: then.
            recommendation: HOLD, PARTIAL_CLOSE, CLOSE_NOW or MOVE_SL.
            fields: confidence (0-1), ``at`` or alerted_at, and whatever else there is to keep.

        Raises:
            UnknownRowError: there is no such position.
            LifeCycleError: the position was closed by then.
            UsageError: another level, or a price that is not above 0.
        """
        if isinstance(level, bool) or level not in guards.LEVELS:
            raise UsageError("a checkpoint is 25, 50, 75 or 85", where="level", value=level)
        level = int(level)
        price = _positive("price", price)
        moment = _moment(fields.pop("at", fields.pop("alerted_at", None)))
        words = {"price": price, "recommendation": recommendation, **fields}

        def passed(known: Row | None) -> Mapping[str, Any] | None:
            if known is None:
                raise self._unknown(position_id)
            if known["status"] not in _OPEN and moment > known.get("synced_at", 0):
                raise LifeCycleError(
                    "the position is closed and has no more checkpoints",
                    where=f"positions, {position_id}",
                    todo="Give at=..., when the alert was given, if that was before.",
                )
            return None if known.get(_flag(level)) else {_flag(level): True}

        with self._writer.transaction():
            self._writer.change("positions", (position_id,), passed)
            return alerts.advised(self._writer, position_id, level, moment, words)

    def alerts(self, position_id: str | None = None, *, unanswered: bool = False) -> list[dict[str, Any]]:
        """The alerts of a position, by level; without a position those of all, with a bot id of that bot's.

        Args:
            position_id: the position; all when left out.
            unanswered: only those without a recommendation; without a position, only of positions that are held.
        """
        return alerts.find(self._writer, self._engine, position_id, unanswered=unanswered)

    def trail(self, position_id: str, price: float, distance_pct: float) -> Receipt:
        """Draw the trailing stop after the price, so many percent behind it; it never moves back, nor behind stop_loss.

        Raises:
            UnknownRowError: there is no such position.
            LifeCycleError: it is closed.
            UsageError: a price that is not above 0, a distance that is not between 0 and 100, or no known side.
        """
        price = _positive("price", price)
        distance_pct = _positive("distance_pct", distance_pct)
        if distance_pct >= 100:
            raise UsageError("a distance lies between 0 and 100 %", where="distance_pct", value=distance_pct)

        def fold(known: Row | None) -> Mapping[str, Any] | None:
            if known is None:
                raise self._unknown(position_id)
            _refuse_closed(known, "trailed")
            side = known.get("side", "")
            stops = [stop for name in ("trailing_stop", "stop_loss") if (stop := known.get(name)) is not None]
            moved = guards.trailed(side, stops, price, distance_pct)
            return None if moved == known.get("trailing_stop") else {"trailing_stop": moved}

        return changed((position_id,), *self._writer.change("positions", (position_id,), fold))


def _priced(known: Row | None, price: float, moment: int) -> Mapping[str, Any] | None:
    """What a price changes in a position that is held."""
    if known is None or known["status"] not in _OPEN:
        return None
    if moment < known.get("synced_at", 0) <= now_micros() + _NOTED:  # beyond, a wrong clock dated it
        return None
    found: dict[str, Any] = {"current_price": price, "synced_at": moment}
    found.update(worth.unrealized({**known, **found}))
    entry, side, target = known.get("entry_price"), known.get("side"), worth.target(known)
    if entry and side and target:
        found.update({_flag(level): True for level in guards.reached(entry, target, price, side)})
    return found


def _refuse_closed(known: Row, step: str) -> None:
    if known["status"] not in _OPEN:
        raise LifeCycleError(f"the position is closed and cannot be {step}", where=f"positions, {known['position_id']}")


def _positive(name: str, value: Any) -> float:
    found = finite(value)
    if found is None or found <= 0:
        raise UsageError("a number above 0 is wanted", where=name, value=value)
    return found


def _flag(level: int) -> str:
    return f"checkpoint_{level}"


def _moment(at: Any) -> int:
    return now_micros() if at is None else to_micros(at, where="at")
