"""One-minute candles to one hour: 50 symbols, 30 days."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq

import lake
from benchmarks.base import MS, Bench, Result, check, medians, setting, shown
from benchmarks.market import Market, market_of

_BARS = ("open", "high", "low", "close", "volume")
_SQL = """
SELECT symbol, time_bucket(INTERVAL 1 HOUR, open_time) AS open_time, arg_min(open, open_time) AS open,
    max(high) AS high, min(low) AS low, arg_max(close, open_time) AS close, sum(volume) AS volume
FROM {source} GROUP BY ALL ORDER BY ALL
"""


def run(bench: Bench) -> Result:
    """Medians, in turns; every answer is sorted by symbol and hour, and the same.

    Asked again and asked for the first time are two questions: then the lake keeps no decoded rows, and DuckDB no
    pages of its file. The worse ratio counts.
    """
    market = market_of(bench)
    for name in ("lake", "compacted"):
        with lake.open(bench.folder / name) as lk:
            lk.candles.write(market.table, "1m")
            if name == "compacted":
                lk.compact()
    with setting("cache_mb", 0):
        bare, packed = (lake.open(bench.folder / name, create=False) for name in ("lake", "compacted"))
    with bare, packed, lake.open(bench.folder / "lake", create=False) as keeping:
        works: dict[str, Callable[[], Any]] = {
            "again": partial(of_lake, keeping),
            "first": partial(of_lake, bare),
            "first, compacted": partial(of_lake, packed),
            "lake.sql": partial(packed.frame, _SQL.format(source="candles")),
        }
        own = _Own(bench.folder, market)
        works |= {"DuckDB's own table": own, "DuckDB's own table, first": own.ask_new, **_peers(bench.folder, market)}
        _agree(works)
        found = medians(works, rounds=9, before={"DuckDB's own table, first": own.connect_anew})
    slow = max(found["first"], found["first, compacted"])
    ratios = (found["again"] / found["DuckDB's own table"], slow / found["DuckDB's own table, first"])
    return Result(
        "resample",
        f"1m to 1h, {len(market.symbols)} symbols, {market.days} days",
        "<= 1.0x DuckDB's own table",
        f"{found['again'] * MS:.0f} ms ({ratios[0]:.2f}x); the first time {found['first'] * MS:.0f} ms, compacted "
        f"{found['first, compacted'] * MS:.0f} ms ({ratios[1]:.2f}x)",
        shown({n: s for n, s in found.items() if "again" not in n and n[:5] != "first"}, "ms", MS),
        max(ratios),
        max(ratios) <= 1.0,
        {"ms": {n: s * MS for n, s in found.items()}},
    )


class _Own:
    """DuckDB with the candles in a table of its own file: one connection that stays, one that is made anew."""

    def __init__(self, folder: Path, market: Market) -> None:
        self._path = folder / "own.duckdb"
        with duckdb.connect(str(self._path)) as connection:
            connection.register("given", market.table)
            connection.execute("CREATE TABLE candles AS SELECT * FROM given")
            connection.execute("FORCE CHECKPOINT")
        self._other = folder / "own-too.duckdb"
        shutil.copy(self._path, self._other)  # two connections to one file would share its pages
        self._staying = _connected(self._path)
        self._new = _connected(self._other)

    def __call__(self) -> pl.DataFrame:
        return _frame(self._staying, "candles")

    def connect_anew(self) -> None:
        """Forget the pages that the second connection holds."""
        self._new.close()
        self._new = _connected(self._other)

    def ask_new(self) -> pl.DataFrame:
        """The question to the connection that was made last."""
        return _frame(self._new, "candles")


def _connected(path: Path | str) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(str(path))
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _frame(connection: duckdb.DuckDBPyConnection, source: str) -> pl.DataFrame:
    found: pl.DataFrame = connection.sql(_SQL.format(source=source)).pl()
    return found


def of_lake(lk: lake.Lake) -> pl.DataFrame:
    """All symbols through ``lk.candles.resample``."""
    return lk.candles.resample(None, "1h", source="1m")


def _peers(folder: Path, market: Market) -> dict[str, Callable[[], Any]]:
    path = folder / "sorted.parquet"
    pq.write_table(market.table, path, compression="zstd")
    return {
        "DuckDB on Parquet": partial(_frame, _connected(":memory:"), f"'{path}'"),
        "Polars on Parquet": partial(_of_polars, path),
    }


def _of_polars(path: Path) -> pl.DataFrame:
    hours = pl.scan_parquet(path).group_by("symbol", pl.col("open_time").dt.truncate("1h"), maintain_order=True)
    columns = (
        pl.col("open").first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close").last(),
        pl.col("volume").sum(),
    )
    return hours.agg(columns).collect()


def _agree(works: dict[str, Callable[[], Any]]) -> None:
    answers = {name: work() for name, work in works.items()}
    first = answers["first"]
    for name, answer in answers.items():
        check(answer.height == first.height, f"{name}: {answer.height} bars, not {first.height}")
        check(answer["symbol"].equals(first["symbol"]), f"{name}: symbols")
        apart = max(float((answer[bar] - first[bar]).abs().max()) for bar in _BARS[:4])
        drift = float(((answer["volume"] - first["volume"]).abs() / first["volume"]).max())
        check(apart == 0 and drift < 1e-9, f"{name}: prices {apart}, volumes {drift}")  # sums may round differently
