"""Columns of times as files write them, made UTC microseconds; what cannot be told is given its reason."""

from __future__ import annotations

import polars as pl

from lake.errors import SourceError
from lake.sources.base import TIME

# A number below the bound is in that unit: seconds reach the year 5138, milliseconds of 1973 are above them.
_BOUNDS = (("s", 1e11), ("ms", 1e14), ("us", 1e17), ("ns", 1e20))
_SURE = 1e8  # smaller numbers are no times of a market in any unit
_MICROS = {"s": 1_000_000.0, "ms": 1_000.0, "us": 1.0, "ns": 0.001}
_FAR = 1e16  # microseconds; what is further does not fit
_EARLIEST, _LATEST = "1990-01-01", "2100-01-01"
_NAIVE = (
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d",
    "%Y%m%dT%H:%M:%S%.f",
    "%Y%m%dT%H:%M",
    "%Y-%m-%dT%I:%M %p",
)
_ZONED = ("%Y-%m-%dT%H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M%:z")
_SCIENTIFIC = r"^[+-]?\d+(\.\d*)?[eE][+-]?\d+$"
_NUMBER = r"^[+-]?\d+(\.\d+)?$"
_ZONE = r"[T ]\d.*([+-]\d\d:\d\d)$"
_SPELLINGS = (
    (r"^(\d{4})/(\d\d)/(\d\d)", "${1}-${2}-${3}"),
    (r"^(\d{4}-?\d\d-?\d\d) ", "${1}T"),
    (r"(\d)-([AP]M)$", "${1}:00 ${2}"),  # 09-AM
    (r" ?(Z|UTC)$", "+00:00"),
    (r"(:\d\d(?:\.\d+)?[+-]\d\d)$", "${1}:00"),
    (r"(:\d\d(?:\.\d+)?[+-]\d\d)(\d\d)$", "${1}:${2}"),
    (r"^(\d{4})(\d\d)(\d\d)$", "${1}-${2}-${3}"),
)
_DAY = r"^(19|20)\d\d[01]\d[0-3]\d$"

LOST = "the time is in scientific notation (a spreadsheet saved it): the exact time is lost"


def read_times(values: pl.Series, *, unit: str | None = None, tz: str | None = None, where: str = "") -> pl.DataFrame:
    """Times as UTC microseconds.

    Args:
        values: epoch numbers, text, dates or datetimes.
        unit: of epoch numbers; None decides row by row by magnitude.
        tz: zone of times that carry none; None refuses them.
        where: the file, for the error.

    Returns:
        Columns ``time`` (null where it cannot be told) and ``reason`` (null where it can).

    Raises:
        SourceError: times carry no zone and none was given.

    >>> read_times(pl.Series([1_600_000_000, 1_600_000_000_000]))["time"].n_unique()
    1
    """
    kind = values.dtype
    if kind == pl.Null:
        moments = pl.Series(values=[None] * len(values), dtype=TIME)
    elif kind.is_numeric():
        moments = _epoch(values.cast(pl.Float64, strict=False), values, unit)
    elif kind == pl.Date or isinstance(kind, pl.Datetime):
        moments = _typed(values, tz, where)
    else:
        return _judged(_text(values.cast(pl.String).str.strip_chars(), unit, tz, where), values.cast(pl.String))
    return _judged(moments, values)


class Units:
    """The unit of a file's epoch numbers, told by magnitude batch by batch: it is one."""

    def __init__(self) -> None:
        self._seen: float | None = None

    def check(self, times: pl.Series, where: str) -> None:
        """Look at more of the file's times.

        Raises:
            SourceError: they are in another unit than those before, or in several.
        """
        span = _span(times)
        if span is None:
            return
        values = span if self._seen is None else (*span, self._seen)
        if len({_unit(value) for value in values}) > 1:
            shown = (int(min(values)), int(max(values)))
            todo = "Split the file, or name the unit with --time-unit if some rows are wrong."
            raise SourceError("epoch times in mixed units", where=where, value=shown, todo=todo)
        self._seen = span[0]


def _span(values: pl.Series) -> tuple[float, float] | None:
    """The smallest and largest epoch number of a column that can be a time since 1973; None where there is none."""
    if not (values.dtype.is_numeric() or values.dtype == pl.String):
        return None
    numbers = values.cast(pl.Float64, strict=False)  # days such as 20240301 are below the bound
    numbers = numbers.filter(numbers.is_finite() & (numbers >= _SURE)).drop_nulls()
    low, high = numbers.min(), numbers.max()
    return None if not isinstance(low, float) or not isinstance(high, float) else (low, high)


def _unit(value: float) -> str:
    """The unit that its magnitude says."""
    return next((name for name, bound in _BOUNDS if value < bound), "ns")


