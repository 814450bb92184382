"""What is exported and imported again is the same, value for value, in every format and of every dataset."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import lake
from lake.exporters import Target, export
from lake.importers.base import Options
from lake.importers.run import import_from
from lake.spec import registry
from tests.exporters.made import filled, held
from tests.importers.conftest import Postgres

ENDINGS = (".parquet", ".csv", ".jsonl")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lake.Lake]:
    with lake.open(tmp_path_factory.mktemp("full")) as lk:
        filled(lk)
        lk.drain()
        yield lk


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "empty") as lk:
        yield lk


def came_back(full: lake.Lake, empty: lake.Lake, name: str) -> None:
    before, after = held(full, name), held(empty, name)
    assert before.height > 0
    assert_frame_equal(after, before, check_exact=True)


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_of_every_dataset_come_back_equal(full: lake.Lake, empty: lake.Lake, tmp_path: Path, ending: str) -> None:
    (tmp_path / "out").mkdir()
    for name in registry.names():
        export(full, name, tmp_path / "out" / f"{name}{ending}")
    report = import_from(empty, "tradelake", str(tmp_path / "out"))
    assert (report.balanced, report.failed, report.totals["refused"]) == (True, False, 0), report.text()
    for name in registry.names():
        came_back(full, empty, name)
    again = import_from(empty, "tradelake", str(tmp_path / "out"))
    assert (again.totals["landed"], again.totals["unchanged"]) == (0, report.totals["found"])


def test_a_sqlite_file_of_every_dataset_comes_back_equal(full: lake.Lake, empty: lake.Lake, tmp_path: Path) -> None:
    for name in registry.names():
        export(full, name, tmp_path / "lake.db")
    report = import_from(empty, "tradelake", str(tmp_path / "lake.db"))
    assert (report.balanced, report.totals["refused"]) == (True, 0), report.text()
    for name in registry.names():
        came_back(full, empty, name)


def test_a_postgres_schema_of_every_dataset_comes_back_equal(
    full: lake.Lake, empty: lake.Lake, postgres: Postgres
) -> None:
    for name in registry.names():
        export(full, name, postgres.address)
    report = import_from(empty, "tradelake", postgres.address)
    assert (report.balanced, report.totals["refused"]) == (True, 0), report.text()
    for name in registry.names():
        came_back(full, empty, name)


@pytest.mark.parametrize("ending", [*ENDINGS, ".csv.gz", ".jsonl.gz"])
def test_a_file_of_any_name_says_by_its_columns_of_which_dataset_it_is(
    full: lake.Lake, empty: lake.Lake, tmp_path: Path, ending: str
) -> None:
    export(full, "phantoms", tmp_path / f"out{ending}")
    import_from(empty, "tradelake", str(tmp_path / f"out{ending}"))
    came_back(full, empty, "phantoms")


def test_rows_that_another_has_changed_are_told_and_broken_ones_are_refused(
    full: lake.Lake, empty: lake.Lake, tmp_path: Path
) -> None:
    path = tmp_path / "candles.csv"
    export(full, "candles", path)
    lines = path.read_text().splitlines()
    lines[1] = lines[1].replace("100.1", "not a price")
    path.write_text("\n".join([*lines, "too,few,cells"]) + "\n")
    report = import_from(empty, "tradelake", str(path))
    assert (report.failed, report.balanced) == (True, True)
    assert (report.totals["found"], report.totals["refused"], report.totals["landed"]) == (14, 2, 12)
    assert "1 line has too many or too few cells: refused" in report.text()
    refused = [(entry["reason"], entry["row"]) for entry in empty.writer.quarantine.read()]
    assert ("too many or too few cells", {"found": "too,few,cells"}) in refused


def test_a_csv_that_breaks_off_gives_what_comes_before_and_refuses_the_line_that_is_cut(
    full: lake.Lake, empty: lake.Lake, tmp_path: Path
) -> None:
    path = tmp_path / "trades.csv"
    export(full, "trades", path)
    rows = full.read("trades").height
    head, _, last = path.read_text().rstrip("\n").rpartition("\n")
    path.write_text(f"{head}\n{last[: len(last) // 4]}")
    report = import_from(empty, "tradelake", str(path))
    assert (report.failed, report.balanced) == (True, True)
    assert (report.totals["landed"], report.totals["refused"]) == (rows - 1, 1)


def test_columns_that_are_no_ones_are_not_taken_for_an_export(empty: lake.Lake, tmp_path: Path) -> None:
    pl.DataFrame({"a": [1]}).write_csv(tmp_path / "strange.csv")
    with pytest.raises(lake.LakeError, match="of which dataset are its rows"):
        import_from(empty, "tradelake", str(tmp_path / "strange.csv"))
    with pytest.raises(lake.LakeError, match="no export of trades: no column 'trade_id'"):
        import_from(empty, "tradelake", str(tmp_path / "strange.csv"), Options(dataset="trades"))


def test_what_waits_in_hot_is_exported_with_what_has_settled(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        lk.trades.open(symbol="BTC/USDT", side="LONG", quantity=1.0, entry_price=100.0)
        lk.drain()
        lk.trades.open(symbol="ETH/USDT", side="LONG", quantity=1.0, entry_price=100.0)
        report = export(lk, "trades", Target(tmp_path / "t.parquet"))
        assert report.rows == 2
        assert sorted(pl.read_parquet(tmp_path / "t.parquet")["symbol"]) == ["BTCUSDT", "ETHUSDT"]


def test_an_export_beside_a_bots_own_tables_is_found_by_its_columns(
    full: lake.Lake, empty: lake.Lake, postgres: Postgres
) -> None:
    postgres.run("CREATE TABLE bot_configs (bot_id text)")
    export(full, "trades", Target(postgres.address, table=f"{postgres.schema}.mine"))
    report = import_from(empty, "tradelake", postgres.address, Options(dataset="trades"))
    assert [table.table for table in report.tables] == ["mine"]
    assert report.totals["landed"] == full.frame("SELECT count(*) FROM trades").item()
