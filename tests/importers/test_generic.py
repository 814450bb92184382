from __future__ import annotations

import csv
import gzip
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

import lake
from lake.cli import main
from lake.errors import SourceError, UsageError
from lake.importers.base import Options
from lake.importers.reading import candle_frames
from lake.importers.report import ImportReport
from lake.importers.run import import_from
from lake.importers.suggesting import suggest
from tests.importers.conftest import Postgres
from tests.importers.contract import differences, imported, notes, quarantined, rows

DEALS = [
    {"deal": 1, "pair": "BTC/USDT", "kind": "long", "opened": "2024-03-01 10:00:00", "closed": "2024-03-01 11:00:00",
     "entry": 100.0, "exit": 110.0, "qty": 0.5, "profit": 5.0, "ret": 0.1, "why": "tp"},
    {"deal": 2, "pair": "eth-usdt", "kind": "Sell", "opened": "2024-03-01 12:00:00", "closed": None,
     "entry": 50.0, "exit": None, "qty": 2.0, "profit": None, "ret": None, "why": None},
]  # fmt: skip
MAP = """
dataset = "trades"
{where}
[columns]
trade_id = {{ id = ["symbol", "side", "opened_at"] }}
symbol = "pair"
side = "kind"
status = {{ ended = "closed" }}
quantity = "qty"
entry_price = "entry"
exit_price = {{ price = "exit" }}
pnl = "profit"
pnl_percent = {{ percent = "ret" }}
exit_reason = "why"
created_at = {{ moment = "opened", zone = "Europe/Berlin" }}
opened_at = {{ moment = "opened", zone = "Europe/Berlin" }}
closed_at = {{ moment = "closed", zone = "Europe/Berlin" }}
[values]
mode = "paper"
[sums]
pnl = "profit"
quantity = "qty"
"""


def a_map(folder: Path, text: str = MAP, where: str = "") -> Path:
    path = folder / "map.toml"
    path.write_text(text.format(where=where) if text is MAP else text)
    return path


def as_sqlite(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"create table deals ({', '.join(DEALS[0])})")
        marks = ", ".join("?" * len(DEALS[0]))
        connection.executemany(f"insert into deals values ({marks})", [list(deal.values()) for deal in DEALS])
        connection.commit()
    return path


def as_csv(path: Path) -> Path:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(DEALS[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(DEALS)
    return path


def as_packed_csv(path: Path) -> Path:
    plain = as_csv(path.with_suffix(".plain"))
    with gzip.open(path, "wb") as file:
        file.write(plain.read_bytes())
    return path


def as_json(path: Path) -> Path:
    path.write_text(json.dumps({"version": 3, "deals": DEALS}))
    return path


def as_lines(path: Path) -> Path:
    path.write_text("\n".join(map(json.dumps, DEALS)))
    return path


def as_parquet(path: Path) -> Path:
    pl.DataFrame(DEALS).write_parquet(path)
    return path


def as_feather(path: Path) -> Path:
    pl.DataFrame(DEALS).write_ipc(path)
    return path


FILES = {
    "bot.sqlite": (as_sqlite, 'table = "deals"'), "deals.csv": (as_csv, ""), "deals.csv.gz": (as_packed_csv, ""),
    "deals.json": (as_json, 'table = "deals"'), "deals.jsonl": (as_lines, ""), "deals.parquet": (as_parquet, ""),
    "deals.feather": (as_feather, ""), "asked.sqlite": (as_sqlite, 'query = "select * from deals where deal < 3"'),
}  # fmt: skip


def is_whole(lk: Any) -> bool:
    """Whether the two deals are there, as the map describes them."""
    columns = ["symbol", "side", "status", "mode", "quantity", "exit_price", "pnl", "pnl_percent", "exit_reason"]
    found = rows(lk, "trades", *columns, "opened_at", "closed_at")
    return found == [
        ("BTCUSDT", "LONG", "closed", "paper", 0.5, 110.0, 5.0, 10.0, "tp",
         datetime(2024, 3, 1, 9, tzinfo=UTC), datetime(2024, 3, 1, 10, tzinfo=UTC)),
        ("ETHUSDT", "SHORT", "open", "paper", 2.0, None, None, None, None,
         datetime(2024, 3, 1, 11, tzinfo=UTC), None),
    ]  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_any_form_of_a_table_becomes_the_same_trades(name: str, tmp_path: Path) -> None:
    write, where = FILES[name]
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "generic", write(tmp_path / name), map_file=a_map(tmp_path, where=where))
        assert is_whole(lk), report.text()
        assert {total.column: total.found for total in report.tables[0].sums} == {
            "trades.pnl": 5.0,
            "trades.quantity": 2.5,
        }


def test_the_map_that_the_documents_show_works(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "importing.md").read_text(encoding="utf-8")
    shown = page.partition("```toml\n")[2].partition("```")[0]
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "generic", as_sqlite(tmp_path / "bot.sqlite"), map_file=a_map(tmp_path, shown))
        assert is_whole(lk)


