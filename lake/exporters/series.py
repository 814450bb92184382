"""Candles series by series, in the order of time: for the folders of freqtrade and of Binance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import cast

import polars as pl

from lake.errors import UsageError
from lake.exporters.asking import Asked, arrow
from lake.exporters.pieces import equals
from lake.query.engine import Relation
from lake.query.fitting import identifier
from lake.spec import symbols

_NAMES = ("venue", "symbol", "timeframe")
_MARKETS = {"", "P", "P.MARK", "P.INDEX"}  # spot, perpetuals, their mark and index prices


@dataclass(frozen=True)
class Series:
    """The candles of one venue, symbol and timeframe, read part by part.

    Attributes:
        venue, symbol, timeframe: whose they are.
        parts: each month's or year's.
        columns: that are wanted.
    """

    venue: str
    symbol: str
    timeframe: str
    parts: tuple[Relation, ...]
    columns: tuple[str, ...]

    @property
    def market(self) -> str:
        """The symbol's suffix: ``""`` for spot, ``P`` for a perpetual, ``P.MARK``, ``P.INDEX``."""
        return symbols.split(self.symbol)[2]

    def frames(self) -> Iterator[pl.DataFrame]:
        """The candles, oldest first."""
        wanted = ", ".join(map(identifier, self.columns))
        for part in self.parts:
            for batch in arrow(part.order("open_time").project(wanted)):
                yield cast("pl.DataFrame", pl.from_arrow(batch))


def series(asked: Asked, columns: tuple[str, ...], form: str) -> Iterator[Series]:
    """All series of the candles that are exported.

    Raises:
        UsageError: not candles, only some of their columns, or of a market that the format cannot name.
    """
    if asked.dataset is None or asked.dataset.name != "candles":
        raise UsageError(f"{form} is a format of candles", where="export", value=asked.name, todo="Export candles.")
    if not set(columns) <= set(asked.columns):
        raise UsageError(f"{form} has columns of its own", where="export", value=asked.columns, todo="Leave --columns.")
    names = ", ".join(map(identifier, (*_NAMES, "period")))
    groups = asked.relation.aggregate(f"{names}, count(*) AS n").order(names).fetchall()
    strange = sorted({group[1] for group in groups if not _is_named(group[1])})
    if strange:
        todo = "Choose others with --symbol, or another format."
        raise UsageError(f"{form} has no name for such symbols", where="export", value=strange[:5], todo=todo)
    for (venue, symbol, timeframe), members in groupby(groups, lambda group: group[:3]):
        keys = [(venue, symbol, timeframe, member[3]) for member in members]
        parts = tuple(asked.relation.filter(_condition(key)) for key in keys)
        yield Series(venue, symbol, timeframe, parts, columns)


def _is_named(symbol: str) -> bool:
    _, quote, suffix = symbols.split(symbol)
    return bool(quote) and suffix in _MARKETS


def _condition(values: tuple[str, ...]) -> str:
    return " AND ".join(equals(name, value) for name, value in zip((*_NAMES, "period"), values, strict=True))
