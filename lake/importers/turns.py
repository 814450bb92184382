"""Turns: of all imports into a lake on a host, one at a time looks up what is there and writes what is not.

Two imports of one store that ran at once would both find that a row is not there, and both tell that they landed it. So
each has the turn from the look until what it wrote is durable: batch by batch, so that they go on side by side, and a
bot, which takes no such turns, never waits for them. The turn is a lock on a file: it ends with its process, however
that ends.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lake.store import forks
from lake.store.location.local_errors import storage_errors

_NAME = "imports.lock"


class ImportTurn:
    """One import's share in the turns; it is used by one thread.

    Args:
        lk: an open lake; None, in a plan, which writes nothing and waits for nobody.
    """

    def __init__(self, lk: Any) -> None:
        self._lk = lk
        self._is_held = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Have the turn inside the block; waits for other imports. Inside of such a block there is nothing to do.

        Raises:
            StorageError: nothing can be written in the folder of the hot logs.
        """
        if self._lk is None or self._is_held:
            yield
            return
        folder = self._lk.store.hot_folder
        with storage_errors(str(folder), _NAME):
            folder.mkdir(parents=True, exist_ok=True)
            file = (folder / _NAME).open("ab")
        with file:
            forks.keep_lock(file)
            fcntl.flock(file, fcntl.LOCK_EX)
            self._is_held = True
            try:
                yield
            finally:
                self._is_held = False
