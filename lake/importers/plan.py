"""What an import would have written by now: of as many rows as there are, in bounded memory."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import polars as pl

from lake.errors import InvalidRowError
from lake.importers.mapping import Canonical
from lake.importers.there import Families, Key, held, key_of
from lake.importers.twins import base_of
from lake.lake import Lake
from lake.lake import open as open_lake
from lake.spec import registry
from lake.spec.dataset import Dataset
from lake.spec.decode import rows_to_frame
from lake.spec.frames import check_frame

_IN_MEMORY = 100_000  # rows; more of them go to a lake of their own, in a temporary folder


class Plan:
    """The rows that a plan has made so far, by their keys."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[Key, Canonical]] = {}
        self._lake: Lake | None = None
        self._put: dict[str, Families] = {}  # of the datasets that are in it

    def of(self, ds: Dataset, rows: Sequence[Canonical]) -> dict[Key, Canonical]:
        """Those of the keys of some rows."""
        made = self._rows.get(ds.name, {})
        known = {key: made[key] for row in rows if (key := key_of(ds, row)) in made}
        others = [row for row in rows if key_of(ds, row) not in known]
        return known if self._lake is None else known | held(self._lake, ds, others)

    def family(self, ds: Dataset, bases: AbstractSet[str]) -> dict[Key, Canonical]:
        """Those of some ids and of their twins."""
        made = self._rows.get(ds.name, {})
        known = {key: row for key, row in made.items() if not bases.isdisjoint({key[0], base_of(key[0])})}
        return known if self._lake is None else self._families(ds).of(bases) | known

    def _families(self, ds: Dataset) -> Families:
        return self._put.setdefault(ds.name, Families(self._lake, ds))

    def add(self, ds: Dataset, rows: Mapping[Key, Canonical]) -> None:
        """Take rows as they would be now."""
        self._rows.setdefault(ds.name, {}).update(rows)
        if sum(map(len, self._rows.values())) > _IN_MEMORY:
            self._put_away()

    def _put_away(self) -> None:
        if self._lake is None:
            folder = tempfile.mkdtemp(prefix="tradelake-plan-")
            self._lake = open_lake(folder, durability="normal")
            weakref.finalize(self, _removed, self._lake, folder)
        for name, rows in self._rows.items():
            write(self._lake, name, list(rows.values()))
        self._lake.drain()
        self._rows = {}


def _removed(lk: Lake, folder: str) -> None:
    lk.close()
    shutil.rmtree(folder, ignore_errors=True)


def write(lk: Any, name: str, rows: Sequence[Canonical]) -> None:
    """Write rows that were checked one by one."""
    lk.write(name, checked_rows(registry.get(name), rows).drop("period", strict=False))


def checked_rows(ds: Dataset, rows: Sequence[Canonical]) -> pl.DataFrame:
    """Rows that were checked one by one, in the dataset's columns."""
    checked = check_frame(ds, rows_to_frame(ds, rows).drop("period", strict=False))
    if checked.bad.height:  # so this is a fault of ours
        raise InvalidRowError(str(checked.bad["reason"][0]), where=ds.name)
    return checked.good
