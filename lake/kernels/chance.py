"""What chance alone does to a calibration error: outcomes drawn for a forecaster who is right, rows drawn by lot."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from lake.errors import UsageError
from lake.kernels import overlaps
from lake.kernels.intervals import sizes
from lake.kernels.overlaps import Integers, Spans
from lake.kernels.scores import Binning, Floats, assigned, checked, ece

_EDGE = 1e-12  # chances of 0 and 1 have no place on the normal distribution


@dataclass(frozen=True)
class Lots:
    """How chance is drawn.

    Args:
        draws: how often.
        seed: of the random numbers.
        lives: of the rows, where they may overlap.
    """

    draws: int = 1000
    seed: int = 0
    lives: Spans | None = None


def ece_change(
    probability: npt.ArrayLike, outcome: npt.ArrayLike, recent: int, bins: int = 10, lots: Lots = Lots()
) -> tuple[float, Floats]:
    """Calibration error of the last rows less that of those before, and the same where lots say which are last.

    A calibration error is above 0 by chance, and more so with few rows; lots of the same sizes have the same excess.
    Of rows that overlap whole blocks of time are drawn, which depend on one another as the last rows do.

    Args:
        probability, outcome: in the order of time.
        recent: how many rows are the last ones.
        bins: of equal width.
        lots: permutations.
    """
    p, y = checked(probability, outcome)
    if not 0 < recent < len(p):
        raise UsageError("both groups need rows", where="recent", value=recent)
    gaps = np.zeros((len(p), bins))
    gaps[np.arange(len(p)), assigned(p, bins, "width")[0]] = y - p
    total, last = gaps.sum(axis=0), np.arange(len(p)) >= len(p) - recent

    def change(chosen: npt.NDArray[np.bool_]) -> Floats:
        inside = chosen.astype(np.float64) @ gaps  # an error is the sum of its bins' gaps over the number of rows
        found: Floats = np.abs(inside).sum(axis=-1) / recent - np.abs(total - inside).sum(axis=-1) / (len(p) - recent)
        return found

    rng = np.random.default_rng(lots.seed)
    of = None if lots.lives is None else overlaps.blocks(lots.lives)
    drawn = [change(_chosen(last, of, size, rng)) for size in sizes(lots.draws, len(p))]
    return float(change(last)), np.concatenate(drawn)


def ece_by_chance(
    probability: npt.ArrayLike, bins: int = 10, binning: Binning = "width", lots: Lots = Lots()
) -> Floats:
    """Calibration errors of a forecaster who is right exactly as often as stated: one for each draw of outcomes.

    An observed error within these says nothing against the forecaster. Broecker & Smith, Weather and Forecasting 22
    (2007), call it consistency resampling. Outcomes of rows that overlap are drawn as alike as their lives are the
    same time: :func:`lake.kernels.overlaps.alike`.
    """
    p, _ = checked(probability, np.zeros(len(np.asarray(probability))))
    if not len(p):
        return np.empty(0)
    at, _ = assigned(p, bins, binning)
    order = np.argsort(at, kind="stable")
    p, heads = p[order], np.unique(at[order], return_index=True)[1]
    stated, rng = np.add.reduceat(p, heads), np.random.default_rng(lots.seed)
    lives = None if lots.lives is None or overlaps.blocks(lots.lives) is None else lots.lives.of(order)
    limits = p if lives is None else _limits(p)
    parts = []
    for size in sizes(lots.draws, len(p) if lives is None else 4 * len(p)):
        drawn = rng.random((size, len(p))) if lives is None else overlaps.alike(lives, size, rng)
        hits = np.add.reduceat((drawn < limits).astype(np.float64), heads, axis=1)
        parts.append(np.abs(hits - stated).sum(axis=1) / len(p))
    return np.concatenate(parts)


def ece_p_value(probability: npt.ArrayLike, outcome: npt.ArrayLike, bins: int = 10, lots: Lots = Lots()) -> float:
    """How often a calibrated forecaster has a calibration error as large as the observed one; nan without rows."""
    chance = ece_by_chance(probability, bins, "width", lots)
    if not len(chance):
        return math.nan
    return float((1 + np.sum(chance >= ece(probability, outcome, bins) - 1e-12)) / (len(chance) + 1))


def _limits(p: Floats) -> Floats:
    """Below which a standard normal number lies as often as stated."""
    values, which = np.unique(np.clip(p, _EDGE, 1 - _EDGE), return_inverse=True)
    return np.array([NormalDist().inv_cdf(each) for each in values.tolist()])[which]


def _chosen(last: npt.NDArray[np.bool_], of: Integers | None, size: int, rng: np.random.Generator) -> Any:
    """Lots for which rows are the last: (size, rows), as many in each; rows of one block stay together."""
    if of is None:
        return rng.permuted(np.tile(last, (size, 1)), axis=1)
    rank = rng.permuted(np.tile(np.arange(of.max() + 1), (size, 1)), axis=1)[:, of]
    order = np.argsort(rank, axis=1, kind="stable")[:, : int(last.sum())]
    chosen = np.zeros((size, len(last)), dtype=bool)
    np.put_along_axis(chosen, order, values=True, axis=1)
    return chosen
