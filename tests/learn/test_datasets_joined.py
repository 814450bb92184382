"""What is computed for the rows of a data set in one pass is what each part says by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import lake
from lake.kernels import market
from lake.learn import features, regimes
from lake.learn.datasets.asof import Joined, join
from lake.learn.datasets.pinned import pin
from lake.learn.features import Feature, FeatureSet, Windows, compute
from lake.learn.features.together import together
from lake.learn.flags import NAMES, flags
from tests.learn.dataset_lakes import BARS, SMALL, SYMBOLS, T0, VENUES, at, bars, opened, phantom

CLOSE = pl.col("close")
PLAIN = FeatureSet("plain", 1, (Feature("now", CLOSE, 0),))


@pytest.fixture(scope="module")
def lk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lake.Lake]:
    with opened(tmp_path_factory.mktemp("joined") / "lake", 1) as found:
        yield found


@pytest.mark.parametrize("given", [features.get("standard"), SMALL, PLAIN, None], ids=lambda s: s.name if s else "none")
def test_each_row_has_the_features_flags_and_regime_that_are_told_one_by_one(
    lk: lake.Lake, given: FeatureSet | None
) -> None:
    rng = np.random.default_rng(3)
    minutes = [-5.0, 0.5, BARS + 3.0, BARS + 60.0, *rng.uniform(0, BARS, 150)]
    events = pl.DataFrame(
        {
            "venue": rng.choice(VENUES, len(minutes)),
            "symbol": rng.choice((*SYMBOLS, "NONEUSDT"), len(minutes), p=(0.45, 0.45, 0.1)),
            "decision_time": [at(minute) for minute in minutes],
        },
        schema_overrides={"decision_time": pl.Datetime("us", "UTC")},
    )
    found = join(pin(lk.writer), Joined(given, "1m"), events).frame
    candles = lk.candles.read(None, "1m")
    assert found.select(NAMES).equals(flags(events, candles, timeframe="1m"))
    assert found["regime"].equals(regimes.regime_at(events, candles, timeframe="1m"))
    assert found["regime"].drop_nulls().n_unique() > 1
    if given is not None:
        expected = compute(given, candles, timeframe="1m", at=events)
        assert found.select(given.names).equals(expected.select(given.names))


def test_sets_computed_together_have_the_bits_of_each_alone() -> None:
    candles = market.candles("BTCUSDT", T0, 3_000, price=42_000.0, seed=5).with_row_index("row")
    candles = candles.filter(~pl.col("row").is_in([700, 701, *range(1_500, 1_530)])).drop("row")
    first, second = features.get("standard"), regimes.feature_set()
    both = together(first, second)
    assert both is not None
    found = compute(both, candles, timeframe="1m")
    for one in (first, second):
        assert found.select(one.names).equals(compute(one, candles, timeframe="1m").select(one.names))


def test_sets_that_could_change_one_another_are_computed_apart() -> None:
    windows = Windows()
    windows.step("log_return", CLOSE - windows.lag("close", 1))
    change, now = Feature("change", pl.col("_log_return"), 1), Feature("now", CLOSE, 0)

    def of(*given: Feature, **rules: Any) -> FeatureSet | None:
        return together(FeatureSet("mine", 1, given, **rules), regimes.feature_set())

    assert of(now) is not None
    assert of(change, steps=windows.steps) is None  # another step of that name
    assert of(Feature("efficiency", CLOSE, 0)) is None
    assert of(now, stale=3) is None
    assert of(now, missing=float("inf")) is None
    assert of(Feature("mean", CLOSE.rolling_mean(5), 4)) is None  # carries a state from the first bar that is there
    assert of(Feature("mean", CLOSE.rolling_mean(5), 400)) is not None


def test_a_row_without_venue_has_what_the_one_venue_told_then_whatever_others_hold_of_other_times(
    tmp_path: Path,
) -> None:
    minutes = (100.5, 700.5, 1_205.5, 1_400.5)
    events = pl.DataFrame({"venue": "", "symbol": "BTCUSDT", "decision_time": [at(minute) for minute in minutes]})
    with lake.open(tmp_path / "lake", bot_id="bot") as lk:
        lk.candles.write(bars("BTCUSDT", "binance", 1_200), "1m", symbol="BTCUSDT", venue="binance")
        alone = _closes(lk, events)
        later = bars("BTCUSDT", "bybit").filter(pl.col("open_time") >= at(1_000))
        lk.candles.write(later, "1m", symbol="BTCUSDT", venue="bybit")
        found = _closes(lk, events)
        assert found[:2] == alone[:2]
        assert found[2] is None, "binance told of the minute before last, bybit of the last one"
        assert found[3] == later.filter(pl.col("open_time") == at(1_399))["close"].item()
        assert found == [_closes(lk, events[row : row + 1])[0] for row in range(4)]
        lk.candles.write(bars("BTCUSDT", "binance", 10), "1m", symbol="BTCUSDT", venue="")
        assert _closes(lk, events) == [None] * 4, "the candles that name no venue either are old"


def test_an_audit_asks_of_a_row_without_venue_what_its_build_asked(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake", bot_id="bot") as lk:
        for venue, since in (("binance", 0), ("bybit", 900)):
            held = bars("BTCUSDT", venue).filter(pl.col("open_time") >= at(since))
            lk.candles.write(held, "1m", symbol="BTCUSDT", venue=venue)
        lk.write("phantoms", [phantom(4 * n, 40.5 * (n + 1), venue="") for n in range(30)])
        made = lk.datasets.build("bare", "phantoms", SMALL)
        assert made.manifest.notes == {"no_candles": 8}
        assert made.audit(features=SMALL).passed


def _closes(lk: lake.Lake, events: pl.DataFrame) -> list[float | None]:
    return join(pin(lk.writer), Joined(PLAIN, "1m"), events).frame["now"].to_list()
