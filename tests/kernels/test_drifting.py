"""Changes are told apart from chance as often as stated, by measures that others agree with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]

from lake.errors import UsageError
from lake.kernels import drifting


def slow_psi(reference: Any, recent: Any, bins: int) -> float:
    """Bin by bin, with half a row in each."""
    ordered = sorted(v for v in reference if math.isfinite(v))
    edges = sorted({ordered[i * len(ordered) // bins] for i in range(1, bins)})

    def shares(values: Any) -> list[float]:
        counts = [0.5] * (len(edges) + 2)
        for v in values:
            counts[sum(e <= v for e in edges) if math.isfinite(v) else -1] += 1
        return [c / sum(counts) for c in counts]

    a, b = shares(reference), shares(recent)
    return sum((y - x) * math.log(y / x) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("seed", range(4))
def test_the_stability_index_is_that_of_a_plain_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = np.round(rng.normal(size=200), 1), np.round(rng.normal(seed / 4, 1, 90), 1)
    b[rng.random(90) < 0.1 * seed] = np.nan
    assert drifting.psi(a, b) == pytest.approx(slow_psi(a, b, 10))


def test_a_share_that_went_missing_is_a_change() -> None:
    a = np.random.default_rng(1).normal(size=400)
    b = np.random.default_rng(2).normal(size=400)
    gone = np.where(np.arange(400) % 3 == 0, np.nan, b)
    assert drifting.psi(a, gone) > 10 * drifting.psi(a, b)
    assert drifting.psi([math.nan] * 5, [math.nan] * 5) == pytest.approx(0.0)


def test_the_index_exceeds_its_limit_by_chance_as_often_as_stated() -> None:
    rng = np.random.default_rng(3)
    limit = drifting.psi_by_chance(500, 200, 10, 0.95)
    found = [drifting.psi(rng.normal(size=500), rng.normal(size=200)) for _ in range(1000)]
    assert 0.02 <= np.mean(np.array(found) > limit) <= 0.07
    assert limit == pytest.approx(stats.chi2.ppf(0.95, 9) * (1 / 500 + 1 / 200), rel=0.01)
    assert math.isnan(drifting.psi_by_chance(0, 5))


@pytest.mark.parametrize("shift", [0.0, 0.2, 0.6])
def test_the_distance_of_distributions_is_scipys(shift: float) -> None:
    rng = np.random.default_rng(4)
    a, b = np.round(rng.normal(size=300), 2), np.round(rng.normal(shift, 1, 120), 2)
    distance, p = drifting.ks(a, b)
    theirs = stats.ks_2samp(a, b, method="asymp")
    assert distance == pytest.approx(theirs.statistic)
    assert p == pytest.approx(theirs.pvalue, abs=0.05)
    assert drifting.ks(np.append(a, np.nan), b)[0] == distance
    assert math.isnan(drifting.ks([], [1.0])[0])


def test_the_cumulative_sum_is_that_of_its_definition_and_names_where_the_fall_began() -> None:
    hits = [1, 1, 0, 1, 0, 0, 0, 1, 0, 0]
    found = drifting.cusum(hits, 0.6, 0.4)
    level, path = 0.0, []
    for hit in hits:
        ratio = (0.4 / 0.6) if hit else (0.6 / 0.4)
        level = max(0.0, level + math.log(ratio))
        path.append(level)
    assert found.path.tolist() == pytest.approx(path)
    assert found.since == 4  # after the win at 3 took it back to 0
    assert drifting.cusum([1, 1], 0.6, 0.4).path.tolist() == [0.0, 0.0]
    assert drifting.cusum([], 0.6, 0.4).since == 0


@pytest.mark.parametrize(("rate", "n_reference", "n"), [(0.55, 60, 100), (0.3, 400, 200)])
def test_the_sum_exceeds_its_limit_by_chance_as_often_as_stated(rate: float, n_reference: int, n: int) -> None:
    rng = np.random.default_rng(5)
    false = 0
    limits: dict[int, float] = {}
    for _ in range(600):
        hits = int(rng.binomial(n_reference, rate))
        estimated = float(drifting.smoothed(hits, n_reference))
        if hits not in limits:
            limits[hits] = drifting.cusum_limit(estimated, 0.1, n_reference, n, 0.1)
        path = drifting.cusum(rng.random(n) < rate, estimated, max(estimated - 0.1, estimated / 10)).path
        false += path.max() > limits[hits]
    assert 0.06 <= false / 600 <= 0.15


def test_a_fall_that_is_there_is_found() -> None:
    rng = np.random.default_rng(6)
    limit = drifting.cusum_limit(0.6, 0.15, 300, 200, 0.05)
    found, since = 0, []
    for _ in range(200):
        hits = np.concatenate([rng.random(80) < 0.6, rng.random(120) < 0.4])
        sums = drifting.cusum(hits, 0.6, 0.45)
        found += sums.path.max() > limit
        since.append(sums.since)
    assert found / 200 > 0.8
    assert abs(float(np.median(since)) - 80) < 12


def test_limits_are_the_same_for_the_same_seed() -> None:
    assert drifting.cusum_limit(0.5, 0.1, 50, 50) == drifting.cusum_limit(0.5, 0.1, 50, 50)
    assert drifting.cusum_limit(0.5, 0.1, 50, 50) != drifting.cusum_limit(0.5, 0.1, 50, 50, seed=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: drifting.cusum([1], 0.4, 0.6), r"rates fall from above to below.*\(0.4, 0.6\)"),
        (lambda: drifting.cusum_limit(0.5, 0.1, 5, 5, 0.0), "a false-alarm rate lies between 0 and 1"),
        (lambda: drifting.psi([[1.0]], [1.0]), "one dimension is needed"),
    ],
)
def test_bad_input_is_told_by_name(call: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()
