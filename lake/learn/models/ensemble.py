"""The ensemble: a random forest, gradient boosting and, if asked for, a small neural network; their mean counts."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import numpy as np

from lake.errors import MissingExtraError
from lake.learn.models.recipe import Recipe
from lake.learn.models.schema import Floats

Members = Mapping[str, Any]
_MANY = 20_000


def fit(x: Floats, y: Floats, weight: Floats, recipe: Recipe) -> Members:
    """Fit all members to rows; missing values are nan, which the trees put on the side where they serve best.

    The same rows and recipe give the same members, whatever runs in parallel.

    Args:
        x: (rows, columns).
        y: 0 or 1; one of each at least.
        weight: of the rows, above 0.
        recipe: their parameters.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    empty = np.isnan(x).all(axis=0)
    if empty.any():  # boosting finds no bins in a column without any value; one value is as good, and never split
        x = np.where(empty, 0.0, x)
    made = _unfitted(recipe, len(x))
    with _few_threads(len(x)):
        for name, member in made.items():
            if name == "neural":
                with warnings.catch_warnings():  # its rounds are limited on purpose
                    warnings.simplefilter("ignore")
                    member.fit(x, y, mlpclassifier__sample_weight=weight)
            else:
                member.fit(x, y, sample_weight=weight)
    return made


def score(members: Members, x: Floats) -> Floats:
    """Mean probability of a win over the members, before calibration; (rows,)."""
    if not len(x):
        return np.empty(0)
    with _few_threads(len(x)):
        found: Floats = np.mean([member.predict_proba(x)[:, 1] for member in members.values()], axis=0)
    return found


def _few_threads(rows: int) -> AbstractContextManager[Any]:
    """One OpenMP thread for few rows: to wait for a second one takes longer than what it would do."""
    return nullcontext() if rows > _MANY else _controller().limit(limits=1, user_api="openmp")


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController()


def _unfitted(recipe: Recipe, rows: int) -> dict[str, Any]:
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    except ImportError as error:
        raise MissingExtraError(
            "models need scikit-learn", where="extra learn", todo="pip install 'tradelake[learn]'"
        ) from error
    members: dict[str, Any] = {
        "forest": RandomForestClassifier(
            recipe.trees, max_depth=recipe.depth, min_samples_leaf=recipe.leaf, random_state=recipe.seed,
            max_samples=recipe.sample if rows > recipe.sample else None,
        ),
        "boosting": HistGradientBoostingClassifier(
            max_iter=recipe.rounds, learning_rate=recipe.learning_rate, max_leaf_nodes=recipe.leaves,
            min_samples_leaf=max(recipe.leaf, 10), max_bins=recipe.bins, early_stopping=False,
            random_state=recipe.seed,
        ),
    }  # fmt: skip
    if recipe.neural:
        members["neural"] = _neural(recipe)
    return members


def _neural(recipe: Recipe) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    network = MLPClassifier((16,), alpha=1e-2, max_iter=200, random_state=recipe.seed)
    return make_pipeline(SimpleImputer(add_indicator=True, keep_empty_features=True), StandardScaler(), network)
