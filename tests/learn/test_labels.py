"""Labels: what an outcome is, case by case; and the same from a lake's own candles, written back."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

import lake
from jobs import label as job
from jobs.schedule import DEFAULTS
from lake.cli import main
from lake.errors import InvalidRowError, InvalidTimeError, UsageError
from lake.learn.labels import LABEL
from tests.kernels.barrier_oracle import Event, follow
from tests.kernels.test_barrier import coarser, walk

T0 = datetime(2024, 3, 1, tzinfo=UTC)
QUIET = (100.0, 101.0, 99.0, 100.0)
Prices = tuple[float, float, float, float]


def at(minute: float) -> datetime:
    return T0 + timedelta(minutes=minute)


def candles(bars: dict[int, Prices] | list[Prices], step: int = 1, **more: Any) -> pl.DataFrame:
    """Candles by the minute that they open at, or in a row."""
    named = bars if isinstance(bars, dict) else {n * step: bar for n, bar in enumerate(bars)}
    rows = [
        {"symbol": "BTCUSDT", "open_time": at(m), "open": o, "high": h, "low": lo, "close": c, "timeframe": f"{step}m"}
        for m, (o, h, lo, c) in named.items()
    ]
    return pl.DataFrame(rows).with_columns(pl.lit(value).alias(name) for name, value in more.items())


def event(**fields: Any) -> dict[str, Any]:
    row = {
        "event_id": "e", "symbol": "BTC/USDT", "side": "LONG", "entry_price": 100.0, "stop_loss": 98.0, "tp1": 102.0,
        "tp2": 104.0, "tp3": 106.0, "start_time": T0, "timeout_at": at(60),
    }  # fmt: skip
    return {**row, **fields}


def label(bars: Any, finer: Any = None, *, costs: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    frame = bars if isinstance(bars, pl.DataFrame) else candles(bars)
    return lake.label_events(frame, pl.DataFrame([event(**fields)]), finer=finer, **(costs or {})).row(0, named=True)


def test_targets_are_reached_one_after_the_other_and_the_last_one_ends_it() -> None:
    got = label([(101, 102.5, 100.5, 102), (102, 104, 101, 103), (103, 107, 103, 106)])
    assert got == {
        "event_id": "e", "outcome": "win", "exit_reason": "tp3", "exit_price": 106.0, "exit_time": at(3),
        "pnl_percent": 6.0, "realized_rr": 3.0, "tp1_hit": True, "tp2_hit": True, "tp3_hit": True, "be_moved": True,
        "one_r_hit": True, "two_r_hit": True, "time_to_tp1_sec": 60.0, "time_to_exit_sec": 180.0,
        "max_favorable": 106.0, "max_adverse": 100.0, "ambiguous": False, "mfe_r": 3.0, "mae_r": 0.0, "bars": 3,
    }  # fmt: skip


@pytest.mark.parametrize(("side", "levels"), [("LONG", (3.06, 3.01, 3.11, 3.16)), ("SHORT", (3.3, 3.41, 3.19, 3.08))])
def test_a_target_at_2_r_is_2_r_though_floats_come_only_near_its_price(side: str, levels: tuple[float, ...]) -> None:
    entry, stop, first, second = levels
    named = {"side": side, "entry_price": entry, "stop_loss": stop, "tp2": None, "tp3": None}
    for target, two in ((first, False), (second, True)):
        bars = [(entry, entry, entry, entry), (entry, max(entry, target), min(entry, target), target)]
        got = label(bars, **named, tp1=target)
        assert (got["outcome"], got["one_r_hit"], got["two_r_hit"]) == ("win", True, two)


def test_the_moved_stop_is_breakeven_unless_an_open_lies_beyond_it() -> None:
    got = label([(101, 102.5, 100.5, 102), (102, 103, 99.5, 100)])
    assert (got["outcome"], got["exit_reason"], got["exit_price"], got["be_moved"]) == (
        "breakeven",
        "breakeven",
        100,
        True,
    )
    gap = label([(101, 102.5, 100.5, 102), (99, 103, 98.5, 100)])
    assert (gap["outcome"], gap["exit_reason"], gap["exit_price"]) == ("loss", "breakeven", 99.0)


def test_break_even_is_a_rule_of_all_events_or_of_one() -> None:
    bars = candles([(101, 102.5, 100.5, 102), (102, 103, 99.5, 100), (100, 100, 97, 98)])
    rows = pl.DataFrame([event(), event(event_id="f", break_even=False)], infer_schema_length=None)
    assert lake.label_events(bars, rows)["exit_reason"].to_list() == ["breakeven", "sl"]
    got = lake.label_events(bars, rows.drop("break_even"), break_even=False)
    assert got["exit_reason"].to_list() == ["sl", "sl"]
    assert got.select("outcome", "tp1_hit", "be_moved").row(0) == ("loss", True, False)


@pytest.mark.parametrize(("opened", "price", "rr"), [(95.0, 95.0, -2.5), (109.0, 109.0, 4.5)])
def test_an_open_beyond_a_level_is_filled_at_the_open(opened: float, price: float, rr: float) -> None:
    got = label([QUIET, (opened, 110, 94, 100)])
    assert (got["exit_price"], got["realized_rr"], got["exit_time"], got["ambiguous"]) == (price, rr, at(1), False)


def test_a_candle_that_touches_both_is_a_loss_and_ambiguous_unless_finer_ones_tell() -> None:
    coarse = candles([(100, 107, 97, 105)], step=3)
    got = label(coarse)
    assert (got["outcome"], got["exit_price"], got["exit_time"], got["ambiguous"]) == ("loss", 98.0, at(3), True)
    up = candles([(101, 107, 100.5, 106), (106, 106, 97, 97), (97, 105, 97, 105)])
    got = label(coarse, up)
    assert (got["outcome"], got["exit_time"], got["ambiguous"], got["bars"]) == ("win", at(1), False, 1)
    down = candles([(100, 101, 97, 98), (98, 107, 98, 106), (106, 106, 105, 105)])
    assert label(coarse, [down])["ambiguous"] is False
    assert label(coarse, {"1m": down})["outcome"] == "loss"
    assert label(coarse, up[1:])["ambiguous"] is True, "finer candles that miss a part of it tell nothing"
    both = candles([(100, 107, 97, 106), (106, 106, 97, 97), (97, 105, 97, 105)])
    assert label(coarse, both).items() >= {"outcome": "loss", "ambiguous": True, "exit_time": at(1)}.items()


def test_a_candle_that_reaches_the_first_target_and_the_entry_is_breakeven_and_ambiguous_unless_finer_ones_tell() -> (
    None
):
    coarse = candles([(101, 103, 99, 102), (102, 107, 102, 106)], step=3)
    got = label(coarse)
    assert (got["outcome"], got["exit_price"], got["exit_time"], got["ambiguous"]) == ("breakeven", 100.0, at(3), True)
    assert (got["tp1_hit"], got["tp2_hit"], got["be_moved"], got["one_r_hit"]) == (True, False, True, True)
    low_first = candles([(101, 101, 99, 101), (101, 103, 101, 103), (103, 103, 101, 102)])
    got = label(coarse, low_first)
    assert (got["outcome"], got["exit_time"], got["ambiguous"], got["bars"]) == ("win", at(6), False, 2)
    assert (got["time_to_tp1_sec"], got["max_adverse"]) == (120.0, 99.0)
    high_first = candles([(101, 103, 101, 103), (103, 103, 99, 101), (101, 103, 101, 102)])
    assert label(coarse, high_first).items() >= {"outcome": "breakeven", "exit_time": at(2), "ambiguous": False}.items()
    assert label(coarse, low_first[:2])["ambiguous"] is True, "finer candles that miss a part of it tell nothing"
    assert label(coarse, break_even=False)["outcome"] == "win"


def test_the_next_finer_timeframe_is_asked_first_and_the_finest_where_that_does_not_tell() -> None:
    coarse = candles([(100, 107, 97, 105)], step=15)
    middle = candles([(100, 107, 97, 105), (105, 105, 105, 105), (105, 105, 105, 105)], step=5)
    fine = candles([(101, 107, 100.5, 106), (106, 106, 97, 97), *[(105, 105, 105, 105)] * 13])
    assert label(coarse, [middle]).items() >= {"ambiguous": True, "exit_time": at(5)}.items()
    assert label(coarse, [fine, middle]).items() >= {"outcome": "win", "exit_time": at(1)}.items()


def test_a_start_inside_a_candle_never_uses_its_earlier_part() -> None:
    coarse = candles([(100, 120, 80, 100), (100, 101, 97, 98)], step=3)
    got = label(coarse, start_time=at(1.5))
    assert (got["exit_reason"], got["exit_time"], got["bars"]) == ("sl", at(6), 1)
    fine = candles([(100, 120, 80, 100), (100, 120, 80, 100), (101, 106, 100.5, 105)])
    got = label(coarse, fine, start_time=at(1.5))
    assert (got["exit_reason"], got["exit_time"], got["time_to_exit_sec"], got["bars"]) == ("tp3", at(3), 90.0, 1)
    assert label(coarse, fine[:2], start_time=at(1.5))["exit_time"] == at(6)


def test_a_level_that_a_held_candle_reaches_after_the_start_is_never_passed_over() -> None:
    """The first candle that it begins in is a gap of the finer ones; the stop is in the third, the target later on."""
    coarse = candles([(100, 101, 97, 100), (101, 107, 100.5, 106)], step=3)
    fine = candles({0: QUIET, 2: (100, 100, 97, 100)})
    got = label(coarse, fine, start_time=at(0.5))
    assert (got["outcome"], got["exit_reason"], got["exit_price"]) == ("unknown", "gap", None)
    assert label(coarse, candles({0: QUIET, 2: QUIET}), start_time=at(0.5))["outcome"] == "win"
    assert label(coarse, fine, start_time=at(0.5), timeout_at=at(2))["outcome"] == "timeout", "it was given up before"


def test_a_missing_candle_before_the_end_is_unknown_and_no_number_is_told() -> None:
    got = label({0: QUIET, 2: (101, 107, 100.5, 106)})
    assert (got["outcome"], got["exit_reason"]) == ("unknown", "gap")
    assert {got[name] for name in LABEL if name not in {"outcome", "exit_reason"}} == {None}
    assert label({3: QUIET, 4: QUIET})["outcome"] == "unknown"
    assert label({0: (101, 107, 100.5, 106), 2: QUIET})["outcome"] == "win", (
        "what is missing after the end does not matter"
    )


def test_candles_that_have_not_come_yet_leave_it_unresolved() -> None:
    got = label([QUIET] * 5)
    assert {got[name] for name in LABEL} == {None}
    assert label(candles([QUIET] * 5).with_columns(symbol=pl.lit("ETHUSDT")))["outcome"] is None


def test_the_candle_that_contains_the_timeout_is_the_last_and_no_target_in_it_counts() -> None:
    bars = [QUIET, QUIET, (100, 101, 99, 100.5), (100, 120, 80, 100)]
    assert (
        label(bars, timeout_at=at(2.5)).items()
        >= {"outcome": "timeout", "exit_price": 100.5, "exit_time": at(3)}.items()
    )
    assert label(bars, timeout_at=at(3))["exit_time"] == at(3)
    unsure = label([*bars[:2], (101, 107, 100.5, 105)], timeout_at=at(2.5))
    assert (unsure["outcome"], unsure["exit_price"], unsure["ambiguous"]) == ("timeout", 102.0, True)
    assert (unsure["tp1_hit"], unsure["max_favorable"], unsure["max_adverse"]) == (False, 102.0, 99.0)
    lower = label([*bars[:2], (101, 107, 100.5, 101.5)], timeout_at=at(2.5))
    assert (lower["exit_price"], lower["realized_rr"]) == (101.5, 0.75)
    stopped = label([*bars[:2], (101, 101, 97, 101)], timeout_at=at(2.5))
    assert (stopped["outcome"], stopped["exit_price"], stopped["ambiguous"]) == ("loss", 98.0, True)
    early = label(bars, start_time=at(0.5), timeout_at=at(0.7))
    assert (early["outcome"], early["exit_time"], early["exit_price"]) == ("timeout", at(1), 100.0)


def test_a_timeout_inside_a_coarse_candle_is_told_by_the_finer_ones_up_to_it() -> None:
    minutes = [(100, 105 if minute == 50 else 100.5, 99.5, 100) for minute in range(120)]
    fine, coarse = candles(minutes), candles([(100, 105, 99.5, 100), (100, 100.5, 99.5, 100)], step=60)
    coarse = coarse.with_columns(timeframe=pl.lit("1h"))
    levels: dict[str, Any] = {"tp1": 104.0, "tp2": None, "tp3": None, "timeout_at": at(10)}
    got = label(coarse, fine, **levels)
    assert got == label(fine, **levels) | {"bars": 1}
    assert (got["outcome"], got["exit_time"], got["ambiguous"]) == ("timeout", at(10), False)
    assert label(coarse, fine[:10], **levels) == got, "what comes after the timeout is not asked"
    assert label(coarse, fine[:9], **levels)["ambiguous"] is True
    late = label(coarse, fine, **levels | {"timeout_at": at(50.5)})
    assert (late["outcome"], late["exit_price"], late["exit_time"], late["ambiguous"]) == ("timeout", 100, at(51), True)


def test_an_open_after_the_timeout_is_a_timeout_whatever_it_touches() -> None:
    bars = candles([(100, 120, 80, 100), (110, 120, 80, 100)], step=60).with_columns(timeframe=pl.lit("1h"))
    got = label(bars, start_time=at(10), timeout_at=at(20))
    assert (got["outcome"], got["exit_price"], got["exit_time"], got["tp1_hit"]) == ("timeout", 110.0, at(60), False)
    fine = candles([QUIET] * 20)
    assert label(bars, fine, start_time=at(10), timeout_at=at(20))["exit_time"] == at(20)
    assert label(bars, start_time=at(10), timeout_at=at(60))["outcome"] == "win", "at the timeout the open still counts"


def test_costs_are_taken_off_the_result_and_an_exit_at_the_moved_stop_stays_breakeven() -> None:
    costs = {"fees": 0.001, "slippage": 0.01}
    stop = label([(100, 101, 97, 98)], costs=costs)
    assert stop["exit_price"] == pytest.approx(98 * 0.99)
    assert stop["pnl_percent"] == pytest.approx(98 * 0.99 - 100 - 0.001 * (100 + 98 * 0.99))
    assert stop["realized_rr"] == pytest.approx(stop["pnl_percent"] / 2)
    assert (stop["max_adverse"], stop["mae_r"]) == (98.0, -1.0)
    short = label([(100, 103, 99, 102)], side="SHORT", stop_loss=102.0, tp1=90.0, tp2=None, tp3=None, costs=costs)
    assert short["exit_price"] == pytest.approx(102 * 1.01)
    target = label([(101, 107, 100.5, 106)], costs=costs)
    assert (target["exit_price"], target["pnl_percent"]) == (106.0, pytest.approx(6 - 0.206))
    even = label([(101, 102.5, 100.5, 102), (102, 103, 99, 100)], costs=costs)
    assert (even["outcome"], even["pnl_percent"] < 0) == ("breakeven", True)
    thin = label([(100, 100.1, 99, 100)], tp1=100.1, tp2=None, tp3=None, costs=costs)
    assert (thin["outcome"], thin["exit_reason"]) == ("loss", "tp1")


def test_without_a_stop_there_is_no_r_and_without_a_target_no_hit() -> None:
    got = label([QUIET, (100, 107, 1, 106)], stop_loss=None, tp2=None, tp3=None)
    assert (got["outcome"], got["exit_price"], got["tp1_hit"], got["tp2_hit"]) == ("win", 102.0, True, None)
    assert [got[name] for name in ("realized_rr", "mfe_r", "mae_r", "one_r_hit", "two_r_hit")] == [None] * 5
    timed = label([QUIET] * 3, tp1=None, tp2=None, tp3=None, timeout_at=at(2))
    assert (timed["outcome"], timed["tp1_hit"], timed["realized_rr"]) == ("timeout", None, 0.0)
    assert label([(100, 104, 99, 103)], tp1=None, tp3=None, timeout_at=None)["exit_reason"] == "tp2"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"entry_price": 0.0}, "events, e, entry_price: a price is a finite number above 0"),
        ({"entry_price": math.nan}, "events, e, entry_price: a price is a finite number above 0"),
        ({"stop_loss": math.nan}, "events, e, stop_loss: a price is a finite number above 0"),
        ({"tp2": math.inf}, "events, e, tp2: a price is a finite number above 0"),
        ({"stop_loss": 100.0}, "events, e, stop_loss: on the wrong side of entry_price"),
        ({"side": "SHORT"}, "events, e, stop_loss: on the wrong side of entry_price"),
        ({"tp2": 101.0}, "events, e, tp2: before tp1 on the way"),
        ({"side": "UP"}, "events, e, side: a side is LONG or SHORT"),
        ({"side": None}, "events, e, side: a side is LONG or SHORT"),
        ({"start_time": None}, "events, e, start_time: an event has one"),
        ({"timeout_at": at(-1)}, "events, e, timeout_at: it is given up before it begins"),
        ({"tp1": None, "tp2": None, "tp3": None, "timeout_at": None}, "events, e, timeout_at: it can never end"),
    ],
)
def test_an_event_that_cannot_be_followed_is_refused_by_name(fields: dict[str, Any], message: str) -> None:
    kinds: Any = {"side": pl.String, "start_time": pl.Datetime("us", "UTC"), "timeout_at": pl.Datetime("us", "UTC")}
    rows = pl.DataFrame([event(**fields), event(event_id="ok")], schema_overrides=kinds)
    with pytest.raises(InvalidRowError, match=message):
        lake.label_events(candles([QUIET]), rows)


def test_naive_times_doubled_ids_and_broken_candles_are_refused() -> None:
    rows = pl.DataFrame([event()])
    with pytest.raises(InvalidTimeError, match="events.start_time: a naive time"):
        lake.label_events(candles([QUIET]), rows.with_columns(pl.col("start_time").dt.replace_time_zone(None)))
    with pytest.raises(InvalidTimeError, match="candles.open_time: a naive time"):
        lake.label_events(candles([QUIET]).with_columns(pl.col("open_time").dt.replace_time_zone(None)), rows)
    with pytest.raises(InvalidRowError, match="events, e, event_id: another event has this id"):
        lake.label_events(candles([QUIET]), pl.concat([rows, rows]))
    with pytest.raises(UsageError, match="events: a column is missing .got 'side'."):
        lake.label_events(candles([QUIET]), rows.drop("side"))
    with pytest.raises(InvalidRowError, match="candles, BTCUSDT .*: prices that no candle has"):
        lake.label_events(candles([(100, 99, 98, 100)]), rows)
    with pytest.raises(UsageError, match="BTCUSDT: a candle is there twice"):
        lake.label_events(pl.concat([candles([QUIET])] * 2), rows)
    with pytest.raises(UsageError, match="fees: a rate is at least 0 and below 1"):
        lake.label_events(candles([QUIET]), rows, fees=5.0)
    with pytest.raises(UsageError, match="finer: candles that are not finer"):
        lake.label_events(candles([QUIET]), rows, finer=candles([QUIET], step=5))


@pytest.mark.parametrize("named", [True, False])
def test_candles_there_twice_or_off_the_others_are_refused_with_and_without_their_timeframe(named: bool) -> None:
    columns = ["timeframe"] if not named else []
    frame = candles([QUIET] * 10)
    other = frame.with_columns(symbol=pl.lit("ETHUSDT"))
    stray = frame.head(1).with_columns(pl.col("open_time") + timedelta(seconds=30))
    for wrong, where in (
        (pl.concat([frame, frame.tail(1)]), "BTCUSDT"),
        (pl.concat([frame, frame]), "BTCUSDT"),
        (pl.concat([frame, other, other.head(1)]), "ETHUSDT"),
        (pl.concat([frame, stray]), "BTCUSDT"),
    ):
        with pytest.raises(UsageError, match=f"candles, {where}: a candle is there twice"):
            label(wrong.drop(columns))


def test_a_gap_says_nothing_of_how_long_candles_are() -> None:
    frame = candles({0: QUIET, 5: QUIET, 10: (100, 107, 100, 106), 40: QUIET}, step=5).drop("timeframe")
    assert label(frame)["exit_time"] == at(15)


def test_without_candles_nothing_is_known_and_without_finer_ones_nothing_is_added() -> None:
    frame = candles([(101, 107, 100.5, 106)])
    assert label(frame.clear())["outcome"] is None
    assert label(frame.clear().drop("timeframe"), frame.clear())["outcome"] is None
    for none in (frame.clear(), frame.clear().drop("timeframe"), {"1m": frame.clear()}, [frame.clear()] * 2):
        assert label(frame, none)["outcome"] == "win"


def test_no_events_give_no_rows_and_every_column() -> None:
    got = lake.label_events(candles([QUIET]), pl.DataFrame([event()]).clear())
    assert got.schema == {"event_id": pl.String, **LABEL}


def test_events_keep_their_order_and_take_the_candles_of_their_symbol_and_venue() -> None:
    up, down = [(101.0, 107.0, 100.5, 106.0)], [(100.0, 100.0, 97.0, 98.0)]
    frame = pl.concat(
        [
            candles(up, venue="a"),
            candles(down, venue="b"),
            candles(down, venue="a").with_columns(symbol=pl.lit("ETHUSDT")),
        ]
    )
    rows = pl.DataFrame(
        [
            event(event_id=3, venue="b"),
            event(event_id=1, venue="a"),
            event(event_id=2, symbol="eth-usdt", venue=None),
            event(event_id=9, venue=None),
        ],
        schema_overrides={"venue": pl.String},
    )
    got = lake.label_events(frame.sample(fraction=1.0, shuffle=True, seed=1), rows)
    assert got["event_id"].to_list() == [3, 1, 2, 9]
    assert got["outcome"].to_list() == ["loss", "win", "loss", None], "which venue's BTCUSDT is meant is not sure"


def test_candles_without_a_timeframe_are_as_long_as_their_least_spacing() -> None:
    assert label(candles({0: QUIET, 5: (101, 107, 100.5, 106)}).drop("timeframe"))["exit_time"] == at(10)
    with pytest.raises(UsageError, match="how long is a candle"):
        label(candles([QUIET]).drop("timeframe"))


# ---- the lake's own


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake") as opened:
        yield opened


def put(lk: lake.Lake, bars: Any, step: int = 1, venue: str = "binance") -> None:
    lk.candles.write(candles(bars, step).drop("timeframe").with_columns(volume=pl.lit(1.0)), f"{step}m", venue=venue)


def phantom(lk: lake.Lake, name: str = "p", **fields: Any) -> None:
    row = {name: value for name, value in event().items() if name not in {"event_id", "start_time"}}
    lk.phantoms.record({**row, "phantom_id": name, "signal_time": T0, **fields})


def test_active_phantoms_get_their_outcome_and_a_second_call_changes_nothing(lk: lake.Lake) -> None:
    put(lk, [QUIET, (101, 107, 100.5, 106)])
    phantom(lk)
    phantom(lk, "short", side="SHORT", stop_loss=200.0, tp1=50.0, tp2=None, tp3=None)
    told = lk.label(dry_run=True)
    assert (told.labelled, told.waiting, dict(told.outcomes)) == (1, 1, {"win": 1})
    assert len(lk.phantoms.active()) == 2
    done = lk.label("phantoms", fees=0.001)
    assert (done.unresolved, done.labelled, done.waiting) == (2, 1, 1)
    row = lk.phantoms.get("p")
    assert row is not None
    assert (row["status"], row["outcome"], row["exit_price"], row["exit_time"]) == ("completed", "win", 106.0, at(2))
    assert row["pnl_percent"] == pytest.approx(6 - 0.206)
    version = lk.read("phantoms")
    assert lk.label().labelled == 0
    assert lk.read("phantoms").equals(version)
    put(lk, {2: (100, 100, 49, 50)})
    assert lk.label().labelled == 1
    assert lk.label().unresolved == 0


def test_a_label_and_a_followed_phantom_say_the_same(tmp_path: Path) -> None:
    chance = random.Random(4)
    bars = list(walk(chance, 600, 2).values())
    rows: list[dict[str, Any]] = []
    for number in range(60):
        start, way = chance.randrange(500), chance.choice([1, -1])
        entry = bars[start][0]
        levels = {f"tp{n}": entry + way * n for n in (1, 2, 3)} | {"stop_loss": entry - way, "entry_price": entry}
        times = {"signal_time": at(start - 0.5 * (number % 2)), "timeout_at": at(start + 40)}
        rows.append({"phantom_id": f"p{number}", "side": "LONG" if way > 0 else "SHORT", **levels, **times})
    found = []
    for name in ("labelled", "followed"):
        with lake.open(tmp_path / name) as lk:
            put(lk, bars)
            for row in rows:
                phantom(lk, **row)
            assert lk.label().labelled == 60 if name == "labelled" else lk.phantoms.follow().updated == 60
            found.append(lk.read("phantoms").sort("phantom_id").drop("followed_until"))
    assert found[0].equals(found[1])
    assert set(found[0]["outcome"]) >= {"win", "loss", "breakeven"}


def test_finer_candles_of_the_lake_resolve_and_the_finest_that_tells_the_end_is_followed(lk: lake.Lake) -> None:
    fine = walk(random.Random(8), 60, 2)
    put(lk, coarser(fine, 15), 15)
    rows = pl.DataFrame([event(tp1=101.0, tp2=None, tp3=None, stop_loss=99.0)])
    assert lk.label(rows)["bars"].to_list()[0] is not None
    put(lk, fine)
    base, finer = candles(coarser(fine, 15), 15), candles(fine)
    assert lk.label(rows).equals(lake.label_events(finer, rows))
    assert lk.label(rows, timeframe="15m").equals(lake.label_events(base, rows, finer=finer))


def test_a_gap_waits_for_its_candles_until_there_are_some_past_the_timeout(lk: lake.Lake) -> None:
    phantom(lk, timeout_at=at(10))
    put(lk, {0: QUIET, 2: (101, 107, 100.5, 106)})
    assert (lk.label().labelled, lk.label().waiting) == (0, 1)
    assert lk.label(pl.DataFrame([event()]))["outcome"].to_list() == ["unknown"]
    put(lk, {20: QUIET})
    assert dict(lk.label().outcomes) == {"unknown": 1}
    row = lk.phantoms.get("p")
    assert row is not None
    assert (row["outcome"], row["exit_reason"], row["exit_price"], row["status"]) == (
        "unknown",
        "gap",
        None,
        "completed",
    )


def test_a_gap_that_is_filled_later_heals_when_it_is_asked_for(lk: lake.Lake) -> None:
    for name, minute in (("p", 0), ("q", 0), ("later", 19)):
        phantom(lk, name, signal_time=at(minute), timeout_at=at(minute + 10))
    put(lk, {0: QUIET, 2: (101, 107, 100.5, 106), 19: QUIET, 21: QUIET, 40: QUIET})
    assert dict(lk.label().outcomes) == {"unknown": 3}
    lk.drain()
    assert (lk.label("unknown").labelled, lk.label("unknown").waiting) == (0, 3)
    put(lk, {1: QUIET})
    assert lk.label().unresolved == 0
    tried = lk.label("unknown", dry_run=True)
    done = lk.label("unknown")
    assert (done.unresolved, dict(done.outcomes), done.waiting) == (3, {"win": 2}, 1)
    assert (tried.labelled, done.labelled) == (2, 2)
    row = lk.phantoms.get("p")
    assert row is not None
    assert (row["status"], row["outcome"], row["exit_reason"], row["exit_price"]) == ("completed", "win", "tp3", 106.0)
    assert (lk.label("unknown").labelled, lk.label("unknown").unresolved) == (0, 1)


def test_who_names_no_venue_of_several_is_skipped_with_the_reason(lk: lake.Lake) -> None:
    phantom(lk, "bare", venue="")
    phantom(lk, "named", venue="bybit")
    for venue in ("bybit", "binance"):
        lk.candles.write(candles([(101, 107, 100.5, 106)]), "1m", symbol="BTCUSDT", venue=venue)
    done = lk.label()
    assert (done.labelled, done.waiting) == (1, 0)
    assert done.skipped == (("bare", "venue: held at binance, bybit: say which"),)


def test_a_coarser_timeframe_tells_what_a_finer_one_does_not_hold(lk: lake.Lake) -> None:
    phantom(lk)
    put(lk, [QUIET])
    put(lk, [(100, 101, 99, 100), (101, 107, 100.5, 106)], 5)
    assert dict(lk.label().outcomes) == {"win": 1}


def test_decisions_that_were_not_traded_get_what_would_have_come_of_them(lk: lake.Lake) -> None:
    put(lk, [QUIET, (101, 107, 100.5, 106)])
    said = {"symbol": "BTCUSDT", "entry_price": 100.0, "stop_loss": 98.0, "take_profit": 103.0, "analyzed_at": T0}
    for name, recommendation, traded in (
        ("a", "LONG", None),
        ("b", "LONG", True),
        ("c", "HOLD", None),
        ("d", "SHORT", None),
    ):
        lk.decisions.record({**said, "decision_id": name, "recommendation": recommendation, "traded": traded})
    before = datetime.now(UTC)
    done = lk.label("decisions")
    assert (done.labelled, done.skipped) == (1, (("d", "stop_loss: on the wrong side of entry_price"),))
    row = lk.decisions.get("a")
    assert row is not None
    assert (row["outcome_correct"], row["actual_pnl_percent"], row["actual_pnl"]) == (True, 3.0, None)
    assert (row["max_favorable"], row["max_adverse"], row["hold_duration_minutes"]) == (103.0, 99.0, 2.0)
    assert row["outcome_recorded_at"] >= before
    assert lk.label("decisions").labelled == 0


def test_an_ambiguous_decision_says_so_until_a_trade_tells_and_no_data_set_takes_it_for_a_loss(lk: lake.Lake) -> None:
    put(lk, [QUIET, (100, 107, 97, 105), QUIET, (101, 107, 100.5, 106)])
    said = {
        "symbol": "BTCUSDT",
        "entry_price": 100.0,
        "stop_loss": 98.0,
        "take_profit": 103.0,
        "recommendation": "LONG",
    }
    for name, minute in (("both", 0), ("sure", 2), ("late", 0)):
        lk.decisions.record({**said, "decision_id": name, "analyzed_at": at(minute)})
    assert dict(lk.label("decisions").outcomes) == {"loss": 2, "win": 1}
    told = "SELECT decision_id, outcome_correct, ambiguous FROM decisions ORDER BY 1"
    assert lk.frame(told).rows() == [("both", False, True), ("late", False, True), ("sure", True, False)]
    resolved = (resources.files("lake.learn.models") / "outcomes.sql").read_text(encoding="utf-8")
    unsure = lk.frame(f"SELECT id, is_ambiguous FROM ({resolved}) WHERE source = 'decisions' ORDER BY id")
    assert unsure.rows() == [("both", True), ("late", True), ("sure", False)]
    made = lk.datasets.build("sure", "decisions", None)
    assert (made.frame["id"].to_list(), made.manifest.excluded) == (["sure"], {"ambiguous": 2})
    kept = lk.datasets.build("kept", "decisions", None, ambiguous=True)
    assert sorted(kept.frame["label_outcome"]) == ["loss", "loss", "win"]
    lk.trades.open(
        {"symbol": "BTCUSDT", "side": "LONG", "quantity": 1.0, "entry_price": 100.0}, trade_id="t", decision_id="late"
    )
    lk.trades.close("t", 110.0)
    assert lk.decisions.resolve_traded().corrected == 1
    lk.decisions.resolve("both", outcome_correct=True, correct=True)
    assert lk.frame(told).rows() == [("both", True, None), ("late", True, None), ("sure", True, False)]
    assert lk.datasets.build("sure", "decisions", None).frame.height == 3


def test_decisions_that_a_trade_names_are_left_to_it_and_it_goes_before_candles(lk: lake.Lake) -> None:
    put(lk, [QUIET, (101, 107, 100.5, 106)])
    said = {"symbol": "BTCUSDT", "entry_price": 100.0, "stop_loss": 98.0, "take_profit": 103.0, "analyzed_at": T0}
    trade = {"symbol": "BTCUSDT", "side": "LONG", "quantity": 1.0, "entry_price": 100.0}
    for name in ("named", "cancelled", "late"):
        lk.decisions.record({**said, "decision_id": name, "recommendation": "LONG"})
    lk.trades.open(trade, trade_id="n", decision_id="named")
    lk.trades.open(trade, trade_id="c", decision_id="cancelled", status="pending")
    lk.trades.cancel("c")
    assert lk.label("decisions").labelled == 2
    lk.trades.open(trade, trade_id="l", decision_id="late")
    for name in "nl":
        lk.trades.close(name, 90.0)
    assert lk.decisions.resolve_traded().as_dict() == {"resolved": 1, "corrected": 1}
    assert (lk.label("decisions").labelled, lk.decisions.resolve_traded().corrected) == (0, 0)
    found = lk.frame("SELECT decision_id, outcome_source, outcome_correct, actual_pnl FROM decisions ORDER BY ALL")
    assert found.rows() == [
        ("cancelled", "candles", True, None),
        ("late", "trade", False, -10.0),
        ("named", "trade", False, -10.0),
    ]


def test_signals_that_no_phantom_follows_become_phantoms_once_their_end_is_known(lk: lake.Lake) -> None:
    put(lk, [QUIET, (101, 107, 100.5, 106)])
    row = {
        name: value
        for name, value in event(direction="LONG", signal_time=T0).items()
        if name not in {"event_id", "side", "start_time", "timeout_at"}
    }
    lk.signals.record(signal_id="s", indicators={"rsi": 61}, **row)
    lk.signals.record(signal_id="late", **{**row, "tp3": 300.0})
    phantom(lk, "own", signal_id="followed")
    lk.signals.record(signal_id="followed", **row)
    done = lk.label("signals")
    assert (done.unresolved, done.labelled, done.waiting) == (2, 1, 1)
    made = lk.phantoms.get("s")
    assert made is not None
    assert (made["signal_id"], made["outcome"], made["features"], made["tp3_hit"]) == ("s", "win", '{"rsi":61}', True)
    assert lk.label("signals").labelled == 0


def test_predictions_are_resolved_as_ever(lk: lake.Lake) -> None:
    put(lk, [QUIET] * 10)
    lk.predictions.record(symbol="BTCUSDT", predicted_direction="UP", price=99.0, horizon_minutes=5, predicted_at=T0)
    assert lk.label("predictions", dry_run=True).unresolved == 1
    assert lk.label("predictions").labelled == 1


def test_rows_of_the_lake_that_cannot_be_followed_are_skipped_and_told(lk: lake.Lake) -> None:
    put(lk, [(101, 107, 100.5, 106)])
    phantom(lk)
    lk.write(
        "phantoms",
        {
            "phantom_id": "bad",
            "symbol": "BTCUSDT",
            "signal_time": T0,
            "status": "active",
            "side": "LONG",
            "entry_price": 100.0,
        },
    )
    done = lk.label()
    assert done.labelled == 1
    assert done.skipped == (("bad", "timeout_at: it can never end: there is neither a target nor a timeout"),)
    with pytest.raises(UsageError, match="unknown source of labels"):
        lk.label("trades")


def test_the_async_lake_labels_too(tmp_path: Path) -> None:
    async def work() -> Any:
        async with await lake.open_async(tmp_path / "lake") as alk:
            put(alk.lake, [(101, 107, 100.5, 106)])
            return await alk.label(pl.DataFrame([event()]), fees=0.001)

    assert asyncio.run(work())["outcome"].to_list() == ["win"]


def test_the_command_labels_and_tells_what_it_would_do(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as opened:
        put(opened, [(101, 107, 100.5, 106)])
        phantom(opened)

    def run(*more: str) -> Any:
        done = CliRunner().invoke(main, ["label", "--lake", str(tmp_path / "lake"), *more])
        assert done.exit_code == 0, done.output
        return done.output

    would = json.loads(run("--source", "phantoms", "--fees", "0.001", "--dry-run", "--json"))["labels"][0]
    assert (would["labelled"], would["outcomes"], would["dry_run"]) == (1, {"win": 1}, True)
    assert "win 1" in run("--fees", "0.001")
    assert json.loads(run("--json"))["labels"][0]["unresolved"] == 0
    wrong = CliRunner().invoke(main, ["label", "--lake", str(tmp_path / "lake"), "--fees", "7"])
    assert (wrong.exit_code, "a rate is at least 0 and below 1" in wrong.output) == (2, True)


def test_the_job_labels(lk: lake.Lake) -> None:
    put(lk, [(101, 107, 100.5, 106)])
    phantom(lk)
    done = job.work(lk)
    assert (done["phantoms"]["labelled"], done["decisions"]["labelled"]) == (1, 0)
    assert "label" in {each.name for each in DEFAULTS}


@pytest.mark.parametrize("name", ["freqtrade_2020_binance/LTC_USDT-1m", "freqtrade_2017_bittrex/BTC_ETH-1"])
def test_on_real_candles_labels_are_those_of_the_oracle(shared_data: Path, name: str) -> None:
    """Real minutes, the older ones with gaps; hours made of them are followed, the minutes look into them."""
    with gzip.open(shared_data / f"ohlcv/{name}.json.gz") as file:
        raw = json.load(file)
    if isinstance(raw[0], dict):
        raw = [(datetime.fromisoformat(row["T"] + "Z").timestamp() * 1e3, *(row[n] for n in "OHLC")) for row in raw]
    real = {int(row[0]) // 60_000: (row[1], row[2], row[3], row[4]) for row in raw}
    chance = random.Random(6)
    times = sorted(real)
    phase = times[0] - times[0] % 60
    minutes = {time - phase: prices for time, prices in real.items()}
    whole = [h for h in range(0, max(minutes) - 60, 60) if all(h + n in minutes for n in range(60))]
    hours = {h: coarser({n: minutes[h + n] for n in range(60)}, 60)[0] for h in whole}
    rows = []
    for _ in range(300):
        start = chance.choice(whole) + chance.choice([0, chance.randrange(60)])
        if start not in minutes:
            continue
        entry, way, away = minutes[start][0], chance.choice([1, -1]), chance.choice([0.001, 0.003, 0.01])
        targets = tuple(entry * (1 + way * away * n) for n in (1, 2, 3))
        rows.append(Event(way, entry, entry * (1 - way * away), targets, start, start + 2_880))
    frame = pl.DataFrame(
        [
            event(
                event_id=number, side="LONG" if e.sign > 0 else "SHORT", entry_price=e.entry, stop_loss=e.stop,
                tp1=e.targets[0], tp2=e.targets[1], tp3=e.targets[2], start_time=at(e.start),
                timeout_at=at(e.start + 2_880),
            )
            for number, e in enumerate(rows)
        ]
    )  # fmt: skip
    for base, finer, levels in (
        (candles(minutes), None, [(1, minutes)]),
        (candles(hours, 60).with_columns(timeframe=pl.lit("1h")), candles(minutes), [(60, hours), (1, minutes)]),
    ):
        got = lake.label_events(base, frame, finer=finer)
        for row, e in zip(got.iter_rows(named=True), rows, strict=True):
            end = follow(e, levels)
            reason = f"tp{end.targets_hit}" if end.reason == "target" else end.reason
            assert (row["exit_reason"], row["exit_price"]) == (reason, end.price)
            assert row["exit_time"] == (None if end.at is None else at(end.at))
        assert set(got["exit_reason"].drop_nulls()) >= {"sl", "breakeven", "tp3"}
    assert ("gap" in got["exit_reason"]) is name.endswith("ETH-1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fees": "x"}, "a rate is at least 0"),
        ({"slippage": 1.0}, "a rate is at least 0"),
        ({"timeout_hours": "x"}, "hours above 0"),
        ({"timeout_hours": 0}, "hours above 0"),
        ({"timeout_hours": 1e12}, "hours above 0"),
        ({"timeout_hours": math.inf}, "hours above 0"),
        ({"timeout_hours": math.nan}, "hours above 0"),
        ({"timeout_hours": True}, "hours above 0"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with lake.open(tmp_path) as lk, pytest.raises(UsageError, match=message):
        lk.label("signals", **options)
