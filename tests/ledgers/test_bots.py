"""A bot's configuration and its history, the state it restarts from, its guard and its daily figures."""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import polars.testing
import pytest
from click.testing import CliRunner

import lake
from jobs import performance_snapshots
from lake.errors import InvalidRowError, LifeCycleError, UnknownRowError, UsageError
from lake.ledgers.newest_state import _newest_cold, _Search
from lake.spec.times import from_micros
from lake.store.leases import held_versions

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake", bot_id="b") as opened:
        yield opened


def test_every_former_configuration_is_kept_also_after_compaction_and_vacuum(lk: lake.Lake) -> None:
    assert lk.bots.configure(capital=100.0, strategy_params={"rsi": 14}, note="x", updated_at=NOON).inserted == 1
    assert lk.bots.configure(capital=100.0).unchanged == 1
    lk.drain()
    assert lk.bots.configure(capital=200.0, strategy_params={"rsi": 21}).updated == 1
    lk.bots.start()
    lk.drain()
    assert lk.bots.configure(capital=None).updated == 1
    lk.drain()
    lk.compact()
    lk.vacuum(grace_hours=0)
    found = lk.bots.history()
    assert [row["capital"] for row in found] == [100.0, 200.0, None]
    assert [row["strategy_params"] for row in found] == ['{"rsi":14}', '{"rsi":21}', '{"rsi":21}']
    assert (found[0]["updated_at"], found[0]["extra"]) == (NOON, '{"note":"x"}')
    assert lk.bots.history("nobody") == []


def test_a_configuration_that_does_not_fit_changes_nothing(lk: lake.Lake) -> None:
    lk.bots.configure(capital=100.0)
    with pytest.raises(InvalidRowError, match=r"bot_configs\.capital"):
        lk.bots.configure(capital=-1.0)
    with pytest.raises(UsageError, match="kept by the lake"):
        lk.bots.configure(history=[])
    assert [row["capital"] for row in lk.bots.history()] == [100.0]


def test_starting_and_stopping_is_no_configuration(lk: lake.Lake) -> None:
    with pytest.raises(UnknownRowError, match="'b'"):
        lk.bots.start()
    lk.bots.configure(capital=1.0)
    assert lk.bots.start(at=NOON).updated == 1
    assert lk.bots.start().unchanged == 1
    assert lk.bots.stop(at=NOON + timedelta(hours=1)).updated == 1
    row = lk.bots.get("b")
    assert row is not None
    assert (row["is_running"], row["started_at"], row["stopped_at"]) == (False, NOON, NOON + timedelta(hours=1))
    assert len(lk.bots.history()) == 1


def test_a_drawdown_halts_the_bot_until_it_is_resumed(lk: lake.Lake) -> None:
    lk.bots.configure(drawdown_guard_pct=10.0)
    seen = []
    for equity in (100.0, 120.0, 109.0, 108.0, 130.0):
        lk.bots.save_state(state={"at": equity}, equity=equity)
        lk.drain()
        state = lk.bots.latest_state()
        assert state is not None
        assert state["state"] == {"at": equity}
        seen.append((state["peak_equity"], round(state["current_drawdown_pct"], 3), state["trading_halted"]))
    assert seen == [
        (100.0, 0.0, False), (120.0, 0.0, False), (120.0, 9.167, False), (120.0, 10.0, True), (130.0, 0.0, True)
    ]  # fmt: skip
    assert "drawdown 10.00 % reached the guard 10 %" in state["halt_reason"]
    lk.bots.save_state(equity=65.0)
    lk.bots.resume(reason="looked at it")
    state = lk.bots.latest_state()
    assert state is not None
    assert (state["peak_equity"], state["trading_halted"], state["halt_reason"]) == (
        65.0,
        False,
        "resumed: looked at it",
    )
    with pytest.raises(LifeCycleError, match="not halted"):
        lk.bots.resume()
    lk.bots.save_state(equity=60.0)
    state = lk.bots.latest_state()
    assert state is not None
    assert not state["trading_halted"]


@pytest.mark.parametrize(
    ("peak", "equity", "guard"), [(1.0, 0.9, 10), (47252.9, 40164.965, 15), (683316.2, 478321.34, 30)]
)
def test_a_drawdown_of_the_very_guard_halts_though_floats_come_only_near(
    lk: lake.Lake, peak: float, equity: float, guard: float
) -> None:
    lk.bots.configure(drawdown_guard_pct=guard, capital=peak)
    lk.bots.save_state(equity=equity * 1.0001)
    assert not latest(lk)["trading_halted"]
    lk.bots.save_state(equity=equity)
    assert latest(lk)["trading_halted"]


