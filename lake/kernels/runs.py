"""Where one candle series ends and the next begins, in a frame that is sorted by series and time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from lake.errors import UsageError

Integers = npt.NDArray[np.int64]
SERIES = ("venue", "symbol")


def series_columns(frame: pl.DataFrame) -> list[str]:
    """The columns that tell one candle series from another, of those that the frame has."""
    return [name for name in SERIES if name in frame.columns]


def starts(frame: pl.DataFrame, columns: list[str]) -> Integers:
    """Positions at which any of the columns differs from the row before; the first row is one."""
    if frame.is_empty():
        return np.empty(0, dtype=np.int64)
    before, after = frame.head(frame.height - 1), frame.slice(1)
    found = [np.zeros(1, dtype=np.int64)]
    for name in columns:
        old, new = before.get_column(name), after.get_column(name)
        changed = new.ne_missing(old) if frame.get_column(name).null_count() else new != old  # the latter is 3x faster
        found.append(changed.arg_true().to_numpy().astype(np.int64) + 1)
    return np.unique(np.concatenate(found))


def micros(frame: pl.DataFrame, column: str = "open_time") -> Integers:
    """A time column as microseconds since 1970."""
    times = frame.get_column(column)
    if times.null_count():
        raise UsageError("a candle without a time cannot be placed", where=column, value=times.null_count())
    if times.dtype.is_temporal() and times.dtype.time_unit != "us":  # type: ignore[attr-defined]
        times = times.dt.cast_time_unit("us")
    if isinstance(times.dtype, pl.Datetime):
        return times.to_numpy().view(np.int64)  # as stored; a cast would be asked of Polars, which takes longer
    return times.to_physical().cast(pl.Int64).to_numpy()


def shared(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """A column of numbers or times without nulls, in one chunk or more; times as whole numbers of their unit.

    By DLPack, since PyArrow's own ``to_numpy`` imports pandas, which takes longer than decoding two million candles.
    """
    chunks = [chunk.view(pa.int64()) if pa.types.is_timestamp(column.type) else chunk for chunk in column.chunks]
    return np.from_dlpack(chunks[0]) if len(chunks) == 1 else np.concatenate([np.from_dlpack(c) for c in chunks])


def in_order(frame: pl.DataFrame, columns: list[str], heads: Integers, times: Integers) -> bool:
    """True when every series (told by ``columns``) is one run of rows, its times rising without repetition."""
    falls = np.flatnonzero(times[1:] <= times[:-1]) + 1
    if not np.isin(falls, heads, assume_unique=True).all():
        return False
    return not columns or not frame.select(columns)[heads].is_duplicated().any()


def column_of(name: str, values: npt.NDArray[Any]) -> pl.Series:
    """Microseconds as a time column."""
    return pl.Series(name, values, dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))
