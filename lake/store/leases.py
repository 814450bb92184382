"""Leases: what running readers hold, so that vacuum leaves their files alone.

A lease is a small file that names the oldest version of each dataset that its process may still read; vacuum keeps the
files of that version and of all later ones. A reader writes its lease, then looks at a table. Vacuum looks at the
tables, then reads the leases. So vacuum finds the lease, or the reader looks later than vacuum did: then it sees the
version that vacuum has seen, or a later one, and these vacuum keeps anyhow.

On the host that wrote a lease, the process's mark tells whether it lives, however long it sleeps. Elsewhere the age
does; a thread renews it every hour, for a reader may do nothing for days. After the whole machine has slept, who reads
next writes the lease anew before its look.
"""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import RLock, Thread
from weakref import WeakKeyDictionary, WeakSet

from lake.clock import MICROS_PER_DAY, MICROS_PER_MINUTE, now_micros
from lake.errors import StorageError
from lake.store import forks, marks
from lake.store.hot.claim import host_name
from lake.store.location import Location

_log = logging.getLogger("lake.leases")

FOLDER = "_lake/leases"
_RENEW_SECONDS = 3600.0
_EXPIRE_MICROS = MICROS_PER_DAY
_RELIED_ON_MICROS = _EXPIRE_MICROS // 2  # so long after it was written, a lease is taken to be there
_RETRY_MICROS = MICROS_PER_MINUTE  # so long after one could not be written, none is tried: each try may be a request
_FORGOTTEN_MICROS = 7 * MICROS_PER_DAY


class _Reader:
    """Stands for who reads inside a block."""


