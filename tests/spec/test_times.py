"""Times are microseconds in UTC, or refused."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.errors import InvalidTimeError, UsageError
from lake.spec.dataset import Period
from lake.spec.times import LATEST, SURE_MICROS, from_micros, period, to_micros

MOMENT = 1_704_067_200_123_456  # 2024-01-01T00:00:00.123456Z


@pytest.mark.parametrize(
    "value",
    [
        MOMENT,
        MOMENT * 1000,
        np.int64(MOMENT),
        "2024-01-01T00:00:00.123456Z",
        "2024-01-01T00:00:00.123456789Z",
        "2024-01-01T02:00:00.123456+02:00",
        " 2023-12-31 19:00:00.123456-05:00 ",
        datetime(2024, 1, 1, 0, 0, 0, 123456, tzinfo=UTC),
        datetime(2024, 1, 1, 8, 0, 0, 123456, tzinfo=timezone(timedelta(hours=8))),
        datetime(2024, 1, 1, 1, 0, 0, 123456, tzinfo=ZoneInfo("Europe/Berlin")),
        pd.Timestamp("2024-01-01T00:00:00.123456Z"),
        str(MOMENT),
    ],
)
def test_every_spelling_of_a_moment_is_the_same_microsecond(value: object) -> None:
    assert to_micros(value) == MOMENT


def test_numbers_are_read_by_their_magnitude_or_by_the_declared_unit() -> None:
    assert to_micros(1_704_067_200) == to_micros(1_704_067_200_000) == to_micros(1_704_067_200.0)
    assert to_micros(1, unit="s") == 1_000_000
    assert to_micros(1_500, unit="ms") == 1_500_000
    assert to_micros(1_500, unit="ns") == 1


@pytest.mark.parametrize(
    "value",
    [
        datetime(2024, 1, 1),  # noqa: DTZ001
        "2024-01-01T00:00:00",
        "2024-01-01",
        np.datetime64("2024-01-01"),
        pd.Timestamp("2024-01-01"),
    ],
)
def test_a_naive_time_is_refused_with_its_value(value: object) -> None:
    with pytest.raises(InvalidTimeError, match=r"signals.signal_time: a naive time could mean any zone .*2024"):
        to_micros(value, where="signals.signal_time")


@pytest.mark.parametrize("value", [0, 12, 99_999_999, 50_000_000_000, 10**20, -5, math.nan, math.inf])
def test_a_number_of_no_clear_unit_is_refused(value: float) -> None:
    with pytest.raises(InvalidTimeError, match="no clear unit"):
        to_micros(value)


@pytest.mark.parametrize("value", [True, None, "soon", "", [], {}, b"2024", date(2024, 1, 1)])
def test_what_is_no_time_is_refused(value: object) -> None:
    with pytest.raises(InvalidTimeError, match=r"not a time|no time and no zone"):
        to_micros(value)


def test_times_outside_1970_to_2200_are_refused() -> None:
    with pytest.raises(InvalidTimeError, match="outside 1970 to 2200"):
        to_micros(datetime(1969, 12, 31, tzinfo=UTC))
    with pytest.raises(InvalidTimeError, match="outside 1970 to 2200"):
        to_micros("2200-01-01T00:00:00Z")
    with pytest.raises(InvalidTimeError, match="outside 1970 to 2200"):
        to_micros(-1, unit="s")


def test_an_unknown_unit_is_named() -> None:
    with pytest.raises(UsageError, match=r"unknown unit of time \(got 'min'\)"):
        to_micros(5, unit="min")


@given(st.integers(0, LATEST - 1))
def test_a_moment_survives_the_way_there_and_back(micros: int) -> None:
    assert to_micros(from_micros(micros)) == micros
    assert to_micros(from_micros(micros).isoformat()) == micros
    assert to_micros(micros, unit="us") == micros


@given(st.integers(SURE_MICROS // 1_000_000, LATEST // 1_000_000 - 1), st.sampled_from([1, 1000, 10**6, 10**9]))
def test_magnitude_never_mistakes_a_unit_between_1973_and_2200(seconds: int, scale: int) -> None:
    assert to_micros(seconds * scale) == seconds * 1_000_000


@given(st.integers(0, LATEST - 1))
def test_periods_are_those_of_the_calendar(micros: int) -> None:
    moment = from_micros(micros)
    assert period(micros, Period.MONTH) == f"{moment:%Y-%m}"
    assert period(micros, Period.YEAR) == f"{moment:%Y}"
    assert period(micros, Period.NONE) is None


def test_candles_are_sliced_by_month_up_to_15m_and_by_year_above() -> None:
    assert [period(MOMENT, Period.BY_TIMEFRAME, frame) for frame in ("1m", "15m", "30m", "1h", "1w")] == [
        "2024-01", "2024-01", "2024", "2024", "2024",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="depends on the timeframe"):
        period(MOMENT, Period.BY_TIMEFRAME)
