"""The standard set against TA-Lib, and against plain Polars over whole series."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import talib

from lake.kernels import market
from lake.learn import features

T0 = 1_704_067_200_000_000


@pytest.fixture(scope="module")
def candles() -> pl.DataFrame:
    return market.candles("BTCUSDT", T0, 3_000, price=42_000.0, seed=7)


@pytest.fixture(scope="module")
def found(candles: pl.DataFrame) -> pl.DataFrame:
    return features.compute(features.get("standard"), candles)


def taken(candles: pl.DataFrame) -> dict[str, np.ndarray]:
    high, low, close = (candles[name].to_numpy() for name in ("high", "low", "close"))
    upper, middle, lower = talib.BBANDS(close, 20, 2, 2)
    line, signal, histogram = talib.MACD(close, 12, 26, 9)
    return {
        "rsi_14": talib.RSI(close, 14),
        "atr_14": talib.ATR(high, low, close, 14),
        "atr_14_percent": talib.NATR(high, low, close, 14),
        "macd": line,
        "macd_signal": signal,
        "macd_histogram": histogram,
        "ema_12": talib.EMA(close, 12),
        "ema_26": talib.EMA(close, 26),
        "ema_50": talib.EMA(close, 50),
        "ma_50": talib.SMA(close, 50),
        "ma_200": talib.SMA(close, 200),
        "bollinger_middle": middle,
        "bollinger_width": (upper - lower) / middle,
        "bollinger_percent_b": (close - lower) / (upper - lower),
        "stochastic_14": talib.STOCHF(high, low, close, 14, 1)[0],
        "return_10": talib.ROCP(close, 10),
        "high_20_distance": close / talib.MAX(high, 20) - 1,
        "low_100_distance": close / talib.MIN(low, 100) - 1,
    }


@pytest.mark.parametrize("name", sorted(taken(market.candles("X", T0, 600, price=1.0, seed=1))))
def test_a_feature_equals_ta_lib(name: str, candles: pl.DataFrame, found: pl.DataFrame) -> None:
    expected = taken(candles)[name]
    lookback = next(f.lookback for f in features.get("standard").features if f.name == name)
    # TA-Lib's own seed is forgotten only after so many bars: the averages of 50 need a thousand
    from_ = max(lookback, 1_200)
    mine = found[name].to_numpy()
    assert np.isnan(mine[:lookback]).all()
    assert np.isfinite(mine[lookback:]).all()
    np.testing.assert_allclose(mine[from_:], expected[from_:], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "timeframe", "gaps"), [("LTC_USDT-1m", "1m", 0), ("BCH_USDT-5m", "5m", 4)])
def test_real_candles_with_real_gaps_give_what_ta_lib_gives(
    name: str, timeframe: str, gaps: int, shared_data: Path
) -> None:
    with gzip.open(shared_data / "ohlcv" / "freqtrade_2020_binance" / f"{name}.json.gz") as file:
        rows = json.load(file)
    columns = ["open_time", "open", "high", "low", "close", "volume"]
    real = pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.Float64), orient="row").with_columns(
        (pl.col("open_time") * 1_000).cast(pl.Int64).cast(pl.Datetime("us", "UTC")), symbol=pl.lit("REALUSDT")
    )
    minutes = real["open_time"].diff().dt.total_minutes()
    assert (minutes > int(timeframe[:-1])).sum() == gaps
    found = features.compute(features.get("standard"), real, timeframe=timeframe)
    for feature, expected in taken(real).items():
        mine = found[feature].to_numpy()
        compared = np.isfinite(mine) & (np.arange(real.height) > 1_200)
        assert compared.mean() > 0.94, feature
        np.testing.assert_allclose(mine[compared], expected[compared], rtol=1e-9, atol=1e-9, err_msg=feature)
