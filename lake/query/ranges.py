"""Between which values a column lies when it compares so with a constant.

A range is (lowest, highest), both inclusive, None where it is open; ``ANYTHING`` says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from lake.query.constants import DAY, Constant, Kind, time_of
from lake.spec.dataset import Type

Range = tuple[Any, Any]
ANYTHING: Range = (None, None)
_EXACT = 2**53  # above it DuckDB's comparisons by way of a double are not those of the integers
_OPERATORS = {
    "COMPARE_EQUAL": "=",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_LESSTHANOREQUALTO": "<=",
    "COMPARE_GREATERTHAN": ">",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
}
_FLIPPED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def operator(kind: str, *, flipped: bool = False) -> str | None:
    """The sign of a comparison of the syntax tree, seen from the other side when flipped."""
    sign = _OPERATORS.get(kind)
    return _FLIPPED[sign] if flipped and sign else sign


def compared(kind: Type, sign: str, constant: Constant | None) -> Range:
    """The range of a column of that type for which ``column sign constant`` can be true."""
    if constant is None:
        return ANYTHING
    low = _bound(kind, constant, up=True, strict=sign == ">") if sign in {"=", ">", ">="} else None
    high = _bound(kind, constant, up=False, strict=sign == "<") if sign in {"=", "<", "<="} else None
    return low, None if constant.moving else high


def united(ranges: Iterable[Range]) -> Range:
    """The range that holds all of several."""
    lows, highs = zip(*ranges, strict=True)
    return None if None in lows else min(lows), None if None in highs else max(highs)


def narrowed(one: Range, other: Range) -> Range:
    """The range of what lies in both."""
    lows = [r[0] for r in (one, other) if r[0] is not None]
    highs = [r[1] for r in (one, other) if r[1] is not None]
    return max(lows, default=None), min(highs, default=None)


def settled(kind: Type, found: Range) -> Range:
    """The range as far as statistics can be trusted: NaN is above every number, but not in them."""
    return ANYTHING if kind is Type.FLOAT and found[1] is None else found


def _bound(kind: Type, constant: Constant, *, up: bool, strict: bool) -> Any:
    """The lowest (``up``) or highest value that passes, None when it is not certain."""
    match kind:
        case Type.STRING:
            return constant.value if constant.kind is Kind.TEXT else None
        case Type.TIMESTAMP:
            return _micros(constant, up=up, strict=strict)
        case Type.DATE:
            return _date(constant, up=up, strict=strict)
        case Type.INT:
            return _whole(constant, up=up, strict=strict)
        case Type.FLOAT:
            return _float(constant, up=up)
    return None


def _micros(constant: Constant, *, up: bool, strict: bool) -> int | None:
    found = time_of(constant.value) if constant.kind is Kind.TEXT else constant
    if found is None or found.kind is Kind.NUMBER:
        return None
    step = (1 if up else -1) if strict else 0
    return int(found.value) + step


def _date(constant: Constant, *, up: bool, strict: bool) -> str | None:
    if constant.kind is Kind.TEXT and (len(constant.value) != len("2000-01-01")):
        return None  # a date drops the clock of a text
    micros = _micros(constant, up=up, strict=strict)
    if micros is None:
        return None
    days = -(-micros // DAY) if up else micros // DAY
    try:
        return (date(1970, 1, 1) + timedelta(days=days)).isoformat()
    except OverflowError:
        return None


def _whole(constant: Constant, *, up: bool, strict: bool) -> int | None:
    value = constant.value
    if constant.kind is not Kind.NUMBER or not math.isfinite(value) or abs(value) > _EXACT:
        return None
    if up:
        above: int = math.floor(value) + 1 if strict else math.ceil(value)
        return above
    below: int = math.ceil(value) - 1 if strict else math.floor(value)
    return below


def _float(constant: Constant, *, up: bool) -> float | None:
    if constant.kind is not Kind.NUMBER:
        return None
    value = float(constant.value)
    if math.isnan(value):
        return None
    if isinstance(constant.value, float) or len(str(constant.value)) <= 15:
        return value
    return math.nextafter(value, -math.inf if up else math.inf)  # two roundings may differ in the last bit
