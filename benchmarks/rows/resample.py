"""One-minute candles to one hour: 50 symbols, 30 days."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq

import lake
from benchmarks.base import MS, Bench, Result, check, medians, shown
from benchmarks.market import Market, market_of

_BARS = ("open", "high", "low", "close", "volume")
_SQL = """
SELECT symbol, time_bucket(INTERVAL 1 HOUR, open_time) AS open_time, arg_min(open, open_time) AS open,
    max(high) AS high, min(low) AS low, arg_max(close, open_time) AS close, sum(volume) AS volume
FROM {source} GROUP BY ALL ORDER BY ALL
"""


def run(bench: Bench) -> Result:
    """Medians, in turns; every answer is sorted by symbol and hour, and the same."""
    market = market_of(bench)
    with lake.open(bench.folder / "lake") as lk, lake.open(bench.folder / "compacted") as packed:
        for opened in (lk, packed):
            opened.candles.write(market.table, "1m")
        packed.compact()
        works: dict[str, Callable[[], Any]] = {
            "lake": partial(of_lake, lk),
            "lake, compacted": partial(of_lake, packed),
            "lake.sql": partial(packed.frame, _SQL.format(source="candles")),
            **_peers(bench.folder, market),
        }
        _agree(works)
        found = medians(works, rounds=9)
    ours = max(found["lake"], found["lake, compacted"])
    ratio = ours / found["DuckDB's own table"]
    return Result(
        "resample",
        f"1m to 1h, {len(market.symbols)} symbols, {market.days} days",
        "<= 1.0x DuckDB's own table",
        f"{found['lake'] * MS:.0f} ms as written, {found['lake, compacted'] * MS:.0f} ms compacted",
        shown({n: s for n, s in found.items() if n not in {"lake", "lake, compacted"}}, "ms", MS),
        ratio,
        ratio <= 1.0,
        {"ms": {n: s * MS for n, s in found.items()}},
    )


def of_lake(lk: lake.Lake) -> pl.DataFrame:
    """All symbols through ``lk.candles.resample``."""
    return lk.candles.resample(None, "1h", source="1m")


def _peers(folder: Path, market: Market) -> dict[str, Callable[[], Any]]:
    path = folder / "sorted.parquet"
    pq.write_table(market.table, path, compression="zstd")
    connection = duckdb.connect(str(folder / "own.duckdb"))
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("given", market.table)
    connection.execute("CREATE TABLE candles AS SELECT * FROM given")
    connection.execute("FORCE CHECKPOINT")
    return {
        "DuckDB's own table": lambda: connection.sql(_SQL.format(source="candles")).pl(),
        "DuckDB on Parquet": lambda: connection.sql(_SQL.format(source=f"'{path}'")).pl(),
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
    first = answers["lake"]
    for name, answer in answers.items():
        check(answer.height == first.height, f"{name}: {answer.height} bars, not {first.height}")
        check(answer["symbol"].equals(first["symbol"]), f"{name}: symbols")
        apart = max(float((answer[bar] - first[bar]).abs().max()) for bar in _BARS[:4])
        drift = float(((answer["volume"] - first["volume"]).abs() / first["volume"]).max())
        check(apart == 0 and drift < 1e-9, f"{name}: prices {apart}, volumes {drift}")  # sums may round differently
