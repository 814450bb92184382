"""Whatever holds a table, as a Polars frame; nothing is checked yet."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from lake.errors import InvalidRowError, UsageError

_FEW = 500  # rows that are converted faster than threads begin
_STREAM = "__arrow_c_stream__"
_NAMELESS_INDEX = "date"  # a common name of the event time, see Dataset.time_aliases


def is_rows(data: Any) -> bool:
    """Whether it gives rows one by one, in whatever form; a text does, and is refused as a row. A table does not."""
    return isinstance(data, Iterator | Sequence) and not hasattr(data, _STREAM)


def as_polars(data: Any, *, exact: Collection[str] = ()) -> pl.DataFrame:
    """A Polars frame of a Polars or pandas frame (its times may be the index), an Arrow table or batch, or columns.

    What gives a stream of Arrow is a table too: a relation of :meth:`lake.lake.Lake.sql`, and its ``.arrow()``.

    Args:
        data: holds the table.
        exact: columns in which NaN of pandas is kept; in others it stands for an unknown value.

    Raises:
        UsageError: it holds no table.
        InvalidRowError: a column mixes kinds of values that no one type holds.
    """
    if isinstance(data, pl.DataFrame):
        return data
    if isinstance(data, pl.LazyFrame):
        return data.collect()
    try:
        return _converted(data, exact)
    except (pa.ArrowException, pl.exceptions.PolarsError, TypeError) as error:
        raise InvalidRowError(f"a column mixes kinds of values: {error}", todo="Give each column one type.") from error


def stacked(tables: Mapping[str, Any], name: str, *, exact: Collection[str] = ()) -> pl.DataFrame | None:
    """Tables of the same columns as one, with the key of each in the column ``name`` unless they have it; else None.

    Checking one table of fifty rows costs a fiftieth of checking fifty tables of one. ``exact`` is that of
    :func:`as_polars`.
    """
    values = list(tables.values())
    if all(isinstance(t, pl.DataFrame) for t in values):
        return _stacked_polars(values, list(tables), name)
    if all(type(t).__module__.startswith("pandas") and hasattr(t, "columns") for t in values):
        return _stacked_pandas(values, list(tables), name, exact)
    return None


def _stacked_polars(values: Sequence[pl.DataFrame], keys: Sequence[str], name: str) -> pl.DataFrame | None:
    try:
        together: pl.DataFrame = pl.concat(values)
    except pl.exceptions.PolarsError:
        return None
    if name in together.columns:
        return together  # they say it themselves
    owners = pl.Series(name, keys, dtype=pl.String)
    if together.height == len(values) and all(t.height == 1 for t in values):
        return together.hstack([owners])
    lengths = pl.Series("n", [t.height for t in values], dtype=pl.UInt32)
    repeated = pl.select(pl.lit(owners).repeat_by(pl.lit(lengths)).explode(empty_as_null=False)).to_series()
    return together.hstack([repeated.alias(name)])


def _stacked_pandas(
    values: Sequence[Any], keys: Sequence[str], name: str, exact: Collection[str]
) -> pl.DataFrame | None:
    import pandas as pd

    given = [_without_index(t) for t in values]
    try:
        together = pd.concat(given, ignore_index=True)
    except pd.errors.InvalidIndexError:  # a column twice, and not the same columns in all of them
        return None
    if any(t.shape[1] != together.shape[1] for t in given):
        return None  # what one of them lacks would be filled in
    joined = as_polars(together, exact=exact)
    if name in joined.columns:
        return joined
    owners = [key for key, t in zip(keys, given, strict=True) for _ in range(t.shape[0])]
    return joined.hstack([pl.Series(name, owners, dtype=pl.String)])


def _converted(data: Any, exact: Collection[str]) -> pl.DataFrame:
    if isinstance(data, (pa.Table, pa.RecordBatch)):
        return _of_arrow(data)
    if isinstance(data, Mapping):
        return pl.DataFrame(data)
    if type(data).__module__.startswith("pandas") and hasattr(data, "reset_index"):
        return _of_pandas(_without_index(data), exact)
    if hasattr(data, _STREAM):
        return _of_arrow(pa.table(data))
    raise UsageError(
        "no table", value=type(data).__name__, todo="Give a Polars or pandas frame, an Arrow table, or rows."
    )


def _of_arrow(data: pa.Table | pa.RecordBatch) -> pl.DataFrame:
    frame = pl.from_arrow(data, rechunk=False)
    return frame if isinstance(frame, pl.DataFrame) else frame.to_frame()


def _of_pandas(data: Any, exact: Collection[str]) -> pl.DataFrame:
    """Column by column when it is short: Polars would begin threads for a frame, which takes longer."""
    if not 0 < len(data) <= _FEW or not data.shape[1]:
        found = pl.from_pandas(data)
        lost = [name for name in found.columns if name in exact and found.get_column(name).null_count()]
        return found.with_columns(_with_nan(name, data[name]) for name in lost)
    columns = ((str(name), column) for name, column in data.items())
    return pl.DataFrame([
        _with_nan(name, column) if name in exact else pl.Series(name, column, nan_to_null=True)
        for name, column in columns
    ])  # fmt: skip


def _with_nan(name: str, column: Any) -> pl.Series:
    """A column of pandas; NaN stays what it is where it is no other word for null."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind == "f":
        return pl.Series(name, column.to_numpy())
    return pl.Series(name, column, nan_to_null=True)


def _without_index(data: Any) -> Any:
    """A pandas frame whose index is a column when it says something."""
    if type(data.index).__name__ == "RangeIndex" and data.index.name is None:
        return data
    names = [name for name in data.index.names if name is not None]
    if any(name in data.columns for name in names):
        return data.reset_index(drop=True)
    if names:
        return data.reset_index()
    timed = str(data.index.dtype).startswith("datetime")
    return data.rename_axis(_NAMELESS_INDEX).reset_index() if timed else data


def as_given(rows: Sequence[Mapping[str, Any]], reasons: Sequence[str]) -> pl.DataFrame:
    """Refused rows as a frame, with their ``reason``; a column of several kinds of values becomes text."""
    names = dict.fromkeys(str(name) for row in rows for name in row)
    columns = [_as_given(name, [row.get(name) for row in rows]) for name in names if name != "reason"]
    return pl.DataFrame([*columns, pl.Series("reason", reasons, dtype=pl.String)])


def _as_given(name: str, values: list[Any]) -> pl.Series:
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) <= 1 and kinds <= {str, int, float, bool}:
        try:
            return pl.Series(name, values, strict=True)
        except (TypeError, OverflowError, UnicodeEncodeError, pl.exceptions.PolarsError):
            pass  # a number past 64 bits, or half a character: shown as text
    return pl.Series(name, [None if v is None else _shown(v) for v in values], dtype=pl.String)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text.encode("utf-8", "backslashreplace").decode()
