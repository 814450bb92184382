"""Times: everything that callers give, made microseconds since 1970 in UTC; what is naive is refused."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from lake.clock import MICROS_PER_DAY, MICROS_PER_SECOND
from lake.errors import InvalidTimeError, UsageError
from lake.spec import timeframes
from lake.spec.dataset import Period

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Times before 1970 and from 2200 on are refused.
LATEST = (datetime(2200, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
#: A number of microseconds is taken for one without being told from here on (1973).
SURE_MICROS = 100_000_000 * MICROS_PER_SECOND

#: unit -> how many of it make a second.
UNITS: dict[str, int] = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_SLICES = {
    Period.NONE: re.compile(r"(?!)"),  # no text at all
    Period.MONTH: re.compile(r"\d{4}-\d{2}"),
    Period.YEAR: re.compile(r"\d{4}"),
    Period.BY_TIMEFRAME: re.compile(r"\d{4}(-\d{2})?"),
}
_SURE_SECONDS = SURE_MICROS // MICROS_PER_SECOND
_LATEST_SECONDS = LATEST // MICROS_PER_SECOND
_AWARE = "Give an aware datetime, ISO-8601 text with Z or an offset, or an epoch number."


def magnitude(value: float) -> str | None:
    """The unit that puts an epoch number between 1973 and 2200; None when none does.

    >>> magnitude(1_700_000_000), magnitude(1_700_000_000_000), magnitude(12)
    ('s', 'ms', None)
    """
    for unit, per_second in UNITS.items():
        if _SURE_SECONDS * per_second <= value < _LATEST_SECONDS * per_second:
            return unit
    return None


def known_unit(unit: str | None) -> str | None:
    """The unit, checked.

    Raises:
        UsageError: it is none of s, ms, us, ns.
    """
    if unit is not None and unit not in UNITS:
        raise UsageError("unknown unit of time", value=unit, todo=f"One of {', '.join(UNITS)}.")
    return unit


def to_micros(value: Any, *, unit: str | None = None, where: str = "") -> int:
    """Microseconds since 1970, UTC.

    Args:
        value: an aware datetime or pandas Timestamp, ISO-8601 text with Z or an offset, or an epoch
            number (or its digits as text).
        unit: of numbers: s, ms, us or ns; by magnitude when left out.
        where: the column or argument, for the message.

    Raises:
        InvalidTimeError: naive, not a time, outside 1970 to 2200, or a number of no clear unit.

    >>> to_micros("2024-01-01T00:00:00Z"), to_micros(1_704_067_200), to_micros(1, unit="s")
    (1704067200000000, 1704067200000000, 1000000)
    """
    if unit is None and type(value) is int and SURE_MICROS <= value < LATEST:
        return value
    if isinstance(value, datetime):
        return _of_datetime(value, where)
    if isinstance(value, str):
        return _of_text(value, unit, where)
    number = _number(value, where)
    return _of_number(number, unit, where)


def refuse_mixed_units(values: Iterable[Any], where: str) -> None:
    """Refuse epoch numbers of one list that are in different units; other times may stand among them.

    Raises:
        InvalidTimeError: two of them are in different units; both are named.
    """
    first: int | float | None = None
    for value in values:
        if type(value) not in {int, float} or (unit := magnitude(value)) is None:
            continue
        if first is None:
            first = value
        elif unit != magnitude(first):
            raise InvalidTimeError(
                "epoch times in mixed units", where=where, value=(first, value), todo="Give one unit a call."
            )


def from_micros(micros: int) -> datetime:
    """The aware datetime, in UTC.

    >>> from_micros(1_704_067_200_000_000)
    datetime.datetime(2024, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)
    """
    return EPOCH + timedelta(microseconds=micros)


def period(micros: int, kind: Period, timeframe: str | None = None) -> str | None:
    """Name of the partition slice that a time falls into: ``2026-11``, ``2026``, or None for no slices.

    >>> period(1_704_067_200_000_000, Period.BY_TIMEFRAME, "15m"), period(1_704_067_200_000_000, Period.YEAR)
    ('2024-01', '2024')

    Raises:
        UsageError: slices by timeframe, and none was given.
    """
    if kind is Period.NONE:
        return None
    if kind is Period.BY_TIMEFRAME:
        if timeframe is None:
            raise UsageError("the slice depends on the timeframe, and none was given")
        kind = Period.MONTH if timeframes.period_kind(timeframe) == "month" else Period.YEAR
    day = date.fromordinal(EPOCH.toordinal() + micros // MICROS_PER_DAY)
    return f"{day.year:04d}" if kind is Period.YEAR else f"{day.year:04d}-{day.month:02d}"


def is_slice(value: Any, kind: Period) -> bool:
    """Whether a value is the name of such a partition slice, as rows that were read from a lake carry it.

    >>> is_slice("2024-01", Period.MONTH), is_slice("2024", Period.MONTH), is_slice(14, Period.YEAR)
    (True, False, False)
    """
    return isinstance(value, str) and _SLICES[kind].fullmatch(value) is not None


def _of_datetime(value: datetime, where: str) -> int:
    if value.tzinfo is None or value.utcoffset() is None:
        raise InvalidTimeError("a naive time could mean any zone", where=where, value=value, todo=_AWARE)
    delta = value - EPOCH
    return _ranged((delta.days * 86_400 + delta.seconds) * MICROS_PER_SECOND + delta.microseconds, value, where)


def _of_text(value: str, unit: str | None, where: str) -> int:
    text = value.strip()
    if text.isdecimal() and (unit is not None or len(text) > 8):  # up to 8 digits read as a date: 20240131
        return _of_number(int(text), unit, where)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidTimeError("not a time in ISO-8601", where=where, value=value, todo=_AWARE) from None
    if moment.tzinfo is None:
        raise InvalidTimeError("a naive time could mean any zone", where=where, value=value, todo=_AWARE)
    return _of_datetime(moment, where)


def _number(value: Any, where: str) -> int | float:
    if isinstance(value, float):
        return value
    if isinstance(value, bool) or (hasattr(value, "dtype") and getattr(value.dtype, "kind", "") not in "iuf"):
        naive = getattr(getattr(value, "dtype", None), "kind", "") == "M"
        what = "a naive time could mean any zone" if naive else "not a time"
        raise InvalidTimeError(what, where=where, value=value, todo=_AWARE)
    try:
        return operator.index(value)
    except TypeError:
        pass
    if hasattr(value, "dtype"):
        return float(value)
    if isinstance(value, date):
        raise InvalidTimeError("a date has no time and no zone", where=where, value=value, todo=_AWARE)
    raise InvalidTimeError("not a time", where=where, value=value, todo=_AWARE)


def _of_number(value: float, unit: str | None, where: str) -> int:
    known = known_unit(unit) or magnitude(value)
    if known is None:
        todo = "Name the unit: s, ms, us or ns." if value >= 0 else "Times start in 1970."
        raise InvalidTimeError(
            "an epoch number of no clear unit between 1973 and 2200", where=where, value=value, todo=todo
        )
    if isinstance(value, int):
        return _ranged(value * MICROS_PER_SECOND // UNITS[known], value, where)
    if not math.isfinite(value):
        raise InvalidTimeError("not a time", where=where, value=value, todo=_AWARE)
    return _ranged(round(value * (MICROS_PER_SECOND / UNITS[known])), value, where)


def _ranged(micros: int, value: object, where: str) -> int:
    if 0 <= micros < LATEST:
        return micros
    raise InvalidTimeError("a time outside 1970 to 2200", where=where, value=value, todo="Check its unit.")
