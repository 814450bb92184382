"""The receipt of a write: what became of each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from lake.errors import UsageError


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that was not taken, and why; it is kept in the quarantine."""

    row: Mapping[str, Any]
    reason: str


@dataclass(frozen=True)
class Receipt:
    """Counts of one write, all rows included.

    Of a write inside a transaction it tells what was so at the call: it counts only if the transaction lands, and what
    another process did to a row meanwhile is not in it.

    Attributes:
        inserted: rows whose key was new.
        updated: rows that replaced another version of their key.
        unchanged: rows that were there already, as they are.
        rejected: rows that do not fit the dataset; see ``rejections``.
        rejections: the rejected rows with their reasons.
        keys: the keys of the rows taken one by one, in order; generated ids are found here.
    """

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    rejections: Sequence[Rejection] = field(default=(), repr=False)
    keys: Sequence[tuple[Any, ...]] = field(default=(), repr=False)

    @classmethod
    def of_one(cls, count: str, key: tuple[Any, ...]) -> Receipt:
        """The receipt of one row, ``count`` naming what became of it; made in half the time, which each write takes."""
        made = object.__new__(cls)
        values = made.__dict__
        values[count], values["keys"] = 1, (key,)
        return made

    @property
    def id(self) -> str:
        """The id of the one row that was written: the first column of its key.

        Raises:
            UsageError: it was not exactly one.
        """
        if len(self.keys) != 1:
            raise UsageError(f"{len(self.keys)} rows were written", where="Receipt.id", todo="See Receipt.keys.")
        return str(self.keys[0][0])

    @property
    def landed(self) -> int:
        """Rows that are in the lake now because of this write."""
        return self.inserted + self.updated

    @property
    def rows(self) -> int:
        """All rows that were given."""
        return self.inserted + self.updated + self.unchanged + self.rejected

    def __add__(self, other: Receipt) -> Receipt:
        return Receipt(
            self.inserted + other.inserted,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.rejected + other.rejected,
            (*self.rejections, *other.rejections),
            (*self.keys, *other.keys),
        )

    def with_rejections(self, rejections: Sequence[Rejection]) -> Receipt:
        """The receipt of these rows too, which were not taken."""
        return self + Receipt(rejected=len(rejections), rejections=rejections) if rejections else self

    def as_dict(self) -> dict[str, int]:
        """The counts, for JSON."""
        return {
            "inserted": self.inserted,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "rejected": self.rejected,
        }


def rejections_of(bad: pl.DataFrame) -> list[Rejection]:
    """Rows that a check of a frame refused, each with its ``reason`` among its columns."""
    return [Rejection(row, str(row.pop("reason"))) for row in bad.to_dicts()]
