"""A lake to build data sets from: made-up candles on two venues, and what a bot decided on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import lake
from lake.kernels import market
from lake.learn.features import Feature, FeatureSet

T0 = 1_704_067_200_000_000
MINUTE = 60_000_000
BARS = 1_500
SYMBOLS = ("BTCUSDT", "ETHUSDT")
VENUES = ("binance", "bybit")
OHLCV = ("open_time", "open", "high", "low", "close", "volume")
CHANGE = pl.col("close") / pl.col("close").shift(3) - 1
SMALL = FeatureSet("small", 1, (Feature("change_3", CHANGE, 3), Feature("close_now", pl.col("close"), 0)))


def at(minute: float) -> datetime:
    return datetime.fromtimestamp((T0 + int(minute * MINUTE)) / 1e6, UTC)


def bars(symbol: str, venue: str, count: int = BARS) -> pl.DataFrame:
    seed = SYMBOLS.index(symbol) + 7 * VENUES.index(venue)
    return market.candles(symbol, T0, count, price=100.0, seed=seed).select(OHLCV)


def phantom(number: int, minute: float, **more: Any) -> dict[str, Any]:
    row = {
        "phantom_id": f"p{number:04d}", "symbol": SYMBOLS[number % 2], "venue": VENUES[number // 2 % 2],
        "timeframe": "1m", "strategy": "cross", "side": "LONG", "entry_price": 100.0, "stop_loss": 99.0, "tp1": 101.0,
        "ml_score": float(number % 100), "features": {"rsi": 30 + number % 40, "book": {"spread": number / 7}},
        "signal_time": at(minute), "timeout_at": at(minute + 240), "status": "completed",
        "outcome": ("win", "loss", "timeout")[number % 3], "pnl_percent": float(number % 5 - 2), "realized_rr": 1.0,
        "exit_time": at(minute + 1 + number % 90),
    }  # fmt: skip
    return {**row, **more}


@contextmanager
def opened(path: Path, phantoms: int = 200) -> Iterator[lake.Lake]:
    """With candles, and phantoms that ended."""
    rng = np.random.default_rng(5)
    with lake.open(path, bot_id="bot") as lk:
        for symbol in SYMBOLS:
            for venue in VENUES:
                lk.candles.write(bars(symbol, venue), "1m", symbol=symbol, venue=venue)
        minutes = rng.uniform(0, BARS - 100, phantoms)
        lk.write("phantoms", [phantom(n, float(minute)) for n, minute in enumerate(minutes)])
        yield lk
