"""Has something changed: population stability, Kolmogorov-Smirnov, and a cumulative sum of wins and losses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lake.errors import UsageError
from lake.kernels import overlaps
from lake.kernels.intervals import sizes
from lake.kernels.overlaps import Spans
from lake.kernels.scores import Floats, normal_quantile

_DRAWS = 4000  # simulated courses behind a limit


class Cusum(NamedTuple):
    """A cumulative sum against a fall of a rate: its path, and from where on its highest rise began."""

    path: Floats
    since: int  # the row with which the rise to the highest point of the path began


def psi(reference: npt.ArrayLike, recent: npt.ArrayLike, bins: int = 10) -> float:
    """Population stability index: sum of (share - share0) * log(share / share0), bins of equal mass of the reference.

    Siddiqi, Credit Risk Scorecards (2006). What is not finite has a bin of its own, and half a row is added to each bin
    of both, so that an empty one is no infinity. 0 is unchanged; 0.1 and 0.25 are the customary marks.

    >>> round(psi([1, 2, 3, 4], [1, 2, 3, 4], 2), 6), psi([1, 2, 3, 4], [9, 9, 9, 9], 2) > 0.25
    (0.0, True)
    """
    a, b = _values(reference), _values(recent)
    edges = _edges(a, bins)
    shares = [_shares(x, edges) for x in (a, b)]
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))


def psi_by_chance(n_reference: float, n_recent: float, bins: int = 10, level: float = 0.95) -> float:
    """A PSI that is exceeded with the probability 1 - level though nothing changed.

    It is near chi-squared with bins - 1 degrees of freedom, times 1 / n_reference + 1 / n_recent (Yurdakul & Naranjo,
    J. Risk Model Validation 14, 2020); its quantile is that of Wilson & Hilferty (PNAS 17, 1931).
    """
    if min(n_reference, n_recent) <= 0 or bins < 2:
        return math.nan
    freedom, z = bins - 1, normal_quantile(2 * level - 1) if level > 0.5 else 0.0
    quantile = freedom * (1 - 2 / (9 * freedom) + z * math.sqrt(2 / (9 * freedom))) ** 3
    return quantile * (1 / n_reference + 1 / n_recent)


def memory(values: npt.ArrayLike) -> float:
    """Of how many rows in the order of time one tells as much as one independent row would; at least 1.

    The integrated autocorrelation time, summed as far as pairs of neighbouring autocorrelations are above 0 (Geyer,
    Statist. Sci. 7, 1992). What is not finite is left out.

    >>> memory([1, 2, 1, 2, 1, 2])
    1.0
    """
    x = _values(values)
    x = x[np.isfinite(x)]
    if len(x) < 4 or np.ptp(x) == 0:
        return 1.0
    apart = np.fft.rfft(x - x.mean(), 2 * len(x))
    covariance = np.fft.irfft(apart * apart.conj())[: len(x)]
    pairs = (covariance[: len(x) // 2 * 2] / covariance[0]).reshape(-1, 2).sum(axis=1)
    held = pairs[: int(np.argmax(pairs <= 0)) if (pairs <= 0).any() else len(pairs)]
    return float(min(max(2 * held.sum() - 1, 1.0), len(x)))


def ks(reference: npt.ArrayLike, recent: npt.ArrayLike, each: float = 1.0) -> tuple[float, float]:
    """Kolmogorov and Smirnov's largest distance of two distributions, and its p-value; what is not finite is left out.

    The p-value is asymptotic, with the correction of Stephens (JRSS B 32, 1970); ``each`` is how many rows tell as much
    as one independent row (:func:`memory`).

    >>> ks([1, 2, 3], [1, 2, 3])
    (0.0, 1.0)
    """
    a, b = (np.sort(x[np.isfinite(x)]) for x in (_values(reference), _values(recent)))
    if not len(a) or not len(b):
        return math.nan, math.nan
    both = np.concatenate([a, b])
    apart = np.searchsorted(a, both, "right") / len(a) - np.searchsorted(b, both, "right") / len(b)
    distance = float(np.abs(apart).max())
    root = math.sqrt(len(a) * len(b) / (len(a) + len(b)) / each)
    reach = (root + 0.12 + 0.11 / root) * distance
    if reach < 0.2:  # the series has no digits left there, and the p-value is 1 to six of them
        return distance, 1.0
    terms = (2 * (-1) ** (j - 1) * math.exp(-2 * (j * reach) ** 2) for j in range(1, 101))
    return distance, min(max(sum(terms), 0.0), 1.0)


def cusum(hits: npt.ArrayLike, rate: float, lower: float) -> Cusum:
    """Evidence, in order of time, that a rate fell from ``rate`` to ``lower``: max(0, sum + log likelihood ratio).

    Page, Biometrika 41 (1954); for rates Reynolds & Stoumbos, J. Quality Technology 31 (1999).

    >>> cusum([1, 0, 0, 0], 0.6, 0.4).since
    1
    """
    steps = _steps(np.asarray(hits, dtype=np.float64), rate, lower)
    path = np.empty(len(steps))
    level = 0.0
    for i, step in enumerate(steps):
        level = max(0.0, level + step)
        path[i] = level
    if not len(path):
        return Cusum(path, 0)
    zeros = np.flatnonzero(path[: int(path.argmax()) + 1] == 0)
    return Cusum(path, min(int(zeros[-1]) + 1 if len(zeros) else 0, len(path) - 1))


def cusum_limit(
    rate: float, drop: float, n_reference: int, watched: int | Spans, false_alarm: float = 0.05, seed: int = 0
) -> float:
    """The height that the sum of :func:`cusum` exceeds within some rows, with that probability, though nothing changed.

    By simulation, in which the rate is estimated from ``n_reference`` rows each time, as it is in earnest: a limit for
    a rate that is known exactly would be exceeded more often than stated.

    Args:
        rate: of the reference.
        drop: fall of the rate that is looked for.
        n_reference: independent rows of the reference.
        watched: how many rows are watched; the lives of rows that may overlap, in the order of time, which then win
            and lose as alike as they are the same time (:func:`lake.kernels.overlaps.alike`).
        false_alarm: probability of an alarm within them.
        seed: of the simulation.
    """
    n = watched if isinstance(watched, int) else len(watched.starts)
    if not 0 < false_alarm < 1:
        raise UsageError("a false-alarm rate lies between 0 and 1", where="false_alarm", value=false_alarm)
    if min(n_reference, n) < 1:
        return math.nan
    rng = np.random.default_rng(seed)
    estimated = smoothed(rng.binomial(n_reference, min(max(rate, 0.0), 1.0), _DRAWS), n_reference)
    lower = np.maximum(estimated - drop, estimated / 10)
    win, loss = np.log(lower / estimated), np.log((1 - lower) / (1 - estimated))
    level, highest = np.zeros(_DRAWS), np.zeros(_DRAWS)
    for hits in _courses(rate, watched, rng):
        level = np.maximum(0.0, level + np.where(hits, win, loss))
        highest = np.maximum(highest, level)
    return float(np.quantile(highest, 1 - false_alarm))


def smoothed(hits: npt.ArrayLike, n: int) -> Floats:
    """A rate that is never 0 nor 1: half a hit and half a miss are added."""
    return np.asarray((np.asarray(hits, dtype=np.float64) + 0.5) / (n + 1))


def _courses(rate: float, watched: int | Spans, rng: np.random.Generator) -> Iterator[npt.NDArray[np.bool_]]:
    """Row after row, who wins in each simulated course."""
    if isinstance(watched, int) or overlaps.blocks(watched) is None:
        for _ in range(watched if isinstance(watched, int) else len(watched.starts)):
            yield rng.random(_DRAWS) < rate
        return
    limit = NormalDist().inv_cdf(min(max(rate, 1e-12), 1 - 1e-12))
    lots = [overlaps.alike(watched, size, rng) < limit for size in sizes(_DRAWS, 4 * len(watched.starts))]
    yield from np.concatenate(lots).T


def _steps(hits: Floats, rate: float, lower: float) -> Floats:
    if not 0 < lower < rate < 1:
        raise UsageError("rates fall from above to below, within 0 and 1", where="cusum", value=(rate, lower))
    return np.where(hits > 0, math.log(lower / rate), math.log((1 - lower) / (1 - rate)))


def _edges(reference: Floats, bins: int) -> Floats:
    known = np.sort(reference[np.isfinite(reference)])
    if not len(known) or bins < 2:
        return np.empty(0)
    return np.unique(known[np.arange(1, bins) * len(known) // bins])


def _shares(values: Floats, edges: Floats) -> Floats:
    known = values[np.isfinite(values)]
    counts = np.bincount(np.searchsorted(edges, known, "right"), minlength=len(edges) + 1)
    held: Floats = np.append(counts, len(values) - len(known)) + 0.5
    found: Floats = held / held.sum()
    return found


def _values(given: npt.ArrayLike) -> Floats:
    found = np.asarray(given, dtype=np.float64)
    if found.ndim != 1:
        raise UsageError("one dimension is needed", where="drift", value=found.shape)
    return found
