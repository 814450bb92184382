"""Declares the windows of a feature set: what it asks for becomes a step, once, whoever asks.

These depend on their own bars to the last bit. Polars' ``rolling_mean``, ``rolling_std`` and ``ewm_mean`` may be used
too: they carry a state along the block, so that bars older than the look-back still show in their last digits.
"""

from __future__ import annotations

import polars as pl

from lake.learn.features.base import Step, Window


class Windows:
    """Collects the steps of a feature set.

    >>> windows = Windows()
    >>> windows.mean("close", 3).meta.root_names(), [step.name for step in windows.steps]
    (['_close_sum_3'], ['_close_sum_3'])
    """

    def __init__(self) -> None:
        self._steps: dict[str, Step | Window] = {}

    @property
    def steps(self) -> tuple[Step | Window, ...]:
        """All of them, each after those that it uses."""
        return tuple(self._steps.values())

    def step(self, name: str, expr: pl.Expr) -> pl.Expr:
        """A named intermediate column; ``_`` is put before the name."""
        return self._made(Step(f"_{name}", expr))

    def lag(self, column: str, bars: int) -> pl.Expr:
        """The value so many bars before. Look-back ``bars``, plus that of the column; the others have one less."""
        return self._window(column, "lag", bars)

    def sum(self, column: str, bars: int) -> pl.Expr:
        """Sum of the last ``bars`` values of a column or step."""
        return self._window(column, "sum", bars)

    def mean(self, column: str, bars: int) -> pl.Expr:
        """Mean of the last ``bars`` values."""
        return self.sum(column, bars) / bars

    def deviation(self, column: str, bars: int, freedom: int = 0) -> pl.Expr:
        """Standard deviation of the last ``bars`` values; ``freedom`` is taken from the divisor, 1 for a sample's."""
        return self._window(column, "deviation", bars, float(freedom))

    def exponential(self, column: str, alpha: float, bars: int) -> pl.Expr:
        """Mean of the last ``bars`` values with weights (1 - alpha)^age, scaled to sum to 1.

        With (1 - alpha)^bars below 1e-12 it is the endless one to twelve digits.
        """
        return self._window(column, "exponential", bars, alpha)

    def highest(self, column: str, bars: int) -> pl.Expr:
        """Largest of the last ``bars`` values."""
        return self._window(column, "highest", bars)

    def lowest(self, column: str, bars: int) -> pl.Expr:
        """Smallest of the last ``bars`` values."""
        return self._window(column, "lowest", bars)

    def _window(self, column: str, function: str, bars: int, parameter: float = 0.0) -> pl.Expr:
        more = f"_{parameter!r}" if parameter else ""
        return self._made(
            Window(f"_{column.removeprefix('_')}_{function}_{bars}{more}", column, function, bars, parameter)
        )

    def _made(self, step: Step | Window) -> pl.Expr:
        self._steps.setdefault(step.name, step)
        return pl.col(step.name)
