"""Whether features look where they say: found out by changing the bars that must not matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import polars as pl

from lake.errors import UsageError
from lake.learn.features.base import Feature, FeatureSet
from lake.learn.features.changing import changed, lost
from lake.learn.features.compute import compute

_TOLERANCE = 1e-6  # what a state carried by Polars' own windows may leave behind
_CUTS = (0.55, 0.75, 0.95)
_DRAWS = 4  # of later bars: what has two values alone may come out the same


def peeking(
    feature_set: FeatureSet, candles: pl.DataFrame, *, timeframe: str | None = None, metrics: pl.DataFrame | None = None
) -> dict[str, str]:
    """Feature -> what is wrong with it: it looks ahead, or further back than its look-back; empty when all is well.

    Later bars are changed and taken away, and not a bit of an earlier value may differ. Then bars older than the
    look-back are, and the value may differ by a millionth: Polars' own running windows leave their rounding.

    Args:
        feature_set: what is examined.
        candles: of one series, at least twice the longest look-back and fifty more.
        timeframe: as for :func:`lake.learn.features.compute`.
        metrics: the same.

    >>> from lake.kernels import market
    >>> candles = market.candles("BTCUSDT", 1_704_067_200_000_000, 200, price=42_000.0, seed=1)
    >>> peeking(FeatureSet("odd", 1, (Feature("next", pl.col("close").shift(-1), 0),)), candles)
    {'next': 'looks ahead'}
    """
    if candles.height < 2 * feature_set.lookback + 50:
        raise UsageError(
            "too few candles to examine the features with",
            where=f"feature set {feature_set.name}",
            value=candles.height,
            todo=f"Give {2 * feature_set.lookback + 50} or more.",
        )
    candles = candles.sort("open_time")

    def values(given: pl.DataFrame, others: pl.DataFrame | None = metrics) -> pl.DataFrame:
        return compute(feature_set, given, timeframe=timeframe, metrics=others)

    found: dict[str, str] = {}
    whole = values(candles)
    for cut in (int(candles.height * share) for share in _CUTS):
        for other, others in _later(candles, metrics, cut + 1):
            again = values(other, others).head(cut + 1)
            ahead = [f for f in feature_set.features if not again[f.name].equals(whole[f.name].head(cut + 1))]
            found |= {f.name: "looks ahead" for f in ahead}
    for lookback in sorted({f.lookback for f in feature_set.features}):
        mine = [f for f in feature_set.features if f.lookback == lookback and f.name not in found]
        found |= {f.name: f"looks back further than {lookback} bars" for f in _behind(mine, candles, values, whole)}
    return found


def _behind(
    features: Sequence[Feature],
    candles: pl.DataFrame,
    values: Callable[[pl.DataFrame], pl.DataFrame],
    whole: pl.DataFrame,
) -> Iterator[Feature]:
    """Those whose value changes with bars older than their look-back."""
    if not features:
        return
    at = candles.height - 5
    for other in _changed(candles, 0, at - features[0].lookback):
        again = values(other)[other.height - 5]
        for feature in features:
            old, new = whole[feature.name][at], again[feature.name][0]
            if not _same(old, new):
                yield feature


def _same(old: object, new: object) -> bool:
    if isinstance(old, float) and isinstance(new, float):
        return abs(old - new) <= _TOLERANCE * max(abs(old), 1e-3)
    return old == new


def _later(
    candles: pl.DataFrame, metrics: pl.DataFrame | None, first: int
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame | None]]:
    """Candles and metrics changed from a candle on, some of them lost; and without these."""
    later, rng = np.arange(candles.height) >= first, np.random.default_rng(first)
    new = None if metrics is None else (metrics["time"] > candles["open_time"][first]).to_numpy()
    for _ in range(_DRAWS):
        others = None if metrics is None or new is None else changed(metrics, new, rng).filter(~lost(new, rng))
        yield changed(candles, later, rng).filter(~lost(later, rng)), others
    yield candles.head(first), metrics if metrics is None or new is None else metrics.filter(~new)


def _changed(candles: pl.DataFrame, first: int, last: int) -> Iterator[pl.DataFrame]:
    """The candles with other prices and volumes from first to before last, and without these."""
    factor = np.ones(candles.height)
    factor[first:last] = np.random.default_rng(1).uniform(0.2, 5.0, last - first)
    columns = [n for n, kind in candles.schema.items() if kind.is_float()]
    yield candles.with_columns(pl.col(n) * pl.Series(factor) for n in columns)
    yield pl.concat([candles.head(first), candles.slice(last)])
