"""The audit of features that come with rows: all that may be written after the decision is shuffled among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from lake.clock import now_micros
from lake.learn.datasets.assemble import told_features
from lake.learn.datasets.pinned import Pinned
from lake.learn.datasets.request import Request
from lake.learn.datasets.sources import TABLES, statement
from lake.query.engine import Engine
from lake.spec import registry
from lake.spec.dataset import CHANGED_INPUTS, Dataset, Type
from lake.store.snapshot import Snapshot


def changed_inputs(pinned: Pinned, request: Request, rows: pl.DataFrame, seed: int) -> dict[str, Mapping[str, Any]]:
    """Features of rows that change when all else in their tables is shuffled: feature -> the first row that changes.

    The inputs themselves are written over, too, as a bot may do later: what they were is in ``changed_inputs`` then.
    Other tables that the source reads are shuffled as a whole. Of the later half of the rows what was recorded is
    shuffled too, and only the earlier half is compared then.
    """
    if request.recorded is False and not request.plan and not request.strategy:
        return {}
    cut = rows["decision_time"].sort()[rows.height // 2]
    leaking: dict[str, Mapping[str, Any]] = {}
    for upto in (None, cut):
        found = _inputs(pinned, request, upto, np.random.default_rng([seed, upto is None]))
        kept = rows if upto is None else rows.filter(pl.col("decision_time") < upto)
        both = kept.join(found, on="id", how="left", suffix=" again", maintain_order="left")
        for name in found.columns:
            if name in rows.columns and name != "id" and name not in leaking:
                old, new = both[name], both[f"{name} again"].cast(rows.schema[name], strict=False)
                where = old.ne_missing(new).arg_true()
                if len(where):
                    told = both.row(int(where[0]), named=True)
                    at = {
                        "id": told["id"],
                        "symbol": told["symbol"],
                        "decision_time": told["decision_time"].isoformat(),
                    }
                    leaking[name] = {**at, "built": told[name], "found": told[f"{name} again"]}
    return leaking


def _inputs(pinned: Pinned, request: Request, cut: Any, rng: np.random.Generator) -> pl.DataFrame:
    """Id, recorded and planned features of all rows of the shuffled tables."""
    tables = TABLES[request.source]
    real = pinned.snapshot(*tables)
    hot = {name: _shuffled(pinned, request.source, name, cut, rng) for name in tables}
    engine = Engine(pinned.store.location, lambda names: Snapshot({n: real.states[n] for n in names}, hot))
    try:
        rows = engine.frame(f"SELECT * FROM ({statement(request.source)}) AS rows")
    finally:
        engine.close()
    return pl.DataFrame([rows["id"], *told_features(rows, request).get_columns()])


def _shuffled(pinned: Pinned, source: str, name: str, cut: Any, rng: np.random.Generator) -> pl.DataFrame:
    """Every row of a table as another version of itself, as if written now."""
    ds = registry.get(name)
    if name != source:
        return _permuted(ds, pinned.engine.frame(f"SELECT * FROM {name}"), rng)
    rows = pinned.engine.frame(f"SELECT * FROM {name}_as_decided")
    decided = _decided(ds, rows)
    if cut is not None:
        places = (rows[ds.event_time] > cut).arg_true().to_numpy()
        decided = decided.scatter(places, decided[rng.permutation(places)])
    return _permuted(ds, rows, rng).with_columns(decided)


def _permuted(ds: Dataset, rows: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    free = [n for n in rows.columns if n not in {*ds.key, "period"}]
    return rows.with_columns(rows[n][rng.permutation(rows.height)] for n in free)


def _decided(ds: Dataset, rows: pl.DataFrame) -> pl.Series:
    """What a ledger would keep of rows all of whose inputs were written over."""
    names = () if ds.inputs is None else ds.inputs.columns
    times = [pl.col(n).dt.timestamp("us") for n in names if ds.column(n).type is Type.TIMESTAMP]
    changed = pl.lit(now_micros()).alias("changed_at")
    kept = [pl.struct(pl.col(n).alias("was"), changed).alias(n) for n in names]
    return rows.with_columns(times).select(pl.struct(kept).struct.json_encode().alias(CHANGED_INPUTS)).to_series()
