"""What a bot holds: true to the exchange, with checkpoints and trailing stops."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import lake
from lake.errors import InvalidRowError, LifeCycleError, UnknownRowError, UsageError
from lake.kernels import guards

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LONG = {"symbol": "BTC/USDT", "side": "LONG", "quantity": 2.0, "entry_price": 100.0}


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake", bot_id="tester") as opened:
        yield opened


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_positions_open_change_and_vanish_as_the_exchange_shows(lk: lake.Lake) -> None:
    first = lk.positions.sync([LONG, {**LONG, "side": "SELL"}], venue="x", at=NOON)
    assert (len(first.opened), first.changed, first.vanished, first.receipt.inserted) == (2, [], [], 2)
    second = lk.positions.sync([{**LONG, "quantity": 1.0}, {**LONG, "side": "SHORT", "quantity": 0}], venue="x")
    assert (second.opened, second.changed, second.vanished) == ([], [first.opened[0]], [first.opened[1]])
    assert [row["quantity"] for row in lk.positions.active()] == [1.0]


def test_the_same_snapshot_again_writes_nothing_but_its_time_once_a_minute(lk: lake.Lake) -> None:
    position = lk.positions.sync([LONG], at=NOON).opened[0]
    for seconds, noted in ((1, NOON), (59, NOON), (60, later(60)), (61, later(60))):
        done = lk.positions.sync([LONG], at=later(seconds))
        assert (done.opened, done.changed, done.vanished, done.receipt.unchanged) == ([], [], [], 1)
        row = lk.positions.get(position)
        assert row is not None
        assert row["synced_at"] == noted


def test_a_position_in_a_snapshot_twice_is_refused_and_nothing_is_written(lk: lake.Lake) -> None:
    with pytest.raises(UsageError, match="position twice"):
        lk.positions.sync([LONG, {**LONG, "symbol": "BTCUSDT"}])
    with pytest.raises(InvalidRowError, match=r"positions\.quantity"):
        lk.positions.sync([{**LONG, "symbol": "ETHUSDT"}, {**LONG, "quantity": -1.0}])
    with pytest.raises(UsageError, match="a side is LONG or SHORT"):
        lk.positions.sync([{**LONG, "side": None}])
    assert lk.read("positions").is_empty()


def test_what_an_exchange_does_not_say_stays_as_the_bot_said_it(lk: lake.Lake) -> None:
    lk.positions.open({**LONG, "position_id": "p", "stop_loss": 98.0, "tp1": 104.0, "trade_id": "t"})
    lk.positions.open({**LONG, "position_id": "p", "stop_loss": None, "trade_id": None})
    shown = {"side": "long", "contracts": 3.0, "stopLossPrice": None, "takeProfitPrice": None, "entryPrice": None}
    assert lk.positions.sync([{"symbol": "BTC/USDT", "trade_id": None, **shown}]).changed == ["p"]
    row = lk.positions.get("p")
    assert row is not None
    known = {"quantity": 3.0, "entry_price": 100.0, "stop_loss": 98.0, "tp1": 104.0, "trade_id": "t"}
    assert {name: row[name] for name in known} == known


CCXT = {"symbol": "BTC/USDT:USDT", "side": "long", "contracts": 100.0, "contractSize": 0.01, "entryPrice": 50_000.0}


@pytest.mark.parametrize(
    ("changes", "quantity"),
    [
        ({}, 1.0),
        ({"contractSize": None}, 100.0),
        ({"contracts": "250", "contractSize": "0.001"}, 0.25),
        ({"symbol": "BTC/USD:BTC", "contractSize": 100.0}, 0.2),  # an inverse contract is of quote currency
        ({"quantity": "3"}, 3.0),
    ],
)
def test_contracts_become_a_quantity_of_the_base_currency(
    lk: lake.Lake, changes: dict[str, Any], quantity: float
) -> None:
    lk.positions.sync([{**CCXT, **changes}])
    assert [row["quantity"] for row in lk.positions.active()] == [quantity]


def test_contracts_without_a_size_or_a_price_to_count_them_by_are_refused(lk: lake.Lake) -> None:
    with pytest.raises(InvalidRowError, match=r"positions\.contractSize"):
        lk.positions.sync([{**CCXT, "contractSize": 0.0}])
    with pytest.raises(InvalidRowError, match=r"positions\.entry_price.*Give entryPrice"):
        lk.positions.sync([{**CCXT, "symbol": "BTC/USD:BTC", "entryPrice": None}])


@pytest.mark.parametrize(
    "flat", [{"quantity": "0"}, {"quantity": "0.000", "side": None}, {"quantity": 0, "side": None}, {"contracts": 0}]
)
def test_what_is_flat_vanishes_however_it_is_said(lk: lake.Lake, flat: dict[str, Any]) -> None:
    held = lk.positions.sync([LONG, {**LONG, "symbol": "ETHUSDT"}]).opened[0]
    shown = {"symbol": "BTC/USDT", "side": "LONG", **flat}
    assert lk.positions.sync([shown, {**LONG, "symbol": "ETHUSDT"}]).vanished == [held]
    assert [row["symbol"] for row in lk.positions.active()] == ["ETHUSDT"]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_snapshot_that_comes_late_changes_nothing(tmp_path: Path, restarted: bool) -> None:
    lk = lake.open(tmp_path, bot_id="tester")
    kept, gone = lk.positions.sync([LONG, {**LONG, "symbol": "ETHUSDT"}], venue="x", at=later(600)).opened
    lk.positions.sync([LONG], venue="x", at=later(1200))
    if restarted:
        lk.close()
        lk = lake.open(tmp_path, bot_id="tester")
    for late in ([{**LONG, "quantity": 5.0}, {**LONG, "symbol": "ETHUSDT"}], []):
        done = lk.positions.sync(late, venue="x", at=NOON)
        assert (done.opened, done.changed, done.vanished, done.receipt.updated) == ([], [], [], 0)
    [held] = lk.positions.active()
    assert (held["position_id"], held["quantity"], held["synced_at"]) == (kept, 2.0, later(1200))
    assert lk.read("positions", {"position_id": gone})["status"].item() == "closed"
    assert len(lk.positions.sync([LONG], venue="y", at=NOON).opened) == 1, "another venue is not meant"
    assert lk.positions.sync([], venue="x", at=later(1300)).vanished == [kept]
    lk.close()


def test_a_snapshot_is_not_late_because_a_price_came_while_it_was_on_its_way(lk: lake.Lake) -> None:
    held = lk.positions.sync([LONG], at=NOON).opened
    lk.positions.update("BTCUSDT", 101.0, later(10))
    assert lk.positions.sync([{**LONG, "quantity": 1.0}], at=later(9)).changed == held


def test_a_snapshot_that_is_dated_ahead_makes_no_later_one_late(lk: lake.Lake) -> None:
    held = lk.positions.sync([LONG], at=datetime(2100, 1, 1, tzinfo=UTC)).opened
    assert lk.positions.sync([{**LONG, "quantity": 1.0}]).changed == held
    assert lk.positions.sync([]).vanished == held


def test_positions_vanish_for_their_bot_and_venue_alone(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="a") as one, lake.open(tmp_path, bot_id="b") as two:
        one.positions.sync([LONG], venue="x")
        one.positions.sync([LONG], venue="y")
        two.positions.sync([LONG], venue="x")
        assert len(one.positions.sync([], venue="x").vanished) == 1
        found = one.frame("SELECT bot_id, venue, status FROM positions ORDER BY ALL").rows()
        assert found == [("a", "x", "closed"), ("a", "y", "open"), ("b", "x", "open")]


@pytest.mark.parametrize("seed", range(4))
def test_random_snapshots_leave_what_a_plain_dict_would_hold(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    model: dict[tuple[str, str], float] = {}
    closed = 0
    lk = lake.open(tmp_path, bot_id="a")
    for step in range(40):
        shown = {
            (symbol, side): float(rng.randint(0, 3))
            for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT")
            for side in ("LONG", "SHORT")
            if rng.random() < 0.5
        }
        held = {place: size for place, size in shown.items() if size}
        rows = [{"symbol": s, "side": d, "quantity": q, "entry_price": 10.0} for (s, d), q in shown.items()]
        done = lk.positions.sync(rows, at=later(step))
        assert len(done.opened) == len(held.keys() - model.keys())
        assert len(done.vanished) == len(model.keys() - held.keys())
        assert len(done.changed) == sum(model[p] != held[p] for p in held.keys() & model.keys())
        closed += len(done.vanished)
        model = held
        if rng.random() < 0.2:
            lk.drain()
        if rng.random() < 0.2:
            lk.close()
            lk = lake.open(tmp_path, bot_id="a")
        assert {(r["symbol"], r["side"]): r["quantity"] for r in lk.positions.active()} == model
    assert lk.frame("SELECT count(*) FROM positions WHERE status = 'closed'").item() == closed
    lk.close()


@pytest.mark.parametrize(("side", "sign"), [("LONG", 1), ("SHORT", -1)])
def test_each_checkpoint_is_told_once_on_the_way_to_the_target(lk: lake.Lake, side: str, sign: int) -> None:
    lk.positions.open(LONG, side=side, tp1=100.0 + sign * 20, leverage=5, position_id="p", opened_at=NOON)
    told: list[list[int]] = []
    for number, gone in enumerate((4.9, 5.0, 3.0, 5.0, 15.5, 30.0), 1):
        told.append([e.level for e in lk.positions.update("btc_usdt", 100.0 + sign * gone, later(number))])
        lk.drain()
    assert told == [[], [25], [], [], [50, 75], [85]]
    row = lk.positions.get("p")
    assert row is not None
    assert (row["unrealized_pnl"], row["unrealized_pnl_percent"]) == (pytest.approx(60.0), pytest.approx(150.0))
    assert lk.positions.update("BTCUSDT", 100.0, later(2)) == []
    assert lk.positions.get("p") == row, "an older price changes nothing"


@pytest.mark.parametrize(
    ("side", "entry", "target", "prices"),
    [
        ("LONG", 2.93059, 5.48299, (3.56869, 4.20679, 4.84489, 5.10013)),
        ("SHORT", 1455.09, 624.69, (1247.49, 1039.89, 832.29, 749.25)),
        ("LONG", 981.25, 1154.15, (1024.475, 1067.7, 1110.925, 1128.215)),
    ],
)
def test_the_very_price_of_a_checkpoint_reaches_it_though_floats_come_only_near(
    lk: lake.Lake, side: str, entry: float, target: float, prices: tuple[float, ...]
) -> None:
    lk.positions.open(LONG, side=side, entry_price=entry, tp1=target, opened_at=NOON)
    told = [[e.level for e in lk.positions.update("BTCUSDT", price, later(n))] for n, price in enumerate(prices, 1)]
    assert told == [[25], [50], [75], [85]]
    short_of = [price - 1e-5 if side == "LONG" else price + 1e-5 for price in prices]
    assert [len(guards.reached(entry, target, price, side)) for price in short_of] == [0, 1, 2, 3]


def result_of(lk: lake.Lake, position_id: str) -> tuple[Any, ...]:
    row = lk.positions.get(position_id)
    assert row is not None
    return row["current_price"], row["unrealized_pnl"], row["unrealized_pnl_percent"]


def test_an_unrealized_result_is_that_of_the_price_and_the_quantity_beside_it(lk: lake.Lake) -> None:
    lk.positions.open(LONG, position_id="p", opened_at=NOON, leverage=4)  # 2 at 100
    lk.positions.update("BTCUSDT", 110.0, later(1))
    shown: dict[str, Any] = {**LONG, "quantity": 1.0}
    for number, (more, result) in enumerate(
        [
            ({}, (110.0, 10.0, 40.0)),  # half of it was closed at the exchange
            ({"current_price": "120"}, (120.0, 20.0, 80.0)),
            ({"current_price": 120.0, "unrealized_pnl": 19.0}, (120.0, 19.0, 76.0)),  # the exchange knows better
            ({"leverage": "2"}, (120.0, 20.0, 40.0)),
            ({"entry_price": 115.0, "leverage": 2}, (120.0, 5.0, pytest.approx(200 * 5 / 115))),
        ],
        2,
    ):
        lk.positions.sync([{**shown, **more}], at=later(number))
        assert result_of(lk, "p") == result
    lk.positions.close("p", current_price=125.0)
    assert result_of(lk, "p")[:2] == (125.0, 10.0)
    opened = lk.positions.sync([{**shown, "current_price": 90.0}]).opened
    assert result_of(lk, opened[0]) == (90.0, -10.0, -10.0)
    lk.positions.open(LONG, position_id="q", symbol="ETHUSDT", side="SHORT", current_price=90.0)
    assert result_of(lk, "q") == (90.0, 20.0, 10.0)


@pytest.mark.parametrize(
    ("more", "result"),
    [
        ({"leverage": "10", "take_profit": "120"}, (110.0, 20.0, 100.0)),
        ({"leverage": 0, "take_profit": 120}, (110.0, 20.0, 10.0)),
        ({"leverage": "cross", "take_profit": "none", "tp1": 120.0}, (110.0, 20.0, 10.0)),
    ],
)
def test_a_leverage_and_a_target_in_the_words_of_an_exchange_stop_no_update(
    lk: lake.Lake, more: dict[str, Any], result: tuple[float, ...]
) -> None:
    opened = lk.positions.sync([{**LONG, **more}], at=NOON).opened
    assert [e.level for e in lk.positions.update("BTCUSDT", 110.0, later(1))] == [25, 50]
    assert result_of(lk, opened[0]) == result


@pytest.mark.parametrize("ahead", ["snapshot", "price"])
def test_a_snapshot_or_price_that_is_dated_ahead_hides_no_later_price(lk: lake.Lake, ahead: str) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    lk.positions.sync([{**LONG, "tp1": 120.0}], at=tomorrow if ahead == "snapshot" else None)
    if ahead == "price":
        lk.positions.update("BTCUSDT", 101.0, tomorrow)
    assert [e.level for e in lk.positions.update("BTCUSDT", 111.0)] == [25, 50]
    [row] = lk.positions.active()
    assert (row["current_price"], row["synced_at"] < tomorrow) == (111.0, True)
    lk.positions.update("BTCUSDT", 99.0, row["synced_at"] - timedelta(seconds=1))
    assert lk.positions.active() == [row], "an older price changes nothing"


def test_a_target_behind_the_entry_has_no_checkpoints() -> None:
    assert guards.reached(100.0, 90.0, 80.0, "LONG") == []
    assert guards.reached(100.0, 100.0, 100.0, "LONG") == []


def test_an_alert_and_its_flag_land_together_once_for_each_level(lk: lake.Lake) -> None:
    lk.positions.open(LONG, position_id="p")
    assert lk.positions.checkpoint("p", 50, 110.0, "HOLD", confidence=0.5, at=NOON).inserted == 1
    assert lk.positions.checkpoint("p", 50, 110.0, "HOLD", confidence=0.5, at=later(5)).unchanged == 1
    assert lk.positions.checkpoint("p", 50, 111.0, "MOVE_SL").updated == 1
    found = [(a["level"], a["recommendation"], a["alerted_at"]) for a in lk.positions.alerts("p")]
    assert found == [(50.0, "MOVE_SL", NOON)]
    with pytest.raises(UnknownRowError, match="'q'"):
        lk.positions.checkpoint("q", 25, 1.0, "HOLD")
    with pytest.raises(UsageError, match="25, 50, 75 or 85"):
        lk.positions.checkpoint("p", 30, 1.0, "HOLD")
    with pytest.raises(InvalidRowError, match=r"checkpoint_alerts\.recommendation"):
        lk.positions.checkpoint("p", 75, 1.0, "PANIC")
    row = lk.positions.get("p")
    assert row is not None
    assert (row["checkpoint_50"], row["checkpoint_75"], len(lk.positions.alerts("p"))) == (True, None, 1)


@pytest.mark.parametrize(
    ("side", "prices", "stops"),
    [("LONG", (110, 120, 100), (99.0, 108.0, 108.0)), ("SHORT", (90, 80, 100), (99.0, 88.0, 88.0))],
)
def test_a_trailing_stop_never_moves_back(
    lk: lake.Lake, side: str, prices: tuple[float, ...], stops: tuple[float, ...]
) -> None:
    lk.positions.open(LONG, side=side, position_id="p")
    for price, stop in zip(prices, stops, strict=True):
        lk.positions.trail("p", price, 10.0)
        row = lk.positions.get("p")
        assert row is not None
        assert row["trailing_stop"] == pytest.approx(stop)
    assert lk.positions.trail("p", prices[-1], 10.0).unchanged == 1
    lk.positions.close("p")
    with pytest.raises(LifeCycleError, match="closed and cannot be trailed"):
        lk.positions.trail("p", 1.0, 10.0)


def test_a_trailing_stop_is_never_looser_than_the_stop_loss(lk: lake.Lake) -> None:
    lk.positions.open(LONG, stop_loss=95.0, position_id="p")
    lk.positions.trail("p", 100.0, 10.0)
    assert [row["trailing_stop"] for row in lk.positions.active()] == [95.0]
    lk.positions.patch("p", stop_loss=97.0)  # as advised at a checkpoint
    lk.positions.trail("p", 100.0, 10.0)
    assert [row["trailing_stop"] for row in lk.positions.active()] == [97.0]
    lk.positions.patch("p", stop_loss=90.0)
    lk.positions.trail("p", 100.0, 10.0)
    assert [row["trailing_stop"] for row in lk.positions.active()] == [97.0], "it never moves back"


def test_a_closed_position_stays_closed(lk: lake.Lake) -> None:
    lk.positions.open(LONG, position_id="p")
    assert lk.positions.close("p").updated == 1
    assert lk.positions.close("p").unchanged == 1
    with pytest.raises(LifeCycleError, match="cannot be opened"):
        lk.positions.open(LONG, position_id="p")
    with pytest.raises(UnknownRowError, match="'q'"):
        lk.positions.close("q")


def test_syncs_of_many_tasks_open_a_position_once(tmp_path: Path) -> None:
    async def work() -> list[Any]:
        async with await lake.open_async(tmp_path, bot_id="a") as alk:
            await asyncio.gather(*(alk.positions.sync([LONG], at=later(n)) for n in range(10)))
            active: list[Any] = await alk.positions.active()
            return active

    assert len(asyncio.run(work())) == 1


@pytest.mark.parametrize("settled", [False, True])
def test_every_open_position_that_matches_nothing_vanishes(lk: lake.Lake, settled: bool) -> None:
    for number, name in enumerate(("z", "a", "k")):
        lk.positions.open(LONG, symbol="ETHUSDT", position_id=name, opened_at=later(number))
    if settled:
        lk.drain()
    done = lk.positions.sync([{**LONG, "symbol": "ETHUSDT"}])
    assert (done.opened, sorted(done.vanished)) == ([], ["a", "z"]), "the last opened one is that of the exchange"
    lk.positions.open(LONG, symbol="ETHUSDT", position_id="b")
    assert sorted(lk.positions.sync([]).vanished) == ["b", "k"]
    assert lk.positions.active() == []


def test_a_sync_in_a_transaction_sees_what_that_has_done(lk: lake.Lake) -> None:
    lk.positions.open(LONG, symbol="ETHUSDT", position_id="e")
    with lk.transaction():
        lk.positions.open(LONG, position_id="p", opened_at=NOON)
        lk.positions.close("e")
        assert [row["position_id"] for row in lk.positions.active()] == ["p"]
        done = lk.positions.sync([{**LONG, "quantity": 3.0}], at=NOON)
        assert (done.opened, done.changed, done.vanished) == ([], ["p"], [])
        lk.positions.update("BTCUSDT", 101.0, later(1))
        assert lk.positions.sync([], at=later(2)).vanished == ["p"]
        assert lk.positions.sync([LONG], at=later(3)).opened != ["p"]
    found = lk.frame("SELECT position_id, quantity, unrealized_pnl FROM positions WHERE status = 'closed' ORDER BY ALL")
    assert found.rows() == [("e", 2.0, None), ("p", 3.0, 3.0)]
    assert [row["quantity"] for row in lk.positions.active()] == [2.0]


@pytest.mark.parametrize("settled", [False, True])
def test_a_checkpoint_is_not_lost_when_the_bot_ends_before_it_has_advised_on_it(tmp_path: Path, settled: bool) -> None:
    with lake.open(tmp_path, bot_id="a") as lk:
        for name in ("p", "q"):
            lk.positions.open(LONG, tp1=120.0, position_id=name, symbol=f"{name}usdt", opened_at=NOON)
        assert [e.level for e in lk.positions.update("PUSDT", 110.0, later(1))] == [25, 50]
        assert [e.level for e in lk.positions.update("QUSDT", 105.0, later(1))] == [25]
        lk.positions.close("q")
        if settled:
            lk.drain()
    with lake.open(tmp_path, bot_id="b") as other:
        assert (other.positions.alerts(), other.positions.alerts(unanswered=True)) == ([], [])
    with lake.open(tmp_path, bot_id="a") as lk:
        assert lk.positions.update("PUSDT", 110.0, later(2)) == []
        waiting = lk.positions.alerts(unanswered=True)
        assert [(a["position_id"], a["level"], a["price"], a["alerted_at"]) for a in waiting] == [
            ("p", 25.0, 110.0, later(1)),
            ("p", 50.0, 110.0, later(1)),
        ]
        assert lk.positions.checkpoint("p", 50, 110.5, "HOLD", confidence=0.6, at=later(9)).updated == 1
        assert lk.positions.checkpoint("p", 50, 110.5, "HOLD", confidence=0.6, at=later(10)).unchanged == 1
        assert [a["level"] for a in lk.positions.alerts("p", unanswered=True)] == [25.0]
        found = lk.frame(
            "SELECT recommendation, price, alerted_at, (extra->>'answered_at')::TIMESTAMPTZ AS answered_at"
            " FROM checkpoint_alerts WHERE level = 50"
        )
        assert found.row(0) == ("HOLD", 110.5, later(1), later(9))
        assert [(a["position_id"], a["level"]) for a in lk.positions.alerts()] == [("p", 25), ("p", 50), ("q", 25)]


def test_a_checkpoint_and_its_alert_land_together_or_not_at_all(lk: lake.Lake) -> None:
    lk.positions.open(LONG, tp1=120.0, position_id="p", opened_at=NOON)

    def fail() -> None:
        with lk.transaction():
            assert [e.level for e in lk.positions.update("BTCUSDT", 105.0, later(1))] == [25]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert lk.positions.alerts("p") == []
    assert [e.level for e in lk.positions.update("BTCUSDT", 105.0, later(2))] == [25]
    assert len(lk.positions.alerts("p", unanswered=True)) == 1
