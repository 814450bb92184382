"""Rows that wait until it is known what becomes of them: few in memory, the others on disk, however many there are."""

from __future__ import annotations

import json
import tempfile
import weakref
import zlib
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import IO, Any

from lake.importers.base import Row
from lake.store.location.local_errors import storage_errors

_PIECE = 5_000  # rows that are packed together
_LEVEL = 1  # of zlib: a tenth of the size in little time
_KIND = "\0"  # begins what a value that JSON does not have is written under; no database has such names
_TYPES: dict[type, tuple[str, Callable[[Any], str], Callable[[str], Any]]] = {
    Decimal: ("decimal", str, Decimal),
    datetime: ("datetime", datetime.isoformat, datetime.fromisoformat),
    date: ("date", date.isoformat, date.fromisoformat),
    bytes: ("bytes", bytes.hex, bytes.fromhex),
}
_MEANT = {_KIND + name: read for name, _, read in _TYPES.values()}


class SetAside:
    """Rows of a database in order, to be read as often as one likes.

    Those of a long row of them are in a file without a name, which goes with this object or its process.

    >>> rows = SetAside(piece=2)
    >>> for number in range(5):
    ...     rows.add({"number": number})
    >>> len(rows), [row["number"] for row in rows]
    (5, [0, 1, 2, 3, 4])
    """

    def __init__(self, piece: int = _PIECE) -> None:
        self._piece = piece
        self._rows: list[Row] = []
        self._file: IO[bytes] | None = None
        self._sizes: list[int] = []  # of the pieces in the file
        self._packed = 0  # rows in them

    def __len__(self) -> int:
        return self._packed + len(self._rows)

    def add(self, row: Row) -> None:
        """Add one.

        Raises:
            StorageError: the disk for temporary files is full, or cannot be written.
        """
        self._rows.append(row)
        if len(self._rows) >= 2 * self._piece:
            self._pack()

    def __iter__(self) -> Iterator[Row]:
        at = 0
        for size in self._sizes:
            yield from self._read(at, size)
            at += size
        yield from self._rows

    def _read(self, at: int, size: int) -> list[Row]:
        if self._file is None:
            return []
        self._file.seek(at)
        rows: list[Row] = json.loads(zlib.decompress(self._file.read(size)), object_hook=_meant)
        return rows

    def _pack(self) -> None:
        """Put the older of the rows in memory on disk."""
        packed = zlib.compress(json.dumps(self._rows[: self._piece], default=_told).encode(), _LEVEL)
        with storage_errors(tempfile.gettempdir(), ""):
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with this object
                weakref.finalize(self, self._file.close)
            self._file.seek(sum(self._sizes))
            self._file.write(packed)
            self._file.flush()
        self._sizes.append(len(packed))
        self._packed += self._piece
        del self._rows[: self._piece]


def _told(value: Any) -> dict[str, str]:
    name, write, _ = _TYPES[type(value)]
    return {_KIND + name: write(value)}


def _meant(found: dict[str, Any]) -> Any:
    """An object as it is, or the value that it stands for."""
    name = next(iter(found), "")
    return _MEANT[name](found[name]) if name in _MEANT else found
