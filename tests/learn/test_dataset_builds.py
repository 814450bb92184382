"""Data sets: what is in them, that they come out again byte for byte, and what is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

import lake
from lake.errors import CorruptLakeError, RebuildError, UsageError
from lake.learn.datasets import stored
from lake.learn.features import Feature, FeatureSet, register
from lake.store.versions import delete_tag
from tests.learn.dataset_lakes import BARS, OHLCV, SMALL, SYMBOLS, VENUES, at, bars, opened, phantom
from tests.s3_servers import S3Service

register(SMALL)


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with opened(tmp_path / "lake") as found:
        yield found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lake.Lake]:
    """For tests that only build."""
    with opened(tmp_path_factory.mktemp("shared") / "lake") as found:
        yield found


def held(*more: dict[str, Any], path: Path, name: str = "phantoms") -> lake.Lake:
    lk = lake.open(path, bot_id="bot")
    lk.candles.write(bars("BTCUSDT", "binance"), "1m", symbol="BTCUSDT", venue="binance")
    lk.write(name, list(more))
    return lk


def content(path: str) -> str:
    return sha256(Path(path).read_bytes()).hexdigest()


def test_columns_are_those_that_models_are_promised(shared: lake.Lake) -> None:
    made = shared.datasets.build("columns", "phantoms", "small")
    assert made.frame.columns == [
        "id", "kind", "bot_id", "venue", "symbol", "timeframe", "strategy", "side", "decision_time",
        "change_3", "close_now", "plan.side", "plan.stop_percent", "plan.tp1_percent", "plan.strategy",
        "features.book.spread", "features.rsi", "recorded.ml_score",
        "label_outcome", "label_win", "label_pnl_percent", "label_rr", "label_time",
        "weight_uniqueness", "weight_return", "weight_recency",
        "flag_flash_crash", "flag_outlier", "flag_low_liquidity", "regime",
    ]  # fmt: skip
    assert made.manifest["features"] == {
        "change_3": "Float64", "close_now": "Float64", "plan.side": "Float64", "plan.stop_percent": "Float64",
        "plan.tp1_percent": "Float64", "plan.strategy": "String", "features.book.spread": "Float64",
        "features.rsi": "Int64",
        "recorded.ml_score": "Float64",
    }  # fmt: skip
    assert dict(made.manifest.schema) == {n: str(t) for n, t in made.frame.schema.items()}
    assert made.frame.select("decision_time", "id").equals(made.frame.select("decision_time", "id").sort(pl.all()))
    assert len(made) == made.frame.height == made.manifest.rows == 200


def test_the_newest_candle_closed_by_the_decision_counts_of_its_own_venue_and_symbol(shared: lake.Lake) -> None:
    made = shared.datasets.build("asof", "phantoms", "small").frame
    series = {(v, s): bars(s, v) for v in VENUES for s in SYMBOLS}
    for row in made.iter_rows(named=True):
        known = series[row["venue"], row["symbol"]].filter(
            pl.col("open_time") + timedelta(minutes=1) <= row["decision_time"]
        )
        closes = known["close"].to_list()
        assert row["close_now"] == (closes[-1] if closes else None)
        expected = closes[-1] / closes[-4] - 1 if len(closes) > 3 else None
        assert row["change_3"] == (None if expected is None else pytest.approx(expected, rel=1e-12))


def test_labels_and_recorded_values_are_those_of_the_row(shared: lake.Lake) -> None:
    made = shared.datasets.build("labels", "phantoms", "small").frame
    for row in made.iter_rows(named=True):
        number = int(row["id"][1:])
        outcome = ("win", "loss", "timeout")[number % 3]
        assert row["label_outcome"] == outcome
        assert row["label_win"] is (outcome == "win")
        assert row["features.rsi"] == 30 + number % 40
        assert row["features.book.spread"] == pytest.approx(number / 7)
        assert row["recorded.ml_score"] == number % 100
        assert row["label_time"] - row["decision_time"] == timedelta(minutes=1 + number % 90)


def test_rows_without_a_known_outcome_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [
        phantom(0, 100, venue="binance"),
        phantom(2, 200, venue="binance", outcome="unknown"),
        phantom(4, 300, venue="binance", status="active", outcome=None, exit_time=None),
        phantom(6, 400, venue="binance", exit_time=None),
        phantom(8, 500, venue="binance", exit_time=at(900)),
    ]
    with held(*rows, path=tmp_path / "lake") as lk:
        made = lk.datasets.build("known", "phantoms", SMALL, end=at(800))
        assert made.frame["id"].to_list() == ["p0000"]
        assert made.manifest.excluded == {"end_unknown": 1, "known_later": 1, "unknown": 1, "unresolved": 1}


def test_start_end_and_symbols_choose_rows(shared: lake.Lake) -> None:
    made = shared.datasets.build("some", "phantoms", "small", at(200), at(900), symbols="btc/usdt").frame
    assert made.height > 10
    assert made["symbol"].unique().to_list() == ["BTCUSDT"]
    assert (made["decision_time"] >= at(200)).all()
    assert (made["label_time"] <= at(900)).all()


def test_decisions_that_hold_are_left_out(tmp_path: Path) -> None:
    rows = [
        {
            "decision_id": f"d{n}", "symbol": "BTCUSDT", "venue": "binance", "timeframe": "1m",
            "recommendation": ("LONG", "SHORT", "HOLD")[n % 3], "confidence": 0.5 + n / 100,
            "market_snapshot": {"price": 100 + n}, "analyzed_at": at(100 + n * 50),
            "outcome_correct": None if n % 3 == 2 else n % 2 == 0, "actual_pnl_percent": 1.0,
            "outcome_recorded_at": None if n % 3 == 2 else at(130 + n * 50), "traded": True, "trade_id": f"t{n}",
        }
        for n in range(9)
    ]  # fmt: skip
    with held(*rows, path=tmp_path / "lake", name="decisions") as lk:
        made = lk.datasets.build("decided", "decisions", "small")
        assert made.frame["side"].unique(maintain_order=True).to_list() == ["LONG", "SHORT"]
        assert made.manifest.excluded == {"hold": 3}
        assert [n for n in made.features if "." in n] == ["plan.side", "market_snapshot.price", "recorded.confidence"]
        assert made.audit().passed


def test_predictions_are_over_when_due_and_known_when_resolved(tmp_path: Path) -> None:
    rows = [
        {
            "prediction_id": f"q{n}", "symbol": "BTCUSDT", "venue": "binance", "timeframe": "1m", "horizon_minutes": 30,
            "predicted_direction": direction, "probability": 0.6, "predicted_at": at(200 + n), "due_at": at(230 + n),
            "actual_return": 0.01, "correct": direction == "UP", "resolved_at": at(700),
        }
        for n, direction in enumerate(("UP", "DOWN", "FLAT"))
    ]  # fmt: skip
    with held(*rows, path=tmp_path / "lake", name="predictions") as lk:
        made = lk.datasets.build("predicted", "predictions", "small").frame
        assert made["side"].to_list() == ["LONG", "SHORT", "FLAT"]
        assert made["label_pnl_percent"].to_list() == [1.0, -1.0, None]
        assert made["label_time"].to_list() == [at(230), at(231), at(232)]
        with pytest.raises(UsageError, match="left out: 3 known_later"):
            lk.datasets.build("early", "predictions", "small", end=at(699))


def test_signals_take_the_outcome_of_their_phantom_else_of_their_trade(tmp_path: Path) -> None:
    common = {"symbol": "BTCUSDT", "venue": "binance", "timeframe": "1m"}
    signals = [
        {**common, "signal_id": f"s{n}", "signal_type": kind, "direction": direction, "signal_time": at(100 + n)}
        for n, (kind, direction) in enumerate([("BUY", "LONG"), ("SELL", "SHORT"), ("HOLD", None), ("BUY", "LONG")])
    ]
    with held(*signals, path=tmp_path / "lake", name="signals") as lk:
        lk.write("phantoms", [phantom(0, 100, signal_id="s0", outcome="loss", exit_time=at(150))])
        trade = {**common, "trade_id": "t1", "signal_id": "s1", "side": "SHORT", "status": "closed", "pnl": 5.0}
        lk.write(
            "trades", [{**trade, "entry_price": 1.0, "quantity": 1.0, "created_at": at(101), "closed_at": at(170)}]
        )
        made = lk.datasets.build("signalled", "signals", "small")
        found = made.frame.select("id", "label_outcome", "label_time").rows()
        assert found == [("s0", "loss", at(150)), ("s1", "win", at(170))]
        assert made.manifest.excluded == {"hold": 1, "unresolved": 1}


def test_the_same_bytes_come_out_after_writes_corrections_compaction_and_vacuum(lk: lake.Lake) -> None:
    made = lk.datasets.build("first", "phantoms", "standard")
    before, frame = content(made.path), made.frame
    lk.write("phantoms", [phantom(n, 50 + n, outcome="loss", ml_score=1.0) for n in range(0, 300, 3)])
    lk.candles.write(bars("BTCUSDT", "binance").with_columns(pl.col(OHLCV[1:]) * 2), "1m", "BTCUSDT", "binance")
    late = bars("ETHUSDT", "bybit", BARS + 400).tail(400)
    lk.candles.write(late, "1m", symbol="ETHUSDT", venue="bybit")
    lk.drain()
    lk.compact()
    lk.vacuum(grace_hours=0)
    Path(made.path).unlink()
    again = lk.datasets.rebuild(Path(made.path).parent)
    assert again.frame.equals(frame)
    assert content(again.path) == before == made.manifest.content["sha256"]
    assert again.manifest == made.manifest
    other = lk.datasets.build("first", "phantoms", "standard")
    assert not other.frame.equals(frame)
    assert other.manifest.hash != made.manifest.hash
    assert [m.hash for m in lk.datasets.list("first")] == [made.manifest.hash, other.manifest.hash]
    assert lk.datasets.load("first").manifest == other.manifest
    assert lk.datasets.load("first", made.manifest.hash).frame.equals(frame)


def test_another_process_of_the_lake_rebuilds_it(tmp_path: Path) -> None:
    with opened(tmp_path / "lake", 50) as lk:
        made = lk.datasets.build("first", "phantoms", "small")
        text, frame = made.manifest.as_json(), made.frame
    with lake.open(tmp_path / "lake") as lk:
        assert lk.datasets.rebuild(json.loads(text)).frame.equals(frame)


def test_the_same_request_on_the_same_lake_is_the_same_data_set(lk: lake.Lake) -> None:
    first = lk.datasets.build("same", "phantoms", "small")
    second = lk.datasets.build("same", "phantoms", "small")
    assert second.manifest == first.manifest
    assert len(lk.datasets.list("same")) == 1


def test_the_lake_as_it_was_can_be_asked(lk: lake.Lake) -> None:
    lk.tag("before")
    made = lk.datasets.build("was", "phantoms", "small")
    lk.write("phantoms", [phantom(0, 300, outcome="loss")])
    lk.drain()
    assert lk.datasets.build("was", "phantoms", "small", at="before").frame.equals(made.frame)
    assert not lk.datasets.build("is", "phantoms", "small").frame.equals(made.frame)
    with pytest.raises(lake.LakeError, match="such|time"):
        lk.datasets.build("never", "phantoms", "small", at="no-such-tag")


def test_a_candle_that_comes_late_is_in_later_data_sets_only(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake", bot_id="bot") as lk:
        whole = bars("BTCUSDT", "binance", 300)
        lk.candles.write(whole.filter(pl.col("open_time") != at(199)), "1m", symbol="BTCUSDT", venue="binance")
        lk.write("phantoms", [phantom(0, 200.5, venue="binance")])
        made = lk.datasets.build("late", "phantoms", "small")
        assert made.frame["close_now"].to_list() == [whole["close"][198]]
        lk.candles.write(whole, "1m", symbol="BTCUSDT", venue="binance")
        assert lk.datasets.rebuild(made.manifest).frame["close_now"].to_list() == [whole["close"][198]]
        assert lk.datasets.build("late", "phantoms", "small").frame["close_now"].to_list() == [whole["close"][199]]


def test_a_stale_candle_says_nothing(tmp_path: Path) -> None:
    rows = [phantom(0, BARS + 10, venue="binance"), phantom(2, BARS + 10.5, venue="binance")]
    with held(*rows, phantom(4, 500, venue="binance"), path=tmp_path / "lake") as lk:
        made = lk.datasets.build("stale", "phantoms", "small")
        assert made.frame["close_now"].is_null().to_list() == [False, False, True]
        assert made.manifest.feature_set is not None
        assert made.manifest.feature_set["stale"] == 10
        assert made.manifest.nulls == {"change_3": 1, "close_now": 1}


def test_a_row_without_venue_takes_the_only_venue_of_its_symbol(tmp_path: Path) -> None:
    with held(phantom(0, 500, venue=""), path=tmp_path / "lake") as lk:
        assert lk.datasets.build("one", "phantoms", "small").frame["close_now"].null_count() == 0
        lk.candles.write(bars("BTCUSDT", "bybit"), "1m", symbol="BTCUSDT", venue="bybit")
        with pytest.raises(UsageError, match=r"BTCUSDT of no venue"):
            lk.datasets.build("two", "phantoms", "small")
        lk.write("phantoms", [phantom(2, 500, venue="bybit")])
        made = lk.datasets.build("three", "phantoms", "small")
        assert made.frame["close_now"].is_null().to_list() == [True, False]
        assert made.manifest.notes == {"no_candles": 1}
        assert lk.datasets.build("four", "phantoms", None).manifest.notes == {}


def test_labels_from_candles_follow_the_levels_of_each_row(lk: lake.Lake) -> None:
    made = lk.datasets.build("followed", "phantoms", "small", labels="candles", fees=0.001)
    series = {(v, s): bars(s, v).with_columns(symbol=pl.lit(s)) for v in VENUES for s in SYMBOLS}
    assert made.frame.height > 100
    assert made.frame["label_outcome"].n_unique() > 1
    some = pl.concat([part.head(8) for part in made.frame.partition_by("label_outcome")])
    for row in some.iter_rows(named=True):
        event = pl.DataFrame([{"event_id": "e", "symbol": row["symbol"], "side": "LONG", "entry_price": 100.0,
            "stop_loss": 99.0, "tp1": 101.0, "start_time": row["decision_time"],
            "timeout_at": row["decision_time"] + timedelta(minutes=240)}])  # fmt: skip
        (one,) = lake.label_events(series[row["venue"], row["symbol"]], event, fees=0.001).iter_rows(named=True)
        assert (row["label_outcome"], row["label_time"]) == (one["outcome"], one["exit_time"])
        assert row["label_pnl_percent"] == pytest.approx(one["pnl_percent"])
    assert lk.datasets.rebuild(made.manifest).frame.equals(made.frame)


def test_a_row_whose_levels_make_no_sense_is_left_out_of_labels_from_candles_and_counted(tmp_path: Path) -> None:
    wrong = [{"stop_loss": 101.0}, {"take_profit": 99.0}, {"take_profit": None}, {"entry_price": None}]
    plan = {"symbol": "BTCUSDT", "venue": "binance", "recommendation": "LONG", "confidence": 0.5, "entry_price": 100.0}
    near = {**plan, "stop_loss": 99.9, "take_profit": 100.1}
    rows = [
        {**near, **changed, "decision_id": f"d{n}", "analyzed_at": at(30 * n)}
        for n, changed in enumerate([{}, {}, *wrong])
    ]
    with lake.open(tmp_path / "lake", bot_id="bot") as lk:
        lk.candles.write(bars("BTCUSDT", "binance"), "1m", symbol="BTCUSDT", venue="binance")
        lk.write("decisions", rows)
        made = lk.datasets.build("sane", "decisions", None, labels="candles", ambiguous=True)
        assert made.frame["id"].to_list() == ["d0", "d1"]
        assert made.manifest.excluded == {"no_levels": 2, "wrong_levels": 2}


def test_labels_from_candles_are_those_that_the_lake_gives_where_the_finest_candles_have_gaps(tmp_path: Path) -> None:
    waiting = {"status": "active", "outcome": None, "pnl_percent": None, "realized_rr": None, "exit_time": None}
    rows = [phantom(0, 20.0 * n, phantom_id=f"p{n}", **waiting) for n in range(60)]
    fine, symbol = bars("BTCUSDT", "binance"), {"symbol": "BTCUSDT", "venue": "binance"}
    whole = [pl.col("open").first(), pl.col("high").max(), pl.col("low").min(), pl.col("close", "volume").last()]
    of_five = fine.group_by_dynamic("open_time", every="5m").agg(whole)
    fine = fine.filter(pl.int_range(pl.len()) % 70 != 3)
    with lake.open(tmp_path / "lake", bot_id="bot") as lk:
        lk.candles.write(fine, "1m", **symbol)
        lk.candles.write(of_five.filter(pl.int_range(pl.len()) != 100), "5m", **symbol)
        lk.write("phantoms", rows)
        asked: dict[str, Any] = {"labels": "candles", "ambiguous": True}
        made = lk.datasets.build("made", "phantoms", None, **asked)
        done = lk.label()
        assert made.manifest.excluded == {"unknown": done.outcomes["unknown"]}
        assert done.labelled == 60
        told = lk.read("phantoms").filter(pl.col("outcome") != "unknown").sort("signal_time", "phantom_id")
        for name, known in (("outcome", "outcome"), ("rr", "realized_rr"), ("time", "exit_time")):
            assert made.frame[f"label_{name}"].to_list() == told[known].to_list()


def test_weights_are_above_zero_and_overlapping_labels_share_theirs(shared: lake.Lake) -> None:
    found = shared.datasets.build("weights", "phantoms", "small", half_life=timedelta(hours=3)).frame
    assert found["weight_uniqueness"].is_between(0, 1, closed="right").all()
    assert not (found["weight_uniqueness"] == 1).all()
    age = found.select((pl.col("decision_time").max() - pl.col("decision_time")) / timedelta(hours=3)).to_series()
    assert np.allclose(found["weight_recency"], 0.5 ** age.to_numpy())
    expected = found["label_pnl_percent"].abs() * found["weight_uniqueness"]
    assert np.allclose(found["weight_return"], expected)


def test_without_candles_recorded_features_are_enough(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake", bot_id="bot") as lk:
        lk.write("phantoms", [phantom(n, 10 + n) for n in range(5)])
        made = lk.datasets.build("plain", "phantoms", None)
        assert made.manifest.feature_set is None
        assert "recorded.ml_score" in made.features
        assert made.audit().passed
        assert lk.datasets.rebuild(made.manifest).frame.equals(made.frame)


def test_recorded_features_can_be_chosen_or_left_out(shared: lake.Lake) -> None:
    none = shared.datasets.build("none", "phantoms", "small", recorded=False, plan=False, strategy=False)
    assert none.features == ("change_3", "close_now")
    only: dict[str, Any] = {"recorded": {"features.rsi": "Float64"}, "plan": False, "strategy": False}
    chosen = shared.datasets.build("chosen", "phantoms", "small", **only)
    assert chosen.features == ("change_3", "close_now", "features.rsi")
    assert chosen.frame.schema["features.rsi"] == pl.Float64
    with pytest.raises(UsageError, match="records no such thing.*features.<key>"):
        shared.datasets.build("wrong", "phantoms", "small", recorded={"indicators.rsi": "Float64"})


def test_side_and_distances_of_the_levels_are_features_unless_left_out(tmp_path: Path) -> None:
    short = {"side": "SHORT", "entry_price": 50.0, "stop_loss": 51.0, "tp1": 49.0, "tp2": 48.0}
    rows = [phantom(0, 200, venue="binance"), phantom(2, 300, venue="binance", **short)]
    with held(*rows, path=tmp_path / "lake") as lk:
        made = lk.datasets.build("sided", "phantoms", "small", recorded=False)
        assert made.frame.select(pl.selectors.starts_with("plan.")).to_dict(as_series=False) == {
            "plan.side": [1.0, -1.0], "plan.stop_percent": [1.0, 2.0], "plan.tp1_percent": [1.0, 2.0],
            "plan.tp2_percent": [None, 4.0], "plan.strategy": ["cross", "cross"],
        }  # fmt: skip
        assert made.features == ("change_3", "close_now", *(n for n in made.frame.columns if n.startswith("plan.")))
        bare = lk.datasets.build("bare", "phantoms", "small", recorded=False, plan=False)
        assert bare.features == ("change_3", "close_now", "plan.strategy")
        assert lk.datasets.build("bare", "phantoms", "small", recorded=False, strategy=False).features == tuple(
            name for name in made.features if name != "plan.strategy"
        )
        for option in ("plan", "strategy"):
            with pytest.raises(UsageError, match=f"{option} is True or False"):
                lk.datasets.build("bare", "phantoms", "small", **{option: "no"})  # type: ignore[arg-type]


@pytest.mark.parametrize("later", [{"strategy"}, {"plan", "strategy"}])
def test_a_manifest_older_than_planned_features_gives_the_same_bytes_without_them(
    lk: lake.Lake, later: set[str]
) -> None:
    made = lk.datasets.build("older", "phantoms", "small", plan="plan" not in later, strategy=False)
    request = {name: value for name, value in made.manifest.request.items() if name not in later}
    again = lk.datasets.rebuild({**made.manifest.as_dict(), "request": request})
    assert again.features == made.features
    assert content(again.path) == made.manifest.content["sha256"]


def test_recorded_values_of_several_types_ask_for_a_schema(tmp_path: Path) -> None:
    rows = [phantom(0, 100, features={"x": 1}, venue="binance"), phantom(2, 200, features={"x": "a"}, venue="binance")]
    with held(*rows, path=tmp_path / "lake") as lk:
        with pytest.raises(lake.LakeError, match="several types.*recorded="):
            lk.datasets.build("mixed", "phantoms", "small")
        made = lk.datasets.build("mixed", "phantoms", "small", recorded={"features.x": "Float64"})
        assert made.frame["features.x"].to_list() == [1.0, None]


def test_parquet_is_read_by_others(shared: lake.Lake) -> None:
    made = shared.datasets.build("read", "phantoms", "small")
    assert pl.DataFrame(pl.from_arrow(pq.read_table(made.path))).equals(made.frame)
    count = shared.sql(f"SELECT count(*), sum(close_now) FROM '{made.path}'").fetchall()[0]
    assert count == (200, pytest.approx(made.frame["close_now"].sum()))


def test_a_data_set_that_is_deleted_lets_go_of_its_versions(lk: lake.Lake) -> None:
    made = lk.datasets.build("gone", "phantoms", "small")
    assert made.manifest.tag in lk.tags()
    lk.datasets.delete("gone")
    assert made.manifest.tag not in lk.tags()
    assert lk.datasets.list() == []
    assert not Path(made.path).exists()
    with pytest.raises(UsageError, match="no such data set.*none yet"):
        lk.datasets.load("gone")


def test_a_rebuild_that_comes_out_with_other_bytes_leaves_the_file_that_is_there(
    lk: lake.Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one with another version of the library that writes it; a file that is damaged or gone is made again."""
    made = lk.datasets.build("kept", "phantoms", "small")
    held = Path(made.path).read_bytes()
    with monkeypatch.context() as newer:
        newer.setattr(stored, "write_parquet", lambda frame, sink: frame.write_parquet(sink, compression="zstd"))
        with pytest.raises(RebuildError, match="bytes of the file are not"):
            lk.datasets.rebuild(made.manifest)
    assert Path(made.path).read_bytes() == held
    for damage in (lambda path: path.write_bytes(held[:-9]), Path.unlink):
        damage(Path(made.path))
        with pytest.raises(CorruptLakeError):
            len(lk.datasets.load("kept").frame)
        assert lk.datasets.rebuild(made.manifest).frame.equals(made.frame)
        assert Path(made.path).read_bytes() == held


