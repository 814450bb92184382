"""How good probabilities are: Brier score and its parts, log loss, calibration error, reliability curve, AUC.

Everywhere ``probability`` is what was stated for the outcome 1, from 0 to 1, and ``outcome`` what came, 0 or 1 (or
False or True): one-dimensional, of one length, without gaps. What is not defined (nothing to count, an AUC of one
class) is nan.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from lake.errors import UsageError

Floats = npt.NDArray[np.float64]
Binning = Literal["width", "mass"]
_DIGITS = 6  # a confidence of 0.7 that was kept in 32 bits still lies in the bin that begins at 0.7


class Interval(NamedTuple):
    """A range that covers the true value with the stated confidence; nan where it is not defined."""

    low: float
    high: float


class BrierParts(NamedTuple):
    """What a Brier score is made of, over bins: brier = reliability - resolution + uncertainty + variance - covariance.

    The last two are within the bins, and 0 when all forecasts of a bin are alike. Murphy, J. Appl. Meteorol. 12 (1973);
    with the terms within bins: Stephenson, Coelho & Jolliffe, Weather and Forecasting 23 (2008).
    """

    brier: float
    reliability: float  # 0 is calibrated
    resolution: float  # how far the rates of the bins lie apart: more is better
    uncertainty: float  # of the outcome itself: rate * (1 - rate)
    within_variance: float
    within_covariance: float


class Reliability(NamedTuple):
    """What was stated and what came, by bin; arrays of one length, only bins that hold something."""

    low: Floats  # the bin's edges: from low to below high, the last one with high
    high: Floats
    n: npt.NDArray[np.int64]
    stated: Floats  # mean probability
    observed: Floats  # rate of outcome 1
    observed_low: Floats  # Wilson interval of that rate
    observed_high: Floats


class Auc(NamedTuple):
    """The chance that a 1 was scored above a 0, ties counting half; its standard error and interval."""

    auc: float
    error: float
    low: float
    high: float
    positives: int
    negatives: int


def wilson(hits: npt.ArrayLike, n: npt.ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Wilson's score interval of a rate, or of each of several: (low, high), nan without trials.

    Wilson, JASA 22 (1927). The same as the views' ``wilson_low`` and ``wilson_high``.

    >>> low, high = wilson(8, 10)
    >>> round(float(low), 4), round(float(high), 4)
    (0.4902, 0.9433)
    """
    hit, trials = np.asarray(hits, dtype=np.float64), np.asarray(n, dtype=np.float64)
    if (hit < 0).any() or (hit > trials).any():
        raise UsageError("hits lie between 0 and n", where="wilson", value=(hits, n))
    z = normal_quantile(level)
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = (hit + z * z / 2) / (trials + z * z)
        half = z / (trials + z * z) * np.sqrt(hit * (1 - hit / trials) + z * z / 4)
    return np.where(trials > 0, np.maximum(middle - half, 0.0), np.nan), np.where(
        trials > 0, np.minimum(middle + half, 1.0), np.nan
    )


def brier(probability: npt.ArrayLike, outcome: npt.ArrayLike) -> float:
    """Mean of (probability - outcome)^2: 0 is perfect, 0.25 what 0.5 always gets. Brier (1950).

    >>> round(brier([0.9, 0.2], [1, 0]), 3)
    0.025
    """
    p, y = checked(probability, outcome)
    return float(np.mean((p - y) ** 2)) if len(p) else math.nan


def brier_parts(
    probability: npt.ArrayLike, outcome: npt.ArrayLike, bins: int = 10, binning: Binning = "width"
) -> BrierParts:
    """The Brier score in its parts, which add up to it exactly; see :class:`BrierParts`."""
    p, y = checked(probability, outcome)
    if not len(p):
        return BrierParts(*[math.nan] * 6)
    at, _ = assigned(p, bins, binning)
    _, place, n = np.unique(at, return_inverse=True, return_counts=True)
    stated, observed = np.bincount(place, p) / n, np.bincount(place, y) / n
    rate = float(y.mean())
    return BrierParts(
        float(np.mean((p - y) ** 2)),
        float(np.sum(n * (stated - observed) ** 2) / len(p)),
        float(np.sum(n * (observed - rate) ** 2) / len(p)),
        rate * (1 - rate),
        float(np.mean((p - stated[place]) ** 2)),
        float(2 * np.mean((p - stated[place]) * (y - observed[place]))),
    )


