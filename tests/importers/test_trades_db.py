from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import lake
from lake.errors import UsageError
from lake.importers.base import Options
from lake.importers.report import ImportReport
from lake.importers.run import import_from
from lake.spec import registry
from tests.importers.contract import differences, imported, notes, quarantined, rows

_TABLES = {
    "market_data": "id integer primary key, symbol text, timestamp text, open real, high real, low real, close real,"
    " volume real, rsi real, macd real, bb_upper real, created_at text",
    "predictions": "id integer primary key, symbol text, timestamp text, prediction integer, confidence real,"
    " actual_outcome integer, price_at_prediction real, price_after_1h real, correct integer, model_name text",
    "trades": "id integer primary key, symbol text, side text, entry_time text, exit_time text, entry_price real,"
    " exit_price real, quantity real, pnl real, pnl_percent real, ml_confidence real, technical_signals text,"
    " stop_loss_hit integer, take_profit_hit integer",
}


def store(path: Path, **tables: list[dict[str, Any]]) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        for name, found in tables.items():
            connection.execute(f"create table {name} ({_TABLES[name]})")
            for row in found:
                marks = ", ".join("?" * len(row))
                connection.execute(f"insert into {name} ({', '.join(row)}) values ({marks})", list(row.values()))
        connection.commit()
    return path


def bar(number: int, at: str, close: float = 1.5, **indicators: float) -> dict[str, Any]:
    prices = {"open": 1.0, "high": 2.0, "low": 0.5, "close": close, "volume": 10.0}
    return {"id": number, "symbol": "BTC-USD", "timestamp": at, **prices, **indicators}


def prediction(number: int, **more: Any) -> dict[str, Any]:
    said = {"prediction": 1, "confidence": 0.8, "price_at_prediction": 100.0, "model_name": "forest"}
    return {"id": number, "symbol": "BTC-USD", "timestamp": f"2024-03-01T1{number}:00:00.25", **said, **more}


def test_candles_of_a_given_timeframe_land_with_their_indicators_as_known_at_the_end_of_the_bar(tmp_path: Path) -> None:
    bars = [bar(1, "2024-03-01T10:00:00", rsi=55.0, macd=0.5), bar(2, "2024-03-01T11:00:00", rsi=60.0)]
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "trades-db", store(tmp_path / "t.db", market_data=bars), timeframe="1h", tz="Europe/Berlin")
        assert rows(lk, "candles", "symbol", "timeframe", "open_time", "close") == [
            ("BTCUSD", "1h", datetime(2024, 3, 1, hour, tzinfo=UTC), 1.5) for hour in (10, 11)
        ]  # the exchange's times, in UTC whatever zone the bot is in
        assert rows(lk, "market_metrics", "metric", "time", "value") == [
            ("macd_1h", datetime(2024, 3, 1, 11, tzinfo=UTC), 0.5),
            ("rsi_1h", datetime(2024, 3, 1, 11, tzinfo=UTC), 55.0),
            ("rsi_1h", datetime(2024, 3, 1, 12, tzinfo=UTC), 60.0),
        ]


def test_of_a_bar_that_was_written_again_the_last_row_is_taken(tmp_path: Path) -> None:
    at = "2024-03-01T10:00:00"
    bars = [bar(1, at, close=1.1, rsi=40.0), bar(2, at, close=1.6, rsi=44.0)]
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "trades-db", store(tmp_path / "t.db", market_data=bars), timeframe="1h")
        assert "1 older row of bars" in notes(report)
        candles = report.tables[0]
        assert (candles.found, candles.landed, candles.refused) == (2, 1, 1)
        assert [(why, row["close"], row["rsi"]) for _, why, row in quarantined(lk)] == [
            ("an older row of a bar that was written again", 1.1, 40.0)
        ]
        assert (rows(lk, "candles", "close"), rows(lk, "market_metrics", "value")) == ([1.6], [44.0])


def test_candles_of_no_timeframe_are_told_and_the_rest_lands(tmp_path: Path) -> None:
    path = store(tmp_path / "t.db", market_data=[bar(1, "2024-03-01T10:00:00")], predictions=[prediction(1)])
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "trades-db", path, tz="UTC")
        assert report.failed
        assert "1 candle of no timeframe: say which with --timeframe" in notes(report)
        assert (lk.read("candles").height, lk.read("predictions").height) == (0, 1)


