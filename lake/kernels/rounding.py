"""Prices are decimal numbers, which floats only come near: how far their differences may be off by that.

A level that lies at a share of a way, such as 2 R or a quarter of the way to a target, is reached by the very price
that stands there; compared without this it would be missed about every third time.
"""

from __future__ import annotations

import sys
from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

Price = TypeVar("Price", float, NDArray[np.float64], pl.Expr)
_OFF = 4 * sys.float_info.epsilon


def slack(first: Price, second: Price, third: Price) -> Price:
    """More than rounding makes of differences of three prices or amounts, taken at most twice; far less than any tick.

    >>> 3.3 - 3.08 >= 2 * (3.41 - 3.3), 3.3 - 3.08 >= 2 * (3.41 - 3.3) - slack(3.3, 3.08, 3.41)
    (False, True)
    """
    return _OFF * (abs(first) + abs(second) + abs(third))
