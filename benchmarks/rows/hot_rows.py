"""The reading benchmarks again, with 10,000 rows that are not drained yet, in the writer's process and in another."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import lake
from benchmarks.base import MS, Bench, Result, check, medians, no_background_drains
from benchmarks.market import DAY, Market, market_of, minute
from benchmarks.rows import point_read, resample

_HOT_ROWS = 10_000

Times = dict[str, float]


def run(bench: Bench) -> Result:
    """One lake has the rows hot, another has the same rows settled; each question goes to both in turn."""
    market = market_of(bench)
    hot, cold = bench.folder / "hot", bench.folder / "cold"
    with lake.open(hot, bot_id="bench") as one, lake.open(cold, bot_id="bench") as other:
        for lk in (one, other):
            _fill(lk, market)
        other.drain()
        check(one.candles.stats()["hot"] == _HOT_ROWS, "rows are hot in the one")
        check(other.candles.stats()["hot"] == 0, "and settled in the other")
        here = _ask(one, other, market, bench.sized(150, least=20))
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            there = pool.submit(_elsewhere, hot, cold, bench).result()
    scans = {place: t["scan hot"] / t["scan cold"] for place, t in (("own", here), ("other", there))}
    points = {place: t["point hot"] - t["point cold"] for place, t in (("own", here), ("other", there))}
    return Result(
        "hot_rows",
        f"the same two with {_HOT_ROWS:,} rows hot: in the writer's process / in another",
        "scans <= 1.1x all cold, point reads <= +1 ms",
        f"scans {scans['own']:.2f}x / {scans['other']:.2f}x, "
        f"points {points['own'] * MS:+.2f} / {points['other'] * MS:+.2f} ms",
        f"cold: scan {here['scan cold'] * MS:.0f} / {there['scan cold'] * MS:.0f} ms, "
        f"point {here['point cold'] * MS:.2f} / {there['point cold'] * MS:.2f} ms",
        max(scans.values()),
        max(scans.values()) <= 1.1 and max(points.values()) <= 0.001,
        {"own_process_ms": _in_ms(here), "other_process_ms": _in_ms(there)},
    )


def _fill(lk: lake.Lake, market: Market) -> None:
    lk.candles.write(market.table, "1m")
    for number in range(_HOT_ROWS // len(market.symbols)):
        lk.candles.write(minute(market.symbols, market.days * DAY + number), "1m")


def _elsewhere(hot: Path, cold: Path, bench: Bench) -> Times:
    no_background_drains()
    with lake.open(hot, create=False) as one, lake.open(cold, create=False) as other:
        return _ask(one, other, market_of(bench), bench.sized(150, least=20))


def _ask(hot: lake.Lake, cold: lake.Lake, market: Market, count: int) -> Times:
    readers: dict[str, point_read.Reader] = {
        "point hot": partial(point_read.of_lake, hot),
        "point cold": partial(point_read.of_lake, cold),
    }
    found = point_read.ask(readers, point_read.questions(market, count, days=market.days + 1))
    check(resample.of_lake(hot).equals(resample.of_lake(cold)), "hours of hot and cold rows")
    scans = {"scan hot": partial(resample.of_lake, hot), "scan cold": partial(resample.of_lake, cold)}
    return {**found, **medians(scans, rounds=9)}


def _in_ms(times: Times) -> Times:
    return {name: spent * MS for name, spent in times.items()}
