"""Compaction: fewer files for the same rows."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pyarrow as pa

from lake.spec import registry
from lake.store.cold.edit import Edit, Landed
from lake.store.cold.files import Bounds, DataFile
from lake.store.cold.frames import frame_of, plain
from lake.store.cold.order import sort_columns
from lake.store.cold.parquet import FileTarget, is_compacted, write_file
from lake.store.cold.table import ColdTable
from lake.store.cold.table_state import TableState
from lake.store.store import Store

_PIECE_ROWS = 250_000
_PIECE_BYTES = 48 << 20  # when decoded; of rows with documents fewer are held at once
_STEPS = 8  # in which the rows of a group are counted: those of files that overlap would else all end at once
_AT_ONCE = 2  # more would need more memory than is worth it


@dataclass(frozen=True)
class Maintained:
    """What maintenance did, or with ``dry_run`` would do: files and bytes before and after, rows removed."""

    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    rows_removed: int = 0
    files: Sequence[str] = field(default=())

    def __add__(self, other: Maintained) -> Maintained:
        return Maintained(
            self.files_before + other.files_before,
            self.files_after + other.files_after,
            self.bytes_before + other.bytes_before,
            self.bytes_after + other.bytes_after,
            self.rows_removed + other.rows_removed,
            (*self.files, *other.files),
        )


def compact(store: Store, names: Iterable[str] | None = None, *, dry_run: bool = False) -> Maintained:
    """Make of each partition's files the fewest of the target size, sorted and tightly compressed.

    Two partitions are worked on at once: compressing is what takes the time, and it uses one core each.
    """
    todo = []
    for name in names if names is not None else registry.names():
        table = store.table(name)
        state = table.state()
        todo += [(table, p) for p in sorted({_values(f, state) for f in state.files.values()}, key=str)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return sum(pool.map(lambda job: _compact_partition(job[0], job[1], dry_run), todo), Maintained())


def _compact_partition(table: ColdTable, partition: tuple[str | None, ...], dry_run: bool) -> Maintained:
    outcome = Maintained()

    def plan(state: TableState) -> Edit:
        nonlocal outcome
        files = [f for f in state.files.values() if _values(f, state) == partition]
        chosen = worth_compacting(files, table.settings.target_file_mb << 20, table.ds.file_rows)
        outcome = Maintained(
            len(chosen), 0, sum(f.size for f in chosen), 0, 0, [f"{table.folder}/{f.path}" for f in chosen]
        )
        if not chosen or dry_run:
            return Edit((), (), Landed(), frozenset())
        added = merged_files(table, chosen)
        outcome = Maintained(
            len(chosen), len(added), outcome.bytes_before, sum(f.size for f in added), 0, outcome.files
        )
        return Edit(tuple(chosen), tuple(added), Landed(), frozenset([partition]), data_change=False)

    if table.state().version >= 0:
        table.commit(plan, operation="OPTIMIZE")
    return outcome


def worth_compacting(files: Sequence[DataFile], target: int, most_rows: int | None = None) -> list[DataFile]:
    """Files that compaction should rewrite: loose ones, and compacted ones that are small enough to join."""
    loose = [f for f in files if not is_compacted(f)]
    held = most_rows or sys.maxsize
    small = [f for f in files if is_compacted(f) and f.size < target // 2 and (f.rows or 0) < held // 2]
    if not loose and len(small) < 2:
        return []
    return [*small, *loose]


def merged_files(table: ColdTable, files: Sequence[DataFile]) -> list[DataFile]:
    """The rows of some files of one partition as the fewest files of the target size, in order."""
    target = FileTarget(table.folder, files[0].partition, table.settings.compact_zstd, compacted=True)
    size = sum(f.size for f in files)
    rows = table.rows(files)
    count = max(1, round(size / (table.settings.target_file_mb << 20)), -(-rows // (table.ds.file_rows or rows or 1)))
    pieces = _Pieces(table.stored(p) for p in sorted_pieces(table, files) if p.height)
    added = []
    while not pieces.done:
        added.append(write_file(table.location, table.ds, target, pieces.take(-(-rows // count))))
    return added


class _Pieces:
    """Tables handed on as they are asked for, so that only one of them is held."""

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self._tables = tables
        self._rest = next(tables, None)

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return self._rest is None

    def take(self, rows: int) -> Iterator[pa.Table]:
        """The next so many rows."""
        left = rows
        while self._rest is not None and left:
            part = self._rest.slice(0, left)
            left -= part.num_rows
            rest = self._rest.slice(part.num_rows)
            self._rest = rest if rest.num_rows else next(self._tables, None)
            yield part


def sorted_pieces(table: ColdTable, files: Sequence[DataFile]) -> Iterator[pl.DataFrame]:
    """All rows of the files in sort order, in pieces that fit in memory.

    The first sort column is cut at row group bounds; each piece reads only the groups that reach into it.
    """
    schema = table.schema()
    first = sort_columns(table.ds)[0]
    low: Any = None
    for cut in [*_cuts(table, files, first), None]:
        wanted = {first: (low, cut)}
        column = plain(table.ds, first)
        inside = pl.lit(True)
        if low is not None:
            inside = inside & (column > low)
        if cut is not None:
            inside = inside & (column <= cut)
        tables = table.reader.read(table.folder, files, wanted, schema)
        frames = [frame_of(_filtered(t, first, inside)) for t in tables]
        if frames:
            yield pl.concat(frames).sort(sort_columns(table.ds))
        low = cut


def _filtered(some: pa.Table, name: str, inside: pl.Expr) -> pa.Table:
    """The rows inside; not by Polars, whose texts would hold those of all rows that were read."""
    told = frame_of(some.select([name])).with_columns(inside.alias("is_inside"))
    return some.filter(told.get_column("is_inside").to_arrow())


def _cuts(table: ColdTable, files: Sequence[DataFile], name: str) -> list[Any]:
    """Values of the first sort column after which about ``_PIECE_ROWS`` rows or ``_PIECE_BYTES`` are gathered."""
    ends: list[tuple[Any, float, float]] = []
    for file in files:
        footer = table.reader.footer(f"{table.folder}/{file.path}")
        for group, bounds in enumerate(footer.bounds(name)):
            if bounds is not None:
                ends += _spread(bounds, footer.metadata.row_group(group).num_rows, footer.weight(group))
    cuts: list[Any] = []
    held = size = 0.0
    for value, rows, weight in sorted(ends, key=lambda e: e[0]):
        held, size = held + rows, size + weight
        if (held >= _PIECE_ROWS or size >= _PIECE_BYTES) and (not cuts or cuts[-1] != value):
            cuts.append(value)
            held = size = 0.0
    return cuts


def _spread(bounds: Bounds, rows: int, weight: int) -> Iterator[tuple[Any, float, float]]:
    """The end of a row group with what it holds; of numbers and times in steps, as groups of many files may overlap."""
    low, high = bounds
    steps = _STEPS if type(low) is int and type(high) is int and high - low >= _STEPS else 1
    for step in range(1, steps + 1):
        yield high if step == steps else low + (high - low) * step // steps, rows / steps, weight / steps


def _values(file: DataFile, state: TableState) -> tuple[str | None, ...]:
    return tuple(file.partition.get(name) for name in state.partitioned_by)
