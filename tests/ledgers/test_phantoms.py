"""Phantoms on a lake: recorded, followed along candles and prices, ended, restored after a crash."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import lake
from lake.errors import InvalidRowError, LifeCycleError, UnknownRowError, UsageError
from lake.store.hot.log import HotLog
from tests.phantom_oracle import Oracle

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
T0 = int(NOON.timestamp()) * 1_000_000
MINUTE = 60_000_000
LONG = {"symbol": "BTC/USDT", "side": "LONG", "entry_price": 100.0, "stop_loss": 98.0, "tp1": 102.0, "tp2": 104.0}
KEYS = ("status", "outcome", "exit_reason", "exit_price", "tp1_hit", "tp2_hit", "tp3_hit", "be_moved", "one_r_hit")
KEYS += ("two_r_hit", "realized_rr", "pnl_percent", "time_to_tp1_sec", "time_to_exit_sec", "max_favorable")
KEYS += ("max_adverse", "ambiguous")


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake", bot_id="tester") as opened:
        yield opened


def phantom(lk: lake.Lake, name: str = "p", **fields: Any) -> str:
    return lk.phantoms.record(LONG, phantom_id=name, signal_time=NOON, **fields).id


def candle(number: int, opened: float, high: float, low: float, close: float) -> dict[str, Any]:
    start = NOON + timedelta(minutes=number)
    return {"open_time": start, "open": opened, "high": high, "low": low, "close": close, "timeframe": "1m"}


def shown(row: dict[str, Any] | None) -> dict[str, Any]:
    assert row is not None
    return {name: row[name] for name in KEYS}


def now(lk: lake.Lake, name: str = "p") -> dict[str, Any]:
    live = {row["phantom_id"]: row for row in lk.phantoms.active()}
    return shown(live.get(name) or lk.phantoms.get(name))


def extremes(lk: lake.Lake) -> tuple[float, float]:
    return now(lk)["max_favorable"], now(lk)["max_adverse"]


def market(seed: int, symbols: list[str], minutes: int) -> list[dict[str, dict[str, Any]]]:
    chance, prices, frames = random.Random(seed), dict.fromkeys(symbols, 100.0), []
    for number in range(minutes):
        frame = {}
        for symbol in symbols:
            opened = prices[symbol]
            prices[symbol] = close = round(opened * (1 + chance.gauss(0, 0.004)), 2)
            high, low = max(opened, close) + chance.random() * 0.3, min(opened, close) - chance.random() * 0.3
            frame[symbol] = candle(number, opened, high, low, close)
        frames.append(frame)
    return frames


def many(lk: lake.Lake, seed: int, symbols: list[str], count: int) -> dict[str, Oracle]:
    chance, oracles = random.Random(seed), {}
    for number in range(count):
        way = chance.choice([1, -1])
        levels = {n: 100.0 + way * d for n, d in zip(("stop_loss", "tp1", "tp2", "tp3"), (-1, 1, 2, 3), strict=True)}
        row = {
            "phantom_id": f"p{number}",
            "symbol": chance.choice(symbols),
            "side": "LONG" if way > 0 else "SHORT",
            "entry_price": 100.0,
            "signal_time": T0 + chance.randrange(5 * MINUTE),
            "timeout_at": T0 + 50 * MINUTE,
            **dict(list(levels.items())[: chance.randrange(1, 5)]),
        }
        lk.phantoms.record(row)
        oracles[f"p{number}"] = Oracle(row)
        oracles[f"p{number}"].symbol = row["symbol"]  # type: ignore[attr-defined]
    return oracles


def tell(oracles: dict[str, Oracle], frame: dict[str, dict[str, Any]]) -> None:
    for oracle in oracles.values():
        bar = frame.get(oracle.symbol)  # type: ignore[attr-defined]
        if bar is not None:
            start = int(bar["open_time"].timestamp()) * 1_000_000
            oracle.bar(start, start + MINUTE, *(bar[name] for name in ("open", "high", "low", "close")))


def compare(lk: lake.Lake, oracles: dict[str, Oracle]) -> None:
    live = {row["phantom_id"]: row for row in lk.phantoms.active()}
    stored = {row["phantom_id"]: row for row in lk.read("phantoms").iter_rows(named=True)}
    for name, oracle in oracles.items():
        found, expected = shown(live.get(name) or stored[name]), oracle.columns()
        assert found == pytest.approx({key: expected.get(key) for key in KEYS}), name


def test_a_phantom_lives_from_its_signal_to_its_last_target(lk: lake.Lake) -> None:
    phantom(lk, features={"rsi": 61}, was_executed=False, reject_reason="low score")
    row = lk.phantoms.get("p")
    assert row is not None
    assert (row["status"], row["timeout_at"], row["bot_id"]) == ("active", NOON + timedelta(hours=36), "tester")
    assert lk.phantoms.update("BTCUSDT", candle(0, 101, 102.5, 100.5, 102)).updated == 1
    assert now(lk)["be_moved"] is True
    lk.phantoms.update("btc_usdt", 104.2, at=NOON + timedelta(minutes=2))
    row = lk.phantoms.get("p")
    assert row is not None
    assert (row["outcome"], row["exit_price"], row["exit_reason"]) == ("win", 104.2, "tp2")
    assert (row["exit_time"], row["time_to_tp1_sec"]) == (NOON + timedelta(minutes=2), 60.0)
    assert lk.phantoms.active() == []
    assert lk.phantoms.update("BTCUSDT", 50.0).updated == 0


def test_a_new_best_or_worst_price_is_there_at_once_and_for_sql_after_a_checkpoint(lk: lake.Lake) -> None:
    phantom(lk)
    assert lk.phantoms.update("BTCUSDT", candle(0, 100, 101.5, 99, 101)).updated == 1
    assert lk.phantoms.update("BTCUSDT", candle(0, 100, 101.9, 98.5, 101)).landed == 0
    assert lk.phantoms.update("BTCUSDT", candle(1, 101, 101.2, 100, 101)).unchanged == 1
    assert (now(lk)["max_favorable"], now(lk)["max_adverse"]) == (101.5, 99.0)
    assert lk.phantoms.checkpoint() == 1
    assert lk.frame("SELECT max_favorable, max_adverse FROM phantoms").rows() == [(101.5, 99.0)]
    assert lk.phantoms.checkpoint() == 0


@pytest.mark.parametrize("seed", range(4))
def test_many_phantoms_live_as_the_oracle_says_through_drains_and_restarts(tmp_path: Path, seed: int) -> None:
    symbols = ["AUSDT", "BUSDT", "CUSDT"]
    lk = lake.open(tmp_path, bot_id="a")
    oracles = many(lk, seed, symbols, 40)
    for number, frame in enumerate(market(seed, symbols, 60)):
        if number % 3:
            lk.phantoms.update_all(frame)
        elif number % 2:
            rows = [{"symbol": symbol, **bar} for symbol, bar in frame.items()]
            lk.phantoms.update_frame(pl.DataFrame(rows))
        else:
            with lk.transaction():
                for symbol, bar in frame.items():
                    lk.phantoms.update(symbol, bar)
        tell(oracles, frame)
        if number % 15 == 7:
            lk.drain()
        if number % 15 == 11:
            lk.close()
            lk = lake.open(tmp_path, bot_id="a")
        if number % 10 == 5:
            compare(lk, oracles)
    compare(lk, oracles)
    assert lk.phantoms.active() == []
    lk.close()


_VICTIM = """
import json, os, sys
import lake
from tests.ledgers.test_phantoms import many, market
lk = lake.open(sys.argv[1], bot_id="a")
symbols = ["AUSDT", "BUSDT"]
many(lk, 5, symbols, 30)
for number, frame in enumerate(market(5, symbols, 25)):
    lk.phantoms.update_all(frame)
    os.write(1, b"done\\n")
    if number == int(sys.argv[2]):
        os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("last", [3, 20])
