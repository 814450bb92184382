"""Trades of candles that a file of a later run may still add to, kept beside the lake until they are settled.

A candle made of the trades of two files is whole only when both were read. So that runs one after the other end where
one run over all files ends, the trades of unsettled candles are kept as they were read. Of trades of one moment in two
files, only ids that are numbers tell the order.
"""

from __future__ import annotations

import hashlib
import io
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import polars as pl

from lake.errors import SourceError
from lake.sources.base import HELD_TICKS, Batch, no_rejects

FOLDER = "_ingest_trades"
_EPOCH = datetime.fromtimestamp(0, UTC)


class Location(Protocol):
    """The part of the lake's storage that is used here."""

    def list(self, prefix: str) -> Any:
        """Entries below a prefix, each with ``path``."""

    def read(self, path: str) -> bytes:
        """All bytes."""

    def write(self, path: str, data: bytes) -> None:
        """Write durably."""

    def delete(self, paths: Sequence[str]) -> None:
        """Remove files."""


@dataclass(frozen=True, slots=True)
class HeldFile:
    """Trades that an earlier run kept, in order of time.

    Attributes:
        path: in the lake's storage.
        start, end: times of the first and the last trade.
        location: where it is.
    """

    path: str
    start: datetime
    end: datetime
    location: Location

    def read(self) -> Iterator[Batch]:
        """The trades; ``before`` and ``after`` say whether the one next to each was seen.

        Raises:
            SourceError: another ingest has just taken them over, or they are damaged.
        """
        try:
            frame = pl.read_parquet(self.location.read(self.path))
        except FileNotFoundError as error:
            todo = "Run this ingest again when the other has ended."
            raise SourceError("another ingest reads trades of the same market", where=self.path, todo=todo) from error
        except pl.exceptions.PolarsError as error:
            todo = "Remove it; the candles at the edges of the files read before may then lack trades."
            raise SourceError("trades that an earlier run kept are damaged", where=self.path, todo=todo) from error
        yield Batch("held_ticks", frame.select(list(HELD_TICKS)), no_rejects(), frame.height)


class HeldTrades:
    """The kept trades of one lake: what earlier runs left, and what this run leaves."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._new: dict[str, list[pl.DataFrame]] = defaultdict(list)
        self._used: list[str] = []

    def of(self, market: str) -> list[HeldFile]:
        """What earlier runs kept of a market (series and timeframe)."""
        found = []
        for entry in self._location.list(_folder(market)):
            start, end = entry.path.rpartition("/")[2].split("-")[:2]
            found.append(HeldFile(entry.path, _moment(start), _moment(end), self._location))
        return sorted(found, key=lambda held: held.path)

    def add(self, market: str, trades: pl.DataFrame, used: Iterable[str]) -> None:
        """Keep trades of a market; the ``used`` files are contained in them, or settled."""
        if trades.height:
            self._new[market].append(trades)
        self._used += used

    def write(self) -> None:
        """Make what was added durable; to be called after the candles, and before their files are noted as finished."""
        for market, frames in self._new.items():
            trades = pl.concat(frames).sort("time", maintain_order=True)
            span = trades["time"].dt.epoch("us")
            buffer = io.BytesIO()
            trades.write_parquet(buffer, compression="zstd")
            name = f"{span[0]}-{span[-1]}-{uuid.uuid4().hex}.parquet"
            self._location.write(f"{_folder(market)}/{name}", buffer.getvalue())
        self._new.clear()

    def drop_used(self) -> None:
        """Remove the files that newer ones contain; a crash before leaves trades twice, which count once."""
        if self._used:
            self._location.delete(self._used)
            self._used = []


def _folder(market: str) -> str:
    return f"{FOLDER}/{hashlib.sha256(market.encode()).hexdigest()[:16]}"


def _moment(micros: str) -> datetime:
    return _EPOCH + timedelta(microseconds=int(micros))
