"""Rows of any file or database, for those who say themselves what the columns mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc

from lake.errors import SourceError
from lake.importers.addresses import existing, is_server
from lake.importers.base import Notes, Refused, Row
from lake.importers.reading.csv_tables import csv_columns, csv_rows
from lake.importers.reading.database import database
from lake.importers.reading.json_lines import lines_in
from lake.importers.reading.jsons import (
    JsonText,
    broken,
    documents,
    entries,
    items,
    names,
    take,
    text_value,
    told_of_end,
)
from lake.importers.reading.packed import head_of
from lake.spec.encodings import encoding_of, is_text

_ROWS = 10_000
_SHOWN = 10
KEY = "key"  # the column that holds the names of an object's entries


@dataclass(frozen=True)
class Asked:
    """Which rows of a source are meant.

    Attributes:
        table: of a database; of a JSON object, the name of an array or object in it, or ``*`` for its own entries.
        query: of a database, instead of a table.
        header: names of the columns of a CSV that does not say them.
        skip: lines before a CSV's header.
    """

    table: str = ""
    query: str = ""
    header: tuple[str, ...] = ()
    skip: int = 0


@dataclass(frozen=True)
class Tabular:
    """A source with rows.

    Attributes:
        name: what its rows are called.
        rows: from the beginning, at each call anew.
        count: how many there are, where that is known.
        columns: that every row has; None where each row has its own.
    """

    name: str
    rows: Callable[[Notes], Iterator[Row | Refused]]
    count: int | None = None
    columns: tuple[str, ...] | None = None


def tabular(source: str, asked: Asked) -> Tabular:
    """The rows that are asked for.

    Raises:
        SourceError: there is no such source, or no such table in it.
    """
    if is_server(source):
        return _of_database(source, asked)
    path = existing(source)
    form = form_of(path)
    if form == "sqlite":
        return _of_database(source, asked)
    if asked.query:
        what = "a query is asked of a database, and this is a file"
        raise SourceError(what, where=source, value=asked.query, todo="Leave query out of the map.")
    reading: dict[str, Callable[[Notes], Iterator[Row | Refused]]] = {
        "parquet": partial(_parquet, path),
        "feather": partial(_feather, path),
        "lines": partial(_lines, path),
        "json": partial(_json, path, asked.table),
        "csv": partial(csv_rows, path, header=asked.header, skip=asked.skip),
    }
    name = path.name.removesuffix(".gz").rpartition(".")[0] or path.name
    columns: dict[str, Callable[[Path], list[str]]] = {
        "parquet": _parquet_columns,
        "feather": _feather_columns,
        "csv": partial(csv_columns, header=asked.header, skip=asked.skip),
    }
    there = tuple(columns[form](path)) if form in columns else None
    return Tabular(asked.table if asked.table not in {"", "*"} else name, reading[form], columns=there)


def tables_in(source: str) -> list[str]:
    """Names under which a source has rows: tables of a database, arrays of a JSON object; one empty name otherwise."""
    if is_server(source) or form_of(existing(source)) == "sqlite":
        return list(database(source).tables())
    path = existing(source)
    return _arrays(path) if form_of(path) == "json" else [""]


def form_of(path: Path) -> str:
    """What kind of file it is: sqlite, parquet, feather, lines, json or csv.

    Raises:
        SourceError: a folder, an empty file, or bytes that are none of them.
    """
    if path.is_dir():
        raise SourceError("a file is expected, and this is a folder", where=str(path))
    head = head_of(path)
    for magic, form in ((b"SQLite format 3\0", "sqlite"), (b"PAR1", "parquet"), (b"ARROW1", "feather")):
        if head.startswith(magic):
            return form
    decoded = head.decode(encoding_of(head), "replace")
    text = decoded.replace("\0", "").lstrip()
    if not text:
        raise SourceError("the file is empty", where=str(path))
    if "\0" in decoded and not is_text(text):  # alone they are what a power cut leaves of a file that was written
        raise SourceError("neither text nor a table of a known kind", where=str(path))
    if path.name.removesuffix(".gz").endswith((".jsonl", ".ndjson")):
        return "lines"
    if text[0] not in "[{":
        return "csv"
    first, _, rest = text.partition("\n")
    is_line = first.rstrip().endswith("}") and rest.lstrip().startswith("{")
    return "lines" if text[0] == "{" and is_line else "json"


def _of_database(source: str, asked: Asked) -> Tabular:
    db = database(source)
    if asked.query:
        return Tabular("query", partial(db.select, asked.query))
    there = db.tables()
    if not asked.table and len(there) == 1:
        asked = Asked(there[0])
    if asked.table not in there:
        what = "no such table" if asked.table else "it is not said which table is meant"
        raise SourceError(what, where=db.where, value=asked.table or None, todo=f"It has: {', '.join(there)}.")
    return Tabular(asked.table, partial(db.rows, asked.table), db.count(asked.table), tuple(db.columns(asked.table)))


def _objects(found: Iterator[Any]) -> Iterator[Row | Refused]:
    for row in found:
        if isinstance(row, dict | Refused):
            yield row
        elif isinstance(row, list):
            yield {str(place): value for place, value in enumerate(row)}
        else:
            yield Refused(row, "neither an object nor a list")


def _lines(path: Path, notes: Notes) -> Iterator[Row | Refused]:
    return _objects(lines_in(path, notes))


def _json(path: Path, table: str, notes: Notes) -> Iterator[Row | Refused]:
    """The rows of an array, or of the entries of an object: of the whole file, or of what stands under a name."""
    wanted = table or (tables_in(str(path)) or ["*"])[0]
    with JsonText(path) as text:
        if wanted in {"", "*"} or text.peek() == "[":
            for first in documents(text, notes):
                yield from _rows_of(text, notes) if first in {"[", "{"} else (broken(text, notes),)
            told_of_end(text, notes)
            return
        there = []
        for name in names(text, notes):
            there.append(name)
            if name == wanted and text.peek() in {"[", "{"}:
                yield from _rows_of(text, notes)
            else:
                take(text, notes, name, lambda _name, passed: passed.pass_over())
        told_of_end(text, notes)
        if wanted not in there:
            raise SourceError(
                "nothing of that name in the file", where=str(path), value=wanted, todo=f"It has: {there}."
            )


def _rows_of(text: JsonText, notes: Notes) -> Iterator[Row | Refused]:
    """Rows of the array that comes next, or the entries of the object, each with its name."""
    if text.peek() == "[":
        yield from _objects(items(text, notes))
        return
    for name, value in entries(text, notes):
        if isinstance(value, Refused):
            yield value
        else:
            yield {KEY: name, **value} if isinstance(value, dict) else {KEY: name, "value": value}


def _arrays(path: Path) -> list[str]:
    """Names under which a JSON object has rows, in arrays or objects; ``*`` for its own entries, "" for an array."""
    notes, found = Notes(), []
    with JsonText(path) as text:
        if text.peek() == "[":
            return [""]
        for name in names(text, notes):
            first = text.peek()
            if first not in {"[", "{"}:
                text_value(text, notes)
            elif _has_rows(text, notes, first):
                found.append(name)
    return found or ["*"]


def _has_rows(text: JsonText, notes: Notes, first: str) -> bool:
    """Whether the array or object that comes next holds objects or lists; it is read to its end."""
    values = items(text, notes) if first == "[" else (value for _, value in entries(text, notes))
    kinds = {type(value) for value in values}
    return bool(kinds & {dict, list}) if first == "[" else kinds == {dict}


@contextmanager
def _readable(what: str, path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"the {what} file cannot be read: {error}", where=str(path)) from error


def _parquet_columns(path: Path) -> list[str]:
    with _readable("Parquet", path):
        return list(pq.read_schema(path).names)


def _parquet(path: Path, _notes: Notes) -> Iterator[Row]:
    with _readable("Parquet", path), pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS):
            yield from batch.to_pylist()


def _feather_columns(path: Path) -> list[str]:
    with _readable("feather", path), pa.memory_map(str(path)) as mapped, ipc.open_file(mapped) as file:
        return list(file.schema.names)


def _feather(path: Path, _notes: Notes) -> Iterator[Row]:
    with _readable("feather", path), pa.memory_map(str(path)) as mapped, ipc.open_file(mapped) as file:
        for number in range(file.num_record_batches):
            yield from file.get_batch(number).to_pylist()
