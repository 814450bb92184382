from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import lake
from lake.errors import SourceError
from tests.importers.contract import differences, imported, notes, rows
from tests.importers.signal_bots import ended, journal, journal_trade

TRADE = {
    "id": 1, "symbol": "BTCUSDT", "timeframe": "4h", "type": "BUY", "confidence": 65, "entry_price": 50000,
    "timestamp": "2025-11-24T09:29:32.737260", "tp_price": 51500.0, "sl_price": 49000.0, "status": "COMPLETED",
    "result": "WIN", "exit_price": 51250.0, "profit_pct": 2.5, "exit_timestamp": "2025-11-24T21:29:32.737260",
}  # fmt: skip
ACTIVE = {
    **TRADE, "id": 21, "timeframe": "1h", "timestamp": "2025-11-24T08:29:32.737442", "status": "ACTIVE",
    "result": None, "exit_price": None, "profit_pct": None, "exit_timestamp": None,
}  # fmt: skip
SIGNAL = {
    "symbol": "XRPUSDT", "timeframe": "2h", "type": "SELL", "confidence": 82.25, "entry_price": 2.25,
    "timestamp": "2025-11-24T10:44:05.998825", "tp_price": 2.0, "sl_price": 2.5,
}  # fmt: skip


def stats(path: Path, signals: list[Any], **totals: Any) -> Path:
    path.write_text(json.dumps({**totals, "signals": signals}))
    return path


def test_every_entry_is_a_signal_and_those_that_were_followed_are_trades_too(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "bot-stats", stats(tmp_path / "bot_stats.json", [TRADE, ACTIVE, SIGNAL]))
        assert [(t.dataset, t.found, t.landed) for t in report.tables[:2]] == [("signals", 3, 3), ("trades", 2, 2)]
        assert rows(lk, "signals", "symbol", "direction", "confidence", "tp1", "trade_id IS NOT NULL") == [
            ("BTCUSDT", "LONG", 0.65, 51500.0, True),
            ("BTCUSDT", "LONG", 0.65, 51500.0, True),
            ("XRPUSDT", "SHORT", 0.8225, 2.0, False),
        ]
        assert rows(lk, "trades", "status", "exit_price", "pnl_percent", "json_extract_string(extra, 'outcome')") == [
            ("closed", 51250.0, 2.5, "win"),
            ("open", None, None, None),
        ]
        assert lk.frame("SELECT 1 FROM signals JOIN trades USING (trade_id)").height == 2
        assert next((s.column, s.found) for s in report.tables[1].sums) == ("trades.pnl_percent", 2.5)


def test_entry_and_result_are_read_under_their_short_names_too(tmp_path: Path) -> None:
    short = {
        "symbol": "XRPUSDT", "timeframe": "1d", "direction": "SHORT", "entry": 1.5, "status": "closed", "pct": 2.5,
        "opened_at": "2026-05-19T12:45:41.431744", "closed_at": "2026-05-20T08:00:00", "result": "tp",
    }  # fmt: skip
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "bot-stats", stats(tmp_path / "bot_stats.json", [short]))
        assert rows(lk, "signals", "direction", "entry_price") == [("SHORT", 1.5)]
        assert rows(lk, "trades", "side", "status", "entry_price", "pnl_percent", "exit_reason") == [
            ("SHORT", "closed", 1.5, 2.5, "tp")
        ]


def test_totals_that_are_not_those_of_the_list_are_told(tmp_path: Path) -> None:
    by_symbol = {"BTCUSDT": {"count": 16, "BUY": 8}, "XRPUSDT": {"count": 1}, "ADAUSDT": {"count": 2}}
    file = stats(
        tmp_path / "s.json", [TRADE, SIGNAL], total_signals=21, by_symbol=by_symbol, by_timeframe={"2h": {"count": 1}}
    )
    with lake.open(tmp_path / "lake") as lk:
        told = notes(imported(lk, "bot-stats", file))
    assert "its total says 21 signals, and it lists 2" in told
    assert "its by_symbol tell otherwise than its rows: 16 of BTCUSDT, and there are 1; 2 of ADAUSDT" in told
    assert "by_timeframe" not in told


