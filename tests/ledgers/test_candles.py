from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
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
    named = polars.to_dicts()
    ccxt = [
        [r["open_time"].timestamp() * 1000, *(r[n] for n in ("open", "high", "low", "close", "volume"))] for r in named
    ]
    rows = [named, iter(named), ccxt]
    streams = [polars.to_arrow().to_reader(7), duckdb.from_arrow(polars.to_arrow())]
    return [polars, polars.lazy(), polars.to_arrow(), pandas, pandas.set_index("open_time"), *rows, *streams]


@pytest.mark.parametrize("form", [list, pl.DataFrame, pl.LazyFrame, pd.DataFrame, pa.Table.from_pylist])
def test_a_table_that_names_another_series_than_the_call_is_refused_whole(
    lk: lake.Lake, form: Callable[[list[dict[str, Any]]], Any]
) -> None:
    def rows(**named: str) -> Any:
        return form([{**bar(n), **named} for n in range(2)])

    with pytest.raises(UsageError, match=r"candles.symbol: the call says 'BTCUSDT' \(got 'ETHUSDT'\)"):
        lk.candles.write(rows(symbol="ETH/USDT"), "1m", symbol="BTC/USDT")
    with pytest.raises(UsageError, match=r"candles.timeframe: the call says '1m' \(got '5m'\)"):
        lk.candles.write(rows(timeframe="5m"), "1m", symbol="BTC/USDT")
    with pytest.raises(UsageError, match=r"candles.venue: the call says 'bybit' \(got 'binance'\)"):
        lk.candles.write(rows(venue="binance"), "1m", symbol="BTC/USDT", venue="bybit")
    with pytest.raises(UsageError, match=r"candles.symbol: the call says 'BTCUSDT' \(got 'ETHUSDT'\)"):
        lk.candles.write_frames({"BTC/USDT": rows(symbol="ETHUSDT"), "X/USDT": rows(symbol="XUSDT")}, "1m")
    assert lk.candles.symbols() == set()
    named = rows(symbol="btc-usdt", timeframe="1m", venue="binance")
    assert lk.candles.write(named, "1m", symbol="BTC/USDT").inserted == 2
    assert lk.candles.write_frames({"BTC/USDT": named}, "1m").unchanged == 2


@pytest.mark.parametrize("number", range(10))
def test_every_kind_of_table_goes_in_alike(lk: lake.Lake, number: int) -> None:
    given = frames()[number]
    assert lk.candles.write(given, "1m", symbol="BTCUSDT").inserted == 30
    expected = market.candles("BTCUSDT", START, 30, price=100.0, seed=1)
    assert lk.candles.read("BTCUSDT", "1m")["close"].to_list() == expected["close"].to_list()


@pytest.mark.parametrize("wrong", [[(START, 1.0, 2.0)], [[START, 1.0, 2.0, 1.0, 1.0, 5.0, START + MINUTE, 5.0]], [[]]])
def test_a_list_of_other_than_six_values_is_asked_which_is_which(lk: lake.Lake, wrong: list[Any]) -> None:
    with pytest.raises(UsageError, match=r"which value is which\? .* open_time, open, high, low, close, volume"):
        lk.candles.write(wrong, "1m", symbol="A")


def test_frames_that_are_not_given_by_symbol_are_refused(lk: lake.Lake) -> None:
    with pytest.raises(UsageError, match="frames are given by symbol .*'list'"):
        lk.candles.write_frames([bar(0)], "1m")  # type: ignore[arg-type]


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
        ({"volume": float("nan")}, "volume"),
        ({"taker_buy_volume": float("nan")}, "taker_buy_volume"),
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


@pytest.mark.parametrize(
    "form",
    [
        pl.DataFrame, lambda rows: pl.DataFrame(rows).to_arrow(), list, pd.DataFrame,
        lambda rows: pd.DataFrame(rows).set_index("open_time"),
        lambda rows: pd.DataFrame(rows * 600),
    ],
    ids=["polars", "arrow", "rows", "pandas", "pandas by its index", "long pandas"],
)  # fmt: skip
def test_a_volume_that_is_no_number_is_refused_in_any_form_and_one_that_is_not_known_is_null(
    lk: lake.Lake, form: Callable[[list[dict[str, Any]]], Any]
) -> None:
    rows = [bar(0), bar(1, volume=float("nan"))]
    times = len(form(rows)) // 2
    receipt = lk.candles.write(form(rows), "1m", symbol="A")
    assert (receipt.inserted, receipt.unchanged, receipt.rejected) == (1, times - 1, times)
    assert "volume: a finite number" in receipt.rejections[0].reason or "not a number" in receipt.rejections[0].reason
    assert lk.candles.write_frames({"A": form(rows)}, "1m").rejected == times
    lk.candles.write([bar(2, volume=None)], "1m", symbol="A")
    lk.candles.write(pd.DataFrame([bar(3)]).astype({"volume": "Float64"}).assign(volume=pd.NA), "1m", symbol="A")
    assert lk.candles.read("A", "1m")["volume"].to_list() == [5.0, None, None]


