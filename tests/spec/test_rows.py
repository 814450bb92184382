"""One row: canonical, or refused with its column and value."""

from __future__ import annotations

import dataclasses
import math
from collections import UserDict
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest

from lake.errors import InvalidRowError, InvalidTimeError, UnknownTimeframeError
from lake.spec import registry, symbols
from lake.spec.patch import folder
from lake.spec.rows import converter, row_checker

MOMENT = 1_704_067_200_000_000
CANDLE = {
    "symbol": "btc/usdt",
    "timeframe": "60m",
    "open_time": MOMENT // 1000,
    "open": 1,
    "high": 2.5,
    "low": 1.0,
    "close": 2.0,
}


def candle(**changes: Any) -> dict[str, Any]:
    return row_checker(registry.get("candles"))({**CANDLE, **changes})


def signal(**changes: Any) -> dict[str, Any]:
    row = {"signal_id": "s1", "symbol": "BTCUSDT", "signal_time": MOMENT}
    return row_checker(registry.get("signals"))({**row, **changes})


def test_a_row_becomes_its_canonical_form_without_nulls() -> None:
    assert candle(volume=None, venue=None) == {
        "venue": "", "symbol": "BTCUSDT", "timeframe": "1h", "open_time": MOMENT, "open": 1.0, "high": 2.5, "low": 1.0,
        "close": 2.0,
    }  # fmt: skip


def test_a_canonical_row_stays_as_it_is() -> None:
    once = signal(strength=55, indicators={"rsi": 58.5}, note="kept")
    assert row_checker(registry.get("signals"))(once) == once


VALUES: list[Any] = [
    -1, 0, 1, 7, 100, 101, 2**63 - 1, 2**63, -(2**63), MOMENT, MOMENT // 1000, 0.0, -0.0, 1.5, -1.5, 100.0, 1e308,
    math.nan, math.inf, -math.inf, math.nextafter(0, 1), True, False, "", " ", "BTC/USDT", "BTCUSDT", "LONG", "long",
    "open", "15m", "60m", "7m", "ä", "\ud800", "1.5", '{"a":1}', "true", np.float64(2.5), np.int64(7), [1], {"a": 1},
]  # fmt: skip


def outcome(work: Callable[[Any], object], value: Any) -> object:
    """What comes of it; an error counts by its words."""
    try:
        return repr(work(value))
    except InvalidRowError as error:
        return error.sentence()


@pytest.mark.parametrize("name", registry.names())
def test_a_value_is_taken_as_it_is_only_where_conversion_would_leave_it_so(name: str) -> None:
    ds = registry.get(name)
    columns = tuple(dataclasses.replace(column, required=False) for column in ds.columns)
    bare = dataclasses.replace(ds, columns=columns, key=(), generated_id=None, defaults={}, rules=())
    check = row_checker(bare)
    for column in bare.columns:
        for value in VALUES:
            wanted = outcome(converter(bare, column), value)
            for _ in range(3):  # the third is told by a function for its names
                found = outcome(check, {column.name: value})
                assert found in (wanted, "{}" if wanted == "None" else f"{{{column.name!r}: {wanted}}}"), value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"open": math.inf}, r"candles.open: out of range, it must be at least 0 \(got inf\)"),
        ({"open": math.nan}, r"candles.open: not a number \(got nan\)"),
        ({"low": -1.0}, r"candles.low: out of range, it must be at least 0 \(got -1.0\)"),
        ({"open": "ten"}, r"candles.open: a number is wanted \(got 'ten'\)"),
        ({"open": True}, r"candles.open: a number is wanted \(got True\)"),
        ({"open": 10**400}, r"candles.open: a number is wanted"),
        ({"close": None}, r"candles.close: a required value is missing"),
        ({"trade_count": 1.5}, r"candles.trade_count: a whole number is wanted \(got 1.5\)"),
        ({"trade_count": 2**63}, r"candles.trade_count: a whole number of at most 64 bits"),
        ({"trade_count": -1}, r"candles.trade_count: out of range, it must be at least 0 \(got -1\)"),
        ({"symbol": "  "}, r"candles.symbol: a text that may not be empty"),
        ({"symbol": "\ud800"}, r"candles.symbol: text with half a character"),
        ({"symbol": ["BTC"]}, r"candles.symbol: text is wanted \(got \['BTC'\]\)"),
        ({"venu": "x"}, r"candles: no such column: 'venu'. It has: venue, symbol"),
    ],
)
def test_what_does_not_fit_is_refused_with_column_and_value(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRowError, match=message):
        candle(**changes)


def test_a_month_is_not_stored_as_a_minute() -> None:
    with pytest.raises(UnknownTimeframeError, match=r"candles.timeframe: months .* \(got '1M'\)"):
        candle(timeframe="1M")


