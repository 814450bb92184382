"""Maps from a stated confidence to the rate at which it came true: isotonic, or Platt's logistic curve.

A map is a few numbers, kept as JSON and applied with NumPy alone; only fitting one needs scikit-learn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lake.errors import MissingExtraError, UsageError
from lake.kernels.intervals import Estimate, Resampling, mean
from lake.kernels.overlaps import Spans
from lake.kernels.scores import Floats, brier, checked, ece

METHODS = ("auto", "isotonic", "platt")
#: From so many rows on isotonic regression is fitted rather than Platt's curve: with fewer it fits the noise
#: (Niculescu-Mizil & Caruana, ICML 2005).
ENOUGH_FOR_ISOTONIC = 1000
_EDGE = 1e-6  # confidences of 0 and 1 have no logit


@dataclass(frozen=True)
class Isotonic:
    """A rising line through knots, level beyond them (Zadrozny & Elkan, KDD 2002).

    >>> Isotonic((0.5, 0.9), (0.4, 0.6)).apply([0.0, 0.7, 1.0]).tolist()
    [0.4, 0.5, 0.6]
    """

    stated: tuple[float, ...]
    observed: tuple[float, ...]

    def apply(self, stated: npt.ArrayLike) -> Floats:
        """Calibrated confidences."""
        return np.interp(np.asarray(stated, dtype=np.float64), self.stated, self.observed)


@dataclass(frozen=True)
class Platt:
    """1 / (1 + exp(-(slope * logit(stated) + intercept))): Platt (1999), on the logit of the stated confidence.

    >>> Platt(1.0, 0.0).apply([0.25]).round(6).tolist()
    [0.25]
    """

    slope: float
    intercept: float

    def apply(self, stated: npt.ArrayLike) -> Floats:
        """Calibrated confidences."""
        score = np.clip(self.slope * _logit(stated) + self.intercept, -500.0, 500.0)  # exp of more overflows
        found: Floats = 1.0 / (1.0 + np.exp(-score))
        return found


Map = Isotonic | Platt


@dataclass(frozen=True)
class Check:
    """What a map that was fitted on earlier rows did for later ones.

    Args:
        n_fit, n_test: rows that it was fitted on, and that it was tried on.
        ece_before, ece_after: calibration error of the later rows as stated, and as calibrated.
        brier_before, brier_after: their Brier scores.
        gain: Brier score before less after: above 0 the map helps; with its interval.
    """

    n_fit: int
    n_test: int
    ece_before: float
    ece_after: float
    brier_before: float
    brier_after: float
    gain: Estimate

    @property
    def verdict(self) -> str:
        """better, worse or not decided."""
        if self.gain.p < 0.05:  # nan is not
            return "better" if self.gain.value > 0 else "worse"
        return "not decided"


def fit_map(stated: npt.ArrayLike, hit: npt.ArrayLike, method: str = "auto") -> Map:
    """The map that fits best, without a step down: a higher confidence never becomes a lower one.

    Args:
        stated: confidences, 0-1.
        hit: 0 or 1.
        method: isotonic, platt, or auto: isotonic from 1,000 rows on.

    Raises:
        UsageError: an unknown method, or no rows.
        MissingExtraError: scikit-learn is not installed.
    """
    p, y = checked(stated, hit)
    check_method(method)
    if not len(p):
        raise UsageError("nothing to fit on", where="recalibration", value=0)
    if method == "isotonic" or (method == "auto" and len(p) >= ENOUGH_FOR_ISOTONIC):
        return _isotonic(p, y)
    return _platt(p, y)


def check_method(method: str) -> None:
    """Refuse a method that there is not.

    Raises:
        UsageError: it is none of METHODS.
    """
    if method not in METHODS:
        raise UsageError("unknown method", where="method", value=method, todo=f"There are: {', '.join(METHODS)}.")


def check(stated: npt.ArrayLike, hit: npt.ArrayLike, fitted: Map, n_fit: int, lives: Spans | None = None) -> Check:
    """Try a map on rows that it was not fitted on; lives: of the rows, where they may overlap."""
    p, y = checked(stated, hit)
    after = np.clip(fitted.apply(p), 0.0, 1.0)
    gain = mean((p - y) ** 2 - (after - y) ** 2, Resampling(draws=2000), lives)
    return Check(n_fit, len(p), ece(p, y), ece(after, y), brier(p, y), brier(after, y), gain)


def to_dict(fitted: Map) -> dict[str, Any]:
    """A map as JSON can hold it."""
    return {"method": type(fitted).__name__.lower(), **asdict(fitted)}


def from_dict(kept: Mapping[str, Any]) -> Map:
    """The map that :func:`to_dict` kept.

    Raises:
        UsageError: it is none.
    """
    numbers = {name: value for name, value in kept.items() if name != "method"}
    try:
        if kept.get("method") == "platt":
            return Platt(**{name: float(value) for name, value in numbers.items()})
        if kept.get("method") == "isotonic":
            return Isotonic(**{name: tuple(float(v) for v in value) for name, value in numbers.items()})
    except (TypeError, ValueError):
        pass
    raise UsageError("not a recalibration that was kept", value=dict(kept))


def _isotonic(p: Floats, y: Floats) -> Isotonic:
    """The rate of each step is drawn towards that of all, which counts as two rows more: one row shows little.

    That of all is kept off 0 and 1 by Laplace's rule. Steps that would fall then are pooled again.
    """
    regression = _sklearn("isotonic").IsotonicRegression().fit(p, y)
    knots = regression.X_thresholds_
    step = np.unique(regression.y_thresholds_, return_inverse=True)[1]
    of = step[np.clip(np.searchsorted(knots, p, side="right") - 1, 0, None)]
    n, hits = np.bincount(of), np.bincount(of, weights=y)
    rate = (y.sum() + 1) / (len(y) + 2)
    drawn = (hits + 2 * rate) / (n + 2)
    risen = _sklearn("isotonic").IsotonicRegression().fit_transform(np.arange(len(n)), drawn, sample_weight=n)
    return Isotonic(tuple(knots.tolist()), tuple(risen[step].tolist()))


def _platt(p: Floats, y: Floats) -> Platt:
    """Logistic regression on Platt's smoothed targets: each row counts as both outcomes, by weight."""
    ones, zeros = y.sum(), len(y) - y.sum()
    target = np.where(y == 1, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    if np.ptp(p) > 0:
        logits = _logit(p)[:, None]
        regression = _sklearn("linear_model").LogisticRegression(C=math.inf, tol=1e-8, max_iter=1000)
        twice = np.repeat([1.0, 0.0], len(p))
        regression.fit(np.vstack([logits, logits]), twice, sample_weight=np.concatenate([target, 1 - target]))
        slope = float(regression.coef_[0, 0])
        if slope > 0:
            return Platt(slope, float(regression.intercept_[0]))
    rate = float(target.mean())  # the confidence tells nothing: the rate of all is the best there is
    return Platt(0.0, math.log(rate / (1 - rate)))


def _logit(stated: npt.ArrayLike) -> Floats:
    kept = np.clip(np.asarray(stated, dtype=np.float64), _EDGE, 1 - _EDGE)
    found: Floats = np.log(kept) - np.log1p(-kept)
    return found


def _sklearn(module: str) -> Any:
    try:
        from sklearn import isotonic, linear_model
    except ImportError as error:
        raise MissingExtraError(
            "recalibration needs scikit-learn", where="extra learn", todo="pip install 'tradelake[learn]'"
        ) from error
    return {"isotonic": isotonic, "linear_model": linear_model}[module]
