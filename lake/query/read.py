"""Reads of one dataset as a Polars frame: the ways that need no SQL of the user's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from lake.errors import UsageError
from lake.query.engine import Engine
from lake.query.variables import Variables
from lake.query.views import views
from lake.spec import registry, symbols
from lake.spec.dataset import Dataset, Type
from lake.spec.texts import plain
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
    if name not in registry.names() or column == "period":
        return value
    ds: Dataset = registry.get(name)
    kind = ds.column(column).type
    if kind is Type.TIMESTAMP:
        return from_micros(to_micros(value, where=f"{name}.{column}"))
    if column == "symbol" and isinstance(value, str):
        return symbols.canonical(value)
    value = plain(value)
    is_written = kind is Type.STRING and not isinstance(value, str | bool | bytes)
    return str(value) if is_written else value  # ids that are given as numbers or UUIDs are kept as text
