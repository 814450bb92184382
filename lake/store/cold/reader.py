"""Selective reads of data files: only the row groups whose statistics allow a match are decoded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from threading import Lock
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lake.errors import CorruptLakeError
from lake.store.cold.files import Bounds, DataFile
from lake.store.cold.newest import newest_told
from lake.store.cold.parquet import is_micros
from lake.store.hot.entry import Row
from lake.store.location import Location

_FOOTERS_KEPT = 4096
_PIECE_BYTES = 32 << 20  # decoded together, where a whole file would be too much
_VALUE_BYTES = 8  # that a value takes besides what the file says


class Footer:
    """A file's Parquet metadata, and per column the bounds of each row group (worked out when asked for)."""

    def __init__(self, metadata: pq.FileMetaData) -> None:
        self.metadata = metadata
        self.names = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
        self._bounds: dict[str, list[Bounds | None]] = {}
        self._empty: dict[tuple[str, int], bool] = {}
        self._constants: dict[tuple[str, int], str | None] = {}

    def groups(self, wanted: Mapping[str, Bounds]) -> list[int]:
        """Row groups that may hold a row between all the bounds of ``wanted``."""
        left = list(range(self.metadata.num_row_groups))
        for name, (low, high) in wanted.items():
            if name in self.names:
                bounds = self.bounds(name)
                left = [g for g in left if _overlaps(bounds[g], low, high)]
        return left

    def weight(self, group: int) -> int:
        """About how many bytes the rows of a row group take when they are decoded."""
        found = self.metadata.row_group(group)
        return int(found.total_byte_size + found.num_rows * found.num_columns * _VALUE_BYTES)

    def pieces(self, groups: Sequence[int]) -> Iterator[list[int]]:
        """The row groups, so many at a time as are decoded in a bounded piece of memory."""
        piece: list[int] = []
        held = 0
        for group in groups:
            size = self.weight(group)
            if piece and held + size > _PIECE_BYTES:
                yield piece
                piece, held = [], 0
            piece.append(group)
            held += size
        if piece:
            yield piece

    def constant(self, name: str, groups: Sequence[int]) -> str | None:
        """The one value that a text column has in all rows of the groups; None when it has several, or nulls."""
        values = {self._constant(name, group) for group in groups}
        return values.pop() if len(values) == 1 else None

    def _constant(self, name: str, group: int) -> str | None:
        if (name, group) not in self._constants:
            low, high = self.bounds(name)[group] or (None, None)
            single = isinstance(low, str) and low == high
            self._constants[name, group] = low if single and not self._nulls(name, group) else None
        return self._constants[name, group]

    def _nulls(self, name: str, group: int) -> int:
        """How many nulls the column has in a group; -1 where its statistics do not say."""
        statistics = self.metadata.row_group(group).column(self.names.index(name)).statistics
        return statistics.null_count if statistics is not None and statistics.has_null_count else -1

    def is_empty(self, name: str, groups: Sequence[int]) -> bool:
        """Whether a column is null in all rows of the groups, and its statistics say so."""
        return all(self._is_empty(name, group) for group in groups)

    def _is_empty(self, name: str, group: int) -> bool:
        if (name, group) not in self._empty:
            self._empty[name, group] = self._nulls(name, group) == self.metadata.row_group(group).num_rows
        return self._empty[name, group]

    def newest(self, value: str) -> Row | None:
        """The newest row of one value of the dataset's ``newest_of``, if the file tells it beside its rows."""
        return newest_told(self.metadata.metadata, value)

    def may_hold(self, name: str, group: int, bounds: Bounds) -> bool:
        """False when no row of the group can have a value of the column between the bounds."""
        return _overlaps(self.bounds(name)[group], *bounds)

    def bounds(self, name: str) -> list[Bounds | None]:
        """Smallest and largest value of the column in each row group; None where unknown."""
        if name not in self._bounds:
            index = self.names.index(name)
            micros = is_micros(self.metadata.schema.column(index))
            columns = [self.metadata.row_group(g).column(index) for g in range(self.metadata.num_row_groups)]
            self._bounds[name] = [_group_bounds(column.statistics, micros) for column in columns]
        return self._bounds[name]


