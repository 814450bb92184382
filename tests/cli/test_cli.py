from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import polars as pl
import pytest
from click.testing import CliRunner, Result

import lake
from lake.cli import main
from lake.cli.commands import short_helps
from lake.cli.output import Output, shown
from lake.kernels import market

START = 1_767_225_600_000_000


def run(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def data(*words: str) -> Any:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    with lake.open(tmp_path / "lake") as lk:
        lk.candles.write(market.candles("BTCUSDT", START, 50, price=10.0, seed=1), "1m")
        lk.drain()
    return str(tmp_path / "lake")


def test_every_command_has_help_and_takes_lake_and_json() -> None:
    for name, command in main.commands.items():
        assert command.help, name
        parts = [[name, part] for part in command.commands] if isinstance(command, click.Group) else [[name]]
        for words in parts:
            text = run(*words, "--help").output
            assert "--lake" in text, words
            assert "--json" in text, words


def test_the_list_of_commands_says_what_the_commands_say_of_themselves() -> None:
    for width in (40, 74, 94):
        listed = dict(short_helps(width))
        room = width - max(len(name) for name in main.commands)
        assert {name: c.get_short_help_str(room) for name, c in main.commands.items()} == listed
    assert list(main.commands) == sorted(main.commands)


def test_help_and_one_command_import_no_other_command() -> None:
    code = """if True:
        import sys
        from click.testing import CliRunner
        from lake.cli import main
        for arguments in (["--help"], ["describe", "candles"], ["sq"]):
            CliRunner().invoke(main, arguments)
        names = ("demo", "importing", "ingesting", "querying")
        print([name for name in names if f"lake.cli.{name}" in sys.modules])
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['querying']\n"


def test_every_command_is_in_the_readme() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    missing = [n for n in main.commands if f"lake {n}" not in readme and n not in ("shell", "tags", "restore", "demo")]
    assert missing == []


def test_init_makes_a_lake_with_settings_that_explain_themselves(tmp_path: Path) -> None:
    assert run("init", "--lake", str(tmp_path / "new")).exit_code == 0
    text = (tmp_path / "new" / "_lake" / "settings.toml").read_text(encoding="utf-8")
    assert "target_file_mb" in text
    assert data("tables", "--lake", str(tmp_path / "new"))


def test_the_address_may_come_from_the_environment(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKE_URI", folder)
    assert data("stats")["candles"] == 50


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("sql", "SELECT 1", "--lake", "{none}"), 1, "there is no lake here"),
        (("sql", "SELECT nope FROM candles", "--lake", "{lake}"), 2, '"nope" not found'),
        (("sql", "DROP TABLE candles", "--lake", "{lake}"), 1, "is not reading"),
        (("describe", "candels"), 2, "Did you mean candles"),
        (("retain", "--keep", "candles", "--lake", "{lake}"), 2, "DATASET=DAYS"),
        (("sql", "SELECT 1", "--format", "parquet", "--lake", "{lake}"), 2, "Add --output"),
        (("restore", "{none}", "--lake", "{lake}"), 2, "does not exist"),
        (("ingest", "{lake}/nothing.csv", "--lake", "{lake}"), 2, "nothing.csv"),
        (("ingest", "ccxt", "--lake", "{lake}"), 2, "--exchange"),
        (("nonsense",), 2, "No such command"),
    ],
)
def test_wrong_use_is_one_sentence_and_a_status(
    folder: str, tmp_path: Path, words: tuple[str, ...], status: int, message: str
) -> None:
    given = [w.format(lake=folder, none=tmp_path / "none") for w in words]
    result = run(*given)
    assert (result.exit_code, message in result.output) == (status, True), result.output
    assert "Traceback" not in result.output


def test_an_error_is_json_when_json_was_asked_for(tmp_path: Path) -> None:
    result = run("stats", "--lake", str(tmp_path / "none"), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"] == "there is no lake here"


def test_sql_prints_tables_csv_and_json_and_writes_parquet(folder: str, tmp_path: Path) -> None:
    statement = "SELECT symbol, count(*) AS n FROM candles GROUP BY symbol"
    assert run("sql", statement, "--lake", folder).output == "symbol   n\nBTCUSDT  50\n"
    assert run("sql", statement, "--lake", folder, "--format", "csv").output == "symbol,n\nBTCUSDT,50\n"
    assert data("sql", statement, "--lake", folder) == [{"symbol": "BTCUSDT", "n": 50}]
    assert run("sql", statement, "--lake", folder, "-o", str(tmp_path / "out.parquet")).exit_code == 0
    assert pl.read_parquet(tmp_path / "out.parquet").rows() == [("BTCUSDT", 50)]


def test_sql_reads_a_parameter_a_tag_and_standard_input(folder: str) -> None:
    assert run("tag", "before", "--lake", folder).exit_code == 0
    with lake.open(folder) as lk:
        lk.candles.write(market.candles("ETHUSDT", START, 5, price=10.0, seed=1), "1m")
    count = "SELECT count(*) AS n FROM candles WHERE symbol LIKE ?"
    assert data("sql", count, "--param", "%", "--lake", folder) == [{"n": 55}]
    assert data("sql", count, "--param", "%", "--tag", "before", "--lake", folder) == [{"n": 50}]
    typed = CliRunner().invoke(main, ["sql", "-", "--lake", folder, "--json"], input="SELECT 1 AS one")
    assert json.loads(typed.stdout) == [{"one": 1}]
    assert [t["tag"] for t in data("tags", "--lake", folder)] == ["before"]


def test_maintenance_commands_do_what_they_say_and_dry_runs_do_nothing(folder: str) -> None:
    assert data("compact", "--lake", folder, "--dry-run")["files_before"] == 1
    before = data("tables", "--lake", folder)
    assert data("retain", "--keep", "candles=1", "--dry-run", "--lake", folder)[0]["rows_removed"] == 50
    assert data("tables", "--lake", folder) == before
    assert data("compact", "--lake", folder)["files_after"] == 1
    assert data("vacuum", "--grace-hours", "0", "--dry-run", "--lake", folder)["files"] == 1
    assert data("verify", "--lake", folder)["ok"] is True
    assert data("retain", "--keep", "candles=1", "--lake", folder)[0]["rows_removed"] == 50
    assert data("stats", "--lake", folder)["candles"] == 0


def test_a_backup_restores_to_an_equal_lake(folder: str, tmp_path: Path) -> None:
    assert data("backup", str(tmp_path / "copy"), "--lake", folder)["files"] > 0
    assert run("restore", str(tmp_path / "copy"), "--lake", str(tmp_path / "again")).exit_code == 0
    assert data("sql", "SELECT * FROM candles", "--lake", str(tmp_path / "again")) == data(
        "sql", "SELECT * FROM candles", "--lake", folder
    )
    assert run("restore", str(tmp_path / "copy"), "--lake", folder).exit_code == 1


def test_verify_ends_with_one_when_a_file_is_damaged(folder: str) -> None:
    damaged = next(Path(folder, "candles").rglob("*.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:-10])
    result = run("verify", "--lake", folder)
    assert result.exit_code == 1
    assert damaged.name in result.output


def test_ingest_reports_every_row_and_reads_nothing_twice(tmp_path: Path) -> None:
    frame = market.candles("BTCUSDT", START, 50, price=10.0, seed=1)
    rows = frame.select(pl.col("open_time").dt.timestamp("ms"), "open", "high", "low", "close", "volume").rows()
    (tmp_path / "BTC_USDT-1m.json").write_text(json.dumps(rows))
    folder = str(tmp_path / "lake")
    first = data("ingest", str(tmp_path / "BTC_USDT-1m.json"), "--lake", folder)
    assert (first["totals"]["rows_in"], first["totals"]["landed"], first["balanced"]) == (50, 50, True)
    assert data("ingest", str(tmp_path / "BTC_USDT-1m.json"), "--lake", folder)["totals"]["already there"] == 1
    assert data("stats", "--lake", folder)["candles"] == 50
    data("retain", "--keep", "candles=0", "--lake", folder)
    assert "--again reads" in run("ingest", str(tmp_path / "BTC_USDT-1m.json"), "--lake", folder).output
    again = data("ingest", str(tmp_path / "BTC_USDT-1m.json"), "--again", "--lake", folder)
    assert (again["totals"]["landed"], again["removed"]) == (50, [])


def test_the_demo_runs_balances_and_verifies(tmp_path: Path) -> None:
    found = data("demo", "--days", "2", "--lake", str(tmp_path / "demo"))
    assert found["verified"] is True
    assert found["live"]["seen"] == found["live"]["candles"] == 720
    totals = found["ingest"]
    assert totals["rows_in"] == totals["landed"] + totals["updated"] + totals["duplicate"] + totals["quarantined"]
    assert totals["quarantined"] > 0


def test_the_demo_leaves_other_lakes_alone(folder: str) -> None:
    result = run("demo", "--lake", folder)
    assert result.exit_code == 2
    assert "not made by a demo" in result.output


def test_the_installed_command_is_quiet_when_piped(folder: str) -> None:
    command = [str(Path(sys.executable).with_name("lake")), "stats", "--lake", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("name", ["drain", "compact", "retain", "verify"])
def test_each_job_logs_one_json_line(folder: str, name: str) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", f"jobs.{name}", "--lake", folder], capture_output=True, text=True, check=True, cwd=root
    )
    assert json.loads(done.stdout)["ok"] is True


def test_trades_prompts_and_calibration_are_told_on_the_command_line(folder: str, tmp_path: Path) -> None:
    with lake.open(folder, bot_id="b") as lk:
        lk.trades.record(symbol="BTCUSDT", side="LONG", status="closed", quantity=1.0, entry_price=1.0, exit_price=2.0)
        lk.decisions.record(
            symbol="BTCUSDT", recommendation="LONG", confidence=0.8, prompt_version="v1", outcome_correct=True
        )
    [row] = data("stats", "--by", "symbol", "--lake", folder)
    assert (row["symbol"], row["trades"], row["wins"]) == ("BTCUSDT", 1, 1)
    (tmp_path / "p.txt").write_text("Trade well.")
    known = data("prompts", "--register", "v2", "--file", str(tmp_path / "p.txt"), "--activate", "v2", "--lake", folder)
    assert [(r["version"], r["is_active"]) for r in known] == [("v2", True)]
    assert {r["prompt_version"]: r["resolved"] for r in data("prompts", "--lake", folder)}["v1"] == 1
    assert data("calibration", "--prompt", "v1", "--lake", folder)[0]["n"] == 1
    assert run("prompts", "--register", "v3", "--lake", folder).exit_code == 2


def test_letting_go_of_a_tag_can_be_tried_first(folder: str) -> None:
    run("tag", "kept", "--lake", folder)
    assert "is there and would be deleted" in run("tag", "kept", "--delete", "--dry-run", "--lake", folder).stdout
    assert [t["tag"] for t in data("tags", "--lake", folder)] == ["kept"]
    run("tag", "kept", "--delete", "--lake", folder)
    assert data("tags", "--lake", folder) == []


def test_the_prompt_of_the_shell_is_no_part_of_what_it_prints(folder: str) -> None:
    done = CliRunner().invoke(main, ["shell", "--lake", folder], input="SELECT 41 + 1 AS a\nSELEC\n\n")
    assert (done.exit_code, "42" in done.stdout, "lake>" in done.stdout) == (0, True, False)
    assert ("lake>" in done.stderr, 'near "SELEC"' in done.stderr) == (True, True)


def test_names_however_long_are_apart_from_their_values(capsys: pytest.CaptureFixture[str]) -> None:
    Output().result({"short": 1, "brier_of_base_rate": 0.25, "nothing": None})
    assert capsys.readouterr().out == "short               1\nbrier_of_base_rate  0.25\nnothing\n"


def test_the_command_runs_as_a_module_too() -> None:
    done = subprocess.run([sys.executable, "-m", "lake", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == run("--version").stdout


def test_no_field_is_told_as_python_has_it() -> None:
    assert shown({"n": 1200, "trouble": None, "ece": 0.25}) == "n 1,200, trouble, ece 0.25"
    assert shown({}) == ""