def test_a_naive_time_is_refused_with_its_value() -> None:
    with pytest.raises(InvalidTimeError, match=r"candles.open_time: a naive time .*2024, 1, 1"):
        candle(open_time=datetime(2024, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize("nothing", [math.nan, np.float64("nan"), pd.NA, pd.NaT, None])
def test_the_nulls_of_numpy_and_pandas_are_nulls(nothing: object) -> None:
    check = row_checker(registry.get("signals"))
    assert "confidence" not in check({"symbol": "A", "direction": "LONG", "confidence": nothing})
    assert "trade_count" not in candle(trade_count=nothing)
    with pytest.raises(InvalidRowError, match="open_time: a required value is missing"):
        candle(open_time=nothing)


@pytest.mark.parametrize("nothing", [math.nan, np.float32("nan"), pd.NA, pd.NaT, None])
def test_what_pandas_does_not_know_is_no_text_no_map_and_no_flag(nothing: Any) -> None:
    texts = {"strategy": nothing, "timeframe": nothing, "trade_id": nothing, "venue": nothing, "action": nothing}
    for _ in range(3):  # rows of the same names go a shorter way from the third one on
        assert signal(**texts, indicators=nothing) == signal()
    check = row_checker(registry.get("phantoms"))
    assert "was_executed" not in check(
        {"phantom_id": "p", "symbol": "A", "status": "completed", "was_executed": nothing}
    )
    assert "strategy" not in folder(registry.get("signals"))(signal(strategy="s"), {"strategy": nothing})
    with pytest.raises(InvalidRowError, match="symbol: a required value is missing"):
        signal(symbol=nothing)


@pytest.mark.parametrize("nothing", [pd.NA, pd.NaT, None])
def test_an_exact_number_may_be_null(nothing: object) -> None:
    assert "volume" not in candle(volume=nothing)


@pytest.mark.parametrize("nan", [math.nan, np.float64("nan")])
def test_an_exact_number_is_not_nan(nan: float) -> None:
    with pytest.raises(InvalidRowError, match=r"candles\.volume: not a number \(got .*nan"):
        candle(volume=nan)


@pytest.mark.parametrize("given", [2**60 + 1, np.int64(2**60 + 1), str(2**60 + 1)])
def test_whole_numbers_are_exact(given: object) -> None:
    assert candle(trade_count=given)["trade_count"] == 2**60 + 1


def test_numbers_as_exchanges_send_them_are_read() -> None:
    assert candle(open="1.25", volume="0")["open"] == 1.25
    assert candle(trade_count="12.0")["trade_count"] == 12
    assert candle(open=np.float32(0.5))["open"] == 0.5


@pytest.mark.parametrize("name", ["timestamp", "date", "Date", "time"])
def test_common_names_of_the_event_time_are_understood(name: str) -> None:
    row = {n: v for n, v in CANDLE.items() if n != "open_time"}
    assert row_checker(registry.get("candles"))({**row, name: MOMENT})["open_time"] == MOMENT


def test_choices_match_in_any_case_and_nothing_else_does() -> None:
    assert signal(signal_type="buy")["signal_type"] == "BUY"
    with pytest.raises(
        InvalidRowError, match=r"signals.signal_type: not one of its values \(got 'HODL'\). It is one of BUY"
    ):
        signal(signal_type="HODL")


def test_a_timeframe_that_is_no_candles_is_kept_outside_of_candles() -> None:
    assert signal(timeframe="60")["timeframe"] == "1h"
    assert signal(timeframe="3d")["timeframe"] == "3d"


def test_an_id_and_a_time_are_made_when_none_is_given() -> None:
    check = row_checker(registry.get("signals"))
    first, second = check({"symbol": "BTCUSDT"}), check({"symbol": "BTCUSDT", "signal_id": "", "signal_time": None})
    assert first["signal_id"] < second["signal_id"]
    assert abs(second["signal_time"] - first["signal_time"]) < 60_000_000


def test_unknown_fields_are_kept_in_extra_beside_what_is_there() -> None:
    done = signal(extra={"a": 1}, mood="good", at=datetime(2024, 1, 1, tzinfo=UTC), nothing=None, period="2024-01")
    assert orjson.loads(done["extra"]) == {"a": 1, "mood": "good", "at": "2024-01-01T00:00:00+00:00"}
    assert orjson.loads(signal(extra=[1], mood="good")["extra"]) == {"extra": [1], "mood": "good"}


@pytest.mark.parametrize("value", [14, "14", "1h", "2024", 2024.01])
def test_a_period_of_the_callers_own_is_kept_like_any_unknown_field(value: object) -> None:
    assert orjson.loads(signal(period=value)["extra"]) == {"period": value}
    folded = folder(registry.get("signals"))(signal(), {"period": value})
    assert orjson.loads(folded["extra"]) == {"period": value}
    with pytest.raises(InvalidRowError, match="no such column: 'period'"):
        candle(period=14)


def test_the_slice_that_a_row_was_read_from_is_no_field_of_it() -> None:
    assert "extra" not in signal(period="2024-01")
    assert "extra" not in folder(registry.get("signals"))(signal(), {"period": "2024-01"})
    assert candle(period="2024") == candle(period="2024-01") == candle()


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"rsi": 58.5, "n": np.int64(3)}, '{"rsi":58.5,"n":3}'),
        ('{"a": 1}', '{"a": 1}'),
        ("plain words", '"plain words"'),
        ({1: math.nan}, '{"1":null}'),
        ([], "[]"),
    ],
)
def test_free_form_values_become_json_text(given: object, wanted: str) -> None:
    assert signal(indicators=given)["indicators"] == wanted


