"""What no exchange would take is refused by the words of a life cycle; what is only not known is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import lake
from lake.errors import InvalidRowError, LifeCycleError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
T = {"symbol": "BTCUSDT", "side": "LONG", "quantity": 1.0, "entry_price": 100.0}
FILL = {"symbol": "BTCUSDT", "side": "BUY", "quantity": 1.0, "price": 100.0}
SAID = {"symbol": "BTCUSDT", "predicted_direction": "UP", "horizon_minutes": 60}
NAMES = ("trades", "fills", "positions", "phantoms", "signals", "predictions", "decisions", "checkpoint_alerts")


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with prepared(tmp_path) as opened:
        yield opened


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lake.Lake]:
    """One lake for all that is refused: it stays as it is."""
    with prepared(tmp_path_factory.mktemp("kept")) as opened:
        yield opened


@contextmanager
def prepared(folder: Path) -> Iterator[lake.Lake]:
    with lake.open(folder / "lake", bot_id="b") as opened:
        opened.trades.open(T, trade_id="t", opened_at=NOON)
        opened.trades.open({**T, "quantity": None, "entry_price": None}, trade_id="p", status="pending")
        opened.trades.record(symbol="BTCUSDT", trade_id="u", status="open")
        opened.positions.open(position_id="p", **T)
        opened.positions.open(position_id="gone", **T)
        opened.positions.close("gone", at=NOON)
        yield opened


WRONG: list[tuple[Callable[[lake.Lake], Any], str]] = [
    *[
        (lambda lk, name=name, value=value: lk.trades.open({**T, name: value}), rf"trades\.{name}: .*{message}")
        for name, value, message in (
            ("entry_price", None, "an open trade has one. Give 'entry_price'"),
            ("quantity", None, "an open trade has one. Give 'quantity'"),
            ("side", None, "an open trade has one. Give 'side'"),
            ("quantity", 0.0, r"an open trade has one above 0 \(got 0\.0\)"),
            ("quantity", -1.0, r"at least 0 \(got -1\.0\)"),
            ("quantity", math.nan, r"not a number \(got nan\)"),
            ("quantity", math.inf, r"\(got inf\)"),
            ("entry_price", 0, r"above 0 \(got 0"),
            ("entry_price", -3.0, r"above 0 \(got -3\.0\)"),
            ("entry_price", math.nan, r"not a number \(got nan\)"),
            ("leverage", 0, r"above 0 \(got 0"),
            ("leverage", -2.0, r"above 0 \(got -2\.0\)"),
            ("leverage", math.nan, r"not a number \(got nan\)"),
            ("fees", math.inf, r"finite \(got inf\)"),
            ("fees", math.nan, r"not a number \(got nan\)"),
        )
    ],
    (lambda lk: lk.trades.open({"symbol": "BTCUSDT", "side": "LONG"}, trade_id="p"), r"trades\.entry_price: an open"),
    (lambda lk: lk.trades.patch("p", status="open"), r"trades\.entry_price: an open trade has one"),
    (lambda lk: lk.trades.patch("t", leverage=0), r"trades\.leverage: .*above 0"),
    (lambda lk: lk.trades.close("t", math.nan), r"trades\.exit_price: the price of an exit .*\(got nan\)"),
    (lambda lk: lk.trades.close("t", -1.0), r"trades\.exit_price: the price of an exit .*\(got -1\.0\)"),
    (lambda lk: lk.trades.close("t", None), r"trades\.exit_price: .*Give exit_price, or the pnl"),
    (lambda lk: lk.trades.close("t", 101.0, fees=math.nan), r"trades\.fees: not a number"),
    (lambda lk: lk.trades.close("t", None, pnl=math.nan), r"trades\.pnl: not a number"),
    (lambda lk: lk.trades.close("t", 101.0, closed_at=NOON - timedelta(hours=1)), "closed_at: it is before opened_at"),
    (lambda lk: lk.trades.close("p", 101.0), "its result cannot be known without entry_price.*cancel a trade"),
    (lambda lk: lk.trades.close("u", 101.0), "its result cannot be known without side"),
    (lambda lk: lk.trades.correct("t", quantity=-1.0), r"trades\.quantity: out of range"),
    *[
        (lambda lk, name=name: lk.fills.record({**FILL, name: None}), rf"fills\.{name}: a row without it says nothing")
        for name in ("side", "quantity", "price")
    ],
    (lambda lk: lk.fills.record({**FILL, "price": math.nan}), r"fills\.price: not a number"),
    (lambda lk: lk.fills.record({**FILL, "quantity": 0.0}), r"fills\.quantity: .*above 0"),
    (lambda lk: lk.positions.open({**T, "quantity": 0.0}), r"positions\.quantity: an open position has one above 0"),
    (lambda lk: lk.positions.open({**T, "entry_price": math.nan}), r"positions\.entry_price: not a number"),
    (lambda lk: lk.positions.checkpoint("gone", 25, 101.0, "HOLD"), "the position is closed.*Give at="),
    (lambda lk: lk.positions.checkpoint("p", 25, math.nan, "HOLD"), "price: a number above 0"),
    (
        lambda lk: lk.phantoms.record({**T, "stop_loss": 101.0}),
        r"phantoms\.stop_loss: on the wrong side of entry_price",
    ),
    (lambda lk: lk.phantoms.record({**T, "tp1": math.nan}), r"phantoms\.tp1: not a number"),
    (lambda lk: lk.phantoms.record({**T, "entry_price": 0.0}), r"phantoms\.entry_price: .*above 0"),
    (
        lambda lk: lk.phantoms.record(
            {**T, "status": "completed"}, signal_time=NOON, exit_time=NOON - timedelta(hours=1)
        ),
        r"phantoms\.exit_time: it is before signal_time",
    ),
    (lambda lk: lk.signals.record(symbol="BTCUSDT", confidence=math.nan), r"signals\.confidence: not a number"),
    (lambda lk: lk.signals.record(symbol="BTCUSDT", entry_price=-1.0), r"signals\.entry_price: .*at least 0"),
    (lambda lk: lk.decisions.record(symbol="BTCUSDT", entry_price=math.nan), r"decisions\.entry_price: not a number"),
    *[
        (lambda lk, more=more: lk.predictions.record({**SAID, **more}), rf"predictions\.{next(iter(more))}: ")
        for more in (
            {"horizon_minutes": 0},
            {"horizon_minutes": -5},
            {"probability": 1.2},
            {"probability": math.nan},
            {"confidence": -0.1},
            {"confidence": math.nan},
        )
    ],
]


@pytest.mark.parametrize(("call", "message"), WRONG, ids=[f"{n} {message}" for n, (_, message) in enumerate(WRONG)])
def test_what_cannot_be_is_one_error_with_column_value_and_way_out_and_nothing_is_written(
    kept: lake.Lake, call: Callable[[lake.Lake], Any], message: str
) -> None:
    before = {name: kept.read(name) for name in NAMES}
    with pytest.raises((InvalidRowError, LifeCycleError, lake.UsageError), match=message):
        call(kept)
    assert all(kept.read(name).equals(frame) for name, frame in before.items())


BATCHES: list[tuple[str, list[dict[str, Any]], str]] = [
    ("trades", [{**T, "trade_id": "1"}, {**T, "trade_id": "2", "quantity": -1.0}], "quantity"),
    ("trades", [{**T, "trade_id": "1"}, {**T, "trade_id": "2", "leverage": 0.0}], "leverage"),
    (
        "trades",
        [
            {**T, "trade_id": "1", "opened_at": NOON, "closed_at": NOON},
            {**T, "trade_id": "2", "opened_at": NOON, "closed_at": NOON - timedelta(days=1)},
        ],
        "closed_at: it is before opened_at",
    ),
    ("fills", [{**FILL, "fill_id": "1"}, {**FILL, "fill_id": "2", "side": None}], "side: a row without it"),
    (
        "phantoms",
        [{**T, "phantom_id": "1", "stop_loss": 99.0}, {**T, "phantom_id": "2", "stop_loss": 101.0}],
        "stop_loss: on the wrong side of entry_price",
    ),
    ("predictions", [{**SAID, "prediction_id": "1"}, {**SAID, "prediction_id": "2", "horizon_minutes": 0}], "horizon"),
]


@pytest.mark.parametrize("form", [list, pl.DataFrame, lambda rows: pl.DataFrame(rows).to_pandas()])
@pytest.mark.parametrize(("name", "rows", "reason"), BATCHES, ids=[f"{b[0]} {b[2]}" for b in BATCHES])
def test_of_a_batch_the_wrong_rows_are_kept_aside_with_their_reason(
    tmp_path: Path, name: str, rows: list[dict[str, Any]], reason: str, form: Callable[[Any], Any]
) -> None:
    with lake.open(tmp_path / "lake") as lk:
        done = lk.write(name, form(rows))
        assert (done.inserted, done.rejected) == (1, 1)
        assert reason in done.rejections[0].reason
        assert lk.read(name).height == 1
        assert [reason in row["reason"] for row in lk.writer.quarantine.read(name)] == [True]


def test_a_pending_trade_is_filled_when_it_is_opened_again_and_not_taken_back(lk: lake.Lake) -> None:
    order = {"symbol": "BTCUSDT", "side": "LONG", "trade_id": "p"}
    lk.trades.open({**order, "quantity": 2.0, "entry_price": 50.0, "opened_at": NOON})
    row = lk.trades.get("p")
    assert row is not None
    assert (row["status"], row["quantity"], row["opened_at"]) == ("open", 2.0, NOON)
    lk.trades.open(order, status="pending")  # a retry of the order that comes late
    row = lk.trades.get("p")
    assert row is not None
    assert (row["status"], row["quantity"]) == ("open", 2.0)


def test_a_history_without_prices_lands_with_its_result(lk: lake.Lake) -> None:
    rows = [
        {"symbol": "BTCUSDT", "trade_id": str(n), "status": "closed", "pnl": n - 1.0, "closed_at": NOON}
        for n in range(3)
    ]
    assert lk.trades.record(rows).inserted == 3
    assert lk.trades.statistics()["total_pnl"].to_list() == [0.0]
    lk.trades.close("u", None, pnl=4.0)  # an exchange reports the result of a trade of which nothing else is known
    assert lk.trades.get("u")["pnl"] == 4.0  # type: ignore[index]


def test_an_alert_that_comes_late_is_kept_when_it_was_given_before_the_close(lk: lake.Lake) -> None:
    early = NOON - timedelta(minutes=5)
    assert lk.positions.checkpoint("gone", 50, 103.0, "MOVE_SL", at=early).inserted == 1
    assert [(a["level"], a["alerted_at"]) for a in lk.positions.alerts("gone")] == [(50.0, early)]
    with pytest.raises(LifeCycleError, match="the position is closed"):
        lk.positions.checkpoint("gone", 75, 103.0, "HOLD", at=NOON + timedelta(seconds=1))
    assert len(lk.positions.alerts("gone")) == 1


@pytest.mark.parametrize("timeframe", ["45m", "10s", "1M", "tick"])
def test_a_timeframe_that_no_candles_have_is_kept_as_given(lk: lake.Lake, timeframe: str) -> None:
    lk.signals.record(symbol="BTCUSDT", timeframe=timeframe, signal_id="s")
    lk.phantoms.record(T, phantom_id="x", timeframe=timeframe)
    assert (lk.read("signals")["timeframe"].item(), lk.read("phantoms")["timeframe"].item()) == (timeframe, timeframe)
