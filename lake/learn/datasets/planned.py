"""What was planned with each row, as features: strategy, side, and how far stop and targets lay from the entry."""

from __future__ import annotations

import polars as pl

PLAN = "plan."
_SIDES = {"LONG": 1.0, "SHORT": -1.0, "FLAT": 0.0}
#: Level -> feature, and the sign of its distance: a stop below the entry of a LONG, and a target above it, are above 0.
_DISTANCES = {
    "stop_loss": ("stop_percent", -1),
    "tp1": ("tp1_percent", 1),
    "tp2": ("tp2_percent", 1),
    "tp3": ("tp3_percent", 1),
}


def strategy_feature(rows: pl.DataFrame, *, every: bool = False) -> pl.DataFrame:
    """Column ``plan.strategy``: the name, a text; none where no row names one, unless it is asked for.

    >>> strategy_feature(pl.DataFrame({"strategy": ["cross", None]})).to_series().to_list()
    ['cross', None]
    """
    named = rows["strategy"].cast(pl.String).alias(f"{PLAN}strategy")
    return pl.DataFrame([named] if every or named.null_count() < rows.height else [])


def plan_features(rows: pl.DataFrame, *, every: bool = False) -> pl.DataFrame:
    """Columns ``plan.*``, a row for each row.

    ``plan.side`` is 1 for LONG, -1 for SHORT and 0 for FLAT; ``plan.stop_percent`` and ``plan.tp1_percent`` to
    ``plan.tp3_percent`` are distances from the entry price in percent of it. A column of nulls alone says nothing and
    is left out, unless ``every`` one is asked for.

    Args:
        rows: side, entry_price, stop_loss, tp1, tp2, tp3.
        every: whether columns of nulls are there too.

    >>> row = {"side": "SHORT", "entry_price": 100.0, "stop_loss": 102.0, "tp1": 95.0, "tp2": None, "tp3": None}
    >>> plan_features(pl.DataFrame([row])).row(0, named=True)
    {'plan.side': -1.0, 'plan.stop_percent': 2.0, 'plan.tp1_percent': 5.0}
    """
    side = pl.col("side").replace_strict(_SIDES, default=None, return_dtype=pl.Float64)
    entry = pl.col("entry_price").cast(pl.Float64)
    usable = (entry > 0) & (side != 0)
    away = {
        name: pl.when(usable).then(100 * sign * side * (pl.col(level).cast(pl.Float64) - entry) / entry)
        for level, (name, sign) in _DISTANCES.items()
    }
    found = rows.select(side.alias(f"{PLAN}side"), **{f"{PLAN}{name}": value for name, value in away.items()})
    return found if every else pl.DataFrame([c for c in found.get_columns() if c.null_count() < found.height])