def test_totals_behind_the_list_and_under_statistics_are_compared_as_well(tmp_path: Path) -> None:
    statistics = {"total_signals": 156, "wins": 98, "win_rate": 62.82}
    file = tmp_path / "s.json"
    file.write_text(json.dumps({"signals": [SIGNAL], "statistics": statistics, "by_symbol": {"XRPUSDT": {"total": 3}}}))
    with lake.open(tmp_path / "lake") as lk:
        told = notes(imported(lk, "bot-stats", file))
    assert "its total says 156 signals, and it lists 1" in told
    assert "3 of XRPUSDT, and there are 1" in told


def test_a_file_of_totals_alone_gives_these_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    file.write_text(json.dumps({"total_signals": 17, "by_symbol": {"BTCUSDT": {"count": 14}}}))
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "bot-stats", file)
        assert [(t.table, t.found, t.landed) for t in report.tables] == [
            ("signals", 0, 0), ("signals", 0, 0), ("totals", 2, 2),
        ]  # fmt: skip
        assert "its total says 17 signals, and it lists 0" in notes(report)


def test_statistics_and_journal_tell_of_one_trade(tmp_path: Path) -> None:
    at, then = "2025-11-25T06:59:56.360429", "2025-11-25T15:03:07"
    told = journal(tmp_path / "j.json", [journal_trade(1, at, **ended("WIN", 3.0, then))])
    entry = {
        **TRADE, "symbol": "XRPUSDT", "entry_price": 2.25, "tp_price": 2.5, "sl_price": 2.0, "profit_pct": 3.5,
        "timestamp": "2025-11-25T06:59:56.812345", "exit_timestamp": then,
    }  # fmt: skip
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "journal", told)
        report = imported(lk, "bot-stats", stats(tmp_path / "s.json", [entry]))
        assert ("pnl_percent", 3.0, 3.5) in differences(report)
        assert rows(lk, "trades", "pnl_percent", "exit_price") == [(3.0, 51250.0)]


@pytest.mark.parametrize("first", ["journal", "bot-stats"])
def test_a_trade_that_journal_and_statistics_wrote_down_seconds_apart_is_one(tmp_path: Path, first: str) -> None:
    then = "2025-11-25T15:03:07"
    told = journal(tmp_path / "j.json", [journal_trade(1, "2025-11-25T06:59:56.360429", **ended("WIN", 3.0, then))])
    entry = {
        **TRADE, "symbol": "XRPUSDT", "entry_price": 2.25, "tp_price": 2.5, "sl_price": 2.0, "profit_pct": 3.0,
        "timestamp": "2025-11-25T07:00:01.812345", "exit_timestamp": then,
    }  # fmt: skip
    sources = {"journal": told, "bot-stats": stats(tmp_path / "s.json", [SIGNAL, entry])}
    with lake.open(tmp_path / "lake") as lk:
        for kind in (first, *(sources.keys() - {first})):
            imported(lk, kind, sources[kind])
        assert rows(lk, "trades", "pnl_percent", "exit_price") == [(3.0, 51250.0)]
        assert lk.frame("SELECT 1 FROM signals JOIN trades USING (trade_id)").height == 1


def test_a_signal_that_names_no_side_lands_without_one(tmp_path: Path) -> None:
    sideless = {name: value for name, value in SIGNAL.items() if name != "type"}
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "bot-stats", stats(tmp_path / "s.json", [SIGNAL, sideless]))
        assert rows(lk, "signals", "direction", "dedupe_key IS NULL") == [("SHORT", False), (None, True)]


def test_a_file_of_another_kind_is_one_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    file.write_text(json.dumps({"trades": []}))
    with lake.open(tmp_path / "lake") as lk, pytest.raises(SourceError, match="neither signals nor totals"):
        imported(lk, "bot-stats", file)
