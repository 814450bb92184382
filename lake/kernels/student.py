"""Student's t distribution for whole degrees of freedom, by its finite series: Abramowitz & Stegun (1964), 26.7.3-4."""

from __future__ import annotations

import math
from statistics import NormalDist

from lake.kernels.scores import normal_quantile

_NORMAL_FROM = 2_000  # degrees of freedom from which on the normal distribution is as good to four digits


def tail(t: float, freedom: int) -> float:
    """How often a value lies further from 0 than ``t``, to either side: the two-sided p-value.

    >>> round(tail(2.228, 10), 3)
    0.05
    """
    if math.isnan(t) or freedom < 1:
        return math.nan
    if freedom >= _NORMAL_FROM:
        return 2 * NormalDist().cdf(-abs(t))
    angle = math.atan2(abs(t), math.sqrt(freedom))
    square, term, total = math.cos(angle) ** 2, 1.0, 0.0
    if freedom % 2:
        term = math.cos(angle)
        for k in range(1, (freedom - 1) // 2 + 1):
            total += term
            term *= square * 2 * k / (2 * k + 1)
        inside = (angle + math.sin(angle) * total) * 2 / math.pi
    else:
        for k in range(1, freedom // 2 + 1):
            total += term
            term *= square * (2 * k - 1) / (2 * k)
        inside = math.sin(angle) * total
    return min(max(1.0 - inside, 0.0), 1.0)


def quantile(level: float, freedom: int) -> float:
    """How many standard errors a two-sided interval of that confidence reaches; nan without a degree of freedom.

    >>> round(quantile(0.95, 10), 3)
    2.228
    """
    low = normal_quantile(level)
    if freedom < 1:
        return math.nan
    if freedom >= _NORMAL_FROM:
        return low
    high = 2 * low + 1.0
    while tail(high, freedom) > 1 - level:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(middle, freedom) > 1 - level else (low, middle)
    return high
