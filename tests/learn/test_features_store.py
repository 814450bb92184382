from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import lake
from lake.errors import UsageError
from lake.kernels import market
from lake.learn import features
from lake.learn.features import Feature, FeatureSet, FeatureStore, blocks, stored
from lake.learn.features.plan import planned
from lake.learn.features.reading import digest
from lake.spec import timeframes

T0 = 1_704_067_200_000_000
STANDARD = features.get("standard")
CANDLES = pl.concat(
    [market.candles(s, T0, 2_500, price=p, seed=i) for i, (s, p) in enumerate((("BTCUSDT", 42e3), ("ETHUSDT", 2e3)))]
)


@pytest.fixture
def lk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[lake.Lake]:
    monkeypatch.setattr(blocks, "BARS", 1_000)
    with lake.open(tmp_path / "lake") as opened:
        opened.candles.write(CANDLES.drop("venue", "timeframe"), "1m", venue="demo")
        opened.drain()
        yield opened


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the blocks that are computed, not read."""
    seen: list[int] = []
    real = blocks.block

    def seeing(plan: Any, rows: Any, number: int, metrics: Any) -> pl.DataFrame:
        seen.append(number)
        return real(plan, rows, number, metrics)

    monkeypatch.setattr(blocks, "block", seeing)
    return seen


def candle_at(number: int, symbol: str = "BTCUSDT") -> pl.DataFrame:
    rows = CANDLES.filter(symbol=symbol).slice(number, 1)
    return rows.drop("venue", "timeframe").with_columns(pl.col("close", "high") * 1.01)


def test_the_lake_gives_the_features_of_its_candles(lk: lake.Lake) -> None:
    assert_frame_equal(
        FeatureStore(lk.store).frame(STANDARD, None, "1m"), features.compute(STANDARD, CANDLES), check_exact=True
    )


def test_what_is_stored_is_used_again_and_is_the_same(lk: lake.Lake, computed: list[int]) -> None:
    first = FeatureStore(lk.store).frame(STANDARD, None, "1m")
    assert len(computed) == 6  # 2,500 bars of two symbols lie in three blocks each
    again = FeatureStore(lk.store).frame(STANDARD, None, "1m")
    assert len(computed) == 6
    assert_frame_equal(again, first, check_exact=True)


def test_a_correction_of_an_old_candle_is_noticed_where_it_matters(lk: lake.Lake, computed: list[int]) -> None:
    store = FeatureStore(lk.store)
    before = first = store.frame(STANDARD, None, "1m")
    for settle in (False, True):  # waiting in hot, then in the table
        computed.clear()
        lk.candles.write(candle_at(1_100 + settle), "1m", venue="demo")
        if settle:
            lk.drain()
        after = store.frame(STANDARD, None, "1m")
        assert 1 <= len(computed) <= 2  # its own block, and the next if that looks back at it
        assert_frame_equal(after, features.compute(STANDARD, lk.candles.read(None, "1m")), check_exact=True)
        assert not after.equals(before)
        before = after
    assert_frame_equal(after.filter(symbol="ETHUSDT"), first.filter(symbol="ETHUSDT"), check_exact=True)


def test_compaction_and_new_candles_leave_what_is_stored(lk: lake.Lake, computed: list[int]) -> None:
    store = FeatureStore(lk.store)
    before = store.frame(STANDARD, None, "1m")
    computed.clear()
    lk.candles.write(
        candle_at(0, "ETHUSDT").with_columns(pl.col("open_time") + timedelta(minutes=2_500)), "1m", venue="demo"
    )
    lk.drain()
    lk.compact()
    after = store.frame(STANDARD, None, "1m")
    assert len(computed) == 1  # the last one of ETHUSDT
    assert_frame_equal(after.filter(symbol="BTCUSDT"), before.filter(symbol="BTCUSDT"), check_exact=True)
    assert after.height == before.height + 1


def test_another_version_of_a_set_is_stored_by_itself_and_goes_when_asked(lk: lake.Lake) -> None:
    store = FeatureStore(lk.store)
    small = FeatureSet("small", 1, (Feature("change", pl.col("close") / pl.col("close").shift(1) - 1, 1),))
    other = FeatureSet("small", 1, (Feature("change", pl.col("close") / pl.col("close").shift(2) - 1, 2),))
    assert store.frame(small, "BTCUSDT", "1m")["change"].null_count() == 1
    assert store.frame(other, "BTC/USDT", "1m")["change"].null_count() == 2
    assert len(lk.location.list_names(stored.FOLDER)) == 2
    lk.vacuum(grace_hours=0)
    files = [e.path for e in lk.location.list(stored.FOLDER)]
    assert len(files) == 2 * (3 + 1)
    assert store.remove("else") == 0
    assert store.remove("small") == 8
    assert store.frame(small, "BTCUSDT", "1m").height == 2_500


def test_a_stored_file_that_was_lost_is_made_again(lk: lake.Lake, computed: list[int]) -> None:
    store = FeatureStore(lk.store)
    before = store.frame(STANDARD, "BTCUSDT", "1m")
    lost = next(e.path for e in lk.location.list(stored.FOLDER) if e.path.endswith(".parquet"))
    lk.location.delete([lost])
    computed.clear()
    assert_frame_equal(store.frame(STANDARD, "BTCUSDT", "1m"), before, check_exact=True)
    assert len(computed) == 1


def test_a_span_is_of_closes_its_end_outside(lk: lake.Lake) -> None:
    start, end = (datetime(2024, 1, 1, 20, minute, tzinfo=UTC) for minute in (0, 30))
    found = FeatureStore(lk.store).frame(STANDARD, ["ETHUSDT"], "1m", start, end)
    assert found["known_at"].to_list() == [start + timedelta(minutes=n) for n in range(30)]
    whole = features.compute(STANDARD, CANDLES.filter(symbol="ETHUSDT"))
    assert_frame_equal(found, whole.filter(pl.col("known_at").is_between(start, end, closed="left")), check_exact=True)


@pytest.mark.parametrize("keep", [False, True])
def test_features_as_of_events_are_the_same_from_the_lake(lk: lake.Lake, keep: bool) -> None:
    events = CANDLES.sample(300, seed=1).select(
        "venue", "symbol", decision_time=pl.col("open_time") + pl.duration(seconds=61)
    )
    strange = events.head(1).with_columns(symbol=pl.lit("NONEUSDT"))
    events = pl.concat([events, strange, events.head(5)])
    for _ in range(2):
        found = FeatureStore(lk.store).at(STANDARD, events, "1m", keep=keep)
        assert_frame_equal(found, features.compute(STANDARD, CANDLES, at=events), check_exact=True)
    assert found.row(300)[2:] == (None,) * 51
    assert bool(lk.location.list_names(stored.FOLDER)) is keep


@pytest.mark.parametrize("local", [True, False])
def test_blocks_computed_together_have_the_bits_of_each_alone(local: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BARS", 200)
    rolling = FeatureSet("rolling", 1, (Feature("mean_20", pl.col("close").rolling_mean(20), 19),))
    feature_set = STANDARD if local else rolling
    assert planned(feature_set, timeframes.get("1m")).local is local
    held = CANDLES.filter(symbol="BTCUSDT").filter(~pl.int_range(pl.len()).is_between(1_190, 1_700))
    events = held.gather_every(7).select("venue", "symbol", decision_time=pl.col("open_time") + pl.duration(seconds=60))
    found = features.compute(feature_set, held, at=events)
    whole = features.compute(feature_set, held)
    assert_frame_equal(found, whole.gather_every(7), check_exact=True)
    monkeypatch.setattr(blocks, "AT_ONCE", 1)
    assert_frame_equal(features.compute(feature_set, held, at=events), found, check_exact=True)


def test_an_old_version_of_the_lake_gives_the_features_of_then(lk: lake.Lake) -> None:
    version = {"candles": lk.store.table("candles").state().version}
    before = FeatureStore(lk.store).frame(STANDARD, None, "1m")
    lk.candles.write(candle_at(1_100), "1m", venue="demo")
    lk.drain()
    then = lk.store.at(version, ["candles"])
    store = FeatureStore(lk.store)
    assert_frame_equal(store.frame(STANDARD, None, "1m", snapshot=then), before, check_exact=True)
    assert not store.frame(STANDARD, None, "1m").equals(before)


FUNDED = FeatureSet(
    "funded",
    1,
    (
        Feature("funding", pl.col("funding_rate"), 0, "market_metrics:funding_rate"),
        Feature(
            "interest_change",
            pl.col("open_interest") / pl.col("open_interest").shift(10) - 1,
            10,
            "market_metrics:open_interest",
        ),
    ),
    metric_age=timedelta(hours=10),
)


def metric(name: str, minute: int, value: float, symbol: str = "BTCUSDT", venue: str = "demo") -> dict[str, Any]:
    at = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    return {"venue": venue, "symbol": symbol, "metric": name, "time": at, "value": value}


METRICS = [
    metric("funding_rate", 480, 0.1),
    metric("funding_rate", 960, 0.2),
    metric("funding_rate", 480, 9.0, venue="another"),
    metric("funding_rate", 480, 8.0, symbol="ETHUSDT"),
    *(metric("open_interest", n, 100.0 + n) for n in range(0, 2_000, 7)),
]


def test_a_market_metric_is_known_from_its_own_time_and_until_it_is_too_old(lk: lake.Lake, computed: list[int]) -> None:
    lk.write("market_metrics", METRICS)
    store = FeatureStore(lk.store)
    found = store.frame(FUNDED, "BTCUSDT", "1m")
    minutes = [int((t - datetime(2024, 1, 1, tzinfo=UTC)).total_seconds()) // 60 for t in found["known_at"].to_list()]
    funding = dict(zip(minutes, found["funding"].to_list(), strict=True))
    assert [funding[n] for n in (479, 480, 959, 960, 1_560, 1_561)] == [None, 0.1, 0.1, 0.2, 0.2, None]
    interest = dict(zip(minutes, found["interest_change"].to_list(), strict=True))
    assert interest[1_000] == pytest.approx((100 + 994) / (100 + 987) - 1)
    assert_frame_equal(
        found, features.compute(FUNDED, CANDLES.filter(symbol="BTCUSDT"), metrics=lk.read("market_metrics"))
    )
    computed.clear()
    lk.write("market_metrics", metric("funding_rate", 3_000, 0.4))  # after all bars
    assert_frame_equal(store.frame(FUNDED, "BTCUSDT", "1m"), found, check_exact=True)
    assert len(computed) <= 1
    computed.clear()
    lk.write("market_metrics", metric("funding_rate", 960, 0.3))
    corrected = store.frame(FUNDED, "BTCUSDT", "1m")
    assert computed
    assert corrected.filter(pl.col("known_at") == datetime(2024, 1, 1, 16, tzinfo=UTC))["funding"].to_list() == [0.3]


def test_metrics_that_come_later_change_nothing_before(lk: lake.Lake) -> None:
    lk.write("market_metrics", METRICS)
    events = CANDLES.filter(symbol="BTCUSDT").select("venue", "symbol", decision_time="open_time").slice(600, 300)
    before = FeatureStore(lk.store).at(FUNDED, events, "1m")
    lk.write("market_metrics", [metric("funding_rate", 900, 7.0), metric("open_interest", 900, 7.0)])
    assert_frame_equal(FeatureStore(lk.store).at(FUNDED, events, "1m"), before, check_exact=True)
    assert before["funding"].to_list() == [0.1] * 300


def test_a_set_with_metrics_asks_for_them(lk: lake.Lake) -> None:
    with pytest.raises(UsageError, match="the set needs market metrics"):
        features.compute(FUNDED, CANDLES)
    with pytest.raises(UsageError, match="the snapshot lacks what the features are made of"):
        FeatureStore(lk.store).frame(FUNDED, None, "1m", snapshot=lk.store.snapshot(["candles"]))
    with pytest.raises(UsageError, match="which timeframe?"):
        FeatureStore(lk.store).frame(STANDARD, None)
    with pytest.raises(UsageError, match="start is not before end"):
        FeatureStore(lk.store).frame(STANDARD, None, "1m", 10**15, 10**15)
    assert FeatureStore(lk.store).frame(STANDARD, None, "1h").is_empty()


def test_a_digest_of_many_texts_is_that_of_all_of_them_joined() -> None:
    texts = pl.Series("name", [None if n % 7 == 0 else f"é{n}" for n in range(140_000)])
    joined = "\0".join(texts.fill_null("").to_list()).encode()
    nulls = np.packbits(texts.is_null().to_numpy()).tobytes()
    found = hashlib.sha256()
    digest(found, texts.to_frame())
    assert found.digest() == hashlib.sha256(b"name String 140000" + nulls + joined).digest()
