"""Which features a model leans on: how much the AUC of test blocks falls when a feature's values change places."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lake.kernels.scores import auc
from lake.learn.models import ensemble
from lake.learn.models.examples import Examples
from lake.learn.models.recipe import Recipe
from lake.learn.models.schema import Floats
from lake.learn.models.walking import Fold

_MOST_ROWS = 5000  # of a block; more of them tell little more
_AT_ONCE = 20_000  # rows that are scored together: to ask each tree takes longer than what it does for few
_Shuffle = tuple[str, npt.NDArray[np.int64]]  # a feature, and the order that its values get


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
        shuffles = [(name, rng.permutation(len(x))) for name in drops for _ in range(recipe.repeats)]
        at_once = max(_AT_ONCE // len(x), 1)
        for first in range(0, len(shuffles), at_once):
            some = shuffles[first : first + at_once]
            for (name, _), raw in zip(some, _scores(fold.members, x, columns, some), strict=True):
                drops[name].append(base - auc(raw, y).auc)
    made = [
        {"feature": name, "drop": float(np.mean(found)), "spread": float(np.std(found)), "n": len(found)}
        for name, found in drops.items()
        if found
    ]
    return sorted(made, key=lambda row: -row["drop"])


def _scores(members: ensemble.Members, x: Floats, columns: Any, shuffles: Sequence[_Shuffle]) -> Floats:
    """Scores (shuffles, rows) of the rows, each time with the values of one feature in another order."""
    changed = np.repeat(x[np.newaxis], len(shuffles), axis=0)
    for block, (name, order) in zip(changed, shuffles, strict=True):
        which = columns == name
        block[:, which] = x[order][:, which]
    return ensemble.score(members, changed.reshape(-1, x.shape[1])).reshape(len(shuffles), -1)
