"""What the constant expressions of a parsed statement are worth, in the form that file statistics use."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb

Node = Mapping[str, Any]

DAY = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)([ T](?P<clock>\d\d:\d\d(:\d\d(\.\d{1,6})?)?)(?P<zone>Z|[+-]\d\d(:\d\d)?)?)?", re.ASCII
)
_ZONED = {"timestamptz", "timestamp with time zone"}
_PLAIN = {"timestamp", "datetime"}
_TIMES = {*_ZONED, *_PLAIN, "date"}
_WHOLE = {"integer", "int", "int4", "bigint", "int8", "long", "int64", "int32", "hugeint", "smallint", "tinyint"}
_TEXT = {"varchar", "text", "string"}
_MOVING = {"now", "today", "get_current_timestamp", "transaction_timestamp", "current_date", "current_timestamp"}
_STEPS = {"+", "-", "date_trunc", "datetrunc"}
_INTERVALS = {f"to_{unit}" for unit in ("microseconds", "milliseconds", "seconds", "minutes", "hours", "days", "weeks")}
_INTERVALS |= {"to_months", "to_quarters", "to_years", "trunc"}
_NO_TABLE: dict[str, Any] = {
    "type": "SELECT_NODE", "modifiers": [], "cte_map": {"map": []}, "where_clause": None,
    "from_table": {"type": "EMPTY", "alias": "", "sample": None},
    "group_expressions": [], "group_sets": [], "aggregate_handling": "STANDARD_HANDLING",
    "having": None, "sample": None, "qualify": None,
}  # fmt: skip


class Kind(enum.Enum):
    """What a constant is, as far as a comparison cares."""

    NUMBER = "number"  # int, Decimal or float
    TEXT = "text"
    TIME = "time"  # microseconds since 1970, UTC
    DATE = "date"  # microseconds of its midnight


@dataclass(frozen=True, slots=True)
class Constant:
    """A value; ``moving`` when it grows with the clock until the statement runs."""

    kind: Kind
    value: Any
    moving: bool = False


class Constants:
    """Evaluates the constant expressions of one statement."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, params: Sequence[Any] | Mapping[str, Any] | None) -> None:
        self._connection = connection
        self._params = params

    def of(self, node: Node) -> Constant | None:
        """The constant that an expression is; None when it is none, or none whose meaning is certain."""
        match node["class"]:
            case "CONSTANT":
                return _literal(node["literal"])
            case "PARAMETER":
                return constant(self._parameter(node["identifier"]))
            case "CAST":
                inner = self.of(node["child"])
                return None if inner is None else _cast(inner, node["type_expr"])
            case "FUNCTION" | "COLUMN_REF" if _moving(node) is not None:
                return self._ask(node)
        return None

    def _parameter(self, name: str) -> Any:
        if isinstance(self._params, Mapping):
            return self._params.get(name)
        if self._params is None or not name.isdigit() or not 1 <= int(name) <= len(self._params):
            return None
        return self._params[int(name) - 1]

    def _ask(self, node: Node) -> Constant | None:
        """Let DuckDB work it out."""
        tree = {"error": False, "statements": [{"node": {**_NO_TABLE, "select_list": [node]}, "named_param_map": []}]}
        text = self._connection.execute("SELECT json_deserialize_sql(?)", [json.dumps(tree)]).fetchall()[0][0]
        found = constant(self._connection.execute(text).fetchall()[0][0])
        return None if found is None else replace(found, moving=bool(_moving(node)))


def constant(value: Any) -> Constant | None:
    """The constant that a Python value is to DuckDB; None for kinds that are not compared.

    >>> constant(datetime(1970, 1, 1, 0, 0, 1))
    Constant(kind=<Kind.TIME: 'time'>, value=1000000, moving=False)
    """
    kind = type(value)  # exactly these: a subclass may be bound otherwise
    if kind in {int, float, Decimal}:
        return Constant(Kind.NUMBER, value)
    if kind is str:
        return Constant(Kind.TEXT, value)
    if kind is datetime:
        aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value
        return Constant(Kind.TIME, (aware - _EPOCH) // timedelta(microseconds=1))
    if kind is date:
        return Constant(Kind.DATE, (value - _EPOCH.date()).days * DAY)
    return None


def time_of(text: str) -> Constant | None:
    """The time that a text is to a session in UTC; None for spellings that are not plain.

    >>> time_of("1970-01-02")
    Constant(kind=<Kind.DATE: 'date'>, value=86400000000, moving=False)
    >>> time_of("1970-01-01 01:00+01")
    Constant(kind=<Kind.TIME: 'time'>, value=0, moving=False)
    """
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    try:
        if found["clock"] is None:
            return constant(date.fromisoformat(text))
        return constant(datetime.fromisoformat(f"{found['date']}T{found['clock']}{found['zone'] or '+00:00'}"))
    except ValueError:
        return None


def _literal(literal: Node) -> Constant | None:
    match literal["kind"]:
        case "STRING":
            return Constant(Kind.TEXT, literal["text"])
        case "INTEGER":
            return Constant(Kind.NUMBER, int(literal["text"]))
        case "NUMERIC":
            return Constant(Kind.NUMBER, Decimal(literal["text"]))
    return None


def _cast(inner: Constant, target: Node) -> Constant | None:
    if target["children"] or len(target["qualified_name"]["path"]) != 1:
        return None
    name = target["type_name"].lower()
    if name in _TEXT or name in _WHOLE:
        same = inner.kind is Kind.TEXT if name in _TEXT else type(inner.value) is int and inner.kind is Kind.NUMBER
        return inner if same else None
    if name == "double":
        return replace(inner, value=float(inner.value)) if inner.kind is Kind.NUMBER else None
    if name not in _TIMES:
        return None
    if inner.kind is Kind.TEXT:
        # A plain timestamp drops the offset of a text, and a date its clock: such texts are left alone.
        found = time_of(inner.value)
        zoned = _TIME.fullmatch(inner.value)
        if found is None or zoned is None or (zoned["zone"] and name not in _ZONED):
            return None
        inner = found
    if inner.kind is Kind.NUMBER:
        return None
    if name == "date":
        return replace(inner, kind=Kind.DATE, value=inner.value // DAY * DAY)
    return replace(inner, kind=Kind.TIME)


def _moving(node: Node) -> bool | None:
    """Whether an expression of times moves with the clock, and then only forward; None for other expressions."""
    match node["class"]:
        case "CONSTANT":
            return False
        case "COLUMN_REF":
            return True if len(node["column_names"]) == 1 and node["column_names"][0].lower() in _MOVING else None
        case "CAST":
            moving = _moving(node["child"])
            return None if moving and node["type_expr"]["type_name"].lower() not in _TIMES else moving  # a clock wraps
        case "FUNCTION":
            return _moving_function(node)
    return None


def _moving_function(node: Node) -> bool | None:
    name = node["function_name"].lower()
    parts = [_moving(argument["expression"]) for argument in node["arguments"]]
    if name in _MOVING:
        return None if parts else True
    if None in parts or len(node["qualified_name"]["path"]) != 1:
        return None
    if name in _INTERVALS:
        return None if any(parts) else False
    backward = name == "-" and (len(parts) != 2 or parts[1])
    return None if name not in _STEPS or backward else any(parts)
