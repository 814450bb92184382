"""trade_history.json as bots of several makers write it: one story, whatever its columns are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import lake
from tests.importers.contract import imported, rows

OPENED, CLOSED = "2025-11-26T22:18:22.978652", "2025-11-26T22:22:15.695107"
WAYS: dict[str, dict[str, Any]] = {
    "as the seed has it": {
        "symbol": "SOL", "side": "short", "entry_price": 143.5, "exit_price": 143.25, "quantity": 1.5, "pnl_usd": 0.375,
        "pnl_percent": 1.74, "entry_time": OPENED, "exit_time": CLOSED, "exit_reason": "tp", "strategy_name": "s",
    },
    "with a direction and reasons of closing": {
        "symbol": "SOL", "direction": "short", "entry_price": 143.5, "exit_price": 143.25, "quantity": 1.5,
        "pnl": 0.375, "pnl_pct": 1.74, "entry_time": OPENED, "exit_time": CLOSED, "close_reason": "tp", "strategy": "s",
    },
    "as JavaScript has it": {
        "id": "POS-1", "symbol": "SOL", "side": "SHORT", "entryPrice": 143.5, "exitPrice": 143.25, "quantity": 1.5,
        "realizedPnL": 0.375, "roiPercent": 1.74, "openTime": f"{OPENED}Z", "closeTime": f"{CLOSED}Z",
        "closeReason": "tp", "opened_at": 1764195502978, "strategyName": "s",
    },
    "as a bot of signals has it": {
        "symbol": "SOL", "signal": "SELL", "entry": 143.5, "close_price": 143.25, "qty": 1.5, "pnl": 0.375,
        "pnl_pct": 1.74, "opened_at": OPENED, "closed_at": CLOSED, "close_reason": "tp", "strategy": "s",
    },
    "with days of entry and exit": {
        "symbol": "SOL", "side": "SHORT", "entryPrice": 143.5, "exitPrice": 143.25, "qty": 1.5, "net_profit": 0.375,
        "pnl_pct": 1.74, "entryDate": f"{OPENED}Z", "exitDate": f"{CLOSED}Z", "exit_type": "tp", "strategy": "s",
        "status": "CLOSED", "result": "WIN", "isFilled": True,
    },
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_trade_is_the_same_however_its_columns_are_called(way: str, tmp_path: Path) -> None:
    columns = ("side", "entry_price", "exit_price", "quantity", "pnl", "pnl_percent", "exit_reason", "strategy")
    (tmp_path / "trade_history.json").write_text(json.dumps([WAYS[way]]))
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "trades-json", tmp_path / "trade_history.json", quote="USDT")
        assert [(s.column, s.found, s.in_lake) for s in report.tables[0].sums] == [
            ("trades.pnl", 0.375, 0.375), ("trades.quantity", 1.5, 1.5),
        ]  # fmt: skip
        assert rows(lk, "trades", *columns) == [("SHORT", 143.5, 143.25, 1.5, 0.375, 1.74, "tp", "s")]
        times = rows(lk, "trades", "opened_at", "closed_at")
        assert [at.isoformat() for at in times[0]] == [f"{OPENED}+00:00", f"{CLOSED}+00:00"]


def test_trades_of_two_spellings_of_the_columns_are_one(tmp_path: Path) -> None:
    for number, row in enumerate(WAYS.values()):
        (tmp_path / f"{number}.json").write_text(json.dumps([row]))
    with lake.open(tmp_path / "lake") as lk:
        for number in range(len(WAYS)):
            imported(lk, "trades-json", tmp_path / f"{number}.json", quote="USDT")
        assert len(rows(lk, "trades", "trade_id")) == 1


def test_a_column_that_a_row_tells_twice_is_told(tmp_path: Path) -> None:
    written = json.dumps([WAYS["as the seed has it"]])
    (tmp_path / "trade_history.json").write_text(written.replace('"side": "short"', '"side": "long", "side": "short"'))
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "trades-json", tmp_path / "trade_history.json", quote="USDT")
        assert rows(lk, "trades", "side") == ["SHORT"]
        assert '"repeated:side":["long"]' in rows(lk, "trades", "extra")[0]
        told = "of several values under one name the last counts, and the others are kept beside: side (1)"
        assert report.tables[0].notes == (told,)


def test_a_trade_that_goes_on_waits_for_its_end(tmp_path: Path) -> None:
    path, ended = tmp_path / "trade_history.json", WAYS["as the seed has it"]
    going_on = {**ended, "exit_price": None, "exit_time": None, "exit_reason": None, "pnl_usd": 0.0, "pnl_percent": 0}
    with lake.open(tmp_path / "lake") as lk:
        path.write_text(json.dumps([going_on]))
        report = imported(lk, "trades-json", path, quote="USDT")
        assert "no exit and no result: it is not over yet" in report.text()
        path.write_text(json.dumps([ended]))
        imported(lk, "trades-json", path, quote="USDT")
        assert rows(lk, "trades", "status", "exit_price") == [("closed", 143.25)]


def test_infinities_are_kept_as_they_are_written(tmp_path: Path) -> None:
    row = {
        **WAYS["as the seed has it"],
        "score": float("-inf"),
        "context": {"ratio": float("inf"), "none": float("nan")},
    }
    (tmp_path / "trade_history.json").write_text(json.dumps([row]))
    with lake.open(tmp_path / "lake") as lk:
        assert imported(lk, "trades-json", tmp_path / "trade_history.json", quote="USDT").tables[0].balanced
        kept = json.loads(rows(lk, "trades", "extra")[0])["imported"]["trades-json:trades"]
        assert (kept["score"], kept["context"]) == ("-Infinity", {"ratio": "Infinity", "none": None})


def _imported(tmp_path: Path, *trades: dict[str, Any], columns: tuple[str, ...]) -> tuple[Any, list[Any]]:
    (tmp_path / "trade_history.json").write_text(json.dumps(trades))
    with lake.open(tmp_path / "lake") as lk:
        return imported(lk, "trades-json", tmp_path / "trade_history.json"), rows(lk, "trades", *columns)


def test_a_trade_that_tells_when_it_was_written_down_and_ended_has_no_time_of_its_entry(tmp_path: Path) -> None:
    told = {
        "symbol": "SOL",
        "direction": "SHORT",
        "entry": 143.5,
        "pnl": 0.375,
        "timestamp": OPENED,
        "closed_at": CLOSED,
    }
    columns = ("(created_at::VARCHAR)[:16]", "opened_at", "(closed_at::VARCHAR)[:16]")
    assert _imported(tmp_path, told, columns=columns)[1] == [("2025-11-26 22:18", None, "2025-11-26 22:22")]
    late = {**told, "timestamp": "2025-11-27T00:00:00"}
    report, _ = _imported(tmp_path, late, columns=columns)
    assert [reason.rpartition(": ")[2] for reason in report.tables[0].reasons] == ["no time"]


def test_levels_fees_and_the_exchange_of_a_trade_are_taken_where_they_are_told(tmp_path: Path) -> None:
    told = {"symbol": "ETH-USD", "side": "BUY", "entry_price": 103.5, "exit_price": 93.5, "quantity": 1.0, "pnl": -11.1,
            "entry_time": OPENED, "exit_time": CLOSED}  # fmt: skip
    more = {"stop_loss": 101.5, "take_profit": "108.5", "total_fees": 1.1, "exchange": "MEXC"}
    columns = ("stop_loss", "take_profit", "fees", "venue")
    assert _imported(tmp_path, {**told, **more}, columns=columns)[1] == [(101.5, 108.5, 1.1, "mexc")]
    odd = {"stop_loss": 0, "tp": "none yet", "fee": {"cost": 1.1, "currency": "USD"}, "signal": {"name": "rsi"}}
    later = {"entry_time": CLOSED, "exit_time": "2025-11-27T00:00:00"}
    assert _imported(tmp_path, {**told, **odd, **later}, columns=columns)[1][1] == (None, None, None, "")


@pytest.mark.parametrize(
    "came_to",
    [{"status": "EXPIRED"}, {"status": "CLOSED", "result": "INVALIDATED"}, {"status": "CLOSED", "isFilled": False}],
)
def test_an_order_that_was_never_filled_is_no_closed_trade(came_to: dict[str, Any], tmp_path: Path) -> None:
    told = {
        "symbol": "ETHUSDT",
        "side": "LONG",
        "entry_price": 100.0,
        "entry_time": OPENED,
        "exit_time": CLOSED,
        "pnl": 0,
    }
    assert _imported(tmp_path, {**told, **came_to}, columns=("status", "pnl"))[1] == [("cancelled", 0.0)]
    later = {"exit_time": "2025-11-27T00:00:00", "pnl": 2.5}
    found = _imported(tmp_path, {**told, **came_to, **later}, columns=("status", "pnl"))[1]
    assert found == [("cancelled", 0.0), ("closed", 2.5)]


def test_a_row_with_neither_a_price_nor_a_result_is_no_trade(tmp_path: Path) -> None:
    told = {
        "pair": "ETH/BTC",
        "open_rate": 0.1,
        "close_rate": 0.2,
        "open_date": OPENED,
        "close_date": CLOSED,
        "amount": 1.0,
    }
    report, found = _imported(tmp_path, told, columns=("status",))
    assert (found, report.fits_nothing) == ([], True)
    assert list(report.tables[0].reasons) == [
        "entry_price, exit_price, pnl or pnl_percent: neither a price nor a result"
    ]


@pytest.mark.parametrize("out", [None, 0, ""])
def test_a_trade_that_is_said_to_be_open_is_not_closed_by_a_result_so_far(out: Any, tmp_path: Path) -> None:
    told = {"symbol": "ETHUSDT", "side": "LONG", "entry_price": 100.0, "entry_time": OPENED, "pnl": -3.2}
    report, found = _imported(tmp_path, {**told, "status": "open", "exit_price": out}, columns=("status",))
    assert (found, list(report.tables[0].reasons)) == (
        [], ["exit_time or exit_price: no exit and no result: it is not over yet"],
    )  # fmt: skip


def test_prices_and_sides_under_names_that_are_not_known_are_told(tmp_path: Path) -> None:
    told = {"pair": "ETHUSDT", "way": "up", "bought_at": 100.0, "open_time": OPENED, "close_time": CLOSED, "pnl": 1.0}
    report, _ = _imported(tmp_path, {**told, "qty": 1.0}, columns=("status",))
    (note,) = [note for note in report.tables[0].notes if note.startswith("no row has")]
    assert "entry_price (looked for entry_price, entryPrice, entry, " in note
    assert note.endswith("not understood: bought_at, way")
