"""What an expression remembers: tables and moments that are written into it.

No audit by changed bars can tell them from honest constants, since they stay as they are whatever the bars become.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import polars as pl
import pyarrow as pa

from lake.errors import UsageError

MOST = 32  # constants in one expression: more of them are a table, that may have been learnt from the future
_LONGEST = 100  # characters of a text
_CLOCKS = ("open_time", "known_at")
_EPOCHS = [(946_684_800 * scale, 4_102_444_800 * scale) for scale in (1, 1_000, 1_000_000, 1_000_000_000)]  # 2000-2100
_EPOCHS.append((10_957, 47_482))  # days
_MAKERS = ("DatetimeFunction", "Strptime")
_YEARS = ("Year", "IsoYear", "Century", "Millennium", "IsLeapYear")
_PARTS = (*("Hour", "Minute", "Second", "Millisecond", "Microsecond", "Nanosecond", "Time"),
          *("WeekDay", "Day", "Week", "Month", "Quarter", "OrdinalDay", "DaysInMonth"))  # fmt: skip
_HELD = "number in a table"
_NUMBERS = ("number", _HELD)
_IPC = [255, 255, 255, 255]  # how the bytes of a column begin


def check_literals(where: str, expr: pl.Expr) -> None:
    """Refuse an expression that holds a table, or a moment of the calendar.

    A table of more than 32 values (``replace``, ``is_in``, a column, many whens) and a date or epoch number may carry
    what came later: what a price did after that day, and on which day; so may a year, and the text of a time. Hours,
    weekdays, times of day, days of a month and months may be there.

    Raises:
        UsageError: it does; it says what was found.
    """
    tree = json.loads(expr.meta.serialize(format="json"))
    found = list(_constants(tree))
    moments = [kind for kind, _ in found if kind.startswith(("date", "time in"))]
    if not moments and _has_clock(tree):
        moments = [f"{value}" for kind, value in found if kind in _NUMBERS and _is_epoch(value)]
    if moments:
        raise UsageError(
            "the expression names moments of the calendar, which may stand for what came then", where=where,
            value=moments[:5], todo="Features go by what bars hold; hours and weekdays may be asked for.",
        )  # fmt: skip
    count = sum(value if kind == "table" else 1 for kind, value in found if kind != _HELD)
    if count > MOST:
        raise UsageError(
            f"the expression holds a table of {count} values, which may have been learnt from what came later",
            where=where, todo=f"Write it as a rule; {MOST} constants may be in one expression.",
        )  # fmt: skip


def _is_epoch(value: float) -> bool:
    return any(low <= value <= high for low, high in _EPOCHS)


def _constants(node: Any) -> Iterator[tuple[str, Any]]:
    """Kind and value of all constants: tables by their length, and by the type of what they hold."""
    if isinstance(node, list):
        if node[:4] == _IPC and len(node) > 64:
            yield from _column(bytes(node))
        elif len(node) > 1 and all(type(each) in (int, float) for each in node):
            yield "table", len(node)
        else:
            for each in node:
                yield from _constants(each)
    elif isinstance(node, dict):
        for name, content in node.items():
            if name == "Literal":
                yield from _literal(content)
            else:
                if name in _MAKERS:
                    yield "date made of numbers or text", name
                elif _tells_year(name, content):
                    yield "date told by its year or as text", name
                yield from _constants(content)


def _tells_year(name: str, content: Any) -> bool:
    """Whether a node asks a time for its year, or for its text."""
    if name == "TemporalExpr":
        return content in _YEARS or "ToString" in content
    if name == "Function":
        return "StringExpr" in content["function"] and _has_clock(content["input"])
    return name == "Cast" and content["dtype"] == {"Literal": "String"} and _has_clock(content["expr"])


def _has_clock(node: Any) -> bool:
    """Whether a column of time is there, and is asked for more than its hour, weekday or the like."""
    if isinstance(node, dict):
        return not _is_part(node) and any(map(_has_clock, node.values()))
    return node in _CLOCKS if isinstance(node, str) else isinstance(node, list) and any(map(_has_clock, node))


def _is_part(node: Any) -> bool:
    return _temporal(node) in _PARTS and _is_clock(node["Function"]["input"][0])


def _is_clock(node: Any) -> bool:
    told = _temporal(node)
    if isinstance(told, dict) and "ConvertTimeZone" in told:
        return _is_clock(node["Function"]["input"][0])
    return node.get("Column") in _CLOCKS


def _temporal(node: Any) -> Any:
    """What a node asks of a time; None where it asks nothing."""
    function = node.get("Function", {}).get("function")
    return function.get("TemporalExpr") if isinstance(function, dict) else None


def _literal(content: Any) -> Iterator[tuple[str, Any]]:
    ((form, value),) = content.items() if isinstance(content, dict) and len(content) == 1 else (("", content),)
    inner = value if form in ("Dyn", "Scalar") else {form: value}
    if not isinstance(inner, dict) or len(inner) != 1:
        yield "constant", inner
        return
    ((kind, held),) = inner.items()
    if kind in ("List", "Series", "Array", "Struct"):
        yield from _constants(held)
    elif kind in ("Date", "Datetime"):
        yield "date or time in full", held
    elif kind == "String" and len(held) > _LONGEST:
        yield "table", len(held)
    elif kind.startswith(("Int", "UInt", "Float")) and type(held) in (int, float):
        yield "number", held
    else:
        yield "constant", held


def _column(raw: bytes) -> Iterator[tuple[str, Any]]:
    """What a column that is written into an expression holds."""
    with pa.ipc.open_stream(raw) as reader:
        values = reader.read_all().column(0)
    kind = values.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        yield "date or time in a table", len(values)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        yield from ((_HELD, value) for value in values.slice(0, 5).to_pylist() if value is not None)
    yield "table", len(values)
