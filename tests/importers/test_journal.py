from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import lake
from lake.errors import SourceError
from lake.importers.run import import_from
from lake.importers.twins import base_of
from tests.importers.contract import differences, imported, notes, quarantined, rows
from tests.importers.signal_bots import (
    FOUND,
    SEED,
    SEED_POSITION,
    SEED_TRADE,
    SIGNAL,
    closed_position,
    ended,
    journal,
    journal_trade,
    open_position,
    positions,
)

AT = "2025-11-25T06:59:56.360429"
THEN = "2025-11-25T15:03:07.559183"


def test_a_journal_as_found_becomes_trades_with_conditions_and_outcomes(tmp_path: Path) -> None:
    trades = [
        journal_trade(1, AT, "SELL", tp_price=2.0, sl_price=2.5, **ended("WIN", 3.25, THEN)),
        journal_trade(1, "2025-11-25T07:04:56.369686", **ended("LOSS", -2.5, THEN)),  # the id is there twice
        journal_trade(3, "2025-11-25T07:24:57.362939"),
    ]
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "journal", journal(tmp_path / "trading_journal.json", trades))
        assert report.tables[0].landed == 3
        assert rows(
            lk, "trades", "created_at", "side", "status", "pnl_percent", "take_profit", "stop_loss", "mode"
        ) == [
            (datetime(2025, 11, 25, 6, 59, 56, 360429, UTC), "SHORT", "closed", 3.25, 2.0, 2.5, "live"),
            (datetime(2025, 11, 25, 7, 4, 56, 369686, UTC), "LONG", "closed", -2.5, 2.5, 2.0, "live"),
            (datetime(2025, 11, 25, 7, 24, 57, 362939, UTC), "LONG", "open", None, 2.5, 2.0, "live"),
        ]
        conditions = json.loads(rows(lk, "trades", "conditions")[0])
        assert conditions == {"rsi": 83.25, "ma_20": 2.0625, "trend": None, "aligned": True}
        kept = [json.loads(extra) for extra in rows(lk, "trades", "extra")]
        assert sorted(extra.get("outcome", "") for extra in kept) == ["", "loss", "win"]
        assert {extra["confidence"] for extra in kept} == {0.87}
        assert any("Автоматично" in str(extra["imported"]["journal:trades"]["notes"]) for extra in kept)


def test_a_journal_of_the_other_shape_keeps_its_id_its_first_target_and_its_features(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "journal", journal(tmp_path / "j.json", [SEED_TRADE]))
        assert rows(lk, "trades", "trade_id", "signal_id", "status", "take_profit", "created_at") == [
            (SIGNAL, SIGNAL, "open", 106000.0, datetime(2026, 1, 23, 15, tzinfo=UTC))
        ]
        assert json.loads(rows(lk, "trades", "features")[0]) == {"atr": 1.25, "session": "asia"}


@pytest.mark.parametrize(
    ("more", "status", "outcome"),
    [
        ({"status": "WIN", "outcome": "WIN"}, "closed", "win"),
        ({"status": "COMPLETED", "outcome": "SUCCESS"}, "closed", "win"),
        ({"status": "COMPLETED", "outcome": "FAILED"}, "closed", "loss"),
        ({"status": "COMPLETED", "outcome": "BREAKEVEN"}, "closed", "breakeven"),
        ({"status": "COMPLETED", "outcome": None}, "closed", None),
        ({"status": "LOSS", "outcome": None}, "closed", "loss"),
        ({"status": "PENDING", "outcome": "LOSS"}, "closed", "loss"),
        ({"status": "active", "outcome": None}, "open", None),
        ({"status": "CANCELLED", "outcome": None}, "cancelled", None),
        ({"status": None, "outcome": None}, "open", None),
        ({"status": None, "outcome": None, "closed_at": THEN}, "closed", None),
    ],
)
def test_every_word_for_status_and_outcome_is_understood(
    tmp_path: Path, more: dict[str, str | None], status: str, outcome: str | None
) -> None:
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "journal", journal(tmp_path / "j.json", [journal_trade(1, AT, **more)]))
        assert rows(lk, "trades", "status", "json_extract_string(extra, 'outcome')") == [(status, outcome)]