def latest(lk: lake.Lake) -> dict[str, Any]:
    state = lk.bots.latest_state()
    assert state is not None
    return state


def test_a_transaction_sees_its_own_states_and_halts_on_top_of_them(lk: lake.Lake) -> None:
    lk.bots.configure(drawdown_guard_pct=10.0)
    lk.bots.save_state(equity=100.0)
    with lk.transaction():
        lk.bots.save_state(equity=120.0)
        lk.bots.save_state(equity=110.0, state={"n": 1})
        state = latest(lk)
        assert (state["peak_equity"], round(state["current_drawdown_pct"], 3), state["state"]) == (
            120.0,
            8.333,
            {"n": 1},
        )
        lk.bots.save_state(equity=50.0)
        lk.bots.save_state(equity=119.0)
        assert latest(lk)["trading_halted"]
    state = latest(lk)
    assert (state["trading_halted"], state["peak_equity"]) == (True, 120.0)
    assert "drawdown 58.33 %" in state["halt_reason"]
    with lk.transaction():
        lk.bots.resume(reason="looked at it")
        with pytest.raises(LifeCycleError, match="not halted"):
            lk.bots.resume()
        lk.bots.save_state(equity=119.0)
    assert (latest(lk)["trading_halted"], latest(lk)["peak_equity"]) == (False, 119.0)


def test_a_state_of_a_transaction_that_is_rolled_back_is_none(lk: lake.Lake) -> None:
    lk.bots.save_state(equity=100.0)

    def fail() -> None:
        with lk.transaction():
            lk.bots.save_state(equity=500.0)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    lk.bots.save_state(equity=90.0)
    assert (latest(lk)["peak_equity"], latest(lk)["current_drawdown_pct"]) == (100.0, 10.0)


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("drained", [False, True])
def test_a_state_dated_ahead_hides_no_later_one_and_no_halt(tmp_path: Path, *, raw: bool, drained: bool) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=1)
    with lake.open(tmp_path, bot_id="b") as lk:
        lk.bots.configure(drawdown_guard_pct=10.0)
        if raw:
            lk.write("bot_states", {"peak_equity": 100.0, "snapshot_time": ahead})
        else:
            lk.bots.save_state(equity=100.0, snapshot_time=ahead)
        lk.bots.save_state(state=1, equity=80.0)
        for _ in range(2):
            lk.bots.save_state(state=2, snapshot_time=datetime.now(UTC) - timedelta(seconds=1))
        last = latest(lk)["snapshot_time"]
        assert (lk.bots.save_state(state=2, snapshot_time=last).unchanged, latest(lk)["snapshot_time"]) == (1, last)
        assert (latest(lk)["state"], latest(lk)["trading_halted"]) == (2, True)
        if drained:
            lk.drain()
    with lake.open(tmp_path, bot_id="b") as lk:
        assert (latest(lk)["state"], latest(lk)["trading_halted"]) == (2, True)
        assert lk.bots.status()["trading_halted"].to_list() == [True]
        lk.bots.save_state(state=3, equity=81.0)
        assert (latest(lk)["state"], latest(lk)["trading_halted"], latest(lk)["peak_equity"]) == (3, True, 100.0)
        lk.bots.save_state(state="old", snapshot_time=NOON)
        assert latest(lk)["state"] == 3
        assert lk.bots.status()["snapshot_time"].to_list() == [latest(lk)["snapshot_time"]]


@pytest.mark.parametrize(
    ("state", "place"),
    [
        ({"a": math.nan}, r"bot_states\.state\.a"),
        ({"a": [1, {"b": -math.inf}]}, r"bot_states\.state\.a\[1\]\.b"),
        ({"a": np.float32("nan")}, r"bot_states\.state\.a"),
        ([np.array([1.0, np.nan])], r"bot_states\.state\[0\]\[1\]"),
    ],
)
def test_a_state_that_would_come_back_as_another_is_refused(lk: lake.Lake, state: Any, place: str) -> None:
    with pytest.raises(InvalidRowError, match=f"{place}: JSON has no NaN"):
        lk.bots.save_state(state=state)
    assert lk.bots.latest_state() is None
    lk.bots.save_state(state={"a": None, "b": "null", "c": [1.5, None]})
    assert latest(lk)["state"] == {"a": None, "b": "null", "c": [1.5, None]}


