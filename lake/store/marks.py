"""Marks: which processes may still be about to commit what they wrote, or read what they hold.

A mark is a small file in ``_lake/running``. Its token is in the name of every data file that its process writes
and in the process's lease, so that vacuum can ask whether the process lives. On the host that made it a lock on
the file tells, however long the process takes; elsewhere, and in a bucket, its age does: it is renewed when it is
used, and believed for a day.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from pathlib import Path
from threading import RLock
from typing import IO
from weakref import WeakKeyDictionary, finalize

from lake.clock import MICROS_PER_DAY, MICROS_PER_HOUR, now_micros
from lake.store import forks
from lake.store.hot.claim import host_name
from lake.store.location import Location
from lake.store.location.local_errors import storage_errors

FOLDER = "_lake/running"
_FORGOTTEN_MICROS = 7 * MICROS_PER_DAY


class _Mark:
    """One open lake's mark, locked for as long as this object lives."""

    def __init__(self, location: Location) -> None:
        self.token = uuid.uuid4().hex[:12]
        self.path = f"{FOLDER}/{self.token}@{host_name()}"
        self.renewed = now_micros()
        self._file: IO[bytes] | None = None
        if not location.is_local:
            location.write(self.path, b"")
            return
        with storage_errors(location.uri, self.path):
            file = Path(location.url(self.path))
            file.parent.mkdir(parents=True, exist_ok=True)
            self._file = file.open("xb")
        forks.keep_lock(self._file)
        self._unlock = finalize(self, self._file.close)
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def is_there(self, location: Location) -> bool:
        """Whether the locked file still has its name: a vacuum may have come between making and locking it."""
        if self._file is None:
            return True
        try:
            with storage_errors(location.uri, self.path):
                return Path(location.url(self.path)).stat().st_ino == os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:
            return False

    def renew(self, location: Location) -> None:
        """Tell other hosts that the process lives."""
        if self._file is None:
            location.write(self.path, b"")
        else:
            with storage_errors(location.uri, self.path):
                os.utime(self._file.fileno())
        self.renewed = now_micros()

    def release(self, location: Location) -> None:
        """Remove it."""
        location.delete([self.path])
        if self._file is not None:
            self._unlock()


class _Open:
    """The marks of this process's open lakes."""

    def __init__(self) -> None:
        self.forsake()
        forks.watch(self)

    def forsake(self) -> None:
        """This process has none yet, and a thread of its parent may have held the lock."""
        self.marks: WeakKeyDictionary[Location, _Mark] = WeakKeyDictionary()
        self.lock = RLock()  # again by one thread: a lake that nobody needs any more may be closed in any line


_open = _Open()


def token(location: Location) -> str:
    """The token of this process's mark on an open lake; the mark is there when this returns.

    Raises:
        StorageError: no mark can be made, so that nothing may be written either.
    """
    with _open.lock:
        mark = _open.marks.get(location)
        if mark is not None and now_micros() - mark.renewed < MICROS_PER_HOUR:
            return mark.token
        while mark is None or not mark.is_there(location):
            mark = _Mark(location)
        if now_micros() - mark.renewed >= MICROS_PER_HOUR:
            mark.renew(location)
        _open.marks[location] = mark
        return mark.token


def release(location: Location) -> None:
    """Take the mark away: nothing that was written is still to be committed, and nothing is read any more."""
    with _open.lock:
        mark = _open.marks.pop(location, None)
        if mark is not None:
            mark.release(location)


def living(location: Location) -> set[str]:
    """Tokens of all processes that may live; marks of those that surely ended are removed on the way."""
    found = set()
    for entry in list(location.list(FOLDER)):
        name, _, host = entry.path.rpartition("/")[2].partition("@")
        age = now_micros() - entry.modified_micros
        if location.is_local and host == host_name():
            with storage_errors(location.uri, entry.path):
                lives = not _buried(Path(location.url(entry.path)))
        else:
            lives = age < MICROS_PER_DAY
            if age > _FORGOTTEN_MICROS:
                location.delete([entry.path])
        if lives:
            found.add(name)
    return found


def _buried(mark: Path) -> bool:
    """Whether nobody holds the lock; the file is removed then, under the lock, so that no one takes it meanwhile."""
    try:
        with mark.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mark.unlink()
    except BlockingIOError:
        return False
    except FileNotFoundError:
        return True
    return True
