"""Drain and snapshot reads: every row exactly once, whatever is cut off in between."""

from __future__ import annotations

import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from click.testing import CliRunner

import lake
from lake.cli import main
from lake.errors import UsageError, WriterBusyError
from lake.store.hot.claim import try_claim
from tests.helpers import closes, finished, spawned, trade, trade_ids, write_candles

STEPS = ["drain:commit", "drain:settle", "drain:done"]


class CutOffError(Exception):
    """The process dies here."""


def cut_at(name: str, turn: int = 1):
    seen = 0

    def step(now: str) -> None:
        nonlocal seen
        seen += now == name
        if now == name and seen == turn:
            raise CutOffError(name)

    return step


def rows_in_hot(path: Path) -> int:
    count = 0
    for file in (path / "_hot").glob("*.db"):
        connection = sqlite3.connect(file)
        count += connection.execute("SELECT count(*) FROM log").fetchone()[0]
        connection.close()
    return count


def _write_drain_and_ask(path: str) -> None:
    with lake.open(path, bot_id="b1") as lk:
        write_candles(lk, range(3))
        lk.write("trades", trade(1))
        lk.drain()
        assert len(closes(lk)) == 3
        assert lk.verify().ok
    assert "pandas" not in sys.modules


def test_writing_draining_and_asking_load_no_pandas(tmp_path: Path) -> None:
    finished(spawned(_write_drain_and_ask, str(tmp_path)))


@pytest.mark.parametrize("turn", [1, 2])
@pytest.mark.parametrize("step", STEPS)
def test_a_drain_cut_off_at_any_step_loses_nothing_and_repeats_nothing(tmp_path: Path, step: str, turn: int) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        for number in range(10):
            write_candles(lk, [number])
            lk.write("trades", trade(number))
        with pytest.raises(CutOffError):
            lk.drain(step=cut_at(step, turn))
        assert closes(lk).keys() == set(range(10))
        lk.write("trades", trade("more"))
        write_candles(lk, [3], close=7.0)
    with lake.open(tmp_path, bot_id="b1") as lk:
        expected = sorted([*(f"t{n}" for n in range(10)), "tmore"])
        for _ in range(2):
            assert trade_ids(lk) == expected
            assert closes(lk) == {n: 7.0 if n == 3 else 1.5 for n in range(10)}
            lk.drain()
        assert lk.verify().ok
    assert rows_in_hot(tmp_path) == 0


