"""Single values of other stores, as numbers and as text."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from lake.errors import InvalidRowError

NO_WORDS = frozenset({
    "", "nan", "NaN", "NAN", "NaT", "<NA>", "None", "null", "NULL", "\\N",
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00", "0001-01-01 00:00:00",
})  # fmt: skip
_NO_YEAR = 1  # of a time that Go or .NET was never given

_WRITTEN = re.compile(r"\d[,'\u2019 \u00a0\u202f]\d|^\W*[^\W\d]{0,5}\W*\d+(?:[.,]\d+)?\W*$")
_AS_PEOPLE = "no plain number: decimal and sign in a column map say how it is written"


def is_nothing(value: Any) -> bool:
    r"""Whether a value says that there is none: null, NaN, an empty text, or how programs and databases write those.

    >>> is_nothing(float("nan")), is_nothing("None"), is_nothing(r"\N"), is_nothing(0), is_nothing("nano")
    (True, True, True, False, False)
    """
    if type(value) is str:
        return value in NO_WORDS
    if value is None:
        return True
    if isinstance(value, float):
        return math.isnan(value)
    return isinstance(value, datetime) and value.year == _NO_YEAR


def as_number(name: str, value: Any) -> float:
    """A finite number.

    Raises:
        InvalidRowError: it is none.
    """
    if type(value) is float and math.isfinite(value):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, str)):
        raise InvalidRowError("not a number", where=name, value=value)
    try:
        done = float(value)
    except (ValueError, OverflowError):
        is_written = isinstance(value, str) and _WRITTEN.search(value) is not None
        raise InvalidRowError(_AS_PEOPLE if is_written else "not a number", where=name, value=value) from None
    if not math.isfinite(done):
        raise InvalidRowError("not a finite number", where=name, value=value)
    return done


def number_in(row: Mapping[str, Any], name: str) -> float | None:
    """The number that a row has under a name; None where it has nothing there, or NaN.

    >>> number_in({"fee": "0.5", "cost": float("nan")}, "fee"), number_in({"cost": float("nan")}, "cost")
    (0.5, None)

    Raises:
        InvalidRowError: it is none.
    """
    value = row.get(name)
    return None if is_nothing(value) else as_number(name, value)


def known_number(value: Any) -> float | None:
    """A finite number; None of anything else, for what is only compared.

    >>> known_number("2.5"), known_number(10**400), known_number(["x"])
    (2.5, None, None)
    """
    try:
        return as_number("", value)
    except InvalidRowError:
        return None


def as_text(name: str, value: Any) -> str:
    """A text.

    Raises:
        InvalidRowError: it is none: bytes, of which only the store knows what they mean.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        raise InvalidRowError("bytes, and not text", where=name, value=bytes(value))
    return orjson.dumps(value, default=str).decode() if isinstance(value, list | dict) else str(value)
