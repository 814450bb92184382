"""The hot log of one writer: acknowledged means durable, in SQLite or, when that fails, in the spool."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TypeVar

import orjson

from lake.clock import now_micros
from lake.errors import ClosedError, HotLogError, LakeError
from lake.spec import registry
from lake.store.hot.claim import Claim
from lake.store.hot.database import HOT_ERRORS, HotDatabase, as_lake_error, is_corrupt
from lake.store.hot.entry import Entry, Stored
from lake.store.hot.gauge import Gauge
from lake.store.hot.group import AsyncBatch, Batch, Check, GroupCommit, Then
from lake.store.hot.numbers import Numbers
from lake.store.hot.spool import Spool
from lake.store.hot.turn import Turn

_RETRY_SECONDS = 1.0
R = TypeVar("R")
Note = Callable[[R, int], bool]


class HotLog:
    """Appends for one writer id. Safe for any number of threads and tasks of one process."""

    def __init__(self, claim: Claim, *, durability: str = "full", busy_timeout_ms: int = 5000) -> None:
        self.claim = claim
        self.writer = claim.writer
        self.path = claim.folder / f"{claim.writer}.db"
        self.spool = Spool(claim.folder / f"{claim.writer}.spool.jsonl")
        self._durability = durability
        self._busy_timeout_ms = busy_timeout_ms
        self.gauge = Gauge(claim.folder / f"{claim.writer}.health")
        self.turn = Turn(claim.folder)
        self._numbers = Numbers(claim.folder, claim.writer)
        self._group = GroupCommit(self._commit)
        self._writing = Lock()
        self._flooring = Lock()
        self._database: HotDatabase | None = None
        self._last = self._floor = -1
        self._retry_at = 0.0
        self._closed = False
        self.failure: str = ""
        with self._writing:
            self._recover()

    def append(self, entries: Sequence[Entry]) -> list[int]:
        """Make entries durable, all or none; returns their sequence numbers.

        Raises:
            HotLogError: neither SQLite nor the spool took them; nothing was accepted.
        """
        return self._group.run(entries)

    def append_new(self, entries: Sequence[Entry], rows: R, note: Note[R], take_back: Callable[[R], object]) -> bool:
        """Make entries durable at once of whose rows nobody else has a version; False when nothing was written.

        A lone writer takes no place in a queue, and no turn at the numbers of the host: a sixth of a commit.

        Args:
            entries: of new rows.
            rows: the same, as the next two know them.
            note: is given these and the number of the first, before they are durable. Where it says no, and where
                others write now, nothing is written.
            take_back: is given them when they are refused, before those write who made something of what was noted.

        Raises:
            HotLogError: neither SQLite nor the spool took them.
            ClosedError: the lake was closed.
        """
        if not self._group.lead_alone():
            return False
        began = time.perf_counter()
        try:
            with self._writing:
                self._must_be_open()
                first = self._numbers.take_own(max(self._last, self._floor, now_micros() - 1), len(entries)) + 1
                numbered = [(number, name, orjson.dumps(rows)) for number, (name, rows) in enumerate(entries, first)]
                self._last = numbered[-1][0]
                try:
                    if not note(rows, first):
                        return False
                    self._append(numbered)
                except BaseException as error:
                    if isinstance(error, LakeError) or not self._may_hold(first):
                        take_back(rows)
                    raise
        finally:
            self._group.end_alone(began)
        return True

    def submit(self, entries: Sequence[Entry], then: Then | None = None, is_unfounded: Check | None = None) -> Batch:
        """Give entries their place in the log's order, without waiting; :meth:`wait` must follow.

        ``then`` is called with the batch once it is known what became of it, whatever becomes of who waits for it.
        They are not committed, and UnfoundedError is raised, if ``is_unfounded`` says so when their time has come.
        """
        return self._group.submit(entries, then, is_unfounded)

    def wait(self, batch: Batch) -> list[int]:
        """The sequence numbers of submitted entries, when they are durable; raises as :meth:`append` does."""
        return self._group.wait(batch)

    def submit_async(
        self, entries: Sequence[Entry], then: Then | None = None, is_unfounded: Check | None = None
    ) -> AsyncBatch:
        """:meth:`submit` from an asyncio task; the batch's future is to be awaited."""
        return self._group.submit_async(entries, then, is_unfounded)

    def desert(self) -> None:
        """The calling thread was broken off while it wrote: nobody waits for it."""
        self._group.desert()

    def raise_floor(self, sequence: int) -> None:
        """Give out only numbers above ``sequence`` from now on."""
        with self._flooring:
            self._floor = max(self._floor, sequence)

    def strengthen(self) -> None:
        """Sync every write from now on, for a user of this log who asked for it."""
        with self._writing, as_lake_error(self.path):
            self._durability = "full"
            if self._database is not None:
                self._database.set_durability("full")

    def settle(self, dataset: str, upto: int, opened: Mapping[str, tuple[int, bytes]], closed: Iterable[str]) -> None:
        """Let go of entries that are in the cold table; see :meth:`HotDatabase.settle`."""
        with self._writing, as_lake_error(self.path):
            if self._usable():
                self._db().settle(dataset, upto, opened, closed)

    def pending(self, dataset: str, after: int = -1, limit: int = -1) -> list[Stored]:
        """A dataset's entries that are not settled yet, in order; spooled ones are not among them."""
        with self._writing, as_lake_error(self.path):
            return self._db().since(after, dataset, limit) if self._usable() else []

    def last(self) -> int:
        """The highest number in the file; -1 for none, or when it cannot be used now."""
        with self._writing, as_lake_error(self.path):
            return self._db().last() if self._usable() else -1

    def waiting(self) -> dict[str, tuple[int, int]]:
        """Dataset -> (entries waiting, their oldest sequence)."""
        with self._writing, as_lake_error(self.path):
            return self._db().datasets() if self._usable() else {}

    def settled(self) -> dict[str, int]:
        """Dataset -> the sequence up to which its entries are in the cold table and gone from here."""
        with self._writing, as_lake_error(self.path):
            return self._db().settled() if self._usable() else {}

    def declared(self) -> dict[str, dict[str, str]]:
        """Dataset -> column -> type of what its rows may have; see :meth:`HotDatabase.declare`."""
        with self._writing, as_lake_error(self.path):
            return self._db().declared() if self._usable() else {}

    def recall(self) -> list[Stored]:
        """Open rows that were settled, then every waiting entry, in order: what a restarted bot knows."""
        with self._writing, as_lake_error(self.path):
            stored = [*self._db().live(), *self._db().since(-1)] if self._usable() else []
        return stored + ([] if not self.spool.exists() else [s for s in self.spool.read() if s not in stored])

    def close(self) -> None:
        """Close the file and let another process have the writer id."""
        with self._writing:
            self._closed = True
            if self._database is not None:
                self._database.close()
                self._database = None
        self._group.close()
        self.turn.close()
        self._numbers.close()
        self.gauge.save()
        self.claim.release()

    def _db(self) -> HotDatabase:
        if self._database is None:
            raise HotLogError("the hot log is not open", where=str(self.path), value=self.failure or None)
        return self._database

    def _commit(self, group: Sequence[Batch]) -> None:
        rows: list[tuple[int, str, bytes]] = []
        with self._writing:
            try:
                self._must_be_open()
                rows = self._number(group)
                self._append(rows)
            except (ClosedError, HotLogError) as error:
                for batch in group:
                    batch.error = error
            except BaseException:  # Ctrl-C
                if not rows or not self._may_hold(rows[-1][0]):
                    for batch in group:
                        batch.sequences.clear()
                raise

    def _may_hold(self, number: int) -> bool:
        """Whether an entry may be durable whose commit was broken off: only the file can tell."""
        if self._database is None:
            return True
        try:
            return self._database.last() >= number
        except sqlite3.Error:
            return True

    def _must_be_open(self) -> None:
        if self._closed:
            raise ClosedError("the lake was closed", where=str(self.path), todo="Open it again to write.")

    def _append(self, rows: Sequence[tuple[int, str, bytes]]) -> None:
        """Make numbered entries durable, and count the commit."""
        began = time.perf_counter()
        try:
            spooled = self._store(rows)
        except HotLogError as error:
            self.gauge.refused(error.what)
            raise
        self.gauge.committed(time.perf_counter() - began, len(rows), spooled=spooled)

    def newest(self) -> int:
        """The microsecond of now, or the highest number that was given out, where that is later."""
        return max(self._last, self._floor, now_micros(), self._numbers.highest())

    def _number(self, group: Sequence[Batch]) -> list[tuple[int, str, bytes]]:
        entries = sum(len(batch.encoded) for batch in group) if len(group) > 1 else len(group[0].encoded)
        last = self._numbers.take(max(self._last, self._floor, now_micros() - 1), entries)
        rows = []
        for batch in group:
            for dataset, payload in batch.encoded:
                last += 1
                batch.sequences.append(last)
                rows.append((last, dataset, payload))
        self._last = last
        return rows

    def _store(self, rows: Sequence[tuple[int, str, bytes]]) -> bool:
        """Make numbered entries durable; whether it had to be in the spool."""
        database = self._database if self._usable() else None
        if database is not None:
            try:
                database.append(rows)
                return False
            except HOT_ERRORS as error:
                self._fail(error)
        try:
            self.spool.append(rows)
            return True
        except OSError as error:
            raise HotLogError(
                f"neither SQLite ({self.failure}) nor the spool ({error.strerror or error}) could take the record",
                where=str(self.path),
                todo="The record was not accepted: free disk space or fix the folder, then write it again.",
            ) from error

    def _usable(self) -> bool:
        """Whether SQLite works; after a failure it is tried again once a second, spool first."""
        if self._database is not None:
            return True
        if self._closed or time.monotonic() < self._retry_at:
            return False
        self._recover()
        return self._database is not None

    def _recover(self) -> None:
        try:
            database = self._sound() or self._start_over()
        except HOT_ERRORS as error:
            self._fail(error)
            return
        try:
            self._replay(database)
            known = map(registry.get, registry.names())
            database.declare((ds.name, c.name, c.type.value) for ds in known for c in ds.columns)
            self._last = max(self._last, database.last())
            database.reserve()
        except HOT_ERRORS as error:
            database.close()
            self._fail(error)
            return
        self._database, self.failure = database, ""

    def _sound(self) -> HotDatabase | None:
        """The file, opened; None when it is corrupt."""
        try:
            database = HotDatabase(self.path, durability=self._durability, busy_timeout_ms=self._busy_timeout_ms)
            if database.is_sound():
                return database
            database.close()
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
        return None

    def _replay(self, database: HotDatabase) -> None:
        if not self.spool.exists():
            return
        settled = database.settled()
        stored = [s for s in self.spool.read() if s.sequence > settled.get(s.dataset, -1)]
        if stored:
            database.append([(s.sequence, s.dataset, s.payload) for s in stored])
            self._last = max(self._last, stored[-1].sequence)
        self.spool.remove()

    def _start_over(self) -> HotDatabase:
        """Set a corrupt file aside, and begin a new one with every row of it that can still be read."""
        aside = self.path.with_name(f"{self.path.stem}.corrupt-{now_micros()}")
        for ending in ("", "-wal", "-shm"):
            broken = Path(f"{self.path}{ending}")
            if broken.exists():
                broken.rename(f"{aside}{ending}")
        database = HotDatabase(self.path, durability=self._durability, busy_timeout_ms=self._busy_timeout_ms)
        rescued = _rescue(aside)
        if rescued:
            database.append(rescued)
        return database

    def _fail(self, error: Exception) -> None:
        self.failure = str(error)
        self.gauge.failed(self.failure)
        self._retry_at = time.monotonic() + _RETRY_SECONDS
        if self._database is not None:
            self._database.close()
            self._database = None


def _rescue(path: Path) -> list[tuple[int, str, bytes]]:
    found: list[tuple[int, str, bytes]] = []
    connection = sqlite3.connect(path)
    try:
        for row in connection.execute("SELECT seq, dataset, payload FROM log ORDER BY seq"):
            found.append(row)  # noqa: PERF402 - what was read before the damage must be kept
    except sqlite3.DatabaseError:
        pass  # the damage begins here; what came before it is kept
    finally:
        connection.close()
    return found
