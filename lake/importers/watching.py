"""What is told of rows that an import makes: that they name no side, that a result in percent looks like a share."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

from lake.importers.base import Notes, Row
from lake.importers.mapping import Canonical
from lake.importers.reading.jsons import REPEATED
from lake.importers.values import is_nothing
from lake.importers.wording import counted

_LEAST = 0.01  # percent; a smaller move says nothing
_PERCENT = math.log(100)


class Nans:
    """Counts values of rows as they are found that are no number (NaN), or a word for none: nothing lands for them.

    And those that stand under one name with others, of which the last lands.

    Args:
        words: columns in which such a word means something.
    """

    def __init__(self, words: AbstractSet[str] = frozenset()) -> None:
        self._meant = words
        self._nans: Counter[str] = Counter()
        self._words: Counter[str] = Counter()
        self._repeated: Counter[str] = Counter()

    def look(self, row: Row) -> None:
        """Look at one row."""
        for name, value in row.items():
            if type(value) is str:
                if value and is_nothing(value) and name not in self._meant:
                    self._words[f"{value} in {name}"] += 1
            elif type(value) is float and math.isnan(value):
                self._nans[name] += 1
            elif type(value) is list and name.startswith(REPEATED):
                self._repeated[name.removeprefix(REPEATED)] += 1

    def tell(self, notes: Notes) -> None:
        """Tell of which columns, and how many there are."""
        for what, counts in (
            ("no number (NaN) is taken for nothing", self._nans),
            ("a word for none is taken for nothing", self._words),
            ("of several values under one name the last counts, and the others are kept beside", self._repeated),
        ):
            if counts:
                named = ", ".join(f"{name} ({count:,})" for name, count in sorted(counts.items()))
                notes.tell(f"{what}: {named}")


class Watch(Protocol):
    """Looks at every row that was made of a table, and tells of them at the end."""

    def look(self, row: Canonical) -> None:
        """Look at one row."""

    def tell(self, notes: Notes) -> None:
        """Tell what was found, if there is anything."""


def watches(dataset: str) -> tuple[Watch, ...]:
    """What looks at the rows of a dataset."""
    if dataset == "trades":
        return Sideless(), Shares()
    return (Sideless(),) if dataset in {"positions", "fills", "phantoms"} else ()


class Sideless:
    """Counts rows without a side: they land, since their results count whatever the side was."""

    def __init__(self) -> None:
        self._count = 0

    def look(self, row: Canonical) -> None:
        """Look at one row."""
        self._count += "side" not in row

    def tell(self, notes: Notes) -> None:
        """Tell how many there are."""
        if self._count:
            some = counted(self._count, "row names no side, and lands", "rows name no side, and land")
            notes.tell(f"{some} without one: it counts in totals, and in nothing that asks for the side")


class Shares:
    """Counts trades whose result in percent is a share: 0.02 where the prices say 2 %. It is told, and not guessed."""

    def __init__(self) -> None:
        self._shares = self._judged = 0

    def look(self, row: Canonical) -> None:
        """Judge one trade, if it has both prices and a result."""
        entry, left, said = row.get("entry_price"), row.get("exit_price"), row.get("pnl_percent")
        if not entry or not left or not said or "side" not in row:
            return
        move = 100 * (left / entry - 1) * (-1 if row["side"] == "SHORT" else 1)
        if abs(move) < _LEAST or said * move <= 0:
            return
        self._judged += 1
        leverage = row.get("leverage") or 1.0
        self._shares += _is_nearer_to_share(said, (move,) if leverage == 1.0 else (move, move * leverage))

    def tell(self, notes: Notes) -> None:
        """A note, when the results of most are nearer to the share than to percent."""
        if 2 * self._shares > self._judged:
            notes.tell(
                f"pnl_percent of {self._shares:,} of {self._judged:,} trades contradicts their prices: it looks like a "
                "fraction (0.02 for 2 %), and is kept as it is; if it is one, say so: --percent fraction, or in a map "
                '{ percent = "NAME" }'
            )


def _is_nearer_to_share(said: float, moves: Sequence[float]) -> bool:
    size = math.log(abs(said))
    above = [size - math.log(abs(move)) for move in moves]
    return min([abs(one + _PERCENT) for one in above]) < min([abs(one) for one in above])
