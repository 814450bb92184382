"""The made-up candles that the benchmarks use: 50 symbols, 30 days, one minute; made once, kept in a file."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from pyarrow import ipc

from benchmarks.base import Bench
from lake.kernels import market

MINUTE = 60_000_000
DAY = 1_440
START = 1_704_067_200_000_000  # 2024-01-01, microseconds; 30 days of it are one month's partition
COLUMNS = ("symbol", "open_time", "open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class Market:
    """Candles in order of symbol and time.

    Attributes:
        table: the columns of ``COLUMNS``.
        symbols: all symbols, ascending.
        days: how many days there are of each.
    """

    table: pa.Table
    symbols: tuple[str, ...]
    days: int

    @property
    def frame(self) -> pl.DataFrame:
        """The table in Polars."""
        frame = pl.from_arrow(self.table)
        if not isinstance(frame, pl.DataFrame):
            raise TypeError(type(frame).__name__)
        return frame

    @property
    def end(self) -> int:
        """Open time after the last one, microseconds."""
        return START + self.days * DAY * MINUTE


def names(count: int) -> tuple[str, ...]:
    """So many symbols, ascending."""
    return tuple(f"C{i:03d}USDT" for i in range(count))


def symbol_candles(number: int, symbol: str, bars: int, start: int = START) -> pl.DataFrame:
    """One symbol's candles."""
    price = float(np.round(10 ** np.random.default_rng(number).uniform(-2, 4.5), 4))
    return market.candles(symbol, start, bars, price=price, seed=number).select(COLUMNS)


def market_of(bench: Bench, cache: Path | None = None) -> Market:
    """50 symbols of 30 days at scale 1: 2.16 million candles."""
    symbols, days = names(50), bench.sized(30, least=2)
    path = (cache or bench.folder.parent) / f"market-{days}.arrow"
    if not path.exists():
        frame = pl.concat([symbol_candles(i, s, days * DAY) for i, s in enumerate(symbols)])
        _keep(frame.to_arrow(compat_level=pl.CompatLevel.oldest()), path)
    with pa.OSFile(str(path)) as source:
        return Market(ipc.open_file(source).read_all().combine_chunks(), symbols, days)


def _keep(table: pa.Table, path: Path) -> None:
    unfinished = path.with_suffix(f".{time.time_ns()}")
    with pa.OSFile(str(unfinished), "wb") as sink, ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    unfinished.replace(path)


def minute(symbols: tuple[str, ...], number: int) -> pl.DataFrame:
    """One candle of each symbol, ``number`` minutes after the market's start."""
    chance = np.random.default_rng(number)
    close = np.round(chance.uniform(1, 100, len(symbols)), 2)
    return pl.DataFrame(
        {
            "symbol": symbols,
            "open_time": np.full(len(symbols), START + number * MINUTE),
            "open": np.round(close - 0.01, 2),
            "high": np.round(close + 0.03, 2),
            "low": np.round(close - 0.02, 2),
            "close": close,
            "volume": np.round(close * 3, 3),
        }
    ).with_columns(pl.col("open_time").cast(pl.Datetime("us", "UTC")))


def by_symbol(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """{symbol: its rows without it}."""
    parts = frame.partition_by("symbol", as_dict=True, include_key=False)
    return {str(key[0]): part for key, part in parts.items()}
