"""What a running reader needs stays, with any grace, however the vacuum and the reader take turns."""

from __future__ import annotations

import gc
import json
import os
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

import lake
from lake.clock import MICROS_PER_DAY, now_micros
from lake.store import leases, marks
from lake.store.cold.table import ColdTable
from tests.helpers import closes, finished, spawned, write_candles
from tests.s3_servers import S3Service
from tests.store.vacuumed import ROWS, count, replace_files, settled_candles


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with settled_candles(tmp_path) as opened:
        yield opened


def vacuum_at_the_next_look(lk: lake.Lake, uri: str, monkeypatch: pytest.MonkeyPatch, *, after: int) -> list[int]:
    """Let another lake replace and vacuum all files right after the lake's look of that number at its candles."""
    looks: list[int] = []
    state = ColdTable.state

    def overtaken(table: ColdTable) -> Any:
        found = state(table)
        if table is lk.store.table("candles"):
            looks.append(found.version)
            if len(looks) == after:
                replace_files(uri)
        return found

    monkeypatch.setattr(ColdTable, "state", overtaken)
    return looks


@pytest.mark.parametrize("after", range(1, 4))
@pytest.mark.parametrize(
    "read",
    [
        pytest.param(count, id="sql"),
        pytest.param(lambda lk: len(closes(lk)), id="candles"),
        pytest.param(lambda lk: count(lk.at(version={"candles": lk.store.table("candles").state().version})), id="at"),
        pytest.param(lambda lk: (lk.tag("kept"), count(lk.at(tag="kept")))[1], id="tag"),
        pytest.param(lambda lk: 0 if lk.verify().ok else -1, id="verify"),
    ],
)
def test_a_vacuum_right_after_a_look_takes_no_file_of_it(
    lk: lake.Lake, monkeypatch: pytest.MonkeyPatch, read: Callable[[lake.Lake], int], after: int
) -> None:
    with lake.open(lk.location.uri) as reader:
        reader.store.cover(["candles"])
        vacuum_at_the_next_look(reader, lk.location.uri, monkeypatch, after=after)
        assert read(reader) in {ROWS, 0}, "as it was before, or after"


def test_a_relation_that_nobody_has_read_for_hours_keeps_its_files(lk: lake.Lake) -> None:
    with lake.open(lk.location.uri) as reader:
        lease = reader.store.lease
        relation = reader.sql("SELECT * FROM candles")
        derived = relation.filter("close > 0").project("close")
        replace_files(lk.location.uri)
        for _ in range(3):
            lease.renew()
            assert closes(reader) == {}
            assert lk.vacuum(grace_hours=0).files == ()
        del relation
        batches = derived.to_arrow_reader(100)
        del derived
        gc.collect()
        lease.renew()
        assert lk.vacuum(grace_hours=0).files == ()
        assert batches.read_all().num_rows == ROWS


def test_files_of_a_relation_go_once_it_is_gone(lk: lake.Lake) -> None:
    with lake.open(lk.location.uri) as reader:
        relation = reader.sql("SELECT * FROM candles")
        replace_files(lk.location.uri)
        del relation
        gc.collect()
        for _ in range(2):
            reader.store.lease.renew()
        assert len(lk.vacuum(grace_hours=0).files) == 1


def test_a_relation_keeps_its_files_when_its_lake_is_closed(lk: lake.Lake) -> None:
    with lake.open(lk.location.uri) as reader:
        relation = reader.sql("SELECT * FROM candles")
    assert replace_files(lk.location.uri) == ()
    assert len(relation.fetchall()) == ROWS
    del relation
    gc.collect()
    assert len(lk.vacuum(grace_hours=0).files) == 1


def test_a_view_of_an_earlier_version_keeps_its_files_for_as_long_as_it_is_there(lk: lake.Lake) -> None:
    with lake.open(lk.location.uri) as reader:
        view = reader.at(version=reader.version())
        for _ in range(3):
            reader.store.lease.renew()
            assert replace_files(lk.location.uri) == ()
            assert count(view) == ROWS
        relation = view.sql("SELECT * FROM candles")
        del view
        gc.collect()
        for _ in range(3):
            reader.store.lease.renew()
        assert lk.vacuum(grace_hours=0).files == ()
        assert len(relation.fetchall()) == ROWS
        del relation
        gc.collect()
        for _ in range(2):
            reader.store.lease.renew()
        assert len(lk.vacuum(grace_hours=0).files) == 1
        assert leases.held_versions(lk.location) == {}


def test_a_read_keeps_its_files_for_an_hour_at_least_whatever_is_renewed_meanwhile(lk: lake.Lake) -> None:
    with lake.open(lk.location.uri) as reader:
        store = reader.store
        store.cover(["candles"])
        files = list(store.table("candles").state().files.values())
        replace_files(lk.location.uri)
        store.lease.renew()
        assert closes(reader) == {}
        assert lk.vacuum(grace_hours=0).files == ()
        table = store.table("candles")
        assert table.rows(files) == ROWS


