"""What a forked process must not use: the lakes that its parent had open.

Parent and child would number entries of one hot log alike and share one SQLite connection, while the threads of DuckDB
and Polars are in the parent alone, so that a read would wait for ever. So all that watches is told in the child.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Watcher(Protocol):
    """Something that must not be used in a forked child."""

    def forsake(self) -> None:
        """This is a child: refuse every use from now on, and let go of nothing that is the parent's."""


_watchers: WeakSet[Watcher] = WeakSet()


def watch(watcher: Watcher) -> None:
    """Tell it when it finds itself in a forked child."""
    _watchers.add(watcher)


def _tell() -> None:
    for watcher in list(_watchers):
        watcher.forsake()


os.register_at_fork(after_in_child=_tell)
