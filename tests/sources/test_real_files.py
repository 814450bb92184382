"""Every real file of candles and trades goes in, and every row is accounted for against an independent count."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sqlite3
import zipfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from lake.sources.base import Options
from lake.sources.ingest import ingest
from lake.sources.landing import REPLACED
from lake.sources.report import IngestReport
from lake.sources.shape import HALF_BUILT
from tests.sources.counting import rows_of
from tests.sources.recorder import RecordingLake

COLLECTED = 1711122002.68174  # when binance_4sym_4h_2024.data was written, as it says itself


@pytest.fixture(scope="module")
def ingested(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RecordingLake, IngestReport]:
    lk = RecordingLake(tmp_path_factory.mktemp("lake"))
    return lk, ingest(lk, [shared_data / "ohlcv", shared_data / "trades"])


def _by_name(report: IngestReport) -> dict[str, object]:
    return {Path(file.path).name: file for file in report.files}


def _candles(lk: RecordingLake, symbol: str, timeframe: str, venue: str) -> pl.DataFrame:
    return lk.rows["candles"].filter(symbol=symbol, timeframe=timeframe, venue=venue).sort("open_time")


def test_every_row_of_every_file_is_accounted_for_against_an_independent_count(ingested, shared_data: Path) -> None:
    _, report = ingested
    files = [p for folder in ("ohlcv", "trades") for p in (shared_data / folder).rglob("*") if p.is_file()]
    assert len(report.files) == len(files)
    wrong = [
        (f.path, f.rows_in, rows_of(Path(f.path)))
        for f in report.files
        if f.status != "failed" and f.rows_in != rows_of(Path(f.path))
    ]
    assert wrong == []
    assert report.balanced
    assert report.totals["rows_in"] > 640_000


def test_only_the_empty_file_and_the_one_without_a_symbol_fail_and_each_says_why(ingested) -> None:
    _, report = ingested
    errors = {Path(file.path).name: file.error for file in report.failed}
    assert set(errors) == {"UNITTEST_BTC-8m.feather", "orderflow_public_trades_list.csv"}
    assert "the file is empty (0 bytes)" in errors["UNITTEST_BTC-8m.feather"]
    assert "neither the file nor its name says the symbol" in errors["orderflow_public_trades_list.csv"]


def test_landed_rows_are_the_rows_of_the_lake(ingested) -> None:
    lk, report = ingested
    from_files = sum(f.landed for f in report.files if "trades" not in f.source and f.source != "kraken")
    made = {("BCHEUR", "1m"): "kraken", ("BTCUSDT", "1m"): "binance"}
    ticks = sum(
        _candles(lk, *key, venue).filter(pl.col("open_time") < datetime(2024, 1, 1, tzinfo=UTC)).height
        for key, venue in made.items()
    )
    aggregated = next(f for f in report.files if "aggTrades" in f.path)
    assert lk.rows["candles"].height + lk.rows["market_metrics"].height == from_files - aggregated.landed + ticks


def test_what_the_lake_does_not_hold_is_quarantined_with_its_reason(ingested) -> None:
    lk, report = ingested
    files = _by_name(report)
    assert files["UNITTEST_BTC-8m.json.gz"].reasons == {"unknown timeframe '8m'": 13_681}
    assert files["BTC_USDT-1Mo.feather"].reasons == {"unknown timeframe '1Mo'": 8}
    # collected inside a bar of every timeframe: 12 that the lake holds, and of four symbols in the other file
    assert files["binance_ETHUSDT_2018.data"].reasons == {
        "unknown timeframe '1M'": 12, "unknown timeframe '3d'": 112, HALF_BUILT: 12,
    }  # fmt: skip
    octobot = files["binance_4sym_4h_2024.data"]
    assert (octobot.rows_in, octobot.quarantined, octobot.reasons[HALF_BUILT]) == (2000, 4, 4)
    mangled = files["spot_BTCUSDT-1h-2023-11-18.csv"]
    assert (mangled.rows_in, mangled.quarantined, list(mangled.reasons)) == (25, 25, [
        "the time is in scientific notation (a spreadsheet saved it): the exact time is lost"
    ])  # fmt: skip
    assert len(lk.quarantined) == report.totals["quarantined"]
    assert '"open_time":"1.70027E+12"' in next(q["row"] for q in lk.quarantined if "2023-11-18" in q["source"])


def test_an_empty_array_is_no_rows_and_no_error(ingested) -> None:
    _, report = ingested
    file = _by_name(report)["NOPAIR_XXX-4m.json"]
    assert (file.status, file.rows_in) == ("done", 0)


@pytest.mark.parametrize(
    ("name", "symbol", "timeframe", "venue"),
    [
        ("freqtrade_testdata/ADA_BTC-5m.feather", "ADABTC", "5m", ""),
        ("freqtrade_testdata/futures/XRP_USDT_USDT-5m-futures.feather", "XRPUSDT.P", "5m", ""),
        ("freqtrade_testdata/futures/XRP_USDT_USDT-1h-mark.feather", "XRPUSDT.P.MARK", "1h", ""),
        ("genetrader_2024_binance/BTC_USDT-1w.feather", "BTCUSDT", "1w", "binance"),
    ],
)
def test_freqtrade_feather_lands_with_its_own_values(ingested, shared_data, name, symbol, timeframe, venue) -> None:
    lk, _ = ingested
    theirs = pl.read_ipc(shared_data / "ohlcv" / name).sort("date")
    ours = _candles(lk, symbol, timeframe, venue)
    assert ours["open_time"].to_list() == theirs["date"].dt.cast_time_unit("us").to_list()
    for column in ("open", "high", "low", "close", "volume"):
        assert ours[column].to_list() == theirs[column].to_list()


def test_freqtrade_h5_holds_what_its_feather_twin_of_another_name_holds(ingested, shared_data: Path) -> None:
    lk, _ = ingested
    twin = pl.read_ipc(shared_data / "ohlcv/freqtrade_testdata/ETH_BTC-5m.feather")
    ours = _candles(lk, "UNITTESTBTC", "5m", "")
    assert ours.height == 5760
    assert ours["close"].to_list() == twin["close"].to_list()


def test_a_bittrex_name_puts_the_quote_asset_first(ingested, shared_data: Path) -> None:
    lk, _ = ingested
    theirs = json.loads(gzip.decompress((shared_data / "ohlcv/freqtrade_2017_bittrex/BTC_ETH-5.json.gz").read_bytes()))
    ours = _candles(lk, "ETHBTC", "5m", "bittrex").rows(named=True)
    assert [row["open_time"] for row in ours] == [
        datetime.fromisoformat(row["T"]).replace(tzinfo=UTC) for row in theirs
    ]
    assert [(r["open"], r["high"], r["low"], r["close"], r["volume"], r["quote_volume"]) for r in ours] == [
        (r["O"], r["H"], r["L"], r["C"], r["V"], r["BV"]) for r in theirs
    ]


def test_octobot_candles_open_at_their_own_time_not_at_the_row_s(ingested, shared_data: Path) -> None:
    lk, _ = ingested
    with closing(sqlite3.connect(shared_data / "ohlcv/octobot/binance_4sym_4h_2024.data")) as connection:
        rows = connection.execute(
            "select timestamp, candle from ohlcv where symbol = 'SOL/USDT' order by timestamp"
        ).fetchall()
    ours = _candles(lk, "SOLUSDT", "4h", "binance").filter(
        pl.col("open_time").is_between(
            pl.lit(rows[0][0] - 14400).cast(pl.Datetime("us", "UTC")), datetime(2030, 1, 1, tzinfo=UTC)
        )
    )
    held = {int(row["open_time"].timestamp()): row["close"] for row in ours.iter_rows(named=True)}
    for close_time, text in rows:
        candle = json.loads(text)
        assert candle[0] == close_time - 14400
        if close_time < COLLECTED:
            assert held[candle[0]] == pytest.approx(candle[4])


def test_a_bar_that_was_collected_half_built_does_not_replace_the_whole_one(ingested, shared_data: Path) -> None:
    lk, _ = ingested
    for coin in ("BTC", "ETH", "SOL"):
        whole = pl.read_ipc(shared_data / f"ohlcv/genetrader_2024_binance/{coin}_USDT-4h.feather")
        opened = datetime(2024, 3, 22, 12, tzinfo=UTC)
        theirs = whole.filter(pl.col("date") == opened).select("open", "high", "low", "close", "volume").row(0)
        ours = _candles(lk, f"{coin}USDT", "4h", "binance").filter(open_time=opened)
        assert ours.select("open", "high", "low", "close", "volume").row(0) == theirs
    assert _candles(lk, "BNBUSDT", "4h", "binance")["open_time"].max() == datetime(2024, 3, 22, 8, tzinfo=UTC)


def test_rows_that_took_the_place_of_another_file_s_are_said_to(ingested) -> None:
    _, report = ingested
    lean = _by_name(report)["coinbase_daily_btcusd_trade.zip"]
    assert lean.updated == lean.reasons[REPLACED] > 1_000
    assert all(f.reasons.get(REPLACED, 0) == f.updated for f in report.files if not f.trades)


def test_lean_minutes_take_their_date_from_the_file_name(ingested, shared_data: Path) -> None:
    lk, _ = ingested
    with zipfile.ZipFile(shared_data / "ohlcv/lean/coinbase_minute_btcusd_20171217_trade.zip") as archive:
        lines = archive.read(archive.namelist()[0]).decode().split()
    day = datetime(2017, 12, 17, tzinfo=UTC)
    ours = _candles(lk, "BTCUSD", "1m", "coinbase").filter(pl.col("open_time") >= day).rows(named=True)
    theirs = [line.split(",") for line in lines]
    assert [row["open_time"] for row in ours] == [day + timedelta(milliseconds=int(row[0])) for row in theirs]
    assert [row["low"] for row in ours] == [float(row[3]) for row in theirs]


def test_cryptodatadownload_hours_of_morning_and_evening_are_told_apart(ingested, shared_data: Path) -> None:
    lk, _ = ingested
    text = gzip.decompress((shared_data / "ohlcv/cryptodatadownload/Coinbase_BTCUSD_1h.csv.gz").read_bytes()).decode()
    rows = list(csv.DictReader(io.StringIO(text.split("\n", 1)[1])))
    theirs = {datetime.strptime(r["date"], "%Y-%m-%d %I-%p").replace(tzinfo=UTC): r for r in rows}
    ours = {row["open_time"]: row for row in _candles(lk, "BTCUSD", "1h", "coinbase").iter_rows(named=True)}
    assert set(ours) == set(theirs)
    assert all(
        ours[t]["volume"] == float(r["volume_btc"]) and ours[t]["quote_volume"] == float(r["volume"])
        for t, r in theirs.items()
    )


def test_a_wide_file_is_one_candle_for_every_coin_that_has_cells(ingested, shared_data: Path) -> None:
    lk, _ = ingested
    rows = list(
        csv.DictReader(
            (shared_data / "ohlcv/cryptodatadownload/bitstamp_BTC_ETH_LTC_USD_d_wide.csv").read_text().splitlines()
        )
    )
    for coin in ("BTC", "ETH", "LTC"):
        theirs = [(r[""], float(r[f"{coin}:close"])) for r in rows if r[f"{coin}:open"]]
        ours = _candles(lk, f"{coin}USD", "1d", "bitstamp")
        assert list(zip(ours["open_time"].dt.strftime("%Y-%m-%d"), ours["close"], strict=True)) == theirs


def test_funding_rates_become_market_metrics(ingested) -> None:
    lk, _ = ingested
    metrics = lk.rows["market_metrics"]
    assert metrics.filter(symbol="XRPUSDT.P", metric="funding_rate").height == 91
    lean = metrics.filter(symbol="BTCUSD.P", venue="binance").sort("time")
    assert (lean.height, lean["time"][0], lean["value"][0]) == (12, datetime(2020, 12, 29, tzinfo=UTC), 0.0002003)


def test_microsecond_dumps_and_quote_volumes_are_read_as_what_they_are(ingested) -> None:
    lk, _ = ingested
    dump = _candles(lk, "BTCUSDT", "1m", "binance").filter(pl.col("open_time") > datetime(2026, 1, 1, tzinfo=UTC))
    assert dump["open_time"][0] == datetime(2026, 9, 15, tzinfo=UTC)
    assert dump.row(0)[4:] == (
        78189.2,
        78200.23,
        78176.65,
        78199.66,
        3.48107,
        272165.7877657,
        1076,
        1.44229,
        112765.6953204,
    )
    perp = _candles(lk, "BTCUSD.P", "1m", "")
    assert (perp.height, perp["volume"].null_count(), perp["quote_volume"][0]) == (45_031, 45_031, 2300413.7295)


def test_the_same_trades_in_four_encodings_are_counted_once(ingested) -> None:
    _, report = ingested
    files = _by_name(report)
    assert files["XRP_ETH-trades.feather"].duplicate == 0
    for name in ("XRP_ETH-trades.json.gz", "XRP_ETH-trades.parquet", "XRP_OLD-trades.json.gz"):
        assert files[name].duplicate == files[name].rows_in == 12_477


def test_trades_fold_into_the_candles_that_freqtrade_made_of_them(shared_data: Path, tmp_path: Path) -> None:
    for timeframe in ("1m", "5m"):
        lk = RecordingLake(tmp_path / timeframe)
        ingest(lk, shared_data / "trades/XRP_ETH-trades.feather", Options(timeframe=timeframe))
        theirs = pl.read_ipc(shared_data / f"ohlcv/freqtrade_testdata/XRP_ETH-{timeframe}.feather").sort("date")
        ours = lk.rows["candles"].sort("open_time")
        both = theirs.with_columns(pl.col("date").dt.cast_time_unit("us")).join(
            ours, left_on="date", right_on="open_time"
        )
        assert both.height == theirs.height == ours.height
        for column in ("open", "high", "low", "close"):
            assert both[column].to_list() == both[f"{column}_right"].to_list()
        assert both["volume"].to_list() == pytest.approx(both["volume_right"].to_list())


def test_kraken_keeps_two_equal_trades_since_they_have_no_ids(ingested, shared_data: Path) -> None:
    lk, _ = ingested
    rows = list(csv.reader((shared_data / "trades/kraken_BCHEUR.csv").read_text().splitlines()))
    assert len({tuple(r) for r in rows}) == len(rows) - 1
    ours = _candles(lk, "BCHEUR", "1m", "kraken")
    assert ours["trade_count"].sum() == len(rows)
    assert ours["volume"].sum() == pytest.approx(sum(float(r[2]) for r in rows))


def test_a_list_of_trades_without_a_symbol_lands_once_it_is_given(shared_data: Path, tmp_path: Path) -> None:
    lk = RecordingLake(tmp_path)
    report = ingest(lk, shared_data / "trades/orderflow_public_trades_list.csv", Options(symbol="ETH/USDT:USDT"))
    assert report.totals["landed"] == report.totals["rows_in"] == 1000
    theirs = pl.read_csv(shared_data / "trades/orderflow_public_trades_list.csv")
    assert lk.rows["candles"]["taker_buy_volume"].sum() == pytest.approx(theirs.filter(side="buy")["amount"].sum())
    assert lk.rows["candles"]["symbol"].unique().to_list() == ["ETHUSDT.P"]


def test_a_second_ingest_reads_nothing_again(ingested, shared_data: Path) -> None:
    lk, report = ingested
    commits = lk.commits
    again = ingest(lk, [shared_data / "ohlcv", shared_data / "trades"])
    assert again.totals["rows_in"] == 0
    assert again.totals["already there"] == report.totals["done"]
    assert lk.commits == commits


def test_what_is_no_candles_in_a_folder_is_skipped_and_said(shared_data: Path, tmp_path: Path) -> None:
    report = ingest(RecordingLake(tmp_path), shared_data / "bots")
    assert {f.status for f in report.files} == {"skipped"}