def test_a_row_whose_file_is_replaced_and_vacuumed_while_it_is_looked_up_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lake.open(tmp_path / "lake", bot_id="b1") as lk:
        for number in range(40):
            lk.trades.open(trade_id=f"t{number}", symbol="BTCUSDT", side="LONG", entry_price=1.0, quantity=1.0)
            if number % 10 == 9:
                lk.drain()
    with lake.open(tmp_path / "lake", bot_id="b1") as lk:
        look, gone = ColdTable.state, []

        def overtaken(table: ColdTable) -> Any:
            found = look(table)
            if table is lk.store.table("trades") and not gone:
                gone.append(())
                with lake.open(tmp_path / "lake") as job:
                    job.compact("trades")
                    gone[0] = job.vacuum(grace_hours=0).files
            return found

        monkeypatch.setattr(ColdTable, "state", overtaken)
        lk.trades.close("t7", exit_price=2.0)
        monkeypatch.undo()
        assert len(gone[0]) > 1
        assert lk.frame("SELECT status, exit_price FROM trades WHERE trade_id = 't7'").row(0) == ("closed", 2.0)


def test_a_reader_of_a_version_that_the_log_no_longer_tells_of_keeps_what_came_after(lk: lake.Lake) -> None:
    with lake.open(lk.location.uri) as reader:
        reader.store.lease.hold(reader, {"candles": 0})
        write_candles(lk, range(ROWS, 2 * ROWS))
        table = lk.store.table("candles")
        table.log.checkpoint()
        for version in range(table.state().version):
            Path(lk.uri("candles"), "_delta_log", f"{version:020d}.json").unlink()
        relation = reader.sql("SELECT * FROM candles")
        assert replace_files(lk.location.uri) == ()
        assert len(relation.fetchall()) == 2 * ROWS


def _renew_often(uri: str, go: Any, ready: Any) -> None:
    leases._RENEW_SECONDS = 0.05
    with lake.open(uri) as reader:
        relation = reader.sql("SELECT * FROM candles")
        ready.set()
        assert go.wait(60)
        assert len(relation.fetchall()) == ROWS


def test_a_lease_is_renewed_while_its_process_only_waits(lk: lake.Lake) -> None:
    context = get_context("spawn")
    ready, go = context.Event(), context.Event()
    process = spawned(_renew_often, lk.location.uri, go, ready)
    assert ready.wait(60)
    (lease,) = (path for path in Path(lk.location.uri, leases.FOLDER).iterdir())
    renewed = {json.loads(lease.read_bytes())["renewed"]}
    for _ in range(600):
        if len(renewed) < 3:
            time.sleep(0.05)
            renewed.add(json.loads(lease.read_bytes())["renewed"])
    assert len(renewed) == 3
    assert replace_files(lk.location.uri) == ()
    go.set()
    finished(process)


def test_a_lease_in_a_bucket_that_was_not_renewed_for_a_day_is_no_ones(
    moto: S3Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"s3://{moto.new_bucket()}/lake"
    with lake.open(uri, bot_id="b1", storage_options=moto.options) as lk:
        write_candles(lk, range(ROWS))
    with lake.open(uri, storage_options=moto.options) as lk:
        relation = lk.sql("SELECT * FROM candles")
        assert leases.held_versions(lk.location)["candles"] == {lk.store.table("candles").state().version}
        day_later = now_micros() + MICROS_PER_DAY
        monkeypatch.setattr(leases, "now_micros", lambda: day_later)
        lk.store.lease.renew()
        assert "candles" in leases.held_versions(lk.location)
        monkeypatch.setattr(leases, "now_micros", lambda: day_later + MICROS_PER_DAY)
        assert leases.held_versions(lk.location) == {}
        assert len(relation.fetchall()) == ROWS


def test_a_forked_child_renews_no_lease_of_its_parent(lk: lake.Lake) -> None:
    relation = lk.sql("SELECT * FROM candles")
    (path,) = Path(lk.location.uri, leases.FOLDER).iterdir()
    child = os.fork()
    if child == 0:
        os._exit(len(leases._keeper._leases) or (leases._keeper._thread is not None))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert json.loads(path.read_bytes())["pid"] == os.getpid()
    assert len(relation.fetchall()) == ROWS


def test_a_closed_lake_in_a_bucket_leaves_no_mark_and_no_lease(moto: S3Service) -> None:
    uri = f"s3://{moto.new_bucket()}/lake"
    with lake.open(uri, bot_id="b1", storage_options=moto.options) as lk:
        write_candles(lk, range(ROWS))
        assert len(closes(lk)) == ROWS
        location = lk.location
        assert len([*location.list(leases.FOLDER), *location.list(marks.FOLDER)]) == 2
    assert [*location.list(leases.FOLDER), *location.list(marks.FOLDER)] == []
