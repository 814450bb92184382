"""A SQLite file as its bot has it open."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any


class Changing:
    """A database that its bot reads and changes; nothing of it is purged.

    Args:
        path: of the file.
        more: files of the same tables that are changed alike.
    """

    refuses = False

    def __init__(self, path: Path, *more: Path) -> None:
        self.source = self.whole = str(path)
        self._paths = [path, *more]

    def insert(self, table: str, row: Mapping[str, Any]) -> None:
        """Add a row."""
        self.run(f'insert into "{table}" ({", ".join(row)}) values ({", ".join("?" * len(row))})', list(row.values()))

    def run(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Run a statement."""
        for path in self._paths:
            run(path, statement, values)

    def read(self, query: str) -> list[Any]:
        """The rows that a query gives."""
        with closing(sqlite3.connect(self.source)) as connection:
            return connection.execute(query).fetchall()


def run(path: Path, statement: str, values: Sequence[Any] = ()) -> None:
    """Run a statement in a database."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement, values)
        connection.commit()
