"""One entry of the hot log: some rows of one dataset, in the order they were acknowledged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

Row = Mapping[str, Any]


class Entry(NamedTuple):
    """Checked rows of one dataset, as they will be stored."""

    dataset: str
    rows: Sequence[Row]

    def payload(self) -> bytes:
        """The rows as one JSON array."""
        return orjson.dumps(self.rows)


def encoded(entries: Iterable[Entry]) -> list[tuple[str, bytes]]:
    """The dataset and the payload of each."""
    return [(dataset, orjson.dumps(rows)) for dataset, rows in entries]


class Stored(NamedTuple):
    """An entry as it lies in the log, under its sequence number.

    The number grows with each entry of a writer and is never below the microsecond at which it
    was acknowledged, so entries of different writers compare by time.
    """

    sequence: int
    dataset: str
    payload: bytes

    def rows(self) -> list[dict[str, Any]]:
        """The rows, decoded."""
        found: list[dict[str, Any]] = orjson.loads(self.payload)
        return found
