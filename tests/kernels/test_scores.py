"""Scores of probabilities are those of scikit-learn where it has them, and of a plain loop where it has not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.calibration import calibration_curve

from lake.errors import UsageError
from lake.kernels import scores

grid = st.integers(0, 20).map(lambda k: k / 20)
forecasts = st.lists(st.tuples(grid, st.booleans()), min_size=1, max_size=60)


def made(n: int, seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    p = rng.beta(2, 2, n)
    return p, (rng.random(n) < p**1.5).astype(float)


def bin_of(p: float, bins: int) -> int:
    return min(math.floor(round(p, 6) * bins + 1e-9), bins - 1)


def slow_bins(rows: list[tuple[float, bool]], bins: int) -> dict[int, list[tuple[float, bool]]]:
    found: dict[int, list[tuple[float, bool]]] = {}
    for row in rows:
        found.setdefault(bin_of(row[0], bins), []).append(row)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_brier_log_loss_and_auc_are_those_of_scikit_learn(seed: int) -> None:
    p, y = made(500, seed)
    assert scores.brier(p, y) == pytest.approx(metrics.brier_score_loss(y, p), rel=1e-12)
    assert scores.log_loss(p, y) == pytest.approx(metrics.log_loss(y, p), rel=1e-12)
    assert scores.auc(p, y).auc == pytest.approx(metrics.roc_auc_score(y, p), rel=1e-12)
    coarse = np.round(p, 1)  # ties
    assert scores.auc(coarse, y).auc == pytest.approx(metrics.roc_auc_score(y, coarse), rel=1e-12)


def test_a_certainty_that_was_wrong_costs_much_and_not_infinitely() -> None:
    assert scores.log_loss([0.0, 1.0], [1, 0]) == pytest.approx(metrics.log_loss([1, 0], [0.0, 1.0]))
    assert scores.log_loss([1.0, 0.0], [1, 0]) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("binning", "strategy"), [("width", "uniform"), ("mass", "quantile")])
def test_the_reliability_curve_is_that_of_scikit_learn(binning: Any, strategy: str) -> None:
    p, y = made(997 if binning == "width" else 1000, 4)
    rate, stated = calibration_curve(y, p, n_bins=10, strategy=strategy)
    curve = scores.reliability_curve(p, y, 10, binning)
    # scikit-learn puts its quantiles between two rows, we on one: the bins agree but for that row
    tolerance = 1e-12 if binning == "width" else 0.02
    np.testing.assert_allclose(curve.stated, stated, atol=tolerance)
    np.testing.assert_allclose(curve.observed, rate, atol=tolerance)
    assert curve.n.sum() == len(p)
    if binning == "mass":
        assert set(curve.n.tolist()) == {100}


@given(forecasts, st.integers(1, 12))
def test_bins_and_calibration_error_are_those_of_a_plain_loop(rows: list[tuple[float, bool]], bins: int) -> None:
    p, y = [r[0] for r in rows], [r[1] for r in rows]
    groups = slow_bins(rows, bins)
    wanted = 0.0
    for members in groups.values():
        gap = sum(m[1] for m in members) / len(members) - sum(m[0] for m in members) / len(members)
        wanted += len(members) / len(rows) * abs(gap)
    assert scores.ece(p, y, bins) == pytest.approx(wanted, abs=1e-12)
    curve = scores.reliability_curve(p, y, bins)
    assert curve.n.tolist() == [len(groups[k]) for k in sorted(groups)]
    assert ((curve.low - 1e-9 <= curve.stated) & (curve.stated <= curve.high + 1e-9)).all()


@given(forecasts, st.integers(1, 12))
def test_bins_of_equal_mass_never_part_equal_values_and_none_is_empty(
    rows: list[tuple[float, bool]], bins: int
) -> None:
    p, y = np.array([r[0] for r in rows]), [r[1] for r in rows]
    at, edges = scores.assigned(p, bins, "mass")
    assert all(len(set(at[p == value].tolist())) == 1 for value in p)
    assert set(at.tolist()) == set(range(len(edges) - 1))
    assert (edges[0], edges[-1]) == (0.0, 1.0)
    assert scores.reliability_curve(p, y, bins, "mass").n.sum() == len(rows)


@given(forecasts, st.integers(1, 12), st.sampled_from(["width", "mass"]))
def test_the_parts_of_the_brier_score_add_up(rows: list[tuple[float, bool]], bins: int, binning: Any) -> None:
    parts = scores.brier_parts([r[0] for r in rows], [r[1] for r in rows], bins, binning)
    assert parts.brier == pytest.approx(metrics.brier_score_loss([r[1] for r in rows], [r[0] for r in rows]))
    total = parts.reliability - parts.resolution + parts.uncertainty
    assert total + parts.within_variance - parts.within_covariance == pytest.approx(parts.brier, abs=1e-12)
    assert min(parts.reliability, parts.resolution, parts.uncertainty, parts.within_variance) >= 0


def test_forecasts_that_are_alike_within_their_bins_have_the_three_parts_of_murphy() -> None:
    p, y = [0.15] * 4 + [0.85] * 4, [0, 0, 0, 1, 1, 1, 1, 0]
    parts = scores.brier_parts(p, y)
    assert parts.within_variance == parts.within_covariance == pytest.approx(0.0)
    assert parts.uncertainty == 0.25
    assert parts.reliability == pytest.approx(0.1**2)
    assert parts.resolution == pytest.approx(0.25**2)


def test_a_confidence_kept_in_32_bits_lies_in_the_bin_it_names() -> None:
    for tenth in range(10):
        curve = scores.reliability_curve([float(np.float32(tenth / 10)), tenth / 10], [0, 1])
        assert curve.n.tolist() == [2]
        assert curve.low[0] == pytest.approx(tenth / 10)
    assert scores.reliability_curve([1.0, 0.95], [1, 1]).n.tolist() == [2]


def slow_delong(x: Any, y: Any) -> tuple[float, float]:
    """Pair by pair, as the paper has it."""
    ones, zeros = x[y == 1], x[y == 0]
    psi = [[1.0 if a > b else 0.5 if a == b else 0.0 for b in zeros] for a in ones]
    m, n = len(ones), len(zeros)
    area = sum(map(sum, psi)) / (m * n)
    v10 = [sum(row) / n for row in psi]
    v01 = [sum(psi[i][j] for i in range(m)) / m for j in range(n)]
    s10 = sum((v - area) ** 2 for v in v10) / (m - 1)
    s01 = sum((v - area) ** 2 for v in v01) / (n - 1)
    return area, math.sqrt(s10 / m + s01 / n)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=4, max_size=40))
def test_delongs_error_is_that_of_its_definition(rows: list[tuple[int, bool]]) -> None:
    x, y = np.array([r[0] for r in rows], dtype=float), np.array([r[1] for r in rows], dtype=float)
    found = scores.auc(x, y)
    assert (found.positives, found.negatives) == (y.sum(), len(y) - y.sum())
    if min(found.positives, found.negatives) < 2 or found.auc in {0.0, 1.0}:
        assert math.isnan(found.error)
        return
    area, error = slow_delong(x, y)
    assert found.auc == pytest.approx(area)
    assert found.error == pytest.approx(error)
    assert found.low <= found.auc <= found.high


def test_delongs_interval_covers_the_true_auc_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    truth = 0.5 * (1 + math.erf(0.5))  # two normals one deviation apart: the chance that one lies above the other
    covered = 0
    for _ in range(600):
        y = np.repeat([0.0, 1.0], 60)
        found = scores.auc(rng.normal(size=120) + y, y)
        covered += found.low <= truth <= found.high
    assert abs(truth - 0.7602) < 1e-4
    assert 0.925 <= covered / 600 <= 0.975


def test_a_perfect_ranking_of_few_rows_is_not_a_certainty() -> None:
    few, many = scores.auc([1, 2, 3, 4], [0, 0, 1, 1]), scores.auc(range(200), [0] * 100 + [1] * 100)
    assert few.auc == many.auc == 1.0 == few.high
    assert few.low < 0.6
    assert 0.95 < many.low < 1.0
    worst = scores.auc([1, 2, 3, 4], [1, 1, 0, 0])
    assert worst.auc == worst.low == 0.0
    assert worst.high == pytest.approx(1 - few.low)


def test_wilsons_interval_is_where_the_score_test_turns() -> None:
    for hits, n in [(0, 5), (5, 5), (8, 10), (300, 1000)]:
        low, high = (float(v) for v in scores.wilson(hits, n))
        for bound in (low, high):
            if 0 < bound < 1:
                z = abs(hits / n - bound) / math.sqrt(bound * (1 - bound) / n)
                assert z == pytest.approx(1.959964, abs=1e-5)
        assert low <= hits / n <= high
    assert all(np.isnan(v) for v in scores.wilson(0, 0))
    lows, highs = scores.wilson([1, 2], [4, 0 + 4], 0.9)
    assert len(lows) == len(highs) == 2


def test_what_is_not_defined_is_nan_and_nothing_else() -> None:
    assert math.isnan(scores.brier([], []))
    assert math.isnan(scores.log_loss([], []))
    assert math.isnan(scores.ece([], []))
    assert math.isnan(scores.brier_parts([], []).resolution)
    assert scores.reliability_curve([], [], 10, "mass").n.tolist() == []
    alone = scores.auc([0.3, 0.4], [1, 1])
    assert math.isnan(alone.auc)
    assert (alone.positives, alone.negatives) == (2, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scores.brier([0.5], [1, 0]), r"as many outcomes as probabilities.*\(1, 2\)"),
        (lambda: scores.brier([55.0], [1]), r"probability: a probability lies between 0 and 1 \(got 55.0\)"),
        (lambda: scores.brier([0.5], [2]), r"outcome: an outcome is 0 or 1 \(got 2.0\)"),
        (lambda: scores.ece([math.nan], [1]), "a value is missing"),
        (lambda: scores.ece([[0.5]], [[1]]), "one dimension is needed"),
        (lambda: scores.ece(["high"], [1]), "not numbers"),
        (lambda: scores.ece([0.5], [1], 0), r"bins are counted from 1 \(got 0\)"),
        (lambda: scores.ece([0.5], [1], 10, "area"), 'It is "width" or "mass"'),  # type: ignore[arg-type]
        (lambda: scores.wilson(3, 2), "hits lie between 0 and n"),
        (lambda: scores.auc([1, 2], [0, 1], 95), r"level: a confidence level lies between 0 and 1 \(got 95\)"),
    ],
)
def test_bad_input_is_told_by_name(call: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()
