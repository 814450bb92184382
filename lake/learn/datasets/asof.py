"""Features, flags and regimes as of each row's decision, from candles: series by series, never all of them at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Protocol

import numpy as np
import polars as pl

from lake.kernels import runs, window_compiled
from lake.learn import flags as market_flags
from lake.learn import regimes
from lake.learn.datasets import venues
from lake.learn.features import FeatureSet, Window, blocks
from lake.learn.features.plan import Plan, planned
from lake.learn.features.reading import Reading
from lake.learn.features.together import together
from lake.ledgers.series import Series, constant, load_all
from lake.spec import timeframes
from lake.store.cold.files import Bounds
from lake.store.snapshot import Snapshot
from lake.store.store import Store

_FLAGGED = ("high", "low", "close", "volume")
_AT_ONCE = 8  # columns
_HISTORY = 2_000  # bars that are read before an event: more than flags look back
Name = tuple[str, str]


class Held(Protocol):
    """A lake, as it is or as it was."""

    @property
    def store(self) -> Store:
        """Reads the files."""

    def snapshot(self, *names: str) -> Snapshot:
        """One moment of these tables."""


@dataclass(frozen=True)
class Joined:
    """What is computed for rows.

    Attributes:
        feature_set: the features; None for flags and regimes alone.
        timeframe: of the candles.
    """

    feature_set: FeatureSet | None
    timeframe: str

    @cached_property
    def types(self) -> dict[str, pl.DataType]:
        """Columns of the result."""
        asked = () if self.feature_set is None else self.feature_set.features
        features = {f.name: pl.Series([], dtype=f.dtype).dtype for f in asked}
        return {**features, **dict.fromkeys(market_flags.NAMES, pl.Boolean()), "regime": pl.String()}

    @property
    def bars(self) -> list[str]:
        """Columns of candles that are needed."""
        return list(dict.fromkeys(["open_time", *(n for p in self.plans for n in p.columns), *_FLAGGED]))

    @property
    def metrics(self) -> tuple[str, ...]:
        """The market metrics that are needed."""
        return () if self.feature_set is None else self.feature_set.metrics

    @property
    def windows(self) -> int:
        """How many values are computed of windows for each bar; a lag is none."""
        steps = [step for p in self.plans for step in p.feature_set.steps]
        return sum(isinstance(step, Window) and step.function != "lag" for step in steps)

    def of(self, name: Name, bars: pl.DataFrame, events: pl.DataFrame, metrics: pl.DataFrame | None) -> pl.DataFrame:
        """The columns for events of one series, a row for each.

        Args:
            name: venue and symbol.
            bars: of that series, in order of time.
            events: decision_time, in order of time.
            metrics: market metrics, of this series and others.
        """
        bars = bars.rechunk()  # once, not in each part
        rows = events.select("decision_time").with_row_index("__row")
        own = blocks.metrics_of(metrics, name)
        found = [_everywhere(blocks.frame_at(p, name, bars, own, rows), events.height) for p in self.plans]
        names = () if self.feature_set is None else self.feature_set.names
        regime = found[-1].select(regimes.told_by()).to_series()
        told = pl.DataFrame([*found[0].select(names).get_columns(), regime])
        decided = runs.micros(events, "decision_time")
        flagged = market_flags.flags_of_series(bars, decided, timeframes.micros(self.timeframe))
        return told.hstack(flagged.get_columns()).select(*self.types)

    @cached_property
    def plans(self) -> tuple[Plan, ...]:
        """Of features and regime; one for both wherever neither is changed by the other."""
        regime, frame = regimes.feature_set(), timeframes.get(self.timeframe)
        if self.feature_set is None:
            return (planned(regime, frame),)
        both = together(self.feature_set, regime)
        sets = (self.feature_set, regime) if both is None else (both,)
        return tuple(planned(one, frame) for one in sets)


@dataclass(frozen=True)
class Found:
    """What was computed for events.

    Attributes:
        frame: a row for each event, in their order: null (flags: False) where no candle was known in time.
        without_candles: of how many no candles are held of that time: none of the symbol, none at the venue, or at
            several venues then of which the event names none.
    """

    frame: pl.DataFrame
    without_candles: int


def join(pinned: Held, joined: Joined, events: pl.DataFrame) -> Found:
    """What candles and metrics told at the time of each event.

    The newest candle of the event's venue and symbol counts that had closed by decision_time. A row without a venue
    takes the candles of the one venue that has its symbol, of several that of the one that had a candle then.

    Args:
        pinned: the lake.
        joined: what to compute.
        events: venue, symbol, decision_time.
    """
    reading = read(pinned, joined)
    metrics = reading.metrics(joined.metrics)
    series = reading.series(events["symbol"].unique().sort().to_list(), joined.bars, span(joined, events))
    wanted = by_series(with_venues(pinned, joined, series, events), [name_of(s) for s in series])

    def then(one: Series, rows: pl.DataFrame) -> pl.DataFrame:
        mine = wanted[name_of(one)]
        return joined.of(name_of(one), rows, mine, metrics).hstack([mine["__row"]])

    asked = [s for s in series if name_of(s) in wanted]
    window_compiled.expect(_values(joined, wanted.values(), span(joined, events)))
    placed = sum(mine.height for mine in wanted.values())
    frame = _aligned(joined, events, load_all(pinned.store.scanner, asked, joined.bars, then, keep=False))
    return Found(frame, events.height - placed)


def with_venues(pinned: Held, joined: Joined, series: Sequence[Series], events: pl.DataFrame) -> pl.DataFrame:
    """The events with the venue of those that name none, as far as one alone had a candle then."""
    step = timeframes.micros(joined.timeframe)
    stale = max(plan.feature_set.stale for plan in joined.plans)
    return venues.told(pinned.store.scanner, series, events, (step, stale * step))


def read(pinned: Held, joined: Joined) -> Reading:
    """The candles of the lake, and the market metrics where they are needed."""
    names = ("candles", "market_metrics") if joined.metrics else ("candles",)
    return Reading(pinned.store, pinned.snapshot(*names), timeframes.get(joined.timeframe))


def name_of(series: Series) -> Name:
    """Venue and symbol."""
    symbol, venue = series.name
    return venue, symbol


def with_name(series: Series, rows: pl.DataFrame) -> pl.DataFrame:
    """Candles with their venue and symbol."""
    venue, symbol = name_of(series)
    return rows.hstack([constant("venue", venue, rows.height), constant("symbol", symbol, rows.height)])


def span(joined: Joined, events: pl.DataFrame) -> Bounds:
    """Open times of all bars that anything known at the events may depend on."""
    decided, step = runs.micros(events, "decision_time"), timeframes.micros(joined.timeframe)
    if not len(decided):
        return 0, 0
    oldest = [blocks.history(p, int(blocks.number(p, _first(p, decided, step)))) for p in joined.plans]
    known = [low for low in oldest if low is not None]
    return min(known) if len(known) == len(oldest) else None, int(decided.max())


def _values(joined: Joined, events: Iterable[pl.DataFrame], times: Bounds) -> int:
    """How many values of windows are computed at most: all bars of each block with events."""
    low, high = times
    step = timeframes.micros(joined.timeframe) * blocks.BARS
    there = float("inf") if low is None or high is None else (high - low) // step + 2
    return sum(int(min(there, own.height)) for own in events) * blocks.BARS * joined.windows


def _first(plan: Plan, decided: runs.Integers, step: int) -> runs.Integers:
    """Before this no bar is the newest at any of the events, or one that a flag of theirs depends on."""
    return np.asarray(decided.min() - (plan.feature_set.stale + _HISTORY) * step)


def by_series(events: pl.DataFrame, held: list[Name]) -> dict[Name, pl.DataFrame]:
    """(venue, symbol) of candles -> its events in order of time: venue, symbol, decision_time and ``__row``."""
    only = {}
    for symbol, names in groupby(sorted(held, key=lambda name: name[1]), key=lambda name: name[1]):
        places = [venue for venue, _ in names]
        if len(places) == 1:
            only[symbol] = places[0]
    told = pl.col("symbol").replace_strict(only, default="", return_dtype=pl.String) if only else pl.lit("")
    venue = pl.when(pl.col("venue") == "").then(told).otherwise("venue").alias("venue")
    rows = events.select(venue, "symbol", "decision_time").with_row_index("__row").sort("decision_time", "__row")
    parts = rows.partition_by("venue", "symbol", as_dict=True, maintain_order=True)
    known = set(held)
    return {(v, s): part for (v, s), part in parts.items() if (v, s) in known}


def _everywhere(found: pl.DataFrame, rows: int) -> pl.DataFrame:
    """The frame with a row for each event: nulls for those that it has no ``__row`` of."""
    return found if found.height == rows else _placed(found, found["__row"], rows)


def _aligned(joined: Joined, events: pl.DataFrame, found: list[pl.DataFrame]) -> pl.DataFrame:
    """The pieces put in the order of the events, some columns at a time: two of the whole would not fit into memory."""
    none = pl.DataFrame(schema={**joined.types, "__row": pl.get_index_type()})
    pieces = [none, *found]
    found.clear()
    rows = pl.concat([p.drop_in_place("__row") for p in pieces])
    columns: list[pl.Series] = []
    names = list(joined.types)
    for first in range(0, len(names), _AT_ONCE):
        some = pl.DataFrame([pl.concat([p.drop_in_place(n) for p in pieces]) for n in names[first : first + _AT_ONCE]])
        columns += _placed(some, rows, events.height).get_columns()
    return pl.DataFrame(columns).with_columns(pl.col(market_flags.NAMES).fill_null(value=False))


def _placed(found: pl.DataFrame, rows: pl.Series, height: int) -> pl.DataFrame:
    """The frame's rows put where ``rows`` says, nulls in the places that it does not name."""
    order = np.full(height, -1, dtype=np.int64)
    order[rows.to_numpy()] = np.arange(found.height)
    places = pl.Series(order)
    if found.height < height:
        places = places.set(places < 0, None)
    return found.select(pl.all().gather(places))
