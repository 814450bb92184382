"""Wrong use and failures of commands: one sentence, the right exit status, nothing half-written."""

from __future__ import annotations

import errno
import json
import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event

import polars as pl
import pytest
from click.testing import CliRunner, Result

import lake
from lake.cli import main
from lake.cli.late_lake import LateLake
from lake.store.hot.database import HotDatabase
from lake.store.location import resolve
from tests.helpers import T0, trade

EVERY_TYPE = """SELECT [1, 2] AS list, {'a': 1, 'i': INTERVAL 1 DAY} AS struct, MAP {'k': 1} AS map, 'x'::BLOB AS blob,
    INTERVAL 1 DAY AS interval, TIME '01:02' AS time, 'nan'::DOUBLE AS nan, 1.50::DECIMAL(5, 2) AS decimal,
    sum(7) AS huge, DATE '2026-01-01' AS date, TIMESTAMPTZ '2026-01-01 00:00+00' AS moment, NULL AS nothing,
    true AS yes, bitstring('101', 3) AS bits, uuid() IS NOT NULL AS id"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture
def uri(tmp_path: Path) -> str:
    with lake.open(tmp_path / "lake", bot_id="tester") as lk:
        lk.write("trades", trade(1))
    return str(tmp_path / "lake")


def test_every_type_of_duckdb_has_a_form_as_json(uri: str) -> None:
    [row] = json.loads(run("sql", "--lake", uri, EVERY_TYPE, "--format", "json").stdout)
    assert (row["list"], row["struct"], row["map"]) == ([1, 2], {"a": 1, "i": "1 day"}, {"k": 1})
    assert (row["blob"], row["interval"], row["time"], row["bits"]) == ("78", "1 day", "01:02:00", "101")
    assert (row["nan"], row["decimal"], row["huge"], row["nothing"], row["yes"]) == (None, 1.5, 7, None, True)
    lines = run("sql", "--lake", uri, EVERY_TYPE, "--format", "jsonl").stdout
    assert json.loads(lines) == row


@pytest.mark.parametrize("form", ["csv", "table"])
def test_every_type_of_duckdb_has_a_form_as_text(uri: str, form: str) -> None:
    done = run("sql", "--lake", uri, EVERY_TYPE, "--format", form)
    assert done.exit_code == 0, done.output
    assert "[1,2]" in done.stdout
    assert "1 day" in done.stdout


def test_every_type_of_duckdb_goes_into_parquet(uri: str, tmp_path: Path) -> None:
    assert run("sql", "--lake", uri, EVERY_TYPE, "-o", str(tmp_path / "all.parquet")).exit_code == 0
    row = pl.read_parquet(tmp_path / "all.parquet").row(0, named=True)
    assert row["list"] == [1, 2]
    assert math.isnan(row["nan"])


@pytest.mark.parametrize("name", ["x.csv", "x.json", "x.parquet"])
def test_a_result_that_cannot_be_written_leaves_nothing(uri: str, tmp_path: Path, name: str) -> None:
    done = run("sql", "--lake", uri, "SELECT 1 AS a", "-o", str(tmp_path / "none" / name))
    assert (done.exit_code, done.stdout) == (1, "")
    assert "it cannot be written: no such file or directory" in done.stderr
    folder = run("sql", "--lake", uri, "SELECT 1 AS a", "-o", str(tmp_path), "--format", "csv")
    assert (folder.exit_code, "that is a folder" in folder.stderr) == (1, True)
    assert [p.name for p in tmp_path.iterdir()] == ["lake"]


ASK_EXCHANGE = (
    "ingest",
    "ccxt",
    "--exchange",
    "kraken",
    "--symbol",
    "A/B",
    "--timeframe",
    "1h",
    "--since",
    "2026-01-01",
)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("init", "--lake", "/proc/none"), 1, "no folder can be made there"),
        (("tables", "--lake", "/proc/none"), 1, "there is no lake here"),
        (("backup", "/proc/none"), 1, "it cannot be written"),
        (("sql", "SELECT 1", "--limit", "-1"), 2, "-1 is not in the range"),
        (("vacuum", "--grace-hours", "-1"), 2, "-1.0 is not in the range"),
        (("retain", "--keep", "candle=3"), 2, "Did you mean candles"),
        (("retain", "--keep", "candles=-3"), 2, "--keep takes DATASET=DAYS"),
        (("report", "--day", "yesterday"), 2, "no date"),
        (("sql", "SELECT 'x'::INT"), 2, """(got "SELECT 'x'::INT")"""),
        (("sql", "SELECT 1", "--at", "2026-01-01"), 2, "'--at': a naive time could mean any zone"),
        (("export", "trades", "--to", "x.csv", "--start", "monday"), 2, "Invalid value for '--start'"),
        (("lessons", "BTC/USDT", "--before", "2026-01-01"), 2, "'--before': a naive time could mean any zone"),
        (ASK_EXCHANGE, 2, "'--since': a naive time"),
    ],
)
def test_wrong_use_is_one_sentence_and_its_status(
    uri: str, arguments: tuple[str, ...], status: int, message: str
) -> None:
    given = arguments if "--lake" in arguments else (*arguments, "--lake", uri)
    done = run(*given)
    assert (done.exit_code, message in done.stderr) == (status, True), done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    "arguments",
    [("nothing.csv",), ("{file}", "--timeframe", "7m"), ("{file}", "--format", "excel"), ("{file}", "--map", "x")],
)
def test_an_ingest_that_cannot_begin_makes_no_lake(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    file = tmp_path / "a.csv"
    file.write_text("open_time,open,high,low,close,volume\n")
    done = run("ingest", "--lake", str(tmp_path / "new"), *(a.replace("{file}", str(file)) for a in arguments))
    assert done.exit_code == 2, done.output
    assert not (tmp_path / "new").exists()


def rows(*times: int) -> str:
    header = "when,o,h,l,c,v\n"
    return header + "".join(f"{t},1.0,2.0,0.5,1.5,10\n" for t in times)


def test_a_map_file_says_what_the_columns_are(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(rows(T0, T0 + 60_000))
    (tmp_path / "map.toml").write_text('symbol = "BTC/USDT"\ntimeframe = "1m"\n[columns]\nopen_time = "when"\n')
    uri = str(tmp_path / "lake")
    done = run("ingest", "--lake", uri, str(tmp_path / "a.csv"), "--map-file", str(tmp_path / "map.toml"))
    assert done.exit_code == 0, done.output
    with lake.open(uri, create=False) as lk:
        assert lk.candles.read("BTCUSDT", "1m").height == 2


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [("symbol = 3", 2, "symbol must be a text"), ("x = 'y'", 2, "unknown key"), ("[", 1, "not a TOML file")],
)
def test_a_wrong_map_file_is_one_sentence(tmp_path: Path, text: str, status: int, message: str) -> None:
    (tmp_path / "a.csv").write_text(rows(T0))
    (tmp_path / "map.toml").write_text(text)
    files = (str(tmp_path / "a.csv"), "--map-file", str(tmp_path / "map.toml"))
    done = run("ingest", "--lake", str(tmp_path / "lake"), *files)
    assert (done.exit_code, message in done.stderr) == (status, True), done.output


def test_a_table_with_times_in_mixed_units_is_refused_whole(tmp_path: Path) -> None:
    (tmp_path / "BTCUSDT-1m.csv").write_text(rows(T0, T0 * 1000 + 60_000_000).replace("when", "open_time"))
    uri = str(tmp_path / "lake")
    done = run("ingest", "--lake", uri, str(tmp_path / "BTCUSDT-1m.csv"), "--format", "table")
    assert done.exit_code == 1
    assert "epoch times in mixed units" in done.output
    assert not Path(uri).exists()


@pytest.mark.parametrize(
    ("name", "extra", "reason"),
    [
        ("BTCUSDT-7m-2024-01-01.csv", (), "2 x unknown timeframe '7m'"),
        ("BTCUSDT-1m-2024-01-01.csv", ("--time-unit", "s"), "the time cannot be read"),
    ],
)
def test_a_file_of_which_no_row_could_be_taken_is_no_success(
    tmp_path: Path, name: str, extra: tuple[str, ...], reason: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_text(rows(T0, T0 + 60_000).replace("when,o,h,l,c,v", "open_time,o,h,l,c,v"))
    uri = str(tmp_path / "lake")
    done = run("ingest", "--lake", uri, str(tmp_path / "in" / name), *extra)
    assert (done.exit_code, "refused whole: 1 files" in done.stdout, reason in done.stdout) == (1, True, True)
    assert not Path(uri).exists()
    (tmp_path / "in" / "ETHUSDT-1m.csv").write_text(rows(T0).replace("when", "open_time"))
    done = run("ingest", "--lake", uri, str(tmp_path / "in"), "--json")
    assert (done.exit_code, json.loads(done.stdout)["totals"]["landed"] > 0) == (0 if extra else 1, True)
    again = run("ingest", "--lake", uri, str(tmp_path / "in"))
    assert (again.exit_code, "already there: 2 files" in again.stdout) == (done.exit_code, True)
    assert (reason in again.stdout) == (not extra)


@pytest.mark.parametrize("paths", [("",), (".", "")])
def test_an_empty_path_is_not_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paths: tuple[str, ...]
) -> None:
    (tmp_path / "BTCUSDT-1m.csv").write_text(rows(T0).replace("when", "open_time"))
    monkeypatch.chdir(tmp_path)
    done = run("ingest", "--lake", str(tmp_path / "lake"), *paths)
    assert (done.exit_code, "an empty path names no file or folder" in done.stderr) == (2, True), done.output
    assert not (tmp_path / "lake").exists()


def test_trades_that_become_candles_are_told_as_such(tmp_path: Path) -> None:
    ticks = "".join(f"{n},{100 + n},1.0,{100 + n},{T0 + n * 20_000},false,true\n" for n in range(9))
    (tmp_path / "BTCUSDT-trades-2024-01-01.csv").write_text(
        "id,price,qty,quote_qty,time,is_buyer_maker,is_best_match\n" + ticks
    )
    done = run("ingest", "--lake", str(tmp_path / "lake"), str(tmp_path / "BTCUSDT-trades-2024-01-01.csv"))
    assert "9 of the rows are trades, which made 3 candles" in done.stdout
    told = json.loads(run("ingest", "--lake", str(tmp_path / "b"), str(tmp_path), "--json").stdout)
    assert (told["totals"]["trades"], told["totals"]["candles_made"], told["balanced"]) == (9, 3, True)


def test_settings_that_are_not_text_are_one_sentence(uri: str) -> None:
    (Path(uri) / "_lake" / "settings.toml").write_bytes(b"drain_rows = 5 # \xff\xfe")
    done = run("tables", "--lake", uri)
    assert (done.exit_code, "it is not UTF-8" in done.stderr) == (2, True)


def test_every_command_says_its_error_as_json_too(tmp_path: Path) -> None:
    arguments = {"sql": ["SELECT 1"], "tag": ["x"], "backup": [str(tmp_path / "b")], "restore": [str(tmp_path)]}
    quiet = {"init", "demo", "describe", "ingest", "run", "import"}  # they make a lake, need none, or need more
    for name in sorted(set(main.commands) - quiet):
        done = run(name, *arguments.get(name, []), "--lake", str(tmp_path / "none"), "--json")
        assert done.exit_code in {1, 2}, (name, done.output)
        assert {"error", "where", "todo", "message"} <= set(json.loads(done.stdout)), name


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("0s", "an interval is between 1 second and 366 days"),
        ("999999d", "an interval is between 1 second and 366 days"),
        ("-5s", "neither an interval nor cron's"),
        ("1.5s", "neither an interval nor cron's"),
        ("²s", "neither an interval nor cron's"),
        ("9" * 40 + "d", "neither an interval nor cron's"),
        ("* * *", "neither an interval nor cron's"),
        ("99 * * * *", "cron does not know it"),
        ("0 0 31 2 *", "that time never comes"),
    ],
)
def test_a_time_that_is_none_for_a_job_is_one_sentence(uri: str, when: str, message: str) -> None:
    done = run("run", "--lake", uri, "--job", f"drain={when}")
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tables", "--nope"), "No such option '--nope'"),
        (("backup",), "Missing argument 'TARGET'"),
        (("sql", "SELECT 1", "--limit", "-1"), "-1 is not in the range"),
        (("no-such-command",), "No such command"),
    ],
)
def test_a_call_that_is_wrong_is_told_as_json_where_json_was_asked_for(
    arguments: tuple[str, ...], message: str
) -> None:
    done = run(*arguments, "--json")
    told = json.loads(done.stdout)
    assert (done.exit_code, set(told)) == (2, {"error", "where", "todo", "message"})
    assert message in told["error"]
    assert run(*arguments).stdout == ""


@pytest.mark.parametrize(
    "text", ["open_time,open,high,low,close,volume\n", rows(T0).replace("when", "open_time").replace("0.5", "9")]
)
@pytest.mark.parametrize("place", ["new", "empty"])
def test_an_ingest_that_lands_nothing_makes_no_lake(tmp_path: Path, text: str, place: str) -> None:
    (tmp_path / "BTCUSDT-1m.csv").write_text(text)
    (tmp_path / "empty").mkdir()
    uri = str(tmp_path / place)
    done = run("ingest", "--lake", uri, str(tmp_path / "BTCUSDT-1m.csv"), "--format", "table", "--json")
    totals = json.loads(done.stdout)["totals"]
    assert (totals["landed"], totals["rows_in"]) == (0, totals["quarantined"])
    assert not Path(uri, "_lake").exists()
    assert Path(uri).exists() is (place == "empty")


TRADE = "id,price,qty,quote_qty,time,is_buyer_maker,is_best_match\n1,{price},1.0,100,{time},false,true\n"


@pytest.mark.parametrize("trade", [(0, T0), (100, f"{T0}\n2,100,1.0,100,{T0}000")])
def test_an_ingest_of_trades_that_lands_nothing_makes_no_lake(tmp_path: Path, trade: tuple[int, object]) -> None:
    path = tmp_path / "BTCUSDT-trades-2024-01-01.csv"
    path.write_text(TRADE.format(price=trade[0], time=trade[1]))
    assert run("ingest", "--lake", str(tmp_path / "deep" / "lake"), str(path)).exit_code == 1
    assert not (tmp_path / "deep").exists()
    path.write_text(TRADE.format(price=100, time=T0))
    assert run("ingest", "--lake", str(tmp_path / "deep" / "lake"), str(path)).exit_code == 0
    with lake.open(tmp_path / "deep" / "lake", create=False) as lk:
        assert lk.read("candles").height == 1


def test_trades_for_a_lake_where_none_can_be_are_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-trades-2024-01-01.csv"
    path.write_text(TRADE.format(price=100, time=T0))
    done = run("ingest", "--lake", "/proc/none", str(path))
    assert (done.exit_code, "no lock can be kept there" in done.stderr) == (1, True), done.output


def test_an_exchange_that_cannot_be_asked_makes_no_lake(tmp_path: Path) -> None:
    asked = ("--exchange", "none", "--symbol", "A/B", "--timeframe", "1h", "--since", "2026-01-01T00:00Z")
    assert run("ingest", "ccxt", *asked, "--lake", str(tmp_path / "new")).exit_code != 0
    assert not (tmp_path / "new").exists()


def test_an_ingest_that_waited_sees_the_lake_that_another_has_made_meanwhile(tmp_path: Path) -> None:
    place = resolve(str(tmp_path / "lake"), None)
    late = LateLake(place, lambda: lake.open(place.uri))
    assert late.list("_ingest") == []
    with lake.open(place.uri) as lk:
        lk.location.write("_ingest/a.jsonl", b"")
    assert [entry.path for entry in late.list("_ingest")] == ["_ingest/a.jsonl"]
    late.close()


def test_a_lake_that_several_threads_ask_for_at_once_is_made_once(tmp_path: Path) -> None:
    place = resolve(str(tmp_path / "lake"), None)
    made, is_there, has_asked = [], Event(), Event()

    def make() -> lake.Lake:
        made.append(lake.open(place.uri))
        is_there.set()
        has_asked.wait(0.5)  # a reader asks for kept trades, while the writer has not got the lake yet
        return made[-1]

    late = LateLake(place, make)
    late.quarantine("a.csv", [{"reason": "no time", "price": 1}], dataset="candles")
    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(lambda: late.candles)
        assert is_there.wait(30)
        pool.submit(late.list, "_ingest_trades").add_done_callback(lambda _: has_asked.set())
        writing.result()
    with closing(late):
        assert (len(made), late.made) == (1, made[0])
        assert len(list(made[0].writer.quarantine.read("candles"))) == 1


def test_an_ingest_that_lands_something_keeps_what_it_refused_before(tmp_path: Path) -> None:
    good, bad = rows(T0), f"{T0 + 60_000},1.0,2.0,9,1.5,10\n"
    (tmp_path / "BTCUSDT-1m.csv").write_text((good + bad).replace("when", "open_time"))
    uri, files = str(tmp_path / "new"), (str(tmp_path / "BTCUSDT-1m.csv"), "--format", "table")
    totals = json.loads(run("ingest", "--lake", uri, *files, "--json").stdout)["totals"]
    assert (totals["landed"], totals["quarantined"]) == (1, 1)
    with lake.open(uri, create=False) as lk:
        assert lk.read("candles").height == 1
        assert len(list(lk.writer.quarantine.read("candles"))) == 1
    again = json.loads(run("ingest", "--lake", uri, *files, "--json").stdout)
    assert again["totals"]["already there"] == 1


@pytest.mark.parametrize("target", ["{file}/below", "x" * 300, "{file}"])
def test_a_backup_to_where_nothing_can_be_written_is_one_sentence(uri: str, tmp_path: Path, target: str) -> None:
    (tmp_path / "file").write_text("")
    done = run("backup", target.replace("{file}", str(tmp_path / "file")), "--lake", uri)
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "Traceback" not in done.stderr


def test_a_backup_that_a_full_disk_cuts_off_is_one_sentence_and_no_backup(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(HotDatabase, "backup_to", full)  # a disk that is full cannot be had without being root
    done = run("backup", str(tmp_path / "copy"), "--lake", uri)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "it cannot be written: no space left on device" in done.stderr
    assert "no complete backup" in run("restore", str(tmp_path / "copy"), "--lake", str(tmp_path / "r")).stderr
