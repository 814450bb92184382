"""Processes that change one row at the same time: each change is made on top of the one before, and none is lost."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Condition, Event, Thread
from typing import Any

import orjson
import polars as pl
import pytest

import lake
from lake.aio import AsyncLake
from lake.errors import LifeCycleError, UnknownRowError
from lake.ledgers.inserting import insert_unless_there
from lake.ledgers.writer import BULK_ROWS
from lake.spec import registry
from lake.spec.frames import check_frame
from lake.store.hot.turn import Turn
from tests.helpers import finished, spawned, trade
from tests.s3_servers import S3Service

ROUNDS = 30


@pytest.fixture
def two_on_s3(moto: S3Service) -> Iterator[tuple[lake.Lake, lake.Lake]]:
    """One lake on S3, opened by two writers of this host."""
    uri = f"s3://{moto.new_bucket()}/lake"
    with (
        lake.open(uri, bot_id="b1", storage_options=moto.options) as one,
        lake.open(uri, bot_id="b2", storage_options=moto.options) as two,
    ):
        yield one, two


def add_one(row: Mapping[str, Any] | None) -> dict[str, Any]:
    assert row is not None
    return {"pnl": row["pnl"] + 1.0}


def _change(path: str, bot: str) -> None:
    with lake.open(path, bot_id=bot) as lk:
        for _ in range(ROUNDS):
            lk.writer.change("trades", ("t1",), add_one)


def _change_in_transactions(path: str, bot: str) -> None:
    with lake.open(path, bot_id=bot) as lk:
        for number in range(ROUNDS):
            with lk.transaction():
                lk.write("decisions", {"decision_id": f"{bot}-{number}", "symbol": "BTCUSDT"})
                lk.writer.change("trades", ("t1",), add_one)


def _change_and_drain(path: str, bot: str) -> None:
    with lake.open(path, bot_id=bot) as lk:
        for number in range(ROUNDS):
            lk.writer.change("trades", ("t1",), add_one)
            if number % 6 == 0:
                lk.drain(every_writer=True)


def _change_as_tasks(path: str, bot: str) -> None:
    async def run() -> None:
        async with await lake.open_async(path, bot) as alk:

            async def one() -> None:
                async with alk.transaction():
                    alk.lake.writer.change("trades", ("t1",), add_one)

            for _ in range(ROUNDS // 6):
                await asyncio.gather(*(one() for _ in range(6)))

    asyncio.run(run())


def _change_from_threads(path: str, bot: str) -> None:
    with lake.open(path, bot_id=bot) as lk:
        work = [Thread(target=_some, args=(lk, ROUNDS // 3)) for _ in range(3)]
        for thread in work:
            thread.start()
        for thread in work:
            thread.join()


def _some(lk: lake.Lake, rounds: int) -> None:
    for _ in range(rounds):
        lk.writer.change("trades", ("t1",), add_one)


@pytest.mark.parametrize("status", ["open", "closed"])
def test_no_change_is_lost_when_processes_change_one_row_at_once(tmp_path: Path, status: str) -> None:
    workers = [_change, _change_in_transactions, _change_and_drain, _change_as_tasks, _change_from_threads]
    with lake.open(tmp_path, bot_id="b0") as lk:
        lk.write("trades", trade(1, status=status, pnl=0.0))
        finished(*(spawned(work, str(tmp_path), f"b{n}") for n, work in enumerate(workers, 1)))
        assert lk.frame("SELECT pnl FROM trades").item() == len(workers) * ROUNDS
        lk.drain(every_writer=True)
        assert lk.frame("SELECT pnl FROM trades").item() == len(workers) * ROUNDS
        assert lk.frame("SELECT count(*) FROM decisions").item() == ROUNDS


def _patch_one_column(path: str, bot: str, column: str) -> None:
    with lake.open(path, bot_id=bot) as lk:
        for number in range(ROUNDS):
            lk.patch("trades", "t1", {column: float(number + 1)})


def test_processes_that_patch_different_columns_of_one_row_keep_all_of_them(tmp_path: Path) -> None:
    columns = ["stop_loss", "take_profit", "fees"]
    with lake.open(tmp_path, bot_id="b0") as lk:
        lk.write("trades", trade(1, status="open"))
        finished(*(spawned(_patch_one_column, str(tmp_path), f"b-{name}", name) for name in columns))
        assert lk.frame("SELECT stop_loss, take_profit, fees FROM trades").row(0) == (ROUNDS,) * 3


def _record_the_same(path: str, bot: str, start: Any, inserted: Any) -> None:
    with lake.open(path, bot_id=bot) as lk:
        for number in range(ROUNDS):
            start.wait(60)
            row = trade(number, bot_id="shared", side="LONG", pnl=1.0)
            receipt = lk.trades.record(row) if bot == "b0" else lk.trades.record([row])
            with inserted.get_lock():
                inserted.value += receipt.inserted


def test_of_processes_that_record_one_trade_at_once_exactly_one_has_made_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, inserted = context.Barrier(3), context.Value("i", 0)
    work = [spawned(_record_the_same, str(tmp_path), f"b{n}", start, inserted) for n in range(3)]
    finished(*work)
    assert inserted.value == ROUNDS


def test_a_thread_that_has_the_turn_takes_it_again_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lake.store.hot.turn._LONGEST_SECONDS", -1.0)  # threads of one process join each other no more
    turn = Turn(tmp_path)
    with turn.held():
        monkeypatch.setattr(turn, "_state", _Unwaited())
        with turn.held(), turn.held():
            pass
    turn.close()


class _Unwaited(Condition):
    def wait(self, timeout: float | None = None) -> bool:
        pytest.fail(f"it waits for itself for {timeout} s")


def test_two_lakes_of_one_process_take_turns_too(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as one, lake.open(tmp_path, bot_id="b2") as two:
        one.write("trades", trade(1, status="open", pnl=0.0))
        work = [Thread(target=_some, args=(lk, ROUNDS)) for lk in (one, two)]
        for thread in work:
            thread.start()
        for thread in work:
            thread.join()
        assert one.frame("SELECT pnl FROM trades").item() == 2 * ROUNDS


def test_what_another_writer_has_changed_and_settled_on_s3_is_known_at_once(
    two_on_s3: tuple[lake.Lake, lake.Lake],
) -> None:
    one, two = two_on_s3
    one.write("trades", trade(1, status="open"))
    one.drain()
    two.patch("trades", "t1", {"first": 1})
    one.patch("trades", "t1", {"second": 2})
    one.write("trades", trade(2, status="open"))
    one.drain()
    assert two.patch("trades", "t1", {"third": 3}).updated == 1
    assert two.trades.patch("t2", strategy="x").updated == 1
    assert two.frame("SELECT extra FROM trades WHERE trade_id = 't1'").item() == '{"first":1,"second":2,"third":3}'


def test_what_a_job_has_changed_and_settled_on_s3_is_known_at_once(moto: S3Service) -> None:
    uri = f"s3://{moto.new_bucket()}/lake"
    with lake.open(uri, bot_id="b1", storage_options=moto.options) as lk:
        lk.write("trades", trade(1, status="open"))
        lk.drain()
        for number in range(3):
            lk.patch("trades", "t1", {f"mine{number}": number})
            with lake.open(uri, storage_options=moto.options) as job:
                job.patch("trades", "t1", {f"its{number}": number})
                job.drain(every_writer=True)
        lk.patch("trades", "t1", {"last": 1})
        known = orjson.loads(lk.frame("SELECT extra FROM trades").item())
        assert known == {f"{who}{n}": n for n in range(3) for who in ("mine", "its")} | {"last": 1}


def test_what_another_writer_has_written_in_bulk_on_s3_is_known_at_once(two_on_s3: tuple[lake.Lake, lake.Lake]) -> None:
    one, two = two_on_s3
    for number in (1, 2):
        one.write("trades", trade(1, status="open", pnl=0.0))
        one.drain()
        two.patch("trades", "t1", {"first": number})
        two.drain()
        one.write("trades", [trade(n, status="open", pnl=2.0) for n in range(BULK_ROWS)])
        two.patch("trades", "t1", {"second": number})
        known = two.frame("SELECT pnl, extra FROM trades WHERE trade_id = 't1'").row(0)
        assert known == (2.0, f'{{"second":{number}}}')


def test_what_another_process_has_imported_on_s3_is_known_at_once(two_on_s3: tuple[lake.Lake, lake.Lake]) -> None:
    one, two = two_on_s3
    one.write("trades", trade(1, status="open"))
    one.drain()
    with pytest.raises(UnknownRowError, match="t3"):
        two.patch("trades", "t3", {"first": 1})
    ds = registry.get("trades")
    rows = check_frame(ds, pl.DataFrame([trade(3, status="open", pnl=2.0)])).good
    assert insert_unless_there(one.store, ds, rows, one.store.table("trades").state()).is_empty()
    assert two.patch("trades", "t3", {"second": 2}).updated == 1
    assert two.frame("SELECT pnl, extra FROM trades WHERE trade_id = 't3'").rows() == [(2.0, '{"second":2}')]


def test_a_version_counts_as_later_than_the_one_it_was_made_of_by_any_clock(
    tmp_path: Path,
) -> None:
    with lake.open(tmp_path, bot_id="ahead") as ahead, lake.open(tmp_path, bot_id="behind") as behind:
        ahead.store.writer().raise_floor(2_000_000_000_000_000)  # in the year 2033
        ahead.write("trades", trade(1, status="open", pnl=0.0))
        behind.patch("trades", "t1", {"fees": 3.0})
        assert ahead.frame("SELECT pnl, fees FROM trades").row(0) == (0.0, 3.0)
        ahead.patch("trades", "t1", {"pnl": 5.0})
        ahead.drain(every_writer=True)
        assert behind.frame("SELECT pnl, fees FROM trades").row(0) == (5.0, 3.0)


def test_a_plain_call_on_the_loop_does_not_wait_for_tasks_that_need_the_loop(tmp_path: Path) -> None:
    turn = Turn(tmp_path)

    async def run() -> None:
        async def task() -> None:
            async with turn.held_async():
                await asyncio.sleep(0.1)

        running = asyncio.create_task(task())
        await asyncio.sleep(0.05)  # longer than tasks may join each other
        with turn.held():
            pass
        await running

    thread = Thread(target=asyncio.run, args=(run(),), daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    turn.close()


def test_a_turn_is_handed_on_only_to_one_who_waits_for_it(tmp_path: Path) -> None:
    mine, other = Turn(tmp_path), Turn(tmp_path)
    with ThreadPoolExecutor(1) as second, mine.held():
        time.sleep(0.05)  # longer than the others of a process may join while somebody waits
        assert second.submit(mine._try_enter).result()
        mine.leave()
        waiting = Thread(target=_take, args=(other,))
        waiting.start()
        while other._asking is False:
            time.sleep(0.001)
        time.sleep(0.05)
        assert not second.submit(mine._try_enter).result()
    waiting.join(10)
    assert not waiting.is_alive()
    assert mine._try_enter()
    mine.leave()
    mine.close()
    other.close()


def _take(turn: Turn) -> None:
    with turn.held():
        pass


def _is_free(folder: Path) -> bool:
    """Whether a turn that has nothing to do with the others can be had."""
    turn = Turn(folder)
    taken = Thread(target=_take, args=(turn,), daemon=True)
    taken.start()
    taken.join(10)
    turn.close()
    return not taken.is_alive()


def test_a_task_that_is_cancelled_while_it_waits_for_its_turn_gives_it_back(tmp_path: Path) -> None:
    first, second = Turn(tmp_path), Turn(tmp_path)

    async def wait_in_vain() -> None:
        async def enter() -> None:
            async with second.held_async():
                pass

        with first.held():
            waiting = asyncio.create_task(enter())
            await asyncio.sleep(0.05)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        async with second.held_async():
            pass

    asyncio.run(asyncio.wait_for(wait_in_vain(), 10))
    with first.held():
        pass
    first.close()
    second.close()


def test_a_row_that_another_process_made_meanwhile_is_added_to_by_a_transaction(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake", bot_id="a") as ours, lake.open(tmp_path / "lake") as theirs:
        ours.decisions.record(decision_id="d0", symbol="BTCUSDT")
        theirs.decisions.record(decision_id="d1", symbol="BTCUSDT", reasoning="a breakout")
        with ours.transaction():
            ours.decisions.record(decision_id="d1", symbol="BTCUSDT", confidence=0.7)
        found = theirs.decisions.get("d1")
    assert found is not None
    assert (found["reasoning"], found["confidence"]) == ("a breakout", 0.7)


def _decide_and_open(lk: lake.Lake, trade_id: str) -> None:
    with lk.transaction():
        lk.decisions.record(decision_id="d1", symbol="BTCUSDT")
        lk.trades.open(trade_id=trade_id, symbol="BTCUSDT", side="LONG", entry_price=1.0, quantity=1.0)


def test_a_transaction_that_would_take_the_place_of_another_process_s_row_lands_nothing(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake", bot_id="a") as ours, lake.open(tmp_path / "lake") as theirs:
        ours.trades.open(trade_id="t0", symbol="BTCUSDT", side="LONG", entry_price=1.0, quantity=1.0)
        theirs.trades.open(trade_id="t1", symbol="ETHUSDT", side="LONG", entry_price=1.0, quantity=1.0)
        with pytest.raises(LifeCycleError, match="another one has this id"):
            _decide_and_open(ours, "t1")
        assert ours.decisions.get("d1") is None
        assert theirs.frame("SELECT symbol FROM trades ORDER BY trade_id")["symbol"].to_list() == ["BTCUSDT", "ETHUSDT"]


def test_a_transaction_changes_a_row_that_another_process_has_just_made(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake", bot_id="a") as ours, lake.open(tmp_path / "lake", bot_id="b") as theirs:
        ours.trades.open(trade_id="t0", symbol="BTCUSDT", side="LONG", entry_price=1.0, quantity=1.0)
        theirs.trades.open(trade_id="t1", symbol="ETHUSDT", side="LONG", entry_price=1.0, quantity=1.0)
        with ours.transaction():
            assert ours.trades.close("t1", 2.0).updated == 1
        assert theirs.frame("SELECT status, pnl FROM trades WHERE trade_id = 't1'").row(0) == ("closed", 1.0)


def test_a_task_that_waits_for_its_turn_when_its_loop_ends_gives_it_back(tmp_path: Path) -> None:
    first, second = Turn(tmp_path), Turn(tmp_path)

    async def enter() -> None:
        async with second.held_async():
            pass

    async def leave_it_waiting() -> None:
        waiting = asyncio.create_task(enter())
        await asyncio.sleep(0.02)
        assert not waiting.done()

    begun = Event()

    def hold() -> None:
        with first.held():
            begun.set()
            time.sleep(0.3)

    holder = Thread(target=hold)
    holder.start()
    begun.wait()
    asyncio.run(leave_it_waiting())
    holder.join()
    assert _is_free(tmp_path), "the turn is held though nobody has it"
    first.close()
    second.close()


def test_a_task_that_waits_for_its_turn_when_its_loop_is_closed_over_it_gives_it_back(tmp_path: Path) -> None:
    first, second = Turn(tmp_path), Turn(tmp_path)
    pool = ThreadPoolExecutor(1)

    async def enter() -> None:
        async with second.held_async():
            pass

    def leave_it_waiting() -> None:
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda *_: None)
        loop.set_default_executor(pool)
        waiting = loop.create_task(enter())
        loop.run_until_complete(asyncio.sleep(0.02))
        assert not waiting.done()
        loop.close()

    with first.held():
        leave_it_waiting()
    pool.shutdown()
    gc.collect()
    assert _is_free(tmp_path), "the turn is held though nobody has it"
    first.close()
    second.close()


@pytest.mark.parametrize("is_known", [False, True], ids=["new", "known"])
def test_what_another_process_changes_after_a_cancelled_write_is_not_lost(tmp_path: Path, *, is_known: bool) -> None:
    async def work() -> None:
        async with await lake.open_async(tmp_path / "lake", bot_id="a") as alk:
            await alk.write("trades", trade(1 if is_known else 2))
            (path,) = (tmp_path / "lake" / "_hot").glob("*.db")
            with closing(sqlite3.connect(path, isolation_level=None)) as blocker:
                blocker.execute("BEGIN IMMEDIATE")
                writing = asyncio.create_task(alk.write("trades", trade(1) | {"strategy": "cross"}))
                await asyncio.sleep(0.1)
                writing.cancel()
                await asyncio.sleep(0)
                blocker.execute("ROLLBACK")
                with pytest.raises(asyncio.CancelledError):
                    await writing
            for _ in range(500):
                if not (await alk.read("trades", {"strategy": "cross"})).is_empty():
                    break
                await asyncio.sleep(0.01)
            with lake.open(tmp_path / "lake") as other:
                other.patch("trades", "t1", {"strategy": "breakout"})
            await alk.patch("trades", "t1", {"exit_reason": "manual"})
            row = (await alk.read("trades", {"trade_id": "t1"})).row(0, named=True)
            assert (row["strategy"], row["exit_reason"]) == ("breakout", "manual")

    asyncio.run(work())


def _close_all(path: str, bot: str, number: int) -> None:
    with lake.open(path, bot_id=bot) as lk:
        for n in range(number):
            lk.trades.close(f"t{n}", 101.0)


def _drain_much(path: str, bot: str, rounds: int) -> None:
    with lake.open(path, bot_id=bot) as lk:
        for _ in range(rounds):
            lk.trades.open(symbol="ETHUSDT", side="LONG", quantity=1.0, entry_price=1.0)
            lk.drain(every_writer=True)


def _opened(number: int, **more: Any) -> list[dict[str, Any]]:
    bought = {"side": "LONG", "quantity": 1.0, "entry_price": 100.0, "bot_id": "closer"}
    return [trade(n, status="open", **bought, **more) for n in range(number)]


def _record_list(lk: lake.Lake, rows: list[dict[str, Any]]) -> None:
    lk.trades.record(rows)


def _record_table(lk: lake.Lake, rows: list[dict[str, Any]]) -> None:
    lk.trades.record(pl.DataFrame(rows))


def _record_in_transaction(lk: lake.Lake, rows: list[dict[str, Any]]) -> None:
    try:
        with lk.transaction():
            lk.trades.record(rows)
    except LifeCycleError:  # one was closed before the end of the transaction, which then wrote nothing
        pass


def _record_table_in_transaction(lk: lake.Lake, rows: list[dict[str, Any]]) -> None:
    _record_in_transaction(lk, pl.DataFrame(rows))  # type: ignore[arg-type]


def _record_as_task(lk: lake.Lake, rows: list[dict[str, Any]]) -> None:
    asyncio.run(AsyncLake(lk).trades.record(rows))


@pytest.mark.parametrize(
    "record", [_record_list, _record_table, _record_in_transaction, _record_table_in_transaction, _record_as_task]
)
def test_many_trades_that_are_recorded_take_no_closing_back_that_another_process_has_made(
    tmp_path: Path, record: Callable[[lake.Lake, list[dict[str, Any]]], None]
) -> None:
    number = 60
    with lake.open(tmp_path) as lk:
        lk.trades.record(_opened(number))
        closer = spawned(_close_all, str(tmp_path), "closer", number)
        rounds = 0
        while closer.is_alive():
            record(lk, _opened(number, conditions={"round": rounds}))
            rounds += 1
        finished(closer)
        assert rounds > 1
        assert lk.frame("SELECT count(*) FROM trades WHERE status = 'closed'").item() == number


def test_a_list_of_trades_that_is_recorded_takes_no_closing_back_that_another_thread_has_made(tmp_path: Path) -> None:
    number = 60
    with lake.open(tmp_path) as lk:
        lk.trades.record(_opened(number))
        names = lk.frame("SELECT trade_id FROM trades")["trade_id"].to_list()
        closer = Thread(target=lambda: [lk.trades.close(name, 2.0) for name in names])
        closer.start()
        rounds = 0
        while closer.is_alive():
            receipt = lk.trades.record(_opened(number, conditions={"round": rounds}))
            assert receipt.rows == number
            rounds += 1
        closer.join()
        assert lk.frame("SELECT count(*) FROM trades WHERE status = 'closed'").item() == number


def test_more_trades_than_hot_takes_are_recorded_while_another_process_drains(tmp_path: Path) -> None:
    rounds_wanted = 8
    with lake.open(tmp_path) as lk:
        lk.trades.record(_opened(BULK_ROWS))
        drainer = spawned(_drain_much, str(tmp_path), "drainer", rounds_wanted)
        rounds = 0
        while drainer.is_alive() and rounds < rounds_wanted:
            receipt = lk.trades.record(_opened(BULK_ROWS, conditions={"round": rounds}))
            assert (receipt.updated, receipt.rows) == (BULK_ROWS, BULK_ROWS)
            rounds += 1
        finished(drainer)
        told = "SELECT count(*), count(DISTINCT conditions), max(conditions) FROM trades WHERE bot_id = 'closer'"
        assert lk.frame(told).row(0) == (BULK_ROWS, 1, f'{{"round":{rounds - 1}}}')
        assert lk.frame("SELECT count(*) FROM trades").item() == BULK_ROWS + rounds_wanted


def test_of_many_trades_those_that_wait_in_hot_and_the_others_are_all_recorded(tmp_path: Path) -> None:
    with lake.open(tmp_path) as lk:
        lk.trades.record(_opened(BULK_ROWS))
        lk.drain()
        lk.trades.patch("t7", stop_loss=90.0)
        receipt = lk.trades.record(_opened(BULK_ROWS + 2, conditions={"again": True}))
        assert (receipt.updated, receipt.inserted, receipt.rows) == (BULK_ROWS, 2, BULK_ROWS + 2)
        told = "SELECT count(*), count(*) FILTER (conditions IS NOT NULL AND stop_loss IS NULL) FROM trades"
        assert lk.frame(told).row(0) == (BULK_ROWS + 2,) * 2
        lk.drain()
        assert lk.frame(told).row(0) == (BULK_ROWS + 2,) * 2


def _save_states(path: str, bots: list[str], is_saving: Any, is_over: Any) -> None:
    with lake.open(path, bot_id="saver") as lk:
        while not is_over.is_set():
            for bot in bots:
                lk.bots.save_state(bot, equity=80.0)
            is_saving.set()


def test_a_bot_that_saves_its_state_takes_no_resume_back_that_another_process_has_made(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    is_saving, is_over = context.Event(), context.Event()
    bots = [f"b{number}" for number in range(150)]
    with lake.open(tmp_path, bot_id="operator") as lk:
        for bot in bots:
            lk.bots.configure(bot, drawdown_guard_pct=10.0)
            lk.bots.save_state(bot, equity=100.0)
        saver = spawned(_save_states, str(tmp_path), bots, is_saving, is_over)
        assert is_saving.wait(60)
        for bot in bots:
            lk.bots.resume(bot, "looked at")
        is_over.set()
        finished(saver)
        assert [bot for bot in bots if lk.bots.latest_state(bot)["trading_halted"]] == []  # type: ignore[index]


def _sync_positions(path: str, step: Any, wrong: Any) -> None:
    with lake.open(path) as lk:
        for number in range(15):
            step.wait(60)
            lk.positions.sync([{"symbol": f"S{number}USDT", "side": "LONG", "quantity": 1.0, "entry_price": 2.0}])
            step.wait(60)
            with wrong.get_lock():
                wrong.value += [row["symbol"] for row in lk.positions.active()] != [f"S{number}USDT"]
            step.wait(60)


def test_processes_that_take_the_same_snapshot_in_at_once_open_each_position_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    step, wrong = context.Barrier(2), context.Value("i", 0)
    finished(*(spawned(_sync_positions, str(tmp_path), step, wrong) for _ in range(2)))
    assert wrong.value == 0
    with lake.open(tmp_path) as lk:
        assert lk.frame("SELECT count(*) FROM positions").item() == 15
