"""Intervals cover as often as they say when labels overlap: on random walks, where nothing can be foretold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]

from lake.errors import UsageError
from lake.kernels import chance, drifting, intervals, overlaps, student
from lake.kernels.chance import Lots
from lake.kernels.overlaps import Spans, spans
from lake.kernels.scores import auc, placements, wilson

MINUTE = 60_000_000
TURNS = 120
QUICK = intervals.Resampling(draws=300)


def walk(seed: int, minutes: int = 6_000, every: int = 5, ahead: int = 60) -> tuple[Any, Any, Any, Spans]:
    """Score, outcome and move of decisions on a random walk: what the last hour did, and what the next one does."""
    price = np.cumsum(np.random.default_rng(seed).standard_normal(minutes + ahead + 1))
    at = np.arange(ahead, minutes, every)
    moved = price[at + ahead] - price[at]
    score = price[at] - price[at - ahead]
    return score, (moved > 0).astype(float), moved, spans(at * MINUTE, (at + ahead) * MINUTE)


def covered(bounds: list[tuple[float, float]], truth: float) -> float:
    return float(np.mean([low <= truth <= high for low, high in bounds]))


def test_aucs_of_random_walks_cover_a_half_as_often_as_stated() -> None:
    found, naive = [], []
    for seed in range(TURNS):
        score, y, _, lives = walk(seed)
        found.append(overlaps.auc_of(score, y, lives)[2:4])
        naive.append(auc(score, y)[2:4])
    assert covered(found, 0.5) >= 0.9
    assert covered(naive, 0.5) < 0.7, "else the walks would show nothing"
    assert covered(found[:24], 0.5) * 24 >= 20


def test_rates_and_means_of_random_walks_cover_the_truth_as_often_as_stated() -> None:
    rates, means, naive = [], [], []
    for seed in range(TURNS):
        _, y, moved, lives = walk(seed)
        rates.append(overlaps.rate_of(y, lives))
        mean = intervals.mean(moved, lives=lives)
        means.append((mean.low, mean.high))
        naive.append(tuple(float(bound) for bound in wilson(y.sum(), len(y))))
    assert covered(rates, 0.5) >= 0.9
    assert covered(means, 0.0) >= 0.9
    assert covered(naive, 0.5) < 0.6


def test_several_symbols_that_move_together_tell_no_more_than_one() -> None:
    wrong = {"of one": 0, "as if alone": 0}
    for seed in range(60):
        _, y, _, lives = walk(seed, every=60)
        many, at = np.tile(y, 10), Spans(np.tile(lives.starts, 10), np.tile(lives.ends, 10))
        low, high = overlaps.rate_of(many, at)
        wrong["of one"] += not low <= 0.5 <= high
        low, high = overlaps.rate_of(many, None)
        wrong["as if alone"] += not low <= 0.5 <= high
    assert wrong["of one"] <= 8
    assert wrong["as if alone"] > 20


def test_differences_of_two_candidates_on_one_walk_are_paired_by_blocks_of_time() -> None:
    """Both are right when the market falls: what they share cancels out, also where their minutes differ."""
    false, naive, width = 0, 0, []
    for seed in range(60):
        _, y, _, lives = walk(seed)
        a, b = slice(None, None, 2), slice(1, None, 2)
        own = lives.of(a), lives.of(b)
        together = intervals.difference(y[a], y[b], lives=own)
        width.append(together.error / intervals.difference(y[a], y[b], QUICK).error)
        other = walk(1_000 + seed)
        apart = intervals.difference(y, other[1], lives=(lives, other[3]))
        false += apart.p < 0.05
        naive += intervals.difference(y, other[1], QUICK).p < 0.05
    assert false / 60 <= 0.1
    assert naive / 60 > 0.3
    assert np.median(width) < 1.05, "they saw the same market"


def test_calibration_errors_of_overlapping_rows_are_no_finding() -> None:
    told, naive, all_p = 0, 0, []
    for seed in range(60):
        _, y, _, lives = walk(seed, minutes=3_000)
        stated = np.random.default_rng(seed).choice([0.45, 0.5, 0.55], len(y))
        p = chance.ece_p_value(stated, y, lots=Lots(300, seed, lives))
        all_p.append(p)
        told += p < 0.05
        naive += chance.ece_p_value(stated, y, lots=Lots(300, seed)) < 0.05
    assert told <= 8
    assert naive > 15
    assert 0.35 < np.mean(all_p) < 0.65


def test_changes_of_a_calibration_error_and_falls_of_a_rate_are_as_seldom_as_stated() -> None:
    raised, naive = {"ece": 0, "win_rate": 0}, {"ece": 0, "win_rate": 0}
    for seed in range(60):
        _, y, _, lives = walk(seed, minutes=3_000)
        cut = len(y) - 100
        stated = np.full(len(y), 0.5)
        for lots, count in ((Lots(300, seed, lives), raised), (Lots(300, seed), naive)):
            value, by_lot = chance.ece_change(stated, y, 100, lots=lots)
            count["ece"] += value > np.quantile(by_lot, 0.95)
        rate = float(drifting.smoothed(y[:cut].sum(), cut))
        highest = drifting.cusum(y[cut:], rate, rate - 0.1).path.max()
        alone = round(overlaps.independent(y[:cut], lives.of(slice(cut))))
        last = lives.of(slice(cut, None))
        raised["win_rate"] += highest > drifting.cusum_limit(rate, 0.1, alone, last, seed=seed)
        naive["win_rate"] += highest > drifting.cusum_limit(rate, 0.1, cut, 100, seed=seed)
    assert max(raised.values()) <= 9, raised
    assert min(naive.values()) > max(raised.values()), (naive, raised)


def test_a_feature_that_moves_slowly_has_fewer_independent_rows() -> None:
    rng = np.random.default_rng(2)
    noise = rng.standard_normal(20_000)
    assert drifting.memory(noise) == pytest.approx(1.0, abs=0.1)
    slow = np.empty(len(noise))
    slow[0] = 0.0
    for n in range(1, len(noise)):
        slow[n] = 0.9 * slow[n - 1] + noise[n]
    assert drifting.memory(slow) == pytest.approx(19.0, rel=0.25)  # (1 + 0.9) / (1 - 0.9)
    assert drifting.memory(np.ones(50)) == drifting.memory([]) == 1.0


def test_rows_that_do_not_overlap_each_count_for_themselves() -> None:
    rng = np.random.default_rng(4)
    y, score = (rng.random(80) < 0.4).astype(float), rng.random(80)
    apart = spans(np.arange(80) * 10, np.arange(80) * 10 + 9)
    assert overlaps.blocks(apart) is None
    assert overlaps.auc_of(score, y, apart) == auc(score, y)
    assert overlaps.rate_of(y, apart) == tuple(float(bound) for bound in wilson(y.sum(), 80))
    assert intervals.mean(score, lives=apart) == intervals.mean(score)
    assert chance.ece_p_value(score, y, lots=Lots(lives=apart)) == chance.ece_p_value(score, y)


def test_blocks_of_single_rows_give_the_error_of_delong() -> None:
    rng = np.random.default_rng(5)
    y, score = (rng.random(300) < 0.4).astype(float), rng.random(300)
    plain = auc(score, y)
    parts = np.empty(300)
    for kind, placed in zip((1, 0), placements(score, y), strict=True):
        parts[y == kind] = (placed - plain.auc) / len(placed)
    found, freedom = overlaps.error(parts, np.arange(300))
    assert (found, freedom) == (pytest.approx(plain.error, rel=0.01), 299)
    rate, freedom = overlaps.error((y - y.mean()) / 300, np.arange(300))
    assert rate == pytest.approx(y.std(ddof=1) / math.sqrt(300))


def test_an_interval_is_never_narrower_than_that_of_independent_rows() -> None:
    at = np.arange(0, 600, 1)
    y = (at % 2).astype(float)  # each row makes up for the one before
    low, high = overlaps.rate_of(y, spans(at, at + 60))
    assert high - low >= np.ptp([float(bound) for bound in wilson(y.sum(), len(y))])


def test_too_few_blocks_tell_nothing() -> None:
    together = spans([0, 1, 2, 3], [9, 9, 9, 9])
    found = overlaps.auc_of([1, 2, 3, 4], [0, 1, 0, 1], together)
    assert (found.auc, math.isnan(found.low)) == (0.75, True)
    low, high = overlaps.rate_of([0, 1, 0, 1], together)
    assert high - low > 0.8, "as of one row"
    assert math.isnan(intervals.mean([1.0, 2.0, 3.0, 5.0], lives=together).low)
    assert overlaps.independent(np.ones(40), spans(np.arange(40), np.arange(40) + 10)) < 10, "all alike is no proof"


def test_what_runs_at_the_same_time_is_counted() -> None:
    begins = MINUTE * np.arange(5)
    assert overlaps.running(spans(begins, begins + MINUTE // 2)) == 1.0
    assert overlaps.running(spans(begins, begins)) == 1.0
    assert overlaps.running(spans(begins, begins + 5 * MINUTE // 2)) == pytest.approx((1 + 2 + 3 + 3 + 3) / 5)
    assert overlaps.running(spans(np.zeros(3), np.full(3, MINUTE))) == 3.0
    assert overlaps.running(spans([], [])) == 1.0
    with pytest.raises(UsageError, match="each row has a begin and an end"):
        spans([1, 2], [3])


def test_numbers_that_are_alike_have_the_correlation_of_their_common_time() -> None:
    lives = spans([0, 5, 20, 30], [10, 15, 20, 70])
    drawn = overlaps.alike(lives, 40_000, np.random.default_rng(1))
    found = np.corrcoef(drawn.T)
    assert found[0, 1] == pytest.approx(0.5, abs=0.02)
    assert np.abs(found[2:, :2]).max() < 0.02
    assert np.allclose(drawn.std(axis=0), 1.0, atol=0.02)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 9, 10, 57, 200, 1_999, 5_000])
def test_students_t_is_scipys(freedom: int) -> None:
    close = 1e-9 if freedom < 2_000 else 3e-3
    for level in (0.5, 0.9, 0.95, 0.999):
        assert student.quantile(level, freedom) == pytest.approx(stats.t.ppf((1 + level) / 2, freedom), rel=close)
    for t in (0.0, 0.3, -2.0, 8.0):
        assert student.tail(t, freedom) == pytest.approx(
            2 * stats.t.sf(abs(t), freedom), abs=1e-3 * close + 1e-12, rel=close
        )
    assert math.isnan(student.quantile(0.95, 0))
