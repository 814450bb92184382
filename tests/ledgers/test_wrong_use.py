"""Wrong values at the ledgers: one clear error, and nothing written; ids as exchanges give them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest

import lake
from lake.errors import ClosedError, InvalidRowError, LakeError, LifeCycleError, UnknownRowError, UsageError

T = {"symbol": "BTCUSDT", "side": "LONG", "quantity": 1.0, "entry_price": 100.0}


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake", bot_id="b1") as opened:
        opened.trades.open(T, trade_id="t")
        opened.positions.open(position_id="p", **T)
        opened.decisions.record(decision_id="d", symbol="BTCUSDT", recommendation="LONG")
        yield opened


WRONG: list[tuple[Callable[[lake.Lake], Any], str]] = [
    (lambda lk: lk.trades.close("t", None), r"exit_price: the price of an exit is a finite"),
    (lambda lk: lk.trades.close("t", "abc"), r"exit_price: the price of an exit is a finite"),
    (lambda lk: lk.trades.close("t", 101.0, status="open"), "close does not take a status"),
    (lambda lk: lk.trades.correct("t", status="closed", exit_price=1.0), "correct does not take a status"),
    (lambda lk: lk.trades.correct("t", trade_id="new"), "a key cannot change"),
    (lambda lk: lk.trades.cancel([1]), "trades.trade_id|a key of trades"),
    (lambda lk: lk.trades.statistics(mode="foo"), "statistics of which mode"),
    (lambda lk: lk.trades.statistics(days=10**12), "days are a whole number"),
    (lambda lk: lk.trades.statistics(by=["symbol"]), "statistics by what"),
    (lambda lk: lk.positions.update(["BTCUSDT"], 100.0), "a symbol is a text"),
    (lambda lk: lk.phantoms.active(["BTCUSDT", "ETHUSDT"]), "a symbol is a text"),
    (lambda lk: lk.predictions.accuracy(symbol=["BTCUSDT"]), "a symbol is a text"),
    (lambda lk: lk.bots.performance("2026-01-01", ["b1"]), "which bot"),
    (lambda lk: lk.positions.sync({}), "a snapshot is a list"),
    (lambda lk: lk.positions.sync(None), "a snapshot is a list"),
    (lambda lk: lk.positions.sync([{"symbol": "ETHUSDT", "side": "long"}]), "without its quantity"),
    (lambda lk: lk.positions.trail("p", 90.0, "x"), "a number above 0"),
    (lambda lk: lk.phantoms.record(T, timeout_hours=-1), "hours above 0"),
    (lambda lk: lk.phantoms.record(T, timeout_hours="a"), "hours above 0"),
    (lambda lk: lk.phantoms.update_all(5), "candle or price"),
    (lambda lk: lk.phantoms.update_frame([1]), "rows are dicts"),
    (lambda lk: lk.phantoms.update_frame(5), "no table"),
    (lambda lk: lk.bots.configure("b1", drawdown_guard_pct=-5.0), "drawdown_guard_pct"),
    (lambda lk: lk.bots.save_state("b1", equity="x"), "equity: a finite number"),
    (lambda lk: lk.bots.save_state("b1", total_pnl="x"), "total_pnl: a finite number"),
    (lambda lk: lk.signals.is_duplicate("BTCUSDT", "1h", "LONG", 1.0, keep_hours="x"), "at least 0"),
    (lambda lk: lk.prompts.register("v3", None), "a prompt has a text"),
    (lambda lk: lk.decisions.resolve("d", actual_pnl=float("nan")), "no number"),
    (lambda _: lake.open(None), "a lake is at a path"),
    (lambda lk: lake.open(lk.location.uri, bot_id=5), "a bot id is a text"),
]


@pytest.mark.parametrize(("call", "message"), WRONG, ids=[m for _, m in WRONG])
def test_a_wrong_value_is_one_clear_error_and_changes_nothing(
    lk: lake.Lake, call: Callable[[lake.Lake], Any], message: str
) -> None:
    names = ("trades", "positions", "phantoms", "bot_states", "bot_configs", "prompt_versions", "decisions")
    before = {name: lk.read(name) for name in names}
    with pytest.raises(LakeError, match=message):
        call(lk)
    assert all(lk.read(name).equals(frame) for name, frame in before.items())


def test_ids_may_be_numbers_as_exchanges_give_them(lk: lake.Lake) -> None:
    lk.trades.open(T, trade_id=5)
    assert lk.trades.close(5, 101.0).updated == 1
    row = lk.trades.get(5)
    assert row is not None
    assert row["trade_id"] == "5"
    assert lk.read("trades", {"trade_id": 5}).height == 1
    lk.bots.configure(7, capital=1000.0)
    lk.bots.save_state(7, equity=990.0)
    state = lk.bots.latest_state(7)
    assert state is not None
    assert state["bot_id"] == "7"
    lk.prompts.register("v1", "x")
    lk.prompts.register(2, "y")
    lk.prompts.activate(2)
    lk.prompts.activate("v1")
    active = lk.prompts.active()
    assert active is not None
    assert active["version"] == "v1"


def test_a_retried_close_that_says_something_else_is_told_not_dropped(lk: lake.Lake) -> None:
    lk.trades.close("t", 120.0, fees=2.0)
    assert lk.trades.close("t", 120.0, fees=2.0).unchanged == 1
    with pytest.raises(LifeCycleError, match=r"Correct it with lk\.trades\.correct"):
        lk.trades.close("t", 120.0, fees=9.0)


def test_a_flat_position_vanishes_in_the_words_of_ccxt_too(lk: lake.Lake) -> None:
    lk.positions.close("p")
    lk.positions.sync([{"symbol": "ETH/USDT:USDT", "side": "long", "contracts": 1.0, "entryPrice": 3000.0}])
    [held] = lk.positions.active()
    assert (held["symbol"], held["quantity"], held["entry_price"]) == ("ETHUSDT.P", 1.0, 3000.0)
    lk.positions.sync([{"symbol": "ETH/USDT:USDT", "side": "long", "contracts": 0.0}])
    assert lk.positions.active() == []


def test_sums_of_whole_numbers_are_whole_numbers(lk: lake.Lake) -> None:
    found = lk.frame("SELECT sum(n) AS n, sum(9223372036854775807) AS far FROM range(3) AS r(n)")
    assert found["n"].to_list() == [3]
    assert found.schema["n"].is_integer()
    assert str(found["far"][0]) == str(3 * (2**63 - 1))


def test_an_unknown_side_is_refused_whole(lk: lake.Lake) -> None:
    with pytest.raises((InvalidRowError, UsageError), match="side"):
        lk.positions.sync([{"symbol": "ETHUSDT", "side": "up", "quantity": 1.0}])


KINDS = [float, int, np.float32, np.float64, np.int64, Decimal, str]


@pytest.mark.parametrize("kind", KINDS)
def test_a_span_or_an_outcome_may_be_any_kind_of_number(lk: lake.Lake, kind: Callable[[Any], Any]) -> None:
    lk.signals.record(symbol="BTCUSDT", timeframe="1h", direction="LONG", entry_price=100.0)
    asked = ("BTCUSDT", "1h", "LONG")
    assert lk.signals.is_duplicate(*asked, kind(101), min_price_difference=kind(2), keep_hours=kind(24))
    assert not lk.signals.is_duplicate(*asked, kind(103), min_price_difference=kind(2))
    assert lk.trades.statistics(days=kind(7), periods_per_year=kind(365)).height == 1
    assert lk.decisions.unresolved(older_than_minutes=kind(5)) == []
    assert lk.decisions.winning_patterns(kind(5)).is_empty()
    assert lk.predictions.resolve_due(flat_band=kind(0), max_gap_bars=kind(5)).due == 0
    assert lk.frame("SELECT trade_id FROM trades WHERE quantity < ?", [kind(5)]).item() == "t"
    lk.decisions.resolve("d", actual_pnl=kind(-3))
    row = lk.decisions.get("d")
    assert row is not None
    assert (row["actual_pnl"], row["outcome_correct"]) == (-3.0, False)


@pytest.mark.parametrize("wrong", [np.float32("nan"), Decimal("NaN"), "inf", True, "x", [1]], ids=str)
def test_what_is_no_finite_number_is_refused_wherever_one_is_wanted(lk: lake.Lake, wrong: Any) -> None:
    for step, message in (
        (lambda: lk.signals.is_duplicate("BTCUSDT", "1h", "LONG", 1.0, keep_hours=wrong), "hours are at least 0"),
        (lambda: lk.decisions.unresolved(older_than_minutes=wrong), "minutes are a finite number"),
        (lambda: lk.predictions.resolve_due(flat_band=wrong), "a band and a gap are at least 0"),
        (lambda: lk.predictions.resolve_due(max_gap_bars=wrong), "a band and a gap are at least 0"),
        (lambda: lk.trades.statistics(days=wrong), "days are a whole number"),
        (lambda: lk.trades.statistics(periods_per_year=wrong), "it must be a number above 0"),
        (lambda: lk.decisions.resolve("d", actual_pnl=wrong), "actual_pnl: "),
    ):
        with pytest.raises(LakeError, match=message):
            step()


def test_a_confidence_in_percent_is_told_from_one_that_cannot_be(lk: lake.Lake) -> None:
    for kind in KINDS:
        with pytest.raises(InvalidRowError, match=r"Give 0\.75 for 75 %"):
            lk.decisions.record(symbol="BTCUSDT", recommendation="LONG", confidence=kind(75))


@pytest.mark.parametrize("kind", KINDS)
def test_a_price_of_a_position_or_phantom_or_an_equity_may_be_any_kind_of_number(
    lk: lake.Lake, kind: Callable[[Any], Any]
) -> None:
    lk.positions.update("BTCUSDT", kind(110))
    lk.positions.checkpoint("p", 50, kind(110), "HOLD")
    lk.positions.trail("p", kind(110), kind(2))
    lk.phantoms.record(T, phantom_id="f", signal_time="2026-01-01T00:00Z", timeout_hours=kind(3))
    lk.phantoms.update("BTCUSDT", kind(104), at="2026-01-01T01:00Z")
    candle = dict.fromkeys(("open", "high", "low", "close"), kind(105))
    lk.phantoms.update("BTCUSDT", {**candle, "open_time": "2025-12-01T00:00Z"}, timeframe="1h")
    lk.phantoms.close("f", kind(103))
    lk.bots.save_state(equity=kind(90))
    lk.bots.save_state(equity=kind(81), total_pnl=kind(-9))
    assert lk.phantoms.win_rate(window=kind(5)).n == 1
    position, phantom, state = lk.positions.get("p"), lk.phantoms.get("f"), lk.bots.latest_state()
    assert position is not None
    assert phantom is not None
    assert state is not None
    assert (position["current_price"], position["trailing_stop"]) == (110.0, pytest.approx(107.8))
    assert (phantom["exit_price"], phantom["max_favorable"]) == (103.0, 104.0)
    assert phantom["timeout_at"].hour == 3
    assert (state["peak_equity"], state["current_drawdown_pct"], state["total_pnl"]) == (
        90.0,
        pytest.approx(10.0),
        -9.0,
    )


@pytest.mark.parametrize("wrong", [np.float32("nan"), Decimal("NaN"), "inf", True, "x", [1], -1, 0], ids=str)
def test_a_price_that_is_no_number_above_0_is_refused(lk: lake.Lake, wrong: Any) -> None:
    for step, message in (
        (lambda: lk.positions.update("BTCUSDT", wrong), "price: a number above 0"),
        (lambda: lk.positions.trail("p", 1.0, wrong), "distance_pct: a number above 0"),
        (lambda: lk.phantoms.record(T, timeout_hours=wrong), "timeout_hours: hours above 0"),
        (lambda: lk.phantoms.update("BTCUSDT", wrong), "price: a price is a finite number above 0"),
        (lambda: lk.phantoms.win_rate(window=wrong), "window: a window is a whole number above 0"),
    ):
        with pytest.raises(UsageError, match=message):
            step()
    if wrong not in (-1, 0):
        with pytest.raises(UsageError, match="equity: a finite number is wanted"):
            lk.bots.save_state(equity=wrong)


@pytest.mark.parametrize(
    "write",
    [
        lambda lk: lk.write("trades", {**T, "trade_id": "later"}),
        lambda lk: lk.write("trades", [T, T]),
        lambda lk: lk.patch("trades", "t", {"exit_reason": "x"}),
        lambda lk: lk.trades.open(T),
        lambda lk: lk.signals.record(symbol="BTCUSDT", direction="LONG"),
        lambda lk: lk.transaction().__enter__(),
    ],
)
def test_a_block_whose_lake_was_closed_takes_nothing_more(lk: lake.Lake, write: Callable[[lake.Lake], Any]) -> None:
    def block() -> None:
        with lk.transaction():
            lk.write("trades", {**T, "trade_id": "before"})
            lk.signals.record(symbol="ETHUSDT", direction="LONG")
            lk.close()
            with pytest.raises(ClosedError, match="the lake was closed"):
                write(lk)

    with pytest.raises(ClosedError, match="the lake was closed"):
        block()
    with lake.open(lk.location.uri, bot_id="b1") as again:
        assert again.read("trades")["trade_id"].to_list() == ["t"]
        assert again.read("signals").height == 0


class Side(str, Enum):  # noqa: UP042 - as bots declare theirs, whose str() is not its text
    """A side as a bot declares it."""

    LONG = "long"


def test_ids_and_words_are_found_again_in_the_form_in_which_they_were_written(lk: lake.Lake) -> None:
    number, name = 7, uuid4()
    for trade_id in (number, name):
        lk.trades.open(T, trade_id=trade_id, side=Side.LONG, strategy=Side.LONG)
    assert lk.read("trades", {"trade_id": name})["strategy"].to_list() == ["long"]
    assert lk.read("trades", {"trade_id": np.array([number, 8])}).height == 1
    assert lk.read("trades", {"strategy": Side.LONG}).height == 2


def test_a_result_takes_numbers_and_sides_in_any_form() -> None:
    found = lake.pnl(Decimal(100), np.float32(110), np.int64(2), Side.LONG, leverage=5, fees=Decimal(1))
    assert (found, type(found.pnl)) == (lake.pnl(100.0, 110.0, 2.0, "LONG", 5.0, 1.0), float)


@pytest.mark.parametrize("nullable", [False, True])
def test_rows_of_pandas_lack_what_they_do_not_know(lk: lake.Lake, nullable: bool) -> None:
    nan = float("nan")
    frame = pd.DataFrame([T, T]).assign(strategy=["s", nan], decision_id=["d", nan], features=[{"rsi": 50.5}, nan])
    rows = (frame.convert_dtypes() if nullable else frame).to_dict("records")
    names = ["strategy", "decision_id", "features"]
    for write in (lk.trades.open, lk.trades.record, lambda row: lk.write("trades", [row])):
        ids = [write({**row, "status": "open"}).id for row in rows]
        found = lk.read("trades", {"trade_id": ids}).sort("strategy", nulls_last=True)
        assert found.select(names).rows() == [("s", "d", '{"rsi":50.5}'), (None, None, None)]
    again = lk.trades.open({**rows[0], "trade_id": "again"}).id
    lk.trades.open({**rows[1], "trade_id": again})  # what is not known takes nothing away
    assert lk.read("trades", {"trade_id": again}).select(names).rows() == [("s", "d", '{"rsi":50.5}')]
    assert lk.trades.open({**rows[0], "trade_id": pd.NA if nullable else nan}).inserted == 1
    assert not lk.read("trades", {"trade_id": ["nan", "<NA>"]}).height


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HALF = "\ud800x"
NO_TEXTS = [[HALF], {HALF: 1}, True, b"x", object, "a\0b", "x" * 100_000, -1, None]
READERS: dict[str, Callable[[lake.Lake, Any], Any]] = {
    "get": lambda lk, wrong: lk.trades.get(wrong),
    "patch": lambda lk, wrong: lk.trades.patch(wrong, note=1),
    "why": lambda lk, wrong: lk.signals.why(wrong),
    "of_trade": lambda lk, wrong: lk.fills.of_trade(wrong),
    "summary": lambda lk, wrong: lk.fills.summary(wrong),
    "alerts": lambda lk, wrong: lk.positions.alerts(wrong),
    "trades": lambda lk, wrong: lk.backtests.trades(wrong),
    "divergence": lambda lk, wrong: lk.backtests.divergence("r", wrong),
    "status": lambda lk, wrong: lk.bots.status(wrong),
    "snapshot_performance": lambda lk, wrong: lk.bots.snapshot_performance("2026-01-01", wrong),
    "stats": lambda lk, wrong: lk.phantoms.stats(wrong),
    "win_rate": lambda lk, wrong: lk.phantoms.win_rate(wrong),
    "learning_data": lambda lk, wrong: lk.phantoms.learning_data(wrong),
    "compare": lambda lk, wrong: lk.prompts.compare(wrong),
    "calibration": lambda lk, wrong: lk.decisions.calibration(wrong),
    "accuracy": lambda lk, wrong: lk.predictions.accuracy(wrong),
    "candles": lambda lk, wrong: lk.candles.read(wrong, "1m"),
    "gaps": lambda lk, wrong: lk.candles.gaps(wrong, "1m"),
    "resample": lambda lk, wrong: lk.candles.resample(wrong, "1h"),
    "where": lambda lk, wrong: lk.read("trades", where={"trade_id": wrong}),
    "parameter": lambda lk, wrong: lk.frame("SELECT * FROM trades WHERE trade_id = ?", [wrong]),
}


@pytest.mark.parametrize("drained", [False, True])
@pytest.mark.parametrize("name", READERS)
def test_an_id_that_no_row_can_have_is_one_clear_error(lk: lake.Lake, name: str, *, drained: bool) -> None:
    lk.backtests.record({"run_id": "r"}, [])
    lk.candles.write({"open_time": [NOON], **{part: [1.0] for part in ("open", "high", "low", "close")}}, "1m", "X")
    if drained:
        lk.drain()
    with pytest.raises(LakeError, match=r"half a character .*\(got '\\ud800x'\)"):
        READERS[name](lk, HALF)
    for wrong in NO_TEXTS:
        with contextlib.suppress(LakeError):  # of one kind or another, or nothing is found
            READERS[name](lk, wrong)


@pytest.mark.parametrize("nothing", ["", float("nan")])
def test_an_empty_id_is_that_of_no_row(lk: lake.Lake, nothing: Any) -> None:
    for step in (
        lambda: lk.trades.patch(nothing, note=1),
        lambda: lk.trades.close(nothing, 101.0),
        lambda: lk.trades.cancel(nothing),
        lambda: lk.positions.close(nothing),
        lambda: lk.positions.trail(nothing, 90.0, 1.0),
        lambda: lk.phantoms.patch(nothing, note=1),
        lambda: lk.phantoms.close(nothing, 101.0),
        lambda: lk.decisions.attach(nothing, "t"),
        lambda: lk.patch("fills", nothing, {"note": 1}),
    ):
        lk.drain()  # then the highest settled id is compared with it
        with pytest.raises(UnknownRowError):
            step()
    assert lk.trades.get(nothing) is None


def test_ids_that_were_given_as_numbers_are_found_by_them_everywhere(lk: lake.Lake) -> None:
    lk.trades.open(T, trade_id=7, bot_id=7)
    lk.trades.open(T, trade_id="x7", bot_id="x")
    lk.fills.record([{"fill_id": n, "trade_id": n, "symbol": "BTCUSDT", "side": "BUY", "quantity": 1.0, "price": 9.0}
                     for n in (7, "x7")])  # fmt: skip
    lk.positions.open(position_id=7, **T)
    lk.positions.checkpoint(7, 25, 101.0, "HOLD")
    lk.positions.checkpoint("p", 25, 101.0, "HOLD")
    lk.signals.record(signal_id=7, symbol="BTCUSDT", direction="LONG", action="REJECTED", rejection_reason="thin")
    assert lk.fills.of_trade(7)["fill_id"].to_list() == ["7"]
    assert lk.fills.summary(7).entry_quantity == 1.0
    assert lk.bots.status(7)["bot_id"].to_list() == ["7"]
    assert [alert["position_id"] for alert in lk.positions.alerts(7)] == ["7"]
    assert lk.signals.why(7) == "thin"
    assert lk.read("trades", where={"trade_id": [7, "t"]}).height == 2


@pytest.mark.parametrize("wrong", [{"symbol": HALF}, {"note": [HALF]}, {HALF: 1}, {"note": {"a": {HALF: HALF}}}])
def test_a_row_with_half_a_character_is_kept_aside_and_the_others_of_its_batch_land(
    lk: lake.Lake, wrong: dict[str, Any]
) -> None:
    rows = [{**T, "trade_id": "n"}, {**T, "trade_id": "m", **wrong}]
    for write in (lk.trades.record, lambda batch: lk.write("trades", batch)):
        receipt = write([dict(row) for row in rows])
        assert (receipt.inserted + receipt.unchanged, receipt.rejected) == (1, 1)
    kept = list(lk.writer.quarantine.read("trades"))
    assert [row["row"]["trade_id"] for row in kept] == ["m", "m"]
    assert "\\\\ud800x" in json.dumps(kept[0]["row"])
