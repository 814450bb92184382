"""The audit: sets that look ahead are caught and named, whatever way they do it; honest ones pass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import lake
from lake.errors import LeakError, UsageError
from lake.learn.datasets import audit as audits
from lake.learn.datasets import recording, sources
from lake.learn.datasets.asof import Joined, join
from lake.learn.datasets.pinned import pin
from lake.learn.datasets.windows import Bars, changed, recomputed
from lake.learn.features import Feature, FeatureSet, Windows, compute, get, register
from lake.learn.features.plan import planned
from lake.spec import timeframes
from tests.learn.dataset_lakes import BARS, SMALL, at, bars, opened, phantom

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
    return join(pinned, joined, events.select("venue", "symbol", "decision_time"))


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


def test_values_filled_in_after_the_decision_are_no_inputs(lk: lake.Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    made = lk.datasets.build("inputs", "phantoms", "small")
    assert made.audit().passed
    told = sources.statement("phantoms")
    leaky = told.replace('ml_score AS "recorded.ml_score"', 'realized_rr * pnl_percent AS "recorded.ml_score"')
    monkeypatch.setattr(recording, "statement", lambda source: leaky)
    assert list(made.audit().leaking) == ["recorded.ml_score"]


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


@pytest.mark.parametrize("rows", [0, -3, "x", True])
def test_an_audit_of_no_rows_is_none(lk: lake.Lake, rows: Any) -> None:
    made = lk.datasets.build("audited", "phantoms", "small")
    with pytest.raises(UsageError, match="one row at least"):
        made.audit(rows=rows)
