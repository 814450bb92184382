"""Feather, Parquet and HDF5 files as frames, a slice at a time."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from lake.errors import MissingExtraError, SourceError
from lake.sources.base import BATCH_ROWS

_FEATHER, _PARQUET, _HDF5 = b"ARROW1", b"PAR1", b"\x89HDF\r\n\x1a\n"
_AGAIN = "Fetch the file again."


def kind_of(head: bytes) -> str | None:
    """feather, parquet or hdf5, by the magic number."""
    for magic, kind in ((_FEATHER, "feather"), (_PARQUET, "parquet"), (_HDF5, "hdf5")):
        if head.startswith(magic):
            return kind
    return None


def columns(path: Path, head: bytes) -> list[str]:
    """Column names without reading rows; an empty list for a damaged file."""
    try:
        return _columns(path, kind_of(head))
    except (pl.exceptions.PolarsError, OSError):
        return []


def check(path: Path, head: bytes) -> None:
    """Refuse a feather or Parquet file whose columns cannot be read.

    Raises:
        SourceError: it is damaged or cut off.
    """
    kind = kind_of(head)
    try:
        _columns(path, kind)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _damaged(path, kind, error) from error


def _columns(path: Path, kind: str | None) -> list[str]:
    if kind == "feather":
        return list(pl.read_ipc_schema(path))
    return list(pl.read_parquet_schema(path)) if kind == "parquet" else []


def _damaged(path: Path, kind: str | None, error: Exception) -> SourceError:
    text = str(error).splitlines()[0]
    return SourceError(f"the {kind} file is damaged or cut off: {text}", where=str(path), todo=_AGAIN)


def slices(path: Path, head: bytes) -> Iterator[pl.DataFrame]:
    """The rows of a feather, Parquet or HDF5 file in slices of ``BATCH_ROWS``.

    Raises:
        SourceError: the file is damaged or cut off.
        MissingExtraError: HDF5 without the extra that reads it.
    """
    kind = kind_of(head)
    if kind == "hdf5":
        yield from _hdf5(path)
        return
    try:
        lazy = pl.scan_ipc(path) if kind == "feather" else pl.scan_parquet(path)
        height = int(lazy.select(pl.len()).collect().item())
        for start in range(0, max(height, 1), BATCH_ROWS):
            yield lazy.slice(start, BATCH_ROWS).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _damaged(path, kind, error) from error


def _hdf5(path: Path) -> Iterator[pl.DataFrame]:
    """Tables that pandas wrote, without pandas: blocks of equal type beside an index."""
    tables = _tables()
    try:
        with tables.open_file(str(path), "r") as file:
            for table in file.walk_nodes("/", "Table"):
                if table.name == "table":  # the others are its indexes
                    for start in range(0, table.nrows, BATCH_ROWS):
                        yield _unpacked(table, table.read(start, start + BATCH_ROWS))
    except tables.HDF5ExtError as error:
        raise SourceError("the HDF5 file is damaged or cut off", where=str(path), todo=_AGAIN) from error


def _tables() -> Any:
    try:
        return importlib.import_module("tables")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "reading .h5 needs PyTables", todo='Install it: pip install "tradelake[hdf5]".'
        ) from error


def _unpacked(table: Any, block: Any) -> pl.DataFrame:
    found: dict[str, pl.Series] = {}
    for name in block.dtype.names:
        kinds = getattr(table.attrs, f"{name}_kind", None)
        kinds = list(kinds) if isinstance(kinds, (list, tuple)) else None
        if kinds is None:
            continue
        values = block[name].reshape(len(block), -1)
        for place, column in enumerate(kinds):
            found[str(column)] = pl.Series(values[:, place])
    if "date" in found and found["date"].dtype == pl.Int64:
        found["date"] = found["date"].cast(pl.Datetime("ns", "UTC"))
    return pl.DataFrame(found)
