"""SQLite files: read without a trace, damaged or not, with the write-ahead log that lies beside them.

To read a file in WAL mode SQLite writes beside it, and whoever reads another keeps its bot from writing. So a file is
copied, with its log or journal, and the copy is read; one that is large and has neither is read where it lies.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl

from lake.errors import SourceError
from lake.importers.addresses import existing
from lake.importers.base import Notes, Row
from lake.importers.reading import sqlite_pages
from lake.importers.reading.sqlite_pages import Page, quoted

_MAGIC = b"SQLite format 3\0"
_WAL_VERSION = 2  # of the header's bytes 18 and 19
_LOG_HEADER = 32
_SMALL = 256 << 20  # bytes
_ATTEMPTS = 5
_TABLES = "select name from sqlite_master where type in ('table', 'view') and name not like 'sqlite_%' order by name"


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
        head = _head(path, _LOG_HEADER)
        if not head.startswith(_MAGIC):
            what = "not a SQLite file" if head else "the file is empty"
            raise SourceError(what, where=self.where, todo="Is it of another kind?")
        if _size(path) <= _SMALL or any(_size(_beside(path, suffix)) for suffix in ("-wal", "-journal")):
            folder = Path(tempfile.mkdtemp(prefix="tradelake-import-"))
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            self.uri = f"file:{quote(str(_copied(path, folder)))}"
        else:
            how = "immutable=1" if _WAL_VERSION in head[18:20] else "mode=ro"
            self.uri = f"file:{quote(str(path.resolve()))}?{how}"
        self.tables()  # a damaged file is told now

    def tables(self) -> tuple[str, ...]:
        """Names of its tables and views, in order."""
        return tuple(name for (name,) in self._all(_TABLES))

    def columns(self, table: str) -> Mapping[str, str]:
        """Name -> declared type of a table's columns, in lower case; it may hold values of others all the same."""
        return {row[1]: str(row[2]).lower() for row in self._all(f"pragma table_info({quoted(table)})")}

    def count(self, table: str) -> int | None:
        """How many rows a table has; None when it is damaged."""
        with closing(self._connected()) as connection:
            try:
                return int(connection.execute(f"select count(*) from {quoted(table)}").fetchone()[0])
            except sqlite3.DatabaseError:
                return None

    def rows(self, table: str, notes: Notes, order_by: Sequence[str] = ()) -> Iterator[Row]:
        """All rows of a table, in that order; damage is told in the notes, and what comes before it is given."""
        order = f" order by {', '.join(map(quoted, order_by))}" if order_by else ""
        return self.select(f"select * from {quoted(table)}{order}", notes)

    def select(self, query: str, notes: Notes) -> Iterator[Row]:
        """The rows that a query gives; damage is told in the notes, and what comes before it is given."""
        with closing(self._connected()) as connection:
            try:
                cursor = connection.execute(query)
                names = [column[0] for column in cursor.description]
                yield from (dict(zip(names, row, strict=True)) for row in cursor)  # fetchmany would lose what it has
            except sqlite3.DatabaseError as error:
                notes.tell(f"the database is damaged ({error}): what comes before is taken", failed=True)

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
        return sqlite_pages.pages(self, sqlite_pages.Asked(table, columns, rows, newest_first=newest_first), notes)

    def frames(self, query: str, schema: Mapping[str, Any], rows: int) -> Iterator[pl.DataFrame]:
        """What a query gives, in frames of at most so many rows.

        Args:
            query: gives values of the schema's types, or null.
            schema: name -> type of its columns.
            rows: of a frame.

        Raises:
            SourceError: the file is damaged.
        """
        with self._telling(), closing(self._connected()) as connection:
            cursor = connection.execute(query)
            while fetched := cursor.fetchmany(rows):
                columns = zip(schema.items(), zip(*fetched, strict=True), strict=True)
                yield pl.DataFrame([pl.Series(n, values, dtype=dtype) for (n, dtype), values in columns])

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.uri, uri=True, check_same_thread=False)
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        connection.execute("pragma query_only = on")
        connection.execute("pragma writable_schema = on")  # or a file that is cut short could not be opened at all
        return connection

    def _all(self, query: str) -> list[Any]:
        with self._telling(), closing(self._connected()) as connection:
            return connection.execute(query).fetchall()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise SourceError(f"the SQLite file cannot be read: {error}", where=self.where) from error


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _head(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)


def _copied(path: Path, folder: Path) -> Path:
    """The copy of a file and its log; taken again while the bot's checkpoints change the file meanwhile."""
    for _ in range(_ATTEMPTS):
        before = _state(path)
        for suffix in ("", "-wal", "-journal"):
            if _beside(path, suffix).exists():
                shutil.copyfile(_beside(path, suffix), folder / f"copy{suffix}")
        if _state(path) == before:
            return folder / "copy"
    raise SourceError(
        "the file changes while it is copied", where=str(path), todo="Stop its bot meanwhile, or import a backup."
    )


def _state(path: Path) -> tuple[Any, ...]:
    """What tells whether a copy is whole: a log only grows behind its header while the file is the same."""
    file = path.stat()
    logs = [_head(log, _LOG_HEADER) if (log := _beside(path, s)).exists() else b"" for s in ("-wal", "-journal")]
    return (file.st_mtime_ns, file.st_size, *logs)
