"""The life of a decision: what was said, what was done, and how it came out, however late."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import lake
from lake.errors import InvalidRowError, InvalidTimeError, LifeCycleError, UnknownRowError, UsageError
from lake.ledgers import unseen
from lake.ledgers.resolving import resolve_traded
from tests.helpers import finished, spawned

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SAID = {"symbol": "BTC/USDT", "timeframe": "1h", "recommendation": "LONG", "confidence": 0.75}
LONG = {"symbol": "BTC/USDT", "side": "LONG", "quantity": 2.0, "entry_price": 100.0}


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake", bot_id="tester") as opened:
        yield opened


def row(lk: lake.Lake, decision_id: str = "d") -> dict[str, Any]:
    found = lk.decisions.get(decision_id)
    assert found is not None
    return found


def outcome(lk: lake.Lake, decision_id: str = "d") -> tuple[Any, ...]:
    found = row(lk, decision_id)
    return found["outcome_correct"], found["actual_pnl"], found["actual_pnl_percent"]


def test_all_that_a_model_saw_and_said_is_kept(lk: lake.Lake) -> None:
    seen = {"price": {"current": 42500.5}, "indicators": {"rsi_14": 58.5}}
    call = {"prompt_version": "v1", "model_version": "m-1", "latency_ms": 812.5, "input_tokens": 900}
    cost = {"output_tokens": 120, "cost_usd": 0.02, "skip_reason": "low_confidence", "mood": "calm"}
    receipt = lk.decisions.record(SAID, market_snapshot=seen, raw_response="no JSON at all", **call, **cost)
    found = row(lk, receipt.id)
    assert json.loads(found["market_snapshot"]) == seen
    assert json.loads(found["raw_response"]) == "no JSON at all"
    assert json.loads(found["extra"]) == {"mood": "calm"}
    assert {name: found[name] for name in call} == call
    assert (found["symbol"], found["bot_id"], found["traded"]) == ("BTCUSDT", "tester", False)
    assert (found["skip_reason"], found["outcome_recorded_at"]) == ("low_confidence", None)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"confidence": 75}, r"confidence: a confidence is 0-1, not percent \(got 75\). Give 0.75 for 75 %"),
        ({"confidence": 75.5}, "Give 0.755 for 75.5 %"),
        ({"confidence": 101}, "out of range"),
        ({"confidence": -0.1}, "out of range"),
        ({"recommendation": "BUY"}, "one of LONG, SHORT, HOLD"),
        ({"cost_usd": -1.0}, "out of range"),
        ({"analyzed_at": datetime(2026, 3, 1)}, "naive"),  # noqa: DTZ001
    ],
)
def test_a_decision_that_cannot_be_is_refused_whole(lk: lake.Lake, values: dict[str, Any], message: str) -> None:
    for more in ({}, {"decision_id": "d"}):
        with pytest.raises(InvalidRowError, match=message):
            lk.decisions.record({**SAID, **values, **more})
    assert lk.read("decisions").is_empty()


@pytest.mark.parametrize(
    ("said", "side", "exit_price", "right", "pnl"),
    [
        ("LONG", "LONG", 110.0, True, 19.0),
        ("LONG", "LONG", 100.4, False, -0.2),  # the fees took it
        ("LONG", "LONG", 100.5, False, 0.0),
        ("SHORT", "SHORT", 110.0, False, -21.0),
        ("SHORT", "SHORT", 90.0, True, 19.0),
        ("LONG", "SHORT", 90.0, False, 19.0),  # somebody traded against it, and was right
        ("LONG", "SHORT", 110.0, True, -21.0),
        ("HOLD", "LONG", 110.0, None, 19.0),
        (None, "LONG", 110.0, None, 19.0),
    ],
)
def test_an_outcome_is_taken_from_the_closed_trade(
    lk: lake.Lake, said: str, side: str, exit_price: float, right: bool | None, pnl: float
) -> None:
    lk.decisions.record(SAID, decision_id="d", recommendation=said, analyzed_at=NOON)
    lk.trades.open(LONG, side=side, trade_id="t", decision_id="d", opened_at=NOON, leverage=2.0, fees=1.0)
    with pytest.raises(LifeCycleError, match="d: it has no closed trade"):
        lk.decisions.resolve("d")
    lk.trades.patch("t", max_favorable=111.0, max_adverse=99.0)
    lk.trades.close("t", exit_price, closed_at=NOON + timedelta(minutes=90))
    assert lk.decisions.resolve("d").updated == 1
    assert outcome(lk) == (right, pytest.approx(pnl, abs=1e-9), pytest.approx(pnl, abs=1e-9))  # of a margin of 100
    found = row(lk)
    assert (found["max_favorable"], found["max_adverse"], found["hold_duration_minutes"]) == (111.0, 99.0, 90.0)
    assert (found["traded"], found["trade_id"]) == (True, "t")
    assert lk.decisions.resolve("d").unchanged == 1


def test_an_outcome_is_recorded_once_and_changed_only_as_a_correction(lk: lake.Lake) -> None:
    lk.decisions.record(SAID, decision_id="d")
    lk.decisions.resolve("d", outcome_correct=True, actual_pnl=5, at=NOON)
    assert row(lk)["outcome_recorded_at"] == NOON
    assert lk.decisions.resolve("d", outcome_correct=True).unchanged == 1
    assert lk.decisions.resolve("d", outcome_correct=True, actual_pnl=5.0).unchanged == 1
    assert row(lk)["outcome_recorded_at"] == NOON
    with pytest.raises(LifeCycleError, match=r"another outcome is recorded. Correct it with lk.decisions.correct"):
        lk.decisions.resolve("d", outcome_correct=False)
    with pytest.raises(LifeCycleError, match="another outcome"):
        lk.decisions.resolve("d", max_adverse=90.0)
    assert lk.decisions.correct("d", outcome_correct=False, actual_pnl=-1.0, at=NOON + timedelta(days=1)).updated == 1
    assert outcome(lk) == (False, -1.0, None)
    assert row(lk)["outcome_recorded_at"] == NOON + timedelta(days=1)  # nobody knew it before


def test_what_is_given_goes_before_what_the_trade_says(lk: lake.Lake) -> None:
    lk.decisions.record(SAID, decision_id="d")
    lk.trades.open(LONG, trade_id="t", decision_id="d")
    lk.trades.close("t", 110.0)
    lk.decisions.resolve("d", outcome_correct=False, max_adverse=98.0)
    assert outcome(lk) == (False, 20.0, 10.0)
    assert row(lk)["max_adverse"] == 98.0
    assert lk.decisions.resolve("d", outcome_correct=False, max_adverse=98.0).unchanged == 1


def test_several_trades_of_a_decision_count_as_one_when_all_have_ended(lk: lake.Lake) -> None:
    lk.decisions.record(SAID, decision_id="d")
    end = NOON + timedelta(hours=2)
    for number in range(2):
        lk.trades.open(LONG, trade_id=f"t{number}", decision_id="d", opened_at=NOON, max_favorable=110.0 + number)
    lk.trades.close("t0", 110.0, closed_at=NOON)
    lk.trades.open(LONG, trade_id="c", decision_id="d", status="pending")
    lk.trades.cancel("c")
    lk.trades.record(LONG, trade_id="b", decision_id="d", mode="backtest", status="closed", exit_price=1.0)
    with pytest.raises(LifeCycleError, match="no closed trade"):
        lk.decisions.resolve("d")
    lk.trades.close("t1", 95.0, closed_at=end)
    lk.decisions.resolve("d")
    assert outcome(lk) == (True, 10.0, 2.5)
    assert (row(lk)["hold_duration_minutes"], row(lk)["max_favorable"], row(lk)["trade_id"]) == (120.0, 111.0, None)


def test_a_decision_may_come_after_its_trade_and_its_outcome_days_later(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="tester") as lk:
        lk.trades.open(LONG, trade_id="t", decision_id="d")
        lk.trades.close("t", 110.0)
        lk.drain()
        with pytest.raises(UnknownRowError, match="'d'"):
            lk.decisions.resolve("d")
        lk.decisions.record(SAID, decision_id="d", analyzed_at=NOON)
        lk.decisions.record(SAID, decision_id="late", analyzed_at=NOON)
        lk.drain()
        lk.compact()
    with lake.open(tmp_path, bot_id="tester") as lk:
        assert [r["decision_id"] for r in lk.decisions.unresolved()] == ["d", "late"]
        lk.decisions.resolve("d")
        lk.decisions.attach("late", "t2")
        lk.drain()
        lk.trades.open(LONG, trade_id="t2")
        lk.trades.close("t2", 90.0)
        lk.decisions.resolve("late", at=NOON + timedelta(days=5))
        lk.drain()
        assert (outcome(lk), outcome(lk, "late")) == ((True, 20.0, 10.0), (False, -20.0, -10.0))
        assert lk.decisions.unresolved() == []
        assert lk.frame("SELECT count(*) FROM decisions").item() == 2


def test_a_trade_is_attached_once(lk: lake.Lake) -> None:
    lk.decisions.record(SAID, decision_id="d", skip_reason="no_slots")
    assert lk.decisions.attach("d", "t").updated == 1
    assert lk.decisions.attach("d", "t").unchanged == 1
    assert (row(lk)["traded"], row(lk)["trade_id"], row(lk)["skip_reason"]) == (True, "t", None)
    with pytest.raises(LifeCycleError, match="the trade t came of it.*this decision_id"):
        lk.decisions.attach("d", "u")
    with pytest.raises(UnknownRowError, match="'d9'"):
        lk.decisions.attach("d9", "t")


def test_recording_a_decision_again_adds_to_it_and_keeps_its_outcome(lk: lake.Lake) -> None:
    lk.decisions.record(SAID, decision_id="d")
    first = row(lk)
    assert lk.decisions.record(SAID, decision_id="d").unchanged == 1
    assert row(lk) == first
    assert lk.decisions.record(SAID, decision_id="d", analyzed_at=None, entry_price=None, traded=None).unchanged == 1
    lk.decisions.record(SAID, decision_id="d", mood="calm")
    lk.decisions.record(SAID, decision_id="d", timestamp=first["analyzed_at"], weather="fair")
    assert json.loads(row(lk)["extra"]) == {"mood": "calm", "weather": "fair"}
    lk.decisions.resolve("d", outcome_correct=True)
    assert lk.decisions.record(SAID, decision_id="d", reasoning="trend").updated == 1
    assert (row(lk)["reasoning"], row(lk)["outcome_correct"]) == ("trend", True)
    assert row(lk)["analyzed_at"] == first["analyzed_at"]
    known_at = row(lk)["outcome_recorded_at"]
    assert lk.decisions.record(SAID, decision_id="d", outcome_correct=True).unchanged == 1
    assert row(lk)["outcome_recorded_at"] == known_at
    for change in ({"recommendation": "SHORT"}, {"outcome_correct": False}):
        with pytest.raises(LifeCycleError, match="another outcome"):
            lk.decisions.record({**SAID, "decision_id": "d", **change})


def test_an_outcome_that_comes_with_a_decision_was_not_known_before_it_was_recorded(lk: lake.Lake) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    lk.decisions.record(SAID, decision_id="d", analyzed_at=NOON, outcome_correct=True)
    lk.decisions.record(SAID, decision_id="e", analyzed_at=NOON, outcome_correct=True, outcome_recorded_at=NOON)
    assert row(lk, "d")["outcome_recorded_at"] > before
    assert row(lk, "e")["outcome_recorded_at"] == NOON


def test_an_outcome_that_cannot_be_is_refused_and_leaves_the_decision(lk: lake.Lake) -> None:
    lk.decisions.record(SAID, decision_id="d")
    before = row(lk)
    with pytest.raises(InvalidRowError, match=r"decisions\.actual_pnl"):
        lk.decisions.resolve("d", actual_pnl="much")  # type: ignore[arg-type]
    with pytest.raises(InvalidRowError, match=r"decisions\.hold_duration_minutes"):
        lk.decisions.resolve("d", hold_duration_minutes=-1.0)
    with pytest.raises(UsageError, match=r"no part of an outcome \(got 'pnl'\)"):
        lk.decisions.resolve("d", pnl=1.0)
    with pytest.raises(InvalidTimeError, match="at: a naive time"):
        lk.decisions.resolve("d", actual_pnl=1.0, at=datetime(2026, 3, 1))  # noqa: DTZ001
    assert row(lk) == before


def test_a_hold_waits_for_nothing_but_may_be_judged(lk: lake.Lake) -> None:
    lk.decisions.record(SAID, decision_id="h", recommendation="HOLD")
    lk.decisions.record(SAID, decision_id="d", analyzed_at=datetime.now(UTC) - timedelta(minutes=30))
    lk.decisions.record(SAID, decision_id="new")
    assert [r["decision_id"] for r in lk.decisions.unresolved()] == ["d", "new"]
    assert [r["decision_id"] for r in lk.decisions.unresolved(older_than_minutes=20)] == ["d"]
    with pytest.raises(LifeCycleError, match="no closed trade"):
        lk.decisions.resolve("h")
    lk.decisions.resolve("h", outcome_correct=True)
    assert lk.read("decisions", {"decision_id": "h"})["outcome_correct"].to_list() == [True]
    assert [r["decision_id"] for r in lk.decisions.unresolved()] == ["d", "new"]


def test_a_trade_and_its_decision_end_in_one_commit(lk: lake.Lake) -> None:
    with lk.transaction():
        lk.decisions.record(SAID, decision_id="d")
        lk.trades.open(LONG, trade_id="t", decision_id="d")
        lk.decisions.attach("d", "t")
    with lk.transaction():
        lk.trades.close("t", 110.0)
        lk.decisions.resolve("d")
        assert outcome(lk) == (None, None, None)
    assert outcome(lk) == (True, 20.0, 10.0)


def _resolve_elsewhere(uri: str) -> None:
    with lake.open(uri) as lk:
        for decision in lk.decisions.unresolved():
            lk.decisions.resolve(decision["decision_id"], actual_pnl=1.0)


def test_a_job_resolves_what_a_running_bot_recorded(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="tester") as lk:
        lk.decisions.record(SAID, decision_id="d")
        finished(spawned(_resolve_elsewhere, str(tmp_path)))
        assert outcome(lk) == (True, 1.0, None)
        assert lk.decisions.unresolved() == []
        assert lk.decisions.resolve("d", actual_pnl=1.0).unchanged == 1
        assert row(lk)["bot_id"] == "tester"


@pytest.mark.parametrize("bot", ["desk/../../btc", "a" * 300, "bot ü"])
def test_decisions_of_a_bot_are_resolved_whatever_it_is_called(tmp_path: Path, bot: str) -> None:
    with lake.open(tmp_path / "lake", bot_id=bot) as lk:
        lk.decisions.record(SAID, decision_id="d")
        lk.trades.record(trade_id="t", symbol="BTCUSDT", side="LONG", status="closed", pnl=1.0, decision_id="d")
        assert lk.decisions.resolve_traded().resolved == 1
        assert [entry.path.count("/") for entry in lk.location.list("_lake/seen")] == [2]
    assert [path.name for path in tmp_path.iterdir()] == ["lake"]


def test_decisions_are_recorded_and_resolved_by_tasks(tmp_path: Path) -> None:
    async def work() -> None:
        async with await lake.open_async(tmp_path, bot_id="tester") as alk:
            made = await asyncio.gather(*(alk.decisions.record(SAID, confidence=n / 10) for n in range(10)))
            await asyncio.gather(*(alk.decisions.resolve(m.id, outcome_correct=n > 4) for n, m in enumerate(made)))
            found = await alk.sql("SELECT outcome_correct, count(*) FROM decisions GROUP BY ALL ORDER BY ALL")
            assert found.rows() == [(False, 5), (True, 5)]
            assert await alk.decisions.unresolved() == []

    asyncio.run(work())


def test_outcomes_are_taken_from_trades_once_these_have_ended(lk: lake.Lake) -> None:
    for name, values in {
        "d": {},
        "open": {},
        "two": {},
        "h": {"recommendation": "HOLD"},
        "named": {"trade_id": "n"},
    }.items():
        lk.decisions.record(SAID, decision_id=name, prompt_version="v1", **values)
    lk.decisions.record(SAID, decision_id="own", outcome_correct=False)
    lk.decisions.record(SAID, decision_id="alone")
    for trade_id, name in {"a": "d", "b": "open", "c": "two", "e": "two", "f": "h", "g": "own"}.items():
        lk.trades.open(LONG, trade_id=trade_id, decision_id=name)
    lk.trades.open(LONG, trade_id="n")
    lk.trades.record(LONG, trade_id="x", decision_id="alone", mode="backtest", status="closed", exit_price=1.0)
    assert lk.decisions.resolve_traded().as_dict() == {"resolved": 0, "corrected": 0}
    for trade_id in "acfgn":
        lk.trades.close(trade_id, 110.0)
    assert lk.decisions.resolve_traded().as_dict() == {"resolved": 2, "corrected": 0}
    assert outcome(lk) == outcome(lk, "named") == (True, 20.0, 10.0)
    assert row(lk)["outcome_source"] == "trade"
    assert [outcome(lk, name)[0] for name in ("open", "two", "h", "own", "alone")] == [None, None, None, False, None]
    lk.trades.close("e", 80.0)
    lk.drain()
    assert lk.decisions.resolve_traded().as_dict() == {"resolved": 1, "corrected": 0}
    assert outcome(lk, "two") == (False, -20.0, -5.0)
    before = lk.read("decisions").sort("decision_id")
    assert lk.decisions.resolve_traded().as_dict() == {"resolved": 0, "corrected": 0}
    assert lk.read("decisions").sort("decision_id").equals(before)
    assert lk.read("prompt_performance", {"prompt_version": "v1"})["resolved"].to_list() == [3]
    assert lk.read("confidence_calibration", {"prompt_version": "v1"})["n"].sum() == 3


def test_an_outcome_taken_from_a_trade_follows_its_corrections_and_one_that_was_given_does_not(lk: lake.Lake) -> None:
    for name in ("d", "e", "own", "part"):
        lk.decisions.record(SAID, decision_id=name, prompt_version="v1")
        lk.trades.open(LONG, trade_id=f"t-{name}", decision_id=name)
        lk.trades.close(f"t-{name}", 110.0)
    lk.decisions.resolve("d", at=NOON)
    lk.decisions.resolve("e", at=NOON)
    lk.decisions.resolve("own", outcome_correct=True, actual_pnl=20.0)
    lk.decisions.resolve("part", outcome_correct=True)
    for name in ("d", "e", "own", "part"):
        lk.trades.correct(f"t-{name}", exit_price=90.0)
    assert lk.decisions.resolve("e").updated == 1
    assert lk.decisions.resolve("e").unchanged == 1
    assert lk.decisions.resolve_traded().as_dict() == {"resolved": 0, "corrected": 1}
    assert lk.decisions.resolve_traded().as_dict() == {"resolved": 0, "corrected": 0}
    for name in ("d", "e"):
        assert outcome(lk, name) == (False, -20.0, -10.0)
        assert [(o["outcome_correct"], o["actual_pnl"]) for o in json.loads(row(lk, name)["outcome_history"])] == [
            (True, 20.0)
        ]
        assert row(lk, name)["outcome_recorded_at"] > NOON
    assert outcome(lk, "own") == outcome(lk, "part") == (True, 20.0, 10.0)
    with pytest.raises(LifeCycleError, match="another outcome"):
        lk.decisions.resolve("own")
    assert lk.read("prompt_performance")["correct"].to_list() == [2]
    labels = lk.frame("SELECT label_outcome FROM training_examples WHERE decision_id = 'd'")
    assert labels["label_outcome"].unique().to_list() == ["loss"]


@pytest.mark.parametrize("end", ["open", "cancelled", "closed"])
def test_an_outcome_is_withdrawn_when_its_trade_is_not_over_after_all(lk: lake.Lake, end: str) -> None:
    lk.decisions.record(SAID, decision_id="d", prompt_version="v1", analyzed_at=NOON)
    trade_id = lk.trades.open(LONG, decision_id="d", opened_at=NOON).id
    lk.trades.close(trade_id, 99.0)
    assert (lk.decisions.resolve_traded().resolved, outcome(lk)) == (1, (False, -2.0, -1.0))
    lk.trades.correct(trade_id, status="open")
    if end == "cancelled":
        lk.trades.cancel(trade_id)
    if end == "closed":
        lk.trades.close(trade_id, 101.0)
    assert lk.decisions.resolve_traded().as_dict() == {"resolved": 0, "corrected": 1}
    assert lk.decisions.resolve_traded().as_dict() == {"resolved": 0, "corrected": 0}
    assert [former["actual_pnl"] for former in json.loads(row(lk)["outcome_history"])] == [-2.0]
    if end == "closed":
        assert outcome(lk) == (True, 2.0, 1.0)
        return
    assert (outcome(lk), row(lk)["outcome_recorded_at"]) == ((None, None, None), None)
    assert [known["decision_id"] for known in lk.decisions.unresolved()] == ["d"]
    assert lk.prompts.compare()["accuracy"].to_list() == [None]
    if end == "open":
        lk.trades.close(trade_id, 102.0)
        assert (lk.decisions.resolve_traded().resolved, outcome(lk)) == (1, (True, 4.0, 2.0))


@pytest.mark.parametrize("end", ["open", "cancelled"])
def test_an_outcome_of_several_trades_is_withdrawn_when_none_of_them_is_over_after_all(lk: lake.Lake, end: str) -> None:
    lk.decisions.record(SAID, decision_id="d")
    trades = [lk.trades.open(LONG, decision_id="d").id for _ in range(2)]
    for trade_id in trades:
        lk.trades.close(trade_id, 99.0)
    assert (lk.decisions.resolve_traded().resolved, outcome(lk)) == (1, (False, -4.0, -1.0))
    for trade_id in trades:
        lk.trades.correct(trade_id, status="open")
        if end == "cancelled":
            lk.trades.cancel(trade_id)
    assert lk.decisions.resolve_traded().as_dict() == {"resolved": 0, "corrected": 1}
    assert lk.decisions.resolve_traded().as_dict() == {"resolved": 0, "corrected": 0}
    assert (outcome(lk), row(lk)["outcome_recorded_at"]) == ((None, None, None), None)
    assert [former["actual_pnl"] for former in json.loads(row(lk)["outcome_history"])] == [-4.0]


@pytest.mark.parametrize("drained", [False, True])
def test_an_outcome_of_several_trades_is_withdrawn_when_one_of_them_is_not_over_after_all(
    lk: lake.Lake, drained: bool
) -> None:
    lk.decisions.record(SAID, decision_id="d")
    lk.decisions.record(SAID, decision_id="again")
    trades = [lk.trades.open(LONG, decision_id="d").id for _ in range(2)]
    for trade_id, price in zip(trades, (110.0, 99.0), strict=True):
        lk.trades.close(trade_id, price)
    lk.trades.close(lk.trades.open(LONG, decision_id="again").id, 110.0)
    assert (lk.decisions.resolve_traded().resolved, outcome(lk)) == (2, (True, 18.0, 4.5))
    if drained:
        lk.drain()
    lk.trades.correct(trades[1], status="open")
    lk.trades.open(LONG, decision_id="again")  # one that was traded again has the outcome of what was over
    assert lk.decisions.resolve_traded().as_dict() == {"resolved": 0, "corrected": 1}
    assert lk.decisions.resolve_traded().as_dict() == {"resolved": 0, "corrected": 0}
    assert (outcome(lk), row(lk)["outcome_recorded_at"]) == ((None, None, None), None)
    assert outcome(lk, "again") == (True, 20.0, 10.0)
    assert [former["actual_pnl"] for former in json.loads(row(lk)["outcome_history"])] == [18.0]
    lk.trades.close(trades[1], 80.0)
    assert (lk.decisions.resolve_traded().resolved, outcome(lk)) == (1, (False, -20.0, -5.0))


@pytest.mark.parametrize("looked", [False, True])
def test_figures_of_a_prompt_are_the_same_whether_or_not_an_outcome_was_taken_that_is_withdrawn(
    lk: lake.Lake, looked: bool
) -> None:
    for name in ("never", "on", "attached"):
        lk.decisions.record(SAID, decision_id=name, prompt_version="v1")
        lk.trades.open(LONG, trade_id=name, decision_id=None if name == "attached" else name)
    lk.decisions.attach("attached", "attached")
    for name in ("never", "on", "attached"):
        lk.trades.close(name, 110.0)
    if looked:
        assert lk.decisions.resolve_traded().resolved == 3
    for name in ("never", "on", "attached"):
        lk.trades.correct(name, status="open")
    for name in ("never", "attached"):
        lk.trades.cancel(name)
    assert lk.decisions.resolve_traded().corrected == 3 * looked
    assert lk.decisions.resolve_traded().as_dict() == {"resolved": 0, "corrected": 0}
    (figures,) = lk.read("prompt_performance").to_dicts()
    assert (figures["traded"], figures["closed"], figures["resolved"]) == (2, 0, 0)
    assert [row(lk, name)["trade_id"] for name in ("never", "attached")] == [None, "attached"]


def test_an_outcome_whose_trades_were_removed_stays_when_another_trade_of_its_decision_is_not_over(
    lk: lake.Lake,
) -> None:
    lk.decisions.record(SAID, decision_id="d")
    lk.trades.cancel(lk.trades.open(LONG, trade_id="never", decision_id="d", status="pending").id)
    for _ in range(2):
        lk.trades.close(lk.trades.open(LONG, decision_id="d").id, 99.0)
    assert (lk.decisions.resolve_traded().resolved, outcome(lk)) == (1, (False, -4.0, -1.0))
    lk.retain({"trades": 0})
    lk.trades.cancel(lk.trades.open(LONG, decision_id="d", status="pending").id)
    lk.trades.open(LONG, decision_id="d")
    assert lk.decisions.resolve_traded().as_dict() == {"resolved": 0, "corrected": 0}
    assert outcome(lk) == (False, -4.0, -1.0)


@pytest.mark.parametrize("attached", [False, True])
def test_an_outcome_of_several_trades_stays_when_retention_has_removed_one_of_them(
    lk: lake.Lake, attached: bool
) -> None:
    now = datetime.now(UTC)
    begun = now - timedelta(days=50)
    lk.decisions.record(SAID, decision_id="d", analyzed_at=begun)
    lk.decisions.record(SAID, decision_id="one", analyzed_at=begun)
    for trade_id, decision_id, days in (("t0", "d", 40), ("t1", "d", 10), ("t2", "one", 10)):
        lk.trades.open(LONG, trade_id=trade_id, decision_id=decision_id, created_at=begun)
        lk.trades.close(trade_id, 110.0 if days == 40 else 80.0, closed_at=now - timedelta(days=days))
    if attached:
        lk.decisions.attach("d", "t0")
    assert (lk.decisions.resolve_traded().resolved, outcome(lk)) == (2, (False, -20.0, -5.0))
    assert lk.retain({"trades": 30})["trades"].rows_removed == 1
    assert lk.decisions.resolve_traded().as_dict() == {"resolved": 0, "corrected": 0}
    assert lk.decisions.resolve("d").unchanged == 1
    assert outcome(lk) == (False, -20.0, -5.0)
    lk.trades.correct("t2", exit_price=120.0)  # of one trade that is there all is known
    assert lk.decisions.resolve_traded().as_dict() == {"resolved": 0, "corrected": 1}
    assert outcome(lk, "one") == (True, 40.0, 20.0)


@pytest.mark.parametrize("of_another", [False, True])
def test_a_closed_trade_stays_until_its_decision_has_the_outcome_of_all_its_trades(
    lk: lake.Lake, of_another: bool
) -> None:
    now = datetime.now(UTC)
    begun = now - timedelta(days=50)
    lk.decisions.record(SAID, decision_id="d", analyzed_at=begun)
    lk.decisions.record(SAID, decision_id="h", analyzed_at=begun, recommendation="HOLD")
    lk.decisions.record(SAID, decision_id="names", analyzed_at=begun, trade_id="named")
    ours = {"first": "d", "second": "d", "held": "h", "named": None}
    for trade_id, decision_id in ours.items():
        lk.trades.open(LONG, trade_id=trade_id, decision_id=decision_id, created_at=begun)
    for trade_id in ("first", "held", "named"):
        lk.trades.close(trade_id, 150.0, closed_at=now - timedelta(days=40))
    with lake.open(lk.location.uri, bot_id="janitor") if of_another else nullcontext(lk) as other:
        lk.drain()
        assert other.retain({"trades": 30}, dry_run=True)["trades"].rows_removed == 1
        assert other.retain({"trades": 30})["trades"].rows_removed == 1
    assert sorted(lk.read("trades")["trade_id"]) == ["first", "named", "second"]
    lk.trades.close("second", 99.0)
    assert lk.decisions.resolve_traded().resolved == 2
    assert outcome(lk) == (True, 98.0, 24.5)
    lk.drain()
    assert lk.retain({"trades": 30})["trades"].rows_removed == 2
    assert lk.read("trades")["trade_id"].to_list() == ["second"]


def test_every_figure_of_a_corrected_trade_is_noticed(lk: lake.Lake) -> None:
    changes: dict[str, Any] = {
        "exit_price": 95.0,
        "fees": 1.0,
        "max_favorable": 120.0,
        "max_adverse": 80.0,
        "leverage": 2.0,
    }
    changes |= {"side": "SHORT", "closed_at": NOON + timedelta(hours=3), "opened_at": NOON - timedelta(hours=1)}
    for name in changes:
        lk.decisions.record(SAID, decision_id=name)
        lk.trades.open(LONG, trade_id=name, decision_id=name, opened_at=NOON)
        lk.trades.close(name, 110.0, closed_at=NOON + timedelta(hours=1))
    assert lk.decisions.resolve_traded().resolved == len(changes)
    for number, (name, value) in enumerate(changes.items()):
        lk.trades.correct(name, **{name: value})
        assert lk.decisions.resolve_traded().corrected == 1, name
        if number % 2:
            lk.drain()
    assert row(lk, "max_favorable")["max_favorable"] == 120.0
    lk.trades.correct("max_favorable", max_favorable=None)
    assert lk.decisions.resolve_traded().corrected == 1
    assert row(lk, "max_favorable")["max_favorable"] is None


@pytest.mark.parametrize("drained", [False, True])
def test_percent_of_several_trades_follow_a_correction_of_one_that_leaves_their_money(
    lk: lake.Lake, drained: bool
) -> None:
    lk.decisions.record(SAID, decision_id="d")
    for name in ("t0", "t1"):
        lk.trades.open(LONG, trade_id=name, decision_id="d")
        lk.trades.close(name, 110.0)
    assert (lk.decisions.resolve_traded().resolved, outcome(lk)) == (1, (True, 40.0, 10.0))
    lk.trades.correct("t0", leverage=4.0)
    if drained:
        lk.drain()
    assert lk.decisions.resolve_traded().as_dict() == {"resolved": 0, "corrected": 1}
    assert outcome(lk) == (True, 40.0, 16.0)
    assert lk.decisions.resolve_traded().as_dict() == {"resolved": 0, "corrected": 0}


def test_with_a_bot_id_only_its_own_decisions_are_resolved(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="a") as one, lake.open(tmp_path, bot_id="b") as two:
        for lk, name in ((one, "a"), (two, "b")):
            lk.decisions.record(SAID, decision_id=name)
            lk.trades.open(LONG, trade_id=name, decision_id=name)
            lk.trades.close(name, 110.0)
        assert one.decisions.resolve_traded().resolved == 1
        assert [outcome(one, name)[0] for name in "ab"] == [True, None]
        with lake.open(tmp_path) as job:
            assert job.decisions.resolve_traded().resolved == 1
        assert [row(two, name)["outcome_correct"] for name in "ab"] == [True, True]


def test_a_second_look_at_traded_decisions_is_at_what_was_written_since(tmp_path: Path) -> None:
    asked: list[Any] = []

    def resolved(lk: lake.Lake) -> tuple[int, int]:
        engine = Recorder(lk.decisions._engine, asked)
        done = resolve_traded(lk.writer, engine)  # type: ignore[arg-type]
        return done.resolved, done.corrected

    with lake.open(tmp_path, bot_id="a") as lk:
        for name in ("linked", "named", "waits", "idle"):
            lk.decisions.record(SAID, decision_id=name)
            lk.trades.open(LONG, trade_id=f"t-{name}", **({"decision_id": name} if name != "named" else {}))
        lk.decisions.attach("named", "t-named")
        lk.trades.close("t-linked", 110.0)
        lk.drain()
        assert (resolved(lk), asked.pop()) == ((1, 0), None)
        lk.drain()
        resolved(lk)  # of what it has written itself
        asked.clear()
        assert (resolved(lk), asked) == ((0, 0), [])
    with lake.open(tmp_path, bot_id="a") as lk:
        assert (resolved(lk), asked) == ((0, 0), [])
        lk.trades.close("t-named", 110.0)
        assert (resolved(lk), asked.pop()) == ((1, 0), ["named"])
        lk.drain()
        resolved(lk)
        lk.trades.correct("t-linked", exit_price=90.0)
        assert (resolved(lk), asked.pop()) == ((0, 1), ["linked"])
        lk.trades.close("t-waits", 90.0)
        assert resolved(lk) == (1, 0)
        lk.drain()
        lk.location.delete([entry.path for entry in lk.location.list("_lake/seen")])
        assert (resolved(lk), asked[-1]) == ((0, 0), None)  # a look at everything finds nothing more


class Recorder:
    """An engine that notes which decisions are asked for."""

    def __init__(self, engine: Any, asked: list[Any]) -> None:
        self._engine = engine
        self._asked = asked

    def frame(self, sql: str, params: Any) -> pl.DataFrame:
        if isinstance(params, dict):
            self._asked.append(params["ids"])
        found: pl.DataFrame = self._engine.frame(sql, params)
        return found


def test_traded_decisions_are_all_looked_at_again_after_a_day(lk: lake.Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trade leaves a decision that has another one: nothing of what was written says so of the former."""
    for name in ("d", "e"):
        lk.decisions.record(SAID, decision_id=name)
    for trade_id, price in (("a", 110.0), ("b", 120.0)):
        lk.trades.open(LONG, trade_id=trade_id, decision_id="d")
        lk.trades.close(trade_id, price)
    assert lk.decisions.resolve_traded().resolved == 1
    assert outcome(lk)[1] == 60.0
    lk.drain()
    lk.decisions.resolve_traded()
    lk.trades.patch("b", decision_id="e")
    lk.drain()
    lk.decisions.resolve_traded()
    now = unseen.now_micros()
    monkeypatch.setattr(unseen, "now_micros", lambda: now + 25 * 3_600_000_000)
    lk.decisions.resolve_traded()
    assert (outcome(lk)[1], outcome(lk, "e")[1]) == (20.0, 40.0)