def test_signs_that_contradict_the_outcome_are_told_and_kept(tmp_path: Path) -> None:
    trades = [
        journal_trade(7, AT, **ended("WIN", -1.5, THEN)),
        journal_trade(8, "2025-11-25T08:00:00", **ended("LOSS", 2.0, THEN)),
        journal_trade(9, "2025-11-25T09:00:00", **ended("LOSS", -2.0, THEN)),
    ]
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "journal", journal(tmp_path / "j.json", trades))
        assert "in 2 trades the percentage contradicts the outcome" in notes(report)
        assert "7 is a WIN of -1.5 %, 8 is a LOSS of 2 %" in notes(report)
        assert rows(lk, "trades", "pnl_percent") == [-2.0, -1.5, 2.0]


def test_what_a_journal_learnt_is_compared_told_and_kept(tmp_path: Path) -> None:
    trades = [journal_trade(1, AT, **ended("WIN", 3.25, THEN))]
    patterns = {
        "successful_conditions": {"XRPUSDT_4h_BUY": {"conditions_summary": [{"rsi": 1, "text": '"]}'}] * 50}},
        "best_symbols": {"XRPUSDT": {"wins": 1, "total": 4}, "ADAUSDT": {"wins": 0, "total": 0}},
        "best_timeframes": {"4h": {"wins": 1, "losses": 0, "total": 1}},
    }
    file = journal(
        tmp_path / "j.json", trades, patterns=patterns, ml_insights={"accuracy_by_confidence": {"80-90": {"wins": 1}}}
    )
    file.write_text(file.read_text().replace('"version": "1.0"', '"total_trades": 95'))
    with lake.open(tmp_path / "lake") as lk:
        told = notes(imported(lk, "journal", file))
        kept = lk.frame("SELECT details ->> '$.said.name' AS name, details -> '$.said.value' AS said FROM data_quality")
        said = {name: json.loads(value) for name, value in kept.rows()}
        findings = lk.frame(
            "SELECT DISTINCT \"check\", dataset, severity, details ->> 'source' FROM data_quality"
        ).rows()
    assert set(findings) == {("imported", "trades", "info", "journal:learnt")}
    assert {name: said[f"patterns.{name}"] for name in patterns} == patterns
    assert said["ml_insights.accuracy_by_confidence"] == {"80-90": {"wins": 1}}
    assert said["metadata.total_trades"] == 95
    assert "its metadata says 95 trades, and there are 1" in told
    assert "its best_symbols tell otherwise than its rows: 4 of XRPUSDT, and there are 1" in told
    assert "best_timeframes" not in told


def test_rows_that_do_not_fit_are_refused_with_their_reasons(tmp_path: Path) -> None:
    trades = [
        journal_trade(1, AT),
        journal_trade(2, AT, "HOLD"),
        journal_trade(3, AT, symbol=None),
        journal_trade(4, "yesterday"),
        {**journal_trade(5, AT), "timestamp": None},
        journal_trade(6, AT, status="SOON"),
        journal_trade(7, "2025-11-25T10:00:00", **ended("WIN", 1.0, "2025-11-24T10:00:00")),
        journal_trade(8, AT, entry_price="2,25"),
        {**journal_trade(9, AT), "signal": None},
        "nothing",
        None,
    ]
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "journal", journal(tmp_path / "j.json", trades))
        table = report.tables[0]
        assert (table.found, table.landed, table.changed, table.unchanged, table.refused) == (11, 1, 0, 0, 10)
        reasons = table.reasons
        assert set(reasons) == {
            "not an object", "signal: unknown word", "signal or direction or signal_type or type: no side",
            "symbol: no symbol", "timestamp: not a time in ISO-8601",
            "timestamp or entry_timestamp or opened_at: no time", "status: unknown word",
            "trades.closed_at: it is before opened_at",
            "entry_price: no plain number: decimal and sign in a column map say how it is written",
        }  # fmt: skip
        assert len(quarantined(lk)) == 10


def test_a_trade_that_is_there_twice_with_other_conditions_is_not_lost(tmp_path: Path) -> None:
    trades = [journal_trade(1, AT), journal_trade(1, AT), journal_trade(1, AT, conditions={"rsi": 1.0})]
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "journal", journal(tmp_path / "j.json", trades))
        assert (report.tables[0].landed, report.tables[0].unchanged, report.tables[0].refused) == (2, 1, 0)
        (first, _), (second, other) = rows(lk, "trades", "trade_id", "conditions")
        assert (base_of(second), json.loads(other)) == (first, {"rsi": 1.0})


