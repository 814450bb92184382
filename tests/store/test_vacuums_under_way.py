"""Earlier versions asked for while a vacuum is under way: what there is of them when it has ended stays."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

import lake
from lake.errors import QueryError, StorageError, UnknownVersionError
from lake.store import leases, vacuum, vacuums
from tests.helpers import finished, spawned
from tests.store.vacuumed import ROWS, count, settled_candles


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    """A lake of one file, and a version later without it."""
    with settled_candles(tmp_path, are_removed=True) as opened:
        yield opened


def earlier(lk: lake.Lake) -> dict[str, int]:
    return {"candles": lk.store.table("candles").state().version - 1}


def test_a_view_of_an_earlier_version_is_there_when_the_vacuum_has_ended(
    lk: lake.Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewed: list[lake.LakeView] = []
    leased, ended = Event(), []

    def ask(reader: lake.Lake) -> None:
        viewed.append(reader.at(version=earlier(reader)))
        ended.append(vacuums._under_way(lk.location))

    with lake.open(lk.location.uri) as reader:
        hold = reader.store.lease.hold

        def told(*arguments: Any) -> None:
            hold(*arguments)
            leased.set()

        reader.store.lease.hold = told  # type: ignore[method-assign]
        asking = Thread(target=ask, args=(reader,))
        held_versions = vacuum.held_versions

        def asked_right_after(location: Any) -> dict[str, set[int]]:
            found = held_versions(location)
            asking.start()
            assert leased.wait(60)
            time.sleep(0.2)
            assert viewed == []
            return found

        monkeypatch.setattr(vacuum, "held_versions", asked_right_after)
        assert len(lk.vacuum(grace_hours=0).files) == 1
        asking.join(60)
        assert ended == [set()]
        with pytest.raises(QueryError, match="a data file is gone"):
            count(viewed[0])


def test_what_a_vacuum_left_of_an_earlier_version_stays_while_it_is_viewed(lk: lake.Lake) -> None:
    with lake.open(lk.location.uri) as reader:
        view = reader.at(version=earlier(reader))
        assert lk.vacuum(grace_hours=0).files == ()
        assert count(view) == ROWS


def _die_at_a_vacuum(uri: str) -> None:
    with lake.open(uri) as lk, vacuums.announced(lk.location):
        os._exit(0)


def test_nobody_waits_for_a_vacuum_that_was_killed(lk: lake.Lake) -> None:
    finished(spawned(_die_at_a_vacuum, lk.location.uri))
    notes = Path(lk.location.uri, vacuums.FOLDER)
    assert len(list(notes.iterdir())) == 1
    assert count(lk.at(version=earlier(lk))) == ROWS
    assert list(notes.iterdir()) == []


def test_a_note_of_another_host_is_believed_for_ten_minutes(lk: lake.Lake) -> None:
    note = Path(lk.location.uri, vacuums.FOLDER, "abc@elsewhere")
    note.parent.mkdir()
    note.touch()
    assert vacuums._under_way(lk.location) == {f"{vacuums.FOLDER}/abc@elsewhere"}
    os.utime(note, (time.time() - 601,) * 2)
    assert vacuums._under_way(lk.location) == set()
    assert count(lk.at(version=earlier(lk))) == ROWS


def test_a_vacuum_without_end_is_told_to_who_waits_for_it(lk: lake.Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vacuums, "_WAIT_SECONDS", 0.1)
    with (
        vacuums.announced(lk.location),
        pytest.raises(UnknownVersionError, match="a vacuum is under way, which may take files of that version"),
    ):
        lk.at(version=earlier(lk))


def test_the_newest_version_is_viewed_while_a_vacuum_is_under_way(lk: lake.Lake) -> None:
    with vacuums.announced(lk.location):
        assert count(lk.at(version=lk.version())) == count(lk) == 0


def test_a_vacuum_that_can_leave_no_note_frees_the_disk_all_the_same(
    lk: lake.Lake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write = lk.location.write

    def full(path: str, *arguments: Any, **more: Any) -> None:
        if path.startswith((vacuums.FOLDER, leases.FOLDER)):
            raise StorageError("the disk is full", where=path)
        write(path, *arguments, **more)

    lk.location.write = full  # type: ignore[method-assign]
    assert len(lk.vacuum(grace_hours=0).files) == 1
    assert "who asks for earlier versions is not told of this vacuum" in caplog.text
    assert list(Path(lk.location.uri, "_lake").glob("vacuums/*")) == []
