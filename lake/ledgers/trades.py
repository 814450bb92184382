"""Trades: one row per position round trip, from pending or open to closed, cancelled or error."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import polars as pl

from lake.clock import now_micros
from lake.errors import LifeCycleError, UsageError
from lake.ledgers import trade_results as results
from lake.ledgers.base import Ledger, changed, given, told
from lake.ledgers.demands import checked, demand, refuse_another, refuse_nan
from lake.ledgers.open_rows import open_rows
from lake.ledgers.receipt import Receipt
from lake.ledgers.transaction import Whole
from lake.ledgers.whole_trades import record_many, record_one, record_table
from lake.spec.decode import as_read
from lake.spec.frames import dicts
from lake.spec.patch import folder
from lake.spec.tables import is_rows
from lake.spec.texts import plain
from lake.store.hot.entry import Row

_OPEN = ("pending", "open")
_APART = frozenset({"status", "opened_at"})
_MODES = ("live", "paper", "backtest")
_NAMES = {"symbol": "symbol", "strategy": "strategy", "bot": "bot_id"}  # by what: column of the name
_OPENED = (*results.IDENTITY, "entry_price", "quantity", "leverage")
_STATISTICS = """
SELECT
    s.* EXCLUDE (name),
    coalesce(q.longest_win_streak, 0) AS longest_win_streak,
    coalesce(q.longest_loss_streak, 0) AS longest_loss_streak,
    coalesce(q.current_streak, 0) AS current_streak,
    q.exposure
