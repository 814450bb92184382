"""How a writer fares: commits that succeeded, were spooled or refused, and how long they took."""

from __future__ import annotations

import os
from bisect import bisect_left
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import orjson

from lake.clock import now_micros

# upper bounds in seconds of the latency histogram's buckets; the last is open
BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, float("inf"))


@dataclass
class WriteHealth:
    """What one writer's commits came to since its first.

    Attributes:
        commits: durable ones; each is one wait for the disk, for one or many writes.
        rows: log entries in them.
        spooled: commits that went to the spool, since SQLite could not be used.
        refused: commits that neither took.
        seconds: all commits took together.
        buckets: commits by the bucket of their duration.
        last_failure: what SQLite or the spool said last; with the time in microseconds.
        updated_at: when this was written down, in microseconds.
    """

    commits: int = 0
    rows: int = 0
    spooled: int = 0
    refused: int = 0
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * len(BUCKETS))
    last_failure: str = ""
    last_failure_at: int = 0
    updated_at: int = 0

    @property
    def success_rate(self) -> float | None:
        """Share of commits that became durable; None before the first."""
        total = self.commits + self.refused
        return self.commits / total if total else None

    def quantile(self, share: float) -> float | None:
        """Upper bound, in seconds, of the bucket in which that share of the commits ends; None before the first."""
        wanted, seen = share * sum(self.buckets), 0
        for bound, count in zip(BUCKETS, self.buckets, strict=True):
            seen += count
            if count and seen >= wanted:
                return bound
        return None


class Gauge:
    """Counts one writer's commits in memory, and writes them down when asked to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._health = read_health(path) or WriteHealth()
        self._lock = Lock()

    def committed(self, seconds: float, rows: int, *, spooled: bool) -> None:
        """A commit became durable."""
        with self._lock:
            health = self._health
            health.commits += 1
            health.rows += rows
            health.spooled += spooled
            health.seconds += seconds
            health.buckets[bisect_left(BUCKETS, seconds)] += 1

    def failed(self, reason: str) -> None:
        """SQLite, or the spool, said no."""
        with self._lock:
            self._health.last_failure, self._health.last_failure_at = reason, now_micros()

    def refused(self, reason: str) -> None:
        """A commit was not accepted."""
        self.failed(reason)
        with self._lock:
            self._health.refused += 1

    def save(self) -> None:
        """Write the figures down, whole or not at all; they are counts, so nothing is synced for them."""
        with self._lock:
            self._health.updated_at = now_micros()
            text = orjson.dumps(asdict(self._health))
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        try:
            draft.write_bytes(text)
            draft.replace(self._path)
        except OSError as error:
            self.failed(f"the health file cannot be written: {error}")


def read_health(path: Path) -> WriteHealth | None:
    """The figures that a writer wrote down; None when there are none that can be read."""
    try:
        found: dict[str, Any] = orjson.loads(path.read_bytes())
        health = WriteHealth(**found)
    except (OSError, ValueError, TypeError):
        return None
    return health if len(health.buckets) == len(BUCKETS) else None
