from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import lake
from lake.errors import SourceError
from lake.importers.run import import_from
from tests.importers.contract import differences, imported, notes, quarantined, rows
from tests.importers.signal_bots import ended, journal, journal_trade

EARLY = {
    "date": "2025-11-25", "timestamp": "2025-11-25T09:14:38.222797", "total_signals": 0, "completed_trades": 0,
    "wins": 0, "losses": 0, "win_rate": 0, "avg_confidence": 76.5, "best_trade": None, "worst_trade": None,
}  # fmt: skip
FULL = {
    "date": "2025-11-25", "timestamp": "2025-11-25T20:00:00.1+02:00", "total_signals": 0, "active_signals": 1,
    "completed_signals": 3, "wins": 2, "losses": 1, "breakeven": 0, "accuracy": 66.7, "win_rate": 66.7,
    "total_profit": 3.75, "best_trade": {"id": 1, "profit_pct": 3.25}, "worst_trade": None,
}  # fmt: skip
EMPTY = {"date": "2025-11-26", "timestamp": "2025-11-26T20:00:00+02:00", "total_signals": 0, "message": "Няма сигнали"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A lake with one day of a journal: two winners of 3.25 and 2 percent, a loser of 1.5, and one that is open."""
    results = [("WIN", 3.25), ("WIN", 2.0), ("LOSS", -1.5)]
    at = [f"2025-11-25T0{hour}:00:00" for hour in range(4)]
    trades = [journal_trade(n, at[n], **ended(*result, "2025-11-25T15:00:00")) for n, result in enumerate(results)]
    with lake.open(tmp_path / "lake") as lk:
        import_from(lk, "journal", str(journal(tmp_path / "j.json", [*trades, journal_trade(9, at[3])])))
    return tmp_path


def told(path: Path, reports: Any, **options: Any) -> list[tuple[str, Any, Any]]:
    file = path / "daily_reports.json"
    file.write_text(json.dumps(reports))
    with lake.open(path / "lake") as lk:
        before = rows(lk, "trades", "trade_id")
        found = differences(imported(lk, "daily-reports", file, **options))
        assert rows(lk, "trades", "trade_id") == before
    return found


def test_reports_that_agree_with_the_lake_differ_in_nothing_and_nothing_is_written(path: Path) -> None:
    assert told(path, {"reports": [EARLY, FULL, EMPTY]}) == []


def test_the_newest_report_of_a_day_counts_whatever_its_place(path: Path) -> None:
    assert told(path, {"reports": [FULL, EARLY]}) == []
    assert ("wins", 2.0, 0) in told(path, {"reports": [EARLY]})


def test_what_a_report_says_otherwise_is_told(path: Path) -> None:
    wrong = {**FULL, "wins": 3, "accuracy": 100.0, "win_rate": 75.0, "total_profit": 9.5, "total_signals": 4}
    assert told(path, {"reports": [wrong]}) == [
        ("signals_seen", 0.0, 4), ("wins", 2.0, 3), ("win_rate", pytest.approx(66.667, abs=0.001), 75.0),
        ("total_percent", 3.75, 9.5),
    ]  # fmt: skip


def test_reports_by_date_are_compared_as_well(path: Path) -> None:
    seed = {
        "date": "2025-11-25", "total_signals": 0, "active_trades": 1, "closed_trades": 3, "win_rate": 66.7,
        "total_pnl": 1250.5, "best_trade": {}, "worst_trade": {},
    }  # fmt: skip
    assert told(path, {"2025-11-25": seed}) == [("total_pnl", 0.0, 1250.5)]


def test_a_day_is_one_of_the_zone_that_is_given(path: Path) -> None:
    # what was closed at 15:00 UTC was closed on the next day in Auckland
    late = {**FULL, "date": "2025-11-26", "timestamp": "2025-11-26T20:00:00"}
    assert told(path, {"reports": [late]}, tz="Pacific/Auckland") == []
    assert told(path, {"reports": [late]}) != []


def test_what_is_no_report_is_counted(path: Path) -> None:
    file = path / "r.json"
    file.write_text(json.dumps({"reports": [FULL, {"wins": 1}, 7]}))
    with lake.open(path / "lake") as lk:
        report = imported(lk, "daily-reports", file)
        assert (report.totals["found"], report.totals["landed"], report.totals["refused"]) == (3, 1, 2)
        assert len(quarantined(lk)) == 2


def test_reports_are_kept_as_they_are_told_and_count_nowhere(path: Path) -> None:
    file = path / "r.json"
    file.write_text(json.dumps({"reports": [FULL], "weekly_reports": [{"week": 48, "wins": 3}]}))
    with lake.open(path / "lake") as lk:
        before = lk.read("daily_report")
        imported(lk, "daily-reports", file)
        assert lk.read("daily_report").equals(before)
        said = [json.loads(text)["said"] for text in rows(lk, "data_quality", "details")]
    assert FULL in said
    assert {"name": "weekly_reports", "part": 0, "value": [{"week": 48, "wins": 3}]} in said


def test_without_a_lake_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    file.write_text(json.dumps({"reports": [FULL]}))
    report = import_from(None, "daily-reports", str(file), dry_run=True)
    assert "no lake yet" in notes(report)
    assert differences(report) == []


@pytest.mark.parametrize(
    ("content", "why"), [("{}", None), ('{"signals": []}', "no reports"), ("", "empty"), ("7", "not a JSON")]
)
def test_a_file_of_another_kind_is_one_clear_error(tmp_path: Path, content: str, why: str | None) -> None:
    file = tmp_path / "r.json"
    file.write_text(content)
    if why is None:
        assert import_from(None, "daily-reports", str(file), dry_run=True).totals["found"] == 0
        return
    with pytest.raises(SourceError, match=why):
        import_from(None, "daily-reports", str(file), dry_run=True)


@pytest.mark.parametrize(("tail", "kept", "failed"), [("[", 1, True), (json.dumps([FULL]), 1, False), ("}", 1, True)])
def test_reports_before_a_broken_end_are_compared_and_the_end_is_told(
    path: Path, tail: str, kept: int, failed: bool
) -> None:
    file = path / "r.json"
    file.write_text(json.dumps({"reports": [FULL]}) + tail)
    with lake.open(path / "lake") as lk:
        report = imported(lk, "daily-reports", file)
        sources = rows(lk, "data_quality", "details ->> 'source'")
        assert (sources.count("daily-reports:reports"), report.failed) == (kept, failed)
        assert "something follows the end" in notes(report)
