"""SQLite files: read without a trace, damaged or not, with the write-ahead log that lies beside them.

To read a file in WAL mode SQLite writes beside it, and whoever reads another keeps its bot from writing. So a file is
copied, with its log or journal, and the copy is read; one that is large and has neither is read where it lies. Where it
turns out to be damaged, another copy is made readable (:mod:`lake.importers.reading.sqlite_mending`), and read on.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import reduce
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl

from lake.errors import SourceError
from lake.importers.addresses import existing
from lake.importers.base import Notes, Row
from lake.importers.reading import sqlite_pages
from lake.importers.reading.sqlite_copies import LOG_HEADER, beside, copied, head_of, is_log_damaged, size_of
from lake.importers.reading.sqlite_format import BrokenPageError
from lake.importers.reading.sqlite_mending import Hole, Root, loss, mend
from lake.importers.reading.sqlite_pages import AT, Asked, Page, quoted

_MAGIC = b"SQLite format 3\0"
_PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")  # gzip, ZIP, bzip2, xz, zstd
_WAL_VERSION = 2  # of the header's bytes 18 and 19
_SMALL = 256 << 20  # bytes
_TABLES = "select name from sqlite_master where type in ('table', 'view') and name not like 'sqlite_%' order by name"
_ROOTS = "select type, name, tbl_name, rootpage from sqlite_master where rootpage > 0"
_NAMELESS = "select count(*) from sqlite_master where type is null or name is null"
_TODO = "If it is damaged: the command .recover of sqlite3 may still find rows; import what it makes."
_NUMBERS = ("rowid", "_rowid_", "oid")  # by which SQLite calls the number of a row, unless a column is called so
_DAMAGE = {10, 11, 26}  # SQLite's codes: it cannot be read from the disk, is malformed, is no database
_MALFORMED = 11
_VIRTUAL = 2  # hidden as a column that is not stored


class SqliteFile:
    """One SQLite file, opened to be read only.

    Args:
        source: its path.

    Raises:
        SourceError: there is no such file, or it is empty, damaged or of another kind.
    """

    def __init__(self, source: str | Path) -> None:
        self.where = str(source)
        path = existing(str(source))
        if path.is_dir():
            raise SourceError("a SQLite file is expected, and this is a folder", where=self.where)
        head = head_of(path, LOG_HEADER)
        if not head.startswith(_MAGIC):
            what = "not a SQLite file" if head else "the file is empty"
            todo = "It is packed: unpack it first." if head.startswith(_PACKED) else "Is it of another kind?"
            raise SourceError(what, where=self.where, todo=todo)
        self._lost: Mapping[str, Sequence[Hole]] | None = None  # of each damaged table, when a readable copy was tried
        self._why = ""
        self._path = path
        self._of_all: list[str] = []  # what is damaged besides tables
        if size_of(path) <= _SMALL or any(size_of(beside(path, suffix)) for suffix in ("-wal", "-journal")):
            self._path = copied(path, self._folder())
            self.uri = f"file:{quote(str(self._path))}"
        else:
            how = "immutable=1" if _WAL_VERSION in head[18:20] else "mode=ro"
            self.uri = f"file:{quote(str(path.resolve()))}?{how}"
        self._look_at_log()
        self._look_at_list()

    def tables(self) -> tuple[str, ...]:
        """Names of its tables and views, in order."""
        return tuple(name for (name,) in self._all(_TABLES))

    def columns(self, table: str) -> Mapping[str, str]:
        """Name -> declared type of a table's columns, in lower case; it may hold values of others all the same."""
        return {row[1]: str(row[2]).lower() for row in self._all(f"pragma table_info({quoted(table)})")}

    def count(self, table: str) -> int | None:
        """How many rows a table has, of a damaged one those that can be read; None when that cannot be told."""
        query = f"select count(*) as n from {quoted(table)}"
        return next((row["n"] for row in self._read(query, Notes(), table)), None)

    def rows(self, table: str, notes: Notes, order_by: Sequence[str] = ()) -> Iterator[Row]:
        """All rows of a table, in that order; damage is told in the notes, and all that can be read is given."""
        order = [*map(quoted, order_by)]
        number = self.number(table)
        if number is None:
            by = f" order by {', '.join(order)}" if order else ""
            yield from self._read(f"select * from {quoted(table)}{by}", notes, table)
            return
        query = f"select {number} as {quoted(AT)}, * from {quoted(table)} order by {', '.join([*order, number])}"
        for row in self._read(query, notes, table, way=0 if order else 1):
            del row[AT]
            yield row

    def select(self, query: str, notes: Notes) -> Iterator[Row]:
        """The rows that a query gives; damage is told in the notes, and all that can be read is given."""
        yield from self._read(query, notes)

    def numbered(self, asked: Asked, query: str, notes: Notes) -> Iterator[Row]:
        """A part of a table in order of its rows' numbers."""
        yield from self._read(query, notes, asked.table, way=-1 if asked.newest_first else 1)

    def number(self, table: str) -> str | None:
        """The name of the number of a table's rows; None if they have none."""
        taken = {name.lower() for name in self.columns(table)}
        return next((n for n in _NUMBERS if n not in taken), None) if self.has_row_ids(table) else None

    def has_row_ids(self, table: str) -> bool:
        """Whether the rows of a table are numbered; those of a view, or of one ``WITHOUT ROWID``, are not."""
        kinds = self._all(f"select type, sql from sqlite_master where name = {_text(table)}")
        return any(kind == "table" and "without rowid" not in str(sql).lower() for kind, sql in kinds)

    def counts_on(self, table: str) -> bool:
        """Whether a table never numbers a row as another was that is gone."""
        made = self._all(f"select sql from sqlite_master where type = 'table' and name = {_text(table)}")
        return any("autoincrement" in str(sql).lower() for (sql,) in made)

    def is_unique(self, table: str, columns: Collection[str]) -> bool:
        """Whether no two rows of a table can have the same values in these columns."""
        indexes = [
            f"pragma index_info({quoted(row[1])})"
            for row in self._all(f"pragma index_list({quoted(table)})")
            if row[2] and not row[4]
        ]
        keys: list[set[str]] = [{row[1] for row in self._all(f"pragma table_info({quoted(table)})") if row[5]}]
        keys += [{row[2] for row in self._all(index)} for index in indexes]
        return any(key and key <= set(columns) for key in keys)

    def pages(
        self, table: str, columns: Mapping[str, pl.DataType], notes: Notes, rows: int, *, newest_first: bool = False
    ) -> Iterator[Page]:
        """Some columns of a table page by page, in the order in which its rows were added.

        A page is a frame where every value is of its column's type or null, and else the rows as they were found.
        Between pages the file is not locked.
        """
        asked = Asked(table, columns, rows, self.number(table), newest_first=newest_first)
        return sqlite_pages.pages(self, asked, notes)

    def frames(
        self, query: str, schema: Mapping[str, Any], rows: int, notes: Notes | None = None, /
    ) -> Iterator[pl.DataFrame]:
        """What a query gives, in frames of at most so many rows.

        Args:
            query: gives values of the schema's types, or null.
            schema: name -> type of its columns.
            rows: of a frame.
            notes: told of damage; all that can be read is given.

        Raises:
            SourceError: the file is damaged, and there is nobody to be told.
        """
        told = Notes() if notes is None else notes
        found = self._tuples(query, told)
        next(found, None)  # the names of its columns
        while fetched := list(islice(found, rows)):
            columns = zip(schema.items(), zip(*fetched, strict=True), strict=True)
            yield pl.DataFrame([pl.Series(n, values, dtype=dtype) for (n, dtype), values in columns])
        if notes is None and told.failed:
            raise SourceError(f"the SQLite file cannot be read: {told.texts[0]}", where=self.where)

    def tell_lost(self, notes: Notes, table: str = "") -> None:
        """Tell which rows of a table, or of any, a damaged file has lost, as far as that is known."""
        for what in self._of_all:
            notes.tell(what, failed=True)
        for name, holes in (self._lost or {}).items():
            if table in {"", name}:
                notes.tell(f"the database is damaged ({self._why}): {loss(name, holes)}", failed=bool(holes))

    def _look_at_log(self) -> None:
        """Look whether all of the log beside it can be used."""
        log = beside(self._path, "-wal")
        if not size_of(log):
            return
        with self._telling(), closing(self._connected()) as connection:
            ((_, used, _),) = connection.execute("pragma wal_checkpoint(passive)").fetchall()
            if used >= 0 and is_log_damaged(log, used):
                self._of_all.append("the log beside the database (-wal) is damaged: what comes before is taken")

    def _look_at_list(self) -> None:
        """Look whether its tables are all told."""
        ((nameless,),) = self._all(_NAMELESS)
        if nameless and not self.tables():
            raise SourceError("the list of its tables is damaged", where=self.where, todo=_TODO)
        if nameless:
            self._of_all.append("the list of the database's tables is damaged: there may be others")

    def _can_go_on(self, uri: str, why: str) -> bool:
        """Whether there is another copy than that which is damaged: one that has all rows which are whole."""
        if self._lost is None:
            self._lost, self._why = {}, why
            with suppress(sqlite3.DatabaseError, BrokenPageError, SourceError, OSError):
                self._path, self._lost = self._mended_copy()
                self.uri = f"file:{quote(str(self._path))}"
        return self.uri != uri

    def _mended_copy(self) -> tuple[Path, Mapping[str, Sequence[Hole]]]:
        """A copy, with what its tables have lost."""
        roots = self._all(_ROOTS)
        pages = {name: page for kind, name, _, page in roots if kind == "table" and self.has_row_ids(name)}
        tables = {name: Root(page, self._width(name)) for name, page in pages.items()}
        indexes = {name: page for kind, name, of, page in roots if kind == "index" and of in tables}
        path = copied(self._path, self._folder())
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("pragma writable_schema = on")
            connection.execute("pragma wal_checkpoint(truncate)").fetchall()
        for suffix in ("-wal", "-shm", "-journal"):
            beside(path, suffix).unlink(missing_ok=True)
        lost = mend(path, tables, list(indexes.values()))
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("pragma synchronous = off")
            for name in indexes:
                connection.execute(f"reindex {quoted(name)}")
        return path, lost

    def _width(self, table: str) -> int:
        """How many columns a table's rows have on the disk."""
        return len([row for row in self._all(f"pragma table_xinfo({quoted(table)})") if row[6] != _VIRTUAL])

    def _folder(self) -> Path:
        """A folder that goes with this object."""
        folder = Path(tempfile.mkdtemp(prefix="tradelake-import-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    def _read(self, query: str, notes: Notes, table: str = "", *, way: int = 0) -> Iterator[dict[str, Any]]:
        """What a query of one table, or of any, gives."""
        found = self._tuples(query, notes, table, way)
        names = next(found, ())
        yield from (dict(zip(names, row, strict=True)) for row in found)

    def _tuples(self, query: str, notes: Notes, table: str = "", way: int = 0) -> Iterator[tuple[Any, ...]]:
        """The names of a query's columns and its rows; where the file is damaged, the rest is of a mended copy.

        Args:
            query: what is asked.
            notes: told of damage.
            table: the one that is asked; any, when left out.
            way: 1 where its first column must rise from row to row, -1 where it must fall.
        """
        self.tell_lost(notes, table)
        uri, given, digest = self.uri, 0, 0
        try:
            for row in self._run(query, way):
                given, digest = given + 1, hash((digest, row))
                yield row
        except sqlite3.DatabaseError as error:
            ends = f"the database is damaged ({error}): what comes before is taken"
            is_damage = getattr(error, "sqlite_errorcode", _MALFORMED) & 0xFF in _DAMAGE
            can_go_on = is_damage and self._can_go_on(uri, str(error))
        else:
            return
        if not can_go_on:
            notes.tell(ends, failed=True)
            return
        self.tell_lost(notes, table)
        try:
            again = self._run(query, way)
            if reduce(lambda same, row: hash((same, row)), islice(again, given), 0) == digest:
                yield from again
            else:
                notes.tell(ends, failed=True)
        except sqlite3.DatabaseError:
            notes.tell(ends, failed=True)

    def _run(self, query: str, way: int) -> Iterator[tuple[Any, ...]]:
        with closing(self._connected()) as connection:
            cursor = connection.execute(query)
            yield tuple(column[0] for column in cursor.description)
            yield from _in_order(cursor, way) if way else cursor  # fetchmany would lose what it has

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.uri, uri=True, check_same_thread=False)
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        try:
            connection.execute("pragma query_only = on")
            connection.execute("pragma writable_schema = on")  # or a file that is cut short could not be opened at all
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _all(self, query: str) -> list[Any]:
        with self._telling(), closing(self._connected()) as connection:
            return connection.execute(query).fetchall()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise SourceError(f"the SQLite file cannot be read: {error}", where=self.where, todo=_TODO) from error


def _in_order(rows: Iterator[tuple[Any, ...]], way: int) -> Iterator[tuple[Any, ...]]:
    """Rows whose numbers rise, or fall: one is given when the next was seen, since either may be wrong.

    Raises:
        DatabaseError: they do not, as those of a page of which a part was never written.
    """
    held: tuple[Any, ...] | None = None
    for row in rows:
        if held is not None:
            if (row[0] - held[0]) * way <= 0:
                raise sqlite3.DatabaseError("rows are out of order")
            yield held
        held = row
    if held is not None:
        yield held


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
