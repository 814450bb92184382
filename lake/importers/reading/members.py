"""Files by the hundred: in a folder and those below it, in archives, or one alone."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from lake.errors import SourceError
from lake.importers.addresses import existing
from lake.importers.reading.packed import opened, opened_in
from lake.store.walking import files_below


@dataclass(frozen=True)
class Member:
    """One file.

    Attributes:
        path: where it is; for one in an archive, that of the archive and what it is called in there.
        open: its bytes, to be closed.
    """

    path: PurePosixPath
    open: Callable[[], BinaryIO]


def members(source: str) -> Iterator[Member]:
    """The files that a source names, in order of their names.

    Raises:
        SourceError: there is no such file or folder, or an archive that cannot be read.
    """
    path = existing(source)
    files = files_below(path) if path.is_dir() else [path]
    for file in files:
        if file.suffix == ".zip":
            yield from _in_archive(file)
        else:
            yield Member(PurePosixPath(file.resolve().as_posix()), partial(opened, file))


def _in_archive(path: Path) -> Iterator[Member]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(info.filename for info in archive.infolist() if not info.is_dir())
            for name in names:
                inside = PurePosixPath(path.resolve().as_posix()) / name
                yield Member(inside, partial(opened_in, archive, name, path))
    except (zipfile.BadZipFile, OSError) as error:
        raise SourceError(f"the archive cannot be read: {error}", where=str(path)) from error
