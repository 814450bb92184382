"""A dataset's rows in pieces that can be sorted in memory, one after the other in the order of their times."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lake.query.engine import Relation
from lake.query.fitting import identifier
from lake.spec.dataset import Dataset

PIECE_ROWS = 1_000_000


def pieces(ds: Dataset, relation: Relation, limit: int = PIECE_ROWS) -> Iterator[Relation]:
    """The rows by partition, a large one also by symbol; each piece is sorted when it is read.

    Args:
        ds: whose rows they are.
        relation: of all of the dataset's columns.
        limit: rows of a piece, unless one symbol has more of them in one partition.
    """
    names = (*ds.partitioned_by, *(("symbol",) if "symbol" in ds.by_name else ()))
    order = ", ".join(identifier(n) for n in (ds.sort or ds.key))
    if not names:
        yield relation.order(order)
        return
    for condition in conditions(relation, names, ds.partitioned_by, limit):
        yield relation.filter(condition).order(order)


def conditions(relation: Relation, names: tuple[str, ...], folders: tuple[str, ...], limit: int) -> Iterator[str]:
    """Conditions that cut the rows in pieces, in order; the last of the names may be taken together in one."""
    quoted = ", ".join(identifier(n) for n in names)
    groups = relation.aggregate(f"{quoted}, count(*) AS n").order(quoted).fetchall()
    gathered: list[Any] = []
    rows = 0
    for *values, count in groups:
        if gathered and (gathered[0][: len(folders)] != values[: len(folders)] or rows + count > limit):
            yield _condition(names, folders, gathered)
            gathered, rows = [], 0
        gathered.append(values)
        rows += count
    if gathered:
        yield _condition(names, folders, gathered)


def _condition(names: tuple[str, ...], folders: tuple[str, ...], groups: list[list[str]]) -> str:
    parts = [equals(name, value) for name, value in zip(folders, groups[0], strict=False)]
    if len(names) > len(folders):
        among = " OR ".join(equals(names[-1], values[-1]) for values in groups)
        parts.append(f"({among})")
    return " AND ".join(parts)


def equals(name: str, value: Any) -> str:
    """The condition that a column of text has a value."""
    literal = str(value).replace("'", "''")
    return f"{identifier(name)} IS NULL" if value is None else f"{identifier(name)} = '{literal}'"
