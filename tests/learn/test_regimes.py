"""Regimes against the plainest code that can be written for them, without a look ahead."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import stdev

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.errors import UsageError
from lake.learn import regimes
from lake.learn.regimes import NAMES, Rules

T0 = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SHORT = Rules(trend_bars=12, trend=0.35, short=6, long=25, high=1.2)


def series(close: np.ndarray, symbol: str = "BTCUSDT", venue: str = "binance") -> pl.DataFrame:
    """One-minute bars of such closes."""
    times = [T0 + n * MINUTE for n in range(len(close))]
    return pl.DataFrame({"venue": venue, "symbol": symbol, "timeframe": "1m", "open_time": times, "close": close})


def walk(bars: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    size = 0.001 * np.exp(np.cumsum(rng.normal(0, 0.1, bars)))
    return 100 * np.exp(np.cumsum(rng.normal(size=bars) * size))


def slow_regime(close: list[float], rules: Rules) -> str | None:
    """The regime at the last of these closes."""
    if len(close) < max(rules.trend_bars, rules.long) + 1:
        return None
    way = sum(abs(b - a) for a, b in zip(close[-rules.trend_bars - 1 : -1], close[-rules.trend_bars :], strict=True))
    efficiency = (close[-1] - close[-1 - rules.trend_bars]) / way if way else 0.0
    returns = [math.log(b / a) for a, b in zip(close[-rules.long - 1 : -1], close[-rules.long :], strict=True)]
    long = stdev(returns)
    high = long > 0 and stdev(returns[-rules.short :]) / long >= rules.high
    if abs(efficiency) >= rules.trend:
        return "trend_up" if efficiency > 0 else "trend_down"
    return "high_volatility" if high else "range"


@pytest.mark.parametrize("seed", range(3))
def test_the_regime_is_that_of_the_plainest_code(seed) -> None:
    close = walk(400, seed)
    expected = [slow_regime(close[: n + 1].tolist(), SHORT) for n in range(400)]
    assert set(expected) == {None, *NAMES}
    found = regimes.regime(series(close), SHORT)
    assert found["regime"].to_list() == expected
    assert found.columns == ["venue", "symbol", "known_at", "regime"]
    assert found["known_at"].to_list() == [T0 + (n + 1) * MINUTE for n in range(400)]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(30, 199), st.sampled_from(["change", "drop"]))
def test_what_becomes_known_later_changes_no_regime(seed, bar, how) -> None:
    candles = series(walk(200, seed))
    later = pl.int_range(pl.len()) > bar
    changed = candles.filter(~later) if how == "drop" else candles.with_columns(
        close=pl.when(later).then(pl.col("close") * 5).otherwise("close")
    )  # fmt: skip
    before = regimes.measures(candles, SHORT).head(bar + 1)
    assert regimes.measures(changed, SHORT).head(bar + 1).equals(before)


def test_a_rising_price_trends_up_a_falling_one_down_and_a_still_one_ranges() -> None:
    steps = np.arange(300)
    for close, name in ((100 + steps, "trend_up"), (900 - steps, "trend_down"), (np.full(300, 5.0), "range")):
        found = regimes.regime(series(close.astype(float)))["regime"]
        assert found.head(200).null_count() == 200
        assert found.tail(100).unique().to_list() == [name]


def test_wild_moves_without_direction_are_high_volatility_and_a_trend_goes_before() -> None:
    calm = np.tile([100.0, 100.01], 150)
    wild = np.append(calm, np.tile([100.0, 101.0], 15))
    found = regimes.measures(series(wild))
    assert found["regime"][-1] == "high_volatility"
    assert found["volatility"][-1] == "high"
    assert found["volatility"][299] == "low"
    climbing = regimes.measures(series(np.append(calm, 100 + np.cumsum([2.0, -1.0] * 15))))
    assert (climbing["regime"][-1], climbing["volatility"][-1]) == ("trend_up", "high")
    assert climbing["efficiency"][-1] == pytest.approx(15 / 45, abs=0.005)


def test_missing_minutes_leave_the_regime_unknown_until_they_are_far_enough_back() -> None:
    candles = series(100 + np.arange(500.0)).filter(~pl.int_range(pl.len()).is_between(250, 279))
    unknown = regimes.regime(candles)["regime"].is_null()
    assert unknown.arg_true().to_list() == [*range(200), *range(250, 450)]


def test_series_are_kept_apart_and_each_decision_gets_what_it_could_know() -> None:
    names = [("A", "x"), ("A", "y"), ("B", "x")]
    candles = pl.concat(series(walk(150, n), symbol, venue) for n, (symbol, venue) in enumerate(names))
    alone = pl.concat(
        regimes.regime(candles.filter(venue=venue, symbol=symbol), SHORT)
        for symbol, venue in sorted(names, key=lambda n: n[::-1])
    )
    found = regimes.regime(candles.sample(fraction=1, shuffle=True, seed=1), SHORT)
    assert found.equals(alone)
    rng = np.random.default_rng(7)
    frame = pl.DataFrame(
        [
            {"venue": venue, "symbol": symbol, "decision_time": T0 + float(minute) * MINUTE}
            for symbol, venue in [*names, ("C", "x")]
            for minute in rng.uniform(0, 160, 50)
        ]
    ).sample(fraction=1, shuffle=True, seed=2)
    known = frame.with_row_index("row").sort("decision_time").join_asof(
        found.sort("known_at"), left_on="decision_time", right_on="known_at", by=["venue", "symbol"]
    )  # fmt: skip
    expected = known.sort("row")["regime"]
    assert regimes.regime_at(frame, candles, SHORT).equals(expected, null_equal=True)
    assert set(expected) == {None, *NAMES}


def test_a_random_walk_of_normal_steps_trends_as_often_as_the_documentation_says() -> None:
    steps = np.random.default_rng(3).normal(size=120_000)
    found = regimes.regime(series(1e6 + np.cumsum(steps)))["regime"].drop_nulls()
    share = found.is_in(["trend_up", "trend_down"]).mean()
    normal = math.erfc(0.2 * math.sqrt(60) * math.sqrt(2 / math.pi) / math.sqrt(2))
    assert normal == pytest.approx(0.22, abs=0.005)
    assert share == pytest.approx(normal, abs=0.03)


def test_real_hours_have_all_four_regimes(shared_data: Path) -> None:
    file = shared_data / "ohlcv" / "genetrader_2024_binance" / "SOL_USDT-1h.feather"
    bars = pl.read_ipc(file).select(
        pl.lit("X").alias("symbol"), pl.col("date").dt.cast_time_unit("us").alias("open_time"), "close"
    )
    shares = dict(regimes.regime(bars, timeframe="1h")["regime"].drop_nulls().value_counts(normalize=True).rows())
    assert set(shares) == set(NAMES)
    assert min(shares.values()) > 0.02


REFUSED = {
    "no close": (lambda: regimes.regime(series(walk(9, 1)).drop("close")), r"the candles lack columns"),
    "no timeframe": (lambda: regimes.regime(series(walk(9, 1)).drop("timeframe")), r"which timeframe do the candles"),
    "one bar": (lambda: Rules(trend_bars=1), r"trend_bars: a whole number of bars from 2 on is needed \(got 1\)"),
    "short": (lambda: Rules(short=200), r"short: short is shorter than long"),
    "trend": (lambda: Rules(trend=1.5), r"trend: an efficiency is above 0 and at most 1"),
    "high": (lambda: Rules(high=0), r"high: a ratio above 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_is_refused_in_one_clear_sentence(case) -> None:
    work, message = REFUSED[case]
    with pytest.raises(UsageError, match=message):
        work()
