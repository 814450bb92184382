"""The standard set: fifty features of one series of candles. docs/features.md has their formulas and sources.

Recursive indicators (EMA, Wilder's averages in RSI and ATR, MACD) depend on all history by definition. Here each is the
exponentially weighted mean of a declared number of bars, so many that the weights cut off sum to less than 1e-12 (MACD,
RSI, ATR) or 2e-9 (EMA of 50): from then on it equals TA-Lib's, whatever TA-Lib was seeded with, and what is older than
the look-back cannot change a bit of it. The price is a warm-up of 384 bars where TA-Lib says something after 14,
which depends on its seed.
"""

from __future__ import annotations

import math

import polars as pl

from lake.clock import MICROS_PER_DAY
from lake.learn.features.base import Feature, FeatureSet
from lake.learn.features.windows import Windows

VERSION = 1
_WILDER = 384  # (13/14)^384 = 4e-13
_SLOW = 384  # of EMA 26: (25/27)^384 = 1e-13
_FAST = 192  # of EMA 12: (11/13)^192 = 1e-14
_SIGNAL = 128  # of EMA 9: (8/10)^128 = 4e-13
_LONG = 512  # of EMA 50: (49/51)^512 = 1e-9 of how far the price has moved since

_OPEN, _HIGH, _LOW, _CLOSE = (pl.col(name) for name in ("open", "high", "low", "close"))


def standard() -> FeatureSet:
    """The set, with the steps that its features share."""
    windows = Windows()
    windows.step("log_return", (_CLOSE / windows.lag("close", 1)).log())
    features = (
        *_returns(windows),
        *_averages(windows),
        *_momentum(windows),
        *_ranges(windows),
        *_volumes(windows),
        *_volatilities(windows),
        *_extremes(windows),
        *_shape(),
        *_clock(),
        *_regime(windows),
    )
    return FeatureSet("standard", VERSION, features, steps=windows.steps)


def _returns(windows: Windows) -> tuple[Feature, ...]:
    ratio = {n: _CLOSE / windows.lag("close", n) for n in (1, 3, 5, 10, 20, 60, 120)}
    simple = [Feature(f"return_{n}", grown - 1.0, n) for n, grown in ratio.items()]
    logs = [Feature(f"log_return_{n}", ratio[n].log(), n) for n in (1, 5)]
    return (*simple, *logs)


def _averages(windows: Windows) -> tuple[Feature, ...]:
    ma = {n: windows.mean("close", n) for n in (20, 50, 200)}
    ema = {n: windows.exponential("close", 2 / (n + 1), bars) for n, bars in ((12, _FAST), (26, _SLOW), (50, _LONG))}
    return (
        Feature("ma_50", ma[50], 49),
        Feature("ma_200", ma[200], 199),
        Feature("ma_20_distance", _CLOSE / ma[20] - 1.0, 19),
        Feature("ma_50_distance", _CLOSE / ma[50] - 1.0, 49),
        Feature("ma_200_distance", _CLOSE / ma[200] - 1.0, 199),
        Feature("ma_50_200", ma[50] / ma[200] - 1.0, 199),
        Feature("ema_12", ema[12], _FAST - 1),
        Feature("ema_26", ema[26], _SLOW - 1),
        Feature("ema_50", ema[50], _LONG - 1),
        Feature("ema_50_distance", _CLOSE / ema[50] - 1.0, _LONG - 1),
    )


def _momentum(windows: Windows) -> tuple[Feature, ...]:
    change = windows.step("change", _CLOSE - windows.lag("close", 1))
    windows.step("gain", pl.max_horizontal(change, 0.0))
    windows.step("loss", pl.max_horizontal(-change, 0.0))
    gain, loss = (windows.exponential(f"_{side}", 1 / 14, _WILDER) for side in ("gain", "loss"))
    moved = gain + loss
    rsi = pl.when(moved > 0.0).then(100.0 * gain / moved).otherwise(50.0)
    fast, slow = windows.exponential("close", 2 / 13, _FAST), windows.exponential("close", 2 / 27, _SLOW)
    line = windows.step("macd", fast - slow)
    signal = windows.exponential("_macd", 2 / 10, _SIGNAL)
    low, high = windows.lowest("low", 14), windows.highest("high", 14)
    return (
        Feature("rsi_14", rsi, _WILDER),
        Feature("macd", line, _SLOW - 1),
        Feature("macd_signal", signal, _SLOW + _SIGNAL - 2),
        Feature("macd_histogram", line - signal, _SLOW + _SIGNAL - 2),
        Feature("stochastic_14", 100.0 * (_CLOSE - low) / (high - low), 13),
    )


