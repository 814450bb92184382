"""A lake that is made when its first row comes: an ingest that lands nothing leaves none behind.

Files of trades need it earlier, since ingests take turns in it: a vain ingest of those leaves an empty lake.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lake.lake import Lake
from lake.ledgers.candles import Candles
from lake.store.store import Store


class LateLake:
    """What an ingest uses of a lake that is not there yet.

    What is noted of files and refused rows waits in memory until the lake is made; it is let go when that never
    happens, and the report of the ingest has said it.

    Args:
        make: makes and opens the lake.
    """

    def __init__(self, make: Callable[[], Lake]) -> None:
        self._make = make
        self._waiting: list[Callable[[Lake], object]] = []
        self.made: Lake | None = None

    @property
    def location(self) -> LateLake:
        """Where notes of finished files go: here, see :meth:`list`, :meth:`read`, :meth:`write` and :meth:`delete`."""
        return self

    @property
    def store(self) -> Store:
        """Where ingests of trades take turns: the lake is made."""
        return self._lake().store

    @property
    def candles(self) -> Candles:
        """The candles of the lake, which is made for them."""
        return self._lake().candles

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
        """Notes of finished files, when the lake is there."""
        return [] if self.made is None else list(self.made.location.list(prefix))

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
        """Close the lake, when it was made."""
        if self.made is not None:
            self.made.close()

    def _when_made(self, note: Callable[[Lake], object]) -> None:
        if self.made is None:
            self._waiting.append(note)
        else:
            note(self.made)

    def _lake(self) -> Lake:
        if self.made is None:
            self.made = self._make()
            for note in self._waiting:
                note(self.made)
            self._waiting.clear()
        return self.made