def test_a_rebuild_says_what_differs(lk: lake.Lake) -> None:
    made = lk.datasets.build("differs", "phantoms", "small")
    other = FeatureSet("small", 2, (Feature("change_3", pl.col("close"), 3), *SMALL.features[1:]))
    with pytest.raises(RebuildError, match="feature set small is another one.*fingerprint"):
        lk.datasets.rebuild(made.manifest, features=other)
    columns = {**made.manifest.columns, "close_now": "0" * 32}
    code = {**made.manifest.code, "polars": "0.1"}
    with pytest.raises(RebuildError, match=r"1 of 30 columns.*close_now.*polars .*, not 0.1"):
        lk.datasets.rebuild({**made.manifest.as_dict(), "columns": columns, "code": code})
    with pytest.raises(RebuildError, match="bytes of the file are not"):
        lk.datasets.rebuild({**made.manifest.as_dict(), "content": {"sha256": "0", "bytes": 1}})
    with pytest.raises(UsageError, match="no manifest"):
        lk.datasets.rebuild({"name": "x"})
    with pytest.raises(UsageError, match="there is no manifest"):
        lk.datasets.rebuild("nowhere/manifest.json")


def test_an_unregistered_set_is_given_again_for_a_rebuild(lk: lake.Lake) -> None:
    mine = FeatureSet("unregistered", 1, (Feature("up", pl.col("close") > pl.col("open"), 0, dtype=pl.Boolean),))
    made = lk.datasets.build("own", "phantoms", mine)
    with pytest.raises(RebuildError, match="not known here.*features=my_set"):
        lk.datasets.rebuild(made.manifest)
    assert lk.datasets.rebuild(made.manifest, features=mine).frame.equals(made.frame)


