"""Candles in the folders of freqtrade and Binance: shaped as theirs are, and the same when they are read again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pyarrow import feather

import lake
from lake.exporters import Selection, Target, export
from lake.sources.ingest import ingest

_KEY = ["venue", "symbol", "timeframe", "open_time"]
_FLOWS = {"quote_volume": 1e6 / 3, "trade_count": 17, "taker_buy_volume": 0.25, "taker_buy_quote_volume": 1e5 / 7}


def candles(start: datetime, count: int, step: timedelta, **more: Any) -> pl.DataFrame:
    rows = [
        {"open_time": start + n * step, "open": 1 + n / 3, "high": 2.5 + n, "low": 0.1, "close": 1.5, "volume": n / 7}
        for n in range(count)
    ]
    return pl.DataFrame([{**row, **more} for row in rows])


@pytest.fixture
def lk(tmp_path: Path) -> Any:
    hour, minutes = timedelta(hours=1), timedelta(minutes=5)
    with lake.open(tmp_path / "lake") as lk:
        spot = candles(datetime(2024, 12, 31, 22, tzinfo=UTC), 40, minutes, **_FLOWS)
        lk.candles.write(spot, "5m", symbol="BTC/USDT", venue="binance")
        lk.candles.write(
            candles(datetime(2024, 12, 31, 22, tzinfo=UTC), 4, hour), "1h", symbol="BTC/USDT", venue="binance"
        )
        lk.drain()
        lk.candles.write(
            candles(datetime(2025, 1, 1, tzinfo=UTC), 4, hour), "1h", symbol="XRP/USDT:USDT", venue="binance"
        )
        marks = candles(datetime(2025, 1, 1, tzinfo=UTC), 4, hour).with_columns(volume=pl.lit(None, dtype=pl.Float64))
        lk.candles.write(marks, "1h", symbol="XRPUSDT.P.MARK", venue="binance")
        yield lk


def back(folder: Path, tmp_path: Path) -> pl.DataFrame:
    with lake.open(tmp_path / "back") as other:
        report = ingest(other, [folder])
        assert not report.failed
        return other.read("candles").sort(_KEY)


@pytest.mark.parametrize("ending", ["feather", "json"])
def test_a_freqtrade_folder_is_named_and_shaped_as_freqtrades_and_comes_back_equal(
    lk: lake.Lake, tmp_path: Path, ending: str
) -> None:
    folder = tmp_path / "user_data" / "data"
    form = "freqtrade" if ending == "feather" else "freqtrade-json"
    report = export(lk, "candles", Target(folder, form))
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert names == {
        f"binance/BTC_USDT-5m.{ending}",
        f"binance/BTC_USDT-1h.{ending}",
        f"binance/futures/XRP_USDT_USDT-1h-futures.{ending}",
        f"binance/futures/XRP_USDT_USDT-1h-mark.{ending}",
    }
    assert (report.rows, len(report.files)) == (52, 4)
    kept = ["venue", "symbol", "timeframe", "open_time", "open", "high", "low", "close", "volume"]
    assert_frame_equal(back(folder, tmp_path).select(kept), lk.read("candles").sort(_KEY).select(kept))


def test_a_feather_file_has_the_columns_and_types_of_a_real_one(
    lk: lake.Lake, tmp_path: Path, shared_data: Path
) -> None:
    export(lk, "candles", Target(tmp_path / "data", "freqtrade"))
    real = pl.read_ipc(shared_data / "ohlcv" / "freqtrade_testdata" / "futures" / "XRP_USDT_USDT-1h-mark.feather")
    ours = pl.read_ipc(tmp_path / "data" / "binance" / "futures" / "XRP_USDT_USDT-1h-mark.feather")
    assert ours.schema == real.schema
    assert ours["volume"].null_count() == ours.height
    assert ours["date"][0] == datetime(2025, 1, 1, tzinfo=UTC)


def test_real_freqtrade_files_come_out_as_they_went_in(tmp_path: Path, shared_data: Path) -> None:
    names = ("genetrader_2024_binance/AVAX_USDT-4h.feather", "freqtrade_testdata/ADA_BTC-5m.feather")
    with lake.open(tmp_path / "lake") as lk:
        ingest(lk, [shared_data / "ohlcv" / name for name in names])
        export(lk, "candles", Target(tmp_path / "data", "freqtrade"))
    for name in names:
        real = pl.read_ipc(shared_data / "ohlcv" / name)
        ours = next((tmp_path / "data").rglob(Path(name).name))
        assert_frame_equal(pl.read_ipc(ours), real.unique("date", keep="last").sort("date"))


def test_freqtrades_json_is_an_array_of_numbers(lk: lake.Lake, tmp_path: Path) -> None:
    export(
        lk, Selection("candles", symbols=("BTCUSDT",), timeframe="1h"), Target(tmp_path / "binance", "freqtrade-json")
    )
    found = json.loads((tmp_path / "binance" / "BTC_USDT-1h.json").read_text())
    assert found[0] == [1_735_682_400_000, 1.0, 2.5, 0.1, 1.5, 0.0]


def test_binance_files_are_by_month_in_twelve_columns_and_come_back_equal(lk: lake.Lake, tmp_path: Path) -> None:
    export(lk, "candles", Target(tmp_path / "dumps", "binance"))
    spot = tmp_path / "dumps" / "spot" / "monthly" / "klines" / "BTCUSDT" / "5m"
    assert sorted(path.name for path in spot.iterdir()) == ["BTCUSDT-5m-2024-12.csv", "BTCUSDT-5m-2025-01.csv"]
    old = (spot / "BTCUSDT-5m-2024-12.csv").read_text().splitlines()
    new = (spot / "BTCUSDT-5m-2025-01.csv").read_text().splitlines()
    assert old[0].split(",")[0] == "1735682400000"
    assert old[0].split(",")[6] == "1735682699999"
    assert new[0].split(",")[0] == "1735689600000000"
    assert new[0].split(",")[6] == "1735689899999999"
    assert (len(old), len(new)) == (24, 16)
    assert {len(line.split(",")) for line in (*old, *new)} == {12}
    assert old[0].split(",")[7:] == [str(1e6 / 3), "17", "0.25", str(1e5 / 7), "0"]
    future = next((tmp_path / "dumps" / "futures" / "um").rglob("XRPUSDT-1h-2025-01.csv"))
    lines = future.read_text().splitlines()
    assert lines[0].startswith("open_time,open,")
    assert lines[1].startswith("1735689600000,")
    assert_frame_equal(back(tmp_path / "dumps", tmp_path), lk.read("candles").sort(_KEY))


def test_candles_of_two_venues_do_not_land_in_one_binance_file(lk: lake.Lake, tmp_path: Path) -> None:
    lk.candles.write(
        candles(datetime(2025, 1, 1, tzinfo=UTC), 2, timedelta(hours=1)), "1h", symbol="BTC/USDT", venue="okx"
    )
    with pytest.raises(lake.UsageError, match="several venues would have the same names"):
        export(lk, "candles", Target(tmp_path / "dumps", "binance"))
    assert list((tmp_path).glob("*dumps*")) == []
    assert export(lk, Selection("candles", venue="okx"), Target(tmp_path / "dumps", "binance")).rows == 2


def test_what_a_bot_cannot_name_is_refused_before_anything_is_there(lk: lake.Lake, tmp_path: Path) -> None:
    lk.candles.write(candles(datetime(2025, 1, 1, tzinfo=UTC), 2, timedelta(hours=1)), "1h", symbol="AAPL")
    with pytest.raises(lake.UsageError, match="freqtrade has no name for such symbols.*AAPL"):
        export(lk, "candles", Target(tmp_path / "data", "freqtrade"))
    with pytest.raises(lake.UsageError, match="freqtrade is a format of candles"):
        export(lk, "trades", Target(tmp_path / "data", "freqtrade"))
    assert list(tmp_path.glob("*data*")) == []


def test_files_that_are_there_stay_unless_they_are_to_be_replaced(lk: lake.Lake, tmp_path: Path) -> None:
    place = tmp_path / "data" / "binance" / "BTC_USDT-1h.feather"
    place.parent.mkdir(parents=True)
    place.write_text("mine")
    with pytest.raises(lake.LakeError, match="there is such a file"):
        export(lk, "candles", Target(tmp_path / "data", "freqtrade"))
    assert [path.name for path in place.parent.iterdir()] == [place.name]
    assert place.read_text() == "mine"
    export(lk, "candles", Target(tmp_path / "data", "freqtrade", replace=True))
    assert pl.read_ipc(place).height == 4


@pytest.mark.parametrize("form", ["freqtrade", "freqtrade-json"])
def test_funding_rates_of_a_freqtrade_folder_come_out_as_they_went_in(
    tmp_path: Path, shared_data: Path, form: str
) -> None:
    real = shared_data / "ohlcv" / "freqtrade_testdata" / "futures" / "XRP_USDT_USDT-8h-funding_rate.feather"
    folder, order = tmp_path / "user_data" / "data", ["venue", "symbol", "metric", "time"]
    with lake.open(tmp_path / "lake") as lk, lake.open(tmp_path / "back") as other:
        assert not ingest(lk, [real]).failed
        rates = lk.read("market_metrics").sort(order)
        assert rates.height == feather.read_table(real).num_rows
        export(lk, Selection("market_metrics", where="metric = 'funding_rate'"), Target(str(folder), form))
        [file] = [path for path in folder.rglob("*") if path.is_file()]
        assert file.name.removesuffix(file.suffix) == real.name.removesuffix(".feather")
        assert not ingest(other, [folder]).failed
        assert_frame_equal(other.read("market_metrics").sort(order), rates)
        if form == "freqtrade":
            assert feather.read_table(file).equals(feather.read_table(real))


def test_metrics_that_freqtrade_does_not_keep_are_refused(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        at = datetime(2025, 1, 1, tzinfo=UTC)
        lk.write("market_metrics", {"symbol": "BTCUSDT.P", "metric": "fear_greed_index", "time": at, "value": 40.0})
        with pytest.raises(lake.LakeError, match="no other metrics"):
            export(lk, Selection("market_metrics"), Target(str(tmp_path / "out"), "freqtrade"))
        assert not (tmp_path / "out").exists()
