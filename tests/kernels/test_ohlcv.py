"""Sane candles pass, others are told why; gaps and doubles are found as a plain loop would find them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.kernels import ohlcv

ZERO = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday
NAN, INF = float("nan"), float("inf")
_SCHEMA: dict[str, Any] = {
    **dict.fromkeys(("venue", "symbol", "timeframe"), pl.String),
    "open_time": pl.Datetime("us", "UTC"),
    **dict.fromkeys(("open", "high", "low", "close", "volume", "quote_volume"), pl.Float64),
    "trade_count": pl.Int64,
}


def candle(**changed: Any) -> dict[str, Any]:
    sane = {
        "venue": "v", "symbol": "S", "timeframe": "1m", "open_time": ZERO,
        "open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0, "volume": 1.0, "quote_volume": None, "trade_count": None,
    }  # fmt: skip
    return {**sane, **changed}


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=_SCHEMA)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"high": 10.5}, "high is below close"),
        ({"high": 9.5}, "high is below open; high is below close"),
        ({"low": 10.5}, "low is above open"),
        ({"high": 8.0, "low": 9.0}, "high is below open; high is below close; high is below low"),
        ({"low": -1.0}, "low is negative"),
        ({"low": 0.0}, "low is zero"),
        ({"open": 0.0, "low": 0.0}, "open is zero; low is zero"),
        ({"high": INF}, "high is not a finite number"),
        ({"low": -INF}, "low is not a finite number"),
        ({"open": None}, "open is missing"),
        ({"volume": -1.0}, "volume is negative"),
        ({"volume": NAN}, "volume is not a finite number"),
        ({"quote_volume": INF}, "quote_volume is not a finite number"),
        ({"trade_count": -3}, "trade_count is negative"),
        ({"open_time": None}, "open_time is missing"),
        ({"open_time": ZERO + timedelta(seconds=1)}, "open_time is off the 1m grid"),
        ({"timeframe": "1w", "open_time": ZERO + timedelta(days=1)}, "open_time is off the 1w grid"),
        ({"timeframe": "7m"}, "timeframe is unknown"),
    ],
)
def test_a_candle_that_breaks_a_rule_is_told_which(changed: dict[str, Any], reason: str) -> None:
    assert ohlcv.violations(frame(candle(), candle(**changed), candle())).to_list() == [None, reason, None]


@pytest.mark.parametrize(
    "wrong", [{"low": 11.5}, {"volume": NAN}, {"open_time": None}, {"timeframe": "5m"}, {"open": NAN}]
)
def test_one_wrong_candle_among_many_is_told_wherever_it_stands(wrong: dict[str, Any]) -> None:
    sane = frame(candle()).select(pl.all().repeat_by(70_000).explode())
    assert ohlcv.violations(sane).null_count() == sane.height
    assert ohlcv.violations(sane.head(0)).is_empty()
    changed = frame(candle(open_time=ZERO + timedelta(minutes=1)) | wrong)
    for at in (0, 40_000, 69_999):
        told = ohlcv.violations(pl.concat([sane.head(at), changed, sane.slice(at + 1)]))
        assert told.is_not_null().arg_true().to_list() == [at]


@pytest.mark.parametrize("name", ["open", "high", "low", "close"])
def test_a_price_that_is_not_a_number_is_never_sane(name: str) -> None:
    assert f"{name} is not a finite number" in ohlcv.violations(frame(candle(**{name: NAN})))[0]


def test_sane_candles_have_no_reason_and_unknown_amounts_are_sane() -> None:
    week = candle(timeframe="1w")
    flat = candle(high=10.0, low=10.0, open=10.0, close=10.0, volume=0.0)
    assert ohlcv.violations(frame(candle(), week, flat, candle(volume=None))).null_count() == 4
    assert ohlcv.violations(frame()).len() == 0


@given(st.lists(st.tuples(*[st.sampled_from([1.0, 2.0, 3.0, 0.0, -1.0, NAN, INF, None])] * 5), min_size=1, max_size=8))
def test_exactly_the_rows_that_break_a_rule_have_a_reason(rows: list[tuple[float | None, ...]]) -> None:
    def sane(o: Any, h: Any, low: Any, c: Any, v: Any) -> bool:
        if None in (o, h, low, c):
            return False
        fine = all(0 < x < INF for x in (o, h, low, c)) and (v is None or 0 <= v < INF)
        return fine and low <= min(o, c) and h >= max(o, c)

    table = frame(*(candle(**dict(zip(("open", "high", "low", "close", "volume"), r, strict=True))) for r in rows))
    assert [r is None for r in ohlcv.violations(table)] == [sane(*r) for r in rows]


def _series(symbol: str, minutes: list[int]) -> pl.DataFrame:
    return frame(*(candle(symbol=symbol, open_time=ZERO + timedelta(minutes=m)) for m in minutes))


def test_a_gap_is_told_with_its_first_and_last_missing_open_time() -> None:
    found = ohlcv.gaps(pl.concat([_series("A", [0, 1, 5, 6, 8]), _series("B", [100])]), "1m")
    at = [ZERO + timedelta(minutes=m) for m in (2, 4, 7, 7)]
    assert found.rows() == [("v", "A", at[0], at[1], 3), ("v", "A", at[2], at[3], 1)]


def test_weeks_without_a_candle_are_counted_from_monday_to_monday() -> None:
    weeks = frame(*(candle(timeframe="1w", open_time=ZERO + timedelta(weeks=w)) for w in (0, 3)))
    assert ohlcv.gaps(weeks, "1w").row(0)[2:] == (ZERO + timedelta(weeks=1), ZERO + timedelta(weeks=2), 2)


@given(st.dictionaries(st.sampled_from("AB"), st.lists(st.integers(0, 30), min_size=1, max_size=20)), st.randoms())
def test_gaps_are_the_slots_that_nobody_fills_whatever_the_order(held: dict[str, list[int]], random: Any) -> None:
    rows = [candle(symbol=s, open_time=ZERO + timedelta(minutes=m)) for s, minutes in held.items() for m in minutes]
    random.shuffle(rows)
    expected = {(s, m) for s, minutes in held.items() for m in range(min(minutes), max(minutes)) if m not in minutes}
    found = set()
    for row in ohlcv.gaps(frame(*rows), "1m").rows(named=True):
        first = (row["gap_start"] - ZERO) // timedelta(minutes=1)
        assert row["gap_end"] == row["gap_start"] + timedelta(minutes=row["missing"] - 1)
        found |= {(row["symbol"], first + i) for i in range(row["missing"])}
    assert found == expected


@given(st.lists(st.tuples(st.sampled_from("AB"), st.integers(0, 4), st.integers(1, 2)), max_size=25))
def test_the_last_of_each_key_stays_and_what_went_is_counted(rows: list[tuple[str, int, int]]) -> None:
    table = frame(*(candle(symbol=s, open_time=ZERO + timedelta(minutes=m), volume=float(v)) for s, m, v in rows))
    kept = ohlcv.dedupe(table, ["venue", "symbol", "timeframe", "open_time"])
    last = {(s, m): v for s, m, v in rows}
    identical = sum(last[s, m] == v for s, m, v in rows) - len(last)
    assert (kept.identical, kept.replaced) == (identical, len(rows) - len(last) - identical)
    left = kept.frame.select("symbol", "open_time", "volume").rows()
    assert {(s, (t - ZERO) // timedelta(minutes=1)): v for s, t, v in left} == last
    assert len(left) == len(last)


def test_one_symbol_on_two_venues_is_doubled_only_where_the_venue_is_no_key() -> None:
    both = frame(candle(venue="a"), candle(venue="b"))
    assert ohlcv.dedupe(both, ["venue", "symbol", "open_time"]).frame.height == 2
    assert ohlcv.dedupe(both, ["symbol", "open_time"]).frame["venue"].to_list() == ["b"]