def log_loss(probability: npt.ArrayLike, outcome: npt.ArrayLike) -> float:
    """Mean of -log of the probability that was given to what came, in nats; 0.693 is what 0.5 always gets.

    A certainty that was wrong would cost infinitely much: probabilities are kept one machine epsilon from 0 and 1, as
    scikit-learn does.
    """
    p, y = checked(probability, outcome)
    if not len(p):
        return math.nan
    tiny = float(np.finfo(np.float64).eps)
    kept = np.clip(p, tiny, 1 - tiny)
    return float(-np.mean(np.where(y == 1, np.log(kept), np.log1p(-kept))))


def ece(probability: npt.ArrayLike, outcome: npt.ArrayLike, bins: int = 10, binning: Binning = "width") -> float:
    """Expected calibration error: mean distance, over bins weighted by n, of the rate from the stated mean.

    Naeini, Cooper & Hauskrecht, AAAI (2015); with bins of equal mass: Nguyen & O'Connor, EMNLP (2015). It is above 0 by
    chance alone, more so with few rows: see :func:`lake.kernels.chance.ece_by_chance`.

    Args:
        probability, outcome: see the head of this module.
        bins: how many.
        binning: "width" cuts 0-1 into equal parts; "mass" puts as many rows into each, as far as ties allow.

    >>> round(ece([0.95, 0.95, 0.15, 0.15], [1, 0, 0, 0]), 3)
    0.3
    """
    curve = reliability_curve(probability, outcome, bins, binning)
    n = curve.n.sum()
    return float(np.sum(curve.n * np.abs(curve.observed - curve.stated)) / n) if n else math.nan


def reliability_curve(
    probability: npt.ArrayLike,
    outcome: npt.ArrayLike,
    bins: int = 10,
    binning: Binning = "width",
    level: float = 0.95,
) -> Reliability:
    """Stated and observed rates by bin; see :class:`Reliability`, and :func:`ece` for the bins."""
    p, y = checked(probability, outcome)
    at, edges = assigned(p, bins, binning)
    n = np.bincount(at, minlength=len(edges) - 1)
    held = np.flatnonzero(n)
    hits = np.bincount(at, y, minlength=len(n))[held]
    stated = np.bincount(at, p, minlength=len(n))[held] / n[held]
    low, high = wilson(hits, n[held], level)
    return Reliability(edges[:-1][held], edges[1:][held], n[held], stated, hits / n[held], low, high)


def auc(score: npt.ArrayLike, outcome: npt.ArrayLike, level: float = 0.95) -> Auc:
    """Area under the ROC curve with DeLong's interval; any score will do, probabilities are not asked for.

    DeLong, DeLong & Clarke-Pearson, Biometrics 44 (1988), from sorted scores as in Sun & Xu, IEEE SPL 21 (2014); the
    interval is cut at 0 and 1. Where every 1 lies above (or below) every 0, or there is but one of a kind, the
    estimated variance says nothing: there the interval is Newcombe's (Statist. Med. 25, 2006, method 5), without error.

    >>> auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]).auc
    0.75
    """
    x, y = _scored(score, outcome)
    m, n = int(y.sum()), int(len(y) - y.sum())
    if not m or not n:
        return Auc(math.nan, math.nan, math.nan, math.nan, m, n)
    above, below = placements(x, y)
    area = float(above.mean())
    if area in {0.0, 1.0} or m < 2 or n < 2:
        bounds = _newcombe(area, m, n, normal_quantile(level))
        return Auc(area, math.nan, bounds.low, bounds.high, m, n)
    error = math.sqrt(above.var(ddof=1) / m + below.var(ddof=1) / n)
    half = normal_quantile(level) * error
    return Auc(area, error, max(0.0, area - half), min(1.0, area + half), m, n)