FROM (SELECT *, {name} AS name FROM {view} WHERE period = 'all') AS s
LEFT JOIN trade_sequences AS q ON q.mode = s.mode AND q.kind = '{kind}' AND q.name = s.name
WHERE {condition}
ORDER BY s.mode, s.total_pnl DESC, s.name"""


class Trades(Ledger):
    """Opens, changes, closes and counts trades; ``lk.trades``."""

    dataset = "trades"

    def open(self, trade: Mapping[str, Any] | None = None, /, **fields: Any) -> Receipt:
        """Open a trade; its id is in the receipt, and may be given as trade_id.

        Opening the same trade again changes nothing. ``status="pending"`` is for one that is not filled yet: it may
        lack its price and quantity; opened again without a status, or as open, it is filled. An open trade has a
        side, an entry_price and a quantity above 0. Trades of which less is known go in by :meth:`record`.

        Args:
            trade: columns of the dataset: symbol, side, quantity, entry_price, leverage, stop_loss, take_profit,
                strategy, signal_id, decision_id, prompt_version, mode, ...
            fields: the same, as keyword arguments.

        Raises:
            InvalidRowError: a value does not fit, or an open trade lacks what it needs.
            LifeCycleError: a trade of this id is closed, cancelled or in error, or it is another one: of another bot,
                symbol, venue, side, mode or, once it is open, entry_price, quantity or leverage.
        """
        begun = {"status": "open", "opened_at": fields["created_at"] if "created_at" in fields else now_micros()}
        plain_one = self._as_given(trade, fields, _APART, begun)
        if plain_one is not None:
            self._demand_open(plain_one)
            if (done := self._inserted(plain_one, fields, partial(self._opened, fields, begun))) is not None:
                return done
        row = given(trade, fields)
        row["status"] = str(plain(row["status"])).strip().lower() if row.get("status") else "open"
        if row["status"] not in _OPEN:
            raise UsageError("a trade is opened as open or pending", where="status", value=row["status"])
        if row["status"] == "open" and row.get("opened_at") is None:
            row["opened_at"] = row.get("created_at") or now_micros()
        if row.get("trade_id") is None:
            whole = checked(self._ds, row)
            self._demand_open(whole)
            return self._new.insert(whole)
        key = (str(row["trade_id"]),)
        return changed(key, *self._writer.change("trades", key, partial(self._opened, row, {}), is_new=True))

    def _demand_open(self, row: Row) -> None:
        if row["status"] == "open":
            demand(self._ds, row, "an open trade", ("side", "entry_price", "quantity"))

    def _opened(
        self, fields: Mapping[str, Any], begun: Mapping[str, Any], known: Row | None
    ) -> Mapping[str, Any] | Whole | None:
        row = {**fields, **begun}
        if known is None:
            whole = checked(self._ds, row)
            self._demand_open(whole)
            return Whole(whole)
        refuse_nan(self._ds, row)
        if known["status"] not in _OPEN:
            raise _ended(known["trade_id"], known, "opened")
        is_open = known["status"] == "open"
        late = is_open and row["status"] == "pending"  # a retried order does not take the fill back
        names = results.IDENTITY if late or not is_open else _OPENED
        refuse_another(self._ds, known, row, names, self._writer.bot)
        first = known.keys() if late else {"created_at", "opened_at"} & known.keys()
        more = {name: value for name, value in told(row).items() if name not in first}
        if known["status"] != row["status"]:
            self._demand_open(folder(self._ds)(known, more))
        return more

    def patch(self, key: str, /, **changes: Any) -> Receipt:
        """Change some columns of one trade; None takes a value away, unknown fields are kept in extra.

        It may say that a pending trade is open, now where no opened_at is given. All else of a trade's life is told by
        the methods that end it, and what the result of a closed trade follows from by :meth:`correct`; ``lk.patch`` and
        ``lk.write`` are raw and refuse nothing of that.

        Raises:
            UnknownRowError: there is no such trade.
            LifeCycleError: another change of status; of a closed trade, a change of its result or of what that follows
                from.
            InvalidRowError: a value does not fit, or it would be open without what an open trade needs.
        """
        trade_id = str(key)

        def fold(known: Row | None) -> Mapping[str, Any]:
            if known is None:
                raise self._unknown(trade_id)
            made = folder(self._ds)(known, changes)
            results.refuse_patch(known, made)
            if made["status"] == known["status"]:
                return changes
            self._demand_open(made)
            return changes if "opened_at" in made else {**changes, "opened_at": max(now_micros(), made["created_at"])}

        return changed((trade_id,), *self._writer.change("trades", (trade_id,), fold))

    def close(self, trade_id: str, exit_price: float, *, exit_reason: str = "", **fields: Any) -> Receipt:
        """Close an open trade: its pnl and pnl_percent follow from its prices, quantity, leverage and fees.

        Args:
            trade_id: names the trade.
            exit_price: in the quote currency.
            exit_reason: such as tp, sl, manual, timeout; ``liquidated`` loses no more than the margin.
            fields: other columns; ``fees`` are all fees of the trade, ``closed_at`` is now when left out, and a
                ``pnl`` that the exchange reports takes the place of the computed one.

        Closing it again with the same values changes nothing, so a retry is safe. A trade is closed as a whole: of one
        that is sold in parts these are fills, and their mean price (``lk.fills.summary``) is its exit.

        Raises:
            UnknownRowError: there is no such trade.
            LifeCycleError: it was closed with other values, cancelled, or is in error (see :meth:`correct`); its
                result cannot be known, since it lacks side, entry_price or quantity and ``pnl`` is not given; or a
                quantity is given that is less than it holds by more than a fee in what was bought explains (1 %).
            InvalidRowError: no exit price (unless ``pnl`` is given), or a value that does not fit.
            UsageError: a status among the fields.
        """
        _refuse_status(fields, "close")
        if fields.get("pnl") is None or exit_price is not None:
            exit_price = results.exit_given(self._ds, exit_price)
        refuse_nan(self._ds, fields)
        said = {"exit_price": exit_price, **({"exit_reason": exit_reason} if exit_reason else {}), **fields}

        def fold(known: Row | None) -> Mapping[str, Any] | None:
            if known is None:
                raise self._unknown(trade_id)
            if known["status"] == "closed" and folder(self._ds)(known, said) == known:
                return None
            if known["status"] not in _OPEN:
                raise _ended(trade_id, known, "closed")
            results.refuse_part(self._ds, known, said)
            found = {**said, **results.result(folder(self._ds)(known, said), said)}
            if found.get("pnl") is None:
                raise results.unknown(trade_id, {**known, **said})
            return {"status": "closed", "closed_at": results.ended_now(known), **found}

        return changed((trade_id,), *self._writer.change("trades", (trade_id,), fold))

    def correct(self, trade_id: str, /, **changes: Any) -> Receipt:
        """Correct a trade, closed or not; the pnl and pnl_percent of a closed one are computed anew.

        A pnl that was given stays given: other fees are taken off it, and other prices, quantity or side ask for
        another pnl; ``pnl=None`` has it computed. Given is a pnl that does not follow from prices, quantity, side and
        fees. A liquidated trade loses no more than its margin.

        With ``status="open"`` it is not over after all, as when an order that was told to have failed was filled: its
        end and its result are taken back, and it can be closed again. Other changes of its status are the work of
        :meth:`open`, :meth:`close`, :meth:`cancel` and :meth:`error`.

        Raises:
            UnknownRowError: there is no such trade.
            LifeCycleError: its pnl was given, and prices, quantity or side change without another one; or a closed one
                would lose its closed_at.
            InvalidRowError: a value does not fit, or it would be open without what an open trade needs.
            UsageError: another status.
        """
        is_open = str(plain(changes.get("status"))).strip().lower() == "open"
        if not is_open:
            _refuse_status(changes, "correct")
        refuse_nan(self._ds, changes)

        def fold(known: Row | None) -> Mapping[str, Any]:
            if known is None:
                raise self._unknown(trade_id)
            if is_open:
                made = results.reopened(known, {**changes, "status": "open"})
                self._demand_open(folder(self._ds)(known, made))
                return made
            return results.corrected(self._ds, known, changes) if known["status"] == "closed" else changes

        return changed((trade_id,), *self._writer.change("trades", (trade_id,), fold))

    def cancel(self, trade_id: str, reason: str = "") -> Receipt:
        """End a trade that was never filled.

        Raises:
            UnknownRowError: there is no such trade.
            LifeCycleError: it is closed or in error.
        """
        return self._end(trade_id, "cancelled", reason)

    def error(self, trade_id: str, reason: str = "") -> Receipt:
        """End a trade that could not be carried out.

        Raises:
            UnknownRowError: there is no such trade.
            LifeCycleError: it is closed or cancelled.
        """
        return self._end(trade_id, "error", reason)

    def _end(self, trade_id: str, status: str, reason: str) -> Receipt:
        said = {"exit_reason": reason} if reason else {}

        def fold(known: Row | None) -> Mapping[str, Any] | None:
            if known is None:
                raise self._unknown(trade_id)
            if known["status"] == status:
                return None
            if known["status"] not in _OPEN:
                raise _ended(trade_id, known, status)
            return {"status": status, "closed_at": results.ended_now(known), **said}

        return changed((trade_id,), *self._writer.change("trades", (trade_id,), fold))

    def liquidate(self, trade_id: str, exit_price: float | None = None, **fields: Any) -> Receipt:
        """Close a trade by liquidation: at a price, or where its margin is lost; no more than the margin is lost.

        Args:
            trade_id: names the trade.
            exit_price: in the quote currency; where the loss is the whole margin when left out.
            fields: other columns, as in :meth:`close`: ``fees`` are all fees of the trade, a ``pnl`` that the exchange
                reports takes the place of the computed one.

        Raises:
            UnknownRowError: there is no such trade.
            LifeCycleError: it has ended, or a quantity is given that is less than it holds.
            UsageError: it lacks what its margin is computed from, or a status is among the fields.
            InvalidRowError: a value does not fit.
        """
        _refuse_status(fields, "liquidate")
        if exit_price is not None:
            exit_price = results.exit_given(self._ds, exit_price)
        refuse_nan(self._ds, fields)

        def fold(known: Row | None) -> Mapping[str, Any] | None:
            if known is None:
                raise self._unknown(trade_id)
            if known["status"] == "closed" and known.get("exit_reason") == results.LIQUIDATED:
                return None
            if known["status"] not in _OPEN:
                raise _ended(trade_id, known, "liquidated")
            results.refuse_part(self._ds, known, fields)
            return results.liquidated(self._ds, known, exit_price, fields)

        return changed((trade_id,), *self._writer.change("trades", (trade_id,), fold))

    def record(self, trades: Any = None, /, **fields: Any) -> Receipt:
        """Write whole trades, as they are known now: one as a dict or keyword arguments, or many in any form.

        A closed trade without pnl gets it from its prices; one without created_at, the time of its entry or exit; one
        without closed_at was closed now, or when it was first recorded as closed. What a trade is, its symbol, venue,
        side, bot and mode, stays as it is known where it is not given.

        Raises:
            InvalidRowError: the one row given does not fit; of many, those are quarantined and reported.
            LifeCycleError: the one row given has the id of a trade of another bot, symbol, venue, side or mode, or says
                that a trade which has ended is open, or ended otherwise; of many, those are quarantined and reported.
        """
        if trades is None or isinstance(trades, Mapping):
            return record_one(self._writer, given(trades, fields))
        if is_rows(trades):
            return record_many(self._writer, self._engine, dicts(self._ds, trades))
        return record_table(self._writer, self._engine, trades)

    def active(self) -> list[dict[str, Any]]:
        """Trades that are pending or open: all, or with a bot id those of that bot."""
        return as_read(self._ds, open_rows(self._writer, self._ds))

    def statistics(
        self, days: int | None = None, by: str | None = None, *, mode: str | None = None, **variables: Any
    ) -> pl.DataFrame:
        """Win rate, profit factor, expectancy, Sharpe, drawdown, streaks, exposure, ...; see docs/metrics.md.

        One row for each mode, and each symbol, strategy or bot: the rows of the view trade_statistics, or of the one
        by symbol, strategy or bot, whose period is 'all', with the streaks and the exposure of trade_sequences.

        Args:
            days: only trades closed in so many days before now; all when left out.
            by: None, "symbol", "strategy" or "bot".
            mode: only live, paper or backtest; one row for each when left out.
            variables: time_zone, periods_per_year, now.

        Raises:
            UsageError: another ``by``, or days that are not above 0.
        """
        if by is not None and by not in tuple(_NAMES):
            raise UsageError(
                "statistics by what?", where="by", value=by, todo="symbol, strategy or bot, or leave it out."
            )
        sql = _STATISTICS.format(
            view="trade_statistics" if by is None else f"trade_statistics_by_{by}",
            kind=by or "all",
            name="''" if by is None else f"coalesce({_NAMES[by]}, '')",
            condition="true" if mode is None else "s.mode = ?",
        )
        if mode is not None and mode not in _MODES:
            raise UsageError("statistics of which mode?", where="mode", value=mode, todo=", ".join(_MODES))
        window = {"days": days} if days is not None else {}
        return self._engine.frame(sql, [mode] if mode is not None else None, {**window, **variables})


def _refuse_status(fields: Mapping[str, Any], step: str) -> None:
    if "status" in fields:
        todo = "Trades are opened, closed, cancelled or end in error by the methods of these names."
        but = " but open, of a trade that is not over after all" if step == "correct" else ""
        raise UsageError(f"{step} does not take a status{but}", where="status", value=fields["status"], todo=todo)


def _ended(trade_id: str, known: Row, wanted: str) -> LifeCycleError:
    return LifeCycleError(
        f"the trade is {known['status']} and cannot be {wanted}",
        where=f"trades, {trade_id}",
        todo=results.IF_WRONG,
    )
