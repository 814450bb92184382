"""Folders that are held open, so that their stamps are told without a walk along their paths, in half the time.

Each transaction asks for those of its tables, and of the hot logs. A folder that is not there is told of by the nearest
one above it that is: nothing was added to that. Both hold for a second: then the path is asked, in case that a folder
was put there as a whole, by hand.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from weakref import finalize

from lake.store.location.base import trusted

_SECONDS = 1.0


class _Held:
    """An open folder, which is closed when nobody uses it any more.

    Attributes:
        descriptor: of the folder.
        until: when its path is to be asked again, in seconds of the steady clock.
        lacks: its stamp, as long as the one that was asked for is not in it; None for that one itself.
    """

    __slots__ = ("__weakref__", "descriptor", "lacks", "until")

    def __init__(self, path: Path, until: float) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        finalize(self, os.close, self.descriptor)
        self.until = until
        self.lacks: int | None = None


class Glance:
    """The stamp of one local folder, asked for again and again.

    Args:
        path: of the folder.
        is_own: whether it is on a disk of this machine; see :func:`trusted`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Glance(f"{folder}/none").stamp(), Glance(folder).stamp() == os.stat(folder).st_mtime_ns
    (0, True)
    """

    def __init__(self, path: str, *, is_own: bool = False) -> None:
        self._path, self._is_own = Path(path), is_own
        self._held: _Held | None = None

    def stamp(self) -> int:
        """The time of the folder's last change, in nanoseconds; 0 where there is none."""
        held = self._held
        if held is not None and time.monotonic() < held.until:
            found = os.fstat(held.descriptor)
            if held.lacks is None:
                if found.st_nlink:
                    return found.st_mtime_ns
            elif held.lacks == found.st_mtime_ns and found.st_nlink:
                return 0
        return self._look()

    def close(self) -> None:
        """Let go of it, until it is asked again."""
        self._held = None

    def _look(self) -> int:
        """Ask for the path, and hold what tells from now on."""
        self._held, until = None, time.monotonic() + _SECONDS
        try:
            held = _Held(self._path, until)
        except FileNotFoundError:
            self._hold_above(until)
            return 0
        self._held = held
        return os.fstat(held.descriptor).st_mtime_ns

    def _hold_above(self, until: float) -> None:
        for above in self._path.parents:
            try:
                held = _Held(above, until)
            except FileNotFoundError:
                continue
            held.lacks = trusted(os.fstat(held.descriptor).st_mtime_ns, is_own=self._is_own)
            if held.lacks is not None and not self._path.exists():
                self._held = held
            return
