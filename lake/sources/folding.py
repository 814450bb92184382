"""Files of trades of one market folded into candles together, in bounded memory, each trade counted once."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

import polars as pl

from lake.kernels import ticks
from lake.sources.base import CANDLES, TIME, Batch
from lake.sources.pieces import Piece, Tally

_KEY = ["venue", "symbol", "open_time"]
REPEATED = "the trade stands in these files already"
LATE = "the trade comes after its candle was closed: the file is not in order of time"
_FIRST = datetime.fromtimestamp(0, UTC)


def fold_files(files: Mapping[int, Callable[[], Iterator[Batch]]], timeframe: str) -> Iterator[Piece]:
    """Candles of the trades in all files.

    Args:
        files: number of the file -> opens its batches of ticks; rows in order of time, files may overlap.
        timeframe: of the candles.

    Yields:
        Pieces whose candles are whole: no later row of any file falls into them.
    """
    merge = _Merge(timeframe)
    waiting = sorted((_start(opened()), number) for number, opened in files.items())
    waiting.reverse()
    active: list[tuple[datetime, int, Iterator[Batch]]] = []
    while waiting or active:
        while waiting and (not active or waiting[-1][0] <= active[0][0]):
            start, number = waiting.pop()
            heapq.heappush(active, (start, number, files[number]()))
        _, number, batches = heapq.heappop(active)
        batch = next(batches, None)
        if batch is not None:
            merge.take(number, batch)
            heapq.heappush(active, (_latest(batch), number, batches))
        limits = [entry[0] for entry in active[:1]] + [entry[0] for entry in waiting[-1:]]
        yield merge.ready(min(limits) if limits else None)


def _start(batches: Iterator[Batch]) -> datetime:
    first = next(batches, None)
    return _FIRST if first is None or not first.frame.height else _at(first.frame["time"].min())


def _latest(batch: Batch) -> datetime:
    return _at(batch.frame["time"].max()) if batch.frame.height else _FIRST


def _at(value: object) -> datetime:
    return value if isinstance(value, datetime) else _FIRST


class _Merge:
    """Trades that wait until no file can add to their candle."""

    def __init__(self, timeframe: str) -> None:
        self._timeframe = timeframe
        self._pending: list[pl.DataFrame] = []
        self._closed: datetime | None = None
        self._tallies: list[Tally] = []

    def take(self, number: int, batch: Batch) -> None:
        """Add the trades of one batch; those of closed candles are set aside."""
        frame = batch.frame.with_columns(file=pl.lit(number, dtype=pl.Int64))
        rejected = batch.rejected
        if self._closed is not None and frame.height and _at(frame["time"].min()) < self._closed:
            late = frame.filter(pl.col("time") < self._closed)
            frame = frame.filter(pl.col("time") >= self._closed)
            rows = late.drop("file").select(
                reason=pl.lit(LATE), row=pl.struct(batch.frame.columns).struct.json_encode()
            )
            rejected = pl.concat([rejected, rows])
        self._tallies.append(Tally(number, batch.rows_in, rejected))
        if frame.height:
            self._pending.append(frame)

    def ready(self, limit: datetime | None) -> Piece:
        """The candles that are whole before the limit; all that is left when there is none."""
        tallies, self._tallies = self._tallies, []
        trades = pl.concat(self._pending) if self._pending else None
        if trades is not None and limit is not None:
            bound = pl.Series("time", [limit], dtype=TIME).to_frame().select(ticks.opening(self._timeframe)).item()
            rest = trades.filter(pl.col("time") >= bound)
            trades = trades.filter(pl.col("time") < bound)
            self._pending = [rest] if rest.height else []
            self._closed = bound
        else:
            self._pending = []
        if trades is None or not trades.height:
            return Piece("candles", pl.DataFrame(schema=CANDLES), tuple(tallies))
        return self._folded(trades, tallies)

    def _folded(self, trades: pl.DataFrame, tallies: list[Tally]) -> Piece:
        once = ticks.unrepeated(trades)
        if once.height < trades.height:
            before, after = (dict(t.group_by("file").len().iter_rows()) for t in (trades, once))
            lost = {number: count - after.get(number, 0) for number, count in before.items()}
            tallies += [Tally(n, 0, duplicate=count, notes={REPEATED: count}) for n, count in lost.items() if count]
        candles = ticks.fold(once, self._timeframe).with_row_index("row")
        shares = (
            once.with_columns(ticks.opening(self._timeframe)).group_by(*_KEY, "file").agg(rows=pl.len().cast(pl.Int64))
            .join(candles.select("row", *_KEY), on=_KEY).select(pl.col("row").cast(pl.Int64), "file", "rows")
        )  # fmt: skip
        frame = candles.select(pl.col(name).cast(kind) for name, kind in CANDLES.items())
        return Piece("candles", frame, tuple(tallies), folded=True, shares=shares)
