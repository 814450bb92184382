"""Truth that comes late or looks odd: outcomes after days, corrections, repeats, skewed clocks, newer bots."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import lake
from lake.errors import InvalidRowError, LifeCycleError
from lake.spec import registry
from lake.spec.columns import number
from lake.spec.dataset import Dataset

DAY = datetime(2026, 1, 5, 12, tzinfo=UTC)
LONG = {"symbol": "BTCUSDT", "side": "LONG", "quantity": 1.0, "entry_price": 100.0}


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake", bot_id="tester") as opened:
        yield opened


@pytest.mark.parametrize("settled", [False, True])
def test_an_outcome_days_later_finds_its_decision_and_changes_the_figures(lk: lake.Lake, settled: bool) -> None:
    lk.decisions.record(
        decision_id="d", symbol="BTCUSDT", recommendation="LONG", confidence=0.7, prompt_version="v1", analyzed_at=DAY
    )
    if settled:
        lk.drain()
        lk.compact()
    assert lk.read("prompt_performance")["resolved"].to_list() == [0]
    lk.decisions.resolve("d", outcome_correct=True, actual_pnl=5.0, at=DAY + timedelta(days=9))
    assert lk.read("prompt_performance")["resolved"].to_list() == [1]
    lk.drain()
    assert lk.read("decisions").height == 1


def test_a_correction_of_a_trade_closed_long_ago_reaches_every_figure(lk: lake.Lake) -> None:
    lk.trades.record({**LONG, "trade_id": "t", "status": "closed", "exit_price": 110.0, "closed_at": DAY})
    lk.drain()
    before = lake.daily_report(lk, DAY.date()).modes["live"]["total_pnl"]
    lk.trades.correct("t", exit_price=90.0)
    lk.drain()
    assert (before, lake.daily_report(lk, DAY.date()).modes["live"]["total_pnl"]) == (10.0, -10.0)
    assert lk.trades.statistics(now=DAY + timedelta(days=1))["losses"].to_list()[0] == 1


def test_the_same_id_twice_is_the_same_row_whoever_sends_it_again(lk: lake.Lake) -> None:
    for _ in range(2):
        lk.trades.open(LONG, trade_id="t", opened_at=DAY)
        lk.signals.record(signal_id="s", symbol="BTCUSDT", direction="LONG", entry_price=100.0, signal_time=DAY)
        lk.fills.record(fill_id="f", symbol="BTCUSDT", side="BUY", quantity=1.0, price=100.0, executed_at=DAY)
        lk.drain()
    assert [lk.read(name).height for name in ("trades", "signals", "fills")] == [1, 1, 1]


def test_a_trade_may_come_before_its_decision(lk: lake.Lake) -> None:
    lk.trades.open(LONG, trade_id="t", decision_id="d", prompt_version="v1", opened_at=DAY)
    lk.trades.close("t", 104.0, closed_at=DAY + timedelta(hours=1))
    lk.drain()
    lk.decisions.record(decision_id="d", symbol="BTCUSDT", recommendation="LONG", prompt_version="v1", analyzed_at=DAY)
    lk.decisions.resolve("d")
    row = lk.decisions.get("d")
    assert row is not None
    assert (row["outcome_correct"], row["actual_pnl"]) == (True, 4.0)


def test_a_clock_that_runs_ahead_loses_nothing_and_counts_when_its_time_has_come(lk: lake.Lake) -> None:
    ahead = datetime.now(UTC) + timedelta(minutes=10)
    lk.trades.record({**LONG, "trade_id": "t", "status": "closed", "exit_price": 101.0, "closed_at": ahead})
    assert lk.read("trades").height == 1
    later = lk.trades.statistics(now=ahead + timedelta(minutes=1))
    assert later["trades"].to_list()[0] == 1


def test_a_close_that_comes_before_its_entry_is_kept_as_told(lk: lake.Lake) -> None:
    lk.trades.open(LONG, trade_id="t", opened_at=DAY)
    lk.trades.close("t", 101.0, closed_at=DAY - timedelta(seconds=3))
    row = lk.trades.get("t")
    assert row is not None
    assert (row["opened_at"], row["closed_at"]) == (DAY, DAY - timedelta(seconds=3))
    found = lk.trades.statistics(now=DAY + timedelta(days=1)).row(0, named=True)
    assert (found["trades"], found["total_pnl"]) == (1, 1.0)
    assert (found["avg_hold_minutes"], found["exposure"]) == (0.0, None)
    lk.trades.record({**LONG, "trade_id": "u", "status": "closed", "exit_price": 101.0, "opened_at": DAY,
                      "closed_at": DAY + timedelta(minutes=10)})  # fmt: skip
    found = lk.trades.statistics(now=DAY + timedelta(days=1)).row(0, named=True)
    assert (found["avg_hold_minutes"], found["exposure"]) == (5.0, 100.0)


def test_a_close_long_before_its_entry_is_refused_with_both_times_and_what_two_clocks_may_differ_by(
    lk: lake.Lake,
) -> None:
    lk.trades.open(LONG, trade_id="t", opened_at=DAY)
    with pytest.raises(InvalidRowError, match=r"12:00:00.*got '2026-01-05T11:58.*correct opened_at.*60 seconds apart"):
        lk.trades.close("t", 101.0, closed_at=DAY - timedelta(minutes=2))
    assert [row["trade_id"] for row in lk.trades.active()] == ["t"]
    lk.trades.close("t", 101.0)


def test_a_metric_that_a_wrong_clock_dated_ahead_does_not_hide_those_that_follow(lk: lake.Lake) -> None:
    def last() -> tuple[Any, ...]:
        return lk.bots.status("tester").select("metric_time", "price").row(0)

    now = datetime.now(UTC)
    ahead = now + timedelta(days=1800)
    lk.bots.metric(price=1.0, time=ahead)
    assert last() == (ahead, 1.0)
    lk.bots.metric(price=2.0, time=now)
    lk.bots.metric(price=3.0, time=now + timedelta(seconds=30))
    for _ in range(2):
        assert last() == (now + timedelta(seconds=30), 3.0)
        lk.drain()
    then = lk.read("bot_status", variables={"now": ahead})
    assert then["price"].to_list() == [1.0]


def test_fields_that_nobody_knows_are_kept_through_every_step(lk: lake.Lake) -> None:
    lk.trades.open(LONG, trade_id="t", mood="greedy")
    lk.trades.patch("t", slippage=0.2)
    lk.drain()
    lk.trades.close("t", 101.0, note={"by": "hand"})
    lk.drain()
    kept = lk.frame("SELECT extra->>'mood', extra->>'slippage', extra->'note'->>'by' FROM trades").row(0)
    assert kept == ("greedy", "0.2", "hand")


def newer(ds: Dataset) -> Dataset:
    """The dataset as a later version has it, with one column more."""
    return dataclasses.replace(ds, columns=(*ds.columns, number("slippage_bps", "what the fill cost", "bp")))


def test_a_newer_bot_and_an_older_one_write_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = registry.get("trades")
    with lake.open(tmp_path, bot_id="old") as older:
        older.trades.open(LONG, trade_id="a")
        older.drain()
    with monkeypatch.context() as upgraded:
        known = {ds.name: newer(ds) if ds.name == "trades" else ds for ds in registry.all_datasets()}
        upgraded.setattr(registry, "get", lambda name: known[name])
        with lake.open(tmp_path, bot_id="new") as later:
            later.write("trades", {**LONG, "trade_id": "b", "slippage_bps": 1.5})
            later.drain()
    assert registry.get("trades") is old
    with lake.open(tmp_path, bot_id="old") as older:
        older.trades.close("a", 101.0)
        older.trades.open(LONG, trade_id="c")
        older.drain()
        older.compact("trades")
        assert sorted(older.read("trades")["trade_id"]) == ["a", "b", "c"]
    with monkeypatch.context() as upgraded:
        upgraded.setattr(registry, "get", lambda name: known[name])
        with lake.open(tmp_path) as later:
            kept = dict(later.frame("SELECT trade_id, slippage_bps FROM trades").rows())
    assert kept == {"a": None, "b": 1.5, "c": None}


def test_what_has_ended_is_not_begun_again_by_a_late_message(lk: lake.Lake) -> None:
    lk.trades.open(LONG, trade_id="t")
    lk.trades.close("t", 101.0)
    lk.drain()
    with pytest.raises(LifeCycleError, match="closed and cannot be opened"):
        lk.trades.open(LONG, trade_id="t")
    with pytest.raises(LifeCycleError, match="closed and cannot be error"):
        lk.trades.error("t", "timeout")


LEDGERS: list[tuple[str, str, dict[str, Any]]] = [
    ("trades", "trade_id", {"side": "LONG", "quantity": 1.0, "entry_price": 100.0, "status": "open"}),
    ("fills", "fill_id", {"side": "BUY", "quantity": 1.0, "price": 100.0}),
    ("signals", "signal_id", {"direction": "LONG"}),
    ("decisions", "decision_id", {"recommendation": "LONG"}),
    ("phantoms", "phantom_id", {"side": "LONG", "entry_price": 100.0}),
    ("predictions", "prediction_id", {"horizon_minutes": 60}),
]


@pytest.mark.parametrize(("dataset", "name", "row"), LEDGERS)
def test_an_empty_id_is_none_so_that_no_row_takes_the_place_of_another(
    lk: lake.Lake, dataset: str, name: str, row: dict[str, Any]
) -> None:
    ledger = getattr(lk, dataset)
    made = [ledger.record({**row, "symbol": "BTCUSDT", name: ""}).id for _ in range(2)]
    assert all(made)
    assert sorted(lk.read(dataset)[name]) == sorted(made)
    if dataset == "trades":
        opened = lk.trades.open({**row, "symbol": "BTCUSDT"}, trade_id="").id
        assert lk.trades.close(opened, 101.0).updated == 1
        position = lk.positions.open(symbol="BTCUSDT", position_id="").id
        assert [row["position_id"] for row in lk.positions.active()] == [position]


@pytest.mark.parametrize("as_table", [False, True])
def test_an_empty_id_of_something_else_is_none(lk: lake.Lake, as_table: bool) -> None:
    rows = [{"decision_id": "d", "symbol": "BTCUSDT", "recommendation": "LONG", "trade_id": "", "analyzed_at": DAY}]
    phantoms = [
        {"phantom_id": n, "symbol": "BTCUSDT", "side": "LONG", "entry_price": 1.0, "signal_id": "",
         "was_executed": False, "reject_reason": "spread", "signal_time": DAY}
        for n in "ab"
    ]  # fmt: skip
    if as_table:
        lk.write("decisions", pl.DataFrame(rows))
        lk.write("phantoms", pl.DataFrame(phantoms))
    else:
        lk.decisions.record(rows[0])
        for row in phantoms:
            lk.phantoms.record(row)
    assert lk.read("decisions")["trade_id"].to_list() == [None]
    assert lk.read("prompt_performance")["traded"].to_list() == [0]
    assert lk.phantoms.blocked()["blocked"].to_list() == [2]
    lk.trades.open(symbol="BTCUSDT", side="LONG", quantity=1.0, entry_price=1.0, trade_id="t", signal_id="s")
    lk.trades.open(symbol="BTCUSDT", side="LONG", quantity=1.0, entry_price=1.0, trade_id="t", signal_id="")
    assert lk.read("trades")["signal_id"].to_list() == ["s"]