def test_predictions_are_in_the_zone_that_is_given_and_due_an_hour_later(tmp_path: Path) -> None:
    known = {"actual_outcome": 0, "price_after_1h": 98.0, "correct": 0}
    path = store(tmp_path / "t.db", predictions=[prediction(1, **known), prediction(2, prediction=0)])
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "trades-db", path, tz="Europe/Berlin")
        made, due = datetime(2024, 3, 1, 10, 0, 0, 250000, UTC), datetime(2024, 3, 1, 11, 0, 0, 250000, UTC)
        columns = ["predicted_at", "due_at", "predicted_direction", "probability", "model_version", "correct"]
        assert rows(lk, "predictions", *columns, "actual_return", "resolved_at") == [
            (made, due, "UP", 0.8, "forest", False, pytest.approx(-0.02), due),
            (due, due.replace(hour=12), "DOWN", 0.8, "forest", None, None, None),
        ]


def test_a_prediction_whose_later_price_is_0_is_not_resolved(tmp_path: Path) -> None:
    """0 is no price, so nothing is known yet: it is left to be resolved."""
    path = store(tmp_path / "t.db", predictions=[prediction(1, price_at_prediction=100.0, price_after_1h=0.0)])
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "trades-db", path, tz="UTC")
        assert rows(lk, "predictions", "actual_price", "resolved_at") == [(None, None)]


def test_local_times_ask_for_their_zone(tmp_path: Path) -> None:
    path = store(tmp_path / "t.db", predictions=[prediction(1)])
    with lake.open(tmp_path / "lake") as lk, pytest.raises(UsageError, match="Say which with --tz"):
        import_from(lk, "trades-db", str(path), Options())


def test_trades_keep_what_spoke_for_them_and_what_ended_them(tmp_path: Path) -> None:
    common = {"symbol": "BTC-USD", "side": "buy", "entry_price": 100.0, "quantity": 0.5}
    ended = {"exit_time": "2024-03-01T12:00:00", "exit_price": 110.0, "pnl": 5.0, "pnl_percent": 10.0}
    trades = [
        {**common, **ended, "id": 1, "entry_time": "2024-03-01T10:00:00", "take_profit_hit": 1, "ml_confidence": 0.8,
         "technical_signals": "rsi_oversold, macd_cross"},
        {**common, "id": 2, "entry_time": "2024-03-01T13:00:00", "technical_signals": ""},
    ]  # fmt: skip
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "trades-db", store(tmp_path / "t.db", trades=trades), tz="UTC")
        assert rows(lk, "trades", "status", "side", "pnl", "exit_reason") == [
            ("closed", "LONG", 5.0, "tp"),
            ("open", "LONG", None, None),
        ]
        spoke = [json.loads(found) for found in rows(lk, "trades", "conditions") if found]
        assert spoke == [{"technical_signals": ["rsi_oversold", "macd_cross"], "ml_confidence": 0.8}]


@pytest.mark.parametrize(("scale", "is_told"), [(1.0, False), (0.01, True)])
def test_results_that_are_fractions_by_their_prices_are_told_and_kept(
    tmp_path: Path, scale: float, is_told: bool
) -> None:
    common = {"symbol": "BTC-USD", "side": "sell", "quantity": 0.5, "exit_time": "2024-03-01T12:00:00"}
    moves = [(100.0, 98.0, 1.9), (100.0, 101.0, -1.1), (100.0, 100.0, 0.0), (100.0, None, 5.0)]
    trades = [
        {**common, "id": n, "entry_time": f"2024-03-01T0{n}:00:00", "entry_price": entry, "exit_price": left,
         "pnl_percent": said * scale}
        for n, (entry, left, said) in enumerate(moves)
    ]  # fmt: skip
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "trades-db", store(tmp_path / "t.db", trades=trades), tz="UTC")
        assert ("pnl_percent of 2 of 2 trades contradicts their prices" in notes(report)) is is_told
        assert max(rows(lk, "trades", "pnl_percent")) == pytest.approx(5.0 * scale)


