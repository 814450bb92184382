"""What this process's writer knows of its own latest rows, without asking the disk.

It answers two questions at each write: is this key new, and is the row any different. Rows that
were drained are forgotten unless they are still open; then the cold table is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from threading import Lock
from typing import Any

from lake.spec import registry
from lake.spec.dataset import Dataset
from lake.store.drain import is_open
from lake.store.hot.entry import Row, Stored

Key = tuple[Any, ...]

_KEYS: dict[str, Callable[[Row], Key]] = {}


def key_of(ds: Dataset, row: Row) -> Key:
    """The row's key; a checked row has all of its columns."""
    found = _KEYS.get(ds.name)
    if found is None:
        found = _KEYS[ds.name] = itemgetter(*ds.key) if len(ds.key) > 1 else _single(ds.key[0])
    return found(row)


def _single(name: str) -> Callable[[Row], Key]:
    return lambda row: (row[name],)


class CurrentRows:
    """Dataset -> key -> (sequence, row), for rows that wait in hot or are open."""

    def __init__(self, stored: Iterable[Stored]) -> None:
        self._rows: dict[str, dict[Key, tuple[int, Row]]] = {}
        self._lock = Lock()
        for entry in stored:
            self.put(registry.get(entry.dataset), entry.rows(), entry.sequence)

    def get(self, ds: Dataset, key: Key) -> Row | None:
        """The latest acknowledged row of that key, None when it is not known here."""
        known = self._rows.get(ds.name)
        found = known.get(key) if known else None
        return found[1] if found else None

    def put(self, ds: Dataset, rows: Iterable[Row], sequence: int) -> None:
        """Note rows that were acknowledged under ``sequence``."""
        with self._lock:
            known = self._rows.setdefault(ds.name, {})
            for row in rows:
                key = key_of(ds, row)
                before = known.get(key)
                if before is None or before[0] < sequence:
                    known[key] = (sequence, row)

    def forget(self, settled: Mapping[str, int]) -> None:
        """Forget rows that are settled up to a number, dataset by dataset, unless they are open."""
        with self._lock:
            for name, upto in settled.items():
                ds = registry.get(name)
                known = self._rows.get(name, {})
                gone = [key for key, (sequence, row) in known.items() if sequence <= upto and not is_open(ds, row)]
                for key in gone:
                    del known[key]

    def replace(self, ds: Dataset, rows: Iterable[Row]) -> None:
        """Rows that were settled without going through hot: keep the open ones in place of older versions."""
        with self._lock:
            known = self._rows.setdefault(ds.name, {})
            for row in rows:
                known.pop(key_of(ds, row), None)
                if is_open(ds, row):
                    known[key_of(ds, row)] = (0, row)

    def open_rows(self, ds: Dataset) -> list[Row]:
        """Rows of the dataset whose life goes on."""
        with self._lock:
            return [row for _, row in self._rows.get(ds.name, {}).values() if is_open(ds, row)]


class CurrentWithin(CurrentRows):
    """The rows as a transaction sees them: its own versions, over those outside of it."""

    def __init__(self, outside: CurrentRows) -> None:
        super().__init__(())
        self._outside = outside

    def anew(self) -> CurrentWithin:
        """The rows as they were when the transaction began."""
        return CurrentWithin(self._outside)

    def get(self, ds: Dataset, key: Key) -> Row | None:
        """The latest row of that key, None when it is not known here."""
        found = super().get(ds, key)
        return self._outside.get(ds, key) if found is None else found
