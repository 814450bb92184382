"""Large tables of SQLite, page by page: as Arrow where a driver for that is installed, which is four times as fast.

SQLite holds values of any type in any column, and a driver for Arrow gives up at the first that is of another. Then
that page is read value by value.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import TYPE_CHECKING, Any, Protocol, Self

import polars as pl
import pyarrow as pa

from lake.importers.base import Notes, Row

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Connection

_DRIVER = "adbc_driver_sqlite"
_AT = "row at"
_FLOATS = ("real", "floa", "doub")
_BATCH = 65_536
_TYPES: Mapping[type[pl.DataType], set[type]] = {pl.String: {str}, pl.Int64: {int}, pl.Float64: {int, float}}
Page = pl.DataFrame | list[Row]


class File(Protocol):
    """What is asked of a SQLite file."""

    uri: str

    def select(self, query: str, notes: Notes) -> Iterator[Row]:
        """The rows that a query gives."""

    def columns(self, table: str) -> Mapping[str, str]:
        """Name -> declared type."""

    def has_row_ids(self, table: str) -> bool:
        """Whether its rows are numbered."""


@dataclass(frozen=True)
class Asked:
    """What of a table is wanted.

    Attributes:
        table: its name.
        columns: name -> type.
        rows: of a page.
        newest_first: from the last row that was added to the first.
    """

    table: str
    columns: Mapping[str, pl.DataType]
    rows: int
    newest_first: bool = False

    def query(self, last: int | None, chosen: str) -> str:
        """Gives the page behind the row of that number."""
        way, sign = ("desc", "<") if self.newest_first else ("asc", ">")
        behind = "" if last is None else f" where rowid {sign} {last}"
        table = quoted(self.table)
        return f"select rowid as {quoted(_AT)}, {chosen} from {table}{behind} order by rowid {way} limit {self.rows}"

    @property
    def plain(self) -> str:
        """The columns as they are."""
        return ", ".join(map(quoted, self.columns))


def quoted(name: str) -> str:
    """A name as SQL takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def pages(file: File, asked: Asked, notes: Notes) -> Iterator[Page]:
    """The pages of a table; damage is told in the notes, and what comes before it is given."""
    if not file.has_row_ids(asked.table):
        yield from _unnumbered(file, asked, notes)
        return
    last: int | None = None
    with _Arrow(file, asked) as arrow:
        while True:
            found: pl.DataFrame | None = arrow.page(last)
            if found is not None:
                if found.is_empty():
                    return
                last = int(found[_AT][-1])
                yield found.drop(_AT)
                continue
            rows = list(file.select(asked.query(last, asked.plain), notes))
            last = rows[-1][_AT] if rows else last
            yield _typed([{name: row[name] for name in asked.columns} for row in rows], asked.columns)
            if notes.failed or not rows:
                return


def _unnumbered(file: File, asked: Asked, notes: Notes) -> Iterator[Page]:
    """Of a view, or a table without row ids: in one go."""
    rows: list[Row] = []
    for row in file.select(f"select {asked.plain} from {quoted(asked.table)}", notes):
        rows.append(row)
        if len(rows) >= asked.rows:
            yield _typed(rows, asked.columns)
            rows = []
    yield _typed(rows, asked.columns)


def _typed(rows: list[Row], columns: Mapping[str, pl.DataType]) -> Page:
    """A frame, where every value is of its type; else, or where a type is none that SQLite has, the rows."""
    made = []
    for name, kind in columns.items():
        values = [row[name] for row in rows]
        if type(kind) not in _TYPES or not {type(value) for value in values} <= {NoneType, *_TYPES[type(kind)]}:
            return rows
        made.append(pl.Series(name, values, dtype=kind))
    return pl.DataFrame(made)


class _Arrow:
    """Pages as frames, where the driver is installed and has no complaint."""

    def __init__(self, file: File, asked: Asked) -> None:
        self._asked = asked
        self._schema = {_AT: pl.Int64(), **asked.columns}
        declared = file.columns(asked.table)
        self._chosen = ", ".join(_chosen(n, declared.get(n, ""), kind) for n, kind in asked.columns.items())
        self._connection: Connection | None = None
        if importlib.util.find_spec(_DRIVER) is not None:
            self._driver: Any = importlib.import_module(f"{_DRIVER}.dbapi")
            self._connection = self._driver.connect(file.uri)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def page(self, last: int | None) -> pl.DataFrame | None:
        """The page behind the row of that number; None when it must be read value by value."""
        if self._connection is None:
            return None
        with self._connection.cursor() as cursor:
            try:
                cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(_BATCH)})
                cursor.execute(self._asked.query(last, self._chosen))
                found = pl.from_arrow(cursor.fetch_arrow_table())
            except (self._driver.Error, pa.ArrowException, UnicodeDecodeError):
                return None
        if not isinstance(found, pl.DataFrame):
            return None
        if found.is_empty():
            return pl.DataFrame(schema=self._schema)
        return found if found.schema == pl.Schema(self._schema) else None


def _chosen(name: str, declared: str, kind: pl.DataType) -> str:
    """A column in which whole numbers come as floating ones, if that is what is wanted."""
    column = quoted(name)
    if kind != pl.Float64() or any(word in declared for word in _FLOATS):
        return column
    return f"case typeof({column}) when 'integer' then cast({column} as real) else {column} end as {column}"
