"""Is a row new, another version of a row, or the same again? Answered before it is written, for its receipt."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from lake.clock import now_micros
from lake.ledgers.current import Key, key_of
from lake.ledgers.receipt import Receipt
from lake.spec.dataset import Dataset
from lake.spec.inputs import with_inputs
from lake.store.cold.find import find, find_all
from lake.store.cold.table import ColdTable
from lake.store.cold.table_state import TableState
from lake.store.hot.entry import Row
from lake.store.store import Store

# another process's drain may be noticed so late; only the receipt's wording depends on it
_STALE_SECONDS, _STALE_SECONDS_REMOTE = 0.05, 5.0


class Known(Protocol):
    """What is known of rows without asking the disk."""

    def get(self, ds: Dataset, key: Key) -> Row | None:
        """The latest version of that key, None when it is not known."""
        ...


class Prepared(NamedTuple):
    """Rows to write, and the receipt to give when they are durable."""

    rows: list[Row]
    receipt: Receipt

    @property
    def replaces(self) -> bool:
        """Whether a row takes the place of one that is there, so that it must not come between another's change."""
        return self.receipt.updated + self.receipt.unchanged > 0


@dataclass(frozen=True, slots=True)
class _Ceiling:
    """The highest value of each column of the key, by its place in it, in the cold table: above any a key is new."""

    table: ColdTable
    state: TableState
    at: float
    highest: tuple[tuple[int, Any], ...]

    def is_below(self, key: Key) -> bool:
        """Whether the key is surely new, since one of its values is above all that are stored."""
        for place, highest in self.highest:  # noqa: SIM110 - a generator takes three times as long, for each row
            if key[place] > highest:
                return True
        return False


class Classifier:
    """Compares rows with what one lake holds."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stale = _STALE_SECONDS if store.location.is_local else _STALE_SECONDS_REMOTE
        self._ceilings: dict[str, _Ceiling] = {}

    def prepare(self, ds: Dataset, rows: Sequence[Row], current: Known) -> Prepared:
        """Which of the rows are to be written; of several with one key, the last."""
        if len(rows) == 1:
            return self.one(ds, rows[0], current)
        inserted = updated = unchanged = 0
        kept: dict[Key, Row] = {}
        keys = []
        stored = self.stored(ds, rows, current)
        for given in rows:
            key = key_of(ds, given)
            keys.append(key)
            known = kept.get(key) or current.get(ds, key) or stored.get(key)
            row = _next(ds, known, given)
            if known is None:
                inserted += 1
            elif known == row:
                unchanged += 1  # written all the same: another writer may have changed it meanwhile
            else:
                updated += 1
            kept[key] = row
        return Prepared(list(kept.values()), Receipt(inserted, updated, unchanged, keys=keys))

    def one(self, ds: Dataset, row: Row, current: Known) -> Prepared:
        """:meth:`prepare` for one row."""
        key = key_of(ds, row)
        known = self.find(ds, key, current)
        if known is None:
            return Prepared([row], Receipt.of_one("inserted", key))
        row = _next(ds, known, row)
        return Prepared([row], Receipt.of_one("unchanged" if known == row else "updated", key))

    def find(self, ds: Dataset, key: Key, current: Known) -> Row | None:
        """The row of that key that this writer knows, or that the cold table holds."""
        found = current.get(ds, key)
        return self.settled(ds, key) if found is None else found

    def settled(self, ds: Dataset, key: Key) -> Row | None:
        """The row of that key that the cold table holds."""
        ceiling = self._ceiling(ds)
        if ceiling.is_below(key):
            return None
        wanted = {name: (value, value) for name, value in zip(ds.key, key, strict=True)}
        if not any(f.may_hold(wanted) for f in ceiling.state.files.values()):
            return None
        return find(self._store.table(ds.name), key)

    def stored(self, ds: Dataset, rows: Sequence[Row], current: Known) -> dict[Key, Row]:
        """The cold rows of those keys that this writer does not know, by rows that have the key's columns."""
        ceiling = self._ceiling(ds)
        keyed = [(key_of(ds, row), row) for row in rows]
        asked = [dict(row) for key, row in keyed if current.get(ds, key) is None and not ceiling.is_below(key)]
        if not asked:
            return {}
        return {key_of(ds, row): row for row in find_all(self._store.table(ds.name), asked)}

    def look_again(self) -> None:
        """Forget what was seen of the cold tables: this process has just written to them."""
        self._ceilings.clear()

    def _ceiling(self, ds: Dataset) -> _Ceiling:
        known = self._ceilings.get(ds.name)
        if known is None or time.monotonic() - known.at > self._stale:
            return self._look(ds)
        seen = known.table.known_state()  # in this process
        return known if seen is known.state or seen.version == known.state.version else self._look(ds)

    def _look(self, ds: Dataset) -> _Ceiling:
        table = self._store.table(ds.name)
        state = table.state()
        known = self._ceilings.get(ds.name)
        highest = known.highest if known is not None and known.state is state else _highest(ds, state)
        ceiling = _Ceiling(table, state, time.monotonic(), highest)
        self._ceilings[ds.name] = ceiling
        return ceiling


def _next(ds: Dataset, known: Row | None, row: Row) -> Row:
    """A whole row that takes the place of a known one, whose inputs stay known with it."""
    return row if known is None or ds.inputs is None else with_inputs(ds, known, dict(row), now_micros())


def _highest(ds: Dataset, state: TableState) -> tuple[tuple[int, Any], ...]:
    found = []
    for place, name in reversed(list(enumerate(ds.key))):
        bounds = [f.bounds(name) for f in state.files.values()]
        if all(bounds):
            found.append((place, max((b[1] for b in bounds if b), default=_Lowest())))
    return tuple(found)


class _Lowest:
    """Below everything: what an empty table holds at most."""

    def __lt__(self, other: object) -> bool:
        return True