def test_days_of_postgres_begin_at_midnight_of_the_zone_that_is_said(postgres: Postgres, tmp_path: Path) -> None:
    postgres.run(
        "create table deals (pair text, kind text, opened date, closed date, entry numeric, exit numeric, qty numeric,"
        " profit numeric, ret float8, why text)",
        "insert into deals values ('BTCUSDT', 'long', '2024-03-01', '2024-03-02', 100, 110, 0.5, 5, 0.1, 'tp'),"
        " ('BTCUSDT', 'long', 'infinity', null, 100, null, 0.5, null, null, null)",
    )
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "generic", postgres.address, map_file=a_map(tmp_path))
        assert rows(lk, "trades", "opened_at", "closed_at") == [
            (datetime(2024, 2, 29, 23, tzinfo=UTC), datetime(2024, 3, 1, 23, tzinfo=UTC))
        ]
        ((_, reason, _),) = quarantined(lk)
        assert reason.startswith("opened: ")


@pytest.mark.parametrize("where", ['table = "deals"', 'query = "select * from deals"'])
def test_a_table_or_query_of_postgres_becomes_the_same_trades(where: str, postgres: Postgres, tmp_path: Path) -> None:
    def value(found: Any) -> str:
        return "null" if found is None else f"'{found}'" if isinstance(found, str) else str(found)

    lines = [f"({', '.join(map(value, deal.values()))})" for deal in DEALS]
    postgres.run(
        "create table deals (deal int, pair text, kind text, opened timestamp, closed timestamp, entry numeric, exit"
        " numeric, qty numeric, profit numeric, ret float8, why text)",
        f"insert into deals values {', '.join(lines)}",
    )
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "generic", postgres.address, map_file=a_map(tmp_path, where=where))
        assert is_whole(lk)


ROUNDED = """
dataset = "trades"
table = "NAME"
[columns]
trade_id = "deal"
symbol = "pair"
side = "kind"
status = { ended = "closed" }
quantity = "qty"
created_at = { moment = "opened" }
opened_at = { moment = "opened" }
closed_at = { moment = "closed" }
"""


@pytest.mark.parametrize("first", ["json", "postgres"])
def test_times_of_two_stores_are_not_put_together_in_an_order_that_neither_tells(
    first: str, postgres: Postgres, tmp_path: Path
) -> None:
    """The one keeps all of a time and saw the trade open, the other keeps whole seconds and saw its end."""
    (tmp_path / "fine").mkdir()
    deal = {"deal": "bot:7", "pair": "BTCUSDT", "kind": "long", "qty": 0.5}
    fine = tmp_path / "fine" / "deals.json"
    fine.write_text(json.dumps({"deals": [{**deal, "opened": "2024-03-01T10:00:00.700Z", "closed": None}]}))
    postgres.run(
        "create table held (deal text, pair text, kind text, qty numeric, opened timestamp(0), closed timestamp(0))",
        "insert into held values ('bot:7', 'BTCUSDT', 'long', 0.5, '2024-03-01 10:00:00.2', '2024-03-01 10:00:00.4')",
    )
    whole = datetime(2024, 3, 1, 10, tzinfo=UTC)
    with lake.open(tmp_path / "lake") as lk:
        stores = [("deals", str(fine)), ("held", postgres.address)]
        for name, store in stores if first == "json" else reversed(stores):
            last = imported(lk, "generic", store, tz="UTC", map_file=a_map(tmp_path, ROUNDED.replace("NAME", name)))
        assert rows(lk, "trades", "opened_at", "closed_at", "status") == [(whole, whole, "closed")]
        told = [("opened_at", whole.isoformat(), whole.replace(microsecond=700_000).isoformat())]
        assert differences(last) == (told if first == "json" else [])
        assert lk.verify().findings == ()


