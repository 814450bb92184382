"""One consistent moment of several datasets: cold states and the hot rows that are not in them yet.

Hot is read first, then cold; a row that a drain moves in between is in both, and the cold state's
transaction version says so. A commit that landed in hot after it was read and is in cold already
would show one dataset later than another; then both are read again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock

import polars as pl

from lake.errors import CommitConflictError
from lake.spec import registry
from lake.spec.dataset import Dataset
from lake.spec.decode import FOREIGN
from lake.spec.schema import polars_schema
from lake.store.cold.table_state import TableState
from lake.store.hot.claim import host_name, host_of
from lake.store.hot.entry import Stored
from lake.store.hot.mirror import SEQUENCE, HotMirror, HotRows, HotView
from lake.store.inputs import newest_versions
from lake.store.leases import Lease
from lake.store.location import trusted
from lake.store.location.glances import Glance

_ATTEMPTS = 1000


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What a reader sees.

    Attributes:
        states: dataset -> its cold table.
        hot: dataset -> the newest version of each key that is in hot only, in canonical columns.
        lease: keeps the files for as long as the snapshot is there.
    """

    states: Mapping[str, TableState]
    hot: Mapping[str, pl.DataFrame]
    lease: Lease | None = field(default=None, repr=False)

    def versions(self) -> dict[str, int]:
        """Dataset -> version of its cold table."""
        return {name: state.version for name, state in self.states.items()}


class HotLogs:
    """All hot logs on this host that belong to one lake."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._glance = Glance(str(folder), is_own=True)
        self._mirrors: dict[str, HotMirror] = {}
        self._writers: tuple[int | None, list[str]] = (None, [])
        self._merged: dict[str, tuple[list[tuple[HotRows, int]], pl.DataFrame]] = {}
        self._lock = Lock()

    def writers(self) -> list[str]:
        """Writer ids of this host that have a hot log."""
        stamp = self._glance.stamp()
        if not stamp:
            return []
        known, found = self._writers
        if stamp != known:
            known, found = trusted(stamp, is_own=True), self._listed()
            self._writers = known, found
        return found

    def is_alone(self, writer: str) -> bool:
        """Whether no other writer of this host has a hot log."""
        return self.writers() == [writer]

    def strangers(self) -> list[str]:
        """Writer ids of other host names that have a hot log here; nobody on this host reads those."""
        return [] if not self.folder.exists() else [w for w in self._every() if host_of(w) != host_name()]

    def _listed(self) -> list[str]:
        return [writer for writer in self._every() if host_of(writer) == host_name()]

    def _every(self) -> list[str]:
        names = os.listdir(self.folder)  # noqa: PTH208 - Paths take five times as long
        found = {n.removesuffix(end) for n in names for end in (".db", ".spool.jsonl") if n.endswith(end)}
        return sorted(n for n in found if "@" in n)

    def views(self, states: Mapping[str, TableState], *, without: str = "") -> list[HotView]:
        """Every hot log but one as it is now; rows that ``states`` know to be settled may be left out."""
        return [self.view(writer, states) for writer in self.writers() if writer != without]

    def view(self, writer: str, states: Mapping[str, TableState]) -> HotView:
        """One hot log as it is now; as in :meth:`views`."""
        return self._mirror(writer).view({name: state.settled(writer) for name, state in states.items()})

    def _mirror(self, writer: str) -> HotMirror:
        with self._lock:
            return self._mirrors.setdefault(writer, HotMirror(self.folder / f"{writer}.db"))

    def walk_back(self, dataset: str, visit: Callable[[str, Stored], bool]) -> None:
        """Show each log's entries of a dataset, newest first, with its writer, until ``visit`` returns False for it."""
        for writer in self.writers():
            self._mirror(writer).walk_back(dataset, partial(visit, writer))

    def merge(self, ds: Dataset, views: Sequence[HotView], state: TableState) -> pl.DataFrame:
        """The newest version of each key that is in hot only, in canonical columns."""
        found = []
        for view in views:
            rows = view.datasets.get(ds.name)
            if rows is not None:
                found.append((rows, state.settled(view.writer)))
        with self._lock:
            known, merged = self._merged.get(ds.name, ([], None))
        if merged is not None and _same(known, found):
            return merged
        merged = newest_by_key(ds, [rows.after(settled) for rows, settled in found]).drop(FOREIGN, strict=False)
        with self._lock:
            self._merged[ds.name] = (found, merged)
        return merged

    def close(self) -> None:
        """Let go of all files."""
        for mirror in self._mirrors.values():
            mirror.close()
        self._mirrors.clear()
        self._glance.close()


def _same(known: Sequence[tuple[HotRows, int]], found: Sequence[tuple[HotRows, int]]) -> bool:
    """Whether it is the very same frames again, settled as far."""
    return len(known) == len(found) and all(
        a.frame is b.frame and settled == also for (a, settled), (b, also) in zip(known, found, strict=True)
    )


def newest_by_key(ds: Dataset, frames: Sequence[pl.DataFrame], *, dated: bool = False) -> pl.DataFrame:
    """Of rows with ``__sequence``, the last version of each key, without the sequence; ``__foreign`` stays.

    Of a dataset with inputs it has what these were; ``dated``, also what :func:`newest_versions` says of the first.
    """
    filled = [f for f in frames if f.height]
    if not filled:
        return pl.DataFrame(schema=polars_schema(ds))
    rows = filled[0] if len(filled) == 1 else pl.concat(filled, how="diagonal").sort(SEQUENCE, maintain_order=True)
    if ds.inputs is not None:
        return newest_versions(ds, rows, dated=dated)
    return rows.unique(subset=list(ds.key), keep="last", maintain_order=True).drop(SEQUENCE)


def take(
    names: Sequence[str], known: Mapping[str, TableState], logs: HotLogs, state_of: Callable[[str], TableState]
) -> Snapshot:
    """A snapshot of ``names``; ``known`` are states seen earlier, only to spare work.

    What cold had settled before a hot log was read, that log has held; if it tells of less, it was
    lost or restored from an older copy, and waiting for it would be in vain.
    """
    settled: dict[str, int] = {}
    for _ in range(_ATTEMPTS):
        views = logs.views(known)
        states = {name: state_of(name) for name in names}
        before, settled = settled, settled_numbers(states)
        if all(settled.get(v.writer, -1) <= max(v.last, before.get(v.writer, -1)) for v in views):
            hot = {name: logs.merge(registry.get(name), views, states[name]) for name in names}
            return Snapshot(states, hot)
    raise CommitConflictError("drains kept overtaking the reader", where=str(logs.folder), todo="Try again.")


def settled_numbers(states: Mapping[str, TableState]) -> dict[str, int]:
    """Writer -> the highest sequence number that any of the tables knows."""
    found: dict[str, int] = {}
    for state in states.values():
        for writer, sequence in state.transactions.items():
            found[writer] = max(sequence, found.get(writer, -1))
    return found
