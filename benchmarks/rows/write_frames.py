"""A minute closes: one candle of each of 50 symbols, durable and visible."""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import Any

import pandas as pd
import polars as pl

import lake
from benchmarks.base import MS, Bench, Result, check, each, shown
from benchmarks.market import DAY, MINUTE, START, Market, by_symbol, market_of, minute, names
from benchmarks.peers import arctic, indexed, pandas_by_symbol, write_arctic


def run(bench: Bench) -> Result:
    """p50 of ``write_frames``; the write has a history of some days beneath it."""
    symbols, rounds = names(50), bench.sized(150, least=20)
    market = market_of(Bench(bench.folder, scale=0.1 * bench.scale))
    minutes = [by_symbol(minute(symbols, market.days * DAY + i)) for i in range(2 * rounds)]
    ours = _ours(bench, market, minutes)
    peers = _theirs(bench, market, minutes)
    slowest = max(ours["polars"], ours["pandas"])
    ratio = slowest / min(peers.values()) if peers else None
    return Result(
        "write_frames",
        "write_frames of 50 symbols x 1 candle, durable and visible, p50",
        "<= 5 ms",
        f"Polars {ours['polars'] * MS:.2f} ms, pandas {ours['pandas'] * MS:.2f} ms; "
        f"and read back {ours['polars, then read'] * MS:.2f} ms",
        shown(peers, "ms", MS),
        ratio,
        slowest <= 0.005,
        {"ms": {n: s * MS for n, s in {**ours, **peers}.items()}, "rounds": rounds},
    )


def _ours(bench: Bench, market: Market, minutes: list[dict[str, pl.DataFrame]]) -> dict[str, float]:
    with lake.open(bench.folder / "lake", bot_id="bench") as lk:
        lk.candles.write(market.table, "1m")
        begun = START + market.days * DAY * MINUTE

        def write(frames: dict[str, Any]) -> None:
            lk.candles.write_frames(frames, "1m")

        def write_and_read(frames: dict[str, Any]) -> None:
            write(frames)
            lk.candles.read(None, "1m", start=frames["C000USDT"]["open_time"][0])

        half = len(minutes) // 2
        taken: dict[str, list[float]] = {"polars": [], "pandas": [], "polars, then read": []}
        for number, frames in enumerate(minutes[:half]):
            in_pandas = {s: f.to_pandas() for s, f in frames.items()}
            kind = list(taken)[number % 3]
            if kind == "polars, then read":
                taken[kind] += each(write_and_read, [frames])
            else:
                given = in_pandas if kind == "pandas" else frames
                taken[kind] += each(write, [given])
        held = lk.candles.read(None, "1m", start=begun, columns=("symbol", "open_time", "open", "close"))
        given_all = pl.concat([f.with_columns(symbol=pl.lit(s)) for m in minutes[:half] for s, f in m.items()])
        wanted = given_all.select(held.columns).sort("symbol", "open_time")
        check(held.sort("symbol", "open_time").equals(wanted), "the candles written are not those read")
    return {kind: median(times[3:]) for kind, times in taken.items()}


def _theirs(bench: Bench, market: Market, minutes: list[dict[str, pl.DataFrame]]) -> dict[str, float]:
    library = arctic(bench.folder / "arctic")
    if library is None:
        return {}
    write_arctic(library, pandas_by_symbol(market))
    quarter = max(4, min(20, len(minutes) // 8))
    prepared = [{s: indexed(f) for s, f in frames.items()} for frames in minutes[: 3 * quarter]]
    ways = {"append": _append, "update": _update, "append_batch": _append_batch}
    found = {}
    for place, (name, way) in enumerate(ways.items()):
        mine = prepared[place * quarter : (place + 1) * quarter]
        found[f"ArcticDB 50 x {name}"] = median(each(partial(way, library), mine))
    rows = len(library.read("C000USDT").data)
    check(rows == market.days * DAY + len(prepared), f"ArcticDB holds {rows} rows of a symbol")
    return found


def _append(library: Any, frames: dict[str, pd.DataFrame]) -> None:
    for symbol, frame in frames.items():
        library.append(symbol, frame)


def _update(library: Any, frames: dict[str, pd.DataFrame]) -> None:
    for symbol, frame in frames.items():
        library.update(symbol, frame)


def _append_batch(library: Any, frames: dict[str, pd.DataFrame]) -> None:
    from arcticdb import WritePayload

    library.append_batch([WritePayload(symbol, frame) for symbol, frame in frames.items()])