@pytest.mark.parametrize("name", ["bot.sqlite", "deals.csv", "deals.json", "deals.jsonl", "deals.parquet"])
def test_a_draft_works_when_it_is_fed_back(name: str, tmp_path: Path) -> None:
    source = FILES[name][0](tmp_path / name)
    draft = suggest(str(source), Options(tz="Europe/Berlin"))
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "generic", source, map_file=a_map(tmp_path, draft))
        assert (report.totals["landed"], report.totals["refused"]) == (2, 0)
        columns = ["symbol", "side", "status", "quantity", "entry_price", "exit_price", "pnl", "pnl_percent"]
        assert rows(lk, "trades", *columns, "opened_at") == [
            ("BTCUSDT", "LONG", "closed", 0.5, 100.0, 110.0, 5.0, 10.0, datetime(2024, 3, 1, 9, tzinfo=UTC)),
            ("ETHUSDT", "SHORT", "open", 2.0, 50.0, None, None, None, datetime(2024, 3, 1, 11, tzinfo=UTC)),
        ]


REAL = {
    "bots/freqtrade_2021_dryrun.sqlite": {},
    "bots/ibis_trade_history_20260213.json": {"quote": "USDT"},
    "trades/orderflow_public_trades_list.csv": {"symbol": "BTC/USDT:USDT"},
    "ohlcv/freqtrade_testdata/ADA_BTC-5m.feather": {"symbol": "ADA/BTC", "timeframe": "5m"},
    "ohlcv/aitrader_alphavantage/daily_prices_SUI.json": {"symbol": "SUIUSDT", "timeframe": "1d"},
}


@pytest.mark.parametrize("name", REAL)
def test_a_draft_of_a_real_file_works_when_it_is_fed_back(name: str, shared_data: Path, tmp_path: Path) -> None:
    draft = suggest(str(shared_data / name), Options(**REAL[name]))
    with lake.open(tmp_path / "lake") as lk:
        options = Options(**REAL[name], map_file=a_map(tmp_path, draft))
        report = import_from(lk, "generic", str(shared_data / name), options)
        assert report.balanced, report.text()
        assert report.totals["landed"] > 0
        assert set(report.tables[0].reasons) <= {"fills.quantity: a row without it says nothing"}, report.text()


def test_a_draft_tells_fractions_from_percent_by_the_prices(tmp_path: Path) -> None:
    path = as_csv(tmp_path / "deals.csv")
    assert 'pnl_percent = { percent = "ret" }  # by the prices a fraction' in suggest(str(path))
    path.write_text(path.read_text().replace(";0.1;", ";10.0;"))
    assert '\npnl_percent = "ret"\n' in suggest(str(path))


def test_a_draft_names_the_columns_of_candles_without_a_header(tmp_path: Path) -> None:
    path, made = tmp_path / "bars.csv", tmp_path / "map.toml"
    path.write_text("2024-01-01 00:00:00;1;2;0.5;1.5;10;7\n2024-01-01 01:00:00;1.5;1.5;1;1;0;7\n")
    made.write_text(suggest(str(path)))
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "generic", path, map_file=made, symbol="BTC/USDT", timeframe="1h")
        assert rows(lk, "candles", "symbol", "high", "low", "volume") == [
            ("BTCUSDT", 1.5, 1.0, 0.0), ("BTCUSDT", 2.0, 0.5, 10.0),
        ]  # fmt: skip


@pytest.mark.parametrize("line", ["1672531436,90.54,1.10", "1704067200000,2,1,2,2,1", "1,2"])
def test_of_a_csv_without_a_header_that_holds_no_candles_it_is_told_what_to_do(line: str, tmp_path: Path) -> None:
    path = tmp_path / "bare.csv"
    path.write_text(f"{line}\n")
    with pytest.raises(SourceError, match=r"for `lake ingest`. Of other rows .* without a header also header = "):
        suggest(str(path))


def test_a_draft_of_a_database_has_a_map_for_each_table_that_it_knows(tmp_path: Path) -> None:
    path = as_sqlite(tmp_path / "bot.sqlite")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table bars (pair, ts, o, h, l, c, v, interval)")
        connection.execute("insert into bars values ('BTC/USDT', 1709287200000, 1, 2, 0.5, 1.5, 10, '1h')")
        connection.execute("create table settings (name, what)")
        connection.execute("insert into settings values ('a', 'b')")
        connection.commit()
    draft = suggest(str(path))
    assert "like none of ours: settings" in draft
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "generic", path, map_file=a_map(tmp_path, draft))
        assert rows(lk, "candles", "symbol", "timeframe", "open_time") == [
            ("BTCUSDT", "1h", datetime(2024, 3, 1, 10, tzinfo=UTC))
        ]
        assert lk.read("trades").height == 2


