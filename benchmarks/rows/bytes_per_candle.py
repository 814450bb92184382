"""How small real one-minute candles are after compaction, beside other files of the same rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

import lake
from benchmarks.base import Bench, Result, check, shown
from lake.sources.ingest import ingest

_PATTERNS = ("*1m*", "*-1.json.gz", "coinbase_minute_*")
_WORK, _TARGET = "bytes per candle, real 1m files, compacted", "<= 1.05x a native DuckDB file"


def run(bench: Bench) -> Result:
    """Sizes of data files; a log or a catalogue beside them is given in the numbers."""
    files = _files(bench.data)
    if not files:
        return Result("bytes_per_candle", _WORK, _TARGET, "no real files: set TRADELAKE_SHARED_DATA to their folder")
    with lake.open(bench.folder / "lake") as lk:
        ingest(lk, [str(f) for f in files])
        lk.drain()
        before = lk.candles.stats()["bytes_per_candle"]
        lk.compact()
        state = lk.store.table("candles").state()
        minutes = [f for f in state.files.values() if f.partition["timeframe"] == "1m"]
        rows, size = sum(f.rows or 0 for f in minutes), sum(f.size for f in minutes)
        held = lk.sql("SELECT * EXCLUDE (period) FROM candles WHERE timeframe = '1m' ORDER BY symbol, venue, open_time")
        table = held.to_arrow_table()
    check(table.num_rows == rows, f"{table.num_rows} rows read, {rows} in the files")
    peers = {name: path.stat().st_size / rows for name, path in _peers(bench.folder, table).items()}
    ours = size / rows
    ratio = ours / peers["DuckDB file"]
    return Result(
        "bytes_per_candle",
        f"{_WORK} ({rows:,} rows)",
        _TARGET,
        f"{ours:.2f} bytes",
        shown(peers, "bytes"),
        ratio,
        ratio <= 1.05,
        {"rows": rows, "lake": ours, "lake_before_compaction": before, **peers},
    )


def _files(data: Path | None) -> Sequence[Path]:
    return [] if data is None else sorted({f for p in _PATTERNS for f in (data / "ohlcv").rglob(p) if f.is_file()})


def _peers(folder: Path, table: pa.Table) -> dict[str, Path]:
    return {
        "DuckDB file": _duckdb(folder / "native.duckdb", table),
        "Parquet zstd": _parquet(folder / "zstd.parquet", table, "zstd"),
        "Parquet defaults": _parquet(folder / "defaults.parquet", table, "snappy"),
        "SQLite": _sqlite(folder / "candles.sqlite", table),
    }


def _duckdb(path: Path, table: pa.Table) -> Path:
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("given", table)
        connection.execute("CREATE TABLE candles AS SELECT * FROM given")
        connection.execute("FORCE CHECKPOINT")
        held = connection.sql("SELECT * FROM candles ORDER BY symbol, venue, open_time").to_arrow_table()
    same = pl.from_arrow(held).equals(pl.from_arrow(table))  # type: ignore[arg-type]
    check(same, "DuckDB holds other rows")
    return path


def _parquet(path: Path, table: pa.Table, compression: str) -> Path:
    pq.write_table(table, path, compression=compression)
    return path


def _sqlite(path: Path, table: pa.Table) -> Path:
    frame = pl.from_arrow(table)
    if not isinstance(frame, pl.DataFrame):
        raise TypeError(type(frame).__name__)
    plain = frame.with_columns(pl.col("open_time").dt.timestamp("us"))
    marks = ", ".join("?" * plain.width)
    connection = sqlite3.connect(path)
    names = ", ".join(plain.columns)
    connection.execute(f"CREATE TABLE candles ({names}, PRIMARY KEY (venue, symbol, timeframe, open_time))")
    with connection:
        connection.executemany(f"INSERT INTO candles VALUES ({marks})", plain.iter_rows())
    (held,) = connection.execute("SELECT count(*) FROM candles").fetchone()
    connection.execute("VACUUM")
    connection.close()
    check(held == table.num_rows, f"SQLite holds {held} rows")
    return path
