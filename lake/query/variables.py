"""Parameters of the views: DuckDB variables that ``macros.sql`` reads, each with a default there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

from lake.errors import UsageError
from lake.spec.numbers import finite, whole
from lake.spec.times import from_micros, to_micros

Variables = Mapping[str, Any]


def macros() -> str:
    """SQL that makes the functions which views share."""
    return (resources.files("lake.query") / "macros.sql").read_text(encoding="utf-8")


def defaults(given: Variables) -> list[str]:
    """Statements, after :func:`macros`, by which a catalogue keeps what variables are where nobody sets them.

    >>> defaults({})
    []

    Raises:
        UsageError: a value that it cannot have.
    """
    if not given.get("knowledge_cutoffs"):
        return []
    kept = _knowledge_cutoffs(given["knowledge_cutoffs"])
    told = f"coalesce(getvariable('knowledge_cutoffs')::VARCHAR, {kept})"
    return [f"CREATE OR REPLACE MACRO told_cutoffs() AS {told}"]


def assignments(given: Variables) -> list[str]:
    """Statements that set the variables.

    >>> assignments({"periods_per_year": 252, "time_zone": "Europe/Berlin"})
    ['SET VARIABLE periods_per_year = 252.0', "SET VARIABLE time_zone = 'Europe/Berlin'"]

    Raises:
        UsageError: an unknown variable, or a value that it cannot have.
        InvalidTimeError: ``now`` is naive, or no time.
    """
    return [f"SET VARIABLE {name} = {_literal(name, value)}" for name, value in given.items()]


def _literal(name: str, value: Any) -> str:
    if name not in _LITERALS:
        raise UsageError("unknown variable", value=name, todo=f"Known are: {', '.join(_LITERALS)}.")
    return _LITERALS[name](value)


def _periods(value: Any) -> str:
    found = finite(value)
    if found is None or found <= 0:
        raise UsageError(
            "it must be a number above 0", where="periods_per_year", value=value, todo="Such as 365 or 252."
        )
    return repr(found)


def _zone(value: Any) -> str:
    try:
        return f"'{ZoneInfo(value).key}'"
    except (OSError, LookupError, ValueError, TypeError, AttributeError):
        raise UsageError("no such time zone", where="time_zone", value=value, todo="Such as Europe/Berlin.") from None


def _moment(value: Any) -> str:
    return f"'{from_micros(to_micros(value, where='now')).isoformat()}'::TIMESTAMPTZ"


def _days(value: Any) -> str:
    found = whole(value)
    if found is None or not 0 < found < 100_000:
        raise UsageError("days are a whole number above 0 and below 100,000", where="days", value=value)
    return str(found)


def _knowledge_cutoffs(value: Any) -> str:
    """JSON of models and the first moment after their training periods, the longest name first."""
    if not isinstance(value, Mapping):
        raise UsageError("knowledge cutoffs are {model version: day}", where="knowledge_cutoffs", value=value)
    names = sorted(map(str, value), key=lambda name: (-len(name), name))
    days = {str(name): _day(name, day) for name, day in value.items()}
    ends = {name: datetime.combine(days[name] + timedelta(days=1), time.min, UTC).isoformat() for name in names}
    return "'" + json.dumps([{"model": name, "until": ends[name]} for name in names]).replace("'", "''") + "'"


def _day(model: Any, value: Any) -> date:
    try:
        return value.date() if isinstance(value, datetime) else date.fromisoformat(str(value))
    except ValueError:
        raise UsageError(
            "a knowledge cutoff is a day", where=f"knowledge_cutoffs, {model}", value=value, todo="Such as 2025-06-30."
        ) from None


_LITERALS: Mapping[str, Callable[[Any], str]] = {
    "periods_per_year": _periods,
    "time_zone": _zone,
    "now": _moment,
    "days": _days,
    "knowledge_cutoffs": _knowledge_cutoffs,
}
