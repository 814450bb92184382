"""Exports: what is chosen, what is refused, and that nothing half-written is ever there."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import lake
from lake.cli import main
from lake.errors import QueryError
from lake.exporters import Progress, Selection, Target, export
from lake.exporters.pieces import pieces
from lake.spec import registry
from tests.helpers import spawned, write_candles
from tests.importers.conftest import Postgres


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake") as lk:
        write_candles(lk, range(100))
        write_candles(lk, range(50), symbol="ETHUSDT")
        lk.drain()
        write_candles(lk, range(100, 120))
        for number in range(3):
            lk.trades.open(
                trade_id=f"t{number}", symbol="BTC/USDT", side="LONG", quantity=1.0 + number, entry_price=100.0
            )
        yield lk


def test_rows_are_chosen_by_symbol_timeframe_and_time(lk: lake.Lake, tmp_path: Path) -> None:
    chosen = Selection(
        "candles", symbols=("btc/usdt",), timeframe="1m", start="2024-01-01T00:10:00Z", end="2024-01-01T01:50:00Z",
        where="volume > 20", columns=("open_time", "volume"),
    )  # fmt: skip
    report = export(lk, chosen, tmp_path / "c.parquet")
    found = pl.read_parquet(tmp_path / "c.parquet")
    assert found.columns == ["open_time", "volume"]
    assert (report.rows, found["volume"].to_list()) == (89, [float(n) for n in range(21, 110)])


def test_a_view_and_a_query_are_exported_as_they_answer(lk: lake.Lake, tmp_path: Path) -> None:
    export(lk, "trade_statistics", tmp_path / "view.jsonl")
    assert json.loads((tmp_path / "view.jsonl").read_text().splitlines()[0])
    sql = "SELECT symbol, count(*) AS n, sum(volume::BIGINT) AS s, [1, 2] AS l, NULL AS nothing FROM candles GROUP BY 1"
    export(lk, Selection(sql=f"{sql} ORDER BY 1"), tmp_path / "q.csv")
    assert (tmp_path / "q.csv").read_text().splitlines()[1:] == [
        'BTCUSDT,120,7140,"[1,2]",',
        'ETHUSDT,50,1225,"[1,2]",',
    ]
    export(
        lk,
        Selection(sql="SELECT {'a': [1, NULL]} AS s, 1.50::DECIMAL(9, 2) AS d, 'nan'::DOUBLE AS n"),
        tmp_path / "n.jsonl",
    )
    assert (tmp_path / "n.jsonl").read_text() == '{"s":{"a":[1,null]},"d":1.50,"n":null}\n'
    with pytest.raises(lake.UsageError, match="which table"):
        export(lk, Selection(sql=sql), tmp_path / "q.db")
    export(lk, Selection(sql=sql), Target(tmp_path / "q.db", table="found"))
    with closing(sqlite3.connect(tmp_path / "q.db")) as db:
        assert db.execute("SELECT symbol, s FROM found ORDER BY 1").fetchall() == [("BTCUSDT", 7140), ("ETHUSDT", 1225)]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet", "db"])
@pytest.mark.parametrize(
    "wanted",
    [
        Selection(sql="SELECT 1 AS a, 2 AS a"),
        Selection(sql="SELECT 1 AS a, 2 AS A"),
        Selection(sql="SELECT c.symbol, d.symbol FROM candles c JOIN candles d USING (open_time)"),
        Selection("trades", columns=("trade_id", "trade_id")),
    ],
)
def test_columns_of_one_name_are_refused(lk: lake.Lake, tmp_path: Path, wanted: Selection, ending: str) -> None:
    with pytest.raises(lake.UsageError, match=r"several columns have one name \(got '(a|symbol|trade_id)'\)"):
        export(lk, wanted, Target(tmp_path / f"x.{ending}", table="found" if ending == "db" else ""))
    assert not list(tmp_path.glob("x.*"))


def test_the_lake_is_exported_as_it_was_under_a_tag(lk: lake.Lake, tmp_path: Path) -> None:
    lk.tag("before")
    lk.trades.close("t1", exit_price=110.0)
    export(lk.at(tag="before"), "trades", tmp_path / "then.parquet")
    assert pl.read_parquet(tmp_path / "then.parquet")["status"].to_list() == ["open"] * 3


def test_a_parquet_file_names_its_dataset_and_keeps_the_meaning_of_columns(lk: lake.Lake, tmp_path: Path) -> None:
    export(lk, "trades", tmp_path / "t.parquet")
    schema = pq.read_schema(tmp_path / "t.parquet")
    assert schema.metadata[b"tradelake.dataset"] == b"trades"
    assert schema.field("symbol").metadata[b"comment"].startswith(b"canonical symbol")


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.jsonl"])
def test_a_file_that_is_there_stays_unless_it_is_to_be_replaced(lk: lake.Lake, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(lake.LakeError, match="there is such a file"):
        export(lk, "trades", tmp_path / name)
    assert (tmp_path / name).read_text() == "mine"
    assert export(lk, "trades", Target(tmp_path / name, replace=True)).rows == 3
    with pytest.raises(lake.UsageError, match="nothing is added to"):
        export(lk, "trades", Target(tmp_path / name, append=True))


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.jsonl", "t.db"])
def test_an_export_that_fails_midway_leaves_nothing(lk: lake.Lake, tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    failing = Selection(sql="SELECT symbol, CASE WHEN volume = 119 THEN error('stumbled') ELSE volume END FROM candles")
    with pytest.raises(lake.LakeError, match="stumbled"):
        export(lk, failing, Target(tmp_path / "out" / name, table="t" if name == "t.db" else ""))
    assert list((tmp_path / "out").iterdir()) == []


def test_an_export_that_is_cut_off_leaves_the_database_as_it_was(lk: lake.Lake, tmp_path: Path) -> None:
    export(lk, "candles", tmp_path / "c.db")

    def cut_off(_: Progress) -> None:
        raise KeyboardInterrupt

    for options in ({"replace": True}, {"table": "others"}):
        with pytest.raises(KeyboardInterrupt):
            export(lk, Selection("candles", venue="binance"), Target(tmp_path / "c.db", **options), progress=cut_off)
        with closing(sqlite3.connect(tmp_path / "c.db")) as db:
            assert db.execute("SELECT count(*) FROM candles").fetchone() == (170,)
            assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'others'").fetchone() == (0,)


def export_and_die(lake_path: Path, to: Path, form: str) -> None:
    """Export, and be killed when the first rows are written."""

    def killed(_: Progress) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with lake.open(lake_path, create=False) as lk:
        export(lk, "candles", Target(to, form, replace=True), progress=killed)


@pytest.mark.parametrize(("name", "form"), [("c.parquet", ""), ("c.db", ""), ("data", "freqtrade")])
def test_a_killed_export_leaves_what_was_there_and_nothing_half_written(
    lk: lake.Lake, tmp_path: Path, name: str, form: str
) -> None:
    to = tmp_path / "out" / name
    to.parent.mkdir()
    export(lk, Selection("candles", symbols=("ETHUSDT",)), Target(to, form))
    lk.drain()
    before = contents(to)
    process = spawned(export_and_die, tmp_path / "lake", to, form)
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    if name == "c.db":
        with closing(sqlite3.connect(to)) as db:
            assert db.execute("SELECT count(*) FROM candles").fetchone() == (50,)
    else:
        assert contents(to) == before


def contents(path: Path) -> dict[str, bytes]:
    files = path.rglob("*") if path.is_dir() else [path]
    return {str(file): file.read_bytes() for file in files if file.is_file()}


def test_a_sqlite_table_is_replaced_or_added_to_on_request_alone(lk: lake.Lake, tmp_path: Path) -> None:
    path, chosen = tmp_path / "t.db", Selection("trades", where="trade_id = 't0'")
    export(lk, chosen, path)
    with pytest.raises(lake.LakeError, match="there is such a table"):
        export(lk, "trades", path)
    export(lk, Selection("trades", where="trade_id <> 't0'"), Target(path, append=True))
    with pytest.raises(lake.LakeError, match="a row is there already"):
        export(lk, "trades", Target(path, append=True))
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT trade_id FROM trades ORDER BY 1").fetchall() == [("t0",), ("t1",), ("t2",)]
    export(lk, chosen, Target(path, replace=True))
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM trades").fetchone() == (1,)


def test_a_postgres_table_is_replaced_or_added_to_on_request_alone(lk: lake.Lake, postgres: Postgres) -> None:
    chosen = Selection("trades", where="trade_id = 't0'")
    assert export(lk, chosen, postgres.address).files == ("postgresql://postgres@127.0.0.1:5432/test t.trades".replace(
        "t.trades", f"{postgres.schema}.trades"),)  # fmt: skip
    with pytest.raises(lake.LakeError, match="there is such a table"):
        export(lk, "trades", postgres.address)
    export(lk, Selection("trades", where="trade_id <> 't0'"), Target(postgres.address, append=True))
    with pytest.raises(
        lake.LakeError,
        match=r"a row is there already: Key \(trade_id\)=\(t0\)|a row is there already: Key \(trade_id\)",
    ):
        export(lk, "trades", Target(postgres.address, append=True))
    export(lk, "trades", Target(postgres.address, replace=True))
    failing = Selection(sql="SELECT error('stumbled') AS a FROM candles")
    with pytest.raises(lake.LakeError, match="stumbled"):
        export(lk, failing, Target(postgres.address, table=f"{postgres.schema}.failed"))
    with pytest.raises(lake.LakeError, match="PostgreSQL cannot write it"):
        export(lk, "trades", "postgresql://nobody@127.0.0.1:1/none")


@pytest.mark.parametrize(
    ("selection", "target", "message"),
    [
        (Selection("trades"), Target("t.txt"), "which format"),
        (Selection("trades"), Target("none/t.csv"), "it cannot be written: no such file or directory"),
        (Selection("trades"), Target("none/t.db"), "unable to open database file"),
        (Selection("trades"), Target("s3://bucket/t.csv"), "exports go to local files"),
        (Selection("trades"), Target("redis://127.0.0.1/0"), "which format"),
        (Selection("trades"), Target("t.db", "postgres"), "postgres goes elsewhere"),
        (Selection("trades"), Target("t.csv", table="x"), "csv has no tables"),
        (Selection("trades", columns=("nothing",)), Target("t.csv"), "no column 'nothing'"),
        (Selection("trade_statistics", symbols=("BTCUSDT",)), Target("t.csv"), "only a dataset is narrowed down"),
        (Selection("none_such"), Target("t.csv"), "none_such"),
    ],
)
def test_what_cannot_be_is_told(
    lk: lake.Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, selection: Selection, target: Target, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(lake.LakeError, match=message):
        export(lk, selection, target)


@pytest.mark.parametrize("at", ["'infinity'::TIMESTAMPTZ", "'-infinity'::DATE", "'290000-01-01'::TIMESTAMP"])
@pytest.mark.parametrize("to", ["t.csv", "t.jsonl", "t.db", "postgres"])
def test_a_time_that_is_no_date_is_one_clear_error(
    lk: lake.Lake, tmp_path: Path, postgres: Postgres, at: str, to: str
) -> None:
    place = postgres.address if to == "postgres" else tmp_path / to
    table = "t" if to in {"postgres", "t.db"} else ""
    with pytest.raises(QueryError, match="at: a time at infinity, or past all dates"):
        export(lk, Selection(sql=f"SELECT {at} AS at"), Target(place, table=table))
    assert not (tmp_path / to).exists()
    export(lk, Selection(sql="SELECT '9999-12-31'::DATE AS at, NULL::TIMESTAMP AS no"), Target(place, table=table))


def test_rows_come_in_pieces_that_cover_all_of_them_once(lk: lake.Lake) -> None:
    relation = lk.sql("SELECT * FROM candles")
    for limit in (1, 60, 1000):
        parts = [part.fetchall() for part in pieces(registry.get("candles"), relation, limit)]
        assert len(parts) == (1 if limit == 1000 else 2)
        assert sum(len(part) for part in parts) == 170
        assert sorted(row for part in parts for row in part) == sorted(relation.fetchall())


def test_progress_ends_with_all_rows(lk: lake.Lake, tmp_path: Path) -> None:
    told: list[Progress] = []
    export(lk, "candles", tmp_path / "c.csv", progress=told.append)
    assert told[-1] == Progress(170, 170)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(main, [*arguments])


def test_the_command_reports_rows_and_files_and_ends_with_a_status(lk: lake.Lake, tmp_path: Path) -> None:
    where, to = f"--lake={tmp_path / 'lake'}", str(tmp_path / "t.parquet")
    lk.drain()
    done = run("export", "trades", "--to", to, where, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert {name: told[name] for name in ("what", "format", "to", "rows", "files")} == {
        "what": "trades", "format": "parquet", "to": to, "rows": 3, "files": [to],
    }  # fmt: skip
    again = run("export", "trades", "--to", to, where)
    assert (again.exit_code, "there is such a file" in again.output) == (1, True)
    assert run("export", "trades", "--to", to, where, "--replace").output == f"trades: 3 rows to {to} (parquet)\n"
    assert run("export", "--to", to, where).exit_code == 2
    assert run("export", "trades", "--to", str(tmp_path / "t.txt"), where).exit_code == 2
    chosen = run("export", "--sql", "SELECT 1 AS a", "--to", str(tmp_path / "a.csv"), where)
    assert (chosen.exit_code, (tmp_path / "a.csv").read_text()) == (0, "a\n1\n")
