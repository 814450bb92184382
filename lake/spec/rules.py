"""What the values of one row owe each other: some are needed, times follow each other, levels lie in order.

A rule says it of one row, and of a whole table; both say the same (a test compares them). Rules are asked when a row is
written; rows that were stored before a rule was made are left as they are, and so are changes of other columns.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import polars as pl

from lake.clock import MICROS_PER_SECOND
from lake.errors import InvalidRowError
from lake.spec.dataset import Rule
from lake.spec.times import from_micros

Row = Mapping[str, Any]
_WAYS = {"LONG": 1.0, "SHORT": -1.0}
_SAYS_NOTHING = "a row without it says nothing"


@dataclass(frozen=True)
class Needed:
    """Columns without which a row says nothing, although older rows may lack them."""

    names: tuple[str, ...]

    @property
    def columns(self) -> frozenset[str]:
        """The columns that it looks at."""
        return frozenset(self.names)

    def check(self, dataset: str, row: Row) -> None:
        """Raise InvalidRowError for a row that lacks one."""
        for name in self.names:
            if row.get(name) is None:
                raise InvalidRowError(_SAYS_NOTHING, where=f"{dataset}.{name}", todo=f"Give {name!r}.")

    def may_be_broken(self, names: Collection[str]) -> bool:
        """Whether a row that has values of just these columns may break it."""
        return any(name not in names for name in self.names)

    def kept_where(self, names: Collection[str]) -> str:
        """Whether a row that has just these columns has all that it needs."""
        return str(not self.may_be_broken(names))

    def reasons(self) -> pl.Expr:
        """Why a row breaks it."""
        lacking = [pl.when(pl.col(n).is_null()).then(pl.lit(f"{n}: {_SAYS_NOTHING}")) for n in self.names]
        return pl.concat_str(lacking, separator="; ", ignore_nulls=True)


@dataclass(frozen=True)
class InOrder:
    """Two times, of which the second is not before the first.

    Attributes:
        first, then: the columns.
        skew: so many microseconds the second may be before the first: two clocks may have told them.
    """

    first: str
    then: str
    skew: int = 0

    @property
    def columns(self) -> frozenset[str]:
        """The columns that it looks at."""
        return frozenset((self.first, self.then))

    def check(self, dataset: str, row: Row) -> None:
        """Raise InvalidRowError for a row whose second time is before its first."""
        first, then = row.get(self.first), row.get(self.then)
        if first is not None and then is not None and then < first - self.skew:
            raise InvalidRowError(
                f"it is before {self.first} ({from_micros(first).isoformat()})",
                where=f"{dataset}.{self.then}",
                value=from_micros(then).isoformat(),
                todo=f"Give a time from {self.first} on, or correct {self.first}.{self._allowed}",
            )

    @property
    def _allowed(self) -> str:
        return f" Their clocks may be {self.skew // MICROS_PER_SECOND} seconds apart." if self.skew else ""

    def may_be_broken(self, names: Collection[str]) -> bool:
        """Whether a row that has values of just these columns may break it."""
        return self.first in names and self.then in names

    def kept_where(self, names: Collection[str]) -> str:
        """An expression of the two times, of a row that has just these columns."""
        return f"row[{self.first!r}] <= row[{self.then!r}]" if self.may_be_broken(names) else "False"

    def reasons(self) -> pl.Expr:
        """Why a row breaks it."""
        why = [pl.lit(f"{self.then}: it is before {self.first}, got "), pl.col(self.then).cast(pl.String)]
        is_before = pl.col(self.then) < pl.col(self.first) - pl.duration(microseconds=self.skew)
        return pl.when(is_before).then(pl.concat_str(why))


@dataclass(frozen=True)
class Levels:
    """Prices of a position, which lie upwards for a LONG, and downwards for a SHORT.

    Attributes:
        names: from the stop to the farthest target; those that a row lacks are passed over.
        apart: the level that none of the others may be equal to: the entry.
        when: column -> values for which they are looked at.
    """

    names: tuple[str, ...]
    apart: str
    when: tuple[tuple[str, tuple[object, ...]], ...] = ()
    side: str = "side"

    @property
    def columns(self) -> frozenset[str]:
        """The columns that it looks at."""
        return frozenset((*self.names, self.side, *(name for name, _ in self.when)))

    def check(self, dataset: str, row: Row) -> None:
        """Raise InvalidRowError for a row with a level on the wrong side of the one before it."""
        way = _WAYS.get(row.get(self.side, ""))
        if way is None or not _applies(self.when, row):
            return
        last = -math.inf
        for name in self.names:  # in order as nearly always, and found so in a fourth of the time
            level = row.get(name)
            if level is not None:
                if not way * level > last:
                    break
                last = way * level
        else:
            return
        for lower, upper in pairwise([name for name in self.names if row.get(name) is not None]):
            near = way * (row[upper] - row[lower])
            if near < 0 or (near == 0 and self.apart in {lower, upper}):
                wrong, other = (lower, upper) if upper == self.apart else (upper, lower)
                raise InvalidRowError(
                    f"on the wrong side of {other} ({row[other]:g}) for a {row[self.side]}",
                    where=f"{dataset}.{wrong}",
                    value=row[wrong],
                    todo="Give the levels in the order in which the price would reach them.",
                )

    def may_be_broken(self, names: Collection[str]) -> bool:
        """Whether a row that has values of just these columns may break it."""
        return self.side in names and sum(name in names for name in self.names) > 1

    def kept_where(self, names: Collection[str]) -> str:
        """An expression of the side and the prices, of a row that has just these columns."""
        prices = [f"row[{name!r}]" for name in self.names if name in names]
        ways = [(side, " < " if way > 0 else " > ") for side, way in _WAYS.items()]
        return " or ".join(f"(row[{self.side!r}] == {side!r} and {than.join(prices)})" for side, than in ways)

    def reasons(self) -> pl.Expr:
        """Why a row breaks it."""
        way = pl.col(self.side).replace_strict(_WAYS, default=None, return_dtype=pl.Float64)
        found: list[pl.Expr] = []
        for number, upper in enumerate(self.names[1:], 1):
            for place, lower in enumerate(self.names[:number]):
                between = self.names[place + 1 : number]
                near = way * (pl.col(upper) - pl.col(lower))
                wrong, other = (lower, upper) if upper == self.apart else (upper, lower)
                is_wrong = near <= 0 if self.apart in {lower, upper} else near < 0
                absent = pl.all_horizontal([pl.lit(value=True), *(pl.col(name).is_null() for name in between)])
                why = [
                    pl.lit(f"{wrong}: on the wrong side of {other} ("), pl.col(other).cast(pl.String),
                    pl.lit(") for a "), pl.col(self.side), pl.lit(", got "), pl.col(wrong).cast(pl.String),
                ]  # fmt: skip
                found.append(pl.when(_applying(self.when) & absent & is_wrong).then(pl.concat_str(why)))
        return pl.concat_str(found, separator="; ", ignore_nulls=True)


def broken(rules: Iterable[Rule], frame: pl.DataFrame) -> pl.Series | None:
    """Per row of a canonical table which rules it breaks, empty where none; None when there are none to break."""
    found = [rule.reasons() for rule in rules]
    if not found or frame.is_empty():
        return None
    why = frame.select(pl.concat_str(found, separator="; ", ignore_nulls=True).alias("why")).to_series()
    # a rule that is kept may say so by an empty text
    return why.str.replace_all(r"(^(; )+)|((; )+$)", "").str.replace_all(r"(; ){2,}", "; ").fill_null("")


def _applies(when: Iterable[tuple[str, tuple[object, ...]]], row: Row) -> bool:
    for name, values in when:  # noqa: SIM110 - a generator takes twice as long, for each row that is written
        if row.get(name) not in values:
            return False
    return True


def _applying(when: Iterable[tuple[str, tuple[object, ...]]]) -> pl.Expr:
    return pl.all_horizontal([pl.lit(value=True), *(pl.col(name).is_in(list(values)) for name, values in when)])
