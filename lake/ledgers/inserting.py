"""Rows that were found to be new go below what others write of their keys meanwhile: nothing of it is lost."""

from __future__ import annotations

import polars as pl

from lake.spec.dataset import Dataset
from lake.store.by_key import rows_of
from lake.store.cold.edit import OvertakenError
from lake.store.cold.order import is_unique_and_ordered
from lake.store.cold.table_state import TableState
from lake.store.store import Store


def insert_unless_there(store: Store, ds: Dataset, rows: pl.DataFrame, seen: TableState) -> pl.DataFrame:
    """Write rows straight to the cold table, in one commit, but for those that are there by then.

    Nobody waits: the commit rests on the files of ``seen``, and what waits in hot, or comes to, overrides it.

    Args:
        store: of the lake.
        ds: their dataset.
        rows: canonical, each key once.
        seen: the cold table as it was before the look that found none of them, in cold or hot.

    Returns:
        The versions of them that others wrote since: they are as those have them.
    """
    table, key, columns = store.table(ds.name), list(ds.key), list(ds.by_name)
    there = rows.select(columns).clear()
    while True:
        try:
            table.upsert(rows, ordered=is_unique_and_ordered(ds, rows), seen=seen)
        except OvertakenError:
            seen = table.state()
            there = pl.concat([there, *rows_of(store, ds, rows.select(key), columns)])
            rows = rows.join(there, on=key, how="anti", maintain_order="left")
            continue
        hot = store.snapshot([ds.name]).hot[ds.name].select(columns)
        return pl.concat([there, hot.join(rows, on=key, how="semi")])