def normal_quantile(level: float) -> float:
    """How many standard deviations a two-sided interval of that confidence reaches.

    >>> round(normal_quantile(0.95), 6)
    1.959964
    """
    if not 0 < level < 1:
        raise UsageError("a confidence level lies between 0 and 1", where="level", value=level, todo="Such as 0.95.")
    return NormalDist().inv_cdf((1 + level) / 2)


def checked(probability: npt.ArrayLike, outcome: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Both as arrays of floats.

    Raises:
        UsageError: not one-dimensional, of different lengths, a gap, a probability outside 0-1, an outcome not 0 or 1.
    """
    p, y = _scored(probability, outcome)
    if len(p) and (p.min() < 0 or p.max() > 1):
        raise UsageError(
            "a probability lies between 0 and 1", where="probability", value=float(p[(p < 0) | (p > 1)][0])
        )
    return p, y


def assigned(probability: Floats, bins: int, binning: Binning) -> tuple[npt.NDArray[np.int64], Floats]:
    """The bin of each probability, and the edges of all bins, which tile 0-1; equal values are in one bin."""
    if type(bins) is not int or bins < 1:
        raise UsageError("bins are counted from 1", where="bins", value=bins, todo="Such as 10.")
    if binning == "width":
        edges = np.linspace(0.0, 1.0, bins + 1)
    elif binning == "mass":
        ordered = np.sort(probability)
        inner = np.unique(ordered[np.arange(1, bins) * len(ordered) // bins]) if len(ordered) else np.empty(0)
        edges = np.concatenate([[0.0], inner[inner > (ordered[0] if len(ordered) else 0)], [1.0]])
    else:
        raise UsageError("unknown kind of bins", where="binning", value=binning, todo='It is "width" or "mass".')
    rounded = np.round(probability, _DIGITS) if binning == "width" else probability
    inner_edges = np.round(edges[1:-1], _DIGITS + 3) if binning == "width" else edges[1:-1]
    return np.searchsorted(inner_edges, rounded, side="right").astype(np.int64), edges


def placements(score: Floats, outcome: Floats) -> tuple[Floats, Floats]:
    """Of each 1 the share of 0 below it, and of each 0 the share of 1 above it; ties count half."""
    ones, zeros = score[outcome == 1], score[outcome == 0]
    return _below(ones, np.sort(zeros)), 1.0 - _below(zeros, np.sort(ones))


def _scored(score: Any, outcome: Any) -> tuple[Floats, Floats]:
    x, y = _floats(score, "score or probability"), _floats(outcome, "outcome")
    if len(x) != len(y):
        raise UsageError("as many outcomes as probabilities are needed", value=(len(x), len(y)))
    if not np.isin(y, (0.0, 1.0)).all():
        raise UsageError("an outcome is 0 or 1", where="outcome", value=float(y[~np.isin(y, (0.0, 1.0))][0]))
    return x, y


def _floats(values: Any, name: str) -> Floats:
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError("not numbers", where=name, value=values, todo="Leave out rows without a value.") from error
    if found.ndim != 1:
        raise UsageError("one dimension is needed", where=name, value=found.shape)
    if not np.isfinite(found).all():
        raise UsageError("a value is missing", where=name, todo="Leave out rows without a value.")
    return found


def _below(values: Floats, ordered: Floats) -> Floats:
    left, right = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    return (left + right) / (2.0 * len(ordered))


def _newcombe(area: float, m: int, n: int, z: float) -> Interval:
    """Where the distance of the estimate from the truth is z errors, the errors being those at the truth."""

    def excess(truth: float) -> float:
        share = (m + n) / 2 - 1
        spread = truth * (1 - truth) / (m * n) * (1 + share * ((1 - truth) / (2 - truth) + truth / (1 + truth)))
        return (area - truth) ** 2 - z * z * spread

    def bound(inside: float, outside: float) -> float:
        for _ in range(60):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if excess(middle) <= 0 else (inside, middle)
        return inside

    return Interval(bound(area, 0.0) if area > 0 else 0.0, bound(area, 1.0) if area < 1 else 1.0)
