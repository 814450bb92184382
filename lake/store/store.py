"""The lake's storage as one object: tables, hot logs, and the moves between them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import RLock

from lake.errors import ClosedError, LakeError, UsageError, WriterBusyError
from lake.settings import Settings
from lake.spec import registry
from lake.store import forks
from lake.store.cold.reader import FileReader
from lake.store.cold.scan import Scanner
from lake.store.cold.table import ColdTable
from lake.store.cold.table_state import TableState
from lake.store.commits import telling
from lake.store.drain import Drained, HotSource, Step, drain, ignore, note_drain, sole_drainer
from lake.store.hot.claim import host_name, host_of, try_claim
from lake.store.hot.database import HotDatabase, as_lake_error
from lake.store.hot.entry import Stored
from lake.store.hot.left import Left, look
from lake.store.hot.log import HotLog
from lake.store.hot.shared import acquire, release
from lake.store.hot.spool import Spool
from lake.store.hot.turn import Turn
from lake.store.leases import Lease
from lake.store.location import Location
from lake.store.location.local_errors import storage_errors
from lake.store.snapshot import HotLogs, Snapshot, take

_log = logging.getLogger("lake.store")


class Store:
    """Cold tables and hot logs of one lake, for one process.

    Args:
        location: where the lake is.
        settings: its settings.
        bot_id: under which name this process writes; claimed at once when given, else at the first write.
    """

    def __init__(self, location: Location, settings: Settings, bot_id: str = "") -> None:
        self.location = location
        self.settings = settings
        self.bot_id = bot_id
        self.reader = FileReader(location)
        self.scanner = Scanner(self.reader, settings.cache_mb << 20)
        self.hot_folder = hot_folder(location, settings)
        self.logs = HotLogs(self.hot_folder)
        self.lease = Lease(location)
        self._tables: dict[str, ColdTable] = {}
        self._known: dict[str, TableState] = {}
        self._hot: HotLog | None = None
        self.is_open, self._forked = True, False
        self._lock = RLock()
        forks.watch(self)
        if bot_id:
            self.writer()

    def table(self, name: str) -> ColdTable:
        """The cold table of a dataset.

        Raises:
            UnknownDatasetError: there is no such dataset.
            ClosedError: the lake was closed.
        """
        self.must_be_open()
        known = self._tables.get(name)  # as nearly always, and found so without the lock
        if known is not None:
            return known
        with self._lock:
            made = ColdTable(self.location, registry.get(name), self.settings, self.reader)
            return self._tables.setdefault(name, telling(made, self.hot_folder))

    def writer(self) -> HotLog:
        """This process's hot log, claimed at the first call.

        Raises:
            WriterBusyError: another live process writes under the same bot id.
            ClosedError: the lake was closed.
        """
        with self._lock:
            self.must_be_open()
            if self._hot is None:
                timeout = self.settings.busy_timeout_ms
                self._hot, is_new = acquire(
                    self.hot_folder, self.bot_id, durability=self.settings.durability, busy_timeout_ms=timeout
                )
                self._tell_of_lost_rows()
                if is_new:
                    self._hot.raise_floor(self._settled_before(self._hot.writer))
            return self._hot

    def _tell_of_lost_rows(self) -> None:
        for left in self.left_behind():
            if left.is_lost:
                _log.warning("the hot log of %s: %s", left.writer, left.told())

    def forsake(self) -> None:
        """This process is a child of the one that opened the lake, which is none of its own."""
        self.is_open, self._forked, self._hot, self._lock = False, True, None, RLock()

    def must_be_open(self) -> None:
        """Refuse what is asked of a lake that was closed, or that is a forked child's parent's."""
        if self._forked:
            todo = "Open it in the child, and start children by spawn: multiprocessing.get_context('spawn')."
            raise ClosedError("the lake was opened before this process was forked", where=self.location.uri, todo=todo)
        if not self.is_open:
            raise ClosedError("the lake was closed", where=self.location.uri, todo="Open it again.")

    def _settled_before(self, writer: str) -> int:
        """A hot file that was lost and begun anew must not repeat numbers that cold tables know."""
        return max((self.table(name).state().settled(writer) for name in registry.names()), default=-1)

    def has_writer(self) -> bool:
        """Whether this process has written to hot."""
        return self._hot is not None

    def snapshot(self, names: Sequence[str]) -> Snapshot:
        """One consistent moment of the datasets named."""
        self.cover(names)
        found = take(names, self._known, self.logs, lambda name: self.table(name).state())
        self._known.update(found.states)
        return self.held(found)

    def cover(self, names: Iterable[str]) -> None:
        """Keep the files of what a look from now on finds of those datasets from every vacuum, for an hour at least."""
        self.lease.cover({name: self.table(name).known_state().version for name in names})

    def held(self, found: Snapshot) -> Snapshot:
        """The snapshot, whose files stay for as long as it is there; a look that was covered has found it.

        Raises:
            ClosedError: the lake was closed meanwhile.
        """
        kept = replace(found, lease=self.lease)
        self.lease.hold(kept, {name: version for name, version in kept.versions().items() if version >= 0})
        self.must_be_open()  # else what covered the look may have been given back meanwhile
        return kept

    def walk_back(self, name: str, visit: Callable[[str, Stored], bool], *, is_brief: bool = False) -> Snapshot:
        """Show hot entries of a dataset to ``visit``, newest first; then give its cold table, with what has left hot.

        Args:
            name: of the dataset.
            visit: takes a writer and an entry, and returns False when it needs no older ones of that writer. Entries
                that the cold table has as well may be among them.
            is_brief: nothing keeps the files of the table from a vacuum; who finds one gone looks again.
        """
        if not is_brief:
            self.cover([name])
        table = self.table(name)
        self.logs.walk_back(name, visit)
        found = Snapshot({name: table.state()}, {})
        return found if is_brief else self.held(found)

    def at(self, versions: Mapping[str, int], names: Sequence[str]) -> Snapshot:
        """The datasets named as they were at those versions of their cold tables."""
        self.must_be_open()
        states = {}
        for name in names:
            version = versions.get(name, -1)
            states[name] = self.table(name).log.load(version) if version >= 0 else TableState()
        return self.held(take(names, {}, HotLogs(self.hot_folder / "none"), lambda name: states[name]))

    def left_behind(self) -> list[Left]:
        """The hot logs of other host names in this host's folder: what waits in them is not seen here."""
        return [look(self.hot_folder, writer) for writer in self.logs.strangers()]

    def drain(self, *, every_writer: bool = False, host: str = "", step: Step = ignore) -> Drained:
        """Settle the datasets that wait in this process's hot log; with ``every_writer`` all, in all logs of this host.

        Rows of the same datasets that wait in other logs of this host are settled with them, in the order in
        which they were acknowledged. With ``host``, those of another host name are settled too.

        Raises:
            UsageError: no hot log of that host name is in this host's folder.
            WriterBusyError: a live process of another host writes one of them.
            StorageError: nothing can be written in the folder of the hot logs.
            ClosedError: the lake was closed.
        """
        self.must_be_open()
        with storage_errors(str(self.hot_folder), ""):
            return self._drain(every_writer, host, step)

    def _drain(self, every_writer: bool, host: str, step: Step) -> Drained:
        strangers = self._of_host(host) if host else set()
        writers, names = self._to_drain(every_writer, strangers)
        while names:
            with self._sources(writers) as sources:
                with self._turn() as turn, turn.held():
                    involved, names = self._to_drain(every_writer, strangers)
                    upto = self._last_numbers(sources)
                if involved <= writers:
                    done = drain(sources, names, upto, self.table, step)
                    for writer in writers:
                        note_drain(self.hot_folder, writer)
                    return done
            writers |= involved
        return Drained()

    def _of_host(self, host: str) -> set[str]:
        strangers = self.logs.strangers()
        found = {writer for writer in strangers if host_of(writer) == host}
        if not found and host != host_name():
            names = ", ".join(sorted({host_of(writer) for writer in strangers})) or "none"
            todo = f"Other hosts of which there are: {names}."
            raise UsageError("no hot log of that host is here", where=str(self.hot_folder), value=host, todo=todo)
        return found

    def _to_drain(self, every_writer: bool, strangers: set[str]) -> tuple[set[str], list[str]]:
        """Writers whose logs have to be drained together, and the datasets that wait in them."""
        if every_writer or strangers:
            writers = strangers | set(self.logs.writers())
            return writers, list(registry.names()) if writers else []
        if self._hot is None or not (names := list(self._hot.waiting())):
            return set(), []
        return {self._hot.writer} | self.waiting_writers(names), names

    @contextmanager
    def _turn(self) -> Iterator[Turn]:
        """This process's turn, to be had inside the block."""
        if self._hot is not None:
            yield self._hot.turn
            return
        with closing(Turn(self.hot_folder)) as turn:
            yield turn

    def has_turn(self) -> bool:
        """Whether the calling thread has the turn, or tasks that wait for it."""
        return self._hot is not None and self._hot.turn.is_bound()

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Nobody on this host changes a row inside the block; whether that could be had, as :meth:`Turn.alone` says."""
        self.hot_folder.mkdir(parents=True, exist_ok=True)
        with self._turn() as turn, turn.alone() as is_alone:
            yield is_alone

    def _last_numbers(self, sources: Mapping[str, HotSource]) -> dict[str, int]:
        """Up to which number each log is to be drained, so that no version of a row settles before an older one.

        What a spool has in store for SQLite, and all that was made on top of it, waits.
        """
        writers = {*self.logs.writers(), *sources}
        spools = (Spool(self.hot_folder / f"{writer}.spool.jsonl") for writer in writers)
        spooled = [entry.sequence for spool in spools if spool.exists() for entry in spool.read()]
        return {writer: min([source.last(), *(n - 1 for n in spooled)]) for writer, source in sources.items()}

    def waiting_writers(self, names: Sequence[str]) -> set[str]:
        """Writers on this host in whose hot logs rows of the datasets wait."""
        states = {name: self.table(name).state() for name in names}
        views = self.logs.views(states)
        return {v.writer for v in views for n in names if n in v.datasets and v.datasets[n].frame.height}

    @contextmanager
    def _sources(self, writers: Iterable[str]) -> Iterator[dict[str, HotSource]]:
        """The hot logs of those writers, which nobody else drains inside the block."""
        with ExitStack() as held:
            for writer in sorted(writers):  # in one order everywhere, so that two drains never wait for each other
                held.enter_context(sole_drainer(self.hot_folder, writer))
            yield {writer: held.enter_context(self._source(writer)) for writer in sorted(writers)}

    @contextmanager
    def _source(self, writer: str) -> Iterator[HotSource]:
        if self._hot is not None and writer == self._hot.writer:
            yield self._hot
            return
        held = try_claim(self.hot_folder, writer)
        if held is not None:
            try:
                left = HotLog(held, busy_timeout_ms=self.settings.busy_timeout_ms)
            except LakeError:
                held.release()
                raise
            try:
                yield left
            finally:
                left.close()
            return
        if host_of(writer) != host_name():
            todo = "End it there, or let it drain its own rows."
            raise WriterBusyError("a live process of another host writes it", where=writer, todo=todo)
        with as_lake_error(self.hot_folder):
            database = HotDatabase(self.hot_folder / f"{writer}.db", busy_timeout_ms=self.settings.busy_timeout_ms)
        try:
            yield _Foreign(database)
        finally:
            database.close()

    def close(self) -> None:
        """Close files; what was acknowledged stays where it is."""
        if self._forked:
            return
        with self._lock:
            self.is_open = False
            self.logs.close()
            self.location.close()
            if self._hot is not None:
                release(self._hot)
                self._hot = None
            self.lease.release()


class _Foreign:
    """The hot log of another live process, as a drain's source."""

    def __init__(self, database: HotDatabase) -> None:
        self._database = database

    def last(self) -> int:
        with as_lake_error(self._database.path):
            return self._database.last()

    def waiting(self) -> dict[str, tuple[int, int]]:
        with as_lake_error(self._database.path):
            return self._database.datasets()

    def pending(self, dataset: str, after: int = -1, limit: int = -1) -> list[Stored]:
        with as_lake_error(self._database.path):
            return self._database.since(after, dataset, limit)

    def declared(self) -> dict[str, dict[str, str]]:
        with as_lake_error(self._database.path):
            return self._database.declared()

    def settle(self, dataset: str, upto: int, opened: dict[str, tuple[int, bytes]], closed: list[str]) -> None:
        with as_lake_error(self._database.path):
            self._database.settle(dataset, upto, opened, closed)


def hot_folder(location: Location, settings: Settings) -> Path:
    """Where this host keeps the lake's hot logs: in the lake when that is local, else in the user's state folder.

    Raises:
        UsageError: a remote lake without a local folder for its hot logs.
    """
    if location.is_local:
        return Path(location.url("_hot"))
    folder = settings.hot_folder_for(location.uri)
    if not folder:
        raise UsageError(
            "a remote lake needs a local folder for its hot logs", where=location.uri, todo="Set LAKE_HOT_FOLDER."
        )
    return Path(folder)
