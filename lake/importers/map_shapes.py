"""The shapes that the parts of a column map have: what has another is told before anything is read by it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lake.errors import UsageError
from lake.importers.moments import known_zone
from lake.importers.written import COMMA, POINT
from lake.spec.times import UNITS

_LAYOUT = 'For example layout = "%d.%m.%Y %H:%M:%S".'


def table(value: Any, where: str) -> Mapping[str, Any]:
    """Names and what they stand for.

    >>> table("pair", "map.toml: columns")
    Traceback (most recent call last):
    lake.errors.UsageError: map.toml: columns: not a table (got 'pair'). Write [name], or name = { ... }.
    """
    if not isinstance(value, dict):
        raise UsageError("not a table", where=where, value=value, todo="Write [name], or name = { ... }.")
    return value


def text(value: Any, where: str) -> str:
    """A text."""
    if not isinstance(value, str):
        raise UsageError("not a text", where=where, value=value, todo='Put it into quotes: "...".')
    return value


def texts(value: Any, where: str) -> tuple[str, ...]:
    """A list of texts."""
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise UsageError("not a list of texts", where=where, value=value, todo='Write ["...", "..."].')
    return tuple(value)


def names(value: Any, where: str) -> tuple[str, ...]:
    """The name of a column, or a list of them of which each will do."""
    done = (value,) if isinstance(value, str) else texts(value, where)
    if not done:
        raise UsageError("no column is named", where=where)
    return done


def count(value: Any, where: str) -> int:
    """A whole number, 0 or more."""
    if type(value) is not int or value < 0:
        raise UsageError("not a whole number of 0 or more", where=where, value=value)
    return value


def number(value: Any, where: str) -> float:
    """A number."""
    if type(value) not in {int, float}:
        raise UsageError("not a number", where=where, value=value)
    return float(value)


def unit(value: Any, where: str) -> str:
    """A unit of time."""
    if value not in UNITS:
        raise UsageError("unknown unit of time", where=where, value=value, todo=f"One of {', '.join(UNITS)}.")
    return str(value)


def zone(value: Any, where: str) -> str:
    """A time zone."""
    known_zone(text(value, where), where)
    return str(value)


def decimal(value: Any, where: str) -> str:
    """The mark before the fraction of a number."""
    if value not in {POINT, COMMA}:
        raise UsageError("not a decimal mark", where=where, value=value, todo=f'"{POINT}" or "{COMMA}".')
    return str(value)


def layout(value: Any, where: str) -> str:
    """How a time is written, in the letters of ``strptime``.

    >>> layout("%m/%d/%Y %I:%M %p", "map.toml: opened_at")
    '%m/%d/%Y %I:%M %p'
    """
    at, made = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC), text(value, where)
    try:
        done = datetime.strptime(at.strftime(made), made)  # noqa: DTZ007 (only its day is looked at)
    except ValueError as error:
        raise UsageError(f"not a layout of times: {error}", where=where, value=value, todo=_LAYOUT) from error
    if done.date() != at.date():
        raise UsageError("a layout without a whole day", where=where, value=value, todo=_LAYOUT)
    return made
