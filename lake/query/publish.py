"""``lake.duckdb``: a catalogue of views on the lake's files that any DuckDB opens read-only."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb

from lake.query import relations
from lake.query.views import closure, views
from lake.spec import registry
from lake.store.location import Location
from lake.store.snapshot import Snapshot


def publish(path: Path, location: Location, snapshot: Snapshot) -> int:
    """Write the catalogue of a snapshot, whole or not at all; returns how many views it has.

    Hot rows are not in it: drain before.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    connection = duckdb.connect(str(draft))
    try:
        for name in registry.names():
            ds = registry.get(name)
            empty = snapshot.hot[name].clear()
            connection.execute(
                f"CREATE VIEW {name} AS {relations.select(ds, location, snapshot.states[name], empty, {})}"
            )
            connection.execute(f"COMMENT ON VIEW {name} IS {_quoted(ds.meaning)}")
        ordered = closure(tuple(views()))[1]
        for view in ordered:
            connection.execute(f"CREATE VIEW {view.name} AS {view.sql}")
            connection.execute(f"COMMENT ON VIEW {view.name} IS {_quoted(view.doc)}")
        connection.execute("CHECKPOINT")
    finally:
        connection.close()
    draft.replace(path)
    return len(registry.names()) + len(ordered)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
