"""Signals: every one that a strategy gave, what was done about it, and why it was not traded."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any
from weakref import ref

import polars as pl

from lake.clock import now_micros
from lake.errors import InvalidRowError, LifeCycleError, UsageError
from lake.ledgers.bars import day_given
from lake.ledgers.base import Ledger, changed, given, told
from lake.ledgers.current import Key
from lake.ledgers.demands import checked, demand, refuse_another
from lake.ledgers.receipt import Receipt
from lake.ledgers.recent import Claim, RecentSignals, Sameness, given_of, group_of
from lake.ledgers.writer import Writer
from lake.query.engine import Engine
from lake.spec import symbols
from lake.spec.patch import folder
from lake.spec.texts import plain
from lake.spec.times import from_micros, to_micros
from lake.store.hot.entry import Row

_IDENTITY = ("symbol", "venue", "timeframe", "direction", "entry_price")
_DIRECTIONS = {"BUY": "LONG", "SELL": "SHORT"}
_TYPES = {"LONG": "BUY", "SHORT": "SELL"}
_NOT_TRADED = """
WITH reasons AS (
    SELECT signal_id, arg_min(reject_reason, signal_time) AS reason
    FROM phantoms
    WHERE signal_id IS NOT NULL AND reject_reason IS NOT NULL
    GROUP BY signal_id
)
SELECT
    s.signal_time, s.symbol, s.timeframe, s.strategy, s.direction, s.entry_price, s.confidence, s.strength,
    s.action, coalesce(s.rejection_reason, r.reason) AS reason, s.signal_id, s.bot_id, s.venue
FROM signals AS s
LEFT JOIN reasons AS r USING (signal_id)
WHERE s.action IS DISTINCT FROM 'EXECUTED' AND s.trade_id IS NULL
    AND s.signal_id NOT IN (SELECT signal_id FROM trades WHERE signal_id IS NOT NULL)
    AND (?::DATE IS NULL OR day_of(s.signal_time) = ?)
    AND (?::VARCHAR IS NULL OR s.symbol = ?)
