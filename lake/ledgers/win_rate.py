"""The share of wins among phantoms."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

from lake.errors import UsageError
from lake.query.engine import Engine
from lake.spec import numbers

_SQL = (resources.files("lake.ledgers") / "win_rate.sql").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class WinRate:
    """Share of wins among decided phantoms, with its Wilson interval at 95 %.

    Attributes:
        value, low, high: in percent; None without any decided phantom.
        n: decided phantoms, which are wins, losses and breakevens.
    """

    value: float | None
    n: int
    low: float | None
    high: float | None


def win_rate(engine: Engine, strategy: str | None, window: int) -> WinRate:
    """That of the last decided phantoms of a strategy.

    Raises:
        UsageError: a window that is not a whole number above 0.
    """
    last = numbers.whole(window)
    if last is None or last <= 0:
        raise UsageError("a window is a whole number above 0", where="window", value=window)
    value, n, low, high = engine.frame(_SQL, [strategy, last]).row(0)
    return WinRate(value, n, low, high)
