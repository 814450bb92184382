"""What readers see of a hot log: each entry is decoded once, and then only the new ones are read."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import numpy as np
import polars as pl

from lake.errors import CorruptLakeError, HotLogError, LakeError
from lake.spec import registry
from lake.spec.decode import foreign_fields, rows_to_frame
from lake.store.hot.database import HotDatabase, is_corrupt
from lake.store.hot.entry import Stored
from lake.store.hot.spool import Spool

_CHUNKS = 16
SEQUENCE = "__sequence"


@dataclass(frozen=True)
class HotRows:
    """Rows of one dataset in one hot log, in the order they were acknowledged, each with its sequence number.

    ``frame`` has the dataset's columns and, last, ``__sequence``.
    """

    frame: pl.DataFrame

    def after(self, settled: int) -> pl.DataFrame:
        """The rows that are not yet in a cold table which is settled up to that number."""
        sequences = self.frame.get_column(SEQUENCE)
        if not len(sequences) or sequences[-1] <= settled:
            return self.frame.clear()
        if sequences[0] > settled:
            return self.frame
        return self.frame.slice(int(np.searchsorted(sequences.to_numpy(), settled, side="right")))


@dataclass(frozen=True)
class HotView:
    """One hot log at one moment: the highest number given out by then, and the rows by dataset.

    ``settled`` says up to which number it has let go of a dataset's rows, since they are in the cold table.
    """

    writer: str
    last: int
    datasets: Mapping[str, HotRows] = field(default_factory=dict)
    settled: Mapping[str, int] = field(default_factory=dict)


class HotMirror:
    """A reader's copy of one hot log (its own process's or another's), kept up to date by increments."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer = path.name.removesuffix(".db")
        self._spool = Spool(path.with_name(f"{self.writer}.spool.jsonl"))
        self._database: HotDatabase | None = None
        self._inode = -1
        self._version = -1
        self._seen = -1
        self._view = HotView(self.writer, -1)
        self._lock = Lock()

    def view(self, settled: Mapping[str, int]) -> HotView:
        """The log as it is now, without rows that the caller knows to be settled."""
        with self._lock:
            spooled = self._spool.read() if self._spool.exists() else []
            try:
                fresh = self._fresh()
            except sqlite3.Error as error:
                self._forget()
                raise _unreadable(error, self.path) from error
            self._take(spooled + fresh, settled)
            return self._view

    def walk_back(self, dataset: str, visit: Callable[[Stored], bool]) -> None:
        """Show a dataset's entries to ``visit``, newest first, until it returns False; only what is shown is read."""
        with self._lock:
            spooled = self._spool.read() if self._spool.exists() else []
            for entry in sorted((s for s in spooled if s.dataset == dataset), reverse=True):
                if not visit(entry):
                    return
            try:
                if self._open() and self._database is not None:
                    with closing(self._database.backwards(dataset)) as entries:
                        all(map(visit, entries))
            except sqlite3.Error as error:
                self._forget()
                raise _unreadable(error, self.path) from error

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._forget()

    def _fresh(self) -> list[Stored]:
        if not self._open():
            return []
        database = self._database
        if database is None:
            return []
        version = database.data_version()
        if version == self._version:
            return []
        with database.transaction_for_reading():
            fresh, last, settled = database.since(self._seen), database.last(), database.settled()
        self._version = version
        self._view = HotView(self.writer, max(last, self._view.last), self._view.datasets, settled)
        return fresh

    def _open(self) -> bool:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._forget()
            return False
        inode = status.st_ino
        if not status.st_size:
            return False  # its writer is just making it
        if self._database is None or inode != self._inode:
            self._forget()
            self._database = HotDatabase(self.path)
            self._inode, self._version, self._seen = inode, -1, -1
            self._view = HotView(self.writer, -1)
        return True

    def _forget(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _take(self, stored: list[Stored], settled: Mapping[str, int]) -> None:
        fresh = [s for s in stored if s.sequence > self._seen]
        datasets = {name: HotRows(rows.after(settled.get(name, -1))) for name, rows in self._view.datasets.items()}
        by_dataset: dict[str, list[Stored]] = {}
        for entry in {s.sequence: s for s in fresh}.values():
            by_dataset.setdefault(entry.dataset, []).append(entry)
        for name, entries in by_dataset.items():
            frame = decode(name, entries)
            known = datasets.get(name)
            datasets[name] = HotRows(frame if known is None else _joined(known.frame, frame))
        if fresh:
            self._seen = max(self._seen, *(s.sequence for s in fresh))
        self._view = HotView(self.writer, max(self._view.last, self._seen), datasets, self._view.settled)


def _unreadable(error: sqlite3.Error, path: Path) -> LakeError:
    if is_corrupt(error):
        todo = "Open the lake under its bot id, or drain every writer: what is readable of it is kept in a new file."
        return CorruptLakeError("a hot log is damaged", where=str(path), todo=todo)
    return HotLogError(
        f"a hot log cannot be read: {error}", where=str(path), todo="Try again; `lake doctor` says more."
    )


def decode(dataset: str, entries: list[Stored]) -> pl.DataFrame:
    """The rows of entries as a frame, with ``__sequence``; and ``__foreign`` where a newer version wrote them."""
    rows = []
    sequences = []
    for entry in sorted(entries, key=lambda e: e.sequence):
        decoded = entry.rows()
        rows += decoded
        sequences += [entry.sequence] * len(decoded)
    ds = registry.get(dataset)
    frame, foreign = rows_to_frame(ds, rows), foreign_fields(ds, rows)
    if foreign is not None:
        frame = frame.with_columns(foreign)
    return frame.with_columns(pl.Series(SEQUENCE, sequences, dtype=pl.Int64))


def _joined(known: pl.DataFrame, fresh: pl.DataFrame) -> pl.DataFrame:
    joined = known.vstack(fresh) if known.width == fresh.width else pl.concat([known, fresh], how="diagonal")
    return joined.rechunk() if joined.n_chunks() > _CHUNKS else joined
