"""The newest row of each bot, told in the metadata of a data file beside its row groups: a restart reads no group.

A group has up to a thousand snapshots to decode, and its first decoding in a process costs more than that: Arrow's
allocator takes its memory in pages of 2 MiB, which some hosts clear in 4 ms each. What is told is a copy out of the
same file, which never changes; other engines pass it over, and files that they wrote tell nothing.
"""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Mapping
from typing import Any

import orjson
import polars as pl
import pyarrow as pa

from lake.spec.dataset import Dataset
from lake.store.cold.frames import frame_of
from lake.store.hot.entry import Row

_NAME = b"tradelake.newest:%b"  # its value is text too, as other engines expect of metadata
_MOST_BYTES = 256 << 10  # of a file; whoever does not fit in is looked for among the rows
_PLACE = "__place"


class Newest:
    """Gathers the newest rows of one file.

    Args:
        ds: whose rows they are; of a dataset without ``newest_of``, or whose key is not that and the event time,
            nothing is gathered.
    """

    def __init__(self, ds: Dataset) -> None:
        self._of = ds.newest_of if ds.key == (ds.newest_of, ds.event_time) else None
        self._time = ds.event_time
        self._found: dict[str, Row] = {}

    def see(self, table: pa.Table) -> None:
        """Some rows of the file; in any order, as they stay in a file of another engine when one is taken out."""
        if self._of is None:
            return
        for value, time, at in self._newest_in(table, self._of):
            if value not in self._found or time > self._found[value][self._time]:
                self._found[value] = row_at(table, at)

    def _newest_in(self, table: pa.Table, of: str) -> list[tuple[str, int, int]]:
        """Each value, the time of its newest row, and the place of that."""
        rows = frame_of(table.select([of, self._time])).with_row_index(_PLACE).drop_nulls()
        time = pl.col(self._time).to_physical()
        return rows.group_by(of).agg(time.max(), pl.col(_PLACE).get(time.arg_max())).rows()

    def told(self) -> dict[bytes, bytes]:
        """What the file's metadata are to say."""
        found, left = {}, _MOST_BYTES
        for value, row in sorted(self._found.items()):
            text = orjson.dumps(row)
            packed = binascii.b2a_base64(zlib.compress(text), newline=False)
            if len(packed) <= left and orjson.loads(text) == row:  # JSON has no infinity
                left -= len(packed)
                found[_NAME % value.encode()] = packed
        return found


def newest_told(metadata: Mapping[bytes, bytes] | None, value: str) -> Row | None:
    """The newest row of a value as stored; None where the metadata do not tell, though there may be one."""
    packed = (metadata or {}).get(_NAME % value.encode())
    try:
        row: Row | None = None if packed is None else orjson.loads(zlib.decompress(binascii.a2b_base64(packed)))
    except (binascii.Error, zlib.error, orjson.JSONDecodeError):  # a damaged file; its rows may be whole
        return None
    return row


def row_at(table: pa.Table, at: int) -> dict[str, Any]:
    """One row as stored: times in microseconds, and without what it has no value of."""
    row = table.slice(at, 1)
    return {name: _value(row.column(name)) for name in row.column_names if not row.column(name).null_count}


def _value(column: pa.ChunkedArray) -> Any:
    """The one value of a column; of a time its number, since PyArrow imports pandas to make a time of it."""
    value = column.chunk(0)
    return (value.view(pa.int64()) if pa.types.is_timestamp(value.type) else value)[0].as_py()