def test_a_damaged_file_is_noticed(lk: lake.Lake) -> None:
    made = lk.datasets.build("damaged", "phantoms", "small")
    raw = bytearray(Path(made.path).read_bytes())
    raw[len(raw) // 2] ^= 1
    Path(made.path).write_bytes(raw)
    with pytest.raises(CorruptLakeError, match="not what was written"):
        _ = lk.datasets.load("damaged").frame
    assert lk.datasets.rebuild(made.manifest).frame.equals(made.frame)
    assert lk.datasets.load("damaged").frame.equals(made.frame)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "../up"}, "letters, digits"),
        ({"source": "candles"}, "unknown source.*phantoms or decisions"),
        ({"features": "nothing"}, "no such feature set"),
        ({"start": datetime(2024, 1, 1)}, "naive"),  # noqa: DTZ001 - that is the test
        ({"start": at(5), "end": at(5)}, "end is not after start"),
        ({"symbols": []}, "symbols are"),
        ({"timeframe": "7m"}, "7m"),
        ({"labels": "guess"}, "unknown labels"),
        ({"half_life": timedelta(0)}, "half-life"),
        ({"fees": -1}, "fees"),
        ({"recorded": "yes"}, "recorded is"),
        ({"colour": 1}, "unknown arguments.*colour.*symbols"),
        ({"symbols": "NOPEUSDT"}, "no phantoms with a known outcome"),
        ({"end": datetime(2020, 1, 1, tzinfo=UTC)}, "none was decided then"),
        ({"at": 10_000}, "no such version"),
    ],
)
def test_wrong_use_is_told_and_leaves_nothing(shared: lake.Lake, arguments: dict[str, Any], message: str) -> None:
    before = shared.datasets.list(), shared.tags()
    given: dict[str, Any] = {"name": "wrong", "source": "phantoms", "features": "small", **arguments}
    with pytest.raises(lake.LakeError, match=message):
        shared.datasets.build(**given)
    assert (shared.datasets.list(), shared.tags()) == before


