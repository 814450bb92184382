"""A feature depends on its look-back and on nothing else: later bars, older bars and other symbols change no bit."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from lake.errors import UsageError
from lake.kernels import market
from lake.learn import features
from lake.learn.features import Feature, FeatureSet, blocks

T0 = 1_704_067_200_000_000
MINUTE = 60_000_000
STANDARD = features.get("standard")
CLOSE = pl.col("close")
BARS = 1_400
CANDLES = market.candles("BTCUSDT", T0, BARS, price=42_000.0, seed=3)
FOUND = features.compute(STANDARD, CANDLES)
PRICES = ("open", "high", "low", "close", "volume")


def shaken(candles: pl.DataFrame, rows: range, seed: int) -> pl.DataFrame:
    """The same candles with other prices and volumes in some rows, one of them without a volume."""
    chance = np.random.default_rng(seed)
    low = chance.uniform(1e3, 2e3, candles.height)
    other = {
        "low": low,
        "high": low * 1e3,
        "open": low * 1.1,
        "close": low * chance.uniform(1.1, 1e2, candles.height),
        "volume": chance.uniform(0, 9, candles.height),
    }
    number = pl.int_range(pl.len())
    inside = number.is_between(rows.start, rows.stop - 1)
    changed = candles.with_columns(pl.when(inside).then(pl.Series(other[n])).otherwise(n).alias(n) for n in PRICES)
    return changed.with_columns(pl.when(number != rows.start).then("volume").alias("volume")) if rows else changed


@pytest.mark.parametrize("feature", STANDARD.features, ids=lambda f: f.name)
def test_bars_later_or_older_than_the_look_back_change_no_bit(feature: Feature) -> None:
    alone = FeatureSet("alone", 1, (feature,), steps=STANDARD.steps)
    at = 1_100
    earlier = shaken(CANDLES, range(at - feature.lookback), seed=1)
    both = shaken(earlier, range(at + 1, BARS), seed=2)
    value, again = (features.compute(alone, c)[feature.name][at] for c in (CANDLES, both))
    assert value is not None
    assert value == again == FOUND[feature.name][at]


@pytest.mark.parametrize("feature", [f for f in STANDARD.features if f.lookback], ids=lambda f: f.name)
def test_a_look_back_is_no_longer_than_it_must_be(feature: Feature) -> None:
    at = 1_100
    oldest = at - feature.lookback
    reach = range(oldest, oldest + max(1, feature.lookback // 2))  # the far half of the window: something there matters
    changed = features.compute(STANDARD, shaken(CANDLES, reach, seed=5))[feature.name][at]
    assert changed != FOUND[feature.name][at]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, BARS - 600), st.integers(1, 80))
def test_the_same_bits_wherever_the_loaded_history_begins_and_ends(begin: int, length: int) -> None:
    first = begin + STANDARD.lookback
    rows = CANDLES.slice(begin, STANDARD.lookback + length)
    expected = FOUND.slice(first, length)
    assert_frame_equal(features.compute(STANDARD, rows).tail(expected.height).head(length), expected, check_exact=True)


def test_the_bits_do_not_depend_on_how_the_series_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BARS", 100)
    assert_frame_equal(features.compute(STANDARD, CANDLES), FOUND, check_exact=True)


def test_polars_own_windows_have_the_same_bits_from_their_reach_on() -> None:
    own = FeatureSet(
        "own",
        1,
        (Feature("ewm", pl.col("close").ewm_mean(span=10), 120), Feature("mean", pl.col("close").rolling_mean(30), 29)),
    )
    long = market.candles("BTCUSDT", T0, blocks.BARS + 3_000, price=42_000.0, seed=3)
    cut = int(T0 // MINUTE % blocks.BARS)  # bars of the first block that lie before the candles
    head = blocks.BARS - cut
    whole, part = features.compute(own, long), features.compute(own, long.slice(head - 130))
    assert_frame_equal(whole.slice(head), part.slice(130), check_exact=True)


def test_two_symbols_do_not_leak_into_each_other() -> None:
    other = market.candles("ETHUSDT", T0, 900, price=2_000.0, seed=4)
    elsewhere = CANDLES.with_columns(venue=pl.lit("another")).head(700)
    mixed = pl.concat([CANDLES, other, elsewhere]).sample(fraction=1.0, shuffle=True, seed=1)
    found = features.compute(STANDARD, mixed)
    assert_frame_equal(found.filter(symbol="BTCUSDT", venue="demo"), FOUND, check_exact=True)
    assert_frame_equal(found.filter(symbol="ETHUSDT"), features.compute(STANDARD, other), check_exact=True)
    alone = FOUND.head(700).with_columns(venue=pl.lit("another"))
    assert_frame_equal(found.filter(venue="another"), alone, check_exact=True)
    assert found.equals(found.sort("venue", "symbol", "known_at"))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(-5 * MINUTE, (BARS + 30) * MINUTE), max_size=60))
def test_as_of_gives_the_newest_closed_bar_and_none_that_is_stale(moments: list[int]) -> None:
    at = pl.DataFrame({"venue": "demo", "symbol": "BTCUSDT", "decision_time": [T0 + m for m in moments]}).with_columns(
        pl.col("decision_time").cast(pl.Int64).cast(pl.Datetime("us", "UTC"))
    )
    found = features.compute(STANDARD, CANDLES, at=at)
    assert found.height == at.height
    for number, moment in enumerate(moments):
        bar = min(moment // MINUTE - 1, BARS - 1)
        row = found.row(number, named=True)
        if bar < 0 or moment - (bar + 1) * MINUTE > 10 * MINUTE:
            assert [v for n, v in row.items() if n not in {"venue", "symbol"}] == [None] * 51
        else:
            assert row == FOUND.row(bar, named=True)


def test_a_value_is_null_where_too_much_of_its_look_back_is_missing() -> None:
    gap = pl.int_range(pl.len()).is_between(600, 604)
    found = features.compute(STANDARD, CANDLES.filter(~gap))
    after = found.slice(600, 200)
    assert after["return_1"].null_count() == 1  # the bar right after the gap
    assert after["return_60"].null_count() == 60  # 5 of 65 bars are more than 5 %
    assert after["return_120"].null_count() == 0
    assert after["ma_50"].null_count() == 49
    assert after["body"].null_count() == 0
    tolerant = FeatureSet("tolerant", 1, STANDARD.features, steps=STANDARD.steps, missing=float("inf"))
    assert features.compute(tolerant, CANDLES.filter(~gap)).slice(600).null_count().sum_horizontal().item() == 0


def test_warm_up_rows_are_null_and_no_others() -> None:
    for feature in STANDARD.features:
        assert FOUND[feature.name].is_null().to_list() == [i < feature.lookback for i in range(BARS)]


def test_a_market_that_stands_still_has_an_rsi_in_the_middle_and_no_division_by_zero() -> None:
    still = CANDLES.with_columns(pl.lit(5.0).alias(n) for n in ("open", "high", "low", "close", "volume"))
    last = features.compute(STANDARD, still).row(-1, named=True)
    assert last["rsi_14"] == 50.0
    assert last["atr_14"] == last["bollinger_width"] == last["volatility_20"] == 0.0
    assert last["bollinger_percent_b"] is None
    assert last["stochastic_14"] is None
    assert last["upper_wick"] == 0.0


def test_known_at_is_the_close_of_the_bar() -> None:
    hourly = market.candles("BTCUSDT", T0, 30, price=10.0, seed=1, timeframe="1h")
    found = features.compute(STANDARD, hourly)
    assert (found["known_at"] - hourly["open_time"]).unique().to_list() == [timedelta(hours=1)]
    hours = found["known_at"].dt.hour().to_numpy()
    np.testing.assert_allclose(found["hour_sin"].to_numpy(), np.sin(hours * 2 * np.pi / 24), atol=1e-12)
    assert found["day_of_week"].to_list() == [float(t.weekday()) for t in found["known_at"].to_list()]


def test_a_feature_that_looks_elsewhere_than_it_says_is_named() -> None:
    rng = CLOSE.rolling_max(20)
    odd = FeatureSet(
        "odd",
        1,
        (
            Feature("fine", CLOSE / CLOSE.shift(3), 3),
            Feature("running", CLOSE.rolling_mean(30), 29),
            Feature("decaying", CLOSE.ewm_mean(span=5), 60),
            Feature("weighted", pl.col("volume").rolling_mean(3, weights=[1.0, 2.0, 3.0]), 2),
            Feature("next", CLOSE.shift(-1), 5),
            Feature("centred", CLOSE.rolling_mean(5, center=True), 5),
            Feature("scaled", (CLOSE - CLOSE.mean()) / CLOSE.std(), 5),
            Feature("numbered", CLOSE * pl.len(), 5),
            Feature("green", pl.when(CLOSE.shift(-1) > pl.col("open").shift(-1)).then(1.0).otherwise(0.0), 5),
            Feature("filled", pl.when(rng == CLOSE).then(CLOSE).fill_null(strategy="backward"), 30),
            Feature("deeper", CLOSE / CLOSE.shift(9), 8),
            Feature("endless", CLOSE.ewm_mean(span=200), 60),
        ),
    )
    found = features.peeking(odd, CANDLES)
    assert found == {
        **dict.fromkeys(("next", "centred", "scaled", "numbered", "green", "filled"), "looks ahead"),
        "deeper": "looks back further than 8 bars",
        "endless": "looks back further than 60 bars",
    }


def test_the_sign_of_a_metric_to_come_is_a_look_ahead() -> None:
    rate = pl.col("funding_rate")
    source = "market_metrics:funding_rate"
    ahead = Feature("falls", pl.when(rate.shift(-30) < 0).then(1.0).otherwise(0.0), 0, source=source)
    odd = FeatureSet("odd", 1, (Feature("now", rate, 0, source=source), ahead))
    times = [CANDLES["open_time"][0] + timedelta(minutes=20 * n) for n in range(BARS // 20)]
    rates = [float(n % 3 - 1) for n in range(len(times))]
    metrics = pl.DataFrame({"venue": CANDLES["venue"][0], "symbol": "BTCUSDT", "metric": "funding_rate", "time": times})
    assert features.peeking(odd, CANDLES, metrics=metrics.with_columns(value=pl.Series(rates))) == {
        "falls": "looks ahead"
    }


def test_the_standard_set_looks_where_it_says() -> None:
    assert features.peeking(STANDARD, CANDLES) == {}
    with pytest.raises(UsageError, match="too few candles to examine the features with .got 900.. Give 1072 or more"):
        features.peeking(STANDARD, CANDLES.head(900))
