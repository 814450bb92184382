"""What the operating system says about a lake's folder, in words that tell what to do."""

from __future__ import annotations

import errno
import os
from types import TracebackType
from typing import Final

from lake.errors import StorageError

SUPPORTS_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})

_MEANING: Final[dict[int, tuple[str, str]]] = {
    errno.EACCES: ("permission denied", "Give this user the right to read and write there."),
    errno.EPERM: ("permission denied", "Give this user the right to read and write there."),
    errno.EROFS: ("the file system is read-only", "Mount it writable, or put the lake elsewhere."),
    errno.ENOTDIR: ("part of the path is a file, not a folder", "Choose another path for the lake."),
    errno.EISDIR: ("there is a folder where a file should be", "Choose another path for the lake."),
    errno.EEXIST: ("part of the path is a file, not a folder", "Choose another path for the lake."),
    errno.ENOSPC: ("the disk is full", "Free some space, or run `lake retain` and `lake vacuum`."),
    errno.EDQUOT: ("the disk quota is used up", "Free some space, or ask for more."),
    errno.EFBIG: ("the file would be larger than is allowed", "Raise the limit on the size of files (ulimit -f)."),
    errno.EMFILE: ("this process has too many files open", "Raise the limit (ulimit -n)."),
    errno.ENFILE: ("this machine has too many files open", "Raise the limit, or stop other programs."),
    errno.ENAMETOOLONG: ("the path is too long", "Choose a shorter path for the lake."),
    errno.EIO: ("the disk failed", "Check the disk; what was not acknowledged may be lost."),
    errno.ESTALE: ("the network folder went away", "Mount it again."),
}


class storage_errors:  # noqa: N801  (reads as what it does: with storage_errors(uri, path))
    """Raise what fails inside as StorageError; a missing file stays FileNotFoundError.

    A class, since every small write enters some of these, and a generator's context costs four times as much.
    """

    __slots__ = ("path", "uri")

    def __init__(self, uri: str, path: str) -> None:
        self.uri = uri
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, OSError) or isinstance(error, FileNotFoundError):
            return
        what, todo = _MEANING.get(error.errno or 0, (_plain(error), "Check the path and the disk."))
        raise StorageError(what, where=f"{self.uri}/{self.path}" if self.path else self.uri, todo=todo) from error


def _plain(error: OSError) -> str:
    return (os.strerror(error.errno) if error.errno else str(error)).lower()
