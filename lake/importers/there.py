"""What a lake holds of the rows that an import brings, by their keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import polars as pl

from lake.importers.mapping import Canonical
from lake.importers.stories import SUFFIX
from lake.importers.twins import base_of
from lake.spec.dataset import Dataset
from lake.spec.decode import keys_to_frame, plain_rows
from lake.store.by_key import rows_of

Key = tuple[Any, ...]


def key_of(ds: Dataset, row: Canonical) -> Key:
    """A row's key."""
    return tuple([row[name] for name in ds.key])


def plain_row(ds: Dataset, row: Mapping[str, Any]) -> Canonical:
    """A row as a hot log has it, as those that are looked up are: in the dataset's columns, without nulls."""
    return {name: row[name] for name in ds.by_name if row.get(name) is not None}


def held(lk: Any, ds: Dataset, rows: Sequence[Canonical]) -> dict[Key, Canonical]:
    """A lake's rows of the keys of some rows."""
    return columns_of(lk, ds, rows, list(ds.by_name))


def columns_of(
    lk: Any,
    ds: Dataset,
    rows: Sequence[Canonical],
    columns: Sequence[str],
    *,
    are_there: bool = False,
    version: int | None = None,
) -> dict[Key, Canonical]:
    """Some columns, the key's among them, of a lake's rows of the keys of some rows.

    Args:
        lk: an open lake.
        ds: their dataset.
        rows: whose keys are meant.
        columns: which of them.
        are_there: whether the rows are those of the lake, so that files of other times are left out.
        version: of the cold table in which they are looked up; the newest and what waits in hot, when left out.
    """
    if not rows:
        return {}
    within, time = {}, ds.partition.time
    if are_there and time is not None and time not in ds.key:
        times = [row[time] for row in rows]
        within[time] = (min(times), max(times))
    frames = rows_of(lk.store, ds, keys_to_frame(ds, rows).unique(), columns, within, version)
    return {key_of(ds, row): row for frame in frames for row in plain_rows(frame, columns)}


class Families:
    """A lake's rows of some ids and of their twins; which twins a data file holds is read once.

    Args:
        lk: an open lake.
        ds: the dataset of the rows, whose key is one text.
    """

    def __init__(self, lk: Any, ds: Dataset) -> None:
        (self._column,) = ds.key
        self._store, self._ds, self._lk = lk.store, ds, lk
        self._twins: dict[str, dict[str, list[str]]] = {}  # data file -> id -> its twins

    def of(self, bases: AbstractSet[str]) -> dict[Key, Canonical]:
        """The rows of those ids, and of their twins."""
        snapshot = self._store.snapshot([self._ds.name])
        files = snapshot.states[self._ds.name].files
        lookup = self._store.table(self._ds.name).lookup
        self._twins = {
            path: self._twins[path] if path in self._twins else _twins(lookup.keys(file).get_column(self._column))
            for path, file in files.items()
        }
        known = [*self._twins.values(), _twins(snapshot.hot[self._ds.name].get_column(self._column))]
        names = set(bases).union(*(twins[base] for twins in known for base in bases & twins.keys()))
        return held(self._lk, self._ds, [{self._column: name} for name in sorted(names)])


def _twins(names: pl.Series) -> dict[str, list[str]]:
    """Id -> those of the names that are twins of it."""
    found: dict[str, list[str]] = {}
    for name in names.filter(names.str.slice(-SUFFIX, 1) == "-").to_list():
        if (base := base_of(name)) != name:
            found.setdefault(base, []).append(name)
    return found
