"""Changes of one row: nothing of what anybody else writes to it is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import polars as pl
import pytest

import lake
from lake.aio import AsyncLake
from lake.errors import HotLogError, InvalidRowError, InvalidTimeError, UnknownRowError, UsageError
from lake.ledgers.changes import change_many
from lake.ledgers.open_rows import landed_open_rows
from lake.spec import registry
from lake.store.hot.log import HotLog
from tests.helpers import finished, spawned, trade

TRADES = registry.get("trades")


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake", bot_id="tester") as opened:
        yield opened


def row(lk: lake.Lake, number: int | str = 1) -> dict[str, object]:
    return lk.read("trades", {"trade_id": f"t{number}"}).row(0, named=True)


def test_a_patch_changes_what_it_names_and_keeps_the_rest(lk: lake.Lake) -> None:
    lk.write("trades", trade(1, "open", quantity=2.0, stop_loss=90.0, mood="greedy"))
    receipt = lk.patch("trades", "t1", {"stop_loss": None, "fees": 0.5, "tag": "x"})
    assert (receipt.updated, receipt.keys) == (1, (("t1",),))
    found = row(lk)
    assert (found["quantity"], found["stop_loss"], found["fees"]) == (2.0, None, 0.5)
    assert lk.frame("SELECT extra->>'mood', extra->>'tag' FROM trades").row(0) == ("greedy", "x")


@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize("status", ["open", "closed"])
def test_a_row_can_be_patched_wherever_it_is(lk: lake.Lake, settled: bool, status: str) -> None:
    lk.write("trades", trade(1, status))
    if settled:
        lk.drain()
    lk.patch("trades", {"trade_id": "t1"}, {"pnl": 1.5})
    lk.drain()
    assert row(lk)["pnl"] == 1.5
    assert row(lk)["status"] == status


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"side": "UP"}, r"trades\.side.*LONG, SHORT.*'UP'|'UP'.*LONG, SHORT"),
        ({"trade_id": "t2"}, "a key cannot change"),
        ({"symbol": None}, "required value cannot be taken away"),
        ({"opened_at": "2026-01-01T00:00:00"}, r"trades\.opened_at"),
    ],
)
def test_a_change_that_does_not_fit_is_refused_and_leaves_the_row(
    lk: lake.Lake, changes: dict[str, object], message: str
) -> None:
    lk.write("trades", trade(1, "open"))
    before = row(lk)
    with pytest.raises(InvalidRowError, match=message):
        lk.patch("trades", "t1", changes)
    assert row(lk) == before


def test_a_row_that_is_not_there_cannot_be_patched(lk: lake.Lake) -> None:
    with pytest.raises(UnknownRowError, match="'t9'"):
        lk.patch("trades", "t9", {"pnl": 1.0})
    with pytest.raises(UsageError, match="a key of bot_states has bot_id, snapshot_time"):
        lk.patch("bot_states", "b", {"total_pnl": 1.0})


def test_patches_of_many_threads_to_one_row_all_hold(lk: lake.Lake) -> None:
    lk.write("trades", trade(1, "open"))

    def work(number: int) -> None:
        for step in range(20):
            lk.patch("trades", "t1", {f"thread_{number}": step})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    kept = lk.frame("SELECT " + ", ".join(f"(extra->>'thread_{n}')::INT" for n in range(8)) + " FROM trades").row(0)
    assert kept == (19,) * 8


def test_counting_up_in_many_threads_loses_no_count(lk: lake.Lake) -> None:
    lk.write("trades", trade(1, "open", quantity=0.0))

    def once(_: int) -> None:
        lk.writer.change("trades", ("t1",), lambda known: {"quantity": known["quantity"] + 1})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(once, range(200)))
    assert row(lk)["quantity"] == 200


def test_a_transaction_is_made_again_on_top_of_what_came_between(lk: lake.Lake) -> None:
    lk.write("trades", trade(1, "open", quantity=1.0))
    with ThreadPoolExecutor(1) as pool, lk.transaction():
        lk.writer.change("trades", ("t1",), lambda known: {"quantity": known["quantity"] + 10})
        lk.patch("trades", "t1", {"fees": 1.0})
        lk.write("trades", trade(2, "open"))
        pool.submit(lk.patch, "trades", "t1", {"quantity": 5.0, "pnl": 7.0}).result()
        assert row(lk)["quantity"] == 5.0
    found = row(lk)
    assert (found["quantity"], found["fees"], found["pnl"]) == (15.0, 1.0, 7.0)
    assert row(lk, 2)["status"] == "open"


def test_a_refused_write_leaves_no_trace_in_later_patches(lk: lake.Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lk.write("trades", trade(1, "open", fees=1.0))
    log = lk.writer.hot().log

    def broken(_: object) -> None:
        raise HotLogError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(log, "_store", broken)
        with pytest.raises(HotLogError, match="disk is full"):
            lk.patch("trades", "t1", {"fees": 99.0})
    lk.patch("trades", "t1", {"pnl": 2.0})
    assert (row(lk)["fees"], row(lk)["pnl"]) == (1.0, 2.0)


def test_refused_writes_that_were_made_on_top_of_each_other_leave_no_trace_either(
    lk: lake.Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lk.write("trades", trade(1, "open", fees=1.0))
    log = lk.writer.hot().log
    is_tried, go_on = Event(), Event()

    def broken(_: object) -> None:
        is_tried.set()
        go_on.wait(10)
        raise HotLogError("the disk is full")

    with monkeypatch.context() as patched, ThreadPoolExecutor(3) as pool:
        patched.setattr(log, "_store", broken)
        done = [pool.submit(lk.patch, "trades", "t1", {"fees": 99.0})]
        assert is_tried.wait(10)
        for number, changes in enumerate(({"quantity": 98.0}, {"stop_loss": 97.0}), 1):
            done.append(pool.submit(lk.patch, "trades", "t1", changes))
            _until_so_many_wait(log, number)
        go_on.set()
        assert [type(future.exception(10)) for future in done] == [HotLogError] * 3
    assert lk.patch("trades", "t1", {"pnl": 2.0}).updated == 1
    found = row(lk)
    assert (found["fees"], found["quantity"], found["stop_loss"], found["pnl"]) == (1.0, None, None, 2.0)


class _RefusedOnce:
    """A disk that refuses the first write, as soon as somebody has let it; and takes all that come later."""

    def __init__(self, log: HotLog, patched: pytest.MonkeyPatch) -> None:
        self._store = log._store
        self.is_tried, self.go_on = Event(), Event()
        patched.setattr(log, "_store", self)

    def __call__(self, rows: list[tuple[int, str, bytes]]) -> bool:
        if self.is_tried.is_set():
            return self._store(rows)
        self.is_tried.set()
        assert self.go_on.wait(10)
        raise HotLogError("the disk is full")


def _patch(lk: lake.Lake, changes: dict[str, object]) -> None:
    lk.patch("trades", "t1", changes)


def _patch_many(lk: lake.Lake, changes: dict[str, object]) -> None:
    change_many(lk.writer, "trades", {("t1",): lambda _: changes})


def _patch_as_task(lk: lake.Lake, changes: dict[str, object]) -> None:
    asyncio.run(AsyncLake(lk).patch("trades", "t1", changes))


def _patch_in_transaction(lk: lake.Lake, changes: dict[str, object]) -> None:
    with lk.transaction():
        lk.patch("trades", "t1", changes)


@pytest.mark.parametrize("settled", [False, True], ids=["hot", "cold"])
@pytest.mark.parametrize("patch", [_patch, _patch_many, _patch_as_task, _patch_in_transaction])
def test_a_change_that_lands_does_not_carry_what_was_refused_before_it(
    lk: lake.Lake, patch: Callable[..., None], settled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lk.write("trades", trade(1, pnl=1.0))
    if settled:
        lk.drain()
    log = lk.writer.hot().log
    disk = _RefusedOnce(log, monkeypatch)
    with ThreadPoolExecutor(3) as pool:
        refused = pool.submit(patch, lk, {"fees": 99.0})
        assert disk.is_tried.wait(10)
        landed = pool.submit(patch, lk, {"quantity": 2.0})
        _until_so_many_wait(log, 1)
        later = pool.submit(patch, lk, {"stop_loss": 3.0})
        _until_so_many_wait(log, 2)
        disk.go_on.set()
        assert (type(refused.exception(10)), landed.exception(10), later.exception(10)) == (HotLogError, None, None)
    for _ in range(2):
        found = row(lk)
        assert (found["fees"], found["quantity"], found["stop_loss"], found["pnl"]) == (None, 2.0, 3.0, 1.0)
        lk.drain()


@pytest.mark.parametrize("settled", [False, True], ids=["hot", "cold"])
def test_a_transaction_does_not_carry_what_was_refused_before_its_end(
    lk: lake.Lake, settled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lk.write("trades", trade(1, pnl=1.0))
    if settled:
        lk.drain()
    disk = _RefusedOnce(lk.writer.hot().log, monkeypatch)
    with ThreadPoolExecutor(1) as pool:
        refused = pool.submit(lk.patch, "trades", "t1", {"fees": 99.0})
        assert disk.is_tried.wait(10)
        with lk.transaction():
            lk.patch("trades", "t1", {"quantity": 2.0})
            disk.go_on.set()
            assert isinstance(refused.exception(10), HotLogError)
    found = row(lk)
    assert (found["fees"], found["quantity"], found["pnl"]) == (None, 2.0, 1.0)


@pytest.mark.parametrize("waits", [False, True], ids=["cold", "hot"])
def test_a_transaction_is_made_again_on_what_others_have_settled_though_a_thread_has_seen_it_before(
    lk: lake.Lake, waits: bool
) -> None:
    lk.write("trades", trade(1, pnl=1.0))
    if not waits:
        lk.drain()
    with lake.open(lk.location.uri, bot_id="other") as other, ThreadPoolExecutor(1) as pool:
        with lk.transaction():
            lk.patch("trades", "t1", {"quantity": 2.0})
            pool.submit(other.patch, "trades", "t1", {"fees": 4.0}).result(10)
            pool.submit(other.drain, every_writer=True).result(10)
            pool.submit(lk.writer.look, TRADES).result(10)
        found = row(lk)
        assert (found["fees"], found["quantity"], found["pnl"]) == (4.0, 2.0, 1.0)


def _until_so_many_wait(log: HotLog, count: int) -> None:
    until = time.monotonic() + 10
    while len(log._group._waiting) < count:
        assert time.monotonic() < until
        time.sleep(0.001)


def _close_elsewhere(uri: str, drains: bool) -> None:
    with lake.open(uri, bot_id="other") as other:
        other.patch("trades", "t1", {"status": "closed", "pnl": 3.0})
        if drains:
            other.drain(every_writer=True)


@pytest.mark.parametrize("drains", [False, True])
@pytest.mark.parametrize("settled", [False, True])
def test_what_another_process_changed_is_not_undone_by_a_patch(tmp_path: Path, settled: bool, drains: bool) -> None:
    with lake.open(tmp_path, bot_id="tester") as lk:
        lk.write("trades", trade(1, "open", quantity=2.0, bot_id="tester"))
        if settled:
            lk.drain()
        assert [r["trade_id"] for r in landed_open_rows(lk.writer, "trades")] == ["t1"]
        finished(spawned(_close_elsewhere, str(tmp_path), drains))
        assert landed_open_rows(lk.writer, "trades") == []
        lk.patch("trades", "t1", {"fees": 0.1})
        found = row(lk)
        assert (found["status"], found["pnl"], found["fees"], found["quantity"]) == ("closed", 3.0, 0.1, 2.0)
    with lake.open(tmp_path, bot_id="tester") as again:
        assert landed_open_rows(again.writer, "trades") == []


def test_open_rows_survive_the_loss_of_the_hot_folder(tmp_path: Path) -> None:
    with lake.open(tmp_path / "a", bot_id="tester") as lk:
        lk.write("trades", [trade(n, "open" if n % 2 else "closed", bot_id="tester") for n in range(6)])
        lk.write("trades", trade(7, "open", bot_id="somebody"))
        lk.drain()
        assert len(landed_open_rows(lk.writer, "trades")) == 3
    for left in (tmp_path / "a" / "_hot").iterdir():
        left.unlink()
    with lake.open(tmp_path / "a", bot_id="tester") as lk:
        assert sorted(r["trade_id"] for r in landed_open_rows(lk.writer, "trades")) == ["t1", "t3", "t5"]
    with lake.open(tmp_path / "a") as everyone:
        assert len(landed_open_rows(everyone.writer, "trades")) == 4


def test_rows_that_another_process_settled_are_let_go_of(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="tester") as lk:
        lk.write("trades", [trade(n) for n in range(50)])
        finished(spawned(_drain_all, str(tmp_path)))
        lk.drain()
        assert lk.writer.hot().current.datasets() == []


def _drain_all(uri: str) -> None:
    with lake.open(uri) as other:
        other.drain(every_writer=True)


def test_a_single_candle_is_held_to_the_rules_of_candles(lk: lake.Lake) -> None:
    bad = {"symbol": "BTCUSDT", "timeframe": "1m", "open_time": 1_767_225_600_000_000}
    with pytest.raises(InvalidRowError, match="high"):
        lk.write("candles", {**bad, "open": 2.0, "high": 1.0, "low": 0.5, "close": 2.0, "volume": 1.0})
    assert lk.read("candles").is_empty()


@pytest.mark.parametrize("rows", [["a"], "abc", [{"trade_id": "t1", "symbol": "BTCUSDT"}, 7], [None]])
def test_what_is_not_a_row_is_refused_whole_and_named(lk: lake.Lake, rows: object) -> None:
    with pytest.raises(UsageError, match="a row is a dict"):
        lk.write("trades", rows)
    with pytest.raises(UsageError, match="a row is a dict"):
        asyncio.run(_write_async(lk, rows))
    assert lk.read("trades").is_empty()


async def _write_async(lk: lake.Lake, rows: object) -> None:
    await lake.AsyncLake(lk).write("trades", rows)


def test_rows_may_come_from_a_generator(lk: lake.Lake) -> None:
    assert lk.write("trades", (trade(n) for n in range(3))).inserted == 3
    assert isinstance(lk.read("trades"), pl.DataFrame)


@pytest.mark.parametrize("name", ["trades", "candles"])
def test_epoch_times_in_mixed_units_are_refused_whole_in_a_list_as_in_a_table(lk: lake.Lake, name: str) -> None:
    prices = {"timeframe": "1m", "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 1.0}
    column = {"trades": "created_at", "candles": "open_time"}[name]
    times = (1_767_225_600_000, 1_767_225_660_000_000)
    rows = [{"symbol": "BTCUSDT", column: t, **(prices if name == "candles" else {})} for t in times]
    for given in (rows, pl.DataFrame(rows)):
        with pytest.raises(InvalidTimeError, match=rf"{name}\.{column}: epoch times in mixed"):
            lk.write(name, given)
    assert lk.read(name).is_empty()
    assert lk.write(name, [{**rows[0], column: "2026-01-01T00:00:00Z"}, {**rows[1]}]).inserted == 2