def test_two_ends_of_one_trade_under_two_ids_are_both_kept(tmp_path: Path) -> None:
    trades = [journal_trade(1, AT, **ended("WIN", 3.25, THEN)), journal_trade(2, AT, **ended("LOSS", -2.5, THEN))]
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "journal", journal(tmp_path / "j.json", trades))
        assert rows(lk, "trades", "pnl_percent") == [-2.5, 3.25]
        assert "each gets an id of its own" in notes(report)


def test_a_trade_that_is_there_as_pending_as_ended_and_with_a_note_is_one(tmp_path: Path) -> None:
    won = journal_trade(1, AT, **ended("WIN", 3.25, THEN))
    trades = [journal_trade(1, AT), won, {**won, "id": 2}, {**won, "remark": "late"}, journal_trade(3, AT)]
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "journal", journal(tmp_path / "j.json", trades))
        assert rows(lk, "trades", "status", "pnl_percent") == [("closed", 3.25)]
        assert report.totals["refused"] == 0


def test_copies_of_the_end_of_a_trade_that_was_open_here_are_one_and_the_first_is_kept_beside(tmp_path: Path) -> None:
    won = journal_trade(1, AT, **ended("WIN", 3.25, THEN))
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "journal", journal(tmp_path / "j.json", [journal_trade(1, AT)]))
        imported(lk, "journal", journal(tmp_path / "j.json", [won, {**won, "id": 2, "remark": "late"}]))
        [extra] = rows(lk, "trades", "extra")
        assert json.loads(extra)["imported"]["journal:trades"]["id"] == 1


def test_a_trade_that_has_ended_meanwhile_is_brought_up_to_date(tmp_path: Path) -> None:
    file = tmp_path / "j.json"
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "journal", journal(file, [journal_trade(1, AT)]))
        report = imported(lk, "journal", journal(file, [journal_trade(1, AT, **ended("WIN", 3.25, THEN))]))
        assert (report.totals["landed"], report.totals["changed"]) == (1, 1)
        assert rows(lk, "trades", "status", "pnl_percent") == [("closed", 3.25)]
        report = imported(lk, "journal", journal(file, [journal_trade(1, AT)]))  # an older copy
        assert report.tables[0].unchanged == 1
        assert rows(lk, "trades", "status", "pnl_percent") == [("closed", 3.25)]


def test_conditions_that_a_journal_tells_otherwise_now_are_believed_and_a_bots_stay(tmp_path: Path) -> None:
    """They are kept in a column of their own, and not once more as they were found."""
    file = tmp_path / "j.json"
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "journal", journal(file, [journal_trade(1, AT, conditions={"rsi": 30})]))
        imported(lk, "journal", journal(file, [journal_trade(1, AT, conditions={"rsi": 31})]))
        assert [json.loads(found) for found in rows(lk, "trades", "conditions")] == [{"rsi": 31}]
        lk.patch("trades", rows(lk, "trades", "trade_id")[0], {"conditions": {"rsi": 32}})
        imported(lk, "journal", journal(file, [journal_trade(1, AT, conditions={"rsi": 31})]))
        assert [json.loads(found) for found in rows(lk, "trades", "conditions")] == [{"rsi": 32}]


def test_a_long_list_beside_the_trades_is_kept_in_pieces(tmp_path: Path) -> None:
    seen = [{"rsi": number} for number in range(2_500)]
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "journal", journal(tmp_path / "j.json", [journal_trade(1, AT)], patterns={"seen": seen}))
        kept = lk.frame(
            "SELECT details -> '$.said.value' AS said FROM data_quality "
            "WHERE details ->> '$.said.name' = 'patterns.seen' ORDER BY (details ->> '$.said.part')::INT"
        )
        pieces = [json.loads(value) for value in kept["said"]]
    assert [len(piece) for piece in pieces] == [1_000, 1_000, 500]
    assert [entry for piece in pieces for entry in piece] == seen


