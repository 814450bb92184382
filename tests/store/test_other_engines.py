"""Other engines read the cold tables as plain Delta Lake and Parquet, and see the same rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, QueryBuilder

import lake
from lake.spec import registry
from lake.store.cold.files import DataFile
from tests.helpers import candles, metric, settled_rows, trade, write_candles

COLUMNS = "venue, symbol, timeframe, open_time, open, high, low, close, volume"


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lake.Lake]:
    """A lake with partitions, corrections, compacted and loose files, a checkpoint and later commits; all settled."""
    with lake.open(tmp_path_factory.mktemp("lake"), bot_id="b1") as lk:
        for day in (0, 20, 40):
            write_candles(lk, range(day * 1440, day * 1440 + 6000))
        lk.candles.write(candles(range(50), symbol="ETHUSDT"), "1m")
        lk.compact()
        for number in range(60):
            write_candles(lk, [number * 7], close=5.0)
            lk.write("trades", trade(number, features={"deep": [1, None, "é"]}))
            lk.drain()
        lk.write("market_metrics", [metric(n) for n in range(20)])
        lk.drain()
        yield lk


def ours(lk: lake.Lake) -> list[tuple[object, ...]]:
    return sorted(lk.sql(f"SELECT {COLUMNS} FROM candles").fetchall())


def in_utc(frame: pl.DataFrame) -> list[tuple[object, ...]]:
    chosen = frame.select(COLUMNS.split(", "))
    return sorted(chosen.with_columns(pl.col("open_time").dt.convert_time_zone("UTC")).rows())


def test_polars_scans_the_same_rows(settled: lake.Lake) -> None:
    assert in_utc(pl.scan_delta(settled.uri("candles")).collect()) == in_utc(settled.read("candles"))


def test_polars_filters_by_partition_and_statistics_to_the_same_rows(settled: lake.Lake) -> None:
    condition = (pl.col("symbol") == "BTCUSDT") & (pl.col("period") == "2024-01") & (pl.col("close") == 5.0)
    theirs = pl.scan_delta(settled.uri("candles")).filter(condition).collect()
    assert theirs.height == 60
    where = "symbol = 'BTCUSDT' AND period = '2024-01' AND close = 5.0"
    assert in_utc(theirs) == in_utc(settled.read("candles", where))


def test_the_files_that_delta_names_hold_the_same_rows_for_duckdb(settled: lake.Lake) -> None:
    files = DeltaTable(settled.uri("candles")).file_uris()
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    query = f"SELECT {COLUMNS} FROM read_parquet(?, hive_partitioning = true)"
    assert sorted(connection.execute(query, [files]).fetchall()) == ours(settled)


def test_delta_itself_answers_sql_with_the_same_rows(settled: lake.Lake) -> None:
    builder = QueryBuilder().register("candles", DeltaTable(settled.uri("candles")))
    rows = pa.table(builder.execute("SELECT symbol, count(*) AS n, sum(volume) AS v FROM candles GROUP BY symbol"))
    theirs = sorted(zip(*(rows[name].to_pylist() for name in ("symbol", "n", "v")), strict=True))
    assert theirs == sorted(settled.sql("SELECT symbol, count(*), sum(volume) FROM candles GROUP BY symbol").fetchall())


def test_pyarrow_reads_the_same_rows_from_the_files(settled: lake.Lake) -> None:
    table = DeltaTable(settled.uri("candles"))
    partitioning = pyarrow.dataset.partitioning(
        pa.schema([("timeframe", pa.string()), ("period", pa.string())]), flavor="hive"
    )
    source = pyarrow.dataset.dataset(table.file_uris(), partitioning=partitioning, partition_base_dir=table.table_uri)
    frame = pl.from_arrow(source.to_table())
    assert isinstance(frame, pl.DataFrame)
    assert in_utc(frame) == in_utc(settled.read("candles"))


@pytest.mark.parametrize("name", ["trades", "market_metrics"])
def test_every_column_and_value_is_the_same_elsewhere(settled: lake.Lake, name: str) -> None:
    key = list(registry.get(name).key)
    mine, theirs = settled.read(name), pl.scan_delta(settled.uri(name)).collect()
    assert theirs.columns == mine.columns
    assert theirs.sort(key).rows() == mine.sort(key).rows()


def test_another_engine_travels_in_time_to_the_same_rows(settled: lake.Lake) -> None:
    table = DeltaTable(settled.uri("trades"))
    for version in (table.version() - 40, table.version() - 3):
        theirs = pl.scan_delta(settled.uri("trades"), version=version).collect()
        assert theirs.height == settled.at(version={"trades": version}).read("trades").height == version


def test_the_log_says_how_far_each_writer_is_settled(settled: lake.Lake) -> None:
    table = DeltaTable(settled.uri("trades"))
    writer = settled.store.writer().writer
    assert table.transaction_version(writer) == settled.store.table("trades").state().settled(writer)


def test_a_commit_of_another_engine_is_seen(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        lk.write("market_metrics", [metric(n) for n in range(10)])
        lk.drain()
        DeltaTable(lk.uri("market_metrics")).delete("value = 1.0 AND time < '2024-01-01T00:05:00Z'")
        assert lk.read("market_metrics").height == 5
        DeltaTable(lk.uri("market_metrics")).optimize.compact()
        lk.write("market_metrics", metric(3, 2.0))
        lk.drain()
        assert lk.read("market_metrics").height == 6
        assert lk.verify().ok


FILES: dict[str, tuple[Callable[[pa.Table], pa.Table], dict[str, Any]]] = {
    "without statistics": (lambda rows: rows, {"write_statistics": False}),
    "with times as Spark writes them": (lambda rows: rows, {"use_deprecated_int96_timestamps": True}),
    "without columns that are empty": (lambda rows: rows.drop_columns(["volume", "trade_count"]), {}),
    "with a column of its own": (lambda rows: rows.append_column("mine", pa.array(range(len(rows)))), {}),
    "in another order": (lambda rows: rows.select(rows.column_names[::-1])[::-1], {"compression": "gzip"}),
    "with long and coded texts": (
        lambda rows: rows.set_column(0, "venue", rows["venue"].dictionary_encode()).set_column(
            1, "symbol", rows["symbol"].cast(pa.large_string())
        ),
        {},
    ),
    "without rows": (lambda rows: rows[:0], {}),
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("alone", [False, True])
def test_files_of_another_engine_are_read_compacted_and_written_over(tmp_path: Path, kind: str, alone: bool) -> None:
    shaped, options = FILES[kind]
    count = 0 if kind == "without rows" else 100
    with lake.open(tmp_path, bot_id="b1") as lk:
        write_candles(lk, range(6000))
        lk.drain()
        _add_file(lk, shaped, options, alone=alone)
        rest = 0 if alone else 6000
        for compacted in (False, True):
            if compacted:
                lk.compact()
                assert len(lk.store.table("candles").state().files) == (rest + count > 0)
            assert lk.read("candles").height == rest + count
            assert (lk.verify().rows, settled_rows(lk, "candles")) == (rest + count,) * 2
            _same_as_read(lk)
            assert lk.sql("SELECT count(*) FROM candles WHERE close = 9").fetchall() == [(count,)]
            assert lk.verify().ok
        write_candles(lk, range(6050, 6110), close=5.0)
        _same_as_read(lk)
        assert lk.read("candles").height == (rest + (110 if count else 60))
        lk.drain()
        assert lk.read("candles").height == (rest + (110 if count else 60))
        assert lk.sql("SELECT count(*) FROM candles WHERE close = 9").fetchall() == [(count // 2,)]
        assert lk.verify().ok


def _same_as_read(lk: lake.Lake) -> None:
    times, stats = lk.read("candles")["open_time"].dt.timestamp("us"), lk.candles.stats()
    assert (stats["candles"], stats["first"], stats["last"]) == (len(times), times.min(), times.max())


def _add_file(
    lk: lake.Lake, shaped: Callable[[pa.Table], pa.Table], options: Mapping[str, Any], *, alone: bool
) -> None:
    """Add a file as other engines may: the log tells nothing of its rows; ``alone``, in place of what is there."""
    table = lk.store.table("candles")
    state = table.state()
    (own,) = state.files.values()
    folder = Path(lk.uri("candles"))
    rows = pq.read_table(folder / own.path, partitioning=None)[:100]
    minute = pa.scalar(60_000_000, pa.int64())
    later = pc.add(rows["open_time"].cast(pa.int64()), pc.multiply(minute, 6000)).cast(rows["open_time"].type)
    rows = rows.set_column(rows.column_names.index("open_time"), "open_time", later)
    rows = rows.set_column(rows.column_names.index("close"), "close", pa.array([9.0] * len(rows)))
    name = f"{own.path.rpartition('/')[0]}/part-00000-theirs.snappy.parquet"
    pq.write_table(shaped(rows), folder / name, **options)
    add = DataFile(name, (folder / name).stat().st_size, own.partition, own.modified, None).add_action(data_change=True)
    actions = [add, *([own.remove_action(own.modified, data_change=True)] if alone else [])]
    entry = folder / "_delta_log" / f"{state.version + 1:020d}.json"
    entry.write_text("\n".join(json.dumps(action) for action in actions) + "\n")
