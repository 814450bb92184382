"""Reads of one dataset as a Polars frame: the ways that need no SQL of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from lake.errors import UsageError
from lake.query.engine import Engine
from lake.query.views import views
from lake.spec import registry, symbols
from lake.spec.dataset import Dataset, Type
from lake.spec.times import from_micros, to_micros


def read(engine: Engine, name: str, where: str | Mapping[str, Any] | None = None) -> pl.DataFrame:
    """Rows of a dataset or view.

    Args:
        where: an SQL condition, or {column: value}; a list or tuple of values means any of them.
    """
    if name not in views():
        registry.get(name)
    if where is None:
        return engine.frame(f"SELECT * FROM {name}")
    if isinstance(where, str):
        return engine.frame(f"SELECT * FROM {name} WHERE {where}")
    if not isinstance(where, Mapping):
        raise UsageError("`where` is an SQL condition or {column: value}", value=where)
    conditions, values = [], []
    for column, value in where.items():
        several = isinstance(value, (list, tuple, set))
        given = [_value(name, column, v) for v in (value if several else [value])]
        if given == [None]:
            conditions.append(f"{column} IS NULL")
            continue
        conditions.append(f"{column} IN ({', '.join('?' * len(given))})")
        values += given
    return engine.frame(f"SELECT * FROM {name} WHERE {' AND '.join(conditions) or 'true'}", values)


def _value(name: str, column: str, value: Any) -> Any:
    if name not in registry.names() or column == "period":
        return value
    ds: Dataset = registry.get(name)
    kind = ds.column(column).type
    if value is not None and kind is Type.TIMESTAMP:
        return from_micros(to_micros(value, where=f"{name}.{column}"))
    if column == "symbol" and isinstance(value, str):
        return symbols.canonical(value)
    return value
