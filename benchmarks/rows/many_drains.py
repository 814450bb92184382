"""Drains and opens of a lake that was drained thousands of times, beside one that was drained ten times."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from statistics import mean, median

import lake
from benchmarks.base import MS, Bench, Result, check, medians
from benchmarks.market import minute, names

_FEW, _MORE = 10, 40
_SYMBOLS = names(50)


def run(bench: Bench) -> Result:
    """Both lakes are measured in turns. A drain moves one minute of 50 symbols."""
    many = bench.sized(5_000, least=50)
    with lake.open(bench.folder / "few", bot_id="b") as few, lake.open(bench.folder / "many", bot_id="b") as lots:
        for lk, drains in ((few, _FEW), (lots, many)):
            for number in range(drains):
                _write_and_drain(lk, number)
        check(_count(few) == _FEW * 50 and _count(lots) == many * 50, "rows after the drains")
        opens = _opens(bench.folder)
        taken: dict[str, list[float]] = {"few": [], "many": []}
        for number in range(_MORE):
            taken["few"].append(_write_and_drain(few, _FEW + number))
            taken["many"].append(_write_and_drain(lots, many + number))
        files = {"few": few.candles.stats()["files"], "many": lots.candles.stats()["files"]}
    p50 = {name: median(times) for name, times in taken.items()}
    ratios = {
        "drain": p50["many"] / p50["few"],
        "open": opens["open many"] / opens["open few"],
        "open and count": opens["count many"] / opens["count few"],
    }
    return Result(
        "many_drains",
        f"drain commit and lake.open after {many:,} drains",
        f"<= 1.5x the same after {_FEW}",
        f"drain {p50['many'] * MS:.1f} ms ({ratios['drain']:.2f}x), open {opens['open many'] * MS:.2f} ms "
        f"({ratios['open']:.2f}x), open and first count {opens['count many'] * MS:.1f} ms "
        f"({ratios['open and count']:.2f}x)",
        f"after {_FEW}: drain {p50['few'] * MS:.1f} ms, open {opens['open few'] * MS:.2f} ms, "
        f"open and first count {opens['count few'] * MS:.1f} ms",
        max(ratios.values()),
        max(ratios.values()) <= 1.5,
        {
            "drain_p50_ms": {n: s * MS for n, s in p50.items()},
            "drain_mean_ms": {n: mean(t) * MS for n, t in taken.items()},
            "drain_worst_ms": {n: max(t) * MS for n, t in taken.items()},
            "opens_ms": {n: s * MS for n, s in opens.items()},
            "files": files,
        },
    )


def _write_and_drain(lk: lake.Lake, number: int) -> float:
    receipt = lk.candles.write(minute(_SYMBOLS, number), "1m")
    check(receipt.inserted == 50, f"{receipt.inserted} inserted")
    begun = time.perf_counter()
    lk.drain()
    return time.perf_counter() - begun


def _opens(folder: Path) -> dict[str, float]:
    works = {
        "open few": partial(_open, folder / "few"),
        "open many": partial(_open, folder / "many"),
        "count few": partial(_open_and_count, folder / "few"),
        "count many": partial(_open_and_count, folder / "many"),
    }
    return medians(works, rounds=15, warm=2)


def _open(path: Path) -> None:
    lake.open(path, create=False).close()


def _open_and_count(path: Path) -> None:
    with lake.open(path, create=False) as lk:
        _count(lk)


def _count(lk: lake.Lake) -> int:
    return int(lk.frame("SELECT count(*) AS n FROM candles").item())
