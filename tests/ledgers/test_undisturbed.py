"""Many rows that are compared with what is known, or go straight to cold, while other threads and tasks change them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import polars as pl
import pytest

import lake
from lake.aio import AsyncLake
from lake.ledgers import same_id, whole_trades
from lake.ledgers.writer import BULK_ROWS
from lake.store.cold.table import ColdTable
from lake.store.hot.turn import Turn
from tests.helpers import trade

_LATE_SECONDS = 0.3  # so long a step waits for who must not get in before it is done


def _opened(number: int, **fields: Any) -> list[dict[str, Any]]:
    bought = {"side": "LONG", "quantity": 1.0, "entry_price": 1.0}
    return [trade(n, status="open", **bought, **fields) for n in range(number)]


def _list(lk: lake.Lake, rows: list[dict[str, Any]]) -> lake.Receipt:
    return lk.trades.record(rows)


def _table(lk: lake.Lake, rows: list[dict[str, Any]]) -> lake.Receipt:
    return lk.trades.record(pl.DataFrame(rows))


def _task(lk: lake.Lake, rows: list[dict[str, Any]]) -> lake.Receipt:
    return asyncio.run(AsyncLake(lk).trades.record(rows))


@contextmanager
def _meanwhile(lk: lake.Lake, monkeypatch: pytest.MonkeyPatch, place: Any, name: str) -> Iterator[list[Thread]]:
    """Once, when ``name`` of ``place`` is done, another thread closes a trade; the step goes on when it is through."""
    threads: list[Thread] = []
    step = getattr(place, name)

    def then_closed(*args: Any, **kwargs: Any) -> Any:
        found = step(*args, **kwargs)
        if not threads:
            threads.append(Thread(target=lk.trades.close, args=("t7", 2.0)))
            threads[0].start()
            threads[0].join(_LATE_SECONDS)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(place, name, then_closed)
        yield threads
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    ("number", "record", "place", "name"),
    [
        (60, _table, whole_trades, "sorted_table"),
        (BULK_ROWS, _table, whole_trades, "sorted_table"),
        (BULK_ROWS, _list, same_id._KnownRows, "load"),
        (BULK_ROWS, _task, same_id._KnownRows, "load"),
    ],
)
def test_what_a_thread_does_to_a_trade_while_many_are_compared_and_written_is_kept(
    number: int, record: Callable[..., lake.Receipt], place: Any, name: str, tmp_path: Path, monkeypatch: Any
) -> None:
    with lake.open(tmp_path) as lk:
        lk.trades.record(_opened(number))
        with _meanwhile(lk, monkeypatch, place, name) as closing:
            receipt = record(lk, _opened(number, conditions={"again": True}))
        assert closing
        assert (receipt.updated, receipt.rows) == (number, number)
        told = "SELECT status, conditions FROM trades WHERE trade_id = 't7'"
        assert lk.frame(told).row(0) == ("closed", '{"again":true}')
        lk.drain()
        assert lk.frame(told).row(0) == ("closed", '{"again":true}')
        assert lk.frame("SELECT count(*) FROM trades WHERE status = 'open'").item() == number - 1


def _noted(dataset: str, number: int, note: str) -> dict[str, Any]:
    if dataset == "trades":
        return trade(number, strategy=note)
    filled = {"symbol": "BTCUSDT", "side": "BUY", "quantity": 1.0, "price": 10.0, "executed_at": "2026-01-05T00:00:00Z"}
    return {"fill_id": f"t{number}", "trade_id": note, **filled}


@pytest.mark.parametrize(("dataset", "name"), [("trades", "strategy"), ("fills", "trade_id")])
def test_rows_that_go_straight_to_cold_are_not_overridden_by_a_change_of_what_was_before_them(
    dataset: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changers: list[Thread] = []
    plan = ColdTable._plan_upsert

    def then_changed(*args: Any, **kwargs: Any) -> Any:
        found = plan(*args, **kwargs)
        if not changers:
            changers.append(Thread(target=lk.patch, args=(dataset, "t7", {"note": "mine"})))
            changers[0].start()
            changers[0].join()
        return found

    with lake.open(tmp_path) as lk:
        lk.write(dataset, pl.DataFrame([_noted(dataset, n, "before") for n in range(BULK_ROWS)]))
        monkeypatch.setattr(ColdTable, "_plan_upsert", then_changed)
        receipt = lk.write(dataset, pl.DataFrame([_noted(dataset, n, "after") for n in range(BULK_ROWS)]))
        assert changers
        assert (receipt.updated, receipt.rows) == (BULK_ROWS, BULK_ROWS)
        told = f"SELECT count(*) FROM {dataset} WHERE {name} = 'after' AND extra IS NULL"
        assert lk.frame(told).item() == BULK_ROWS
        lk.drain()
        assert lk.frame(told).item() == BULK_ROWS


def test_a_row_is_changed_while_the_files_of_a_large_table_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = ColdTable._plan_upsert

    def while_changed(*args: Any, **kwargs: Any) -> Any:
        changer = Thread(target=lk.patch, args=("trades", "other", {"strategy": "after"}), daemon=True)
        changer.start()
        changer.join(30)
        assert not changer.is_alive()
        return plan(*args, **kwargs)

    with lake.open(tmp_path) as lk:
        lk.write("trades", {**trade(1, strategy="before"), "trade_id": "other"})
        lk.drain()
        monkeypatch.setattr(ColdTable, "_plan_upsert", while_changed)
        lk.write("trades", pl.DataFrame([trade(n) for n in range(BULK_ROWS)]))
        monkeypatch.undo()
        assert lk.frame("SELECT strategy FROM trades WHERE trade_id = 'other'").item() == "after"


def test_threads_and_tasks_that_change_trades_while_tables_of_them_are_recorded_all_end(tmp_path: Path) -> None:
    number, rounds = 40, 6

    async def change(alk: AsyncLake, name: str) -> None:
        for n in range(rounds):
            await alk.trades.patch(name, timeframe=f"{n + 1}m")

    async def tasks() -> None:
        async with AsyncLake(lake.open(tmp_path, bot_id="b1")) as alk:
            await asyncio.gather(*(change(alk, f"t{n}") for n in range(20)))

    with lake.open(tmp_path, bot_id="b1") as lk:
        lk.trades.record(_opened(number))
        work = [Thread(target=lambda: asyncio.run(tasks()), daemon=True)]
        work += [Thread(target=lk.trades.close, args=(f"t{n}", 2.0), daemon=True) for n in range(20, number)]
        for thread in work:
            thread.start()
        last = 0
        while any(thread.is_alive() for thread in work) and last < 300:
            last += 1
            receipt = lk.trades.record(pl.DataFrame(_opened(number, conditions={"round": last})))
            assert receipt.rows == number
        for thread in work:
            thread.join(60)
            assert not thread.is_alive()
        assert lk.frame("SELECT count(*) FROM trades WHERE status = 'closed'").item() == number - 20


class _Users:
    """Threads and tasks that use one turn; how many share it just now, and how many did while one had it alone."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.sharing = self.most = 0
        self.lonely: list[bool] = []

    def share(self) -> None:
        for _ in range(50):
            with self.turn.held(), self.turn.held():
                self.sharing += 1
                time.sleep(0.001)
                self.sharing -= 1

    async def _share_as_task(self) -> None:
        for _ in range(50):
            async with self.turn.held_async():
                self.sharing += 1
                await asyncio.sleep(0.001)
                self.sharing -= 1

    def share_as_tasks(self) -> None:
        async def several() -> None:
            await asyncio.gather(*(self._share_as_task() for _ in range(10)))

        asyncio.run(several())

    def alone(self) -> None:
        for _ in range(10):
            with self.turn.alone() as is_alone, self.turn.held(), self.turn.alone() as still:
                self.lonely.append(is_alone and still)
                time.sleep(0.002)
                self.most = max(self.most, self.sharing)


