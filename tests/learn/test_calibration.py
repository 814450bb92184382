"""Stated confidences are held against what came, and mended by what was known at the time alone."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import optimize  # type: ignore[import-untyped]
from sklearn import metrics
from sklearn.isotonic import IsotonicRegression

import lake
from lake.errors import UsageError
from lake.kernels import scores
from lake.learn import recalibration
from lake.learn.calibration import Recalibration
from lake.learn.recalibration import Isotonic, Platt

DAY = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)


def too_sure(n: int, seed: int, prompt: str = "v1", share: float = 0.7, start: int = 0) -> list[dict[str, Any]]:
    """Decisions that are right less often than they say: by the share."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(start, start + n):
        stated = float(rng.uniform(0.5, 0.95))
        made = DAY + number * HOUR
        found.append(
            {
                "decision_id": f"{prompt}-{number}", "symbol": ("BTCUSDT", "ETHUSDT")[number % 2],
                "recommendation": "LONG", "confidence": stated, "prompt_version": prompt, "model_version": "m",
                "analyzed_at": made, "outcome_correct": bool(rng.random() < share * stated),
                "outcome_recorded_at": made + 2 * HOUR,
            }
        )  # fmt: skip
    return found


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake", bot_id="tester") as opened:
        yield opened


def test_the_report_has_the_figures_of_the_kernels_for_each_group(lk: lake.Lake) -> None:
    made = too_sure(120, 1) + too_sure(80, 2, "v2", 1.0)
    lk.write("decisions", made)
    report = lk.calibration.report()
    assert report.frame["prompt_version"].to_list() == ["v1", "v2"]
    for row in report.frame.iter_rows(named=True):
        mine = [m for m in made if m["prompt_version"] == row["prompt_version"]]
        p, y = [m["confidence"] for m in mine], [m["outcome_correct"] for m in mine]
        assert row["n"] == len(mine)
        assert row["brier"] == pytest.approx(metrics.brier_score_loss(y, p))
        assert row["log_loss"] == pytest.approx(metrics.log_loss(y, p))
        assert row["auc"] == pytest.approx(metrics.roc_auc_score(y, p))
        assert row["ece"] == pytest.approx(scores.ece(p, y))
        assert row["auc_low"] < row["auc"] < row["auc_high"]
    assert report.frame["ece_p"][0] < 0.05 < report.frame["ece_p"][1]
    assert report.frame["ece"][0] > 2 * report.frame["ece_by_chance"][0]
    assert report.curves.group_by("prompt_version").agg(pl.col("n").sum()).sort("prompt_version")["n"].to_list() == [
        120, 80,
    ]  # fmt: skip


def test_unresolved_rows_holds_and_those_without_a_confidence_are_in_no_figure(lk: lake.Lake) -> None:
    made = too_sure(10, 3)
    made[0] |= {"outcome_correct": None, "outcome_recorded_at": None}
    made[1] |= {"recommendation": "HOLD"}
    made[2] |= {"confidence": None}
    lk.write("decisions", made)
    [row] = lk.calibration.report().frame.to_dicts()
    assert (row["n"], row["unresolved"]) == (7, 1)
    assert lk.calibration.report(None).frame["n"].to_list() == [7]
    both = lk.calibration.report(["prompt_version", "symbol"]).frame
    assert both["n"].sum() == 7
    assert both.height == 2


def test_an_empty_lake_has_an_empty_report_and_no_map(lk: lake.Lake) -> None:
    report, maps = lk.calibration.report(), lk.calibration.fit()
    assert (report.frame.height, report.curves.height, maps.groups, maps.frame.height) == (0, 0, (), 0)
    assert lk.calibration.apply(maps).height == 0


