from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

import lake
from lake.errors import SourceError
from tests.importers.contract import differences, imported, notes, quarantined, rows
from tests.importers.signal_bots import FOUND, SEED, SEED_POSITION, SIGNAL, closed_position, open_position, positions

AT, THEN = "2026-01-17 14:30:15", "2026-01-17 18:45:30"
ALERT = {
    "position_id": 1, "checkpoint_level": "50%", "triggered_at": "2026-01-17 15:00:00", "trigger_price": 2.375,
    "original_confidence": 72.5, "current_confidence": 68.0, "confidence_delta": -4.5, "recommendation": "HOLD",
    "reasoning": "intact", "warnings": "[]",
}  # fmt: skip


def test_positions_their_alerts_and_their_ends_become_what_they_are_here(tmp_path: Path) -> None:
    there = {
        "open_positions": [
            open_position(1, AT, status="CLOSED", checkpoint_25_triggered=1, checkpoint_50_triggered=1, tp3_price=3.0),
            open_position(2, "2026-01-18 10:00:00", status="PARTIAL", current_size=0.5, signal_type="SELL"),
        ],
        "checkpoint_alerts": [ALERT, {**ALERT, "checkpoint_level": "85%", "current_confidence": 0}],
        "position_history": [closed_position(1, AT, THEN)],
    }
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "positions-sqlite", positions(tmp_path / "positions.db", FOUND, there))
        assert [(t.table, t.dataset, t.landed) for t in report.tables] == [
            ("open_positions", "positions", 2),
            ("position_history", "trades", 1),
            ("position_history", "positions", 0),  # which the bot still has
            ("checkpoint_alerts", "checkpoint_alerts", 2),
        ]
        columns = (
            "opened_at",
            "side",
            "status",
            "confidence",
            "tp3",
            "checkpoint_25",
            "checkpoint_50",
            "checkpoint_75",
        )
        assert rows(lk, "positions", *columns) == [
            (datetime(2026, 1, 17, 14, 30, 15, tzinfo=UTC), "LONG", "closed", 0.725, 3.0, True, True, False),
            (datetime(2026, 1, 18, 10, tzinfo=UTC), "SHORT", "open", 0.725, None, False, False, False),
        ]
        assert rows(lk, "trades", "status", "pnl", "pnl_percent", "exit_reason", "take_profit", "closed_at") == [
            ("closed", 25.5, 11.11, "tp1", 2.5, datetime(2026, 1, 17, 18, 45, 30, tzinfo=UTC))
        ]
        alerts = rows(lk, "checkpoint_alerts", "level", "price", "recommendation", "confidence")
        assert alerts == [(50.0, 2.375, "HOLD", 0.68), (85.0, 2.375, "HOLD", 0.0)]
        joined = "SELECT 1 FROM checkpoint_alerts JOIN positions USING (position_id) JOIN trades USING (trade_id)"
        assert lk.frame(joined).height == 2
        extra = [json.loads(text) for text in rows(lk, "positions", "extra")]
        assert {one["share_left"] for one in extra} == {1.0, 0.5}


def test_positions_bound_by_the_id_of_a_signal_keep_it(tmp_path: Path) -> None:
    alert = {"id": 1, "signal_id": SIGNAL, "checkpoint_price": 101500.0, "recommendation": "MOVE_SL"}
    there = {
        "positions": [SEED_POSITION],
        "checkpoint_alerts": [
            {**alert, "checkpoint_level": 25.0, "confidence_at_checkpoint": 70.5, "timestamp": 1769184000},
            {**alert, "id": 2, "checkpoint_level": 0.5, "confidence_at_checkpoint": 65.0, "timestamp": 1769187600},
        ],
    }
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "positions-sqlite", positions(tmp_path / "positions.db", SEED, there))
        assert rows(lk, "positions", "position_id", "signal_id", "trade_id", "status", "tp1", "opened_at") == [
            (SIGNAL, SIGNAL, SIGNAL, "active", 106000.0, datetime(2026, 1, 23, 15, 0, 2, tzinfo=UTC))
        ]
        assert rows(lk, "checkpoint_alerts", "position_id", "level", "confidence") == [
            (SIGNAL, 25.0, 0.705),
            (SIGNAL, 50.0, 0.65),
        ]


