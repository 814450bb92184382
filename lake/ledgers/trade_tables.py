"""Trades given as a table: completed column by column with what a trade given alone is completed with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from lake.clock import now_micros
from lake.kernels import pnl
from lake.ledgers.trade_results import IDENTITY, LIQUIDATED
from lake.query.engine import Engine
from lake.spec import registry
from lake.spec.convert import is_nan
from lake.spec.decode import frame_to_rows, with_period
from lake.spec.frames import Checked, check_frame
from lake.spec.schema import UTC_MICROS
from lake.spec.tables import as_polars

_DS = registry.get("trades")
_SAME = ("bot_id", *IDENTITY, "status", "created_at")
_KNOWN = f"SELECT trade_id, {', '.join(_SAME)} FROM trades WHERE trade_id IN (SELECT unnest(?::VARCHAR[]))"
_IS_CLOSED = pl.col("status") == "closed"


@dataclass(frozen=True, slots=True)
class CheckedTable:
    """Trades in canonical columns with their results, those that do not fit, and what the table did not say."""

    trades: pl.DataFrame
    bad: pl.DataFrame
    has_ids: bool
    assumed: frozenset[str]


def checked_table(data: Any, bot: str) -> CheckedTable:
    """A table of whole trades, completed.

    Args:
        data: a Polars or pandas frame, or an Arrow table.
        bot: signs trades that name no other.

    Raises:
        UsageError: it is no table.
        InvalidRowError: it lacks a required column.
    """
    given = as_polars(data)
    parts = [(_check(part, bot), says_when) for part, says_when in _by_time(given)]
    trades = with_results(pl.concat([part.good if says_when else _planned(part.good) for part, says_when in parts]))
    bad = next((part.bad for part, _ in parts if part.bad.height == sum(p.bad.height for p, _ in parts)), None)
    if bad is None:
        bad = pl.concat([part.bad for part, _ in parts], how="diagonal")
    assumed = frozenset((_DS.defaults or {}).keys() - set(given.columns))
    return CheckedTable(trades, bad, "trade_id" in given.columns, assumed)


def sorted_table(engine: Engine, table: CheckedTable) -> tuple[Checked, list[dict[str, Any]]]:
    """Trades that can be written as they are, and those that are to be looked at one by one.

    The latter have the id of a trade that is known otherwise, or one that is given twice, or a result that is not
    finite. Of them columns that the table lacks are left out, since they say nothing of a trade that is known.
    """
    trades = table.trades
    is_single = ~_is_finite(trades)
    if table.has_ids:
        is_single |= trades["trade_id"].is_duplicated() | ~_is_sure(engine, trades)
    single = [
        {name: value for name, value in row.items() if name not in table.assumed}
        for row in frame_to_rows(_DS, trades.filter(is_single))
    ]
    return Checked(_ended(trades.filter(~is_single)), table.bad), single


def _check(part: pl.DataFrame, bot: str) -> Checked:
    return check_frame(_DS, part, constants={"bot_id": bot} if bot else None)


def _is_sure(engine: Engine, trades: pl.DataFrame) -> pl.Series:
    """Whether a trade is new, or goes on as what it is known as."""
    known = engine.frame(_KNOWN, [trades["trade_id"].to_list()]).with_columns(is_known=True)
    both = trades.join(known, on="trade_id", how="left", suffix="_known", maintain_order="left")
    goes_on = [pl.col(name).eq_missing(pl.col(f"{name}_known")) for name in _SAME]
    says_when = ~_IS_CLOSED | pl.col("closed_at").is_not_null()
    return both.select(pl.col("is_known").is_null() | pl.all_horizontal(*goes_on, says_when)).to_series()


def _is_finite(trades: pl.DataFrame) -> pl.Series:
    return trades.select(
        pl.col("pnl").is_finite().fill_null(value=True) & pl.col("pnl_percent").is_finite().fill_null(value=True)
    ).to_series()


def _ended(trades: pl.DataFrame) -> pl.DataFrame:
    now = pl.lit(now_micros()).cast(UTC_MICROS)
    closed_at = pl.when(_IS_CLOSED).then(pl.coalesce("closed_at", now)).otherwise("closed_at")
    return trades.with_columns(closed_at.alias("closed_at"))


def _by_time(given: pl.DataFrame) -> list[tuple[pl.DataFrame, bool]]:
    """The rows that say when they were planned; and those that do not, without that column."""
    names = [n for n in given.columns if n == _DS.event_time or n.lower() in _DS.time_aliases]
    if not names:
        return [(given, False)]
    silent = pl.Series([True]).new_from_index(0, given.height)
    for name in names:
        silent &= given[name].is_null() | is_nan(given[name])
    parts = [(given.filter(~silent), True), (given.filter(silent).drop(names), False)]
    return [part for part in parts if part[0].height] or parts[:1]


def _planned(trades: pl.DataFrame) -> pl.DataFrame:
    planned = trades.with_columns(pl.coalesce("opened_at", "closed_at", "created_at").alias("created_at"))
    return with_period(_DS, planned)


def with_results(trades: pl.DataFrame) -> pl.DataFrame:
    """Trades in canonical columns; closed ones have the pnl of their prices, and the percentage of their pnl."""
    amount, percent = pnl.columns()
    bound = pl.col("entry_price") * pl.col("quantity") / pl.col("leverage").fill_null(1.0)
    is_capped = (pl.col("exit_reason") == LIQUIDATED).fill_null(value=False) & (amount < -bound)
    needed = _IS_CLOSED & pl.col("pnl").is_null()
    amount, percent = (
        pl.when(is_capped).then(-bound).otherwise(amount),
        pl.when(is_capped).then(pl.when(bound != 0.0).then(-100.0).otherwise(0.0)).otherwise(percent),
    )
    share = pl.when(needed).then(percent).when(_IS_CLOSED & (bound != 0.0)).then(100.0 * pl.col("pnl") / bound)
    return trades.with_columns(
        pl.when(needed).then(amount).otherwise("pnl").alias("pnl"),
        pl.coalesce("pnl_percent", share).alias("pnl_percent"),
    )
