"""The DuckDB that the SQL about one lake runs in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from threading import Lock

import duckdb

from lake.query.variables import macros
from lake.store.location import Location


class Database:
    """An in-memory DuckDB that can read the lake, and nothing else unless allowed.

    Args:
        location: the lake.
        allow_external: lets statements read files elsewhere, attach databases and write.
    """

    def __init__(self, location: Location, *, allow_external: bool = False) -> None:
        connection = duckdb.connect(":memory:")
        connection.execute(
            "SET GLOBAL TimeZone = 'UTC'; SET python_enable_replacements = false; SET parquet_metadata_cache = true"
        )
        if not location.is_local:
            connection.register_filesystem(location.filesystem)
        if not allow_external:
            root = location.url("").rstrip("/").replace("'", "''")
            connection.execute(f"SET allowed_directories = ['{root}/']")
            connection.execute("SET enable_external_access = false; SET lock_configuration = true")
        self._connection = connection
        self._has_macros = False
        self._lock = Lock()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A cursor with temporary tables and variables of its own."""
        return self._connection.cursor()

    def add_macros(self, texts: Iterable[str]) -> None:
        """Make the functions that views share, once one of the texts names one.

        Making them takes longer than DuckDB takes to begin, and most statements need none.
        """
        with self._lock:
            if not self._has_macros and any(_names().search(text) for text in texts):
                self._connection.execute(macros())
                self._has_macros = True


@cache
def _names() -> re.Pattern[str]:
    names = re.findall(r"^CREATE OR REPLACE MACRO (\w+)", macros(), re.MULTILINE)
    return re.compile(r"\b(?:" + "|".join(names) + r")\b", re.IGNORECASE)
