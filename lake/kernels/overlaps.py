"""Rows whose lives overlap tell the same story several times: how much they tell together.

A label that looks an hour ahead, asked for each minute, comes out alike sixty times; and what moves one symbol moves
the others. So rows are put together by blocks of time, of all symbols alike, three lives long, and the spread between
the blocks says how sure an estimate is: the standard error of a statistic whose parts add up over rows is that of the
sums of its parts by block (Liang & Zeger, Biometrika 73, 1986; of AUCs Obuchowski, Biometrics 53, 1997), with Student's
t of as many degrees of freedom as there are blocks, less one (Ibragimov & Mueller, J. Bus. Econ. Stat. 28, 2010). It is
never taken to be below that of independent rows. Rates have Wilson's interval at the number of independent rows that
would be as sure (Korn & Graubard, Survey Methodology 24, 1998).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lake.errors import UsageError
from lake.kernels import student
from lake.kernels.scores import Auc, Floats, Interval, auc, normal_quantile, placements, wilson

Integers = npt.NDArray[np.int64]
_LIVES = 3.0  # a block is so many lives long: what reaches over its ends is a ninth of what lies in it
_HARDLY = 1.25  # with fewer rows at the same time, each stands for itself


class Spans(NamedTuple):
    """When each row was decided, and when its outcome was known: whole numbers of any unit, in any order."""

    starts: Integers
    ends: Integers

    def of(self, rows: Any) -> Spans:
        """Some of them."""
        return Spans(self.starts[rows], self.ends[rows])


def spans(starts: npt.ArrayLike, ends: npt.ArrayLike) -> Spans:
    """Lives of rows; one that ends before it begins lasts a moment.

    Raises:
        UsageError: of different lengths.
    """
    begin, end = (np.asarray(moments, dtype=np.int64) for moments in (starts, ends))
    if begin.shape != end.shape or begin.ndim != 1:
        raise UsageError("each row has a begin and an end", where="spans", value=(begin.shape, end.shape))
    return Spans(begin, np.maximum(begin, end))


def both(a: Spans, b: Spans) -> Spans:
    """The rows of both."""
    return Spans(np.concatenate([a.starts, b.starts]), np.concatenate([a.ends, b.ends]))


def running(lives: Spans) -> float:
    """How many rows run at the same time, at the moments at which one begins, on average; at least 1.

    >>> running(spans([0, 1, 2, 3], [2, 3, 4, 5]))
    1.75
    """
    if not len(lives.starts):
        return 1.0
    begins, ends = np.sort(lives.starts), np.sort(lives.ends)
    begun, over = (np.searchsorted(times, begins, "right") for times in (begins, ends))
    return float(max(1.0, (begun - over).mean()))


def blocks(lives: Spans) -> Integers | None:
    """The block of time of each row, numbered without gaps; None where rows hardly overlap, and each is its own.

    >>> blocks(spans(range(0, 80, 10), range(20, 100, 10))).tolist()
    [0, 0, 0, 0, 0, 0, 1, 1]
    """
    if running(lives) <= _HARDLY:
        return None
    lasts = (lives.ends - lives.starts).astype(np.float64)
    typical = float((lasts**2).sum() / lasts.sum())  # the life in which a moment lies, on average
    since = (lives.starts - lives.starts.min()) / (_LIVES * typical)
    found: Integers = np.unique(since.astype(np.int64), return_inverse=True)[1].astype(np.int64)
    return found


def error(parts: Floats, of: Integers) -> tuple[float, int]:
    """Standard error of a sum of parts, one a row and 0 on average, by blocks; and its degrees of freedom."""
    sums = np.bincount(of, parts)
    count = len(sums)
    if count < 2:
        return math.nan, 0
    apart = count / (count - 1) * float(np.sum(sums**2))
    return math.sqrt(max(apart, float(np.sum(parts**2)))), count - 1


def auc_of(score: npt.ArrayLike, outcome: npt.ArrayLike, lives: Spans | None, level: float = 0.95) -> Auc:
    """:func:`lake.kernels.scores.auc` of rows that may overlap; its error is that of DeLong's parts by block."""
    plain = auc(score, outcome, level)
    of = None if lives is None else blocks(lives)
    if of is None or math.isnan(plain.error):
        return plain
    y = np.asarray(outcome, dtype=np.float64)
    above, below = placements(np.asarray(score, dtype=np.float64), y)
    parts = np.empty(len(y))
    parts[y == 1], parts[y == 0] = (above - plain.auc) / len(above), (below - plain.auc) / len(below)
    wide, freedom = error(parts, of)
    half = student.quantile(level, freedom) * wide  # nan of a single block
    return plain._replace(error=wide, low=max(plain.auc - half, 0.0), high=min(plain.auc + half, 1.0))


def rate_of(outcome: npt.ArrayLike, lives: Spans | None, level: float = 0.95) -> Interval:
    """Wilson's interval of the rate of 1 among rows that may overlap; nan without rows.

    >>> wide, narrow = rate_of([1, 1, 0, 0], spans([0, 0, 9, 9], [5, 5, 14, 14])), rate_of([1, 1, 0, 0], None)
    >>> wide.low < narrow.low < 0.5 < narrow.high < wide.high
    True
    """
    y = np.asarray(outcome, dtype=np.float64)
    told = independent(y, lives, level)
    low, high = wilson(told * (y.mean() if len(y) else 0.0), told, level)
    return Interval(float(low), float(high))


def independent(outcome: Floats, lives: Spans | None, level: float = 0.95) -> float:
    """How many independent rows would be as sure of their rate as these are, for an interval of that level."""
    count = len(outcome)
    of = None if lives is None or not count else blocks(lives)
    if of is None or lives is None:
        return float(count)
    middle = float(outcome.mean())
    wide, freedom = error((outcome - middle) / count, of)
    if freedom < 1:
        return 1.0
    if wide == 0:  # all came out alike, which tells nothing of their dependence
        return count / running(lives)
    shrunk = (normal_quantile(level) / student.quantile(level, freedom)) ** 2
    return min(float(count), max(1.0, shrunk * middle * (1 - middle) / wide**2))


def alike(lives: Spans, draws: int, rng: np.random.Generator) -> Floats:
    """Standard normal numbers for each row, (draws, rows), that are as alike as lives overlap.

    Each is what a random walk moved within the row's life, in units of its spread: the correlation of two rows is
    their common time, over the root of the product of their lengths.
    """
    moments, place = np.unique(np.concatenate([lives.starts, lives.ends]), return_inverse=True)
    begin, end = place[: len(lives.starts)], place[len(lives.starts) :]
    lasts = (lives.ends - lives.starts).astype(np.float64)
    steps = rng.standard_normal((draws, len(moments))) * np.sqrt(np.diff(moments, prepend=moments[:1]))
    walk = np.cumsum(steps, axis=1)
    still = lasts == 0
    found: Floats = (walk[:, end] - walk[:, begin]) / np.sqrt(np.where(still, 1.0, lasts))
    found[:, still] = rng.standard_normal((draws, int(still.sum())))
    return found