def test_the_command_prints_a_draft_and_takes_it(tmp_path: Path) -> None:
    source, folder = str(as_csv(tmp_path / "deals.csv")), str(tmp_path / "lake")
    drafted = CliRunner().invoke(main, ["import", "generic", source, "--suggest"])
    assert drafted.exit_code == 0, drafted.output
    path = str(a_map(tmp_path, drafted.stdout))
    done = CliRunner().invoke(main, ["import", "generic", source, "--map-file", path, "--lake", folder, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["totals"]["landed"] == 2
    wrong = CliRunner().invoke(main, ["import", "freqtrade", source, "--suggest"])
    assert (wrong.exit_code, "only a generic import needs a map" in wrong.output) == (2, True)


def test_values_inside_of_objects_are_named_with_dots(tmp_path: Path) -> None:
    path = tmp_path / "signals.jsonl"
    path.write_text(json.dumps({"id": 7, "at": 1709287200, "what": {"coin": "BTCUSDT", "call": '{"way": "BUY"}'}}))
    text = """
        dataset = "signals"
        [columns]
        signal_id = { id = ["id", "symbol"] }
        symbol = "what.coin"
        signal_type = "what.call.way"
        signal_time = { moment = "at", unit = "s" }
    """
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "generic", path, map_file=a_map(tmp_path, text))
        assert rows(lk, "signals", "symbol", "signal_type", "signal_time") == [
            ("BTCUSDT", "BUY", datetime(2024, 3, 1, 10, tzinfo=UTC))
        ]


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"day": "x", "prices": [{"key": "2024-03-01", "1. close": "1.5"}]}, 'table = "prices"'),
        ({"about": {"zone": "UTC"}, "series": {"2024-03-01": {"1. close": "1.5"}}}, 'table = "series"'),
        ({"2024-03-01": {"1. close": "1.5"}}, 'table = "*"'),
        ([{"key": "2024-03-01", "1. close": "1.5"}], ""),
    ],
)
def test_rows_of_json_stand_in_an_array_or_under_their_names(document: Any, where: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(document))
    text = f"""
        dataset = "market_metrics"
        {where}
        [columns]
        time = {{ moment = "key", zone = "UTC" }}
        value = "1. close"
        [values]
        metric = "close"
        symbol = "SUIUSDT"
    """
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "generic", path, map_file=a_map(tmp_path, text))
        assert rows(lk, "market_metrics", "time", "value") == [(datetime(2024, 3, 1, tzinfo=UTC), 1.5)]


def test_a_name_that_a_json_file_does_not_have_is_told(tmp_path: Path) -> None:
    options = Options(map_file=a_map(tmp_path, where='table = "trades"'))
    path = as_json(tmp_path / "deals.json")
    with lake.open(tmp_path / "lake") as lk, pytest.raises(SourceError, match="nothing of that name in the file"):
        import_from(lk, "generic", str(path), options)