def test_who_has_the_turn_alone_shares_it_with_no_other_thread_or_task_of_its_process(tmp_path: Path) -> None:
    users = _Users(Turn(tmp_path))
    targets = (users.share_as_tasks, users.share, users.share, users.alone, users.alone)
    work = [Thread(target=target, daemon=True) for target in targets]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join(60)
        assert not thread.is_alive()
    assert (users.lonely, users.most) == ([True] * 20, 0)
    users.turn.close()


def test_a_large_table_is_recorded_on_a_loop_whose_tasks_have_the_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lake.store.hot.turn._LONGEST_ALONE_SECONDS", 1000.0)  # it would be in vain

    async def run() -> None:
        has_turn = asyncio.Event()

        async def task() -> None:
            async with lk.writer.hot().log.turn.held_async():
                has_turn.set()
                await asyncio.sleep(0.1)

        running = asyncio.create_task(task())
        await has_turn.wait()
        receipts.append(lk.trades.record(pl.DataFrame(_opened(BULK_ROWS))))
        receipts.append(lk.write("trades", pl.DataFrame([trade(n) for n in range(BULK_ROWS)])))
        await running

    receipts: list[lake.Receipt] = []
    with lake.open(tmp_path) as lk:
        thread = Thread(target=lambda: asyncio.run(run()), daemon=True)
        thread.start()
        thread.join(120)
        assert not thread.is_alive()
        assert [(r.inserted, r.updated) for r in receipts] == [(BULK_ROWS, 0), (0, BULK_ROWS)]
        assert lk.frame("SELECT count(*) FROM trades WHERE status = 'closed'").item() == BULK_ROWS


def test_a_loop_does_not_wait_to_be_alone_while_a_task_of_it_waits_for_the_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lake.store.hot.turn._LONGEST_ALONE_SECONDS", 20.0)  # it would be in vain
    turn, other, alone = Turn(tmp_path), Turn(tmp_path), []

    async def run() -> None:
        async def task() -> None:
            async with turn.held_async():
                pass

        with other.held():
            running = asyncio.create_task(task())
            await asyncio.sleep(0.1)
        with turn.alone() as is_alone:
            alone.append(is_alone)
        await running

    began = time.monotonic()
    asyncio.run(run())
    assert (alone, time.monotonic() - began < 10) == ([False], True)
    turn.close()
    other.close()
