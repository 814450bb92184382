"""candles.db, and its twin in PostgreSQL, land whole and once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import lake
from lake.errors import SourceError
from lake.importers.base import Options
from lake.importers.candle_merging import merged_candles
from lake.importers.kinds import candle_tables
from lake.importers.reading import sqlite_pages
from lake.importers.report import ImportReport
from lake.importers.run import import_from
from tests.importers.conftest import Postgres
from tests.importers.contract import imported, rows

QUARTER = 900_000
T0 = 1_704_067_200_000
FOUND = """create table {} (id integer primary key, symbol varchar(20) not null, timestamp bigint not null,
  open float, high float, low float, close float, volume float{})"""
UNIQUE = ", unique (symbol, timestamp)"
INSERT = "insert into {} (symbol, timestamp, open, high, low, close, volume) values "


def bar(number: int, close: float = 1.5, symbol: str = "BTCUSDT", step: int = QUARTER) -> tuple[Any, ...]:
    return (symbol, T0 + number * step, close, close + 1, close / 2, close, float(number))


def database(path: Path, rows: Iterable[Sequence[Any]], table: str = "candles", more: str = UNIQUE) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(FOUND.format(table, more))
        connection.executemany(INSERT.format(table) + "(?, ?, ?, ?, ?, ?, ?)", rows)
        connection.commit()
    return path


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake") as opened:
        yield opened


@pytest.fixture(params=["adbc_driver_sqlite", "none"])
def driver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Pages come as Arrow, or are put together without a driver for that."""
    if request.param != "none":
        pytest.importorskip(request.param, reason="the driver that makes reading SQLite fast is not installed")
    monkeypatch.setattr(sqlite_pages, "_DRIVER", request.param)
    return str(request.param)


def run(lk: lake.Lake, source: Path | str, kind: str = "candles-sqlite", **more: Any) -> ImportReport:
    dry_run = more.pop("dry_run", False)
    report = import_from(lk, kind, str(source), Options(**more), dry_run=dry_run)
    assert report.balanced, report.text()
    return report


def held(lk: lake.Lake) -> list[tuple[Any, ...]]:
    columns = "venue, symbol, timeframe, epoch_ms(open_time), open, high, low, close, volume"
    return lk.sql(f"select {columns} from candles order by 3, 2, 4").fetchall()


def quarantined(lk: lake.Lake) -> list[dict[str, Any]]:
    return list(lk.writer.quarantine.read())