def test_alerts_of_positions_that_are_gone_are_taken_and_told(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        file = positions(tmp_path / "positions.db", FOUND, {"checkpoint_alerts": [ALERT]})
        report = imported(lk, "positions-sqlite", file, bot_id="ict")
        assert "1 alert belongs to a position that is no longer there" in notes(report)
        assert rows(lk, "checkpoint_alerts", "position_id") == ["ict:position 1"]


def test_alerts_of_a_position_that_only_the_history_has_kept_are_those_of_before(tmp_path: Path) -> None:
    there = {
        "open_positions": [open_position(7, AT, entry_price=2.125), open_position(1, AT, status="CLOSED")],
        "checkpoint_alerts": [ALERT, {**ALERT, "checkpoint_level": "75%", "triggered_at": "2026-01-17 16:00:00"}],
        "position_history": [closed_position(1, AT, THEN)],
    }
    file = positions(tmp_path / "positions.db", FOUND, there)
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "positions-sqlite", file)
        before = rows(lk, "checkpoint_alerts", "alert_id", "position_id")
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("DELETE FROM open_positions WHERE id = 1")
            end = closed_position(1, "2026-02-01 10:00:00", "2026-02-02 10:00:00")  # its number was given again
            marks = ", ".join("?" * len(end))
            connection.execute(f"INSERT INTO position_history ({', '.join(end)}) VALUES ({marks})", [*end.values()])
            connection.commit()
        report = imported(lk, "positions-sqlite", file)
        assert rows(lk, "checkpoint_alerts", "alert_id", "position_id") == before
        assert [t.landed for t in report.tables if t.table == "checkpoint_alerts"] == [0]
        assert "no longer there" not in notes(report)
        assert lk.frame("SELECT 1 FROM checkpoint_alerts JOIN positions USING (position_id)").height == 2


def test_a_position_that_moves_on_is_brought_up_to_date(tmp_path: Path) -> None:
    file = positions(tmp_path / "positions.db", FOUND, {"open_positions": [open_position(1, AT)]})
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "positions-sqlite", file)
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("UPDATE open_positions SET checkpoint_25_triggered = 1, status = 'PARTIAL'")
            connection.commit()
        report = imported(lk, "positions-sqlite", file)
        assert report.totals["changed"] == 1
        assert rows(lk, "positions", "checkpoint_25", "status") == [(True, "open")]


def test_a_position_that_was_checked_again_before_it_closed_is_closed(tmp_path: Path) -> None:
    file = positions(tmp_path / "positions.db", FOUND, {"open_positions": [open_position(1, AT)]})
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "positions-sqlite", file)
        end = closed_position(1, AT, THEN)
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("UPDATE open_positions SET last_checked_at = ?", [THEN])
            marks = ", ".join("?" * len(end))
            connection.execute(f"INSERT INTO position_history ({', '.join(end)}) VALUES ({marks})", [*end.values()])
            connection.commit()
        report = imported(lk, "positions-sqlite", file)
        assert rows(lk, "positions", "status") == ["closed"]
        assert differences(report) == []


