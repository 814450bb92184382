"""What a source is: something that recognises a file and reads it as batches of canonical rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import polars as pl

from lake.errors import SourceError, UsageError

BATCH_ROWS = 500_000  # rows of one batch, so that memory does not grow with the file
TIME = pl.Datetime("us", "UTC")
TIME_UNITS = ("s", "ms", "us", "ns")
CANDLES: dict[str, pl.DataType | type[pl.DataType]] = {
    "venue": pl.String,
    "symbol": pl.String,
    "timeframe": pl.String,
    "open_time": TIME,
    "open": pl.Float64,
    "high": pl.Float64,
    "low": pl.Float64,
    "close": pl.Float64,
    "volume": pl.Float64,
    "quote_volume": pl.Float64,
    "trade_count": pl.Int64,
    "taker_buy_volume": pl.Float64,
    "taker_buy_quote_volume": pl.Float64,
}
METRICS: dict[str, pl.DataType | type[pl.DataType]] = {
    "venue": pl.String,
    "symbol": pl.String,
    "metric": pl.String,
    "time": TIME,
    "value": pl.Float64,
}
TICKS: dict[str, pl.DataType | type[pl.DataType]] = {
    "venue": pl.String,
    "symbol": pl.String,
    "time": TIME,
    "trade_id": pl.String,
    "price": pl.Float64,
    "quantity": pl.Float64,
    "quote_quantity": pl.Float64,
    "taker_buys": pl.Boolean,
    "trades": pl.Int64,
}
HELD_TICKS: dict[str, pl.DataType | type[pl.DataType]] = {**TICKS, "before": pl.Boolean, "after": pl.Boolean}
SCHEMAS = {"candles": CANDLES, "market_metrics": METRICS, "ticks": TICKS, "held_ticks": HELD_TICKS}
KEYS = {
    "candles": ("venue", "symbol", "timeframe", "open_time"),
    "market_metrics": ("venue", "symbol", "metric", "time"),
}
REJECTED: dict[str, pl.DataType | type[pl.DataType]] = {"reason": pl.String, "row": pl.String}


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller knows about the files and the files do not say.

    Attributes:
        symbol: any spelling; overrides the one found in the file or its name.
        timeframe: of the candles in the file; for trades, of the candles to build (default ``1m``).
        venue: exchange; None lets the source say, ``""`` is unknown.
        time_unit: ``s``, ``ms``, ``us`` or ``ns`` of numeric times; None decides by magnitude.
        columns: canonical column name -> name in the file, for the generic reader.
        tz: zone of times without one (``UTC``, ``Europe/Berlin``); needed by the generic reader when times are naive.
        volume: whether the volume column counts ``base`` or ``quote`` units; None lets the source say.
        again: whether files that an earlier ingest finished are read anew, since rows of them are gone from the lake.

    >>> Options(time_unit="h")
    Traceback (most recent call last):
    lake.errors.UsageError: time_unit: unknown unit of time (got 'h'). Use one of: s, ms, us, ns.
    """

    symbol: str | None = None
    timeframe: str | None = None
    venue: str | None = None
    time_unit: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    tz: str | None = None
    volume: str | None = None
    again: bool = False

    def __post_init__(self) -> None:
        if self.time_unit is not None and self.time_unit not in TIME_UNITS:
            todo = f"Use one of: {', '.join(TIME_UNITS)}."
            raise UsageError("unknown unit of time", where="time_unit", value=self.time_unit, todo=todo)
        if self.volume not in (None, "base", "quote"):
            raise UsageError("volume counts base or quote units", where="volume", value=self.volume)
        known = {*CANDLES, *TICKS}
        for name in self.columns:
            if name not in known:
                todo = f"Map to one of: {', '.join(sorted(known))}."
                raise UsageError("the column map names a column that candles do not have", value=name, todo=todo)


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of one file, sorted out.

    Attributes:
        dataset: ``candles``, ``market_metrics``, ``ticks`` (trades still to be folded into candles), or ``held_ticks``
            (such trades that an earlier run kept).
        frame: rows that fit, in the columns of ``SCHEMAS[dataset]``.
        rejected: rows that do not: ``reason`` and ``row`` (the row as JSON text).
        rows_in: rows read; always ``frame + rejected + duplicate``.
        duplicate: rows left out because a later row of the file holds the same key.
        notes: reason -> number of rows, for the duplicates.
    """

    dataset: str
    frame: pl.DataFrame
    rejected: pl.DataFrame
    rows_in: int
    duplicate: int = 0
    notes: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.rows_in != self.frame.height + self.rejected.height + self.duplicate:
            counts = (self.rows_in, self.frame.height, self.rejected.height, self.duplicate)
            raise SourceError("rows read are not accounted for: in, out, rejected, duplicate", value=counts)
        if list(self.frame.columns) != list(SCHEMAS[self.dataset]):
            raise SourceError("columns are not those of the dataset", where=self.dataset, value=self.frame.columns)


class Source(Protocol):
    """A family of files. Sources are stateless: one instance serves every file and thread."""

    @property
    def name(self) -> str:
        """What ``--format`` calls it."""

    def matches(self, path: Path, head: bytes, /) -> bool:
        """Whether this source reads the file, judged by its name and its first (decompressed) bytes."""

    def read(self, path: Path, options: Options) -> Iterator[Batch]:
        """Batches of at most about ``BATCH_ROWS`` rows, in file order.

        Raises:
            SourceError: the file is not what it claims to be; one sentence says how.
        """

    def series(self, path: Path, options: Options) -> str | None:
        """The market whose trades the file holds, so that files of one market are folded together; None for candles."""


class CandleFiles:
    """Base of sources that hold no trades."""

    def series(self, path: Path, options: Options) -> str | None:
        """None: there is nothing to fold."""
        del path, options
        return None


def no_rejects() -> pl.DataFrame:
    """An empty frame of rejected rows."""
    return pl.DataFrame(schema=REJECTED)
