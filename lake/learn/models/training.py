"""Training: walk-forward scores, from which calibration, threshold and figures come; then a fit on all rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lake.learn.models import ensemble
from lake.learn.models.examples import Examples
from lake.learn.models.importance import importance
from lake.learn.models.judging import Judged, above_threshold, best_threshold, buckets_of, figures, plain
from lake.learn.models.model import Model, calibrated
from lake.learn.models.recipe import Recipe
from lake.learn.models.schema import Floats
from lake.learn.models.walking import Fold, has_both, walk_forward
from lake.learn.recalibration import fit_map
from lake.learn.splits import Rows
from lake.spec.times import from_micros

_STANDARD = Recipe()


def train(
    rows: Examples,
    name: str,
    recipe: Recipe = _STANDARD,
    *,
    manifest: Mapping[str, Any] | None = None,
    n_jobs: int = 1,
) -> Model:
    """Train a model; the same rows and recipe give the same model.

    Calibration, threshold and buckets come from scores of test blocks whose members saw only labels that were over
    before the block began. The figures of a block use the calibration and threshold that the blocks before it gave, as
    far as their labels were over: what a user would have had at that time.

    Args:
        rows: labelled rows.
        name: of the model.
        recipe: parameters.
        manifest: of the data set.
        n_jobs: test blocks that are worked on at once, through joblib: a backend that the caller chose
            (``joblib.parallel_config``) is used.

    Raises:
        NotEnoughRowsError: no test block has wins and losses before it.
        MissingExtraError: scikit-learn is not installed.
    """
    folds = walk_forward(rows, recipe, n_jobs)
    tested, raw = np.concatenate([f.test for f in folds]), np.concatenate([f.raw for f in folds])
    calibration = fit_map(raw, rows.y[tested], recipe.calibration)
    judged = _tested(rows, tested, raw, calibrated(calibration, raw))
    threshold = best_threshold(judged.probability, judged.gain, recipe.min_share, judged.lives)
    return Model(
        name=name,
        schema=rows.schema,
        members=ensemble.fit(rows.x, rows.y, rows.weight, recipe),
        calibration=calibration,
        threshold=threshold,
        buckets=buckets_of(judged, recipe.buckets, threshold),
        gain_name=rows.gain_name,
        recipe=recipe,
        metrics=_metrics(rows, folds, recipe),
        manifest=dict(manifest or {}),
    )


def _metrics(rows: Examples, folds: Sequence[Fold], recipe: Recipe) -> dict[str, Any]:
    blocks, kept = [], []
    for number, fold in enumerate(folds):
        probability, threshold = _as_then(rows, folds[:number], fold, recipe)
        judged = _tested(rows, fold.test, fold.raw, probability)
        block = figures(judged, threshold)
        times = {"start": rows.starts[fold.test].min(), "end": rows.ends[fold.test].max()}
        span = {name: from_micros(int(moment)).isoformat() for name, moment in times.items()}
        blocks.append({**span, "n_train": len(fold.train), **block})
        if threshold is not None:
            kept.append((judged, probability >= threshold))
    found: dict[str, Any] = plain(
        {
            "rows": len(rows),
            "wins": int(rows.y.sum()),
            "left_out": rows.left_out,
            "target": rows.target,
            "trained_until": rows.until.isoformat(),
            "folds": blocks,
            "overall": _overall(rows, folds, kept),
            "importance": importance(rows, folds, recipe),
        }
    )
    return found


def _as_then(rows: Examples, before: Sequence[Fold], fold: Fold, recipe: Recipe) -> tuple[Floats, float | None]:
    """Probabilities of a block, and the threshold, by what the blocks before it had shown when it began."""
    begin = rows.starts[fold.test].min()
    past = np.concatenate([f.test for f in before]) if before else np.empty(0, dtype=np.int64)
    raw = np.concatenate([f.raw for f in before]) if before else np.empty(0)
    over = rows.ends[past] < begin
    past, raw = past[over], raw[over]
    if not len(past) or not has_both(rows.y[past]):
        return fold.raw, None
    calibration = fit_map(raw, rows.y[past], recipe.calibration)
    threshold = best_threshold(calibrated(calibration, raw), rows.gain[past], recipe.min_share, rows.lives.of(past))
    return calibrated(calibration, fold.raw), threshold


def _tested(rows: Examples, which: Rows, raw: Floats, probability: Floats) -> Judged:
    return Judged(raw, probability, rows.y[which], rows.gain[which], rows.lives.of(which))


def _overall(rows: Examples, folds: Sequence[Fold], kept: list[tuple[Judged, Any]]) -> dict[str, Any]:
    """All blocks together; calibration and what lies above the threshold only of those that had one."""
    tested, raw = np.concatenate([f.test for f in folds]), np.concatenate([f.raw for f in folds])
    found = figures(_tested(rows, tested, raw, raw), None)
    names: tuple[str, ...] = ("n", "wins", "base_rate", "overlap", "auc", "auc_low", "auc_high", "mean_gain_of_all")
    parts = {n: found[n] for n in names}
    if not kept:
        return {**parts, "n_calibrated": 0}
    later = Judged.joined([judged for judged, _ in kept])
    above = above_threshold(later.of(np.concatenate([yes for _, yes in kept])))
    told = figures(later, None)
    names = ("brier", "brier_of_base_rate", "log_loss", "ece", "accuracy", "accuracy_low", "accuracy_high")
    return {**parts, "n_calibrated": len(later), **{n: told[n] for n in names}, **above}
