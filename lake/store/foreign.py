"""Columns that only a newer version of a dataset knows, on their way from a hot log to the cold table.

An older bot, or an older job, may drain what a newer bot wrote. The hot log says which columns its rows may have and of
which types, so that the drainer widens the table for them, although its own specification does not name them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import polars as pl

from lake.spec.decode import FOREIGN, foreign_column
from lake.spec.rows import merged_extra
from lake.spec.schema import nullable_field
from lake.store.cold.table import ColdTable


def with_foreign_columns(table: ColdTable, frame: pl.DataFrame, declared: Mapping[str, str]) -> pl.DataFrame:
    """The frame with the fields of its ``__foreign`` column as columns of the table.

    Args:
        table: widened where it lacks one of them.
        frame: rows of hot logs.
        declared: name -> type of the columns that the logs' writers know. A field that neither they nor the table
            know is kept in ``extra``.
    """
    if FOREIGN not in frame.columns:
        return frame
    rows: list[dict[str, Any]] = [{} if f is None else orjson.loads(f) for f in frame.get_column(FOREIGN).to_list()]
    names = sorted(set().union(*rows))
    new = (nullable_field(n, declared[n]) for n in names if n in declared and n not in table.schema().names)
    table.widen([field for field in new if field is not None])
    types = pl.DataFrame(table.schema().empty_table()).schema
    columns = [foreign_column(n, types[n], [row.get(n) for row in rows]) for n in names if n in types]
    frame = frame.drop(FOREIGN).with_columns(columns)
    unknown = [n for n in names if n not in types]
    return _in_extra(table, frame, rows, unknown) if unknown and "extra" in frame.columns else frame


def _in_extra(
    table: ColdTable, frame: pl.DataFrame, rows: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> pl.DataFrame:
    kept = []
    for extra, row in zip(frame.get_column("extra").to_list(), rows, strict=True):
        more = {n: row[n] for n in names if n in row}
        kept.append(merged_extra(extra, more, f"{table.ds.name}.extra") if more else extra)
    return frame.with_columns(pl.Series("extra", kept, dtype=pl.String))
