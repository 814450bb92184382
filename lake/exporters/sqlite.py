"""Rows as a table of a SQLite file; a file that is there gets it in one transaction, a new one appears whole.

Times and dates are ISO-8601 text, documents text, decimals text, booleans 0 and 1.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pyarrow as pa

from lake.errors import StorageError
from lake.exporters import tables, texts
from lake.exporters.asking import Asked
from lake.exporters.base import Target, Tell, Written
from lake.exporters.files import whole
from lake.query.fitting import identifier

_BUSY_SECONDS = 30.0


def write(asked: Asked, target: Target, tell: Tell) -> Written:
    """Write the table.

    Raises:
        StorageError: it is there, and is neither to be replaced nor added to; or the file is no database.
    """
    path, table = Path(target.to), tables.table_name(asked, target.table)
    place = f"{path}: {table}"
    with _telling(path):
        if path.exists():
            with closing(_connected(path)) as connection:
                return Written(_fill(connection, asked, target, tell), (place,))
        with whole(path, replace=False) as draft, closing(_connected(draft)) as connection:
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA synchronous = OFF")  # the file is synced when it is whole
            return Written(_fill(connection, asked, target, tell), (place,))


def _fill(connection: sqlite3.Connection, asked: Asked, target: Target, tell: Tell) -> int:
    table = tables.table_name(asked, target.table)
    connection.execute("BEGIN IMMEDIATE")
    try:
        is_new = _make(connection, asked, target, table)
        names = ", ".join(map(identifier, asked.columns))
        marks = ", ".join("?" * len(asked.columns))
        insert = f"INSERT INTO {identifier(table)} ({names}) VALUES ({marks})"
        rows = 0
        for part in asked.parts():
            for frame in texts.frames(part):
                connection.executemany(insert, frame.rows())
                rows += frame.height
                tell(frame.height)
        if is_new:
            _index(connection, asked, table)
    except BaseException:
        connection.rollback()
        raise
    connection.commit()
    return rows


def _make(connection: sqlite3.Connection, asked: Asked, target: Target, table: str) -> bool:
    """Make the table, unless rows are added to one; whether it was made."""
    is_there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [table]).fetchone() is not None
    if is_there and target.append:
        return False
    if is_there and not target.replace:
        what = "there is such a table"
        raise StorageError(what, where=f"{target.to}: {table}", todo="Add to it (`--append`) or replace it.")
    if is_there:
        connection.execute(f"DROP TABLE {identifier(table)}")
    columns = ", ".join(f"{identifier(c.name)} {_type(c.type)}" for c in tables.columns(asked))
    connection.execute(f"CREATE TABLE {identifier(table)} ({columns})")
    return True


def _index(connection: sqlite3.Connection, asked: Asked, table: str) -> None:
    """No two rows of one key; made when all rows are there, which is quicker than to keep it up meanwhile."""
    if key := tables.key(asked):
        names = ", ".join(map(identifier, key))
        connection.execute(f"CREATE UNIQUE INDEX {identifier(f'{table}_key')} ON {identifier(table)} ({names})")


def _type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "BOOLEAN"
    if pa.types.is_integer(kind):
        return "INTEGER"
    return "REAL" if pa.types.is_floating(kind) else "TEXT"


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError as error:
        todo = "Nothing was written: replace the table (`--replace`), or export only what is new (`--where`)."
        raise StorageError(f"a row is there already: {error}", where=str(path), todo=todo) from error
    except sqlite3.Error as error:
        raise StorageError(f"SQLite cannot write it: {error}", where=str(path)) from error
