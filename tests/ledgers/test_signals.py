"""Signals: recorded once, remembered as long as it matters, and why they were not traded."""

from __future__ import annotations

import asyncio
import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest

import lake
from lake.errors import InvalidRowError, LifeCycleError, UnknownRowError, UsageError
from tests.helpers import finished, spawned

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SIGNAL = {"symbol": "BTC/USDT", "timeframe": "1h", "direction": "LONG", "entry_price": 100.0, "signal_time": NOON}


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake", bot_id="tester") as opened:
        yield opened


def repeats(lk: lake.Lake, price: float = 100.0, at: datetime = NOON, **more: Any) -> bool:
    return lk.signals.is_duplicate("BTCUSDT", "1h", "LONG", price, at=at, **more)


@pytest.mark.parametrize(
    ("given", "kind", "direction"),
    [
        ({"signal_type": "BUY"}, "BUY", "LONG"),
        ({"signal_type": "SELL"}, "SELL", "SHORT"),
        ({"direction": "LONG"}, "BUY", "LONG"),
        ({"direction": "short"}, "SELL", "SHORT"),
        ({"signal_type": "HOLD"}, "HOLD", None),
        ({"signal_type": "SELL", "direction": "SHORT"}, "SELL", "SHORT"),
    ],
)
def test_type_and_direction_stand_for_each_other(
    lk: lake.Lake, given: dict[str, str], kind: str, direction: str | None
) -> None:
    row = lk.signals.get(lk.signals.record(given, symbol="BTCUSDT").id)
    assert row is not None
    assert (row["signal_type"], row["direction"], row["bot_id"]) == (kind, direction, "tester")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"signal_type": "BUY", "direction": "SHORT"}, "a BUY signal is LONG"),
        ({"signal_type": "SELL", "direction": "LONG"}, "a SELL signal is SHORT"),
        ({"action": "EXECUTED", "rejection_reason": "spread"}, "an executed signal has no reason"),
        ({"action": "MAYBE"}, "not one of its values"),
        ({"strength": 101}, "out of range"),
    ],
)
def test_what_contradicts_itself_is_refused_and_nothing_is_written(
    lk: lake.Lake, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRowError, match=message):
        lk.signals.record(given, symbol="BTCUSDT")
    assert lk.read("signals").is_empty()


@pytest.mark.parametrize(
    ("price", "at", "more", "expected"),
    [
        (100.0, NOON, {}, True),
        (100.49, NOON, {}, True),
        (99.51, NOON + timedelta(hours=11, minutes=59), {}, True),
        (100.5, NOON, {}, False),
        (99.5, NOON, {}, False),
        (100.9, NOON, {"min_price_difference": 1.0}, True),
        (100.0, NOON + timedelta(hours=12), {}, False),
        (100.0, NOON - timedelta(hours=13), {}, False),
        (100.0, NOON + timedelta(hours=3), {"keep_hours": 2}, False),
        (100.0, NOON, {"venue": "binance"}, False),
    ],
)
@pytest.mark.parametrize("settled", [False, True])
def test_a_signal_repeats_one_of_its_day_at_nearly_its_price(
    lk: lake.Lake, price: float, at: datetime, more: dict[str, Any], expected: bool, settled: bool
) -> None:
    lk.signals.record(SIGNAL)
    if settled:
        lk.drain()
    assert repeats(lk, price, at, **more) is expected
    assert not lk.signals.is_duplicate("BTCUSDT", "1h", "SHORT", 100.0, at=NOON)
    assert not lk.signals.is_duplicate("BTCUSDT", "4h", "LONG", 100.0, at=NOON)
    assert not lk.signals.is_duplicate("ETHUSDT", "1h", "LONG", 100.0, at=NOON)


@pytest.mark.parametrize(
    ("first", "second"), [(55270.54, 55546.8927), (19535.0, 19437.325), (53977.5, 54247.3875), (1.1, 1.1055)]
)
def test_a_price_that_differs_by_the_very_minimum_is_another_signal(lk: lake.Lake, first: float, second: float) -> None:
    lk.signals.record({**SIGNAL, "entry_price": first})
    assert not repeats(lk, second)
    assert repeats(lk, first + (second - first) * 0.9999)


