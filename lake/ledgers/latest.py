"""Keeps what this process knows of rows true while other processes write, settle and correct them too.

The newest version of a row is in this process's memory, in another hot log of this host, or in the cold table. What
others wrote to their logs is read as it comes; of the cold table, only files that were not seen before.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Any

import polars as pl

from lake.ledgers.current import CurrentRows
from lake.spec import registry
from lake.spec.dataset import Dataset
from lake.spec.decode import frame_to_rows, rows_to_frame
from lake.store.cold.files import DataFile
from lake.store.cold.find import reading
from lake.store.cold.frames import bounds_of, frame_of
from lake.store.cold.table import ColdTable
from lake.store.cold.table_state import TableState
from lake.store.commits import commits
from lake.store.drain import is_open, key_text
from lake.store.hot.entry import Entry, Row
from lake.store.hot.log import HotLog
from lake.store.hot.mirror import SEQUENCE, HotView
from lake.store.store import Store

_REMOTE_SECONDS = 5.0  # a remote table is not asked more often whether other hosts wrote to it


@dataclass
class _Seen:
    """How far the others' doings with one dataset were taken in."""

    table: ColdTable
    files: frozenset[str] = frozenset()
    version: int = -1
    at: float = 0.0
    commits: int = 0
    sequences: dict[str, int] = field(default_factory=dict)
    loaded: bool = False