def test_patterns_that_won_are_found_and_confidence_is_held_to_what_came_true(lk: lake.Lake) -> None:
    for number in range(10):
        percent = float(number - 2)
        lk.decisions.record(
            SAID, decision_id=f"d{number}", prompt_version="v1", outcome_correct=percent > 0, actual_pnl_percent=percent
        )
    lk.decisions.record(SAID, decision_id="open", prompt_version="v1")
    assert lk.decisions.winning_patterns(5.0)["decision_id"].to_list() == ["d9", "d8"]
    assert lk.decisions.winning_patterns().height == 7
    found = lk.decisions.calibration(prompt_version="v1", symbol="btc/usdt", days=7)
    assert found.select("n", "unresolved", "bucket_low").rows() == [(10, 1, 0.7)]
    assert found["observed"].item() == pytest.approx(0.7)
    assert lk.decisions.calibration(model_version="other").is_empty()


def test_a_decision_of_another_bot_or_symbol_does_not_take_its_place(lk: lake.Lake) -> None:
    lk.decisions.record(decision_id="one", symbol="BTCUSDT", recommendation="LONG")
    with pytest.raises(LifeCycleError, match="another one has this id, and its symbol is 'BTCUSDT'"):
        lk.decisions.record(decision_id="one", symbol="SOLUSDT")
    with pytest.raises(LifeCycleError, match="its bot_id is"):
        lk.decisions.record(decision_id="one", symbol="BTCUSDT", bot_id="b2")
    assert lk.decisions.record(decision_id="one", symbol="BTC/USDT", timeframe="1h").updated == 1