@pytest.mark.parametrize("how", ["trade of the signal", "signal of the trade", "position"])
def test_a_signal_is_remembered_while_its_trade_or_position_is_open_however_old(tmp_path: Path, how: str) -> None:
    old = NOON - timedelta(days=90)
    with lake.open(tmp_path, bot_id="a") as lk:
        lk.signals.record(
            SIGNAL, signal_id="s", signal_time=old, trade_id="t" if how == "signal of the trade" else None
        )
        trade = {"symbol": "BTCUSDT", "side": "LONG", "quantity": 1.0, "entry_price": 100.0, "created_at": old}
        assert not repeats(lk)
        if how == "position":
            lk.write("positions", {"position_id": "t", "symbol": "BTCUSDT", "signal_id": "s", "opened_at": old})
        else:
            lk.trades.open(trade, trade_id="t", signal_id="s" if how == "trade of the signal" else None)
        assert repeats(lk)
        lk.drain()
        assert repeats(lk)
    with lake.open(tmp_path, bot_id="a") as lk:
        assert repeats(lk)
        assert not repeats(lk, 101.0)
        if how == "position":
            lk.patch("positions", "t", {"status": "closed"})
        else:
            lk.trades.close("t", 101.0)
        assert not repeats(lk)


def test_signals_of_other_processes_and_bots_are_seen_once_acknowledged(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="a") as lk:
        assert not repeats(lk)
        code = (
            "import sys, lake\n"
            "with lake.open(sys.argv[1], bot_id='b') as lk:\n"
            "    lk.signals.record(symbol='BTCUSDT', timeframe='1h', direction='LONG', entry_price=100.0,"
            " signal_time='2026-03-01T12:00:00Z')\n"
            "    if sys.argv[2] == 'settle': lk.drain()\n"
        )
        for how in ("leave", "settle"):
            subprocess.run([sys.executable, "-c", code, str(tmp_path), how], check=True)
            assert repeats(lk)
    assert lake.open(tmp_path, bot_id="a").signals.is_duplicate("BTCUSDT", "1h", "BUY", 100.0, at=NOON)


def test_a_duplicate_is_not_written_and_its_receipt_names_the_first(lk: lake.Lake) -> None:
    first = lk.signals.record(SIGNAL, unless_duplicate=True)
    again = lk.signals.record(SIGNAL, entry_price=100.2, unless_duplicate=True)
    assert (first.inserted, again.inserted, again.unchanged, again.id) == (1, 0, 1, first.id)
    other = lk.signals.record(SIGNAL, entry_price=100.6, unless_duplicate=True)
    assert (other.inserted, lk.read("signals").height) == (1, 2)
    lk.signals.record(SIGNAL, entry_price=102.0, action="IGNORED", rejection_reason="duplicate")
    assert not repeats(lk, 102.0)


