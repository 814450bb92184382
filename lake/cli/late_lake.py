"""A lake that is made when its first row comes: an ingest that lands nothing leaves none behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from lake.lake import Lake
from lake.ledgers.candles import Candles
from lake.ledgers.writer import Writer
from lake.sources.market_turns import FOLDER as TURNS
from lake.store.location import Location
from lake.store.opening import FORMAT_FILE, read_settings
from lake.store.store import hot_folder


@dataclass(frozen=True, slots=True)
class Place:
    """Where ingests of trades take turns, whether the lake is there or not.

    Attributes:
        location: of the lake.
        hot_folder: where this host keeps its hot logs.
    """

    location: Location
    hot_folder: Path


class LateLake:
    """What an ingest uses of a lake that is not there yet.

    What is noted of files and refused rows waits in memory until the lake is made; it is let go when that never
    happens, and the report of the ingest has said it. The threads that read files may ask for it too: it is made once.

    Args:
        place: where the lake is going to be.
        make: makes and opens the lake.
    """

    def __init__(self, place: Location, make: Callable[[], Lake]) -> None:
        self._place, self._make = place, make
        self._missing = _missing_folders(place)
        self._waiting: list[Callable[[Lake], object]] = []
        self._lock = Lock()
        self.made: Lake | None = None

    @property
    def location(self) -> LateLake:
        """Where notes of finished files go: here, see :meth:`list`, :meth:`read`, :meth:`write` and :meth:`delete`."""
        return self

    @property
    def store(self) -> Place:
        """Where ingests of trades take turns."""
        return Place(self._place, hot_folder(self._place, read_settings(self._place)))

    @property
    def candles(self) -> Candles:
        """The candles of the lake, which is made for them."""
        return self._lake().candles

    @property
    def writer(self) -> Writer:
        """What writes to the lake, which is made for it."""
        return self._lake().writer

    def sql(self, sql: str, params: Any = None) -> Any:
        """A query, of a writer that is about to write: the lake is made."""
        return self._lake().sql(sql, params)

    def write(self, name: str, data: Any) -> Any:
        """Rows of a dataset, for which the lake is made; or a note, under its path, which waits for it."""
        if isinstance(data, bytes):
            return self._when_made(lambda lk: lk.location.write(name, data))
        return self._lake().write(name, data)

    def quarantine(self, source: str, rows: Sequence[Mapping[str, Any]], *, dataset: str) -> None:
        """Refused rows, which wait for the lake."""
        self._when_made(lambda lk: lk.quarantine(source, rows, dataset=dataset))

    def list(self, prefix: str) -> list[Any]:
        """Notes of finished files, when the lake is there: another ingest may have made it."""
        there = self.made is not None or self._place.exists(FORMAT_FILE)
        return list(self._lake().location.list(prefix)) if there else []

    def read(self, path: str) -> bytes:
        """One note."""
        return self._lake().location.read(path)

    def delete(self, paths: Sequence[str]) -> None:
        """Remove notes."""
        self._when_made(lambda lk: lk.location.delete(paths))

    def drain(self) -> None:
        """Settle what was written, when anything was."""
        if self.made is not None:
            self.made.drain()

    def close(self) -> None:
        """Close the lake, when it was made; else leave no folder behind in which turns were taken."""
        if self.made is not None:
            self.made.close()
            return
        for folder in self._missing:
            with suppress(OSError):  # it holds something, or was never made
                folder.rmdir()

    def _when_made(self, note: Callable[[Lake], object]) -> None:
        with self._lock:
            if self.made is None:
                self._waiting.append(note)
                return
        note(self.made)

    def _lake(self) -> Lake:
        with self._lock:
            if self.made is None:
                self.made = self._make()
                for note in self._waiting:
                    note(self.made)
                self._waiting.clear()
            return self.made


def _missing_folders(place: Location) -> list[Path]:
    """The folders that ingests may have to make for their turns, the innermost first."""
    if not place.is_local:
        return []
    turns = Path(place.url(TURNS))
    return [folder for folder in (turns, *turns.parents) if not folder.exists()]
