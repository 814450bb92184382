"""How a writer fares: commits that succeeded, were spooled or refused, and how long they took."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import deque
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from threading import Lock
from typing import Any

import orjson

from lake.clock import MICROS_PER_DAY, now_micros

# upper bounds in seconds of the latency histogram's buckets; the last is open
BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, float("inf"))
_RECENT_DAYS = 2  # by UTC, today among them: what was long ago says nothing of how a writer fares
_TOGETHER = 1000  # commits
_Commit = tuple[int, float, int, bool]  # when it was, its seconds, its entries, and whether they are spooled
_SAVED_EVERY = 1_000_000  # microseconds, of a writer that is refused


@dataclass
class WriteHealth:
    """What one writer's commits came to since its first, and those of today and yesterday.

    Attributes:
        commits: durable ones; each is one wait for the disk, for one or many writes.
        rows: log entries in them.
        spooled: commits that went to the spool, since SQLite could not be used.
        refused: commits that neither took.
        seconds: all commits took together.
        days: of each recent day its number since 1970, the commits refused, and the others by the bucket of their
            duration.
        last_failure: what SQLite or the spool said last; with the time in microseconds.
        updated_at: when this was written down, in microseconds.
    """

    commits: int = 0
    rows: int = 0
    spooled: int = 0
    refused: int = 0
    seconds: float = 0.0
    days: list[list[int]] = field(default_factory=list)
    last_failure: str = ""
    last_failure_at: int = 0
    updated_at: int = 0

    @property
    def recent(self) -> tuple[int, int]:
        """Commits of today and yesterday that became durable, and those that were refused."""
        days = self._recent()
        return sum(sum(day[2:]) for day in days), sum(day[1] for day in days)

    @property
    def success_rate(self) -> float | None:
        """Share of the recent commits that became durable; None without any."""
        commits, refused = self.recent
        return commits / (commits + refused) if commits + refused else None

    def quantile(self, share: float) -> float | None:
        """Upper bound, in seconds, of the bucket in which that share of the recent commits ends; None without any."""
        buckets = [sum(counts) for counts in zip(*(day[2:] for day in self._recent()), strict=True)]
        wanted, seen = share * sum(buckets), 0
        for bound, count in zip(BUCKETS, buckets, strict=False):
            seen += count
            if count and seen >= wanted:
                return bound
        return None

    def on(self, day: int) -> list[int]:
        """The counts of a day, by its number, to be added to."""
        found = next((counts for counts in reversed(self.days) if counts[0] == day), None)
        if found is None:
            found = [day, *[0] * (1 + len(BUCKETS))]
            self.days = [*self._recent(), found]
        return found

    def add(self, commit: _Commit) -> None:
        """Count a commit that became durable."""
        at, seconds, rows, spooled = commit
        self.commits += 1
        self.rows += rows
        self.spooled += spooled
        self.seconds += seconds
        self.on(at // MICROS_PER_DAY)[2 + bisect_left(BUCKETS, seconds)] += 1

    def _recent(self) -> list[list[int]]:
        today = now_micros() // MICROS_PER_DAY
        return [day for day in self.days if today - _RECENT_DAYS < day[0] <= today]


_NAMES = frozenset(f.name for f in fields(WriteHealth))


class Gauge:
    """Counts one writer's commits in memory, and writes them down when asked to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._health = read_health(path) or WriteHealth()
        self._lock = Lock()
        self._noted: deque[_Commit] = deque()  # counted together: one by one takes three microseconds after each sync

    def committed(self, seconds: float, rows: int, *, spooled: bool) -> None:
        """A commit became durable."""
        self._noted.append((now_micros(), seconds, rows, spooled))
        if len(self._noted) >= _TOGETHER:
            with self._lock:
                self._count()

    def _count(self) -> None:
        while self._noted:
            self._health.add(self._noted.popleft())

    def failed(self, reason: str) -> None:
        """SQLite, or the spool, said no."""
        with self._lock:
            self._health.last_failure, self._health.last_failure_at = reason, now_micros()

    def refused(self, reason: str) -> None:
        """A commit was not accepted; that is written down at once, since no drain follows."""
        self.failed(reason)
        with self._lock:
            self._health.refused += 1
            self._health.on(now_micros() // MICROS_PER_DAY)[1] += 1
            is_due = not 0 <= now_micros() - self._health.updated_at < _SAVED_EVERY
        if is_due:
            self.save()

    def save(self) -> None:
        """Write the figures down, whole or not at all; they are counts, so nothing is synced for them."""
        with self._lock:
            self._count()
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
        health = WriteHealth(**{name: value for name, value in found.items() if name in _NAMES})
        whole = all(len(day) == 2 + len(BUCKETS) for day in health.days)
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return health if whole else None
