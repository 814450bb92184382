"""What a write does to the files of one partition: which rows are new, and which files they touch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa

from lake.spec.dataset import Dataset
from lake.store.cold.files import Bounds, DataFile
from lake.store.cold.reader import FileReader
from lake.store.inputs import FIRST_VERSION, with_stored_inputs

FAN = 8  # so many files of one size are merged into one of the next
_SMALLEST_TIER = 256  # rows
MERGE_ROWS = 1_000_000  # a write never merges more than this; the rest is compaction's


@dataclass(frozen=True)
class Change:
    """What one write does to one partition.

    Attributes:
        partition: the partition's values.
        fresh: rows to be written, sorted: those that are new or differ from what is stored.
        dropped: file -> the keys in it that ``fresh`` replaces; it is rewritten without them.
        merged: small files that are folded into the new one.
        inserted, updated, unchanged: counts of the incoming rows.
    """

    partition: Mapping[str, str | None]
    fresh: pl.DataFrame
    dropped: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    merged: Sequence[DataFile] = ()
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0


class Merger:
    """Plans changes of one dataset's table; ``schema`` gives its columns, those of newer versions too."""

    def __init__(self, ds: Dataset, reader: FileReader, folder: str, schema: Callable[[], pa.Schema]) -> None:
        self.ds = ds
        self.reader = reader
        self.folder = folder
        self._schema = schema
        self._key = list(ds.key)
        self._most_rows = min(MERGE_ROWS, ds.file_rows or MERGE_ROWS)

    def plan(
        self,
        partition: Mapping[str, str | None],
        files: Sequence[DataFile],
        incoming: pl.DataFrame,
        searched: Sequence[DataFile] | None = None,
    ) -> Change:
        """The change that upserting ``incoming`` (unique keys, one partition) makes.

        Rows that replace others keep what these say of their inputs.

        Args:
            files: those of the partition.
            searched: those in which an older version of a row may lie; by default the same.
        """
        first = incoming.select(n for n in FIRST_VERSION if n in incoming.columns)
        incoming = incoming.drop(first.columns) if first.width else incoming
        wanted = bounds_of(incoming, self._key)
        known: list[pl.DataFrame] = []
        same: list[pl.DataFrame] = []
        dropped: dict[str, pl.DataFrame] = {}
        for file in files if searched is None else searched:
            if not file.may_hold(wanted):
                continue
            old = self._stored(file, wanted, incoming)
            if old.is_empty():
                continue
            incoming = with_stored_inputs(self.ds, old, incoming, first)
            equal = old.join(incoming, on=incoming.columns, how="semi", nulls_equal=True)
            changed = old.select(self._key).join(equal.select(self._key), on=self._key, how="anti")
            known.append(old.select(self._key))
            same.append(equal.select(self._key))
            if changed.height:
                dropped[file.path] = changed
        return self._change(partition, files, incoming, (known, same, dropped))

    def _change(
        self,
        partition: Mapping[str, str | None],
        files: Sequence[DataFile],
        incoming: pl.DataFrame,
        found: tuple[list[pl.DataFrame], list[pl.DataFrame], dict[str, pl.DataFrame]],
    ) -> Change:
        known, same, dropped = found
        stored, unchanged = sum(k.height for k in known), sum(k.height for k in same)
        fresh = (
            incoming.join(pl.concat(same), on=self._key, how="anti", maintain_order="left") if unchanged else incoming
        )
        merged = () if fresh.is_empty() else small_files_to_merge(files, fresh.height, set(dropped), self._most_rows)
        return Change(
            partition,
            fresh,
            {path: keys for path, keys in dropped.items() if path not in {f.path for f in merged}},
            merged,
            inserted=incoming.height - stored,
            updated=stored - unchanged,
            unchanged=unchanged,
        )

    def _stored(self, file: DataFile, wanted: Mapping[str, Bounds], incoming: pl.DataFrame) -> pl.DataFrame:
        keys = incoming.select(self._key)
        schema = pa.schema([f for f in self._schema() if f.name in incoming.columns])
        if self._is_scattered and not self._holds_any(file, wanted, keys):
            return incoming.clear()
        parts = [
            frame_of(table).join(keys, on=self._key, how="semi")
            for table in self.reader.read(self.folder, [file], wanted, schema)
        ]
        return pl.concat(parts) if parts else incoming.clear()

    @property
    def _is_scattered(self) -> bool:
        """Whether keys tell nothing of when a row was, so that new ones lie between the first and last of a file."""
        return self.ds.partition.time not in self.ds.key

    def _holds_any(self, file: DataFile, wanted: Mapping[str, Bounds], keys: pl.DataFrame) -> bool:
        """Whether a file has rows of some keys: its key columns are a tenth of it, and new rows are the rule."""
        schema = pa.schema([f for f in self._schema() if f.name in self._key])
        tables = self.reader.read(self.folder, [file], wanted, schema)
        return any(frame_of(table).join(keys, on=self._key, how="semi").height for table in tables)


def small_files_to_merge(
    files: Sequence[DataFile], rows: int, touched: set[str], most: int = MERGE_ROWS
) -> tuple[DataFile, ...]:
    """Files to fold into a new one of ``rows`` rows, so that a partition never gathers many small files.

    A file that must be rewritten anyway joins when it is small. Beyond that, files are merged when
    ``FAN`` of them are no larger than the new one's tier, so each row is rewritten a few times only.
    """
    merged = [f for f in files if f.path in touched and (f.rows or most) < most // 16]
    total = rows + sum(f.rows or 0 for f in merged)
    while True:
        left = [f for f in files if f not in merged and f.path not in touched]
        peers = [f for f in left if f.rows is not None and _tier(f.rows) <= _tier(total)]
        gain = sum(f.rows or 0 for f in peers)
        if len(peers) < FAN or total + gain > most:
            return tuple(merged)
        merged += peers
        total += gain


def _tier(rows: int) -> int:
    tier, limit = 0, _SMALLEST_TIER
    while rows > limit:
        tier, limit = tier + 1, limit * FAN
    return tier


def frame_of(table: pa.Table) -> pl.DataFrame:
    """An Arrow table as a Polars frame, without copying what need not be.

    Column by column: a whole table is handed to Polars' own threads, which wait for a core while others decode.
    """
    return pl.DataFrame([_column(name, table.column(name)) for name in table.column_names])


def _column(name: str, values: pa.ChunkedArray) -> pl.Series:
    found = pl.from_arrow(values, rechunk=False)
    return found.to_series() if isinstance(found, pl.DataFrame) else found.alias(name)


def bounds_of(frame: pl.DataFrame, columns: Sequence[str]) -> dict[str, Bounds]:
    """Smallest and largest value per column, in the form that file statistics compare with."""
    row = frame.select(
        expression
        for name in columns
        for expression in (_plain(frame, name).min().alias(f"{name}<"), _plain(frame, name).max().alias(f"{name}>"))
    ).row(0, named=True)
    return {name: (row[f"{name}<"], row[f"{name}>"]) for name in columns}


def _plain(frame: pl.DataFrame, name: str) -> pl.Expr:
    kind = frame.schema[name]
    if isinstance(kind, pl.Datetime):
        return pl.col(name).dt.timestamp("us")
    return pl.col(name).cast(pl.String) if kind == pl.Date else pl.col(name)
