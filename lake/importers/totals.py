"""The total of one column over the rows of a table, as the source tells it and as the lake then holds it."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, field

from lake.importers.keys import Keys
from lake.importers.report import Sum

_MOST = 1e290  # of a value: sums of any number of them are finite


def addend(value: float | None) -> float:
    """The number that a value adds to a sum: none of what is not there, and of what is beyond any sum.

    >>> addend(2.5), addend(None), addend(1e300)
    (2.5, 0.0, 0.0)
    """
    return 0.0 if value is None or abs(value) > _MOST else float(value)


@dataclass(slots=True)
class Total:
    """Parts of one column's sum; each is a list of partial sums, so that nothing small is lost beside the large.

    Of nearly all rows the source tells a value, so that only of the others it is kept that it told none.

    Attributes:
        seen: keys of the table's rows so far, whoever else keeps them.
        silent: keys of rows that told no value when they came first.
        late: those of them of which another row told one.
    """

    seen: Keys
    found: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    repeated: list[float] = field(default_factory=list)
    differing: list[float] = field(default_factory=list)
    in_lake: list[float] = field(default_factory=list)
    since: list[float] = field(default_factory=list)
    silent: Keys = field(default_factory=Keys)
    late: Keys = field(default_factory=Keys)

    def is_told(self, key: Hashable) -> bool:
        """Whether the source has told a value of the row."""
        return key in self.seen and (key not in self.silent or key in self.late)

    def tell(self, key: Hashable, value: float, held: float, before: float) -> None:
        """Count what a row tells.

        Args:
            key: of the row.
            value: that the source has for it.
            held: the lake's value after the row.
            before: the lake's value before it.
        """
        if self.is_told(key):
            self.repeated.append(value - (held - before))
            return
        self.differing.append(value - held)
        if key in self.seen:
            self.late.add(key)

    def settle(self) -> None:
        """Make one number of many."""
        for part in (self.found, self.refused, self.repeated, self.differing, self.in_lake, self.since):
            part[:] = [math.fsum(part)]

    def sum(self, column: str, *, read_back: bool) -> Sum:
        """The totals so far."""
        parts = (self.found, self.refused, self.repeated, self.differing)
        found, refused, repeated, differing = map(math.fsum, parts)
        in_lake = math.fsum(self.in_lake) if read_back else None
        return Sum(column, found, refused, repeated, differing, in_lake, math.fsum(self.since))
