"""Up to when retention has removed rows, kept in the lake: what was made of them cannot be made again.

Who makes figures of a dataset's rows keeps the older ones, and an ingest that meets a finished file tells that rows of
it may be gone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import orjson

from lake.clock import now_micros
from lake.spec.times import from_micros
from lake.store.location import Location

FOLDER = "_lake/retired"


@dataclass(frozen=True, slots=True)
class Removed:
    """Rows that are no longer there.

    Attributes:
        dataset: whose rows.
        before: up to which age they were removed, in microseconds.
        at: when, in microseconds.
    """

    dataset: str
    before: int
    at: int

    def __str__(self) -> str:
        before, at = (from_micros(moment).strftime("%Y-%m-%d %H:%M") for moment in (self.before, self.at))
        return f"{self.dataset} before {before} UTC were removed by retention at {at}"


def note(location: Location, dataset: str, before: int) -> None:
    """Remember a removal, unless one that reaches as far is remembered; to be called before the rows go."""
    known = removed_before(location, dataset)
    if known is None or known < before:
        location.write(f"{FOLDER}/{dataset}.json", orjson.dumps(asdict(Removed(dataset, before, now_micros()))))


def removed(location: Location) -> list[Removed]:
    """The removal of each dataset that reaches farthest."""
    return [Removed(**orjson.loads(location.read(entry.path))) for entry in location.list(FOLDER)]


def removed_before(location: Location, dataset: str) -> int | None:
    """The moment before which rows of a dataset were removed, in microseconds; None where all are there."""
    noted = location.read_or_none(f"{FOLDER}/{dataset}.json")
    return None if noted is None else Removed(**orjson.loads(noted)).before
