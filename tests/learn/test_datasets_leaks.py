"""The audit: sets that look ahead are caught and named, whatever way they do it; honest ones pass."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import lake
from lake.errors import LeakError, UsageError
from lake.learn import regimes
from lake.learn.datasets import audit as audits
from lake.learn.datasets import recording, sources
from lake.learn.datasets.asof import Joined, join
from lake.learn.datasets.pinned import pin
from lake.learn.datasets.sampling import stratified
from lake.learn.datasets.windows import Bars, recomputed
from lake.learn.features import Feature, FeatureSet, Windows, compute, get, register
from lake.learn.features.changing import changed
from lake.learn.features.plan import planned
from lake.spec import timeframes
from tests.learn.dataset_lakes import BARS, SMALL, SYMBOLS, VENUES, at, bars, opened, phantom

CLOSE = pl.col("close")
HONEST = Feature("honest", CLOSE / pl.col("open"), 0)
PEEKING = {
    "next_bar": CLOSE.shift(-1) / CLOSE,
    "far_ahead": CLOSE.shift(-300),
    "centred": CLOSE.rolling_mean(5, center=True),
    "mean_of_all": CLOSE - CLOSE.mean(),
    "standardised": (CLOSE - CLOSE.mean()) / CLOSE.std(),
    "rank_of_all": CLOSE.rank(),
    "highest_ever": CLOSE / CLOSE.max(),
    "last_close": CLOSE / CLOSE.last(),
    "backward_fill": pl.when(pl.col("volume") > 300).then(CLOSE).otherwise(None).backward_fill(),
    "reversed_sum": CLOSE.reverse().cum_sum().reverse(),
    "future_low": pl.col("low").reverse().rolling_min(10).reverse(),
    "quantile_of_all": (CLOSE.quantile(0.9) < CLOSE).cast(pl.Float64),
    "interpolated": pl.when(pl.col("volume") > 300).then(CLOSE).otherwise(None).interpolate(),
    "tiny_share": CLOSE + 1e-4 * CLOSE.shift(-2),
    "next_is_green": pl.when(CLOSE.shift(-1) > pl.col("open").shift(-1)).then(1.0).otherwise(0.0),
    "next_body": (CLOSE.shift(-1) / pl.col("open").shift(-1) - 1).fill_null(0.0),
    "next_wick": pl.when((CLOSE - pl.col("low")).shift(-1) > (pl.col("high") - CLOSE).shift(-1))
    .then(1.0)
    .otherwise(0.0),
    "gap_ahead": pl.when(pl.col("known_at").shift(-1) == pl.col("known_at") + timedelta(minutes=1))
    .then(1.0)
    .otherwise(0.0),
    "rows_of_all": pl.len().cast(pl.Float64) + 0 * CLOSE,
}
register(SMALL)


@pytest.fixture(scope="module")
def lk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lake.Lake]:
    with opened(tmp_path_factory.mktemp("leaks") / "lake", 120) as found:
        yield found


@pytest.mark.parametrize("name", PEEKING)
def test_a_set_that_looks_ahead_is_named_and_refused(lk: lake.Lake, name: str) -> None:
    peeking = FeatureSet("peeking", 1, (HONEST, Feature(name, PEEKING[name], 12)))
    with pytest.raises(LeakError, match=f"row p[0-9]+: {name}: what was known only after"):
        lk.datasets.build("peeking", "phantoms", peeking)
    assert lk.datasets.list("peeking") == []


def test_a_leak_is_found_whoever_asked_for_regimes_before(lk: lake.Lake) -> None:
    planned.cache_clear()
    candles = bars(SYMBOLS[0], VENUES[0], 400).with_columns(venue=pl.lit(VENUES[0]), symbol=pl.lit(SYMBOLS[0]))
    regimes.regime(candles, regimes.Rules(), timeframe="1m")
    test_a_set_that_looks_ahead_is_named_and_refused(lk, "next_bar")


def test_regimes_as_features_are_audited(lk: lake.Lake) -> None:
    made = lk.datasets.build("regimes", "phantoms", regimes.feature_set(regimes.Rules()))
    assert set(made.audit(features=regimes.feature_set()).features) >= {"efficiency", "volatility_ratio", "regime"}


def test_all_features_that_look_ahead_are_named_and_no_other(lk: lake.Lake) -> None:
    mixed = FeatureSet("mixed", 1, (HONEST, *(Feature(n, e, 12) for n, e in PEEKING.items()), *SMALL.features))
    with pytest.raises(LeakError) as caught:
        lk.datasets.build("mixed", "phantoms", mixed)
    assert caught.value.what.partition(":")[0].split(", ") == list(PEEKING)


def test_a_leak_in_a_few_rows_is_found_by_the_whole_audit(lk: lake.Lake) -> None:
    """It looks ahead in one hour of the day that the sample of a build may miss."""
    moment = pl.col("known_at").dt.hour() == 7
    rare = FeatureSet("rare", 1, (Feature("rare", pl.when(moment).then(CLOSE.shift(-1)).otherwise(CLOSE), 1), HONEST))
    pinned = pin(lk.writer)
    joined = Joined(rare, "1m")
    events = lk.frame("SELECT phantom_id AS id, venue, symbol, signal_time AS decision_time FROM phantoms ORDER BY 4")
    rows = events.hstack(_joined(pinned, joined, events).get_columns())
    found = audits.audit(pinned, joined, rows, seed=0)
    assert list(found.leaking) == ["rare"]
    assert "T07:" in str(found.leaking["rare"]["decision_time"])


def _joined(pinned: Any, joined: Joined, events: pl.DataFrame) -> pl.DataFrame:
    return join(pinned, joined, events.select("venue", "symbol", "decision_time")).frame


def test_the_standard_set_passes_in_every_row(lk: lake.Lake) -> None:
    made = lk.datasets.build("standard", "phantoms", "standard")
    found = made.audit()
    assert (found.passed, found.rows, found.beyond) == (True, 120, ())
    assert set(made.features) <= set(found.features)
    assert {"flag_outlier", "regime"} <= set(found.features)
    assert found.as_dict()["leaking"] == {}


def test_running_windows_of_polars_pass(lk: lake.Lake) -> None:
    windows = Windows()
    running = FeatureSet(
        "running",
        1,
        (
            Feature("middle", CLOSE.rolling_mean(20), 19),
            Feature("spread", CLOSE.rolling_std(20), 19),
            Feature("top", pl.col("high").rolling_max(20), 19),
            Feature("lag", windows.lag("close", 7), 7),
            Feature("filled", pl.when(pl.col("volume") > 0).then(CLOSE).otherwise(None).forward_fill(), 1),
        ),
        steps=windows.steps,
    )
    found = lk.datasets.build("running", "phantoms", running).audit(features=running)
    assert (found.passed, found.beyond) == (True, ())


def test_a_window_that_takes_no_nulls_passes_where_the_candles_have_none(lk: lake.Lake) -> None:
    weighted = Feature("weighted", pl.col("volume").rolling_mean(3, weights=[1.0, 2.0, 3.0]), 2)
    found = lk.datasets.build("weighted", "phantoms", FeatureSet("weighted", 1, (HONEST, weighted)))
    assert found.audit(features=FeatureSet("weighted", 1, (HONEST, weighted))).passed


def test_a_look_back_that_is_too_short_is_told_and_is_no_leak(lk: lake.Lake) -> None:
    endless = FeatureSet("endless", 1, (Feature("ewm", CLOSE.ewm_mean(alpha=0.01), 20), HONEST))
    found = lk.datasets.build("endless", "phantoms", endless).audit(features=endless)
    assert (found.passed, found.beyond) == (True, ("ewm",))


def test_a_metric_is_the_newest_known_at_the_close(tmp_path: Path) -> None:
    funding = Feature("funding_now", pl.col("funding_rate"), 0, source="market_metrics:funding_rate")
    honest = FeatureSet("metrics", 1, (funding, HONEST))
    ahead = Feature("funding_next", pl.col("funding_rate").shift(-30), 0, source="market_metrics:funding_rate")
    peeking = FeatureSet("metrics_ahead", 1, (HONEST, ahead))
    with lake.open(tmp_path / "lake", bot_id="bot") as lk:
        lk.candles.write(bars("BTCUSDT", "binance"), "1m", symbol="BTCUSDT", venue="binance")
        rates = [
            {"venue": "binance", "symbol": "BTCUSDT", "metric": "funding_rate", "time": at(n * 30), "value": n / 100}
            for n in range(40)
        ]
        lk.write("market_metrics", rates)
        lk.write("phantoms", [phantom(2 * n, 40 + 37 * n, venue="binance", symbol="BTCUSDT") for n in range(30)])
        made = lk.datasets.build("metrics", "phantoms", honest)
        for row in made.frame.iter_rows(named=True):
            minutes = (row["decision_time"] - at(0)).total_seconds() // 60
            assert row["funding_now"] == minutes // 30 / 100
        assert made.audit(features=honest).passed
        with pytest.raises(LeakError, match="funding_next"):
            lk.datasets.build("metrics", "phantoms", peeking)


def test_metrics_that_name_no_venue_are_of_every_venue(tmp_path: Path) -> None:
    """Also before the venue's own begin, which tell nothing of the time before them."""
    funding = Feature("funding_now", pl.col("funding_rate"), 0, source="market_metrics:funding_rate")
    honest = FeatureSet("metrics_of_all", 1, (funding, HONEST))
    with lake.open(tmp_path / "lake", bot_id="bot") as lk:
        for venue in VENUES:
            lk.candles.write(bars("BTCUSDT", venue), "1m", symbol="BTCUSDT", venue=venue)
        rate = {"symbol": "BTCUSDT", "metric": "funding_rate"}
        lk.write("market_metrics", [{**rate, "time": at(n * 30), "value": float(n)} for n in range(40)])
        own = [{**rate, "time": at(n * 30), "value": -float(n), "venue": "bybit"} for n in range(20, 40)]
        lk.write("market_metrics", [*own, {**rate, "time": at(0), "value": 99.0, "venue": "elsewhere"}])
        lk.write("phantoms", [phantom(n, 40 + 19 * n, symbol="BTCUSDT", venue=VENUES[n % 2]) for n in range(60)])
        made = lk.datasets.build("metrics_of_all", "phantoms", honest)
        for row in made.frame.iter_rows(named=True):
            number = int((row["decision_time"] - at(0)).total_seconds() // 1800)
            is_own = row["venue"] == "bybit" and number >= 20
            assert row["funding_now"] == (-number if is_own else number)
        assert made.audit(features=honest).passed


def test_a_sign_or_a_silence_to_come_is_a_leak_too(tmp_path: Path) -> None:
    """What only tells whether a later value is below 0, nothing, or there at all."""
    rate, volume, quote = pl.col("funding_rate").shift(-40), pl.col("volume").shift(-1), pl.col("quote_volume")
    asked = {"falls": rate < 0, "is_flat": rate == 0, "silent": volume == 0, "untold": quote.shift(-1).is_null()}
    source = {"falls": "market_metrics:funding_rate", "is_flat": "market_metrics:funding_rate"}
    nth = pl.int_range(pl.len())
    candles = bars("BTCUSDT", "binance").with_columns(
        volume=pl.when(nth % 9 > 0).then("volume").otherwise(0.0),
        quote_volume=pl.when(nth % 7 > 0).then(pl.col("volume") * 100),
    )
    with lake.open(tmp_path / "lake", bot_id="bot") as lk:
        lk.candles.write(candles, "1m", symbol="BTCUSDT", venue="binance")
        rate_of = {"venue": "binance", "symbol": "BTCUSDT", "metric": "funding_rate"}
        lk.write("market_metrics", [{**rate_of, "time": at(n * 30), "value": n % 5 - 1.0} for n in range(50)])
        lk.write("phantoms", [phantom(2 * n, 40 + 11 * n, venue="binance", symbol="BTCUSDT") for n in range(100)])
        for name, told in asked.items():
            value = pl.when(told).then(1.0).otherwise(0.0)
            feature = Feature(name, value, 0, **({"source": source[name]} if name in source else {}))
            with pytest.raises(LeakError, match=f": {name}: what was known only after"):
                lk.datasets.build("signs", "phantoms", FeatureSet("signs", 1, (HONEST, feature)))


def test_rows_that_were_joined_with_later_candles_are_caught(lk: lake.Lake) -> None:
    """As a forward join would make them: each row has the features of the next bar."""
    made = lk.datasets.build("forward", "phantoms", "small")
    later = made.frame.with_columns(pl.col("decision_time") + pl.duration(minutes=1))
    pinned, joined = pin(lk.writer), Joined(SMALL, "1m")
    wrong = made.frame.with_columns(_joined(pinned, joined, later).select("close_now", "change_3").get_columns())
    found = audits.audit(pinned, joined, wrong, seed=0)
    assert set(found.leaking) == {"close_now", "change_3"}


def test_one_wrong_row_of_all_is_found(lk: lake.Lake) -> None:
    made = lk.datasets.build("one", "phantoms", "small")
    values = made.frame["close_now"].to_list()
    row = next(n for n in range(77, 120) if values[n] is not None)
    values[row] *= 1.0001
    wrong = made.frame.with_columns(pl.Series("close_now", values))
    found = audits.audit(pin(lk.writer), Joined(SMALL, "1m"), wrong, seed=0)
    assert found.leaking["close_now"]["id"] == made.frame["id"][row]


@pytest.mark.parametrize(
    ("column", "value"), [("regime", "sideways"), ("flag_outlier", True), ("flag_flash_crash", True)]
)
def test_one_wrong_flag_or_regime_of_all_is_found(lk: lake.Lake, column: str, value: Any) -> None:
    """Every row is looked at, not the few of each series that are built again in any case."""
    for features in ("small", "standard"):
        made = lk.datasets.build("flagged", "phantoms", features)
        values = made.frame[column].to_list()
        row = next(
            n for n in range(61, 120) if values[n] not in (None, value) and made.frame["decision_time"][n] > at(300)
        )
        values[row] = value
        wrong = made.frame.with_columns(pl.Series(column, values))
        found = audits.audit(pin(lk.writer), Joined(get(features), "1m"), wrong, seed=0)
        assert list(found.leaking) == [column]
        assert found.leaking[column]["id"] == made.frame["id"][row]
    without = audits.audit(pin(lk.writer), Joined(None, "1m"), wrong, seed=0)
    assert list(without.leaking) == [column]


def test_a_build_looks_at_every_series_and_all_of_the_time_and_says_so(lk: lake.Lake) -> None:
    made = lk.datasets.build("told", "phantoms", "small")
    assert made.manifest.audit == {
        "passed": True, "rows": 120, "of_rows": 120, "series": 4, "of_series": 4, "groups": 1, "seed": 1, "beyond": [],
    }  # fmt: skip
    assert lk.datasets.load("told").manifest.audit == made.manifest.audit
    assert lk.datasets.rebuild(made.manifest).manifest == made.manifest


def test_training_audits_a_data_set_that_nobody_audited_unless_it_is_told_not_to(
    lk: lake.Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that an older version built, which looked at three series only."""
    peeking = register(FeatureSet("peeking_late", 1, (HONEST, Feature("next_bar", CLOSE.shift(-1) / CLOSE, 2))))
    with monkeypatch.context() as older:
        older.setattr(audits, "refuse_leaks", lambda *_: {})
        made = lk.datasets.build("unaudited", "phantoms", "peeking_late")
    assert made.manifest.audit == {}
    recipe = {"trees": 2, "rounds": 2, "repeats": 0, "folds": 2}
    with pytest.raises(LeakError, match="training, data set unaudited.*next_bar: what was known only after"):
        lk.models.train(made, "m", recipe=recipe)
    assert lk.read("training_runs")["status"].to_list() == ["failed"]
    assert lk.models.train(made, "m", recipe=recipe, audit=False).version
    assert peeking is not None
    honest = lk.datasets.build("audited_by_its_build", "phantoms", "small")
    monkeypatch.setattr(type(honest), "audit", lambda *_: pytest.fail("it was audited when it was built"))
    assert lk.models.train(honest, "m", recipe=recipe).version


def test_a_sample_is_of_every_series_and_spread_over_the_time() -> None:
    rng = np.random.default_rng(1)
    sizes = [20_000, 15_000, 9_000, *[30] * 57]
    rows = [(f"S{number}", at(minute)) for number, size in enumerate(sizes) for minute in rng.integers(0, 50_000, size)]
    frame = pl.DataFrame(rows, schema=["symbol", "decision_time"], orient="row").with_columns(venue=pl.lit("v"))
    groups = stratified(frame, 500, 1)
    together = pl.concat(groups)
    assert together["symbol"].n_unique() == 60
    assert 500 <= together.height <= 620
    assert together.group_by("symbol").len()["len"].min() >= 2
    assert len(groups) == 8
    assert [g.equals(h) for g, h in zip(groups, stratified(frame, 500, 1), strict=True)] == [True] * 8
    largest = [g.filter(symbol="S0")["decision_time"] for g in stratified(frame.filter(symbol="S0"), 500, 1)]
    assert all((times.max() - times.min()).total_seconds() < 6 * 3600 for times in largest)
    assert max(t.max() for t in largest) - min(t.min() for t in largest) > timedelta(minutes=35_000)
    small = frame.filter(symbol="S7")
    assert stratified(small, 500, 1) == [small] or stratified(small, 500, 1)[0].equals(small)


def test_a_leak_in_a_small_series_alone_is_refused_by_the_build(tmp_path: Path) -> None:
    """The first series is much larger than the last, whose candles alone are so dear."""
    dear = pl.when(CLOSE > 10_000).then(CLOSE.shift(-1)).otherwise(CLOSE)
    peeking = FeatureSet("peeking", 1, (Feature("dear", dear, 1), HONEST))
    with lake.open(tmp_path / "lake", bot_id="bot") as lk:
        for number, symbol in enumerate(("AUSDT", "BUSDT", "CUSDT", "DUSDT")):
            scale = 1_000.0 if symbol == "DUSDT" else 1.0
            prices = [(pl.col(name) * scale).alias(name) for name in ("open", "high", "low", "close")]
            lk.candles.write(bars("BTCUSDT", "binance").with_columns(prices), "1m", symbol=symbol, venue="binance")
            count = 6 if symbol == "DUSDT" else 300
            lk.write("phantoms", [
                phantom(1_000 * number + n, 40 + 4 * n, venue="binance", symbol=symbol) for n in range(count)
            ])  # fmt: skip
        with pytest.raises(LeakError, match="dear"):
            lk.datasets.build("peeking", "phantoms", peeking)


def test_values_filled_in_after_the_decision_are_no_inputs(lk: lake.Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    made = lk.datasets.build("inputs", "phantoms", "small")
    assert made.audit().passed
    told = sources.statement("phantoms")
    leaky = told.replace('ml_score AS "recorded.ml_score"', 'realized_rr * pnl_percent AS "recorded.ml_score"')
    monkeypatch.setattr(recording, "statement", lambda source: leaky)
    assert list(made.audit().leaking) == ["recorded.ml_score"]


def test_levels_that_are_moved_after_the_decision_are_no_inputs(lk: lake.Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    made = lk.datasets.build("levels", "phantoms", "small", recorded=False)
    audited = made.audit()
    assert audited.passed
    assert {"plan.side", "plan.stop_percent", "plan.tp1_percent", "plan.strategy"} <= set(audited.features)
    leaky = sources.statement("phantoms").replace("stop_loss, tp1", "realized_rr * pnl_percent AS stop_loss, tp1")
    monkeypatch.setattr(recording, "statement", lambda source: leaky)
    assert list(made.audit().leaking) == ["plan.stop_percent"]
    told = sources.statement("phantoms").replace("timeframe, strategy,", "timeframe, outcome AS strategy,")
    monkeypatch.setattr(recording, "statement", lambda source: told)
    assert list(made.audit().leaking) == ["plan.strategy"]


def test_a_sample_is_spread_over_all_rows() -> None:
    frame = pl.DataFrame({"n": range(1000)})
    assert audits.sample(frame, 5)["n"].to_list() == [0, 249, 499, 749, 999]
    assert audits.sample(frame, 5000).height == 1000


def test_windows_give_what_the_whole_series_gives() -> None:
    candles = bars("BTCUSDT", "binance").with_columns(symbol=pl.lit("BTCUSDT"))
    plan = planned(get("standard"), timeframes.get("1m"))
    held = Bars.of(plan, candles, None)
    wanted = np.unique(np.random.default_rng(3).integers(0, BARS, 90))
    found = recomputed(plan, held, wanted, np.random.default_rng(4))
    whole = compute(get("standard"), candles, timeframe="1m")
    assert found.equals(whole[wanted].select(found.columns))


def test_changed_bars_change_everywhere_they_should_and_nowhere_else() -> None:
    candles = bars("BTCUSDT", "binance").with_columns(trade_count=pl.lit(0, dtype=pl.Int64))
    where = np.arange(BARS) > 700
    found = changed(candles, where, np.random.default_rng(1))
    assert found.head(701).equals(candles.head(701))
    assert found["open_time"].equals(candles["open_time"])
    for name in ("open", "high", "low", "close", "volume", "trade_count"):
        assert (found[name].tail(BARS - 701) != candles[name].tail(BARS - 701)).all()


def test_changed_bars_are_bars_of_another_shape_and_amounts_may_be_missing() -> None:
    nth = pl.int_range(pl.len())  # something of each is missing before
    quiet = bars("BTCUSDT", "binance").with_columns(
        volume=pl.when(nth > 0).then(0.0),
        quote_volume=pl.lit(None, pl.Float64),
        funding=pl.when(nth > 0).then(0.01),
        complete=pl.lit(0.01),
    )
    found = changed(quiet, np.ones(BARS, dtype=bool), np.random.default_rng(1))
    assert (found["low"] > 0).all()
    for name in ("open", "close"):
        assert found[name].is_between(found["low"], found["high"]).all()
    green, was_green = found["close"] > found["open"], quiet["close"] > quiet["open"]
    assert 0.4 < (green != was_green).mean() < 0.6
    for name in ("volume", "quote_volume", "funding"):
        assert 0.05 < found[name].null_count() / BARS < 0.2
        assert (found[name].drop_nulls() != 0).all()
    assert found["complete"].null_count() == 0
    assert 0.4 < (found["funding"].drop_nulls() < 0).mean() < 0.6


@pytest.mark.parametrize("rows", [0, -3, "x", True])
def test_an_audit_of_no_rows_is_none(lk: lake.Lake, rows: Any) -> None:
    made = lk.datasets.build("audited", "phantoms", "small")
    with pytest.raises(UsageError, match="one row at least"):
        made.audit(rows=rows)