ORDER BY s.signal_time, s.signal_id
"""


class Signals(Ledger):
    """Records signals, each once, and tells why they were not traded; ``lk.signals``."""

    dataset = "signals"

    def __init__(self, writer: Writer, engine: Engine) -> None:
        super().__init__(writer, engine)
        self._recent = RecentSignals(writer, engine)
        self._lock = Lock()

    def record(
        self,
        signal: Mapping[str, Any] | None = None,
        /,
        *,
        unless_duplicate: bool = False,
        keep_duplicate: bool = False,
        same: Sameness | None = None,
        **fields: Any,
    ) -> Receipt:
        """Record a signal; its id is in the receipt, and may be given as signal_id.

        LONG and BUY, SHORT and SELL stand for each other where one of direction and signal_type is missing. A signal
        with a rejection reason and no action is REJECTED. Recording one again under its id adds what is new.

        Args:
            signal: columns of the dataset: symbol, timeframe, strategy, signal_type, direction, entry_price, levels,
                strength, confidence, indicators, action (EXECUTED, IGNORED, REJECTED), rejection_reason, trade_id, ...
            unless_duplicate: write nothing when it repeats another one (see :meth:`is_duplicate`), of whichever bot or
                strategy; the receipt then says unchanged, and has the id of that one. Of the threads, tasks and
                processes of a host that record the same signal at once exactly one does. A transaction looks again at
                its end: it fails, and writes nothing, where another process has recorded the signal meanwhile.
            keep_duplicate: what repeats another one is written too, as IGNORED with the reason ``duplicate``, so that
                its bot and strategy have a record of it; the receipt is the same.
            same: when one signal repeats another, ``lake.ledgers.recent.Sameness``.
            fields: columns, as keyword arguments.

        Raises:
            InvalidRowError: a value does not fit, or direction, signal_type, action and reason contradict each other.
            LifeCycleError: a signal of this id is of another bot, symbol, venue, timeframe, direction or entry_price;
                at the end of a transaction, one that another process has recorded meanwhile.
        """
        row = given(signal, fields)
        whole = _completed(checked(self._ds, row))
        if not whole["bot_id"] and self._writer.bot:
            whole["bot_id"] = self._writer.bot
        if unless_duplicate:
            return self._record_once(row, whole, same or Sameness(), keep_duplicate)
        return self._record(row, whole)

    def _record(self, row: Row, whole: dict[str, Any]) -> Receipt:
        """Write a signal as it was given, checked where it is new."""
        if row.get("signal_id") is None:
            return self._new.insert(whole)
        key = (whole["signal_id"],)

        def fold(known: Row | None) -> Mapping[str, Any]:
            if known is None:
                return whole
            refuse_another(self._ds, known, row, _IDENTITY, self._writer.bot)
            return _completed(folder(self._ds)(known, told(row)))

        return changed(key, *self._writer.change("signals", key, fold, is_new=True))

    def _record_once(self, row: Row, whole: dict[str, Any], rule: Sameness, keep_duplicate: bool) -> Receipt:
        with self._writer.alone(), self._lock:
            is_new = self._is_new((whole["signal_id"],), keep_duplicate)
            repeated = self._repeated(whole, rule) if is_new else None
            if repeated is None:
                receipt = self._record(row, whole)
                self._claim(whole, rule, is_new=is_new)
                return receipt
            if keep_duplicate:
                ignored = {"action": "IGNORED", "rejection_reason": "duplicate"}
                self._record({**row, **ignored}, {**whole, **ignored})
            return Receipt(unchanged=1, keys=((repeated,),))

    def _is_new(self, key: Key, or_duplicate: bool) -> bool:
        """Whether no signal has that id; or one that was kept as a duplicate, and is recorded again."""
        known = self._writer.current(self._ds, key)
        return known is None or (or_duplicate and known.get("rejection_reason") == "duplicate")

    def _repeated(self, row: Row, rule: Sameness) -> str | None:
        found = given_of(row)
        if found is None:
            return None
        other = self._recent.repeated(group_of(row), found.entry_price, found.at, rule)
        return None if other is None else other.signal_id

    def _claim(self, row: Row, rule: Sameness, *, is_new: bool) -> None:
        """Inside a transaction nobody else sees the signal yet; until it has landed it is told from here.

        Other processes see nothing of that, so that the transaction looks for their signals once more at its end. What
        is only added to a known signal repeats nothing, whatever was recorded beside it.
        """
        transaction, found = self._writer.open_transaction(), given_of(row)
        if transaction is not None and found is not None:
            claim = Claim(ref(transaction), group_of(row), found)
            self._recent.claims.append(claim)
            if is_new:
                transaction.checks.append(lambda: self._refuse_repeated(claim, rule))

    def _refuse_repeated(self, claim: Claim, rule: Sameness) -> None:
        with self._lock:
            other = self._recent.repeated_claim(claim, rule)
        if other is not None:
            raise LifeCycleError(
                "another process has recorded this signal during the transaction",
                where=f"signals, {claim.given.signal_id}",
                value=other.signal_id,
                todo="Do it again: the receipt then says unchanged.",
            )

    def patch(self, key: str, /, **changes: Any) -> Receipt:
        """Change some columns of one signal; None takes a value away, unknown fields are kept in extra.

        Raises:
            UnknownRowError: there is no such signal.
            InvalidRowError: a value does not fit, or direction, signal_type, action and reason would contradict each
                other.
        """
        signal_id = str(key)

        def fold(known: Row | None) -> Mapping[str, Any]:
            if known is None:
                raise self._unknown(signal_id)
            made = folder(self._ds)(known, changes)
            whole = _completed(dict(made))
            if "direction" in known.keys() - whole.keys():
                whole["dedupe_key"] = changes.get("dedupe_key")  # what it has is that of its former direction
            return {**changes, **{name: value for name, value in whole.items() if made.get(name) != value}}

        return changed((signal_id,), *self._writer.change("signals", (signal_id,), fold))

    def is_duplicate(
        self, symbol: str, timeframe: str, direction: str, entry_price: float, *, venue: str = "", **options: Any
    ) -> bool:
        """Whether such a signal was given already.

        It repeats another one of its venue, symbol, timeframe and direction, whatever was done about that, and of
        whichever bot or strategy, when their entry prices differ by less than a minimum and either both are of one
        UTC day, or a trade or position of the other one is open, however old it is. Signals that were rejected as
        ``duplicate`` themselves do not count.

        Args:
            symbol, timeframe: in any common spelling.
            direction: LONG or SHORT, or BUY or SELL.
            entry_price: in the quote currency.
            venue: the exchange.
            options: ``at``, when it is given (now); ``min_price_difference`` in percent of the other's entry price
                (0.5); ``keep_hours``, after which a signal of the same day is forgotten, unless it is open (168, so
                that the day ends first).

        Raises:
            UsageError: another option, or one that is below 0.
            InvalidRowError: a value that no signal can have, or one of these that is missing or 0.
        """
        unknown = options.keys() - {"at", "min_price_difference", "keep_hours"}
        if unknown:
            raise UsageError("no such option", where="is_duplicate", value=min(unknown))
        moment = options.pop("at", None)
        asked = {
            "venue": venue,
            "symbol": symbol,
            "timeframe": timeframe,
            "direction": _DIRECTIONS.get(str(plain(direction)).upper(), direction),
            "entry_price": entry_price,
            "signal_time": now_micros() if moment is None else to_micros(moment, where="at"),
        }
        row = checked(self._ds, asked)
        demand(self._ds, row, "a signal that may repeat another", ("timeframe", "direction", "entry_price"))
        with self._lock:
            return self._repeated(row, Sameness(**options)) is not None

    def not_traded(self, day: Any = None, symbol: str | None = None, **variables: Any) -> pl.DataFrame:
        """Signals that were not traded, oldest first, each with its reason: its own, else that of its phantom.

        Traded is what is EXECUTED, names a trade, or is named by one.

        Args:
            day: only of this one, a date or YYYY-MM-DD.
            symbol: only of this one.
            variables: time_zone, in which the day begins and ends.
        """
        wanted = None if day is None else day_given(day)
        name = None if symbol is None else symbols.canonical(symbol)
        return self._engine.frame(_NOT_TRADED, [wanted, wanted, name, name], variables=variables)

    def why(self, signal_id: str) -> str | None:
        """Why a signal was not traded; None when it was, or nobody said why.

        Raises:
            UnknownRowError: there is no such signal.
        """
        known = self.get(signal_id)
        if known is None:
            raise self._unknown(signal_id)
        found = self.not_traded()
        reasons: list[str | None] = found.filter(pl.col("signal_id") == known["signal_id"])["reason"].to_list()
        return reasons[0] if reasons else None


def _completed(row: dict[str, Any]) -> dict[str, Any]:
    """A checked signal with what follows from what it says."""
    kind, direction, reason = row.get("signal_type"), row.get("direction"), row.get("rejection_reason")
    derived = _DIRECTIONS.get(kind or "")
    if derived is not None and direction not in {None, derived}:
        raise InvalidRowError(f"a {kind} signal is {derived}", where="signals.direction", value=direction)
    if row.get("action") == "EXECUTED" and reason is not None:
        todo = "Leave the reason out; a known one is taken away by patch(..., rejection_reason=None)."
        where = "signals.rejection_reason"
        raise InvalidRowError("an executed signal has no reason not to be", where=where, value=reason, todo=todo)
    if kind is None and direction is not None:
        row["signal_type"] = _TYPES[direction]
    if derived is not None:
        row["direction"] = derived
    if reason is not None:
        row.setdefault("action", "REJECTED")
    if row.get("direction") is not None:
        day = from_micros(row["signal_time"]).date().isoformat()
        row["dedupe_key"] = "|".join((*group_of(row), day))
    return row