def test_a_csv_without_a_header_and_with_lines_before_it_is_named_by_the_map(tmp_path: Path) -> None:
    path = tmp_path / "kraken.csv"
    path.write_text("Downloaded today\n1709287200,62000.5,0.25\n1709287260,62001,0.5,1\n\n1709287320,,0.5\n")
    text = """
        dataset = "market_metrics"
        header = ["time", "price", "amount"]
        skip = 1
        [columns]
        time = "time"
        value = "price"
        [values]
        metric = "last_price"
        symbol = "BTCEUR"
        [sums]
        value = "price"
    """
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "generic", path, map_file=a_map(tmp_path, text))
        assert rows(lk, "market_metrics", "value") == [62000.5]
        assert sorted(reason.partition(" (")[0] for _, reason, _ in quarantined(lk)) == [
            "market_metrics.value: a required value is missing",
            "more cells than the header has",
        ], report.text()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('dataset = "trades"\n[columns]\nsymbol = "pair"', "the key trade_id of trades is not mapped"),
        ('dataset = "trades"\n[columns]\nprice = "x"', "trades has no such column"),
        ('dataset = "trades"\n[columns]\npnl = { percents = "x" }', "not one rule"),
        ('dataset = "trades"\n[columns]\npnl = { number = "x", unit = "s" }', "takes no such setting"),
        ('dataset = "trades"\nfile = "x"', "unknown key"),
        ('[columns]\npnl = "x"', "it is not said which dataset is meant"),
        ("tables = []", r"tables must be \[\[tables\]\]"),
        ('dataset = "trades"\ncolumns = "x"', "columns: not a table"),
        ('dataset = "trades"\nsums = ["pnl"]', "sums: not a table"),
        ('dataset = "trades"\nheader = "a,b"', "header: not a list of texts"),
        ('dataset = "trades"\nskip = -1', "skip: not a whole number of 0 or more"),
        ('dataset = "trades"\ntable = 3', "table: not a text"),
        ('dataset = "trades"\n[columns]\ntrade_id = { id = 3 }', "trade_id: not a list of texts"),
        ('dataset = "trades"\n[columns]\nside = []', "side: no column is named"),
        ('dataset = "trades"\n[columns]\nside = { one_of = "x" }', "side: one_of needs values"),
        ('dataset = "trades"\n[columns]\nside = { one_of = "x", values = ["a"] }', "side: not a table"),
        ('dataset = "trades"\n[columns]\nside = { one_of = "x", values = { a = "UPWARDS" } }', "not one of its values"),
        ('dataset = "trades"\n[columns]\nstatus = { ended = "x", yes = "finished" }', "status: not one of its values"),
        ('dataset = "trades"\n[columns]\nstatus = { constant = 5 }', "status: not one of its values"),
        ('dataset = "trades"\n[columns]\npnl = { number = "x", scale = "k" }', "pnl: not a number"),
        ('dataset = "trades"\n[columns]\npnl = { number = "x", decimal = ";" }', "pnl: not a decimal mark"),
        ('dataset = "trades"\n[columns]\nopened_at = { moment = "x", unit = "h" }', "opened_at: unknown unit of time"),
        ('dataset = "trades"\n[columns]\nopened_at = { moment = "x", zone = 3 }', "opened_at: not a text"),
        ('dataset = "trades"\n[columns]\nopened_at = { moment = "x", zone = "Mars" }', "opened_at: unknown time zone"),
        ('dataset = "trades"\n[values]\nleverage = "ten"', "leverage: a number is wanted"),
    ],
)
def test_a_map_that_cannot_be_meant_is_refused(text: str, told: str, tmp_path: Path) -> None:
    path, options = as_csv(tmp_path / "deals.csv"), Options(map_file=a_map(tmp_path, text))
    with lake.open(tmp_path / "lake") as lk, pytest.raises(UsageError, match=told):
        import_from(lk, "generic", str(path), options)


@pytest.mark.parametrize("digits", ["1673010621131", "1673010621131000", "1673010621131000000"])
def test_digits_of_a_time_are_no_date_of_the_seventeenth_century(digits: str, tmp_path: Path) -> None:
    path = tmp_path / "deals.csv"
    path.write_text(f"id,symbol,at\n1,BTCUSDT,{digits}\n2,BTCUSDT,1672531200\n")
    text = 'dataset = "trades"\n[columns]\ntrade_id = "id"\nsymbol = "symbol"\ncreated_at = "at"\n'
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "generic", path, map_file=a_map(tmp_path, text))
        assert lk.frame("SELECT epoch_ms(created_at) AS at FROM trades ORDER BY trade_id")["at"].to_list() == [
            1_673_010_621_131, 1_672_531_200_000
        ]  # fmt: skip


def test_a_query_is_not_asked_of_a_file(tmp_path: Path) -> None:
    options = Options(map_file=a_map(tmp_path, where='query = "select 1"'))
    with (
        lake.open(tmp_path / "lake") as lk,
        pytest.raises(SourceError, match="asked of a database, and this is a file"),
    ):
        import_from(lk, "generic", str(as_csv(tmp_path / "deals.csv")), options)


