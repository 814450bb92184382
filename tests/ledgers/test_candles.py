from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import lake
from lake.errors import (
    InvalidRowError,
    InvalidTimeError,
    UnknownColumnError,
    UnknownSymbolError,
    UnknownTimeframeError,
    UsageError,
)
from lake.kernels import market

START = 1_767_225_600_000_000
MINUTE = 60_000_000
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def bar(minute: int, **changed: Any) -> dict[str, Any]:
    row = {"open_time": START + minute * MINUTE, "open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0, "volume": 5.0}
    return {**row, **changed}


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake") as opened:
        yield opened


def test_a_candle_written_is_visible_at_once_and_still_after_a_drain(lk: lake.Lake) -> None:
    assert lk.candles.write([bar(0)], "1m", symbol="BTC/USDT", venue="binance").inserted == 1
    for _ in range(2):
        found = lk.candles.read("btc_usdt", "1m")
        assert found.select("venue", "symbol", "open_time", "close").rows() == [("binance", "BTCUSDT", FIRST, 11.0)]
        lk.drain()


def test_a_receipt_tells_new_changed_and_same_rows_apart_in_hot_and_in_cold(lk: lake.Lake) -> None:
    lk.candles.write([bar(0), bar(1)], "1m", symbol="A")
    for settled in (False, True):
        if settled:
            lk.drain()
        low = 9.0 - settled
        again = lk.candles.write([bar(0), bar(1, low=low), bar(2 + settled)], "1m", symbol="A")
        assert (again.inserted, again.updated, again.unchanged) == (1, int(settled), 2 - settled)
    assert lk.frame("SELECT count(*) n, count(DISTINCT open_time) d FROM candles").rows() == [(4, 4)]


def test_a_receipt_knows_rows_that_were_drained_a_moment_ago(lk: lake.Lake) -> None:
    lk.candles.write([bar(0)], "1m", symbol="A")
    lk.drain()
    assert lk.candles.write([bar(0, close=10.0)], "1m", symbol="A").updated == 1


def test_the_newest_version_of_a_candle_wins_before_and_after_settling(lk: lake.Lake) -> None:
    for close in (10.0, 11.0, 11.9):
        lk.candles.write([bar(0, close=close)], "1m", symbol="A")
        assert lk.candles.read("A", "1m")["close"].to_list() == [close]
        lk.drain()
        assert lk.candles.read("A", "1m")["close"].to_list() == [close]


def frames() -> list[Any]:
    polars = market.candles("BTCUSDT", START, 30, price=100.0, seed=1).drop("venue", "symbol", "timeframe")
    pandas = polars.to_pandas()
    return [polars, polars.lazy(), polars.to_arrow(), pandas, pandas.set_index("open_time"), polars.to_dicts()]


@pytest.mark.parametrize("number", range(6))
def test_every_kind_of_table_goes_in_alike(lk: lake.Lake, number: int) -> None:
    given = frames()[number]
    assert lk.candles.write(given, "1m", symbol="BTCUSDT").inserted == 30
    expected = market.candles("BTCUSDT", START, 30, price=100.0, seed=1)
    assert lk.candles.read("BTCUSDT", "1m")["close"].to_list() == expected["close"].to_list()


def test_a_pandas_frame_with_a_date_index_goes_in(lk: lake.Lake) -> None:
    index = pd.date_range("2026-01-01", periods=3, freq="1min", tz="UTC", name="date")
    frame = pd.DataFrame({"open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 1.0}, index=index)
    assert lk.candles.write(frame, "1m", symbol="A").inserted == 3


def test_naive_times_are_refused_and_nothing_lands(lk: lake.Lake) -> None:
    naive = pl.DataFrame([bar(0)]).with_columns(open_time=pl.lit(datetime(2026, 1, 1)))  # noqa: DTZ001 - that is the point
    with pytest.raises(InvalidTimeError, match="zone|naive"):
        lk.candles.write(naive, "1m", symbol="A")
    assert lk.candles.read("A", "1m").is_empty()


def test_times_in_mixed_units_are_refused(lk: lake.Lake) -> None:
    mixed = [bar(0), bar(1, open_time=(START + MINUTE) // 1000)]
    with pytest.raises(InvalidTimeError, match="unit"):
        lk.candles.write(pl.DataFrame(mixed), "1m", symbol="A")


@pytest.mark.parametrize("scale", [1_000_000, 1_000, 1])
def test_epoch_times_in_seconds_milliseconds_or_microseconds_are_the_same_moment(lk: lake.Lake, scale: int) -> None:
    lk.candles.write(pl.DataFrame([bar(0, open_time=START // scale)]), "1m", symbol="A")
    assert lk.candles.read("A", "1m")["open_time"].to_list() == [FIRST]


@pytest.mark.parametrize("timeframe", ["7m", "1M", "", "3d"])
def test_an_unknown_timeframe_is_refused_by_name(lk: lake.Lake, timeframe: str) -> None:
    with pytest.raises((UnknownTimeframeError, InvalidRowError), match="timeframe|months"):
        lk.candles.write([bar(0)], timeframe, symbol="A")


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"high": 10.5}, "high"),
        ({"low": 11.5}, "low"),
        ({"close": -1.0}, "close"),
        ({"open": float("nan")}, "open"),
        ({"volume": float("inf")}, "volume"),
        ({"open_time": START + 7_000_000}, "grid"),
    ],
)
def test_a_row_that_is_no_candle_is_quarantined_with_its_reason_and_the_others_land(
    lk: lake.Lake, broken: dict[str, float], reason: str
) -> None:
    receipt = lk.candles.write(pl.DataFrame([bar(0), bar(1, **broken), bar(2)]), "1m", symbol="A")
    assert (receipt.inserted, receipt.rejected) == (2, 1)
    assert reason in receipt.rejections[0].reason
    kept = list(lk.writer.quarantine.read("candles"))
    assert len(kept) == 1
    assert reason in kept[0]["reason"]


def test_columns_that_candles_do_not_have_are_refused_by_name(lk: lake.Lake) -> None:
    with pytest.raises(UnknownColumnError, match="rsi"):
        lk.candles.write(pl.DataFrame([bar(0, rsi=50.0)]), "1m", symbol="A")


def test_a_missing_column_is_one_clear_error(lk: lake.Lake) -> None:
    with pytest.raises(InvalidRowError, match=r"candles\.close.*missing|missing.*close"):
        lk.candles.write(pl.DataFrame([bar(0)]).drop("close"), "1m", symbol="A")


def test_rows_out_of_order_and_repeated_land_once_and_in_order(lk: lake.Lake) -> None:
    frame = market.candles("A", START, 6000, price=50.0, seed=1)
    shuffled = pl.concat([frame.sample(fraction=1.0, shuffle=True, seed=1), frame[:100]])
    receipt = lk.candles.write_checked(shuffled)
    assert (receipt.inserted, receipt.unchanged) == (6000, 100)
    assert lk.candles.read("A", "1m", columns=["open_time", "close"]).equals(frame.select("open_time", "close"))


def test_ingesting_an_overlap_again_changes_only_what_differs(lk: lake.Lake) -> None:
    frame = market.candles("A", START, 12_000, price=50.0, seed=1)
    lk.write("candles", frame[:8000])
    changed = frame[4000:].with_columns(volume=pl.when(pl.int_range(pl.len()) < 10).then(1.0).otherwise("volume"))
    receipt = lk.write("candles", changed)
    assert (receipt.inserted, receipt.updated, receipt.unchanged) == (4000, 10, 3990)
    found = lk.candles.read("A", "1m")
    assert found.height == 12_000
    assert found["volume"][4000:4010].to_list() == [1.0] * 10


def test_write_frames_lands_many_symbols_together(lk: lake.Lake) -> None:
    given = {
        f"S{i}/USDT": market.candles("X", START, 2, price=10.0, seed=i).drop("venue", "symbol", "timeframe")
        for i in range(50)
    }
    assert lk.candles.write_frames(given, "1m", venue="binance").inserted == 100
    assert lk.frame("SELECT count(DISTINCT symbol) n FROM candles")["n"][0] == 50


def test_write_frames_takes_pandas_frames_with_times_in_a_column_or_as_index_and_columns_in_any_order(
    lk: lake.Lake,
) -> None:
    plain = {
        s: market.candles("X", START, n, price=10.0, seed=n).select(
            "open_time", "open", "high", "low", "close", "volume"
        )
        for s, n in (("A", 1), ("B", 3), ("C", 600))
    }
    given = {s: f.to_pandas() for s, f in plain.items()}
    given["B"] = given["B"][["volume", "close", "low", "high", "open", "open_time"]]
    expected = pl.concat([f.select(pl.lit(s).alias("symbol"), pl.all()) for s, f in plain.items()])
    for timeframe, frames in (("1m", given), ("1m", {s: f.set_index("open_time") for s, f in given.items()})):
        receipt = lk.candles.write_frames(frames, timeframe)
        assert receipt.inserted + receipt.unchanged == 604
        assert lk.candles.read(None, "1m", columns=expected.columns).equals(expected)


def test_write_frames_of_pandas_frames_with_other_columns_fills_none_in(lk: lake.Lake) -> None:
    whole = pd.DataFrame([{**bar(0), "open_time": FIRST}])
    lacking = whole.drop(columns="volume")
    assert lk.candles.write_frames({"A": whole, "B": lacking}, "1m").inserted == 2
    assert lk.candles.read(None, "1m")["volume"].to_list() == [5.0, None]
    doubled = pd.concat([lacking, lacking[["close", "close"]]], axis=1)
    with pytest.raises((InvalidRowError, ValueError), match="close|duplicate|unique"):
        lk.candles.write_frames({"A": whole, "B": doubled}, "1m")


def test_read_takes_a_half_open_range_and_any_columns(lk: lake.Lake) -> None:
    lk.write("candles", market.candles("A", START, 6000, price=50.0, seed=1))
    lk.candles.write(market.candles("A", START + 6000 * MINUTE, 10, price=50.0, seed=1), "1m")
    end = FIRST + timedelta(minutes=6005)
    found = lk.candles.read("A", "1m", start=FIRST + timedelta(minutes=5995), end=end, columns=["open_time"])
    assert found.columns == ["open_time"]
    assert found["open_time"].to_list() == [FIRST + timedelta(minutes=m) for m in range(5995, 6005)]
    with pytest.raises(UnknownSymbolError, match=r"no candles of it are held \(got 'B'\)"):
        lk.candles.read(["A", "B"], "1m")
    assert lk.candles.read("A", "1h").is_empty()
    with pytest.raises(UsageError, match="start is not before end"):
        lk.candles.read("A", "1m", start=end, end=FIRST)
    with pytest.raises(UnknownColumnError, match="no column 'rsi'"):
        lk.candles.read("A", "1m", columns=["rsi"])
    with pytest.raises(InvalidTimeError, match="zone|naive"):
        lk.candles.read("A", "1m", start=datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point


def test_read_keeps_venues_apart(lk: lake.Lake) -> None:
    lk.candles.write([bar(0)], "1m", symbol="A", venue="x")
    lk.candles.write([bar(0, close=10.0)], "1m", symbol="A", venue="y")
    assert lk.candles.read("A", "1m")["venue"].to_list() == ["x", "y"]
    assert lk.candles.read("A", "1m", venue="y")["close"].to_list() == [10.0]


def test_resample_equals_polars_and_flags_partial_buckets(lk: lake.Lake) -> None:
    frame = market.candles("A", START + 30 * MINUTE, 1000, price=50.0, seed=1)
    lk.write("candles", pl.concat([frame[:100], frame[110:]]))
    found = lk.candles.resample("A", "1h")
    expected = (
        pl.concat([frame[:100], frame[110:]])
        .group_by_dynamic("open_time", every="1h")
        .agg(
            pl.first("open"), pl.max("high"), pl.min("low"), pl.last("close"), pl.sum("volume"), pl.len().alias("bars")
        )
    )  # fmt: skip
    assert found.select("open_time", "open", "high", "low", "close").equals(expected.drop("volume", "bars"))
    assert np.allclose(found["volume"], expected["volume"])
    assert found["partial"].to_list() == (expected["bars"] < 60).to_list()


def test_resample_tells_many_series_apart_in_hot_and_cold(lk: lake.Lake) -> None:
    made = [
        market.candles(s, START + i * 7 * MINUTE, 3000, price=50.0, seed=i).with_columns(venue=pl.lit(v))
        for i, (s, v) in enumerate([("A", "x"), ("A", "y"), ("B", "x"), ("C", "")])
    ]
    lk.write("candles", pl.concat(made))
    hot = pl.concat([f.head(5).with_columns(volume=1.0) for f in made[:2]])
    lk.write("candles", hot)
    together = lk.candles.resample(None, "1h")
    for symbol, venue in (("A", "x"), ("A", "y"), ("B", "x"), ("C", "")):
        alone = lk.candles.resample(symbol, "1h", venue=venue)
        assert together.filter(pl.col("symbol") == symbol, pl.col("venue") == venue).equals(alone)
        rows = lk.candles.read(symbol, "1m", venue=venue)
        assert alone["open_time"].is_unique().all()
        assert rows.height == alone["bars"].sum() == 3000
        assert np.isclose(alone["volume"].sum(), rows["volume"].sum())
    assert together.select("symbol", "venue").unique(maintain_order=True).rows() == [
        ("A", "x"), ("A", "y"), ("B", "x"), ("C", ""),
    ]  # fmt: skip
    assert lk.candles.resample(None, "1h", start=FIRST - timedelta(days=9), end=FIRST).schema == together.schema


def test_resample_picks_the_coarsest_finer_timeframe_held(lk: lake.Lake) -> None:
    lk.candles.write(market.candles("A", START, 100, price=1.0, seed=1), "1m")
    lk.candles.write(market.candles("A", START, 100, price=1.0, seed=1, timeframe="15m"), "15m")
    assert lk.candles.resample("A", "1h")["bars"].max() == 4
    with pytest.raises(UsageError, match="no candles finer than 1m"):
        lk.candles.resample("A", "1m")


def test_gaps_are_found_across_hot_and_cold(lk: lake.Lake) -> None:
    frame = market.candles("A", START, 30, price=1.0, seed=1)
    lk.candles.write(frame[:10], "1m")
    lk.drain()
    lk.candles.write(frame[12:], "1m")
    assert lk.candles.gaps("A", "1m").select("gap_start", "missing").rows() == [(frame["open_time"][10], 2)]


def test_stats_count_hot_and_cold(lk: lake.Lake) -> None:
    assert lk.candles.stats()["candles"] == 0
    lk.write("candles", market.candles("A", START, 6000, price=1.0, seed=1))
    lk.candles.write([bar(6000)], "1m", symbol="B")
    found = lk.candles.stats()
    assert (found["candles"], found["symbols"], found["timeframes"]) == (6001, 2, ["1m"])
    assert (found["first"], found["last"]) == (START, START + 6000 * MINUTE)


def test_weeks_open_on_monday(lk: lake.Lake) -> None:
    monday, sunday = "2026-01-05T00:00:00Z", "2026-01-04T00:00:00Z"
    receipt = lk.candles.write(pl.DataFrame([bar(0, open_time=monday), bar(0, open_time=sunday)]), "1w", symbol="A")
    assert (receipt.inserted, receipt.rejected) == (1, 1)


def test_an_arrow_table_of_another_schema_is_one_clear_error(lk: lake.Lake) -> None:
    with pytest.raises(lake.LakeError, match="candles"):
        lk.write("candles", pa.table({"a": [1], "b": [2]}))


def test_the_same_writers_work_as_coroutines(tmp_path: Path) -> None:
    async def run() -> tuple[int, int]:
        async with await lake.open_async(tmp_path / "lake", bot_id="a") as alk:
            await asyncio.gather(
                *(alk.write("trades", {"symbol": "A", "side": "LONG", "quantity": 1}) for _ in range(50))
            )
            await alk.candles.write([bar(0)], "1m", symbol="A")
            async with alk.transaction():
                await alk.write("trades", {"symbol": "B", "side": "LONG", "quantity": 1})
                await alk.write("signals", {"symbol": "B", "direction": "LONG"})
            found = await alk.sql("SELECT (SELECT count(*) FROM trades) t, (SELECT count(*) FROM candles) c")
            return found.row(0)

    assert asyncio.run(run()) == (51, 1)
