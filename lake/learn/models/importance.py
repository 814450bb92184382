"""Which features a model leans on: how much the AUC of test blocks falls when a feature's values change places."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from lake.kernels.scores import auc
from lake.learn.models import ensemble
from lake.learn.models.examples import Examples
from lake.learn.models.recipe import Recipe
from lake.learn.models.schema import Floats
from lake.learn.models.walking import Fold

_MOST_ROWS = 5000  # of a block; more of them tell little more


def importance(rows: Examples, folds: Iterable[Fold], recipe: Recipe) -> list[dict[str, Any]]:
    """Fall of the AUC by permutation, on rows that were not trained on; Breiman, Machine Learning 45 (2001).

    Returns:
        For each feature, the most important first: feature, drop (mean over blocks and permutations), spread
        (standard deviation over them) and n (how many they are).
    """
    if not recipe.repeats:
        return []
    columns = np.array(rows.schema.columns())
    rng = np.random.default_rng(recipe.seed)
    drops: dict[str, list[float]] = {name: [] for name in rows.schema.names}
    for fold in folds:
        test = fold.test[-_MOST_ROWS:]
        x, y = rows.x[test], rows.y[test]
        if not 0 < y.sum() < len(y):
            continue
        base = auc(ensemble.score(fold.members, x), y).auc
        for name, found in drops.items():
            found += [base - _shuffled_auc(fold.members, x, y, columns == name, rng) for _ in range(recipe.repeats)]
    made = [
        {"feature": name, "drop": float(np.mean(found)), "spread": float(np.std(found)), "n": len(found)}
        for name, found in drops.items()
        if found
    ]
    return sorted(made, key=lambda row: -row["drop"])


def _shuffled_auc(members: ensemble.Members, x: Floats, y: Floats, which: Any, rng: np.random.Generator) -> float:
    changed = x.copy()
    changed[:, which] = x[rng.permutation(len(x))][:, which]
    return auc(ensemble.score(members, changed), y).auc
