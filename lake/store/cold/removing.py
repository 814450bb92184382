"""Rows that are taken out of a table one by one, unless they have become others meanwhile."""

from __future__ import annotations

from functools import partial

import polars as pl

from lake.spec.decode import keys_to_frame, plain_rows
from lake.store.cold.edit import Edit, Landed
from lake.store.cold.files import DataFile
from lake.store.cold.lookup import Asked
from lake.store.cold.table import ColdTable, Guard
from lake.store.cold.table_state import TableState


def remove(table: ColdTable, rows: pl.DataFrame, within: Guard) -> int:
    """Remove rows that are in a table as they are given, in one commit.

    Args:
        table: which of them.
        rows: in the dataset's columns, each key once.
        within: as in :meth:`ColdTable.commit`.

    Returns:
        How many were there so, and are gone.

    Raises:
        OvertakenError: ``within`` raised it.
    """
    key, gone = list(table.ds.key), 0
    asked = Asked(keys_to_frame(table.ds, plain_rows(rows, key)))

    def plan(state: TableState) -> Edit:
        nonlocal gone
        removed: list[DataFile] = []
        added: list[DataFile] = []
        gone = 0
        for file in state.files.values():
            found = [_same(piece, rows).select(key) for piece in table.lookup.rows(file, asked, table.schema())]
            keys = pl.concat(found) if found else rows.select(key).clear()
            if keys.height:
                rest = table.rewritten(file, partial(_without, keys))
                removed.append(file)
                added += [] if rest is None else [rest]
                gone += keys.height
        return Edit(tuple(removed), tuple(added), Landed(), None)

    table.commit(plan, operation="DELETE", within=within)
    return gone


def _without(keys: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    return rows.join(keys, on=keys.columns, how="anti", maintain_order="left")


def _same(there: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Those of the rows that are as they are given."""
    names = [name for name in rows.columns if name in there.columns]
    return there.join(rows, on=names, how="semi", nulls_equal=True)
