"""What the lake holds of a batch's rows after its write, and whether others are why it is not what was written.

Bots go on while an import runs, and one may change a row between the import's write and its reading back. Nothing is
lost then, and it is told apart from a loss: a row is changed since if it is there, and what the import wrote of it has
been there. A new row has, if some version of the cold table since the look holds it as it was written. A row that the
import changed has not, if one of its values is again what it was before. All else is a loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lake.importers.mapping import Canonical
from lake.importers.there import Key, columns_of, key_of
from lake.importers.totals import addend
from lake.spec.dataset import Dataset
from lake.store.cold.table_state import TableState


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that was written.

    Attributes:
        seen: the cold table as it was before the look at what was there.
        before: the lake's rows of its keys before it.
        after: the same as they became.
    """

    seen: TableState
    before: Mapping[Key, Canonical]
    after: Mapping[Key, Canonical]


class ReadBack:
    """Reads back some columns of numbers of a dataset.

    Args:
        lk: an open lake.
        ds: the dataset.
        columns: which columns are compared.
    """

    def __init__(self, lk: Any, ds: Dataset, columns: Sequence[str]) -> None:
        self._lk, self._ds, self._columns = lk, ds, columns
        self._names = [*ds.key, *columns]

    def rows(self, batch: Batch) -> dict[Key, Canonical]:
        """The lake's rows as they are now."""
        rows = list(batch.after.values())
        there = columns_of(self._lk, self._ds, rows, self._names, are_there=True)
        missing = [row for row in rows if key_of(self._ds, row) not in there]  # or of another time by now
        return there | columns_of(self._lk, self._ds, missing, self._names)

    def changed_since(self, batch: Batch, there: Mapping[Key, Canonical]) -> set[Key]:
        """Of the rows that are there, those whose values another writer has changed since they were written.

        Args:
            batch: as it was written.
            there: what :meth:`rows` gave.
        """
        other = {key: now for key, now in there.items() if self._values(now) != self._values(batch.after[key])}
        known = {key for key, now in other.items() if key in batch.before and not self._is_undone(batch, key, now)}
        return known | self._once_there({key: batch.after[key] for key in other.keys() - batch.before.keys()}, batch)

    def _values(self, row: Canonical) -> list[float]:
        return [addend(row.get(name)) for name in self._columns]

    def _is_undone(self, batch: Batch, key: Key, now: Canonical) -> bool:
        """Whether a value that the import changed is again what it was."""
        values = zip(*map(self._values, (batch.before[key], batch.after[key], now)), strict=True)
        return any(before != after and now == before for before, after, now in values)

    def _once_there(self, new: Mapping[Key, Canonical], batch: Batch) -> set[Key]:
        """Those of some new rows that a version of the cold table since the look holds as they were written."""
        found = set[Key]()
        newest = self._lk.store.table(self._ds.name).state().version if new else batch.seen.version
        for version in range(newest, batch.seen.version, -1):
            left = [row for key, row in new.items() if key not in found]
            there = columns_of(self._lk, self._ds, left, self._names, version=version)
            found.update(key for key, row in there.items() if self._values(row) == self._values(new[key]))
        return found
