"""Between which values the rows lie that a statement can use, so that other data files are never shown to DuckDB.

Read from DuckDB's own syntax tree. What is not surely understood bounds nothing: a file too many costs
milliseconds, a file too few costs the truth.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from lake.query.constants import Constants, Node
from lake.query.ranges import ANYTHING, Range, compared, narrowed, operator, settled, united
from lake.spec import registry
from lake.spec.dataset import Dataset, Type

_TREE = "SELECT json_serialize_sql(?), current_setting('TimeZone')"
_UTC = {"UTC", "Etc/UTC"}
_CONDITION = re.compile(r"\b(where|on)\b", re.IGNORECASE)
_KNOWN = {
    "SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE",
    "BASE_TABLE", "JOIN", "SUBQUERY", "EMPTY", "EXPRESSION_LIST", "TABLE_FUNCTION",
    "LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER", "ORDER_MODIFIER", "DISTINCT_MODIFIER",
    "ORDER_DEFAULT", "ASCENDING", "DESCENDING",
}  # fmt: skip
_HARMLESS_FUNCTIONS = {"range", "generate_series", "unnest", "repeat"}  # others might read a table by its name
_MATCHING = {"REGULAR", "NATURAL", "CROSS"}
_SURPRISES = (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError)


@dataclass
class _Seen:
    """What the whole statement is made of."""

    reads: Counter[str] = field(default_factory=Counter)
    hidden: set[str] = field(default_factory=set)  # names that a CTE takes
    selects: list[Node] = field(default_factory=list)
    strange: bool = False


def bounds(
    connection: duckdb.DuckDBPyConnection, sql: str, params: Sequence[Any] | Mapping[str, Any] | None = None
) -> dict[str, dict[str, Range]]:
    """Dataset -> column -> (lowest, highest): where every row lies that the statement can use of the dataset.

    Both ends are inclusive, None where open. Times are microseconds since 1970, dates ISO texts. Only datasets that
    the statement reads exactly once are in it. Statements that are not understood have no bounds; none is an error.

    Args:
        connection: of a session in UTC; in another time zone, where texts mean other times, there are no bounds.
        sql: one statement.
        params: its parameters.
    """
    if not _CONDITION.search(sql):
        return {}
    try:
        return _bounds(connection, sql, params)
    except duckdb.Error:
        return {}  # DuckDB will say so itself when it runs the statement
    except _SURPRISES:
        return {}  # a syntax tree of another shape than the one known here


def _bounds(connection: duckdb.DuckDBPyConnection, sql: str, params: Any) -> dict[str, dict[str, Range]]:
    text, zone = connection.execute(_TREE, [sql]).fetchall()[0]
    tree = json.loads(text)
    if tree["error"] or len(tree["statements"]) != 1 or zone not in _UTC:
        return {}
    seen = _look(tree["statements"])
    once = {name for name, count in seen.reads.items() if count == 1 and name not in seen.hidden}
    if seen.strange or not once:
        return {}
    constants = Constants(connection, params)
    return {name: ranges for select in seen.selects for name, ranges in _select(select, once, constants)}


def _look(tree: Any) -> _Seen:
    seen, todo = _Seen(), [tree]
    while todo:
        item = todo.pop()
        if isinstance(item, list):
            todo.extend(item)
        elif isinstance(item, dict):
            if "class" not in item and isinstance(item.get("type"), str):
                _note(seen, item)
            if "cte_map" in item:
                seen.hidden |= {entry["key"].lower() for entry in item["cte_map"]["map"]}
            todo.extend(v for v in item.values() if isinstance(v, (dict, list)))
    return seen


def _note(seen: _Seen, item: Node) -> None:
    kind = item["type"]
    if kind == "BASE_TABLE":
        name = item["table_name"].lower()
        if name in registry.names():
            seen.reads[name] += 1
    elif kind == "SELECT_NODE":
        seen.selects.append(item)
    elif kind not in _KNOWN or (
        kind == "TABLE_FUNCTION" and item["function"]["function_name"].lower() not in _HARMLESS_FUNCTIONS
    ):
        seen.strange = True


def _select(select: Node, once: set[str], constants: Constants) -> Iterator[tuple[str, dict[str, Range]]]:
    """Bounds of the tables that one SELECT names in its FROM."""
    if select["sample"] is not None:
        return
    where = [] if select["where_clause"] is None else [select["where_clause"]]
    tables = list(_tables(select["from_table"], where))
    shown = Counter(_shown(table) for table, _ in tables)
    for table, conditions in tables:
        plain = table["type"] == "BASE_TABLE" and table["qualified_name"]["path"] == [table["table_name"]]
        if not plain or table["sample"] or table["at_clause"] or table["column_name_alias"]:
            continue
        name = table["table_name"].lower()
        if name in once and shown[_shown(table)] == 1:
            ranges = _Columns(registry.get(name), _shown(table), len(tables) == 1, constants).ranges(conditions)
            if ranges:
                yield name, ranges


def _shown(table: Node) -> str:
    return str(table["alias"] or table.get("table_name") or "").lower()


def _tables(table: Node, conditions: list[Node]) -> Iterator[tuple[Node, list[Node]]]:
    """Tables of a FROM, each with the conditions without which none of its rows matters."""
    if table["type"] != "JOIN":
        yield table, conditions
        return
    own = [] if table["condition"] is None else [table["condition"]]
    left, right = _sides(table, conditions, own)
    yield from _tables(table["left"], left)
    yield from _tables(table["right"], right)


def _sides(join: Node, conditions: list[Node], own: list[Node]) -> tuple[list[Node], list[Node]]:
    matching, kind = join["ref_type"] in _MATCHING, join["join_type"]
    if matching and kind == "INNER":
        return [*conditions, *own], [*conditions, *own]
    if kind in {"LEFT", "SEMI", "ANTI"} and matching:
        return conditions, []
    if kind in {"LEFT", "INNER"} and join["ref_type"] == "ASOF":
        return conditions, []  # a right row left out would let another one match
    if kind == "RIGHT" and matching:
        return [], conditions
    return [], []


@dataclass(frozen=True, slots=True)
class _Columns:
    """The columns of one table of a SELECT: which dataset, under which name, alone or beside others."""

    ds: Dataset
    shown: str
    alone: bool
    constants: Constants

    def ranges(self, conditions: list[Node]) -> dict[str, Range]:
        found: dict[str, Range] = {}
        todo = list(conditions)
        while todo:
            condition = todo.pop()
            if condition["type"] == "CONJUNCTION_AND":
                todo.extend(condition["children"])
                continue
            name, one = self._one(condition)
            if one != ANYTHING:
                found[name] = narrowed(found.get(name, ANYTHING), one)
        settle = ((name, settled(self._type(name), one)) for name, one in found.items())
        return {name: one for name, one in settle if one != ANYTHING}

    def _one(self, condition: Node) -> tuple[str, Range]:
        match condition["type"]:
            case "COMPARE_BETWEEN":
                low, high = condition["lower"], condition["upper"]
                return self._between(condition["input"], low, high)
            case "COMPARE_IN":
                column, *values = condition["children"]
                return self._among(column, values)
            case kind if condition["class"] == "COMPARISON":
                left, right = condition["left"], condition["right"]
                sign, flipped = operator(kind), operator(kind, flipped=True)
                for column, value, seen in ((left, right, sign), (right, left, flipped)):
                    name = self._name(column)
                    if name and seen:
                        return name, compared(self._type(name), seen, self.constants.of(value))
        return "", ANYTHING

    def _between(self, column: Node, low: Node, high: Node) -> tuple[str, Range]:
        name = self._name(column)
        if not name:
            return "", ANYTHING
        kind = self._type(name)
        ends = compared(kind, ">=", self.constants.of(low)), compared(kind, "<=", self.constants.of(high))
        # Both ends are cast to one type: an end that is not understood may change what the other means.
        understood = ends[0][0] is not None and (ends[1][1] is not None or self._moves(high))
        return name, narrowed(*ends) if understood else ANYTHING

    def _moves(self, value: Node) -> bool:
        found = self.constants.of(value)
        return found is not None and found.moving

    def _among(self, column: Node, values: list[Node]) -> tuple[str, Range]:
        name = self._name(column)
        if not name or not values:
            return "", ANYTHING
        each = [compared(self._type(name), "=", self.constants.of(value)) for value in values]
        return name, ANYTHING if any(low is None for low, _ in each) else united(each)

    def _name(self, column: Node) -> str:
        """The dataset's column that an expression is, "" when it is none."""
        if column["class"] != "COLUMN_REF":
            return ""
        *table, name = (part.lower() for part in column["column_names"])
        mine = table == [self.shown] or (not table and self.alone)
        return name if mine and (name in self.ds.by_name or name in self.ds.partitioned_by) else ""

    def _type(self, name: str) -> Type:
        column = self.ds.by_name.get(name)
        return Type.STRING if column is None else column.type