def test_active_phantoms_are_exactly_as_they_were_after_a_kill(tmp_path: Path, last: int) -> None:
    made = subprocess.run(
        [sys.executable, "-c", _VICTIM, str(tmp_path / "l"), str(last)], capture_output=True, check=False
    )
    assert (made.returncode, made.stdout.count(b"done")) == (-signal.SIGKILL, last + 1), made.stderr.decode()
    symbols = ["AUSDT", "BUSDT"]
    with lake.open(tmp_path / "other", bot_id="a") as scratch:
        oracles = many(scratch, 5, symbols, 30)
    frames = market(5, symbols, 60)
    for frame in frames[: last + 1]:
        tell(oracles, frame)
    with lake.open(tmp_path / "l", bot_id="a") as lk:
        compare(lk, oracles)
        for frame in frames[last:]:  # the last one again, as a bot does that does not know whether it was taken
            lk.phantoms.update_all(frame)
        for frame in frames[last + 1 :]:
            tell(oracles, frame)
        compare(lk, oracles)


def test_a_phantom_recorded_after_its_candles_is_not_past_them_after_a_restart(tmp_path: Path) -> None:
    bars = [candle(0, 100, 101, 99, 100), candle(1, 100, 100, 97, 98), candle(2, 98, 99, 97, 98)]
    with lake.open(tmp_path, bot_id="a") as lk:
        lk.phantoms.record(LONG, phantom_id="first", signal_time=NOON, stop_loss=50.0)
        for bar in bars:
            lk.phantoms.update("BTCUSDT", bar)
        phantom(lk, "late")
    with lake.open(tmp_path, bot_id="a") as lk:
        assert now(lk, "first")["max_adverse"] == 97.0
        lk.candles.write([{"symbol": "BTCUSDT", "volume": 1.0, **bar} for bar in bars], "1m")
        lk.phantoms.follow()
        assert (now(lk, "late")["outcome"], now(lk, "first")["status"]) == ("loss", "active")


@pytest.mark.parametrize("how", ["patch", "raw patch", "again"])
def test_a_phantom_whose_stop_was_moved_has_its_best_and_worst_price_after_a_restart(tmp_path: Path, how: str) -> None:
    with lake.open(tmp_path, bot_id="a") as lk:
        phantom(lk, tp1=150.0, tp2=200.0, timeout_hours=None)
        for number, price in enumerate((98.5, 120.0), 1):
            lk.phantoms.update("BTCUSDT", price, at=NOON + timedelta(minutes=number))
    with lake.open(tmp_path, bot_id="a") as lk:  # moved before it is followed again
        if how == "again":
            phantom(lk, tp1=150.0, tp2=200.0, stop_loss=99.0)
        elif how == "raw patch":
            lk.patch("phantoms", {"phantom_id": "p"}, {"stop_loss": 99.0})
        else:
            lk.phantoms.patch("p", stop_loss=99.0)
        lk.phantoms.update("BTCUSDT", 130.0, at=NOON + timedelta(minutes=3))
        assert lk.phantoms.patch("p", stop_loss=99.0).unchanged == 1
        before = now(lk)
    with lake.open(tmp_path, bot_id="a") as lk:
        assert now(lk) == before
        assert (before["status"], before["max_favorable"], before["max_adverse"]) == ("active", 130.0, 98.5)


