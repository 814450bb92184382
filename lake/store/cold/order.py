"""Is a frame in a dataset's file order, with every key once? Told in one pass when it is, which spares the sort."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from lake.spec.dataset import Dataset
from lake.spec.decode import is_one_value

Mask = npt.NDArray[np.bool_]


def sort_columns(ds: Dataset) -> list[str]:
    """Columns that order a dataset's rows inside its files."""
    first = ds.sort or ds.key
    return [c for c in (*first, *(k for k in ds.key if k not in first)) if c not in ds.partitioned_by]


def is_ordered(frame: pl.DataFrame, columns: Sequence[str], *, strictly: bool = False) -> bool:
    """Whether the rows ascend by ``columns``; ``strictly`` also asks that no two rows are equal in them."""
    if frame.height < 2:
        return True
    tied: Mask = np.ones(frame.height - 1, dtype=bool)
    for name in columns:
        column = frame.get_column(name)
        if column.null_count():
            return False
        if column.flags["SORTED_ASC"] and is_one_value(column):
            continue
        same, falls = _steps(column, tied)
        if falls:
            return False
        tied &= same
        if not tied.any():
            return True
    return not strictly


def _steps(column: pl.Series, tied: Mask) -> tuple[Mask, bool]:
    """Row by row: equal to the one before; and whether any tied row is less than the one before."""
    if column.dtype == pl.String:
        same = (column.slice(1) == column.slice(0, len(column) - 1)).to_numpy()
        at = np.flatnonzero(tied & ~same)
        before, after = column.gather(at), column.gather(at + 1)
        return same, bool((after < before).any())
    values = column.to_physical().to_numpy()
    return values[1:] == values[:-1], bool((tied & (values[1:] < values[:-1])).any())


def is_unique_and_ordered(ds: Dataset, frame: pl.DataFrame) -> bool:
    """Whether the frame needs neither sorting nor a search for repeated keys.

    Only said of frames whose rows ascend strictly across all partitions; False means "not known".
    """
    columns = sort_columns(ds)
    outside = [c for c in ds.partition.columns if frame.height and not is_one_value(frame.get_column(c))]
    return (
        not outside and set(ds.key) <= {*columns, *ds.partition.columns} and is_ordered(frame, columns, strictly=True)
    )
