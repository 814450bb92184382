"""Features, flags and regimes as of each row's decision, from candles: series by series, never all of them at once."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import numpy as np
import polars as pl

from lake.kernels import runs
from lake.learn import flags as market_flags
from lake.learn import regimes
from lake.learn.datasets.pinned import Pinned
from lake.learn.features import FeatureSet, blocks, compute
from lake.learn.features.plan import planned
from lake.learn.features.reading import Reading
from lake.ledgers.series import Series, constant, load_all
from lake.spec import timeframes
from lake.store.cold.files import Bounds

_FLAGGED = ("high", "low", "close", "volume")
_HISTORY = 2_000  # bars that are read before a block: more than flags and regimes look back
Name = tuple[str, str]


@dataclass(frozen=True)
class Joined:
    """What is computed for rows.

    Attributes:
        feature_set: the features; None for flags and regimes alone.
        timeframe: of the candles.
    """

    feature_set: FeatureSet | None
    timeframe: str

    @property
    def types(self) -> dict[str, pl.DataType]:
        """Columns of the result."""
        asked = () if self.feature_set is None else self.feature_set.features
        features = {f.name: pl.Series([], dtype=f.dtype).dtype for f in asked}
        return {**features, **dict.fromkeys(market_flags.NAMES, pl.Boolean()), "regime": pl.String()}

    @property
    def bars(self) -> list[str]:
        """Columns of candles that are needed."""
        asked = () if self.feature_set is None else planned(self.feature_set, timeframes.get(self.timeframe)).columns
        return list(dict.fromkeys(["open_time", *asked, *_FLAGGED]))

    @property
    def metrics(self) -> tuple[str, ...]:
        """The market metrics that are needed."""
        return () if self.feature_set is None else self.feature_set.metrics

    def of(self, candles: pl.DataFrame, events: pl.DataFrame, metrics: pl.DataFrame | None) -> pl.DataFrame:
        """The columns for events (venue, symbol, decision_time) of the series of these candles, in their order."""
        parts = []
        if self.feature_set is not None:
            found = compute(self.feature_set, candles, timeframe=self.timeframe, metrics=metrics, at=events)
            parts = found.drop("venue", "symbol", "known_at").get_columns()
        flagged = market_flags.flags(events, candles, timeframe=self.timeframe)
        regime = regimes.regime_at(events, candles, timeframe=self.timeframe)
        return pl.DataFrame([*parts, *flagged.get_columns(), regime])


def join(pinned: Pinned, joined: Joined, events: pl.DataFrame) -> pl.DataFrame:
    """A row for each event, in their order: null (flags: False) where no candle was known in time.

    The newest candle of the event's venue and symbol counts that had closed by decision_time. A row without a venue
    takes the candles of the one venue that has its symbol.

    Args:
        pinned: the lake.
        joined: what to compute.
        events: venue, symbol, decision_time.
    """
    reading = read(pinned, joined)
    metrics = reading.metrics(joined.metrics)
    series = reading.series(sorted(set(events["symbol"])), joined.bars, span(joined, events))
    wanted = by_series(events, [name_of(s) for s in series])

    def then(one: Series, rows: pl.DataFrame) -> pl.DataFrame:
        mine = wanted[name_of(one)]
        return joined.of(with_name(one, rows), mine, metrics).hstack([mine["__row"]])

    asked = [s for s in series if name_of(s) in wanted]
    return _aligned(joined, events, load_all(pinned.store.scanner, asked, joined.bars, then))


def read(pinned: Pinned, joined: Joined) -> Reading:
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
    decided, frame = runs.micros(events, "decision_time"), timeframes.get(joined.timeframe)
    if not len(decided) or joined.feature_set is None:
        low = int(decided.min(initial=0)) - blocks.BARS * frame.micros
        return low, int(decided.max(initial=0))
    plan = planned(joined.feature_set, frame)
    first = np.asarray([decided.min() - (joined.feature_set.stale + _HISTORY) * frame.micros])
    return blocks.history(plan, int(blocks.number(plan, first)[0])), int(decided.max())


def by_series(events: pl.DataFrame, held: list[Name]) -> dict[Name, pl.DataFrame]:
    """(venue, symbol) of candles -> its events in order of time: venue, symbol, decision_time and ``__row``."""
    only = {}
    for symbol, names in groupby(sorted(held, key=lambda name: name[1]), key=lambda name: name[1]):
        venues = [venue for venue, _ in names]
        if len(venues) == 1:
            only[symbol] = venues[0]
    told = pl.col("symbol").replace_strict(only, default="", return_dtype=pl.String) if only else pl.lit("")
    venue = pl.when(pl.col("venue") == "").then(told).otherwise("venue").alias("venue")
    rows = events.select(venue, "symbol", "decision_time").with_row_index("__row").sort("decision_time", "__row")
    parts = rows.partition_by("venue", "symbol", as_dict=True, maintain_order=True)
    known = set(held)
    return {(v, s): part for (v, s), part in parts.items() if (v, s) in known}


def _aligned(joined: Joined, events: pl.DataFrame, found: list[pl.DataFrame]) -> pl.DataFrame:
    """The pieces put in the order of the events."""
    none = pl.DataFrame(schema={**joined.types, "__row": pl.get_index_type()})
    together = pl.concat([none, *found], rechunk=False)
    found.clear()
    if together.height != events.height:
        rows = pl.DataFrame({"__row": pl.Series(range(events.height), dtype=pl.get_index_type())})
        together = rows.join(together, on="__row", how="left", maintain_order="left")
    elif not together["__row"].is_sorted():
        together = together.sort("__row")
    return together.drop("__row").with_columns(pl.col(market_flags.NAMES).fill_null(value=False))