def test_a_phantom_recorded_after_its_first_prices_is_exactly_as_it_was_after_a_restart(tmp_path: Path) -> None:
    levels = {"tp1": 500.0, "tp2": None}
    with lake.open(tmp_path, bot_id="a") as lk:
        phantom(lk, "first", stop_loss=50.0, **levels)
        lk.phantoms.update("BTCUSDT", 97.0, at=NOON + timedelta(seconds=1))
        phantom(lk, "late", **levels)  # its stop would have been reached
        phantom(lk, "later", stop_loss=90.0, **levels)
        for second, price in ((2, 120.0), (3, 99.0)):
            lk.phantoms.update("BTCUSDT", price, at=NOON + timedelta(seconds=second))
        before = [now(lk, name) for name in ("first", "late", "later")]
    assert [(row["max_adverse"], row["max_favorable"], row["one_r_hit"]) for row in before] == [
        (97.0, 120.0, False), (99.0, 120.0, True), (99.0, 120.0, True),
    ]  # fmt: skip
    with lake.open(tmp_path, bot_id="a") as lk:
        assert [now(lk, name) for name in ("first", "late", "later")] == before
        phantom(lk, "last", stop_loss=99.5, **levels)
    for price in (130.0, 110.0):  # also where a restart came between
        with lake.open(tmp_path, bot_id="a") as lk:
            lk.phantoms.update("BTCUSDT", price, at=NOON + timedelta(seconds=4))
            assert [now(lk, name)["max_favorable"] for name in ("first", "late", "later", "last")] == [130.0] * 4


@pytest.mark.parametrize("settled", [False, True])
def test_a_phantom_recorded_after_its_first_prices_is_exactly_as_it_was_when_no_price_came_before_the_kill(
    tmp_path: Path, *, settled: bool
) -> None:
    with lake.open(tmp_path, bot_id="a") as lk:
        phantom(lk, "first", stop_loss=50.0)
        lk.phantoms.update("BTCUSDT", 97.0, at=NOON + timedelta(seconds=1))
        phantom(lk, "late", stop_loss=90.0)
        lk.phantoms.patch("late", regime="calm")
        before = [now(lk, name) for name in ("first", "late")]
        if settled:
            lk.drain()
    assert [row["max_adverse"] for row in before] == [97.0, 100.0]
    for _ in range(2):
        with lake.open(tmp_path, bot_id="a") as lk:
            assert [now(lk, name) for name in ("first", "late")] == before
    with lake.open(tmp_path, bot_id="a") as lk:
        lk.phantoms.update("BTCUSDT", 95.0, at=NOON + timedelta(seconds=2))
        lk.patch("phantoms", "late", {"ml_score": 1.0})
        before = [now(lk, name) for name in ("first", "late")]
    assert [row["max_adverse"] for row in before] == [95.0, 95.0]
    with lake.open(tmp_path, bot_id="a") as lk:
        assert [now(lk, name) for name in ("first", "late")] == before


def test_a_phantom_that_is_written_over_while_it_runs_is_exactly_as_it_was_after_a_restart(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="a") as lk:
        phantom(lk, stop_loss=50.0, timeout_hours=None)
        lk.phantoms.update("BTCUSDT", 97.0, at=NOON + timedelta(seconds=1))
        lk.write("phantoms", {**LONG, "stop_loss": 60.0, "phantom_id": "p", "signal_time": NOON})
        lk.phantoms.update("BTCUSDT", 101.0, at=NOON + timedelta(seconds=2))
        before = now(lk)
    assert (before["max_adverse"], before["max_favorable"]) == (97.0, 101.0)
    with lake.open(tmp_path, bot_id="a") as lk:
        assert now(lk) == before


def test_prices_pass_a_phantom_that_another_thread_records_from_when_it_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lake.open(tmp_path, bot_id="a") as lk:
        phantom(lk, "first", stop_loss=50.0)
        number = HotLog._number

        def slow(self: HotLog, group: Any) -> Any:
            lk.phantoms.update("BTCUSDT", 97.0, at=NOON + timedelta(seconds=1))
            return number(self, group)

        monkeypatch.setattr(HotLog, "_number", slow)
        phantom(lk, "second", stop_loss=50.0)
        monkeypatch.undo()
        before = [now(lk, name) for name in ("first", "second")]
        assert [row["max_adverse"] for row in before] == [97.0, 100.0]
    with lake.open(tmp_path, bot_id="a") as lk:
        assert [now(lk, name) for name in ("first", "second")] == before


def test_a_phantom_takes_from_its_signal_what_it_does_not_say(lk: lake.Lake) -> None:
    levels = {name: value for name, value in LONG.items() if name != "side"}
    lk.signals.record(levels, signal_id="s", direction="LONG", strategy="trend", signal_time=NOON, indicators={"a": 1})
    lk.signals.patch("s", rejection_reason="low score", action="REJECTED")
    row = lk.phantoms.get(lk.phantoms.record(signal_id="s", tp1=101.0, ml_score=40).id)
    assert row is not None
    assert (row["symbol"], row["side"], row["tp1"], row["tp2"]) == ("BTCUSDT", "LONG", 101.0, 104.0)
    assert (row["was_executed"], row["reject_reason"], row["features"]) == (False, "low score", '{"a":1}')
    assert (row["signal_time"], row["strategy"]) == (NOON, "trend")
    assert lk.phantoms.record(LONG, signal_id="not there yet").inserted == 1