@pytest.mark.parametrize("journal_first", [True, False])
def test_journal_and_positions_tell_of_one_trade_and_what_they_tell_differently_is_reported(
    tmp_path: Path, journal_first: bool
) -> None:
    told = journal(tmp_path / "j.json", [journal_trade(1, AT, **ended("WIN", 11.0, THEN))])
    at, then = "2025-11-25 06:59:56", "2025-11-25 15:03:07"
    there = {
        "open_positions": [open_position(4, at, status="CLOSED")],
        "position_history": [closed_position(4, at, then)],
    }
    held = positions(tmp_path / "positions.db", FOUND, there)
    kinds = [("journal", told), ("positions-sqlite", held)]
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, *kinds[not journal_first])
        report = imported(lk, *kinds[journal_first])
        kept, other = (11.0, 11.11) if journal_first else (11.11, 11.0)
        assert ("pnl_percent", kept, other) in differences(report)
        columns = ("status", "pnl", "pnl_percent", "exit_price", "exit_reason", "conditions IS NOT NULL")
        assert rows(lk, "trades", *columns) == [("closed", 25.5, kept, 2.5, "tp1", True)]
        extra = json.loads(rows(lk, "trades", "extra")[0])
        assert set(extra["imported"]) == {"journal:trades", "positions-sqlite:position_history"}


@pytest.mark.parametrize("journal_first", [True, False])
def test_a_trade_that_was_written_down_seconds_later_is_the_same_and_the_times_are_reported(
    tmp_path: Path, journal_first: bool
) -> None:
    told = journal(
        tmp_path / "j.json", [journal_trade(1, AT), journal_trade(2, "2025-11-25T06:57:10"), journal_trade(3, THEN)]
    )
    at, then = "2025-11-25 07:00:41", "2025-11-25 15:03:07"
    there = {"open_positions": [open_position(4, at)], "position_history": [closed_position(4, at, then)]}
    kinds = [("journal", told), ("positions-sqlite", positions(tmp_path / "positions.db", FOUND, there))]
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, *kinds[not journal_first])
        report = imported(lk, *kinds[journal_first])
        assert "created_at" in {column for column, _, _ in differences(report)}
        imported(lk, *kinds[not journal_first])
        assert rows(lk, "trades", "status", "pnl") == [("closed", 25.5), ("open", None), ("open", None)]
        assert lk.frame("SELECT 1 FROM positions JOIN trades USING (trade_id) WHERE pnl = 25.5").height == 1
        [extra] = lk.frame("SELECT extra FROM trades WHERE pnl = 25.5")["extra"]
        assert set(json.loads(extra)["imported"]) == {"journal:trades", "positions-sqlite:position_history"}


def test_trades_of_one_second_that_are_another_stores_trade_stay_what_they_were(tmp_path: Path) -> None:
    """The twin of a trade that goes by another store's id is nearer in time than the trade that it is a twin of."""
    told = journal(tmp_path / "j.json", [journal_trade(1, AT), journal_trade(1, AT, tp_price=2.6)])
    there = {"position_history": [closed_position(4, "2025-11-25 07:00:41", "2025-11-25 15:03:07")]}
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "positions-sqlite", positions(tmp_path / "positions.db", FOUND, there))
        imported(lk, "journal", told)
        assert rows(lk, "trades", "status", "take_profit") == [("closed", 2.5), ("open", 2.6)]


def test_a_trade_that_ended_before_another_store_says_that_it_began_is_found_again(tmp_path: Path) -> None:
    at = "2025-11-25 06:59:56"
    told = journal(tmp_path / "j.json", [journal_trade(1, "2025-11-25T07:00:41")])
    there = {
        "open_positions": [open_position(4, at)],
        "position_history": [closed_position(4, at, "2025-11-25 07:00:11", outcome="PARTIAL")],
    }
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "journal", told)
        imported(lk, "positions-sqlite", positions(tmp_path / "positions.db", FOUND, there))
        assert len(rows(lk, "trades", "trade_id")) == 1


@pytest.mark.parametrize(
    "more", [{"entry_price": 2.26}, {"signal_type": "SELL"}, {"opened_at": "2025-11-25 07:02:00"}, {"timeframe": "1h"}]
)
def test_a_trade_of_other_facts_or_minutes_later_is_another(tmp_path: Path, more: dict[str, Any]) -> None:
    told = journal(tmp_path / "j.json", [journal_trade(1, AT)])
    history = [closed_position(4, "2025-11-25 06:59:56", "2025-11-25 15:03:07", **more)]
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "journal", told)
        imported(lk, "positions-sqlite", positions(tmp_path / "p.db", FOUND, {"position_history": history}))
        assert len(rows(lk, "trades", "trade_id")) == 2


