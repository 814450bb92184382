"""The ingest against the real lake: the same rows as a perfect store, and no row lost or doubled by a kill."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import lake
from lake.sources.base import KEYS, SCHEMAS, Options
from lake.sources.ingest import ingest
from lake.store.backup import backup
from tests.sources.made import START, csv_text, kline_rows, written
from tests.sources.recorder import RecordingLake

PROGRAM = """
import sys
import lake
from lake.sources import csvs, landing
from lake.sources import ingest as ingesting
from lake.sources.ingest import ingest

landing.GATHER_ROWS = ingesting.GATHER_ROWS = 6_000
csvs.BATCH_ROWS = 3_000
with lake.open(sys.argv[1]) as lk:
    print("open", flush=True)
    ingest(lk, sys.argv[2], workers=2)
"""


def _all(lk: lake.Lake, dataset: str) -> pl.DataFrame:
    held = lk.sql(f"select {', '.join(SCHEMAS[dataset])} from {dataset}").pl()
    return held.select(pl.col(name).cast(kind) for name, kind in SCHEMAS[dataset].items()).sort(KEYS[dataset])


def test_the_real_files_land_as_in_a_perfect_store(shared_data: Path, tmp_path: Path) -> None:
    folders = [shared_data / "ohlcv", shared_data / "trades"]
    model = RecordingLake(tmp_path / "model")
    expected = ingest(model, folders)
    with lake.open(str(tmp_path / "lake")) as lk:
        report = ingest(lk, folders)
        assert report.as_dict() == expected.as_dict()
        for dataset in KEYS:
            assert _all(lk, dataset).equals(model.rows[dataset].sort(KEYS[dataset]))
        assert sum(1 for _ in lk.writer.quarantine.read()) == report.totals["quarantined"]
    with lake.open(str(tmp_path / "lake")) as lk:
        assert ingest(lk, folders).totals["already there"] == report.totals["done"]


def test_small_files_go_through_hot_and_count_the_same(tmp_path: Path) -> None:
    written(tmp_path / "in", "BTCUSDT-1m-2024-01-01.csv", csv_text(kline_rows(10)))
    written(tmp_path / "in", "BTCUSDT-1m-2024-01-02.csv", csv_text(kline_rows(10, start=START + 5 * 60_000)))
    with lake.open(str(tmp_path / "lake")) as lk:
        report = ingest(lk, tmp_path / "in")
        assert (report.totals["landed"], report.totals["updated"], report.balanced) == (15, 5, True)
        again = ingest(lk, tmp_path / "in", Options(time_unit="ms"))
        assert (again.totals["landed"], again.balanced) == (0, True)
        assert _all(lk, "candles").height == 15


def test_days_of_trades_read_one_after_the_other_make_the_candles_of_one_run(tmp_path: Path) -> None:
    paths = []
    for day in range(4):
        numbers = range(day * 100, day * 100 + 100)
        rows: list[list[object]] = [[n, 100 + n % 7, 1, 100, START + n * 7_000, "true", "true"] for n in numbers]
        paths.append(written(tmp_path / "in", f"BTCUSDT-trades-2024-01-0{day + 1}.csv", csv_text(rows)))
    with lake.open(str(tmp_path / "whole")) as whole, lake.open(str(tmp_path / "parts")) as parts:
        ingest(whole, paths)
        for path in (paths[3], paths[0], paths[2], paths[1]):
            assert ingest(parts, path).balanced
        assert _all(parts, "candles").equals(_all(whole, "candles"))
    kept = [pl.read_parquet(path).height for path in (tmp_path / "parts" / "_ingest_trades").rglob("*.parquet")]
    assert sum(kept) < 20


@pytest.mark.parametrize("kind", ["candles", "trades"])
def test_an_ingest_of_files_whose_rows_retention_removed_says_so_and_lands_them_when_asked(
    tmp_path: Path, kind: str
) -> None:
    trades: list[list[object]] = [[n, 100, 1, 100, START + n * 9_000, "true", "true"] for n in range(100)]
    texts = {"BTCUSDT-1m-2023-11.csv": csv_text(kline_rows(15)), "BTCUSDT-trades-2023-11.csv": csv_text(trades)}
    name = next(name for name in texts if (kind == "trades") == (kind in name))
    path = written(tmp_path / "in", name, texts[name])
    with lake.open(str(tmp_path / "lake")) as lk:
        ingest(lk, path)
        assert ingest(lk, path).removed == ()
        assert lk.retain({"candles": 30})["candles"].rows_removed == 15
        lk.retain({"candles": 300})
        before = (datetime.now(UTC) - timedelta(days=30)).strftime("%Y-%m-%d")
        report = ingest(lk, path)
        assert (report.totals["already there"], report.totals["landed"]) == (1, 0)
        assert re.search(rf"candles before {before} ..:.. UTC were removed by retention at .*--again", report.text())
        again = ingest(lk, path, Options(again=True))
        assert (again.files[0].status, again.removed, again.balanced) == ("done", (), True)
        assert _all(lk, "candles").height == 15
        assert ingest(lk, path).totals["already there"] == 1
        backup(lk.store, tmp_path / "copy")
    with lake.open(str(tmp_path / "copy")) as copy:
        assert len(ingest(copy, path).removed) == 1


def test_rows_that_the_lake_refuses_after_all_are_told_with_its_reason(tmp_path: Path) -> None:
    rows: list[list[object]] = [[n, "1e200", "1e200", "", START + n, "true", "true"] for n in range(2)]
    path = written(tmp_path, "BTCUSDT-trades-2024-01-01.csv", csv_text(rows))
    with lake.open(str(tmp_path / "lake")) as lk:
        (file,) = ingest(lk, path).files
        assert (file.rows_in, file.quarantined, file.balanced) == (2, 2, True)
        assert sum(file.reasons.values()) == 2
        assert "quote_volume" in next(iter(file.reasons))


def test_a_killed_ingest_loses_and_doubles_nothing_once_it_is_run_again(tmp_path: Path) -> None:
    rng = random.Random(3)
    folder, address = tmp_path / "in", str(tmp_path / "lake")
    for number in range(12):
        count = 30_000 if number == 0 else 4_000  # the first lands in several steps
        written(folder, f"SYM{number}USDT-1m-2024-01.csv", csv_text(kline_rows(count)))
    for _ in range(4):
        child = subprocess.Popen([sys.executable, "-c", PROGRAM, address, str(folder)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"open\n"
        time.sleep(rng.uniform(0.02, 0.5))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    with lake.open(address) as lk:
        report = ingest(lk, folder)
        assert report.balanced
        assert report.failed == ()
        held = _all(lk, "candles")
        assert held.height == held.select(KEYS["candles"]).n_unique() == 74_000
        assert held["symbol"].n_unique() == 12


def test_a_folder_that_holds_the_lake_is_ingested_without_it(tmp_path: Path) -> None:
    written(tmp_path, "BTCUSDT-1m-2024-01.csv", csv_text(kline_rows(10)))
    with lake.open(tmp_path / "data" / "lake") as lk:
        assert ingest(lk, tmp_path).totals["landed"] == 10
        lk.drain()
        report = ingest(lk, tmp_path)
        assert [Path(file.path).name for file in report.files] == ["BTCUSDT-1m-2024-01.csv"]
