"""Features of the lake's own candles: read block by block, computed once, kept, and used again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, Self

import numpy as np
import polars as pl

from lake.errors import UsageError
from lake.kernels import runs
from lake.learn.features import blocks, stored
from lake.learn.features.base import FeatureSet
from lake.learn.features.blocks import Name
from lake.learn.features.compute import aligned, by_series
from lake.learn.features.plan import Plan, planned
from lake.learn.features.reading import DATASETS, Reading, between
from lake.learn.features.stored import Kept, StoredSeries
from lake.ledgers.series import Series, load_all
from lake.spec import symbols as symbol_names
from lake.spec import timeframes
from lake.spec.times import from_micros, to_micros
from lake.store.cold.files import Bounds
from lake.store.snapshot import Snapshot
from lake.store.store import Store


class FeatureStore:
    """Features of the candles that a lake holds.

    Args:
        store: of the lake.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def frame(
        self,
        feature_set: FeatureSet,
        symbols: str | Sequence[str] | None,
        timeframe: str = "",
        start: Any = None,
        end: Any = None,
        *,
        snapshot: Snapshot | None = None,
    ) -> pl.DataFrame:
        """venue, symbol, known_at and the features of all bars that close from start (inside) to end (not inside).

        Blocks that are not stored yet, or whose candles changed, are computed and stored.

        Args:
            feature_set: what to compute.
            symbols: one, several, or None for all.
            timeframe: of the candles; the set's own when left out.
            start: aware time, epoch number or ISO text with offset; None for the first bar.
            end: the same; None for the last.
            snapshot: of candles (and market_metrics where the set needs them); the lake as it is when left out.
        """
        wanted = feature_set, symbols, timeframe, start, end
        return pl.concat([blocks.empty(feature_set), *self.frames(*wanted, snapshot=snapshot)])

    def frames(
        self,
        feature_set: FeatureSet,
        symbols: str | Sequence[str] | None,
        timeframe: str = "",
        start: Any = None,
        end: Any = None,
        *,
        snapshot: Snapshot | None = None,
    ) -> Iterator[pl.DataFrame]:
        """The same in pieces of one series and block each, for more than fits into memory."""
        plan, reading = self._begun(feature_set, timeframe, snapshot)
        span = _span(plan, start, end)
        metrics = reading.metrics(feature_set.metrics)
        for series in reading.series(_canonical(symbols), ["open_time"], span):
            symbol, venue = series.name
            times = runs.micros(series.load(self._store.scanner, ["open_time"], threads=True))
            own = blocks.metrics_of(metrics, (venue, symbol))
            with _SeriesBlocks(plan, reading, (venue, symbol), own) as kept:
                for number, rows in blocks.by_block(plan, times, np.arange(len(times))):
                    first, last = times[rows[0]] + plan.timeframe.micros, times[rows[-1]] + plan.timeframe.micros
                    found = kept.block(number)
                    inside = pl.col("known_at").is_between(from_micros(int(first)), from_micros(int(last)))
                    yield blocks.named((venue, symbol), found.filter(inside))

    def at(
        self,
        feature_set: FeatureSet,
        events: pl.DataFrame,
        timeframe: str = "",
        *,
        snapshot: Snapshot | None = None,
        keep: bool = False,
    ) -> pl.DataFrame:
        """Features as of events: one row for each, in their order, as :func:`lake.learn.features.compute` gives them.

        Events in order of venue, symbol and decision_time cost the least memory.

        Args:
            feature_set: what to compute.
            events: venue, symbol, decision_time.
            timeframe: of the candles; the set's own when left out.
            snapshot: as for :meth:`frame`.
            keep: use blocks that are stored, and store those that are computed: they hold all bars, not only those of
                the events. Pays where the same candles are asked again and again.
        """
        plan, reading = self._begun(feature_set, timeframe, snapshot)
        wanted = by_series(events)
        metrics = reading.metrics(feature_set.metrics)
        names = sorted({symbol for _, symbol in wanted})
        columns = ["open_time"] if keep else ["open_time", *plan.columns]
        if not names:
            return aligned(feature_set, events, [])

        def then(series: Series, rows: pl.DataFrame) -> pl.DataFrame:
            symbol, venue = series.name
            mine = wanted[venue, symbol]
            own = blocks.metrics_of(metrics, (venue, symbol))
            if not keep:
                return blocks.frame_at(plan, (venue, symbol), rows, own, mine)
            with _SeriesBlocks(plan, reading, (venue, symbol), own) as kept:
                return _kept_at(plan, kept, runs.micros(rows), mine)

        asked = reading.series(names, columns, _reached(plan, events))
        asked = [s for s in asked if (s.name[1], s.name[0]) in wanted]
        return aligned(feature_set, events, load_all(self._store.scanner, asked, columns, then))

    def remove(self, name: str | None = None) -> int:
        """Delete what is stored of a set, or of all; returns how many files went. It is made again when asked for."""
        return stored.remove(self._store.location, name)

    def _begun(self, feature_set: FeatureSet, timeframe: str, snapshot: Snapshot | None) -> tuple[Plan, Reading]:
        if not (timeframe or feature_set.timeframe):
            raise UsageError("which timeframe?", where="features", todo=f"One of {', '.join(timeframes.ALL)}.")
        plan = planned(feature_set, timeframes.get(timeframe or str(feature_set.timeframe)))
        needed = DATASETS if feature_set.metrics else DATASETS[:1]
        missing = [] if snapshot is None else [n for n in needed if n not in snapshot.states]
        if missing:
            raise UsageError("the snapshot lacks what the features are made of", where="features", value=missing)
        return plan, Reading(self._store, snapshot or self._store.snapshot(needed), plan.timeframe)