class FileReader:
    """Reads data files of one location; footers of files already seen are kept, since files never change."""

    def __init__(self, location: Location) -> None:
        self.location = location
        self._footers: OrderedDict[str, Footer] = OrderedDict()
        self._lock = Lock()

    def footer(self, path: str) -> Footer:
        """The footer of the file at ``path`` (relative to the lake).

        Raises:
            CorruptLakeError: the file is gone, or is not Parquet.
        """
        known = self._known(path)
        if known is not None:
            return known
        with self.opened(path) as (_, footer):
            return footer

    @contextmanager
    def opened(self, path: str) -> Iterator[tuple[pq.ParquetFile, Footer]]:
        """The file at ``path`` and its footer, both of one opening; raises as :meth:`footer` does."""
        known = self._known(path)
        try:
            file = self.open(path, None if known is None else known.metadata)
        except (OSError, pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError) as error:
            if isinstance(error, OSError) and error.errno is not None and not isinstance(error, FileNotFoundError):
                raise  # the storage's own; PyArrow says without a number that what it was given is no Parquet
            raise CorruptLakeError(
                f"a data file cannot be read: {error}",
                where=path,
                todo="Run `lake verify`, then restore it from a backup.",
            ) from error
        with file:
            yield file, self._keep(path, Footer(file.metadata)) if known is None else known

    def _known(self, path: str) -> Footer | None:
        with self._lock:
            if path in self._footers:
                self._footers.move_to_end(path)
            return self._footers.get(path)

    def _keep(self, path: str, footer: Footer) -> Footer:
        with self._lock:
            self._footers[path] = footer
            while len(self._footers) > _FOOTERS_KEPT:
                self._footers.popitem(last=False)
        return footer

    def rows(self, folder: str, files: Iterable[DataFile]) -> int:
        """How many rows the files have; footers are asked where the log does not say, as of files of other engines."""
        return sum(
            self.footer(f"{folder}/{file.path}").metadata.num_rows if file.rows is None else file.rows for file in files
        )

    def open(self, path: str, metadata: pq.FileMetaData | None = None) -> pq.ParquetFile:
        """The file at ``path``, whose ``metadata`` need not be read when they are given.

        Local files are mapped here: of a mere path PyArrow looks for the file system, which takes as long as a footer.
        They are not read ahead either: other threads would do so, and whoever reads would wait for these.
        """
        given = self.location.open_input(path)
        source = pa.memory_map(given) if isinstance(given, str) else given
        return pq.ParquetFile(source, metadata=metadata, pre_buffer=not self.location.is_local)

    def read(
        self, folder: str, files: Iterable[DataFile], wanted: Mapping[str, Bounds], schema: pa.Schema
    ) -> Iterable[pa.Table]:
        """Tables with the columns of ``schema``: all rows that match are in them, and some that do not."""
        for file in files:
            if not file.may_hold(wanted):
                continue
            groups = self.footer(f"{folder}/{file.path}").groups(wanted)
            if groups:
                yield self.read_groups(folder, file, groups, schema)

    def pieces(self, folder: str, file: DataFile, groups: Sequence[int], schema: pa.Schema) -> Iterator[pa.Table]:
        """:meth:`read_groups`, as several tables where one would take much memory."""
        for piece in self.footer(f"{folder}/{file.path}").pieces(groups):
            yield self.read_groups(folder, file, piece, schema)

    def read_groups(self, folder: str, file: DataFile, groups: Sequence[int], schema: pa.Schema) -> pa.Table:
        """The given row groups of one file, in the columns of ``schema``, partition values included."""
        with self.opened(f"{folder}/{file.path}") as (opened, footer):
            return conform(rows_of(opened, footer, groups, schema), file.partition, schema)


def rows_of(opened: pq.ParquetFile, footer: Footer, groups: Sequence[int], schema: pa.Schema) -> pa.Table:
    """The given row groups, in those columns of ``schema`` that the file has values of."""
    stored = [n for n in schema.names if n in footer.names]
    filled = [n for n in stored if not footer.is_empty(n, groups)] or stored  # a table has rows by its columns
    return opened.read_row_groups(list(groups), columns=filled, use_threads=len(groups) > 1)


def conform(table: pa.Table, partition: Mapping[str, str | None], schema: pa.Schema) -> pa.Table:
    """``table`` in exactly the columns of ``schema``: partition values and null columns are filled in."""
    if table.schema.equals(schema):
        return table
    columns = []
    for field in schema:
        if field.name in partition:
            columns.append(_repeated(partition[field.name], table.num_rows).cast(field.type))
        elif field.name in table.column_names:
            column = table.column(field.name)
            columns.append(column if column.type.equals(field.type) else column.cast(field.type))
        else:
            columns.append(pa.nulls(table.num_rows, field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _repeated(value: str | None, rows: int) -> pa.Array:
    """A partition's value in every row; made by Polars, since pyarrow imports pandas (350 ms) to make a scalar."""
    column = pl.Series([value], dtype=pl.String).new_from_index(0, rows)
    return column.to_arrow(compat_level=pl.CompatLevel.oldest())


def _overlaps(bounds: Bounds | None, low: Any, high: Any) -> bool:
    if bounds is None:
        return True
    return (high is None or bounds[0] <= high) and (low is None or bounds[1] >= low)


def _group_bounds(statistics: pq.Statistics | None, micros: bool) -> Bounds | None:
    if statistics is None or not statistics.has_min_max:
        return None
    if micros:  # plain numbers: PyArrow imports pandas to make times of them
        return statistics.min_raw, statistics.max_raw
    return _plain(statistics.min), _plain(statistics.max)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return int(value.timestamp()) * 1_000_000 + value.microsecond
    return value.isoformat() if isinstance(value, date) else value