@pytest.mark.parametrize("journal_first", [True, False])
def test_a_trade_that_began_when_the_other_had_ended_is_another(tmp_path: Path, journal_first: bool) -> None:
    first = journal_trade(1, "2025-11-25T10:00:00", **ended("LOSS", -1.0, "2025-11-25T10:00:40"))
    second = closed_position(2, "2025-11-25 10:01:30", "2025-11-25 10:05:00", profit_loss_percent=1.0)
    held = {"open_positions": [open_position(2, "2025-11-25 10:01:30")], "position_history": [second]}
    stores = [
        ("journal", journal(tmp_path / "j.json", [first])),
        ("positions-sqlite", positions(tmp_path / "p.db", FOUND, held)),
    ]
    with lake.open(tmp_path / "lake") as lk:
        for kind, path in stores if journal_first else stores[::-1]:
            assert differences(imported(lk, kind, path)) == []
        assert rows(lk, "trades", "pnl_percent", "pnl") == [(-1.0, None), (1.0, 25.5)]
        assert lk.frame("SELECT count(*) FROM positions JOIN trades USING (trade_id)").item() == 1


@pytest.mark.parametrize("journal_first", [True, False])
def test_a_trade_that_only_positions_know_to_have_ended_has_ended(tmp_path: Path, journal_first: bool) -> None:
    told = journal(tmp_path / "j.json", [journal_trade(1, AT)])
    at, then = "2025-11-25 06:59:56", "2025-11-25 15:03:07"
    there = {
        "open_positions": [open_position(4, at, status="CLOSED", sl_price=2.125)],
        "position_history": [closed_position(4, at, then)],
    }
    kinds = [("journal", told), ("positions-sqlite", positions(tmp_path / "positions.db", FOUND, there))]
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, *kinds[not journal_first])
        report = imported(lk, *kinds[journal_first])
        assert ("stop_loss", 2.125, 2.0) in differences(report)
        assert rows(lk, "trades", "status", "pnl", "stop_loss", "conditions IS NOT NULL") == [
            ("closed", 25.5, 2.125, True)
        ]


def test_journal_and_positions_of_the_other_shape_meet_by_the_signals_id(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "journal", journal(tmp_path / "j.json", [SEED_TRADE]), bot_id="ict")
        file = positions(tmp_path / "positions.db", SEED, {"positions": [SEED_POSITION]})
        imported(lk, "positions-sqlite", file, bot_id="ict")
        joined = lk.frame("SELECT t.symbol FROM trades AS t JOIN positions AS p USING (trade_id, signal_id, bot_id)")
        assert joined.height == 1


def test_two_bots_with_the_same_ids_keep_apart(tmp_path: Path) -> None:
    file = journal(tmp_path / "j.json", [SEED_TRADE, journal_trade(1, AT)])
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "journal", file, bot_id="one")
        imported(lk, "journal", file, bot_id="two")
        assert rows(lk, "trades", "bot_id") == ["one", "one", "two", "two"]


def test_times_without_a_zone_are_in_the_one_that_is_given(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "journal", journal(tmp_path / "j.json", [journal_trade(1, AT)]), tz="Europe/Sofia", mode="paper")
        assert rows(lk, "trades", "created_at", "mode") == [(datetime(2025, 11, 25, 4, 59, 56, 360429, UTC), "paper")]


def test_a_file_of_which_only_what_stands_beside_the_rows_is_kept_is_no_success(tmp_path: Path) -> None:
    path = tmp_path / "trading_journal.json"
    path.write_text(json.dumps({"trades": [{"symbol": "BTC", "side": "buy"}], "patterns": {"a": 1}}))
    report = import_from(None, "journal", str(path), dry_run=True)
    assert (report.totals["found"], report.totals["refused"], report.fits_nothing) == (2, 1, True)


@pytest.mark.parametrize(
    "content", [b"", b"\xef\xbb\xbf", b"no", b'{"signals": []}', b'{"trades": {"1": {}}}', b"\x1f\x8b"]
)
def test_a_file_that_is_no_journal_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "j.json"
    file.write_bytes(content)
    with (
        lake.open(tmp_path / "lake") as lk,
        pytest.raises(SourceError, match=r"empty|not a JSON file|no 'trades'|no array"),
    ):
        imported(lk, "journal", file)