def _ranges(windows: Windows) -> tuple[Feature, ...]:
    before = windows.lag("close", 1)
    windows.step("true_range", pl.max_horizontal(_HIGH, before) - pl.min_horizontal(_LOW, before))
    atr = windows.exponential("_true_range", 1 / 14, _WILDER)
    middle, deviation = windows.mean("close", 20), windows.deviation("close", 20)
    return (
        Feature("atr_14", atr, _WILDER),
        Feature("atr_14_percent", 100.0 * atr / _CLOSE, _WILDER),
        Feature("bollinger_middle", middle, 19),
        Feature("bollinger_width", 4.0 * deviation / middle, 19),
        Feature("bollinger_percent_b", (_CLOSE - middle) / (4.0 * deviation) + 0.5, 19),
    )


def _volumes(windows: Windows) -> tuple[Feature, ...]:
    volume = pl.col("volume")
    short, long = windows.mean("volume", 20), windows.mean("volume", 100)
    return (
        Feature("volume_ratio_20", volume / short, 19),
        Feature("volume_ratio_20_100", short / long, 99),
        Feature("volume_zscore_20", (volume - short) / windows.deviation("volume", 20, 1), 19),
    )


def _volatilities(windows: Windows) -> tuple[Feature, ...]:
    plain = [Feature(f"volatility_{n}", windows.deviation("_log_return", n, 1), n) for n in (10, 20, 60, 200)]
    windows.step("range_squared", (_HIGH / _LOW).log() ** 2)
    parkinson = (windows.mean("_range_squared", 20) / (4.0 * math.log(2.0))).sqrt()
    return (*plain, Feature("parkinson_20", parkinson, 19))


def _extremes(windows: Windows) -> tuple[Feature, ...]:
    return tuple(
        Feature(f"{side}_{n}_distance", _CLOSE / extreme - 1.0, n - 1)
        for n in (20, 100)
        for side, extreme in (("high", windows.highest("high", n)), ("low", windows.lowest("low", n)))
    )


def _shape() -> tuple[Feature, ...]:
    return (
        Feature("body", _CLOSE / _OPEN - 1.0, 0),
        Feature("range", (_HIGH - _LOW) / _CLOSE, 0),
        Feature("upper_wick", (_HIGH - pl.max_horizontal(_OPEN, _CLOSE)) / _CLOSE, 0),
        Feature("lower_wick", (pl.min_horizontal(_OPEN, _CLOSE) - _LOW) / _CLOSE, 0),
    )


def _clock() -> tuple[Feature, ...]:
    now = pl.col("known_at").to_physical()
    turn = (now % MICROS_PER_DAY) * (2.0 * math.pi / MICROS_PER_DAY)
    return (
        Feature("hour_sin", turn.sin(), 0),
        Feature("hour_cos", turn.cos(), 0),
        Feature("day_of_week", (now // MICROS_PER_DAY + 3) % 7, 0),  # 1970 began on a Thursday
    )


def _regime(windows: Windows) -> tuple[Feature, ...]:
    windows.step("distance", (_CLOSE - windows.lag("close", 1)).abs())
    short, long = windows.deviation("_log_return", 20, 1), windows.deviation("_log_return", 200, 1)
    return (
        Feature("efficiency_60", (_CLOSE - windows.lag("close", 60)).abs() / windows.sum("_distance", 60), 60),
        Feature("volatility_ratio_20_200", short / long, 200),
    )
