"""One symbol and one day out of two million candles."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq

import lake
from benchmarks.base import MS, Bench, Result, check, setting, shown
from benchmarks.market import COLUMNS, DAY, MINUTE, START, Market, market_of
from benchmarks.peers import PRICES, arctic, pandas_by_symbol, write_arctic

Question = tuple[str, int]  # symbol, first microsecond of the day
Reader = Callable[[str, int], Any]
_FIELDS = ", ".join(COLUMNS)


def run(bench: Bench) -> Result:
    """The median of random questions; all readers get each question in turn, and must agree on the answer.

    The lake keeps what it read a moment ago, its peers do not; so the lake that keeps nothing counts.
    """
    market = market_of(bench)
    _prepare(bench.folder, market)
    with setting("cache_mb", 0):
        bare, packed = (lake.open(bench.folder / name, create=False) for name in ("lake", "compacted"))
    with bare, packed, lake.open(bench.folder / "compacted", create=False) as keeping:
        readers: dict[str, Reader] = {
            "as written": partial(of_lake, bare),
            "compacted": partial(of_lake, packed),
            "lake that keeps what it read": partial(of_lake, keeping),
            "lake.sql": partial(_of_sql, keeping),
            **_peers(bench.folder, market),
        }
        found = ask(readers, questions(market, bench.sized(200, least=20)))
    peer = found.get("ArcticDB")
    ratio = None if peer is None else max(found["as written"], found["compacted"]) / peer
    return Result(
        "point_read",
        f"one symbol, one day, of {market.table.num_rows:,}",
        "<= 1.0x ArcticDB",
        f"{found['as written'] * MS:.2f} ms as written, {found['compacted'] * MS:.2f} ms compacted",
        shown({n: s for n, s in found.items() if n not in {"as written", "compacted"}}, "ms", MS),
        ratio,
        None if ratio is None else ratio <= 1.0,
        {"ms": {n: s * MS for n, s in found.items()}},
    )


def _prepare(folder: Path, market: Market) -> None:
    for name in ("lake", "compacted"):
        with lake.open(folder / name) as lk:
            lk.candles.write(market.table, "1m")
            if name == "compacted":
                lk.compact()


def questions(market: Market, count: int, *, days: int | None = None, seed: int = 7) -> list[Question]:
    """Random symbols and days."""
    chance = random.Random(seed)
    held = days or market.days
    return [(chance.choice(market.symbols), START + chance.randrange(held) * DAY * MINUTE) for _ in range(count)]


def ask(readers: dict[str, Reader], asked: Sequence[Question], *, warm: int = 5) -> dict[str, float]:
    """Median seconds of each reader, which all must give the same rows."""
    taken: dict[str, list[float]] = {name: [] for name in readers}
    for number, (symbol, start) in enumerate([*asked[:warm], *asked]):
        answers = {}
        for name, reader in readers.items():
            begun = time.perf_counter()
            answers[name] = reader(symbol, start)
            if number >= warm:
                taken[name].append(time.perf_counter() - begun)
        first = _prices(next(iter(answers.values())))
        check(first.height > 0, f"nothing of {symbol}")
        for name, answer in answers.items():
            check(_prices(answer).equals(first), f"{name} of {symbol} at {start}")
    return {name: median(times) for name, times in taken.items()}


def of_lake(lk: lake.Lake, symbol: str, start: int) -> pl.DataFrame:
    """The day through ``lk.candles.read``."""
    return lk.candles.read(symbol, "1m", start, start + DAY * MINUTE, COLUMNS)


def _of_sql(lk: lake.Lake, symbol: str, start: int) -> pl.DataFrame:
    return lk.frame(
        f"SELECT {_FIELDS} FROM candles WHERE timeframe = '1m' AND symbol = ? AND open_time >= ? AND open_time < ? "
        "ORDER BY open_time",
        [symbol, _moment(start), _moment(start + DAY * MINUTE)],
    )


def _peers(folder: Path, market: Market) -> dict[str, Reader]:
    path = folder / "sorted.parquet"
    pq.write_table(market.table, path, compression="zstd")
    readers: dict[str, Reader] = {
        "DuckDB on Parquet": partial(_of_duckdb, duckdb.connect(), path),
        "Polars scan": partial(_of_polars, path),
    }
    library = arctic(folder / "arctic")
    if library is not None:
        write_arctic(library, pandas_by_symbol(market))
        readers["ArcticDB"] = partial(_of_arctic, library)
    return readers


def _of_duckdb(connection: duckdb.DuckDBPyConnection, path: Path, symbol: str, start: int) -> pl.DataFrame:
    sql = f"SELECT {_FIELDS} FROM '{path}' WHERE symbol = ? AND open_time >= ? AND open_time < ? ORDER BY open_time"
    found: pl.DataFrame = connection.sql(sql, params=[symbol, _moment(start), _moment(start + DAY * MINUTE)]).pl()
    return found


def _of_polars(path: Path, symbol: str, start: int) -> pl.DataFrame:
    inside = (pl.col("open_time") >= _moment(start)) & (pl.col("open_time") < _moment(start + DAY * MINUTE))
    return pl.scan_parquet(path).filter((pl.col("symbol") == symbol) & inside).collect()


def _of_arctic(library: Any, symbol: str, start: int) -> pd.DataFrame:
    begin = pd.Timestamp(start, unit="us")
    end = begin + pd.Timedelta(days=1) - pd.Timedelta(microseconds=1)
    found: pd.DataFrame = library.read(symbol, date_range=(begin, end)).data
    return found


def _prices(answer: Any) -> pl.DataFrame:
    """The numbers of an answer in time's order, whatever holds them."""
    if isinstance(answer, pl.DataFrame):
        return answer.select(PRICES)
    return pl.from_pandas(answer[PRICES])


def _moment(micros: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
