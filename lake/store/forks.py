"""What a forked process must not use: the lakes that its parent had open.

Parent and child would number entries of one hot log alike and share one SQLite connection, while the threads of DuckDB
and Polars are in the parent alone, so that a read would wait for ever. So all that watches is told in the child. Files
that the parent has locked are closed there: else the lock would outlive the parent, or what it held it for.
"""

from __future__ import annotations

import os
from typing import IO, Any, Protocol
from weakref import WeakSet


class Watcher(Protocol):
    """Something that must not be used in a forked child."""

    def forsake(self) -> None:
        """This is a child: refuse every use from now on, and let go of nothing that is the parent's."""


_watchers: WeakSet[Watcher] = WeakSet()
_locked: WeakSet[IO[Any]] = WeakSet()


def watch(watcher: Watcher) -> None:
    """Tell it when it finds itself in a forked child."""
    _watchers.add(watcher)


def keep_lock(file: IO[Any]) -> None:
    """A lock on the open file is this process's alone, and not that of its forked children."""
    _locked.add(file)


def _tell() -> None:
    for file in list(_locked):
        file.close()
    for watcher in list(_watchers):
        watcher.forsake()


os.register_at_fork(after_in_child=_tell)
