from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

import lake
from lake.errors import SourceError
from tests.importers.contract import imported, notes, quarantined, rows

GIVEN = {"timestamp": "2026-03-11T11:17:11.577931", "entry_price": 66319.25, "confidence": 71.5}


def cache(path: Path, signals: object) -> Path:
    path.write_text(json.dumps(signals))
    return path


@pytest.mark.parametrize(
    ("key", "symbol", "timeframe", "direction"),
    [
        ("BTCUSDT_BUY_2h", "BTCUSDT", "2h", "LONG"),
        ("SOLUSDT_STRONG_SELL_4h", "SOLUSDT", "4h", "SHORT"),
        ("BTC_USDT_SELL_1d", "BTCUSDT", "1d", "SHORT"),
        ("BTC_USDT_USDT_BUY_15m", "BTCUSDT.P", "15m", "LONG"),
        ("BTC_USDT_STRONG_BUY_15m", "BTCUSDT", "15m", "LONG"),
        ("BTCUSDT_1h_LONG_2026-01-23", "BTCUSDT", "1h", "LONG"),
        ("BTCUSDT_1h_SHORT_20260123", "BTCUSDT", "1h", "SHORT"),
        ("BTC_USDT_1h_SHORT_2026-01-23", "BTCUSDT", "1h", "SHORT"),
        ("SELL_USDT_BUY_1h", "SELLUSDT", "1h", "LONG"),
        ("ethusdt_buy_1H", "ETHUSDT", "1h", "LONG"),
    ],
)
def test_both_forms_of_key_are_understood_and_a_symbol_may_hold_an_underscore(
    tmp_path: Path, key: str, symbol: str, timeframe: str, direction: str
) -> None:
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "signal-cache", cache(tmp_path / "c.json", {key: GIVEN}))
        assert rows(lk, "signals", "symbol", "timeframe", "direction", "confidence", "entry_price") == [
            (symbol, timeframe, direction, 0.715, 66319.25)
        ]


def test_a_signal_keeps_its_key_and_when_it_was_last_checked(tmp_path: Path) -> None:
    seed = {"timestamp": 1737648000, "last_checked": 1737651600, "entry_price": 100000.0, "confidence": 75.5}
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "signal-cache", cache(tmp_path / "c.json", {"BTCUSDT_1h_LONG_2026-01-23": seed}), venue="binance")
        assert rows(lk, "signals", "signal_time", "signal_type", "dedupe_key") == [
            (datetime(2025, 1, 23, 16, tzinfo=UTC), "BUY", "binance|BTCUSDT|1h|LONG|2025-01-23")
        ]
        kept = json.loads(rows(lk, "signals", "extra")[0])["imported"]["signal-cache:signals"]
        assert (kept["key"], kept["last_checked"]) == ("BTCUSDT_1h_LONG_2026-01-23", 1737651600)


def test_a_key_that_is_used_again_is_another_signal_and_one_that_is_checked_again_is_not(tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "signal-cache", cache(file, {"BTCUSDT_BUY_2h": GIVEN}))
        checked = {**GIVEN, "last_checked": "2026-03-11T14:31:23.744519"}
        report = imported(lk, "signal-cache", cache(file, {"BTCUSDT_BUY_2h": checked}))
        assert (report.totals["landed"], report.totals["changed"]) == (1, 1)
        later = {**GIVEN, "timestamp": "2026-03-12T11:17:11.577931", "entry_price": 67000.0}
        imported(lk, "signal-cache", cache(file, {"BTCUSDT_BUY_2h": later}))
        assert rows(lk, "signals", "entry_price") == [66319.25, 67000.0]


def test_entries_that_do_not_fit_are_refused_with_their_keys(tmp_path: Path) -> None:
    signals = {"BTCUSDT_BUY_2h": GIVEN, "nonsense": GIVEN, "ETHUSDT_BUY_2h": 3, "XRPUSDT_BUY_2h": {"confidence": 50}}
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "signal-cache", cache(tmp_path / "c.json", signals))
        assert (report.totals["landed"], report.totals["refused"]) == (1, 3)
        assert {row["key"] for _, _, row in quarantined(lk)} == {"nonsense", "ETHUSDT_BUY_2h", "XRPUSDT_BUY_2h"}


def test_of_a_key_that_is_there_twice_both_signals_are_taken(tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    one, other = json.dumps(GIVEN), json.dumps({**GIVEN, "timestamp": "2026-03-12T11:17:11"})
    file.write_text(f'{{"BTCUSDT_BUY_2h": {one}, "BTCUSDT_BUY_2h": {other}}}')
    with lake.open(tmp_path / "lake") as lk:
        assert imported(lk, "signal-cache", file).totals["landed"] == 2


def test_a_cache_that_breaks_off_gives_what_comes_before(tmp_path: Path) -> None:
    file = cache(tmp_path / "c.json", {f"S{n}USDT_BUY_2h": GIVEN for n in range(3)})
    file.write_text(file.read_text()[:-40])
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "signal-cache", file)
        assert report.failed
        assert report.totals["landed"] == 2
        assert "breaks off" in notes(report)


def test_a_list_is_no_cache(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk, pytest.raises(SourceError, match="a JSON object is expected"):
        imported(lk, "signal-cache", cache(tmp_path / "c.json", [GIVEN]))


def test_a_cache_with_another_behind_it_gives_the_signals_of_both(tmp_path: Path) -> None:
    """As when a shorter file is written over a longer one, of which the rest is no whole JSON."""
    file, other = tmp_path / "c.json", cache(tmp_path / "other.json", {"ETHUSDT_SELL_4h": GIVEN}).read_text()
    cache(file, {"BTCUSDT_BUY_2h": GIVEN})
    file.write_text(file.read_text() + other + '"confidence": 50}}')
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "signal-cache", file)
        assert rows(lk, "signals", "symbol") == ["BTCUSDT", "ETHUSDT"]
        assert (report.failed, report.totals["refused"]) == (True, 1)
        assert "something follows the end" in notes(report)
