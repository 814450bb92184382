"""Which values of a dataset's columns are stored as they are given: told by their type, and a look into a table."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from lake.spec import numbers, symbols, timeframes
from lake.spec.dataset import Column, Dataset, Type
from lake.spec.times import LATEST, SURE_MICROS

_PYTHON = {Type.FLOAT: float, Type.INT: int, Type.BOOL: bool, Type.TIMESTAMP: int}


@dataclass(frozen=True, slots=True)
class Canonical:
    """Which they are.

    Attributes:
        ranges: column of numbers, times or flags -> their Python type, and the lowest and highest that fit.
        choices: column of names -> those that it may have.
        words: columns of text, of which any that is ASCII and not empty fits.
    """

    ranges: Mapping[str, tuple[Any, float, float]]
    choices: Mapping[str, Collection[str]]
    words: frozenset[str]

    @classmethod
    def of(cls, ds: Dataset) -> Canonical:
        """Those of a dataset."""
        texts = {c.name: c for c in ds.columns if c.type is Type.STRING}
        choices: dict[str, Collection[str]] = {name: frozenset(c.choices) for name, c in texts.items() if c.choices}
        choices["timeframe"] = timeframes.TABLE
        choices["symbol"] = symbols.SPELLED
        ranges = {c.name: (_PYTHON[c.type], *_range(c)) for c in ds.columns if c.type in _PYTHON}
        return cls(ranges, choices, frozenset(texts.keys() - choices.keys()))


def _range(column: Column) -> tuple[float, float]:
    if column.type is Type.TIMESTAMP:
        return SURE_MICROS, LATEST - 1
    widest = (-sys.float_info.max, sys.float_info.max) if column.type is Type.FLOAT else numbers.INT64
    return numbers.bounds(column, *widest)
