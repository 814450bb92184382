"""What ``lake export`` wrote, back again: Parquet, CSV, JSON lines, SQLite and PostgreSQL, value for value.

The rows are of a dataset: the one that the Parquet file names, or the file or table is named after, or whose columns
they are; else the caller says which.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from lake.errors import SourceError
from lake.importers.addresses import existing, is_server, shown
from lake.importers.base import CandleTable, Frames, Notes, Options, Refused, Row, RowMap, Rule, Table
from lake.importers.reading import columnar
from lake.importers.reading.database import Database, database
from lake.importers.reading.json_lines import lines_in
from lake.spec import registry
from lake.spec.dataset import Dataset, Type
from lake.spec.frames import check_frame
from lake.spec.schema import PERIOD, UTC_MICROS, polars_schema

_ROWS = 65_536
_NAMED = b"tradelake.dataset"  # in the metadata of our Parquet files
_SUMMED = ("pnl", "quantity")
_TIME = "%Y-%m-%dT%H:%M:%S%.6fZ"
_JSON = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
_FILES = (".parquet", ".pq", ".csv", ".csv.gz", *_JSON)


class Tradelake:
    """Reads exports of another lake."""

    name = "tradelake"
    summary = "what `lake export` wrote: Parquet, CSV, JSON lines, SQLite, PostgreSQL"

    def tables(self, source: str, options: Options) -> Iterable[Table | CandleTable]:
        """One table for each file, or for each table of a database that is named after a dataset."""
        if is_server(source):
            return _of_database(source, options)
        path = existing(source)
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.name.lower().endswith(_FILES))
            if not files:
                raise SourceError("none of its files is an export", where=source)
            return [_of_file(file, options) for file in files]
        return [_of_file(path, options)] if path.name.lower().endswith(_FILES) else _of_database(source, options)


def _of_file(path: Path, options: Options) -> Table | CandleTable:
    name = path.name.lower()
    if name.endswith(_JSON):
        first = next((row for row in lines_in(path, Notes()) if isinstance(row, dict)), {})
        ds = _dataset(path.name, "", list(first), options)
        return _table(ds, path.name, partial(_json_rows, path))
    if name.endswith((".parquet", ".pq")):
        schema = columnar.parquet_schema(path)
        ds = _dataset(path.name, (schema.metadata or {}).get(_NAMED, b"").decode(), schema.names, options)
        return _table(ds, path.name, lambda _notes: columnar.parquet_frames(path, _ROWS))
    ds = _dataset(path.name, "", columnar.csv_columns(path), options)
    return _table(ds, path.name, partial(columnar.csv_frames, path))


def _of_database(source: str, options: Options) -> list[Table | CandleTable]:
    db = database(source)
    named = [name for name in db.tables() if name in registry.names()]
    names = [name for name in db.tables() if _fits(db, name, options.dataset or name)] or named
    if not names:
        raise SourceError(
            "none of its tables is named after a dataset", where=shown(source), value=db.tables()[:10],
            todo="Is it of another kind?",
        )  # fmt: skip
    made: list[Table | CandleTable] = []
    for name in names:
        ds = _dataset(name, "", list(db.columns(name)), options)
        made.append(_table(ds, name, partial(_stored, db, name, ds), db.count(name)))
    return made


def _fits(db: Database, table: str, dataset: str) -> bool:
    """Whether a table has the columns of a dataset, and no others: beside exports there may be a bot's own tables."""
    if dataset not in registry.names():
        return False
    ds, columns = registry.get(dataset), list(db.columns(table))
    return not _lacks(ds, columns) and not _strange(ds, columns)


def _dataset(place: str, said: str, columns: list[str], options: Options) -> Dataset:
    """The dataset whose rows a file or table holds.

    Raises:
        SourceError: nothing tells, or the columns are not its.
    """
    stem = place.partition(".")[0]
    fits = [ds.name for ds in registry.all_datasets() if _lacks(ds, columns) == [] and _strange(ds, columns) == []]
    name = options.dataset or said or (stem if stem in registry.names() else "") or (fits[0] if len(fits) == 1 else "")
    if not name:
        raise SourceError("of which dataset are its rows?", where=place, value=columns[:8], todo="Say it by --dataset.")
    ds = registry.get(name)
    lacking, strange = _lacks(ds, columns), _strange(ds, columns)
    if columns and (lacking or strange):
        what = f"no column {lacking[0]!r}" if lacking else f"{name} has no column {strange[0]!r}"
        raise SourceError(f"no export of {name}: {what}", where=place, todo="Use the kind generic, with a map.")
    return ds