def _judged(moments: pl.Series, values: pl.Series) -> pl.DataFrame:
    """Time and reason; times that no candle of a market can have are refused."""
    low, high = (pl.lit(t).str.to_datetime(time_unit="us", time_zone="UTC") for t in (_EARLIEST, _LATEST))
    shown = pl.col("value").cast(pl.String)
    scientific = shown.str.contains(_SCIENTIFIC) if values.dtype == pl.String else pl.lit(False)
    reason = (
        pl.when(pl.col("value").is_null()).then(pl.lit("the time is missing"))
        .when(scientific).then(pl.lit(LOST))
        .when(pl.col("time").is_null()).then(pl.format("the time cannot be read: {}", shown))
        .when(~pl.col("time").is_between(low, high)).then(pl.format("the time is out of range 1990-2100: {}", shown))
    )  # fmt: skip
    frame = pl.DataFrame({"time": moments, "value": values}).with_columns(reason=reason)
    return frame.select(pl.when(pl.col("reason").is_null()).then(pl.col("time")).alias("time"), "reason")


def _epoch(numbers: pl.Series, exact: pl.Series, unit: str | None) -> pl.Series:
    """Epoch numbers in µs; integers are scaled as integers, since a float cannot hold nanoseconds."""
    whole = exact if exact.dtype.is_integer() else numbers.cast(pl.Int64, strict=False)
    frame = pl.DataFrame({"f": numbers, "i": whole.cast(pl.Int64, strict=False)})
    scaled = pl.lit(None, dtype=pl.Int64)
    for name, bound in reversed(_BOUNDS):
        if unit is None or unit == name:
            inside = pl.col("f").abs() < (bound if unit is None else _FAR / _MICROS[name])
            scaled = pl.when(inside).then(_micros(name)).otherwise(scaled)
    return frame.select(scaled.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")).to_series()


def _micros(unit: str) -> pl.Expr:
    if unit == "ns":
        return pl.col("i") // 1000
    factor = _MICROS[unit]
    fraction = ((pl.col("f") - pl.col("i")) * factor).round().cast(pl.Int64, strict=False)
    return pl.col("i") * int(factor) + fraction


def _typed(values: pl.Series, tz: str | None, where: str) -> pl.Series:
    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is not None:
        return values.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    return _placed(values.cast(pl.Datetime("us")), tz, where)


def _placed(naive: pl.Series, tz: str | None, where: str) -> pl.Series:
    if naive.null_count() == len(naive):
        return naive.dt.replace_time_zone("UTC")
    if tz is None:
        todo = "Say which zone they are in, e.g. --tz UTC."
        raise SourceError("times carry no time zone", where=where, value=str(naive.drop_nulls()[0]), todo=todo)
    try:
        zoned = naive.dt.replace_time_zone(tz, ambiguous="null", non_existent="null")
    except pl.exceptions.ComputeError as error:
        raise SourceError(
            "there is no such time zone", where=where, value=tz, todo="Use e.g. UTC or Europe/Berlin."
        ) from error
    return zoned.dt.convert_time_zone("UTC")


def _text(values: pl.Series, unit: str | None, tz: str | None, where: str) -> pl.Series:
    """Epoch numbers as text, ISO-8601 with and without a zone, compact dates and AM/PM hours."""
    number = (values.str.contains(_NUMBER) & ~values.str.contains(_DAY)).fill_null(False)
    moments = _numerals(values.set(~number, None), unit)
    if number.all():
        return moments
    words = _iso(values.set(number, None))
    zoned = words.str.contains(_ZONE).fill_null(False)
    aware = _parsed(words.set(~zoned, None), _ZONED)
    naive = _placed(_parsed(words.set(zoned, None), _NAIVE).dt.replace_time_zone(None), tz, where)
    return pl.select(pl.coalesce(moments, aware, naive)).to_series()


def _numerals(texts: pl.Series, unit: str | None) -> pl.Series:
    fractions = texts.str.contains(".", literal=True).any()
    numbers = texts.cast(pl.Float64, strict=False)
    return _epoch(numbers, numbers if fractions else texts.cast(pl.Int64, strict=False), unit)


def _iso(texts: pl.Series) -> pl.Series:
    """Spellings of dates, hours and zones brought to one: ``2024-03-01T17:00:00+00:00``."""
    for pattern, spelled in _SPELLINGS:
        texts = texts.str.replace(pattern, spelled)
    return texts


def _parsed(values: pl.Series, formats: tuple[str, ...]) -> pl.Series:
    """The first format that fits each text, as UTC."""
    found = pl.Series(values=[None] * len(values), dtype=TIME)
    for layout in formats:
        left = values.set(found.is_not_null(), None)
        if left.null_count() == len(left):
            break
        zone = None if layout.endswith("%:z") else "UTC"
        more = left.str.to_datetime(layout, time_unit="us", time_zone=zone, strict=False)
        more = more.dt.replace_time_zone("UTC") if more.dtype.time_zone is None else more  # type: ignore[attr-defined]
        found = found.zip_with(found.is_not_null(), more)
    return found
