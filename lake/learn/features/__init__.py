"""Features as of a bar's close: declared sets of Polars expressions with their look-back.

>>> from lake.kernels import market
>>> candles = market.candles("BTCUSDT", 1_704_067_200_000_000, 600, price=42_000.0, seed=1)
>>> found = compute(get("standard"), candles)
>>> found.height, found.width, found["rsi_14"].null_count()
(600, 53, 384)
"""

from lake.learn.features.base import Feature, FeatureSet, Step, Window
from lake.learn.features.compute import compute
from lake.learn.features.honesty import peeking
from lake.learn.features.recorded import Recorded, read_recorded, recorded
from lake.learn.features.registry import get, load, names, register
from lake.learn.features.store import FeatureStore
from lake.learn.features.windows import Windows

__all__ = [
    "Feature",
    "FeatureSet",
    "FeatureStore",
    "Recorded",
    "Step",
    "Window",
    "Windows",
    "compute",
    "get",
    "load",
    "names",
    "peeking",
    "read_recorded",
    "recorded",
    "register",
]