@pytest.mark.parametrize("state", ["null", " null ", "5", "1e400", "true", '"x"', "", "plain", "\x00", "[", "NaN"])
def test_a_text_comes_back_from_a_state_as_it_was_given(tmp_path: Path, state: str) -> None:
    with lake.open(tmp_path, bot_id="b") as lk:
        lk.bots.save_state(state=state)
        assert latest(lk)["state"] == state
        lk.drain()
    with lake.open(tmp_path, bot_id="b") as lk:
        assert latest(lk)["state"] == state
        lk.bots.save_state(state='{"a": [null]}')  # JSON that a bot made of its state itself
        assert latest(lk)["state"] == {"a": [None]}


def test_an_equity_is_any_finite_number(lk: lake.Lake) -> None:
    for equity in (np.float64(100.0), np.int64(100), Decimal(100), 100, "100"):
        lk.bots.save_state(equity=equity, total_pnl=equity)  # type: ignore[arg-type]
        assert (latest(lk)["peak_equity"], latest(lk)["total_pnl"]) == (100.0, 100.0)
    for equity in (math.inf, np.float32("nan"), "much", True, [1]):
        with pytest.raises(UsageError, match="finite number"):
            lk.bots.save_state(equity=equity)  # type: ignore[arg-type]


def test_a_snapshot_may_say_its_time_by_another_common_name(lk: lake.Lake) -> None:
    lk.bots.save_state(state=1, timestamp=NOON)
    assert (latest(lk)["snapshot_time"], latest(lk)["extra"]) == (NOON, None)


def test_equity_follows_from_the_capital_where_it_is_not_given(lk: lake.Lake) -> None:
    lk.bots.configure(capital=1000.0)
    lk.bots.save_state(total_pnl=200.0)
    lk.bots.save_state(total_pnl=-100.0)
    lk.bots.save_state(state=[1])
    state = lk.bots.latest_state()
    assert state is not None
    assert (state["peak_equity"], state["current_drawdown_pct"], state["state"]) == (1200.0, 25.0, [1])


@pytest.mark.parametrize("said", [{"total_pnl": -150.0}, {"equity": 850.0}])
def test_a_bot_that_has_lost_before_its_first_snapshot_is_halted_as_measured_from_its_capital(
    lk: lake.Lake, said: dict[str, float]
) -> None:
    lk.bots.configure(capital=1000.0, drawdown_guard_pct=10.0)
    lk.bots.save_state(**said)
    state = latest(lk)
    assert (state["peak_equity"], state["current_drawdown_pct"], state["trading_halted"]) == (1000.0, 15.0, True)
    lk.bots.resume()
    lk.bots.save_state(**said)
    assert (latest(lk)["peak_equity"], latest(lk)["trading_halted"]) == (850.0, False)


def test_an_account_without_money_is_halted_by_any_guard_also_once_it_was_resumed(lk: lake.Lake) -> None:
    lk.bots.configure(capital=1000.0, drawdown_guard_pct=100.0)
    lk.bots.save_state(equity=-50.0)
    assert latest(lk)["current_drawdown_pct"] == 105.0
    for equity, peak in ((-60.0, -50.0), (-50.0, -50.0), (0.0, 0.0), (-1.0, 0.0)):
        lk.bots.resume()
        state = latest(lk)
        assert (state["trading_halted"], state["current_drawdown_pct"]) == (False, 100.0)
        lk.bots.save_state(equity=equity)
        state = latest(lk)
        assert (state["trading_halted"], state["current_drawdown_pct"]) == (True, 100.0)
        assert state["peak_equity"] == pytest.approx(peak)
        assert state["halt_reason"] == "drawdown 100.00 % reached the guard 100 %"
    assert lk.bots.status().select("peak_equity", "current_drawdown_pct", "trading_halted").rows() == [
        (0.0, 100.0, True)
    ]
    lk.bots.resume()
    lk.bots.save_state(equity=500.0)  # paid in
    lk.bots.save_state(equity=250.0)
    state = latest(lk)
    assert (state["trading_halted"], state["peak_equity"], state["current_drawdown_pct"]) == (False, 500.0, 50.0)


@pytest.mark.parametrize("peak", [763774.618976614, 449491.06478873815, 0.3])
def test_an_account_that_lost_all_has_no_peak_but_zero_after_it_was_resumed(lk: lake.Lake, peak: float) -> None:
    lk.bots.configure(capital=peak, drawdown_guard_pct=20.0)
    lk.bots.save_state(equity=0.0)
    lk.bots.resume()
    assert (latest(lk)["peak_equity"], latest(lk)["current_drawdown_pct"]) == (0.0, 100.0)
    lk.bots.save_state(equity=-1e-9)
    assert (latest(lk)["trading_halted"], latest(lk)["current_drawdown_pct"]) == (True, 100.0)