def test_lists_become_text_as_json_and_bytes_are_refused(tmp_path: Path) -> None:
    listed, packed = tmp_path / "deals.json", tmp_path / "deals.sqlite"
    listed.write_text(json.dumps([{**DEALS[0], "why": ["tp", {"level": 1}]}]))
    with closing(sqlite3.connect(packed)) as connection:
        connection.execute(f"create table deals ({', '.join(DEALS[1])})")
        told = {**DEALS[1], "why": b"\x80tp"}
        connection.execute(f"insert into deals values ({', '.join('?' * len(told))})", list(told.values()))
        connection.commit()
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "generic", listed, map_file=a_map(tmp_path))
        imported(lk, "generic", packed, map_file=a_map(tmp_path))
        assert rows(lk, "trades", "exit_reason") == ['["tp",{"level":1}]']
        assert [reason for _, reason, _ in quarantined(lk)] == ["why: bytes, and not text (got b'\\x80tp')"]


def test_a_number_that_the_map_says_itself_is_in_every_row(tmp_path: Path) -> None:
    text = MAP.format(where="").replace("[columns]", "[columns]\nleverage = { constant = 5 }")
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "generic", as_csv(tmp_path / "deals.csv"), map_file=a_map(tmp_path, text))
        assert rows(lk, "trades", "leverage") == [5.0, 5.0]


def test_times_of_no_zone_ask_for_one(tmp_path: Path) -> None:
    text = 'dataset = "trades"\n[columns]\ntrade_id = "deal"\nsymbol = "pair"\ncreated_at = "opened"'
    path, options = as_csv(tmp_path / "deals.csv"), Options(map_file=a_map(tmp_path, text))
    with lake.open(tmp_path / "lake") as lk, pytest.raises(UsageError, match="Say which with --tz"):
        import_from(lk, "generic", str(path), options)


@pytest.mark.parametrize(("content", "told"), [(b"", "the file is empty"), (b"\0\1\2", "neither text nor a table")])
def test_a_file_of_no_known_form_is_told(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=told):
        suggest(str(path))


def test_a_table_like_none_of_ours_gets_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("name,colour\nbox,red\n")
    with pytest.raises(SourceError, match="no table looks like one of ours"):
        suggest(str(path))


def test_a_json_file_that_breaks_off_gives_what_comes_before(tmp_path: Path) -> None:
    path = as_json(tmp_path / "deals.json")
    path.write_text(path.read_text()[:-30])
    with lake.open(tmp_path / "lake") as lk:
        options = Options(map_file=a_map(tmp_path, where='table = "deals"'))
        report = import_from(lk, "generic", str(path), options)
        assert (report.balanced, report.failed, lk.read("trades").height) == (True, True, 1)
        assert "breaks off or is damaged" in notes(report)


@pytest.mark.parametrize("table", ["", 'table = "deals"'])
@pytest.mark.parametrize("tail", ["[{}]", '{"a": 1}', "x"])
def test_what_follows_the_end_of_a_json_file_is_told(table: str, tail: str, tmp_path: Path) -> None:
    path = as_json(tmp_path / "deals.json")
    rows_alone = json.dumps(json.loads(path.read_text())["deals"])
    path.write_text((path.read_text() if table else rows_alone) + tail)
    with lake.open(tmp_path / "lake") as lk:
        report = import_from(lk, "generic", str(path), Options(map_file=a_map(tmp_path, where=table)))
        assert report.totals["landed"] == 2
        assert "something follows the end of the JSON" in notes(report)
        assert report.failed or report.totals["refused"] == 1


@pytest.mark.parametrize("make", ["sqlite", "csv", "parquet", "feather"])
@pytest.mark.parametrize(
    ("right", "mistyped", "column"),
    [
        ('price = "exit"', 'price = "exitt"', "exit_price"),
        ('[sums]\npnl = "profit"', '[sums]\npnl = "proft"', "pnl"),
        ('"side", "opened_at"]', '"side", "opened_att"]', "trade_id"),
        ('exit_reason = "why"', 'exit_reason = "why.text"', None),
        ('exit_reason = "why"', 'exit_reason = "whi.text"', "exit_reason"),
        ('exit_reason = "why"', 'exit_reason = ["reason", "why"]', None),
    ],
)
def test_a_column_that_the_source_does_not_have_is_one_clear_error(
    tmp_path: Path, make: str, right: str, mistyped: str, column: str | None
) -> None:
    path, frame = tmp_path / f"deals.{make}", pl.DataFrame(DEALS)
    writers = {"sqlite": as_sqlite, "csv": as_csv, "parquet": frame.write_parquet, "feather": frame.write_ipc}
    writers[make](path)
    said = Options(map_file=a_map(tmp_path, MAP.format(where="").replace(right, mistyped)))
    if column is None:
        assert import_from(None, "generic", str(path), said, dry_run=True).totals["landed"] == 2
        return
    with pytest.raises(SourceError, match=f"there is no column .* of which the map makes {column}.*There are: deal, "):
        import_from(None, "generic", str(path), said, dry_run=True)


