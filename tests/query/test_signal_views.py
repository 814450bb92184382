"""The views of signals, phantoms, prompts and predictions, held to a second calculation of the same figures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest

import lake
from lake.learn import judged
from lake.query.views import views
from tests.query import signal_oracle as oracle
from tests.query import signal_rows as rows

NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)
NOW = datetime(2026, 3, 8, tzinfo=UTC)
ZONES = ("UTC", "Asia/Tokyo", "America/New_York")
PROMPTS = [
    {"version": "v1", "name": "first", "is_active": False},
    {"version": "v2", "name": "second", "is_active": True},
]
VIEWS = (
    "prompt_performance",
    "confidence_calibration",
    "phantom_statistics",
    "phantom_win_rate",
    "blocked_signals",
    "filter_regret",
    "model_accuracy",
    "training_examples",
)


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake", bot_id="tester") as opened:
        yield opened


@pytest.fixture(scope="module")
def made() -> dict[str, list[rows.Row]]:
    rng = Random(7)
    return {
        "signals": rows.signals(rng, 300),
        "phantoms": rows.phantoms(rng, 2000, of_signals=400),
        "decisions": rows.decisions(rng, 800),
        "trades": rows.trades(rng, 400),
        "predictions": rows.predictions(rng, 500),
        "prompt_versions": PROMPTS,
    }


@pytest.fixture(scope="module")
def full(made: dict[str, list[rows.Row]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[lake.Lake]:
    """A lake with most rows settled, some waiting, and some written again as they were."""
    with lake.open(tmp_path_factory.mktemp("full"), bot_id="tester") as opened:
        for name, given in made.items():
            opened.write(name, given[: len(given) * 3 // 4])
        opened.drain()
        for name, given in made.items():
            opened.write(name, given[len(given) // 2 :])
        yield opened


def same(found: pl.DataFrame, expected: list[rows.Row], key: tuple[str, ...]) -> None:
    """Every column of every row is what the oracle says; columns that it does not name are empty."""
    theirs = {tuple(row.get(k) for k in key): row for row in expected}
    ours = {tuple(row[k] for k in key): row for row in found.iter_rows(named=True)}
    assert len(theirs) == len(expected)
    assert len(ours) == found.height
    assert ours.keys() == theirs.keys()
    assert {name for row in expected for name in row} <= set(found.columns)
    for which, row in ours.items():
        for name, value in row.items():
            wanted = theirs[which].get(name)
            if isinstance(value, float) and wanted is not None:
                assert value == pytest.approx(wanted, rel=1e-9, abs=1e-9), (which, name)
            else:
                assert value == wanted, (which, name)


def one(frame: pl.DataFrame) -> dict[str, Any]:
    assert frame.height == 1
    return frame.row(0, named=True)


def phantom(number: int, outcome: str | None = None, **more: Any) -> rows.Row:
    status = "active" if outcome is None else "completed"
    given = {"symbol": "BTCUSDT", "strategy": "trend", "signal_time": NOON, "status": status, "outcome": outcome}
    return {"phantom_id": f"p{number}", **given, **more}


def decision(number: int, correct: bool | None = None, **more: Any) -> rows.Row:
    given = {"symbol": "BTCUSDT", "recommendation": "LONG", "analyzed_at": NOON, "prompt_version": "v1"}
    known = {} if correct is None else {"outcome_correct": correct, "outcome_recorded_at": NOON + timedelta(hours=1)}
    return {"decision_id": f"d{number}", **given, **known, **more}


def prediction(number: int, correct: bool | None = None, **more: Any) -> rows.Row:
    given = {"symbol": "BTCUSDT", "model_version": "m1", "horizon_minutes": 60, "predicted_at": NOON}
    return {"prediction_id": f"q{number}", **given, "correct": correct, **more}


# --- against the oracle ---------------------------------------------------------------------------------------------


def test_phantom_statistics_are_those_of_a_second_calculation(full: lake.Lake, made: Any) -> None:
    expected = oracle.phantom_statistics(made["phantoms"])
    same(full.read("phantom_statistics"), expected, ("scope", "strategy"))


def test_phantom_win_rates_are_those_of_a_second_calculation(full: lake.Lake, made: Any) -> None:
    expected = oracle.phantom_win_rate(made["phantoms"])
    assert max(row["n"] for row in expected) == 200
    same(full.read("phantom_win_rate"), expected, ("strategy",))


@pytest.mark.parametrize("zone", ZONES)
def test_blocked_signals_are_those_of_a_second_count(full: lake.Lake, made: Any, zone: str) -> None:
    expected = oracle.blocked_signals(made["signals"], made["phantoms"], zone)
    found = full.read("blocked_signals", variables={"time_zone": zone})
    same(found, expected, ("day", "reason", "symbol", "strategy"))


@pytest.mark.parametrize("zone", ZONES)
def test_filter_regret_is_that_of_a_second_calculation(full: lake.Lake, made: Any, zone: str) -> None:
    expected = oracle.filter_regret(made["signals"], made["phantoms"], zone)
    same(full.read("filter_regret", variables={"time_zone": zone}), expected, ("scope", "reason", "strategy"))


def test_prompt_performance_is_that_of_a_second_calculation(full: lake.Lake, made: Any) -> None:
    expected = oracle.prompt_performance(made["decisions"], made["trades"], PROMPTS)
    same(full.read("prompt_performance"), expected, ("prompt_version", "model_version"))


def test_calibration_is_that_of_a_second_calculation(full: lake.Lake, made: Any) -> None:
    expected = oracle.confidence_calibration(made["decisions"])
    same(full.read("confidence_calibration"), expected, ("prompt_version", "model_version", "symbol", "bucket_low"))


def test_model_accuracy_is_that_of_a_second_calculation(full: lake.Lake, made: Any) -> None:
    expected = oracle.model_accuracy(oracle.as_known(made, NOW)["predictions"], NOW)
    found = full.read("model_accuracy", variables={"now": NOW})
    same(found, expected, ("model_version", "symbol", "horizon_minutes"))


def test_training_examples_are_those_of_a_second_calculation(full: lake.Lake, made: Any) -> None:
    found = full.read("training_examples")
    assert found["kind"].n_unique() == 3
    decoded = found.with_columns(pl.Series("features", [json.loads(f) for f in found["features"]], pl.Object))
    same(decoded, oracle.training_examples(made), ("kind", "id"))


def test_a_look_back_knows_no_end_that_came_later(full: lake.Lake, made: Any) -> None:
    then = oracle.as_known(made, NOW)
    read = {name: full.read(name, variables={"now": NOW}) for name in VIEWS}
    same(read["phantom_statistics"], oracle.phantom_statistics(then["phantoms"]), ("scope", "strategy"))
    same(read["phantom_win_rate"], oracle.phantom_win_rate(then["phantoms"]), ("strategy",))
    regret = oracle.filter_regret(made["signals"], then["phantoms"])
    same(read["filter_regret"], regret, ("scope", "reason", "strategy"))
    key = ("prompt_version", "model_version")
    same(read["prompt_performance"], oracle.prompt_performance(then["decisions"], then["trades"], PROMPTS), key)
    same(
        read["confidence_calibration"], oracle.confidence_calibration(then["decisions"]), (*key, "symbol", "bucket_low")
    )
    taught = [row for row in oracle.training_examples(made) if row["known_at"] <= NOW]
    assert sorted(read["training_examples"]["id"]) == sorted(row["id"] for row in taught)
    assert max(read["blocked_signals"]["day"]) == NOW.date() - timedelta(days=1)


def test_the_variable_days_keeps_what_is_that_young(full: lake.Lake, made: Any) -> None:
    window, then = {"days": 3, "now": NOW}, oracle.as_known(made, NOW)

    def young(name: str, time: str) -> list[rows.Row]:
        return [row for row in then[name] if row[time] > NOW - timedelta(days=3)]

    phantoms, decided = young("phantoms", "signal_time"), young("decisions", "analyzed_at")
    read = {name: full.read(name, variables=window) for name in VIEWS}
    same(read["phantom_statistics"], oracle.phantom_statistics(phantoms), ("scope", "strategy"))
    regret = oracle.filter_regret(made["signals"], phantoms)
    same(read["filter_regret"], regret, ("scope", "reason", "strategy"))
    key = ("prompt_version", "model_version")
    same(read["prompt_performance"], oracle.prompt_performance(decided, then["trades"], PROMPTS), key)
    same(read["confidence_calibration"], oracle.confidence_calibration(decided), (*key, "symbol", "bucket_low"))
    accuracy = oracle.model_accuracy(young("predictions", "predicted_at"), NOW)
    same(read["model_accuracy"], accuracy, ("model_version", "symbol", "horizon_minutes"))
    assert read["training_examples"]["decision_time"].min() > NOW - timedelta(days=3)
    assert set(read["blocked_signals"]["day"]) == {date(2026, 3, day) for day in (5, 6, 7)}
    assert read["phantom_win_rate"]["first_decided"].min() > NOW - timedelta(days=3)


@pytest.mark.parametrize("seed", [2, 7, 9, 12, 14, 27])
def test_of_a_few_rows_too_each_figure_is_that_of_a_second_calculation(lk: lake.Lake, seed: int) -> None:
    rng = Random(seed)
    phantoms, few = rows.phantoms(rng, 2, of_signals=2), rows.decisions(rng, 2)
    lk.write("phantoms", phantoms)
    lk.write("decisions", few)
    same(lk.read("phantom_statistics"), oracle.phantom_statistics(phantoms), ("scope", "strategy"))
    key = ("prompt_version", "model_version")
    same(lk.read("prompt_performance"), oracle.prompt_performance(few, [], []), key)
    same(lk.read("confidence_calibration"), oracle.confidence_calibration(few), (*key, "symbol", "bucket_low"))


# --- nothing, and only one kind -------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", VIEWS)
def test_an_empty_lake_has_no_figures(lk: lake.Lake, view: str) -> None:
    found = lk.read(view)
    assert found.is_empty()
    assert pl.Null not in found.dtypes


def test_what_is_not_resolved_is_counted_and_makes_no_rate(lk: lake.Lake) -> None:
    lk.write("phantoms", [phantom(1, was_executed=False), phantom(2, "unknown", was_executed=False, realized_rr=9.0)])
    lk.write("decisions", [decision(n, confidence=0.5) for n in (1, 2)])
    lk.write("predictions", [prediction(n, probability=0.5) for n in (1, 2)])
    stats = lk.read("phantom_statistics").row(0, named=True)
    assert (stats["total"], stats["active"], stats["unknown"], stats["n"], stats["r_n"]) == (2, 1, 1, 0, 0)
    regret = lk.read("filter_regret").row(0, named=True)
    assert (regret["rejected"], regret["rejected_unresolved"], regret["rejected_total_r"]) == (2, 2, None)
    assert regret["first_day"] is None
    prompts = one(lk.read("prompt_performance"))
    assert (prompts["unresolved"], prompts["resolved"], prompts["accuracy"], prompts["net_pnl"]) == (2, 0, None, None)
    models = one(lk.read("model_accuracy"))
    assert (models["unresolved"], models["n"], models["accuracy"], models["brier"]) == (2, 0, None, None)
    assert lk.read("phantom_win_rate").is_empty()
    assert lk.read("confidence_calibration").is_empty()
    assert lk.read("training_examples").is_empty()


def test_what_is_known_of_no_row_is_counted_as_0(lk: lake.Lake) -> None:
    lk.phantoms.record(symbol="BTCUSDT", side="LONG", entry_price=100.0, strategy="trend")
    lk.decisions.record(symbol="BTCUSDT", recommendation="LONG", confidence=0.8, prompt_version="v1")
    stats = lk.phantoms.stats().row(0, named=True)
    counts = ("executed", "rejected", "wins", "losses", "breakevens", "timeouts", "unknown", "ambiguous", "n", "ml_n")
    assert {name: stats[name] for name in counts} == dict.fromkeys(counts, 0)
    prompts = one(lk.prompts.compare())
    counts = ("holds", "holds_correct", "resolved", "correct", "closed", "wins", "losses", "breakevens")
    assert {name: prompts[name] for name in counts} == dict.fromkeys(counts, 0)
    lk.trades.open(symbol="BTCUSDT", side="LONG", entry_price=100.0, quantity=1.0)
    days = one(lk.read("trade_days"))
    assert (days["state"], days["wins"], days["losses"]) == ("open", 0, 0)


def test_only_wins_are_a_rate_of_100_whose_interval_is_honest(lk: lake.Lake) -> None:
    lk.write("phantoms", [phantom(n, "win") for n in range(10)])
    found = one(lk.read("phantom_win_rate"))
    assert (found["n"], found["win_rate"], found["win_rate_high"]) == (10, 100.0, pytest.approx(100.0))
    assert found["win_rate_low"] == pytest.approx(72.2467, abs=1e-4)  # 10 of 10, as published tables have it


def test_outcomes_that_are_an_assumption_are_told_beside_the_rates_as_they_were_then(lk: lake.Lake) -> None:
    unsure = {"outcome_source": "candles", "ambiguous": True, "confidence": 0.85}
    lk.write("decisions", [decision(1, False, **unsure), decision(2, False, **unsure), decision(3, **unsure)])
    lk.write("phantoms", [phantom(n, "loss", exit_time=NOON, ambiguous=n == 1) for n in (1, 2)])
    lk.decisions.correct("d1", outcome_correct=True, at=NOON + timedelta(hours=5))
    for hours, ambiguous, right in ((2, 2, 0), (6, 1, 1)):
        now = {"now": NOON + timedelta(hours=hours)}
        prompts = one(lk.read("prompt_performance", variables=now))
        assert (prompts["resolved"], prompts["ambiguous"], prompts["correct"]) == (2, ambiguous, right)
        tenth = one(lk.read("confidence_calibration", variables=now))
        assert (tenth["n"], tenth["ambiguous"], tenth["observed"]) == (2, ambiguous, right / 2)
        examples = lk.read("training_examples", variables=now)
        flagged = examples.filter("label_ambiguous")["id"].to_list()
        assert sorted(flagged) == sorted(["p1", "d2", *(["d1"] if ambiguous == 2 else [])])
        assert examples.height == 4


# --- phantoms -------------------------------------------------------------------------------------------------------


def test_a_breakeven_is_not_won_and_a_timeout_is_not_decided_but_both_have_a_result(lk: lake.Lake) -> None:
    ends = [("win", 2.0), ("loss", -1.0), ("breakeven", 0.0), ("breakeven", 0.0), ("timeout", 0.5)]
    lk.write("phantoms", [phantom(n, outcome, realized_rr=r) for n, (outcome, r) in enumerate(ends)])
    found = lk.read("phantom_statistics").row(0, named=True)
    assert (found["n"], found["win_rate"], found["r_n"]) == (4, 25.0, 5)
    assert (found["mean_r"], found["median_r"]) == (pytest.approx(0.3), 0.0)


def test_a_score_of_exactly_the_threshold_approves_and_no_score_judges_nothing(lk: lake.Lake) -> None:
    scores = [(70.0, "win"), (69.999, "loss"), (70.0, "loss"), (0.0, "win"), (None, "win"), (float("nan"), "loss")]
    lk.write("phantoms", [phantom(n, outcome, ml_score=score) for n, (score, outcome) in enumerate(scores)])
    found = lk.read("phantom_statistics").row(0, named=True)
    assert (found["ml_n"], found["ml_accuracy"]) == (4, 50.0)
    assert [found[f"ml_{n}"] for n in ("approved_wins", "approved_losses", "rejected_wins", "rejected_losses")] == [
        1
    ] * 4


def test_a_target_that_was_never_set_was_not_missed(lk: lake.Lake) -> None:
    hits = [(1, True, 110.0), (2, False, 110.0), (3, False, None)]
    lk.write("phantoms", [phantom(n, "win", tp2_hit=hit, tp2=price) for n, hit, price in hits])
    found = lk.read("phantom_statistics").row(0, named=True)
    assert (found["tp2_n"], found["tp2_hit_rate"]) == (2, 50.0)


def test_the_excursion_of_a_short_is_favourable_downwards(lk: lake.Lake) -> None:
    levels = {"entry_price": 100.0, "stop_loss": 102.0, "max_favorable": 94.0, "max_adverse": 101.0}
    lk.write("phantoms", [phantom(1, "win", side="SHORT", **levels)])
    found = lk.read("phantom_statistics").row(0, named=True)
    assert [found[f"mean_{name}"] for name in ("mfe_percent", "mae_percent", "mfe_r", "mae_r")] == [
        6.0,
        -1.0,
        3.0,
        -0.5,
    ]


def test_the_win_rate_window_holds_the_200_newest_ends_whatever_came_between(lk: lake.Lake) -> None:
    def at(number: int) -> dict[str, Any]:
        return {"exit_time": NOON + timedelta(minutes=number)}

    lk.write("phantoms", [phantom(n, "loss", **at(n)) for n in range(100)])
    lk.write("phantoms", [phantom(n, "win", **at(n)) for n in range(100, 250)])
    lk.write("phantoms", [phantom(n, "timeout", **at(n)) for n in range(250, 300)])
    lk.write("phantoms", [phantom(n, "win", strategy="other", **at(n)) for n in range(300, 303)])
    found = {row["strategy"]: row for row in lk.read("phantom_win_rate").iter_rows(named=True)}
    assert (found["trend"]["wins"], found["trend"]["losses"], found["trend"]["win_rate"]) == (150, 50, 75.0)
    assert found["trend"]["first_decided"] == NOON + timedelta(minutes=50)
    assert found["other"]["n"] == 3


# --- blocked signals ------------------------------------------------------------------------------------------------


def signal(name: str, **more: Any) -> rows.Row:
    return {"signal_id": name, "symbol": "BTCUSDT", "strategy": "trend", "signal_time": NOON, **more}


def test_a_signal_and_its_phantoms_are_blocked_once(lk: lake.Lake) -> None:
    lk.write("signals", [signal("a", action="REJECTED"), signal("b")])
    named = [phantom(n, signal_id=s, was_executed=False, reject_reason="news") for n, s in enumerate("aabbcc")]
    lk.write("phantoms", [*named, *(phantom(n, was_executed=False, reject_reason="news") for n in (8, 9))])
    found = one(lk.read("blocked_signals"))
    assert (found["reason"], found["blocked"]) == ("news", 5)  # a, b, c, and two that name no signal


def test_a_signal_that_was_executed_is_not_blocked_by_a_phantom_that_says_so(lk: lake.Lake) -> None:
    lk.write("signals", [signal("a", action="EXECUTED")])
    lk.write("phantoms", [phantom(1, signal_id="a", was_executed=False)])
    lk.write("phantoms", [phantom(2, signal_id="b", was_executed=False), phantom(3, signal_id="b", was_executed=True)])
    assert lk.read("blocked_signals").is_empty()


def test_a_look_back_at_what_was_blocked_is_told_nothing_by_phantoms_that_came_later(lk: lake.Lake) -> None:
    later = {"signal_time": NOON + timedelta(hours=2)}
    lk.write("signals", [signal("a", action="REJECTED")])
    lk.write("phantoms", [
        phantom(1, signal_id="a", was_executed=False, reject_reason="news", **later),
        phantom(2, signal_id="b", was_executed=False, reject_reason="no slots"),
        phantom(3, signal_id="b", was_executed=True, **later),
    ])  # fmt: skip
    then = lk.read("blocked_signals", variables={"now": NOON + timedelta(hours=1)})
    assert sorted(then["reason"].to_list(), key=str) == [None, "no slots"]
    assert one(lk.read("blocked_signals"))["reason"] == "news"


def test_two_bots_that_block_the_same_symbol_are_two_signals(lk: lake.Lake) -> None:
    lk.write("signals", [signal(f"{bot}1", bot_id=bot, action="IGNORED", rejection_reason="no slots") for bot in "xy"])
    assert one(lk.read("blocked_signals"))["blocked"] == 2


def test_the_day_of_a_blocked_signal_is_that_of_the_zone(lk: lake.Lake) -> None:
    edge = datetime(2026, 3, 29, 22, 30, tzinfo=UTC)  # 00:30 of the 30th in Berlin, the night of the clock change
    lk.write("signals", [signal("a", action="REJECTED", signal_time=edge)])
    assert one(lk.read("blocked_signals"))["day"] == date(2026, 3, 29)
    assert one(lk.read("blocked_signals", variables={"time_zone": "Europe/Berlin"}))["day"] == date(2026, 3, 30)
    assert one(lk.read("blocked_signals", variables={"time_zone": "America/New_York"}))["day"] == date(2026, 3, 29)


# --- filter regret --------------------------------------------------------------------------------------------------


def test_the_filter_that_costs_money_is_the_first_row(lk: lake.Lake) -> None:
    costs = {"good filter": -2.0, "costly filter": 1.5, "idle filter": 0.1}
    blocked = [
        phantom(n, "win" if pnl > 0 else "loss", was_executed=False, reject_reason=reason, pnl_percent=pnl)
        for n, (reason, pnl) in enumerate(costs.items())
    ]
    lk.write("phantoms", [*blocked, phantom(9, "win", was_executed=True, pnl_percent=1.0)])
    found = lk.read("filter_regret")
    assert found.filter(pl.col("scope") == "reason")["reason"].to_list() == [
        "costly filter",
        "idle filter",
        "good filter",
    ]
    first = found.row(0, named=True)
    assert (first["scope"], first["rejected_mean_pnl_percent"], first["mean_pnl_percent_difference"]) == (
        "reason",
        1.5,
        0.5,
    )


def test_a_filter_is_compared_with_what_was_executed_on_its_days_only(lk: lake.Lake) -> None:
    def on(day: int) -> dict[str, Any]:
        return {"signal_time": NOON + timedelta(days=day)}

    lk.write("phantoms", [phantom(n, "win", was_executed=False, reject_reason="r", **on(n)) for n in (10, 12)])
    lk.write("phantoms", [phantom(n, "loss", was_executed=True, **on(n)) for n in (9, 13)])
    lk.write("phantoms", [phantom(11, "win", was_executed=True, **on(11))])
    found = lk.read("filter_regret").row(0, named=True)
    assert (found["rejected_n"], found["executed_n"], found["executed_win_rate"]) == (2, 1, 100.0)


def test_a_filter_without_anything_executed_beside_it_has_no_difference(lk: lake.Lake) -> None:
    lk.write("phantoms", [phantom(1, "win", was_executed=False, reject_reason="r", realized_rr=2.0)])
    found = lk.read("filter_regret").row(0, named=True)
    assert (found["executed_n"], found["executed_mean_r"], found["mean_r_difference"]) == (0, None, None)


def test_the_reason_that_only_the_signal_gives_is_found(lk: lake.Lake) -> None:
    lk.write("signals", [signal("a", action="REJECTED", rejection_reason="news")])
    lk.write("phantoms", [phantom(1, "win", signal_id="a", was_executed=False)])
    assert lk.read("filter_regret")["reason"].to_list() == ["news", "news"]
    assert one(lk.read("blocked_signals"))["reason"] == "news"


# --- prompts and calibration ----------------------------------------------------------------------------------------


def test_a_prompt_that_wins_less_than_its_calls_cost_loses(lk: lake.Lake) -> None:
    lk.write("decisions", [decision(1, True, traded=True, actual_pnl=3.0, cost_usd=1.0)])
    lk.write("decisions", [decision(2, recommendation="HOLD", cost_usd=2.5), decision(3, False, actual_pnl=-50.0)])
    found = one(lk.read("prompt_performance"))
    assert (found["total_pnl"], found["total_cost_usd"], found["net_pnl"]) == (3.0, 3.5, -0.5)
    assert (found["decisions"], found["holds"], found["directional"], found["costed"]) == (3, 1, 2, 2)


def test_a_hold_is_in_no_rate_even_when_it_was_right(lk: lake.Lake) -> None:
    lk.write(
        "decisions", [decision(1, True, recommendation="HOLD", confidence=0.9), decision(2, False, confidence=0.9)]
    )
    found = one(lk.read("prompt_performance"))
    assert (found["holds_resolved"], found["holds_correct"], found["resolved"], found["accuracy"]) == (1, 1, 1, 0.0)
    assert one(lk.read("confidence_calibration"))["n"] == 1


def test_a_corrected_trade_corrects_its_prompt(lk: lake.Lake) -> None:
    lk.write("decisions", [decision(1, True, trade_id="t", actual_pnl=10.0)])
    trade = {"trade_id": "t", "symbol": "BTCUSDT", "status": "closed", "decision_id": "d1", "created_at": NOON}
    lk.write("trades", [{**trade, "pnl": 10.0}])
    assert one(lk.read("prompt_performance"))["total_pnl"] == 10.0
    lk.write("trades", [{**trade, "pnl": -4.0}])
    found = one(lk.read("prompt_performance"))
    assert (found["total_pnl"], found["wins"], found["losses"]) == (-4.0, 0, 1)


def test_two_trades_of_one_decision_are_one_decision_with_their_sum(lk: lake.Lake) -> None:
    lk.write("decisions", [decision(1, True)])
    trade = {"symbol": "BTCUSDT", "status": "closed", "decision_id": "d1", "created_at": NOON}
    lk.write("trades", [{**trade, "trade_id": t, "pnl": pnl} for t, pnl in (("a", 5.0), ("b", -2.0))])
    found = one(lk.read("prompt_performance"))
    assert (found["decisions"], found["traded"], found["closed"], found["total_pnl"]) == (1, 1, 1, 3.0)


def test_a_decision_is_traded_from_the_opening_of_a_trade_that_names_it(lk: lake.Lake) -> None:
    for n, status in enumerate(("pending", "open")):
        lk.decisions.record(decision_id=str(n), symbol="BTCUSDT", recommendation="LONG", cost_usd=1.0, analyzed_at=NOON)
        lk.trades.open(
            trade_id=str(n), symbol="BTCUSDT", side="LONG", quantity=1.0, entry_price=100.0, decision_id=str(n),
            status=status, created_at=NOON, opened_at=NOON + timedelta(hours=1) if status == "open" else None,
        )  # fmt: skip
    assert [one(lk.read("prompt_performance"))[name] for name in ("decisions", "traded", "closed")] == [2, 1, 0]
    assert dict(lk.frame(judged.statement("judged_decisions")).select("id", "traded").iter_rows()) == {
        "0": False,
        "1": True,
    }
    assert one(lk.read("prompt_performance", variables={"now": NOON}))["traded"] == 0
    lk.trades.close("1", 110.0, closed_at=NOON + timedelta(hours=2))
    assert one(lk.read("prompt_performance", variables={"now": NOON + timedelta(hours=1)}))["traded"] == 1
    assert [one(lk.read("prompt_performance"))[name] for name in ("traded", "closed", "total_pnl")] == [1, 1, 10.0]


def test_a_prediction_without_a_direction_does_not_wait_for_ever(lk: lake.Lake) -> None:
    lk.candles.write(
        [{"open_time": NOON, **dict.fromkeys(("open", "high", "low", "close"), 101.0), "volume": 1.0}], "1m", "BTCUSDT"
    )
    for name, direction in (("a", None), ("b", "UP"), ("c", "UP")):
        made = NOON - timedelta(minutes=0 if name == "c" else 60)
        lk.predictions.record(
            prediction_id=name, symbol="BTCUSDT", predicted_direction=direction, price=100.0, horizon_minutes=60,
            predicted_at=made,
        )  # fmt: skip
    assert lk.predictions.resolve_due(NOON + timedelta(minutes=1)).resolved == 2
    [found] = lk.predictions.accuracy(now=NOON + timedelta(days=1)).to_dicts()
    names = ("predictions", "n", "undirected", "unresolved", "overdue", "mean_return")
    assert [found[name] for name in names] == [3, 1, 1, 1, 1, pytest.approx(1.0)]


@pytest.mark.parametrize(("named", "winner"), [(None, "v2"), ("d1", "v1"), ("d2", "v2"), ("d3", "v3")])
def test_a_trade_that_several_decisions_name_counts_once(lk: lake.Lake, named: str | None, winner: str) -> None:
    hours = {1: -2, 2: -1, 3: 1}  # the third decision came after the opening
    lk.write("decisions", [
        decision(n, True, prompt_version=f"v{n}", trade_id="T", actual_pnl=10.0, analyzed_at=NOON + timedelta(hours=h))
        for n, h in hours.items()
    ])  # fmt: skip
    trade = {"trade_id": "T", "symbol": "BTCUSDT", "status": "closed", "pnl": 10.0, "decision_id": named}
    lk.write("trades", {**trade, "created_at": NOON, "opened_at": NOON, "closed_at": NOON + timedelta(hours=2)})
    found = lk.read("prompt_performance")
    assert {row["prompt_version"]: row["total_pnl"] for row in found.to_dicts() if row["closed"]} == {winner: 10.0}
    assert found["traded"].sum() == 3


@pytest.mark.parametrize("settled", [False, True])
def test_looking_back_past_a_correction_shows_the_outcome_that_was_known_then(lk: lake.Lake, settled: bool) -> None:
    lk.decisions.record(decision(1, confidence=0.8, traded=True))
    day = [NOON + timedelta(days=n) for n in range(9)]
    lk.decisions.resolve("d1", outcome_correct=True, actual_pnl=7.0, actual_pnl_percent=1.5, at=day[2])
    lk.decisions.correct("d1", outcome_correct=False, actual_pnl=-3.0, actual_pnl_percent=-2.5, at=day[5])
    lk.decisions.correct("d1", outcome_correct=True, actual_pnl=1.0, actual_pnl_percent=0.5, at=day[7])
    if settled:
        lk.drain()
    expected = {1: (None, None), 3: (7.0, 1.5), 5: (-3.0, -2.5), 6: (-3.0, -2.5), 8: (1.0, 0.5), None: (1.0, 0.5)}
    for at, (pnl, percent) in expected.items():
        then = {} if at is None else {"variables": {"now": day[at]}}
        prompt = one(lk.read("prompt_performance", **then))
        assert (prompt["total_pnl"], prompt["resolved"]) == (pnl, int(pnl is not None))
        calibration = lk.read("confidence_calibration", **then)
        examples = lk.read("training_examples", **then)
        assert calibration["observed"].to_list() == ([] if pnl is None else [float(pnl > 0)])
        assert examples.select("label_win", "label_pnl_percent").rows() == ([] if pnl is None else [(pnl > 0, percent)])
        recorded = {1: None, 3: day[2], 5: day[5], 6: day[5], 8: day[7], None: day[7]}[at]
        assert examples["known_at"].to_list() == ([] if recorded is None else [recorded])


def test_decisions_without_a_prompt_version_have_a_row_of_their_own(lk: lake.Lake) -> None:
    lk.write("decisions", [decision(1, True, prompt_version=None, confidence=0.5), decision(2, False, confidence=0.5)])
    assert set(lk.read("prompt_performance")["prompt_version"]) == {None, "v1"}
    assert set(lk.read("confidence_calibration")["prompt_version"]) == {None, "v1"}


def test_every_tenth_falls_into_the_bucket_that_it_begins_and_1_into_the_last(lk: lake.Lake) -> None:
    stated = [k / 10 for k in range(11)] + [0.1 + 0.2, 1 - 0.3, 0.699999988079071, 0.0999]
    lk.write("decisions", [decision(n, True, confidence=c) for n, c in enumerate(stated)])
    found = lk.read("confidence_calibration")
    assert dict(found.select("bucket_low", "n").rows()) == {
        0.0: 2, 0.1: 1, 0.2: 1, 0.3: 2, 0.4: 1, 0.5: 1, 0.6: 1, 0.7: 3, 0.8: 1, 0.9: 2,
    }  # fmt: skip


# --- models ---------------------------------------------------------------------------------------------------------


def test_the_brier_score_is_that_of_certain_and_of_undecided_models(lk: lake.Lake) -> None:
    stated = {"sure": [(1.0, True), (0.0, False)], "wrong": [(1.0, False)], "unsure": [(0.5, True), (0.5, False)]}
    for model, pairs in stated.items():
        given = [prediction(f"{model}{n}", c, model_version=model, probability=p) for n, (p, c) in enumerate(pairs)]
        lk.write("predictions", given)
    assert dict(lk.read("model_accuracy").select("model_version", "brier").rows()) == {
        "sure": 0.0,
        "wrong": 1.0,
        "unsure": 0.25,
    }


def test_a_falling_price_is_a_gain_for_who_predicted_it(lk: lake.Lake) -> None:
    lk.write("predictions", [prediction(1, True, predicted_direction="DOWN", actual_return=-0.015)])
    lk.write("predictions", [prediction(2, False, predicted_direction="UP", actual_return=-0.01)])
    lk.write("predictions", [prediction(3, False, predicted_direction="FLAT", actual_return=-0.5)])
    found = one(lk.read("model_accuracy"))
    assert (found["mean_return_right"], found["mean_return_wrong"]) == (pytest.approx(1.5), pytest.approx(-1.0))


def test_two_bots_with_one_model_on_one_symbol_are_judged_together(lk: lake.Lake) -> None:
    lk.write("predictions", [prediction(bot, bot == "a", bot_id=bot) for bot in "ab"])
    found = one(lk.read("model_accuracy"))
    assert (found["n"], found["accuracy"]) == (2, 50.0)


# --- training examples ----------------------------------------------------------------------------------------------


def test_a_stop_that_was_moved_later_is_no_input(lk: lake.Lake) -> None:
    planned = {"entry_price": 100.0, "stop_loss": 98.0, "tp1": 104.0, "confidence": 0.8}
    lk.write("signals", [signal("before", **planned), signal("after", **{**planned, "signal_time": NOW})])
    closed = {"symbol": "BTCUSDT", "side": "LONG", "status": "closed", "created_at": NOON, "stop_loss": 103.0}
    closed |= {"take_profit": 110.0, "exit_price": 103.0, "pnl": 3.0, "closed_at": NOON + timedelta(hours=2)}
    names = ("before", "after", None)
    lk.write("trades", [{**closed, "trade_id": f"t{n}", "signal_id": name} for n, name in enumerate(names)])
    found = lk.read("training_examples").sort("id").select("entry_price", "stop_loss", "tp1", "confidence").rows()
    assert found == [(100.0, 98.0, 104.0, 0.8), (None,) * 4, (None,) * 4]


def test_no_input_changes_when_only_the_future_does(lk: lake.Lake) -> None:
    """The same phantoms, decisions and trades with other endings have the same inputs."""
    future = {
        "phantoms": {"exit_price", "exit_time", "exit_reason", "pnl_percent", "realized_rr", "outcome", "be_moved"}
        | {"tp1_hit", "tp2_hit", "tp3_hit", "max_favorable", "max_adverse", "ambiguous", "time_to_exit_sec"},
        "decisions": {"outcome_correct", "actual_pnl", "actual_pnl_percent", "outcome_recorded_at", "max_adverse"},
        "trades": {"exit_price", "pnl", "pnl_percent", "fees", "closed_at", "stop_loss", "take_profit", "exit_reason"},
    }
    rng = Random(3)
    given = {
        "phantoms": rows.phantoms(rng, 60, 10),
        "decisions": rows.decisions(rng, 60),
        "trades": rows.trades(rng, 60),
    }
    seen = []
    for factor in (1.0, -1.0):
        for name, written in given.items():
            lk.write(name, [_ended_otherwise(row, future[name], factor) for row in written])
        frame = lk.read("training_examples").sort("kind", "id")
        seen.append(frame)
    inputs = [c for c in seen[0].columns if not c.startswith("label_") and c != "known_at"]
    assert seen[0].select(inputs).equals(seen[1].select(inputs))
    assert not seen[0].equals(seen[1])


def _ended_otherwise(row: rows.Row, future: set[str], factor: float) -> rows.Row:
    ends = {"outcome": "win" if factor > 0 else "loss", "outcome_correct": factor > 0, "stop_loss": 100 + factor}
    ends |= dict.fromkeys(("pnl", "pnl_percent", "actual_pnl_percent", "realized_rr", "exit_price"), abs(factor))
    ends |= dict.fromkeys(("exit_time", "closed_at", "outcome_recorded_at"), NOW + timedelta(days=90 + factor))
    status = {"phantoms": "completed", "trades": "closed"}
    kind = "phantoms" if "phantom_id" in row else "trades" if "mode" in row else "decisions"
    settled = {"status": status[kind]} if kind in status else {}
    return {**row, **settled, **{k: v for k, v in ends.items() if k in future}}


def test_a_label_is_never_older_than_its_decision(lk: lake.Lake) -> None:
    lk.write("phantoms", [phantom(1, "win", exit_time=NOON - timedelta(seconds=3))])
    found = one(lk.read("training_examples"))
    assert found["label_time"] == found["known_at"] == found["decision_time"] == NOON


def test_an_end_without_a_time_teaches_nothing(lk: lake.Lake) -> None:
    lk.write("phantoms", [phantom(1, "win")])
    lk.write("decisions", [{**decision(1), "outcome_correct": True}])
    lk.write("trades", [{"trade_id": "t", "symbol": "BTCUSDT", "status": "closed", "pnl": 1.0, "created_at": NOON}])
    assert lk.read("training_examples").is_empty()


# --- documentation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", VIEWS)
def test_every_column_is_explained_in_the_comment_of_its_view(lk: lake.Lake, view: str) -> None:
    explained = set(re.findall(r"[a-z0-9_]+", views()[view].doc))
    for column in lk.read(view).columns:
        figure = column.removesuffix("_low").removesuffix("_high").replace("executed_", "rejected_")
        assert explained & {column, figure}, column
