"""Flags against the plainest code that can be written for them, without a look ahead."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.errors import UsageError
from lake.learn import flags
from lake.learn.flags import NAMES, Thresholds

T0 = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
# so low that random bars are flagged often
LOW = Thresholds(
    window=21, outlier_scales=3.0, crash_bars=3, crash_scales=1.5, crash_move=0.002, crash_reverted=0.4,
    quiet_quantile=0.2,
)  # fmt: skip


def candles(bars: int, seed: int, symbol: str = "BTCUSDT", venue: str = "binance") -> pl.DataFrame:
    """Random one-minute bars with heavy tails, still minutes and nothing traded now and then."""
    rng = np.random.default_rng(seed)
    moves = rng.standard_t(3, bars) * 0.002 * (rng.random(bars) > 0.2)
    close = 100 * np.exp(np.cumsum(moves))
    start = np.append(100.0, close[:-1])
    return pl.DataFrame(
        {
            "venue": venue, "symbol": symbol, "timeframe": "1m",
            "open_time": [T0 + n * MINUTE for n in range(bars)],
            "open": start,
            "high": np.maximum(start, close) * (1 + rng.exponential(0.001, bars)),
            "low": np.minimum(start, close) * (1 - rng.exponential(0.001, bars)),
            "close": close,
            "volume": np.round(rng.lognormal(size=bars), 1) * (rng.random(bars) > 0.05),
        }
    )  # fmt: skip


def at(*minutes: float, symbol: str = "BTCUSDT", venue: str = "binance") -> pl.DataFrame:
    """Rows decided so many minutes after the first bar opened."""
    times = [T0 + minute * MINUTE for minute in minutes]
    return pl.DataFrame({"venue": venue, "symbol": symbol, "decision_time": times})


def slow_flags(bars: list[dict], decided: datetime, how: Thresholds) -> tuple[bool, bool, bool]:
    """One row, from the bars of its series that had closed by its decision."""
    known = [bar for bar in bars if bar["open_time"] + MINUTE <= decided]
    if len(known) < how.window + how.crash_bars + 1 or decided - (known[-1]["open_time"] + MINUTE) >= MINUTE:
        return False, False, False
    newest, before = known[-how.crash_bars :], known[-how.crash_bars - how.window - 1 : -how.crash_bars]
    returns = [math.log(b["close"]) - math.log(a["close"]) for a, b in pairwise(before)]
    middle = median(returns)
    away = [abs(r - middle) for r in returns]
    scale = 1.482602218505602 * median(away) or math.sqrt(math.pi / 2) * fmean(away)
    last = math.log(known[-1]["close"]) - math.log(known[-2]["close"])

    stood, low, high = before[-1]["close"], min(b["low"] for b in newest), max(b["high"] for b in newest)
    least = max(-math.log(1 - how.crash_move), how.crash_scales * scale * math.sqrt(how.crash_bars))
    fall, rise, now = math.log(stood / low), math.log(high / stood), known[-1]["close"]
    fell = fall > least and math.log(now / low) >= how.crash_reverted * fall
    rose = rise > least and math.log(high / now) >= how.crash_reverted * rise

    volumes = sorted(b["volume"] for b in before[1:])
    limit = volumes[max(0, math.ceil(how.quiet_quantile * how.window) - 1)]
    quiet = known[-1]["volume"] < limit or known[-1]["volume"] == 0
    return fell or rose, abs(last - middle) > how.outlier_scales * scale, quiet


@pytest.mark.parametrize("window", [20, 21])
@pytest.mark.parametrize("seed", range(3))
def test_each_flag_is_that_of_the_plainest_code(seed, window) -> None:
    how = Thresholds(**{**{n: getattr(LOW, n) for n in Thresholds.__dataclass_fields__}, "window": window})
    bars = candles(300, seed)
    decided = at(*np.random.default_rng(seed).uniform(0, 305, 250))
    expected = [slow_flags(bars.to_dicts(), row["decision_time"], how) for row in decided.to_dicts()]
    assert all(5 < sum(column) < 200 for column in zip(*expected, strict=True))  # enough of either
    assert flags.flags(decided, bars, how).rows() == expected


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(30, 120), st.sampled_from(["change", "drop", "crash"]))
def test_what_becomes_known_later_changes_no_flag(seed, minute, how) -> None:
    bars, decided = candles(120, seed), at(minute)
    later = pl.col("open_time") + MINUTE > decided["decision_time"][0]
    columns = ["high", "low", "close", "volume"]
    changed = {
        "change": bars.with_columns(pl.when(later).then(pl.col(n) * 3.7).otherwise(pl.col(n)) for n in columns),
        "drop": bars.filter(~later),
        "crash": bars.with_columns(low=pl.when(later).then(0.01).otherwise("low")),
    }[how]
    assert flags.flags(decided, changed, LOW).equals(flags.flags(decided, bars, LOW))


def quiet_market(bars: int = 260, volume: float = 5.0) -> pl.DataFrame:
    """A price that goes up and down by a hundredth of a percent, in twos."""
    close = [100.0 + 0.01 * (n // 2 % 2) for n in range(bars)]
    prices = {"high": [c + 0.01 for c in close], "low": [c - 0.01 for c in close], "close": close}
    times = [T0 + n * MINUTE for n in range(bars)]
    volumes = [volume + n % 7 for n in range(bars)]
    return pl.DataFrame({"symbol": "X", "timeframe": "1m", "open_time": times, **prices, "volume": volumes})


def put(frame: pl.DataFrame, number: int, **values: float) -> pl.DataFrame:
    """The frame with other values in one bar."""
    here = pl.int_range(pl.len()) == number
    return frame.with_columns(pl.when(here).then(pl.lit(v)).otherwise(n).alias(n) for n, v in values.items())


def flagged(frame: pl.DataFrame, bar: int) -> tuple[bool, ...]:
    """Flags of a decision at the close of that bar."""
    return flags.flags(at(bar + 1, symbol="X").drop("venue"), frame).row(0)


def test_a_fall_that_comes_back_is_a_flash_crash_until_its_bar_is_five_bars_old() -> None:
    crashed = put(quiet_market(), 230, low=97.0)
    assert [flagged(crashed, bar)[0] for bar in (229, 230, 231, 234, 235)] == [False, True, True, True, False]
    assert flags.flags(at(*range(1, 230), symbol="X").drop("venue"), crashed).sum().row(0) == (0, 0, 0)


def test_a_fall_that_stays_down_is_none_and_a_spike_upwards_is_one() -> None:
    fallen = quiet_market().with_columns(
        pl.when(pl.int_range(pl.len()) >= 230).then(pl.col(n) * 0.97).otherwise(n).alias(n)
        for n in ("high", "low", "close")
    )
    assert flagged(fallen, 230) == (False, True, False)
    assert flagged(put(quiet_market(), 230, high=103.0), 230) == (True, False, False)
    assert flagged(put(quiet_market(), 230, low=99.5), 230) == (False, False, False)  # 0.5 % is no crash


def test_little_volume_or_none_is_low_liquidity() -> None:
    assert [flagged(put(quiet_market(), 230, volume=v), 230)[2] for v in (5.0, 4.9, 0.0)] == [False, True, True]
    assert flagged(quiet_market().with_columns(volume=pl.lit(0.0)), 230) == (False, False, True)
    assert flagged(quiet_market().with_columns(volume=pl.lit(None, dtype=pl.Float64)), 230) == (False, False, False)


def test_what_cannot_be_told_is_not_flagged() -> None:
    crashed = put(quiet_market(), 230, low=97.0, volume=0.0)
    frame = at(231, 231.99, 232, symbol="X").drop("venue")
    gap = crashed.filter(pl.col("open_time") != T0 + 231 * MINUTE)
    assert flags.flags(frame, gap)["flag_flash_crash"].to_list() == [True, True, False]  # no bar of that minute
    assert flags.flags(frame, crashed.tail(235)).sum().row(0) == (3, 0, 2)
    assert flags.flags(frame, crashed.tail(205)).sum().row(0) == (0, 0, 0)  # too few before
    assert flags.flags(at(231), crashed).sum().row(0) == (0, 0, 0)  # other symbol
    assert flags.flags(frame, crashed.clear()).rows() == [(False, False, False)] * 3
    assert flags.flags(frame.clear(), crashed).schema == dict.fromkeys(NAMES, pl.Boolean)


def test_rows_keep_their_order_and_series_are_kept_apart_whatever_the_order_of_candles() -> None:
    parts = [
        candles(150, seed, symbol, venue) for seed, (symbol, venue) in enumerate([("A", "x"), ("A", "y"), ("B", "x")])
    ]
    rng = np.random.default_rng(1)
    frame = pl.concat(
        [at(*rng.uniform(20, 151, 60), symbol=s, venue=v) for s, v in (("A", "x"), ("A", "y"), ("B", "x"))]
    )
    frame = frame.sample(fraction=1, shuffle=True, seed=2)
    together = pl.concat(parts).sample(fraction=1, shuffle=True, seed=3)
    found = flags.flags(frame, together, LOW)
    alone = pl.concat(flags.flags(frame[n : n + 1], pl.concat(parts[::-1]), LOW) for n in range(frame.height))
    assert found.equals(alone)
    assert found.sum().row(0) > (3, 3, 3)


def test_on_real_minutes_and_hours_few_bars_are_flagged(shared_data: Path) -> None:
    for file in ("genetrader_2024_binance/SOL_USDT-1h.feather", "genetrader_2024_binance/BTC_USDT-15m.feather"):
        bars = pl.read_ipc(shared_data / "ohlcv" / file).rename({"date": "open_time"})
        timeframe = file.split("-")[1].split(".")[0]
        bars = bars.with_columns(pl.col("open_time").dt.cast_time_unit("us"), symbol=pl.lit("X"))
        frame = bars.select("symbol", decision_time=pl.col("open_time").shift(-1)).drop_nulls()
        crash, outlier, quiet = flags.flags(frame, bars, timeframe=timeframe).mean().row(0)
        assert 0.0002 < crash < 0.006
        assert 0.0002 < outlier < 0.006
        assert 0.04 < quiet < 0.1


def _twice() -> pl.DataFrame:
    return pl.concat([quiet_market(), quiet_market().head(1)])


frame_x = at(3, symbol="X").drop("venue")
REFUSED = {
    "no symbol": (
        lambda: flags.flags(frame_x.drop("symbol"), quiet_market()),
        r"frame: columns are missing .*'symbol'",
    ),
    "no low": (
        lambda: flags.flags(frame_x, quiet_market().drop("low")),
        r"candles: columns are missing \(got \['low'\]\)",
    ),
    "no timeframe": (lambda: flags.flags(frame_x, quiet_market().drop("timeframe")), r"which timeframe do the candles"),
    "two timeframes": (
        lambda: flags.flags(frame_x, pl.concat([quiet_market(), quiet_market().with_columns(timeframe=pl.lit("5m"))])),
        r"candles of several timeframes",
    ),
    "twice": (lambda: flags.flags(frame_x, _twice()), r"a candle is there twice"),
    "no price": (lambda: flags.flags(frame_x, put(quiet_market(), 9, low=0.0)), r"a price is not above 0"),
    "not a number": (lambda: flags.flags(frame_x, put(quiet_market(), 9, close=math.nan)), r"a price is not above 0"),
    "undecided": (
        lambda: flags.flags(frame_x.with_columns(decision_time=pl.lit(None, pl.Datetime("us", "UTC"))), quiet_market()),
        r"decision_time: 1 of 1 times are missing",
    ),
    "window": (lambda: Thresholds(window=5), r"window: a whole number of bars from 10 on is needed \(got 5\)"),
    "bars": (lambda: Thresholds(crash_bars=0), r"crash_bars: a whole number of bars from 1"),
    "scales": (lambda: Thresholds(outlier_scales=0.0), r"outlier_scales: a number above 0"),
    "endless": (lambda: Thresholds(crash_scales=math.inf), r"crash_scales: a number above 0"),
    "quantile": (lambda: Thresholds(quiet_quantile=1.5), r"quiet_quantile: a number above 0 and up to 1 is needed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_is_refused_in_one_clear_sentence(case) -> None:
    work, message = REFUSED[case]
    with pytest.raises(UsageError, match=message):
        work()
