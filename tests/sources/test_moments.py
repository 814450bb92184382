"""Times of every spelling become UTC microseconds, or say why not."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from lake.errors import SourceError
from lake.sources.moments import LOST, read_times

AT = datetime(2024, 3, 1, 17, tzinfo=UTC)
SECONDS = int(AT.timestamp())


@pytest.mark.parametrize(
    "text",
    [
        str(SECONDS), str(SECONDS * 1000), str(SECONDS * 10**6), str(SECONDS * 10**9), f"{SECONDS}.0",
        "2024-03-01T17:00:00Z",
        "2024-03-01 17:00:00 UTC", "2024-03-01T18:00:00+01:00", "2024-03-01 22:30:00.000+0530", "2024-03-01 17:00:00",
        "2024-03-01T17:00:00.000000", "2024/03/01 17:00", "20240301 17:00", "20240301 17:00:00",
        "2024-03-01 05-PM", " 2024-03-01 17:00 ",
    ],
)  # fmt: skip
def test_every_spelling_is_the_same_moment(text: str) -> None:
    assert read_times(pl.Series([text]), tz="UTC")["time"].to_list() == [AT]


@pytest.mark.parametrize(
    "values", [[SECONDS], [SECONDS * 1000], [SECONDS * 10**6], [SECONDS * 10**9], [float(SECONDS)], [AT]]
)
def test_numbers_and_datetimes_are_read_by_magnitude_and_zone(values: list[object]) -> None:
    assert read_times(pl.Series(values))["time"].to_list() == [AT]


def test_nanoseconds_keep_their_microseconds_exactly() -> None:
    assert read_times(pl.Series([1709312400123456789]))["time"][0].microsecond == 123456


def test_a_declared_unit_is_not_second_guessed() -> None:
    got = read_times(pl.Series([SECONDS]), unit="ms")
    assert got["time"][0] is None
    assert got["reason"][0] == f"the time is out of range 1990-2100: {SECONDS}"


@pytest.mark.parametrize("unit", ["s", "ms"])
def test_a_number_too_large_for_its_unit_does_not_wrap_around(unit: str) -> None:
    assert read_times(pl.Series([SECONDS * 10**9]), unit=unit)["time"].to_list() == [None]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1.70027E+12", LOST), (None, "the time is missing"), ("soon", "the time cannot be read: soon"),
        ("5", "the time is out of range 1990-2100: 5"), ("2024-13-01", "the time cannot be read: 2024-13-01"),
    ],
)  # fmt: skip
def test_what_is_no_time_says_why(text: str | None, reason: str) -> None:
    got = read_times(pl.Series([text, str(SECONDS)], dtype=pl.String), tz="UTC")
    assert got["reason"].to_list() == [reason, None]
    assert got["time"].to_list() == [None, AT]


@pytest.mark.parametrize("values", [["2024-03-01 17:00:00"], [datetime(2024, 3, 1, 17)], [date(2024, 3, 1)]])  # noqa: DTZ001 - that is the point
def test_times_without_a_zone_are_refused_where_none_is_known(values: list[object]) -> None:
    with pytest.raises(SourceError, match="times carry no time zone"):
        read_times(pl.Series(values), where="x.csv")


def test_the_hour_that_a_zone_skips_is_no_time() -> None:
    got = read_times(pl.Series(["2024-03-31 02:30:00", "2024-03-31 03:30:00"]), tz="Europe/Berlin")
    assert got["time"].to_list() == [None, datetime(2024, 3, 31, 1, 30, tzinfo=UTC)]
