"""Candles and market metrics of one snapshot of the lake, a series at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from lake.ledgers.series import Series, split
from lake.query.engine import Engine
from lake.spec.timeframes import Timeframe
from lake.spec.times import from_micros
from lake.store.cold.files import Bounds
from lake.store.snapshot import Snapshot
from lake.store.store import Store

DATASETS = ("candles", "market_metrics")
_TEXTS = 65_536  # that are joined at once
_KEY = ("venue", "symbol", "metric", "time")


@dataclass(frozen=True)
class Reading:
    """What one snapshot holds of a timeframe.

    Attributes:
        store: reads the files.
        snapshot: of candles, and of market metrics where a set needs them.
        timeframe: of the candles.
    """

    store: Store
    snapshot: Snapshot
    timeframe: Timeframe

    def series(self, symbols: Sequence[str] | None, columns: Sequence[str], span: Bounds) -> list[Series]:
        """Series with bars that open in the span (microseconds, both inside), in order of symbol and venue.

        Their rows are read by ``load(scanner, columns)``, not here.
        """
        wanted = self._bounds(span)
        if symbols:
            wanted["symbol"] = (min(symbols), max(symbols))
        scanner = self.store.scanner
        files = self.snapshot.states["candles"].files.values()
        parts = scanner.parts("candles", files, wanted, [*columns, "symbol", "venue"])
        return split(scanner, self.snapshot, parts, self._hot(symbols, span), symbols)

    def stamp(self, symbol: str, span: Bounds, times: Bounds) -> str:
        """Changes whenever a candle of the symbol in the span, or a metric between the times, may have.

        Files are never changed in place, so their names tell.
        """
        found = hashlib.sha256()
        for dataset, wanted in (("candles", self._bounds(span)), ("market_metrics", {"time": times})):
            if dataset in self.snapshot.states:
                files = self.snapshot.states[dataset].files.values()
                paths = [f.path for f in files if f.may_hold({**wanted, "symbol": (symbol, symbol)})]
                found.update("\n".join((dataset, *sorted(paths))).encode())
        digest(found, self._hot([symbol], span))
        if "market_metrics" in self.snapshot.hot:
            hot = self.snapshot.hot["market_metrics"].filter(pl.col("symbol") == symbol)
            digest(found, hot.filter(between("time", times)))
        return found.hexdigest()[:32]

    def metrics(self, names: Sequence[str]) -> pl.DataFrame | None:
        """Market metrics of these names: venue, symbol, metric, time, value; None when none are asked for."""
        if not names:
            return None
        engine = Engine(self.store.location, lambda _: self.snapshot)
        marks = ", ".join("?" * len(names))
        sql = f"SELECT venue, symbol, metric, time, value FROM market_metrics WHERE metric IN ({marks})"
        try:
            return engine.frame(sql, list(names)).sort(_KEY)
        finally:
            engine.close()

    def _bounds(self, span: Bounds) -> dict[str, Bounds]:
        wanted: dict[str, Bounds] = {"timeframe": (self.timeframe.name, self.timeframe.name)}
        return wanted if span == (None, None) else {**wanted, "open_time": span}

    def _hot(self, symbols: Sequence[str] | None, span: Bounds) -> pl.DataFrame:
        rows = self.snapshot.hot["candles"]
        if rows.is_empty():
            return rows
        match = pl.col("timeframe") == self.timeframe.name
        if symbols is not None:
            match &= pl.col("symbol").is_in(list(symbols))
        return rows.filter(match & between("open_time", span))


def between(column: str, span: Bounds) -> pl.Expr:
    """A time column inside a span of microseconds, both inclusive."""
    low, high = (None if end is None else from_micros(end) for end in span)
    after = pl.lit(True) if low is None else pl.col(column) >= low
    return after if high is None else after & (pl.col(column) <= high)


def digest(into: hashlib._Hash, rows: pl.DataFrame) -> None:
    """Add every value of a frame, its order and its nulls, to a hash."""
    for column in rows.get_columns():
        into.update(f"{column.name} {column.dtype} {column.len()}".encode())
        if column.null_count():
            into.update(np.packbits(column.is_null().to_numpy()).tobytes())
        if column.dtype == pl.String:
            for first in range(0, column.len(), _TEXTS):
                joined = column.slice(first, _TEXTS).fill_null("").str.join("\0").item()
                into.update(f"\0{joined}".encode() if first else joined.encode())
        else:
            into.update(np.ascontiguousarray(column.to_physical().fill_null(0).to_numpy()).tobytes())
