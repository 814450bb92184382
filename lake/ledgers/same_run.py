"""A run that is recorded again: the same trades, or others that must not take the place of those.

A value that was not known when the run was recorded contradicts nothing: it is added.
"""

from __future__ import annotations

import polars as pl

from lake.clock import now_micros
from lake.errors import LifeCycleError
from lake.ledgers.transaction import Fold, Whole
from lake.ledgers.writer import Writer
from lake.query.engine import Engine
from lake.spec import registry
from lake.spec.decode import rows_to_frame
from lake.spec.schema import UTC_MICROS
from lake.store.hot.entry import Row

_DS = registry.get("trades")
_MONEY = ("quantity", "leverage", "entry_price", "exit_price", "fees", "pnl", "pnl_percent")
_SAME = ("bot_id", "symbol", "venue", "side", "status", *_MONEY, "opened_at", "closed_at")
_KNOWN = """
SELECT * FROM trades WHERE starts_with(trade_id, $prefix)
UNION ALL
SELECT * FROM trades WHERE run_id = $run_id AND NOT starts_with(trade_id, $prefix)"""  # OR would read all of the trades


def known_trades(writer: Writer, engine: Engine, run_id: str) -> pl.DataFrame:
    """The trades of a run, and all others whose id begins with the run's, in the columns of the dataset."""
    prefix = f"{run_id}/"
    found = engine.frame(_KNOWN, {"run_id": run_id, "prefix": prefix}).select(*_DS.by_name)
    rows = writer.unlanded(_DS.name)
    own = [dict(row) for row in rows if row.get("run_id") == run_id or row["trade_id"].startswith(prefix)]
    if not own:
        return found
    return pl.concat([found, rows_to_frame(_DS, own).select(*_DS.by_name)]).unique("trade_id", keep="last")


def timed(trades: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Trades with the times that nobody gave: those of when they were first recorded, else now.

    Args:
        trades: in canonical columns, of those that say no time at all with any created_at.
        known: as they were recorded before.
    """
    first = known.select("trade_id", first_created="created_at", first_closed="closed_at")
    now = pl.lit(now_micros()).cast(UTC_MICROS)
    is_timeless, is_closed = pl.col("opened_at").is_null() & pl.col("closed_at").is_null(), pl.col("status") == "closed"
    closed_at = pl.coalesce("closed_at", "first_closed", now)
    filled = trades.join(first, on="trade_id", how="left", maintain_order="left").with_columns(
        pl.when(is_timeless)
        .then(pl.coalesce("first_created", "created_at"))
        .otherwise("created_at")
        .alias("created_at"),
        pl.when(is_closed).then(closed_at).otherwise("closed_at").alias("closed_at"),
    )
    return filled.drop("first_created", "first_closed")


def refuse_others(trades: pl.DataFrame, known: pl.DataFrame, run_id: str) -> None:
    """Refuse trades that would take the place of other ones: of another run or real ones, or of this run's.

    Args:
        trades: of the run, as given; none say nothing.
        known: those of the run, and others that may have their ids.
        run_id: of the run.

    Raises:
        LifeCycleError: they would.
    """
    if trades.is_empty() or known.is_empty():
        return
    both = known.join(trades, on="trade_id", suffix="_given", maintain_order="left")
    is_own = pl.col("run_id").eq_missing(run_id) & (pl.col("mode") == "backtest")
    for trade_id, mode, run in both.filter(~is_own).select("trade_id", "mode", "run_id").head(1).iter_rows():
        raise LifeCycleError(
            f"another trade has this id, of mode {mode} and {f'run {run}' if run else 'no run'}",
            where=f"trades.trade_id, {trade_id}",
            todo="Give the run a run_id of its own, or leave the ids of its trades out.",
        )
    recorded = known.filter(is_own)
    if recorded.is_empty():
        return
    if not recorded.height == both.height == trades.height:
        raise other_trades(
            run_id, f"it has {recorded.height}, and {trades.height} are given, of which it has {both.height}"
        )
    for name in _SAME:
        differs = both.filter(pl.col(name).is_not_null() & pl.col(name).ne_missing(pl.col(f"{name}_given"))).head(1)
        for row in differs.iter_rows(named=True):
            raise other_trades(run_id, f"the {name} of {row['trade_id']} is {row[name]}, not {row[f'{name}_given']}")


def retelling(row: Row, run_id: str) -> Fold:
    """What adds a trade of a run to the known one; it raises LifeCycleError where that has become another one."""

    def fold(known: Row | None) -> Whole:
        for name in ("run_id", "mode", *_SAME):
            told, found = row.get(name), None if known is None else known.get(name)
            if told != found and (found is not None or name in {"run_id", "mode"}):
                raise other_trades(run_id, f"the {name} of {row['trade_id']} has become {found}, and is not {told}")
        return Whole({**(known or {}), **row})

    return fold


def other_trades(run_id: str, why: str = "") -> LifeCycleError:
    """The error for a run that is known with other trades than those given."""
    return LifeCycleError(
        f"the run is recorded with other trades{f': {why}' if why else ''}",
        where=f"backtests, {run_id}",
        todo="Give this one a run_id of its own.",
    )
