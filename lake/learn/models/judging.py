"""How good a model is: figures of rows it did not see, with n and intervals; its threshold and score buckets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from lake.kernels import overlaps
from lake.kernels.intervals import Resampling, mean
from lake.kernels.overlaps import Spans
from lake.kernels.scores import Floats, brier, ece, log_loss

NEVER = 1.0  # a threshold that no calibrated probability reaches
_LEAST = 10  # rows above a threshold, at least
_BLOCKS = 3  # and in so many blocks of time, where rows overlap: one lucky hour is no rule
_DRAWS = Resampling(draws=1000)


@dataclass(frozen=True)
class Bucket:
    """Rows of a range of scores, and what came of them.

    Attributes:
        low, high: calibrated probability, from low to below high; the last one with high.
        n, wins: rows, and how many of them won.
        win_rate, win_rate_low, win_rate_high: with Wilson's interval of 95 %.
        mean_gain, mean_gain_low, mean_gain_high: expected value of a row, with its interval; nan where the rows do not
            vary. Both intervals are by blocks of time where rows overlap.
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


@dataclass(frozen=True, eq=False)
class Judged:
    """Rows that were not trained on, and what was said of them; arrays of one length.

    Attributes:
        raw: scores before calibration.
        probability: calibrated; without rows of the future.
        y: 0 or 1.
        gain: won or lost.
        lives: when each was decided, and when its label was over.
    """

    raw: Floats
    probability: Floats
    y: Floats
    gain: Floats
    lives: Spans

    def __len__(self) -> int:
        return len(self.y)

    def of(self, rows: Any) -> Judged:
        """Some of them."""
        return Judged(self.raw[rows], self.probability[rows], self.y[rows], self.gain[rows], self.lives.of(rows))

    @classmethod
    def joined(cls, parts: Sequence[Judged]) -> Judged:
        """The rows of all parts."""
        raw, probability, y, gain = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("raw", "probability", "y", "gain")
        )
        times = (np.concatenate([part.lives[each] for part in parts]) for each in (0, 1))
        return cls(raw, probability, y, gain, Spans(*times))


def figures(rows: Judged, threshold: float | None) -> dict[str, Any]:
    """The figures of rows that were not trained on, as JSON has them: what is not defined is None.

    The AUC is that of the scores before calibration. ``overlap`` is how many labels are open at the same time, on
    average; all intervals know of it (:mod:`lake.kernels.overlaps`).

    Args:
        rows: what was said, and what came.
        threshold: of the calibrated probability; None where there was none yet.
    """
    probability, y = rows.probability, rows.y
    area = overlaps.auc_of(rows.raw, y, rows.lives)
    right = ((probability >= 0.5) == (y == 1)).astype(np.float64)
    low, high = overlaps.rate_of(right, rows.lives)
    above = probability >= (NEVER if threshold is None else threshold)
    found: dict[str, Any] = {
        "n": len(y), "wins": int(y.sum()), "base_rate": _rate(y), "auc": area.auc, "auc_low": area.low,
        "auc_high": area.high, "brier": brier(probability, y), "brier_of_base_rate": _base_brier(y),
        "log_loss": log_loss(probability, y), "ece": ece(probability, y),
        "accuracy": _rate(right), "accuracy_low": low, "accuracy_high": high, "overlap": overlaps.running(rows.lives),
        "threshold": threshold, **above_threshold(rows.of(above)), "mean_gain_of_all": _rate(rows.gain),
    }  # fmt: skip
    made: dict[str, Any] = plain(found)
    return made


def above_threshold(rows: Judged) -> dict[str, Any]:
    """Win rate and expected value of the rows that the model said yes to."""
    y, value = rows.y, mean(rows.gain, _DRAWS, rows.lives)
    low, high = overlaps.rate_of(y, rows.lives)
    found: dict[str, Any] = {
        "n_above": len(y), "win_rate_above": _rate(y), "win_rate_above_low": low, "win_rate_above_high": high,
        "mean_gain_above": value.value, "mean_gain_above_low": value.low,
        "mean_gain_above_high": value.high,
    }  # fmt: skip
    made: dict[str, Any] = plain(found)
    return made


