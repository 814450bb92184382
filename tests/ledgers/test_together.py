"""New rows of many tasks share a step into the log, and each is told what became of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from threading import Thread

import lake
from lake.errors import ClosedError, InvalidRowError
from lake.spec import registry
from tests.helpers import trade


def test_of_tasks_that_write_one_new_key_in_one_turn_only_one_inserts_it(tmp_path: Path) -> None:
    async def work() -> None:
        async with await lake.open_async(tmp_path / "lake", bot_id="a") as alk:
            receipts = await asyncio.gather(*(alk.write("trades", trade(1) | {"pnl": float(n)}) for n in range(20)))
            assert sum(r.inserted for r in receipts) == 1
            assert sum(r.updated + r.unchanged for r in receipts) == 19
            assert all(r.id == "t1" for r in receipts)
            last = (await alk.read("trades")).row(0, named=True)["pnl"]
        async with await lake.open_async(tmp_path / "lake", bot_id="a") as alk:
            assert (await alk.sql("SELECT count(*), min(pnl) FROM trades")).row(0) == (1, last)

    asyncio.run(work())


def test_a_row_that_does_not_fit_fails_its_own_task_alone(tmp_path: Path) -> None:
    async def work() -> None:
        async with await lake.open_async(tmp_path / "lake", bot_id="a") as alk:
            rows = [trade(n) | ({"side": "UP"} if n == 3 else {}) for n in range(8)]
            done = await asyncio.gather(*(alk.write("trades", row) for row in rows), return_exceptions=True)
            assert [type(d) for d in done if isinstance(d, BaseException)] == [InvalidRowError]
            assert (await alk.sql("SELECT count(*) FROM trades")).item() == 7

    asyncio.run(work())


def test_generated_ids_of_tasks_are_their_own_and_are_found(tmp_path: Path) -> None:
    async def work() -> None:
        async with await lake.open_async(tmp_path / "lake", bot_id="a") as alk:
            bare = {k: v for k, v in trade(1).items() if k != "trade_id"}
            receipts = await asyncio.gather(*(alk.write("trades", bare) for _ in range(50)))
            held = (await alk.sql("SELECT trade_id FROM trades"))["trade_id"].to_list()
            assert sorted(r.id for r in receipts) == sorted(held)
            assert len(set(held)) == 50

    asyncio.run(work())


def test_a_task_that_was_cancelled_while_its_row_lands_harms_nobody(tmp_path: Path) -> None:
    async def work() -> None:
        async with await lake.open_async(tmp_path / "lake", bot_id="a") as alk:
            tasks = [asyncio.create_task(alk.write("trades", trade(n))) for n in range(10)]
            await asyncio.sleep(0)
            tasks[4].cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(d) for d in done if isinstance(d, BaseException)] == [asyncio.CancelledError]
            again = await alk.write("trades", trade(4))
            assert again.inserted == 0
            assert (await alk.sql("SELECT count(*) FROM trades")).item() == 10

    asyncio.run(work())


def test_loops_of_several_threads_write_to_one_lake(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake", bot_id="a") as lk:
        alk = lake.AsyncLake(lk)

        async def work(first: int) -> None:
            await asyncio.gather(*(alk.write("trades", trade(first + n)) for n in range(100)))

        threads = [Thread(target=lambda k=k: asyncio.run(work(k * 100))) for k in range(4)]
        for thread in threads:
            thread.start()
        for n in range(400, 450):
            lk.write("trades", trade(n))
        for thread in threads:
            thread.join()
        assert lk.sql("SELECT count(*), count(DISTINCT trade_id) FROM trades").fetchall() == [(450, 450)]


def test_rows_that_wait_when_their_lake_is_closed_are_durable_or_refused(tmp_path: Path) -> None:
    async def work() -> list[object]:
        alk = await lake.open_async(tmp_path / "lake", bot_id="a")
        await alk.write("trades", trade(0))
        tasks = [asyncio.create_task(alk.write("trades", trade(n))) for n in range(1, 50)]
        await asyncio.sleep(0)
        await alk.close()
        return await asyncio.gather(*tasks, return_exceptions=True)

    done = asyncio.run(work())
    refused = [d for d in done if isinstance(d, BaseException)]
    assert {type(r) for r in refused} <= {ClosedError}
    with lake.open(tmp_path / "lake", bot_id="a") as lk:
        assert lk.sql("SELECT count(*) FROM trades").fetchall() == [(50 - len(refused),)]


def test_tasks_that_record_signals_and_phantoms_share_their_commits(tmp_path: Path) -> None:
    async def work() -> tuple[int, int]:
        async with await lake.open_async(tmp_path / "lake", bot_id="a") as alk:
            await alk.signals.record(signal_id="first", symbol="BTCUSDT", direction="LONG")
            gauge = alk.lake.writer.hot().log.gauge
            before = gauge._health.commits
            await asyncio.gather(
                *(alk.signals.record(signal_id=f"s{n}", symbol="BTCUSDT", direction="LONG") for n in range(60)),
                *(
                    alk.phantoms.record(phantom_id=f"p{n}", symbol="BTCUSDT", side="LONG", entry_price=100.0)
                    for n in range(60)
                ),
            )
            held = (await alk.sql("SELECT (SELECT count(*) FROM signals) + (SELECT count(*) FROM phantoms)")).item()
            return held, gauge._health.commits - before

    held, commits = asyncio.run(work())
    assert held == 121
    assert commits < 60


def test_of_tasks_that_record_one_signal_unless_it_is_a_duplicate_one_does(tmp_path: Path) -> None:
    async def work() -> None:
        async with await lake.open_async(tmp_path / "lake", bot_id="a") as alk:
            same = {"symbol": "BTCUSDT", "timeframe": "1h", "direction": "LONG", "entry_price": 100.0}
            done = await asyncio.gather(*(alk.signals.record(same, unless_duplicate=True) for _ in range(8)))
            assert sorted(r.inserted for r in done) == [0] * 7 + [1]
            assert len({r.id for r in done}) == 1

    asyncio.run(work())


def test_rows_of_several_datasets_that_land_together_are_changed_drained_and_known_after_a_restart(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        async with await lake.open_async(tmp_path / "lake", bot_id="a") as alk:
            await asyncio.gather(
                *(alk.write("trades", trade(n, "open")) for n in range(30)),
                *(alk.write("decisions", {"decision_id": f"d{n}", "symbol": "BTCUSDT"}) for n in range(30)),
                *(alk.write("signals", {"signal_id": f"s{n}", "symbol": "BTCUSDT"}) for n in range(30)),
            )
            await asyncio.gather(*(alk.patch("trades", f"t{n}", {"fees": float(n)}) for n in range(0, 30, 2)))
            assert (await alk.write("decisions", {"decision_id": "d7", "symbol": "BTCUSDT"})).inserted == 0

    asyncio.run(work())
    counted = "SELECT (SELECT count(*) FROM trades), (SELECT count(*) FROM decisions), (SELECT count(*) FROM signals)"
    for is_drained in (False, True):
        with lake.open(tmp_path / "lake", bot_id="a") as lk:
            assert lk.sql(counted).fetchall() == [(30, 30, 30)]
            assert lk.sql("SELECT sum(fees) FROM trades").fetchall() == [(float(sum(range(0, 30, 2))),)]
            assert len(lk.trades.active()) == 30
            if not is_drained:
                lk.drain()
            assert lk.verify().ok


def test_rows_that_find_no_place_in_the_log_fail_their_tasks_and_are_not_known_afterwards(tmp_path: Path) -> None:
    async def work() -> None:
        alk = await lake.open_async(tmp_path / "lake", bot_id="a")
        await alk.write("trades", trade(0))
        hot = alk.lake.writer.hot()
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        hot.log._group.close()  # as another task does that closes the lake meanwhile
        done = await asyncio.gather(*(alk.write("trades", trade(n)) for n in range(1, 4)), return_exceptions=True)
        assert [str(d) for d in done] == ["cannot schedule new futures after shutdown"] * 3
        known = [hot.current.get(registry.get("trades"), (f"t{n}",)) is not None for n in range(4)]
        assert known == [True, False, False, False]
        await alk.close()

    asyncio.run(work())
