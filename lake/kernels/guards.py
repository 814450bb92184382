"""Guards of a bot and its positions: peak equity and drawdown, checkpoints on the way to a target, trailing stops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lake.kernels.pnl import direction
from lake.kernels.rounding import slack

LEVELS = (25, 50, 75, 85)


class Drawdown(NamedTuple):
    """The highest equity so far, and how far below it the equity is, in % of it; 100 where that is 0 or less."""

    peak: float
    percent: float

    @property
    def equity(self) -> float:
        """The equity that fell so far; of a peak at or below 0 the peak, as no more is known.

        >>> Drawdown(100.0, 150.0).equity, Drawdown(-50.0, 100.0).equity
        (-50.0, -50.0)
        """
        return self.peak * (1 - self.percent / 100.0) if self.peak > 0 else self.peak


def drawdown(equity: float, peak: float | None = None) -> Drawdown:
    """The peak with this equity taken in, and the fall from it: all of it where there never was more than nothing.

    >>> drawdown(90.0, 100.0), drawdown(110.0, 100.0), drawdown(-5.0, -5.0)
    (Drawdown(peak=100.0, percent=10.0), Drawdown(peak=110.0, percent=0.0), Drawdown(peak=-5.0, percent=100.0))
    """
    high = equity if peak is None else max(peak, equity)
    return Drawdown(high, 100.0 * ((high - equity) / high) if high > 0 else 100.0)


def halts(percent: float, guard: float) -> bool:
    """Whether a drawdown has reached a guard, both in %; by rounding alone it falls short of none.

    >>> halts(drawdown(0.9, 1.0).percent, 10.0), halts(9.99, 10.0)
    (True, False)
    """
    return percent >= guard - 1e-9


def reached(entry: float, target: float, price: float, side: str) -> list[int]:
    """Checkpoints, in % of the way from entry to target, that a price has reached; none for a target behind the entry.

    >>> reached(100.0, 120.0, 110.0, "LONG"), reached(100.0, 80.0, 84.9, "SHORT"), reached(100.0, 90.0, 95.0, "LONG")
    ([25, 50], [25, 50, 75], [])
    """
    sign = direction(side)
    way, gone = sign * (target - entry), sign * (price - entry)
    there = gone + slack(entry, target, price)
    return [level for level in LEVELS if way > 0 and there * 100.0 >= level * way]


def trailed(side: str, stops: Sequence[float], price: float, distance_pct: float) -> float:
    """Where a trailing stop stands after a price: so many percent behind it, and never behind a stop that there is.

    >>> trailed("LONG", [95.0], 110.0, 10.0), trailed("LONG", [95.0, 97.0], 100.0, 10.0), trailed("SHORT", [], 9, 10)
    (99.0, 97.0, 9.9)
    """
    sign = direction(side)
    wanted = price * (100.0 - sign * distance_pct) / 100.0
    return max([wanted, *stops]) if sign > 0 else min([wanted, *stops])
