"""Where stores are: paths that exist, and addresses of servers."""

from __future__ import annotations

from pathlib import Path

from lake.errors import SourceError
from lake.spec.addresses import is_server, shown

__all__ = ["existing", "is_server", "shown"]


def existing(source: str) -> Path:
    """The path that a source names.

    Raises:
        SourceError: there is nothing.
    """
    path = Path(source)
    if not path.exists():
        raise SourceError("there is no such file or folder", where=source, todo="Check the path.")
    return path
