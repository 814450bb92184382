"""The lake for asyncio: the same calls, and nothing blocks the loop."""

from __future__ import annotations

import asyncio
import inspect
from contextvars import Context
from pathlib import Path
from threading import get_ident
from typing import Any

import pytest

import lake
from lake.errors import InvalidRowError, LifeCycleError
from lake.spec import registry
from lake.store.cold.reader import FileReader
from tests.helpers import candles, finished, spawned, trade


def public(kind: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(kind) if not name.startswith("_")}


def test_what_a_lake_can_do_an_async_lake_can_too() -> None:
    only_there = {"location", "store"}
    assert public(lake.Lake) - public(lake.AsyncLake) == only_there


def test_every_method_works_from_a_task(tmp_path: Path) -> None:
    async def work() -> None:
        async with await lake.open_async(tmp_path / "lake", bot_id="a") as alk:
            await alk.candles.write(candles(range(10)), "1m", venue="x")
            await alk.write("trades", [trade(n) for n in range(200)])
            await alk.write("trades", (trade(n) for n in range(200, 203)))
            await alk.patch("trades", "t1", {"pnl": 5.0})
            tagged = await alk.tag("now")
            await alk.write("trades", trade(999))
            then = await alk.at(tag="now")
            assert (await then.read("trades")).height == 203
            assert (await then.sql("SELECT pnl FROM trades WHERE trade_id = 't1'")).item() == 5.0
            assert (await then.frame("SELECT pnl FROM trades WHERE trade_id = $id", {"id": "t1"})).item() == 5.0
            assert (await alk.frame("SELECT count(*) FROM trades WHERE status = ?", ["closed"])).item() == 204
            assert (await alk.read("trades")).height == 204
            assert (await alk.tags())["now"].number == tagged.number <= await alk.version()
            await alk.drain()
            await alk.compact()
            assert (await alk.verify()).ok
            assert (await alk.vacuum(dry_run=True)).files_before >= 0
            assert await alk.retain({"candles": 36500}) is not None
            assert (await alk.publish()).exists()
            assert alk.uri("trades").endswith("trades")
            frame = await alk.candles.read("BTCUSDT", "1m")
            assert frame.height == 10

    asyncio.run(work())


def test_patches_of_many_tasks_to_one_row_all_hold(tmp_path: Path) -> None:
    async def work() -> None:
        async with await lake.open_async(tmp_path / "lake", bot_id="a") as alk:
            await alk.write("trades", trade(1, "open"))
            await asyncio.gather(*(alk.patch("trades", "t1", {f"f{n}": n}) for n in range(60)))
            kept = await alk.sql("SELECT count(*) FROM (SELECT unnest(json_keys(extra)) FROM trades)")
            assert kept.item() == 60

    asyncio.run(work())


def test_a_patch_inside_a_transaction_that_raises_lands_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with await lake.open_async(tmp_path / "lake", bot_id="a") as alk:
            await alk.write("trades", trade(1, "open"))
            with pytest.raises(InvalidRowError, match=r"trades\.side"):
                await two_changes(alk)
            assert (await alk.sql("SELECT fees FROM trades")).item() is None

    asyncio.run(work())


async def two_changes(alk: lake.AsyncLake) -> None:
    async with alk.transaction():
        await alk.patch("trades", "t1", {"fees": 1.0})
        await alk.patch("trades", "t1", {"side": "UP"})


def _close_every_trade(path: str) -> None:
    with lake.open(path, bot_id="other") as lk:
        for row in lk.read("trades").to_dicts():
            lk.trades.close(row["trade_id"], 101.0)


async def _open_and_be_cancelled(alk: lake.AsyncLake, trade_id: str) -> None:
    bought = {"symbol": "BTCUSDT", "side": "LONG", "quantity": 1.0, "entry_price": 100.0}
    task = asyncio.create_task(alk.trades.open(trade_id=trade_id, bot_id="any", **bought))
    current = alk.lake.writer.hot().current
    while current.get(registry.get("trades"), (trade_id,)) is None:  # noqa: ASYNC110 - until it is on its way to the disk
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_trade_of_a_task_that_was_cancelled_while_it_landed_is_like_any_other(tmp_path: Path) -> None:
    async def work() -> None:
        async with await lake.open_async(tmp_path) as alk:
            for number in range(20):
                await _open_and_be_cancelled(alk, f"t{number}")
            await asyncio.to_thread(lambda: finished(spawned(_close_every_trade, str(tmp_path))))
            assert await alk.trades.active() == []
            with pytest.raises(LifeCycleError, match="closed"):
                await alk.trades.close("t0", 55.0)
            assert (await alk.sql("SELECT DISTINCT exit_price FROM trades")).item() == 101.0

    asyncio.run(work())


def test_the_end_of_a_transaction_reads_data_files_beside_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where every thread that the loop has waits for the turn."""
    readers: set[int] = set()
    pieces = FileReader.pieces

    def noted(*args: Any) -> Any:
        readers.add(get_ident())
        return pieces(*args)

    async def work() -> None:
        async with await lake.open_async(tmp_path, "b") as alk:
            with lake.open(tmp_path, bot_id="other") as other:
                async with alk.transaction():
                    await alk.trades.patch("t1", note="mine")
                    await asyncio.to_thread(other.trades.patch, "t1", strategy="theirs")
                    await asyncio.to_thread(other.drain, every_writer=True)
                    readers.clear()
                    patches = [alk.trades.patch(f"t{n}", timeframe="1h") for n in range(2, 60)]
                    waiting = [asyncio.create_task(patch, context=Context()) for patch in patches]
                await asyncio.gather(*waiting)
            row = (await alk.read("trades", {"trade_id": "t1"})).row(0, named=True)
            assert (row["strategy"], row["extra"]) == ("theirs", '{"note":"mine"}')

    with lake.open(tmp_path) as lk:
        lk.write("trades", [trade(n) for n in range(60)])
        lk.drain()
    monkeypatch.setattr(FileReader, "pieces", noted)
    asyncio.run(work())
    assert readers
    assert get_ident() not in readers
