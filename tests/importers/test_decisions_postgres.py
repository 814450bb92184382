"""A language model's decisions, and what came of them, as two versions of its schema keep them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import lake
from lake.importers.base import Options
from lake.importers.run import import_from
from tests.importers.conftest import Postgres
from tests.importers.contract import imported, notes, quarantined, rows

SEED = """create table trades (id text primary key, symbol text not null, side text not null, entry_price real,
  quantity real not null, stop_loss real, take_profit real, exit_price real, pnl real, pnl_percent real,
  exit_reason text, bybit_order_id text, status text default 'pending', created_at {at} default now(), opened_at {at},
  closed_at {at},
  decision_id text, prompt_version text);
create table positions (id text primary key, symbol text unique not null, side text not null, quantity real not null,
  entry_price real not null, current_price real, unrealized_pnl real, unrealized_pnl_percent real, trade_id text,
  synced_at {at} default now());
create table decisions (id text primary key, symbol text not null, timeframe text not null, chart_image_path text,
  market_snapshot jsonb, recommendation text, confidence real, entry_price real, stop_loss real, take_profit real,
  reasoning text, raw_response jsonb, traded boolean default false, skip_reason text, trade_id text, actual_pnl real,
  actual_pnl_percent real, max_favorable real, max_adverse real, hold_duration_minutes {number},
  outcome_correct boolean, prompt_version text not null, model_version text, analysis_duration_ms {number},
  analyzed_at {at} default now(),
  outcome_recorded_at {at});
create table prompt_versions (id text primary key, version text unique not null, name text, description text,
  prompt_text text not null, created_at {at} default now(), is_active boolean default false)"""
DATA = """insert into prompt_versions values ('p1', 'v1', 'first', null, 'Say LONG or SHORT.', '2024-01-01', true);
insert into trades values
  ('t1', 'BTCUSDT', 'LONG', 42000.5, 0.1, 41000, 44000, 44000, 199.95, 4.76, 'tp_hit', 'o1', 'closed',
   '2024-01-15 14:00', '2024-01-15 14:01', '2024-01-15 18:00', 'd1', 'v1'),
  ('t2', 'ETHUSDT', 'SHORT', 2500.1, 1, null, 0, null, null, null, null, 'o2', 'open',
   '2024-01-16 10:00', '2024-01-16 10:01', null, 'd2', 'v1'),
  ('t3', 'SOLUSDT', 'LONG', null, 2, null, null, null, null, null, null, null, null, '2024-01-17', null, null,
   null, 'v1');
insert into positions values
  ('x1', 'ETHUSDT', 'SHORT', 1, 2500.1, 2490, 10.1, 0.4, 't2', '2024-01-16 12:00'),
  ('x2', 'SOLUSDT', 'LONG', 2, 100, null, null, null, null, '2024-01-17 12:00');
