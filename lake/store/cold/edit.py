"""A commit of a cold table before it lands, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

from lake.store.cold.files import DataFile


class LostRaceError(Exception):
    """Another commit took the version; plan again."""


class OvertakenError(Exception):
    """What was to be committed is older than what has come meanwhile; nothing was."""


@dataclass(frozen=True, slots=True)
class Landed:
    """Counts of one write: rows that were new, that replaced another version, that were there already."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0

    def __add__(self, other: Landed) -> Landed:
        return Landed(self.inserted + other.inserted, self.updated + other.updated, self.unchanged + other.unchanged)


@dataclass(frozen=True, slots=True)
class Edit:
    """A planned commit: files that go, files that come, and what to report when it lands.

    It holds as long as nobody else touches its ``partitions``; None stands for all.
    """

    removed: tuple[DataFile, ...]
    added: tuple[DataFile, ...]
    landed: Landed
    partitions: frozenset[tuple[str | None, ...]] | None
    data_change: bool = True
