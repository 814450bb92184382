"""Search for the numbers of a recipe: every combination is tried on the same purged test blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from lake.errors import NotEnoughRowsError, UsageError
from lake.kernels.scores import log_loss
from lake.learn.models import ensemble
from lake.learn.models.examples import Examples
from lake.learn.models.parallel import parallel
from lake.learn.models.recipe import Recipe
from lake.learn.models.walking import has_both, splitter
from lake.learn.splits import Rows


def search(
    rows: Examples, recipe: Recipe, grid: Mapping[str, Sequence[Any]], n_jobs: int = 1
) -> tuple[Recipe, list[dict[str, Any]]]:
    """The recipe with the least log loss on the test blocks, and what each candidate had.

    The figures of a model that was searched for on the same blocks are a little too good, more so with more candidates:
    the metrics tell how many there were.

    Args:
        rows: labelled rows.
        recipe: what the grid does not name.
        grid: {parameter: values}; all combinations are tried. Folds and seed are not searched for.
        n_jobs: fits at once, through joblib, on loky or the backend that the caller chose.

    Raises:
        UsageError: parameters that a recipe does not have, or no values.
        NotEnoughRowsError: no test block has wins and losses before it.
    """
    fixed = sorted({"folds", "seed", "embargo", "repeats", "buckets", "calibration", "min_share"} & set(grid))
    if fixed or not grid or not all(len(values) for values in grid.values()):
        raise UsageError(
            "a search is over parameters of the members, with values for each", where="grid", value=fixed or dict(grid),
            todo="Such as {'depth': [4, 8], 'leaf': [5, 20]}.",
        )  # fmt: skip
    changes = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    candidates = [recipe.with_changes(change) for change in changes]
    blocks = [(train, test) for train, test in splitter(rows, recipe).split(rows.x) if has_both(rows.y[train])]
    if not blocks:
        raise NotEnoughRowsError("no test block has both wins and losses before it", where="training")
    tasks = [(rows, train, test, candidate) for candidate in candidates for train, test in blocks]
    losses = np.array(parallel(_loss, tasks, n_jobs)).reshape(len(candidates), len(blocks))
    sizes = np.array([len(test) for _, test in blocks])
    mean = losses @ sizes / sizes.sum()
    tried = [{**change, "log_loss": float(loss)} for change, loss in zip(changes, mean, strict=True)]
    return candidates[int(np.argmin(mean))], tried


def _loss(rows: Examples, train: Rows, test: Rows, recipe: Recipe) -> float:
    members = ensemble.fit(rows.x[train], rows.y[train], rows.weight[train], recipe)
    return log_loss(ensemble.score(members, rows.x[test]), rows.y[test])