AT = "2024-03-01T10:00:00"
KEY = ("", "BTCUSD", "rsi_1h", datetime(2024, 3, 1, 11, tzinfo=UTC))
OURS = {"symbol": "BTCUSD", "metric": "rsi_1h", "time": KEY[-1], "value": 77.0}


def indicator(folder: Path, rsi: float, number: int = 1) -> Path:
    """A store of one bar with one indicator."""
    (folder / "t.db").unlink(missing_ok=True)
    return store(folder / "t.db", market_data=[bar(number, AT, rsi=rsi)])


def of_indicators(report: ImportReport) -> tuple[int, int, int]:
    """How many landed, of these changed, and stayed."""
    (table,) = (table for table in report.tables if table.table == "indicators")
    return table.landed, table.changed, table.unchanged


def test_an_indicator_that_the_source_computed_anew_is_corrected_and_told(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "trades-db", indicator(tmp_path, 40.0), timeframe="1h")
        for at, (value, was) in enumerate([(44.5, 40.0), (40.0, 44.5)]):  # also one that it takes back
            report = imported(lk, "trades-db", indicator(tmp_path, value, number=at + 2), timeframe="1h")
            assert of_indicators(report) == (1, 1, 0)
            assert ("value", value, was) in differences(report)
            assert rows(lk, "market_metrics", "value") == [value]
        found = [json.loads(extra)["imported"] for extra in rows(lk, "market_metrics", "extra")]
        assert found == [{"trades-db:indicators": {"symbol": "BTC-USD", "timestamp": AT, "metric": "rsi", "value": 40}}]


def test_a_bar_that_was_written_again_with_the_same_indicators_changes_none(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "trades-db", indicator(tmp_path, 40.0), timeframe="1h")
        report = imported(lk, "trades-db", indicator(tmp_path, 40.0, number=9), timeframe="1h")
        assert of_indicators(report) == (0, 0, 1)


@pytest.mark.parametrize("is_bot_first", [True, False])
def test_an_indicator_that_a_bot_wrote_stays_and_what_the_source_tells_otherwise_is_told(
    tmp_path: Path, is_bot_first: bool
) -> None:
    with lake.open(tmp_path / "lake") as lk:
        if not is_bot_first:
            imported(lk, "trades-db", indicator(tmp_path, 40.0), timeframe="1h")
        lk.write("market_metrics", OURS)
        report = imported(lk, "trades-db", indicator(tmp_path, 44.5), timeframe="1h")
        assert ("value", 77.0, 44.5) in differences(report)
        assert rows(lk, "market_metrics", "value") == [77.0]


def test_an_indicator_that_a_bot_patched_stays_while_the_source_says_the_same(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "trades-db", indicator(tmp_path, 40.0), timeframe="1h")
        lk.patch("market_metrics", KEY, {"value": 77.0})
        report = imported(lk, "trades-db", indicator(tmp_path, 40.0), timeframe="1h")
        assert (of_indicators(report), differences(report)) == ((0, 0, 1), [("value", 77.0, 40.0)])
        assert rows(lk, "market_metrics", "value") == [77.0]


def test_a_lake_of_before_metrics_kept_what_imports_found_opens_and_is_corrected_from_its_second_import_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = registry.get("market_metrics")
    before = replace(ds, columns=tuple(column for column in ds.columns if column.name != "extra"))
    known = {name: registry.get(name) for name in registry.names()} | {"market_metrics": before}
    with monkeypatch.context() as older:
        older.setattr(registry, "get", known.__getitem__)
        with lake.open(tmp_path / "lake") as lk:
            lk.write("market_metrics", [{**OURS, "value": 40.0}, {**OURS, "metric": "macd_1h"}])
            lk.drain()
            assert lk.read("market_metrics").columns[-2:] == ["value", "period"]
    with lake.open(tmp_path / "lake") as lk:
        assert rows(lk, "market_metrics", "metric", "value") == [("macd_1h", 77.0), ("rsi_1h", 40.0)]
        imported(lk, "trades-db", indicator(tmp_path, 40.0), timeframe="1h")
        imported(lk, "trades-db", indicator(tmp_path, 44.5), timeframe="1h")
        assert rows(lk, "market_metrics", "metric", "value") == [("macd_1h", 77.0), ("rsi_1h", 44.5)]
        lk.compact()
        assert lk.verify().findings == ()
