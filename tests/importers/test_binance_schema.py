"""The schema of the Binance bots: fractions and percent, tests and real money, executions and round trips."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import lake
from tests.importers.conftest import Postgres
from tests.importers.contract import imported, notes, quarantined, rows

SCHEMA = """create table bot_configs (bot_id varchar(100) primary key, bot_name varchar(200), symbol varchar(20),
  strategy_name varchar(100), strategy_params jsonb, interval varchar(10), capital decimal(15, 2),
  position_size decimal(15, 2), risk_per_trade decimal(6, 4), max_position_size decimal(6, 4),
  stop_loss_pct decimal(5, 2), take_profit_pct decimal(5, 2), trailing_stop_pct decimal(6, 4),
  drawdown_guard_pct decimal(6, 4), is_active boolean, is_running boolean, created_at timestamptz default now(),
  updated_at timestamptz, last_started_at timestamptz, last_stopped_at timestamptz);
create table bot_states (state_id uuid primary key default gen_random_uuid(), bot_id varchar(100), state_data jsonb,
  total_pnl decimal(15, 2), win_rate decimal(5, 2), total_trades int, winning_trades int, losing_trades int,
  current_position_side varchar(10), current_position_size decimal(15, 4), current_position_entry_price decimal(12, 4),
  current_trailing_stop decimal(12, 4), peak_equity decimal(15, 2), current_drawdown_pct decimal(6, 4),
  trading_halted boolean, halt_reason text, snapshot_time timestamptz);
create table bot_trades (trade_id uuid primary key, bot_id varchar(100), symbol varchar(20), order_id varchar(100),
  external_order_id varchar(100), side varchar(10), order_type varchar(20), quantity decimal(15, 4),
  price decimal(12, 4), trade_value decimal(15, 2) generated always as (quantity * price) stored,
  commission decimal(10, 4), commission_asset varchar(10), pnl decimal(15, 2), execution_time timestamptz,
  strategy_signal varchar(50), signal_reason text, is_entry boolean default true, is_test_mode boolean default true,
  created_at timestamptz default now());
create table bot_performance_snapshots (snapshot_id uuid primary key default gen_random_uuid(), bot_id varchar(100),
  snapshot_date date, total_pnl decimal(15, 2), daily_pnl decimal(15, 2), total_trades int, winning_trades int,
  losing_trades int, win_rate decimal(5, 2), avg_win decimal(15, 2), sharpe_ratio decimal(8, 4),
  max_drawdown decimal(8, 4), created_at timestamptz default now(), unique (bot_id, snapshot_date));
create table bot_metrics_realtime (metric_id uuid primary key default gen_random_uuid(), bot_id varchar(100),
  metric_time timestamptz, current_price decimal(12, 4), position_size decimal(15, 4), position_value decimal(15, 2),
  unrealized_pnl decimal(15, 2), realized_pnl decimal(15, 2), total_pnl decimal(15, 2), strategy_indicators jsonb,
  market_conditions jsonb);
