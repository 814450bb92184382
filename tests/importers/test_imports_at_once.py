"""Imports of one store that run at once, in processes and threads, tell together what one of them would have told."""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import lake
import lake.importers.run as running
from lake.importers.base import Options
from lake.importers.report import ImportReport
from lake.importers.run import import_from
from tests.helpers import finished, spawned
from tests.importers.contract import quarantined, rows

COUNTS = ("found", "landed", "unchanged", "refused", "changed")
T0 = 1_704_067_200_000
CANDLES = """create table candles (id integer primary key, symbol varchar(20) not null, timestamp bigint not null,
  open float, high float, low float, close float, volume float, unique (symbol, timestamp))"""


def trades(path: Path, count: int, **more: Any) -> Path:
    """A trade_history.json: of every 50 trades one is told twice, and one has no known side."""
    told = [
        {
            "symbol": "BTCUSDT", "side": "sideways" if n % 50 == 7 else "long", "entry_price": 100.0,
            "exit_price": 101.0, "quantity": 0.25, "entry_time": 1_700_000_000 + 60 * n,
            "exit_time": 1_700_000_030 + 60 * n, "pnl_usd": 0.25 + n % 3, "pnl_percent": 1.0, "exit_reason": "tp",
            **more,
        }
        for n in range(count)
    ]  # fmt: skip
    path.write_text(json.dumps([*told, *told[1::50]]))
    return path


def candles(path: Path, count: int) -> Path:
    """A candles.db of two symbols, in which one candle in a hundred is none: its high is below its low."""
    bars = (
        (symbol, T0 + n * 900_000, 1.5, 0.5 if n % 100 == 7 else 2.5, 0.75, 1.5, float(n))
        for symbol in ("BTCUSDT", "ETHUSDT")
        for n in range(count // 2)
    )
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(CANDLES)
        columns = "(symbol, timestamp, open, high, low, close, volume)"
        connection.executemany(f"insert into candles {columns} values (?, ?, ?, ?, ?, ?, ?)", bars)
        connection.commit()
    return path


def counts(report: ImportReport) -> dict[str, int]:
    assert report.balanced, report.text()
    return {name: report.totals[name] for name in COUNTS}


def _import(lake_path: str, kind: str, source: str, batch: int, out: str, start: Any) -> None:
    running.BATCH_ROWS = batch
    with lake.open(lake_path) as lk:
        start.wait(120)
        Path(out).write_text(json.dumps(counts(import_from(lk, kind, source, Options(bot_id="b1")))))


def at_once(folder: Path, kind: str, sources: Iterable[Path], batch: int) -> Counter[str]:
    """The sum over the reports of processes that import those sources at once; each of them balances."""
    sources = list(sources)
    start = multiprocessing.get_context("spawn").Barrier(len(sources))
    outs = [folder / f"report-{n}.json" for n in range(len(sources))]
    where = str(folder / "lake")
    finished(*(spawned(_import, where, kind, str(s), batch, str(o), start) for s, o in zip(sources, outs, strict=True)))
    return sum((Counter(json.loads(out.read_text())) for out in outs), Counter())


@pytest.mark.parametrize(("kind", "count", "batch"), [
    ("trades-json", 1_000, 50),  # small batches go through hot
    ("trades-json", 6_000, 10_000),  # large ones straight to cold
    ("candles-sqlite", 2_000, 10_000),
    ("candles-sqlite", 40_000, 10_000),
])  # fmt: skip
@pytest.mark.parametrize("processes", [2, 3])
def test_of_imports_at_once_one_lands_each_row_and_the_others_leave_it(
    tmp_path: Path, kind: str, count: int, batch: int, processes: int
) -> None:
    make = trades if kind == "trades-json" else candles
    source = make(tmp_path / "source", count)
    with lake.open(tmp_path / "alone") as lk:
        once = counts(import_from(lk, kind, str(source), Options(bot_id="b1")))
        told = sorted(quarantined(lk), key=repr)
    total = at_once(tmp_path, kind, [source] * processes, batch)
    with lake.open(tmp_path / "lake") as lk:
        assert len(rows(lk, "trades" if make is trades else "candles", "symbol")) == once["landed"]
        assert sorted(quarantined(lk), key=repr) == told  # once
        assert lk.verify().findings == ()
    others = processes - 1
    assert total == Counter(
        found=processes * once["found"], landed=once["landed"], refused=processes * once["refused"],
        unchanged=processes * once["unchanged"] + others * once["landed"],
    )  # fmt: skip


def test_threads_of_one_process_take_turns_as_processes_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "BATCH_ROWS", 50)
    source = trades(tmp_path / "source", 500)
    with lake.open(tmp_path / "lake") as lk, ThreadPoolExecutor(3) as threads:
        reports = list(threads.map(lambda _: counts(import_from(lk, "trades-json", str(source))), range(3)))
        total = sum(map(Counter, reports), Counter())
        assert total["landed"] == len(rows(lk, "trades", "trade_id")) == 490
    assert total["found"] == total["landed"] + total["unchanged"] + total["refused"] == 3 * 510
