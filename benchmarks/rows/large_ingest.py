"""Many candles in and compacted: how much memory, and whether the time stays linear."""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import lake
from benchmarks.base import Bench, Result, check, no_background_drains, seconds
from benchmarks.market import names, symbol_candles

_BARS = 250_000  # of each symbol: half a year, seven months' partitions
_GIB = 1 << 30
_LIMIT = 1.5
_LINEAR = 1.25  # seconds per row at full size, by those at a quarter; beyond it the time is not linear


@dataclass(frozen=True)
class Taken:
    """What one process spent: rows written, seconds, and its peak memory."""

    rows: int
    ingest_seconds: float
    compact_seconds: float
    peak_bytes: int
    bytes_per_candle: float

    @property
    def per_row(self) -> float:
        """Seconds per row."""
        return (self.ingest_seconds + self.compact_seconds) / self.rows


def run(bench: Bench) -> Result:
    """A quarter, a half and all of it, each in a fresh process and an empty lake; symbol by symbol, as dumps come."""
    symbols = bench.sized(400 if bench.large else 40, least=4)
    taken = [_in_child(bench.folder / f"lake-{part}", symbols // part) for part in (4, 2, 1)]
    whole, ratio = taken[-1], taken[-1].per_row / taken[0].per_row
    peak = max(t.peak_bytes for t in taken) / _GIB
    times = ", ".join(f"{t.rows / 1e6:g}M {t.ingest_seconds:.1f} + {t.compact_seconds:.1f} s" for t in taken)
    return Result(
        "large_ingest",
        f"ingest + compact of {whole.rows / 1e6:g}M candles",
        "peak RSS <= 1.5 GiB, time linear in rows",
        f"peak {peak:.2f} GiB; {times}",
        f"{whole.bytes_per_candle:.1f} bytes per candle",
        ratio,
        peak <= _LIMIT and ratio <= _LINEAR,
        {str(t.rows): {**t.__dict__, "seconds_per_million": t.per_row * 1e6} for t in taken},
    )


def _in_child(folder: Path, symbols: int) -> Taken:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        taken = pool.submit(_ingest, folder, symbols).result()
    shutil.rmtree(folder)
    return taken


def _ingest(folder: Path, symbols: int) -> Taken:
    no_background_drains()
    with lake.open(folder) as lk:
        spent = 0.0
        for number, symbol in enumerate(names(symbols)):
            table = symbol_candles(number, symbol, _BARS).to_arrow()
            spent += seconds(partial(lk.candles.write, table, "1m"))
        compacting = seconds(lk.compact)
        peak = peak_bytes()
        stats = lk.candles.stats()
        held = lk.sql("SELECT count(*), count(DISTINCT symbol) FROM candles").fetchall()
        check(held == [(symbols * _BARS, symbols)], f"rows and symbols held: {held}")
        return Taken(symbols * _BARS, spent, compacting, peak, stats["bytes_per_candle"])


def peak_bytes() -> int:
    """The most memory that this process ever held. What getrusage says on Linux includes the parent, before exec."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [text for text in status.read_text(encoding="utf-8").splitlines() if text.startswith("VmHWM")]
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
