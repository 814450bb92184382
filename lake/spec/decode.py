"""Checked rows to frames and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
import polars as pl

from lake.clock import MICROS_PER_DAY
from lake.spec import timeframes
from lake.spec.dataset import Dataset, Period
from lake.spec.schema import PERIOD, polars_schema

FOREIGN = "__foreign"  # of each row, the fields that only a newer version of the dataset knows, as JSON text
_FEW = 500  # values that Python looks through faster than Polars begins to


def rows_to_frame(ds: Dataset, rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Rows of a row checker as a frame in the dataset's exact columns."""
    kinds = polars_schema(ds)
    there = kinds.keys() if len(rows) < _FEW else set().union(*rows)
    columns = [_column(n, kinds[n], rows) if n in there else _nothing(n, kinds[n], rows) for n in kinds if n != PERIOD]
    return with_period(ds, pl.DataFrame(columns))


def keys_to_frame(ds: Dataset, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """The keys of rows of a row checker as a frame; the rows may lack everything else."""
    kinds = polars_schema(ds)
    return pl.DataFrame([_column(name, kinds[name], rows) for name in ds.key])


def _column(name: str, kind: pl.DataType, rows: Sequence[Mapping[str, Any]]) -> pl.Series:
    values = [row.get(name) for row in rows]
    if isinstance(kind, pl.Datetime):
        return pl.Series(name, values, dtype=pl.Int64).cast(kind)
    if kind == pl.Date:
        return pl.Series(name, values, dtype=pl.String).str.to_date()
    return pl.Series(name, values, dtype=kind)


def _nothing(name: str, kind: pl.DataType, rows: Sequence[Mapping[str, Any]]) -> pl.Series:
    return pl.Series(name, [None], dtype=kind).new_from_index(0, len(rows))


def foreign_fields(ds: Dataset, rows: Sequence[Mapping[str, Any]]) -> pl.Series | None:
    """What the rows hold in columns that only a newer version of the dataset knows; None when nothing."""
    names = set().union(*rows) - ds.by_name.keys() - {PERIOD}
    if not names:
        return None
    kept = ({n: row[n] for n in names if row.get(n) is not None} for row in rows)
    return pl.Series(FOREIGN, [orjson.dumps(fields).decode() if fields else None for fields in kept], dtype=pl.String)


def frame_to_rows(ds: Dataset, frame: pl.DataFrame, more: Iterable[str] = ()) -> list[dict[str, Any]]:
    """A canonical frame as rows such as a row checker makes: without nulls, times as microseconds.

    Columns in ``more``, and what :func:`foreign_fields` has put aside, are those of a newer version of the dataset.
    """
    rows = plain_rows(frame, [*ds.by_name, *more])
    if FOREIGN in frame.columns:
        for row, fields in zip(rows, frame.get_column(FOREIGN).to_list(), strict=True):
            row.update({} if fields is None else orjson.loads(fields))
    return rows


def plain_rows(frame: pl.DataFrame, names: Sequence[str]) -> list[dict[str, Any]]:
    """Some columns of a canonical frame as rows: without nulls, times as microseconds."""
    columns = [(name, _plain(frame.get_column(name))) for name in names]
    filled = [(name, series) for name, series in columns if series.null_count() < len(series)]
    names = [name for name, _ in filled]
    values = zip(*(series.to_list() for _, series in filled), strict=True)
    if not any(series.null_count() for _, series in filled):
        return [dict(zip(names, row, strict=True)) for row in values]
    return [{name: value for name, value in zip(names, row, strict=True) if value is not None} for row in values]


def _plain(series: pl.Series) -> pl.Series:
    if isinstance(series.dtype, pl.Datetime):
        return series.dt.timestamp("us")
    return series.dt.to_string("iso") if series.dtype == pl.Date else series


def foreign_column(name: str, kind: pl.DataType, values: Sequence[Any]) -> pl.Series:
    """A column of a newer version of the dataset, of values as rows hold them."""
    if isinstance(kind, pl.Datetime):
        return pl.Series(name, values, dtype=pl.Int64).cast(kind)
    if kind == pl.Date:
        return pl.Series(name, values, dtype=pl.String).str.to_date()
    return pl.Series(name, values, dtype=kind, strict=False)


def with_period(ds: Dataset, frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with its ``period`` column last; without one for a dataset that is not partitioned by time."""
    if PERIOD not in ds.partitioned_by:
        return frame
    kind = ds.partition.period
    time = frame.get_column(ds.partition.time or "")
    if kind is Period.BY_TIMEFRAME:
        return _by_timeframe(frame, time)
    return _beside(frame, periods(time, kind))


def _beside(frame: pl.DataFrame, period: pl.Series) -> pl.DataFrame:
    """The frame with that period; put beside it where it has none, which spares Polars the planning."""
    return frame.with_columns(period) if PERIOD in frame.columns else frame.hstack([period])


def _by_timeframe(frame: pl.DataFrame, time: pl.Series) -> pl.DataFrame:
    held = frame.get_column("timeframe")
    names = _distinct(held)
    kinds = {name: Period(timeframes.period_kind(name)) for name in names}
    if len(set(kinds.values())) <= 1:
        kind = next(iter(kinds.values()), Period.YEAR)
        return _beside(frame, periods(time, kind))
    monthly = [name for name, kind in kinds.items() if kind is Period.MONTH]
    return frame.with_columns(
        pl.when(held.is_in(monthly))
        .then(periods(time, Period.MONTH))
        .otherwise(periods(time, Period.YEAR))
        .alias(PERIOD)
    )


def _distinct(held: pl.Series) -> list[str]:
    if len(held) <= _FEW:
        return list(set(held.to_list()))
    return [held[0]] if is_one_value(held) else held.unique().to_list()


def is_one_value(column: pl.Series) -> bool:
    """Whether all values are equal; a comparison is much cheaper than counting distinct ones.

    What is known to be sorted, as Polars knows of one value repeated, is not looked through.
    """
    first = column[0]
    if first is None:
        return column.null_count() == len(column)
    if column.flags["SORTED_ASC"]:
        return bool(column[-1] == first)
    return bool((column == first).all(ignore_nulls=False))


def periods(time: pl.Series, kind: Period) -> pl.Series:
    """The month (``2026-11``) or year (``2026``) of each time, found by the few edges between first and last."""
    if time.is_empty():
        return pl.Series(PERIOD, [], dtype=pl.String)
    unit = "M" if kind is Period.MONTH else "Y"
    if time.dtype == pl.Date:
        micros = time.to_physical().cast(pl.Int64).to_numpy() * MICROS_PER_DAY
    else:
        micros = time.to_numpy().view(np.int64)
    first, last = (
        np.datetime64(int(edge), "us").astype(f"datetime64[{unit}]") for edge in (micros.min(), micros.max())
    )
    slices = np.arange(first, last + 1)
    names = pl.Series(PERIOD, [str(s) for s in slices], dtype=pl.String)
    if len(names) == 1:
        return names.new_from_index(0, len(time))
    edges = slices[1:].astype("datetime64[us]").astype(np.int64)
    return names.gather(pl.Series(np.searchsorted(edges, micros, side="right").astype(np.uint32)))


def as_read(ds: Dataset, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows as reads give them: every column, times aware."""
    frame = rows_to_frame(ds, [dict(row) for row in rows])
    found: list[dict[str, Any]] = frame.drop("period", strict=False).to_dicts()
    return found
