"""Rows of some keys among a table's data files: only the row groups that hold one of them are decoded whole.

Where keys tell nothing of time, a new one lies between the first and the last of every file. What a file's keys hash to
is kept then, sorted, in eight bytes a row, so that to ask for new keys costs the same however many rows there are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from threading import Lock

import numpy as np
import polars as pl
import pyarrow as pa

from lake.spec.dataset import Dataset
from lake.spec.schema import arrow_schema
from lake.store.cold.files import Bounds, DataFile
from lake.store.cold.frames import bounds_of, frame_of
from lake.store.cold.reader import FileReader, Footer

_MOST_HASHES = 8_000_000  # of one dataset: 64 MB; the keys of what is beyond are read each time
_PLACE = "__place"
Hashes = np.ndarray[tuple[int], np.dtype[np.uint64]]


class Asked:
    """Keys that are looked for.

    Args:
        keys: in the key's columns.
        within: column -> between which values all of their rows surely lie, times as microseconds.
    """

    def __init__(self, keys: pl.DataFrame, within: Mapping[str, Bounds] | None = None) -> None:
        self.keys = keys
        self._within = within or {}

    @cached_property
    def bounds(self) -> dict[str, Bounds]:
        """Between which values the keys lie, and their rows."""
        return {**bounds_of(self.keys, self.keys.columns), **self._within}

    @cached_property
    def hashes(self) -> Hashes:
        """What the keys hash to, in order: neighbours are found near each other."""
        return np.sort(_hashes(self.keys))


class Lookup:
    """Finds rows by key in the files of one dataset's table. Files never change, so what was read of one stays true."""

    def __init__(self, ds: Dataset, reader: FileReader, folder: str) -> None:
        self._reader, self._folder, self._key = reader, folder, list(ds.key)
        self._is_scattered = ds.partition.time not in ds.key
        self._schema = pa.schema([arrow_schema(ds).field(name) for name in ds.key])
        self._hashes: dict[str, Hashes] = {}
        self._lock = Lock()

    def rows(self, file: DataFile, asked: Asked, schema: pa.Schema) -> Iterator[pl.DataFrame]:
        """The rows of a file that have one of the keys, in the columns of ``schema``, piece by piece."""
        if not file.may_hold(asked.bounds):
            return
        for table in self._reader.pieces(self._folder, file, self.groups(file, asked), schema):
            yield frame_of(table).join(asked.keys, on=self._key, how="semi")

    def groups(self, file: DataFile, asked: Asked) -> Sequence[int]:
        """The row groups of a file in which keys lie, or may lie where there is one, or keys tell the time."""
        footer = self._footer(file)
        groups = footer.groups(asked.bounds)
        if not groups or not self._is_scattered:
            return groups
        if 2 * len(groups) > footer.metadata.num_row_groups and not self._may_hold(file, asked):
            return []
        if len(groups) == 1:
            return groups
        table = self._reader.read_groups(self._folder, file, groups, self._schema)
        found = frame_of(table).with_row_index(_PLACE).join(asked.keys, on=self._key, how="semi")
        ends = np.cumsum([footer.metadata.row_group(group).num_rows for group in groups])
        holding = np.unique(np.searchsorted(ends, found.get_column(_PLACE).to_numpy(), side="right"))
        return [groups[place] for place in holding.tolist()]

    def keys(self, file: DataFile) -> pl.DataFrame:
        """The keys of all rows of a file."""
        groups = range(self._footer(file).metadata.num_row_groups)
        return frame_of(self._reader.read_groups(self._folder, file, groups, self._schema))

    def forget_all_but(self, paths: Collection[str]) -> None:
        """Keep nothing of files that are not part of the table any more."""
        with self._lock:
            for path in self._hashes.keys() - paths:
                del self._hashes[path]

    def _footer(self, file: DataFile) -> Footer:
        return self._reader.footer(f"{self._folder}/{file.path}")

    def _may_hold(self, file: DataFile, asked: Asked) -> bool:
        """False when the file surely has none of the keys."""
        held = self._hashes.get(file.path)
        if held is None:
            held = np.sort(_hashes(self.keys(file)))
            with self._lock:
                if sum(map(len, self._hashes.values())) + len(held) <= _MOST_HASHES:
                    self._hashes[file.path] = held
        if not held.size:  # another engine may write a file without rows
            return False
        places = np.minimum(held.searchsorted(asked.hashes), held.size - 1)
        return bool((held[places] == asked.hashes).any())


def _hashes(keys: pl.DataFrame) -> Hashes:
    return keys.hash_rows().to_numpy()