def test_of_threads_with_the_same_signal_exactly_one_records_it(lk: lake.Lake) -> None:
    start, receipts = Barrier(8), []

    def give(number: int) -> None:
        start.wait()
        for price in (100.0, 110.0, 120.0):
            if number % 2:
                with lk.transaction():
                    receipts.append(lk.signals.record(SIGNAL, entry_price=price, unless_duplicate=True))
            else:
                receipts.append(lk.signals.record(SIGNAL, entry_price=price, unless_duplicate=True))

    threads = [Thread(target=give, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(r.inserted for r in receipts) == 3
    assert sorted(lk.read("signals")["entry_price"].to_list()) == [100.0, 110.0, 120.0]


def _record_the_same(path: str, bot: str, start: Any, inserted: Any) -> None:
    with lake.open(path, bot_id=bot) as lk:
        repeats(lk)
        for number in range(20):
            start.wait(60)
            receipt = lk.signals.record(SIGNAL, symbol=f"S{number}USDT", unless_duplicate=True)
            with inserted.get_lock():
                inserted.value += receipt.inserted


def test_of_processes_with_the_same_signal_exactly_one_records_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, inserted = context.Barrier(3), context.Value("i", 0)
    with lake.open(tmp_path, bot_id="a") as lk:
        finished(*(spawned(_record_the_same, str(tmp_path), f"b{n}", start, inserted) for n in range(3)))
        assert inserted.value == 20
        assert lk.frame("SELECT count(*), count(DISTINCT symbol) FROM signals").row(0) == (20, 20)


def _trade_the_same(path: str, bot: str, start: Any, traded: Any) -> None:
    with lake.open(path, bot_id=bot) as lk:
        for number in range(20):
            start.wait(60)
            try:
                with lk.transaction():
                    signal = lk.signals.record(SIGNAL, symbol=f"S{number}USDT", unless_duplicate=True)
                    if signal.inserted:
                        lk.trades.open(symbol=f"S{number}", side="LONG", quantity=1, entry_price=1, signal_id=signal.id)
            except LifeCycleError:
                continue
            with traded.get_lock():
                traded.value += signal.inserted


async def _trade_as_tasks(path: str, bot: str, start: Any, traded: Any) -> None:
    async with await lake.open_async(path, bot) as alk:
        for number in range(20):
            await asyncio.to_thread(start.wait, 60)
            try:
                async with alk.transaction():
                    signal = await alk.signals.record(SIGNAL, symbol=f"S{number}USDT", unless_duplicate=True)
                    if signal.inserted:
                        bought = {"side": "LONG", "quantity": 1, "entry_price": 1, "signal_id": signal.id}
                        await alk.trades.open(symbol=f"S{number}", **bought)
            except LifeCycleError:
                continue
            with traded.get_lock():
                traded.value += signal.inserted


def _trade_the_same_as_tasks(path: str, bot: str, start: Any, traded: Any) -> None:
    asyncio.run(_trade_as_tasks(path, bot, start, traded))


def test_of_processes_that_trade_the_same_signal_in_a_transaction_exactly_one_does(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, traded = context.Barrier(3), context.Value("i", 0)
    works = [_trade_the_same, _trade_the_same, _trade_the_same_as_tasks]
    finished(*(spawned(work, str(tmp_path), f"b{n}", start, traded) for n, work in enumerate(works)))
    with lake.open(tmp_path) as lk:
        assert traded.value == 20
        assert lk.frame("SELECT count(*), count(DISTINCT symbol) FROM signals").row(0) == (20, 20)
        assert lk.frame("SELECT count(*) FROM trades").item() == 20


def test_a_signal_that_another_process_records_during_a_transaction_undoes_it_and_may_be_recorded_again(
    tmp_path: Path,
) -> None:
    with lake.open(tmp_path, bot_id="one") as one:
        with pytest.raises(LifeCycleError, match="another process"):
            _record_while_another_does(one, tmp_path)
        again = one.signals.record(SIGNAL, unless_duplicate=True)
        assert (again.unchanged, again.id) == (1, one.frame("SELECT signal_id FROM signals").item())
        with one.transaction():
            assert one.signals.record(SIGNAL, entry_price=200.0, unless_duplicate=True).inserted == 1
        assert one.frame("SELECT count(*) FROM signals").item() == 2


def _record_while_another_does(lk: lake.Lake, path: Path) -> None:
    with lk.transaction():
        assert lk.signals.record(SIGNAL, unless_duplicate=True).inserted == 1
        finished(spawned(_record_once, str(path), "two"))


def _record_once(path: str, bot: str) -> None:
    with lake.open(path, bot_id=bot) as lk:
        assert lk.signals.record(SIGNAL, unless_duplicate=True).inserted == 1


def test_a_bot_may_keep_its_signal_that_repeats_another_bots(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="a") as one, lake.open(tmp_path, bot_id="b") as two:
        first = one.signals.record(SIGNAL, strategy="trend", unless_duplicate=True)
        for _ in range(2):
            given = {"signal_id": "own", "strategy": "range", "action": "EXECUTED"}
            again = two.signals.record(SIGNAL, **given, unless_duplicate=True, keep_duplicate=True)
            assert (again.inserted, again.unchanged, again.id) == (0, 1, first.id)
        kept = two.frame("SELECT bot_id, strategy, action, rejection_reason FROM signals WHERE signal_id = 'own'")
        assert kept.rows() == [("b", "range", "IGNORED", "duplicate")]


def test_a_signal_that_is_rolled_back_was_never_given(lk: lake.Lake) -> None:
    def fail() -> None:
        with lk.transaction():
            lk.signals.record(SIGNAL, unless_duplicate=True)
            assert lk.signals.record(SIGNAL, unless_duplicate=True).unchanged == 1
            lk.write("signals", {"symbol": "BTCUSDT", "signal_type": "MAYBE"})

    try:
        fail()
    except InvalidRowError:
        assert not repeats(lk)
        assert lk.signals.record(SIGNAL, unless_duplicate=True).inserted == 1
    assert lk.read("signals").height == 1


def _close_while_another_thread_does(lk: lake.Lake) -> None:
    with lk.transaction():
        assert lk.signals.record(SIGNAL, unless_duplicate=True).inserted == 1
        lk.trades.close("t", 2.0)
        other = Thread(target=lk.trades.close, args=("t", 3.0))
        other.start()
        other.join()


def test_a_signal_whose_transaction_fails_at_its_end_was_never_given(lk: lake.Lake) -> None:
    lk.trades.open(trade_id="t", symbol="BTCUSDT", side="LONG", quantity=1, entry_price=1)
    with pytest.raises(LifeCycleError, match="cannot be closed") as kept:  # with the transaction in its traceback
        _close_while_another_thread_does(lk)
    assert not repeats(lk)
    assert lk.signals.record(SIGNAL, unless_duplicate=True).inserted == 1
    assert kept.value.todo


def test_tasks_with_the_same_signal_record_it_once(tmp_path: Path) -> None:
    async def day() -> tuple[int, bool]:
        async with await lake.open_async(tmp_path) as alk:
            receipts = await asyncio.gather(*(alk.signals.record(SIGNAL, unless_duplicate=True) for _ in range(10)))
            return sum(r.inserted for r in receipts), await alk.signals.is_duplicate(
                "BTCUSDT", "1h", "LONG", 100.0, at=NOON
            )

    assert asyncio.run(day()) == (1, True)


def test_why_a_signal_was_not_traded_is_one_question(lk: lake.Lake) -> None:
    lk.signals.record(SIGNAL, signal_id="low", rejection_reason="low score")
    lk.signals.record(SIGNAL, signal_id="ignored", action="IGNORED", signal_time=NOON + timedelta(minutes=1))
    lk.phantoms.record(signal_id="ignored", side="LONG", was_executed=False, reject_reason="regime")
    lk.signals.record(SIGNAL, signal_id="done", action="EXECUTED")
    lk.signals.record(SIGNAL, signal_id="traded")
    lk.trades.open(symbol="BTCUSDT", side="LONG", quantity=1.0, entry_price=100.0, signal_id="traded")
    lk.signals.record(
        SIGNAL, signal_id="eth", symbol="ETHUSDT", action="REJECTED", signal_time=NOON + timedelta(days=1)
    )
    rows = lk.signals.not_traded().select("signal_id", "action", "reason").rows()
    assert rows == [("low", "REJECTED", "low score"), ("ignored", "IGNORED", "regime"), ("eth", "REJECTED", None)]
    assert lk.signals.not_traded(day="2026-03-01")["signal_id"].to_list() == ["low", "ignored"]
    assert lk.signals.not_traded(symbol="eth/usdt")["signal_id"].to_list() == ["eth"]
    assert (lk.signals.why("low"), lk.signals.why("ignored"), lk.signals.why("done")) == ("low score", "regime", None)
    with pytest.raises(UnknownRowError, match="'s9'"):
        lk.signals.why("s9")


def test_options_that_make_no_sense_are_refused(lk: lake.Lake) -> None:
    with pytest.raises(UsageError, match="at least 0"):
        repeats(lk, min_price_difference=-1)
    with pytest.raises(UsageError, match="no such option"):
        repeats(lk, hours=3)
    with pytest.raises(InvalidRowError, match="not one of its values"):
        lk.signals.is_duplicate("BTCUSDT", "1h", "UP", 1.0)
    with pytest.raises(UsageError, match="a day is a date"):
        lk.signals.not_traded(day="yesterday")


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        (("BTCUSDT", "1h", None, 100.0), "direction"),
        (("BTCUSDT", None, "LONG", 100.0), "timeframe"),
        (("BTCUSDT", "1h", "LONG", float("nan")), "entry_price"),
        (("BTCUSDT", "1h", "LONG", None), "entry_price"),
        (("BTCUSDT", "1h", "LONG", 0.0), "entry_price"),
    ],
)
def test_whether_half_a_signal_was_given_is_no_question(lk: lake.Lake, asked: tuple[Any, ...], where: str) -> None:
    lk.signals.record(SIGNAL)
    with pytest.raises(InvalidRowError, match=rf"signals\.{where}"):
        lk.signals.is_duplicate(*asked, at=NOON)


def test_a_patch_leaves_no_signal_that_contradicts_itself(lk: lake.Lake) -> None:
    lk.signals.record(SIGNAL, signal_id="s", rejection_reason="spread")
    for changes in ({"action": "EXECUTED"}, {"direction": "SHORT"}, {"signal_type": "SELL"}):
        with pytest.raises(InvalidRowError, match=r"executed signal has no reason.*reason=None|a (BUY|SELL) signal is"):
            lk.signals.patch("s", **changes)
    assert lk.signals.patch("s", action="EXECUTED", rejection_reason=None, mood="calm").updated == 1
    row = lk.signals.get("s")
    assert row is not None
    assert (row["action"], row["rejection_reason"], row["extra"]) == ("EXECUTED", None, '{"mood":"calm"}')
    lk.signals.patch("s", direction="SHORT", signal_type="SELL")
    row = lk.signals.get("s")
    assert row is not None
    assert row["dedupe_key"] == "|BTCUSDT|1h|SHORT|2026-03-01"
    assert lk.signals.patch("s", action="EXECUTED").unchanged == 1
    lk.signals.patch("s", direction=None, signal_type="HOLD")
    row = lk.signals.get("s")
    assert row is not None
    assert (row["direction"], row["signal_type"], row["dedupe_key"]) == (None, "HOLD", None)
    lk.signals.record(symbol="BTCUSDT", signal_id="own", dedupe_key="mine")
    lk.signals.patch("own", strength=5.0)
    assert lk.frame("SELECT dedupe_key FROM signals WHERE signal_id = 'own'").item() == "mine"
    with pytest.raises(UnknownRowError, match="'s9'"):
        lk.signals.patch("s9", action="EXECUTED")


@pytest.mark.parametrize("settled", [False, True])
def test_a_transaction_adds_to_a_known_signal_though_another_one_is_like_it(lk: lake.Lake, settled: bool) -> None:
    for name in ("first", "second"):
        lk.signals.record(SIGNAL, signal_id=name)
    if settled:
        lk.drain()
    with lk.transaction():
        assert lk.signals.record(SIGNAL, signal_id="first", strength=0.5, unless_duplicate=True).updated == 1
    found = lk.signals.get("first")
    assert found is not None
    assert found["strength"] == 0.5


def test_recording_a_signal_again_adds_what_is_new(lk: lake.Lake) -> None:
    lk.signals.record(SIGNAL, signal_id="s")
    assert lk.signals.record(SIGNAL, signal_id="s").unchanged == 1
    assert lk.signals.record(SIGNAL, signal_id="s", rejection_reason="spread", unless_duplicate=True).updated == 1
    row = lk.signals.get("s")
    assert row is not None
    assert (row["action"], row["dedupe_key"]) == ("REJECTED", "|BTCUSDT|1h|LONG|2026-03-01")
    assert lk.signals.record({**SIGNAL, "rejection_reason": None, "action": None, "entry_price": None}, signal_id="s")
    assert lk.signals.get("s") == row
