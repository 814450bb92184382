"""The newest row of each bot, told in the metadata of a data file beside its row groups: a restart reads no group.

A group has up to a thousand snapshots to decode, and its first decoding in a process costs more than that: Arrow's
allocator takes its memory in pages of 2 MiB, which some hosts clear in 4 ms each. What is told is a copy out of the
same file, which never changes; other engines pass it over, and files that they wrote tell nothing.
"""

from __future__ import annotations

import binascii
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa

from lake.spec.dataset import Dataset
from lake.store.hot.entry import Row

_PREFIX = b"tradelake.newest:"  # the value is text too, as other engines expect of metadata
_MOST_BYTES = 256 << 10  # of a file; whoever does not fit in is looked for among the rows
_MOST_EFFORT = 4 << 20  # bytes of JSON that are compressed for a file, at most
_ROW_EFFORT = 4 << 10  # so many bytes take as long as a row does besides
_LEVEL = 1  # three times as quick as zlib's usual one, and 4 % larger
_AT_ONCE = 128  # rows that are looked at together


class Newest:
    """Gathers the newest rows of one file.

    Args:
        ds: whose rows they are; of a dataset without ``newest_of``, or whose key is not that and the event time,
            nothing is gathered.
    """

    def __init__(self, ds: Dataset) -> None:
        self._of, self._time = _told_of(ds), ds.event_time
        self._times: dict[str, int] = {}  # of the newest row of each value, told or not
        self._told: dict[bytes, bytes] = {}
        self._room, self._effort = _MOST_BYTES, _MOST_EFFORT

    def see(self, table: pa.Table) -> None:
        """Some rows of the file; in any order, as they stay in a file of another engine when one is taken out."""
        if self._of is None:
            return
        newest = _newest_in(table, self._of, self._time)
        newer = [at for value, (time, at) in sorted(newest.items()) if self._takes(value, time)]
        for start in range(0, len(newer), _AT_ONCE):
            if self._effort < _ROW_EFFORT:
                return
            for row in _rows_at(table, newer[start : start + _AT_ONCE]):
                self._tell(_name(row[self._of]), row)

    def told(self) -> dict[bytes, bytes]:
        """What the file's metadata are to say."""
        return self._told

    def _takes(self, value: str, time: int) -> bool:
        """Whether a row of that time is newer than any before; then none of these is told any more."""
        if value in self._times and time <= self._times[value]:
            return False
        self._times[value] = time
        name = _name(value)
        if name in self._told:
            self._room += len(name) + len(self._told.pop(name))
        return True

    def _tell(self, name: bytes, row: Row) -> None:
        """Tell a row, unless it does not fit in, or costs too much."""
        text = orjson.dumps(row)
        self._effort -= _ROW_EFFORT
        if len(text) > self._effort:
            return
        self._effort -= len(text)
        packed = binascii.b2a_base64(zlib.compress(text, _LEVEL), newline=False)
        if len(name) + len(packed) <= self._room and orjson.loads(text) == row:  # JSON has no infinity
            self._room -= len(name) + len(packed)
            self._told[name] = packed


def newest_told(metadata: Mapping[bytes, bytes] | None, value: str) -> Row | None:
    """The newest row of a value as stored; None where the metadata do not tell, though there may be one."""
    packed = (metadata or {}).get(_name(value))
    return None if packed is None else _unpacked(packed)


def _unpacked(packed: bytes) -> Row | None:
    try:
        row: Row = orjson.loads(zlib.decompress(binascii.a2b_base64(packed)))
    except (binascii.Error, zlib.error, orjson.JSONDecodeError):  # a damaged file; its rows may be whole
        return None
    return row


class Notes:
    """What one file tells, compared with its rows.

    Args:
        ds: whose rows they are.
        metadata: of the file.
    """

    def __init__(self, ds: Dataset, metadata: Mapping[bytes, bytes] | None) -> None:
        self._of, self._time = _told_of(ds), ds.event_time
        named = (metadata or {}).items() if self._of is not None else ()
        self._told = {name: packed for name, packed in named if name.startswith(_PREFIX)}
        self._newest: dict[bytes, tuple[int, Row]] = {}

    def __bool__(self) -> bool:
        """Whether it tells anything."""
        return bool(self._told)

    def see(self, table: pa.Table) -> None:
        """Some rows of the file, in its order."""
        newest = _newest_in(table, self._of or "", self._time)
        asked = [(_name(value), *found) for value, found in newest.items() if _name(value) in self._told]
        newer = [(name, time, at) for name, time, at in asked if time > self._newest.get(name, (-math.inf, {}))[0]]
        rows = _rows_at(table, [at for _, _, at in newer])
        self._newest |= {name: (time, row) for (name, time, _), row in zip(newer, rows, strict=True)}

    def wrong(self) -> list[str]:
        """The values whose note is damaged, or is not their newest row."""
        rows = {name: row for name, (_, row) in self._newest.items()}
        wrong = [name for name, packed in self._told.items() if name not in rows or _unpacked(packed) != rows[name]]
        return sorted(name.removeprefix(_PREFIX).decode(errors="backslashreplace") for name in wrong)


def _told_of(ds: Dataset) -> str | None:
    """The column of whose values files tell the newest row."""
    return ds.newest_of if ds.key == (ds.newest_of, ds.event_time) else None


def row_at(table: pa.Table, at: int) -> dict[str, Any]:
    """One row as stored: times in microseconds, and without what it has no value of."""
    row = table.slice(at, 1)
    return {name: _value(row.column(name)) for name in row.column_names if not row.column(name).null_count}


def _value(column: pa.ChunkedArray) -> Any:
    """The one value of a column; of a time its number, since PyArrow imports pandas to make a time of it."""
    value = column.chunk(0)
    return (value.view(pa.int64()) if pa.types.is_timestamp(value.type) else value)[0].as_py()


def _newest_in(table: pa.Table, of: str, time: str) -> dict[str, tuple[int, int]]:
    """Of each value of a column the time of its newest row, and the place of that."""
    found: dict[str, tuple[int, int]] = {}
    rows = zip(table.column(of).to_pylist(), _plain(table.column(time)), strict=True)
    for at, (value, moment) in enumerate(rows):
        known = found.get(value)
        if known is None or moment > known[0]:
            found[value] = moment, at
    return found


def _rows_at(table: pa.Table, places: Sequence[int]) -> Iterator[Row]:
    """Rows as :func:`row_at` gives them; of many in a tenth of the time."""
    some = table.take(places)
    filled = [name for name in some.column_names if some.column(name).null_count < some.num_rows]
    for values in zip(*[_plain(some.column(name)) for name in filled], strict=True):
        yield {name: value for name, value in zip(filled, values, strict=True) if value is not None}


def _plain(column: pa.ChunkedArray) -> list[Any]:
    """The values of a column, times as numbers."""
    values: list[Any] = (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
    return values


def _name(value: str) -> bytes:
    return _PREFIX + value.encode(errors="surrogatepass")  # half a character may be asked for; no row has one