def test_a_phantom_takes_from_a_signal_that_another_bot_has_just_recorded(tmp_path: Path) -> None:
    signal_ = {"symbol": "BTCUSDT", "direction": "LONG", "entry_price": 100.0, "stop_loss": 98.0}
    with lake.open(tmp_path, bot_id="strategy") as strategy, lake.open(tmp_path, bot_id="follower") as follower:
        follower.phantoms.record(LONG)
        strategy.signals.record(signal_, signal_id="s", action="REJECTED", rejection_reason="spread")
        follower.phantoms.record(phantom_id="p", signal_id="s")
        row = follower.phantoms.get("p")
        assert row is not None
        assert (row["entry_price"], row["stop_loss"], row["reject_reason"]) == (100.0, 98.0, "spread")


def test_recording_a_phantom_again_takes_nothing_away(lk: lake.Lake) -> None:
    phantom(lk, strategy="trend", features={"rsi": 61})
    before = lk.phantoms.get("p")
    assert lk.phantoms.record({**LONG, "stop_loss": None, "tp1": None, "strategy": None}, phantom_id="p").unchanged == 1
    assert lk.phantoms.get("p") == before
    assert lk.phantoms.record(LONG, phantom_id="p", features=None, ml_score=70.0).updated == 1
    assert {**(lk.phantoms.get("p") or {}), "changed_inputs": None} == {**(before or {}), "ml_score": 70.0}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"side": None}, r"phantoms\.side"),
        ({"entry_price": None}, r"phantoms\.entry_price"),
        ({"stop_loss": 101.0}, r"stop_loss: on the wrong side of entry_price"),
        ({"stop_loss": 100.0}, r"stop_loss: on the wrong side of entry_price"),
        ({"tp1": 99.0}, "on the wrong side of entry_price"),
        ({"tp2": 101.0}, "on the wrong side of tp1"),
        ({"side": "SHORT"}, r"stop_loss: on the wrong side of entry_price"),
        ({"symbol": None}, "a required value is missing"),
    ],
)
def test_a_phantom_that_cannot_be_followed_is_refused(lk: lake.Lake, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRowError, match=message):
        lk.phantoms.record({**LONG, **fields})
    assert lk.read("phantoms").is_empty()


@pytest.mark.parametrize(
    ("news", "message"),
    [
        ({"open": 1, "high": 1, "low": 1, "close": 1}, "a candle has an open_time"),
        ({"open_time": NOON, "open": 1, "high": 1, "low": 1, "close": 1}, "how long is the candle"),
        (candle(0, 100, 99, 98, 99), "prices that no candle has"),
        (candle(0, 100, 101, float("nan"), 99), "low: a price is a finite number above 0"),
        (float("inf"), "a price is a finite number"),
        (0, "a price is a finite number"),
        ("a hundred", "a price is a finite number"),
    ],
)
def test_what_is_no_price_and_no_candle_changes_nothing(lk: lake.Lake, news: Any, message: str) -> None:
    phantom(lk)
    with pytest.raises(UsageError, match=message):
        lk.phantoms.update("BTCUSDT", news)
    assert now(lk)["status"] == "active"


@pytest.mark.parametrize(
    ("news", "more", "message"),
    [
        (105.0, {"at": timedelta(hours=1)}, "a price of the future"),
        (105.0, {"at": timedelta(days=1500)}, "a price of the future"),
        ({"open": 100, "high": 105, "low": 100, "close": 105}, {"timeframe": "1h"}, "the candle has not closed yet"),
    ],
)
def test_what_is_dated_ahead_is_refused_and_keeps_no_later_price_away(
    lk: lake.Lake, news: Any, more: dict[str, Any], message: str
) -> None:
    begun = datetime.now(UTC) - timedelta(minutes=5)
    lk.phantoms.record(LONG, phantom_id="p", signal_time=begun, stop_loss=50.0)
    at = datetime.now(UTC) + more.get("at", timedelta())
    if isinstance(news, dict):
        news = {**news, "open_time": begun}
    more = {name: value for name, value in more.items() if name != "at"}
    with pytest.raises(UsageError, match=message):
        lk.phantoms.update("BTCUSDT", news, at=at, **more)
    with pytest.raises(UsageError, match=message):
        lk.phantoms.update_all({"BTCUSDT": news}, at=at, **more)
    if isinstance(news, dict):
        with pytest.raises(UsageError, match=message):
            lk.phantoms.update_frame([{"symbol": "BTCUSDT", **news}], **more)
    assert lk.phantoms.update("BTCUSDT", 99.0).updated == 1
    assert lk.phantoms.update("BTCUSDT", 98.0, at=datetime.now(UTC) + timedelta(seconds=30)).updated == 1
    assert (now(lk)["max_favorable"], now(lk)["max_adverse"]) == (100.0, 98.0)


