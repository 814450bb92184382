"""trade_history.json as bots of several makers write it: one story, whatever its columns are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import lake
from tests.importers.contract import imported, rows

OPENED, CLOSED = "2025-11-26T22:18:22.978652", "2025-11-26T22:22:15.695107"
WAYS: dict[str, dict[str, Any]] = {
    "as the seed has it": {
        "symbol": "SOL", "side": "short", "entry_price": 143.5, "exit_price": 143.25, "quantity": 1.5, "pnl_usd": 0.375,
        "pnl_percent": 1.74, "entry_time": OPENED, "exit_time": CLOSED, "exit_reason": "tp", "strategy_name": "s",
    },
    "with a direction and reasons of closing": {
        "symbol": "SOL", "direction": "short", "entry_price": 143.5, "exit_price": 143.25, "quantity": 1.5,
        "pnl": 0.375, "pnl_pct": 1.74, "entry_time": OPENED, "exit_time": CLOSED, "close_reason": "tp", "strategy": "s",
    },
    "as JavaScript has it": {
        "id": "POS-1", "symbol": "SOL", "side": "SHORT", "entryPrice": 143.5, "exitPrice": 143.25, "quantity": 1.5,
        "realizedPnL": 0.375, "roiPercent": 1.74, "openTime": f"{OPENED}Z", "closeTime": f"{CLOSED}Z",
        "closeReason": "tp", "opened_at": 1764195502978, "strategyName": "s",
    },
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_trade_is_the_same_however_its_columns_are_called(way: str, tmp_path: Path) -> None:
    columns = ("side", "entry_price", "exit_price", "quantity", "pnl", "pnl_percent", "exit_reason", "strategy")
    (tmp_path / "trade_history.json").write_text(json.dumps([WAYS[way]]))
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "trades-json", tmp_path / "trade_history.json", quote="USDT")
        assert [(s.column, s.found, s.in_lake) for s in report.tables[0].sums] == [
            ("trades.pnl", 0.375, 0.375), ("trades.quantity", 1.5, 1.5),
        ]  # fmt: skip
        assert rows(lk, "trades", *columns) == [("SHORT", 143.5, 143.25, 1.5, 0.375, 1.74, "tp", "s")]
        times = rows(lk, "trades", "opened_at", "closed_at")
        assert [at.isoformat() for at in times[0]] == [f"{OPENED}+00:00", f"{CLOSED}+00:00"]


def test_trades_of_two_spellings_of_the_columns_are_one(tmp_path: Path) -> None:
    for number, row in enumerate(WAYS.values()):
        (tmp_path / f"{number}.json").write_text(json.dumps([row]))
    with lake.open(tmp_path / "lake") as lk:
        for number in range(len(WAYS)):
            imported(lk, "trades-json", tmp_path / f"{number}.json", quote="USDT")
        assert len(rows(lk, "trades", "trade_id")) == 1


def test_a_column_that_a_row_tells_twice_is_told(tmp_path: Path) -> None:
    written = json.dumps([WAYS["as the seed has it"]])
    (tmp_path / "trade_history.json").write_text(written.replace('"side": "short"', '"side": "long", "side": "short"'))
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "trades-json", tmp_path / "trade_history.json", quote="USDT")
        assert rows(lk, "trades", "side") == ["SHORT"]
        assert '"repeated:side":["long"]' in rows(lk, "trades", "extra")[0]
        told = "of several values under one name the last counts, and the others are kept beside: side (1)"
        assert report.tables[0].notes == (told,)


def test_a_trade_that_goes_on_waits_for_its_end(tmp_path: Path) -> None:
    path, ended = tmp_path / "trade_history.json", WAYS["as the seed has it"]
    going_on = {**ended, "exit_price": None, "exit_time": None, "exit_reason": None, "pnl_usd": 0.0, "pnl_percent": 0}
    with lake.open(tmp_path / "lake") as lk:
        path.write_text(json.dumps([going_on]))
        report = imported(lk, "trades-json", path, quote="USDT")
        assert "no exit and no result: it is not over yet" in report.text()
        path.write_text(json.dumps([ended]))
        imported(lk, "trades-json", path, quote="USDT")
        assert rows(lk, "trades", "status", "exit_price") == [("closed", 143.25)]


def test_infinities_are_kept_as_they_are_written(tmp_path: Path) -> None:
    row = {
        **WAYS["as the seed has it"],
        "score": float("-inf"),
        "context": {"ratio": float("inf"), "none": float("nan")},
    }
    (tmp_path / "trade_history.json").write_text(json.dumps([row]))
    with lake.open(tmp_path / "lake") as lk:
        assert imported(lk, "trades-json", tmp_path / "trade_history.json", quote="USDT").tables[0].balanced
        kept = json.loads(rows(lk, "trades", "extra")[0])["imported"]["trades-json:trades"]
        assert (kept["score"], kept["context"]) == ("-Infinity", {"ratio": "Infinity", "none": None})
