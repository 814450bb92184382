"""Many threads or tasks that write durably at once, beside one thread."""

from __future__ import annotations

import asyncio
import gc
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import lake
from benchmarks.base import Bench, Result, check
from benchmarks.rows.durable_record import signals

_THREADS, _TASKS, _ROUNDS = 16, 200, 3

Record = dict[str, Any]


def run(bench: Bench) -> Result:
    """Records a second of each, in turns; the median round counts. Garbage of earlier work is collected before."""
    records = list(islice(signals(), bench.sized(16_000, least=3_200)))
    rates: dict[str, list[float]] = {"one thread": [], "16 threads": [], "200 tasks": []}
    for number in range(_ROUNDS):
        few = records[: len(records) // 8]
        rates["one thread"].append(_rate(few, _with_threads(bench.folder / f"one-{number}", few, 1)))
        rates["16 threads"].append(_rate(records, _with_threads(bench.folder / f"many-{number}", records, _THREADS)))
        spent = asyncio.run(_with_tasks(bench.folder / f"tasks-{number}", records))
        rates["200 tasks"].append(_rate(records, spent))
    found = {name: median(r) for name, r in rates.items()}
    one = found["one thread"]
    ratio = min(found["16 threads"], found["200 tasks"]) / one
    return Result(
        "group_commit",
        "16 threads or 200 tasks writing durably",
        ">= 10x one thread",
        f"threads {found['16 threads']:,.0f}/s ({found['16 threads'] / one:.1f}x), "
        f"tasks {found['200 tasks']:,.0f}/s ({found['200 tasks'] / one:.1f}x)",
        f"one thread {one:,.0f}/s",
        ratio,
        ratio >= 10,
        {"records_per_second": found, "records": len(records)},
    )


def _rate(records: list[Record], spent: float) -> float:
    return len(records) / spent


def _with_threads(folder: Path, records: list[Record], threads: int) -> float:
    with lake.open(folder, bot_id="bench") as lk:
        lk.write("signals", {**records[0], "signal_id": "first"})

        def work(mine: list[Record]) -> None:
            for record in mine:
                lk.write("signals", record)

        gc.collect()
        with ThreadPoolExecutor(threads) as pool:
            begun = time.perf_counter()
            list(pool.map(work, [records[i::threads] for i in range(threads)]))
            spent = time.perf_counter() - begun
        _check(lk, records)
    return spent


async def _with_tasks(folder: Path, records: list[Record]) -> float:
    async with await lake.open_async(folder, bot_id="bench") as lk:
        await lk.write("signals", {**records[0], "signal_id": "first"})

        async def work(mine: list[Record]) -> None:
            for record in mine:
                await lk.write("signals", record)

        gc.collect()
        begun = time.perf_counter()
        await asyncio.gather(*(work(records[i::_TASKS]) for i in range(_TASKS)))
        spent = time.perf_counter() - begun
        _check(lk.lake, records)
    return spent


def _check(lk: lake.Lake, records: list[Record]) -> None:
    held = lk.sql("SELECT count(DISTINCT signal_id), count(*) FROM signals").fetchall()
    check(held == [(len(records) + 1, len(records) + 1)], f"records held: {held}")
