"""The view lake_stats with the rows of datasets that hold nothing written out, which spares looking at them."""

from __future__ import annotations

from collections.abc import Collection

NAME = "lake_stats"
_ORDER = "\nORDER BY dataset"
_NOTHING = "SELECT * FROM (VALUES {rows}) AS nothing(dataset, rows, first_event, last_event, symbols, rows_last_day)"
_ROW = "('{name}', 0::BIGINT, NULL::TIMESTAMPTZ, NULL::TIMESTAMPTZ, {symbols}::BIGINT, 0::BIGINT)"


def without(text: str, empty: Collection[str]) -> str:
    """The SELECT of lake_stats, where those datasets are known to have no row."""
    branches = text.removesuffix(_ORDER).split("\nUNION ALL\n")
    found = {branch.rpartition("FROM ")[2]: branch for branch in branches}
    rows = [
        _ROW.format(name=name, symbols="NULL" if "NULL AS symbols" in branch else "0")
        for name, branch in found.items()
        if name in empty
    ]
    told = [_NOTHING.format(rows=", ".join(rows))] if rows else []
    return "\nUNION ALL\n".join([*told, *(found[name] for name in found if name not in empty)]) + _ORDER