class Latest:
    """Takes in what others do to the rows that are known of this process's hot log."""

    def __init__(self, store: Store, log: HotLog, current: CurrentRows) -> None:
        self._store = store
        self._log = log
        self._current = current
        self._seen: dict[str, _Seen] = {}
        self._lock = Lock()

    def look(self, *datasets: Dataset) -> bool:
        """Take in what is new of datasets; whether the cold table of one has changed."""
        with self._lock:
            if self._store.logs.is_alone(self._log.writer) and self.is_quiet(datasets):
                return False
            states = {ds.name: self._state(ds, self._seen_of(ds)) for ds in datasets}
            views = self._store.logs.views(states, without=self._log.writer)
            for ds in datasets:
                states[ds.name] = self._caught_up(ds, states[ds.name], views)
            for view in views:
                for ds in datasets:
                    self._take(ds, view, self._seen_of(ds))
            changed = False
            for ds in datasets:
                state, seen = states[ds.name], self._seen[ds.name]
                if state.version != seen.version:
                    self._renew(ds, state, seen)
                    changed = True
            return changed

    def is_quiet(self, datasets: Iterable[Dataset]) -> bool:
        """Whether a look reads no data file: no cold table has changed since the last one, as far as a folder tells."""
        for ds in datasets:
            seen = self._seen.get(ds.name)
            if seen is None or not seen.table.is_unchanged(seen.version):
                return False
        self._store.must_be_open()
        return True

    def _seen_of(self, ds: Dataset) -> _Seen:
        found = self._seen.get(ds.name)
        if found is None:
            found = self._seen[ds.name] = _Seen(self._store.table(ds.name))
        return found

    def let_go(self) -> None:
        """Forget what was settled meanwhile, by this process or for it, in every dataset it has rows of."""
        for name in self._current.datasets():
            ds = registry.get(name)
            if name in self._seen:
                self.look(ds)
            else:
                self._current.forget({name: self._settled(self._store.table(name).state())})

    def _settled(self, state: TableState) -> dict[str, int]:
        """Writer -> up to which number its rows are in the cold table; "" is this process's own."""
        return {**state.transactions, "": state.settled(self._log.writer)}

    def open_rows(self, ds: Dataset) -> list[Row]:
        """Every row of the lake whose life goes on, in its newest version."""
        with self._lock:
            seen = self._seen_of(ds)
            if not seen.loaded:
                seen.loaded, seen.files, seen.version = True, frozenset(), -1
        self.look(ds)
        return self._current.open_rows(ds)

    def _state(self, ds: Dataset, seen: _Seen) -> TableState:
        table = self._store.table(ds.name)
        if self._store.location.is_local:
            return table.state()
        now, told = time.monotonic(), commits(self._store.hot_folder, ds.name)
        if seen.version >= 0 and now - seen.at < _REMOTE_SECONDS and seen.commits == told:
            return table.known_state()
        seen.at, seen.commits = now, told
        return table.state()

    def _caught_up(self, ds: Dataset, state: TableState, views: Iterable[HotView]) -> TableState:
        """The state, or a newer one where a log of this host has let go of rows that are not in it."""
        if all(view.settled.get(ds.name, -1) <= state.settled(view.writer) for view in views):
            return state
        self._seen_of(ds).at = time.monotonic()
        return self._store.table(ds.name).state()

    def _take(self, ds: Dataset, view: HotView, seen: _Seen) -> None:
        rows = view.datasets.get(ds.name)
        if rows is None:
            return
        fresh = rows.after(seen.sequences.get(view.writer, -1))
        if fresh.is_empty():
            return
        sequences = fresh[SEQUENCE].to_list()
        for row, sequence in zip(frame_to_rows(ds, fresh), sequences, strict=True):
            self._current.put(ds, [row], sequence, view.writer)
        seen.sequences[view.writer] = sequences[-1]

    def _renew(self, ds: Dataset, state: TableState, seen: _Seen) -> None:
        state, rows = reading(self._store.table(ds.name), partial(self._fresh, ds, seen), state)
        settled = self._settled(state)
        news = [row for row in rows if self._current.renew(ds, row, settled)]
        if news:
            opened = {key_text(ds, row): (0, Entry(ds.name, [row]).payload()) for row in news if is_open(ds, row)}
            self._log.settle(ds.name, -1, opened, [key_text(ds, row) for row in news])
        seen.files, seen.version = frozenset(state.files), state.version

    def _fresh(self, ds: Dataset, seen: _Seen, state: TableState) -> tuple[TableState, list[Row]]:
        """The state, and those rows of its files not seen yet that are of interest here."""
        settled = self._settled(state)
        self._current.forget({ds.name: settled})
        known = [dict(row) for row in self._current.settled_rows(ds, settled)]
        fresh = [f for path, f in state.files.items() if path not in seen.files]
        return state, list(self._rows_in(ds, fresh, known, seen))

    def _rows_in(
        self, ds: Dataset, files: Iterable[DataFile], known: Sequence[dict[str, Any]], seen: _Seen
    ) -> Iterator[Row]:
        """Rows of files that are known here or, once open ones were asked for, open."""
        key = list(ds.key)
        keys = rows_to_frame(ds, known).select(key)
        near = bounds_of(keys, key) if known else {}
        table_of = self._store.table(ds.name)
        for file in files:
            every = seen.loaded and may_be_open(ds, file)
            if not every and not (known and file.may_hold(near)):
                continue
            for table in self._store.reader.read(ds.name, [file], {} if every else near, table_of.schema()):
                frame = frame_of(table)
                wanted = frame.join(keys, on=key, how="semi")
                if every:
                    wanted = pl.concat([wanted, frame.filter(open_rows_only(ds)).join(keys, on=key, how="anti")])
                yield from frame_to_rows(ds, wanted, table_of.foreign)


def may_be_open(ds: Dataset, file: DataFile) -> bool:
    """False when the file's statistics show that none of its rows is open."""
    for name, values in (ds.open_when or {}).items():
        wanted = [v for v in values if v is not None]
        nulls = (file.stats.get("nullCount") or {}).get(name, 1) if None in values else 0
        if not nulls and not any(file.may_hold({name: (v, v)}) for v in wanted):
            return False
    return bool(ds.open_when)


def open_rows_only(ds: Dataset) -> pl.Expr:
    """The condition under which a row is open."""
    conditions = []
    for name, values in (ds.open_when or {}).items():
        wanted = [v for v in values if v is not None]
        condition = pl.col(name).is_in(wanted) if wanted else pl.lit(value=False)
        conditions.append(condition | pl.col(name).is_null() if None in values else condition)
    return pl.all_horizontal(conditions)
