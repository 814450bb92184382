"""Exact reads as Polars frames: the rows between bounds, and nothing decoded that is the same in every row.

A row group of one symbol says so in its statistics; then the symbol is not read but written beside
the rows that match. That, and the row group's size, is what makes one symbol's day cost a millisecond.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from threading import local
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lake.store.cold.files import Bounds, DataFile
from lake.store.cold.merge import frame_of
from lake.store.cold.reader import FileReader

_OPEN_FILES = 64  # per thread


class Scanner:
    """Reads rows between bounds from data files of one location."""

    def __init__(self, reader: FileReader) -> None:
        self._reader = reader
        self._local = local()

    def frames(
        self, folder: str, files: Sequence[DataFile], wanted: Mapping[str, Bounds], schema: pa.Schema
    ) -> Iterator[pl.DataFrame]:
        """The rows between all the bounds of ``wanted``, in the columns of ``schema``, file by file."""
        for file in files:
            if not file.may_hold(wanted):
                continue
            path = f"{folder}/{file.path}"
            groups = self._reader.footer(path).groups(wanted)
            if groups:
                frame = self._read(path, file, groups, (wanted, schema))
                if frame.height:
                    yield frame

    def _read(
        self, path: str, file: DataFile, groups: list[int], asked: tuple[Mapping[str, Bounds], pa.Schema]
    ) -> pl.DataFrame:
        wanted, schema = asked
        footer = self._reader.footer(path)
        constants: dict[str, Any] = {n: v for n, v in file.partition.items() if n in schema.names or n in wanted}
        for name in ("symbol", "venue"):
            if name in footer.names and name in schema.names:
                value = footer.constant(name, groups)
                if value is not None:
                    constants[name] = value
        stored = [n for n in footer.names if n not in constants and (n in schema.names or n in wanted)]
        frame = frame_of(self._open(path).read_row_groups(groups, columns=stored))
        frame = between(frame, {n: b for n, b in wanted.items() if n in stored})
        return _complete(frame, constants, schema)

    def _open(self, path: str) -> pq.ParquetFile:
        opened: OrderedDict[str, pq.ParquetFile] | None = getattr(self._local, "opened", None)
        if opened is None:
            opened = self._local.opened = OrderedDict()
        file = opened.get(path)
        if file is None:
            location = self._reader.location
            file = opened[path] = pq.ParquetFile(
                location.open_input(path), metadata=self._reader.footer(path).metadata, memory_map=location.is_local
            )
            if len(opened) > _OPEN_FILES:
                opened.popitem(last=False)[1].close()
        else:
            opened.move_to_end(path)
        return file


def between(frame: pl.DataFrame, wanted: Mapping[str, Bounds]) -> pl.DataFrame:
    """Rows whose values lie between the bounds, both inclusive; times are given as microseconds."""
    for name, (low, high) in wanted.items():
        column = frame.get_column(name)
        if column.dtype == pl.String or column.null_count():
            frame = frame.filter(_inside(name, low, high))
            continue
        values = column.to_physical().to_numpy()
        keep = np.ones(len(values), dtype=bool)
        if low is not None:
            keep &= values >= low
        if high is not None:
            keep &= values <= high
        frame = _rows(frame, keep)
    return frame


def _inside(name: str, low: Any, high: Any) -> pl.Expr:
    column = pl.col(name).to_physical() if isinstance(low if low is not None else high, int) else pl.col(name)
    test = pl.lit(True)
    if low is not None:
        test = test & (column >= low)
    if high is not None:
        test = test & (column <= high)
    return test


def _rows(frame: pl.DataFrame, keep: np.ndarray[Any, np.dtype[np.bool_]]) -> pl.DataFrame:
    """The rows kept; neighbours are sliced, which copies nothing."""
    found = np.flatnonzero(keep)
    if not len(found):
        return frame.clear()
    first, count = int(found[0]), int(found[-1]) - int(found[0]) + 1
    return frame.slice(first, count) if count == len(found) else frame.filter(pl.Series(keep))


def _complete(frame: pl.DataFrame, constants: Mapping[str, Any], schema: pa.Schema) -> pl.DataFrame:
    columns = []
    for field in schema:
        if field.name in frame.columns:
            columns.append(frame.get_column(field.name))
        else:
            value = constants.get(field.name)
            kind = pl.Series([], dtype=pl.String).dtype if pa.types.is_string(field.type) else _polars_type(field.type)
            columns.append(pl.Series(field.name, [value], dtype=kind).new_from_index(0, frame.height))
    return pl.DataFrame(columns)


def _polars_type(kind: pa.DataType) -> pl.DataType:
    series = pl.from_arrow(pa.nulls(0, kind))
    return series.dtype if isinstance(series, pl.Series) else pl.Null()