def test_an_account_without_money_trades_on_where_no_guard_is_set(lk: lake.Lake) -> None:
    for config in ({}, {"drawdown_guard_pct": 0.0}):
        lk.bots.configure(bot_name="x", **config)
        lk.bots.save_state(equity=-5.0)
        assert (latest(lk)["trading_halted"], latest(lk)["current_drawdown_pct"]) == (False, 100.0)


def test_a_restarted_bot_finds_its_own_newest_state_hot_and_settled(tmp_path: Path) -> None:
    lk = lake.open(tmp_path, bot_id="b")
    for number in range(30):
        for bot in ("b", "c"):
            lk.bots.save_state(bot, state={"n": number, "bot": bot}, snapshot_time=NOON + timedelta(days=40 * number))
        if number % 7 == 0:
            lk.drain()
        if number % 5 == 0:
            lk.close()
            lk = lake.open(tmp_path, bot_id="b")
        if number == 20:
            lk.compact()
        found = [lk.bots.latest_state(bot) for bot in ("b", "c")]
        assert [f and f["state"] for f in found] == [{"n": number, "bot": bot} for bot in ("b", "c")]
    lk.bots.save_state(state={"late": True}, snapshot_time=NOON)
    state = lk.bots.latest_state()
    assert state is not None
    assert state["state"]["n"] == 29
    assert lk.bots.latest_state("d") is None
    lk.close()


def test_no_peak_is_lost_between_tasks(tmp_path: Path) -> None:
    async def work() -> float:
        async with await lake.open_async(tmp_path, bot_id="b") as alk:
            await asyncio.gather(*(alk.bots.save_state(equity=float(n)) for n in (5, 9, 3, 8, 1, 7)))
            return float((await alk.bots.latest_state())["peak_equity"])

    assert asyncio.run(work()) == 9.0


def test_a_bot_without_a_name_is_asked_for_it(tmp_path: Path) -> None:
    with lake.open(tmp_path) as lk, pytest.raises(UsageError, match="which bot"):
        lk.bots.save_state(equity=1.0)
    with lake.open(tmp_path, bot_id="b") as lk, pytest.raises(UsageError, match="finite number"):
        lk.bots.save_state(equity=float("nan"))


def test_metrics_and_status_are_kept_by_bot(lk: lake.Lake) -> None:
    lk.bots.configure(capital=1.0)
    lk.bots.metric(price=5.0, indicators={"rsi": 50}, time=NOON)
    lk.bots.metric("c", price=6.0, time=NOON)
    assert lk.frame("SELECT bot_id, price FROM bot_metrics ORDER BY ALL").rows() == [("b", 5.0), ("c", 6.0)]
    assert set(lk.bots.status("b")["bot_id"]) == {"b"}


def traded(lk: lake.Lake, *results: tuple[datetime, float], bot: str = "b", mode: str = "live") -> None:
    for number, (at, pnl) in enumerate(results):
        times = {"created_at": at, "opened_at": at, "closed_at": at}
        row = {"trade_id": f"{bot}{mode}{number}{at}", "symbol": "BTCUSDT", "status": "closed", "pnl": pnl, **times}
        lk.trades.record(row, bot_id=bot, mode=mode)


def test_a_day_is_written_once_for_each_bot_and_any_past_day_comes_out_alike(lk: lake.Lake) -> None:
    day = timedelta(days=1)
    traded(lk, (NOON - day, 10.0), (NOON, -4.0), (NOON, 0.0), (NOON + day, 100.0))
    traded(lk, (NOON - day, 1.0), bot="c", mode="paper")
    traded(lk, (NOON, 999.0), bot="b", mode="backtest")
    traded(lk, (NOON + day, 5.0), bot="d")
    assert lk.bots.snapshot_performance("2026-03-01").inserted == 2
    lk.drain()
    assert lk.bots.snapshot_performance(date(2026, 3, 1)).unchanged == 2
    columns = "bot_id, date, daily_pnl, total_pnl, trades, wins, losses, win_rate"
    found = lk.frame(f"SELECT {columns} FROM performance_snapshots ORDER BY bot_id").rows()
    assert found == [
        ("b", date(2026, 3, 1), -4.0, 6.0, 2, 0, 1, 0.0),
        ("c", date(2026, 3, 1), 0.0, 1.0, 0, 0, 0, None),
    ]
    lk.trades.correct(lk.frame("SELECT trade_id FROM trades WHERE pnl = -4").item(), pnl=-5.0)
    assert (lk.bots.snapshot_performance("2026-03-01").updated, lk.read("performance_snapshots").height) == (1, 2)


