"""Intervals cover as often as they say, corrections are those of their papers, and planned numbers of rows suffice."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]

from lake.errors import UsageError
from lake.kernels import chance, deciding, intervals
from lake.kernels.chance import Lots
from lake.kernels.intervals import Resampling
from lake.kernels.scores import ece

QUICK = Resampling(draws=1000)
p_values = st.lists(st.floats(0, 1) | st.just(math.nan), max_size=12)


def skewed(n: int, seed: int) -> Any:
    return np.random.default_rng(seed).exponential(1.0, n)


def test_the_interval_of_a_mean_is_scipys_bca() -> None:
    x = skewed(40, 1)
    ours = intervals.mean(x, Resampling(draws=20_000))
    theirs = stats.bootstrap((x,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(3))
    assert ours.value == x.mean()
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.02)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.02)
    assert ours.error == pytest.approx(theirs.standard_error, rel=0.03)
    # the exponential is skewed: a symmetric interval would be another
    assert ours.high - ours.value > 1.1 * (ours.value - ours.low)


def test_the_interval_of_a_difference_is_scipys_bca() -> None:
    a, b = skewed(30, 2), 0.5 * skewed(50, 3)
    ours = intervals.difference(a, b, Resampling(draws=20_000, level=0.9))
    theirs = stats.bootstrap(
        (a, b), lambda x, y, axis: x.mean(axis) - y.mean(axis), n_resamples=20_000, confidence_level=0.9,
        method="BCa", rng=np.random.default_rng(3),
    )  # fmt: skip
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.02)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.02)
    assert ours.n == 80


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(4)
    covered = [0, 0]
    for turn in range(400):
        wins, others = (rng.random(80) < 0.6).astype(float), (rng.random(60) < 0.5).astype(float)
        how = Resampling(draws=400, seed=turn)
        alone, apart = intervals.mean(wins, how), intervals.difference(wins, others, how)
        covered[0] += alone.low <= 0.6 <= alone.high
        covered[1] += apart.low <= 0.1 <= apart.high
    assert all(0.92 <= count / 400 <= 0.98 for count in covered)


def test_the_p_value_is_the_interval_turned_round_and_uniform_where_nothing_is_to_be_found() -> None:
    rng = np.random.default_rng(5)
    found = []
    for turn in range(400):
        estimate = intervals.mean(rng.normal(size=60), Resampling(draws=400, seed=turn))
        found.append(estimate.p)
        if abs(estimate.p - 0.05) > 0.02:
            assert (estimate.p < 0.05) == (estimate.low > 0 or estimate.high < 0)
    assert stats.kstest(found, "uniform").pvalue > 0.001
    assert 0.02 <= np.mean(np.array(found) < 0.05) <= 0.09


def walk(n: int, rng: Any) -> Any:
    """Rows each of which is 0.8 of the one before, and something new."""
    x = np.empty(n)
    x[0] = rng.normal() / 0.6
    for i in range(1, n):
        x[i] = 0.8 * x[i - 1] + rng.normal()
    return x


def test_blocks_cover_where_rows_depend_on_their_neighbours_and_single_rows_do_not() -> None:
    rng = np.random.default_rng(6)
    single = blocks = 0
    for turn in range(200):
        x = walk(400, rng)
        one = intervals.mean(x, Resampling(draws=200, seed=turn))
        many = intervals.mean(x, Resampling(draws=200, seed=turn, block=30))
        single += one.low <= 0 <= one.high
        blocks += many.low <= 0 <= many.high
    assert single / 200 < 0.65
    assert blocks / 200 > 0.85


def slow_stationary_means(x: Any, draws: int, block: float, rng: Any) -> list[float]:
    """Row by row, as Politis and Romano tell it: with the chance 1 / block anywhere, else to the next row."""
    found = []
    for _ in range(draws):
        at, total = int(rng.integers(len(x))), 0.0
        for _ in range(len(x)):
            total += x[at]
            at = int(rng.integers(len(x))) if rng.random() < 1 / block else (at + 1) % len(x)
        found.append(total / len(x))
    return found


@pytest.mark.parametrize("block", [1.0, 4.0, 60.0])
def test_means_of_blocks_are_those_of_a_walk_row_by_row(block: float) -> None:
    x = walk(60, np.random.default_rng(17)) + 5
    slow = slow_stationary_means(x, 1500, block, np.random.default_rng(18))
    fast = intervals._means(x, Resampling(draws=4000, block=block), np.random.default_rng(19))
    assert stats.ks_2samp(np.round(fast, 9), np.round(slow, 9)).pvalue > 0.001
    assert intervals.mean(x, Resampling(draws=4000, block=block)).error == pytest.approx(np.std(slow), rel=0.08)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others() -> None:
    x = skewed(50, 8)
    for how in (QUICK, Resampling(draws=1000, block=5)):
        assert intervals.mean(x, how) == intervals.mean(x, how)
        assert intervals.difference(x, x + 1, how) == intervals.difference(x, x + 1, how)
    assert intervals.mean(x, QUICK).low != intervals.mean(x, Resampling(draws=1000, seed=1)).low


def test_memory_is_bound_and_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x = skewed(100, 9)
    whole = intervals.mean(x, QUICK)
    monkeypatch.setattr(intervals, "_CELLS", 1700)
    assert intervals.mean(x, QUICK) == whole


def test_rows_that_do_not_vary_have_no_interval_and_the_p_value_of_an_exact_test() -> None:
    alike = intervals.mean([1.0] * 10)
    assert (alike.value, alike.p, alike.n) == (1.0, 2 * 0.5**10, 10)
    assert all(math.isnan(v) for v in (alike.low, alike.high, alike.error))
    assert intervals.mean([0.0] * 10).p == 1.0
    assert intervals.mean([1.0]).p == 1.0
    apart = intervals.difference([1.0] * 6, [0.0] * 4)
    assert apart.p == pytest.approx(2 / math.comb(10, 6))
    assert intervals.difference([1.0] * 6, [1.0] * 4).p == 1.0
    assert math.isnan(intervals.mean([]).value)
    assert math.isnan(intervals.difference([], [1.0]).p)
    assert math.isnan(intervals.difference([1.0], [1.0, 2.0]).p)


def test_few_pairs_that_differ_are_called_different_no_more_often_than_stated() -> None:
    """Candidates who differ in few of 41 pairs, by lot; the p-value of pairs that differ by one is McNemar's."""
    rng, how, false = np.random.default_rng(5), Resampling(draws=400), 0
    for _ in range(400):
        x = rng.choice([1.0, -1.0, 0.0], 41, p=[0.05, 0.05, 0.9])
        wins, losses = int((x > 0).sum()), int((x < 0).sum())
        found = intervals.mean(x, how).p
        exact = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
        assert found >= exact - 1e-9
        false += found < 0.05
    assert false <= 20
    assert intervals.mean(np.r_[np.ones(5), np.zeros(36)]).p == pytest.approx(2 * 0.5**5)
    assert intervals.mean(np.r_[np.arange(1.0, 5.0), np.zeros(36)]).p >= 2 * 0.5**4


