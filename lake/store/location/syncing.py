"""fsync of files and of the folders that name them.

A file survives a power cut when its bytes are synced *and* every folder on the way to it is, since
a folder's entries are data of their own. Folders known to be durable are not walked again.
"""

from __future__ import annotations

import errno
import fcntl
import os
from threading import Lock
from typing import Final

# macOS: fsync leaves the bytes in the disk's own cache, F_FULLFSYNC does not
_FULL_SYNC: Final[int | None] = getattr(fcntl, "F_FULLFSYNC", None)
_NOT_SUPPORTED: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})


class Syncer:
    """Makes files below ``root`` durable.

    Args:
        root: absolute path of the lake; folders above it are synced only where they are new.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._known: set[str] = set()  # folders whose own entry is durable in their parent
        self._lock = Lock()

    def open_file(self, descriptor: int) -> None:
        """Sync an open file or folder."""
        if _FULL_SYNC is not None:
            try:
                fcntl.fcntl(descriptor, _FULL_SYNC)
            except OSError as error:
                if error.errno not in _NOT_SUPPORTED:
                    raise
            else:
                return
        os.fsync(descriptor)

    def file(self, path: str) -> None:
        """Sync a closed file's bytes; its folder is another matter."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            self.open_file(descriptor)
        finally:
            os.close(descriptor)

    def folder(self, path: str) -> None:
        """Sync a folder's entries, where the file system can."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except PermissionError:
            if len(path) >= len(self._root):
                raise
            return  # above the lake, and not made by this user, who may not even read it
        try:
            self.open_file(descriptor)
        except OSError as error:
            if error.errno not in _NOT_SUPPORTED:
                raise
        finally:
            os.close(descriptor)

    def folders_of(self, *paths: str) -> None:
        """Sync each folder that names one of ``paths``, once, and those above that are not known to be durable."""
        folders = {os.path.dirname(path) for path in paths}
        chains = {folder: self._chain(folder) for folder in folders}
        above = {os.path.dirname(f) for chain in chains.values() for f in chain if f not in self._known}
        for folder in sorted(folders | above, key=len, reverse=True):
            self.folder(folder)
        with self._lock:
            self._known.update(f for chain in chains.values() for f in chain)

    def make_folder(self, path: str) -> None:
        """Make a folder where it is missing; durable with the next :meth:`folders_of` of a file in it."""
        if os.path.isdir(path):
            return
        with self._lock:
            self._known.difference_update(f for f in self._chain(path) if not os.path.isdir(f))
        first = self._first_missing(self._root)
        os.makedirs(path, exist_ok=True)
        made_above = os.path.dirname(self._root)
        while len(made_above) >= len(first):
            made_above = os.path.dirname(made_above)
            self.folder(made_above)

    @staticmethod
    def _first_missing(path: str) -> str:
        """The outermost folder of ``path`` that does not exist; ``path`` itself when all do."""
        while not os.path.isdir(os.path.dirname(path)):
            path = os.path.dirname(path)
        return path

    def _chain(self, folder: str) -> list[str]:
        """``folder`` and those above it, up to and with the root."""
        found = []
        while len(folder) >= len(self._root):
            found.append(folder)
            folder = os.path.dirname(folder)
        return found
