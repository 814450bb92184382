"""Files of trades of one market folded into candles together, in bounded memory, each trade counted once."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import polars as pl

from lake.kernels import ticks
from lake.sources.base import CANDLES, HELD_TICKS, TIME, Batch
from lake.sources.held_trades import HeldFile
from lake.sources.pieces import Piece, Tally
from lake.sources.unsettled import Unsettled
from lake.spec import timeframes

_KEY = ["venue", "symbol", "open_time"]
REPEATED = "the trade stands in these files, or in those of an earlier run, already"
LATE = "the trade comes after its candle was closed: the file is not in order of time"
_FIRST = datetime.fromtimestamp(0, UTC)


def fold_files(
    files: Mapping[int, Callable[[], Iterator[Batch]]], timeframe: str, held: Sequence[HeldFile] = ()
) -> Iterator[Piece]:
    """Candles of the trades in all files.

    Args:
        files: number of the file -> opens its batches of ticks; rows in order of time, files may overlap.
        timeframe: of the candles.
        held: trades that earlier runs kept of this market.

    Yields:
        Pieces whose candles are whole: no later row of any file falls into them.
    """
    merge = _Merge(timeframe)
    starts = {number: _start(opened()) for number, opened in files.items()}
    near = _near(held, min(starts.values(), default=_FIRST), timeframe)
    openers = {**files, **{-place: one.read for place, one in enumerate(near, 1)}}
    starts |= {-place: one.start for place, one in enumerate(near, 1)}
    waiting = sorted(((start, number) for number, start in starts.items()), reverse=True)
    active: list[tuple[datetime, int, Iterator[Batch]]] = []
    while waiting or active:
        while waiting and (not active or waiting[-1][0] <= active[0][0]):
            start, number = waiting.pop()
            heapq.heappush(active, (start, number, openers[number]()))
        _, number, batches = heapq.heappop(active)
        batch = next(batches, None)
        if batch is not None:
            merge.take(number, batch)
            heapq.heappush(active, (_latest(batch), number, batches))
        limits = [entry[0] for entry in active[:1]] + [entry[0] for entry in waiting[-1:]]
        yield merge.ready(min(limits) if limits else None)
    yield merge.rest(tuple(one.path for one in near))


def _near(held: Sequence[HeldFile], start: datetime, timeframe: str) -> list[HeldFile]:
    """The kept trades in candles that begin at ``start`` or later, and the ones before them, which these may settle."""
    reach = timedelta(microseconds=timeframes.micros(timeframe))
    near = [one for one in held if start <= _FIRST or one.end >= start - reach]
    earlier = [one for one in held if one not in near]
    return [*near, max(earlier, key=lambda one: one.end)] if earlier else near


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
        self._unsettled = Unsettled(timeframe)

    def take(self, number: int, batch: Batch) -> None:
        """Add the trades of one batch; those of closed candles are set aside."""
        frame = batch.frame.with_columns(file=pl.lit(number, dtype=pl.Int64))
        if batch.dataset == "held_ticks":
            self._pending.append(frame)
            return
        frame = frame.with_columns(before=pl.lit(False), after=pl.lit(False)).select(*HELD_TICKS, "file")
        rejected = batch.rejected
        if self._closed is not None and frame.height and _at(frame["time"].min()) < self._closed:
            late = frame.filter(pl.col("time") < self._closed)
            frame = frame.filter(pl.col("time") >= self._closed)
            rows = late.select(reason=pl.lit(LATE), row=pl.struct(batch.frame.columns).struct.json_encode())
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

    def rest(self, used: tuple[str, ...]) -> Piece:
        """What is to be kept of the last candles, in place of what was ``used``."""
        return Piece("candles", pl.DataFrame(schema=CANDLES), (), held=self._unsettled.rest(), used=used)

    def _folded(self, trades: pl.DataFrame, tallies: list[Tally]) -> Piece:
        once = ticks.unrepeated(trades)
        if once.height < trades.height:
            before, after = (dict(t.group_by("file").len().iter_rows()) for t in (trades, once))
            lost = {number: count - after.get(number, 0) for number, count in before.items() if number >= 0}
            tallies += [Tally(n, 0, duplicate=count, notes={REPEATED: count}) for n, count in lost.items() if count]
        held = self._unsettled.take(once)
        once = _met(
            once.with_columns(ticks.opening(self._timeframe)), trades.filter(pl.col("file") >= 0), self._timeframe
        )
        candles = ticks.fold(once, self._timeframe).with_row_index("row")
        shares = (
            once.filter(pl.col("file") >= 0).group_by(*_KEY, "file").agg(rows=pl.len().cast(pl.Int64))
            .join(candles.select("row", *_KEY), on=_KEY).select(pl.col("row").cast(pl.Int64), "file", "rows")
        )  # fmt: skip
        frame = candles.select(pl.col(name).cast(kind) for name, kind in CANDLES.items())
        return Piece("candles", frame, tuple(tallies), folded=True, shares=shares, held=held)


def _met(trades: pl.DataFrame, of_this_run: pl.DataFrame, timeframe: str) -> pl.DataFrame:
    """Trades of the candles that a file of this run has a trade in, be it a kept one; the others are as they were."""
    if trades.select((pl.col("file") >= 0).all()).item():
        return trades
    met = of_this_run.select(*ticks.MARKET, ticks.opening(timeframe)).unique()
    return trades.join(met, on=_KEY, how="semi", maintain_order="left")
