"""Leases: what running readers hold, so that vacuum leaves their files alone.

A lease is a small file that names the oldest version of each dataset that its process may still
read. On the host that wrote it, a lock tells whether the process lives; elsewhere its age does.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import IO

from lake.clock import MICROS_PER_DAY, now_micros
from lake.errors import StorageError
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
        self._written = 0
        self._guard: IO[str] | None = None
        self._lock = Lock()

    def cover(self, versions: Mapping[str, int]) -> None:
        """Promise to keep files of these versions, and of those covered before, readable."""
        now = now_micros()
        due = now - self._written >= _RENEW_MICROS
        if not due and all(self._held.get(name, version + 1) <= version for name, version in versions.items()):
            return
        with self._lock:
            kept = {} if due else self._held
            lowered = {name: min(version, kept.get(name, version)) for name, version in versions.items()}
            self._held = {**self._held, **lowered}
            try:
                self._location.write(f"{FOLDER}/{self._name}", self._text(now))
                self._hold()
            except StorageError as error:  # a full or read-only disk must not keep anybody from reading
                _log.warning("no lease could be written, a vacuum may disturb this reader: %s", error)
            self._written = now

    def release(self) -> None:
        """Give the promise back."""
        with self._lock:
            if self._written:
                self._location.delete([f"{FOLDER}/{self._name}"])
            if self._guard is not None:
                self._guard.close()
                self._guard = None
            self._held, self._written = {}, 0

    def _text(self, now: int) -> bytes:
        return json.dumps({"host": host_name(), "pid": os.getpid(), "renewed": now, "versions": self._held}).encode()

    def _hold(self) -> None:
        if not self._location.is_local:
            return
        if self._guard is not None:
            self._guard.close()
        self._guard = Path(self._location.url(f"{FOLDER}/{self._name}")).open(encoding="utf-8")  # noqa: SIM115 - held
        fcntl.flock(self._guard, fcntl.LOCK_SH)


def held_versions(location: Location) -> dict[str, set[int]]:
    """Dataset -> versions that living readers hold; leases of the dead are removed on the way."""
    held: dict[str, set[int]] = {}
    for entry in list(location.list(FOLDER)):
        raw = location.read_or_none(entry.path)
        try:
            lease = json.loads(raw or b"")
        except ValueError:
            continue
        if not _alive(location, entry.path, lease):
            location.delete([entry.path])
            continue
        for name, version in lease["versions"].items():
            held.setdefault(name, set()).add(version)
    return held


def _alive(location: Location, path: str, lease: Mapping[str, object]) -> bool:
    if location.is_local and lease.get("host") == host_name():
        return _locked(Path(location.url(path)))
    renewed = lease.get("renewed")
    return isinstance(renewed, int) and now_micros() - renewed < _EXPIRE_MICROS


def _locked(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
