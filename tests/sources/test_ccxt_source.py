"""Candles through ccxt, from a local server that fails now and then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import stamina

from lake.errors import InvalidTimeError, MissingExtraError, SourceError, UnknownTimeframeError, UsageError
from lake.sources import ccxt_source
from lake.sources.ccxt_source import Extra, ingest_ccxt
from lake.sources.report import IngestReport
from tests.sources.exchange import STEP, Exchange, kline, serving
from tests.sources.recorder import RecordingLake

pytest.importorskip("ccxt", reason="the ccxt extra is not installed")
FIRST = 1_700_000_040_000
SINCE = datetime.fromtimestamp(FIRST / 1000, UTC)


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=8, cap=True):
        yield


@pytest.fixture
def lk(tmp_path: Path) -> RecordingLake:
    return RecordingLake(tmp_path)


def _fetch(lk: RecordingLake, exchange: Exchange, symbols: list[str], minutes: int | None = None) -> IngestReport:
    until = None if minutes is None else SINCE + timedelta(minutes=minutes)
    return ingest_ccxt(lk, "binance", symbols, "1m", SINCE, Extra(until, config=exchange.config()))


def _minutes(lk: RecordingLake) -> list[int]:
    return lk.rows["candles"].sort("open_time")["open_time"].dt.epoch("ms").to_list()


@pytest.mark.parametrize("faults", [[], ["429"], ["500", "500", "half"], ["half", "", "429", "half", "500"]])
def test_pages_are_complete_and_in_order_whatever_the_network_does(lk: RecordingLake, faults: list[str]) -> None:
    with serving(Exchange(FIRST, FIRST + 2499 * STEP, faults)) as exchange:
        report = _fetch(lk, exchange, ["BTC/USDT"], 2400)
    assert report.totals["landed"] == report.totals["rows_in"] == 2400
    assert _minutes(lk) == [FIRST + i * STEP for i in range(2400)]
    row = lk.rows["candles"].filter(open_time=SINCE).row(0)
    assert row == ("binance", "BTCUSDT", "1m", SINCE, *map(float, kline(FIRST)[1:6]), None, None, None, None)


def test_it_goes_on_from_the_last_candle_held(lk: RecordingLake) -> None:
    with serving(Exchange(FIRST, FIRST + 500 * STEP)) as exchange:
        _fetch(lk, exchange, ["BTCUSDT"], 100)
        exchange.asked.clear()
        report = _fetch(lk, exchange, ["BTCUSDT"], 150)
    assert exchange.asked == [FIRST + 100 * STEP]
    assert report.totals["landed"] == 50
    assert _minutes(lk) == [FIRST + i * STEP for i in range(150)]


def test_the_candle_that_is_still_forming_is_not_taken(lk: RecordingLake) -> None:
    now = int(time.time() * 1000)
    first = now // STEP * STEP - 10 * STEP
    with serving(Exchange(first, now + STEP)) as exchange:
        ingest_ccxt(lk, "binance", "BTC/USDT", "1m", first, Extra(config=exchange.config()))
    assert all(opened + STEP <= int(time.time() * 1000) for opened in _minutes(lk))
    assert len(_minutes(lk)) in {10, 11}


def test_a_stretch_without_candles_is_stepped_over(lk: RecordingLake) -> None:
    with serving(Exchange(FIRST + 3000 * STEP, FIRST + 3010 * STEP)) as exchange:
        _fetch(lk, exchange, ["BTC/USDT"], 3005)
    assert _minutes(lk) == [FIRST + i * STEP for i in range(3000, 3005)]


def test_a_symbol_the_exchange_lacks_fails_alone(lk: RecordingLake) -> None:
    with serving(Exchange(FIRST, FIRST + 100 * STEP)) as exchange:
        report = _fetch(lk, exchange, ["DOGEUSDT", "ETH/USDT"], 9)
    assert [f.status for f in report.files] == ["failed", "done"]
    assert "the exchange has no such market (got 'DOGEUSDT')" in report.files[0].error
    assert report.files[1].landed == 9


def test_an_exchange_that_stays_down_is_one_sentence_and_keeps_what_landed(lk: RecordingLake) -> None:
    with serving(Exchange(FIRST, FIRST + 5000 * STEP, ["", *["500"] * 50])) as exchange:
        report = _fetch(lk, exchange, ["BTC/USDT"], 3000)
        assert report.files[0].error.startswith("binance: the exchange refuses:")
        assert len(_minutes(lk)) == report.totals["landed"] == 1000
        exchange.faults.clear()
        _fetch(lk, exchange, ["BTC/USDT"], 3000)
    assert _minutes(lk) == [FIRST + i * STEP for i in range(3000)]


def test_a_timeframe_the_exchange_lacks_is_refused(lk: RecordingLake) -> None:
    with serving(Exchange(FIRST, FIRST)) as exchange:
        extra = Extra(config={**exchange.config(), "timeframes": {"1m": None}})
        with pytest.raises(SourceError, match="no candles of this timeframe"):
            ingest_ccxt(lk, "binance", "BTC/USDT", "1m", SINCE, extra)


def test_an_unknown_exchange_is_refused(lk: RecordingLake) -> None:
    with pytest.raises(UsageError, match="ccxt knows no such exchange"):
        ingest_ccxt(lk, "nowhere", ["BTC/USDT"], "1m", SINCE)


def test_what_cannot_be_fetched_is_refused_before_anything_is_asked(lk: RecordingLake) -> None:
    with pytest.raises(InvalidTimeError, match="since"):
        ingest_ccxt(lk, "binance", ["BTC/USDT"], "1m", "2024-01-01 00:00")
    with pytest.raises(UnknownTimeframeError, match="7m"):
        ingest_ccxt(lk, "binance", ["BTC/USDT"], "7m", SINCE)
    with pytest.raises(UsageError, match="which symbols"):
        ingest_ccxt(lk, "binance", [], "1m", SINCE)


def test_without_ccxt_it_says_what_to_install(lk: RecordingLake, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(ccxt_source.importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match="fetching candles needs ccxt"):
        ingest_ccxt(lk, "binance", ["BTC/USDT"], "1m", SINCE)
