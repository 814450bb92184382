"""Backtests: a run, its totals and its trades in one commit, and how far real trading parts from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from lake.clock import uuid7
from lake.errors import LifeCycleError
from lake.ledgers.base import Ledger, changed, given
from lake.ledgers.receipt import Receipt
from lake.ledgers.run_trades import facts, table_of, totals
from lake.query.read import read
from lake.spec import registry
from lake.spec.decode import frame_to_rows
from lake.spec.rows import row_checker
from lake.store.hot.entry import Entry, Row

_TRADES = registry.get("trades")
_TOTALS = ("trades", "wins", "losses", "win_rate", "profit_factor", "total_pnl_percent")


class Backtests(Ledger):
    """Records backtests and compares them with real trading; ``lk.backtests``."""

    dataset = "backtests"

    def record(self, run: Mapping[str, Any], trades: Any = (), /, **fields: Any) -> Receipt:
        """Record a run and its trades in one commit, however many: neither is ever seen without the other.

        Totals that are not given are computed from the closed trades with a known result: trades, wins, losses,
        win_rate (%), profit_factor (none without a loss) and total_pnl_percent, the sum of the trades' pnl_percent.
        Trades without an id are named by run and place, so recording the same run again changes nothing.

        Args:
            run: columns of the dataset; run_id names it, and is in the receipt when left out.
            trades: rows in any form; mode and run_id are filled in, and symbol, venue, strategy and timeframe where
                they lack them.
            fields: columns of the run, as keyword arguments.

        Returns:
            The receipt of the run. How its trades fared follows from it: all of them landed with it.

        Raises:
            InvalidRowError: a value of the run or of a trade does not fit; nothing is written.
            LifeCycleError: a run of this id is recorded with other trades.
        """
        row = given(run, fields)
        run_id = str(row.get("run_id") or uuid7())
        table = table_of(trades, run_id, row, self._writer.bot)
        whole = {**facts(table), **totals(table), **row, "run_id": run_id}

        def fold(known: Row | None) -> Mapping[str, Any]:
            if known is None:
                return whole
            wanted = row_checker(self._ds)({**whole, "created_at": known["created_at"]})
            if any(known.get(name) != wanted.get(name) for name in _TOTALS):
                raise LifeCycleError(
                    "the run is recorded with other trades",
                    where=f"backtests, {run_id}",
                    todo="Give this one a run_id of its own.",
                )
            return {name: value for name, value in whole.items() if name != "created_at"}

        with self._writer.transaction():
            receipt = changed((run_id,), *self._writer.change("backtests", (run_id,), fold))
            self._land(frame_to_rows(_TRADES, table))
        return receipt

    def _land(self, trades: Sequence[Row]) -> None:
        """Add the trades to the transaction; nobody asks which of them were new, so nothing is looked up for that."""
        transaction = self._writer.open_transaction()
        unique = {row["trade_id"]: row for row in trades}
        if transaction is not None and unique:
            transaction.write([Entry("trades", list(unique.values()))])

    def trades(self, run_id: str) -> pl.DataFrame:
        """The trades of a run, in order of time."""
        return self._engine.frame("SELECT * FROM trades WHERE run_id = ? ORDER BY created_at, trade_id", [run_id])

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
