"""Trades of PostgreSQL, their twin in JSON, and the statistics that the bot made of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lake
from lake.errors import SourceError
from lake.importers.run import import_from
from tests.importers.conftest import Postgres
from tests.importers.contract import differences, imported, notes, quarantined, rows

TRADES = """create table trades (id serial primary key, symbol varchar(100) not null, side varchar(20) not null,
  entry_price decimal(20, 8) not null, exit_price decimal(20, 8) not null, quantity decimal(20, 8) not null,
  entry_time timestamp not null, exit_time timestamp not null, pnl_usd decimal(20, 8) not null,
  pnl_percent decimal(20, 8) not null, exit_reason varchar(100) not null, leverage decimal(10, 2) default 1.0,
  strategy_name varchar(100), created_at timestamp default current_timestamp)"""
CACHE = """create table trade_stats_cache (period varchar(20) primary key, total_trades int, wins int, losses int,
  win_rate decimal(5, 2), total_pnl decimal(20, 8), avg_win decimal(20, 8), avg_loss decimal(20, 8),
  profit_factor decimal(10, 2), best_trade_pnl decimal(20, 8), worst_trade_pnl decimal(20, 8),
  updated_at timestamp default current_timestamp)"""
NAMES = ("symbol", "side", "entry_price", "exit_price", "quantity", "entry_time", "exit_time", "pnl_usd",
         "pnl_percent", "exit_reason", "leverage", "strategy_name")  # fmt: skip


def trade(day: int, pnl: float, **more: Any) -> dict[str, Any]:
    values = ("BTCUSDT", "long", 100.123456789, 110.0, 0.5, f"2024-03-{day:02d}T10:00:00.123456",
              f"2024-03-{day:02d}T12:00:00.5", pnl, pnl / 10, "tp", 10.0, "trend_pullback")  # fmt: skip
    return {**dict(zip(NAMES, values, strict=True)), **more}


def insert(row: dict[str, Any], table: str = "trades") -> str:
    values = ", ".join("null" if value is None else f"'{value}'" for value in row.values())
    return f"insert into {table} ({', '.join(row)}) values ({values})"


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake") as opened:
        yield opened


MANY = [trade(1, 12.3456789012), trade(8, -5.0, side="short"), trade(20, 0.0), trade(27, 7.5, symbol="PEPE/USDT")]


def test_trades_of_postgres_land_with_equal_sums(lk: lake.Lake, postgres: Postgres) -> None:
    postgres.run(TRADES, *map(insert, MANY))
    report = imported(lk, "trades-postgres", postgres.address, bot_id="b1")
    (table,) = report.tables
    assert [(s.column, round(s.in_lake or 0, 6)) for s in table.sums] == [
        ("trades.pnl", 14.845679),
        ("trades.quantity", 2),
    ]
    found = rows(lk, "trades", "opened_at", "symbol", "side", "status", "leverage", "pnl", "strategy", "bot_id")
    assert [row[1:] for row in found] == [
        ("BTCUSDT", "LONG", "closed", 10.0, 12.3456789, "trend_pullback", "b1"),
        ("BTCUSDT", "SHORT", "closed", 10.0, -5.0, "trend_pullback", "b1"),
        ("BTCUSDT", "LONG", "closed", 10.0, 0.0, "trend_pullback", "b1"),
        ("PEPEUSDT", "LONG", "closed", 10.0, 7.5, "trend_pullback", "b1"),
    ]
    assert found[0][0].isoformat() == "2024-03-01T10:00:00.123456+00:00"


def test_the_row_as_found_stays_beside_it(lk: lake.Lake, postgres: Postgres) -> None:
    postgres.run(TRADES, insert(trade(1, 12.3456789012)))
    import_from(lk, "trades-postgres", postgres.address)
    (extra,) = rows(lk, "trades", "extra")
    kept = json.loads(extra)["imported"]["trades-postgres:trades"]
    assert (kept["id"], kept["pnl_usd"], kept["side"]) == (1, "12.34567890", "long")


@pytest.mark.parametrize("first", ["json", "postgres"])
def test_json_and_postgres_tell_one_story(lk: lake.Lake, tmp_path: Path, postgres: Postgres, first: str) -> None:
    """Eight decimals of the one are no difference to all digits of the other."""
    (tmp_path / "source").mkdir()
    file = tmp_path / "source" / "trade_history.json"
    file.write_text(json.dumps([*MANY, trade(28, 1.0)]))
    changed = trade(20, 3.0, exit_reason="manual")
    postgres.run(TRADES, *map(insert, [MANY[0], MANY[1], changed, trade(29, 2.0)]))
    stores = {"json": ("trades-json", str(file)), "postgres": ("trades-postgres", postgres.address)}
    other = "postgres" if first == "json" else "json"
    imported(lk, *stores[first])
    report = imported(lk, *stores[other])
    told = {"json": (0.0, "tp"), "postgres": (3.0, "manual")}
    assert sorted(differences(report)) == [
        ("exit_reason", told[first][1], told[other][1]),
        ("pnl", told[first][0], told[other][0]),
        ("pnl_percent", told[first][0] / 10, told[other][0] / 10),
    ]
    assert len(rows(lk, "trades", "trade_id")) == 6
    both = [extra for extra in rows(lk, "trades", "extra") if len(json.loads(extra)["imported"]) == 2]
    assert len(both) == 3


ROUNDED = TRADES.replace("timestamp not null", "timestamp(0) not null")


@pytest.mark.parametrize("first", ["json", "postgres"])
def test_a_trade_of_which_one_store_keeps_whole_seconds_is_one_and_its_times_are_of_one_store(
    lk: lake.Lake, tmp_path: Path, postgres: Postgres, first: str
) -> None:
    """PostgreSQL rounds: a trade of a fifth of a second then begins and ends at the next one."""
    (tmp_path / "source").mkdir()
    day = "2024-03-01T10:00:0"
    short = trade(1, 1.5, entry_time=f"{day}0.700", exit_time=f"{day}0.900")
    others = [
        trade(1, 2.0, entry_time=f"{day}0.300", exit_time=f"{day}0.900"),  # as short, but for a moment
        trade(1, 3.0, entry_time=f"{day}0.700", exit_time=f"{day}0.900", quantity=0.75),
        trade(1, 4.0, entry_time=f"{day}0.700", exit_time=f"{day}5.900"),
    ]
    file = tmp_path / "source" / "trade_history.json"
    file.write_text(json.dumps([short, *others]))
    postgres.run(ROUNDED, *map(insert, [*others, short]))
    stores = {"json": ("trades-json", str(file)), "postgres": ("trades-postgres", postgres.address)}
    other = "postgres" if first == "json" else "json"
    imported(lk, *stores[first])
    report = imported(lk, *stores[other])
    assert report.totals["found"] == 4
    assert rows(lk, "trades", "pnl") == [1.5, 2.0, 3.0, 4.0]
    millisecond = rows(lk, "trades", "pnl", "date_part('ms', opened_at)::INT", "date_part('ms', closed_at)::INT")
    fine = [(1.5, 700, 900), (2.0, 300, 900), (3.0, 700, 900), (4.0, 700, 5900)]
    whole = [(1.5, 1000, 1000), (2.0, 0, 1000), (3.0, 1000, 1000), (4.0, 1000, 6000)]
    assert millisecond == (fine if first == "json" else whole)
    assert {column for column, _, _ in differences(report)} == {"created_at", "opened_at", "closed_at"}
    assert imported(lk, *stores[first]).totals["landed"] == 0


def test_legacy_nonsense_is_understood_or_refused(lk: lake.Lake, postgres: Postgres) -> None:
    odd = [
        trade(1, 1.0, leverage=0),
        trade(2, float("nan")),
        trade(3, 1.0, side="both"),
        trade(4, 1.0, exit_time="2024-03-01"),
    ]
    postgres.run(TRADES, *map(insert, odd))
    report = imported(lk, "trades-postgres", postgres.address)
    assert report.totals["refused"] == 2
    assert sorted(reason.split(" (")[0] for _, reason, _ in quarantined(lk)) == [
        "side: unknown word", "trades.closed_at: it is before opened_at",
    ]  # fmt: skip
    assert rows(lk, "trades", "opened_at::DATE::VARCHAR", "leverage", "pnl") == [
        ("2024-03-01", 1.0, 1.0),
        ("2024-03-02", 10.0, None),
    ]


def cache(period: str, **numbers: float) -> str:
    return insert({"period": period, **numbers, "updated_at": "2024-03-28 00:00:00"}, "trade_stats_cache")


def test_right_statistics_are_no_difference(lk: lake.Lake, postgres: Postgres) -> None:
    """Those of seven days are of the seven days before they were made."""
    whole = {"total_trades": 4, "wins": 2, "losses": 2, "win_rate": 50, "total_pnl": 14.85, "avg_win": 9.92,
             "avg_loss": -2.5, "profit_factor": 3.97, "best_trade_pnl": 12.3456789, "worst_trade_pnl": -5}  # fmt: skip
    week = {"total_trades": 1, "wins": 1, "losses": 0, "win_rate": 100, "total_pnl": 7.5, "profit_factor": 999}
    postgres.run(TRADES, CACHE, *map(insert, MANY), cache("all_time", **whole), cache("last_7d", **week))
    report = imported(lk, "trades-postgres", postgres.address)
    assert differences(report) == []
    assert [(t.table, t.found, t.landed) for t in report.tables][1] == ("trade_stats_cache", 2, 2)


def test_wrong_statistics_are_told_and_not_taken(lk: lake.Lake, postgres: Postgres) -> None:
    postgres.run(
        TRADES, CACHE, *map(insert, MANY), cache("all_time", total_trades=5, total_pnl=99), cache("last_30d", wins=2)
    )
    report = imported(lk, "trades-postgres", postgres.address)
    assert sorted((d.key, d.column, round(d.kept, 4), d.found) for t in report.tables for d in t.differences) == [
        ("all_time", "total_pnl", 14.8457, 99.0),
        ("all_time", "total_trades", 4, 5.0),
    ]


def test_statistics_under_other_names_are_compared_and_those_not_understood_are_told(
    lk: lake.Lake, postgres: Postgres
) -> None:
    table = "create table trade_stats_cache (stat_type text, total_trades int, winning_trades int, losing_trades int)"
    told = [("ALL-TIME", 4, 1, 2), ("7d", 1, 1, 0), ("since the moon was full", 9, 9, 9), ("all", None, None, None)]
    names = ("stat_type", "total_trades", "winning_trades", "losing_trades")
    cached = [insert(dict(zip(names, row, strict=True)), "trade_stats_cache") for row in told]
    postgres.run(TRADES, table, *map(insert, MANY), *cached)
    report = imported(lk, "trades-postgres", postgres.address)
    assert ("wins", 2, 1.0) in differences(report)
    assert (report.tables[1].landed, report.tables[1].refused) == (1, 3)
    assert "not compared: statistics of 'since the moon was full', a period that is not understood" in notes(report)
    assert "not compared: statistics of '7d', days before a time that is not told" in notes(report)


def test_a_database_without_trades_is_of_another_kind(lk: lake.Lake, postgres: Postgres) -> None:
    postgres.run("create table other (a int)")
    with pytest.raises(SourceError, match="none of the tables of trades-postgres is there"):
        import_from(lk, "trades-postgres", postgres.address)
