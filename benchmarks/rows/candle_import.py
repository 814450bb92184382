"""Ten million candles out of SQLite, and out of PostgreSQL, by `lake import`."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import pyarrow as pa

import lake
from benchmarks.base import Bench, Result, check, seconds
from benchmarks.market import START, names, symbol_candles
from benchmarks.rows.large_ingest import peak_bytes
from lake.importers.run import import_from

_SYMBOLS, _BARS = 50, 200_000  # of 15 minutes: more than five years
_BATCH = 2_000  # bars of a symbol that the bot saved together
_QUARTER = 900_000
_RATE, _LIMIT, _GIB = 500_000, 1.0, 1 << 30
_COLUMNS = ("symbol", "timestamp", "open", "high", "low", "close", "volume")
_SQLITE = """create table candles (id integer primary key, symbol varchar(20) not null, timestamp bigint not null,
  open float not null, high float not null, low float not null, close float not null, volume float not null)"""
_POSTGRES = """create table {}.candles (id bigserial primary key, symbol varchar(20) not null,
  timestamp bigint not null, open float8 not null, high float8 not null, low float8 not null, close float8 not null,
  volume float8 not null)"""
_INDEX = "create unique index idx_symbol_timestamp on {}candles (symbol, timestamp)"


@dataclass(frozen=True)
class Taken:
    """What one import spent: rows, seconds of the clock and of processors, and its peak memory."""

    rows: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int

    @property
    def rate(self) -> float:
        """Rows per second."""
        return self.rows / self.seconds


def sqlite(bench: Bench) -> Result:
    """candles.db, as the bot's fallback writes it."""
    path = bench.folder / "candles.db"
    bars = bench.sized(_BARS, least=_BATCH)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma synchronous = off")
        connection.execute(_SQLITE)
        for table in _saved(bars):
            rows = zip(*table.to_pydict().values(), strict=True)
            connection.executemany(f"insert into candles ({', '.join(_COLUMNS)}) values (?, ?, ?, ?, ?, ?, ?)", rows)
        connection.execute(_INDEX.format(""))
        connection.commit()
    return _result("import_sqlite", "candles-sqlite", str(path), bench)


def postgres(bench: Bench) -> Result:
    """The same table in PostgreSQL, in a schema of its own that is dropped afterwards."""
    from adbc_driver_postgresql import dbapi

    server = os.environ.get("TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/test")
    schema = f"bench_{uuid4().hex[:8]}"
    try:
        connection = dbapi.connect(server)
    except dbapi.OperationalError as error:
        return Result("import_postgres", "", "", f"not measured: {str(error).splitlines()[0]}")
    with connection, connection.cursor() as cursor:
        try:
            cursor.execute(f"create schema {schema}")
            cursor.execute(_POSTGRES.format(schema))
            tables = _saved(bench.sized(_BARS, least=_BATCH))
            reader = pa.RecordBatchReader.from_batches(_schema(), (b for t in tables for b in t.to_batches()))
            cursor.adbc_ingest("candles", reader, mode="append", db_schema_name=schema)
            cursor.execute(_INDEX.format(f"{schema}."))
            connection.commit()
            return _result("import_postgres", "candles-postgres", f"{server}?schema={schema}", bench)
        finally:
            cursor.execute(f"drop schema if exists {schema} cascade")
            connection.commit()


def _schema() -> pa.Schema:
    kinds = [pa.string(), pa.int64(), *[pa.float64()] * 5]
    return pa.schema(list(zip(_COLUMNS, kinds, strict=True)))


def _saved(bars: int) -> Iterator[pa.Table]:
    """The candles in the order in which a bot saves them: some time of every symbol, then the next."""
    frames = [_quarters(number, symbol, bars) for number, symbol in enumerate(names(_SYMBOLS))]
    for first in range(0, bars, _BATCH):
        for frame in frames:
            part = frame.slice(first, _BATCH).to_arrow(compat_level=pl.CompatLevel.oldest())
            yield part.cast(_schema())


def _quarters(number: int, symbol: str, bars: int) -> pl.DataFrame:
    times = START // 1000 + pl.int_range(bars, dtype=pl.Int64) * _QUARTER
    return symbol_candles(number, symbol, bars).with_columns(times.alias("timestamp")).select(_COLUMNS)


def _result(name: str, kind: str, source: str, bench: Bench) -> Result:
    folder = bench.folder / "lake"
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        taken = pool.submit(_import, folder, kind, source).result()
    shutil.rmtree(folder)
    peak, load = taken.peak_bytes / _GIB, os.getloadavg()[0]
    return Result(
        name,
        f"{kind}: {taken.rows / 1e6:g}M candles",
        ">= 500k rows/s, peak RSS <= 1 GiB",
        f"{taken.rate / 1e3:,.0f}k rows/s, peak {peak:.2f} GiB",
        f"{taken.cpu_seconds / taken.rows * 1e6:.2f} processor seconds per million; load average {load:.1f}",
        _RATE / taken.rate,
        taken.rate >= _RATE and peak <= _LIMIT,
        {**taken.__dict__, "load_average": load},
    )


def _import(folder: Path, kind: str, source: str) -> Taken:
    with lake.open(folder) as lk:
        reports: list[Any] = []
        begun = _processor_seconds()
        spent = seconds(lambda: reports.append(import_from(lk, kind, source)))
        cpu = _processor_seconds() - begun
        (report,) = reports
        rows = report.totals["found"]
        check(report.balanced and report.totals["landed"] == rows, report.text())
        check(lk.candles.stats()["candles"] == rows, "rows held")
        return Taken(rows, spent, cpu, peak_bytes())


def _processor_seconds() -> float:
    times = os.times()
    return times.user + times.system
