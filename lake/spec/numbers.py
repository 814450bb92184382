"""Numbers as callers give them, made floats and whole numbers within a column's bounds."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from lake.errors import InvalidRowError
from lake.spec.dataset import Column

INT64 = (-(2**63), 2**63 - 1)  #: the whole numbers that a column can hold
_DIGITS = re.compile(r"[+-]?\d{1,19}")
_NAN = "Leave it out when it is not known."


def bounds(column: Column, lowest: float, highest: float) -> tuple[float, float]:
    """The smallest and the largest number that fits a column, of those from ``lowest`` to ``highest``."""
    low = lowest if column.least is None else max(lowest, column.least)
    high = highest if column.maximum is None else min(highest, column.maximum)
    return low, high


def floating(column: Column, where: str) -> Callable[[Any], float | None]:
    """The function that makes one value a float, or null; it raises InvalidRowError."""
    low = -math.inf if column.least is None else column.least
    high = math.inf if column.maximum is None else column.maximum

    def convert(value: Any) -> float | None:
        was_null = False
        if type(value) is not float:
            was_null = is_null(value)
            value = math.nan if was_null else _number(value, where)
        if low <= value <= high and value - value == 0.0:
            return float(value)
        if math.isnan(value):
            if column.required or (column.exact and not was_null):
                todo = "A required number cannot be NaN." if column.required else _NAN
                raise InvalidRowError("not a number", where=where, value=value, todo=todo)
            return None
        raise _out_of_range(column, where, value)

    return convert


def _number(value: Any, where: str) -> float:
    if is_null(value):
        return math.nan
    if isinstance(value, bool):
        raise InvalidRowError("a number is wanted", where=where, value=value)
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidRowError("a number is wanted", where=where, value=value, todo="Give an int or a float.") from None


def integer(column: Column, where: str) -> Callable[[Any], int | None]:
    """The function that makes one value a whole number, or null; it raises InvalidRowError."""

    def convert(value: Any) -> int | None:
        if type(value) is not int:
            value = _whole(value, where)
            if value is None:
                return None
        if not INT64[0] <= value <= INT64[1]:
            raise InvalidRowError("a whole number of at most 64 bits is wanted", where=where, value=value)
        if (column.minimum is not None and value < column.minimum) or (
            column.maximum is not None and value > column.maximum
        ):
            raise _out_of_range(column, where, value)
        return int(value)

    return convert


def _whole(value: Any, where: str) -> int | None:
    """Exact, however large: only what is a float already goes through one."""
    try:
        return operator.index(value) if not isinstance(value, bool) else int(str(value))
    except (TypeError, ValueError):
        pass
    if isinstance(value, str) and _DIGITS.fullmatch(value.strip()):
        return int(value)
    number = _number(value, where)
    if math.isnan(number):
        return None
    if not math.isfinite(number) or number != int(number):
        raise InvalidRowError("a whole number is wanted", where=where, value=value)
    return int(number)


def finite(value: Any) -> float | None:
    """The float of a number in whatever form (of NumPy, a Decimal, text); None of what is no finite number.

    >>> finite("2.5"), finite(7), finite(True), finite(float("nan"))
    (2.5, 7.0, None, None)
    """
    try:
        found = value if type(value) is float else _number(value, "")
    except InvalidRowError:
        return None
    return found if math.isfinite(found) else None


def whole(value: Any) -> int | None:
    """The int of a whole number in whatever form; None of what is none.

    >>> whole("7"), whole(7.0), whole(7.5), whole(True)
    (7, 7, None, None)
    """
    try:
        return _whole(value, "")
    except InvalidRowError:
        return None


def is_null(value: Any) -> bool:
    """Whether it is a null of pandas, which neither compares nor converts."""
    return type(value).__name__ in ("NAType", "NaTType")


def is_nothing(value: Any) -> bool:
    """Whether it is how pandas says that a text, flag or map is not known: one of its nulls, or NaN.

    >>> is_nothing(float("nan")), is_nothing("nan"), is_nothing(0.0)
    (True, False, False)
    """
    return is_null(value) or (isinstance(value, float | np.floating) and math.isnan(value))


def _out_of_range(column: Column, where: str, value: object) -> InvalidRowError:
    return InvalidRowError(f"out of range, it must be {column.bounds() or 'finite'}", where=where, value=value)
