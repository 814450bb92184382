"""What a write does to the files of one partition: which rows are new, and which files they touch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa

from lake.spec.dataset import Dataset
from lake.store.cold.files import DataFile
from lake.store.cold.lookup import Asked, Lookup
from lake.store.inputs import FIRST_VERSION, with_stored_inputs

FAN = 8  # so many files of one size are merged into one of the next
_SMALLEST_TIER = 256  # rows
MERGE_ROWS = 1_000_000  # a write never merges more than this; the rest is compaction's
MERGE_BYTES = 48 << 20  # of files, nor more than this: rows with documents take four times as much when decoded


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

    def __init__(self, ds: Dataset, lookup: Lookup, schema: Callable[[], pa.Schema]) -> None:
        self.ds = ds
        self._lookup = lookup
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
        asked = Asked(incoming.select(self._key))
        known: list[pl.DataFrame] = []
        same: list[pl.DataFrame] = []
        dropped: dict[str, pl.DataFrame] = {}
        for file in files if searched is None else searched:
            old = self._stored(file, asked, incoming)
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

    def _stored(self, file: DataFile, asked: Asked, incoming: pl.DataFrame) -> pl.DataFrame:
        if not file.may_hold(asked.bounds):
            return incoming.clear()
        schema = pa.schema([f for f in self._schema() if f.name in incoming.columns])
        parts = list(self._lookup.rows(file, asked, schema))
        return pl.concat(parts) if parts else incoming.clear()


def small_files_to_merge(
    files: Sequence[DataFile], rows: int, touched: set[str], most: int = MERGE_ROWS
) -> tuple[DataFile, ...]:
    """Files to fold into a new one of ``rows`` rows, so that a partition never gathers many small files.

    A file that must be rewritten anyway joins when it is small. Beyond that, files are merged when
    ``FAN`` of them are no larger than the new one's tier, so each row is rewritten a few times only.
    """
    merged: list[DataFile] = []
    total, size = rows, 0
    for file in files:
        if file.path in touched and (file.rows or most) < most // 16 and size + file.size <= MERGE_BYTES:
            merged.append(file)
            total, size = total + (file.rows or 0), size + file.size
    while True:
        left = [f for f in files if f not in merged and f.path not in touched]
        peers = [f for f in left if f.rows is not None and _tier(f.rows) <= _tier(total)]
        gain, weight = sum(f.rows or 0 for f in peers), sum(f.size for f in peers)
        if len(peers) < FAN or total + gain > most or size + weight > MERGE_BYTES:
            return tuple(merged)
        merged += peers
        total, size = total + gain, size + weight


def _tier(rows: int) -> int:
    tier, limit = 0, _SMALLEST_TIER
    while rows > limit:
        tier, limit = tier + 1, limit * FAN
    return tier