@pytest.mark.parametrize(
    ("bars", "timeframe", "told"),
    [
        (24 * [4 * QUARTER], "", "they land as 15m, and are mostly 1:00:00 apart; if they are of another timeframe"),
        (24 * [4 * QUARTER], "1h", None),
        (24 * [QUARTER], "", None),
        (14 * [QUARTER] + 10 * [4 * QUARTER], "", None),
        (4 * [4 * QUARTER], "", None),
    ],
)
def test_candles_that_are_another_time_apart_than_their_table_says_are_told(
    lk: lake.Lake, tmp_path: Path, bars: list[int], timeframe: str, told: str | None
) -> None:
    places = [sum(bars[:n]) // QUARTER for n in range(len(bars) + 1)]
    made = [bar(n, symbol=symbol) for n in places for symbol in ("BTCUSDT", "ETHUSDT")]
    report = run(lk, database(tmp_path / "candles.db", made), timeframe=timeframe)
    assert report.totals["landed"] == len(made)
    said = [note for table in report.tables for note in table.notes]
    assert len(said) == (told is not None)
    assert told is None or said[0].startswith(told)


@pytest.mark.usefixtures("driver")
def test_the_table_is_the_timeframe(lk: lake.Lake, tmp_path: Path) -> None:
    path = database(tmp_path / "candles.db", [bar(0), bar(1)])
    database(path, [bar(0, step=180_000), bar(1, step=180_000)], "candles_3m")
    database(path, [bar(4)], "candles_1h")
    database(path, [bar(0)], "candles_old")
    report = run(lk, path, venue="bybit")
    assert {t.table: t.landed for t in report.tables} == {"candles": 2, "candles_3m": 2, "candles_1h": 1}
    assert held(lk)[0] == ("bybit", "BTCUSDT", "15m", T0, 1.5, 2.5, 0.75, 1.5, 0.0)
    assert [(row[2], row[3]) for row in held(lk)] == [
        ("15m", T0), ("15m", T0 + QUARTER), ("1h", T0 + 4 * QUARTER), ("3m", T0), ("3m", T0 + 180_000),
    ]  # fmt: skip


def test_a_plan_says_what_the_import_does(lk: lake.Lake, tmp_path: Path) -> None:
    path = database(tmp_path / "candles.db", [bar(0), bar(1), bar(2, close=-1)])
    lk.candles.write(
        [dict(zip(("symbol", "open_time", "open", "high", "low", "close", "volume"), bar(0), strict=True))], "15m"
    )
    plan = run(lk, path, dry_run=True)
    assert (len(held(lk)), quarantined(lk)) == (1, [])
    assert plan.totals == run(lk, path).totals
    assert plan.totals | {"landed": 1, "unchanged": 1, "refused": 1} == plan.totals


_FULL = {"symbol": "BTCUSDT", "open_time": T0, "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 10.0}


def test_a_candle_that_is_there_is_kept_and_what_a_store_tells_otherwise_reported(
    lk: lake.Lake, tmp_path: Path
) -> None:
    lk.candles.write([{**_FULL, "quote_volume": 15.0, "trade_count": 5}], "15m")
    half = database(tmp_path / "half.db", [("BTCUSDT", T0, 1.0, 1.25, 0.75, 1.1, 3.0), bar(1)])
    other = database(tmp_path / "other.db", [("BTC/USDT", T0, 1.0, 2.5, 0.25, 1.6, 9.0)])
    assert run(lk, half, dry_run=True).as_dict()["tables"][0]["differences_found"] == 4
    for path, found, landed in ((half, 1.1, 1), (other, 1.6, 0), (half, 1.1, 0)):
        (table,) = run(lk, path).tables
        assert (table.landed, table.changed, table.differences_found) == (landed, 0, 4)
        (close,) = [told for told in table.differences if told.column == "close"]
        assert (close.key, close.kept, close.found) == (", BTCUSDT, 15m, 2024-01-01T00:00:00+00:00", 1.5, found)
        kept = lk.frame("SELECT close, volume, quote_volume, trade_count FROM candles ORDER BY open_time").row(0)
        assert kept == (1.5, 10.0, 15.0, 5)


def test_what_a_candle_did_not_know_is_filled_in_by_one_that_does_not_contradict_it() -> None:
    full = pl.DataFrame({**_FULL, "venue": "", "timeframe": "15m", "trade_count": 5, "quote_volume": None})
    there = pl.DataFrame({**full.row(0, named=True), "trade_count": None, "quote_volume": 15.0})
    more = {name: pl.lit(None, dtype=pl.Float64) for name in ("taker_buy_volume", "taker_buy_quote_volume")}
    kinds = {"quote_volume": pl.Float64, "trade_count": pl.Int64}
    done = merged_candles(full.cast(kinds).with_columns(**more), there.cast(kinds).with_columns(**more))
    assert done.changed.select("close", "quote_volume", "trade_count").rows() == [(1.5, 15.0, 5)]
    assert (done.new.height, done.unchanged, done.otherwise.height) == (0, 0, 0)


def test_a_bar_that_was_not_over_when_it_was_imported_is_brought_to_its_end(lk: lake.Lake, tmp_path: Path) -> None:
    half, whole = ("BTCUSDT", T0, 1.0, 1.25, 0.75, 1.1, 3.0), ("BTCUSDT", T0, 1.0, 2.0, 0.5, 1.5, 10.0)
    run(lk, database(tmp_path / "half.db", [half]))
    report = run(lk, database(tmp_path / "whole.db", [whole]))
    assert (report.totals["changed"], report.totals["differences_found"]) == (1, 4)
    assert run(lk, tmp_path / "half.db").totals["landed"] == 0
    assert [row[7:] for row in held(lk)] == [(1.5, 10.0)]


def test_a_second_run_changes_nothing(lk: lake.Lake, tmp_path: Path) -> None:
    path = database(tmp_path / "candles.db", [*map(bar, range(10)), bar(10, close=-1)])
    run(lk, path)
    before = (held(lk), quarantined(lk), lk.at().version if hasattr(lk.at, "version") else None)
    report = run(lk, path)
    assert (report.totals["landed"], report.totals["unchanged"], report.totals["refused"]) == (0, 10, 1)
    assert (held(lk), quarantined(lk), before[2]) == before


WRONG: list[tuple[tuple[Any, ...], str]] = [
    ((None, T0, 1, 2, 0.5, 1, 1), "no symbol"),
    (("BTCUSDT", None, 1, 2, 0.5, 1, 1), "no time"),
    (("BTCUSDT", 12, 1, 2, 0.5, 1, 1), "no time"),
    (("BTCUSDT", T0 + 1, 1, 2, 0.5, 1, 1), "open_time is off the 15m grid"),
    (("BTCUSDT", T0, None, 2, 0.5, 1, 1), "open is missing"),
    (("BTCUSDT", T0, 1, float("inf"), 0.5, 1, 1), "high is not a finite number"),
    (("BTCUSDT", T0, 1, 0.9, 0.5, 1, 1), "high is below open"),
    (("BTCUSDT", T0, 1, 2, 1.5, 1, 1), "low is above open"),
    (("BTCUSDT", T0, 1, 2, -0.5, 1, 1), "low is negative"),
    (("BTCUSDT", T0, 1, 2, 0.5, 1, -1), "volume is negative"),
]


@pytest.mark.parametrize(("row", "reason"), WRONG, ids=[reason for _, reason in WRONG])
@pytest.mark.usefixtures("driver")
def test_a_row_that_is_no_candle_is_refused_with_its_reason(
    lk: lake.Lake, tmp_path: Path, row: tuple[Any, ...], reason: str
) -> None:
    path = tmp_path / "candles.db"
    database(path, [], more="").unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(FOUND.format("candles", "").replace("not null", ""))
        connection.executemany(INSERT.format("candles") + "(?, ?, ?, ?, ?, ?, ?)", [bar(1), row, bar(2)])
        connection.commit()
    report = run(lk, path)
    assert (report.totals["landed"], report.totals["refused"]) == (2, 1)
    assert next(iter(report.tables[0].reasons)).startswith(reason)
    assert len(quarantined(lk)) == 1


@pytest.mark.parametrize(
    ("column", "value"),
    [("open", "abc"), ("volume", b"\x00"), ("timestamp", "yesterday"), ("timestamp", 1.5), ("symbol", b"BTC")],
)
@pytest.mark.usefixtures("driver")
def test_a_value_of_another_type_costs_only_its_own_row(
    lk: lake.Lake, tmp_path: Path, column: str, value: object
) -> None:
    path = database(tmp_path / "candles.db", map(bar, range(20)))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"update candles set {column} = ? where id = 7", [value])
        connection.commit()
    report = run(lk, path)
    assert (report.totals["landed"], report.totals["refused"]) == (19, 1)
    assert next(iter(report.tables[0].reasons)).startswith(column)


@pytest.mark.usefixtures("driver")
def test_numbers_kept_as_text_and_whole_numbers_are_numbers(lk: lake.Lake, tmp_path: Path) -> None:
    path = tmp_path / "candles.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "create table candles (symbol text, timestamp, open text, high, low numeric, close text, volume)"
        )
        connection.execute(f"insert into candles values ('BTC/USDT', '{T0}', '1.5', 2, 1, '1.25', null)")
        connection.commit()
    run(lk, path)
    assert held(lk) == [("", "BTCUSDT", "15m", T0, 1.5, 2.0, 1.0, 1.25, None)]


