"""What an import would have written by now: of as many rows as there are, in bounded memory."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from lake.errors import InvalidRowError
from lake.importers.mapping import Canonical
from lake.importers.twins import SUFFIX, base_of
from lake.lake import Lake
from lake.lake import open as open_lake
from lake.spec import registry
from lake.spec.dataset import Dataset
from lake.spec.decode import keys_to_frame, plain_rows, rows_to_frame
from lake.spec.times import from_micros

_IN_MEMORY = 100_000  # rows; more of them go to a lake of their own, in a temporary folder
Key = tuple[Any, ...]


class Plan:
    """The rows that a plan has made so far, by their keys."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[Key, Canonical]] = {}
        self._lake: Lake | None = None

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
        return known if self._lake is None else family(self._lake, ds, bases) | known

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


def key_of(ds: Dataset, row: Canonical) -> Key:
    """A row's key."""
    return tuple(row[name] for name in ds.key)


def held(lk: Any, ds: Dataset, rows: Sequence[Canonical]) -> dict[Key, Canonical]:
    """A lake's rows of the keys of some rows.

    They are found by the columns of the key alone, which are a small part of the files, and read where they lie then.
    """
    time = _time_beside(ds)
    if time is None:
        return columns_of(lk, ds, rows, list(ds.by_name))
    there = columns_of(lk, ds, rows, [*ds.key, time])
    return columns_of(lk, ds, list(there.values()), list(ds.by_name), are_there=True)


def columns_of(
    lk: Any, ds: Dataset, rows: Sequence[Canonical], columns: Sequence[str], *, are_there: bool = False
) -> dict[Key, Canonical]:
    """Some columns, the key's among them, of a lake's rows of the keys of some rows.

    Args:
        lk: an open lake.
        ds: their dataset.
        rows: whose keys are meant.
        columns: which of them.
        are_there: whether the rows are those of the lake, so that files of other times are left out.
    """
    if not rows:
        return {}
    asked = keys_to_frame(ds, rows).unique()
    keys = [asked[name].to_list() for name in ds.key]
    spans = {name: (min(values), max(values)) for name, values in zip(ds.key, keys, strict=True)}  # leave files out
    if are_there and (time := _time_beside(ds)) is not None:
        times = [row[time] for row in rows]
        spans[time] = (from_micros(min(times)), from_micros(max(times)))
    shown = ", ".join(f'{ds.name}."{name}"' for name in columns)
    wanted = ", ".join(f'unnest(?) AS "{name}"' for name in ds.key)
    within = " AND ".join(f'{ds.name}."{name}" BETWEEN ? AND ?' for name in spans)
    named = ", ".join(f'"{name}"' for name in ds.key)
    sql = f"SELECT {shown} FROM {ds.name} SEMI JOIN (SELECT {wanted}) AS asked USING ({named}) WHERE {within}"
    edges = [edge for span in spans.values() for edge in span]
    return {key_of(ds, row): row for row in plain_rows(lk.frame(sql, [*keys, *edges]), columns)}


def _time_beside(ds: Dataset) -> str | None:
    """The time that a row's place among the files comes from, and that never changes; None where the key tells it."""
    return None if ds.partition.time in ds.key else ds.partition.time


def family(lk: Any, ds: Dataset, bases: AbstractSet[str]) -> dict[Key, Canonical]:
    """A lake's rows of some ids, and of their twins; the dataset's key is one text."""
    if not bases:
        return {}
    (name,) = ds.key
    shown, asked = list(filter(None, [name, _time_beside(ds)])), list(bases)
    sql = (
        f"""SELECT {", ".join(f'"{column}"' for column in shown)} FROM {ds.name} WHERE "{name}" BETWEEN ? AND ? """
        f'AND ("{name}" IN (SELECT unnest(?)) OR left("{name}", {-SUFFIX}) IN (SELECT unnest(?)))'
    )
    there = plain_rows(lk.frame(sql, [min(asked), max(asked) + "~", asked, asked]), shown)
    return columns_of(lk, ds, there, list(ds.by_name), are_there=True)


def write(lk: Any, name: str, rows: Sequence[Canonical]) -> None:
    """Write rows that were checked one by one."""
    ds = registry.get(name)
    receipt = lk.write(name, rows_to_frame(ds, rows).drop("period", strict=False))
    if receipt.rejected:  # so this is a fault of ours
        raise InvalidRowError(receipt.rejections[0].reason, where=name)
