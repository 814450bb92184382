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
AT = "row at"
_FLOATS = ("real", "floa", "doub")
_BATCH = 65_536
_TYPES: Mapping[type[pl.DataType], set[type]] = {pl.String: {str}, pl.Int64: {int}, pl.Float64: {int, float}}
Page = pl.DataFrame | list[Row]


class File(Protocol):
    """What is asked of a SQLite file."""

    uri: str

    def select(self, query: str, notes: Notes) -> Iterator[Row]:
        """The rows that a query gives."""

    def numbered(self, asked: Asked, query: str, notes: Notes) -> Iterator[Row]:
        """A part of a table in order of its rows' numbers."""

    def tell_lost(self, notes: Notes, table: str = "") -> None:
        """Tell which rows a damaged file has lost, as far as that is known."""

    def columns(self, table: str) -> Mapping[str, str]:
        """Name -> declared type."""


@dataclass(frozen=True)
class Asked:
    """What of a table is wanted.

    Attributes:
        table: its name.
        columns: name -> type.
        rows: of a page.
        number: the name of its rows' numbers; None if they have none.
        newest_first: from the last row that was added to the first.
    """

    table: str
    columns: Mapping[str, pl.DataType]
    rows: int
    number: str | None
    newest_first: bool = False

    def query(self, last: int | None, chosen: str) -> str:
        """Gives the page behind the row of that number."""
        way, sign = ("desc", "<") if self.newest_first else ("asc", ">")
        at, table = self.number, quoted(self.table)
        behind = "" if last is None else f" where {at} {sign} {last}"
        return f"select {at} as {quoted(AT)}, {chosen} from {table}{behind} order by {at} {way} limit {self.rows}"

    @property
    def plain(self) -> str:
        """The columns as they are."""
        return ", ".join(map(quoted, self.columns))


def quoted(name: str) -> str:
    """A name as SQL takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def pages(file: File, asked: Asked, notes: Notes) -> Iterator[Page]:
    """The pages of a table; damage is told in the notes, and all that can be read is given."""
    if asked.number is None:
        yield from _unnumbered(file, asked, notes)
        return
    file.tell_lost(notes, asked.table)
    last: int | None = None
    is_over = False
    while not is_over:
        uri = file.uri
        with _Arrow(file, asked) as arrow:
            while not is_over and file.uri == uri:  # another one when the file was found to be damaged
                last, page = _page(file, asked, arrow, last, notes)
                is_over = page is None
                if page is not None:
                    yield page


def _page(file: File, asked: Asked, arrow: _Arrow, last: int | None, notes: Notes) -> tuple[int | None, Page | None]:
    """The page behind the row of that number, with the number of its own last row; none at the end."""
    found = arrow.page(last)
    if found is not None:
        return (last, None) if found.is_empty() else (int(found[AT][-1]), found.drop(AT))
    rows = list(file.numbered(asked, asked.query(last, asked.plain), notes))
    if not rows:
        return last, None
    return rows[-1][AT], _typed([{name: row[name] for name in asked.columns} for row in rows], asked.columns)


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
        self._schema = {AT: pl.Int64(), **asked.columns}
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
        rises = found[AT].is_sorted(
            descending=self._asked.newest_first
        )  # but on a page of which a part was not written
        return found if rises and found.schema == pl.Schema(self._schema) else None


def _chosen(name: str, declared: str, kind: pl.DataType) -> str:
    """A column in which whole numbers come as floating ones, if that is what is wanted."""
    column = quoted(name)
    if kind != pl.Float64() or any(word in declared for word in _FLOATS):
        return column
    return f"case typeof({column}) when 'integer' then cast({column} as real) else {column} end as {column}"