def test_closing_beyond_targets_has_reached_them(lk: lake.Lake) -> None:
    for name, price in (("both", 104.5), ("first", 102.5), ("none", 101.0)):
        phantom(lk, name)
        lk.phantoms.close(name, price, at=NOON + timedelta(minutes=1))
    rows = {row["phantom_id"]: row for row in lk.read("phantoms").to_dicts()}
    found = {name: [row[n] for n in ("tp1_hit", "tp2_hit", "time_to_tp1_sec")] for name, row in rows.items()}
    assert found == {"both": [True, True, 60.0], "first": [True, False, 60.0], "none": [False, False, None]}
    assert {(row["exit_reason"], row["outcome"]) for row in rows.values()} == {("manual", "win")}
    assert (rows["both"]["exit_price"], rows["both"]["max_favorable"]) == (104.5, 104.5)


def test_closing_is_final_and_safe_to_repeat(lk: lake.Lake) -> None:
    phantom(lk)
    lk.phantoms.update("BTCUSDT", candle(0, 100, 101.5, 99, 101))
    assert lk.phantoms.close("p", 101.0, "bored", at=NOON + timedelta(minutes=5)).updated == 1
    assert lk.phantoms.close("p", 101.0).unchanged == 1
    row = lk.phantoms.get("p")
    assert row is not None
    assert (row["outcome"], row["exit_reason"], row["realized_rr"]) == ("win", "bored", 0.5)
    assert (row["max_favorable"], row["max_adverse"], row["time_to_exit_sec"]) == (101.5, 99.0, 300.0)
    with pytest.raises(LifeCycleError, match="completed and cannot be closed"):
        lk.phantoms.close("p", 99.0)
    with pytest.raises(LifeCycleError, match="completed and cannot be recorded"):
        phantom(lk)
    with pytest.raises(UnknownRowError, match="'p9'"):
        lk.phantoms.close("p9", 1.0)


_SEEN = """
import os, sys
import lake
from tests.ledgers.test_phantoms import NOON, phantom
from datetime import timedelta
lk = lake.open(sys.argv[1], bot_id="a")
for name in "pqr":
    phantom(lk, name, tp1=110.0, tp2=120.0, stop_loss=95.0)
for number, price in enumerate((106.0, 97.0), 1):
    lk.phantoms.update("BTCUSDT", price, at=NOON + timedelta(minutes=number))
if sys.argv[2] == "die":
    os.kill(os.getpid(), 9)
os.write(1, b"ready\\n")
sys.stdin.read()
"""


def best_and_worst(lk: lake.Lake, name: str) -> tuple[float, float, bool]:
    row = lk.phantoms.get(name)
    assert row is not None
    assert row["status"] == "completed"
    return row["max_favorable"], row["max_adverse"], row["one_r_hit"]


@pytest.mark.parametrize("seen", ["in the journal", "in the row", "in the row, and a quiet bar since"])
@pytest.mark.parametrize(
    ("told", "then"), [({"max_favorable": 101.0}, (101.0, 99.0)), ({"max_adverse": 99.5}, (101.5, 99.5))]
)
def test_best_and_worst_prices_that_are_corrected_are_so_at_once_and_after_a_restart(
    tmp_path: Path, seen: str, told: dict[str, float], then: tuple[float, float]
) -> None:
    with lake.open(tmp_path, bot_id="tester") as lk, lake.open(tmp_path, bot_id="tester") as beside:
        phantom(lk)
        lk.phantoms.update("BTCUSDT", candle(1, 100.0, 101.5, 99.0, 100.0))
        assert extremes(beside) == (101.5, 99.0)
        if seen != "in the journal":
            lk.phantoms.checkpoint()
        if seen.endswith("since"):
            lk.phantoms.update("BTCUSDT", candle(2, 100.0, 100.5, 99.8, 100.0))
        assert lk.phantoms.patch("p", **told).updated == 1
        assert extremes(lk) == extremes(beside) == then
        assert lk.frame("SELECT max_favorable, max_adverse FROM phantoms").rows() == [then]
    with lake.open(tmp_path, bot_id="tester") as lk:
        assert extremes(lk) == then
        lk.phantoms.update("BTCUSDT", candle(3, 100.0, 101.8, 98.5, 100.0))
        assert extremes(lk) == (101.8, 98.5)


@pytest.mark.parametrize("meanwhile", [None, (100.5, 99.8), (101.7, 99.8)])
@pytest.mark.parametrize("is_moved", [False, True])
@pytest.mark.parametrize(
    ("told", "then"), [({"max_favorable": 101.0}, (101.0, 99.0)), ({"max_adverse": 99.5}, (101.5, 99.5))]
)
def test_best_and_worst_prices_that_are_corrected_in_a_transaction_are_so_at_once_and_after_a_restart(
    tmp_path: Path,
    told: dict[str, float],
    then: tuple[float, float],
    is_moved: bool,
    meanwhile: tuple[float, float] | None,
) -> None:
    with lake.open(tmp_path, bot_id="tester") as lk, lake.open(tmp_path, bot_id="tester") as beside:
        phantom(lk)
        lk.phantoms.update("BTCUSDT", candle(1, 100.0, 101.5, 99.0, 100.0))
        with lk.transaction():
            if is_moved:
                lk.phantoms.patch("p", stop_loss=97.0)
            assert lk.phantoms.patch("p", **told).updated == 1
            assert extremes(lk) == then
            assert extremes(beside) == (101.5, 99.0)
            if meanwhile is not None:
                beside.phantoms.update("BTCUSDT", candle(2, 100.0, *meanwhile, 100.0))
        if meanwhile == (101.7, 99.8) and not (is_moved and "max_favorable" in told):  # else told after that price
            then = (101.7, then[1])
        assert extremes(lk) == extremes(beside) == then
    with lake.open(tmp_path, bot_id="tester") as lk:
        assert extremes(lk) == then
        lk.phantoms.update("BTCUSDT", candle(3, 100.0, 101.8, 98.5, 100.0))
        assert extremes(lk) == (101.8, 98.5)


