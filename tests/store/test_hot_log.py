"""The hot log: acknowledged means durable, whatever SQLite does."""

from __future__ import annotations

import asyncio
import errno
import multiprocessing
import os
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Barrier
from time import sleep

import orjson
import pytest

import lake
from lake.errors import ClosedError, CorruptLakeError, HotLogError, InvalidRowError, StorageError, WriterBusyError
from lake.store import marks
from lake.store.hot.claim import host_name, writer_id
from lake.store.hot.database import HotDatabase
from lake.store.hot.numbers import Numbers
from tests.helpers import finished, spawned, trade, trade_ids, write_candles


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that waits 50 ms for SQLite, then spools."""
    monkeypatch.setenv("LAKE_BUSY_TIMEOUT_MS", "50")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of three megabytes; a hot log takes one of them for its write-ahead log."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"cannot mount a small disk: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def filled(disk: Path) -> None:
    """Leave no room on it."""
    with (disk / "ballast").open("wb", buffering=0) as out, suppress(OSError):
        while out.write(b"x" * 4096):
            pass


def hot_file(path: Path, bot: str = "b1") -> Path:
    return next((path / "_hot").glob(f"{bot}@*.db"))


def spool_of(path: Path) -> Path:
    return Path(str(hot_file(path)).removesuffix(".db") + ".spool.jsonl")


def busy(path: Path) -> sqlite3.Connection:
    """Holds the write lock of the hot file."""
    other = sqlite3.connect(hot_file(path), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    return other


def sequences(path: Path) -> list[int]:
    connection = sqlite3.connect(hot_file(path))
    try:
        return [row[0] for row in connection.execute("SELECT seq FROM log")]
    finally:
        connection.close()


def logged_trades(path: Path) -> list[str]:
    """The trade of each row in the log, however many rows its entries have."""
    connection = sqlite3.connect(hot_file(path))
    try:
        payloads = connection.execute("SELECT payload FROM log WHERE dataset = 'trades'").fetchall()
    finally:
        connection.close()
    return [row["trade_id"] for (payload,) in payloads for row in orjson.loads(payload)]


def test_what_is_acknowledged_is_in_the_file_before_anything_is_closed(tmp_path: Path) -> None:
    lk = lake.open(tmp_path, bot_id="b1")
    lk.write("trades", trade(1))
    assert len(sequences(tmp_path)) == 1
    with lake.open(tmp_path, create=False) as other:
        assert trade_ids(other) == ["t1"]
    lk.close()


def test_many_threads_write_every_row_once_under_numbers_of_their_own(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        start = Barrier(16)

        def work(thread: int) -> None:
            start.wait()
            for number in range(20):
                assert lk.write("trades", trade(f"{thread}-{number}")).inserted == 1

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(work, range(16)))
        assert trade_ids(lk) == sorted(f"t{t}-{n}" for t in range(16) for n in range(20))
        found = sequences(tmp_path)
    assert len(set(found)) == len(found) == 320


def test_threads_that_wait_share_one_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    append = HotDatabase.append

    def counted(database: HotDatabase, entries: Sequence[tuple[int, str, bytes]]) -> None:
        append(database, entries)
        sizes.append(len(entries))

    monkeypatch.setattr(HotDatabase, "append", counted)
    with lake.open(tmp_path, bot_id="b1") as lk:
        lk.write("trades", trade("first"))
        other = busy(tmp_path)  # while it holds the lock, everybody gathers behind the one who came first
        with ThreadPoolExecutor(8) as pool:
            done = [pool.submit(lk.write, "trades", trade(n)) for n in range(8)]
            while len(lk.store.writer()._group._waiting) < 7:
                sleep(0.001)
            other.close()
            assert [d.result().inserted for d in done] == [1] * 8
        assert len(trade_ids(lk)) == 9
    assert sizes == [1, 1, 7]


def test_hundreds_of_tasks_write_every_row_once(tmp_path: Path) -> None:
    async def work() -> None:
        async with await lake.open_async(tmp_path, bot_id="b1") as alk:
            receipts = await asyncio.gather(*(alk.write("trades", trade(n)) for n in range(300)))
            assert sum(r.inserted for r in receipts) == 300
            assert len(await alk.read("trades")) == 300

    asyncio.run(work())
    assert sorted(logged_trades(tmp_path)) == sorted(f"t{n}" for n in range(300))


def test_a_cancelled_task_harms_no_other(tmp_path: Path) -> None:
    async def work() -> None:
        async with await lake.open_async(tmp_path, bot_id="b1") as alk:
            tasks = [asyncio.create_task(alk.write("trades", trade(n))) for n in range(50)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            acknowledged = {f"t{n}" for n, d in enumerate(done) if not isinstance(d, BaseException)}
            assert {f"t{n}" for n in range(1, 50, 2)} <= acknowledged
            assert acknowledged <= set((await alk.read("trades"))["trade_id"])

    asyncio.run(work())


def test_a_transaction_over_datasets_lands_whole_or_not_at_all(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        with lk.transaction():
            lk.write("trades", trade(1))
            lk.write("decisions", {"decision_id": "d1", "symbol": "BTCUSDT"})
            assert trade_ids(lk) == []
        with pytest.raises(ZeroDivisionError), lk.transaction():  # noqa: PT012
            lk.write("trades", trade(2))
            lk.write("decisions", {"decision_id": "d2", "symbol": "BTCUSDT"})
            raise ZeroDivisionError
        with pytest.raises(InvalidRowError, match="status"), lk.transaction():  # noqa: PT012
            lk.write("trades", trade(3))
            lk.write("trades", trade(4, status="sideways"))
        assert trade_ids(lk) == ["t1"]
        assert lk.read("decisions")["decision_id"].to_list() == ["d1"]


def test_a_transaction_of_many_entries_lands_whole_and_in_order(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        with lk.transaction():
            for number in range(150):
                lk.write("trades", trade(number))
        stored = lk.store.writer().recall()
        assert [entry.rows()[0]["trade_id"] for entry in stored] == [f"t{number}" for number in range(150)]


def test_a_writer_gives_its_write_ahead_log_its_size_before_it_is_needed(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        ahead = Path(f"{hot_file(tmp_path)}-wal")
        begun = ahead.stat().st_size
        assert begun >= 1 << 20
        assert lk.store.writer().recall() == []
        for number in range(300):
            lk.write("trades", trade(number))
        assert ahead.stat().st_size < 1.1 * begun


def test_a_nested_transaction_is_part_of_the_outer_one(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        with pytest.raises(ZeroDivisionError), lk.transaction():  # noqa: PT012
            with lk.transaction():
                lk.write("trades", trade(1))
            raise ZeroDivisionError
        assert trade_ids(lk) == []
        with lk.transaction(), lk.transaction():
            lk.write("trades", trade(2))
        assert trade_ids(lk) == ["t2"]


def test_in_a_transaction_the_last_version_wins_even_if_it_is_the_stored_one(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        lk.write("trades", trade(1, pnl=1.0))
        with lk.transaction():
            lk.write("trades", trade(1, pnl=2.0))
            assert lk.write("trades", trade(1, pnl=1.0)).updated == 1
        assert lk.read("trades")["pnl"].to_list() == [1.0]


def test_a_task_that_outlives_its_transaction_is_told_so(tmp_path: Path) -> None:
    async def work() -> None:
        async with await lake.open_async(tmp_path, bot_id="b1") as alk:
            ended = asyncio.Event()

            async def later() -> None:
                await ended.wait()
                await alk.write("trades", trade(2))

            async with alk.transaction():
                task = asyncio.create_task(later())
                await alk.write("trades", trade(1))
            ended.set()
            with pytest.raises(ClosedError, match="transaction"):
                await task
            assert (await alk.read("trades"))["trade_id"].to_list() == ["t1"]

    asyncio.run(work())


def test_tasks_have_transactions_of_their_own(tmp_path: Path) -> None:
    async def work() -> None:
        async with await lake.open_async(tmp_path, bot_id="b1") as alk:

            async def one(number: int) -> None:
                async with alk.transaction():
                    await alk.write("trades", trade(number))
                    await asyncio.sleep(0)
                    if number % 2:
                        raise ZeroDivisionError

            await asyncio.gather(*(one(n) for n in range(10)), return_exceptions=True)
            assert sorted((await alk.read("trades"))["trade_id"]) == ["t0", "t2", "t4", "t6", "t8"]

    asyncio.run(work())


@pytest.mark.usefixtures("impatient")
def test_while_sqlite_is_locked_rows_are_spooled_seen_once_and_replayed_in_order(tmp_path: Path) -> None:
    lk, reader = lake.open(tmp_path, bot_id="b1"), lake.open(tmp_path, bot_id="b2")
    lk.write("trades", trade(0))
    other = busy(tmp_path)
    for number in range(1, 4):
        lk.write("trades", trade(number))
    lk.write("trades", trade(3, pnl=5.0))
    lines = spool_of(tmp_path).read_bytes().splitlines()
    assert [orjson.loads(line)[0][2][0]["trade_id"] for line in lines] == ["t1", "t2", "t3", "t3"]
    assert trade_ids(lk) == trade_ids(reader) == ["t0", "t1", "t2", "t3"]
    other.close()
    lk.store.writer()._retry_at = 0.0
    lk.write("trades", trade(4))
    assert not spool_of(tmp_path).exists()
    assert trade_ids(lk) == trade_ids(reader) == ["t0", "t1", "t2", "t3", "t4"]
    assert reader.read("trades", {"trade_id": "t3"})["pnl"].to_list() == [5.0]
    lk.drain()
    assert trade_ids(lk) == trade_ids(reader) == ["t0", "t1", "t2", "t3", "t4"]
    lk.close()
    reader.close()


@pytest.mark.usefixtures("impatient")
def test_a_spool_left_by_a_crash_is_replayed_and_its_torn_last_line_ignored(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        lk.write("trades", trade(0))
        other = busy(tmp_path)
        lk.write("trades", trade(1))
    with spool_of(tmp_path).open("ab") as spool:
        spool.write(b'[[17000000,"trades",[{"trade_i')
    with lake.open(tmp_path, bot_id="b1") as lk:  # SQLite is still locked
        lk.write("trades", trade(2))
        assert trade_ids(lk) == ["t0", "t1", "t2"]
        other.close()
    with lake.open(tmp_path, bot_id="b1") as lk:
        assert trade_ids(lk) == ["t0", "t1", "t2"]
        assert not spool_of(tmp_path).exists()


@pytest.mark.usefixtures("impatient")
def test_a_spool_that_is_damaged_in_the_middle_is_said_to_be(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        lk.write("trades", trade(0))
        other = busy(tmp_path)
        lk.write("trades", trade(1))
        spool_of(tmp_path).write_bytes(b"nonsense\n" + spool_of(tmp_path).read_bytes())
        with pytest.raises(CorruptLakeError, match=r"spool.jsonl:1: a spooled line is damaged"):
            lk.read("trades")
        other.close()


@pytest.mark.parametrize("damage", ["all of it", "a page"])
def test_a_corrupt_hot_file_is_set_aside_and_what_is_readable_of_it_is_kept(tmp_path: Path, damage: str) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        for number in range(300):
            lk.write("trades", trade(number, features={"x": "y" * 300}))
    file = hot_file(tmp_path)
    raw = file.read_bytes()
    broken = os.urandom(len(raw)) if damage == "all of it" else raw[:-4096] + bytes(4096)
    file.write_bytes(broken)
    with lake.open(tmp_path, bot_id="b1") as lk:
        lk.write("trades", trade("new"))
        seen = trade_ids(lk)
        lk.drain()
        assert trade_ids(lk) == seen
        assert "tnew" in seen
        assert damage == "all of it" or len(seen) > 150
    assert list((tmp_path / "_hot").glob("*.corrupt-*"))


def test_on_a_full_disk_nothing_settles_and_nothing_is_lost(small_disk: Path) -> None:
    with lake.open(small_disk, bot_id="b1") as lk:
        for number in range(20):
            lk.write("trades", trade(number, features={"x": "y" * 100}))
            lk.drain()
        lk.write("trades", trade("waiting"))
        filled(small_disk)
        before = trade_ids(lk)
        for work in (lk.drain, lk.compact, lambda: write_candles(lk, range(6000))):
            with pytest.raises(StorageError, match="the disk is full"):
                work()
        assert trade_ids(lk) == before
        (small_disk / "ballast").unlink()
        lk.drain()
        lk.compact()
        assert trade_ids(lk) == before
        assert write_candles(lk, range(6000)).inserted == 6000
        assert lk.verify().findings == ()


@pytest.mark.usefixtures("impatient")
def test_a_full_disk_refuses_the_row_and_takes_it_when_there_is_room(small_disk: Path) -> None:
    with lake.open(small_disk, bot_id="b1") as lk:
        lk.write("trades", trade(0))
        filled(small_disk)
        with pytest.raises(HotLogError, match="neither SQLite .* nor the spool .* could take the record"):  # noqa: PT012
            for number in range(1, 2_000):
                lk.write("trades", trade(number, features={"x": "y" * 2000}))
        kept = trade_ids(lk)
        assert kept == sorted(f"t{n}" for n in range(len(kept)))
        (small_disk / "ballast").unlink()
        lk.store.writer()._retry_at = 0.0
        lk.write("trades", trade("after"))
        assert trade_ids(lk) == sorted([*kept, "tafter"])
        lk.drain()
    with lake.open(small_disk, bot_id="b1") as lk:
        assert trade_ids(lk) == sorted([*kept, "tafter"])


@pytest.mark.usefixtures("impatient")
def test_a_full_disk_refuses_the_rows_of_all_tasks_and_takes_them_when_there_is_room(small_disk: Path) -> None:
    async def work() -> int:
        async with await lake.open_async(small_disk, bot_id="b1") as alk:
            await alk.write("trades", trade(0))
            filled(small_disk)
            rows = [trade(number, features={"x": "y" * 20_000}) for number in range(1, 100)]
            done = await asyncio.gather(*(alk.write("trades", row) for row in rows), return_exceptions=True)
            refused = [str(d) for d in done if isinstance(d, HotLogError)]
            assert len(refused) == len(done)
            assert all("nor the spool" in text for text in refused)
            (small_disk / "ballast").unlink()
            alk.lake.store.writer()._retry_at = 0.0
            again = await asyncio.gather(*(alk.write("trades", row) for row in rows[:20]))
            return sum(receipt.inserted for receipt in again)

    assert asyncio.run(work()) == 20
    with lake.open(small_disk, bot_id="b1") as lk:
        assert trade_ids(lk) == sorted(f"t{n}" for n in range(21))


def _hold(path: str, ready: object, done: object, bot: str = "b1") -> None:
    with lake.open(path, bot_id=bot) as lk:
        lk.write("trades", trade("theirs"))
        ready.set()  # type: ignore[attr-defined]
        done.wait(60)  # type: ignore[attr-defined]


def test_a_second_live_process_of_one_bot_is_told_which_process_holds_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    process = spawned(_hold, str(tmp_path), ready, done)
    assert ready.wait(60)
    with pytest.raises(WriterBusyError, match=rf"bot id 'b1' is in use by process {process.pid} "):
        lake.open(tmp_path, bot_id="b1")
    with lake.open(tmp_path, bot_id="b2") as lk:
        lk.write("trades", trade("ours"))
        assert trade_ids(lk) == ["tours", "ttheirs"]
    done.set()
    finished(process)
    with lake.open(tmp_path, bot_id="b1") as lk:
        assert trade_ids(lk) == ["tours", "ttheirs"]


def test_a_writer_id_is_stable_and_anonymous_writers_do_not_collide(tmp_path: Path) -> None:
    for _ in range(2):
        with lake.open(tmp_path, bot_id="b1") as lk:
            lk.write("trades", trade(1))
    with lake.open(tmp_path) as first, lake.open(tmp_path) as second:
        first.write("trades", trade(2))
        second.write("trades", trade(3))
        assert trade_ids(first) == trade_ids(second) == ["t1", "t2", "t3"]
    names = sorted(p.name.split("@")[0] for p in (tmp_path / "_hot").glob("*.db"))
    assert names == ["anonymous-0", "anonymous-1", "b1"]


ALIKE = [
    "desk-btc", "desk/btc", "desk btc", "desk@btc", "x", "../x", "x.", "бот", "机器人", "ü", "é",
    *("a" * n for n in (80, 81, 82)),
]  # fmt: skip


def test_bots_whose_ids_are_alike_write_side_by_side_and_keep_apart(tmp_path: Path) -> None:
    with ExitStack() as stack:
        for number, bot in enumerate(ALIKE):
            stack.enter_context(lake.open(tmp_path, bot_id=bot)).write("trades", trade(number))
        with lake.open(tmp_path) as reader:
            assert trade_ids(reader) == sorted(f"t{n}" for n in range(len(ALIKE)))
    files = sorted(p.name for p in (tmp_path / "_hot").glob("*.db"))
    assert len(files) == len(ALIKE)
    assert all(name.isascii() and len(name) < 200 for name in files)


@pytest.mark.parametrize("bot", ["b1", "bot-7", "Bot_7.live", "a" * 80])
def test_an_id_that_is_a_safe_file_name_is_the_name_of_its_log(bot: str) -> None:
    assert writer_id(bot).split("@")[0] == bot


@pytest.mark.parametrize("bot", ["...", " ", "/", "🙂"])
def test_an_id_without_letters_and_digits_is_refused(bot: str) -> None:
    with pytest.raises(lake.errors.UsageError, match="a bot id needs letters or digits"):
        writer_id(bot)


def test_the_other_process_is_told_with_the_id_that_both_gave(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    process = spawned(_hold, str(tmp_path), ready, done, "desk/btc")
    assert ready.wait(60)
    with pytest.raises(WriterBusyError, match=rf"bot id 'desk/btc' is in use by process {process.pid} "):
        lake.open(tmp_path, bot_id="desk/btc")
    with lake.open(tmp_path, bot_id="desk btc") as lk:
        lk.write("trades", trade("ours"))
    done.set()
    finished(process)


def test_a_lost_hot_file_begins_above_what_was_settled(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        lk.write("trades", trade(1))
        lk.store.writer().raise_floor(2**60)  # a clock that was far ahead
        lk.write("trades", trade(2))
        lk.drain()
    hot_file(tmp_path).unlink()
    with lake.open(tmp_path, bot_id="b1") as lk:
        assert trade_ids(lk) == ["t1", "t2"]
        lk.write("trades", trade(3))
        assert trade_ids(lk) == ["t1", "t2", "t3"]
        lk.drain()
        assert trade_ids(lk) == ["t1", "t2", "t3"]


def _refuse(*_: object, **__: object) -> None:
    raise PermissionError(errno.EACCES, "Permission denied")


def test_a_folder_in_which_nothing_can_be_written_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lake.open(tmp_path, bot_id="a") as lk:
        lk.write("trades", trade(1))
        for writer, ending in (("b", "lock"), ("a", "drain")):
            (tmp_path / "_hot" / f"{writer}@{host_name()}.{ending}").mkdir()
        with pytest.raises(StorageError, match="there is a folder where a file should be"):
            lake.open(tmp_path, bot_id="b")
        with pytest.raises(StorageError, match="there is a folder where a file should be"):
            lk.drain()
        (tmp_path / marks.FOLDER).mkdir(exist_ok=True)
        (tmp_path / marks.FOLDER / f"dead@{host_name()}").touch()
        with monkeypatch.context() as refused:
            refused.setattr(Path, "unlink", _refuse)
            with pytest.raises(StorageError, match="permission denied"):
                lk.vacuum()


def test_a_closed_lake_takes_nothing(tmp_path: Path) -> None:
    lk = lake.open(tmp_path, bot_id="b1")
    lk.close()
    with pytest.raises(ClosedError, match="the lake was closed"):
        lk.write("trades", trade(1))


def test_normal_durability_is_offered_and_others_are_refused(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1", durability="normal") as lk:
        lk.write("trades", trade(1))
        assert trade_ids(lk) == ["t1"]
    with pytest.raises(lake.errors.UsageError, match="full or normal"):
        lake.open(tmp_path, durability="perhaps")


def test_numbers_that_were_closed_are_neither_read_from_nor_written_to_a_file_of_somebody_else(tmp_path: Path) -> None:
    numbers = Numbers(tmp_path, "w")
    assert numbers.take(4, 3) == 4
    assert numbers.highest() == 7
    numbers.close()
    with ExitStack() as opened:
        others = [opened.enter_context((tmp_path / f"{number}.db").open("w+b", buffering=0)) for number in range(20)]
        for other in others:
            other.write(b"other's")
        assert numbers.take(8, 1) == 8
        assert numbers.highest() == 0
        assert {Path(other.name).read_bytes() for other in others} == {b"other's"}
