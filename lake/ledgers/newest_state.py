"""The newest snapshot of a bot, found without reading the others: what a restart waits for."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from operator import itemgetter
from threading import Lock

import numpy as np
import pyarrow as pa

from lake.clock import MICROS_PER_SECOND
from lake.errors import CorruptLakeError
from lake.kernels.runs import shared
from lake.spec import registry
from lake.spec.schema import arrow_schema
from lake.store.cold.files import Bounds, DataFile
from lake.store.cold.newest import row_at
from lake.store.cold.reader import rows_of, unreadable
from lake.store.cold.table_state import TableState
from lake.store.hot.entry import Row, Stored
from lake.store.store import Store

_DS = registry.get("bot_states")
_TIMES = "snapshot_time"
_STORED = pa.schema([field for field in arrow_schema(_DS) if field.name != "period"])
_TIME = re.compile(rb'"snapshot_time":(\d+)')  # a text in the row cannot look like it: its quotes are escaped
_AHEAD = MICROS_PER_SECOND // 10  # a snapshot is not dated further ahead of its writing: it is taken, then written


class NewestStates:
    """Finds the newest snapshots of bots; what it has seen of hot entries it does not read again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._searches: dict[str, _Search] = {}
        self._lock = Lock()

    def find(self, bot: str) -> Row | None:
        """The newest snapshot of a bot as stored, None when there is none.

        Of the hot logs only what was written since the newest snapshot was taken is read, of the cold files the row
        groups with the newest times. That is enough since :meth:`Bots.save_state` dates no snapshot of now before one
        that it knows; one that was written past it, dated ahead of its writing, may be missed while it waits in hot.
        """
        try:  # a lease on the files would take a fifth of the first call, and a vacuum hardly ever comes between
            return self._found(bot, is_brief=True)
        except CorruptLakeError:
            return self._found(bot, is_brief=False)

    def _found(self, bot: str, *, is_brief: bool) -> Row | None:
        while True:
            with self._lock:
                search = self._searches.setdefault(bot, _Search(bot))
                search.begin()
                seen = self._store.walk_back("bot_states", search.visit, is_brief=is_brief)
                self._store.must_be_open()
                state = seen.states["bot_states"]
                search.end()
                row, is_settled = search.row, search.sequence <= state.settled(search.writer)
            found = _newest_cold(self._store, state, bot, None if is_settled else row)
            if row is None or (found is not None and found[_TIMES] >= row[_TIMES]):
                return found
            with self._lock:  # it settled, and was removed: what waits, and was older, may be newer than what is left
                self._searches[bot] = _Search(bot, state.transactions)


class _Search:
    """The newest row of a bot among hot entries, without those that are known to have settled, by writer."""

    def __init__(self, bot: str, settled: Mapping[str, int] | None = None) -> None:
        self._bot = bot
        self._settled = settled or {}
        self._seen: dict[str, int] = {}  # writer -> the newest entry that was looked at
        self._fresh: dict[str, int] = {}
        self.writer = ""
        self.sequence = -1
        self.row: Row | None = None

    def begin(self) -> None:
        """A walk begins."""
        self._fresh = {}

    def end(self) -> None:
        """The walk came to its end."""
        self._seen.update(self._fresh)

    def visit(self, writer: str, entry: Stored) -> bool:
        """Look at an entry; whether an older one may hold a newer snapshot."""
        if entry.sequence <= max(self._settled.get(writer, -1), self._seen.get(writer, -1)):
            return False
        self._fresh.setdefault(writer, entry.sequence)
        if self.row is not None and entry.sequence + _AHEAD < self.row["snapshot_time"] <= self.sequence + _AHEAD:
            return False
        latest = max(map(int, _TIME.findall(entry.payload)), default=-1)
        if self._is_newer(latest, entry.sequence):
            for row in entry.rows():
                if row["bot_id"] == self._bot and self._is_newer(row["snapshot_time"], entry.sequence):
                    self.writer, self.sequence, self.row = writer, entry.sequence, row
        return True

    def _is_newer(self, at: int, sequence: int) -> bool:
        return self.row is None or (at, sequence) >= (self.row["snapshot_time"], self.sequence)


def _newest_cold(store: Store, state: TableState, bot: str, best: Row | None) -> Row | None:
    """The newest of ``best`` and the cold rows; of files without newer ones not even the footer is read."""
    files = [(_latest(file.bounds(_TIMES)), file) for file in state.files.values() if file.may_hold(_of(bot))]
    for latest, file in sorted(files, key=itemgetter(0), reverse=True):
        if best is not None and latest <= best[_TIMES]:
            break
        best = _newest_of_file(store, file, bot, best)
    return best


def _newest_of_file(store: Store, file: DataFile, bot: str, best: Row | None) -> Row | None:
    with store.reader.opened(f"bot_states/{file.path}") as (opened, footer):
        if file.rows not in {None, footer.metadata.num_rows}:
            raise _another(file)
        told = footer.newest(bot)
        if told is not None and told["bot_id"] == bot:  # the metadata have no checksum for the name
            _refuse_beyond(file, told[_TIMES], told[_TIMES])
            is_newer = best is None or told[_TIMES] > best[_TIMES]
            return {name: told[name] for name in _STORED.names if name in told} if is_newer else best
        bounds = footer.bounds(_TIMES)
        for found_bounds in filter(None, bounds):
            _refuse_beyond(file, *found_bounds)
        groups = [(_latest(bounds[group]), group) for group in footer.groups(_of(bot))]
        for latest, group in sorted(groups, reverse=True):
            if best is not None and latest <= best[_TIMES]:
                break
            alone = footer.constant("bot_id", [group]) == bot
            found = _newest_in(rows_of(opened, footer, [group], _STORED), bot, alone=alone)
            if found is not None and (best is None or found[_TIMES] > best[_TIMES]):
                best = found
    return best


def _refuse_beyond(file: DataFile, first: int, last: int) -> None:
    """Raise CorruptLakeError where times that were read in a file are not among those that the log says it has."""
    said = file.bounds(_TIMES)
    if said is not None and type(said[0]) is int and not (said[0] <= first and last <= said[1]):
        raise _another(file)


def _another(file: DataFile) -> CorruptLakeError:
    return unreadable(f"bot_states/{file.path}", "it is not the one that the log describes")


def _of(bot: str) -> dict[str, Bounds]:
    return {"bot_id": (bot, bot)}


def _latest(bounds: Bounds | None) -> float:
    return math.inf if bounds is None else bounds[1]


def _newest_in(table: pa.Table, bot: str, *, alone: bool) -> Row | None:
    """The newest of a bot's rows in a small table, as stored; ``alone`` when no other bot has rows in it.

    Without Polars and PyArrow's own computing, which take longer to begin.
    """
    if not table.num_rows:
        return None
    times = shared(table.column(_TIMES))
    bots = () if alone else table.column("bot_id").to_pylist()
    own = np.arange(len(times)) if alone else np.flatnonzero([name == bot for name in bots])
    if not len(own):
        return None
    return row_at(table, int(own[times[own].argmax()]))