create table bot_signals (signal_id uuid primary key, bot_id varchar(100), signal_time timestamptz,
  signal_type varchar(20), signal_strength decimal(5, 2), indicators jsonb, price_at_signal decimal(12, 4),
  action_taken varchar(20), rejection_reason text, trade_id uuid)"""
BOT = """insert into bot_configs values ('rsi_btc', 'BTC RSI', 'BTCUSDT', 'RSI', '{"period": 14}', '1m', 1000, 100,
  0.07, 0.1, 2, 5, 0.015, 0.2, true, false, '2025-10-01Z', '2025-10-02Z', '2025-10-03Z', null)"""


def uid(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012d}"


def fill(number: int, side: str, quantity: float, price: float, **more: object) -> str:
    entry = more.pop("is_entry", side == "BUY")
    row = {"trade_id": uid(number), "bot_id": "rsi_btc", "symbol": "BTCUSDT", "side": side, "order_type": "MARKET",
           "quantity": quantity, "price": price, "commission": 0.05, "commission_asset": "USDT", "is_entry": entry,
           "execution_time": f"2025-10-11 12:{number:02d}Z", "strategy_signal": f"S{number}", **more}  # fmt: skip
    values = ", ".join("null" if value is None else f"'{value}'" for value in row.values())
    return f"insert into bot_trades ({', '.join(row)}) values ({values})"


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake") as opened:
        yield opened


def test_fractions_become_percent_and_percent_stays(lk: lake.Lake, postgres: Postgres) -> None:
    state = """insert into bot_states values (default, 'rsi_btc', '{"last_rsi": 35.2}', 250.5, 65.5, 20, 13, 7, 'LONG',
      0.001, 45000, 44000, 1100, 0.0725, false, null, '2025-10-11 12:30Z')"""
    day = """insert into bot_performance_snapshots values (default, 'rsi_btc', '2025-10-11', 250.5, 10.25, 4, 3, 1, 75,
      5, 1.5, 0.04)"""
    postgres.run(*SCHEMA.split(";"), BOT, state, day)
    imported(lk, "binance-schema", postgres.address)
    shares = ("risk_per_trade", "max_position_size", "stop_loss_pct", "take_profit_pct", "trailing_stop_pct",
              "drawdown_guard_pct")  # fmt: skip
    assert rows(lk, "bot_configs", *shares) == [(7.0, 10.0, 2.0, 5.0, 1.5, 20.0)]
    assert rows(lk, "bot_configs", "bot_id", "strategy", "timeframe", "strategy_params", "is_active") == [
        ("rsi_btc", "RSI", "1m", '{"period":14}', True)
    ]
    assert rows(lk, "bot_states", "win_rate", "current_drawdown_pct", "position_side", "state") == [
        (65.5, 7.25, "LONG", '{"last_rsi":35.2}')
    ]
    assert rows(lk, "performance_snapshots", "date::VARCHAR", "daily_pnl", "trades", "wins", "win_rate") == [
        ("2025-10-11", 10.25, 4, 3, 75.0)
    ]
    (extra,) = rows(lk, "performance_snapshots", "extra")
    assert json.loads(extra)["imported"]["binance-schema:bot_performance_snapshots"]["max_drawdown"] == "0.0400"


def test_executions_land_and_those_that_add_up_are_round_trips(lk: lake.Lake, postgres: Postgres) -> None:
    postgres.run(
        *SCHEMA.split(";"), BOT,
        fill(1, "BUY", 0.3, 100), fill(2, "BUY", 0.1, 104), fill(3, "SELL", 0.4, 111, pnl=4.0),
        fill(4, "SELL", 0.5, 111, is_entry=True, is_test_mode=False),
        fill(5, "BUY", 0.2, 101, is_entry=False, is_test_mode=False, pnl=2.0),
        fill(6, "BUY", 0.3, 106, is_entry=False, is_test_mode=False, pnl=1.5),
        fill(7, "SELL", 1, 100, pnl=9.0), fill(8, "BUY", 1, 100), fill(9, "SELL", 2, 100, pnl=1),
        fill(10, "BUY", 5, 0.00001), fill(11, "BUY", 1, 100),
    )  # fmt: skip
    report = imported(lk, "binance-schema", postgres.address)
    assert {(t.table, t.landed, t.refused) for t in report.tables if t.found} == {
        ("bot_configs", 1, 0), ("bot_trades", 10, 1), ("round trips", 2, 0),
    }  # fmt: skip
    assert [(s.column, s.in_lake) for t in report.tables for s in t.sums if s.column == "fills.pnl"] == [
        ("fills.pnl", 17.5)
    ]
    assert rows(lk, "fills", "fill_id", "trade_id", "mode", "venue")[:4] == [
        (uid(1), uid(1), "paper", "binance"), (uid(2), uid(1), "paper", "binance"),
        (uid(3), uid(1), "paper", "binance"), (uid(4), uid(4), "live", "binance"),
    ]  # fmt: skip
    columns = ("trade_id", "side", "mode", "quantity", "entry_price", "exit_price", "pnl", "round(fees, 4)", "strategy")
    assert rows(lk, "trades", *columns) == [
        (uid(1), "LONG", "paper", 0.4, 101.0, 111.0, 4.0, 0.15, "RSI"),
        (uid(4), "SHORT", "live", 0.5, 111.0, 104.0, 3.5, 0.15, "RSI"),
    ]
    assert rows(lk, "trades", "exit_reason", "strftime(opened_at, '%H:%M')", "strftime(closed_at, '%H:%M')") == [
        ("S3", "12:01", "12:03"), ("S6", "12:04", "12:06"),
    ]  # fmt: skip
    assert rows(lk, "trades", "pnl_percent") == pytest.approx([350 / 55.5, 400 / 40.4])
    assert "5 executions are part of no whole round trip" in notes(report)
    assert [reason.split(" (")[0] for _, reason, _ in quarantined(lk)] == [
        "fills.price: a row without it says nothing. Give 'price'."
    ]


def test_a_signal_has_the_symbol_of_its_bot(lk: lake.Lake, postgres: Postgres) -> None:
    signals = f"""insert into bot_signals values
      ('{uid(1)}', 'rsi_btc', '2025-10-11 12:00Z', 'BUY', 80.5, '{{"rsi": 29}}', 45000, 'EXECUTED', null, '{uid(7)}'),
      ('{uid(2)}', 'rsi_btc', '2025-10-11 12:01Z', 'HOLD', 10, null, 45000, 'REJECTED', 'weak', null),
      ('{uid(3)}', 'gone', '2025-10-11 12:02Z', 'SELL', 10, null, 45000, 'IGNORED', null, null)"""
    metric = """insert into bot_metrics_realtime values (default, 'rsi_btc', '2025-10-11 12:00Z', 45000, 0.001, 45, 1.5,
      250, 251.5, '{"rsi": 29}', '{"trend": "up"}')"""
    postgres.run(*SCHEMA.split(";"), BOT, signals, metric)
    report = imported(lk, "binance-schema", postgres.address)
    assert {(t.table, t.landed, t.refused) for t in report.tables if t.found} == {
        ("bot_configs", 1, 0), ("bot_signals", 2, 1), ("bot_metrics_realtime", 1, 0),
    }  # fmt: skip
    columns = ("signal_id", "symbol", "timeframe", "signal_type", "strength", "action", "rejection_reason", "trade_id")
    assert rows(lk, "signals", "signal_type", "direction") == [("BUY", "LONG"), ("HOLD", None)]
    assert rows(lk, "signals", *columns) == [
        (uid(1), "BTCUSDT", "1m", "BUY", 80.5, "EXECUTED", None, uid(7)),
        (uid(2), "BTCUSDT", "1m", "HOLD", 10.0, "REJECTED", "weak", None),
    ]
    assert rows(lk, "bot_metrics", "price", "unrealized_pnl", "indicators") == [(45000.0, 1.5, '{"rsi":29}')]


def test_databases_that_count_their_rows_from_1_do_not_meet(lk: lake.Lake, postgres: Postgres) -> None:
    for bot, number in (("a", 1), ("b", 2)):
        name = f"{postgres.schema}_{bot}"
        tables = SCHEMA.replace("trade_id uuid", "trade_id bigint").replace("signal_id uuid", "signal_id bigint")
        trips = [
            fill(1, "BUY", number, 100, bot_id=bot, trade_id=1),
            fill(2, "SELL", number, 110, bot_id=bot, trade_id=2),
        ]
        signal = (
            f"insert into bot_signals values (1, '{bot}', '2025-10-11Z', 'BUY', 80, null, 100, 'EXECUTED', null, 1)"
        )
        config = BOT.replace("rsi_btc", bot)
        postgres.run(
            f"create schema {name}", f"set local search_path = {name}", *tables.split(";"), config, *trips, signal
        )
        try:
            report = imported(lk, "binance-schema", f"{postgres.server}?schema={name}")
        finally:
            postgres.run(f"drop schema {name} cascade")
        assert report.totals["differences_found"] == 0
    assert rows(lk, "fills", "fill_id", "trade_id", "quantity") == [
        ("a:1", "a:1", 1.0), ("a:2", "a:1", 1.0), ("b:1", "b:1", 2.0), ("b:2", "b:1", 2.0),
    ]  # fmt: skip
    assert rows(lk, "trades", "trade_id", "bot_id", "quantity") == [("a:1", "a", 1.0), ("b:1", "b", 2.0)]
    assert rows(lk, "signals", "signal_id", "trade_id") == [("a:1", "a:1"), ("b:1", "b:1")]


def test_fees_are_the_commissions_unless_they_were_paid_in_another_currency(lk: lake.Lake, postgres: Postgres) -> None:
    postgres.run(
        *SCHEMA.split(";"), BOT,
        fill(1, "BUY", 1, 100, commission_asset=None), fill(2, "SELL", 1, 110, commission_asset="usdt", pnl=9.9),
        fill(3, "BUY", 1, 100, commission_asset="BNB"), fill(4, "SELL", 1, 110, pnl=9.9),
        fill(5, "BUY", 1, 100, commission=None), fill(6, "SELL", 1, 110, commission=None),
    )  # fmt: skip
    report = imported(lk, "binance-schema", postgres.address)
    assert rows(lk, "trades", "trade_id", "fees", "pnl_percent") == [
        (uid(1), 0.1, 9.9), (uid(3), None, 9.9), (uid(5), None, None),
    ]  # fmt: skip
    assert "1 round trip paid fees in another currency" in notes(report)


def test_what_is_left_of_a_round_trip_is_no_other_one(lk: lake.Lake, postgres: Postgres) -> None:
    postgres.run(
        *SCHEMA.split(";"), BOT,
        fill(1, "BUY", 0.3, 100), fill(2, "BUY", 0.1, 104), fill(3, "SELL", 0.1, 110, pnl=0.6),
        fill(4, "SELL", 0.3, 111, pnl=3.3),
    )  # fmt: skip
    imported(lk, "binance-schema", postgres.address)
    before = [rows(lk, "trades", "*"), rows(lk, "fills", "*")]
    assert rows(lk, "trades", "trade_id", "quantity") == [(uid(1), 0.4)]
    postgres.run(f"delete from bot_trades where trade_id = '{uid(1)}'")
    report = imported(lk, "binance-schema", postgres.address)
    assert (report.totals["landed"], report.totals["differences_found"]) == (0, 0)
    assert [rows(lk, "trades", "*"), rows(lk, "fills", "*")] == before
    assert "1 row tells what the lake has by other rows" in notes(report)
    postgres.run(fill(5, "BUY", 1, 100), fill(6, "SELL", 1, 110, pnl=10))
    imported(lk, "binance-schema", postgres.address)
    assert rows(lk, "trades", "trade_id", "quantity") == [(uid(1), 0.4), (uid(5), 1.0)]
    assert rows(lk, "fills", "trade_id") == [uid(1)] * 4 + [uid(5)] * 2


@pytest.mark.parametrize("purged", [(1,), (1, 2, 3)])
def test_a_round_trip_whose_entry_was_purged_before_it_ended_is_whole(
    lk: lake.Lake, postgres: Postgres, purged: tuple[int, ...]
) -> None:
    postgres.run(
        *SCHEMA.split(";"), BOT,
        fill(1, "BUY", 0.3, 100), fill(2, "BUY", 0.1, 104), fill(3, "SELL", 0.1, 110, pnl=0.6),
    )  # fmt: skip
    imported(lk, "binance-schema", postgres.address)
    for number in purged:
        postgres.run(f"delete from bot_trades where trade_id = '{uid(number)}'")
    postgres.run(fill(4, "SELL", 0.3, 111, pnl=3.3))
    report = imported(lk, "binance-schema", postgres.address)
    columns = ("trade_id", "quantity", "entry_price", "pnl", "strftime(opened_at, '%H:%M')")
    assert rows(lk, "trades", *columns) == [(uid(1), 0.4, 101.0, 3.9, "12:01")]
    assert rows(lk, "fills", "trade_id") == [uid(1)] * 4
    assert "taken from the lake: their round trips have ended" in notes(report)
    assert quarantined(lk) == []


def test_an_execution_that_came_late_takes_none_from_a_round_trip_that_landed(
    lk: lake.Lake, postgres: Postgres
) -> None:
    postgres.run(*SCHEMA.split(";"), BOT, fill(2, "BUY", 0.1, 104), fill(3, "SELL", 0.1, 110, pnl=0.6))
    imported(lk, "binance-schema", postgres.address)
    postgres.run(fill(1, "BUY", 0.3, 100), fill(4, "SELL", 0.3, 111, pnl=3.3))
    imported(lk, "binance-schema", postgres.address)
    assert rows(lk, "trades", "trade_id", "quantity") == [(uid(2), 0.1)]
    assert rows(lk, "fills", "trade_id") == [uid(2), uid(2), None, None]


def test_a_signal_keeps_the_symbol_of_its_bot_when_that_was_deleted(lk: lake.Lake, postgres: Postgres) -> None:
    signal = f"""insert into bot_signals values
      ('{uid(1)}', 'rsi_btc', '2025-10-11 12:00Z', 'BUY', 80.5, null, 45000, 'EXECUTED', null, '{uid(7)}')"""
    postgres.run(*SCHEMA.split(";"), BOT, signal)
    imported(lk, "binance-schema", postgres.address)
    before = rows(lk, "signals", "*")
    postgres.run("delete from bot_configs")
    report = imported(lk, "binance-schema", postgres.address)
    assert (report.totals["found"], report.totals["unchanged"]) == (1, 1)
    assert rows(lk, "signals", "*") == before
    assert quarantined(lk) == []