@pytest.mark.parametrize(("n", "rate"), [(20, 0.1), (41, 0.05), (50, 0.5)])
def test_rare_outcomes_are_called_different_no_more_often_than_stated(n: int, rate: float) -> None:
    """Two samples of one rate; the p-value of shares is not below Fisher's mid-p, here from SciPy's distribution."""
    rng, how, false = np.random.default_rng(6), Resampling(draws=400), 0
    for _ in range(300):
        x, y = ((rng.random(n) < rate).astype(float) for _ in range(2))
        found = intervals.difference(x, y, how).p
        hits, every = int(x.sum()), int(x.sum() + y.sum())
        chances = stats.hypergeom.pmf(np.arange(every + 1), 2 * n, every, n)
        likely = np.isclose(chances, chances[hits])
        exact = chances[(chances < chances[hits]) & ~likely].sum() + chances[likely].sum() / 2
        assert found >= exact - 1e-9 or x.std() == y.std() == 0
        false += found < 0.05
    assert false <= 0.07 * 300


def test_a_calibrated_forecaster_is_within_chance_and_one_who_is_too_sure_is_not() -> None:
    rng = np.random.default_rng(10)
    found = []
    for turn in range(200):
        p = rng.uniform(0.4, 0.9, 150)
        found.append(chance.ece_p_value(p, (rng.random(150) < p).astype(float), lots=Lots(300, turn)))
    assert 0.01 <= np.mean(np.array(found) < 0.05) <= 0.1
    p = rng.uniform(0.7, 0.95, 150)
    assert chance.ece_p_value(p, (rng.random(150) < 0.5).astype(float)) < 0.01
    assert math.isnan(chance.ece_p_value([], []))


@pytest.mark.parametrize("binning", ["width", "mass"])
def test_the_calibration_error_by_chance_is_that_of_outcomes_drawn_one_by_one(binning: Any) -> None:
    p = np.random.default_rng(11).uniform(0, 1, 60)
    fast = chance.ece_by_chance(p, 10, binning, Lots(2000))
    rng = np.random.default_rng(12)
    slow = [ece(p, (rng.random(60) < p).astype(float), 10, binning) for _ in range(1000)]
    assert stats.ks_2samp(np.round(fast, 9), np.round(slow, 9)).pvalue > 0.001


