"""Reads of one dataset as a Polars frame: the ways that need no SQL of the user's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import polars as pl

from lake.errors import InvalidRowError, UsageError
from lake.query.engine import Engine
from lake.query.variables import Variables
from lake.query.views import views
from lake.spec import registry, symbols
from lake.spec.dataset import Dataset, Type
from lake.spec.texts import half_character, plain
from lake.spec.times import from_micros, to_micros


def read(
    engine: Engine,
    name: str,
    where: str | Mapping[str, Any] | None = None,
    variables: Variables | None = None,
) -> pl.DataFrame:
    """Rows of a dataset or view.

    Args:
        engine: answers the SQL.
        name: of the dataset or view.
        where: an SQL condition, or {column: value}; a list, or an array, of values means any of them, None a null.
        variables: parameters of the views.

    Raises:
        UnknownDatasetError: there is no such dataset or view.
        UnknownColumnError: a condition on a column that the dataset does not have.
        InvalidRowError: a value that its column cannot hold.
    """
    if name not in views():
        registry.get(name)
    if where is None:
        return engine.rows(name, variables=variables)
    if isinstance(where, str):
        return engine.frame(f"SELECT * FROM {name} WHERE {where}", variables=variables)
    if not isinstance(where, Mapping):
        raise UsageError("`where` is an SQL condition or {column: value}", value=where)
    conditions, values = [], []
    for column, value in where.items():
        condition, given = _condition(name, column, value)
        conditions.append(condition)
        values += given
    return engine.rows(name, " AND ".join(conditions) or "true", values, variables)


def _condition(name: str, column: str, value: Any) -> tuple[str, list[Any]]:
    """One column's condition as SQL, and its parameters."""
    quoted = '"' + str(column).replace('"', '""') + '"'
    several = isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))
    wanted = list(value) if several else [value]
    given = [_value(name, column, v) for v in wanted if v is not None]
    among = f"{quoted} IN ({', '.join('?' * len(given))})" if given else "false"
    return (f"({among} OR {quoted} IS NULL)" if None in wanted else among), given


def _value(name: str, column: str, value: Any) -> Any:
    if column == "period":
        return value
    if name not in registry.names():
        return text_asked(name, column, value) if column in _texts() else value
    ds: Dataset = registry.get(name)
    kind = ds.column(column).type
    if kind is Type.TIMESTAMP:
        return from_micros(to_micros(value, where=f"{name}.{column}"))
    if column == "symbol" and isinstance(value, str):
        return symbols.canonical(value)
    return text_asked(name, column, value) if kind is Type.STRING else plain(value)


def text_asked(name: str, column: str, value: Any) -> str:
    """The text that is asked for in a column: ids that are given as numbers or UUIDs are kept as text.

    Raises:
        InvalidRowError: what is no text.
    """
    value = plain(value)
    if value is None or isinstance(value, bool | bytes | list | tuple | set | frozenset | Mapping):
        raise InvalidRowError("text is wanted", where=f"{name}.{column}", value=value)
    half = half_character(value)
    if half is not None:
        raise InvalidRowError("text with half a character (a lone surrogate)", where=f"{name}.{column}", value=half)
    return str(value)


@cache
def _texts() -> frozenset[str]:
    """Columns that hold text wherever a dataset has them, and so in the views, which take them from there."""
    kinds = {(column.name, column.type) for name in registry.names() for column in registry.get(name).columns}
    return frozenset(name for name, kind in kinds if kind is Type.STRING) - {
        n for n, k in kinds if k is not Type.STRING
    }
