"""The types of a query's result that every format has: what else DuckDB knows becomes text, numbers or JSON."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pyarrow as pa

from lake.errors import QueryError
from lake.query.engine import Relation

_NESTED = ("STRUCT", "MAP", "UNION")
_AS_TEXT = ("INTERVAL", "BIT", "TIME WITH TIME ZONE", "BIGNUM", "VARINT", "UUID", "VARIANT")
_PLAIN = {"VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "BLOB"}
_WHOLE = {
    "TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT", "UHUGEINT",
}  # fmt: skip
_TIMES = {"TIMESTAMP_S", "TIMESTAMP_MS"}


def fitted(relation: Relation, form: str) -> Relation:
    """The relation in types that the form has: nested values as JSON, blobs in hexadecimal, intervals as text."""
    kinds = [str(kind) for kind in relation.types]
    shown = [_fitted(name, kind, form) for name, kind in zip(relation.columns, kinds, strict=True)]
    return relation.project(", ".join(shown)) if any(" AS " in column for column in shown) else relation


def _fitted(name: str, kind: str, form: str) -> str:
    quoted = identifier(name)
    if is_nested(kind):
        strange = any(word in kind for word in (*_AS_TEXT, "BLOB", "UNION"))
        return quoted if form == "parquet" and not strange else f"to_json({quoted})::VARCHAR AS {quoted}"
    if kind == "BLOB":
        return quoted if form == "parquet" else f"hex({quoted}) AS {quoted}"
    return f"{quoted}::VARCHAR AS {quoted}" if kind in _AS_TEXT else quoted


def nested_columns(relation: Relation) -> set[str]:
    """Columns whose values are lists, structs or maps."""
    kinds = [str(kind) for kind in relation.types]
    return {n for n, k in zip(relation.columns, kinds, strict=True) if is_nested(k)}


def is_nested(kind: str) -> bool:
    """Whether values of that type hold values."""
    return kind.endswith("]") or kind.startswith(_NESTED)


def plain(relation: Relation) -> Relation:
    """The relation in nothing but text, 64-bit numbers, booleans, dates, times, decimals and bytes.

    Nested values become JSON text. A whole number past 64 bits fails when it is read, and says so.
    """
    kinds = [str(kind) for kind in relation.types]
    shown = [_plain(name, kind) for name, kind in zip(relation.columns, kinds, strict=True)]
    return relation.project(", ".join(shown)) if any(" AS " in column for column in shown) else relation


def _plain(name: str, kind: str) -> str:
    quoted = identifier(name)
    if kind in _PLAIN or kind.startswith("DECIMAL"):
        return quoted
    if is_nested(kind):
        return f"to_json({quoted})::VARCHAR AS {quoted}"
    target = "BIGINT" if kind in _WHOLE else "DOUBLE" if kind == "FLOAT" else "TIMESTAMP" if kind in _TIMES else None
    return f"{quoted}::{target or 'VARCHAR'} AS {quoted}"


def identifier(name: str) -> str:
    """A name as SQL quotes it."""
    return '"' + name.replace('"', '""') + '"'


def batches(relation: Relation, rows: int) -> Iterator[pa.RecordBatch]:
    """The result in Arrow batches of so many rows, computed as they are asked for; times in UTC.

    Raises:
        QueryError: DuckDB stumbles over a value while it runs.
    """
    try:
        yield from relation.to_arrow_reader(rows)
    except (duckdb.Error, pa.ArrowException) as error:
        todo = "Cast the column, such as to DOUBLE or VARCHAR."
        raise QueryError(str(error).strip().partition("\n")[0], todo=todo) from error
