"""Ids for rows of one table that have the same facts in their ids, and tell different stories: numbered, in order.

What is counted is what this table says, in the order in which it says it, and nothing of the lake: a second run, and
another store with the same rows in the same order, give the same numbers.
"""

from __future__ import annotations

from lake.importers.keys import Keys
from lake.importers.mapping import Canonical
from lake.spec.dataset import Dataset
from lake.store.drain import is_open


class Numbering:
    """Gives the second story of an id the id with ``-2``, the third with ``-3``; a row that is there twice is one.

    Args:
        ds: the dataset of the rows, whose key is one text.

    >>> from lake.spec import registry
    >>> numbering = Numbering(registry.get("trades"))
    >>> rows = [{"trade_id": "t", "status": "closed", "quantity": quantity} for quantity in (1.0, 2.0, 1.0, 2.0)]
    >>> [numbering(row)["trade_id"] for row in rows], numbering.count
    (['t', 't-2', 't', 't-2'], 1)
    """

    def __init__(self, ds: Dataset) -> None:
        (self._column,) = ds.key
        self._ds = ds
        self._seen, self._told = Keys(), Keys()  # ids, and ids with what was told
        self._open: dict[str, list[int]] = {}  # ids that go on -> their numbers
        self._last: dict[str, int] = {}
        self._numbers: dict[tuple[str, int], int] = {}  # of stories that are not the first of their id
        self.count = 0

    def __call__(self, row: Canonical) -> Canonical:
        """The row, under the id that is its own."""
        key = str(row[self._column])
        story = (key, hash(frozenset(row.items())))
        if story not in self._told:
            self._told.add(story)
            number = self._number(key, row)
            if number > 1:
                self._numbers[story] = number
        number = self._numbers.get(story, 1)
        return row if number == 1 else {**row, self._column: f"{key}-{number}"}

    def _number(self, key: str, row: Canonical) -> int:
        """Of a story that is new: the next, or that of one that went on and has ended in this."""
        goes_on = is_open(self._ds, row)
        if key in self._open and not goes_on:
            number = self._open[key].pop(0)
            if not self._open[key]:
                del self._open[key]
            return number
        number = 1
        if key in self._seen:
            number = self._last[key] = self._last.get(key, 1) + 1
            self.count += 1
        self._seen.add(key)
        if goes_on:
            self._open.setdefault(key, []).append(number)
        return number
