"""Arrow tables as Polars frames, and the form in which their values are compared with file statistics."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pyarrow as pa

from lake.spec.dataset import Dataset, Type
from lake.store.cold.files import Bounds


def frame_of(table: pa.Table) -> pl.DataFrame:
    """An Arrow table as a Polars frame, without copying what need not be.

    Column by column: a whole table is handed to Polars' own threads, which wait for a core while others decode.
    """
    return pl.DataFrame([_column(name, table.column(name)) for name in table.column_names])


def _column(name: str, values: pa.ChunkedArray) -> pl.Series:
    found = pl.from_arrow(values, rechunk=False)
    return found.to_series() if isinstance(found, pl.DataFrame) else found.alias(name)


def bounds_of(frame: pl.DataFrame, columns: Sequence[str]) -> dict[str, Bounds]:
    """Smallest and largest value per column, in the form that file statistics compare with."""
    row = frame.select(
        expression
        for name in columns
        for expression in (_plain(frame, name).min().alias(f"{name}<"), _plain(frame, name).max().alias(f"{name}>"))
    ).row(0, named=True)
    return {name: (row[f"{name}<"], row[f"{name}>"]) for name in columns}


def _plain(frame: pl.DataFrame, name: str) -> pl.Expr:
    kind = frame.schema[name]
    if isinstance(kind, pl.Datetime):
        return pl.col(name).dt.timestamp("us")
    return pl.col(name).cast(pl.String) if kind == pl.Date else pl.col(name)


def plain(ds: Dataset, name: str) -> pl.Expr:
    """A column in the form in which rows and file statistics hold its values: times as microseconds."""
    kind = ds.by_name[name].type if name in ds.by_name else Type.STRING
    if kind is Type.TIMESTAMP:
        return pl.col(name).dt.timestamp("us")
    return pl.col(name).cast(pl.String) if kind is Type.DATE else pl.col(name)
