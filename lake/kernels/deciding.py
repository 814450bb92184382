"""Deciding between many candidates: p-values corrected for their number, and how many more rows a decision needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from lake.errors import UsageError
from lake.kernels.scores import Floats, normal_quantile


def holm(p: npt.ArrayLike) -> Floats:
    """P-values corrected so that the chance of any false finding stays below the level; nan is no candidate.

    Holm, Scand. J. Statist. 6 (1979): the smallest times m, the next times m - 1, and none below the one before.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    return _corrected(p, lambda ordered, m: np.maximum.accumulate(ordered * np.arange(m, 0, -1)))


def benjamini_hochberg(p: npt.ArrayLike) -> Floats:
    """P-values corrected so that the expected share of false ones among the findings stays below the level.

    Benjamini & Hochberg, JRSS B 57 (1995); for candidates that are independent or depend positively.

    >>> benjamini_hochberg([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.04, 0.04]
    """

    def step_up(ordered: Floats, m: int) -> Floats:
        return np.minimum.accumulate((ordered * m / np.arange(1, m + 1))[::-1])[::-1]

    return _corrected(p, step_up)


def uncorrected(p: npt.ArrayLike) -> Floats:
    """P-values as they are."""
    return _corrected(p, lambda ordered, _: ordered)


CORRECTIONS: Final[Mapping[str, Callable[[npt.ArrayLike], Floats]]] = {
    "holm": holm, "bh": benjamini_hochberg, "none": uncorrected,
}  # fmt: skip


def corrected(p: npt.ArrayLike, correction: str) -> Floats:
    """P-values by the correction of that name: holm, bh or none.

    Raises:
        UsageError: no such correction, or a p-value outside 0-1.
    """
    if correction not in CORRECTIONS:
        raise UsageError(
            "unknown correction", where="correction", value=correction, todo=f"There are: {', '.join(CORRECTIONS)}."
        )
    return CORRECTIONS[correction](p)


def rows_needed(difference: float, error: float, n: int, level: float = 0.95, power: float = 0.8) -> int | None:
    """How many rows in all it takes until a difference is decided, if it truly is that large; None if it is 0.

    With so many rows an interval of that level leaves out 0 with the probability ``power``. The error shrinks with the
    root of n, whatever dependence it has in it, so n grows with (z_level + z_power)^2 error^2 / difference^2: a normal
    approximation. The difference seen so far is itself uncertain; give the smallest that matters to plan ahead.

    Args:
        difference: assumed to be true.
        error: standard error of the estimate with ``n`` rows.
        n: rows so far.
        level: of the interval, after any correction for the number of candidates.
        power: probability with which it shall be decided.

    >>> rows_needed(0.1, 0.05, 100)
    197
    """
    if not 0 < power < 1:
        raise UsageError("a power lies between 0 and 1", where="power", value=power, todo="Such as 0.8.")
    reach = normal_quantile(level) + NormalDist().inv_cdf(power)
    if not (math.isfinite(difference) and math.isfinite(error)) or error <= 0 or reach <= 0:
        return None
    if abs(difference) < 1e-6 * error:  # rounding, where the estimate is 0
        return None
    return math.ceil(n * (reach * error / difference) ** 2)


def _corrected(p: npt.ArrayLike, rule: Callable[[Floats, int], Floats]) -> Floats:
    given = np.asarray(p, dtype=np.float64)
    if given.ndim != 1 or ((given < 0) | (given > 1)).any():
        raise UsageError("p-values lie between 0 and 1", where="p", value=given.tolist())
    known = np.flatnonzero(~np.isnan(given))
    order = known[np.argsort(given[known], kind="stable")]
    found = np.full(len(given), np.nan)
    found[order] = np.minimum(rule(given[order], len(order)), 1.0)
    return found
