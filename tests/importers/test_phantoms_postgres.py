"""phantom_trades_live, in PostgreSQL and in SQLite beside candles."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import lake
from lake.importers.base import Options
from lake.importers.kinds.phantom_map import REDIS_PHANTOMS, TABLE_PHANTOMS
from lake.importers.mapping import Mapper
from tests.importers.conftest import Postgres
from tests.importers.contract import imported, quarantined, rows

TABLE = """create table phantom_trades_live (id {}, symbol varchar(24) not null, side varchar(8) not null,
  entry float not null, sl float not null, tp float not null, signal_time {} not null, exit_time {},
  outcome varchar(12), realized_rr float, pnl_percent float, exit_reason varchar(24),
  strategy_name varchar(32) default 'trend_pullback', was_executed boolean, ml_score float, features text)"""
NAMES = ("symbol", "side", "entry", "sl", "tp", "signal_time", "exit_time", "outcome", "realized_rr", "pnl_percent",
         "exit_reason", "strategy_name", "was_executed", "ml_score", "features")  # fmt: skip


def phantom(minute: int, **more: Any) -> dict[str, Any]:
    values = ("BTCUSDT", "long", 100.0, 95.0, 110.0, f"2024-03-01 10:{minute:02d}:00.123456", "2024-03-01 12:00:00",
              "win", 2.0, 10.0, "tp", "trend_pullback", False, 72.5, '{"rsi": 31.5, "vol": NaN}')  # fmt: skip
    return {**dict(zip(NAMES, values, strict=True)), **more}


MANY = [
    phantom(1),
    phantom(2, side="short", sl=105.0, tp=90.0, outcome="loss", realized_rr=-1.0, pnl_percent=-5.0, exit_reason="sl"),
    phantom(3, sl=100.0, realized_rr=0.0, pnl_percent=0.0, exit_reason="sl", ml_score=0.0),
    phantom(4, outcome="loss", realized_rr=0.0, pnl_percent=0.0, exit_reason="timeout"),
    phantom(5, outcome=None, exit_time=None, realized_rr=0.0, pnl_percent=0.0, exit_reason=None),
    phantom(6, side="sideways"),
]
LANDED = [
    ("LONG", 95.0, 72.5, "completed", "win", "tp", 10.0, 2.0, None),
    ("SHORT", 105.0, 72.5, "completed", "loss", "sl", -5.0, -1.0, None),
    ("LONG", None, None, "completed", "win", "sl", 0.0, None, True),
    ("LONG", 95.0, 72.5, "completed", "timeout", "timeout", None, None, None),
    ("LONG", 95.0, 72.5, "active", None, None, None, None, None),
]
COLUMNS = ("signal_time", "side", "stop_loss", "ml_score", "status", "outcome", "exit_reason", "pnl_percent",
           "realized_rr", "be_moved")  # fmt: skip


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake") as opened:
        yield opened


@pytest.fixture(params=["sqlite", "postgres"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        path = tmp_path / "bot" / "candles.db"
        path.parent.mkdir()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(TABLE.format("integer primary key", "datetime", "datetime"))
            connection.executemany(
                f"insert into phantom_trades_live ({', '.join(NAMES)}) values ({', '.join('?' * len(NAMES))})",
                [list(row.values()) for row in MANY],
            )
            connection.commit()
        return str(path)
    postgres: Postgres = request.getfixturevalue("postgres")
    spelled = [", ".join("null" if v is None else f"'{v}'" for v in row.values()) for row in MANY]
    postgres.run(
        TABLE.format("serial primary key", "timestamp", "timestamp"),
        *(f"insert into phantom_trades_live ({', '.join(NAMES)}) values ({row})" for row in spelled),
    )
    return postgres.address


def test_phantoms_land_with_what_is_missing_left_out(lk: lake.Lake, source: str) -> None:
    report = imported(lk, "phantoms-postgres", source, venue="bybit")
    assert (report.totals["landed"], report.totals["refused"]) == (5, 1)
    assert [row[1:] for row in rows(lk, "phantoms", *COLUMNS)] == LANDED
    assert [reason.split(" (")[0] for _, reason, _ in quarantined(lk)] == ["side: unknown word"]
    (total,) = report.tables[0].sums
    assert (total.found, total.in_lake) == (15.0, 5.0)


def test_features_are_read_though_a_number_among_them_is_none(lk: lake.Lake, source: str) -> None:
    imported(lk, "phantoms-postgres", source)
    assert set(rows(lk, "phantoms", "features")) == {'{"rsi":31.5,"vol":null}'}


def test_a_phantom_of_redis_has_the_key_of_its_row_in_the_table() -> None:
    row = phantom(1)
    told = {"phantom_id": "1a2b3c4d", "symbol": "BTC/USDT", "side": "LONG", "entry_price": 100.0, "stop_loss": 95.0,
            "take_profit": 110.0, "signal_time": "2024-03-01T10:01:00.123456", "outcome": "active"}  # fmt: skip
    table, redis = Mapper(TABLE_PHANTOMS, Options(), "t")(row), Mapper(REDIS_PHANTOMS, Options(), "r")(told)
    assert table["phantom_id"] == redis["phantom_id"]
    assert (redis["status"], "outcome" in redis) == ("active", False)
