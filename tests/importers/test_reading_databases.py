"""Databases are read whole, typed, and without a trace."""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from math import inf, isnan
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import lake
from lake.errors import SourceError
from lake.importers.base import Notes
from lake.importers.reading import sqlite
from lake.importers.reading.database import database, require
from lake.importers.reading.postgres import PostgresDatabase
from lake.importers.reading.sqlite import SqliteFile
from lake.importers.run import import_from
from tests.importers.conftest import Postgres
from tests.importers.contract import imported


def states(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


def filled(path: Path, *statements: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    return connection


def all_rows(db: SqliteFile | PostgresDatabase, table: str) -> list[dict[str, object]]:
    return [dict(row) for row in db.rows(table, Notes())]


@pytest.fixture
def wal(tmp_path: Path) -> Iterator[Path]:
    """A file whose last row is only in the log beside it, as a bot that runs leaves it."""
    with closing(filled(tmp_path / "bot.db", "pragma journal_mode = wal", "create table t (a)")) as connection:
        connection.execute("pragma wal_autocheckpoint = 0")
        connection.execute("insert into t values (1)")
        connection.commit()
        yield tmp_path / "bot.db"


def test_a_row_that_is_only_in_the_log_beside_the_file_is_read(wal: Path) -> None:
    assert all_rows(SqliteFile(wal), "t") == [{"a": 1}]


def test_reading_leaves_a_file_and_its_log_as_they_are(wal: Path) -> None:
    before = states(wal.parent)
    db = SqliteFile(wal)
    assert (db.tables(), db.count("t"), len(all_rows(db, "t"))) == (("t",), 1, 1)
    assert states(wal.parent) == before


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize("copied_up_to", [0, 1 << 20])
def test_reading_a_closed_file_makes_no_file_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, copied_up_to: int
) -> None:
    monkeypatch.setattr(sqlite, "_SMALL", copied_up_to)
    filled(tmp_path / "x.db", f"pragma journal_mode = {mode}", "create table t (a)", "insert into t values (1)").close()
    before = states(tmp_path)
    assert list(before) == ["x.db"]
    assert all_rows(SqliteFile(tmp_path / "x.db"), "t") == [{"a": 1}]
    assert states(tmp_path) == before


def test_a_bot_goes_on_writing_while_its_file_is_read(tmp_path: Path) -> None:
    with closing(filled(tmp_path / "x.db", "create table t (a)", "insert into t values (1), (2)")) as bot:
        bot.execute("pragma busy_timeout = 0")
        rows = SqliteFile(tmp_path / "x.db").rows("t", Notes())
        first = next(rows)
        bot.execute("insert into t values (3)")
        bot.commit()
        assert [first, *rows] == [{"a": 1}, {"a": 2}]


def test_a_transaction_that_was_cut_off_is_not_read(tmp_path: Path) -> None:
    live = tmp_path / "live.db"
    with closing(filled(live, "create table t (a)", "insert into t values (1)")) as connection:
        connection.execute("pragma cache_size = 1")
        connection.execute("update t set a = 2")
        connection.executemany("insert into t values (?)", [("x" * 4000,)] * 50)
        cut = tmp_path / "cut"
        cut.mkdir()
        for path in (live, live.with_name("live.db-journal")):
            (cut / path.name).write_bytes(path.read_bytes())
    before = states(cut)
    assert all_rows(SqliteFile(cut / "live.db"), "t") == [{"a": 1}]
    assert states(cut) == before


def test_a_copy_is_removed_when_its_file_is_no_longer_read(wal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copies = wal.parent / "copies"
    copies.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(copies))
    db = SqliteFile(wal)
    assert len(list(copies.iterdir())) == 1
    del db
    assert list(copies.iterdir()) == []


@pytest.mark.parametrize(("content", "said"), [(b"", "the file is empty"), (b"[1, 2]" * 20, "not a SQLite file")])
def test_what_is_no_sqlite_file_is_said_at_once(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x.db").write_bytes(content)
    with pytest.raises(SourceError, match=said):
        SqliteFile(tmp_path / "x.db")


def test_a_truncated_file_gives_what_comes_before_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with closing(filled(path, "create table t (a)")) as connection:
        connection.executemany("insert into t values (?)", [(f"{n}" * 100,) for n in range(3_000)])
        connection.commit()
    path.write_bytes(path.read_bytes()[:200_000])
    notes = Notes()
    db = SqliteFile(path)
    assert db.count("t") is None
    assert 50 < len(list(db.rows("t", notes))) < 3_000
    assert notes.failed
    assert "damaged" in notes.texts[0]


def test_text_that_is_no_unicode_is_read(tmp_path: Path) -> None:
    filled(tmp_path / "x.db", "create table t (a)", "insert into t values (cast(x'41ff' as text))").close()
    assert all_rows(SqliteFile(tmp_path / "x.db"), "t") == [{"a": "A\N{REPLACEMENT CHARACTER}"}]


def test_a_sqlite_query_comes_in_frames_of_so_many_rows(tmp_path: Path) -> None:
    with closing(filled(tmp_path / "x.db", "create table t (a, b)")) as connection:
        connection.executemany("insert into t values (?, ?)", [(n, f"{n}") for n in range(25)])
        connection.commit()
    schema = {"a": pl.Float64(), "b": pl.String()}
    frames = list(SqliteFile(tmp_path / "x.db").frames("select a, b from t order by a", schema, 10))
    assert [frame.height for frame in frames] == [10, 10, 5]
    assert frames[2].row(-1) == (24.0, "24")


def test_a_database_without_the_tables_is_of_another_kind(tmp_path: Path) -> None:
    filled(tmp_path / "x.db", "create table t (a)").close()
    with pytest.raises(SourceError, match="none of the tables of candles-sqlite is there"):
        require(database(str(tmp_path / "x.db")), ["candles"], kind="candles-sqlite")


TYPES = """create table "Odd Types" as select 1::int2 as small, 12.50::numeric(20,8) as price, 'NaN'::numeric as nan,
  'Infinity'::numeric as inf, '{"a": [1]}'::jsonb as document, '2024-01-02 03:04:05+02'::timestamptz as at,
  '2024-01-02 03:04:05'::timestamp as naive, 'infinity'::timestamp as never, null::uuid as none, 0.1::float4 as real,
  '6f9619ff-8b86-d011-b42d-00cf4fc964ff'::uuid as id, array['a', 'b'] as tags, interval '1 day' as span"""


def test_types_of_postgres_come_as_the_values_that_they_mean(postgres: Postgres) -> None:
    postgres.run(TYPES)
    db = PostgresDatabase(postgres.address)
    (row,) = all_rows(db, "Odd Types")
    assert isnan(row.pop("nan"))  # type: ignore[arg-type]
    assert row == {
        "small": 1,
        "price": Decimal("12.50000000"),
        "inf": inf,
        "document": {"a": [1]},
        "at": datetime(2024, 1, 2, 1, 4, 5, tzinfo=UTC),
        "naive": datetime.fromisoformat("2024-01-02T03:04:05"),
        "never": "out of range",
        "none": None,
        "real": 0.1,
        "id": "6f9619ff-8b86-d011-b42d-00cf4fc964ff",
        "tags": ["a", "b"],
        "span": "1 day",
    }
    assert db.columns("Odd Types")["price"] == "numeric"


def test_nothing_can_be_written_in_a_postgres_that_is_read(postgres: Postgres) -> None:
    postgres.run(
        "create table t (a int)",
        "create function w() returns int as 'insert into t values (1) returning 1' language sql",
    )
    with pytest.raises(SourceError, match="read-only transaction"):
        list(PostgresDatabase(postgres.address).frames("select w() as a", {"a": pl.Int64()}, 10))


def test_a_postgres_table_is_read_in_the_order_asked_for(postgres: Postgres) -> None:
    postgres.run("create table t (a int, b text)", "insert into t values (2, 'x'), (1, 'y'), (3, null)")
    db = PostgresDatabase(postgres.address)
    assert (db.tables(), db.count("t")) == (("t",), 3)
    assert [row["b"] for row in db.rows("t", Notes(), ["a"])] == ["y", "x", None]


def test_a_postgres_query_comes_in_frames_of_about_so_many_rows(postgres: Postgres) -> None:
    postgres.run("create table t as select n, n * 0.5::float8 as x from generate_series(1, 50000) n")
    schema = {"n": pl.Int64(), "x": pl.Float64()}
    frames = list(PostgresDatabase(postgres.address).frames("select n, x from t order by n", schema, 10_000))
    assert pl.concat(frames)["n"].to_list() == list(range(1, 50_001))
    assert max(frame.height for frame in frames) < 40_000


def test_a_server_that_does_not_answer_is_one_clear_error_without_the_password() -> None:
    with pytest.raises(SourceError, match="PostgreSQL cannot be read") as caught:
        PostgresDatabase("postgresql://bot:secret@127.0.0.1:1/bot?schema=live&password=secret")
    assert "secret" not in str(caught.value)
    assert "postgresql://bot@127.0.0.1:1/bot?schema=live" in str(caught.value)
    assert "Is it running there, and are user, password and database right" in str(caught.value)


def test_a_kind_s_own_schema_is_looked_in_before_public(postgres: Postgres) -> None:
    postgres.run("create table t (a int)", "insert into t values (7)")
    db = PostgresDatabase(postgres.server, postgres.schema)
    assert ("t" in db.tables(), all_rows(db, "t")) == (True, [{"a": 7}])


def test_a_table_that_is_not_there_is_one_clear_error(postgres: Postgres) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        PostgresDatabase(postgres.address).count("nothing")


@pytest.mark.parametrize(
    ("kind", "tables"),
    [
        ("candles-sqlite", "candles(symbol, timestamp, open, high, low, close, volume)"),
        ("phantoms-postgres", "phantom_trades_live(symbol, side, entry, signal_time)"),
        ("positions-sqlite", "position_history(id integer primary key, symbol, outcome)"),
        ("trades-postgres", "trades(id, symbol, side, entry_time)"),
        ("trades-db", "trades(id, symbol, side, entry_time)"),
        ("decisions-postgres", "decisions(id text)"),
        ("hummingbot", "TradeFill(id, order_id, exchange_trade_id, config_file_path)"),
    ],
)
def test_tables_that_a_kind_does_not_read_are_told(kind: str, tables: str, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "bot.db")) as connection:
        connection.execute(f"create table {tables}")
        connection.execute("create table balances(at, amount)")
    report = import_from(None, kind, str(tmp_path / "bot.db"), dry_run=True)
    assert "not read: balances" in [note for table in report.tables for note in table.notes]


def test_a_packed_sqlite_file_is_told_as_that(tmp_path: Path) -> None:
    (tmp_path / "candles.db.gz").write_bytes(gzip.compress(b"SQLite format 3\0"))
    with pytest.raises(SourceError, match="not a SQLite file. It is packed: unpack it first"):
        SqliteFile(tmp_path / "candles.db.gz")


def _stored(path: Path, table: str, *rows: dict[str, Any]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"create table {table} ({', '.join(names)})")
        marks = ", ".join("?" * len(names))
        connection.executemany(f"insert into {table} values ({marks})", [[row.get(n) for n in names] for row in rows])
    return str(path)


def test_a_row_without_its_id_is_refused_as_it_would_be_another_at_each_import(tmp_path: Path) -> None:
    decision = {"symbol": "BTCUSDT", "timeframe": "1h", "recommendation": "HOLD", "analyzed_at": "2024-01-01T00:00:00Z"}
    source = _stored(tmp_path / "bot.db", "decisions", {**decision, "id": "a"}, {**decision, "id": None})
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "decisions-postgres", source)
        assert (report.totals["landed"], dict(report.tables[0].reasons)) == (1, {"id: no id": 1})


