"""Checked rows to frames and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from lake.clock import MICROS_PER_DAY
from lake.spec import timeframes
from lake.spec.dataset import Column, Dataset, Period, Type
from lake.spec.schema import PERIOD, polars_schema


def rows_to_frame(ds: Dataset, rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Rows of a row checker as a frame in the dataset's exact columns."""
    columns = []
    for name, kind in polars_schema(ds).items():
        if name == PERIOD:
            continue
        values = [row.get(name) for row in rows]
        if isinstance(kind, pl.Datetime):
            columns.append(pl.Series(name, values, dtype=pl.Int64).cast(kind))
        elif kind == pl.Date:
            columns.append(pl.Series(name, values, dtype=pl.String).str.to_date())
        else:
            columns.append(pl.Series(name, values, dtype=kind))
    return with_period(ds, pl.DataFrame(columns))


def frame_to_rows(ds: Dataset, frame: pl.DataFrame) -> list[dict[str, Any]]:
    """A canonical frame as rows such as a row checker makes: without nulls, times as microseconds."""
    columns = [(c.name, _plain(c, frame.get_column(c.name))) for c in ds.columns]
    filled = [(name, series) for name, series in columns if series.null_count() < len(series)]
    names = [name for name, _ in filled]
    values = zip(*(series.to_list() for _, series in filled), strict=True)
    if not any(series.null_count() for _, series in filled):
        return [dict(zip(names, row, strict=True)) for row in values]
    return [{name: value for name, value in zip(names, row, strict=True) if value is not None} for row in values]


def _plain(column: Column, series: pl.Series) -> pl.Series:
    if column.type is Type.TIMESTAMP:
        return series.dt.timestamp("us")
    return series.dt.to_string("iso") if column.type is Type.DATE else series


def with_period(ds: Dataset, frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with its ``period`` column last; without one for a dataset that is not partitioned by time."""
    if PERIOD not in ds.partitioned_by:
        return frame
    kind = ds.partition.period
    time = frame.get_column(ds.partition.time or "")
    if kind is Period.BY_TIMEFRAME:
        return _by_timeframe(frame, time)
    return frame.with_columns(periods(time, kind).alias(PERIOD))


def _by_timeframe(frame: pl.DataFrame, time: pl.Series) -> pl.DataFrame:
    held = frame.get_column("timeframe")
    kinds = {name: Period(timeframes.period_kind(name)) for name in held.unique().to_list()}
    if len(set(kinds.values())) <= 1:
        kind = next(iter(kinds.values()), Period.YEAR)
        return frame.with_columns(periods(time, kind).alias(PERIOD))
    monthly = [name for name, kind in kinds.items() if kind is Period.MONTH]
    return frame.with_columns(
        pl.when(held.is_in(monthly))
        .then(periods(time, Period.MONTH))
        .otherwise(periods(time, Period.YEAR))
        .alias(PERIOD)
    )


def periods(time: pl.Series, kind: Period) -> pl.Series:
    """The month (``2026-11``) or year (``2026``) of each time, found by the few edges between first and last."""
    if time.is_empty():
        return pl.Series(PERIOD, [], dtype=pl.String)
    unit = "M" if kind is Period.MONTH else "Y"
    if time.dtype == pl.Date:
        micros = time.to_physical().cast(pl.Int64).to_numpy() * MICROS_PER_DAY
    else:
        micros = time.to_physical().to_numpy()
    first, last = (
        np.datetime64(int(edge), "us").astype(f"datetime64[{unit}]") for edge in (micros.min(), micros.max())
    )
    slices = np.arange(first, last + 1)
    names = pl.Series(PERIOD, [str(s) for s in slices], dtype=pl.String)
    if len(names) == 1:
        return names.new_from_index(0, len(time))
    edges = slices[1:].astype("datetime64[us]").astype(np.int64)
    return names.gather(pl.Series(np.searchsorted(edges, micros, side="right").astype(np.uint32)))
