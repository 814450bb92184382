"""DuckDB over a snapshot: read-only SQL in which every dataset and view of the lake is a table."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any

import duckdb
import polars as pl

from lake.errors import QueryError, ReadOnlyError, UsageError
from lake.query import relations
from lake.query.pruning import bounds
from lake.query.views import View, closure, mentioned, views
from lake.spec import registry
from lake.store.location import Location
from lake.store.snapshot import Snapshot

Params = Sequence[Any] | Mapping[str, Any] | None
Relation = duckdb.DuckDBPyRelation
_EXPLAIN = re.compile(r"\s*explain\b(?:\s*\([^)]*\)|\s+analyze\b|\s+verbose\b)*", re.IGNORECASE)
_CATALOG = ("show", "information_schema", "duckdb_", "pg_")


class Engine:
    """Answers SQL about one lake.

    Args:
        location: the lake; nothing outside of it can be read.
        snapshot_of: gives one consistent moment of the datasets named.
        allow_external: lets statements read files elsewhere, attach databases and write; off by default.
    """

    def __init__(
        self, location: Location, snapshot_of: Callable[[Sequence[str]], Snapshot], *, allow_external: bool = False
    ) -> None:
        self._location = location
        self._snapshot_of = snapshot_of
        self._allow_external = allow_external
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._lock = Lock()

    def sql(self, sql: str, params: Params = None) -> Relation:
        """A relation over one snapshot; it keeps that snapshot however late it is read.

        Raises:
            ReadOnlyError: the statement would do something other than read.
            QueryError: DuckDB cannot run it.
            UsageError: not exactly one statement.
        """
        cursor = self._database().cursor()
        self._check(cursor, sql)
        names = mentioned(sql)
        if any(word in sql.lower() for word in _CATALOG):
            names = (*registry.names(), *views())
        datasets, needed = closure(names)
        direct = {} if needed else bounds(cursor, sql, params)
        show(cursor, self._location, self._snapshot_of(datasets), needed, direct)
        try:
            return cursor.sql(sql, params=_values(params))
        except duckdb.Error as error:
            raise _query_error(error, sql) from error

    def frame(self, sql: str, params: Params = None) -> pl.DataFrame:
        """The whole result as a Polars frame, times in UTC.

        Raises:
            QueryError: DuckDB cannot run it, or stumbles over a value while it runs.
        """
        relation = self.sql(sql, params)
        try:
            found: pl.DataFrame = relation.pl()
        except duckdb.Error as error:
            raise _query_error(error, sql) from error
        zoned = [n for n, t in found.schema.items() if isinstance(t, pl.Datetime) and t.time_zone]
        return found.with_columns(pl.col(zoned).dt.convert_time_zone("UTC")) if zoned else found

    def close(self) -> None:
        """End the engine; relations made before stay readable."""
        with self._lock:
            self._connection = None

    def _database(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            if self._connection is None:
                self._connection = connect(self._location, allow_external=self._allow_external)
            return self._connection

    def _check(self, cursor: duckdb.DuckDBPyConnection, sql: str) -> None:
        try:
            statements = cursor.extract_statements(sql)
        except duckdb.Error as error:
            raise _query_error(error, sql) from error
        if len(statements) != 1:
            raise UsageError("one statement at a time", value=sql, todo="Call once for each.")
        kind = statements[0].type
        if kind is duckdb.StatementType.EXPLAIN:  # EXPLAIN ANALYZE runs what it explains
            explained = cursor.extract_statements(_EXPLAIN.sub("", sql, count=1))
            kind = explained[0].type if len(explained) == 1 else kind
        if kind is not duckdb.StatementType.SELECT and not self._allow_external:
            raise ReadOnlyError(
                f"{kind.name} is not reading",
                value=sql,
                todo="Use the writers of the lake; `--allow-external` lifts this for your own files.",
            )


def connect(location: Location, *, allow_external: bool = False) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB that can read the lake, and nothing else unless allowed."""
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
    return connection


def show(
    cursor: duckdb.DuckDBPyConnection,
    location: Location,
    snapshot: Snapshot,
    needed: Sequence[View],
    pruned: Mapping[str, Mapping[str, tuple[Any, Any]]],
) -> None:
    """Make the snapshot's datasets, and the views on them, tables of this cursor alone."""
    for name, state in snapshot.states.items():
        ds = registry.get(name)
        hot = snapshot.hot[name]
        if hot.height:
            cursor.register(relations.hot_name(ds), hot.to_arrow())
        select = relations.select(ds, location, state, hot, pruned.get(name, {}))
        cursor.execute(f"CREATE TEMP VIEW {name} AS {select}")
    for view in needed:
        cursor.execute(f"CREATE TEMP VIEW {view.name} AS {view.sql}")


def _values(params: Params) -> Any:
    return None if params is None else dict(params) if isinstance(params, Mapping) else list(params)


def _query_error(error: duckdb.Error, sql: str) -> QueryError:
    return QueryError(str(error).strip(), value=sql, todo="`lake tables` lists what there is to ask.")
