"""A candle of each of 50 symbols, and ten thousand active phantoms that it may touch."""

from __future__ import annotations

from statistics import median
from typing import Any

import numpy as np

import lake
from benchmarks.base import MS, Bench, Result, check, each

_SYMBOLS = [f"COIN{number:02d}USDT" for number in range(50)]
_START = 1_735_689_600_000_000
_MINUTE = 60_000_000


def run(bench: Bench) -> Result:
    """p50 of one frame; about a tenth of the phantoms sees a new best or worst price in each, and few reach a level."""
    phantoms, frames = bench.sized(10_000, least=500), bench.sized(120, least=20)
    rng = np.random.default_rng(3)
    prices = rng.uniform(50.0, 150.0, len(_SYMBOLS))
    with lake.open(bench.folder / "lake", bot_id="bench") as lk:
        lk.write("phantoms", [_phantom(n, float(prices[n % len(_SYMBOLS)]), rng) for n in range(phantoms)])
        check(len(lk.phantoms.active()) == phantoms, "phantoms that are active")
        taken = each(lk.phantoms.update_all, list(_frames(prices, frames, rng)))
        left = len(lk.phantoms.active())
    p50, worst = median(taken[5:]), float(np.quantile(taken[5:], 0.95))
    return Result(
        "phantom_frame",
        f"a frame of 50 candles with {phantoms:,} active phantoms, p50",
        "<= 10 ms",
        f"{p50 * MS:.1f} ms, 95 of 100 within {worst * MS:.1f} ms; {phantoms - left} phantoms ended meanwhile",
        met=p50 <= 0.01,
        numbers={"p50_ms": p50 * MS, "p95_ms": worst * MS, "frames": frames, "active": phantoms},
    )


def _phantom(number: int, price: float, rng: np.random.Generator) -> dict[str, Any]:
    entry, away = price * float(rng.uniform(0.98, 1.02)), float(rng.uniform(0.03, 0.08))
    side = 1 if number % 2 else -1
    return {
        "phantom_id": f"p{number:06d}",
        "symbol": _SYMBOLS[number % len(_SYMBOLS)],
        "side": "LONG" if side > 0 else "SHORT",
        "strategy": "trend",
        "entry_price": entry,
        "stop_loss": entry * (1 - side * away),
        "tp1": entry * (1 + side * away),
        "signal_time": _START,
        "timeout_at": _START + 10_000 * _MINUTE,
    }


def _frames(prices: np.ndarray[Any, Any], count: int, rng: np.random.Generator) -> list[dict[str, dict[str, Any]]]:
    """Random walks, candle by candle."""
    walk = prices * np.exp(np.cumsum(rng.normal(0, 0.0006, (count + 1, len(_SYMBOLS))), axis=0))
    found = []
    for step in range(count):
        opened, closed = walk[step], walk[step + 1]
        high, low = np.maximum(opened, closed) * 1.0003, np.minimum(opened, closed) * 0.9997
        found.append(
            {
                name: {
                    "open_time": _START + (step + 1) * _MINUTE, "timeframe": "1m", "open": float(opened[n]),
                    "high": float(high[n]), "low": float(low[n]), "close": float(closed[n]),
                }
                for n, name in enumerate(_SYMBOLS)
            }
        )  # fmt: skip
    return found
