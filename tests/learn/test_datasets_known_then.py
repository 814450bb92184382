"""What examples hold is what was known when they were decided; which outcomes count, and when they were over."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import lake
from lake.errors import UsageError
from lake.learn.datasets import recording, sources
from lake.learn.models.examples import examples
from tests.learn.dataset_lakes import at, bars, phantom

SYMBOL = {"symbol": "BTCUSDT", "venue": "binance", "timeframe": "1m"}
DECISION = {
    **SYMBOL, "recommendation": "LONG", "confidence": 0.6, "entry_price": 100.0, "stop_loss": 99.0,
    "take_profit": 101.0, "reasoning": "the trend is up", "market_snapshot": {"rsi": 30},
}  # fmt: skip
RECORDED: dict[str, dict[str, Any]] = {
    "phantoms": {"ml_score": 55.0, "features": {"rsi": 30}},
    "decisions": {"confidence": 0.1, "market_snapshot": {"rsi": 30}},
    "predictions": {"probability": 0.1, "confidence": 0.2, "horizon_minutes": 15},
    "signals": {"strength": 60.0, "confidence": 0.1, "indicators": {"rsi": 30}},
}
STEP = {"confidence": 0.1, "probability": 0.1}
LATER: dict[str, dict[str, Any]] = {
    "phantoms": {"ml_score": 99.0, "features": {"rsi": 80}},
    "decisions": {"confidence": 0.9, "market_snapshot": {"rsi": 80}},
    "predictions": {"probability": 0.9, "confidence": 0.9, "horizon_minutes": 45},
    "signals": {"strength": 99.0, "confidence": 0.9, "indicators": {"rsi": 80}},
}
KEYS = {
    "phantoms": "phantom_id", "decisions": "decision_id", "predictions": "prediction_id", "signals": "signal_id"
}  # fmt: skip
TIMES = {
    "phantoms": "signal_time", "decisions": "analyzed_at", "predictions": "predicted_at", "signals": "signal_time"
}  # fmt: skip


def examples_of(lk: lake.Lake, source: str, count: int = 8) -> None:
    """Examples that ended, as a bot records them."""
    for number in range(count):
        name, moment, end = f"e{number}", at(100 + 10 * number), at(105 + 10 * number)
        told = {
            n: {"rsi": 30 + number} if isinstance(v, dict) else v + number * STEP.get(n, 1)
            for n, v in RECORDED[source].items()
        }
        row = {KEYS[source]: name, TIMES[source]: moment, **SYMBOL, **told}
        if source == "phantoms":
            row |= {k: v for k, v in phantom(number, 100).items() if k not in {*row, "symbol"}} | {"exit_time": end}
        elif source == "decisions":
            row |= {"recommendation": "LONG", "outcome_correct": number % 2 == 0, "outcome_recorded_at": end}
        elif source == "predictions":
            row |= {"predicted_direction": "UP", "correct": number % 2 == 0, "due_at": end, "resolved_at": end}
        else:
            row |= {"direction": "LONG", "signal_type": "BUY"}
            lk.write(
                "phantoms", phantom(number, 100, **{**SYMBOL, "signal_time": moment, "exit_time": end}, signal_id=name)
            )
        lk.write(source, row)


def inputs_of(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select("id", pl.col("^(recorded|features|market_snapshot|indicators)\\..*$")).sort("id")


@pytest.mark.parametrize("source", RECORDED)
def test_what_is_written_over_after_the_decision_is_in_no_example(tmp_path: Path, source: str) -> None:
    with lake.open(tmp_path / "lake", bot_id="bot") as lk:
        examples_of(lk, source)
        before = lk.datasets.build("before", source, None)
        lk.patch(source, "e2", LATER[source])
        lk.patch(source, "e3", {TIMES[source]: at(134)})  # as if it had been decided when the end was near
        row = lk.read(source, {KEYS[source]: "e4"}).drop("extra", "changed_inputs", "period").row(0, named=True)
        lk.write(source, {**row, **LATER[source]})
        made = lk.datasets.build("after", source, None)
        assert made.frame.equals(before.frame)
        assert before.manifest.notes == {}
        assert made.manifest.notes == {"inputs_changed_later": 3}
        assert made.audit().passed


@pytest.mark.parametrize("source", RECORDED)
def test_the_audit_finds_an_input_that_may_be_written_over_later(
    tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lake.open(tmp_path / "lake", bot_id="bot") as lk:
        examples_of(lk, source)
        made = lk.datasets.build("leaky", source, None)
        as_it_is_now = sources.statement(source).replace(f"{source}_as_decided", source)
        assert made.audit().passed
        monkeypatch.setattr(recording, "statement", lambda _: as_it_is_now)
        assert set(made.audit().leaking) <= set(inputs_of(made.frame).columns)
        assert made.audit().leaking


def test_a_rebuild_does_not_see_what_was_written_over_since(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake", bot_id="bot") as lk:
        examples_of(lk, "phantoms")
        made = lk.datasets.build("pinned", "phantoms", None)
        lk.patch("phantoms", "e1", LATER["phantoms"])
        lk.compact()
        assert lk.datasets.rebuild(made.manifest).frame.equals(made.frame)


def test_lessons_and_examples_tell_what_was_thought_then(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b") as lk:
        lk.decisions.record({**DECISION, "decision_id": "d", "analyzed_at": at(0)})
        lk.decisions.resolve("d", outcome_correct=False, actual_pnl_percent=-2.0, at=at(60))
        changes = {"reasoning": "I knew that it would fall", "confidence": 0.1, "recommendation": "SHORT"}
        lk.decisions.patch("d", **changes, market_snapshot={"rsi": 90})
        for _ in range(2):
            lesson = lk.lessons("BTCUSDT", before=at(999), features={"rsi": 30})
            assert 'BTCUSDT 1m LONG 60 %; thought: "the trend is up"' in lesson.text()
            assert lesson.frame["distance_features"].to_list() == [0.0]
            example = lk.read("training_examples").row(0, named=True)
            assert (example["confidence"], example["side"], json.loads(example["features"])) == (
                0.6,
                "LONG",
                {"rsi": 30},
            )
            assert lk.read("confidence_calibration")["confidence"].to_list() == [0.6]
            assert lk.read("prompt_performance")["avg_confidence"].to_list() == [0.6]
            lk.drain()


def test_statistics_of_scores_and_learning_data_are_of_the_scores_at_the_signal(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b") as lk:
        lk.write("phantoms", [ended(0, "win", 1.0, ml_score=20.0), ended(1, "loss", -1.0, ml_score=20.0)])
        assert lk.phantoms.stats()["ml_accuracy"].to_list() == [50.0]
        lk.patch("phantoms", "p0000", {"ml_score": 99.0, "features": {"rsi": 99}})
        assert lk.phantoms.stats()["ml_accuracy"].to_list() == [50.0]
        learning = lk.phantoms.learning_data()
        assert learning.select("ml_score", "feature_rsi").rows() == [(20.0, 30.0), (20.0, 31.0)]


def ended(number: int, outcome: str, gain: float, **more: Any) -> dict[str, Any]:
    plain = {"symbol": "BTCUSDT", "venue": "binance", "outcome": outcome, "realized_rr": gain, "pnl_percent": gain}
    return phantom(number, 100 + 5 * number, **plain, **more)


def test_breakevens_and_timeouts_count_as_not_won_with_what_they_made(tmp_path: Path) -> None:
    made = {"win": 1.5, "loss": -1.0, "breakeven": 0.0, "timeout": 0.4}
    with lake.open(tmp_path / "lake", bot_id="bot") as lk:
        lk.write("phantoms", [ended(n, outcome, made[outcome]) for n, outcome in enumerate([*made] * 10)])
        dataset = lk.datasets.build("all", "phantoms", None)
        taught = examples(dataset)
        assert (taught.gain_name, len(taught), taught.left_out) == ("label_rr", 40, 0)
        assert [(y, gain) for y, gain in zip(taught.y, taught.gain, strict=True)] == [
            (1.0, 1.5), (0.0, -1.0), (0.0, 0.0), (0.0, 0.4)
        ] * 10  # fmt: skip
        decided = lk.datasets.build("decided", "phantoms", None, neutral="left_out").frame
        assert decided["label_win"].to_list() == [True, False, None, None] * 10
        assert decided["label_rr"].to_list() == [1.5, -1.0, 0.0, 0.4] * 10
        with pytest.raises(UsageError, match="unknown neutral.*It is not_won or left_out"):
            lk.datasets.build("wrong", "phantoms", None, neutral="win")


def test_ambiguous_ends_are_left_out_unless_they_are_asked_for(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake", bot_id="bot") as lk:
        lk.write("phantoms", [ended(0, "win", 1.0), ended(1, "loss", -1.0, ambiguous=True)])
        made = lk.datasets.build("sure", "phantoms", None)
        assert (made.frame["label_win"].to_list(), made.manifest.excluded) == ([True], {"ambiguous": 1})
        kept = lk.datasets.build("kept", "phantoms", None, ambiguous=True)
        assert (kept.frame["label_win"].to_list(), kept.manifest.excluded) == ([True, False], {})
        with pytest.raises(UsageError, match="ambiguous is True or False"):
            lk.datasets.build("wrong", "phantoms", None, ambiguous="yes")  # type: ignore[typeddict-item]


def test_a_candle_with_stop_and_target_is_ambiguous_when_labels_are_made(tmp_path: Path) -> None:
    candle = {**SYMBOL, "open": 100.0, "close": 100.0, "volume": 1.0, "high": 100.1, "low": 99.9}
    candles = [{**candle, "open_time": at(n), **({"high": 110.0, "low": 90.0} if n == 50 else {})} for n in range(90)]
    with lake.open(tmp_path / "lake", bot_id="b") as lk:
        lk.write("candles", candles)
        wide = phantom(0, 40, entry_price=100.0, symbol="BTCUSDT", venue="binance", timeout_at=at(80))
        late = phantom(2, 60, entry_price=100.0, symbol="BTCUSDT", venue="binance", timeout_at=at(80))
        lk.write("phantoms", [wide, late])
        made = lk.datasets.build("sure", "phantoms", None, labels="candles")
        assert (made.frame["label_outcome"].to_list(), made.manifest.excluded) == (["timeout"], {"ambiguous": 1})
        kept = lk.datasets.build("kept", "phantoms", None, labels="candles", ambiguous=True)
        assert kept.frame["label_outcome"].to_list() == ["loss", "timeout"]


def label_time(lk: lake.Lake, name: str) -> tuple[datetime, datetime]:
    """By the data set and by the view."""
    made = lk.datasets.build(f"t-{name}", "decisions", None).frame
    seen = lk.read("training_examples", {"kind": "decision"})
    return tuple(frame.filter(pl.col("id") == name)["label_time"].item() for frame in (made, seen))  # type: ignore[return-value]


def test_a_decision_labelled_from_candles_was_over_when_its_level_was_reached(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake", bot_id="bot") as lk:
        lk.candles.write(bars("BTCUSDT", "binance"), "1m", symbol="BTCUSDT", venue="binance")
        lk.decisions.record({**DECISION, "decision_id": "d", "analyzed_at": at(100)})
        before = datetime.now(at(0).tzinfo)
        assert lk.label("decisions").labelled == 1
        row = lk.decisions.get("d")
        assert row is not None
        over = at(100) + timedelta(minutes=row["hold_duration_minutes"])
        assert over < at(1600) < before < row["outcome_recorded_at"]
        assert label_time(lk, "d") == (over, over)
        assert lk.read("training_examples")["known_at"].item() == row["outcome_recorded_at"]
        assert lk.datasets.build("sooner", "decisions", None).frame["label_time"].max() == over
        with pytest.raises(UsageError, match="1 known_later"):
            lk.datasets.build("then", "decisions", None, end=at(1600))


def test_a_decision_that_was_traded_was_over_when_its_last_trade_closed(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake", bot_id="bot") as lk:
        for name in ("linked", "named", "given"):
            lk.decisions.record({**DECISION, "decision_id": name, "analyzed_at": at(100)})
        trade = {**SYMBOL, "side": "LONG", "status": "closed", "quantity": 1.0, "pnl": 1.0, "opened_at": at(101)}
        lk.write("trades", [
            {**trade, "trade_id": "t1", "decision_id": "linked", "closed_at": at(140)},
            {**trade, "trade_id": "t2", "decision_id": "linked", "closed_at": at(150)},
            {**trade, "trade_id": "t3", "closed_at": at(130)},
        ])  # fmt: skip
        lk.decisions.attach("named", "t3")
        assert lk.decisions.resolve_traded().resolved == 2
        lk.decisions.resolve("given", outcome_correct=True, hold_duration_minutes=3.0, at=at(700))
        times = {name: label_time(lk, name) for name in ("linked", "named", "given")}
        assert times == {"linked": (at(150),) * 2, "named": (at(130),) * 2, "given": (at(700),) * 2}


def signal(name: str, minute: float, **more: Any) -> dict[str, Any]:
    levels = {"entry_price": 100.0, "stop_loss": 99.0, "direction": "LONG", "signal_type": "BUY"}
    return {"signal_id": name, **SYMBOL, **levels, "signal_time": at(minute), **more}


def test_of_several_phantoms_of_a_signal_the_one_that_came_with_it_counts_however_it_ended(tmp_path: Path) -> None:
    def follows(number: int, name: str, minute: float, **more: Any) -> dict[str, Any]:
        return ended(number, signal_id=name, **{"outcome": "win", "gain": 1.0, "signal_time": at(minute), **more})

    with lake.open(tmp_path / "lake", bot_id="bot") as lk:
        lk.write("signals", [signal(name, 100) for name in ("alone", "time", "levels", "first", "open")])
        lk.write("phantoms", [
            follows(0, "alone", 100),
            follows(1, "time", 103, exit_time=at(104)), follows(2, "time", 100, outcome="loss", exit_time=at(300)),
            follows(3, "levels", 100, stop_loss=98.0, exit_time=at(104)), follows(4, "levels", 100, outcome="loss"),
            follows(6, "first", 100, exit_time=at(104)), follows(5, "first", 100, outcome="loss", exit_time=at(300)),
            follows(7, "open", 100, status="active", outcome=None, exit_time=None),
            follows(8, "open", 101, exit_time=at(104)),
        ])  # fmt: skip
        made = lk.datasets.build("several", "signals", None)
        found = dict(made.frame.select("id", "label_outcome").iter_rows())
        assert found == {"alone": "win", "time": "loss", "levels": "loss", "first": "loss"}
        assert made.manifest.notes == {"several_phantoms": 3}
        assert made.manifest.excluded == {"unresolved": 1}


def test_of_several_trades_of_a_signal_the_one_that_was_opened_first_counts(tmp_path: Path) -> None:
    trade = {**SYMBOL, "side": "LONG", "status": "closed", "quantity": 1.0, "signal_id": "s"}
    with lake.open(tmp_path / "lake", bot_id="bot") as lk:
        lk.write("signals", [signal("s", 100)])
        lk.write("trades", [
            {**trade, "trade_id": "a", "opened_at": at(102), "closed_at": at(105), "pnl": 5.0},
            {**trade, "trade_id": "b", "opened_at": at(101), "closed_at": at(200), "pnl": -5.0},
            {**trade, "trade_id": "c", "opened_at": at(100), "status": "cancelled"},
        ])  # fmt: skip
        made = lk.datasets.build("several", "signals", None)
        assert (made.frame["label_outcome"].to_list(), made.manifest.notes) == (["loss"], {"several_trades": 1})
