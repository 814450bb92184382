"""PostgreSQL databases: read by COPY as Arrow batches, inside one transaction that cannot write."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import islice
from typing import Any
from uuid import UUID

import orjson
import polars as pl
import pyarrow as pa

from lake.errors import MissingExtraError, SourceError
from lake.importers.addresses import shown
from lake.importers.base import Notes, Row
from lake.importers.reading.sqlite_pages import Page, quoted
from lake.spec.addresses import parted

_DRIVER = "adbc_driver_postgresql.dbapi"
_TODO = "Is it running there, and are user, password and database right: postgresql://user:password@host:port/database?"
_ROW_BYTES = 2 << 20  # of a batch that becomes rows
_FRAME_BYTES = 64  # of a row of a frame, about
_TABLES = """select c.relname::text from pg_class c where c.relkind in ('r', 'p', 'v', 'm', 'f')
  and pg_table_is_visible(c.oid) and c.relnamespace = any(select oid from pg_namespace where nspname = any(
    current_schemas(false))) order by 1"""
_COLUMNS = """select a.attname::text, t.typname::text, t.typcategory::text from pg_attribute a
  join pg_type t on t.oid = a.atttypid
  where a.attrelid = to_regclass({}) and a.attnum > 0 and not a.attisdropped order by a.attnum"""
_KEYS = """select array(
    select a.attname::text from pg_attribute a where a.attrelid = i.indrelid and a.attnum = any(i.indkey))
  from pg_index i where i.indrelid = to_regclass({}) and i.indisunique and i.indisvalid and i.indpred is null
  and i.indexprs is null"""
_STORED = "select relkind in ('r', 'p', 'm') from pg_class where oid = to_regclass({})"
_WHOLE = {"int2", "int4", "int8"}
_NUMBERS = {*_WHOLE, "float4", "float8", "numeric"}
_AS_THEY_ARE = {
    "bool", "int2", "int4", "int8", "float8", "numeric", "text", "varchar", "bpchar", "json", "jsonb", "uuid",
    "timestamp", "timestamptz", "date",
}  # fmt: skip


class PostgresDatabase:
    """One database, in which nothing can be written.

    Args:
        source: its address; ``?schema=NAME`` says in which schema its tables are.
        schema: where they are looked for first when the address names none, and then in ``public``.

    Raises:
        SourceError: it cannot be reached.
        MissingExtraError: the driver is not installed.
    """

    def __init__(self, source: str, schema: str = "") -> None:
        self.where = shown(source)
        self._address, named = parted(source)
        self._path = quoted(named) if named else f"{quoted(schema)}, public" if schema else ""
        self._types: dict[str, dict[str, tuple[str, str]]] = {}
        try:
            self._driver: Any = importlib.import_module(_DRIVER)
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                "reading PostgreSQL needs its driver", todo='Install it: pip install "tradelake[stores]".'
            ) from error
        self.tables()  # a server that cannot be reached is told now

    def tables(self) -> tuple[str, ...]:
        """Names of the tables and views in the schema, in order."""
        return tuple(name for (name,) in self._all(_TABLES))

    def columns(self, table: str) -> Mapping[str, str]:
        """Name -> type of a table's columns: ``int8``, ``numeric``, ``timestamptz``."""
        return {name: kind for name, (kind, _) in self._columns(table).items()}

    def count(self, table: str) -> int:
        """How many rows a table has."""
        return int(self._all(f"select count(*) from {quoted(table)}")[0][0])

    def rows(self, table: str, _notes: Notes, order_by: Sequence[str] = ()) -> Iterator[Row]:
        """All rows of a table, in that order.

        ``numeric`` comes as Decimal, JSON and arrays as what they hold, times as datetimes, ids as text; a time at
        infinity as the text ``out of range``, and every type of which we know nothing as the server writes it.
        """
        order = f" order by {', '.join(map(quoted, order_by))}" if order_by else ""
        return self._select([*self._columns(table)], table, order)

    def _select(self, names: Sequence[str], table: str, order: str) -> Iterator[Row]:
        known = self._columns(table)
        columns = {name: known[name] for name in names}
        chosen = ", ".join(_chosen(name, *kind) for name, kind in columns.items())
        values = [_VALUES.get("json" if category == "A" else kind) for kind, category in columns.values()]
        for batch in self._batches(f"select {chosen} from {quoted(table)}{order}", _ROW_BYTES):
            given = [_python(_storage(column)) for column in batch.columns]
            made = [list(map(read, c)) if read else c for read, c in zip(values, given, strict=True)]
            yield from (dict(zip(columns, row, strict=True)) for row in zip(*made, strict=True))

    def select(self, query: str, _notes: Notes) -> Iterator[Row]:
        """The rows that a query gives, in values that JSON has: times as text, numbers of any size as floats.

        Raises:
            SourceError: the server says no.
        """
        for batch in self._batches(f"select to_jsonb(asked)::text from ({query.rstrip('; ')}) as asked", _ROW_BYTES):
            yield from map(orjson.loads, batch.column(0).to_pylist())

    def frames(
        self, query: str, schema: Mapping[str, Any], rows: int, _notes: Notes | None = None, /
    ) -> Iterator[pl.DataFrame]:
        """What a query gives, in frames of about so many rows.

        Args:
            query: gives values of the schema's types, or null.
            schema: name -> type of its columns.
            rows: of a frame.

        Raises:
            SourceError: the server says no.
        """
        for batch in self._batches(query, rows * _FRAME_BYTES):
            columns = zip(schema.items(), batch.columns, strict=True)
            made = [pl.Series(name, _storage(column)).cast(dtype) for (name, dtype), column in columns]
            yield pl.DataFrame(made)

    def is_unique(self, table: str, columns: Collection[str]) -> bool:
        """Whether no two rows of a table can have the same values in these columns."""
        keys = self._all(_KEYS.format(_literal(quoted(table))))
        return any(set(key) <= set(columns) for (key,) in keys)

    def has_row_ids(self, table: str) -> bool:
        """Whether a table's rows tell in which order they were added: by a number, or by where they are stored."""
        return self._counts(table) or bool(self._all(_STORED.format(_literal(quoted(table))))[0][0])

    def pages(
        self, table: str, columns: Mapping[str, pl.DataType], _notes: Notes, rows: int, *, newest_first: bool = False
    ) -> Iterator[Page]:
        """Some columns of a table page by page; see :class:`Database`."""
        known = self._columns(table)
        order = f" order by {'id' if self._counts(table) else 'ctid'} desc" if newest_first else ""
        chosen = [_cast(name, known[name][0], kind) for name, kind in columns.items()]
        if None not in chosen:
            query = f"select {', '.join(map(str, chosen))} from {quoted(table)}{order}"
            yield from self.frames(query, columns, rows)
            return
        found = self._select([*columns], table, order)
        while page := list(islice(found, rows)):
            yield page

    def _counts(self, table: str) -> bool:
        """Whether its rows have numbers."""
        return self.columns(table).get("id") in _WHOLE

    def _columns(self, table: str) -> dict[str, tuple[str, str]]:
        if table not in self._types:
            found = self._all(_COLUMNS.format(_literal(quoted(table))))
            self._types[table] = {name: (kind, category) for name, kind, category in found}
        return self._types[table]

    def _all(self, query: str) -> list[Any]:
        return [
            row for batch in self._batches(query, _ROW_BYTES) for row in zip(*batch.to_pydict().values(), strict=True)
        ]

    def _batches(self, query: str, size: int) -> Iterator[pa.RecordBatch]:
        """The answer of a query, of which not more than about ``size`` bytes are held."""
        with self._telling(), self._driver.connect(self._address) as connection, connection.cursor() as cursor:
            cursor.execute("set transaction isolation level repeatable read, read only")
            cursor.execute("set local timezone = 'UTC'")
            cursor.execute("set local extra_float_digits = 3")
            cursor.execute("set local synchronize_seqscans = off")
            if self._path:
                cursor.execute(f"set local search_path = {self._path}")
            cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(size)})
            cursor.execute(query)
            yield from cursor.fetch_record_batch()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except (self._driver.Error, pa.ArrowException) as error:
            said = " ".join(str(error).split())
            todo = _TODO if "ailed to connect" in said else ""
            raise SourceError(f"PostgreSQL cannot be read: {said}", where=self.where, todo=todo) from error


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _chosen(name: str, kind: str, category: str) -> str:
    """A column as the driver can hand it over whole; ``real`` in the digits that were meant."""
    column = quoted(name)
    if kind in _AS_THEY_ARE:
        return column
    if kind == "float4":
        return f"{column}::text::float8 as {column}"
    return f"to_jsonb({column}) as {column}" if category == "A" else f"{column}::text as {column}"


