"""What was recorded at a decision stays known, whoever writes over it later, and by whatever way."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import lake
from lake.query.views import views
from lake.spec import registry
from lake.spec.inputs import IN_TIME, with_inputs
from tests.helpers import finished, spawned

T0 = datetime(2026, 1, 5, 12, tzinfo=UTC)
MICROS = int(T0.timestamp() * 1e6)
FIRST = {"ml_score": 55.0, "features": {"rsi": 30}, "entry_price": 100.0, "signal_time": T0}
LATER = {"ml_score": 99.0, "features": {"rsi": 80}, "entry_price": 101.0, "signal_time": T0 + timedelta(hours=3)}
SAME = {"phantom_id": "p", "symbol": "BTCUSDT", "side": "LONG", "strategy": "cross"}
ENDED = {"status": "completed", "outcome": "win", "exit_time": T0 + timedelta(hours=4)}
Way = Callable[[lake.Lake], Any]


def _in_a_transaction(lk: lake.Lake) -> None:
    with lk.transaction():
        lk.write("phantoms", {**SAME, **ENDED, **FIRST, "ml_score": 1.0})
        lk.phantoms.patch("p", **LATER)


def _elsewhere(path: str, bot: str) -> None:
    with lake.open(path, bot_id=bot) as lk:
        lk.write("phantoms", {**SAME, **ENDED, **LATER, "bot_id": "b"})


def _blindly(lk: lake.Lake) -> None:
    """As another process does that has not seen the row: its version is in another hot log."""
    finished(spawned(_elsewhere, lk.uri("phantoms").removesuffix("/phantoms").removeprefix("file://"), "other"))


WAYS: dict[str, Way] = {
    "patch": lambda lk: lk.patch("phantoms", "p", LATER),
    "ledger": lambda lk: lk.phantoms.patch("p", **LATER),
    "whole row": lambda lk: lk.write("phantoms", {**SAME, **ENDED, **LATER}),
    "rows": lambda lk: lk.write("phantoms", [{**SAME, **ENDED, **LATER}, {**SAME, **FIRST, "phantom_id": "q"}]),
    "row twice": lambda lk: lk.write("phantoms", [{**SAME, **FIRST, "ml_score": 1.0}, {**SAME, **ENDED, **LATER}]),
    "transaction": _in_a_transaction,
    "another process": _blindly,
}


def decided(lk: lake.Lake, key: str = "p") -> dict[str, Any]:
    columns = ", ".join(FIRST)
    found = lk.frame(f"SELECT {columns} FROM phantoms_as_decided WHERE phantom_id = ?", [key]).row(0, named=True)
    return {**found, "features": None if found["features"] is None else json.loads(found["features"])}


@pytest.mark.parametrize("settled", [False, True], ids=["hot", "cold"])
@pytest.mark.parametrize("way", WAYS)
def test_a_later_value_never_takes_the_place_of_the_one_at_the_decision(
    tmp_path: Path, way: str, settled: bool
) -> None:
    with lake.open(tmp_path, bot_id="b") as lk:
        lk.phantoms.record({**SAME, **FIRST})
        if settled:
            lk.drain()
        WAYS[way](lk)
        if way == "another process":
            lk.drain(every_writer=True)
        for _ in range(2):
            assert decided(lk) == FIRST
            assert lk.frame("SELECT ml_score FROM phantoms WHERE phantom_id = 'p'").item() == 99.0
            lk.drain()


def test_a_later_value_in_bulk_never_takes_the_place_of_the_one_at_the_decision(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b") as lk:
        lk.phantoms.record({**SAME, **FIRST})
        later = {**LATER, "features": json.dumps(LATER["features"])}
        rows = [{**SAME, **ENDED, **later, "phantom_id": "p" if not n else f"o{n}"} for n in range(5_000)]
        done = lk.write("phantoms", pl.DataFrame(rows))
        assert (done.inserted, done.updated) == (4_999, 1)
        assert decided(lk) == FIRST
        assert decided(lk, "o1") == LATER
        again = lk.write("phantoms", pl.DataFrame(rows))
        assert again.unchanged == 5_000  # it says nothing new, though it does not name what was kept
        assert decided(lk) == FIRST


def test_a_change_that_is_taken_back_leaves_the_first_value(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b") as lk:
        lk.phantoms.record({**SAME, **FIRST})
        for score in (99.0, 40.0, 55.0):
            lk.phantoms.patch("p", ml_score=score)
            lk.drain()
            assert decided(lk) == FIRST


def test_what_was_kept_cannot_be_taken_away(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b") as lk:
        lk.phantoms.record({**SAME, **FIRST})
        lk.phantoms.patch("p", **LATER)
        lk.phantoms.patch("p", changed_inputs=None)
        lk.write("phantoms", {**SAME, **LATER, "changed_inputs": {}})
        assert decided(lk) == FIRST
        lk.drain()
        assert decided(lk) == FIRST


def test_a_score_may_come_beside_the_signal_and_features_may_grow(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    with lake.open(tmp_path, bot_id="b") as lk:
        lk.phantoms.record({**SAME, "entry_price": 100.0, "features": {"rsi": 30}, "signal_time": now})
        lk.drain()
        lk.phantoms.patch("p", ml_score=70.0)
        lk.phantoms.patch("p", features={"rsi": 30, "macd": 1})
        lk.drain()
        assert decided(lk) == {
            "ml_score": 70.0, "features": {"rsi": 30, "macd": 1}, "entry_price": 100.0, "signal_time": now
        }  # fmt: skip
        assert lk.frame("SELECT changed_inputs FROM phantoms").item() is None
        lk.phantoms.patch("p", ml_score=71.0)  # but what is there stays
        assert decided(lk)["ml_score"] == 70.0


@pytest.mark.parametrize("end", [{}, {"exit_time": MICROS + 1, "status": "completed"}])
@pytest.mark.parametrize("after", [IN_TIME, IN_TIME + 1])
def test_a_value_comes_in_time_until_a_minute_after_the_decision_or_its_end(end: dict[str, Any], after: int) -> None:
    before = {"phantom_id": "p", "symbol": "BTCUSDT", "signal_time": MICROS, "status": "active"}
    made = with_inputs(registry.get("phantoms"), before, {**before, **end, "ml_score": 70.0}, MICROS + after)
    assert ("changed_inputs" in made) is (bool(end) or after > IN_TIME)


def test_a_phantom_that_is_made_later_takes_the_signal_as_it_was_given(tmp_path: Path) -> None:
    given = {"symbol": "BTCUSDT", "direction": "LONG", "entry_price": 100.0, "tp1": 101.0, "signal_time": T0}
    minutes = [{**_bar(n), **({"high": 102.0} if n == 5 else {})} for n in range(10)]
    with lake.open(tmp_path, bot_id="b") as lk:
        lk.write("candles", minutes)
        for name in ("recorded", "labelled"):
            lk.signals.record({**given, "signal_id": name, "indicators": {"rsi": 30}})
            lk.signals.patch(name, indicators={"rsi": 80}, tp1=110.0)
        lk.phantoms.record(phantom_id="recorded", signal_id="recorded")
        assert lk.label("signals").labelled == 1
        rows = lk.frame("SELECT phantom_id, features, tp1 FROM phantoms ORDER BY phantom_id").rows()
        assert [(name, json.loads(text), tp1) for name, text, tp1 in rows] == [
            ("labelled", {"rsi": 30}, 101.0), ("recorded", {"rsi": 30}, 101.0)
        ]  # fmt: skip


def _bar(minute: int) -> dict[str, Any]:
    prices = {"open": 100.0, "high": 100.5, "low": 99.5, "close": 100.0, "volume": 1.0}
    return {"symbol": "BTCUSDT", "timeframe": "1m", "open_time": T0 + timedelta(minutes=minute), **prices}


def test_the_columns_of_the_outcome_are_no_inputs(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b") as lk:
        lk.decisions.record(decision_id="d", symbol="BTCUSDT", recommendation="LONG", confidence=0.7, analyzed_at=T0)
        lk.decisions.attach("d", "t")
        lk.decisions.resolve("d", actual_pnl=5.0)
        lk.signals.record(signal_id="s", symbol="BTCUSDT", direction="LONG", signal_time=T0, strength=50)
        lk.signals.patch("s", action="EXECUTED", trade_id="t")
        lk.predictions.record(prediction_id="r", symbol="BTCUSDT", probability=0.6, horizon_minutes=5, predicted_at=T0)
        lk.predictions.patch("r", actual_price=1.0, correct=True, resolved_at=T0 + timedelta(minutes=5))
        lk.trades.open(trade_id="t", symbol="BTCUSDT", side="LONG", entry_price=1.0, quantity=1.0, features={"rsi": 3})
        lk.trades.close("t", 2.0)
        for name in ("decisions", "signals", "predictions", "trades"):
            assert lk.frame(f"SELECT changed_inputs FROM {name}").to_series().to_list() == [None]


def test_a_pending_trade_has_decided_nothing_yet(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b") as lk:
        row = {"trade_id": "t", "symbol": "BTCUSDT", "side": "LONG", "status": "pending", "quantity": 1.0}
        lk.write("trades", {**row, "features": {"rsi": 3}, "created_at": T0})
        lk.trades.patch("t", status="open", opened_at=T0 + timedelta(hours=5), entry_price=1.0, features={"rsi": 7})
        lk.trades.patch("t", features={"rsi": 99})
        found = lk.frame("SELECT features, opened_at FROM trades_as_decided").row(0)
        assert (json.loads(found[0]), found[1]) == ({"rsi": 7}, T0 + timedelta(hours=5))


def test_versions_that_meet_in_one_drain_are_held_against_each_other_in_their_order(tmp_path: Path) -> None:
    """Each process knows nothing of the other's version: the log's order alone tells which was first."""
    with lake.open(tmp_path, bot_id="b") as lk:
        lk.phantoms.record({**SAME, **FIRST})
        finished(spawned(_elsewhere, str(tmp_path), "other"))
        lk.drain(every_writer=True)
        assert decided(lk) == FIRST
        finished(spawned(_elsewhere, str(tmp_path), "third"))
        lk.drain(every_writer=True)
        assert decided(lk) == FIRST


@pytest.mark.parametrize("ds", [d for d in registry.all_datasets() if d.inputs is not None], ids=lambda d: d.name)
def test_the_view_of_a_dataset_has_its_columns_in_their_types(ds: Any, tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b") as lk:
        name, wanted = f"{ds.name}_as_decided", lk.frame(f"SELECT * FROM {ds.name}").schema
        assert lk.frame(f"SELECT * FROM {name}").schema == wanted  # nothing was written over: the dataset itself
        assert lk.frame(f"SELECT * FROM ({views()[name].sql})").schema == wanted


def test_a_row_that_was_written_over_among_others_that_were_not_is_shown_as_it_was(
    tmp_path: Path,
) -> None:
    with lake.open(tmp_path, bot_id="b") as lk:
        for number, is_changed in enumerate((False, True, False)):
            lk.phantoms.record({**SAME, **FIRST, "phantom_id": f"p{number}"})
            if is_changed:
                lk.phantoms.patch(f"p{number}", **LATER)
            lk.drain()
            assert decided(lk, f"p{number}") == FIRST
        lk.phantoms.record({**SAME, **FIRST, "phantom_id": "p3"})
        assert [decided(lk, f"p{n}") for n in range(4)] == [FIRST] * 4
        assert lk.frame("SELECT count(*) FROM phantoms_as_decided WHERE ml_score = 99.0").item() == 0
