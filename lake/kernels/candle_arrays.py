"""Candles as arrays, out of a Polars frame, or of an Arrow table as a file gave it.

A table becomes arrays without Polars in between, which would take a tenth of the time of decoding it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from lake.errors import UsageError
from lake.kernels import runs

PRICES = ("open", "high", "low", "close")
SUMS = ("volume", "quote_volume", "trade_count", "taker_buy_volume", "taker_buy_quote_volume")
Numbers = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CandleArrays:
    """Candles of one series, in their order.

    Attributes:
        times: open times, microseconds.
        prices: by column.
        amounts: the volumes and counts that the rows have, by column; 0 where one is null.
        absent: by column with nulls, where they are.
    """

    times: runs.Integers
    prices: Mapping[str, npt.NDArray[np.float64]]
    amounts: Mapping[str, Numbers]
    absent: Mapping[str, Mask]


def arrays_of(rows: pl.DataFrame | pa.Table) -> CandleArrays:
    """The arrays of open_time, open, high, low, close and any volumes and counts; what can be shared is not copied.

    Raises:
        UsageError: a time or a price is null.
    """
    names = rows.columns if isinstance(rows, pl.DataFrame) else rows.column_names
    found = {name: _numbers(rows, name) for name in SUMS if name in names}
    return CandleArrays(
        _times(rows),
        {name: _price(rows, name) for name in PRICES},
        {name: values for name, (values, _) in found.items()},
        {name: absent for name, (_, absent) in found.items() if absent is not None},
    )


def _times(rows: pl.DataFrame | pa.Table) -> runs.Integers:
    shared = _shared(rows, "open_time", pa.timestamp("us", "UTC"))
    return runs.micros(_series(rows, "open_time").to_frame()) if shared is None else shared


def _price(rows: pl.DataFrame | pa.Table, name: str) -> npt.NDArray[np.float64]:
    shared = _shared(rows, name, pa.float64())
    if shared is not None:
        return shared
    prices = _series(rows, name)
    if prices.null_count():
        raise UsageError("a candle without a price cannot be resampled", where=name, value=prices.null_count())
    return (prices if prices.dtype == pl.Float64 else prices.cast(pl.Float64)).to_numpy()


def _numbers(rows: pl.DataFrame | pa.Table, name: str) -> tuple[Numbers, Mask | None]:
    shared = _shared(rows, name, pa.float64())
    if shared is not None:
        return shared, None
    amounts = _series(rows, name)
    kind = pl.Int64 if amounts.dtype.is_integer() else pl.Float64
    absent = amounts.is_null().to_numpy() if amounts.null_count() else None
    filled = amounts.fill_null(0) if absent is not None else amounts
    return (filled if filled.dtype == kind else filled.cast(kind)).to_numpy(), absent


def _shared(rows: pl.DataFrame | pa.Table, name: str, kind: pa.DataType) -> Numbers | None:
    """A table's column of just that type and without nulls, as it is; times as whole numbers."""
    if isinstance(rows, pl.DataFrame):
        return None
    column = rows.column(name)
    return None if column.null_count or column.type != kind or not column.num_chunks else runs.shared(column)


def _series(rows: pl.DataFrame | pa.Table, name: str) -> pl.Series:
    return rows.get_column(name) if isinstance(rows, pl.DataFrame) else pl.Series(name, rows.column(name))