@pytest.mark.parametrize("minutes", [1e300, -5.0])
def test_an_outcome_that_was_held_for_a_senseless_time_is_not_taken(minutes: float, tmp_path: Path) -> None:
    decision = {"id": "a", "symbol": "BTCUSDT", "recommendation": "LONG", "analyzed_at": "2024-01-01T00:00:00Z",
                "outcome_correct": 1, "hold_duration_minutes": minutes}  # fmt: skip
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "decisions-postgres", _stored(tmp_path / "bot.db", "decisions", decision))
        assert lk.frame("SELECT outcome_correct, outcome_recorded_at FROM decisions").rows() == [(None, None)]


@pytest.mark.parametrize("odd", [{"pnl": "none"}, {"commission": "much"}, {"trade_id": None}])
def test_an_odd_value_of_an_execution_costs_no_more_than_what_rests_on_it(odd: dict[str, Any], tmp_path: Path) -> None:
    fill = {"bot_id": "b", "symbol": "BTCUSDT", "quantity": 1.0, "price": 100.0, "is_test_mode": 0, "commission": 0.1}
    fills = [
        {**fill, "trade_id": n + 1, "side": ("BUY", "SELL")[n % 2], "is_entry": (1, 0)[n % 2],
         "pnl": (None, 2.0)[n % 2], "execution_time": f"2024-01-01T0{n}:00:00Z"} for n in range(4)
    ]  # fmt: skip
    fills[1] |= odd
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "binance-schema", _stored(tmp_path / "bot.db", "bot_trades", *fills))
        assert report.tables[0].refused == 1
        assert lk.frame("SELECT count(*) FROM fills").item() == 3
        assert 2.0 in lk.frame("SELECT pnl FROM trades")["pnl"].to_list()