def test_one_row_with_a_volume_that_is_no_number_is_one_error(lk: lake.Lake) -> None:
    with pytest.raises(InvalidRowError, match=r"candles\.volume: not a number"):
        lk.write("candles", {**bar(0), "symbol": "A", "timeframe": "1m", "volume": float("nan")})


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


def test_read_takes_one_column_by_its_name_and_refuses_none(lk: lake.Lake) -> None:
    lk.candles.write([bar(0)], "1m", symbol="A")
    assert lk.candles.read("A", "1m", columns="close").rows() == [(11.0,)]
    with pytest.raises(UsageError, match=r"candles: which columns\? \(got \[\]\)"):
        lk.candles.read("A", "1m", columns=[])


def test_read_gives_nulls_for_a_column_that_no_row_has_and_reads_it_from_no_file(lk: lake.Lake) -> None:
    lk.candles.write([bar(0), bar(1)], "1m", symbol="A")
    lk.candles.write([bar(0, quote_volume=7.0)], "1m", symbol="B")
    lk.drain()
    found = lk.candles.read(None, "1m", columns=["symbol", "quote_volume", "trade_count"])
    assert found.rows() == [("A", None, None), ("A", None, None), ("B", 7.0, None)]
    files = lk.store.snapshot(["candles"]).states["candles"].files.values()
    parts = lk.store.scanner.parts("candles", files, {}, ["close", "quote_volume", "trade_count"])
    assert {name for part in parts for name in part.columns} == {"close", "quote_volume"}


def test_a_time_at_which_a_series_has_nothing_gives_no_rows(lk: lake.Lake) -> None:
    lk.candles.write([bar(0), bar(600)], "1m", symbol="A")
    lk.drain()
    hour = {"start": FIRST + timedelta(hours=2), "end": FIRST + timedelta(hours=3)}
    assert lk.candles.read("A", "1m", **hour).is_empty()
    assert lk.candles.resample("A", "1h", **hour).is_empty()


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


def test_the_first_resample_of_settled_candles_imports_no_pandas(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        lk.candles.write(pl.DataFrame([bar(minute, symbol="A") for minute in range(180)]), "1m")
        lk.drain()
    asking = f"lk = lake.open({str(tmp_path / 'lake')!r}); print(lk.candles.resample('A', '1h').height); lk.close()"
    code = f"import sys, lake; {asking}; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3", "False"]


def test_resample_picks_the_coarsest_finer_timeframe_held(lk: lake.Lake) -> None:
    lk.candles.write(market.candles("A", START, 100, price=1.0, seed=1), "1m")
    lk.candles.write(market.candles("A", START, 100, price=1.0, seed=1, timeframe="15m"), "15m")
    assert lk.candles.resample("A", "1h")["bars"].max() == 4
    with pytest.raises(UsageError, match="no candles finer than 1m"):
        lk.candles.resample("A", "1m")


def flat(minutes: range, **changed: Any) -> list[dict[str, Any]]:
    return [bar(minute, open=10.0, high=10.0, low=10.0, close=10.0, volume=1.0) | changed for minute in minutes]


@pytest.mark.parametrize("settled", [False, True], ids=["hot", "cold"])
def test_resample_chooses_the_source_of_each_series_and_never_gives_less_than_the_finest(
    lk: lake.Lake, settled: bool
) -> None:
    day = range(1440)
    lk.candles.write(flat(day), "1m", symbol="FINE")
    lk.candles.write(flat(range(0, 1440, 30)), "30m", symbol="COARSE")
    lk.candles.write(flat(day), "1m", symbol="BOTH", venue="x")
    lk.candles.write(flat(range(0, 60, 30), volume=30.0), "30m", symbol="BOTH", venue="x")
    lk.candles.write(flat(range(0, 60, 30), volume=30.0), "30m", symbol="BOTH", venue="y")
    if settled:
        lk.drain()
    found = lk.candles.resample(None, "1h")
    told = found.group_by("symbol", "venue", maintain_order=True).agg(
        pl.len(), pl.sum("volume"), pl.col("partial").any()
    )
    assert told.rows() == [
        ("BOTH", "x", 24, 1440.0, False),
        ("BOTH", "y", 1, 60.0, False),
        ("COARSE", "", 24, 48.0, False),
        ("FINE", "", 24, 1440.0, False),
    ]
    assert found.filter(symbol="BOTH", venue="x")["expected"].to_list() == [2, *([60] * 23)]
    assert lk.candles.resample(["FINE", "COARSE"], "1h").height == 48
    assert lk.candles.resample("BOTH", "1h", venue="x").height == 24


