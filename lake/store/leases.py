"""Leases: what running readers hold, so that vacuum leaves their files alone.

A lease is a small file that names the oldest version of each dataset that its process may still
read. On the host that wrote it, the process's mark tells whether it lives; elsewhere its age does.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Mapping
from threading import Lock
from weakref import WeakKeyDictionary

from lake.clock import MICROS_PER_DAY, now_micros
from lake.errors import StorageError
from lake.store import marks
from lake.store.hot.claim import host_name
from lake.store.location import Location

_log = logging.getLogger("lake.leases")

FOLDER = "_lake/leases"
_RENEW_MICROS = 3600 * 1_000_000
_EXPIRE_MICROS = MICROS_PER_DAY


class Lease:
    """This process's lease on a lake; written at the first read, then once an hour."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._name = f"{host_name()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.json"
        self._held: dict[str, int] = {}
        self._readers: WeakKeyDictionary[object, Mapping[str, int]] = WeakKeyDictionary()
        self._written = 0
        self._lock = Lock()

    def cover(self, versions: Mapping[str, int], reader: object | None = None) -> None:
        """Promise to keep files of these versions, and of those covered before, readable.

        Those covered more than an hour ago are let go of, but not those of a ``reader`` that is still there.
        """
        now = now_micros()
        if reader is not None:
            with self._lock:
                self._readers[reader] = versions
        due = now - self._written >= _RENEW_MICROS
        if not due and all(self._held.get(name, version + 1) <= version for name, version in versions.items()):
            return
        with self._lock:
            lowered = {} if due else dict(self._held)
            for needed in (versions, *self._readers.values()):
                lowered.update({name: min(version, lowered.get(name, version)) for name, version in needed.items()})
            self._held = {**self._held, **lowered}
            try:
                # a power cut that takes it takes the reader too; syncing it would be half of a restart's first read
                self._location.write(f"{FOLDER}/{self._name}", self._text(now), durable=False)
            except StorageError as error:  # a full or read-only disk must not keep anybody from reading
                _log.warning("no lease could be written, a vacuum may disturb this reader: %s", error)
            self._written = now

    def release(self) -> None:
        """Give the promise back."""
        with self._lock:
            if self._written:
                self._location.delete([f"{FOLDER}/{self._name}"])
            marks.release(self._location)
            self._held, self._written = {}, 0

    def _text(self, now: int) -> bytes:
        mark = marks.token(self._location)
        lease = {"host": host_name(), "pid": os.getpid(), "mark": mark, "renewed": now, "versions": self._held}
        return json.dumps(lease).encode()


def held_versions(location: Location) -> dict[str, set[int]]:
    """Dataset -> versions that living readers hold; leases of the dead are removed on the way."""
    leases = [(entry.path, location.read_or_none(entry.path)) for entry in list(location.list(FOLDER))]
    living = marks.living(location)  # after the leases: who wrote one had a mark before
    held: dict[str, set[int]] = {}
    for path, raw in leases:
        try:
            lease = json.loads(raw or b"")
        except ValueError:
            continue
        if not _alive(location, lease, living):
            location.delete([path])
            continue
        for name, version in lease["versions"].items():
            held.setdefault(name, set()).add(version)
    return held


def _alive(location: Location, lease: Mapping[str, object], living: set[str]) -> bool:
    if location.is_local and lease.get("host") == host_name() and "mark" in lease:
        return lease["mark"] in living
    renewed = lease.get("renewed")
    return isinstance(renewed, int) and now_micros() - renewed < _EXPIRE_MICROS
