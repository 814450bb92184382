"""Tables computed of data files, kept in memory: a file never changes, so neither does what it adds up to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any

import pyarrow as pa

from lake.spec.dataset import Dataset
from lake.store.cold.files import DataFile
from lake.store.cold.frames import bounds_of
from lake.store.snapshot import Snapshot

LARGE = 20_000  # rows of a file from which on its sums are kept; fewer are summed as fast
KEPT = 2_000_000  # rows that are kept, some 200 bytes each
ALONE = 120  # rows that take as much memory as a table without any
WORTH = 0.25  # sums of more rows than this share of the file's spare nothing

Key = tuple[Any, ...]


class Kept:
    """The tables of one lake that were asked for last."""

    def __init__(self) -> None:
        self._tables: OrderedDict[Key, pa.Table | None] = OrderedDict()
        self._rows = 0
        self._lock = Lock()

    def of(self, key: Key, compute: Callable[[], pa.Table | None]) -> pa.Table | None:
        """The table of that name, computed where it is not known yet."""
        return self.all_of([key], lambda _: {key: compute()})[key]

    def all_of(
        self, keys: Sequence[Key], compute: Callable[[Sequence[Key]], Mapping[Key, pa.Table | None]]
    ) -> dict[Key, pa.Table | None]:
        """The tables of those names; those that are not known yet are computed together."""
        with self._lock:
            found = {key: self._tables[key] for key in keys if key in self._tables}
            for key in found:
                self._tables.move_to_end(key)
        new = [key for key in keys if key not in found]
        computed = compute(new) if new else {}
        with self._lock:
            for key, table in computed.items():
                self._rows += _rows(table) - (_rows(self._tables[key]) if key in self._tables else 0)
                self._tables[key] = table
            while self._rows > KEPT and len(self._tables) > 1:
                self._rows -= _rows(self._tables.popitem(last=False)[1])
        return {**found, **computed}


def _rows(table: pa.Table | None) -> int:
    """By how many rows a table takes memory."""
    return ALONE + (0 if table is None else table.num_rows)


def large(ds: Dataset, snapshot: Snapshot) -> list[DataFile]:
    """Large files none of whose rows can be overridden by hot."""
    hot = snapshot.hot[ds.name]
    shadow = bounds_of(hot, ds.key) if hot.height else None
    files = snapshot.states[ds.name].files.values()
    return [f for f in files if (f.rows or 0) >= LARGE and (shadow is None or not f.may_hold(shadow))]


def worth(sums: pa.Table, file: DataFile) -> pa.Table | None:
    """The sums of a file; None where they are so many that they spare nothing."""
    return sums if sums.num_rows <= WORTH * (file.rows or 0) else None
