"""The life of a trade, and what it made."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import lake
from lake.errors import InvalidRowError, LifeCycleError, UnknownRowError, UsageError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LONG = {"symbol": "BTC/USDT", "side": "LONG", "quantity": 2.0, "entry_price": 100.0}


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake", bot_id="tester") as opened:
        yield opened


@pytest.mark.parametrize(
    ("side", "exit_price", "leverage", "fees", "pnl", "percent"),
    [
        ("LONG", 110.0, 1.0, 0.0, 20.0, 10.0),
        ("LONG", 110.0, 5.0, 1.0, 19.0, 47.5),
        ("SHORT", 110.0, 5.0, 1.0, -21.0, -52.5),
        ("SHORT", 90.0, 1.0, -0.5, 20.5, 10.25),
        ("LONG", 100.0, 10.0, 0.0, 0.0, 0.0),
    ],
)
def test_a_closed_trade_knows_its_money_and_its_percent_of_the_margin(
    lk: lake.Lake, side: str, exit_price: float, leverage: float, fees: float, pnl: float, percent: float
) -> None:
    trade_id = lk.trades.open({**LONG, "side": side, "leverage": leverage, "opened_at": NOON}).id
    lk.trades.close(trade_id, exit_price, exit_reason="tp", fees=fees, closed_at=NOON)
    row = lk.trades.get(trade_id)
    assert row is not None
    assert (row["status"], row["exit_reason"], row["closed_at"]) == ("closed", "tp", NOON)
    assert (row["pnl"], row["pnl_percent"]) == (pytest.approx(pnl), pytest.approx(percent))
    assert lake.pnl(100.0, exit_price, 2.0, side, leverage, fees) == pytest.approx((pnl, percent))


@pytest.mark.parametrize("table", [False, True], ids=["one by one", "in a table"])
def test_a_trade_that_gained_just_its_fees_is_a_breakeven_whatever_rounding_says(lk: lake.Lake, table: bool) -> None:
    draws, rows = random.Random(3), []
    for number in range(300):
        entry, gain, quantity = (Decimal(draws.randint(1, 500_000)) / 1000 for _ in range(3))
        sides = {"LONG": entry + gain, "SHORT": entry} if number % 2 else {"LONG": entry + gain}
        for side, ended in sides.items():
            begun = entry + gain if side == "SHORT" else entry
            prices = {"entry_price": float(begun), "exit_price": float(ended), "quantity": float(quantity)}
            rows.append({**prices, "side": side, "fees": float(gain * quantity), "trade_id": f"{side}{number}"})
    given = [{**row, "symbol": "BTCUSDT", "status": "closed", "closed_at": NOON, "opened_at": NOON} for row in rows]
    if table:
        lk.trades.record(pl.DataFrame(given))
    else:
        for row in given:
            lk.trades.record(row)
    found = lk.frame("SELECT pnl, pnl_percent FROM trades").unique()
    assert found.rows() == [(0.0, 0.0)]
    assert lk.read("trade_statistics", {"period": "all"})["breakevens"].to_list() == [len(rows)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 1.0, 1.0, "LONG"), "entry cannot be 0 or negative"),
        ((1.0, -1.0, 1.0, "LONG"), "exit cannot be negative"),
        ((1.0, 1.0, float("nan"), "LONG"), "quantity: a finite number"),
        ((1.0, 1.0, 1.0, "UP"), "side: a side is LONG or SHORT"),
        ((1.0, 1.0, 1.0, "LONG", 0.0), "leverage cannot be 0 or negative"),
        (("1", 1.0, 1.0, "LONG"), "entry: a finite number"),
    ],
)
def test_a_result_of_what_cannot_be_is_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        lake.pnl(*arguments)  # type: ignore[arg-type]


def test_a_trade_goes_from_pending_to_open_to_closed(lk: lake.Lake) -> None:
    assert lk.trades.open({**LONG, "trade_id": "t", "status": "pending", "created_at": NOON}).inserted == 1
    assert [row["status"] for row in lk.trades.active()] == ["pending"]
    lk.trades.patch("t", status="open", opened_at=NOON)
    assert lk.trades.close("t", 101.0).updated == 1
    assert lk.trades.active() == []
    assert lk.trades.close("t", 101.0).unchanged == 1
    with pytest.raises(LifeCycleError, match="closed and cannot be closed"):
        lk.trades.close("t", 102.0)
    with pytest.raises(LifeCycleError, match="cannot be cancelled"):
        lk.trades.cancel("t")
    with pytest.raises(LifeCycleError, match="cannot be opened"):
        lk.trades.open({**LONG, "trade_id": "t"})


@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize("step", ["cancel", "error", "close", "liquidate"])
def test_a_trade_that_is_not_over_after_all_is_open_again_and_ends_as_any_other(
    tmp_path: Path, step: str, settled: bool
) -> None:
    with lake.open(tmp_path, bot_id="b") as lk:
        lk.trades.open(LONG, trade_id="t", leverage=5.0, opened_at=NOON, fees=1.0)
        getattr(lk.trades, step)("t", *((90.0,) if step == "close" else ()))
        if settled:
            lk.drain()
    with lake.open(tmp_path, bot_id="b") as lk:
        with pytest.raises(LifeCycleError, match=r"with status='open' if it is not over"):
            lk.trades.open(LONG, trade_id="t") if step != "close" else lk.trades.close("t", 110.0)
        assert lk.trades.correct("t", status="open").updated == 1
        assert lk.trades.correct("t", status="Open").unchanged == 1
        [row] = lk.trades.active()
        gone = ("closed_at", "exit_price", "exit_reason", "pnl", "pnl_percent")
        assert [row[name] for name in ("status", "opened_at", "fees", *gone)] == ["open", NOON, 1.0, *[None] * 5]
        lk.trades.close("t", 110.0, exit_reason="tp")
        [row] = lk.trades.statistics().to_dicts()
        assert (row["trades"], row["total_pnl"], row["cancelled_trades"], row["error_trades"]) == (1, 19.0, 0, 0)


def test_a_trade_is_not_open_again_without_what_an_open_one_needs(lk: lake.Lake) -> None:
    lk.trades.open(symbol="BTCUSDT", trade_id="t", status="pending", created_at=NOON)
    lk.trades.cancel("t")
    with pytest.raises(InvalidRowError, match="an open trade has one"):
        lk.trades.correct("t", status="open", side="LONG", quantity=1.0)
    lk.trades.correct("t", status="open", side="LONG", quantity=1.0, entry_price=100.0)
    [row] = lk.trades.active()
    assert (row["status"], row["opened_at"]) == ("open", NOON)


def test_a_part_of_a_trade_is_not_taken_for_all_of_it(lk: lake.Lake) -> None:
    lk.trades.open(symbol="BTCUSDT", side="LONG", quantity=2.0, entry_price=100.0, trade_id="t")
    for part in (lk.trades.close, lk.trades.liquidate):
        with pytest.raises(LifeCycleError, match=r"holds 2, .* as a whole \(got 1.0\). Record partial exits"):
            part("t", 110.0, quantity="1")
    for number, price in enumerate((110.0, 120.0)):
        lk.fills.record(
            trade_id="t", fill_id=str(number), symbol="BTCUSDT", side="SELL", quantity=1.0, price=price, is_entry=False
        )
    found = lk.fills.summary("t")
    assert found.exit_price is not None
    lk.trades.close("t", found.exit_price, quantity=found.exit_quantity)
    row = lk.trades.get("t")
    assert row is not None
    assert (row["status"], row["exit_price"], row["pnl"]) == ("closed", 115.0, 30.0)
    lk.trades.open(symbol="BTCUSDT", side="LONG", quantity=0.8, entry_price=100.0, trade_id="u")
    assert lk.trades.close("u", 110.0, quantity=0.7992).updated == 1  # a fee of 0.1 % was taken in bitcoin


def test_opening_the_same_trade_again_changes_nothing(lk: lake.Lake) -> None:
    lk.trades.open(LONG, trade_id="t")
    first = lk.trades.get("t")
    assert lk.trades.open(LONG, trade_id="t").unchanged == 1
    assert lk.trades.get("t") == first


@pytest.mark.parametrize("step", ["cancel", "error"])
def test_a_trade_that_was_opened_by_a_clock_ahead_ends_no_earlier_than_it_began(lk: lake.Lake, step: str) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=1)
    lk.trades.open(LONG, trade_id="t", opened_at=ahead)
    getattr(lk.trades, step)("t")
    assert lk.frame("SELECT closed_at FROM trades").item() == ahead


@pytest.mark.parametrize("step", ["cancel", "error"])
def test_a_trade_that_came_to_nothing_says_why_and_counts_nowhere(lk: lake.Lake, step: str) -> None:
    lk.trades.open(LONG, trade_id="t", status="pending")
    getattr(lk.trades, step)("t", "no margin")
    assert getattr(lk.trades, step)("t", "again").unchanged == 1
    row = lk.trades.get("t")
    assert row is not None
    assert (row["status"], row["exit_reason"], row["pnl"]) == (
        {"cancel": "cancelled"}.get(step, step),
        "no margin",
        None,
    )


@pytest.mark.parametrize(("side", "price"), [("LONG", 90.0), ("SHORT", 110.0)])
def test_a_liquidation_loses_the_margin_and_no_more(lk: lake.Lake, side: str, price: float) -> None:
    lk.trades.open(LONG, side=side, leverage=10.0, trade_id="t", fees=3.0)
    lk.trades.open(LONG, side=side, leverage=10.0, trade_id="u")
    lk.trades.liquidate("t")
    lk.trades.liquidate("u", 95.0 if side == "LONG" else 105.0)
    rows = {r["trade_id"]: r for r in lk.read("trades").iter_rows(named=True)}
    assert (rows["t"]["exit_price"], rows["t"]["pnl"], rows["t"]["pnl_percent"]) == (
        pytest.approx(price),
        -20.0,
        -100.0,
    )
    assert (rows["u"]["pnl"], rows["u"]["exit_reason"]) == (pytest.approx(-10.0), "liquidated")
    assert lk.trades.liquidate("t").unchanged == 1


def test_a_correction_of_a_closed_trade_computes_its_result_anew(lk: lake.Lake) -> None:
    lk.trades.open(LONG, trade_id="t")
    lk.trades.close("t", 110.0)
    lk.trades.correct("t", fees=5.0)
    row = lk.trades.get("t")
    assert row is not None
    assert (row["pnl"], row["pnl_percent"]) == (15.0, 7.5)
    lk.trades.correct("t", pnl=14.0)
    row = lk.trades.get("t")
    assert row is not None
    assert (row["pnl"], row["pnl_percent"]) == (14.0, 7.0)


def test_a_decision_a_signal_and_their_trade_land_together_or_not_at_all(lk: lake.Lake) -> None:
    def work(side: str) -> None:
        with lk.transaction():
            lk.write(
                "decisions", {"decision_id": "d", "symbol": "BTCUSDT", "recommendation": "LONG", "confidence": 0.7}
            )
            lk.write("signals", {"signal_id": "s", "symbol": "BTCUSDT", "direction": "LONG", "action": "EXECUTED"})
            lk.trades.open(LONG, side=side, trade_id="t", decision_id="d", signal_id="s")
            lk.patch("decisions", "d", {"traded": True, "trade_id": "t"})

    with pytest.raises(InvalidRowError, match=r"trades\.side"):
        work("UP")
    assert all(lk.read(name).is_empty() for name in ("decisions", "signals", "trades"))
    work("LONG")
    assert lk.frame(
        "SELECT d.traded, t.status FROM decisions d JOIN trades t USING (trade_id) JOIN signals s USING (signal_id)"
    ).rows() == [(True, "open")]


def test_a_transaction_sees_its_own_trades_and_decides_by_them(lk: lake.Lake) -> None:
    lk.trades.open(LONG, trade_id="before")
    with lk.transaction():
        lk.decisions.record(decision_id="d", symbol="BTCUSDT", recommendation="LONG")
        for trade_id in ("t", "u"):
            lk.trades.open(LONG, trade_id=trade_id, decision_id="d")
        lk.trades.close("before", 101.0)
        assert [row["trade_id"] for row in lk.trades.active()] == ["t", "u"]
        assert [row["decision_id"] for row in lk.decisions.unresolved()] == ["d"]
        for trade_id in ("t", "u"):
            lk.trades.close(trade_id, 110.0)
        lk.decisions.resolve("d")
        assert lk.decisions.unresolved() == []
    pnls = lk.frame("SELECT pnl FROM trades WHERE decision_id = 'd'")["pnl"]
    assert lk.frame("SELECT outcome_correct, actual_pnl FROM decisions").row(0) == (True, pnls.sum())


def test_a_mode_in_which_nothing_closed_has_no_streak(lk: lake.Lake) -> None:
    lk.trades.open(LONG)
    (row,) = lk.trades.statistics().to_dicts()
    streaks = [row[name] for name in ("longest_win_streak", "longest_loss_streak", "current_streak", "exposure")]
    assert (row["trades"], row["open_trades"], streaks) == (0, 1, [0, 0, 0, None])


def test_whole_trades_are_recorded_with_their_results(lk: lake.Lake) -> None:
    done = {**LONG, "status": "closed", "exit_price": 90.0, "closed_at": NOON}
    assert lk.trades.record(done).inserted == 1
    receipt = lk.trades.record([{**done, "trade_id": "a"}, {**done, "trade_id": "b", "side": "UP"}])
    assert (receipt.inserted, receipt.rejected) == (1, 1)
    assert lk.frame("SELECT DISTINCT pnl, pnl_percent FROM trades").rows() == [(-20.0, -10.0)]


def test_what_is_not_there_cannot_be_closed(lk: lake.Lake) -> None:
    for step in (lk.trades.cancel, lk.trades.error, lk.trades.liquidate):
        with pytest.raises(UnknownRowError, match="'t9'"):
            step("t9")
    with pytest.raises(UnknownRowError, match="'t9'"):
        lk.trades.close("t9", 1.0)
    with pytest.raises(UsageError, match="without any value"):
        lk.trades.open()


def test_active_trades_are_those_of_the_bot(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="a") as one:
        one.trades.open(LONG, trade_id="a1")
        one.drain()
    with lake.open(tmp_path, bot_id="b") as two:
        two.trades.open(LONG, trade_id="b1")
        assert [row["trade_id"] for row in two.trades.active()] == ["b1"]
    with lake.open(tmp_path) as everyone:
        assert sorted(row["trade_id"] for row in everyone.trades.active()) == ["a1", "b1"]


BASE = {"symbol": "BTCUSDT", "side": "LONG", "quantity": 1.0, "entry_price": 100.0}


def results(lk: lake.Lake, trade_id: str) -> tuple[float | None, float | None]:
    row = lk.trades.get(trade_id)
    assert row is not None
    return row["pnl"], row["pnl_percent"]


def test_a_given_pnl_has_its_percentage_however_the_trade_is_told(lk: lake.Lake) -> None:
    whole = {**BASE, "leverage": 5.0, "pnl": 10.0, "status": "closed"}
    lk.trades.open(BASE, trade_id="closed", leverage=5.0)
    lk.trades.close("closed", None, pnl=10.0)
    lk.trades.record(whole, trade_id="one")
    lk.trades.record([{**whole, "trade_id": "listed"}])
    lk.trades.record(
        pl.DataFrame([{**whole, "trade_id": "in a table"}, {**BASE, "trade_id": "open", "status": "open"}])
    )
    lk.trades.record({**whole, "pnl_percent": 49.0}, trade_id="said")
    lk.trades.record({**whole, "quantity": 0.0}, trade_id="of nothing")
    lk.backtests.record({"run_id": "r", "symbol": "BTCUSDT"}, [{**whole, "trade_id": "simulated"}])
    for trade_id in ("closed", "one", "listed", "in a table", "r/simulated"):
        assert results(lk, trade_id) == (10.0, 50.0)
    assert (results(lk, "said"), results(lk, "of nothing"), results(lk, "open")) == (
        (10.0, 49.0), (10.0, None), (None, None),
    )  # fmt: skip


def test_a_long_without_borrowed_money_is_liquidated_at_nothing(lk: lake.Lake) -> None:
    lk.trades.open(symbol="BTCUSDT", side="LONG", quantity=2.0, entry_price=100.0, leverage=0.5, trade_id="t")
    lk.trades.liquidate("t")
    row = lk.trades.get("t")
    assert row is not None
    assert (row["exit_price"], row["pnl"], row["pnl_percent"]) == (0.0, -200.0, -50.0)


def test_a_liquidation_takes_the_fees_that_come_with_it_off(lk: lake.Lake) -> None:
    for name in "abc":
        lk.trades.open(LONG, trade_id=name, leverage=5.0)
    lk.trades.liquidate("a", exit_price=91.0, fees=3.0)
    lk.trades.liquidate("b", exit_price=81.0, fees=3.0)
    lk.trades.liquidate("c", pnl=-39.5)
    assert [results(lk, name) for name in "abc"] == [(-21.0, -52.5), (-40.0, -100.0), (-39.5, -98.75)]
    lk.trades.open(LONG, trade_id="d")
    with pytest.raises(InvalidRowError, match=r"trades\.fees: not a number"):
        lk.trades.liquidate("d", fees=float("nan"))
    with pytest.raises(UsageError, match="liquidate does not take a status"):
        lk.trades.liquidate("d", status="open")


def test_a_pnl_that_the_exchange_reports_stays_given_when_fees_are_corrected(lk: lake.Lake) -> None:
    lk.trades.open(BASE, trade_id="t")
    lk.trades.close("t", 110.0, pnl=7.5)
    assert lk.trades.correct("t", fees=0.1).updated == 1
    assert results(lk, "t") == (pytest.approx(7.4), pytest.approx(7.4))
    assert lk.trades.correct("t", fees=0.1).unchanged == 1
    lk.trades.correct("t", fees=0.3, leverage=2.0)
    assert results(lk, "t") == (pytest.approx(7.2), pytest.approx(14.4))
    before = lk.trades.get("t")
    for changes in ({"exit_price": 111.0}, {"entry_price": 99.0}, {"quantity": 2.0}, {"side": "SHORT"}):
        with pytest.raises(LifeCycleError, match=rf"another {next(iter(changes))} does not say.*Give pnl="):
            lk.trades.correct("t", **changes)
    assert lk.trades.get("t") == before
    lk.trades.correct("t", exit_price=111.0, pnl=8.0)
    assert results(lk, "t") == (8.0, 16.0)
    lk.trades.correct("t", pnl=None)
    assert results(lk, "t") == (pytest.approx(10.7), pytest.approx(21.4))
    lk.trades.correct("t", exit_price=112.0)
    assert results(lk, "t")[0] == pytest.approx(11.7)


def test_a_given_pnl_is_kept_when_what_was_unknown_is_told(lk: lake.Lake) -> None:
    lk.trades.record(trade_id="t", symbol="BTCUSDT", status="closed", pnl=4.0)
    lk.trades.correct("t", side="LONG", quantity=1.0, entry_price=100.0)
    lk.trades.correct("t", exit_price=110.0)
    assert results(lk, "t") == (4.0, 4.0)


def test_a_correction_of_a_liquidation_loses_no_more_than_the_margin(lk: lake.Lake) -> None:
    lk.trades.open(LONG, trade_id="t", leverage=5.0)
    lk.trades.liquidate("t", 81.0)
    assert results(lk, "t") == (-38.0, -95.0)
    lk.trades.correct("t", fees=3.0)
    assert results(lk, "t") == (-40.0, -100.0)
    lk.trades.correct("t", exit_price=70.0)
    assert results(lk, "t") == (-40.0, -100.0)
    lk.trades.correct("t", exit_reason="sl")
    assert results(lk, "t") == (-63.0, -157.5)


@pytest.mark.parametrize("settled", [False, True])
def test_random_corrections_give_what_a_trade_closed_with_those_values_would_have(lk: lake.Lake, settled: bool) -> None:
    rng = random.Random(int(settled))
    for number in range(15):
        row: dict[str, Any] = {"leverage": 1.0, "fees": 0.0, "exit_price": 100.0, **BASE}
        lk.trades.record(row, trade_id=str(number), status="closed")
        for _ in range(4):
            name = rng.choice(("entry_price", "exit_price", "quantity", "leverage", "fees", "side"))
            row[name] = rng.choice(("LONG", "SHORT")) if name == "side" else rng.uniform(1, 200)
            lk.trades.correct(str(number), **{name: row[name]})
            if settled and not number % 5:
                lk.drain()
        sign = 1 if row["side"] == "LONG" else -1
        pnl = sign * (row["exit_price"] - row["entry_price"]) * row["quantity"] - row["fees"]
        percent = 100 * pnl * row["leverage"] / row["entry_price"] / row["quantity"]
        assert results(lk, str(number)) == (pytest.approx(pnl), pytest.approx(percent))


@pytest.mark.parametrize("settled", [False, True])
def test_recording_a_closed_trade_again_changes_nothing(lk: lake.Lake, settled: bool) -> None:
    row = {**BASE, "trade_id": "z", "status": "closed", "exit_price": 110.0}
    lk.trades.record(row)
    first = lk.trades.get("z")
    if settled:
        lk.drain()
    assert lk.trades.record(row).unchanged == 1
    assert lk.trades.record([row]).unchanged == 1
    assert lk.trades.get("z") == first


OTHER = [{"symbol": "SOLUSDT"}, {"venue": "y"}, {"side": "SHORT"}, {"bot_id": "b2"}, {"entry_price": 7.0}]


@pytest.mark.parametrize("other", OTHER, ids=[next(iter(o)) for o in OTHER])
@pytest.mark.parametrize("settled", [False, True])
def test_a_trade_does_not_take_the_place_of_another_one_of_its_id(
    lk: lake.Lake, other: dict[str, Any], settled: bool
) -> None:
    lk.trades.open(BASE, trade_id="q", venue="x")
    if settled:
        lk.drain()
    first = lk.trades.get("q")
    with pytest.raises(LifeCycleError, match=rf"trades\.{next(iter(other))}, q: another one has this id"):
        lk.trades.open({**BASE, **other}, trade_id="q")
    if "entry_price" not in other:
        with pytest.raises(LifeCycleError, match=rf"trades\.{next(iter(other))}, q: another one has this id"):
            lk.trades.record({**BASE, **other}, trade_id="q")
        assert lk.trades.record([{**BASE, **other, "trade_id": "q"}]).rejected == 1
    assert lk.trades.get("q") == first
    assert lk.trades.open(BASE, trade_id="q").unchanged == 1


def test_two_bots_with_the_same_id_do_not_overwrite_each_other(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as one, lake.open(tmp_path, bot_id="b2") as two:
        one.trades.open(BASE, trade_id="q")
        one.positions.open(BASE, position_id="q")
        one.phantoms.record(BASE, phantom_id="q")
        one.signals.record(symbol="BTCUSDT", direction="LONG", entry_price=100.0, signal_id="q")
        for step, row in (
            (two.trades.open, {"trade_id": "q", **BASE}),
            (two.positions.open, {"position_id": "q", **BASE}),
            (two.phantoms.record, {"phantom_id": "q", **BASE}),
            (two.signals.record, {"signal_id": "q", "symbol": "BTCUSDT", "direction": "LONG"}),
        ):
            with pytest.raises(LifeCycleError, match="another one has this id, and its bot_id is 'b1'"):
                step(row)
        for step, row in (
            (one.positions.open, {"position_id": "q", **BASE}),
            (one.phantoms.record, {"phantom_id": "q", **BASE}),
            (one.signals.record, {"signal_id": "q", "symbol": "BTCUSDT", "direction": "LONG"}),
        ):
            with pytest.raises(LifeCycleError, match="another one has this id, and its symbol is 'BTCUSDT'"):
                step({**row, "symbol": "SOLUSDT"})
        for name in ("trades", "positions", "phantoms", "signals"):
            assert one.frame(f"SELECT bot_id, symbol FROM {name}").rows() == [("b1", "BTCUSDT")]


def test_a_pending_trade_may_be_filled_at_another_price_and_told_what_was_unknown(lk: lake.Lake) -> None:
    lk.trades.open(trade_id="p", symbol="BTCUSDT", entry_price=99.0, status="pending")
    lk.trades.open(BASE, trade_id="p", venue="x")
    lk.trades.open(trade_id="p", symbol="BTCUSDT", entry_price=99.0, quantity=3.0, status="pending", strategy="s")
    row = lk.trades.get("p")
    assert row is not None
    assert (row["entry_price"], row["quantity"], row["venue"], row["strategy"]) == (100.0, 1.0, "x", "s")


def test_a_patch_does_not_go_round_the_life_of_a_trade(lk: lake.Lake) -> None:
    lk.trades.open(BASE, trade_id="o")
    lk.trades.open(BASE, trade_id="c")
    lk.trades.close("c", 110.0)
    lk.trades.open(BASE, trade_id="x", status="pending")
    lk.trades.cancel("x")
    before = lk.read("trades")
    for trade_id, status in (("o", "closed"), ("o", "pending"), ("c", "open"), ("c", "error"), ("x", "open")):
        with pytest.raises(LifeCycleError, match=f"does not make it {status}.*open, close, liquidate, cancel or error"):
            lk.trades.patch(trade_id, status=status)
    for name, value in (
        *(("exit_price", 50.0), ("exit_price", None), ("entry_price", 1.0), ("quantity", 3.0), ("side", "SHORT")),
        *(("leverage", 2.0), ("fees", 1.0), ("pnl", 1.0), ("pnl_percent", 1.0)),
    ):
        with pytest.raises(LifeCycleError, match=rf"a patch of its {name} would leave.*lk\.trades\.correct"):
            lk.trades.patch("c", **{name: value})
    assert lk.read("trades").equals(before)
    assert lk.trades.patch("c", status="closed", exit_price=110.0).unchanged == 1
    assert lk.trades.patch("c", strategy="s", max_favorable=111.0).updated == 1
    assert lk.patch("trades", "c", {"exit_price": 50.0}).updated == 1, "the raw tool"


def test_a_liquidation_is_worth_the_same_however_it_is_told(lk: lake.Lake) -> None:
    row = {**LONG, "leverage": 5.0}
    for name in "ab":
        lk.trades.open(row, trade_id=name)
    lk.trades.liquidate("a", 70.0, fees=1.0)
    lk.trades.close("b", 70.0, exit_reason="liquidated", fees=1.0)
    lk.trades.record(row, trade_id="c", status="closed", exit_price=70.0, exit_reason="liquidated", fees=1.0)
    for name in "abc":
        assert results(lk, name) == (-40.0, -100.0)
        lk.trades.correct(name, exit_price=90.0)
        assert results(lk, name) == (-21.0, -52.5)


CLOSED = {**BASE, "status": "closed", "exit_price": 110.0, "opened_at": NOON, "closed_at": NOON + timedelta(hours=1)}
SAME_TRADE_OTHERWISE: list[dict[str, Any]] = [
    {name: kind(CLOSED[name]) for name in ("quantity", "entry_price", "exit_price")}
    for kind in (np.float32, np.float64, np.int64, Decimal, str, int)
]
SAME_TRADE_OTHERWISE += [{"side": "long"}, {"status": "CLOSED"}, {"pnl": float("nan")}, {"opened_at": str(NOON)}]
FORMS: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "one": lambda rows: rows[0],
    "rows": list,
    "a generator": iter,
    "Polars": lambda rows: pl.DataFrame(rows, strict=False),
    "pandas": pd.DataFrame,
    "Arrow": lambda rows: pa.Table.from_pandas(pd.DataFrame(rows)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("otherwise", SAME_TRADE_OTHERWISE, ids=str)
def test_a_closed_trade_has_its_result_in_whatever_form_it_is_given(
    lk: lake.Lake, form: str, otherwise: dict[str, Any]
) -> None:
    assert lk.trades.record(FORMS[form]([{**CLOSED, **otherwise, "trade_id": "t"}])).inserted == 1
    row = lk.trades.get("t")
    assert row is not None
    assert (row["pnl"], row["pnl_percent"]) == (10.0, 10.0)
    assert (row["created_at"], row["closed_at"], row["bot_id"]) == (NOON, NOON + timedelta(hours=1), "tester")


@pytest.mark.parametrize("form", ["rows", "Polars", "pandas", "Arrow"])
def test_many_trades_are_completed_each_by_what_it_says(lk: lake.Lake, form: str) -> None:
    early, later = NOON - timedelta(days=2), NOON + timedelta(hours=1)
    many = [
        {**CLOSED, "trade_id": "said", "created_at": early},
        {**CLOSED, "trade_id": "silent", "created_at": None},
        {**CLOSED, "trade_id": "reported", "pnl": 7.0},
        {**CLOSED, "trade_id": "margin", "exit_price": 10.0, "leverage": 10.0, "exit_reason": "liquidated"},
        {**CLOSED, "trade_id": "open", "status": "open", "exit_price": None, "closed_at": None},
        {**CLOSED, "trade_id": "wrong", "side": "UP"},
        {**CLOSED, "trade_id": "endless", "quantity": 1e300, "exit_price": 1e300},
    ]
    names = dict.fromkeys(name for row in many for name in row)
    receipt = lk.trades.record(FORMS[form]([{name: row.get(name) for name in names} for row in many]))
    assert (receipt.inserted, receipt.rejected) == (5, 2)
    assert sorted(rejection.row["trade_id"] for rejection in receipt.rejections) == ["endless", "wrong"]
    found = lk.frame("SELECT trade_id, created_at, closed_at, pnl, pnl_percent FROM trades ORDER BY trade_id").rows()
    assert found == [
        ("margin", NOON, later, -10.0, -100.0),
        ("open", NOON, None, None, None),
        ("reported", NOON, later, 7.0, 7.0),
        ("said", early, later, 10.0, 10.0),
        ("silent", NOON, later, 10.0, 10.0),
    ]


def test_a_table_of_trades_without_a_time_of_their_closing_were_closed_now_or_when_first_recorded(
    lk: lake.Lake,
) -> None:
    rows = [{**BASE, "status": "closed", "exit_price": 110.0, "trade_id": name} for name in "ab"]
    table = pl.DataFrame(rows)
    lk.trades.record(rows[0])
    first = lk.trades.get("a")
    before = datetime.now(UTC)
    receipt = lk.trades.record(table)
    assert (receipt.inserted, receipt.unchanged) == (1, 1)
    assert lk.trades.get("a") == first
    row = lk.trades.get("b")
    assert row is not None
    assert before <= row["closed_at"] <= datetime.now(UTC)
    assert lk.trades.record(table).unchanged == 2


def test_more_rows_than_hot_takes_are_completed_too(lk: lake.Lake) -> None:
    table = pl.DataFrame([CLOSED] * 6000).with_columns(side=pl.lit("short"))
    assert lk.trades.record(table).inserted == 6000
    assert lk.frame("SELECT DISTINCT pnl, created_at FROM trades").rows() == [(-10.0, NOON)]


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64, Decimal, str, int])
def test_a_price_may_be_any_kind_of_number_at_each_step(lk: lake.Lake, kind: Callable[[Any], Any]) -> None:
    for name in "abc":
        lk.trades.open(BASE, trade_id=name, entry_price=kind(100), quantity=kind(1))
    lk.trades.close("a", kind(110), fees=kind(1))
    assert lk.trades.close("a", kind(110), fees=kind(1)).unchanged == 1
    lk.trades.correct("a", fees=kind(2))
    lk.trades.close("b", kind(110), pnl=kind(7))
    lk.trades.liquidate("c", kind(90))
    assert [results(lk, name)[0] for name in "abc"] == [8.0, 7.0, -10.0]


@pytest.mark.parametrize("wrong", [np.float32("nan"), Decimal("NaN"), "nan", float("inf"), True, "x", -1, None])
def test_a_price_that_is_none_is_refused_in_whatever_form(lk: lake.Lake, wrong: Any) -> None:
    lk.trades.open(BASE, trade_id="t")
    with pytest.raises(InvalidRowError, match="the price of an exit is a finite number of at least 0"):
        lk.trades.close("t", wrong)
    if wrong is not None and wrong != -1:
        with pytest.raises(InvalidRowError, match=r"trades\.fees"):
            lk.trades.close("t", 110.0, fees=wrong)
    assert len(lk.trades.active()) == 1


RECORDED = {
    "one": lambda lk, row: lk.trades.record(row),
    "rows": lambda lk, row: lk.trades.record([row]),
    "a table": lambda lk, row: lk.trades.record(pl.DataFrame([row])),
}


@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize("form", RECORDED)
def test_a_record_does_not_take_back_what_is_known_of_a_trade(lk: lake.Lake, form: str, settled: bool) -> None:
    lk.trades.open(BASE, trade_id="open", strategy="s")
    lk.trades.open(BASE, trade_id="closed", strategy="s", note="kept")
    lk.trades.close("closed", 110.0)
    lk.trades.open(BASE, trade_id="cancelled", status="pending")
    lk.trades.cancel("cancelled")
    if settled:
        lk.drain()
    before = lk.read("trades").sort("trade_id")
    for trade_id, more, message in (
        ("closed", {"status": "open"}, "it is closed, and a record of it as open would take that back"),
        ("closed", {}, "it is closed, and a record of it as open"),
        ("closed", {"status": "CANCELLED"}, "it is closed, and a record of it as cancelled"),
        ("open", {"status": "pending"}, "it is open, and a record of it as pending"),
        ("cancelled", {"status": "open"}, "it is cancelled, and a record of it as open"),
        ("closed", {"status": "closed", "exit_price": 40.0, "mode": "paper"}, "its mode is 'live'"),
        ("open", {"mode": "paper"}, "its mode is 'live'"),
        ("open", {"symbol": "SOLUSDT"}, "its symbol is 'BTCUSDT'"),
        ("open", {"bot_id": "other"}, "its bot_id is 'tester'"),
    ):
        row = {**BASE, "trade_id": trade_id, **more}
        if form == "one":
            with pytest.raises(LifeCycleError, match=message):
                RECORDED[form](lk, row)
        else:
            receipt = RECORDED[form](lk, row)
            assert (receipt.rejected, receipt.rows) == (1, 1)
            assert message in receipt.rejections[0].reason
    assert lk.read("trades").sort("trade_id").equals(before)


@pytest.mark.parametrize("form", RECORDED)
def test_a_record_goes_on_with_a_trade_of_which_it_does_not_say_what_is_known(lk: lake.Lake, form: str) -> None:
    lk.trades.open(BASE, trade_id="t", mode="paper", venue="x", status="pending")
    for more in ({"status": "open"}, {"status": "closed", "exit_price": 110.0}):
        assert RECORDED[form](lk, {**BASE, "trade_id": "t", **more}).updated == 1
    row = lk.trades.get("t")
    assert row is not None
    assert (row["status"], row["mode"], row["venue"], row["pnl"]) == ("closed", "paper", "x", 10.0)


@pytest.mark.parametrize("form", RECORDED)
def test_a_record_goes_on_with_a_trade_that_another_bot_has_just_written(tmp_path: Path, form: str) -> None:
    with lake.open(tmp_path, bot_id="a") as bot, lake.open(tmp_path) as everyone, lake.open(tmp_path, bot_id="b") as b:
        everyone.trades.record(BASE, trade_id="first")
        bot.trades.open(BASE, trade_id="t", mode="paper", venue="x")
        closed = {**BASE, "trade_id": "t", "status": "closed", "exit_price": 110.0}
        message = "its bot_id is 'a'"
        if form == "one":
            with pytest.raises(LifeCycleError, match=message):
                RECORDED[form](b, closed)
        else:
            assert message in RECORDED[form](b, closed).rejections[0].reason
        assert RECORDED[form](everyone, closed).updated == 1
        found = everyone.frame("SELECT bot_id, mode, venue, pnl FROM trades WHERE trade_id = 't'").rows()
        assert found == [("a", "paper", "x", 10.0)]
        taking_back = {**BASE, "trade_id": "t", "status": "open"}
        if form == "one":
            with pytest.raises(LifeCycleError, match="would take that back"):
                RECORDED[form](bot, taking_back)
        else:
            assert "would take that back" in RECORDED[form](bot, taking_back).rejections[0].reason


def test_a_trade_given_twice_at_once_does_not_go_back_either(lk: lake.Lake) -> None:
    rows = [
        {**BASE, "trade_id": "t", "status": "closed", "exit_price": 110.0},
        {**BASE, "trade_id": "t", "status": "open", "exit_price": None},
        {**BASE, "trade_id": "t", "status": "closed", "exit_price": 110.0, "mode": "paper"},
    ]
    for many in (rows, pl.DataFrame([{"mode": "live", **row} for row in rows])):
        receipt = lk.trades.record(many)
        assert (receipt.rejected, [r.row.get("mode", "live") for r in receipt.rejections]) == (2, ["live", "paper"])
    assert lk.frame("SELECT status, mode, pnl FROM trades").rows() == [("closed", "live", 10.0)]


@pytest.mark.parametrize("other", [{"quantity": 5.0}, {"leverage": 3.0}, {"mode": "paper"}], ids=str)
def test_opening_a_trade_again_does_not_change_what_was_opened(lk: lake.Lake, other: dict[str, Any]) -> None:
    lk.trades.open(BASE, trade_id="x", leverage=2.0)
    before = lk.trades.get("x")
    with pytest.raises(LifeCycleError, match=f"another one has this id, and its {next(iter(other))} is"):
        lk.trades.open(BASE, trade_id="x", **other)
    assert lk.trades.get("x") == before
    assert lk.trades.open(BASE, trade_id="x").unchanged == 1


def test_a_closed_trade_keeps_the_time_of_its_closing(lk: lake.Lake) -> None:
    lk.trades.record(CLOSED, trade_id="t")
    before = lk.trades.get("t")
    for change in (lk.trades.correct, lk.trades.patch):
        with pytest.raises(LifeCycleError, match=r"trades\.closed_at, t: a closed trade was closed at some time"):
            change("t", closed_at=None)
    assert lk.trades.get("t") == before
    assert lk.trades.correct("t", closed_at=NOON + timedelta(hours=2)).updated == 1


def test_a_table_is_told_from_what_its_transaction_wrote_before_it(lk: lake.Lake) -> None:
    table = pl.DataFrame([{**CLOSED, "trade_id": "t", "mode": "live"}])
    with lk.transaction():
        lk.trades.open(BASE, trade_id="t")
        assert lk.trades.record(table.with_columns(side=pl.lit("SHORT"))).rejected == 1
        assert lk.trades.record(table).updated == 1
        assert lk.trades.record(table.with_columns(status=pl.lit("open"))).rejected == 1
        assert lk.trades.record(table).unchanged == 1
    assert lk.frame("SELECT side, status, pnl FROM trades").rows() == [("LONG", "closed", 10.0)]
