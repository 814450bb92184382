"""Results of SQL as tables, CSV, JSON and Parquet: every type of DuckDB's has a form in each."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from lake.cli.output import plain
from lake.errors import StorageError
from lake.query.engine import Relation

FORMATS = ("table", "csv", "json", "jsonl", "parquet")
_NESTED = ("STRUCT", "MAP", "UNION")
_AS_TEXT = ("INTERVAL", "BIT", "TIME WITH TIME ZONE", "BIGNUM", "VARINT", "UUID", "VARIANT")


def fitted(relation: Relation, form: str) -> Relation:
    """The relation in types that the form has: nested values as JSON, blobs in hexadecimal, intervals as text."""
    kinds = [str(kind) for kind in relation.types]
    shown = [_fitted(name, kind, form) for name, kind in zip(relation.columns, kinds, strict=True)]
    return relation.project(", ".join(shown)) if any(" AS " in column for column in shown) else relation


def _fitted(name: str, kind: str, form: str) -> str:
    quoted = '"' + name.replace('"', '""') + '"'
    if kind.endswith("]") or kind.startswith(_NESTED):
        strange = any(word in kind for word in (*_AS_TEXT, "BLOB"))
        return quoted if form == "parquet" and not strange else f"to_json({quoted})::VARCHAR AS {quoted}"
    if kind == "BLOB":
        return quoted if form == "parquet" else f"hex({quoted}) AS {quoted}"
    return f"{quoted}::VARCHAR AS {quoted}" if kind in _AS_TEXT else quoted


def nested_columns(relation: Relation) -> set[str]:
    """Columns whose values are lists, structs or maps."""
    kinds = [str(kind) for kind in relation.types]
    return {n for n, k in zip(relation.columns, kinds, strict=True) if k.endswith("]") or k.startswith(_NESTED)}


def encoded(frame: pl.DataFrame, form: str, nested: set[str]) -> bytes:
    """The frame as CSV, JSON or JSON lines; numbers that JSON does not have (NaN, infinities) are null."""
    if form == "csv":
        return frame.write_csv().encode()
    rows = [_fragments(row, nested) for row in frame.iter_rows(named=True)]
    if form == "json":
        return orjson.dumps(rows, default=plain) + b"\n"
    return b"".join(orjson.dumps(row, default=plain) + b"\n" for row in rows)


def _fragments(row: dict[str, Any], nested: set[str]) -> dict[str, Any]:
    return {n: orjson.Fragment(v) if n in nested and v is not None else _number(v) for n, v in row.items()}


def _number(value: Any) -> Any:
    """Decimals, and sums past 64 bits, as numbers with all of their digits."""
    return orjson.Fragment(format(value, "f")) if isinstance(value, Decimal) else value


def save(target: Path, write: Callable[[Path], object]) -> None:
    """Write a file whole or not at all.

    Raises:
        StorageError: it cannot be written there.
    """
    if target.is_dir():
        raise StorageError("that is a folder", where=str(target), todo="Name a file in it.")
    with as_storage_error(target):
        draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
        try:
            write(draft)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)


@contextmanager
def as_storage_error(target: Path) -> Iterator[None]:
    """What the system says about a path, in the lake's words."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StorageError(f"it cannot be written: {reason}", where=str(target), todo="Name another place.") from error