def test_a_name_that_no_row_of_a_json_file_has_is_told_and_is_no_success(tmp_path: Path) -> None:
    path = tmp_path / "deals.json"
    path.write_text(json.dumps([{**DEALS[0], "why": {"text": "tp"}}, {**DEALS[1], "why": {"text": None}}]))
    for written, is_there in (("why.text", True), ("why.txet", False), ("whi", False)):
        text = MAP.format(where="").replace('exit_reason = "why"', f'exit_reason = "{written}"')
        report = import_from(None, "generic", str(path), Options(map_file=a_map(tmp_path, text)), dry_run=True)
        assert report.failed is not is_there
        assert (f"no row has {written}, of which the map makes exit_reason" in notes(report)) is not is_there


def test_a_zone_of_the_map_knows_the_hours_that_come_twice(tmp_path: Path) -> None:
    path = tmp_path / "deals.json"
    path.write_text(json.dumps([{**DEALS[0], "opened": "2025-10-26 02:50:00", "closed": "2025-10-26 02:10:00"}]))
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "generic", path, map_file=a_map(tmp_path))
        assert rows(lk, "trades", "date_diff('minute', opened_at, closed_at)") == [20]
        assert "2 local times lie in an hour that the clock has twice" in notes(report)


LOCAL_BARS = """
dataset = "candles"
[columns]
symbol = "s"
open_time = {{ moment = "t", zone = "Europe/Berlin" }}
open = "o"
high = "o"
low = "o"
close = "o"
volume = "o"
[values]
timeframe = "{timeframe}"
"""


def local_bars(lk: Any, folder: Path, timeframe: str, bars: list[tuple[str, float]]) -> tuple[ImportReport, Any]:
    """The report, and of each candle that landed its minutes since 23:00 UTC (01:00 of the clock), and its price."""
    path = folder / "bars.csv"
    path.write_text("s,t,o\n" + "".join(f"BTCUSDT,2024-10-27 {at}:00,{price}\n" for at, price in bars))
    report = imported(lk, "generic", path, map_file=a_map(folder, LOCAL_BARS.format(timeframe=timeframe)))
    minutes = "date_diff('minute', TIMESTAMPTZ '2024-10-26 23:00:00Z', open_time)"
    return report, rows(lk, "candles", f"{minutes} AS m", "open")


BOTH_HOURS = ("01:30", "02:00", "02:30", "02:00", "02:30", "03:00")


