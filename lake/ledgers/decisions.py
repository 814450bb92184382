"""Decisions: what a language model said of a market, what was done about it, and how it came out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import polars as pl

from lake.clock import MICROS_PER_MINUTE, now_micros
from lake.errors import InvalidRowError, LifeCycleError, UsageError
from lake.ledgers.base import Ledger, changed, given, stated
from lake.ledgers.demands import checked, refuse_another, refuse_nan
from lake.ledgers.open_rows import open_rows
from lake.ledgers.outcomes import OUTCOME, outcome_of, said_of, with_former
from lake.ledgers.receipt import Receipt
from lake.ledgers.resolving import Traded, agrees, followed, may_follow, resolve_traded
from lake.ledgers.transaction import Whole
from lake.query.read import read
from lake.spec import symbols
from lake.spec.decode import as_read
from lake.spec.numbers import finite
from lake.spec.times import to_micros
from lake.store.hot.entry import Row
from lake.store.removed import removed_before

_IDENTITY = ("symbol", "venue", "timeframe")
_OUTCOME = frozenset(OUTCOME)
_APART = _OUTCOME | {"trade_id", "traded"}


class Decisions(Ledger):
    """Records the decisions of a language model and their outcomes; ``lk.decisions``."""

    dataset = "decisions"

    def record(self, decision: Mapping[str, Any] | None = None, /, **fields: Any) -> Receipt:
        """Record a decision; its id is in the receipt, and may be given as decision_id.

        Recording it again under its id adds what is new and keeps what is known, its outcome too; the same again
        changes nothing. An outcome may be given with it; it is known from ``outcome_recorded_at`` on, else from now.

        Args:
            decision: columns of the dataset: symbol, timeframe, recommendation (LONG, SHORT or HOLD; left out when
                the answer could not be read), confidence (0-1), entry_price, stop_loss, take_profit, reasoning,
                market_snapshot and raw_response (dict, or text; kept as JSON), prompt_version, model_version,
                latency_ms, input_tokens, output_tokens, cost_usd, traded, trade_id, skip_reason, ...
            fields: the same, as keyword arguments.

        Raises:
            InvalidRowError: a value does not fit, such as a confidence in percent.
            LifeCycleError: the outcome is recorded, and this would change it or the recommendation.
        """
        whole = self._as_given(decision, fields, _APART)
        if whole is not None:
            whole["traded"] = False
            if (done := self._inserted(whole, fields, partial(self._recorded, fields))) is not None:
                return done
        row = given(decision, fields)
        _check_confidence(row.get("confidence"))
        if not _OUTCOME.isdisjoint(row) and any(row.get(name) is not None for name in OUTCOME):
            row.setdefault("outcome_source", "given")
            if row.get("outcome_recorded_at") is None:
                row["outcome_recorded_at"] = now_micros()
        if row.get("decision_id") is None:
            return self._new.insert(checked(self._ds, _with_traded(row)))
        key = (str(row["decision_id"]),)
        return changed(key, *self._writer.change("decisions", key, partial(self._recorded, row), is_new=True))

    def _recorded(self, row: Mapping[str, Any], known: Row | None) -> Mapping[str, Any] | Whole:
        if known is None:
            return Whole(checked(self._ds, _with_traded(row)))
        refuse_nan(self._ds, row)
        return self._again(known, stated(self._ds, row))

    def resolve(
        self, decision_id: str, *, at: Any = None, correct: bool = False, **outcome: bool | float | None
    ) -> Receipt:
        """Record how a decision came out, however late.

        What is left out is taken from its closed trades: those that name the decision, else the one that it names;
        backtests are none. Several count as one, and the last one's end is the end. A LONG or SHORT was right when
        the result after fees is above 0 (below 0 where the opposite side was traded), so a break-even was not right.
        A HOLD has no direction: give its ``outcome_correct``, by your own yardstick, or it has none.

        Resolving it again with the same values, or with none while its trades are the same, changes nothing. An
        outcome that was taken from its trades follows them: resolved again without values after a trade was
        corrected, it takes the new result as a correction. One that was given, if only in part, stays as it is.

        Args:
            decision_id: names the decision.
            at: when the outcome was known; now when left out. No training set uses the outcome for a time before.
            correct: lets other values take the place of those recorded.
            outcome: outcome_correct, actual_pnl (quote currency), actual_pnl_percent (of own money), max_favorable and
                max_adverse (best and worst price), hold_duration_minutes.

        Raises:
            UnknownRowError: there is no such decision.
            LifeCycleError: another outcome is recorded, or none is given and it has no closed trade.
            InvalidRowError: a value does not fit.
        """
        said = said_of(outcome)
        moment = now_micros() if at is None else to_micros(at, where="at")
        newest = self._newest("decisions", decision_id)
        trades = self._trades(decision_id, newest)
        retired = None if said else removed_before(self._writer.store.location, "trades")

        def fold(known: Row | None) -> Mapping[str, Any] | None:
            if known is None:
                raise self._unknown(decision_id)
            found = outcome_of(known, said, trades)
            if not (said or found):
                raise _nothing_to_take(decision_id)
            if not said and may_follow(known):
                return followed(trades, moment, retired, known)
            if known.get("outcome_recorded_at") is not None:
                if agrees(known, said or found):
                    return None
                if not correct:
                    raise _resolved(decision_id)
                found = {**found, "ambiguous": None, "outcome_history": with_former(known)}
            return {**found, "outcome_recorded_at": moment, "outcome_source": "given" if said else "trade"}

        return changed((decision_id,), *self._writer.change("decisions", (decision_id,), fold, is_new=True))

    def resolve_traded(self) -> Traded:
        """Take the outcomes of decisions from their trades: all, or with a bot id those of that bot.

        LONGs and SHORTs without an outcome get it once all their trades have ended. An outcome that was taken from
        the trades, or from candles by ``lk.label`` before, is corrected where the trades say something else now, and
        withdrawn where the trade is not over after all. Outcomes that were given stay as they are, and those of
        several trades of which retention may have removed some. A second call changes nothing, and looks only at what
        was written since the first. Decisions that were not traded are for ``lk.label("decisions")``.
        """
        return resolve_traded(self._writer, self._engine)

    def correct(self, decision_id: str, *, at: Any = None, **outcome: bool | float | None) -> Receipt:
        """Put another outcome in the place of the recorded one; see :meth:`resolve`.

        The former one stays in ``outcome_history``: whoever looks back to a time before the correction sees it.
        """
        return self.resolve(decision_id, at=at, correct=True, **outcome)

    def attach(self, decision_id: str, trade_id: str) -> Receipt:
        """Say which trade came of a decision: it is traded then, and no longer skipped. The trade may come later.

        Raises:
            UnknownRowError: there is no such decision.
            LifeCycleError: another trade came of it; more trades of one decision name it as their decision_id.
        """

        def fold(known: Row | None) -> Mapping[str, Any] | None:
            if known is None:
                raise self._unknown(decision_id)
            if known.get("trade_id") not in (None, trade_id):
                raise LifeCycleError(
                    f"the trade {known['trade_id']} came of it",
                    where=f"decisions, {decision_id}",
                    value=trade_id,
                    todo="Give further trades this decision_id instead.",
                )
            return {"traded": True, "trade_id": trade_id, "skip_reason": None}

        return changed((decision_id,), *self._writer.change("decisions", (decision_id,), fold))

    def unresolved(self, older_than_minutes: float | None = None) -> list[dict[str, Any]]:
        """Decisions for LONG or SHORT without an outcome, oldest first: all, or with a bot id those of that bot.

        Args:
            older_than_minutes: only those made so long ago.

        Raises:
            UsageError: minutes that are no finite number.
        """
        minutes = finite(older_than_minutes or 0)
        if minutes is None:
            raise UsageError("minutes are a finite number", where="older_than_minutes", value=older_than_minutes)
        latest = now_micros() - minutes * MICROS_PER_MINUTE
        rows = [
            row
            for row in open_rows(self._writer, self._ds)
            if older_than_minutes is None or row["analyzed_at"] <= latest
        ]
        return as_read(self._ds, sorted(rows, key=lambda row: (row["analyzed_at"], row["decision_id"])))

    def winning_patterns(self, min_pnl_percent: float = 0.0) -> pl.DataFrame:
        """Decisions, as they were made, that were right and won more than so many percent of own money, best first.

        The view winning_patterns counts under which conditions trades win.
        """
        return self._engine.frame(
            "SELECT * FROM decisions_as_decided WHERE outcome_correct AND actual_pnl_percent > ? "
            "ORDER BY actual_pnl_percent DESC",
            [min_pnl_percent],
        )

    def calibration(
        self,
        prompt_version: str | None = None,
        model_version: str | None = None,
        symbol: str | None = None,
        *,
        days: int | None = None,
        **variables: Any,
    ) -> pl.DataFrame:
        """Is a confidence of 0.8 right eight times in ten? The view confidence_calibration.

        Args:
            prompt_version, model_version, symbol: only decisions of these; a row for each when left out.
            days: only decisions of so many days before now.
            variables: now.
        """
        asked = {"prompt_version": prompt_version, "model_version": model_version}
        asked["symbol"] = None if symbol is None else symbols.canonical(symbol)
        where = {name: value for name, value in asked.items() if value is not None}
        window = {} if days is None else {"days": days}
        return read(self._engine, "confidence_calibration", where, {**window, **variables})

    def _again(self, known: Row, more: Mapping[str, Any]) -> Mapping[str, Any]:
        """What recording a known decision again changes."""
        refuse_another(self._ds, known, more, _IDENTITY, self._writer.bot)
        if known.get("outcome_recorded_at") is None:
            return more
        if not agrees(known, {name: more[name] for name in ("recommendation", *OUTCOME) if name in more}):
            raise _resolved(known["decision_id"])
        return {name: value for name, value in more.items() if name not in {"outcome_recorded_at", "outcome_source"}}

    def _newest(self, name: str, key: str) -> Row | None:
        """The newest version of a row, inside a transaction that of the transaction; nothing is changed."""
        return self._writer.change(name, (key,), lambda _: None)[0]

    def _trades(self, decision_id: str, decision: Row | None) -> list[Row]:
        """The trades that came of a decision, in their newest versions."""
        landed = self._engine.frame("SELECT trade_id FROM trades WHERE decision_id = ?", [decision_id])["trade_id"]
        own = {row["trade_id"] for row in self._writer.unlanded("trades") if row.get("decision_id") == decision_id}
        for candidates in (sorted({*landed, *own}), [(decision or {}).get("trade_id")]):
            rows = [self._newest("trades", trade_id) for trade_id in candidates if trade_id is not None]
            real = [row for row in rows if row is not None and row.get("mode") != "backtest"]
            if real:
                return real
        return []


def _with_traded(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A new decision; one that names no trade was not traded yet."""
    return row if row.get("traded") is not None else {**row, "traded": row.get("trade_id") is not None}


def _check_confidence(value: Any) -> None:
    if type(value) is float and value <= 1:
        return
    percent = finite(value)
    if percent is not None and 1 < percent <= 100:
        raise InvalidRowError(
            "a confidence is 0-1, not percent",
            where="decisions.confidence",
            value=value,
            todo=f"Give {percent / 100:g} for {percent:g} %.",
        )


def _nothing_to_take(decision_id: str) -> LifeCycleError:
    return LifeCycleError(
        "it has no closed trade to take its outcome from",
        where=f"decisions, {decision_id}",
        todo="Close its trade first, or give outcome_correct or actual_pnl.",
    )


def _resolved(decision_id: str) -> LifeCycleError:
    return LifeCycleError(
        "another outcome is recorded",
        where=f"decisions, {decision_id}",
        todo="Correct it with lk.decisions.correct(...) if it is wrong.",
    )
