"""Single values of other stores, as numbers and as text."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import orjson

from lake.errors import InvalidRowError


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
        raise InvalidRowError("not a number", where=name, value=value) from None
    if not math.isfinite(done):
        raise InvalidRowError("not a finite number", where=name, value=value)
    return done


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
