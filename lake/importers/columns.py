"""Rules for whole columns: what many values mean at once, where that is beyond doubt.

Of a value that is not understood here, or not surely as the rule for one value would, the place is null. The caller
asks the rule for one value then, so that both ways mean the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime
from typing import Any, Literal

import polars as pl

from lake.errors import InvalidRowError
from lake.importers.moments import as_moment
from lake.spec.times import LATEST, SURE_MICROS, UNITS, to_micros

_MICROS = 1_000_000  # of a second
_LAYOUTS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.fZ", "%Y-%m-%dT%H:%M:%S%.f%:z")
_ISO = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)?$"
_DIGITS = r"^\d{9,18}$"  # fewer may be a date


def floats(values: Sequence[Any]) -> pl.Series | None:
    """Numbers, also as text; None when they are of other types."""
    kinds = set(map(type, values)) - {type(None)}
    if kinds <= {float, int}:
        try:
            done = pl.Series(values, dtype=pl.Float64)
        except (OverflowError, TypeError):  # a whole number that no float holds
            return None
    elif kinds == {str}:
        done = pl.Series(values, dtype=pl.String).cast(pl.Float64, strict=False)
    else:
        return None
    return done.set(~done.is_finite(), None)


def wholes(values: Sequence[Any]) -> pl.Series | None:
    """Whole numbers, also as text; None when they are of other types."""
    kinds = set(map(type, values)) - {type(None)}
    if kinds == {str}:
        return pl.Series(values, dtype=pl.String).cast(pl.Int64, strict=False)
    return pl.Series(values, dtype=pl.Int64, strict=False) if kinds <= {int} else None


def moments(values: Sequence[Any], unit: str | None, zone: str | None, *, second: bool = False) -> pl.Series | None:
    """Times in microseconds: epoch numbers, ISO text; None when they are of other types.

    Args:
        values: as they were found.
        unit: of numbers; by magnitude when left out.
        zone: of those without one.
        second: whether of an hour that the zone has twice the second is meant.

    Raises:
        UsageError: one has no zone, and none was given.
    """
    kinds = set(map(type, values)) - {type(None)}
    if kinds <= {int}:
        return _ranged(_of_numbers(pl.Series(values, dtype=pl.Int64, strict=False), unit))
    if kinds == {str}:
        text = pl.Series(values, dtype=pl.String)
        digits = text.set(~text.str.contains(_DIGITS).fill_null(value=False), None).cast(pl.Int64, strict=False)
        return _ranged(_of_numbers(digits, unit).fill_null(_of_text(text, zone, second=second)))
    if kinds <= {datetime, date}:
        return pl.Series([_of_datetime(value, zone, second=second) for value in values], dtype=pl.Int64)
    return None


def _of_numbers(given: pl.Series, unit: str | None) -> pl.Series:
    frame, made = pl.DataFrame({"given": given}), pl.lit(None, dtype=pl.Int64)
    for name, per_second in UNITS.items():
        first, last = SURE_MICROS // _MICROS * per_second, LATEST // _MICROS * per_second
        if unit is not None:
            first, last = (0, last) if unit == name else (0, 0)
        at = pl.col("given")
        micros = at * (_MICROS // per_second) if per_second < _MICROS else at // (per_second // _MICROS)
        made = pl.when(at.is_between(first, last, closed="left")).then(micros).otherwise(made)
    return frame.select(made.alias("at")).to_series()


def _of_text(text: pl.Series, zone: str | None, *, second: bool) -> pl.Series:
    iso = text.set(~text.str.contains(_ISO).fill_null(value=False), None)
    done = pl.Series([None], dtype=pl.Int64).new_from_index(0, len(iso))
    for layout in _LAYOUTS:
        left = iso.set(done.is_not_null(), None)
        if left.null_count() == len(left):
            break
        found = left.str.to_datetime(layout, time_unit="us", strict=False)
        if not layout.endswith(("Z", "%:z")):
            found = _placed(found, zone, second=second)
        done = done.fill_null(found.dt.epoch("us"))
    return done


def _placed(naive: pl.Series, zone: str | None, *, second: bool) -> pl.Series:
    """Times of a zone in UTC; of an hour that comes twice the first or second, null for one that does not come."""
    known = naive.drop_nulls()
    if known.is_empty() or zone == "UTC":
        return naive
    with suppress(InvalidRowError):
        as_moment("", known[0], zone=zone)  # raises where there is no such zone, or none
    ambiguous: Literal["earliest", "latest"] = "latest" if second else "earliest"
    there = naive.dt.replace_time_zone(zone, ambiguous=ambiguous, non_existent="null")
    return there.dt.convert_time_zone("UTC").dt.replace_time_zone(None)


def _of_datetime(value: date | None, zone: str | None, *, second: bool) -> int | None:
    try:
        return None if value is None else to_micros(as_moment("", value, zone=zone, second=second))
    except InvalidRowError:
        return None


def _ranged(micros: pl.Series) -> pl.Series:
    return micros.set(~micros.is_between(0, LATEST, closed="left"), None)
