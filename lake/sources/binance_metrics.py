"""Binance's daily dumps of futures metrics: open interest and long/short ratios, each column as one market metric."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from lake.sources import csvs
from lake.sources.base import Batch, CandleFiles, Options
from lake.sources.columns import require
from lake.sources.naming import about, perpetual
from lake.sources.opening import head
from lake.sources.shape import metric_batch
from lake.spec import symbols

_METRICS = {
    "sum_open_interest": "open_interest",
    "sum_open_interest_value": "open_interest_value",
    "count_toptrader_long_short_ratio": "top_trader_account_long_short_ratio",
    "sum_toptrader_long_short_ratio": "top_trader_position_long_short_ratio",
    "count_long_short_ratio": "long_short_ratio",
    "sum_taker_long_short_vol_ratio": "taker_buy_sell_ratio",
}
_NAMES = {"create_time": "time", "symbol": "symbol", **_METRICS}


class BinanceMetrics(CandleFiles):
    """``BTCUSDT-metrics-2024-03-01.zip``; times are UTC. A line has a row for each of its metrics that has a value."""

    name = "binance-metrics"

    def matches(self, path: Path, head: bytes) -> bool:
        """A CSV whose header has a time, a symbol and one of the metrics."""
        del path
        header = {name.lower() for name in csvs.first_row(head)}
        return {"create_time", "symbol"} <= header and bool(header & _METRICS.keys())

    def read(self, path: Path, options: Options) -> Iterator[Batch]:
        """Market metrics of perpetual futures.

        Raises:
            SourceError: not such a file, or cut off.
        """
        line = csvs.first_line(head(path))
        separator = csvs.separator_of(line)
        header = [_NAMES.get(name.lower(), name) for name in csvs.unique(csvs.cells(line, separator))]
        require(header, ("time", "symbol"), path, header)
        metrics = [name for name in header if name in _METRICS.values()]
        known = about(path, options, symbol="", timeframe="", venue="binance", tz="UTC")
        for frame in csvs.frames(path, csvs.Layout(tuple(header), separator)):
            others = [name for name in frame.columns if name not in metrics]
            values = frame.unpivot(on=metrics, index=others, variable_name="metric", value_name="value")
            given = values.filter(pl.col("value").str.strip_chars() != "")
            yield metric_batch(given.with_columns(symbol=_symbols(given, options)), known, "")


def _symbols(frame: pl.DataFrame, options: Options) -> pl.Expr:
    if options.symbol is not None:
        return pl.lit(symbols.canonical(options.symbol))
    names = frame["symbol"].unique().drop_nulls().to_list()
    return pl.col("symbol").replace({name: perpetual(symbols.canonical(name)) for name in names})
