"""Figures of a model whose labels overlap: on random walks nothing is found, and its intervals say how sure that is."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from lake.kernels.overlaps import spans
from lake.learn.models.examples import examples
from lake.learn.models.judging import NEVER, best_threshold
from lake.learn.models.training import train
from tests.learn.models_made import SMALL, T0

FEATURES = ["hour", "day"]
QUICK = SMALL.with_changes({"trees": 4, "rounds": 4})


def walk(seed: int, every: int = 5, ahead: int = 60, count: int = 600, drift: float = 0.0) -> pl.DataFrame:
    """Decisions on a random walk of minutes, whether the next hour rises; ``drift`` lets the last hour foretell it."""
    rng = np.random.default_rng(seed)
    minutes = count * every + 1_440 + ahead + 1
    steps = rng.standard_normal(minutes)
    if drift:
        regime = np.repeat(rng.choice([-1.0, 1.0], minutes // 480 + 1), 480)[:minutes]
        steps += drift * regime
    price = np.cumsum(steps)
    at = 1_440 + np.arange(count) * every
    moved = price[at + ahead] - price[at]
    times = [T0 + timedelta(minutes=int(m)) for m in at]
    return pl.DataFrame(
        {
            "decision_time": times, "label_time": [t + timedelta(minutes=ahead) for t in times],
            "hour": np.round(price[at] - price[at - 60], -1), "day": np.round(price[at] - price[at - 1_440], -1),
            "label_win": moved > 0, "label_rr": np.where(moved > 0, 1.0, -1.0),
        }
    )  # fmt: skip


def test_intervals_of_random_walks_cover_what_is_true_and_a_planted_signal_is_found() -> None:
    covered = {"auc": 0, "mean_gain": 0, "win_rate": 0}
    for seed in range(24):
        told = train(examples(walk(seed), FEATURES), "m", QUICK).metrics["overall"]
        covered["auc"] += told["auc_low"] <= 0.5 <= told["auc_high"]
        assert told["overlap"] == pytest.approx(12, rel=0.05)
        if told.get("n_above"):
            covered["mean_gain"] += told["mean_gain_above_low"] is None or told["mean_gain_above_low"] <= 0
            covered["win_rate"] += told["win_rate_above_low"] <= 0.5
        else:
            covered["mean_gain"] += 1
            covered["win_rate"] += 1
    assert min(covered.values()) >= 20, covered
    told = train(examples(walk(1, count=2_000, drift=0.5), FEATURES), "m", QUICK).metrics["overall"]
    assert told["auc_low"] > 0.5


def test_one_lucky_hour_is_no_threshold() -> None:
    """Twenty rows that won lie in one hour; the others lose."""
    rng = np.random.default_rng(1)
    gain = rng.choice([-1.0, 0.5], 400)
    p = rng.uniform(0.3, 0.6, 400)
    gain[:20], p[:20] = 5.0, 0.9
    starts = np.arange(400) * 3
    together = spans(starts, starts + 60)
    assert best_threshold(p, gain, 0.05) >= 0.6
    lucky = best_threshold(p, gain, 0.05, together)
    assert lucky < 0.6 or lucky == NEVER
