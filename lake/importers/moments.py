"""Times of other stores: epoch numbers, ISO text, datetimes, days; with a zone, or in one that is said."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from lake.errors import InvalidRowError, InvalidTimeError, UsageError
from lake.spec.times import from_micros, to_micros

_DECIMAL = re.compile(r"\d+\.\d+")  # an epoch number as programs write the one that they call a float
_PLAIN = frozenset({str, int, float})
_FIRST, _LAST = 1969, 2200  # years, in any zone
_DAY = 8  # digits that are read as a date: 20240131


def as_moment(
    name: str, value: Any, *, unit: str | None = None, zone: str | None = "UTC", second: bool = False
) -> datetime:
    """An aware time in UTC; of an hour that a zone has twice the first, or the ``second``.

    Raises:
        InvalidRowError: it is none, or one that the clocks of its zone skip.
        UsageError: it has no zone, and none was given.
    """
    read = _of_plain if type(value) in _PLAIN else _moment
    return read(name, value, unit, zone, second)


def _moment(name: str, value: Any, unit: str | None, zone: str | None, second: bool) -> datetime:
    try:
        naive = _naive(value)
        if naive is None:
            return from_micros(to_micros(_numeral(value), unit=unit, where=name))
    except InvalidTimeError as error:
        raise InvalidRowError(error.what, where=name, value=value) from error
    if not _FIRST <= naive.year <= _LAST:
        raise InvalidRowError("a time outside 1970 to 2200", where=name, value=value)
    if zone is None:
        raise UsageError("times without a zone", where=name, value=value, todo="Say which with --tz.")
    return naive.replace(tzinfo=UTC) if zone == "UTC" else _placed(name, naive, zone, second)


# of one row the same time is asked for in its id, and for several columns; floats are rounded, equal integers are not
_of_plain = lru_cache(1_000, typed=True)(_moment)


def _placed(name: str, naive: datetime, zone: str, second: bool) -> datetime:
    there = naive.replace(tzinfo=known_zone(zone), fold=second or naive.fold)
    done = there.astimezone(UTC)
    if done.astimezone(there.tzinfo).replace(tzinfo=None) != naive:
        raise InvalidRowError(f"a time that the clocks of {zone} skip", where=name, value=naive.isoformat(sep=" "))
    return done


def known_zone(name: str, where: str = "tz") -> ZoneInfo:
    """The zone of that name.

    Raises:
        UsageError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise UsageError("unknown time zone", where=where, value=name, todo="For example Europe/Berlin.") from error


def _naive(value: Any) -> datetime | None:
    """The time, when it is one without a zone."""
    if isinstance(value, datetime):
        return value if value.tzinfo is None else None
    if isinstance(value, date):  # a column of days: each begins at midnight, as its text would
        return datetime.combine(value, time())
    if not isinstance(value, str):
        return None
    text = value.strip()
    if len(text) > _DAY and text.partition(".")[0].isdecimal():  # digits of 2023 that Python reads as one of 1673
        return None
    try:
        done = datetime.fromisoformat(_cut_nanoseconds(text))
    except ValueError:
        return None
    return done if done.tzinfo is None else None


def _numeral(value: Any) -> Any:
    """An epoch number that is told as text with a point; all else for what it is."""
    if isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
        return float(value)
    return _cut_nanoseconds(value)


def _cut_nanoseconds(value: Any) -> Any:
    """ISO text with at most six digits behind the second."""
    if not isinstance(value, str) or "." not in value:
        return value
    head, _, tail = value.partition(".")
    digits = len(tail) - len(tail.lstrip("0123456789"))
    return f"{head}.{tail[:digits][:6].ljust(6, '0')}{tail[digits:]}" if digits else value
