"""The latest state that a restarted bot asks for, of few snapshots and of many."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median

import polars as pl

import lake
from benchmarks.base import MS, Bench, Result, check

_START, _SECOND = 1_735_689_600_000_000, 1_000_000
_RESTARTS, _AGAIN = 9, 50


def run(bench: Bench) -> Result:
    """The first call of a freshly started process after it has opened the lake, and the calls after that one."""
    few, many = bench.sized(1_000, least=100), bench.sized(1_000_000, least=1_000)
    found = {count: _restarts(_lake(bench.folder / str(count), count), count) for count in (few, many)}
    first, again = ([pair[n] for pair in found.values()] for n in (0, 1))
    return Result(
        "latest_state",
        f"latest state of a restarted bot, {few:,} and {many:,} snapshots",
        "<= 5 ms",
        f"first call {first[0] * MS:.1f} and {first[1] * MS:.1f} ms, "
        f"then {again[0] * MS:.2f} and {again[1] * MS:.2f} ms",
        met=max(first) <= 0.005,
        numbers={"first_ms": [t * MS for t in first], "again_ms": [t * MS for t in again], "restarts": _RESTARTS},
    )


def _lake(path: Path, count: int) -> Path:
    """A lake with so many settled snapshots of two bots, a minute apart."""
    numbers = pl.int_range(count, eager=True)
    states = pl.DataFrame({"n": numbers}).select(
        bot_id=pl.concat_str(pl.lit("bot"), pl.col("n") % 2),
        snapshot_time=_START + pl.col("n") * 30 * _SECOND,
        equity=1_000.0 + pl.col("n") % 97,
        state=pl.concat_str(pl.lit('{"number":'), pl.col("n"), pl.lit("}")),
    )
    with lake.open(path) as lk:
        for part in states.iter_slices(250_000):
            lk.write("bot_states", part)
        lk.drain()
        lk.compact()
    return path


def _restarts(path: Path, count: int) -> tuple[float, float]:
    """The middle ones of several processes that load nothing but the lake, as a bot does: first and later calls."""
    taken = [_restarted(path, count) for _ in range(_RESTARTS)]
    return median(first for first, _ in taken), median(again for _, again in taken)


def _restarted(path: Path, count: int) -> tuple[float, float]:
    asked = [sys.executable, "-m", "benchmarks.restart", str(path), "bot1", str(_AGAIN)]
    told = json.loads(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)
    check(told["state"] == {"number": count - 1}, f"the newest of {count} snapshots")
    return told["first"], told["again"]