def test_a_snapshot_has_the_drawdown_that_bot_performance_shows_of_that_day(lk: lake.Lake) -> None:
    hour, random_ = timedelta(hours=1), random.Random(7)
    lk.bots.configure(capital=500.0)
    traded(lk, *((NOON + 5 * n * hour, float(random_.randint(-60, 60))) for n in range(60)))
    shown = lk.read("bot_performance").select("date", "max_drawdown_percent").rows()
    shown.append((shown[-1][0] + timedelta(days=3), shown[-1][1]))  # nothing was closed since
    deeper = 0
    for day, drawdown in shown:
        [row] = lk.bots.performance(day).to_dicts()
        assert row["max_drawdown"] == drawdown
        end = NOON.replace(hour=0) + timedelta(days=(day - NOON.date()).days + 1) - timedelta(microseconds=1)
        by_days = lk.read("trade_statistics_by_bot", {"period": "all"}, variables={"now": end})["max_drawdown_percent"]
        deeper += drawdown > by_days.item()
    assert deeper > 3  # within a day it fell deeper than at any day's end


def test_a_day_is_that_of_its_zone(lk: lake.Lake) -> None:
    traded(lk, (datetime(2026, 3, 1, 23, 30, tzinfo=UTC), 7.0))
    pnl = {
        zone: lk.bots.performance("2026-03-01", time_zone=zone)["daily_pnl"].to_list() for zone in ("UTC", "Asia/Tokyo")
    }
    assert pnl == {"UTC": [7.0], "Asia/Tokyo": []}
    assert lk.bots.performance("2026-03-02", "b", time_zone="Asia/Tokyo")["daily_pnl"].to_list() == [7.0]
    with pytest.raises(UsageError, match="no such time zone"):
        lk.bots.performance("2026-03-01", time_zone="Mars/Olympus")
    with pytest.raises(UsageError, match="no such day"):
        lk.bots.performance("yesterday")


def days_ago(days: int) -> datetime:
    return datetime.now(UTC).replace(hour=12) - timedelta(days=days)


def figures(lk: lake.Lake) -> list[tuple[object, ...]]:
    asked = "SELECT bot_id, mode, daily_pnl, total_pnl, trades FROM performance_snapshots ORDER BY bot_id, date"
    return lk.frame(asked).rows()


