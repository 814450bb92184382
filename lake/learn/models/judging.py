"""How good a model is: figures of rows it did not see, with n and intervals; its threshold and score buckets."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from lake.kernels.intervals import Resampling, mean
from lake.kernels.scores import Floats, auc, brier, ece, log_loss, wilson

NEVER = 1.0  # a threshold that no calibrated probability reaches
_LEAST = 10  # rows above a threshold, at least
_DRAWS = Resampling(draws=1000)


@dataclass(frozen=True)
class Bucket:
    """Rows of a range of scores, and what came of them.

    Attributes:
        low, high: calibrated probability, from low to below high; the last one with high.
        n, wins: rows, and how many of them won.
        win_rate, win_rate_low, win_rate_high: with Wilson's interval of 95 %.
        mean_gain, mean_gain_low, mean_gain_high: expected value of a row, with its bootstrap interval; nan where
            the rows do not vary.
    """

    low: float
    high: float
    n: int
    wins: int
    win_rate: float
    win_rate_low: float
    win_rate_high: float
    mean_gain: float
    mean_gain_low: float
    mean_gain_high: float


def figures(raw: Floats, probability: Floats, y: Floats, gain: Floats, threshold: float | None) -> dict[str, Any]:
    """The figures of rows that were not trained on, as JSON has them: what is not defined is None.

    Args:
        raw: scores before calibration; the AUC is theirs, with DeLong's interval.
        probability: calibrated; without rows of the future.
        y: 0 or 1.
        gain: won or lost.
        threshold: of the calibrated probability; None where there was none yet.
    """
    area = auc(raw, y)
    above = probability >= (NEVER if threshold is None else threshold)
    found: dict[str, Any] = {
        "n": len(y), "wins": int(y.sum()), "base_rate": _rate(y), "auc": area.auc, "auc_low": area.low,
        "auc_high": area.high, "brier": brier(probability, y), "brier_of_base_rate": _base_brier(y),
        "log_loss": log_loss(probability, y), "ece": ece(probability, y),
        "accuracy": float(np.mean((probability >= 0.5) == (y == 1))) if len(y) else math.nan,
        "threshold": threshold, **above_threshold(y[above], gain[above]), "mean_gain_of_all": _rate(gain),
    }  # fmt: skip
    low, high = wilson(round(found["accuracy"] * len(y)) if len(y) else 0, len(y))
    made: dict[str, Any] = plain({**found, "accuracy_low": float(low), "accuracy_high": float(high)})
    return made


def above_threshold(y: Floats, gain: Floats) -> dict[str, Any]:
    """Win rate and expected value of the rows that the model said yes to."""
    low, high = wilson(y.sum(), len(y))
    value = mean(gain, _DRAWS)
    found: dict[str, Any] = {
        "n_above": len(y), "win_rate_above": _rate(y), "win_rate_above_low": float(low),
        "win_rate_above_high": float(high), "mean_gain_above": value.value, "mean_gain_above_low": value.low,
        "mean_gain_above_high": value.high,
    }  # fmt: skip
    made: dict[str, Any] = plain(found)
    return made


def best_threshold(probability: Floats, gain: Floats, min_share: float) -> float:
    """The threshold above which rows won most in all; NEVER where no choice would have won anything.

    Only thresholds above which at least ``min_share`` of the rows lie, and at least ten, are looked at.

    >>> best_threshold(np.array([0.2, 0.4, 0.6, 0.8] * 10), np.array([-1.0, -1.0, 1.0, 1.0] * 10), 0.05)
    0.6
    """
    order = np.argsort(-probability, kind="stable")
    p, total = probability[order], np.cumsum(gain[order])
    last_of_value = np.append(p[1:] != p[:-1], True)
    enough = np.arange(1, len(p) + 1) >= max(_LEAST, math.ceil(min_share * len(p)))
    choices = np.flatnonzero(last_of_value & enough)
    if not len(choices) or total[choices].max() <= 0:
        return NEVER
    return float(p[choices[int(np.argmax(total[choices]))]])


def buckets_of(probability: Floats, y: Floats, gain: Floats, count: int) -> tuple[Bucket, ...]:
    """Buckets of about equally many rows, which tile 0-1; equal probabilities share one, so there may be fewer."""
    inner = np.unique(np.quantile(probability, np.arange(1, count) / count)) if count > 1 else np.empty(0)
    inner = inner[(inner > probability.min()) & (inner < 1.0)]
    edges = np.concatenate([[0.0], inner, [1.0]])
    at = np.searchsorted(inner, probability, side="right")
    return tuple(
        _bucket(float(low), float(high), y[at == number], gain[at == number])
        for number, (low, high) in enumerate(pairwise(edges))
    )


def bucket_numbers(probability: Floats, buckets: tuple[Bucket, ...]) -> npt.NDArray[np.int64]:
    """The bucket of each probability, counted from 0."""
    found: npt.NDArray[np.int64] = np.searchsorted([b.low for b in buckets[1:]], probability, side="right")
    return found


def plain(value: Any) -> Any:
    """A value as JSON has it: nan and infinities are None."""
    if isinstance(value, dict):
        return {name: plain(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, Bucket):
        return plain(asdict(value))
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def _bucket(low: float, high: float, y: Floats, gain: Floats) -> Bucket:
    rate_low, rate_high = wilson(y.sum(), len(y))
    value = mean(gain, _DRAWS)
    return Bucket(
        low, high, len(y), int(y.sum()), _rate(y), float(rate_low), float(rate_high), value.value, value.low, value.high
    )


def _rate(values: Floats) -> float:
    return float(values.mean()) if len(values) else math.nan


def _base_brier(y: Floats) -> float:
    rate = _rate(y)
    return rate * (1 - rate)
