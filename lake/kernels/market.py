"""A made-up market that behaves like one: volatility in clusters, heavy tails, a trading day, tick sizes.

Seeded, so the same arguments always give the same candles.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from lake.spec import timeframes

Floats = npt.NDArray[np.float64]
_STEPS = 4  # moves inside a bar


def candles(symbol: str, start: int, bars: int, *, price: float, seed: int, timeframe: str = "1m") -> pl.DataFrame:
    """Candles of one symbol in canonical columns, without gaps or defects.

    Args:
        symbol: canonical.
        start: open time of the first bar, microseconds since 1970.
        bars: how many.
        price: where it begins; it sets the tick size too.
        seed: of the random numbers.
    """
    rng = np.random.default_rng(seed)
    step = timeframes.micros(timeframe)
    times = start + step * np.arange(bars, dtype=np.int64)
    volatility = _volatility(rng, times, step)
    moves = rng.standard_t(4, (bars, _STEPS)) * (volatility / np.sqrt(2 * _STEPS))[:, None]
    path = np.log(price) + np.cumsum(moves.ravel()).reshape(bars, _STEPS)
    opened = np.concatenate([[np.log(price)], path[:-1, -1]])
    tick = 10.0 ** (np.floor(np.log10(price)) - 4)
    inside = np.column_stack([opened, path])
    prices = {
        "open": _on_tick(opened, tick),
        "high": _on_tick(inside.max(axis=1), tick),
        "low": _on_tick(inside.min(axis=1), tick),
        "close": _on_tick(path[:, -1], tick),
    }
    return _frame(symbol, timeframe, times, prices, _activity(rng, volatility, prices["close"]))


def _volatility(rng: np.random.Generator, times: npt.NDArray[np.int64], step: int) -> Floats:
    """Per bar: slow clusters (an autoregression of the logarithm) times the hour of the day."""
    noise = rng.normal(0, 0.04, len(times))
    level = np.empty(len(times))
    value = 0.0
    for i, shock in enumerate(noise):
        value = 0.995 * value + shock
        level[i] = value
    hour = (times // 3_600_000_000) % 24
    daily = 1 + 0.4 * np.sin((hour - 8) * np.pi / 12)
    return np.asarray(6e-4 * np.sqrt(step / 60_000_000) * np.exp(level) * daily, dtype=np.float64)


def _activity(rng: np.random.Generator, volatility: Floats, close: Floats) -> dict[str, npt.NDArray[np.generic]]:
    count = rng.poisson(80 * volatility / volatility.mean()) + 1
    quote = count * rng.lognormal(6, 0.5, len(count))
    volume = np.round(quote / close, 5)
    taker = np.round(volume * rng.beta(8, 8, len(count)), 5)
    return {
        "volume": volume,
        "quote_volume": np.round(volume * close, 4),
        "trade_count": count.astype(np.int64),
        "taker_buy_volume": taker,
        "taker_buy_quote_volume": np.round(taker * close, 4),
    }


def _on_tick(logarithm: Floats, tick: float) -> Floats:
    digits = max(0, -int(np.floor(np.log10(tick))))
    return np.asarray(np.round(np.maximum(np.round(np.exp(logarithm) / tick) * tick, tick), digits), dtype=np.float64)


def _frame(
    symbol: str,
    timeframe: str,
    times: npt.NDArray[np.int64],
    prices: dict[str, Floats],
    activity: dict[str, npt.NDArray[np.generic]],
) -> pl.DataFrame:
    return pl.DataFrame({"open_time": times, **prices, **activity}).select(
        pl.lit("demo").alias("venue"),
        pl.lit(symbol).alias("symbol"),
        pl.lit(timeframe).alias("timeframe"),
        pl.col("open_time").cast(pl.Datetime("us", "UTC")),
        pl.exclude("open_time"),
    )
