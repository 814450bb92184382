"""A million positions followed along one-minute candles for up to two days."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numba import njit

import lake
from benchmarks.base import Bench, Result, check, medians, shown
from benchmarks.market import MINUTE, symbol_candles
from lake.kernels import barrier
from lake.kernels.barrier_bars import bars_of
from lake.kernels.barrier_loops import STOPPED, TARGET
from lake.kernels.barrier_types import Events

_HORIZON, _AWAY = 2_880, 0.02
_PEER = "TRADELAKE_ML4T_PYTHON"


def run(bench: Bench) -> Result:
    """Medians; a position at every candle, from its close on, two per cent to either side.

    The peers know one target and one stop, which they look for candle by candle; the labels are held to be the same.
    """
    count = bench.sized(1_000_000, least=20_000)
    frame = symbol_candles(1, "BTCUSDT", count + _HORIZON + 1)
    prices = {name: frame[name].to_numpy() for name in ("open", "high", "low", "close")}
    time = frame["open_time"].cast(pl.Datetime("us", "UTC")).dt.timestamp("us").to_numpy()
    side = np.where(np.random.default_rng(5).random(count) < 0.5, 1, -1)
    one, three = (_events(prices["close"], time, side, number) for number in (1, 3))
    bars = bars_of(time, (prices["open"], prices["high"], prices["low"], prices["close"]), MINUTE)
    table = _table(one)
    works: dict[str, Callable[[], Any]] = {
        "one target": partial(barrier.follow, [bars], one),
        "three targets": partial(barrier.follow, [bars], three),
        "label_events": partial(lake.label_events, frame, table),
        "candle by candle (numba)": partial(_by_candle, prices["high"], prices["low"], prices["close"], side),
    }
    lives = barrier.follow([bars], one)
    label = np.select([lives.code == TARGET, lives.code == STOPPED], [1, -1], 0)
    check(bool((label == works["candle by candle (numba)"]()).all()), "labels candle by candle")
    outcome = lake.label_events(frame, table)["outcome"].replace_strict({"win": 1, "loss": -1, "timeout": 0})
    check(bool((label == outcome.to_numpy()).all()), "label_events")
    found = medians(works, rounds=5)
    peer = _peer(bench.folder, prices, side, label, lives.bars)
    return _result(count, found, peer)


def _result(count: int, found: dict[str, float], peer: dict[str, Any]) -> Result:
    rate = {name: count / seconds / 1e6 for name, seconds in found.items()}
    others = {"candle by candle (numba, one thread)": found["candle by candle (numba)"]}
    ratios = {}
    if peer:
        others |= {f"ml4t-engineer {peer['version']}": peer["whole"], "its kernel": peer["kernel"]}
        ratios = {"label_events": peer["whole"] / found["label_events"], "kernel": peer["whole"] / found["one target"]}
    compared = f"{ratios['kernel']:.0f}x (label_events {ratios['label_events']:.0f}x)" if peer else "not there"
    return Result(
        "labels",
        f"{count:,} positions along one-minute candles, up to {_HORIZON:,} each",
        ">= 10M/s, >= 20x ml4t-engineer with equal labels",
        f"{rate['one target']:.1f}M/s, {rate['three targets']:.1f}M/s with three targets; label_events "
        f"{rate['label_events']:.1f}M/s; ml4t-engineer {compared}",
        shown(others, "s"),
        rate["one target"] / 10,
        rate["one target"] >= 10 and ratios["kernel"] >= 20 if peer else None,
        {"seconds": found, "peer": {name: str(value) for name, value in peer.items()}, "times": ratios},
    )


def _events(close: Any, time: Any, side: Any, targets: int) -> Events:
    count = len(side)
    entry = close[:count]
    levels = np.full((count, 3), np.nan)
    for number in range(targets):
        away = _AWAY * (number + 1)
        levels[:, number] = np.where(side > 0, entry * (1 + away), entry * (1 - away))
    stop = np.where(side > 0, entry * (1 - _AWAY), entry * (1 + _AWAY))
    start = time[:count] + MINUTE
    last = start + _HORIZON * MINUTE
    return Events((side < 0).astype(np.int8), entry, stop, levels, start, last, np.ones(count, np.bool_))


def _table(events: Events) -> pl.DataFrame:
    times = {"start_time": events.start, "timeout_at": events.timeout}
    return pl.DataFrame(
        {
            "event_id": np.arange(len(events.side)), "entry_price": events.entry, "stop_loss": events.stop,
            "tp1": events.targets[:, 0], **times,
        }
    ).with_columns(
        pl.lit("BTCUSDT").alias("symbol"),
        pl.Series("side", events.side).replace_strict({0: "LONG", 1: "SHORT"}),
        *(pl.col(name).cast(pl.Datetime("us", "UTC")) for name in times),
    )  # fmt: skip


@njit(nogil=True)
def _by_candle(high: Any, low: Any, close: Any, side: Any) -> Any:
    """1 where the target is touched first, -1 where the stop, 0 where neither; the plain loop."""
    label = np.zeros(len(side), np.int64)
    for number in range(len(side)):
        up, down = close[number] * (1 + _AWAY), close[number] * (1 - _AWAY)
        for candle in range(number + 1, number + _HORIZON + 1):
            if low[candle] <= down or high[candle] >= up:
                is_up = low[candle] > down if side[number] > 0 else high[candle] >= up
                label[number] = side[number] * (1 if is_up else -1)
                break
    return label


def _peer(folder: Path, prices: dict[str, Any], side: Any, label: Any, bars: Any) -> dict[str, Any]:
    """What ml4t-engineer took, run by the interpreter that an environment variable names; nothing without one."""
    python = os.environ.get(_PEER)
    if not python:
        return {}
    source, target = folder / "candles.npz", folder / "labels.npz"
    np.savez(source, side=side, horizon=_HORIZON, away=_AWAY, **{n: prices[n] for n in ("high", "low", "close")})
    script = Path(__file__).parents[1] / "peer_ml4t.py"
    subprocess.run([python, str(script), str(source), str(target)], check=True, cwd=folder)
    made = np.load(target)
    check(bool((made["label"] == label).all()), "labels of ml4t-engineer")
    check(bool((made["bars"] == bars).all()), "bars of ml4t-engineer")
    return {name: made[name].item() for name in ("whole", "kernel", "version")}
