"""Data sets of phantoms on a year of 1m candles: built, joined as of, audited."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import lake
from benchmarks.base import Bench, Result, check, no_background_drains
from benchmarks.market import DAY, MINUTE, START, names, symbol_candles
from lake.learn.datasets.asof import Joined, join
from lake.learn.datasets.pinned import pin
from lake.learn.features import Feature, FeatureSet

_GIB = 1 << 30
_YEAR = 365 * DAY
_PLAIN = FeatureSet("plain", 1, (Feature("close_now", pl.col("close"), 0),))


def build(bench: Bench) -> Result:
    """A million phantoms with 50 features on 26 million candles; with --large, else a tenth of both."""
    share = 1.0 if bench.large else 0.1
    symbols, events = bench.sized(round(50 * share), least=2), bench.sized(round(1_000_000 * share), least=1_000)
    folder = made_lake(bench.folder / "lake", symbols, events)
    spent, peak, rows = _in_child(_build, folder)
    check(rows == events, f"rows of the data set: {rows}")
    return Result(
        "dataset_build",
        f"{rows:,} events x 50 features from {symbols * _YEAR / 1e6:.1f}M candles",
        f"<= {20 * share:g} s, peak RSS <= 3 GiB",
        f"{spent:.1f} s, peak {peak / _GIB:.2f} GiB",
        met=spent <= 20 * share and peak <= 3 * _GIB,
        numbers={"seconds": spent, "peak_bytes": peak, "rows": rows, "candles": symbols * _YEAR},
    )


def asof(bench: Bench) -> Result:
    """Candles that are joined to 100,000 rows, a second: one feature, flags and the regime of each row."""
    symbols, events = bench.sized(10, least=2), bench.sized(100_000, least=1_000)
    folder = made_lake(bench.folder / "lake", symbols, events)
    spent, peak, rows = _in_child(_asof, folder)
    speed = rows / spent
    return Result(
        "dataset_asof",
        f"{events:,} events joined to {rows / 1e6:.1f}M candles",
        ">= 5M rows/s",
        f"{speed / 1e6:.1f}M rows/s",
        met=speed >= 5e6,
        numbers={"seconds": spent, "peak_bytes": peak, "rows": rows},
    )


def audit(bench: Bench) -> Result:
    """The audit of 100,000 rows of the standard features, each with its own future changed."""
    symbols, events = bench.sized(10, least=2), bench.sized(100_000, least=1_000)
    folder = made_lake(bench.folder / "lake", symbols, events)
    _in_child(_build, folder)
    spent, peak, rows = _in_child(_audit, folder)
    return Result(
        "dataset_audit",
        f"audit of {rows:,} rows x 50 features",
        "<= 60 s",
        f"{spent:.1f} s, peak {peak / _GIB:.2f} GiB",
        met=spent <= 60,
        numbers={"seconds": spent, "peak_bytes": peak, "rows": rows},
    )


def made_lake(folder: Path, symbols: int, events: int) -> Path:
    """A lake with a year of 1m candles of each symbol, and phantoms that ended."""
    with lake.open(folder, bot_id="bench") as lk:
        for number, symbol in enumerate(names(symbols)):
            lk.candles.write(symbol_candles(number, symbol, _YEAR), "1m")
        lk.write("phantoms", _phantoms(names(symbols), events))
        lk.drain()
    return folder


def _phantoms(symbols: tuple[str, ...], events: int) -> pl.DataFrame:
    rng = np.random.default_rng(11)
    decided = START + np.sort(rng.integers(1_000 * MINUTE, (_YEAR - 3_000) * MINUTE, events))
    ended = decided + rng.integers(5, 2_880, events) * MINUTE
    return pl.DataFrame(
        {
            "phantom_id": [f"p{n:07d}" for n in range(events)],
            "symbol": pl.Series(np.asarray(symbols)[rng.integers(0, len(symbols), events)]),
            "timeframe": "1m",
            "side": "LONG",
            "entry_price": 100.0,
            "signal_time": pl.Series(decided).cast(pl.Datetime("us", "UTC")),
            "status": "completed",
            "outcome": pl.Series(np.asarray(["win", "loss"])[rng.integers(0, 2, events)]),
            "pnl_percent": rng.normal(0, 2, events),
            "exit_time": pl.Series(ended).cast(pl.Datetime("us", "UTC")),
        }
    )


def _in_child(work: Any, folder: Path) -> tuple[float, int, int]:
    """Seconds, peak memory and rows of the work in a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=no_background_drains) as pool:
        found: tuple[float, int, int] = pool.submit(work, folder).result()
    return found


def _build(folder: Path) -> tuple[float, int, int]:
    with lake.open(folder) as lk:
        begun = time.perf_counter()
        made = lk.datasets.build("bench", "phantoms")
        return time.perf_counter() - begun, _peak_bytes(), made.manifest.rows


def _asof(folder: Path) -> tuple[float, int, int]:
    with lake.open(folder) as lk:
        pinned = pin(lk.writer)
        events = pinned.engine.frame("SELECT venue, symbol, signal_time AS decision_time FROM phantoms")
        begun = time.perf_counter()
        found = join(pinned, Joined(_PLAIN, "1m"), events).frame
        spent = time.perf_counter() - begun
        check(found["close_now"].null_count() == 0, "rows with a candle")
        return spent, _peak_bytes(), lk.candles.stats()["candles"]


def _audit(folder: Path) -> tuple[float, int, int]:
    with lake.open(folder) as lk:
        made = lk.datasets.load("bench")
        begun = time.perf_counter()
        found = made.audit()
        check(found.passed and not found.beyond, f"an honest set passes: {found}")
        return time.perf_counter() - begun, _peak_bytes(), found.rows


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
