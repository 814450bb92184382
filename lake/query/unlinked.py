"""Snapshots in which no trade names a decision and no decision a trade, which statistics tell."""

from __future__ import annotations

import duckdb

from lake.store.snapshot import Snapshot

_LINKS = (("decisions", "trade_id"), ("trades", "decision_id"))


def show(cursor: duckdb.DuckDBPyConnection, snapshot: Snapshot) -> None:
    """Let the macro decisions_and_money of this cursor look nothing up where nothing is linked."""
    if all(_is_null(snapshot, name, column) for name, column in _LINKS):
        cursor.execute(
            "CREATE TEMP MACRO decisions_and_money(decisions_table, trades_table) AS TABLE "
            "SELECT * FROM decisions_without_money(decisions_table)"
        )


def _is_null(snapshot: Snapshot, name: str, column: str) -> bool:
    hot = snapshot.hot[name]
    files = snapshot.states[name].files.values()
    return hot[column].null_count() == hot.height and all(column in file.empty for file in files)
