"""How sure a difference of means is: the bootstrap; blocks of time where rows overlap; always by a seed.

The same input and seed give the same numbers on every machine: NumPy's PCG64 is part of NumPy's promise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from lake.errors import UsageError
from lake.kernels import overlaps, student
from lake.kernels.overlaps import Integers, Spans
from lake.kernels.scores import Floats, normal_quantile

_CELLS = 4_000_000  # so many resampled values are in memory at once: 32 MB
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Resampling:
    """How to resample.

    Args:
        draws: resamples.
        level: confidence of the interval, two-sided.
        seed: of the random numbers.
        block: mean length, in rows, of the blocks of the stationary bootstrap (Politis & Romano, JASA 89, 1994), for
            rows in the order of time that depend on their neighbours; None draws single rows.
    """

    draws: int = 4000
    level: float = 0.95
    seed: int = 0
    block: float | None = None

    def __post_init__(self) -> None:
        if type(self.draws) is not int or self.draws < 100:
            raise UsageError("at least 100 draws are needed", where="draws", value=self.draws, todo="Such as 4000.")
        if type(self.seed) is not int or self.seed < 0:
            raise UsageError("a seed is a whole number from 0 on", where="seed", value=self.seed)
        if self.block is not None and not self.block >= 1:
            raise UsageError("a block has at least one row", where="block", value=self.block, todo="Such as 20.")
        normal_quantile(self.level)


@dataclass(frozen=True)
class Estimate:
    """A mean, or a difference of means, and how sure it is.

    Args:
        value: the estimate; nan without rows.
        low, high: its interval; nan where the rows do not vary, or are fewer than two.
        error: its standard error, by the bootstrap; nan as above.
        p: two-sided p-value of "the true value is 0", by turning the interval round: below 1 - level when the interval
            leaves 0 out, to within one draw. Where 0 lies beyond all draws, that of a normal estimate with this error,
            so that a correction for many comparisons finds its digits. Of a mean it is not below what the signs of the
            rows allow, of a difference of shares not below Fisher's mid-p: the bootstrap never draws what few rows
            other than 0 might as well have been. Where the rows do not vary, that of the sign test or of permutation.
        n: rows: pairs, or those of both samples together.
    """

    value: float
    low: float
    high: float
    error: float
    p: float
    n: int


def mean(values: npt.ArrayLike, how: Resampling = Resampling(), lives: Spans | None = None) -> Estimate:
    """The mean of rows; of the differences of pairs: their mean difference (the paired bootstrap).

    The interval is BCa (Efron, JASA 82, 1987); in blocks it is the percentile interval, since the acceleration of BCa
    supposes independent rows. Rows whose lives overlap are not resampled, unless ``how`` says the length of blocks:
    error, interval and p are those of their blocks of time (:mod:`lake.kernels.overlaps`).

    >>> found = mean([1.0, 2.0, 4.0, 2.0, 1.0, 3.0, 2.0, 2.0])
    >>> found.value, found.low < found.value < found.high
    (2.125, True)
    """
    x = _rows(values, "values")
    if len(x) < 2 or np.ptp(x) == 0:
        p = math.nan if not len(x) else _sign_test(x)
        return Estimate(float(x[0]) if len(x) else math.nan, math.nan, math.nan, math.nan, p, len(x))
    value = float(x.mean())
    of = None if lives is None or how.block is not None else overlaps.blocks(lives)
    if of is not None:
        found, x = _by_block(value, (x - value) / len(x), of, how.level), np.bincount(of, x).astype(np.float64)
    else:
        found = _estimate(value, _means(x, how, np.random.default_rng(how.seed)), [x], how)
    return found if math.isnan(found.p) else replace(found, p=max(found.p, _sign_test(x)))


def difference(
    a: npt.ArrayLike, b: npt.ArrayLike, how: Resampling = Resampling(), lives: tuple[Spans, Spans] | None = None
) -> Estimate:
    """Mean of ``a`` less mean of ``b``, two unpaired samples, each resampled on its own; see :func:`mean`.

    Rows that overlap are put together by blocks of time of both samples, so that what moves both cancels out.
    """
    x, y = _rows(a, "a"), _rows(b, "b")
    if min(len(x), len(y)) == 0:
        return Estimate(math.nan, math.nan, math.nan, math.nan, math.nan, len(x) + len(y))
    value, n = float(x.mean() - y.mean()), len(x) + len(y)
    if np.ptp(x) == 0 == np.ptp(y):
        apart = math.lgamma(n + 1) - math.lgamma(len(x) + 1) - math.lgamma(len(y) + 1)
        return Estimate(value, math.nan, math.nan, math.nan, min(1.0, 2 * math.exp(-apart)) if value else 1.0, n)
    if min(len(x), len(y)) < 2:
        return Estimate(value, math.nan, math.nan, math.nan, math.nan, n)
    of = None if lives is None or how.block is not None else overlaps.blocks(overlaps.both(*lives))
    if of is not None:
        return _by_block(value, np.concatenate([(x - x.mean()) / len(x), (y.mean() - y) / len(y)]), of, how.level)
    rng = np.random.default_rng(how.seed)
    found = _estimate(value, _means(x, how, rng) - _means(y, how, rng), [x, -y], how)
    return replace(found, p=max(found.p, _fisher_test(x, y)))


def _by_block(value: float, parts: Floats, of: Integers, level: float) -> Estimate:
    """What the sums of the parts by block say of a value of which they are the deviations."""
    wide, freedom = overlaps.error(parts, of)
    if freedom < 1:
        return Estimate(value, math.nan, math.nan, math.nan, math.nan, len(parts))
    half = student.quantile(level, freedom) * wide
    return Estimate(value, value - half, value + half, wide, student.tail(value / wide, freedom), len(parts))


def _means(x: Floats, how: Resampling, rng: np.random.Generator) -> Floats:
    middle = float(x.mean())
    if how.block is None:
        lots = sizes(how.draws, len(x))
        return np.concatenate([x[rng.integers(0, len(x), (size, len(x)))].mean(axis=1) for size in lots])
    blocks = int(len(x) / how.block + 6 * math.sqrt(len(x) / how.block) + 10)  # are enough but once in a billion draws
    running = np.concatenate([[0.0], np.cumsum(np.tile(x - middle, 2))])
    return middle + np.concatenate(
        [_block_means(running, how.block, (size, blocks), rng) for size in sizes(how.draws, blocks)]
    )


def _block_means(running: Floats, block: float, shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Means of stationary resamples, from running sums of the rows twice over: blocks wrap round at the end."""
    n = (len(running) - 1) // 2
    ends = np.minimum(np.cumsum(rng.geometric(1 / block, shape), axis=1), n)
    ends[:, -1] = n
    lengths = np.diff(ends, axis=1, prepend=0)
    starts = rng.integers(0, n, shape)
    found: Floats = (running[starts + lengths] - running[starts]).sum(axis=1) / n
    return found


