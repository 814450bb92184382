"""Backtests: a run, its totals and its trades in one commit, and how far real trading parts from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from lake.clock import uuid7
from lake.errors import LifeCycleError
from lake.ledgers.base import Ledger, changed, given
from lake.ledgers.changes import change_many
from lake.ledgers.receipt import Receipt
from lake.ledgers.run_trades import differing, facts, table_of, totals
from lake.ledgers.same_run import known_trades, other_trades, refuse_others, retelling, timed
from lake.query.read import read, text_asked
from lake.spec import registry
from lake.spec.decode import frame_to_rows
from lake.spec.rows import row_checker
from lake.store.hot.entry import Entry, Row

_TRADES = registry.get("trades")
_TOTALS = ("trades", "wins", "losses", "win_rate", "profit_factor", "total_pnl_percent")


@dataclass(frozen=True)
class RunReceipt(Receipt):
    """The receipt of a run.

    Attributes:
        differences: totals that were given and are not those of its trades, by more than rounding: name -> (as given,
            as the trades tell). The given ones are kept, the views count the trades.
    """

    differences: Mapping[str, tuple[float, float]] = field(default_factory=dict)


class Backtests(Ledger):
    """Records backtests and compares them with real trading; ``lk.backtests``."""

    dataset = "backtests"

    def record(self, run: Mapping[str, Any], trades: Any = (), /, **fields: Any) -> RunReceipt:
        """Record a run and its trades in one commit, however many: neither is ever seen without the other.

        Totals that are not given are computed from the closed trades with a known result: trades, wins, losses,
        win_rate (%), profit_factor (none without a loss) and total_pnl_percent, the sum of the trades' pnl_percent.
        Given ones are kept as they are; those that its trades tell otherwise are in the receipt's ``differences``: a
        backtester may mean another figure by the name, or hold other trades. The view divergence shows both, too.
        Trades are named by their run and their id, or their place where they have none: ``run-7/1``. So the ids of a
        backtester, which are often 1, 2, 3, ... in each run, are not taken for those of real trades or of other runs,
        and recording the same run again changes nothing. An id that begins so already is kept as it is.

        Args:
            run: columns of the dataset; run_id names it, and is in the receipt when left out.
            trades: rows in any form; mode and run_id are filled in, and symbol, venue, strategy and timeframe where
                they lack them.
            fields: columns of the run, as keyword arguments.

        Returns:
            The receipt of the run. How its trades fared follows from it: all of them landed with it.

        Raises:
            InvalidRowError: a value of the run or of a trade does not fit, or two trades have one id.
            LifeCycleError: a run of this id is recorded with other trades, or the id of one of them is that of a trade
                of another run or a real one. After an error nothing is written.
        """
        row = given(run, fields)
        run_id = str(row.get("run_id") or uuid7())
        table = table_of(trades, run_id, row, self._writer.bot)
        with self._writer.undisturbed():  # in a transaction what has changed meanwhile is folded in at its end
            return self._record(row, run_id, table)

    def _record(self, row: Mapping[str, Any], run_id: str, given_trades: pl.DataFrame) -> RunReceipt:
        is_first = self._writer.current(self._ds, (run_id,)) is None
        before = known_trades(self._writer, self._engine, run_id)
        table = timed(given_trades, before)
        refuse_others(table, before, run_id)
        own = before.filter((pl.col("run_id") == run_id) & (pl.col("mode") == "backtest"))
        tallied = totals(table) if is_first or not table.is_empty() else {}  # told again without trades it keeps them
        whole = {**facts(table), **tallied, **row, "run_id": run_id}
        stale = {} if before.is_empty() else {n: v for n, v in totals(before).items() if row.get(n) is None}

        def fold(known: Row | None) -> Mapping[str, Any]:
            if known is None:
                return whole
            wanted = row_checker(self._ds)({**whole, "created_at": known["created_at"]})
            if is_first:  # its trades were not compared
                raise LifeCycleError(
                    "it was recorded by someone else meanwhile", where=f"backtests, {run_id}", todo="Record it again."
                )
            stated = [name for name in _TOTALS if name not in row and known.get(name) not in {None, stale.get(name)}]
            kept = {"created_at", *(stated if not own.is_empty() else ())}  # its trades are the same
            compared = [name for name in _TOTALS if name in whole and name not in kept]
            if any(known.get(name) not in {None, wanted.get(name), stale.get(name)} for name in compared):
                raise other_trades(run_id)
            return {name: value for name, value in whole.items() if name not in kept}

        with self._writer.transaction():
            known, made = self._writer.change("backtests", (run_id,), fold)
            self._land(table, before, run_id)
        differences = differing(made or known or {}, own if table.is_empty() else table)
        return RunReceipt(**vars(changed((run_id,), known, made)), differences=differences)

    def _land(self, trades: pl.DataFrame, before: pl.DataFrame, run_id: str) -> None:
        """Add the trades to the transaction; what else was told of them since they were first recorded stays."""
        known = {row["trade_id"]: row for row in frame_to_rows(_TRADES, before)}
        rows = {row["trade_id"]: row for row in frame_to_rows(_TRADES, trades)}
        told_more = {n: row for n, row in rows.items() if n in known and {**known[n], **row} != known[n]}
        change_many(self._writer, _TRADES.name, {(n,): retelling(row, run_id) for n, row in told_more.items()})
        new = [row for n, row in rows.items() if n not in known]
        transaction = self._writer.open_transaction()
        if transaction is not None and new:
            transaction.write([Entry(_TRADES.name, new)])

    def trades(self, run_id: str) -> pl.DataFrame:
        """The trades of a run, in order of time."""
        asked = text_asked("trades", "run_id", run_id)
        return self._engine.frame("SELECT * FROM trades WHERE run_id = ? ORDER BY created_at, trade_id", [asked])

    def divergence(self, run_id: str, bot_id: str | None = None, mode: str | None = None) -> pl.DataFrame:
        """How far real trading parts from a backtest of the same strategy, symbol and time; the view divergence.

        Args:
            run_id: the backtest.
            bot_id: only this bot's trades; a row for each bot when left out.
            mode: only live or paper; a row for each when left out.

        Raises:
            UnknownRowError: there is no such run.
        """
        if self.get(run_id) is None:
            raise self._unknown(run_id)
        where = {"run_id": run_id, **({} if bot_id is None else {"bot_id": bot_id})}
        return read(self._engine, "divergence", {**where, **({} if mode is None else {"mode": mode})})
