"""What the names in a statement are: a snapshot's datasets and the views on them, as tables of one cursor alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import duckdb

from lake.query import lake_stats, relations
from lake.query.as_decided import untouched
from lake.query.views import View, closure, views
from lake.spec import registry
from lake.store.location import Location
from lake.store.snapshot import Snapshot

_SMALL = 100_000  # rows


def texts(snapshot: Snapshot, needed: Sequence[View]) -> dict[str, str]:
    """Name of each view -> a SELECT that gives the same rows of this snapshot, at less cost where that is known."""
    found = {view.name: view.sql for view in needed}
    found |= {name: sql for name, sql in untouched(snapshot.states, snapshot.hot).items() if name in found}
    if lake_stats.NAME in found:
        found[lake_stats.NAME] = lake_stats.without(found[lake_stats.NAME], _empty(snapshot))
    return found


def unread(snapshot: Snapshot, needed: Sequence[View], named: Collection[str]) -> set[str]:
    """Datasets that hold nothing and that lake_stats alone asks for, of which :func:`texts` therefore reads none."""
    return _empty(snapshot) - {
        *named,
        *(name for view in needed if view.name != lake_stats.NAME for name in view.needs),
    }


def show(
    cursor: duckdb.DuckDBPyConnection,
    location: Location,
    snapshot: Snapshot,
    datasets: Sequence[str],
    selects: Mapping[str, str],
    pruned: Mapping[str, Mapping[str, tuple[Any, Any]]],
) -> None:
    """Make datasets of the snapshot, and views in their order, tables of this cursor.

    ``selects``: name of a view -> its SELECT. ``pruned``: dataset -> bounds that no row asked for lies out of.
    """
    made = []
    for name in datasets:
        ds = registry.get(name)
        hot = snapshot.hot[name]
        if hot.height:
            cursor.register(relations.hot_name(ds), hot.to_arrow())
        select = relations.select(ds, location, snapshot.states[name], hot, pruned.get(name, {}))
        made.append(f"CREATE TEMP VIEW {name} AS {select}")
    made += [f"CREATE TEMP VIEW {name} AS {select}" for name, select in selects.items()]
    if made:
        cursor.execute(";\n".join(made))


def outline(cursor: duckdb.DuckDBPyConnection, shown: Collection[str]) -> None:
    """Make all that is not shown yet a table of this cursor too, with its columns and no rows.

    That is enough for statements about the catalogue, costs them no snapshot, and leaves no name of hot rows there.
    """
    datasets, ordered = closure((*registry.names(), *views()))
    for name in datasets:
        if name not in shown:
            cursor.execute(f"CREATE TEMP VIEW {name} AS {relations.nothing(registry.get(name))}")
    for view in ordered:
        if view.name not in shown:
            cursor.execute(f"CREATE TEMP VIEW {view.name} AS {view.sql}")


def are_small(snapshot: Snapshot) -> bool:
    """Whether the datasets have so few rows that to understand a view takes longer than to work it out."""
    counts = [file.rows for state in snapshot.states.values() for file in state.files.values()]
    known = [_SMALL if count is None else count for count in counts]
    return sum(known) + sum(hot.height for hot in snapshot.hot.values()) < _SMALL


def _empty(snapshot: Snapshot) -> set[str]:
    return {name for name, state in snapshot.states.items() if not state.files and not snapshot.hot[name].height}