def sizes(draws: int, n: int) -> Iterator[int]:
    """So many draws of n values each, in lots that fit into memory."""
    step = max(1, _CELLS // n)
    yield from (min(step, draws - done) for done in range(0, draws, step))


def _estimate(value: float, drawn: Floats, samples: list[Floats], how: Resampling) -> Estimate:
    """The interval and p-value that the resampled values give; ``samples`` add up to the value, the second negated."""
    bias, skew = (0.0, 0.0) if how.block is not None else (_inverse(_below(drawn, value)), _acceleration(samples))
    ends = []
    for tail in ((1 - how.level) / 2, (1 + how.level) / 2):
        reach = bias + _NORMAL.inv_cdf(tail)
        ends.append(_NORMAL.cdf(bias + reach / (1 - skew * reach)))
    low, high = np.quantile(drawn, ends)
    reach = _inverse(_below(drawn, 0.0)) - bias
    turned = _NORMAL.cdf(reach / (1 + skew * reach) - bias)
    p, error = max(2 * min(turned, 1 - turned), 2 / (how.draws + 1)), float(drawn.std(ddof=1))
    if drawn.min() > 0 or drawn.max() < 0:
        p = min(p, math.erfc(abs(value) / error / math.sqrt(2)))
    return Estimate(value, float(low), float(high), error, min(p, 1.0), sum(len(sample) for sample in samples))


def _below(drawn: Floats, value: float) -> float:
    """Share of the drawn values below one, those that tie counting half, kept off 0 and 1."""
    tied = np.isclose(drawn, value, rtol=1e-12, atol=1e-15)
    share = (np.sum((drawn < value) & ~tied) + 0.5 * np.sum(tied)) / len(drawn)
    return float(np.clip(share, 0.5 / len(drawn), 1 - 0.5 / len(drawn)))


def _inverse(share: float) -> float:
    return _NORMAL.inv_cdf(share)


def _acceleration(samples: list[Floats]) -> float:
    """A sixth of the skewness of the estimate, from the influence of each row."""
    influence = [(sample - sample.mean()) / len(sample) for sample in samples]
    cubes, squares = (sum(float(np.sum(u**k)) for u in influence) for k in (3, 2))
    return cubes / (6 * squares**1.5) if squares > 0 else 0.0


def _sign_test(x: Floats) -> float:
    """P-value of rows of one size by their signs (McNemar's, exact); of others the least that their number allows."""
    told = x[x != 0]
    n, size = len(told), np.abs(told)
    fewer = int(min((told > 0).sum(), (told < 0).sum())) if n and np.ptp(size) == 0 else 0
    i = np.arange(fewer)
    ways = np.concatenate([[0.0], np.cumsum(np.log((n - i) / (i + 1)))])  # logarithms
    return float(min(1.0, 2 * np.exp(ways - n * math.log(2)).sum()))


def _fisher_test(x: Floats, y: Floats) -> float:
    """P-value of two shares by Fisher's exact test, as mid-p (Lancaster, JASA 56, 1961); 0 for other numbers."""
    known = np.unique(np.concatenate([x, y]))
    if len(known) != 2:
        return 0.0
    hits, n, m = int((x == known[1]).sum()), len(x), len(y)
    every = hits + int((y == known[1]).sum())
    k = np.arange(max(0, every - m), min(n, every))
    steps = np.log((every - k) * (n - k)) - np.log((k + 1) * (m - every + k + 1))
    chances = np.concatenate([[0.0], np.cumsum(steps)])  # logarithms, up to a factor
    chances = np.exp(chances - chances.max())
    own = chances[hits - max(0, every - m)]
    likely = np.isclose(chances, own, rtol=1e-7, atol=0)
    rarer = chances[(chances < own) & ~likely].sum() + chances[likely].sum() / 2
    return float(min(1.0, rarer / chances.sum()))


def _rows(values: npt.ArrayLike, name: str) -> Floats:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or not np.isfinite(found).all():
        raise UsageError(
            "one dimension of finite numbers is needed", where=name, todo="Leave out rows without a value."
        )
    return found
