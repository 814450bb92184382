"""Packed files, and files in archives: what is damaged in them is told as that of a source."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

from lake.errors import SourceError
from lake.spec.encodings import LOOKED_AT, encoding_of

_PIECE = 1 << 14


class Unpacked(io.BufferedIOBase):
    """The bytes of a packed file. Where it was not written to its end they end with an EOFError.

    Args:
        file: unpacks what it reads.
        path: of the file, or of the archive that it is in.
        below: closed as well.

    Raises:
        SourceError: it is damaged, or cannot be read.
    """

    def __init__(self, file: BinaryIO, path: Path, *below: BinaryIO) -> None:
        self._file, self._path, self._below = file, path, below
        self.breaks_off = False

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """So many bytes."""
        return self._told(self._file.read, size)

    def read1(self, size: int = -1) -> bytes:
        """As many as there are at once."""
        return self._told(cast("io.BufferedReader", self._file).read1, size)

    def close(self) -> None:
        """Let go of the file."""
        for file in (self._file, *self._below):
            file.close()
        super().close()

    def _told(self, read: Callable[[int], bytes], size: int | None) -> bytes:
        try:
            return read(-1 if size is None else size)
        except EOFError:
            self.breaks_off = True
            raise
        except (OSError, zlib.error, zipfile.BadZipFile) as error:
            raise SourceError(f"it cannot be read: {error}", where=str(self._path)) from error


def opened(path: Path) -> BinaryIO:
    """A file's bytes, unpacked when its name ends in .gz; to be closed."""
    file = path.open("rb")
    return unpacked(file, path) if path.suffix == ".gz" else file


def unpacked(file: BinaryIO, path: Path) -> BinaryIO:
    """The bytes of a file that holds them packed."""
    return cast("BinaryIO", Unpacked(cast("BinaryIO", gzip.GzipFile(fileobj=file)), path, file))


def opened_in(archive: zipfile.ZipFile, name: str, path: Path) -> BinaryIO:
    """A file's bytes in an archive; to be closed.

    Raises:
        SourceError: it cannot be read, as one with a password.
    """
    try:
        return cast("BinaryIO", Unpacked(cast("BinaryIO", archive.open(name)), path))
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError) as error:
        raise SourceError(f"{name} in the archive cannot be read: {error}", where=str(path)) from error


def head_of(path: Path) -> bytes:
    """The first bytes of a file; of a packed one that is damaged, or not written to its end, as many as are whole.

    Raises:
        SourceError: it cannot be read.
    """
    with opened(path) as file:
        return up_to(LOOKED_AT, file, path, is_head=True)


def encoding_at(path: Path) -> str:
    """The encoding of a file's text."""
    return encoding_of(head_of(path))


def up_to(wanted: int, file: BinaryIO, path: Path, *, is_head: bool = False) -> bytes:
    """So many bytes; fewer at the end, also where a packed file was not written to its end."""
    pieces: list[bytes] = []
    read = cast("io.BufferedReader", file).read1  # what comes before a broken end is not lost with more of it
    try:
        while wanted > 0 and (piece := read(min(wanted, _PIECE))):
            pieces.append(piece)
            wanted -= len(piece)
    except EOFError:
        pass  # it is told where the text breaks off
    except SourceError:
        if not (is_head and pieces):
            raise
    except OSError as error:
        raise SourceError(f"it cannot be read: {error}", where=str(path)) from error
    return b"".join(pieces)
