"""Rows as a table of a PostgreSQL database, by COPY and in one transaction: others see all of them or none.

Times are ``timestamptz``, documents ``json`` (whose text is kept as it is), key columns the primary key.
"""

from __future__ import annotations

import importlib
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from lake.errors import LakeError, MissingExtraError, StorageError, UsageError
from lake.exporters import tables
from lake.exporters.asking import Asked, plain_batches
from lake.exporters.base import Target, Tell, Written
from lake.query.fitting import identifier
from lake.spec.addresses import parted, shown

_DRIVER = "adbc_driver_postgresql.dbapi"
_LONGEST = 63  # bytes of a name; the server would cut a longer one off
_TYPES = {
    pa.string(): "text", pa.int64(): "bigint", pa.float64(): "double precision", pa.bool_(): "boolean",
    pa.date32(): "date", pa.timestamp("us", "UTC"): "timestamptz", pa.timestamp("us"): "timestamp",
    pa.binary(): "bytea",
}  # fmt: skip
_THERE = re.compile(r"Key \(.*?\)=\(.*?\)(?= already exists)")
_EXISTS = "SELECT to_regclass({})::text"


def write(asked: Asked, target: Target, tell: Tell) -> Written:
    """Write the table.

    Raises:
        StorageError: it is there, and is neither to be replaced nor added to; or the server says no.
        MissingExtraError: the driver is not installed.
    """
    address, schema = parted(str(target.to))
    place = _Place.of(tables.table_name(asked, target.table), schema)
    source = _Source(asked, tell)
    with _telling(address, source) as driver, driver.connect(address) as connection, connection.cursor() as cursor:
        is_there = _one(cursor, _EXISTS.format(_literal(place.quoted))) is not None
        if is_there and not target.append and not target.replace:
            todo = "Add to it (`--append`) or replace it (`--replace`)."
            raise StorageError("there is such a table", where=f"{shown(address)} {place.shown}", todo=todo)
        into = place if is_there and target.append else place.beside()
        if into is not place:
            cursor.execute(f"CREATE TABLE {into.quoted} ({_declared(asked)})")
        reader = pa.RecordBatchReader.from_batches(source.schema, source.batches())
        cursor.adbc_ingest(into.table, reader, mode="append", db_schema_name=into.schema or None)
        if into is not place:
            _put_in_place(cursor, asked, into, place)
        connection.commit()
    return Written(source.rows, (f"{shown(address)} {place.shown}",))


def _put_in_place(cursor: Any, asked: Asked, made: _Place, place: _Place) -> None:
    if key := tables.key(asked):
        cursor.execute(f"ALTER TABLE {made.quoted} ADD PRIMARY KEY ({', '.join(map(identifier, key))})")
    cursor.execute(f"DROP TABLE IF EXISTS {place.quoted}")
    cursor.execute(f"ALTER TABLE {made.quoted} RENAME TO {identifier(place.table)}")


@dataclass(frozen=True, slots=True)
class _Place:
    """A table, in a schema or where the server's search path begins."""

    schema: str
    table: str

    @classmethod
    def of(cls, name: str, otherwise: str) -> _Place:
        """The place that ``table`` or ``schema.table`` names."""
        schema, _, table = name.rpartition(".")
        schema = schema or otherwise
        if not table or any(len(part.encode()) > _LONGEST for part in (schema, table)):
            raise UsageError("that cannot be a table's name", where="table", value=name, todo="Or schema.table.")
        return cls(schema, table)

    def beside(self) -> _Place:
        """Another one, in the same schema, that nobody uses."""
        return _Place(self.schema, f"new_{uuid.uuid4().hex}")

    @property
    def quoted(self) -> str:
        """As SQL has it."""
        return ".".join(identifier(part) for part in (self.schema, self.table) if part)

    @property
    def shown(self) -> str:
        """For people."""
        return ".".join(filter(None, (self.schema, self.table)))


@dataclass
class _Source:
    """Batches for the driver; it tells of an error in them only that there was one, so it is kept here."""

    asked: Asked
    tell: Tell
    rows: int = 0
    error: LakeError | None = field(default=None)

    @property
    def schema(self) -> pa.Schema:
        """Of the batches."""
        return pa.schema([(column.name, column.type) for column in tables.columns(self.asked)])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows."""
        schema = self.schema
        try:
            for part in self.asked.parts():
                for batch in plain_batches(part):
                    yield batch.cast(schema)
                    self.rows += batch.num_rows
                    self.tell(batch.num_rows)
        except LakeError as error:
            self.error = error
            raise


def _declared(asked: Asked) -> str:
    return ", ".join(f"{identifier(c.name)} {_type(c)}" for c in tables.columns(asked))


def _type(column: tables.Column) -> str:
    if column.is_document:
        return "json"
    return "numeric" if pa.types.is_decimal(column.type) else _TYPES[column.type]


def _one(cursor: Any, query: str) -> Any:
    cursor.execute(query)
    return cursor.fetchone()[0]


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def _telling(address: str, source: _Source) -> Iterator[Any]:
    try:
        driver: Any = importlib.import_module(_DRIVER)
    except ModuleNotFoundError as error:
        what = "writing to PostgreSQL needs its driver"
        raise MissingExtraError(what, todo='Install it: pip install "tradelake[stores]".') from error
    try:
        yield driver
    except (driver.Error, pa.ArrowException, OSError) as error:
        if source.error is not None:
            raise source.error from error
        said = str(error).strip().replace("\n", " ")
        there = _THERE.search(said)
        if there:
            todo = "Nothing was written: replace the table (`--replace`), or export only what is new (`--where`)."
            raise StorageError(f"a row is there already: {there[0]}", where=shown(address), todo=todo) from error
        raise StorageError(f"PostgreSQL cannot write it: {said}", where=shown(address)) from error
