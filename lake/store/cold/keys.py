"""Which keys a data file holds: kept in memory for small files, so that asking for a row that is new reads nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

import pyarrow as pa

from lake.spec.dataset import Dataset
from lake.spec.decode import keys_to_frame
from lake.spec.schema import arrow_schema
from lake.store.cold.files import DataFile
from lake.store.cold.lookup import Asked, Lookup

_FILE_ROWS = 65_536  # of a larger file only what its keys hash to is kept, if that
_TOTAL_ROWS = 500_000  # keys kept for one dataset: some tens of megabytes


class FileKeys:
    """The keys of one dataset's files. Files never change, so what was read once stays true."""

    def __init__(self, ds: Dataset, lookup: Lookup) -> None:
        self._ds, self._lookup = ds, lookup
        self._plain = not any(pa.types.is_temporal(arrow_schema(ds).field(name).type) for name in ds.key)
        self._kept: OrderedDict[str, frozenset[tuple[object, ...]]] = OrderedDict()
        self._rows = 0
        self._lock = Lock()

    def may_hold(self, file: DataFile, key: Sequence[object]) -> bool:
        """False when the file surely has no row of that key; its statistics are not looked at."""
        if not self._plain:
            return True
        if file.rows is None or file.rows > _FILE_ROWS:
            wanted = keys_to_frame(self._ds, [dict(zip(self._ds.key, key, strict=True))])
            return bool(self._lookup.groups(file, Asked(wanted)))
        return tuple(key) in self._of(file)

    def _of(self, file: DataFile) -> frozenset[tuple[object, ...]]:
        with self._lock:
            found = self._kept.get(file.path)
            if found is not None:
                self._kept.move_to_end(file.path)
                return found
        found = frozenset(self._lookup.keys(file).rows())
        with self._lock:
            if file.path not in self._kept:
                self._kept[file.path] = found
                self._rows += len(found)
            while self._rows > _TOTAL_ROWS:
                self._rows -= len(self._kept.popitem(last=False)[1])
        return found
