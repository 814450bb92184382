"""What could come between a reader and its lease, or a vacuum and a tag, and what a lease must not hold back."""

from __future__ import annotations

import errno
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any
from weakref import ref

import pytest

import lake
from lake.clock import MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, now_micros
from lake.errors import ClosedError, StorageError
from lake.learn.datasets.pinned import Pinned
from lake.ledgers.held_candles import Asked, HeldCandles
from lake.store import leases, marks, vacuum, versions
from lake.store.backup import backup
from lake.store.cold.table import ColdTable
from lake.store.leases import Lease, held_versions
from lake.store.location import resolve
from tests.helpers import closes, write_candles
from tests.s3_servers import S3Service
from tests.store.vacuumed import ROWS, count, replace_files, settled_candles


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with settled_candles(tmp_path) as opened:
        yield opened


def tag_and_remove(uri: str) -> None:
    """As another process, whose lease goes with it: nothing but the tag ``kept`` needs the candles' files then."""
    with lake.open(uri) as job:
        job.tag("kept")
        job.retain({"candles": 0})


def delete_tag_and_vacuum(uri: str, tag: str) -> tuple[str, ...]:
    with lake.open(uri) as job:
        versions.delete_tag(job.store, tag)
        return tuple(job.vacuum(grace_hours=0).files)


