"""The life of a phantom bar by bar, held against a second, plain calculation."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from lake.kernels import phantom as kernel
from lake.kernels.phantom import Bar, advance, advance_all, begun, price_bar
from tests.phantom_oracle import Oracle

T0 = 1_767_225_600_000_000
MINUTE = 60_000_000
KEYS = [
    *("status", "outcome", "exit_reason", "exit_price", "exit_time", "pnl_percent", "realized_rr"),
    *("tp1_hit", "tp2_hit", "tp3_hit", "be_moved", "one_r_hit", "two_r_hit", "time_to_tp1_sec", "time_to_exit_sec"),
    *("max_favorable", "max_adverse", "ambiguous"),
]


def phantom(side: str = "LONG", **fields: Any) -> dict[str, Any]:
    way = 1 if side == "LONG" else -1
    row = {
        "phantom_id": "p",
        "side": side,
        "status": "active",
        "entry_price": 100.0,
        "stop_loss": 100.0 - way * 2,
        "tp1": 100.0 + way * 2,
        "tp2": 100.0 + way * 4,
        "tp3": 100.0 + way * 6,
        "signal_time": T0,
        "timeout_at": T0 + 60 * MINUTE,
        **fields,
    }
    row = {name: value for name, value in row.items() if value is not None}
    return {**row, **begun(row)}


def bar(number: int, opened: float, high: float, low: float, close: float) -> Bar:
    return Bar(T0 + number * MINUTE, T0 + (number + 1) * MINUTE, opened, high, low, close)


def lived(row: dict[str, Any], *bars: Bar) -> dict[str, Any]:
    for each in bars:
        row = {**row, **advance(row, each)}
    return row


@pytest.mark.parametrize(("side", "levels"), [("LONG", (3.06, 3.01, 3.11, 3.16)), ("SHORT", (3.3, 3.41, 3.19, 3.08))])
def test_a_target_at_2_r_is_2_r_though_floats_come_only_near_its_price(side: str, levels: tuple[float, ...]) -> None:
    entry, stop, first, second = levels
    for target, two in ((first, False), (second, True)):
        row = phantom(side, entry_price=entry, stop_loss=stop, tp1=target, tp2=None, tp3=None)
        end = lived(row, price_bar(T0 + MINUTE, target))
        assert (end["outcome"], end["one_r_hit"], end["two_r_hit"]) == ("win", True, two)


def test_the_targets_are_reached_one_after_the_other_and_the_stop_moves_to_the_entry() -> None:
    first = lived(phantom(), bar(-1, 100, 101, 99, 101), bar(0, 100, 101, 99, 101), bar(1, 101, 102.5, 100.5, 102))
    assert (first["tp1_hit"], first["be_moved"], first["status"]) == (True, True, "active")
    assert (first["time_to_tp1_sec"], first["one_r_hit"], first["two_r_hit"]) == (120.0, True, False)
    second = lived(first, bar(2, 102, 104, 101, 103))
    assert (second["tp2_hit"], second["two_r_hit"], second["status"]) == (True, True, "active")
    third = lived(second, bar(3, 103, 107, 103, 106))
    assert (third["outcome"], third["exit_reason"], third["exit_price"]) == ("win", "tp3", 106.0)
    assert (third["realized_rr"], third["pnl_percent"], third["time_to_exit_sec"]) == (3.0, 6.0, 240.0)
    assert (third["max_favorable"], third["max_adverse"]) == (106.0, 99.0)
    assert third["ambiguous"] is False


def test_after_the_first_target_the_entry_is_where_it_ends() -> None:
    end = lived(phantom("SHORT"), bar(0, 99, 99.5, 97.9, 98), bar(1, 98, 100.5, 97.5, 100))
    assert (end["outcome"], end["exit_reason"], end["exit_price"]) == ("breakeven", "breakeven", 100.0)
    assert (end["realized_rr"], end["tp1_hit"], end["tp2_hit"]) == (0.0, True, False)


def test_a_bar_that_touches_stop_and_target_is_a_loss_and_says_that_it_is_not_sure() -> None:
    end = lived(phantom(), bar(0, 100, 103, 97, 101))
    assert (end["outcome"], end["exit_price"], end["ambiguous"], end["tp1_hit"]) == ("loss", 98.0, True, False)
    assert (end["max_favorable"], end["max_adverse"], end["one_r_hit"]) == (100.0, 98.0, False)


def test_a_bar_that_reaches_the_first_target_and_the_entry_ends_there_and_says_that_it_is_not_sure() -> None:
    for side, unsure in (("LONG", bar(0, 101, 102.5, 99.5, 102)), ("SHORT", bar(0, 99, 100, 93, 94))):
        end = lived(phantom(side), unsure)
        assert (end["outcome"], end["exit_reason"], end["exit_price"]) == ("breakeven", "breakeven", 100.0)
        assert (end["ambiguous"], end["tp1_hit"], end["tp2_hit"], end["be_moved"]) == (True, True, False, True)
        assert (end["one_r_hit"], end["two_r_hit"], end["max_adverse"]) == (True, False, 100.0)
        assert end["max_favorable"] == (102.0 if side == "LONG" else 98.0)
        assert (end["time_to_tp1_sec"], end["time_to_exit_sec"]) == (60.0, 60.0)
    sure = lived(phantom(), bar(0, 101, 102.5, 100.5, 102))
    assert (sure["status"], sure["tp1_hit"], sure["ambiguous"]) == ("active", True, False)
    alone = lived(phantom(tp2=None, tp3=None), bar(0, 101, 102.5, 99.5, 102))
    assert (alone["outcome"], alone["ambiguous"], alone["max_adverse"]) == ("win", False, 99.5)


def test_an_open_beyond_the_stop_is_where_it_ends() -> None:
    end = lived(phantom(), bar(0, 100, 101, 99, 99), bar(1, 95, 110, 94, 109))
    assert (end["outcome"], end["exit_price"], end["realized_rr"]) == ("loss", 95.0, -2.5)
    assert (end["ambiguous"], end["max_adverse"], end["exit_time"]) == (False, 95.0, T0 + MINUTE)


def test_an_open_beyond_the_last_target_is_where_it_ends_and_a_range_fills_at_the_target() -> None:
    gap = lived(phantom("SHORT"), bar(0, 100, 101, 99, 99), bar(1, 93, 101, 92, 95))
    assert (gap["outcome"], gap["exit_reason"], gap["exit_price"], gap["realized_rr"]) == ("win", "tp3", 93.0, 3.5)
    assert (gap["tp1_hit"], gap["tp2_hit"], gap["tp3_hit"], gap["be_moved"]) == (True, True, True, True)
    assert (gap["max_favorable"], gap["exit_time"], gap["time_to_tp1_sec"]) == (93.0, T0 + MINUTE, 60.0)
    ranged = lived(phantom("SHORT"), bar(0, 99, 99.5, 93, 95))
    assert (ranged["exit_price"], ranged["max_favorable"], ranged["exit_time"]) == (94.0, 94.0, T0 + MINUTE)


def test_what_the_open_settles_comes_before_the_range() -> None:
    end = lived(phantom(), bar(0, 102.5, 103, 97, 98))
    assert (end["tp1_hit"], end["outcome"], end["exit_price"], end["ambiguous"]) == (True, "breakeven", 100.0, False)
    assert end["time_to_tp1_sec"] == 0.0


@pytest.mark.parametrize(
    ("bars", "price", "at"),
    [
        ((bar(58, 100, 101, 99, 100.5), bar(59, 100.5, 101, 99, 101)), 101.0, 60),
        ((bar(58, 100, 101, 99, 100.5), bar(90, 99.5, 101, 99, 101)), 99.5, 90),
    ],
)
def test_a_timeout_ends_it_at_the_close_or_after_a_gap_at_the_open(
    bars: tuple[Bar, ...], price: float, at: int
) -> None:
    end = lived(phantom(), *bars)
    assert (end["outcome"], end["exit_price"], end["exit_time"]) == ("timeout", price, T0 + at * MINUTE)


def test_a_range_with_the_timeout_in_it_is_no_win_and_an_open_after_it_settles_nothing() -> None:
    late = phantom(timeout_at=T0 + 30 * MINUTE + 1)
    up = lived(late, bar(30, 100, 107, 99.5, 105))
    assert (up["outcome"], up["exit_price"], up["tp1_hit"], up["ambiguous"]) == ("timeout", late["tp1"], False, True)
    down = lived(late, bar(30, 100, 101, 90, 100))
    assert (down["exit_reason"], down["exit_price"], down["ambiguous"]) == ("sl", late["stop_loss"], True)
    quiet = lived(late, bar(30, 100, 101, 99.5, 100.5))
    assert (quiet["outcome"], quiet["exit_price"], quiet["ambiguous"]) == ("timeout", 100.5, False)
    for opened in (90.0, 110.0):
        after = lived(late, bar(31, opened, 111, 89, 100))
        assert (after["outcome"], after["exit_price"], after["tp1_hit"]) == ("timeout", opened, False)


def test_a_phantom_ends_at_its_last_target_however_many_it_has() -> None:
    end = lived(phantom(tp2=None, tp3=None), price_bar(T0 + 1, 102.5))
    assert (end["outcome"], end["exit_price"], end["be_moved"], end["max_favorable"]) == ("win", 102.5, False, 102.5)
    assert "tp2_hit" not in end


def test_without_stop_or_targets_only_time_ends_it() -> None:
    row = phantom(stop_loss=None, tp1=None, tp2=None, tp3=None)
    end = lived(row, price_bar(T0 + 1, 1.0), price_bar(T0 + 2, 1e6), price_bar(T0 + 61 * MINUTE, 110.0))
    assert (end["outcome"], end["pnl_percent"], end.get("realized_rr")) == ("timeout", 10.0, None)


def test_bars_from_before_the_signal_repeated_and_late_ones_change_nothing() -> None:
    row = phantom(signal_time=T0 + MINUTE // 2)
    assert advance(row, bar(0, 100, 200, 1, 100)) == {}
    one = lived(row, bar(2, 100, 101, 99.5, 100))
    assert advance(one, bar(2, 100, 101, 99.5, 100)) == {}
    assert advance(one, bar(1, 100, 200, 1, 100)) == {}
    done = lived(row, bar(2, 97, 98, 96, 97))
    assert advance(done, bar(3, 100, 200, 1, 100)) == {}


def walks(seed: int, count: int) -> tuple[dict[str, Any], list[Bar]]:
    chance = random.Random(seed)
    side = chance.choice(["LONG", "SHORT"])
    drop: dict[str, Any] = {
        name: None for name in ("stop_loss", "tp1", "tp2", "tp3", "timeout_at") if chance.random() < 0.15
    }
    if "timeout_at" not in drop:
        drop["timeout_at"] = T0 + chance.randrange(10, 60) * MINUTE + chance.choice([0, 1, 20_000_000])
    row = phantom(side, **drop, signal_time=T0 + chance.randrange(0, 5 * MINUTE))
    bars, price = [], 100.0
    for number in range(count):
        opened = price * (1 + chance.gauss(0, 0.006)) if chance.random() < 0.2 else price
        price = round(opened * (1 + chance.gauss(0, 0.006)), chance.choice([0, 1, 2]))
        high = max(opened, price) * (1 + abs(chance.gauss(0, 0.004)))
        low = min(opened, price) * (1 - abs(chance.gauss(0, 0.004)))
        if chance.random() < 0.9:
            bars.append(bar(number, opened, round(high, 2) + 0.01, round(low, 2) - 0.01, price))
    return row, bars


@pytest.mark.parametrize("seed", range(400))
def test_any_life_is_that_of_the_oracle_bar_by_bar_and_all_at_once(seed: int) -> None:
    row, bars = walks(seed, 90)
    oracle = Oracle(row)
    now = row
    for each in bars:
        now = {**now, **advance(now, each)}
        oracle.bar(*each)
        assert {k: now.get(k) for k in KEYS} == pytest.approx({k: oracle.columns().get(k) for k in KEYS})
    series = np.array([tuple(each) for each in bars], kernel.BARS)
    whole = {**row, **advance_all(row, series)}
    assert {k: whole.get(k) for k in KEYS} == {k: now.get(k) for k in KEYS}