def test_a_phantom_recorded_again_with_another_best_price_has_it_at_once_and_after_a_restart(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="tester") as lk:
        phantom(lk)
        lk.phantoms.update("BTCUSDT", candle(1, 100.0, 101.5, 99.0, 100.0))
        phantom(lk, max_favorable=101.0)
        assert extremes(lk) == (101.0, 99.0)
    with lake.open(tmp_path, bot_id="tester") as lk:
        assert extremes(lk) == (101.0, 99.0)


def test_a_best_price_that_a_task_corrects_is_so_at_once(tmp_path: Path) -> None:
    async def corrected() -> tuple[float, float]:
        async with await lake.open_async(tmp_path, bot_id="a") as alk:
            await alk.phantoms.record(LONG, phantom_id="p", signal_time=NOON)
            await alk.phantoms.update("BTCUSDT", candle(1, 100.0, 101.5, 99.0, 100.0))
            await alk.phantoms.patch("p", max_favorable=101.0)
            (row,) = await alk.phantoms.active()
            return row["max_favorable"], row["max_adverse"]

    assert asyncio.run(corrected()) == (101.0, 99.0)


def test_a_correction_that_is_rolled_back_leaves_the_prices_that_were_seen(lk: lake.Lake) -> None:
    phantom(lk)
    lk.phantoms.update("BTCUSDT", candle(1, 100.0, 101.5, 99.0, 100.0))

    def fail() -> None:
        with lk.transaction():
            lk.phantoms.patch("p", max_favorable=101.0)
            lk.phantoms.record(symbol="BTCUSDT")

    with pytest.raises(InvalidRowError):
        fail()
    assert extremes(lk) == (101.5, 99.0)


def test_a_phantom_closed_after_a_kill_has_the_best_and_worst_price_of_its_whole_life(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _SEEN, str(tmp_path), "die"], check=False)
    at = NOON + timedelta(minutes=5)
    with lake.open(tmp_path) as other:
        other.phantoms.close("p", 101.0, at=at)
        assert best_and_worst(other, "p") == (106.0, 97.0, True)
    with lake.open(tmp_path, bot_id="a") as lk:
        lk.phantoms.close("q", 101.0, at=at)
        assert best_and_worst(lk, "q") == (106.0, 97.0, True)
    with lake.open(tmp_path, bot_id="a") as lk, lk.transaction():
        lk.phantoms.close("r", 101.0, at=at)
    with lake.open(tmp_path, bot_id="a") as lk:
        assert best_and_worst(lk, "r") == (106.0, 97.0, True)


def test_a_host_of_another_name_knows_the_best_and_worst_prices_of_what_was_drained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run([sys.executable, "-c", _SEEN, str(tmp_path), "die"], check=False)
    with lake.open(tmp_path) as other:
        other.drain(every_writer=True)
    monkeypatch.setattr("lake.store.hot.claim.host_name", lambda: "renamed")
    monkeypatch.setattr("lake.store.snapshot.host_name", lambda: "renamed")
    with lake.open(tmp_path, bot_id="a") as lk:
        assert {row["max_favorable"] for row in lk.phantoms.active()} == {106.0}


