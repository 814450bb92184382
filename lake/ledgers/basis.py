"""What a change of a row is made on top of: its newest version, of which a refused one leaves nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lake.ledgers.classify import Classifier
from lake.ledgers.current import CurrentRows, Key
from lake.spec.dataset import Dataset
from lake.store.cold.table import ColdTable
from lake.store.hot.entry import Row
from lake.store.store import Store


class Nothing:
    """Knows of no row: what is in the cold table is asked for, whatever waits in hot."""

    def get(self, _: Dataset, __: Key) -> Row | None:
        """None."""
        return None


class Basis:
    """The cold rows of one lake, for when no newer version is current.

    That of a row which is current may be refused by the disk while a change is made on top of it. So the cold row is
    never taken for one that was current before, but looked up when that has gone.
    """

    def __init__(self, store: Store, classifier: Classifier) -> None:
        self._store = store
        self._classifier = classifier
        self.row = classifier.settled  # :meth:`rows` of one key
        self._tables: dict[str, ColdTable] = {}

    def table(self, ds: Dataset) -> ColdTable:
        """The cold table."""
        found = self._tables.get(ds.name)
        if found is None:
            found = self._tables[ds.name] = self._store.table(ds.name)
        return found

    def version(self, ds: Dataset) -> int:
        """The version of the cold table that was seen last."""
        return self.table(ds).known_state().version

    def rows(self, ds: Dataset, keys: Iterable[Key]) -> dict[Key, Row | None]:
        """Key -> its cold row, None where there is none; of that version, or a later one."""
        wanted = list(keys)
        if len(wanted) < 2:
            return {key: self.row(ds, key) for key in wanted}
        found = self._classifier.stored(ds, [dict(zip(ds.key, key, strict=True)) for key in wanted], Nothing())
        return {key: found.get(key) for key in wanted}

    def newest(self, ds: Dataset, keys: Iterable[Key], current: CurrentRows) -> Callable[[Key], Row | None]:
        """What gives the newest version of each row, now and later; those that are cold now are looked up together."""
        version, stored = -1, dict[Key, Row | None]()
        asked = [key for key in keys if current.get(ds, key) is None]
        if asked:
            version, stored = self.version(ds), self.rows(ds, asked)

        def find(key: Key) -> Row | None:
            nonlocal version, stored
            found = current.get(ds, key)
            if found is not None:
                return found
            if version != self.version(ds):
                version, stored = self.version(ds), {}
            if key not in stored:
                stored.update(self.rows(ds, [key]))
            return stored[key]

        return find