def _lacks(ds: Dataset, columns: list[str]) -> list[str]:
    return [c.name for c in ds.columns if c.required and c.name not in columns]


def _strange(ds: Dataset, columns: list[str]) -> list[str]:
    return [name for name in columns if name not in ds.by_name and name != PERIOD]


Source = Any  # Callable[[Notes], Iterator[pl.DataFrame | Row | Refused]]


def _table(ds: Dataset, name: str, source: Source, count: int | None = None) -> Table | CandleTable:
    if ds.name == "candles":
        return CandleTable(name, lambda notes: _candles(ds, source(notes)), count)
    return Table(name, (_map(ds),), lambda notes: _rows(source(notes)), count)


def _map(ds: Dataset) -> RowMap:
    """Every column as it is."""
    columns = {name: Rule((name,), partial(_as_it_is, name)) for name in ds.by_name}
    sums = {name: name for name in _SUMMED if name in ds.by_name}
    return RowMap(ds.name, columns, sums, keep_found=False)


def _as_it_is(name: str, row: Row, _options: Options) -> Any:
    return row.get(name)


def _rows(pieces: Iterator[Any]) -> Iterator[Row | Refused]:
    for piece in pieces:
        if isinstance(piece, pl.DataFrame):
            yield from piece.iter_rows(named=True)
        else:
            yield piece


def _json_rows(path: Path, notes: Notes) -> Iterator[Row | Refused]:
    for row in lines_in(path, notes):
        yield row if isinstance(row, dict | Refused) else Refused(row, "not an object")


def _stored(db: Database, table: str, ds: Dataset, notes: Notes) -> Iterator[pl.DataFrame]:
    """A table's rows; documents as the text that they are."""
    types = db.columns(table)
    schema = polars_schema(ds)
    wanted = {name: _held(ds, name, kind, schema) for name, kind in types.items() if name != PERIOD}
    shown_as = ", ".join(f'"{n}"::text' if types[n] in {"json", "jsonb"} else f'"{n}"' for n in wanted)
    quoted = table.replace('"', '""')
    yield from db.frames(f'SELECT {shown_as} FROM "{quoted}"', wanted, _ROWS, notes)


def _held(ds: Dataset, name: str, kind: str, schema: Mapping[str, pl.DataType]) -> pl.DataType:
    """The type in which a database's driver gives a column."""
    is_text = kind in {"text", "json", "jsonb", "varchar"}
    if is_text or ds.by_name[name].type in {Type.STRING, Type.JSON}:
        return pl.String()
    return pl.Int64() if kind == "boolean" else schema[name]  # SQLite's booleans; PostgreSQL calls its own bool


def _candles(ds: Dataset, pieces: Iterator[Any]) -> Iterator[Frames]:
    for is_frame, some in groupby(pieces, lambda piece: isinstance(piece, pl.DataFrame)):
        if is_frame:
            yield from (_checked(ds, _timed(frame), pl.DataFrame()) for frame in some)
            continue
        while part := list(islice(some, _ROWS)):
            broken = [piece for piece in part if isinstance(piece, Refused)]
            rows = [piece for piece in part if not isinstance(piece, Refused)]
            lost = {"reason": [b.reason for b in broken], "row": [_as_json({"found": b.found}) for b in broken]}
            yield _checked(ds, rows, pl.DataFrame(lost))


def _checked(ds: Dataset, given: Any, broken: pl.DataFrame) -> Frames:
    found = len(given) + broken.height
    checked = check_frame(ds, given)
    texts = [_as_json(row) for row in checked.bad.drop("reason").to_dicts()]
    bad = pl.DataFrame({"reason": checked.bad["reason"], "row": pl.Series(texts, dtype=pl.String)})
    return Frames(checked.good, pl.concat([bad, broken]) if broken.height else bad, found)


def _timed(frame: pl.DataFrame) -> pl.DataFrame:
    """Times of our own spelling at once; others are left to be looked at one by one."""
    if frame.schema.get("open_time") != pl.String:
        return frame
    times = frame["open_time"].str.to_datetime(_TIME, time_unit="us", strict=False)
    if times.null_count() != frame["open_time"].null_count():
        return frame
    return frame.with_columns(times.dt.replace_time_zone("UTC").cast(UTC_MICROS))


def _as_json(row: Mapping[str, Any]) -> str:
    return orjson.dumps(row, default=str).decode()
