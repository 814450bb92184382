"""Times of rows that came in a table which does not say them: those of the rows' first versions."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pyarrow as pa

from lake.spec.dataset import Dataset
from lake.spec.decode import rows_to_frame, with_period
from lake.spec.frames import Checked
from lake.spec.schema import arrow_schema
from lake.store.cold.lookup import Asked
from lake.store.hot.entry import Row
from lake.store.store import Store


def with_first_times(store: Store, ds: Dataset, checked: Checked, unlanded: Sequence[Row]) -> pl.DataFrame:
    """The good rows of a table; of one whose key is known a time that the clock filled in is the known row's.

    Writing a row again does not make it newer.

    Args:
        store: the lake.
        ds: the dataset.
        checked: the table.
        unlanded: rows of the dataset that the open transaction has written.
    """
    good = checked.good
    for name, keys in checked.undated.items():
        known = _known(store, ds, name, keys, unlanded)
        if known.height:
            first = good.join(known, on=list(ds.key), how="left", maintain_order="left", suffix="_first")
            good = with_period(ds, good.with_columns(first[f"{name}_first"].fill_null(good[name]).alias(name)))
    return good


def _known(store: Store, ds: Dataset, name: str, keys: pl.DataFrame, unlanded: Sequence[Row]) -> pl.DataFrame:
    """The keys that are known, once each, with what is known as that time."""
    columns = [*ds.key, name]
    snapshot, table = store.snapshot([ds.name]), store.table(ds.name)
    schema = pa.schema([arrow_schema(ds).field(column) for column in columns])
    parts = list(table.rows_of(snapshot.states[ds.name], Asked(keys), schema))
    parts.append(snapshot.hot[ds.name].select(columns))
    if unlanded:
        parts.append(rows_to_frame(ds, [dict(row) for row in unlanded]).select(columns))
    found = pl.concat([part.select(columns).join(keys, on=list(ds.key), how="semi") for part in parts])
    return found.unique(subset=list(ds.key), keep="last", maintain_order=True)