def test_predictions_are_judged_like_decisions(lk: lake.Lake) -> None:
    lk.write(
        "predictions",
        [
            {
                "prediction_id": f"p{n}", "symbol": "BTCUSDT", "model_version": "m", "predicted_direction": "UP",
                "probability": 0.6, "horizon_minutes": 60, "predicted_at": DAY + n * HOUR,
                "due_at": DAY + (n + 1) * HOUR, "correct": n % 2 == 0, "resolved_at": DAY + (n + 1) * HOUR,
            }
            for n in range(10)
        ],
    )  # fmt: skip
    [row] = lk.calibration.report("model_version", source="predictions").frame.to_dicts()
    assert (row["n"], row["accuracy"], row["brier"]) == (10, 0.5, pytest.approx(0.26))
    [half] = lk.calibration.report("model_version", source="predictions", before=DAY + 6 * HOUR).frame.to_dicts()
    assert (half["n"], half["unresolved"]) == (5, 1)


def test_a_look_back_sees_the_outcomes_that_were_known_then(lk: lake.Lake) -> None:
    lk.write("decisions", too_sure(20, 4))
    lk.decisions.correct("v1-0", outcome_correct=not lk.decisions.get("v1-0")["outcome_correct"], at=DAY + 99 * HOUR)  # type: ignore[index]
    then = lk.calibration.report(before=DAY + 50 * HOUR).frame
    now = lk.calibration.report().frame
    assert then["n"].to_list() == now["n"].to_list() == [20]
    assert abs(then["accuracy"][0] - now["accuracy"][0]) == pytest.approx(1 / 20)
    assert lk.calibration.report(before=DAY + 10 * HOUR).frame["n"].to_list() == [8]


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_a_map_makes_later_decisions_better_and_says_by_how_much(lk: lake.Lake, method: str) -> None:
    lk.write("decisions", too_sure(600, 5))
    maps = lk.calibration.fit(method=method)
    [row] = maps.frame.to_dicts()
    assert (row["n"], row["method"], row["verdict"]) == (600, method, "better")
    assert row["n_fit"] + row["n_test"] <= 600
    assert row["n_test"] == 180
    assert row["ece_after"] < row["ece_before"]
    assert row["gain_low"] > 0
    assert maps.value(0.9, prompt_version="v1") == pytest.approx(0.63, abs=0.08)
    assert maps.value(0.9, prompt_version="v9") is None


def test_the_check_never_fits_on_what_was_resolved_after_the_later_decisions_began(lk: lake.Lake) -> None:
    made = too_sure(200, 6)
    for row in made[:100]:
        row["outcome_recorded_at"] = DAY + 190 * HOUR  # resolved in one go, after the split
    lk.write("decisions", made)
    [row] = lk.calibration.fit(min_n=20).frame.to_dicts()
    assert (row["n_fit"], row["n_test"]) == (38, 60)  # 100 to 137, whose outcomes came before the 140th


def test_a_map_knows_nothing_that_was_recorded_later(lk: lake.Lake) -> None:
    lk.write("decisions", too_sure(300, 7))
    before = DAY + 250 * HOUR
    first = lk.calibration.fit(before=before)
    lk.write("decisions", too_sure(100, 8, share=0.1, start=300))
    for number in range(240, 250):
        lk.decisions.correct(f"v1-{number}", outcome_correct=False, actual_pnl=-1.0, at=before + HOUR)
    lk.drain()
    again = lk.calibration.fit(before=before)
    assert again == first
    assert again.groups[0].n == 249 - 1  # made by hour 249, and 2 hours to be resolved
    assert lk.calibration.fit().groups[0].n == 400
    applied = lk.calibration.apply(again)
    assert applied.filter(pl.col("in_sample"))["made_at"].max() < before  # type: ignore[operator]
    assert applied["in_sample"].sum() == 250


