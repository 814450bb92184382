"""Two tables in one order, read beside each other: what belongs to a row is there when its turn comes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from lake.importers.base import Row


class Following:
    """Rows in order of a column, given out to callers who ask for its values in the same order.

    Args:
        rows: in order of the column; those without a value belong to nobody.
        column: names the value that is asked for.

    >>> of_order = Following(iter([{"order": 1, "fill": "a"}, {"order": 3, "fill": "b"}]), "order")
    >>> of_order(1), of_order(2), of_order(3)
    ([{'order': 1, 'fill': 'a'}], [], [{'order': 3, 'fill': 'b'}])
    >>> Following(iter([{"order": 1}, {"order": "one"}]), "order")("one")
    [{'order': 'one'}]
    """

    def __init__(self, rows: Iterator[Row], column: str) -> None:
        self._groups = groupby((row for row in rows if row.get(column) is not None), key=lambda row: row[column])
        self._at: Any = None
        self._held: list[Row] = []

    def __call__(self, value: Any) -> list[Row]:
        """The rows with that value; asked again, they are given again. Of no value there are none."""
        if value is None:
            return []
        while self._at is None or _place(self._at) < _place(value):
            following = next(self._groups, None)
            if following is None:
                break
            self._at, self._held = following[0], list(following[1])
        return self._held if self._at == value else []


def _place(value: Any) -> tuple[int, Any]:
    """Where SQLite sorts a value: a column may hold numbers, then text, then bytes."""
    return (0, value) if isinstance(value, int | float) else (1, value) if isinstance(value, str) else (2, value)
