"""Versions of one row lie in the logs of several writers; whatever a drain finds of them, the newest one counts."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

import lake
from lake.clock import MICROS_PER_DAY, now_micros
from lake.store.hot import log
from lake.store.hot.database import HotDatabase
from lake.store.hot.log import HotLog
from tests.helpers import closes, trade, write_candles


class Between:
    """Calls something once, after the first call of a method."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, what) -> None:
        inner = getattr(owner, name)
        self.happened = False

        def wrapped(this: Any, *args: Any, **kwargs: Any) -> Any:
            found = inner(this, *args, **kwargs)
            if not self.happened:
                self.happened = True
                what()
            return found

        monkeypatch.setattr(owner, name, wrapped)


@pytest.mark.parametrize("status", ["open", "closed"])
@pytest.mark.parametrize("every_writer", [False, True])
def test_changes_made_while_a_drain_reads_the_logs_one_by_one_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str, every_writer: bool
) -> None:
    with lake.open(tmp_path, bot_id="a") as first, lake.open(tmp_path, bot_id="b") as second:
        first.write("trades", trade(1, status=status, pnl=0.0))
        second.patch("trades", "t1", {"pnl": 1.0})

        def both_change() -> None:
            first.patch("trades", "t1", {"pnl": 2.0})
            second.patch("trades", "t1", {"pnl": 3.0})

        between = Between(monkeypatch, HotLog, "pending", both_change)
        first.drain(every_writer=every_writer)
        assert between.happened
        assert first.frame("SELECT pnl FROM trades").item() == 3.0
        second.patch("trades", "t1", {"fees": 1.0})
        first.drain(every_writer=True)
        assert second.frame("SELECT pnl, fees FROM trades").row(0) == (3.0, 1.0)


def test_of_two_writers_the_later_version_wins_though_the_clock_was_set_back_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lake.open(tmp_path, bot_id="a") as first, lake.open(tmp_path, bot_id="b") as second:
        second.write("trades", trade(0))
        monkeypatch.setattr(log, "now_micros", lambda: now_micros() + MICROS_PER_DAY)
        write_candles(first, [1], close=1.2)
        monkeypatch.setattr(log, "now_micros", now_micros)
        write_candles(second, [1], close=1.4)
        assert closes(first) == {1: 1.4}
        write_candles(first, [1], close=1.3)
        assert closes(second) == {1: 1.3}
        second.drain(every_writer=True)
        assert closes(second) == {1: 1.3}


def test_a_damaged_or_full_file_of_the_numbers_keeps_no_record_from_landing(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="a") as lk:
        for content in (b"", b"\x01", b"\xff" * 8):
            (tmp_path / "_hot" / "numbers").write_bytes(content)
            lk.write("trades", trade(len(content)))
        assert lk.frame("SELECT count(*) FROM trades").item() == 3


def test_a_writer_that_begins_while_a_drain_looks_who_writes_is_drained_with_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lake.open(tmp_path, bot_id="a") as first, lake.open(tmp_path, bot_id="b") as second:
        first.write("trades", trade(1, pnl=0.0))

        def both_change() -> None:
            second.patch("trades", "t1", {"pnl": 2.0})
            first.patch("trades", "t1", {"pnl": 3.0})

        between = Between(monkeypatch, lake.store.store.Store, "waiting_writers", both_change)
        first.drain()
        assert between.happened
        assert first.frame("SELECT pnl FROM trades").item() == 3.0
        second.drain()
        assert second.frame("SELECT pnl FROM trades").item() == 3.0


def test_what_was_made_on_top_of_a_spooled_version_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lake.open(tmp_path, bot_id="a") as first, lake.open(tmp_path, bot_id="b") as second:
        first.write("trades", trade(1, pnl=0.0))
        first.drain(every_writer=True)
        monkeypatch.setattr("lake.store.hot.log._RETRY_SECONDS", 3600.0)
        with monkeypatch.context() as broken:
            broken.setattr(HotDatabase, "append", _fail)
            first.patch("trades", "t1", {"pnl": 1.0})
        second.patch("trades", "t1", {"fees": 5.0})
        second.drain(every_writer=True)
        assert second.frame("SELECT pnl, fees FROM trades").row(0) == (1.0, 5.0)
    with lake.open(tmp_path, bot_id="a") as first:
        first.drain(every_writer=True)
        assert first.frame("SELECT pnl, fees FROM trades").row(0) == (1.0, 5.0)
        assert first.store.table("trades").state().settled("b@" + lake.store.hot.claim.host_name()) > 0


def _fail(*_: object) -> None:
    raise sqlite3.OperationalError("disk I/O error")
