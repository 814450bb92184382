"""The stored rows of a few keys, for who writes: in a table that others may change, compact and vacuum meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import polars as pl

from lake.errors import CorruptLakeError
from lake.spec.decode import frame_to_rows, keys_to_frame
from lake.store.cold.frames import frame_of, plain
from lake.store.cold.lookup import Asked
from lake.store.cold.table import ColdTable
from lake.store.cold.table_state import TableState

Read = TypeVar("Read")


def find(table: ColdTable, key: Sequence[object]) -> dict[str, object] | None:
    """The stored row of that key in the form of :func:`frame_to_rows`; None when there is none."""
    return reading(table, lambda state: _find(table, state, key))


def find_all(table: ColdTable, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The stored rows that have the keys of the rows given, in the form of :func:`frame_to_rows`."""
    asked = Asked(keys_to_frame(table.ds, rows))
    frames = reading(table, lambda state: list(table.rows_of(state, asked, table.schema())))
    return [row for frame in frames for row in frame_to_rows(table.ds, frame, table.foreign)]


def reading(table: ColdTable, read: Callable[[TableState], Read], state: TableState | None = None) -> Read:
    """What ``read`` makes of the newest version, or of ``state``, which was that a moment ago.

    When its files were replaced, and vacuumed, meanwhile, it is asked again about a newer version. That costs a write
    nothing, where a lease would have to be there before.
    """
    while True:
        state = table.state() if state is None else state
        try:
            return read(state)
        except (FileNotFoundError, CorruptLakeError):
            if table.state().version == state.version:
                raise
        state = None


def _find(table: ColdTable, state: TableState, key: Sequence[object]) -> dict[str, object] | None:
    wanted = dict(zip(table.ds.key, key, strict=True))
    bounds = {name: (value, value) for name, value in wanted.items()}
    match = pl.all_horizontal(plain(table.ds, name) == value for name, value in wanted.items())
    for file in [f for f in state.files.values() if f.may_hold(bounds) and table.keys.may_hold(f, key)]:
        groups: Sequence[int] = table.reader.footer(f"{table.folder}/{file.path}").groups(bounds)
        if len(groups) > 1:
            groups = table.lookup.groups(file, Asked(keys_to_frame(table.ds, [wanted])))
        for piece in table.reader.pieces(table.folder, file, groups, table.schema()):
            rows = frame_to_rows(table.ds, frame_of(piece).filter(match), table.foreign)
            if rows:
                return rows[0]
    return None
