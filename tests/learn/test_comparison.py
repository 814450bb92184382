"""Candidates are held against each other on the same market, and nothing is called better that may be luck."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import lake
from lake.errors import UsageError
from lake.learn.comparison import Rules, compared
from lake.learn.pairing import METRICS, lives_of, paired, valued

DAY = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
COLUMNS: dict[str, Any] = {
    "id": pl.String, "venue": pl.String, "symbol": pl.String, "timeframe": pl.String, "prompt_version": pl.String,
    "confidence": pl.Float64, "made_at": pl.Datetime("us", "UTC"), "hit": pl.Boolean, "traded": pl.Boolean,
    "pnl": pl.Float64, "cost_usd": pl.Float64, "hold_minutes": pl.Float64,
}  # fmt: skip
ACCURACY = Rules(metrics=("accuracy",), draws=400)


def judged_rows(prompt: str, hits: Any, *, hold: float = 30.0, start: datetime = DAY, **more: Any) -> pl.DataFrame:
    """A decision each hour, as the judged rows have them."""
    made = [
        {
            "id": f"{prompt}-{i}", "venue": "", "symbol": "BTCUSDT", "timeframe": "1h", "prompt_version": prompt,
            "confidence": 0.6, "made_at": start + i * HOUR, "hit": bool(hit), "traded": True,
            "pnl": 1.0 if hit else -1.0, "cost_usd": 0.0, "hold_minutes": hold, **more,
        }
        for i, hit in enumerate(hits)
    ]  # fmt: skip
    return pl.DataFrame(made, schema=COLUMNS)


def found(rules: Rules, *rows: pl.DataFrame, pairs: Any = (("b", "a"),)) -> list[dict[str, Any]]:
    return compared(pl.concat(rows), "prompt_version", pairs, rules.metrics, rules).to_dicts()


def test_a_planted_difference_is_found_and_an_equal_candidate_is_not_called_better() -> None:
    rng = np.random.default_rng(1)
    a, b, c = (judged_rows(name, rng.random(400) < rate) for name, rate in (("a", 0.45), ("b", 0.62), ("c", 0.45)))
    better, equal = found(ACCURACY, a, b, c, pairs=(("b", "a"), ("c", "a")))
    assert (better["verdict"], better["pairing"], better["n"], better["more_needed"]) == ("better", "paired", 400, 0)
    assert better["low"] < 0.17 < better["high"]
    assert equal["verdict"] == "not decided"
    assert (found(ACCURACY, a, b, pairs=(("a", "b"),))[0])["verdict"] == "worse"


def test_among_many_equal_candidates_any_is_called_better_no_more_often_than_stated() -> None:
    rng, false = np.random.default_rng(2), {"holm": 0, "none": 0}
    names = [f"v{i}" for i in range(6)]
    pairs = [(name, "a") for name in names]
    for turn in range(50):
        rows = [judged_rows(name, rng.random(60) < 0.5) for name in ("a", *names)]
        for correction in false:
            rules = Rules(metrics=("accuracy",), draws=200, seed=turn, correction=correction)
            false[correction] += any(r["verdict"] != "not decided" for r in found(rules, *rows, pairs=pairs))
    assert false["holm"] / 50 <= 0.12
    assert false["none"] / 50 > 0.12


def test_the_market_cancels_out_in_pairs() -> None:
    rng = np.random.default_rng(3)
    easy = rng.random(300) < 0.5  # hours in which anybody is right
    hits = [np.where(easy, rng.random(300) < 0.95, rng.random(300) < rate) for rate in (0.1, 0.2)]
    a, b = judged_rows("a", hits[0]), judged_rows("b", hits[1])
    [together] = found(ACCURACY, a, b)
    [apart] = found(Rules(metrics=("accuracy",), draws=400, pairing="unpaired"), a, b)
    assert together["difference"] == pytest.approx(apart["difference"])
    assert (together["n"], apart["n"]) == (300, 600)
    assert together["high"] - together["low"] < 0.75 * (apart["high"] - apart["low"])


def slow_pairs(a: pl.DataFrame, b: pl.DataFrame) -> dict[Any, tuple[float, float]]:
    minutes = {"15m": 15, "1h": 60, "4h": 240}

    def windows(rows: pl.DataFrame) -> dict[Any, list[float]]:
        cut: dict[Any, list[float]] = {}
        for row in rows.iter_rows(named=True):
            at = int(row["made_at"].timestamp()) // 60
            length = minutes.get(row["timeframe"] or "1h", 60)
            key = (row["venue"], row["symbol"], row["timeframe"], at // length)
            cut.setdefault(key, []).append(row["value"])
        return cut

    left, right = windows(a), windows(b)
    return {k: (sum(left[k]) / len(left[k]), sum(right[k]) / len(right[k])) for k in left.keys() & right.keys()}


def test_pairs_are_those_of_a_plain_loop() -> None:
    rng = np.random.default_rng(4)
    made = []
    for name in "ab":
        rows = judged_rows(name, rng.random(150) < 0.5)
        minutes = [DAY + timedelta(minutes=int(m)) for m in rng.integers(0, 3000, 150)]
        made.append(
            rows.with_columns(
                pl.Series("made_at", minutes, dtype=pl.Datetime("us", "UTC")),
                pl.Series("symbol", rng.choice(["BTCUSDT", "ETHUSDT"], 150)),
                pl.Series("timeframe", [["15m", "1h", "4h", None, "odd"][i] for i in rng.integers(0, 5, 150)]),
                pl.Series("venue", rng.choice(["", "bybit"], 150)),
            )
        )
    a, b = (valued(rows, METRICS["accuracy"]) for rows in made)
    pairs, wanted = paired(a, b), slow_pairs(a, b)
    assert pairs.height == len(wanted) > 10
    ours = sorted(zip(pairs["value"], pairs["value_b"], strict=True))
    np.testing.assert_allclose(ours, sorted(wanted.values()))
    assert pairs["window"].is_sorted()
    one = paired(a.with_columns(timeframe=pl.lit("1h")), b.with_columns(timeframe=pl.lit("1h")), "1h").height
    assert paired(a.with_columns(timeframe=pl.lit("1h")), b.with_columns(timeframe=pl.lit("1h"))).height == one > 0


def test_with_few_pairs_the_samples_are_held_against_each_other() -> None:
    rng = np.random.default_rng(5)
    a, b = judged_rows("a", rng.random(50) < 0.5), judged_rows("b", rng.random(50) < 0.5, start=DAY + 45 * HOUR)
    [row] = found(ACCURACY, a, b)
    assert (row["pairing"], row["n"], row["n_candidate"], row["n_against"]) == ("unpaired", 100, 50, 50)
    [forced] = found(Rules(metrics=("accuracy",), draws=400, pairing="paired"), a, b)
    assert (forced["pairing"], forced["n"], forced["verdict"]) == ("paired", 5, "not decided")
    assert forced["more_needed"] >= 15
    assert forced["p"] is None


def test_too_few_decisions_decide_nothing_and_count_in_no_correction() -> None:
    a, b, c = judged_rows("a", [True] * 40), judged_rows("b", [False] * 5), judged_rows("c", [False] * 40)
    few, many = found(ACCURACY, a, b, c, pairs=(("b", "a"), ("c", "a")))
    assert (few["verdict"], few["p_corrected"], few["more_needed"], few["comparisons"]) == ("not decided", None, 15, 1)
    assert (many["verdict"], many["p_corrected"]) == ("worse", pytest.approx(2 * 0.5**40))


def test_the_planned_number_of_decisions_decides_as_often_as_planned() -> None:
    rng = np.random.default_rng(6)
    rules = Rules(metrics=("accuracy",), draws=300, smallest=0.15, power=0.8)
    [first] = found(rules, judged_rows("a", rng.random(60) < 0.45), judged_rows("b", rng.random(60) < 0.55))
    assert first["more_needed"] is not None
    n = 60 + first["more_needed"]
    assert 100 < n < 260
    decided = 0
    for _ in range(60):
        [row] = found(rules, judged_rows("a", rng.random(n) < 0.45), judged_rows("b", rng.random(n) < 0.60))
        decided += row["verdict"] == "better"
    assert 0.65 <= decided / 60 <= 0.95


def test_positions_that_overlap_are_resampled_in_blocks_and_give_fewer_false_findings() -> None:
    rng, wrong = np.random.default_rng(7), {None: 0, 1.0: 0}
    for turn in range(60):
        # whoever is right stays right for a dozen hours: positions are held for so long
        a, b = (np.repeat(rng.random(20) < 0.5, 12) for _ in range(2))
        rows = judged_rows("a", a, hold=720.0), judged_rows("b", b, hold=720.0)
        for block in wrong:
            rules = Rules(metrics=("accuracy",), draws=200, seed=turn, block=block)
            [row] = found(rules, *rows)
            wrong[block] += row["verdict"] != "not decided"
            if block is None:
                assert row["block"] == pytest.approx(36, rel=0.1)  # three times twelve hours
    assert wrong[1.0] / 60 > 0.3
    assert wrong[None] / 60 <= 0.15


def test_a_row_lives_from_its_decision_until_it_was_over() -> None:
    rows = judged_rows("a", np.array([True, False]), hold=90.0)
    lives = lives_of(rows)
    assert (lives.ends - lives.starts).tolist() == [90 * 60_000_000] * 2
    unknown = lives_of(rows.with_columns(hold_minutes=pl.lit(None)))
    assert unknown.ends.tolist() == unknown.starts.tolist() == lives.starts.tolist()
    assert lives_of(rows.drop("hold_minutes")).ends.tolist() == lives.starts.tolist()


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake", bot_id="tester") as opened:
        yield opened


def record(lk: lake.Lake, seed: int, prompts: dict[str, float], n: int = 60) -> None:
    rng, rows = np.random.default_rng(seed), []
    for number in range(n):
        for prompt, rate in prompts.items():
            made, right = DAY + number * HOUR, bool(rng.random() < rate)
            rows.append(
                {
                    "decision_id": f"{prompt}-{number}", "symbol": "BTCUSDT", "timeframe": "1h", "analyzed_at": made,
                    "recommendation": "LONG", "confidence": 0.6, "prompt_version": prompt, "model_version": "m",
                    "cost_usd": 0.02, "traded": True, "actual_pnl": 3.0 if right else -2.0, "outcome_correct": right,
                    "outcome_recorded_at": made + HOUR, "hold_duration_minutes": 30.0,
                }
            )  # fmt: skip
    lk.write("decisions", rows)


def test_the_money_of_a_comparison_is_that_of_the_view(lk: lake.Lake) -> None:
    record(lk, 1, {"v1": 0.5, "v2": 0.6})
    extra = {"symbol": "BTCUSDT", "prompt_version": "v1", "model_version": "m", "cost_usd": 0.5}
    lk.decisions.record(extra, decision_id="hold", recommendation="HOLD", analyzed_at=DAY)
    lk.decisions.record(extra, decision_id="skip", recommendation="LONG", analyzed_at=DAY, skip_reason="no slot")
    lk.decisions.record(extra, decision_id="t", recommendation="LONG", analyzed_at=DAY)
    trade = {"symbol": "BTCUSDT", "side": "LONG", "quantity": 1.0, "entry_price": 100.0, "decision_id": "t"}
    lk.trades.open(trade, trade_id="t1", opened_at=DAY)
    lk.trades.close("t1", 107.0, closed_at=DAY + HOUR)
    view = {row["prompt_version"]: row for row in lk.read("prompt_performance").iter_rows(named=True)}
    [row] = lk.comparison.prompts(
        "v1", against="v2", rules=Rules(metrics=("net_pnl",), pairing="unpaired")
    ).frame.to_dicts()
    assert (row["n_candidate"], row["n_against"]) == (63, 60)
    assert row["candidate_value"] * 63 == pytest.approx(view["v1"]["net_pnl"])
    assert row["against_value"] * 60 == pytest.approx(view["v2"]["net_pnl"])
    [wins] = lk.comparison.prompts(
        "v1", against="v2", rules=Rules(metrics=("win_rate",), pairing="unpaired")
    ).frame.to_dicts()
    assert 100 * wins["candidate_value"] == pytest.approx(view["v1"]["win_rate"])


def test_a_trade_that_is_not_over_is_in_no_sum(lk: lake.Lake) -> None:
    record(lk, 2, {"v1": 0.5, "v2": 0.5}, n=25)
    lk.decisions.record(
        decision_id="open", symbol="BTCUSDT", recommendation="LONG", prompt_version="v1", traded=True, analyzed_at=DAY
    )
    frame = lk.comparison.prompts(rules=Rules(pairing="unpaired")).frame
    assert set(frame["n_against"].to_list()) == {25}  # v1 in every metric
    assert frame["metric"].to_list() == ["accuracy", "win_rate", "net_pnl", "brier"]


def test_brier_scores_are_better_when_they_are_lower(lk: lake.Lake) -> None:
    record(lk, 3, {"v1": 0.2, "v2": 0.9})
    [row] = lk.comparison.prompts("v2", against="v1", rules=Rules(metrics=("brier",))).frame.to_dicts()
    assert row["difference"] < 0
    assert row["verdict"] == "better"


def test_the_text_says_what_is_decided_and_how_many_more_are_needed(lk: lake.Lake) -> None:
    record(lk, 4, {"v1": 0.3, "v2": 0.85, "v3": 0.4})
    found = lk.comparison.prompts(rules=Rules(metrics=("accuracy",), seed=3))
    first, second, third, note = found.text().splitlines()
    assert first.startswith("v2 against v1, accuracy: ")
    assert first.endswith("(holm, 3 comparisons), 60 pairs: better.")
    assert "not decided, about " in second
    assert second.endswith(" more pairs needed.")
    assert third.endswith("60 pairs: worse.")
    assert "knowledge cutoff" in note
    assert lk.comparison.prompts(rules={"metrics": "accuracy", "seed": 3}).text() == found.text()


def test_an_empty_lake_has_nothing_to_compare(lk: lake.Lake) -> None:
    assert lk.comparison.prompts().text() == "There is nothing to compare."
    assert lk.comparison.models(source="predictions").frame.is_empty()


def test_models_are_compared_by_their_predictions_too(lk: lake.Lake) -> None:
    rows = [
        {
            "prediction_id": f"{model}{n}", "symbol": "BTCUSDT", "timeframe": "1h", "model_version": model,
            "predicted_direction": "UP", "probability": 0.8, "horizon_minutes": 60, "predicted_at": DAY + n * HOUR,
            "due_at": DAY + (n + 1) * HOUR, "correct": model == "good" or n % 3 == 0,
            "resolved_at": DAY + (n + 1) * HOUR,
        }
        for n in range(40) for model in ("bad", "good")
    ]  # fmt: skip
    lk.write("predictions", rows)
    frame = lk.comparison.models("good", against="bad", source="predictions").frame
    assert frame["metric"].to_list() == ["accuracy", "brier"]
    assert frame["verdict"].to_list() == ["better", "better"]


def test_asyncio_compares_the_same(lk: lake.Lake, tmp_path: Path) -> None:
    record(lk, 5, {"v1": 0.5, "v2": 0.5})

    async def ask() -> str:
        async with await lake.open_async(tmp_path / "lake") as alk:
            return str((await alk.comparison.prompts()).text())

    assert asyncio.run(ask()) == lk.comparison.prompts().text()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda lk: lk.comparison.prompts("v1", against="v9"),
            r"prompt_version: nothing to compare.*There are: v1, v2",
        ),
        (lambda lk: lk.comparison.prompts(["v1", "v2"]), r'named by texts.*Such as prompts\("v1", "v2"\)'),
        (lambda lk: lk.comparison.prompts("v1", against=["v2"]), "named by texts"),
        (lambda _: Rules(smallest=0), r"smallest: the smallest difference is above 0 \(got 0\)"),
        (lambda _: Rules(smallest="x"), r"smallest: the smallest difference is above 0 \(got 'x'\)"),
        (lambda lk: lk.comparison.compare(["bot_id", "symbol"]), "candidates are named by one column"),
        (lambda lk: lk.comparison.compare("colour"), "By: prompt_version"),
        (lambda lk: lk.comparison.prompts(rules={"metric": "brier"}), r"no such options \(got \['metric'\]\)"),
        (lambda lk: lk.comparison.prompts(rules=None), "no such options"),
        (lambda _: Rules(metrics=("luck",)), "There are: accuracy, win_rate, net_pnl, brier"),
        (lambda _: Rules(correction="bonferroni"), "correction: no such rule"),
        (lambda _: Rules(pairing="maybe"), "pairing: no such rule"),
        (lambda _: Rules(min_n=0), "at least 2 rows are needed"),
        (lambda _: Rules(level=95), "a confidence level lies between 0 and 1"),
        (lambda _: Rules(power=1.5), "a power lies between 0 and 1"),
        (lambda _: Rules(draws=1), "at least 100 draws"),
    ],
)
def test_bad_arguments_are_told_by_name(lk: lake.Lake, call: Any, message: str) -> None:
    record(lk, 6, {"v1": 0.5, "v2": 0.5}, n=2)
    with pytest.raises(UsageError, match=message):
        call(lk)