def _cast(name: str, kind: str, wanted: pl.DataType) -> str | None:
    """A column as numbers of the type wanted, times as microseconds; None when its values must be looked at."""
    column = quoted(name)
    if wanted == pl.String():
        return f"{column}::text" if kind in {"text", "varchar", "bpchar"} else None
    if wanted == pl.Float64():
        cast = "::text::float8" if kind == "float4" else "::float8"
        return f"{column}{cast}" if kind in _NUMBERS else None
    if kind.startswith("timestamp") and wanted == pl.Int64():
        return f"case when isfinite({column}) then (extract(epoch from {column}) * 1000000)::int8 end"
    return f"{column}::int8" if wanted == pl.Int64() and kind in _WHOLE else None


def _storage(column: pa.Array) -> pa.Array:
    """The column without its extension type, which only says how PostgreSQL calls it."""
    return column.storage if isinstance(column, pa.ExtensionArray) else column


def _python(column: pa.Array) -> list[Any]:
    """The column's values; a time that Python does not have, such as infinity, as text: the driver tells no more."""
    try:
        values: list[Any] = column.to_pylist()
    except OverflowError:
        return [_time(scalar) for scalar in column]
    return values


def _time(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except OverflowError:
        return "out of range"


def _numeric(text: str) -> Decimal | float:
    done = Decimal(text)
    return done if done.is_finite() else float(text)


def _given(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


_VALUES: Mapping[str, Callable[[Any], Any]] = {
    "numeric": _given(_numeric),
    "json": _given(orjson.loads),
    "jsonb": _given(orjson.loads),
    "uuid": _given(lambda raw: str(UUID(bytes=raw))),
}
