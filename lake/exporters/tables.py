"""What SQLite and PostgreSQL have in common: the table that rows go to, its columns and its key."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from lake.errors import UsageError
from lake.exporters.asking import Asked
from lake.query.fitting import plain
from lake.spec.dataset import Type


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: its name, what it holds, and whether that is a JSON document."""

    name: str
    type: pa.DataType
    is_document: bool


def columns(asked: Asked) -> tuple[Column, ...]:
    """The columns that are exported."""
    schema = plain(asked.shown).limit(0).to_arrow_reader(1).schema
    known = {} if asked.dataset is None else asked.dataset.by_name
    return tuple(
        Column(field.name, field.type, field.name in known and known[field.name].type is Type.JSON) for field in schema
    )


def key(asked: Asked) -> tuple[str, ...]:
    """The columns by which rows are told apart; none when they are not all exported, or it is no dataset."""
    names = () if asked.dataset is None else asked.dataset.key
    return names if set(names) <= set(asked.columns) else ()


def table_name(asked: Asked, given: str) -> str:
    """The table's name.

    Raises:
        UsageError: a query's rows go to a table, and none was named.
    """
    if given or asked.name != "query":
        return given or asked.name
    raise UsageError("which table?", where="export", todo="Name it with --table.")
