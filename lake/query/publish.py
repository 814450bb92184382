"""``lake.duckdb``: a catalogue of views on the lake's files that any DuckDB opens read-only."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from lake.errors import QueryError, StorageError
from lake.query import relations
from lake.query.variables import Variables, defaults, macros
from lake.query.views import closure, views
from lake.spec import registry
from lake.store.location import Location
from lake.store.snapshot import Snapshot


def publish(path: Path, location: Location, snapshot: Snapshot, variables: Variables | None = None) -> int:
    """Write the catalogue of a snapshot, whole or not at all; returns how many views it has.

    Hot rows are not in it: drain before. ``variables`` are those of the views where nobody sets them there. On any
    error a catalogue that was there before stays as it is.

    Raises:
        StorageError: nothing can be written at ``path``, or the lake is on S3 and DuckDB's httpfs is not installed.
        QueryError: DuckDB refuses a view.
    """
    if not location.is_local:
        _require_httpfs(location)
    with _as_lake_errors(path):
        if path.is_dir():
            raise StorageError("there is a folder", where=str(path), todo="Name a file in it, such as lake.duckdb.")
        if not path.parent.is_dir():
            raise StorageError("there is no such folder", where=str(path.parent), todo="Make it first.")
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        try:
            count = _fill(draft, location, snapshot, variables or {})
            draft.replace(path)
        finally:
            for left in (draft, draft.with_name(f"{draft.name}.wal")):
                left.unlink(missing_ok=True)
    return count


def _fill(draft: Path, location: Location, snapshot: Snapshot, variables: Variables) -> int:
    ordered = closure(tuple(views()))[1]
    with duckdb.connect(str(draft)) as connection:
        if not location.is_local:
            connection.register_filesystem(location.filesystem)
        for statement in (macros(), *defaults(variables)):
            connection.execute(statement)
        for name in registry.names():
            ds = registry.get(name)
            empty = snapshot.hot[name].clear()
            select = relations.select(ds, location, snapshot.states[name], empty, {})
            connection.execute(f"CREATE VIEW {name} AS {select}")
            connection.execute(f"COMMENT ON VIEW {name} IS {_quoted(ds.meaning)}")
        for view in ordered:
            connection.execute(f"CREATE VIEW {view.name} AS {view.sql}")
            connection.execute(f"COMMENT ON VIEW {view.name} IS {_quoted(view.doc)}")
        connection.execute("CHECKPOINT")
    return len(registry.names()) + len(ordered)


def _require_httpfs(location: Location) -> None:
    """Who opens the catalogue of a lake on S3 reads it through httpfs, so it must be there to be worth publishing."""
    try:
        with duckdb.connect(":memory:") as connection:
            connection.execute("LOAD httpfs")
    except duckdb.Error as error:
        raise StorageError(
            "a catalogue of a lake on S3 needs DuckDB's extension httpfs, which is not installed",
            where=location.uri,
            todo="Run INSTALL httpfs in DuckDB once; `lake sql` and `lk.uri(dataset)` need no extension.",
        ) from error


@contextmanager
def _as_lake_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (duckdb.IOException, OSError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise StorageError(
            f"the catalogue cannot be written: {said.strip()}", where=str(path), todo="Check the path and the disk."
        ) from error
    except duckdb.Error as error:
        raise QueryError(
            f"DuckDB refuses a view of the catalogue: {str(error).strip()}",
            where=str(path),
            todo="`lake verify` says whether the lake is whole.",
        ) from error


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