def test_a_group_with_few_decisions_has_no_map_and_the_reason_is_told(lk: lake.Lake) -> None:
    lk.write("decisions", too_sure(60, 9) + too_sure(20, 10, "v2"))
    maps = lk.calibration.fit()
    of = {row["prompt_version"]: row for row in maps.frame.iter_rows(named=True)}
    assert of["v1"]["method"] == "platt"
    assert (of["v2"]["method"], of["v2"]["reason"]) == (None, "20 resolved decisions, 50 are needed")
    applied = lk.calibration.apply(maps)
    shown = applied.group_by("prompt_version").agg(pl.col("calibrated_confidence").count()).sort("prompt_version")
    assert shown["calibrated_confidence"].to_list() == [60, 0]


def test_a_map_that_made_later_decisions_worse_is_not_used(lk: lake.Lake) -> None:
    lk.write("decisions", too_sure(280, 11, share=0.3) + too_sure(120, 12, share=1.0, start=280))
    [group] = lk.calibration.fit().groups
    assert group.fitted is None
    assert group.reason == "a map of the earlier decisions made the later worse"
    assert group.check is not None
    assert group.check.gain.value < 0


def test_maps_outlive_the_process_as_json(lk: lake.Lake) -> None:
    lk.write("decisions", too_sure(300, 13) + too_sure(300, 14, "v2", 0.5))
    for method in ("platt", "isotonic"):
        maps = lk.calibration.fit(method=method, before=DAY + 999 * HOUR)
        kept = Recalibration.from_dict(json.loads(json.dumps(maps.to_dict())))
        assert lk.calibration.apply(kept).equals(lk.calibration.apply(maps))
        assert (kept.by, kept.before) == (("prompt_version",), DAY + 999 * HOUR)
    with pytest.raises(UsageError, match="not a recalibration that was kept"):
        Recalibration.from_dict({"by": []})
    with pytest.raises(UsageError, match="not a recalibration that was kept"):
        recalibration.from_dict({"method": "magic"})


def test_asyncio_gives_the_same_report(lk: lake.Lake, tmp_path: Path) -> None:
    lk.write("decisions", too_sure(30, 15))

    async def ask() -> pl.DataFrame:
        async with await lake.open_async(tmp_path / "lake") as alk:
            found: pl.DataFrame = (await alk.calibration.report("symbol")).frame
            return found

    assert asyncio.run(ask()).equals(lk.calibration.report("symbol").frame)


# --- maps by themselves ---------------------------------------------------------------------------------------------


