"""Bytes of a file, whatever it is packed in, with one clear sentence when they are damaged."""

from __future__ import annotations

import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from lake.errors import SourceError

HEAD = 4096
_LONGEST_LINE = 1 << 20
_TAIL = 1 << 16
BLOCK = 8 << 20
BOM = b"\xef\xbb\xbf"
_DAMAGE = (EOFError, zlib.error, zipfile.BadZipFile, lzma.LZMAError, gzip.BadGzipFile, NotImplementedError)
_AGAIN = "Fetch the file again."


class SeveralFilesError(SourceError):
    """A ZIP that holds another number of files than one.

    Attributes:
        names: of its files.
    """

    def __init__(self, path: Path, names: list[str]) -> None:
        what = f"a ZIP of candles or trades holds one file, this one {len(names)}"
        super().__init__(what, where=str(path), value=names[:5], todo="Unpack it, and ingest the folder.")
        self.names = names


def stem(path: Path) -> str:
    """File name without its data and compression suffixes.

    >>> stem(Path("data/BTC_USDT-5m.json.gz"))
    'BTC_USDT-5m'
    """
    name = path.name
    for suffix in (
        ".gz",
        ".zip",
        ".csv",
        ".txt",
        ".json",
        ".feather",
        ".arrow",
        ".ipc",
        ".parquet",
        ".h5",
        ".hdf5",
        ".data",
    ):
        name = name.removesuffix(suffix)
    return name


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The decompressed bytes: plain, gzip by its magic number, or the only data file of a ZIP.

    Raises:
        SourceError: the file is missing, empty or damaged, or the ZIP holds other than one file.
    """
    try:
        with path.open("rb") as raw:
            magic = raw.read(4)
            raw.seek(0)
            if not magic:
                raise SourceError("the file is empty (0 bytes)", where=str(path), todo=_AGAIN)
            if magic[:2] == b"\x1f\x8b":
                with gzip.open(raw, "rb") as stream:
                    yield cast(IO[bytes], stream)
            elif magic[:2] == b"PK":
                with zipfile.ZipFile(raw) as archive, archive.open(_member(archive, path)) as member:
                    yield member
            else:
                yield raw
    except _DAMAGE as error:
        raise SourceError(
            f"the compressed file is damaged or cut off: {error}", where=str(path), todo=_AGAIN
        ) from error
    except OSError as error:
        raise SourceError(f"the file cannot be read: {error.strerror or error}", where=str(path)) from error


def _member(archive: zipfile.ZipFile, path: Path) -> str:
    names = [i.filename for i in archive.infolist() if not i.is_dir() and not i.filename.endswith("CHECKSUM")]
    names = [n for n in names if not n.startswith("__MACOSX/")]
    if len(names) != 1:
        raise SeveralFilesError(path, names)
    return names[0]


def member_name(path: Path) -> str:
    """Name of the file inside the ZIP, or of the file itself when it is none."""
    with path.open("rb") as raw:
        if raw.read(2) != b"PK":
            return path.name
    try:
        with zipfile.ZipFile(path) as archive:
            return _member(archive, path)
    except zipfile.BadZipFile as error:
        raise SourceError(
            f"the compressed file is damaged or cut off: {error}", where=str(path), todo=_AGAIN
        ) from error


def head(path: Path) -> bytes:
    """The first bytes after decompression and without a byte-order mark; of a table of text the first line at least.

    Raises:
        SourceError: see :func:`opened`.
    """
    with opened(path) as stream:
        first = stream.read(HEAD).removeprefix(BOM)
        if b"\n" not in first and b"\0" not in first and first.lstrip()[:1] not in (b"[", b"{"):
            first += stream.readline(_LONGEST_LINE)
        return _with_newlines(first) if _ends_lines_by_cr(first) else first


def stamp(path: Path) -> tuple[int, int, int]:
    """What differs when a file is written to, or another put in its place: inode, size, time of the last change.

    Raises:
        SourceError: it is gone.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise SourceError(f"the file cannot be read: {error.strerror or error}", where=str(path)) from error
    return state.st_ino, state.st_size, state.st_mtime_ns


def tail(path: Path) -> bytes:
    """The last bytes; a compressed file is read to its end for them, so that a damaged one is known before it lands.

    Raises:
        SourceError: the file is damaged or cut off.
    """
    with path.open("rb") as raw:
        packed = raw.read(2) in (b"\x1f\x8b", b"PK")
    with opened(path) as stream:
        if not packed:
            stream.seek(max(0, path.stat().st_size - _TAIL))
            return stream.read()
        last = b""
        while more := stream.read(1 << 20):
            last = (last + more)[-_TAIL:]
        return last


def whole(path: Path) -> bytes:
    """All decompressed bytes, without a byte-order mark."""
    with opened(path) as stream:
        return stream.read().removeprefix(BOM)


def line_blocks(path: Path, size: int = BLOCK) -> Iterator[bytes]:
    """Blocks of whole lines of about ``size`` bytes."""
    with opened(path) as stream:
        rest = stream.read(size).removeprefix(BOM)
        convert = _with_newlines if _ends_lines_by_cr(rest) else bytes
        rest = convert(rest)
        while True:
            more = convert(stream.read(size))
            if not more:
                break
            cut = rest.rfind(b"\n") + 1
            if cut:
                yield rest[:cut]
            rest = rest[cut:] + more
        if rest.strip():
            yield rest


def _ends_lines_by_cr(data: bytes) -> bool:
    """Whether text has carriage returns alone at the ends of its lines, as old spreadsheets write it."""
    return b"\r" in data[:-1] and b"\n" not in data and b"\0" not in data


def _with_newlines(data: bytes) -> bytes:
    return data.replace(b"\r", b"\n")


def text_lines(data: bytes, count: int) -> list[str]:
    """The first lines of a head, decoded."""
    return [
        line.rstrip("\r\n") for line in io.StringIO(data.decode("utf-8", "replace")).readlines(count * 2048)[:count]
    ]