insert into decisions (id, symbol, timeframe, market_snapshot, recommendation, confidence, reasoning, raw_response,
  traded, skip_reason, trade_id, actual_pnl, actual_pnl_percent, max_favorable, max_adverse, hold_duration_minutes,
  outcome_correct, prompt_version, model_version, analysis_duration_ms, analyzed_at, outcome_recorded_at) values
  ('d1', 'BTCUSDT', '4h', '{"price": {"current": 42500.5}}', 'LONG', 0.8, 'up', '{"id": 1}', true, null, 't1', 199.95,
   4.76, 250, -20, 239, true, 'v1', 'gpt-4', 1500, '2024-01-15 14:00', '2024-01-15 18:05'),
  ('d2', 'ETHUSDT', '1h', null, 'SHORT', 0.7, null, null, true, null, 't2', null, null, null, null, null, null, 'v1',
   'gpt-4', 900, '2024-01-16 10:00', null),
  ('d3', 'SOLUSDT', '1h', null, 'HOLD', 0.4, null, null, false, 'low_confidence', null, null, null, null, null, null,
   null, 'v1', 'gpt-4', 900, '2024-01-17 10:00', null),
  ('d4', 'SOLUSDT', '1h', null, 'LONG', 0.6, null, null, false, null, null, -3, -1, null, null, 60, false, 'v1',
   'gpt-4', 900, '2024-01-18 10:00', null),
  ('d5', 'SOLUSDT', '1h', null, 'LONG', 0.6, null, null, false, null, null, -3, -1, null, null, null, false, 'v1',
   'gpt-4', 900, '2024-01-19 10:00', null),
  ('d6', 'SOLUSDT', '1h', null, 'LONG', 75, null, null, false, null, null, null, null, null, null, null, null, 'v1',
   'gpt-4', 900, '2024-01-20 10:00', null)"""
VERSIONS = {"seed": {"at": "timestamptz", "number": "integer"}, "drizzle": {"at": "timestamp", "number": "real"}}


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake") as opened:
        yield opened


@pytest.mark.parametrize("version", VERSIONS)
def test_decisions_land_with_what_came_of_them(lk: lake.Lake, postgres: Postgres, version: str) -> None:
    postgres.run("set local timezone = 'UTC'", *SEED.format(**VERSIONS[version]).split(";"), *DATA.split(";"))
    report = imported(lk, "decisions-postgres", postgres.address)
    assert {t.table: (t.landed, t.refused) for t in report.tables} == {
        "prompt_versions": (1, 0), "decisions": (5, 1), "trades": (3, 0), "positions": (2, 0),
    }  # fmt: skip
    assert [reason.split(" (")[0] for _, reason, _ in quarantined(lk)] == [
        "decisions.confidence: out of range, it must be at least 0 and at most 1"
    ]
    assert rows(lk, "trades", "trade_id", "status", "take_profit", "pnl", "exit_reason", "decision_id") == [
        ("t1", "closed", 44000.0, 199.95, "tp", "d1"),
        ("t2", "open", None, None, None, "d2"),
        ("t3", "pending", None, None, None, None),
    ]
    opened = rows(lk, "positions", "position_id", "status", "strftime(opened_at, '%d %H:%M')", "trade_id")
    assert opened == [("x1", "open", "16 10:01", "t2"), ("x2", "open", "17 12:00", None)]
    assert rows(lk, "prompt_versions", "version", "prompt_text", "is_active") == [("v1", "Say LONG or SHORT.", True)]
    decision = lk.read("decisions", {"decision_id": "d1"}).to_dicts()[0]
    told = {"confidence": 0.8, "latency_ms": 1500.0, "actual_pnl": 199.95, "outcome_correct": True,
            "market_snapshot": '{"price":{"current":42500.5}}', "hold_duration_minutes": 239.0, "traded": True,
            "max_favorable": None, "outcome_source": "given", "timeframe": "4h"}  # fmt: skip
    assert {name: decision[name] for name in told} == told
    assert json.loads(decision["extra"])["imported"]["decisions-postgres:decisions"]["max_favorable"] == 250


def test_an_outcome_is_known_when_it_was_recorded_or_not_taken(lk: lake.Lake, postgres: Postgres) -> None:
    """Else a training run would see it at the time of the decision."""
    postgres.run("set local timezone = 'UTC'", *SEED.format(**VERSIONS["seed"]).split(";"), *DATA.split(";"))
    import_from(lk, "decisions-postgres", postgres.address)
    known = rows(lk, "decisions", "decision_id", "outcome_correct", "strftime(outcome_recorded_at, '%d %H:%M')")
    assert known == [
        ("d1", True, "15 18:05"), ("d2", None, None), ("d3", None, None), ("d4", False, "18 11:00"), ("d5", None, None),
    ]  # fmt: skip


def test_an_outcome_without_a_time_was_known_when_its_trade_closed(lk: lake.Lake, postgres: Postgres) -> None:
    """One of which nothing tells the time is counted, and its total is not called equal."""
    postgres.run(
        "create table trades (id text, symbol text, side text, created_at timestamptz, closed_at timestamptz)",
        """create table decisions (id text, symbol text, recommendation text, trade_id text, analyzed_at timestamptz,
           outcome_correct boolean, actual_pnl real, outcome_recorded_at timestamptz, hold_duration_minutes real)""",
        """insert into trades values ('t1', 'BTCUSDT', 'LONG', '2024-01-15 10:00Z', '2024-01-15 12:00Z'),
           ('t2', 'BTCUSDT', 'LONG', '2024-01-15 10:00Z', null)""",
        """insert into decisions values
           ('d1', 'BTCUSDT', 'LONG', 't1', '2024-01-15 10:00Z', false, -5, null, null),
           ('d2', 'BTCUSDT', 'LONG', 't2', '2024-01-15 10:00Z', true, 3, null, null)""",
    )
    report = imported(lk, "decisions-postgres", postgres.address)
    known = rows(lk, "decisions", "decision_id", "outcome_correct", "actual_pnl", "outcome_source",
                 "strftime(outcome_recorded_at, '%d %H:%M')")  # fmt: skip
    assert known == [("d1", False, -5.0, "given", "15 12:00"), ("d2", None, None, None, None)]
    assert "1 outcome is not taken, as nothing tells when it was known" in notes(report)
    line = next(line for line in report.text().splitlines() if "decisions.actual_pnl" in line)
    assert line.endswith("-2.00 found, 3.00 differing, -5.00 in the lake, "
                         "as the rules of the column and the differences below have it")  # fmt: skip


def test_an_outcome_that_only_its_trade_dates_may_be_corrected(lk: lake.Lake, postgres: Postgres) -> None:
    postgres.run(
        "create table trades (id text, symbol text, side text, created_at timestamptz, closed_at timestamptz)",
        """create table decisions (id text, symbol text, recommendation text, trade_id text, analyzed_at timestamptz,
           outcome_correct boolean, actual_pnl real)""",
        "insert into trades values ('t1', 'BTCUSDT', 'LONG', '2024-01-15 10:00Z', '2024-01-15 12:00Z')",
        "insert into decisions values ('d1', 'BTCUSDT', 'LONG', 't1', '2024-01-15 10:00Z', false, -5)",
    )
    imported(lk, "decisions-postgres", postgres.address)
    postgres.run("update decisions set actual_pnl = 6, outcome_correct = true")
    imported(lk, "decisions-postgres", postgres.address)
    assert rows(lk, "decisions", "actual_pnl", "outcome_correct") == [(6.0, True)]


def test_columns_in_camel_case_are_the_same(lk: lake.Lake, postgres: Postgres) -> None:
    postgres.run(
        """create table trades (id text, symbol text, side text, quantity real, "entryPrice" real, "pnlPercent" real,
           status text, "createdAt" timestamp, "decisionId" text)""",
        "insert into trades values ('t1', 'BTC/USDT', 'LONG', 1, 0.1, 2.5, 'open', '2024-01-15 14:00', 'd1')",
    )
    imported(lk, "decisions-postgres", postgres.address)
    assert rows(lk, "trades", "symbol", "entry_price", "pnl_percent", "decision_id") == [("BTCUSDT", 0.1, 2.5, "d1")]


def test_a_trade_that_ends_between_two_imports_is_closed(lk: lake.Lake, postgres: Postgres) -> None:
    postgres.run("set local timezone = 'UTC'", *SEED.format(**VERSIONS["seed"]).split(";"), *DATA.split(";"))
    import_from(lk, "decisions-postgres", postgres.address)
    postgres.run(
        "update trades set status = 'closed', closed_at = '2024-01-16 15:00Z', pnl = 12 where id = 't2'",
        "delete from positions where id = 'x1'",
    )
    report = import_from(lk, "decisions-postgres", postgres.address)
    assert (report.balanced, report.totals["changed"], report.totals["differences_found"]) == (True, 1, 0)
    assert rows(lk, "trades", "trade_id", "status", "pnl")[1] == ("t2", "closed", 12.0)


def test_ids_that_are_numbers_are_told_apart_by_their_bot(lk: lake.Lake, postgres: Postgres) -> None:
    postgres.run(
        "create table trades (id serial, symbol text, side text, created_at timestamptz, decision_id int)",
        "create table positions (id serial, symbol text, side text, trade_id int, synced_at timestamptz)",
        "create table decisions (id serial, symbol text, recommendation text, trade_id int, analyzed_at timestamptz)",
        "insert into trades values (1, 'BTCUSDT', 'LONG', '2024-01-15 14:00Z', 1)",
        "insert into positions values (1, 'BTCUSDT', 'LONG', 1, '2024-01-15 14:00Z')",
        "insert into decisions values (1, 'BTCUSDT', 'LONG', 1, '2024-01-15 14:00Z')",
    )
    assert "name the bot with --bot-id" in notes(
        import_from(None, "decisions-postgres", postgres.address, dry_run=True)
    )
    for bot in ("a", "b"):
        assert imported(lk, "decisions-postgres", postgres.address, bot_id=bot).totals["landed"] == 3
    for dataset, own, other in (("trades", "trade_id", "decision_id"), ("positions", "position_id", "trade_id"),
                                ("decisions", "decision_id", "trade_id")):  # fmt: skip
        assert rows(lk, dataset, own, other) == [("a:1", "a:1"), ("b:1", "b:1")]


def test_one_version_of_a_prompt_is_in_use(lk: lake.Lake, postgres: Postgres) -> None:
    """Of several that are said to be it is the newest, and that is told."""
    postgres.run(
        "create table prompt_versions (id serial, version text, prompt_text text, is_active bool)",
        "alter table prompt_versions add created_at timestamp",
        """insert into prompt_versions (version, prompt_text, is_active, created_at) values
           ('v1', 'a', true, '2025-01-01'), ('v3', 'c', true, '2025-01-03'), ('v2', 'b', true, '2025-01-02'),
           ('v4', 'd', false, '2025-01-04')""",
    )
    report = imported(lk, "decisions-postgres", postgres.address)
    assert rows(lk, "prompt_versions", "version", "is_active") == [
        ("v1", False), ("v2", False), ("v3", True), ("v4", False),
    ]  # fmt: skip
    assert "3 versions are said to be in use: the newest is taken for it, v3" in notes(report)
    told = json.loads(rows(lk, "prompt_versions", "extra")[0])["imported"]["decisions-postgres:prompt_versions"]
    assert (told["is_active"], "superseded" in told) == (True, False)


def test_of_two_databases_one_version_of_a_prompt_is_in_use(lk: lake.Lake, postgres: Postgres) -> None:
    """The first that was imported, until its own database gives it up or somebody activates another."""
    postgres.run(
        "create table prompt_versions (id int, version text, prompt_text text, is_active bool, created_at timestamp)",
        "insert into prompt_versions values (1, 'v1', 'a', true, '2025-01-01'), (2, 'v2', 'b', false, '2025-01-02')",
    )
    imported(lk, "decisions-postgres", postgres.address, bot_id="one")
    postgres.run("update prompt_versions set version = 'w' || id, prompt_text = 'w' || id")
    report = imported(lk, "decisions-postgres", postgres.address, bot_id="two")
    assert rows(lk, "prompt_versions", "version", "is_active") == [
        ("v1", True), ("v2", False), ("w1", False), ("w2", False),
    ]  # fmt: skip
    assert "w1 is said to be in use, and v1 of the lake is: it stays the only one" in notes(report)

    postgres.run("update prompt_versions set version = 'v' || id, prompt_text = chr(96 + id), is_active = id = 2")
    assert "stays the only one" not in notes(imported(lk, "decisions-postgres", postgres.address, bot_id="one"))
    assert rows(lk, "prompt_versions", "version", "is_active") == [
        ("v1", False), ("v2", True), ("w1", False), ("w2", False),
    ]  # fmt: skip

    lk.prompts.activate("w1")
    assert "w1 of the lake is" in notes(imported(lk, "decisions-postgres", postgres.address, bot_id="one"))
    assert rows(lk, "prompt_versions", "version", "is_active")[2:] == [("w1", True), ("w2", False)]


def test_a_version_that_its_own_database_has_deleted_gives_its_place_up(lk: lake.Lake, postgres: Postgres) -> None:
    """Whose database it is says the bot: without one, it may be another's."""
    postgres.run(
        "create table prompt_versions (id int, version text, prompt_text text, is_active bool, created_at timestamp)",
        "insert into prompt_versions values (1, 'v1', 'a', true, '2025-01-01')",
    )
    imported(lk, "decisions-postgres", postgres.address, bot_id="one")
    postgres.run("delete from prompt_versions", "insert into prompt_versions values (2, 'v2', 'b', true, '2025-01-02')")
    for bot in ("", "two"):
        report = import_from(lk, "decisions-postgres", postgres.address, Options(bot_id=bot), dry_run=True)
        assert "v2 is said to be in use, and v1 of the lake is: it stays the only one" in notes(report)
    assert lk.prompts.active()["version"] == "v1"
    report = imported(lk, "decisions-postgres", postgres.address, bot_id="one")
    assert "v1 of the lake is no longer in this database, and v2 takes its place" in notes(report)
    assert rows(lk, "prompt_versions", "version", "is_active") == [("v1", False), ("v2", True)]


def test_prompts_of_two_bots_under_one_version_are_both_kept_with_their_decisions(
    lk: lake.Lake, postgres: Postgres
) -> None:
    """Whichever comes first keeps the name."""
    made = [s for s in SEED.format(**VERSIONS["seed"]).split(";") if "prompt_versions" in s or "decisions" in s]
    asked = [s for s in DATA.split(";") if "prompt_versions" in s or "into decisions" in s]
    postgres.run("set local timezone = 'UTC'", *made, *asked)
    imported(lk, "decisions-postgres", postgres.address, bot_id="one")
    postgres.run("update prompt_versions set prompt_text = 'Say HOLD.'", "update decisions set id = 'other-' || id")
    imported(lk, "decisions-postgres", postgres.address, bot_id="two")
    assert rows(lk, "prompt_versions", "version", "prompt_text") == [
        ("two:v1", "Say HOLD."), ("v1", "Say LONG or SHORT."),
    ]  # fmt: skip
    used = lk.frame("SELECT DISTINCT bot_id, prompt_version FROM decisions ORDER BY ALL").rows()
    assert used == [("one", "v1"), ("two", "two:v1")]