def test_candles_of_several_timeframes_need_one_to_be_named(lk: lake.Lake) -> None:
    lk.candles.write(bars("BTCUSDT", "binance").gather_every(5), "5m", symbol="BTCUSDT", venue="binance")
    lk.write("phantoms", [phantom(n, 600 + n, timeframe="5m") for n in range(4)])
    with pytest.raises(UsageError, match="which timeframe.*Give timeframe"):
        lk.datasets.build("which", "phantoms", "small")
    assert lk.datasets.build("told", "phantoms", "small", timeframe="1m").manifest.timeframe == "1m"


def test_asyncio_builds_and_loads(tmp_path: Path) -> None:
    with opened(tmp_path / "lake", 30):
        pass

    async def work() -> None:
        async with await lake.open_async(tmp_path / "lake") as alk:
            made = await alk.datasets.build("async", "phantoms", "small")
            assert (await alk.datasets.load("async")).frame.equals(made.frame)
            assert (await alk.datasets.rebuild(made.manifest)).frame.equals(made.frame)

    asyncio.run(work())


def test_versions_that_were_let_go_of_are_told(tmp_path: Path) -> None:
    with opened(tmp_path / "lake", 30) as lk:
        manifest = lk.datasets.build("lost", "phantoms", "small").manifest
        delete_tag(lk.store, manifest.tag)
        lk.write("phantoms", [phantom(n, 50 + n, outcome="loss") for n in range(30)])
        lk.drain()
        lk.compact()
    with lake.open(tmp_path / "lake", bot_id="bot") as lk:
        lk.vacuum(grace_hours=0)
        with pytest.raises(RebuildError, match="no longer holds the versions.*The tag dataset-lost-"):
            lk.datasets.rebuild(manifest)


def test_a_bucket_holds_data_sets_too(tmp_path: Path, moto: S3Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKE_HOT_FOLDER", str(tmp_path / "hot"))
    with lake.open(f"s3://{moto.new_bucket()}/lake", bot_id="bot", storage_options=moto.options) as lk:
        lk.candles.write(bars("BTCUSDT", "binance", 300), "1m", symbol="BTCUSDT", venue="binance")
        lk.write("phantoms", [phantom(2 * n, 20 + 9 * n, venue="binance", symbol="BTCUSDT") for n in range(20)])
        made = lk.datasets.build("remote", "phantoms", "small")
        assert made.path.startswith("s3://")
        assert lk.datasets.load("remote").frame.equals(made.frame)
        lk.write("phantoms", [phantom(0, 40, venue="binance", outcome="loss")])
        assert lk.datasets.rebuild(made.manifest).frame.equals(made.frame)
        assert made.audit().passed
        lk.datasets.delete("remote")
        assert lk.datasets.list() == []
