"""The standard features of a million candles: all of them, as of events, and from what is stored."""

from __future__ import annotations

import resource
import sys
from functools import partial

import polars as pl

import lake
from benchmarks.base import Bench, Result, check, medians
from benchmarks.market import names, symbol_candles
from lake.learn import features
from lake.learn.features import FeatureStore

_SYMBOLS = 10
_EVENT_EVERY = 26  # candles; a million events of a year of 50 symbols


def run(bench: Bench) -> Result:
    """Medians of reading candles and computing, of only the events' rows, and of reading stored blocks."""
    bars = bench.sized(100_000, least=2_000)
    feature_set = features.get("standard")
    with lake.open(bench.folder / "lake") as lk:
        for number, symbol in enumerate(names(_SYMBOLS)):
            lk.candles.write(symbol_candles(number, symbol, bars), "1m")
        store = FeatureStore(lk.store)
        events = lk.candles.read(None, "1m", columns=("venue", "symbol", "open_time")).rename(
            {"open_time": "decision_time"}
        )
        events = events.gather_every(_EVENT_EVERY)
        before = _peak()
        store.at(feature_set, events, "1m")
        held = _peak() - before
        works = {
            "computed": partial(_compute, lk, feature_set),
            "as of": partial(store.at, feature_set, events, "1m"),
            "stored": partial(store.frame, feature_set, None, "1m"),
        }
        check(works["stored"]().equals(works["computed"]()), "stored and computed features")
        found = medians(works, rounds=5)
    rows, width = bars * _SYMBOLS, len(feature_set.features)
    return Result(
        "features",
        f"{width} features of {rows:,} candles, {_SYMBOLS} symbols; as of {events.height:,} events",
        "stored <= 1.0x computed",
        f"all {rows * width / found['computed'] / 1e6:.0f}M values/s; as of events "
        f"{rows / found['as of'] / 1e6:.1f}M candles/s (+{held >> 20} MiB); "
        f"stored {found['stored']:.2f} s, computed {found['computed']:.2f} s",
        ratio=found["stored"] / found["computed"],
        met=found["stored"] <= found["computed"],
        numbers={"seconds": found, "rows": rows, "features": width, "events": events.height, "bytes": held},
    )


def _compute(lk: lake.Lake, feature_set: features.FeatureSet) -> pl.DataFrame:
    columns = ("venue", "symbol", "open_time", "open", "high", "low", "close", "volume")
    return features.compute(feature_set, lk.candles.read(None, "1m", columns=columns), timeframe="1m")


def _peak() -> int:
    """The most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