def test_a_drain_tells_what_it_moved_and_an_empty_one_makes_no_version(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        for number in range(3):
            lk.write("trades", trade(number))
        lk.write("trades", trade(1, pnl=2.0))
        done = lk.drain()
        assert done.entries == {"trades": 4}
        assert done.landed.inserted == 3
        before = lk.version()
        assert lk.drain().entries == {}
        assert lk.version() == before


def test_several_drainers_at_once_move_each_row_once(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk, lake.open(tmp_path, bot_id="b2") as other:
        for number in range(60):
            (lk if number % 2 else other).write("trades", trade(number))
        with ThreadPoolExecutor(4) as pool:
            drains = [pool.submit(one.drain, every_writer=True) for one in (lk, other, lk, other)]
            moved = sum(d.result().entries.get("trades", 0) for d in drains)
        assert moved == 60
        assert trade_ids(lk) == trade_ids(other) == sorted(f"t{n}" for n in range(60))
        assert lk.verify().ok


def _write_and_leave(path: str, bot: str) -> None:
    with lake.open(path, bot_id=bot) as lk:
        for number in range(10):
            lk.write("trades", trade(f"{bot}-{number}"))


def test_what_ended_processes_left_is_drained_by_another(tmp_path: Path) -> None:
    finished(*(spawned(_write_and_leave, str(tmp_path), bot) for bot in ("b1", "b2")))
    with lake.open(tmp_path) as lk:
        expected = sorted(f"t{bot}-{n}" for bot in ("b1", "b2") for n in range(10))
        assert trade_ids(lk) == expected
        assert lk.drain(every_writer=True).landed.inserted == 20
        assert trade_ids(lk) == expected
    assert rows_in_hot(tmp_path) == 0
    with lake.open(tmp_path, bot_id="b1") as lk:
        lk.write("trades", trade("again"))
        lk.drain()
        assert len(trade_ids(lk)) == 21


def _left_by(path: Path, bot: str, host: str) -> None:
    """What the bot would have left if this machine had had another name."""
    folder = path / "_hot"
    writer = next(folder.glob(f"{bot}@*.db")).stem
    for file in folder.glob(f"{writer}.*"):
        file.rename(folder / file.name.replace(writer, f"{bot}@{host}"))


def test_a_bot_takes_over_what_it_left_under_another_host_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        lk.trades.open(trade_id="t1", symbol="BTCUSDT", side="LONG", quantity=1.0, entry_price=100.0)
        lk.trades.open(trade_id="t2", symbol="BTCUSDT", side="LONG", quantity=1.0, entry_price=100.0)
        lk.drain()
        lk.trades.close("t2", 101.0)
        lk.store.writer().spool.append([(lk.store.writer().last() + 1, "trades", b"[]")])
    _left_by(tmp_path, "b1", "before")
    assert caplog.messages == []
    with lake.open(tmp_path, bot_id="b1") as lk:
        assert [m for m in caplog.messages if "b1@before" in m and "`lake drain --host before`" in m]
        lk.drain(every_writer=True)
        assert [row["trade_id"] for row in lk.trades.active()] == ["t1", "t2"], "one was closed, unseen"
        done = CliRunner().invoke(main, ["drain", "--lake", str(tmp_path), "--host", "before"])
        assert done.exit_code == 0, done.output
        assert [row["trade_id"] for row in lk.trades.active()] == ["t1"]
        assert lk.trades.close("t1", 102.0).updated == 1
        assert lk.drain(host="before").landed.inserted == 0
    caplog.clear()
    with lake.open(tmp_path, bot_id="b1") as lk:
        assert caplog.messages == []
        assert lk.trades.active() == []


def test_what_a_live_process_of_another_host_writes_is_not_taken_over(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        lk.write("trades", trade(1))
    _left_by(tmp_path, "b1", "before")
    with lake.open(tmp_path, bot_id="b2") as lk:
        with pytest.raises(UsageError, match="no hot log of that host is here.*'wm'.*: before"):
            lk.drain(host="wm")
        held = try_claim(tmp_path / "_hot", "b1@before")
        assert held is not None
        with pytest.raises(WriterBusyError, match=r"b1@before: a live process of another host"):
            lk.drain(host="before")
        held.release()
        assert lk.drain(host="before").landed.inserted == 1
        assert trade_ids(lk) == ["t1"]


def test_a_bot_that_starts_while_its_log_is_drained_waits_for_that(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        lk.write("trades", trade(1))
    inside, go = Event(), Event()

    def step(name: str) -> None:
        inside.set()
        assert go.wait(60)

    with lake.open(tmp_path) as job, ThreadPoolExecutor(2) as pool:
        drain = pool.submit(job.drain, every_writer=True, step=step)
        assert inside.wait(60)
        start = pool.submit(lake.open, tmp_path, bot_id="b1")
        with pytest.raises(TimeoutError):
            start.result(0.2)
        go.set()
        assert drain.result().landed.inserted == 1
        with start.result() as bot:
            bot.write("trades", trade(2))
            assert trade_ids(bot) == ["t1", "t2"]


def test_a_live_writers_log_is_drained_beside_it(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as bot, lake.open(tmp_path) as job:
        for number in range(5):
            bot.write("trades", trade(number))
        job.drain(every_writer=True)
        assert rows_in_hot(tmp_path) == 0
        bot.write("trades", trade(2, pnl=9.0))
        assert trade_ids(bot) == [f"t{n}" for n in range(5)]
        job.drain(every_writer=True)
        assert bot.read("trades", {"trade_id": "t2"})["pnl"].to_list() == [9.0]


def test_open_rows_stay_at_hand_after_a_drain_until_they_are_closed(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        lk.write("trades", trade(1, status="open"))
        lk.write("trades", trade(2))
        lk.drain()
    with lake.open(tmp_path, bot_id="b1") as lk:
        current = lk.writer.hot().current
        ds = lake.spec.registry.get("trades")
        assert [row["trade_id"] for row in current.open_rows(ds)] == ["t1"]
        assert trade_ids(lk) == ["t1", "t2"]
        assert lk.write("trades", trade(1, status="closed")).updated == 1
        lk.drain()
    with lake.open(tmp_path, bot_id="b1") as lk:
        assert lk.writer.hot().current.open_rows(ds) == []
        assert lk.read("trades")["status"].to_list() == ["closed", "closed"]


def test_readers_see_every_acknowledged_row_once_while_it_is_written_and_drained(tmp_path: Path) -> None:
    acknowledged = 0
    done = Event()

    def write(lk: lake.Lake) -> None:
        nonlocal acknowledged
        try:
            for number in range(200):
                with lk.transaction():
                    lk.write("trades", trade(number))
                    lk.write("decisions", {"decision_id": f"t{number}", "symbol": "BTCUSDT"})
                acknowledged += 1
        finally:
            done.set()

    def drain(lk: lake.Lake) -> int:
        moved = 0
        while not done.is_set():
            moved += lk.drain(every_writer=True).entries.get("trades", 0)
        return moved

    def read(lk: lake.Lake) -> int:
        reads = highest = 0
        while not done.is_set():
            before = acknowledged
            rows = lk.sql(
                "SELECT 'trade', trade_id FROM trades UNION ALL SELECT 'decision', decision_id FROM decisions"
            ).fetchall()
            trades = [name for kind, name in rows if kind == "trade"]
            decisions = [name for kind, name in rows if kind == "decision"]
            assert len(set(trades)) == len(trades) >= max(before, highest)
            assert set(trades) == set(decisions), "half a transaction"
            highest, reads = len(trades), reads + 1
        return reads

    with (
        lake.open(tmp_path, bot_id="b1") as bot,
        lake.open(tmp_path) as second,
        lake.open(tmp_path) as third,
        ThreadPoolExecutor(4) as pool,
    ):
        work = [pool.submit(write, bot), pool.submit(drain, second), pool.submit(read, bot), pool.submit(read, third)]
        moved, *reads = [w.result() for w in work][1:]
        assert moved > 0
        assert min(reads) > 0
        assert len(trade_ids(third)) == 200


def test_a_relation_keeps_the_moment_at_which_it_was_made(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        lk.write("trades", trade(1))
        relation = lk.sql("SELECT trade_id FROM trades")
        lk.write("trades", trade(2))
        lk.drain()
        assert relation.fetchall() == [("t1",)]


def test_a_reader_that_looks_now_at_one_dataset_and_now_at_another_sees_all(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        for number in range(60):
            lk.write("trades", trade(number))
            if number % 3 == 0:
                assert len(trade_ids(lk)) == number + 1
            else:
                assert lk.read("decisions").is_empty()
