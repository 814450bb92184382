"""Rows to train on, and small recipes, for tests of models."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from lake.learn.models.examples import examples
from lake.learn.models.model import Model
from lake.learn.models.recipe import Recipe
from lake.learn.models.training import train

T0 = datetime(2026, 1, 1, tzinfo=UTC)
SMALL = Recipe(trees=10, rounds=10, folds=3, repeats=0, depth=4)
NAMES = ["a", "b"]


def rows(n: int = 240, signal: float = 2.5, seed: int = 0, **more: Any) -> pl.DataFrame:
    """Labelled rows an hour apart whose labels take three; ``a`` tells the outcome, ``b`` does not, both have gaps."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=n), rng.normal(size=n)
    win = rng.random(n) < 1 / (1 + np.exp(-signal * a))
    times = [T0 + timedelta(hours=i) for i in range(n)]
    gap = rng.random(n) < 0.05
    frame = {
        "id": [f"r{i}" for i in range(n)],
        "decision_time": times,
        "label_time": [t + timedelta(hours=3) for t in times],
        "a": a,
        "b": [None if g else v for g, v in zip(gap, b, strict=True)],
        "label_win": win,
        "label_rr": np.where(win, 1.5, -1.0),
    }
    return pl.DataFrame({**frame, **more})


def small_model(name: str = "m", **changes: Any) -> Model:
    """A model that was trained in a moment."""
    frame = rows(60)
    return train(examples(frame, NAMES), name, SMALL.with_changes({"trees": 2, "rounds": 2, "folds": 2, **changes}))
