"""Coarser candles are what a plain loop over the finer ones gives, and are refused where that has no meaning."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.errors import UsageError
from lake.kernels.resample import Buckets, reduced, together

ZERO = datetime(2024, 1, 3, tzinfo=UTC)  # a Wednesday
MINUTE = timedelta(minutes=1)
_SCHEMA: dict[str, Any] = {
    **dict.fromkeys(("venue", "symbol", "timeframe"), pl.String),
    "open_time": pl.Datetime("us", "UTC"),
    **dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Float64),
    "trade_count": pl.Int64,
}
Row = tuple[str, int, int, int, int, int, int | None, int | None]
price = st.integers(1, 50)
amount = st.none() | st.integers(0, 9)
row = st.tuples(st.sampled_from("AB"), st.integers(0, 200), price, price, price, price, amount, amount)


def frame(rows: list[Row], timeframe: str = "1m", unit: timedelta = MINUTE) -> pl.DataFrame:
    data = [("v", r[0], timeframe, ZERO + r[1] * unit, *r[2:]) for r in rows]
    return pl.DataFrame(data, schema=_SCHEMA, orient="row")


def resample(rows: pl.DataFrame, timeframe: str, source: str = "1m") -> pl.DataFrame:
    """Each series reduced by itself, put together."""
    buckets = Buckets(source, timeframe)
    series = rows.partition_by("symbol", "venue", as_dict=True, maintain_order=True) or {("A", "v"): rows}
    found = together([((str(s), str(v)), reduced(part, buckets)) for (s, v), part in series.items()], timeframe)
    assert found.select("quote_volume", "taker_buy_volume", "taker_buy_quote_volume").null_count().row(0) == (
        (found.height,) * 3
    )  # what no row has
    return found.drop("quote_volume", "taker_buy_volume", "taker_buy_quote_volume")


def naive(rows: list[Row], minutes: int) -> list[tuple[Any, ...]]:
    buckets: dict[tuple[str, int], list[Row]] = {}
    for r in rows:
        buckets.setdefault((r[0], r[1] // minutes), []).append(r)

    def total(values: list[int | None]) -> int | None:
        return None if all(v is None for v in values) else sum(v or 0 for v in values)

    return [
        (
            "v", symbol, ZERO + bucket * minutes * MINUTE,
            of[0][2], max(r[3] for r in of), min(r[4] for r in of), of[-1][5],
            total([r[6] for r in of]), total([r[7] for r in of]), len(of), minutes, len(of) < minutes,
        )
        for (symbol, bucket), of in buckets.items()
    ]  # fmt: skip


@given(st.lists(row, max_size=60, unique_by=lambda r: r[:2]), st.sampled_from([("5m", 5), ("1h", 60)]))
def test_buckets_are_what_a_loop_over_the_rows_gives(rows: list[Row], target: tuple[str, int]) -> None:
    rows.sort(key=lambda r: r[:2])
    found = resample(frame(rows), target[0])
    assert found.drop("timeframe").rows() == naive(rows, target[1])
    assert found["timeframe"].to_list() == [target[0]] * found.height


def test_a_series_that_ends_in_the_bucket_where_the_next_begins_is_kept_apart() -> None:
    rows: list[Row] = [("A", 0, 1, 1, 1, 1, 1, 1), ("B", 1, 2, 2, 2, 2, 2, 2)]
    assert resample(frame(rows), "1h")["symbol"].to_list() == ["A", "B"]


def test_weeks_open_on_monday_utc() -> None:
    days: list[Row] = [("A", d, 1, 1, 1, 1, 1, 1) for d in range(7)]  # Wednesday to Tuesday
    weeks = resample(frame(days, "1d", timedelta(days=1)), "1w", "1d")
    assert weeks["open_time"].to_list() == [datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 8, tzinfo=UTC)]
    assert weeks.select("bars", "expected", "partial").rows() == [(5, 7, True), (2, 7, True)]


def test_times_before_1970_fall_into_the_bucket_below_them() -> None:
    minutes = (datetime(1969, 12, 31, 23, 40, tzinfo=UTC) - ZERO) // MINUTE
    early = frame([("A", minutes, 1, 1, 1, 1, 1, 1)])
    assert resample(early, "1h")["open_time"].to_list() == [datetime(1969, 12, 31, 23, tzinfo=UTC)]


def test_columns_that_are_absent_are_null_and_no_rows_give_no_rows() -> None:
    rows: list[Row] = [("A", 0, 1, 1, 1, 1, 1, 1)]
    without = resample(frame(rows).drop("trade_count"), "5m")
    assert without["trade_count"].to_list() == [None]
    empty = resample(frame([]), "5m")
    assert empty.is_empty()
    assert empty.schema == without.schema == resample(frame(rows), "5m").schema


@pytest.mark.parametrize(("source", "target"), [("3m", "5m"), ("1h", "1m"), ("8h", "12h")])
def test_a_target_that_the_source_does_not_divide_is_refused_with_both(source: str, target: str) -> None:
    with pytest.raises(UsageError, match=f"{target} is not a multiple of {source}"):
        Buckets(source, target)


@pytest.mark.parametrize("minutes", [[1, 0], [0, 0]], ids=["back", "twice"])
def test_candles_out_of_order_are_refused(minutes: list[int]) -> None:
    with pytest.raises(UsageError, match="not sorted by time, each once"):
        reduced(frame([("A", m, 1, 1, 1, 1, 1, 1) for m in minutes]), Buckets("1m", "1h"))


def test_candles_without_a_price_are_refused() -> None:
    one = frame([("A", 0, 1, 1, 1, 1, 1, 1)])
    with pytest.raises(UsageError, match="low: a candle without a price"):
        reduced(one.with_columns(pl.lit(None, pl.Float64).alias("low")), Buckets("1m", "1h"))


def test_a_series_in_which_an_amount_is_known_stands_beside_one_in_which_it_is_not() -> None:
    rows: list[Row] = [("A", 0, 1, 1, 1, 1, None, None), ("B", 0, 2, 2, 2, 2, 3, 4)]
    assert resample(frame(rows), "1h").select("volume", "trade_count").rows() == [(None, None), (3.0, 4)]


def test_two_candles_decades_apart_make_two_buckets() -> None:
    minutes = (datetime(1990, 1, 1, tzinfo=UTC) - ZERO) // MINUTE
    found = resample(frame([("A", minutes, 1, 1, 1, 1, 1, 1), ("A", 0, 2, 2, 2, 2, 2, 2)]), "1h")
    assert found.select("open_time", "close", "bars").rows() == [
        (datetime(1990, 1, 1, tzinfo=UTC), 1, 1),
        (ZERO, 2, 1),
    ]


@pytest.mark.parametrize("chunks", [0, 1, 3])
@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_candles_as_a_file_holds_them_make_the_buckets_of_the_same_frame(unit: Any, chunks: int) -> None:
    rows: list[Row] = [("A", m, m, m + 2, m - 1, m, None if m % 7 else m, m) for m in range(1, 200)]
    whole = frame(rows if chunks else []).with_columns(pl.col("open_time").dt.cast_time_unit(unit))
    whole = whole.with_columns(pl.col("low").cast(pl.Float32))  # as another engine may have written it
    pieces = [p.to_arrow().drop_columns(["venue", "symbol", "timeframe"]) for p in whole.iter_slices(70)]
    table = pa.concat_tables(pieces[:chunks]) if chunks else whole.to_arrow()
    buckets = Buckets("1m", "1h")
    found, wanted = (
        together([(("A", "v"), reduced(given, buckets))], "1h") for given in (table, whole.head(70 * chunks))
    )
    assert found.equals(wanted)
    assert found.height == -(-min(70 * chunks, 200) // 60)


def test_a_table_with_a_null_time_or_price_is_refused() -> None:
    one = frame([("A", 0, 1, 1, 1, 1, 1, 1)])
    for name, message in (("low", "low: a candle without a price"), ("open_time", "a candle without a time")):
        table = one.with_columns(pl.lit(None, one.schema[name]).alias(name)).to_arrow()
        with pytest.raises(UsageError, match=message):
            reduced(table, Buckets("1m", "1h"))