def test_leases_are_renewed_by_one_thread_however_many_lakes_are_opened_at_once(
    lk: lake.Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, kept, began = leases._Keeper(), list[Lease](), list[Thread]()
    monkeypatch.setattr(leases, "Thread", lambda **asked: began.append(Thread(**asked)) or began[-1])

    def opens() -> None:
        for _ in range(500):
            kept.append(Lease(lk.location))
            keeper.keep(kept[-1])

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [Thread(target=opens) for _ in range(3)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            keeper._renew_all()
    finally:
        sys.setswitchinterval(before)
    assert len(keeper._leases) == len(kept) == 1500
    assert len(began) == 1


def test_the_thread_that_renews_keeps_no_lake_from_going(lk: lake.Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_RENEW_SECONDS", 0.001)
    rounds: list[None] = []

    class Counted(Lease):
        def renew(self) -> None:
            rounds.append(None)

    keeper, lease = leases._Keeper(), Counted(lk.location)
    keeper.keep(lease)
    while not rounds:
        time.sleep(0.001)
    there = ref(lease)
    del lease
    for _ in range(1000):
        gc.collect(0)
        if there() is None:
            break
        time.sleep(0.005)
    assert there() is None


def test_a_reader_whose_machine_has_slept_for_days_has_a_lease_again_before_it_looks(
    moto: S3Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"s3://{moto.new_bucket()}/lake"
    with lake.open(uri, bot_id="b1", storage_options=moto.options) as lk:
        write_candles(lk, range(ROWS))
    with lake.open(uri, storage_options=moto.options) as lk:
        assert len(closes(lk)) == ROWS
        held = held_versions(lk.location)["candles"]
        for days in (2, 4):
            woken = now_micros() + days * MICROS_PER_DAY
            monkeypatch.setattr(leases, "now_micros", lambda woken=woken: woken)
            assert held_versions(lk.location) == {}
            assert len([*lk.location.list(leases.FOLDER)]) == 1, "it may be renewed at any moment"
            assert len(closes(lk)) == ROWS
            assert held_versions(lk.location)["candles"] == held
    with lake.open(uri, storage_options=moto.options) as lk:
        lk.sql("SELECT * FROM candles")
        forgotten = now_micros() + 30 * MICROS_PER_DAY
        monkeypatch.setattr(leases, "now_micros", lambda: forgotten)
        assert held_versions(lk.location) == {}
        assert [*lk.location.list(leases.FOLDER)] == []


def test_a_lease_that_could_not_be_written_is_tried_again_after_a_minute(
    lk: lake.Lake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with lake.open(lk.location.uri) as reader:
        write, tries = reader.location.write, []

        def full(path: str, data: bytes, *, durable: bool = True) -> None:
            if path.startswith(leases.FOLDER) and tries.append(path) is None and len(tries) == 1:
                raise StorageError("the disk is full", where=path)
            write(path, data, durable=durable)

        monkeypatch.setattr(reader.location, "write", full)
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                assert len(closes(reader)) == ROWS
        assert caplog.text.count("no lease could be written") == len(tries) == 1
        assert held_versions(lk.location) == {}
        later = now_micros() + 2 * MICROS_PER_MINUTE
        monkeypatch.setattr(leases, "now_micros", lambda: later)
        relation = reader.sql("SELECT * FROM candles")
        assert replace_files(lk.location.uri) == ()
        assert len(relation.fetchall()) == ROWS


def test_a_mark_that_cannot_be_renewed_keeps_nobody_from_reading(
    lk: lake.Lake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with lake.open(lk.location.uri) as reader:
        assert len(closes(reader)) == ROWS
        later = now_micros() + 2 * MICROS_PER_HOUR

        def refused(*_: object) -> None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        monkeypatch.setattr(marks, "now_micros", lambda: later)
        monkeypatch.setattr(os, "utime", refused)
        with caplog.at_level(logging.WARNING):
            reader.store.lease.renew()
            assert len(closes(reader)) == ROWS
        assert "no lease could be written" in caplog.text
        assert "the file system is read-only" in caplog.text
        monkeypatch.undo()


def test_a_view_of_a_tag_keeps_its_files_though_the_tag_goes_in_the_middle_of_a_vacuum(
    lk: lake.Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, views = lk.location.uri, list[Any]()
    tag_and_remove(uri)

    def overtaken(location: Any) -> Any:
        found = held_versions(location)
        with lake.open(uri) as reader:
            views.append(reader.at(tag="kept").sql("SELECT * FROM candles"))
        versions.delete_tag(lk.store, "kept")
        return found

    monkeypatch.setattr(vacuum, "held_versions", overtaken)
    assert lk.vacuum(grace_hours=0).files == ()
    assert len(views[0].fetchall()) == ROWS


def test_a_read_that_is_overtaken_by_the_closing_of_its_lake_says_so(
    lk: lake.Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = lake.open(lk.location.uri)
    look = ColdTable.state

    def overtaken(table: ColdTable) -> Any:
        found = look(table)
        if table.location is reader.location and reader.store.is_open:
            reader.close()
            assert len(replace_files(lk.location.uri)) == 1
        return found

    reader.store.cover(["candles"])
    monkeypatch.setattr(ColdTable, "state", overtaken)
    with pytest.raises(ClosedError, match="the lake was closed"):
        count(reader)


def test_candles_that_are_still_to_be_read_keep_their_files(lk: lake.Lake) -> None:
    with lake.open(lk.location.uri) as reader:
        asked = Asked(None, "1m", (None, None), None)
        (series,) = HeldCandles(reader.store).series(asked, ["open_time", "close"])
        later = series.within(reader.store.scanner, (0, None))
        del series
        for _ in range(3):
            reader.store.lease.renew()
        assert replace_files(lk.location.uri) == ()
        assert later is not None
        assert later.load(reader.store.scanner, ["open_time", "close"], threads=False).height == ROWS


def test_a_backup_has_what_its_tags_name_though_one_goes_meanwhile_and_a_vacuum_may_follow_it(
    lk: lake.Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, backed = lk.location.uri, tmp_path / "backup"
    named = [file.name for file in Path(lk.uri("candles")).glob("timeframe=*/**/*.parquet")]
    tag_and_remove(uri)
    with lake.open(uri) as job:
        listed = job.location.list
        gone: list[tuple[str, ...]] = []

        def overtaken(prefix: str) -> Any:
            found = list(listed(prefix))
            if prefix.endswith("_delta_log") and not gone:  # which files are to be copied is known by then
                gone.append(delete_tag_and_vacuum(uri, "kept"))
            return iter(found)

        monkeypatch.setattr(job.location, "list", overtaken)
        backup(job.store, backed)
        monkeypatch.undo()
        assert gone == [()]
        assert len(job.vacuum(grace_hours=0).files) == 1
    assert [file.name for file in (backed / "candles").glob("timeframe=*/**/*.parquet")] == named


def test_what_a_data_set_was_made_of_is_not_held_back_once_it_is_made(lk: lake.Lake) -> None:
    with lake.open(lk.location.uri) as reader:
        made_of = {"candles": reader.store.table("candles").state().version}
    with lake.open(lk.location.uri) as job:
        job.retain({"candles": 0})
    with lake.open(lk.location.uri) as reader:
        assert count(reader) == 0
        pinned = Pinned(reader.store, made_of)
        assert lk.vacuum(grace_hours=0).files == ()
        assert count(pinned.engine) == ROWS
        pinned.close()
        assert len(lk.vacuum(grace_hours=0).files) == 1
        assert count(reader) == 0


def test_a_forked_child_opens_a_lake_though_a_thread_of_its_parent_was_making_a_mark(
    lk: lake.Lake, tmp_path: Path
) -> None:
    busy, go = Event(), Event()

    def making() -> None:
        with marks._open.lock:
            busy.set()
            assert go.wait(60)

    thread = Thread(target=making)
    thread.start()
    assert busy.wait(60)
    child = os.fork()
    if child == 0:
        signal.alarm(30)  # else it would wait for ever
        marks.token(resolve(str(tmp_path / "child"), None))
        os._exit(0)
    go.set()
    thread.join(60)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
