"""Funding rates and open interest as freqtrade keeps them: ``futures/XRP_USDT_USDT-8h-funding_rate.feather``.

The value stands under ``open``, and all else is 0. The timeframe in the name is how far the values usually lie apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import polars as pl

from lake.errors import UsageError
from lake.exporters.asking import Asked, arrow
from lake.exporters.pieces import equals
from lake.query.engine import Relation
from lake.spec import symbols

DATASET = "market_metrics"
_METRICS = ("funding_rate", "open_interest")
_STEPS = {1: "1h", 2: "2h", 4: "4h", 8: "8h", 24: "1d"}
_USUAL = "8h"
_NAMES = ("venue", "symbol", "metric")
_APART = "round(epoch(time - lag(time) OVER (ORDER BY time)) / 3600)::INT AS hours"
_ZEROS = ", ".join(f"0.0::DOUBLE AS {name}" for name in ("high", "low", "close", "volume"))


@dataclass(frozen=True)
class MetricSeries:
    """The values of one venue, symbol and metric.

    Attributes:
        venue, symbol, metric: whose they are.
        values: its rows.
    """

    venue: str
    symbol: str
    metric: str
    values: Relation

    @property
    def timeframe(self) -> str:
        """How far they usually lie apart, as freqtrade spells it; 8h where nothing tells."""
        usual = self.values.project(_APART).filter("hours IS NOT NULL").aggregate("mode(hours) AS usual").fetchall()
        return _STEPS.get(usual[0][0], _USUAL)

    def frames(self) -> Iterator[pl.DataFrame]:
        """The values in the columns of candles, oldest first."""
        for batch in arrow(self.values.order("time").project(f"time AS date, value AS open, {_ZEROS}")):
            yield cast("pl.DataFrame", pl.from_arrow(batch))


def metric_series(asked: Asked) -> Iterator[MetricSeries]:
    """All series of the metrics that are exported.

    Raises:
        UsageError: only some of their columns, another metric, or of a symbol that is no perpetual.
    """
    if not {*_NAMES, "time", "value"} <= set(asked.columns):
        todo = "Leave --columns."
        raise UsageError("freqtrade has columns of its own", where="export", value=asked.columns, todo=todo)
    groups = asked.relation.project(", ".join(_NAMES)).distinct().order(", ".join(_NAMES)).fetchall()
    strange = sorted({f"{symbol} {metric}" for _, symbol, metric in groups if not _is_named(symbol, metric)})
    if strange:
        todo = "Choose with --where, for example \"metric = 'funding_rate'\", and --symbol."
        what = "freqtrade keeps funding_rate and open_interest of perpetuals, and no other metrics"
        raise UsageError(what, where="export", value=strange[:5], todo=todo)
    for venue, symbol, metric in groups:
        key = zip(_NAMES, (venue, symbol, metric), strict=True)
        condition = " AND ".join(equals(name, value) for name, value in key)
        yield MetricSeries(venue, symbol, metric, asked.relation.filter(condition))


def _is_named(symbol: str, metric: str) -> bool:
    _, quote, suffix = symbols.split(symbol)
    return metric in _METRICS and bool(quote) and suffix == "P"
