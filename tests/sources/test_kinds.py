"""Files of the known kinds under the names and in the shapes that their makers give them."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path

import polars as pl
import pytest

from lake.sources.ingest import ingest
from lake.sources.report import FileReport
from tests.sources.made import START, csv_text, kline_rows, written
from tests.sources.recorder import RecordingLake

HOUR = 3_600_000
KLINES = csv_text(kline_rows(6))
ROWS = [[row[0], *map(float, row[1:6])] for row in kline_rows(6, HOUR)]  # type: ignore[arg-type]
SITE = "https://www.CryptoDataDownload.com\n"
MAIMED = "1.70407E+12,2024-01-01 01:00:00,ETHUSDT,1,2,1,1.5,7,70,3\n"
DAY = "2024-01-01 00:00:00,ETHUSD,1,2,1,1.5,7\n"
BAR = {"1. open": "1", "2. high": "2", "3. low": "1", "4. close": "1"}
AGG = [[i, 100.5, 2, i, i, START + i, "true"] for i in range(6)]


@pytest.fixture
def lk(tmp_path: Path) -> RecordingLake:
    return RecordingLake(tmp_path / "lake")


def _zip(name: str, text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text)
    return buffer.getvalue()


def _table(kind: str) -> bytes:
    frame = pl.DataFrame(ROWS, schema=["date", "open", "high", "low", "close", "volume"], orient="row")
    frame = frame.with_columns(pl.col("date").cast(pl.Int64).cast(pl.Datetime("ms", "UTC")))
    buffer = io.BytesIO()
    frame.write_parquet(buffer) if kind == "parquet" else frame.write_ipc(buffer)
    return buffer.getvalue()


def _only(lk: RecordingLake, path: Path) -> tuple[FileReport, tuple[str, str, str]]:
    (file,) = ingest(lk, path).files
    assert file.error == ""
    assert file.balanced
    named = lk.rows["candles"].select("venue", "symbol", "timeframe").unique().rows()
    return file, named[0] if named else ("", "", "")


CANDLES = {
    "data/futures/um/monthly/klines/ETHUSDT/1m/ETHUSDT-1m-2024-01.zip": (
        _zip("ETHUSDT-1m-2024-01.csv", KLINES),
        ("binance", "ETHUSDT.P", "1m"),
    ),
    "data/futures/cm/daily/klines/BTCUSD_PERP/BTCUSD_PERP-1m-2024-01-01.csv": (KLINES, ("binance", "BTCUSD.P", "1m")),
    "data/futures/um/daily/klines/BTCUSDT_240628-1m-2024-01-01.csv": (KLINES, ("binance", "BTCUSDT.240628", "1m")),
    "data/futures/um/daily/markPriceKlines/BTCUSDT/BTCUSDT-1m-2024-01-01.csv": (
        KLINES,
        ("binance", "BTCUSDT.P.MARK", "1m"),
    ),
    "renamed.zip": (
        _zip("SOLUSDT-1m-2025-02-01.csv", csv_text(kline_rows(6, scale=1000))),
        ("binance", "SOLUSDT", "1m"),
    ),
    "data/kraken/ETH_EUR-1h.json": (json.dumps(ROWS), ("kraken", "ETHEUR", "1h")),
    "data/bybit/futures/SOL_USDT_USDT-1h-futures.json.gz": (
        gzip.compress(json.dumps(ROWS).encode()),
        ("bybit", "SOLUSDT.P", "1h"),
    ),
    "ETH_BTC-1h.parquet": (_table("parquet"), ("", "ETHBTC", "1h")),
    "futures/XRP_USDT_USDT-1h-mark.feather": (_table("feather"), ("", "XRPUSDT.P.MARK", "1h")),
    "okx_BTC-USDT_1h.json": (json.dumps(ROWS), ("okx", "BTCUSDT", "1h")),
    "candles.json": (
        json.dumps({"exchange": "Kucoin", "symbol": "ADA/USDT", "timeframe": "1h", "ohlcv": ROWS}),
        ("kucoin", "ADAUSDT", "1h"),
    ),
    "BTC_LTC-60.json": (
        '[{"O":1,"H":2,"L":1,"C":1,"V":3,"T":"2017-11-04T23:00:00","BV":1}]',
        ("bittrex", "LTCBTC", "1h"),
    ),
    "crypto/gdax/minute/btcusd/20180101_trade.zip": (
        _zip("20180101_btcusd_minute_trade.csv", "0,1,2,1,1.5,7\n60000,1,2,1,1.5,7\n"),
        ("gdax", "BTCUSD", "1m"),
    ),
    "crypto/bitfinex/daily/ethusd_trade.zip": (
        _zip("ethusd.csv", "20180101 00:00,1,2,1,1.5,7\n"),
        ("bitfinex", "ETHUSD", "1d"),
    ),
    "cryptofuture/binance/hour/btcusdt_trade.zip": (
        _zip("btcusdt.csv", "20180101 05:00,1,2,1,1.5,7\n"),
        ("binance", "BTCUSDT.P", "1h"),
    ),
    "XBTUSD_60.csv": ("1704067200,1,2,1,1.5,7,3\n1704070800,1,2,1,1.5,7,3\n", ("kraken", "BTCUSD", "1h")),
    "Binance_ETHUSDT_1h.csv": (
        f"{SITE}Unix,Date,Symbol,Open,High,Low,Close,Volume ETH,Volume USDT,tradecount\n{MAIMED}",
        ("binance", "ETHUSDT", "1h"),
    ),
    "Gemini_ETHUSD_d.csv": (
        f"{SITE}Unix Timestamp,Date,Symbol,Open,High,Low,Close,Volume\n1704067200000,{DAY}",
        ("gemini", "ETHUSD", "1d"),
    ),
    "doge-perp-20211231-20220201_5m.csv": (
        "timestamp,open,high,low,close,volume\n2021-12-31 23:05:00.000000,1,2,1,1.5,7\n",
        ("", "DOGEUSD.P", "5m"),
    ),
    "daily_prices_LTC.json": (
        json.dumps(
            {
                "Meta Data": {"2. Digital Currency Code": "LTC", "4. Market Code": "EUR", "7. Time Zone": "UTC"},
                "Time Series (Digital Currency Daily)": {"2024-01-02": BAR, "2024-01-01": BAR},
            }
        ),
        ("", "LTCEUR", "1d"),
    ),
    "hourly_prices_ETH.json": (
        json.dumps(
            {
                "Meta Data": {"2. Digital Currency Code": "ETH", "4. Market Code": "EUR", "9. Time Zone": "UTC"},
                "Time Series Crypto (5min)": {"2024-01-01 00:05:00": BAR},
            }
        ),
        ("", "ETHEUR", "5m"),
    ),
}


@pytest.mark.parametrize("name", CANDLES)
def test_a_file_of_candles_is_known_by_its_name_and_content(lk: RecordingLake, tmp_path: Path, name: str) -> None:
    content, expected = CANDLES[name]
    file, named = _only(lk, written(tmp_path / "in", name, content))
    assert named == expected
    assert file.landed == file.rows_in > 0


TICKS = {
    "BTCUSDT-aggTrades-2024-01.zip": (
        _zip("BTCUSDT-aggTrades-2024-01.csv", csv_text(AGG)),
        ("binance", "BTCUSDT", "1m"),
    ),
    "futures/um/BTCUSDT-aggTrades-2024-01.csv": (
        csv_text(AGG, "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"),
        ("binance", "BTCUSDT.P", "1m"),
    ),
    "futures/um/BTCUSDT-trades-2024-01.csv": (
        csv_text(
            [[i, 100.5, 2, 201, START + i, "false"] for i in range(6)], "id,price,qty,quote_qty,time,is_buyer_maker"
        ),
        ("binance", "BTCUSDT.P", "1m"),
    ),
    "data/binance/ETH_USDT-trades.json": (
        json.dumps([[START + i, str(i), None, "buy", 100.5, 2.0, 201.0] for i in range(6)]),
        ("binance", "ETHUSDT", "1m"),
    ),
    "XBTEUR.csv": ("".join(f"{START // 1000 + i}.123,100.5,2\n" for i in range(6)), ("kraken", "BTCEUR", "1m")),
    "kraken_trades_SOL-USD.csv": (
        "time,price,amount,side\n" + "".join(f"{START + i},100.5,2,sell\n" for i in range(6)),
        ("kraken", "SOLUSD", "1m"),
    ),
}


@pytest.mark.parametrize("name", TICKS)
def test_a_file_of_trades_is_folded(lk: RecordingLake, tmp_path: Path, name: str) -> None:
    content, expected = TICKS[name]
    file, named = _only(lk, written(tmp_path / "in", name, content))
    assert named == expected
    assert file.landed == file.rows_in == 6
    assert lk.rows["candles"].select("volume", "quote_volume", "trade_count").rows() == [(12.0, 1206.0, 6)]


def test_seconds_and_months_are_not_held_and_every_row_says_so(lk: RecordingLake, tmp_path: Path) -> None:
    for name in ("BTCUSDT-1s-2024-01-01.csv", "BTCUSDT-1mo-2024-01.csv", "BTCUSDT-3d-2024-01.csv"):
        (file,) = ingest(lk, written(tmp_path / "in", name, KLINES)).files
        assert (file.rows_in, file.quarantined) == (6, 6)
        assert next(iter(file.reasons)).startswith("unknown timeframe '")
