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
import pyarrow as pa

from lake.spec.dataset import Dataset
from lake.store.hot.entry import Row

_NAME = b"tradelake.newest:%b"  # its value is text too, as other engines expect of metadata
_MOST_BYTES = 256 << 10  # of a file; whoever does not fit in is looked for among the rows


class Newest:
    """Gathers the newest rows of one file.

    Args:
        ds: whose rows they are; of a dataset without ``newest_of``, or whose key is not that and the event time,
            nothing is gathered.
    """

    def __init__(self, ds: Dataset) -> None:
        self._of = ds.newest_of if ds.key == (ds.newest_of, ds.event_time) else None
        self._found: dict[str, Row] = {}

    def see(self, table: pa.Table) -> None:
        """The next rows of the file, in the order of the dataset's key."""
        if self._of is not None:
            last = {value: at for at, value in enumerate(table.column(self._of).to_pylist())}
            self._found |= {value: row_at(table, at) for value, at in last.items()}

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
