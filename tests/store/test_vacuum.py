"""Vacuum beside writers at work, after writers that died, and what else may lie about."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

import lake
from lake.errors import ReadOnlyError, UsageError
from lake.store import marks
from lake.store.cold.parquet import FileTarget, write_file
from lake.store.hot.claim import host_name
from lake.store.location import Entry
from tests.helpers import closes, finished, spawned, write_candles
from tests.s3_servers import S3Service

DAY = 86_400.0
TEMPORARY = f".x.json.{'a' * 32}.tmp"


def aged(path: Path, days: float) -> Path:
    """The file, as if it was written so many days ago."""
    os.utime(path, (time.time() - days * DAY,) * 2)
    return path


def parquets(path: Path) -> set[Path]:
    return set((path / "candles").rglob("*.parquet"))


def write_uncommitted(lk: lake.Lake) -> None:
    """A data file of the table as a write leaves it before its commit."""
    table = lk.store.table("candles")
    known = next(iter(table.state().files.values()))
    rows = table.reader.read(table.folder, [known], {}, table.schema())
    stored = [t.drop_columns([c for c in known.partition if c in t.column_names]) for t in rows]
    write_file(table.location, table.ds, FileTarget(table.folder, known.partition, 1), stored)


def test_vacuum_leaves_files_whose_commit_is_under_way_however_long_it_takes(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk, lake.open(tmp_path) as job:
        write_candles(lk, range(6000))
        location = lk.store.location
        sync, before = location.sync, parquets(tmp_path)

        def interrupted(paths: list[str]) -> None:
            for file in parquets(tmp_path) - before:
                aged(file, days=6.9)
            assert job.vacuum(grace_hours=0).files == ()
            sync(paths)

        location.sync = interrupted  # type: ignore[method-assign, assignment]
        write_candles(lk, range(6000, 12_000))
        del location.sync
        assert parquets(tmp_path) > before
        assert len(closes(lk)) == 12_000
        assert lk.verify().ok


def test_a_commit_that_lands_while_vacuum_looks_keeps_its_files_though_its_writer_ends(tmp_path: Path) -> None:
    written, go = Event(), Event()
    lk = lake.open(tmp_path, bot_id="b1")
    write_candles(lk, range(6000))
    sync = lk.store.location.sync

    def waiting(paths: list[str]) -> None:
        for path in paths:
            aged(tmp_path / path, days=30)
        written.set()
        assert go.wait(60)
        sync(paths)

    lk.store.location.sync = waiting  # type: ignore[method-assign, assignment]
    writer = Thread(target=write_candles, args=(lk, range(6000, 12_000)))
    writer.start()
    assert written.wait(60)
    with lake.open(tmp_path) as job:
        look = job.store.location.list

        def landed_first(prefix: str) -> Iterator[Entry]:
            if prefix == marks.FOLDER and not go.is_set():  # the data files are listed by now
                go.set()
                writer.join(60)
                lk.close()
            return look(prefix)

        job.store.location.list = landed_first  # type: ignore[method-assign]
        assert job.vacuum(grace_hours=0).files == ()
        assert go.is_set()
        del job.store.location.list
        assert len(closes(job)) == 12_000


@pytest.mark.parametrize("look", range(3))
def test_a_commit_that_lands_between_two_looks_of_vacuum_at_the_log_keeps_its_files(tmp_path: Path, look: int) -> None:
    written, go = Event(), Event()
    lk = lake.open(tmp_path, bot_id="b1")
    write_candles(lk, range(6000))
    sync = lk.store.location.sync

    def waiting(paths: list[str]) -> None:
        written.set()
        assert go.wait(60)
        sync(paths)

    lk.store.location.sync = waiting  # type: ignore[method-assign, assignment]
    writer = Thread(target=write_candles, args=(lk, range(6000, 12_000)))
    writer.start()
    assert written.wait(60)
    with lake.open(tmp_path) as job:
        log = job.store.table("candles").log
        real = {name: getattr(log, name) for name in ("versions", "load")}
        looks = []

        def landed_first(name: str) -> Any:
            def call(*arguments: Any) -> Any:
                looks.append(name)
                if len(looks) == look + 1:
                    go.set()
                    writer.join(60)
                return real[name](*arguments)

            return call

        for name in real:
            setattr(log, name, landed_first(name))
        assert job.vacuum(grace_hours=0).files == ()
        assert len(looks) > look
        assert len(closes(job)) == 12_000
    lk.close()


def _die_before_the_commit(path: str) -> None:
    lk = lake.open(path, bot_id="b2")
    write_uncommitted(lk)
    os._exit(0)


def _live_before_the_commit(path: str, ready: Any, go: Any) -> None:
    with lake.open(path, bot_id="b3") as lk:
        write_uncommitted(lk)
        ready.set()
        assert go.wait(60)


def test_what_a_killed_writer_left_goes_at_once_and_its_mark_too(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        write_candles(lk, range(6000))
        before = parquets(tmp_path)
        finished(spawned(_die_before_the_commit, str(tmp_path)))
        (orphan,) = parquets(tmp_path) - before
        assert len(list((tmp_path / marks.FOLDER).iterdir())) == 2
        assert lk.vacuum().files == (), "younger than the grace"
        assert lk.vacuum(grace_hours=0).files == (str(orphan.relative_to(tmp_path)),)
        assert parquets(tmp_path) == before
        assert len(list((tmp_path / marks.FOLDER).iterdir())) == 1
        assert len(closes(lk)) == 6000


def test_what_a_writer_in_another_process_has_not_committed_stays(tmp_path: Path) -> None:
    context = get_context("spawn")
    ready, go = context.Event(), context.Event()
    with lake.open(tmp_path, bot_id="b1") as lk:
        write_candles(lk, range(6000))
        before = parquets(tmp_path)
        writer = spawned(_live_before_the_commit, str(tmp_path), ready, go)
        assert ready.wait(60)
        (fresh,) = parquets(tmp_path) - before
        aged(fresh, days=2)
        assert lk.vacuum(grace_hours=0).files == ()
        go.set()
        finished(writer)
        assert lk.vacuum(grace_hours=0).files == (str(fresh.relative_to(tmp_path)),)


def test_a_closed_lake_leaves_no_mark_and_no_lease(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        write_candles(lk, range(6000))
        assert len(closes(lk)) == 6000
        assert marks.living(lk.store.location) == {marks.token(lk.store.location)}
    assert list((tmp_path / marks.FOLDER).iterdir()) == list((tmp_path / "_lake/leases").iterdir()) == []


def test_marks_of_other_hosts_are_believed_for_a_day_and_forgotten_after_a_week(tmp_path: Path) -> None:
    with lake.open(tmp_path) as lk:
        folder = tmp_path / marks.FOLDER
        folder.mkdir()
        for name, days in (("a@elsewhere", 0.9), ("b@elsewhere", 1.1), ("c@elsewhere", 7.1)):
            (folder / name).touch()
            aged(folder / name, days)
        (folder / f"d@{host_name()}").touch()
        assert marks.living(lk.store.location) == {"a"}
        assert {p.name for p in folder.iterdir()} == {"a@elsewhere", "b@elsewhere"}


def test_in_a_bucket_the_writers_marks_are_kept_beside_the_files(moto: S3Service) -> None:
    uri = f"s3://{moto.new_bucket()}/lake"
    with lake.open(uri, bot_id="b1", storage_options=moto.options) as lk:
        write_candles(lk, range(6000))
        location = lk.store.location
        write_uncommitted(lk)
        known = {e.path for e in location.list("candles")}
        assert marks.living(location) == {marks.token(location)}
        assert lk.vacuum(grace_hours=0).files == ()
        assert {e.path for e in location.list("candles")} == known
        with pytest.raises(ReadOnlyError, match="needs a local path"):
            lk.publish()
    with lake.open(uri, storage_options=moto.options) as lk:
        assert marks.living(lk.store.location) == set()
        assert len(lk.vacuum(grace_hours=0).files) == 1
        assert len(closes(lk)) == 6000


def test_a_file_of_another_engine_stays_for_a_week(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        write_candles(lk, range(6000))
        foreign = next(iter(parquets(tmp_path))).with_name("part-00000-0b7c-c000.snappy.parquet")
        foreign.touch()
        aged(foreign, days=6.9)
        assert lk.vacuum(grace_hours=0).files == ()
        aged(foreign, days=7.1)
        assert lk.vacuum(grace_hours=0).files == (str(foreign.relative_to(tmp_path)),)
        assert not foreign.exists()


def test_temporary_files_that_a_crash_left_go_after_the_grace_and_an_hour(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        write_candles(lk, range(6000))
        log = tmp_path / "candles" / "_delta_log"
        old = [tmp_path / TEMPORARY, log / TEMPORARY, tmp_path / f"{TEMPORARY}.wal"]
        young = log / TEMPORARY.replace("a", "b")
        mine = log / ".notes.tmp"
        for file in (*old, young, mine):
            file.write_bytes(b"half")
        for file in (*old, mine):
            aged(file, days=0.1)
        assert lk.vacuum().files == ()
        planned = lk.vacuum(grace_hours=0, dry_run=True)
        assert set(planned.files) == {str(p.relative_to(tmp_path)) for p in old}
        assert planned.bytes_before == 12
        assert all(p.exists() for p in old)
        assert lk.vacuum(grace_hours=0) == planned
        assert [p.exists() for p in (*old, young, mine)] == [False, False, False, True, True]


@pytest.mark.parametrize("hours", [-1, "1", True, float("nan"), float("inf")])
def test_a_grace_that_is_no_number_of_hours_is_refused(tmp_path: Path, hours: Any) -> None:
    with (
        lake.open(tmp_path) as lk,
        pytest.raises(UsageError, match="grace_hours: the grace is a number of hours from 0 on"),
    ):
        lk.vacuum(grace_hours=hours)