def test_other_processes_know_the_best_and_worst_price_that_a_living_bot_has_seen(tmp_path: Path) -> None:
    with lake.open(tmp_path) as other:
        assert other.phantoms.active() == []
        command = [sys.executable, "-c", _SEEN, str(tmp_path), "live"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as bot:
            assert bot.stdout is not None
            assert bot.stdout.readline() == b"ready\n"
            seen = {row["phantom_id"]: (row["max_favorable"], row["max_adverse"]) for row in other.phantoms.active()}
            other.phantoms.close("p", 101.0, at=NOON + timedelta(minutes=5))
            bot.communicate()
        assert seen == dict.fromkeys("pqr", (106.0, 97.0))
        assert best_and_worst(other, "p") == (106.0, 97.0, True)


@pytest.mark.parametrize("end", ["live", "die"])
def test_a_bot_that_closes_another_bots_phantom_knows_what_that_one_has_seen(tmp_path: Path, end: str) -> None:
    command = [sys.executable, "-c", _SEEN, str(tmp_path), end]
    with (
        lake.open(tmp_path, bot_id="b") as other,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as bot,
    ):
        phantom(other, "own")
        assert bot.stdout is not None
        assert bot.stdout.readline() == (b"ready\n" if end == "live" else b"")
        other.phantoms.close("p", 101.0, at=NOON + timedelta(minutes=5))
        with other.transaction():
            other.phantoms.close("q", 101.0, at=NOON + timedelta(minutes=5))
        bot.communicate()
        assert [best_and_worst(other, name) for name in "pq"] == [(106.0, 97.0, True)] * 2
        assert [row["phantom_id"] for row in other.phantoms.active()] == ["own"]


def test_a_bot_knows_what_a_process_without_a_bot_id_has_seen_of_its_phantoms(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="a") as lk, lake.open(tmp_path) as everyone:
        phantom(lk)
        everyone.phantoms.update("BTCUSDT", 101.5, at=NOON + timedelta(minutes=1))
        assert now(lk)["max_favorable"] == 101.5
        everyone.phantoms.checkpoint()
        everyone.phantoms.update("BTCUSDT", 101.7, at=NOON + timedelta(minutes=2))
        lk.phantoms.update("BTCUSDT", 99.0, at=NOON + timedelta(minutes=3))
        assert (now(lk)["max_favorable"], now(everyone)["max_favorable"]) == (101.7, 101.7)
        assert (now(lk)["max_adverse"], now(everyone)["max_adverse"]) == (99.0, 99.0)


def test_two_lakes_of_one_bot_show_the_same_best_and_worst_price(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="a") as one, lake.open(tmp_path, bot_id="a") as two:
        phantom(one)
        assert two.phantoms.active()[0]["max_favorable"] == 100.0
        one.phantoms.update("BTCUSDT", 101.5, at=NOON + timedelta(minutes=1))
        two.phantoms.update("BTCUSDT", 99.0, at=NOON + timedelta(minutes=2))
        for lk in (one, two):
            assert (now(lk)["max_favorable"], now(lk)["max_adverse"]) == (101.5, 99.0)
        two.phantoms.close("p", 100.5, at=NOON + timedelta(minutes=3))
        assert best_and_worst(one, "p") == (101.5, 99.0, False)


def test_an_update_that_is_rolled_back_did_not_happen(lk: lake.Lake) -> None:
    phantom(lk)

    def fail() -> None:
        with lk.transaction():
            phantom(lk, "q")
            lk.phantoms.update("BTCUSDT", candle(0, 101, 103, 100.5, 102))
            assert [row["be_moved"] for row in lk.phantoms.active()] == [True, True]
            lk.phantoms.update("BTCUSDT", candle(1, 102, 105, 101, 104))
            assert lk.phantoms.active() == []
            lk.phantoms.record(symbol="BTCUSDT")

    with pytest.raises(InvalidRowError):
        fail()
    assert [(row["phantom_id"], row["be_moved"]) for row in lk.phantoms.active()] == [("p", False)]
    assert lk.phantoms.update("BTCUSDT", candle(0, 101, 103, 100.5, 102)).updated == 1


def test_two_bots_follow_their_own_phantoms_of_one_symbol(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="a") as one, lake.open(tmp_path, bot_id="b") as two:
        phantom(one, "a1")
        phantom(two, "b1")
        one.phantoms.update("BTCUSDT", candle(0, 97, 99, 96, 98))
        assert one.phantoms.active() == []
        assert [row["phantom_id"] for row in two.phantoms.active()] == ["b1"]
        with lake.open(tmp_path) as everyone:
            phantom(one, "a2")
            assert [row["phantom_id"] for row in everyone.phantoms.active("BTCUSDT")] == ["a2", "b1"]
            everyone.phantoms.update("BTCUSDT", candle(0, 97, 99, 96, 98))
            assert one.phantoms.update("BTCUSDT", candle(0, 97, 99, 96, 98)).rows == 0
            assert (one.phantoms.active(), two.phantoms.active()) == ([], [])


def test_only_phantoms_of_the_venue_are_followed(lk: lake.Lake) -> None:
    phantom(lk, "x", venue="binance")
    phantom(lk, "y", venue="bybit")
    assert lk.phantoms.update("BTCUSDT", candle(0, 97, 99, 96, 98), venue="bybit").updated == 1
    assert [row["phantom_id"] for row in lk.phantoms.active()] == ["x"]


def test_phantoms_are_followed_from_asyncio(tmp_path: Path) -> None:
    async def day() -> tuple[list[str], float]:
        async with await lake.open_async(tmp_path, bot_id="a") as alk:
            names = [f"p{n}" for n in range(6)]
            await asyncio.gather(*(alk.phantoms.record(LONG, phantom_id=n, signal_time=NOON) for n in names))
            await asyncio.gather(*(alk.phantoms.update("BTCUSDT", candle(0, 100, 101, 99, 100)) for _ in range(5)))
            async with alk.transaction():
                await alk.phantoms.close("p0", 101.0)
            live = await alk.phantoms.active()
            return sorted(row["phantom_id"] for row in live), live[0]["max_favorable"]

    assert asyncio.run(day()) == (["p1", "p2", "p3", "p4", "p5"], 101.0)


@pytest.mark.parametrize("seed", range(3))
def test_following_the_lakes_candles_is_the_same_as_each_candle_live(tmp_path: Path, seed: int) -> None:
    symbols = ["AUSDT", "BUSDT"]
    with lake.open(tmp_path, bot_id="a") as lk:
        oracles = many(lk, seed, symbols, 25)
        frames = market(seed, symbols, 60)
        for start in (0, 20, 40):
            rows = [{"symbol": s, **bar} for frame in frames[start : start + 20] for s, bar in frame.items()]
            lk.candles.write([{**row, "volume": 1.0} for row in rows], "1m")
            lk.phantoms.follow()
            for frame in frames[start : start + 20]:
                tell(oracles, frame)
            compare(lk, oracles)
            assert lk.phantoms.follow().updated == 0


def test_a_phantom_that_begins_later_keeps_no_other_from_being_followed(lk: lake.Lake) -> None:
    begun = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=30)
    for name, symbol, at in (("now", "ETHUSDT", begun), ("later", "BTCUSDT", begun + timedelta(hours=1))):
        lk.phantoms.record({**LONG, "symbol": symbol}, phantom_id=name, signal_time=at)
        bar = {"open": 100.0, "high": 100.0, "low": 97.0, "close": 98.0, "volume": 1.0}
        lk.candles.write([{"symbol": symbol, "open_time": begun, **bar}], "1m")
    assert lk.phantoms.follow(now=begun).updated == 0
    assert lk.phantoms.follow().updated == 1
    assert (now(lk, "now")["outcome"], now(lk, "later")["status"]) == ("loss", "active")
    for _ in range(2):
        assert lk.phantoms.follow(now=begun + timedelta(minutes=1)).updated == 0