@pytest.mark.parametrize("way", [1, -1])
def test_a_series_of_candles_that_has_an_hour_twice_lands_in_both(way: int, tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        bars = [(at, float(price)) for price, at in enumerate(BOTH_HOURS, 1)]
        report, there = local_bars(lk, tmp_path, "30m", bars[::way])
        assert (report.totals["landed"], report.totals["refused"]) == (6, 0)
        assert there == [(30, 1.0), (60, 2.0), (90, 3.0), (120, 4.0), (150, 5.0), (180, 6.0)]
        assert "2 local times lie in an hour that the clock has twice: the first is taken" in notes(report)
        assert "2 candles of series that have it twice in the second" in notes(report)


@pytest.mark.parametrize("rows_of_page", [1, 2, 3, 4])
@pytest.mark.parametrize("way", [1, -1])
def test_an_hour_that_comes_twice_lands_in_both_wherever_a_page_ends(
    way: int, rows_of_page: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candle_frames, "_ROWS", rows_of_page)
    test_a_series_of_candles_that_has_an_hour_twice_lands_in_both(way, tmp_path)


def test_an_hour_that_is_one_candle_lands_in_both(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        _, there = local_bars(lk, tmp_path, "1h", [("01:00", 1.0), ("02:00", 2.0), ("02:00", 3.0), ("03:00", 4.0)])
        assert there == [(0, 1.0), (60, 2.0), (120, 3.0), (180, 4.0)]


@pytest.mark.parametrize("bars", [
    [("02:00", 1.0), ("02:00", 1.5), ("02:30", 2.0), ("02:30", 2.5)],  # each written again when it was over
    [("02:00", 1.0), ("02:30", 2.0), ("02:30", 2.5)],
    [("01:30", 0.5), ("02:00", 1.0), ("02:30", 2.0), ("03:00", 3.0), ("02:00", 1.5), ("02:30", 2.5)],  # joined files
])  # fmt: skip
def test_candles_that_are_told_again_are_no_second_hour(bars: list[tuple[str, float]], tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        report, there = local_bars(lk, tmp_path, "30m", bars)
        assert 120 not in {minute for minute, _ in there}
        assert report.totals["refused"] == len(bars) - len({at for at, _ in bars})
        assert "2 local times lie in an hour that the clock has twice: the first is taken" in notes(report)


def test_a_map_file_that_is_not_there_is_told_as_that(tmp_path: Path) -> None:
    said = Options(map_file=tmp_path / "nope.toml")
    with pytest.raises(SourceError, match="the column map cannot be read: No such file or directory") as told:
        import_from(None, "generic", str(as_csv(tmp_path / "deals.csv")), said, dry_run=True)
    assert "TOML" not in str(told.value)


_WRITTEN = """
    dataset = "trades"
    [columns]
    trade_id = "n"
    symbol = "pair"
    side = "side"
    status = { one_of = "state", values = { None = "closed", open = "open" } }
    quantity = { number = "qty", decimal = "." }
    pnl = { number = "profit", decimal = ".", sign = "$" }
    pnl_percent = { number = "ret", sign = "%" }
    created_at = "at"
    [sums]
    pnl = "profit"
    quantity = "qty"
"""


def test_numbers_as_people_write_them_are_read_as_the_map_says_and_refused_where_it_does_not(tmp_path: Path) -> None:
    path = tmp_path / "deals.csv"
    path.write_text(
        "n;pair;side;state;qty;profit;ret;at\n"
        "a;BTCUSDT;LONG;None;1,234.50;$1,000.10;12.5%;2025-01-01T00:00:00Z\n"
        "b;BTCUSDT;LONG;None;950.10;($12.30);-1%;2025-01-02T00:00:00Z\n"
        "c;BTCUSDT;LONG;open;1.234,50;7;;2025-01-03T00:00:00Z\n"
        "d;BTCUSDT;LONG;None;2;€5;;2025-01-04T00:00:00Z\n"
    )
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "generic", path, map_file=a_map(tmp_path, _WRITTEN))
        assert rows(lk, "trades", "trade_id", "quantity", "pnl", "pnl_percent", "status") == [
            ("a", 1234.5, 1000.1, 12.5, "closed"), ("b", 950.1, -12.3, -1.0, "closed"),
        ]  # fmt: skip
        (table,) = report.tables
        assert {s.column: (s.found, s.in_lake) for s in table.sums} == {
            "trades.pnl": (pytest.approx(994.8), pytest.approx(987.8)),
            "trades.quantity": (pytest.approx(2186.6), pytest.approx(2184.6)),
        }
        assert dict(table.reasons) == {
            "qty: not a number that is written with decimal .": 1,
            "profit: not a number that is written with decimal ., sign $": 1,
        }
        assert "taken for nothing" not in notes(report)
        text = _WRITTEN.replace(', decimal = ".", sign = "$"', "").replace(', decimal = "."', "")
        report = imported(lk, "generic", path, map_file=a_map(tmp_path, text))
        assert any("decimal and sign in a column map say" in reason for reason in report.tables[0].reasons)


def test_a_draft_says_how_numbers_are_written_or_that_it_cannot_know(tmp_path: Path) -> None:
    path = tmp_path / "deals.csv"
    path.write_text(
        "pair;side;entry price;exit price;qty;profit;opened\n"
        'BTCUSDT;LONG;60.000,5;61.000;1,000;"$1,234.50";2025-01-01T00:00:00Z\n'
        'BTCUSDT;LONG;60.100;61.000,25;2,000;"$34.50";2025-01-02T00:00:00Z\n'
    )
    text = suggest(str(path))
    assert 'entry_price = { number = "entry price", decimal = "," }' in text
    assert '# quantity: not made of "qty", it may be { number = "qty", decimal = "." }, { number = "qty"' in text
    assert 'pnl = { number = "profit", decimal = ".", sign = "$" }' in text
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "generic", path, map_file=a_map(tmp_path, text))
        assert rows(lk, "trades", "entry_price", "pnl", "quantity") == [(60000.5, 1234.5, None), (60100.0, 34.5, None)]