def test_the_job_writes_every_day_up_to_yesterday_and_logs_one_line(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b") as lk:
        traded(lk, (days_ago(3), 3.0))
    for expected in ("inserted", "unchanged"):
        done = CliRunner().invoke(performance_snapshots.main, ["--lake", str(tmp_path)])
        line = json.loads(done.output)
        assert (done.exit_code, line["ok"], line[expected]) == (0, True, 3)


def test_a_correction_rewrites_every_stored_day_that_it_changes_and_missing_days_are_written(lk: lake.Lake) -> None:
    traded(lk, (days_ago(5), 10.0), (days_ago(3), 20.0), (days_ago(3), 1.0))
    traded(lk, (days_ago(4), 7.0), bot="c", mode="paper")
    lk.bots.snapshot_performance(days_ago(5).date())  # and then nothing ran for days
    assert performance_snapshots.work(lk)["inserted"] == 4 + 4
    assert performance_snapshots.work(lk) == {"inserted": 0, "updated": 0, "unchanged": 9, "rejected": 0}
    lk.drain()
    lk.trades.correct(lk.frame("SELECT trade_id FROM trades WHERE pnl = 20").item(), pnl=-2.0)
    assert performance_snapshots.work(lk) == {"inserted": 0, "updated": 3, "unchanged": 6, "rejected": 0}
    assert performance_snapshots.work(lk)["unchanged"] == 9
    assert [row[2:] for row in figures(lk) if row[0] == "b"] == [
        (10.0, 10.0, 1), (0.0, 10.0, 0), (-1.0, 9.0, 2), (0.0, 9.0, 0), (0.0, 9.0, 0),
    ]  # fmt: skip
    assert {row[:2] for row in figures(lk)} == {("b", "live"), ("c", "paper")}


def test_a_day_that_a_correction_left_without_figures_becomes_one_of_zeros(lk: lake.Lake) -> None:
    traded(lk, (days_ago(5), 50.0), (days_ago(3), 20.0))
    traded(lk, (days_ago(4), 7.0), bot="c", mode="paper")
    lk.write("performance_snapshots", {"bot_id": "b", "date": days_ago(9).date(), "daily_pnl": 4.0})  # imported
    lk.bots.snapshot_performance(days_ago(0).date())
    assert performance_snapshots.work(lk)["inserted"] == 5 + 4
    first, only = (lk.frame(f"SELECT trade_id FROM trades WHERE pnl = {pnl}").item() for pnl in (50, 7))
    lk.trades.correct(first, closed_at=days_ago(2))
    lk.trades.correct(only, closed_at=datetime.now(UTC))
    lk.drain()
    done = lk.bots.snapshot_performance(days_ago(5).date())
    assert (done.inserted, done.updated) == (0, 1)
    assert performance_snapshots.work(lk) == {"inserted": 0, "updated": 8, "unchanged": 1, "rejected": 0}
    assert performance_snapshots.work(lk) == {"inserted": 0, "updated": 0, "unchanged": 9, "rejected": 0}
    asked = "SELECT mode, daily_pnl, total_pnl, trades, wins, win_rate FROM performance_snapshots WHERE bot_id = ?"
    found = lk.frame(f"{asked} AND date < ? ORDER BY date", ["b", days_ago(0).date()]).rows()
    nothing = ("live", 0.0, 0.0, 0, 0, None)
    assert found == [
        (None, 4.0, None, None, None, None), nothing, nothing,
        ("live", 20.0, 20.0, 1, 1, 100.0), ("live", 50.0, 70.0, 1, 1, 100.0), ("live", 0.0, 70.0, 0, 0, None),
    ]  # fmt: skip
    last = lk.frame(f"{asked} AND date = ?", ["b", days_ago(0).date()]).rows()
    assert last == [("live", 0.0, 70.0, 0, 0, None)]
    gone = lk.frame(f"{asked} AND date < ?", ["c", days_ago(0).date()]).unique().rows()
    assert gone == [("paper", 0.0, 0.0, 0, 0, None)]


def test_snapshots_follow_one_mode_of_a_bot_on_all_its_days(lk: lake.Lake) -> None:
    traded(lk, (days_ago(4), 50.0), mode="paper")
    lk.bots.snapshot_performance(days_ago(4).date())
    assert figures(lk) == [("b", "paper", 50.0, 50.0, 1)]
    traded(lk, (days_ago(2), 40.0), mode="paper")
    traded(lk, (days_ago(2), -5.0))
    performance_snapshots.work(lk)
    assert figures(lk) == [
        ("b", "live", *rest) for rest in ((0.0, 0.0, 0), (0.0, 0.0, 0), (-5.0, -5.0, 1), (0.0, -5.0, 0))
    ]
    assert lk.bots.performance(days_ago(2).date())["total_pnl"].to_list() == [-5.0]


def test_trades_of_no_bot_have_no_snapshots_and_fill_no_quarantine(tmp_path: Path) -> None:
    with lake.open(tmp_path) as lk:
        traded(lk, (days_ago(3), 1.0), bot="")
        traded(lk, (days_ago(3), 2.0), bot="b")
        receipt = lk.bots.refresh_snapshots()
        assert (receipt.inserted, receipt.rejected) == (3, 0)
        assert lk.frame("SELECT DISTINCT bot_id, total_pnl FROM performance_snapshots").rows() == [("b", 2.0)]
        receipt = lk.bots.snapshot_performance(days_ago(3).date())
        assert (receipt.unchanged, receipt.rows) == (1, 1)


def test_days_that_the_settings_no_longer_retain_are_not_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKE_RETENTION_DAYS", "performance_snapshots=3")
    with lake.open(tmp_path, bot_id="b") as lk:
        traded(lk, (days_ago(9), 1.0))
        assert performance_snapshots.work(lk)["inserted"] == 3


def test_days_whose_trades_are_retired_keep_their_snapshots_and_later_ones_go_on_from_there(tmp_path: Path) -> None:
    chance = random.Random(5)
    made = [(days_ago(number), chance.gauss(0, 9)) for number in chance.sample(range(2, 60), 24)]
    found = []
    for name, is_retired in (("all", False), ("kept", True)):
        with lake.open(tmp_path / name, bot_id="b") as lk:
            lk.bots.configure(capital=100.0)
            traded(lk, *made)
            traded(lk, (days_ago(50), 7.0), bot="c", mode="paper")
            performance_snapshots.work(lk)
            if is_retired:
                lk.drain()
                assert lk.retain({"trades": 30})["trades"].rows_removed > 5
                assert performance_snapshots.work(lk)["updated"] == 0
            traded(lk, (days_ago(1), -30.0), (days_ago(1), 2.0))
            assert performance_snapshots.work(lk)["updated"] == 1
            found.append(lk.read("performance_snapshots").drop("extra").sort("bot_id", "date"))
            past = lk.bots.performance(days_ago(50).date(), "c")
            assert past.select("daily_pnl", "trades", "wins").row(0) == (7.0, 1, 1)
    polars.testing.assert_frame_equal(*found)
    assert found[0]["max_drawdown"].max() > 10


def test_every_row_of_a_refresh_is_what_its_day_alone_comes_to(lk: lake.Lake) -> None:
    random_ = random.Random(11)
    for bot, mode in (("b", "live"), ("c", "paper"), ("c", "backtest"), ("d", "paper"), ("d", "live")):
        traded(lk, *((days_ago(random_.randint(1, 25)), random_.gauss(0, 9)) for _ in range(12)), bot=bot, mode=mode)
    lk.bots.configure(capital=100.0)
    performance_snapshots.work(lk)
    stored = lk.read("performance_snapshots").drop("extra")
    for (day,), rows in stored.group_by("date"):
        end = days_ago(0).replace(
            hour=0, minute=0, second=0, microsecond=0, year=day.year, month=day.month, day=day.day
        )
        now = end + timedelta(days=1, microseconds=-1)
        shown = lk.read("trade_statistics_by_bot", {"period": "all"}, variables={"now": now})
        for row in rows.to_dicts():
            found = shown.filter(bot_id=row["bot_id"], mode=row["mode"]).to_dicts()
            total, sharpe = (found[0]["total_pnl"], found[0]["sharpe_ratio"]) if found else (0.0, None)
            assert row["total_pnl"] == pytest.approx(total)
            assert row["sharpe_ratio"] == (None if sharpe is None else pytest.approx(sharpe))
    assert len(stored) == len(lk.frame("SELECT DISTINCT bot_id, date FROM performance_snapshots"))
    key, counts = ("date", "bot_id", "mode"), ("trades", "wins", "losses", "win_rate")
    figures = (*key, *counts, "daily_pnl", "total_pnl", "sharpe_ratio")
    shown = lk.read("bot_performance").join(stored, on=key, how="semi").select(figures)
    same = stored.join(shown, on=key, how="semi").select(figures)
    polars.testing.assert_frame_equal(shown.sort("date", "bot_id"), same.sort("date", "bot_id"))
    assert shown.height > 50


def test_the_newest_state_is_that_of_a_search_through_all_of_them(tmp_path: Path) -> None:
    random_, known = random.Random(3), {}
    now = int(datetime.now(UTC).timestamp() * 1_000_000)
    lk, other = lake.open(tmp_path, bot_id="b"), lake.open(tmp_path, bot_id="c")
    for number in range(150):
        writer, bot = random_.choice((lk, other)), random_.choice("bcd")
        at = now - random_.choice((0, 5, 10**6, 10**10)) * random_.randint(1, 40)
        writer.bots.save_state(bot, state=number, snapshot_time=from_micros(at))
        known[bot, at] = number
        if random_.random() < 0.1:
            writer.drain()
        if random_.random() < 0.1:
            lk.close()
            lk = lake.open(tmp_path, bot_id="b")
        for name in {key[0] for key in known}:
            newest = max(moment for owner, moment in known if owner == name)
            for reader in (lk, other):
                state = reader.bots.latest_state(name)
                assert state is not None
                assert (state["snapshot_time"], state["state"]) == (from_micros(newest), known[name, newest])
    lk.close()
    other.close()


def test_a_restart_reads_no_more_than_the_newest_states_of_a_long_backlog(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b", durability="normal") as lk:
        for number in range(400):
            lk.bots.save_state(state=number)
        time.sleep(0.2)
        lk.bots.save_state(state="last")
    with lake.open(tmp_path, bot_id="b") as lk:
        seen = []
        lk.store.walk_back("bot_states", lambda _, entry: not seen.append(entry))  # type: ignore[func-returns-value]
        assert len(seen) == 401
        with mock.patch.object(_Search, "visit", autospec=True, side_effect=_Search.visit) as visit:
            state = lk.bots.latest_state()
        assert state is not None
        assert (state["state"], visit.call_count) == ("last", 2)


def test_a_restart_finds_the_state_though_a_vacuum_takes_the_file_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lake.open(tmp_path, bot_id="other") as other, lake.open(tmp_path, bot_id="b") as lk:
        for number in (1, 2):
            other.bots.save_state(bot_id="b", state=number)
            other.drain()
        looked = []

        def vacuumed(*found: Any) -> Any:
            if not looked:
                other.compact()
                other.vacuum(grace_hours=0)
            looked.append(found)
            return _newest_cold(*found)

        monkeypatch.setattr("lake.ledgers.newest_state._newest_cold", vacuumed)
        state = lk.bots.latest_state()
        assert state is not None
        assert (state["state"], len(looked)) == (2, 2)


def test_a_bot_may_be_named_by_keyword_but_no_second_one(lk: lake.Lake) -> None:
    lk.bots.configure(bot_id="x", symbol="BTCUSDT")
    lk.bots.save_state(bot_id="x", state=1)
    lk.bots.metric(bot_id="x", metric="cpu", value=0.5)
    for name in ("bot_configs", "bot_states", "bot_metrics"):
        assert lk.frame(f"SELECT bot_id FROM {name}").item() == "x"
    with pytest.raises(lake.errors.UsageError, match="two bots are named, 'x' and another"):
        lk.bots.save_state("x", bot_id="y", state=2)


def test_a_closed_lake_tells_no_latest_state(tmp_path: Path) -> None:
    lk = lake.open(tmp_path, bot_id="b")
    lk.bots.save_state(state=1)
    lk.close()
    with pytest.raises(lake.errors.ClosedError, match="the lake was closed"):
        lk.bots.latest_state()
    assert not lk.store.logs._mirrors, "a file of a closed lake was opened again"


def test_a_restart_reads_the_footer_of_no_file_but_the_newest(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b") as lk:
        for year in (2022, 2023, 2024, 2025):
            lk.bots.save_state(state=year, snapshot_time=datetime(year, 3, 1, tzinfo=UTC))
        lk.drain()
    with lake.open(tmp_path, bot_id="b") as lk:
        state = lk.bots.latest_state()
        assert state is not None
        assert state["state"] == 2025
        assert [path for path in lk.store.reader._footers if "period=2025" not in path] == []
        assert lk.store.reader._footers


def test_the_newest_of_many_settled_states_is_found_of_each_bot_as_it_was_written(tmp_path: Path) -> None:
    rows = [
        {
            "bot_id": bot,
            "snapshot_time": NOON + n * timedelta(minutes=1),
            "state": {"n": n},
            "trading_halted": n == last,
        }
        for bot, last in (("a", 2_999), ("b", 1_500), ("c", 3))
        for n in range(last + 1)
    ]
    with lake.open(tmp_path) as lk:
        lk.write("bot_states", rows)
        lk.compact("bot_states")
        for bot, last in (("a", 2_999), ("b", 1_500), ("c", 3)):
            state = lk.bots.latest_state(bot)
            assert state is not None
            assert (state["bot_id"], state["state"], state["trading_halted"]) == (bot, {"n": last}, True)
            assert (state["snapshot_time"], state["total_pnl"]) == (NOON + last * timedelta(minutes=1), None)
        assert lk.bots.latest_state("d") is None


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted as Linux shows them")
def test_a_restart_finds_its_state_without_other_threads_and_without_pandas(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b") as lk:
        lk.bots.save_state(state=1)
        lk.drain()
    asking = "before = len(os.listdir('/proc/self/task')); state = lk.bots.latest_state()['state']"
    told = "print(state, len(os.listdir('/proc/self/task')) - before, 'pandas' in sys.modules)"
    code = f"import os, sys, lake; lk = lake.open({str(tmp_path)!r}, bot_id='b'); {asking}; {told}; lk.close()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "0", "False"]


def test_a_first_read_waits_for_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with lake.open(tmp_path, bot_id="b") as lk:
        lk.bots.save_state(state=1)
        lk.drain()
    with lake.open(tmp_path, bot_id="b") as lk:
        monkeypatch.setattr(os, "fsync", None)
        state = lk.bots.latest_state()
        assert state is not None
        assert state["state"] == 1
        assert held_versions(lk.location) == {}
        lk.read("bot_states")
        assert held_versions(lk.location) == {"bot_states": {1}}
        monkeypatch.undo()