def test_a_position_that_the_bot_moved_to_its_history_is_closed(tmp_path: Path) -> None:
    file = positions(tmp_path / "positions.db", FOUND, {"open_positions": [open_position(1, AT, tp3_price=3.0)]})
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "positions-sqlite", file)
        parts = [closed_position(1, AT, "2026-01-17 16:00:00", outcome="PARTIAL"), closed_position(1, AT, THEN)]
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("DELETE FROM open_positions")
            for part in parts:
                marks = ", ".join("?" * len(part))
                connection.execute(
                    f"INSERT INTO position_history ({', '.join(part)}) VALUES ({marks})", [*part.values()]
                )
            connection.commit()
        report = imported(lk, "positions-sqlite", file)
        assert differences(report) == []
        assert rows(lk, "positions", "status", "tp3", "synced_at") == [
            ("closed", 3.0, datetime(2026, 1, 17, 18, 45, 30, tzinfo=UTC))
        ]
        assert lk.frame("SELECT 1 FROM positions JOIN trades USING (trade_id)").height >= 1
        assert imported(lk, "positions-sqlite", file).totals["changed"] == 0


def test_what_only_the_write_ahead_log_holds_is_read_without_touching_it(tmp_path: Path) -> None:
    file = positions(tmp_path / "positions.db", FOUND, {})
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        row = open_position(1, AT)
        connection.execute(
            f"INSERT INTO open_positions ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", [*row.values()]
        )
        connection.commit()
        with lake.open(tmp_path / "lake") as lk:
            assert imported(lk, "positions-sqlite", file).totals["landed"] == 1


def test_a_position_that_the_history_has_closed_is_closed(tmp_path: Path) -> None:
    later = "2026-01-20 10:00:00"
    there = {
        "open_positions": [
            open_position(1, AT, last_checked_at=AT),
            open_position(2, later),  # the history tells of another that had its number before
            open_position(3, AT, symbol="BTCUSDT", status="PARTIAL"),
        ],
        "position_history": [
            closed_position(1, AT, THEN),
            closed_position(2, "2026-01-01 10:00:00", THEN),
            closed_position(3, AT, THEN, symbol="BTCUSDT", outcome="PARTIAL"),
        ],
    }
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "positions-sqlite", positions(tmp_path / "positions.db", FOUND, there))
        assert "1 position that is said to be held is taken as closed" in notes(report)
        closed = datetime(2026, 1, 17, 18, 45, 30, tzinfo=UTC)
        assert rows(lk, "positions", "symbol", "status", "synced_at") == [
            ("BTCUSDT", "open", None), ("XRPUSDT", "closed", closed), ("XRPUSDT", "closed", closed),
            ("XRPUSDT", "open", None),
        ]  # fmt: skip


def test_percent_is_understood_however_it_is_spelled(tmp_path: Path) -> None:
    schema = FOUND.replace("profit_loss_percent", "profit_loss_pct")
    trade = closed_position(1, AT, THEN)
    trade["profit_loss_pct"] = trade.pop("profit_loss_percent")
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "positions-sqlite", positions(tmp_path / "p.db", schema, {"position_history": [trade]}))
        assert rows(lk, "trades", "pnl_percent") == [11.11]
        assert [(s.column, s.in_lake) for t in report.tables for s in t.sums if "percent" in s.column] == [
            ("trades.pnl_percent", 11.11)
        ]


def test_rows_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    there = {
        "open_positions": [open_position(1, AT, status="LOST"), open_position(2, "soon"), open_position(3, AT)],
        "checkpoint_alerts": [{**ALERT, "recommendation": "PRAY"}, {**ALERT, "checkpoint_level": "120%"}],
    }
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "positions-sqlite", positions(tmp_path / "positions.db", FOUND, there))
        assert (report.totals["landed"], report.totals["refused"]) == (1, 4)
        assert {dataset for dataset, _, _ in quarantined(lk)} == {"positions", "checkpoint_alerts"}


def test_a_database_of_something_else_is_one_clear_error(tmp_path: Path) -> None:
    file = positions(tmp_path / "other.db", "CREATE TABLE candles (symbol TEXT)", {})
    with lake.open(tmp_path / "lake") as lk, pytest.raises(SourceError, match="none of the tables of positions-sqlite"):
        imported(lk, "positions-sqlite", file)
