"""Move settled history from a hot log to the cold tables, each row exactly once.

A batch is committed together with the number of its last entry; only when that commit is durable
does hot let go. Whatever is cut off in between, the number in the cold table decides what is done.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import orjson

from lake.spec.dataset import Dataset
from lake.spec.decode import FOREIGN
from lake.store import forks
from lake.store.cold.edit import Landed
from lake.store.cold.table import ColdTable
from lake.store.foreign import with_foreign_columns
from lake.store.hot.entry import Row, Stored
from lake.store.hot.mirror import decode
from lake.store.snapshot import newest_by_key

_ENTRIES = 50_000

Step = Callable[[str], None]


class HotSource(Protocol):
    """What a drain needs of a hot log: the writer's own, or another process's file."""

    def last(self) -> int:
        """The highest number that it has given out; -1 for none."""
        ...

    def waiting(self) -> dict[str, tuple[int, int]]:
        """Dataset -> (entries waiting, their oldest sequence)."""
        ...

    def pending(self, dataset: str, after: int = -1, limit: int = -1) -> list[Stored]:
        """Entries not settled yet, in order."""
        ...

    def declared(self) -> dict[str, dict[str, str]]:
        """Dataset -> column -> type of what its rows may have."""
        ...

    def settle(self, dataset: str, upto: int, opened: dict[str, tuple[int, bytes]], closed: list[str]) -> None:
        """Let go of entries, keep open rows at hand."""
        ...


@dataclass(frozen=True)
class Drained:
    """What a drain moved: log entries by dataset, and what became of their rows."""

    entries: dict[str, int] = field(default_factory=dict)
    landed: Landed = field(default_factory=Landed)

    def __add__(self, other: Drained) -> Drained:
        names = {**self.entries, **other.entries}
        entries = {n: self.entries.get(n, 0) + other.entries.get(n, 0) for n in names}
        return Drained(entries, self.landed + other.landed)


def ignore(_: str) -> None:
    """The step observer that observes nothing."""


def drain(
    sources: Mapping[str, HotSource],
    names: Iterable[str],
    upto: Mapping[str, int],
    table_of: Callable[[str], ColdTable],
    step: Step = ignore,
) -> Drained:
    """Drain the datasets named from several writers' hot logs together, each up to a number.

    Together, because the newest version of a key decides, and each may lie in another log. The numbers are of one
    moment: a version that is drained while an older one stays behind in another log would be overridden by it.
    ``step`` is told the name of each step before it is taken.
    """
    done = Drained()
    waiting = {name for source in sources.values() for name in source.waiting()}
    for name in filter(waiting.__contains__, names):
        while batches := _batches(sources, name, upto):
            done += _drain_batch(batches, sources, table_of(name), step)
    return done


def _batches(sources: Mapping[str, HotSource], name: str, upto: Mapping[str, int]) -> dict[str, list[Stored]]:
    """The next entries of each log; where one has more than fit, the others wait at the same number."""
    found = {writer: source.pending(name, limit=_ENTRIES) for writer, source in sources.items()}
    full = [entries[-1].sequence for entries in found.values() if len(entries) == _ENTRIES]
    ends = {writer: min([upto[writer], *full]) for writer in found}
    found = {writer: [e for e in entries if e.sequence <= ends[writer]] for writer, entries in found.items()}
    return {writer: entries for writer, entries in found.items() if entries}


def _drain_batch(
    batches: Mapping[str, list[Stored]], sources: Mapping[str, HotSource], table: ColdTable, step: Step
) -> Drained:
    landed: Landed | None = None
    count = 0
    while landed is None:
        step("drain:commit")
        state = table.ready()
        fresh = {w: [e for e in entries if e.sequence > state.settled(w)] for w, entries in batches.items()}
        fresh = {writer: entries for writer, entries in fresh.items() if entries}
        count = sum(map(len, fresh.values()))
        if not fresh:
            landed = Landed()
            break
        frame = newest_by_key(table.ds, [decode(table.ds.name, entries) for entries in fresh.values()], dated=True)
        if FOREIGN in frame.columns:
            declared = [sources[writer].declared().get(table.ds.name, {}) for writer in fresh]
            frame = with_foreign_columns(table, frame, {n: kind for found in declared for n, kind in found.items()})
        landed = table.upsert(frame, settled={writer: entries[-1].sequence for writer, entries in fresh.items()})
    step("drain:settle")
    for writer, entries in batches.items():
        opened, closed = _open_rows(table.ds, entries)
        sources[writer].settle(table.ds.name, entries[-1].sequence, opened, closed)
    step("drain:done")
    return Drained({table.ds.name: count}, landed)


def _open_rows(ds: Dataset, entries: list[Stored]) -> tuple[dict[str, tuple[int, bytes]], list[str]]:
    if not ds.open_when:
        return {}, []
    opened: dict[str, tuple[int, bytes]] = {}
    closed: list[str] = []
    for entry in entries:
        for row in entry.rows():
            key = key_text(ds, row)
            opened.pop(key, None)
            if is_open(ds, row):
                opened[key] = (entry.sequence, orjson.dumps([row]))
            else:
                closed.append(key)
    return opened, closed


def is_open(ds: Dataset, row: Row) -> bool:
    """Whether the row's life goes on, so that a writer will want to patch it."""
    return bool(ds.open_when) and all(row.get(name) in values for name, values in (ds.open_when or {}).items())


def key_text(ds: Dataset, row: Row) -> str:
    """The row's key as text."""
    key: list[Any] = [row.get(name, "") for name in ds.key]
    return orjson.dumps(key).decode()


@contextmanager
def sole_drainer(folder: Path, writer: str) -> Iterator[None]:
    """Holds the drain of one hot log, waiting for another thread or process that drains it."""
    with (folder / f"{writer}.drain").open("a", encoding="utf-8") as lock:
        forks.keep_lock(lock)
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def note_drain(folder: Path, writer: str) -> None:
    """Leave word that a writer's hot log was drained just now."""
    (folder / f"{writer}.drain").touch()


def last_drain(folder: Path, writer: str) -> int | None:
    """When a writer's hot log was last drained to the end, in microseconds; None when it never was."""
    try:
        return (folder / f"{writer}.drain").stat().st_mtime_ns // 1000
    except FileNotFoundError:
        return None