@pytest.mark.parametrize("divisor", [1_000, 1, 1 / 1_000])
@pytest.mark.usefixtures("driver")
def test_seconds_milliseconds_and_microseconds_are_told_apart(lk: lake.Lake, tmp_path: Path, divisor: float) -> None:
    rows = [(s, round(t / divisor), *rest) for s, t, *rest in (bar(0), bar(1))]
    run(lk, database(tmp_path / "candles.db", rows))
    assert [row[3] for row in held(lk)] == [T0, T0 + QUARTER]


@pytest.mark.usefixtures("driver")
def test_of_two_rows_of_one_time_the_newer_lands_on_every_page(
    lk: lake.Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [bar(0, 1.0), bar(0, 2.0), bar(1, 1.0), bar(2), bar(3), bar(4), bar(1, 3.0), bar(2)]
    path = database(tmp_path / "candles.db", rows, more="")
    monkeypatch.setattr(candle_tables, "_PAGE", 3)
    for landed in (5, 0):
        report = run(lk, path)
        assert [row[7] for row in held(lk)] == [2.0, 3.0, 1.5, 1.5, 1.5]
        assert report.totals["landed"] == landed
        assert report.totals["refused"] == 3
    assert len(quarantined(lk)) == 3


@pytest.mark.usefixtures("driver")
def test_two_spellings_of_a_symbol_are_one(lk: lake.Lake, tmp_path: Path) -> None:
    path = database(
        tmp_path / "candles.db", [bar(0, symbol="BTC/USDT"), bar(0, symbol="btcusdt"), bar(1, symbol="BTC-USDT")]
    )
    report = run(lk, path)
    assert (report.totals["landed"], report.totals["unchanged"]) == (2, 1)
    assert {row[1] for row in held(lk)} == {"BTCUSDT"}


@pytest.mark.usefixtures("driver")
def test_many_pages_give_what_one_gives(lk: lake.Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [bar(n, symbol=s) for n in range(40) for s in ("BTCUSDT", "ETHUSDT")]
    path = database(tmp_path / "candles.db", rows)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("delete from candles where id between 10 and 30 or id = 80")
        connection.execute("update candles set open = 'x' where id = 50")
        connection.commit()
    monkeypatch.setattr(candle_tables, "_PAGE", 7)
    report = run(lk, path)
    assert (report.totals["found"], report.totals["landed"], len(held(lk))) == (58, 57, 57)


def test_a_table_without_row_numbers_is_read(lk: lake.Lake, tmp_path: Path) -> None:
    path = tmp_path / "candles.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "create table candles (symbol text, timestamp int, open real, high real, low real, close real, "
            "volume real, primary key (symbol, timestamp)) without rowid"
        )
        connection.executemany("insert into candles values (?, ?, ?, ?, ?, ?, ?)", map(bar, range(5)))
        connection.commit()
    assert run(lk, path).totals["landed"] == 5


@pytest.mark.usefixtures("driver")
def test_a_file_that_is_cut_short_gives_what_comes_before(lk: lake.Lake, tmp_path: Path) -> None:
    path = database(tmp_path / "candles.db", map(bar, range(3_000)), more="")
    path.write_bytes(path.read_bytes()[:100_000])
    report = import_from(lk, "candles-sqlite", str(path))
    assert (report.balanced, report.failed) == (True, True)
    assert 500 < len(held(lk)) == report.totals["landed"] < 3_000
    assert "damaged" in report.tables[0].notes[0]


def test_an_import_that_was_cut_off_goes_on(lk: lake.Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = database(tmp_path / "candles.db", map(bar, range(50)))
    monkeypatch.setattr(candle_tables, "_PAGE", 20)

    def stop(progress: Any) -> None:
        if progress.rows >= 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_from(lk, "candles-sqlite", str(path), progress=stop)
    report = run(lk, path)
    assert (report.totals["landed"], report.totals["unchanged"], len(held(lk))) == (10, 40, 50)


def test_a_file_without_candles_is_of_another_kind(lk: lake.Lake, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        connection.execute("create table trades (a)")
    with pytest.raises(SourceError, match="no table of candles is there"):
        run(lk, tmp_path / "x.db")


def test_an_empty_table_is_empty(lk: lake.Lake, tmp_path: Path) -> None:
    assert run(lk, database(tmp_path / "candles.db", [])).totals["found"] == 0


POSTGRES = """create table {} (id serial primary key, symbol varchar(20) not null, timestamp bigint not null,
  open double precision, high double precision, low double precision, close double precision,
  volume double precision{})"""


def filled(postgres: Postgres, rows: Iterable[Sequence[Any]], table: str = "candles", more: str = UNIQUE) -> str:
    values = ", ".join("(" + ", ".join("null" if v is None else f"'{v}'" for v in row) + ")" for row in rows)
    postgres.run(POSTGRES.format(table, more), INSERT.format(table) + values)
    return postgres.address


def test_postgres_gives_what_sqlite_gives(lk: lake.Lake, tmp_path: Path, postgres: Postgres) -> None:
    rows = [bar(n, symbol=s) for n in range(40) for s in ("BTC/USDT", "ETHUSDT")]
    wrong = [row for row, reason in WRONG if row[0] and row[1]]
    filled(postgres, [*rows, *[(f"X{n}", *row[1:]) for n, row in enumerate(wrong)], ("Y", T0, "NaN", 2, 1, 1, 1)])
    filled(postgres, [bar(0, step=180_000)], "candles_3m")
    database(tmp_path / "candles.db", rows)
    run(lk, database(tmp_path / "candles.db", [bar(0, step=180_000)], "candles_3m"))
    there = held(lk)
    report = run(lk, postgres.address, "candles-postgres")
    assert held(lk) == there
    assert (report.totals["unchanged"], report.totals["refused"]) == (81, len(wrong) + 1)


def test_a_table_of_decimals_and_times_lands(lk: lake.Lake, postgres: Postgres) -> None:
    postgres.run(
        "create table candles (symbol text, timestamp timestamptz, open numeric(20, 8), high real, low numeric, "
        "close numeric(20, 8), volume numeric)",
        "insert into candles values ('BTCUSDT', '2024-01-01 01:00+01', 1.5, 2.1, 1, 1.25, 3)",
        "insert into candles values ('BTCUSDT', 'infinity', 1.5, 2.1, 1, 1.25, 3)",
    )
    assert run(lk, postgres.address, "candles-postgres").totals["refused"] == 1
    assert held(lk) == [("", "BTCUSDT", "15m", T0, 1.5, 2.1, 1.0, 1.25, 3.0)]


def test_local_times_of_postgres_are_in_the_zone_that_is_said(lk: lake.Lake, postgres: Postgres) -> None:
    """In Berlin it is one hour later than UTC on 1 January; and the hour from 2 came twice on 27 October."""
    values = ", ".join(
        f"('BTCUSDT', '{at}', 1, 2, 1, 2, 5)" for at in ("2024-01-01 01:00", "2024-10-27 02:30", "2024-03-31 02:30")
    )
    postgres.run(
        "create table candles (symbol text, timestamp timestamp, open float8, high float8, low float8, close float8,"
        " volume float8)",
        f"insert into candles values {values}",
    )
    report = import_from(lk, "candles-postgres", postgres.address, Options(tz="Europe/Berlin"))
    assert [row[3] for row in held(lk)] == [T0, 1_729_989_000_000]
    assert list(report.tables[0].reasons) == ["timestamp: a time that the clocks of Europe/Berlin skip"]
    assert "1 local time lies in an hour that the clock has twice" in report.text()


@pytest.mark.parametrize("kind", ["text", "timestamp", "bigint"])
@pytest.mark.usefixtures("driver")
def test_a_zone_is_of_times_without_one_in_sqlite_too(lk: lake.Lake, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "candles.db"
    at: str | int = T0 if kind == "bigint" else "2024-01-01 01:00:00"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(FOUND.format("candles", "").replace("timestamp bigint", f"timestamp {kind}"))
        connection.execute(INSERT.format("candles") + "('BTCUSDT', ?, 1, 2, 1, 2, 5)", [at])
        connection.commit()
    import_from(lk, "candles-sqlite", str(path), Options(tz="Europe/Berlin"))
    assert [row[3] for row in held(lk)] == [T0]


@pytest.mark.parametrize("rows_of_page", [1, 2, 3, 4, 5])
def test_an_hour_that_a_table_has_twice_lands_in_both_wherever_a_page_ends(
    lk: lake.Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_of_page: int
) -> None:
    monkeypatch.setattr(candle_tables, "_PAGE", rows_of_page)
    path = tmp_path / "candles.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table candles_30m (symbol, timestamp text, open, high, low, close, volume)")
        for volume, at in enumerate(("01:30", "02:00", "02:30", "02:00", "02:30", "03:00"), 1):
            row = ["BTCUSDT", f"2024-10-27 {at}:00", 1.0, 2.0, 1.0, 1.0, volume]
            connection.execute("insert into candles_30m values (?, ?, ?, ?, ?, ?, ?)", row)
        connection.commit()
    report = import_from(lk, "candles-sqlite", str(path), Options(tz="Europe/Berlin"))
    assert (report.totals["landed"], report.totals["refused"]) == (6, 0)
    assert [row[8] for row in held(lk)] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


def test_daily_candles_whose_times_are_days_land(lk: lake.Lake, postgres: Postgres) -> None:
    postgres.run(
        "create table candles_1d (symbol text, timestamp date, open float8, high float8, low float8, close float8,"
        " volume float8)",
        "insert into candles_1d values ('BTCUSDT', '2024-03-01', 1, 2, 1, 2, 5), ('BTCUSDT', null, 1, 2, 1, 2, 5)",
    )
    assert run(lk, postgres.address, "candles-postgres").totals["refused"] == 1
    assert [row[2:4] for row in held(lk)] == [("1d", 1_709_251_200_000)]


def test_a_postgres_table_with_repeated_keys_gives_the_newest(lk: lake.Lake, postgres: Postgres) -> None:
    filled(postgres, [bar(0, 1.0), bar(0, 2.0), bar(1)], more="")
    for _ in range(2):
        assert run(lk, postgres.address, "candles-postgres").totals["refused"] == 1
        assert [row[7] for row in held(lk)] == [2.0, 1.5]


def test_a_postgres_table_of_text_is_read_value_by_value(lk: lake.Lake, postgres: Postgres) -> None:
    postgres.run(
        "create table candles (symbol text, timestamp text, open text, high text, low text, close text, volume text)",
        f"insert into candles values ('BTCUSDT', '{T0}', '1.5', '2', '1', '1.25', '3')",
        "insert into candles values ('BTCUSDT', 'x', '1', '2', '1', '1', '1')",
    )
    assert run(lk, postgres.address, "candles-postgres").totals["refused"] == 1
    assert held(lk) == [("", "BTCUSDT", "15m", T0, 1.5, 2.0, 1.0, 1.25, 3.0)]


def test_columns_as_pandas_writes_them_are_those_of_candles(tmp_path: Path) -> None:
    """With capitals, and with a date in place of a timestamp."""
    with closing(sqlite3.connect(tmp_path / "c.db")) as connection:
        connection.execute("create table candles_1h (ID, Symbol, Date text, Open, High, Low, Close, Volume)")
        connection.execute("insert into candles_1h values (1, 'BTC-USD', '2024-05-01 10:00:00', 1, 3, 0.5, 2, 9)")
        connection.commit()
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "candles-sqlite", tmp_path / "c.db")
        assert (report.totals["refused"], report.tables[0].notes) == (0, ())
        assert rows(lk, "candles", "symbol", "open_time", "open", "high", "low", "close", "volume") == [
            ("BTCUSD", datetime(2024, 5, 1, 10, tzinfo=UTC), 1.0, 3.0, 0.5, 2.0, 9.0)
        ]


@pytest.mark.parametrize("number", ["", "id serial, ", "id uuid default gen_random_uuid(), "])
@pytest.mark.parametrize("of", ["table", "view", "materialized view"])
def test_candles_of_a_view_land_and_of_repeated_ones_the_last(
    lk: lake.Lake, postgres: Postgres, number: str, of: str
) -> None:
    name = "candles" if of == "table" else "raw"
    values = "symbol text, timestamp bigint, open float8, high float8, low float8, close float8, volume float8"
    postgres.run(
        f"create table {name} ({number}{values})",
        *(INSERT.format(name) + str(row) for row in (bar(0, 1.0), bar(0, 2.0), bar(0, 3.0), bar(0, 4.0), bar(1))),
        "select 1" if of == "table" else f"create {of} candles as select * from {name}",
    )
    for _ in range(2):
        assert run(lk, postgres.address, "candles-postgres").totals["refused"] == 3
        assert [row[7] for row in held(lk)] == [4.0, 1.5]


def test_of_repeated_candles_of_a_view_in_sqlite_the_last_lands(lk: lake.Lake, tmp_path: Path) -> None:
    path = database(tmp_path / "candles.db", [bar(0, 1.0), bar(0, 2.0), bar(1)], "raw", more="")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create view candles as select * from raw")
    assert run(lk, path).totals["refused"] == 1
    assert [row[7] for row in held(lk)] == [2.0, 1.5]


def test_a_table_that_is_called_as_one_of_candles_and_is_not_read_is_told(lk: lake.Lake, tmp_path: Path) -> None:
    path = tmp_path / "candles.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table candles_5m (symbol, moment, open, high, low, close)")
    told = r"no table of candles is there, not candles_5m \(it has no open_time\)"
    with pytest.raises(SourceError, match=told):
        import_from(lk, "candles-sqlite", str(path))
    for table in ("candles", "candles_7m"):
        database(path, [bar(0)], table)
    (table,) = run(lk, path).tables
    left = "candles_5m (it has no open_time); candles_7m (7m is no timeframe)"
    assert (table.landed, table.notes) == (1, (f"called as tables of candles, and not read: {left}",))


@pytest.mark.parametrize(
    ("names", "more"),
    [
        ("ticker, tf, t, o, h, l, c, v", "turnover, num_trades, taker_buy_base_volume, taker_buy_quote_volume"),
        (
            "Symbol, Interval, 'Open Time', Open, High, Low, Close, Volume",
            "'Quote Asset Volume', 'Number of Trades', 'Taker Buy Base Volume', 'Taker Buy Quote Asset Volume'",
        ),
        (
            "pair, timeframe, start, open_price, high_price, low_price, close_price, base_volume",
            "quote_volume, trade_count, taker_buy_volume, taker_buy_quote_volume",
        ),
    ],
)
@pytest.mark.usefixtures("driver")
def test_all_that_a_table_tells_of_a_candle_lands_however_its_columns_are_called(
    lk: lake.Lake, tmp_path: Path, names: str, more: str
) -> None:
    path = tmp_path / "candles.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"create table candles ({names}, {more})")
        values = ("BTC/USDT", "5m", T0, 1.0, 3.0, 0.5, 2.0, 9.0, 18.0, 7, 4.0, 8.0)
        connection.execute(f"insert into candles values ({', '.join('?' * len(values))})", values)
        connection.commit()
    (table,) = run(lk, path).tables
    assert (table.landed, table.notes) == (1, ())
    more = "quote_volume, trade_count, taker_buy_volume, taker_buy_quote_volume"
    assert lk.sql(f"select symbol, timeframe, close, volume, {more} from candles").fetchall() == [
        ("BTCUSDT", "5m", 2.0, 9.0, 18.0, 7, 4.0, 8.0)
    ]