class Lease:
    """This process's lease on a lake; written before the first read, then once an hour.

    Versions are given as dataset -> version of its table. When the lease cannot be written, a warning is logged and
    the reader goes on without: a full or read-only disk must not keep anybody from reading.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._name = f"{host_name()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.json"
        self._held: dict[str, int] = {}  # what the file says: the lowest of what follows
        self._covered: dict[str, int] = {}  # what was covered since the lease was renewed
        self._before: dict[str, int] = {}  # what was covered in the hour before that
        self._readers: WeakKeyDictionary[object, Mapping[str, int]] = WeakKeyDictionary()
        self._due = 0  # when it is to be written again before anybody relies on it
        self._is_written = self._is_over = False
        self._lock = RLock()  # again by one thread: the last reader may go, and its lake with it, in any line
        _keeper.keep(self)

    def cover(self, versions: Mapping[str, int]) -> None:
        """Keep files of these versions, and of all later ones, from every vacuum for an hour at least.

        Call it before the look at a table, with the newest version known, and :meth:`hold` after it, with the version
        that was found.
        """
        if _has(self._covered, versions) and now_micros() < self._due:
            return
        with self._lock:
            _lower(self._covered, versions)
            self._lower_to(versions)

    def hold(self, reader: object, versions: Mapping[str, int]) -> None:
        """Keep files of these versions, and of all later ones, from every vacuum for as long as ``reader`` is there."""
        with self._lock:
            self._readers[reader] = versions
            self._lower_to(versions)

    def let_go(self, reader: object) -> None:
        """Hold nothing for ``reader`` any more, and not until the next renewal, as when it is just gone.

        For who reads old versions, which would hold back every vacuum when that is done again and again.
        """
        with self._lock:
            self._readers.pop(reader, None)
            self.narrow()

    def narrow(self) -> None:
        """Say what is held now: readers of this process may be gone since the file was written."""
        with self._lock:
            if self._is_over:
                self.renew()
            elif self._is_written and self._held != (wanted := self._wanted()):
                self._held = wanted
                self._write()

    def is_on(self, location: Location) -> bool:
        """Whether it is a lease on that lake, however often this process has opened it."""
        return self._location.uri == location.uri

    @contextmanager
    def holding(self, versions: Mapping[str, int]) -> Iterator[None]:
        """:meth:`hold` inside the block."""
        reader = _Reader()
        self.hold(reader, versions)
        try:
            yield
        finally:
            self.let_go(reader)

    def renew(self) -> None:
        """Tell other hosts that the process lives, and let go of what nobody holds or has asked for since the last."""
        with self._lock:
            self._before, self._covered = self._covered, {}
            self._held = self._wanted()
            if self._held:
                self._write()
            elif self._is_written:
                self._delete()
            if self._is_over and not self._held:
                marks.release(self._location)

    def release(self) -> None:
        """The lake is closed: keep only what a reader still holds, until a renewal or a vacuum here finds that gone."""
        with self._lock:
            self._is_over, self._covered = True, {}
            self.renew()

    def _wanted(self) -> dict[str, int]:
        """The oldest version of each dataset that is to be held."""
        wanted: dict[str, int] = {}
        for versions in [self._before, self._covered, *self._readers.values()]:
            _lower(wanted, versions)
        return wanted

    def _delete(self) -> None:
        self._location.delete([f"{FOLDER}/{self._name}"])
        self._is_written = False

    def _lower_to(self, versions: Mapping[str, int]) -> None:
        if not _has(self._held, versions) or now_micros() >= self._due:
            _lower(self._held, versions)
            self._write()

    def _write(self) -> None:
        try:
            # a power cut that takes it takes the reader too; syncing it would be half of a restart's first read
            self._location.write(f"{FOLDER}/{self._name}", self._text(), durable=False)
            self._due = now_micros() + _RELIED_ON_MICROS
        except StorageError as error:
            _log.warning("no lease could be written, a vacuum may disturb this reader: %s", error)
            self._due = now_micros() + _RETRY_MICROS
        self._is_written = True

    def _text(self) -> bytes:
        mark = marks.token(self._location)
        lease = {"host": host_name(), "pid": os.getpid(), "mark": mark, "renewed": now_micros(), "versions": self._held}
        return json.dumps(lease).encode()


def _has(held: Mapping[str, int], versions: Mapping[str, int]) -> bool:
    """Whether files of those versions, and of all later ones, are among those of the versions held."""
    return all(held.get(name, version + 1) <= version for name, version in versions.items())


def _lower(held: dict[str, int], versions: Mapping[str, int]) -> None:
    held.update({name: min(version, held.get(name, version)) for name, version in versions.items()})


class _Keeper:
    """The thread that renews the leases of this process."""

    def __init__(self) -> None:
        self.forsake()
        forks.watch(self)

    def forsake(self) -> None:
        """This process has no such thread, and no leases yet."""
        self._leases: WeakSet[Lease] = WeakSet()
        self._thread: Thread | None = None
        self._lock = RLock()

    def keep(self, lease: Lease) -> None:
        """Renew it for as long as it is there."""
        with self._lock:
            self._leases.add(lease)
            if self._thread is None:
                self._thread = Thread(target=self._run, name="lake-leases", daemon=True)
                with suppress(RuntimeError):  # the interpreter ends, and starts none any more
                    self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(_RENEW_SECONDS)
            self._renew_all()

    def narrow(self, location: Location) -> None:
        """Let this process's leases on a lake say what is held now."""
        for lease in self._kept():
            if lease.is_on(location):
                lease.narrow()

    def _kept(self) -> list[Lease]:
        with self._lock:
            return list(self._leases)

    def _renew_all(self) -> None:
        """By itself, so that the thread holds no lease while it sleeps."""
        for lease in self._kept():
            try:
                lease.renew()
            except StorageError as error:  # of one lake; the others are to be kept all the same
                _log.warning("a lease could not be given back: %s", error)


_keeper = _Keeper()


def held_versions(location: Location) -> dict[str, set[int]]:
    """Dataset -> versions that living readers hold; leases of the dead are removed on the way."""
    _keeper.narrow(location)
    leases = [(entry.path, location.read_or_none(entry.path)) for entry in list(location.list(FOLDER))]
    living = marks.living(location)  # after the leases: who wrote one had a mark before
    held: dict[str, set[int]] = {}
    for path, raw in leases:
        try:
            lease = json.loads(raw or b"")
        except ValueError:
            continue
        is_here = location.is_local and lease.get("host") == host_name() and "mark" in lease
        age = now_micros() - lease.get("renewed", 0)
        if lease["mark"] in living if is_here else age < _EXPIRE_MICROS:
            for name, version in lease["versions"].items():
                held.setdefault(name, set()).add(version)
        elif is_here or age > _FORGOTTEN_MICROS:  # who slept elsewhere may wake, and renew it right now
            location.delete([path])
    return held
