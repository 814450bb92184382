"""When the labels of a data set's rows begin and end, out of whatever holds the times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from lake.errors import InvalidTimeError, UsageError

Array = npt.NDArray[Any]
_MICROSECOND = timedelta(microseconds=1)
_TODO = "Give datetimes, or numbers that rise with time."


@dataclass(frozen=True, eq=False)
class LabelTimes:
    """Begin and end of each row's label; both belong to it.

    Attributes:
        starts: when it was decided: microseconds (int64), or numbers as they were given.
        ends: when it was over, in the same unit.
        dated: True when they are microseconds.
    """

    starts: Array
    ends: Array
    dated: bool

    def __post_init__(self) -> None:
        if len(self.starts) != len(self.ends):
            raise UsageError(
                "every row has one begin and one end", where="label times", value=(len(self.starts), len(self.ends))
            )
        early = np.flatnonzero(self.ends < self.starts)
        if len(early):
            raise UsageError(
                f"{len(early)} of {len(self)} labels end before they begin, the first in row {early[0]}",
                where="label times",
                todo="A label's time is when it was over, at or after the decision's time.",
            )

    def __len__(self) -> int:
        return len(self.starts)

    def span(self, length: timedelta, where: str) -> int:
        """A length in the unit of the times.

        Raises:
            UsageError: the times are numbers, so that a length of time means nothing among them.
        """
        if not self.dated:
            raise UsageError(
                "a length of time needs times with dates", where=where, value=length, todo="Give a number of rows."
            )
        return length // _MICROSECOND


def label_times(start_times: Any, end_times: Any = None) -> LabelTimes:
    """Read times of datetimes, dates or numbers: sequences, NumPy arrays, Polars or pandas series.

    Args:
        start_times: of each row.
        end_times: of each row; None for rows that end where they begin.

    Raises:
        UsageError: a time is missing, is none, or ends before it begins; dates beside numbers; lengths differ.
        InvalidTimeError: times without a zone; NumPy's, which know none, and dates are UTC.
    """
    starts, dated = _values(start_times, "start times")
    if end_times is None:
        return LabelTimes(starts, starts, dated)
    ends, also = _values(end_times, "end times")
    if dated != also and len(starts) and len(ends):
        raise UsageError("one of start and end times is of dates, the other of numbers", where="label times")
    return LabelTimes(starts, ends, dated)


def moments(times: Any, where: str) -> Array:
    """Datetimes or dates as microseconds since 1970.

    Raises:
        UsageError: they are numbers, or one is missing.
        InvalidTimeError: times without a zone.
    """
    values, dated = _values(times, where)
    if not dated and len(values):
        raise UsageError("times with dates are needed", where=where, value=values[0])
    return values


def _values(given: Any, where: str) -> tuple[Array, bool]:
    try:
        series = _series(given)
        kind, (values, dated) = series.dtype, _physical(series)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
        raise UsageError(
            f"these are neither times nor numbers: {str(error).splitlines()[0]}", where=where, todo=_TODO
        ) from error
    if values is None:
        raise UsageError("these are neither times nor numbers", where=where, value=kind, todo=_TODO)
    missing = values.is_null() if not values.dtype.is_float() else ~values.is_finite().fill_null(value=False)
    if missing.any():
        row = int(missing.arg_true()[0])
        raise UsageError(
            f"{missing.sum()} of {len(values)} times are missing or no finite number, the first in row {row}",
            where=where,
            todo="Leave out rows without a label first.",
        )
    if isinstance(kind, pl.Datetime) and kind.time_zone is None:
        todo = "Give times with a zone, such as datetime(2026, 1, 1, tzinfo=UTC)."
        raise InvalidTimeError("a naive time could mean any zone", where=where, value=series[0], todo=todo)
    return values.to_numpy(), dated


def _physical(series: pl.Series) -> tuple[pl.Series | None, bool]:
    """As int64 or float64, and whether it has dates; None for what is no time."""
    kind = series.dtype
    if kind.is_float():
        return series.cast(pl.Float64), False
    if kind.is_integer() or kind == pl.Null:
        return series.cast(pl.Int64), False
    if isinstance(kind, pl.Datetime):
        return series.dt.cast_time_unit("us").to_physical(), True
    if kind == pl.Date:
        return series.cast(pl.Datetime("us")).to_physical(), True
    return None, False


def _series(given: Any) -> pl.Series:
    """As a Polars series, without a word of pandas: its times are asked for as NumPy's."""
    if isinstance(given, pl.Series):
        return given
    kind = str(getattr(given, "dtype", ""))
    if not isinstance(given, np.ndarray) and kind.startswith("datetime64"):
        times = pl.Series(given.to_numpy(dtype="datetime64[us]"))
        return times.dt.replace_time_zone("UTC") if "," in kind else times
    if isinstance(given, np.ndarray):
        if given.dtype.kind == "M":
            return pl.Series(given.astype("datetime64[us]")).dt.replace_time_zone("UTC")
        given = given.tolist() if given.dtype.kind == "O" else given
    return pl.Series(given if isinstance(given, np.ndarray) else list(given))