def drawn(n: int, seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    p = np.round(rng.uniform(0.3, 0.95, n), 2)
    return p, (rng.random(n) < p**2).astype(float)


def test_platts_curve_is_the_maximum_of_its_likelihood() -> None:
    p, y = drawn(400, 1)
    ones, zeros = y.sum(), len(y) - y.sum()
    target = np.where(y == 1, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    logit = np.log(p / (1 - p))

    def loss(x: Any) -> float:
        score = x[0] * logit + x[1]
        return float(np.sum(np.logaddexp(0, score) - target * score))

    best = optimize.minimize(loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    found = recalibration.fit_map(p, y, "platt")
    assert isinstance(found, Platt)
    assert [found.slope, found.intercept] == pytest.approx(best.x.tolist(), abs=1e-4)


@pytest.mark.parametrize("seed", range(8))
def test_isotonic_regression_is_that_of_scikit_learn_but_for_what_few_rows_cannot_show(seed: int) -> None:
    """Each step is its own rate with two rows of the rate of all; such steps that would fall are pooled."""
    p, y = drawn(300, seed)
    found = recalibration.fit_map(p, y, "isotonic")
    assert isinstance(found, Isotonic)
    theirs = IsotonicRegression().fit_transform(p, y)
    base = (y.sum() + 1) / 302
    levels = sorted(set(theirs.tolist()))
    drawn_in = {v: ((theirs == v) @ y + 2 * base) / ((theirs == v).sum() + 2) for v in levels}
    weights = [(theirs == v).sum() for v in levels]
    risen = IsotonicRegression().fit_transform(range(len(levels)), [drawn_in[v] for v in levels], sample_weight=weights)
    pooled = dict(zip(levels, risen, strict=True))
    np.testing.assert_allclose(found.apply(p), [pooled[v] for v in theirs], atol=1e-9)
    assert np.abs(found.apply(p) - theirs).mean() < 0.05


def test_a_lucky_row_makes_no_certainty() -> None:
    """Scores that tell nothing, and the highest of them won: nothing shows more than the rate of all."""
    p = np.linspace(0, 1, 500)
    y = (np.random.default_rng(1).random(500) < 0.4).astype(float)
    y[-1] = 1.0
    assert recalibration.fit_map(p, y, "isotonic").apply([1.0])[0] < 0.85
    alone = y.copy()
    alone[-20:-1] = 0.0
    assert recalibration.fit_map(p, alone, "isotonic").apply([1.0])[0] == pytest.approx(
        (1 + 2 * (alone.sum() + 1) / 502) / 3
    )


@pytest.mark.parametrize("method", ["isotonic", "platt"])
@pytest.mark.parametrize("case", ["upside down", "alike", "all right", "one", "certain"])
def test_a_map_never_falls_and_stays_within_0_and_1(method: str, case: str) -> None:
    rng = np.random.default_rng(3)
    p = rng.uniform(0.1, 0.9, 80)
    y = (rng.random(80) < 1 - p).astype(float)
    if case == "alike":
        p = np.full(80, 0.7)
    if case == "all right":
        y = np.ones(80)
    if case == "one":
        p, y = p[:1], y[:1]
    if case == "certain":
        p = np.repeat([0.0, 1.0], 40)
        y = p.copy()
    values = recalibration.fit_map(p, y, method).apply(np.linspace(0, 1, 101))
    assert (np.diff(values) >= -1e-12).all()
    assert (values > 0).all()
    assert (values < 1).all()
    if case == "upside down" and method == "platt":
        assert np.ptp(values) == 0
        assert values[0] == pytest.approx(y.mean(), abs=0.02)


def test_few_rows_get_platts_curve_and_many_isotonic() -> None:
    assert isinstance(recalibration.fit_map(*drawn(999, 4)), Platt)
    assert isinstance(recalibration.fit_map(*drawn(1000, 4)), Isotonic)


def test_a_check_on_rows_that_a_map_leaves_alone_finds_no_gain() -> None:
    p, y = drawn(100, 5)
    found = recalibration.check(p, y, Platt(1.0, 0.0), 50)
    assert found.ece_after == pytest.approx(found.ece_before)
    assert found.verdict == "not decided"
    assert not math.isnan(found.brier_after)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda lk: lk.calibration.report("colour"), "By: prompt_version, model_version, symbol"),
        (lambda lk: lk.calibration.fit(None, min_n=2).value(80), r"confidence: a confidence is 0-1 \(got 80\)\. 80 %"),
        (lambda lk: lk.calibration.fit(None, min_n=2).value("x"), r"confidence: a confidence is 0-1 \(got 'x'\)"),
        (lambda lk: lk.calibration.report(source="dreams"), "It is decisions or predictions"),
        (lambda lk: lk.calibration.fit(min_n=1), r"min_n: a map needs at least 2 rows \(got 1\)"),
        (lambda lk: lk.calibration.fit(holdout=30), "the share held out lies between 0 and 1"),
        (lambda lk: lk.calibration.fit().value(0.5), r"Give \('prompt_version',\)"),
        (lambda lk: lk.calibration.fit().apply(pl.DataFrame({"a": [1]})), "a column is missing"),
        (lambda _: recalibration.fit_map([0.5], [1], "magic"), "There are: auto, isotonic, platt"),
        (lambda _: recalibration.fit_map([], []), "nothing to fit on"),
    ],
)
def test_bad_arguments_are_told_by_name(lk: lake.Lake, call: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call(lk)


def test_an_unknown_method_is_refused_before_anything_is_fitted(lk: lake.Lake) -> None:
    with pytest.raises(UsageError, match="There are: auto, isotonic, platt"):
        lk.calibration.fit(method="magic")
