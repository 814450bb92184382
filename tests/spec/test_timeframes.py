"""Timeframes: spellings, lengths, grids."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lake.errors import SpecError, UnknownTimeframeError
from lake.spec import timeframes
from lake.spec.times import from_micros, to_micros


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("1m", "1m"), ("1min", "1m"), ("1T", "1m"), ("1", "1m"), ("60s", "1m"), ("5T", "5m"), ("15", "15m"),
        ("60m", "1h"),
        ("60", "1h"), ("1H", "1h"), ("H", "1h"), ("1hour", "1h"), ("240", "4h"), ("720", "12h"), ("24h", "1d"),
        ("D", "1d"),
        ("1D", "1d"), ("1440", "1d"), ("daily", "1d"), ("7d", "1w"), ("W", "1w"), ("1Week", "1w"), (" 3m ", "3m"),
    ],
)  # fmt: skip
def test_clear_spellings_are_understood(given: str, wanted: str) -> None:
    assert timeframes.parse(given) == wanted


@pytest.mark.parametrize("given", ["1M", "M", "3M", "1Mo", "1mon", "month", "Monthly"])
def test_a_month_is_never_taken_for_a_minute(given: str) -> None:
    with pytest.raises(UnknownTimeframeError, match="months are not candles of one length"):
        timeframes.parse(given)


@pytest.mark.parametrize("given", ["", "0m", "7m", "3d", "2w", "1x", "m1", "-5m", "1.5h", "s", None, 60])
def test_what_the_lake_does_not_hold_is_refused_with_its_value(given: object) -> None:
    with pytest.raises(UnknownTimeframeError, match=r"timeframe.*One of 1m, 3m"):
        timeframes.parse(given)


def test_every_timeframe_parses_to_itself_and_they_are_in_order_of_length() -> None:
    assert [timeframes.parse(name) for name in timeframes.ALL] == list(timeframes.ALL)
    lengths = [timeframes.micros(name) for name in timeframes.ALL]
    assert lengths == sorted(lengths)


def test_weeks_open_on_monday_and_everything_else_with_the_epoch() -> None:
    assert from_micros(timeframes.offset("1w")).weekday() == 0
    monday = to_micros(datetime(2024, 1, 1, tzinfo=UTC))
    assert (monday - timeframes.offset("1w")) % timeframes.micros("1w") == 0
    assert {timeframes.offset(name) for name in timeframes.ALL if name != "1w"} == {0}


def test_a_timeframe_without_length_is_refused() -> None:
    with pytest.raises(SpecError, match="has a length"):
        timeframes.Timeframe("0m", 0)
