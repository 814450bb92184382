"""What kind of market it is: a trend up, a trend down, high volatility without a trend, or a range.

Both measures look back from a bar's close, which is when the regime is known:

- the *efficiency ratio* of 60 bars, how far the price came divided by the way it went (Kaufman, Smarter Trading, 1995):
  from 0.2 on it is a trend, up or down by where the price came from. Of a random walk of normal steps 22 % of bars
  reach that: the ratio is about |Z| / sqrt(2 n / pi) there, Z standard normal.
- the *volatility ratio*, the standard deviation of the last 20 log returns over that of the last 200: from 1.5 on it is
  high. Snedecor's F-test of 20 against 200 normal returns of one variance reaches that in 0.3 % of cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import polars as pl

from lake.errors import UsageError
from lake.learn.features import Feature, FeatureSet, Windows, compute

__all__ = ["NAMES", "Rules", "feature_set", "measures", "regime", "regime_at", "told_by"]

#: The regimes.
NAMES = ("trend_up", "trend_down", "range", "high_volatility")


@dataclass(frozen=True)
class Rules:
    """Where the regimes part.

    Attributes:
        trend_bars: bars of the efficiency ratio.
        trend: efficiency from which on it is a trend.
        short: bars of the volatility now.
        long: bars of the volatility it is compared with.
        high: ratio of the two from which on volatility is high.
    """

    trend_bars: int = 60
    trend: float = 0.2
    short: int = 20
    long: int = 200
    high: float = 1.5

    def __post_init__(self) -> None:
        for name, least in (("trend_bars", 2), ("short", 2), ("long", 3)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise UsageError(f"a whole number of bars from {least} on is needed", where=name, value=value)
        if self.short >= self.long:
            raise UsageError("short is shorter than long", where="short", value=self.short)
        if not 0 < self.trend <= 1:
            raise UsageError("an efficiency is above 0 and at most 1", where="trend", value=self.trend)
        if not 0 < self.high < float("inf"):
            raise UsageError("a ratio above 0 is needed", where="high", value=self.high)


_DEFAULT = Rules()


def regime(candles: pl.DataFrame, rules: Rules = _DEFAULT, *, timeframe: str | None = None) -> pl.DataFrame:
    """The regime at the close of every bar: venue, symbol, known_at, regime.

    Trend goes before volatility: ``high_volatility`` is high volatility without a trend. The regime is null where
    there are too few bars before, or too many are missing.

    Args:
        candles: venue, symbol, open_time, close of one timeframe, each bar once.
        rules: where the regimes part.
        timeframe: of the candles; told by their column ``timeframe`` when left out.

    Returns:
        A row for each candle, in order of venue, symbol and time.

    Raises:
        UsageError: columns are missing, the timeframe is not told, a bar is there twice.
    """
    found = compute(feature_set(rules), candles, timeframe=timeframe)
    return found.select("venue", "symbol", "known_at", told_by(rules))


def measures(candles: pl.DataFrame, rules: Rules = _DEFAULT, *, timeframe: str | None = None) -> pl.DataFrame:
    """The regime at the close of every bar with what it is told by, and the volatility whatever the trend.

    Columns: venue, symbol, known_at, efficiency (minus for down), volatility_ratio, regime, volatility ("high" or
    "low"). Arguments and errors are those of :func:`regime`.
    """
    found = compute(feature_set(rules), candles, timeframe=timeframe)
    high = pl.col("volatility_ratio") >= rules.high
    volatility = pl.when(high).then(pl.lit("high")).when(~high).then(pl.lit("low")).alias("volatility")
    return found.select(pl.all(), told_by(rules), volatility)


def regime_at(
    frame: pl.DataFrame, candles: pl.DataFrame, rules: Rules = _DEFAULT, *, timeframe: str | None = None
) -> pl.Series:
    """The regime known at each row's decision_time, in the order of the rows: that of the newest bar closed by then.

    Args:
        frame: venue, symbol, decision_time.
        candles: as for :func:`regime`.
        rules: as for :func:`regime`.
        timeframe: as for :func:`regime`.

    Raises:
        UsageError: as :func:`regime`.
    """
    events = frame.select("venue", "symbol", "decision_time")
    return compute(feature_set(rules), candles, timeframe=timeframe, at=events).select(told_by(rules)).to_series()


def told_by(rules: Rules = _DEFAULT) -> pl.Expr:
    """The regime as an expression over the features of :func:`feature_set`."""
    efficiency, ratio = pl.col("efficiency"), pl.col("volatility_ratio")
    return (
        pl.when(efficiency.is_null() | ratio.is_null())
        .then(None)
        .when(efficiency >= rules.trend)
        .then(pl.lit("trend_up"))
        .when(efficiency <= -rules.trend)
        .then(pl.lit("trend_down"))
        .when(ratio >= rules.high)
        .then(pl.lit("high_volatility"))
        .otherwise(pl.lit("range"))
        .alias("regime")
    )


@lru_cache(maxsize=64)
def feature_set(rules: Rules = _DEFAULT) -> FeatureSet:
    """What the regimes are told by: efficiency, minus for down, and volatility_ratio."""
    close = pl.col("close")
    windows = Windows()
    before = windows.lag("close", 1)
    windows.step("distance", (close - before).abs())
    windows.step("log_return", (close / before).log())
    way = windows.sum("_distance", rules.trend_bars)
    short, long = (windows.deviation("_log_return", bars, 1) for bars in (rules.short, rules.long))
    came = close - windows.lag("close", rules.trend_bars)
    features = (  # a price that never moves goes nowhere, at no volatility
        Feature("efficiency", pl.when(way == 0).then(0.0).otherwise(came / way), rules.trend_bars),
        Feature("volatility_ratio", pl.when(long == 0).then(0.0).otherwise(short / long), rules.long),
    )
    return FeatureSet("regime", 1, features, steps=windows.steps)