@pytest.mark.parametrize("given", [{"n": 2**80}, {"o": object()}, "\ud800", {"t": "\ud800"}])
def test_what_cannot_be_json_is_refused(given: object) -> None:
    with pytest.raises(InvalidRowError, match=r"signals.indicators: (it cannot be JSON|text with half a character)"):
        signal(indicators=given)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [(True, True), (0, False), ("Yes", True), ("false", False), (1.0, True), (np.bool_(False), False)],
)
def test_yes_and_no_in_their_common_forms(given: object, wanted: bool) -> None:
    row = {"phantom_id": "p", "symbol": "BTCUSDT", "side": "LONG", "entry_price": 1.0, "was_executed": given}
    assert row_checker(registry.get("phantoms"))(row)["was_executed"] is wanted


@pytest.mark.parametrize("given", ["maybe", 2, [1]])
def test_what_is_neither_yes_nor_no_is_refused(given: object) -> None:
    with pytest.raises(InvalidRowError, match=r"phantoms.was_executed: yes or no is wanted"):
        row_checker(registry.get("phantoms"))(
            {"symbol": "X", "side": "LONG", "entry_price": 1.0, "was_executed": given}
        )


def test_days_are_dates_and_not_times() -> None:
    check = row_checker(registry.get("performance_snapshots"))
    assert check({"bot_id": "b", "date": date(2024, 1, 31)})["date"] == "2024-01-31"
    assert check({"bot_id": "b", "date": "2024-01-31"})["date"] == "2024-01-31"
    for given in (datetime(2024, 1, 31, tzinfo=UTC), "31.1.2024"):
        with pytest.raises(InvalidRowError, match=r"performance_snapshots.date: a date is wanted"):
            check({"bot_id": "b", "date": given})


@pytest.mark.parametrize(
    "name", [ds.name for ds in registry.all_datasets() if "symbol" in ds.by_name and ds.generated_id]
)
def test_a_symbol_is_canonical_in_every_dataset(name: str) -> None:
    ds = registry.get(name)
    row: dict[str, Any] = {"symbol": "btc/usdt:usdt", "check": "gaps", "dataset": "candles"}
    row |= {"side": "BUY" if name == "fills" else "LONG", "quantity": 1.0, "price": 2.0, "entry_price": 2.0}
    assert row_checker(ds)({n: v for n, v in row.items() if n in ds.by_name})["symbol"] == "BTCUSDT.P"


def test_a_symbol_with_half_a_character_is_refused_even_when_it_was_spelled_before() -> None:
    broken = "BTC\ud800"
    assert symbols.canonical(broken) == broken
    with pytest.raises(InvalidRowError, match="half a character"):
        row_checker(registry.get("trades"))({"symbol": broken, "side": "LONG"})


class Word(str, Enum):  # noqa: UP042 - as bots declare theirs, whose str() is not its text
    """Texts as a bot declares them."""

    PAIR = "BTC/USDT"
    BUY = "buy"
    WHY = "spread"


class Named(Enum):
    """Words of which only the names tell something."""

    LONG = 1


def test_members_of_an_enum_are_the_texts_that_they_stand_for() -> None:
    row = signal(symbol=Word.PAIR, signal_type=Word.BUY, rejection_reason=Word.WHY, direction=Named.LONG)
    assert (row["symbol"], row["signal_type"], row["direction"]) == ("BTCUSDT", "BUY", "LONG")
    assert (row["rejection_reason"], type(row["rejection_reason"])) == ("spread", str)


def test_json_holds_decimals_times_of_pandas_and_mappings_of_any_kind() -> None:
    given = {
        "spread": Decimal("0.5"),
        "unknown": Decimal("NaN"),
        "at": pd.Timestamp("2026-01-01T00:00Z"),
        "never": pd.NaT,
        "row": pd.Series({"rsi": 50.5}),
        "more": UserDict(a=1),
    }
    wanted = {"spread": 0.5, "unknown": None, "at": "2026-01-01T00:00:00+00:00", "never": None}
    assert orjson.loads(signal(indicators=given)["indicators"]) == wanted | {"row": {"rsi": 50.5}, "more": {"a": 1}}
    with pytest.raises(InvalidRowError, match="signals.indicators: it cannot be JSON: .*set"):
        signal(indicators={"seen": {1, 2}})
