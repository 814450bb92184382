"""What SQLite files and PostgreSQL databases have in common for a reader: tables, their columns, rows and frames."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import polars as pl

from lake.errors import SourceError
from lake.importers.addresses import is_server
from lake.importers.base import Notes, Row
from lake.importers.reading.postgres import PostgresDatabase
from lake.importers.reading.sqlite import SqliteFile
from lake.importers.reading.sqlite_pages import Page


class Database(Protocol):
    """A database that is read and never written."""

    @property
    def where(self) -> str:
        """How errors name it: without a password."""

    def tables(self) -> tuple[str, ...]:
        """Names of its tables and views, in order."""

    def columns(self, table: str) -> Mapping[str, str]:
        """Name -> type of a table's columns, as the database spells the types, in lower case."""

    def count(self, table: str) -> int | None:
        """How many rows a table has; None when they cannot be counted."""

    def rows(self, table: str, notes: Notes, /, order_by: Sequence[str] = ()) -> Iterator[Row]:
        """All rows of a table, in that order; a part that cannot be read is told in the notes."""

    def select(self, query: str, notes: Notes) -> Iterator[Row]:
        """The rows that a query gives."""

    def frames(
        self, query: str, schema: Mapping[str, pl.DataType], rows: int, notes: Notes | None = None, /
    ) -> Iterator[pl.DataFrame]:
        """What a query gives, in frames of about so many rows and of that schema; damage is told, if to anybody."""

    def is_unique(self, table: str, columns: Collection[str]) -> bool:
        """Whether no two rows of a table can have the same values in these columns."""

    def has_row_ids(self, table: str) -> bool:
        """Whether a table's rows tell in which order they were added; those of a view do not."""

    def pages(
        self, table: str, columns: Mapping[str, pl.DataType], notes: Notes, rows: int, /, *, newest_first: bool = False
    ) -> Iterator[Page]:
        """Some columns of a large table, page by page.

        A page is a frame where every value is of its column's type or null, and else the rows as they were found.

        Args:
            table: its name.
            columns: name -> String, Float64, or Int64; times come as Int64, in microseconds. Where one is of any other
                type, all pages are rows as they were found.
            notes: told what cannot be read.
            rows: of a page, about.
            newest_first: from the row that was added last to the first; of tables whose rows tell.
        """


def database(source: str, schema: str = "") -> Database:
    """The database that a path or address names.

    Args:
        source: path of a SQLite file, or ``postgresql://...``; ``?schema=NAME`` says in which schema its tables are.
        schema: of PostgreSQL, where the address says none.

    Raises:
        SourceError: there is none, or it is damaged, or cannot be reached.
        MissingExtraError: the driver of PostgreSQL is not installed.
    """
    return PostgresDatabase(source, schema) if is_server(source) else SqliteFile(source)


def require(db: Database, tables: Iterable[str], *, kind: str) -> tuple[str, ...]:
    """Those of some tables that a database has.

    Raises:
        SourceError: it has none of them.
    """
    there = db.tables()
    known = tuple(name for name in tables if name in there)
    if not known:
        raise SourceError(
            f"none of the tables of {kind} is there", where=db.where, value=there[:10], todo="Is it of another kind?"
        )
    return known