def best_threshold(probability: Floats, gain: Floats, min_share: float, lives: Spans | None = None) -> float:
    """The threshold above which rows won most in all; NEVER where no choice would have won anything.

    Only thresholds above which at least ``min_share`` of the rows lie, and at least ten, are looked at; where the lives
    of rows overlap, those of three blocks of time at least (:func:`lake.kernels.overlaps.blocks`).

    >>> best_threshold(np.array([0.2, 0.4, 0.6, 0.8] * 10), np.array([-1.0, -1.0, 1.0, 1.0] * 10), 0.05)
    0.6
    """
    order = np.argsort(-probability, kind="stable")
    p, total = probability[order], np.cumsum(gain[order])
    last_of_value = np.append(p[1:] != p[:-1], True)
    enough = np.arange(1, len(p) + 1) >= max(_LEAST, math.ceil(min_share * len(p)))
    of = None if lives is None else overlaps.blocks(lives)
    if of is not None:
        first = np.zeros(len(p), dtype=np.int64)
        first[np.unique(of[order], return_index=True)[1]] = 1
        enough &= np.cumsum(first) >= _BLOCKS
    choices = np.flatnonzero(last_of_value & enough)
    if not len(choices) or total[choices].max() <= 0:
        return NEVER
    return float(p[choices[int(np.argmax(total[choices]))]])


def buckets_of(rows: Judged, count: int, threshold: float = NEVER) -> tuple[Bucket, ...]:
    """Buckets of about equally many rows, which tile 0-1; equal probabilities share one, so there may be fewer.

    The threshold is an edge, in the place of the nearest one, and above it buckets whose rows lost are joined with
    their neighbours: where the model says yes, the expected value says so too.
    """
    probability = rows.probability
    shares = np.arange(1, count) / count
    # probabilities that there are, and none between: else a bucket could hold no row
    inner = np.unique(np.quantile(probability, shares, method="higher")) if count > 1 else np.empty(0)
    inner = inner[(inner > probability.min()) & (inner < 1.0)]
    if threshold < NEVER:
        inner = _around(threshold, inner, rows)
    edges = np.concatenate([[0.0], inner, [1.0]])
    at = np.searchsorted(inner, probability, side="right")
    return tuple(
        _bucket(float(low), float(high), rows.of(at == number)) for number, (low, high) in enumerate(pairwise(edges))
    )


def _around(threshold: float, inner: Floats, rows: Judged) -> Floats:
    p, gain = rows.probability, rows.gain
    if len(inner):
        inner = np.delete(inner, int(np.argmin(np.abs(inner - threshold))))
    below = [edge for edge in inner if ((p >= edge) & (p < threshold)).any()]
    above = [threshold]
    for edge in inner[inner > threshold]:
        between = (p >= above[-1]) & (p < edge)
        if between.any() and gain[between].mean() >= 0:
            above.append(edge)
    while len(above) > 1 and gain[p >= above[-1]].mean() < 0:
        above.pop()
    found: Floats = np.array([edge for edge in (*below, *above) if edge > p.min()])
    return found


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


def _bucket(low: float, high: float, rows: Judged) -> Bucket:
    y, value = rows.y, mean(rows.gain, _DRAWS, rows.lives)
    rate = overlaps.rate_of(y, rows.lives)
    return Bucket(low, high, len(y), int(y.sum()), _rate(y), *rate, value.value, value.low, value.high)


def _rate(values: Floats) -> float:
    return float(values.mean()) if len(values) else math.nan


def _base_brier(y: Floats) -> float:
    rate = _rate(y)
    return rate * (1 - rate)