def test_the_change_of_the_calibration_error_is_that_of_rows_put_into_groups_one_by_one() -> None:
    rng = np.random.default_rng(13)
    p = rng.uniform(0, 1, 90)
    y = (rng.random(90) < p**2).astype(float)
    value, by_lot = chance.ece_change(p, y, 30, lots=Lots(2000))
    assert value == pytest.approx(ece(p[60:], y[60:]) - ece(p[:60], y[:60]))
    slow = []
    for _ in range(1000):
        order = rng.permutation(90)
        slow.append(ece(p[order[60:]], y[order[60:]]) - ece(p[order[:60]], y[order[:60]]))
    assert stats.ks_2samp(by_lot, slow).pvalue > 0.001
    assert np.mean(by_lot) > 0  # the smaller group has the larger error by chance


def slow_holm(p: list[float]) -> list[float]:
    """By the definition: the smallest c at which the step-down procedure rejects."""
    known = sorted((v, i) for i, v in enumerate(p) if not math.isnan(v))
    found, worst = [math.nan] * len(p), 0.0
    for rank, (value, i) in enumerate(known):
        worst = max(worst, value * (len(known) - rank))
        found[i] = min(worst, 1.0)
    return found


@given(p_values)
def test_holms_correction_is_that_of_a_plain_loop_and_not_below_the_p_value(p: list[float]) -> None:
    found = deciding.holm(p)
    np.testing.assert_allclose(found, slow_holm(p))
    known = ~np.isnan(p)
    assert (found[known] >= np.array(p)[known] - 1e-15).all()
    assert (found[known] <= np.minimum(np.array(p)[known] * known.sum(), 1.0) + 1e-15).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_benjamini_hochberg_is_that_of_scipy(p: list[float]) -> None:
    np.testing.assert_allclose(deciding.benjamini_hochberg(p), stats.false_discovery_control(p))


def test_holm_lets_a_false_finding_pass_no_more_often_than_stated() -> None:
    rng = np.random.default_rng(14)
    turns = [deciding.holm(rng.random(10)).min() < 0.05 for _ in range(4000)]
    assert 0.03 <= np.mean(turns) <= 0.06
    assert np.mean([deciding.uncorrected(rng.random(10)).min() < 0.05 for _ in range(1000)]) > 0.3


@pytest.mark.parametrize(("shift", "spread"), [(0.3, 1.0), (-0.15, 0.5)])
def test_with_as_many_rows_as_planned_a_true_difference_is_decided_as_often_as_planned(
    shift: float, spread: float
) -> None:
    need = deciding.rows_needed(shift, spread / math.sqrt(25), 25, power=0.8)
    assert need is not None
    rng = np.random.default_rng(15)
    decided = 0
    for turn in range(400):
        found = intervals.mean(rng.normal(shift, spread, need), Resampling(draws=300, seed=turn))
        decided += found.low > 0 or found.high < 0
    assert 0.74 <= decided / 400 <= 0.87


def test_planned_rows_for_two_win_rates_suffice_and_half_of_them_do_not() -> None:
    error = math.sqrt(0.6 * 0.4 / 50 + 0.45 * 0.55 / 50)
    need = deciding.rows_needed(0.15, error, 100, power=0.9)
    assert need is not None
    rng, decided = np.random.default_rng(16), {}
    for rows in (need, need // 2):
        hits = 0
        for turn in range(300):
            a, b = rng.random(rows // 2) < 0.6, rng.random(rows // 2) < 0.45
            found = intervals.difference(a.astype(float), b.astype(float), Resampling(draws=300, seed=turn))
            hits += found.low > 0 or found.high < 0
        decided[rows] = hits / 300
    assert 0.85 <= decided[need] <= 0.95
    assert decided[need // 2] < 0.75


def test_what_cannot_be_planned_is_none() -> None:
    assert deciding.rows_needed(0.0, 0.1, 10) is None
    assert deciding.rows_needed(math.nan, 0.1, 10) is None
    assert deciding.rows_needed(0.1, math.nan, 10) is None
    stricter = deciding.rows_needed(0.1, 0.1, 100, level=1 - 0.05 / 10)
    assert stricter is not None
    assert stricter > (deciding.rows_needed(0.1, 0.1, 100) or 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Resampling(draws=10), r"draws: at least 100 draws are needed \(got 10\)"),
        (lambda: Resampling(seed=-1), "a seed is a whole number from 0 on"),
        (lambda: Resampling(block=0.5), "a block has at least one row"),
        (lambda: Resampling(level=95), "a confidence level lies between 0 and 1"),
        (lambda: intervals.mean([1.0, math.nan]), "values: one dimension of finite numbers"),
        (lambda: chance.ece_change([0.5] * 4, [1] * 4, 4), "both groups need rows"),
        (lambda: deciding.corrected([0.5], "bonferroni"), "There are: holm, bh, none"),
        (lambda: deciding.holm([1.5]), "p-values lie between 0 and 1"),
        (lambda: deciding.rows_needed(1, 1, 1, power=80), "a power lies between 0 and 1"),
    ],
)
def test_bad_input_is_told_by_name(call: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()