class _SeriesBlocks:
    """The blocks of one series: stored ones while their candles stay, else computed and stored."""

    def __init__(self, plan: Plan, reading: Reading, name: Name, metrics: pl.DataFrame | None) -> None:
        self._plan, self._reading, self._metrics = plan, reading, metrics
        self.name = name
        self._venue, self._symbol = name
        self._stored = StoredSeries(reading.store.location, plan.feature_set, plan.timeframe, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stored.save()

    def block(self, number: int) -> pl.DataFrame:
        """known_at and features of all bars of a block."""
        span = blocks.history(self._plan, number), blocks.start(self._plan, number + 1) - 1
        metrics, times = self._metrics_of(span)
        stamp = self._reading.stamp(self._symbol, span, times)
        found = self._stored.with_stamp(number, stamp)
        if found is not None:
            return found
        rows = self._rows(span)
        content = stored.content_of(rows, metrics)
        found = self._stored.with_content(number, content, stamp)
        if found is None:
            found = blocks.block(self._plan, rows, number, metrics)
            self._stored.keep(number, found, Kept(content, stamp))
        return found

    def _metrics_of(self, span: tuple[int | None, int]) -> tuple[pl.DataFrame | None, Bounds]:
        """The market metrics that bars of the span may know, and their span in time."""
        step, age = self._plan.timeframe.micros, self._plan.feature_set.metric_age // timedelta(microseconds=1)
        times = None if span[0] is None else span[0] + step - age, span[1] + step
        if self._metrics is None:
            return None, times
        return self._metrics.filter(between("time", times)), times

    def _rows(self, span: tuple[int | None, int]) -> pl.DataFrame:
        columns = ["open_time", *self._plan.columns]
        mine = [s for s in self._reading.series([self._symbol], columns, span) if s.name == (self._symbol, self._venue)]
        return mine[0].load(self._reading.store.scanner, columns, threads=True)


def _kept_at(plan: Plan, kept: _SeriesBlocks, times: runs.Integers, events: pl.DataFrame) -> pl.DataFrame:
    newest, held = blocks.as_of(plan, times, events)
    found = []
    for number, wanted in blocks.by_block(plan, times, newest):
        block = kept.block(number)
        closes = runs.micros(block, "known_at")
        found.append(block[np.searchsorted(closes, times[wanted] + plan.timeframe.micros)])
    rows = blocks.named(kept.name, pl.concat(found)) if found else blocks.empty(plan.feature_set)
    return rows.hstack([held["__row"]])


def _span(plan: Plan, start: Any, end: Any) -> tuple[int | None, int | None]:
    """Open times, both inside, of the bars that close from start to before end."""
    low, high = (None if t is None else to_micros(t, where=n) for n, t in (("start", start), ("end", end)))
    if low is not None and high is not None and low >= high:
        raise UsageError("start is not before end", value=(start, end), todo="Give an end after the start.")
    step = plan.timeframe.micros
    return None if low is None else low - step, None if high is None else high - step - 1


def _reached(plan: Plan, events: pl.DataFrame) -> tuple[int | None, int]:
    """Open times of all bars that features as of the events may depend on."""
    moments = runs.micros(events, "decision_time")
    step = plan.timeframe.micros
    oldest = np.asarray([moments.min() - (plan.feature_set.stale + 1) * step])
    return blocks.history(plan, int(blocks.number(plan, oldest)[0])), int(moments.max())


def _canonical(given: str | Sequence[str] | None) -> list[str] | None:
    if given is None:
        return None
    return [symbol_names.canonical(s) for s in ([given] if isinstance(given, str) else given)]
