"""Any table: a database's, a CSV, JSON, JSON lines, Parquet or feather file, by a column map of the caller."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import orjson

from lake.errors import SourceError, UsageError
from lake.importers.addresses import shown
from lake.importers.base import CandleTable, Frames, Notes, Options, Refused, Row, Table
from lake.importers.clock_changes import ClockChanges
from lake.importers.column_maps import TableMap, read_maps
from lake.importers.reading.candle_frames import candle_frames
from lake.importers.reading.tabular import Tabular, tabular

_TODO = "Have one drafted by --suggest, look it over, and give it with --map-file."
_NOTHING = object()


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
            if found.columns is not None:
                _require(found.columns, mapped, source)
            if mapped.map.dataset == "candles":
                yield CandleTable(found.name, partial(_candles, found, mapped, options), found.count)
            else:
                yield Table(found.name, (mapped.map,), partial(_rows, found, mapped), found.count)


def _require(there: Collection[str], mapped: TableMap, source: str) -> None:
    """A name that a map has and the source has not is mistyped, or the source is another one."""
    outer = {*there, *(name for name in mapped.nested if name.partition(".")[0] in there)}
    for column, names in mapped.looked_for:
        if not outer.intersection(names):
            raise SourceError(
                f"there is no column {' or '.join(names)}, of which the map makes {column}", where=shown(source),
                todo=f"Mend the map. There are: {', '.join(there)}.",
            )  # fmt: skip


def _candles(found: Tabular, mapped: TableMap, options: Options, notes: Notes) -> Iterator[Frames]:
    clocks = ClockChanges(options)
    columns = clocks.mapped(mapped.map).columns
    yield from clocks.placed(candle_frames(_rows(found, mapped, notes), columns, options))
    clocks.tell(notes)


def _rows(found: Tabular, mapped: TableMap, notes: Notes) -> Iterator[Row | Refused]:
    """Rows, in which values inside of objects also stand under their whole name; told at the end what none has."""
    seen: set[str] = set()
    for row in found.rows(notes):
        if isinstance(row, Refused):
            yield row
            continue
        inside = {name: value for name in mapped.nested if (value := _within(row, name)) is not _NOTHING}
        if found.columns is None:
            seen.update(row, inside)
        yield {**row, **dict.fromkeys(mapped.nested), **inside} if mapped.nested else row
    for column, names in mapped.looked_for if seen else ():
        if not seen.intersection(names):
            notes.tell(f"no row has {' or '.join(names)}, of which the map makes {column}: mend the map", failed=True)


def _within(row: Row, name: str) -> Any:
    """The value inside of objects, or of text that holds them, if any; a column whose name has a dot is that column."""
    if name in row:
        return row[name]
    at: Any = row
    for part in name.split("."):
        if isinstance(at, str) and at[:1] == "{":
            try:
                at = orjson.loads(at)
            except ValueError:
                return _NOTHING
        if not isinstance(at, Mapping) or part not in at:
            return _NOTHING
        at = at[part]
    return at