def test_a_gap_in_the_candles_is_waited_for_and_then_an_unknown_end(lk: lake.Lake) -> None:
    phantom(lk, timeout_hours=0.1)
    candles = [{"symbol": "BTCUSDT", "volume": 1.0, **candle(n, 100, 101, 99, 100)} for n in range(10) if n != 3]
    lk.candles.write(candles[:4], "1m")
    assert lk.phantoms.follow().updated == 1
    assert now(lk)["status"] == "active"
    lk.candles.write(candles, "1m")
    lk.phantoms.follow()
    assert (now(lk)["status"], now(lk)["outcome"], now(lk)["exit_price"]) == ("completed", "unknown", None)


def test_the_result_of_a_phantom_that_is_recorded_completed_follows_from_its_exit(lk: lake.Lake) -> None:
    whole = {
        "symbol": "BTCUSDT",
        "side": "SHORT",
        "entry_price": 100.0,
        "stop_loss": 104.0,
        "signal_time": 1_735_689_600_000_000,
    }
    ended = {**whole, "status": "completed", "exit_price": 98.0, "exit_time": 1_735_689_600_000_000 + 90_000_000}
    phantom_id = lk.phantoms.record(ended).id
    row = lk.phantoms.get(phantom_id)
    assert row is not None
    assert (row["outcome"], row["pnl_percent"], row["realized_rr"], row["time_to_exit_sec"]) == ("win", 2.0, 0.5, 90.0)
    told = lk.phantoms.get(lk.phantoms.record(ended, outcome="timeout", pnl_percent=1.9).id)
    assert told is not None
    assert (told["outcome"], told["pnl_percent"], told["realized_rr"]) == ("timeout", 1.9, 0.5)
    for lacking in ("side", "exit_price"):
        bare = lk.phantoms.get(lk.phantoms.record({n: v for n, v in ended.items() if n != lacking}).id)
        assert bare is not None
        assert (bare["outcome"], bare["pnl_percent"]) == (None, None)


def test_rates_counts_and_learning_data_come_from_completed_phantoms(lk: lake.Lake) -> None:
    assert lk.phantoms.win_rate("trend") == lake.ledgers.phantoms.WinRate(None, 0, None, None)
    for number in range(10):
        name = phantom(lk, f"p{number}", strategy="trend", features={"rsi": number, "note": "x", "up": True})
        lk.phantoms.close(name, 101.0 if number < 6 else 99.0, at=NOON + timedelta(minutes=number))
    phantom(lk, "open", strategy="trend")
    rate = lk.phantoms.win_rate("trend")
    assert (rate.value, rate.n) == (60.0, 10)
    assert (rate.low, rate.high) == (pytest.approx(31.267, abs=1e-3), pytest.approx(83.182, abs=1e-3))
    assert (lk.phantoms.win_rate("trend", window=5).value, lk.phantoms.win_rate("other").n) == (20.0, 0)
    data = lk.phantoms.learning_data("trend")
    assert data.select("feature_rsi", "feature_note", "feature_up").rows()[2] == (2.0, "x", 1.0)
    assert (data.height, lk.phantoms.learning_data(executed=True).height) == (10, 0)
    stats = lk.phantoms.stats("trend").row(0, named=True)
    assert (stats["wins"], stats["losses"], stats["active"]) == (6, 4, 1)
    assert lk.phantoms.stats().height == 1
    with pytest.raises(UsageError, match="a whole number above 0"):
        lk.phantoms.win_rate("trend", window=0)


def test_the_rolling_win_rate_is_that_of_the_view_breakevens_among_the_decided(lk: lake.Lake) -> None:
    for number, price in enumerate((101.0, 100.0, 99.0, 100.0, 101.0)):
        lk.phantoms.close(phantom(lk, f"p{number}", strategy="trend"), price, at=NOON + timedelta(minutes=number))
    lk.phantoms.close(phantom(lk, "p9", strategy="trend"), 101.0, "timeout", at=NOON + timedelta(minutes=9))
    rate, row = lk.phantoms.win_rate("trend"), lk.read("phantom_win_rate").row(0, named=True)
    assert (rate.value, rate.n, rate.low, rate.high) == (40.0, 5, row["win_rate_low"], row["win_rate_high"])
    assert (row["win_rate"], row["n"]) == (40.0, 5)


def test_blocked_signals_are_counted_by_day_and_reason(lk: lake.Lake) -> None:
    phantom(lk, "a", was_executed=False, reject_reason="low score")
    phantom(lk, "b", was_executed=True)
    assert lk.phantoms.blocked("2026-03-01").select("reason", "symbol", "blocked").rows() == [
        ("low score", "BTCUSDT", 1)
    ]
    assert lk.phantoms.blocked("2026-03-02").is_empty()
    assert json.loads(lk.phantoms.blocked().write_json())[0]["day"] == "2026-03-01"
