"""Results of SQL as tables, CSV, JSON and Parquet: every type of DuckDB's has a form in each."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from lake.cli.output import plain
from lake.exporters.files import whole
from lake.query.fitting import fitted, nested_columns

FORMATS = ("table", "csv", "json", "jsonl", "parquet")

__all__ = ["FORMATS", "encoded", "fitted", "nested_columns", "save"]


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
    with whole(target, replace=True) as draft:
        write(draft)
