"""Of several finer timeframes each coarser candle is made from the one that covers most of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from lake.kernels.coverage import fuller, lacking
from lake.kernels.resample import Buckets, Reduced, reduced, together

ZERO = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = 3_600_000_000
minutes = st.sets(st.integers(0, 5 * 60 - 1))
quarters = st.sets(st.integers(0, 5 * 4 - 1))


def made(numbers: set[int], timeframe: str, length: int, price: float, *amounts: str) -> Reduced:
    times = [ZERO + timedelta(minutes=length * number) for number in sorted(numbers)]
    bars = dict.fromkeys(("open", "high", "low", "close", *amounts), price)
    rows = pl.DataFrame({"open_time": pl.Series(times, dtype=pl.Datetime("us", "UTC"))})
    return reduced(rows.with_columns(pl.lit(v).alias(n) for n, v in bars.items()), Buckets(timeframe, "1h"))


def shown(found: Reduced) -> list[tuple[int, float, int, int]]:
    frame = together([(("A", ""), found)], "1h")
    hours = (frame["open_time"] - ZERO).dt.total_hours()
    return list(zip(hours, frame["open"], frame["bars"], frame["expected"], strict=True))


@given(quarters, minutes)
def test_each_candle_is_made_from_the_timeframe_that_covers_most_of_it_of_equals_from_the_coarser(
    coarse: set[int], fine: set[int]
) -> None:
    expected = []
    for hour in range(5):
        of_coarse, of_fine = sum(q // 4 == hour for q in coarse), sum(m // 60 == hour for m in fine)
        if of_coarse * 15 >= of_fine and of_coarse:
            expected.append((hour, 2.0, of_coarse, 4))
        elif of_fine:
            expected.append((hour, 1.0, of_fine, 60))
    assert shown(fuller(made(coarse, "15m", 15, 2.0), made(fine, "1m", 1, 1.0))) == expected


@given(quarters, minutes)
def test_finer_candles_from_where_the_coarser_ones_lack_some_make_the_same_as_all_of_them(
    coarse: set[int], fine: set[int]
) -> None:
    quarter = made(coarse, "15m", 15, 2.0)
    found, start = quarter, int(ZERO.timestamp()) * 1_000_000
    for low, high in lacking(quarter, Buckets("1m", "1h")):
        inside = {m for m in fine if (low or 0) <= start + m * 60_000_000 <= (high if high is not None else 2**62)}
        found = fuller(found, made(inside, "1m", 1, 1.0))
    assert shown(found) == shown(fuller(quarter, made(fine, "1m", 1, 1.0)))


def test_nothing_lacks_between_whole_candles_without_gaps() -> None:
    whole = made(set(range(12)), "15m", 15, 2.0)
    start = int(ZERO.timestamp()) * 1_000_000
    assert lacking(whole, Buckets("1m", "1h")) == [(None, start - 1), (start + 3 * HOUR, None)]


def test_what_lacks_next_to_either_end_is_one_with_what_lies_beyond() -> None:
    minute, start = Buckets("1m", "1h"), int(ZERO.timestamp()) * 1_000_000
    late, early, both = set(range(1, 12)), set(range(11)), set(range(1, 11))
    assert lacking(made(late, "15m", 15, 2.0), minute) == [(None, start + HOUR - 1), (start + 3 * HOUR, None)]
    assert lacking(made(early, "15m", 15, 2.0), minute) == [(None, start - 1), (start + 2 * HOUR, None)]
    assert lacking(made(both, "15m", 15, 2.0), minute) == [(None, None)]
    gap = made(set(range(4)) | set(range(8, 12)), "15m", 15, 2.0)
    between = (start + HOUR, start + 2 * HOUR - 1)
    assert lacking(gap, minute) == [(None, start - 1), between, (start + 3 * HOUR, None)]


def test_an_amount_that_only_one_timeframe_has_is_null_where_the_other_is_taken() -> None:
    with_volume = made(set(range(8)), "15m", 15, 2.0, "volume")
    without = made(set(range(120, 180)), "1m", 1, 1.0)
    found = together([(("A", ""), fuller(with_volume, without))], "1h")
    assert found["volume"].to_list() == [8.0, 8.0, None]