def test_resample_fills_what_the_coarser_candles_lack_with_finer_ones(lk: lake.Lake) -> None:
    hours = [hour for hour in range(10) if hour != 3]
    lk.candles.write([candle for hour in hours for candle in flat(range(hour * 60, hour * 60 + 1))], "1h", symbol="A")
    lk.drain()
    lk.candles.write(flat(range(60, 690)), "1m", symbol="A")
    found = lk.candles.resample("A", "2h")
    assert found.select("bars", "expected", "partial").rows() == [
        (2, 2, False), (120, 120, False), (2, 2, False), (2, 2, False), (2, 2, False), (90, 120, True),
    ]  # fmt: skip


def test_resample_refuses_a_source_that_does_not_divide_and_symbols_without_finer_candles(lk: lake.Lake) -> None:
    with pytest.raises(UsageError, match="no candles finer than 1h are held"):
        lk.candles.resample("A", "1h")
    lk.candles.write([bar(0)], "1m", symbol="FINE")
    lk.candles.write([bar(0)], "1h", symbol="HOURS")
    for target, source in (("1h", "1d"), ("3m", "1h"), ("8h", "3h"), ("12h", "8h")):
        with pytest.raises((UsageError, UnknownTimeframeError), match=f"{target} is not a multiple of {source}|3h"):
            lk.candles.resample("FINE", target, source=source)
    with pytest.raises(UsageError, match=r"HOURS: no candles finer than 15m are held \(got \['1h'\]\)"):
        lk.candles.resample(["FINE", "HOURS"], "15m")
    with pytest.raises(UsageError, match="no candles finer than 1h are held"):
        lk.candles.resample("HOURS", "1h", start=FIRST)
    with pytest.raises(UnknownSymbolError, match="FINE"):
        lk.candles.resample("FIN", "1h")
    with pytest.raises(UnknownSymbolError, match="FINE"):
        lk.candles.resample("FIN", "1h", source="1m")
    assert lk.candles.resample("FINE", "1h", start=FIRST + timedelta(days=1)).is_empty()
    assert lk.candles.resample(None, "15m")["symbol"].to_list() == ["FINE"]


@pytest.mark.parametrize("form", [lambda f: f, lambda f: f.to_pandas(), lambda f: f.to_dicts(), lambda f: f.to_arrow()])
def test_what_resample_gives_can_be_written_and_has_every_sum(
    lk: lake.Lake, form: Callable[[pl.DataFrame], Any]
) -> None:
    sums = ["volume", "quote_volume", "trade_count", "taker_buy_volume", "taker_buy_quote_volume"]
    made = market.candles("A", START, 150, price=50.0, seed=1)
    lk.candles.write(made, "1m")
    hours = lk.candles.resample("A", "1h")
    assert np.allclose(hours.select(pl.col(sums).sum()).row(0), made.select(pl.col(sums).sum()).row(0))
    receipt = lk.candles.write(form(hours), "1h")
    assert (receipt.inserted, receipt.rejected) == (2, 1)
    assert "partial" in receipt.rejections[0].reason
    kept = lk.candles.read("A", "1h", columns=hours.columns[:13])
    assert kept.equals(hours.head(2).select(kept.columns))
    assert lk.write("candles", form(hours)).rejected == 1
    unmarked = hours.drop("bars", "expected", "partial")
    assert lk.candles.write(form(unmarked), "1h").inserted == 1  # who says nothing of it means it


def test_one_partial_candle_is_one_error_and_counts_alone_tell_it(lk: lake.Lake) -> None:
    row = {**bar(0), "symbol": "A", "timeframe": "1h", "bars": 59, "expected": 60}
    with pytest.raises(InvalidRowError, match="partial"):
        lk.write("candles", row)
    assert lk.candles.write(pl.DataFrame([row]), "1h").rejected == 1
    lk.write("candles", {**row, "bars": 60, "partial": False})
    assert lk.candles.read("A", "1h").height == 1


def test_gaps_are_found_across_hot_and_cold(lk: lake.Lake) -> None:
    frame = market.candles("A", START, 30, price=1.0, seed=1)
    lk.candles.write(frame[:10], "1m")
    lk.drain()
    lk.candles.write(frame[12:], "1m")
    assert lk.candles.gaps("A", "1m").select("gap_start", "missing").rows() == [(frame["open_time"][10], 2)]


def test_a_candle_that_settled_and_was_written_again_counts_once(lk: lake.Lake) -> None:
    for symbol in ("A", "B"):
        lk.candles.write([bar(n) for n in range(10)], "1m", symbol=symbol)
    lk.drain()
    lk.candles.write([bar(n) for n in range(5, 12)], "1m", symbol="A")
    lk.candles.write([bar(60)], "1h", symbol="A")
    assert (lk.candles.stats()["candles"], lk.frame("SELECT count(*) FROM candles").item()) == (23, 23)


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
