"""Any table: a database's, a CSV, JSON, JSON lines, Parquet or feather file, by a column map of the caller."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import orjson

from lake.errors import UsageError
from lake.importers.base import CandleTable, Frames, Notes, Options, Refused, Row, Table
from lake.importers.column_maps import TableMap, read_maps
from lake.importers.reading.candle_frames import candle_frames
from lake.importers.reading.tabular import Tabular, tabular

_TODO = "Have one drafted by --suggest, look it over, and give it with --map-file."


class Generic:
    """Reads what a map describes."""

    name = "generic"
    summary = "any SQLite, PostgreSQL, CSV, JSON, JSON lines or Parquet, by --map-file; --suggest drafts one"

    def tables(self, source: str, options: Options) -> Iterable[Table | CandleTable]:
        """The tables that the map names."""
        if options.map_file is None:
            raise UsageError("a generic import needs a column map", where="map-file", todo=_TODO)
        for mapped in read_maps(options.map_file):
            found = tabular(source, mapped.asked)
            if mapped.map.dataset == "candles":
                yield CandleTable(found.name, partial(_candles, found, mapped, options), found.count)
            else:
                yield Table(found.name, (mapped.map,), partial(_rows, found, mapped.nested), found.count)


def _candles(found: Tabular, mapped: TableMap, options: Options, notes: Notes) -> Iterator[Frames]:
    return candle_frames(_rows(found, mapped.nested, notes), mapped.map.columns, options)


def _rows(found: Tabular, nested: tuple[str, ...], notes: Notes) -> Iterator[Row | Refused]:
    """Rows, in which values inside of objects also stand under their whole name."""
    for row in found.rows(notes):
        if nested and not isinstance(row, Refused):
            yield {**row, **{name: _within(row, name) for name in nested}}
        else:
            yield row


def _within(row: Row, name: str) -> Any:
    """The value inside of objects, or of text that holds them; a column whose name has a dot is that column."""
    if name in row:
        return row[name]
    at: Any = row
    for part in name.split("."):
        if isinstance(at, str) and at[:1] == "{":
            try:
                at = orjson.loads(at)
            except ValueError:
                return None
        if not isinstance(at, Mapping):
            return None
        at = at.get(part)
    return at
