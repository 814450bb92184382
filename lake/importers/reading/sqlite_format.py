"""Pages of SQLite files as bytes, as the description of SQLite's file format has them.

They are looked at only where SQLite itself has found a file damaged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Self

INTERIOR, LEAF, INDEX_LEAF = 5, 13, 10  # kinds of pages
LEAST, MOST = -(1 << 63) - 1, (1 << 63) - 1  # below every number of a row, and the highest
_HEAD = 100  # bytes of the file's, on its first page
_LARGEST = 65_536  # a page of that size says 1
_LOCK = 1 << 30  # the page with this byte is never used
_LEAF_HEAD, _INTERIOR_HEAD, _LONGEST_CELL = 8, 12, 15  # bytes; of an interior page's cell with its pointer
_VARINT = 9  # bytes, at most
_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)  # of values, by serial type
_TEXT = 12  # the serial type from which on a value is a text or a blob
Cell = tuple[int, int, int]  # where it is on its page, the row's number, how many columns it has


class BrokenPageError(Exception):
    """Bytes that are no part of a SQLite file."""


class PageFile:
    """A SQLite file without a log beside it, page by page; one that may be changed.

    Attributes:
        size: bytes of a page.
        usable: of these, those that SQLite uses.
        there: whole pages.
        last: the page of the highest number that is or should be there.
    """

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("r+b")
        head, length = self._file.read(_HEAD), path.stat().st_size
        size = int.from_bytes(head[16:18], "big")
        self.size = _LARGEST if size == 1 else size
        self.usable = self.size - head[20]
        self.there = length // self.size
        self.last = max(-(-length // self.size), word(head, 28))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, page: int) -> bytes:
        """The bytes of a page.

        Raises:
            BrokenPageError: the file ends before it.
        """
        if not 0 < page <= self.there:
            raise BrokenPageError
        self._file.seek((page - 1) * self.size)
        return self._file.read(self.size)

    def write(self, page: int, data: bytes) -> None:
        """Put bytes in a page's place."""
        self._file.seek((page - 1) * self.size)
        self._file.write(data)

    def add(self, data: bytes) -> int:
        """A new page, behind all that the file should have."""
        self.last += 2 if self.last * self.size == _LOCK else 1
        self.write(self.last, data)
        return self.last

    def free(self) -> set[int]:
        """Pages that are in no tree, though what they held may still be on them.

        Raises:
            BrokenPageError: the list of them is damaged.
        """
        head, found = self.read(1), set[int]()
        trunk = word(head, 32)
        while trunk and trunk not in found:
            data = self.read(trunk)
            held = min(word(data, 4), self.usable // 4)
            found |= {trunk, *(word(data, 8 + 4 * place) for place in range(held))}
            trunk = word(data, 0)
        if len(found) != word(head, 36):
            raise BrokenPageError
        return found

    def settle(self) -> None:
        """Let the file have all its pages, no log, no list of free pages and no map of what points where."""
        head = bytearray(self.read(1))
        head[18:20] = b"\1\1"
        head[28:32] = self.last.to_bytes(4, "big")
        for place in (32, 36, 52, 64):
            head[place : place + 4] = bytes(4)
        head[92:96] = head[24:28]
        self.write(1, bytes(head))


def word(data: bytes, at: int) -> int:
    """Four bytes as a number."""
    return int.from_bytes(data[at : at + 4], "big")


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of one to nine bytes, and where it ends.

    >>> varint(bytes([0x81, 0x00]), 0)
    (128, 2)
    """
    value = 0
    for place in range(at, at + _VARINT - 1):
        byte = data[place]
        if byte < 0x80:
            return value << 7 | byte, place + 1
        value = value << 7 | byte & 0x7F
    value = value << 8 | data[at + _VARINT - 1]
    return value - (1 << 64) if value > MOST else value, at + _VARINT


def as_varint(value: int) -> bytes:
    r"""A number in as few bytes as hold it.

    >>> as_varint(128), varint(as_varint(-5), 0)
    (b'\x81\x00', (-5, 9))
    """
    left = value % (1 << 64)
    if left >> 56:
        high = left >> 8
        return bytes([0x80 | high >> 7 * place & 0x7F for place in range(7, -1, -1)] + [left & 0xFF])
    found = [left & 0x7F]
    while left := left >> 7:
        found.append(0x80 | left & 0x7F)
    return bytes(reversed(found))


def is_leaf(file: PageFile, data: bytes) -> bool:
    """Whether a page of a table's tree is a leaf; else there are pages below it.

    Raises:
        BrokenPageError: it is none of a table's tree.
    """
    heads = {LEAF: _LEAF_HEAD, INTERIOR: _INTERIOR_HEAD}
    if data[0] not in heads or heads[data[0]] + 2 * _count(data) > file.usable:
        raise BrokenPageError
    return data[0] == LEAF


def _count(data: bytes) -> int:
    return int.from_bytes(data[3:5], "big")


def cells(file: PageFile, data: bytes) -> Iterator[Cell | None]:
    """The rows on a leaf, in its order; None for each that is not whole."""
    for place in range(_LEAF_HEAD, _LEAF_HEAD + 2 * _count(data), 2):
        try:
            yield _cell(file, data, int.from_bytes(data[place : place + 2], "big"))
        except (BrokenPageError, IndexError):
            yield None


def _cell(file: PageFile, data: bytes, at: int) -> Cell:
    """One row, of which all is there: its values take the room that it says, here and on the pages that it names."""
    length, place = varint(data, at)
    row, place = varint(data, place)
    local = _local(file, length)
    if at < _LEAF_HEAD or length <= 0 or place + local > file.usable:
        raise BrokenPageError
    if local < length:
        _follow(file, word(data, place + local), -(-(length - local) // (file.usable - 4)))
    header, at_type = varint(data, place)
    if header > local:  # of so many columns that their types go on elsewhere
        return at, row, 0
    taken, columns, end = header, 0, place + header
    while at_type < end:
        kind, at_type = varint(data, at_type)
        taken += (kind - _TEXT) // 2 if kind >= _TEXT else _SIZES[kind]
        columns += 1
    if at_type != end or taken != length:
        raise BrokenPageError
    return at, row, columns


def _local(file: PageFile, length: int) -> int:
    """How much of a row is on its leaf."""
    most, least = file.usable - 35, (file.usable - 12) * 32 // 255 - 23
    if length <= most:
        return length
    local = least + (length - least) % (file.usable - 4)
    return local if local <= most else least


def _follow(file: PageFile, page: int, count: int) -> None:
    for _ in range(count):
        page = word(file.read(page), 0)
    if page:
        raise BrokenPageError


def with_cells(data: bytes, places: Sequence[int]) -> bytes:
    """A leaf with some of its rows alone."""
    end = _LEAF_HEAD + 2 * len(places)
    pointers = b"".join(place.to_bytes(2, "big") for place in places)
    return data[:1] + bytes(2) + len(places).to_bytes(2, "big") + data[5:_LEAF_HEAD] + pointers + data[end:]


def empty(file: PageFile, kind: int) -> bytes:
    """A leaf without rows."""
    return (bytes([kind, 0, 0, 0, 0]) + (file.usable % _LARGEST).to_bytes(2, "big")).ljust(file.size, b"\0")


def children(data: bytes) -> Iterator[tuple[int, int] | None]:
    """The pages below an interior page, each with its highest row; None for each that it does not tell rightly."""
    for place in range(_INTERIOR_HEAD, _INTERIOR_HEAD + 2 * _count(data), 2):
        at = int.from_bytes(data[place : place + 2], "big")
        try:
            yield word(data, at), varint(data, at + 4)[0]
        except IndexError:
            yield None
    yield word(data, 8), MOST


def interior(file: PageFile, below: Sequence[tuple[int, int]]) -> bytes:
    """The page above some pages, of each of which the highest row is told."""
    pointers, content, at = b"", b"", file.usable
    for page, highest in below[:-1]:
        cell = page.to_bytes(4, "big") + as_varint(highest)
        at -= len(cell)
        pointers += at.to_bytes(2, "big")
        content = cell + content
    head = bytes([INTERIOR, 0, 0]) + (len(below) - 1).to_bytes(2, "big") + (at % _LARGEST).to_bytes(2, "big")
    head += bytes(1) + below[-1][0].to_bytes(4, "big") + pointers
    return (head.ljust(at, b"\0") + content).ljust(file.size, b"\0")


def room(file: PageFile) -> int:
    """How many pages may be below one."""
    return (file.usable - _INTERIOR_HEAD) // _LONGEST_CELL
