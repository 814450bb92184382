"""Exact reads as Polars frames: the rows between bounds, and nothing decoded that is the same in every row.

A row group of one symbol says so in its statistics; then the symbol is not read but written beside
the rows that match. That, and the row group's size, is what makes one symbol's day cost a millisecond.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from threading import local
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lake.store.cold.blocks import Block, Blocks
from lake.store.cold.files import Bounds, DataFile
from lake.store.cold.reader import FileReader, Footer

_OPEN_FILES = 64  # per thread


@dataclass(frozen=True)
class Part:
    """Row groups of one file that are next to each other and have the same symbol and venue throughout, or several.

    ``constants`` holds the columns that are the same in every row; they are not read. Nor is a column without any
    value: it is not among ``columns``.
    """

    path: str
    groups: list[int]
    constants: Mapping[str, Any]
    wanted: Mapping[str, Bounds]
    columns: tuple[str, ...]

    @property
    def series(self) -> tuple[str, str] | None:
        """The (symbol, venue) of all its rows; None when it has several."""
        symbol, venue = self.constants.get("symbol"), self.constants.get("venue")
        return None if symbol is None or venue is None else (symbol, venue)


class Scanner:
    """Reads rows between bounds from data files of one location."""

    def __init__(self, reader: FileReader, cache_bytes: int = 0) -> None:
        self._reader = reader
        self._blocks = Blocks(cache_bytes)
        self._local = local()

    def parts(
        self, folder: str, files: Iterable[DataFile], wanted: Mapping[str, Bounds], columns: Sequence[str]
    ) -> list[Part]:
        """What must be read of the files to find the rows between all the bounds of ``wanted``."""
        found: list[Part] = []
        for file in files:
            if file.may_hold(wanted):
                found += self._parts_of(f"{folder}/{file.path}", file, wanted, columns)
        return found

    def _parts_of(
        self, path: str, file: DataFile, wanted: Mapping[str, Bounds], columns: Sequence[str]
    ) -> Iterator[Part]:
        footer = self._reader.footer(path)
        partition = {n: v for n, v in file.partition.items() if n in columns}
        for series, groups in groupby(footer.groups(wanted), key=lambda g: _series(footer, g)):
            constants = {**partition, **dict(series)}
            open_bounds = {n: b for n, b in wanted.items() if n in footer.names and n not in constants}
            kept = list(groups)
            stored = [n for n in footer.names if n not in constants and (n in columns or n in open_bounds)]
            filled = [n for n in stored if n in open_bounds or not footer.is_empty(n, kept)]
            yield Part(path, kept, constants, open_bounds, tuple(filled or stored))  # a table has rows by its columns

    def within(self, part: Part, name: str, bounds: Bounds) -> Part | None:
        """A part with only the rows that have a value of the column between the bounds; None when it has none."""
        footer = self._reader.footer(part.path)
        groups = [group for group in part.groups if footer.may_hold(name, group, bounds)]
        if not groups:
            return None
        both = [part.wanted.get(name, (None, None)), bounds]
        low = max((low for low, _ in both if low is not None), default=None)
        high = min((high for _, high in both if high is not None), default=None)
        return replace(part, groups=groups, wanted={**part.wanted, name: (low, high)})

    def read(self, part: Part, *, threads: bool = True, keep: bool = True) -> pl.DataFrame:
        """The rows of a part between its bounds, without its constants; ``keep`` what was decoded in memory."""
        return between(self._block(part, threads, keep).frame, part.wanted)

    def stored(self, part: Part, *, threads: bool = True) -> pa.Table | None:
        """All rows of a part as its file holds them; None when only those between bounds are wanted."""
        return None if part.wanted else self._block(part, threads, keep=True).table

    def _block(self, part: Part, threads: bool, keep: bool) -> Block:
        key = (part.path, *part.groups, *part.columns)
        block = self._blocks.get(key)
        if block is None:
            file = self._open(part.path)
            block = Block(file.read_row_groups(part.groups, columns=list(part.columns), use_threads=threads))
            if keep:
                self._blocks.put(key, block)
        return block

    def _open(self, path: str) -> pq.ParquetFile:
        opened: OrderedDict[str, pq.ParquetFile] | None = getattr(self._local, "opened", None)
        if opened is None:
            opened = self._local.opened = OrderedDict()
        file = opened.get(path)
        if file is None:
            file = opened[path] = self._reader.open(path, self._reader.footer(path).metadata)
            if len(opened) > _OPEN_FILES:
                opened.popitem(last=False)[1].close()
        else:
            opened.move_to_end(path)
        return file


def _series(footer: Footer, group: int) -> tuple[tuple[str, str], ...]:
    """The symbol and venue of a row group, as far as they are the same in all of its rows."""
    names = [n for n in ("symbol", "venue") if n in footer.names]
    values = [(n, footer.constant(n, [group])) for n in names]
    return tuple((n, v) for n, v in values if v is not None)


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
