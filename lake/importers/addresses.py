"""Where stores are: paths that exist, and addresses of servers."""

from __future__ import annotations

from pathlib import Path

from lake.errors import SourceError, UsageError
from lake.spec.addresses import is_server, shown

__all__ = ["existing", "existing_file", "is_server", "shown"]


def existing(source: str) -> Path:
    """The path that a source names.

    Raises:
        SourceError: there is nothing, or it is the address of a server.
        UsageError: nothing is named.
    """
    if not source:
        raise UsageError("no source is named", where="source", todo="Give a path, or an address.")
    if "://" in source:
        todo = "Give a path, or the kind for a server (lake import --kinds)."
        raise SourceError("it is an address, and this kind reads files", where=shown(source), todo=todo)
    path = Path(source)
    if not path.exists():
        raise SourceError("there is no such file or folder", where=source, todo="Check the path.")
    return path


def existing_file(source: str) -> Path:
    """The file that a source names.

    Raises:
        SourceError: there is nothing, or a folder.
    """
    path = existing(source)
    if path.is_dir():
        raise SourceError("it is a folder, and a file is expected", where=source, todo="Give a file that is in it.")
    return path
