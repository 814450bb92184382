from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import lake
from lake.errors import UsageError
from lake.importers.run import import_from
from tests.importers.contract import imported, notes, quarantined, rows

AT_MS = 1770848804143
AT = datetime(2026, 2, 11, 22, 26, 44, 143000, UTC)


def execution(name: str, coin: str, side: str, size: float, funds: float, price: float) -> dict[str, Any]:
    return {
        "order_id": name, "symbol": coin, "side": side, "price": price, "size": size, "funds": funds, "fee": 0.01,
        "fee_currency": "USDT", "timestamp": AT_MS, "executed_at": str(AT_MS),
    }  # fmt: skip


def match(coin: str, buy: str, sell: str, **more: Any) -> dict[str, Any]:
    return {
        "symbol": coin, "order_id_buy": buy, "order_id_sell": sell, "quantity": 0.0, "entry_price": 2.0,
        "exit_price": 2.5, "gross_pnl": 0.0, "fees": 0.02, "net_pnl": -0.02, "pnl_pct": 25.0,
        "opened_at": str(AT_MS), "closed_at": str(AT_MS + 1000), **more,
    }  # fmt: skip


def history(path: Path, trades: list[Any], matched: list[Any]) -> Path:
    path.write_text(json.dumps({"trades": trades, "matched_trades": matched, "last_updated": "2026-02-13T11:29:53"}))
    return path


def test_sizes_that_were_rounded_away_are_told_by_the_money(tmp_path: Path) -> None:
    trades = [execution("b", "HIGH", "buy", 0.0, 20.0, 2.0), execution("s", "HIGH", "sell", 10.0, 25.0, 2.5)]
    path = history(tmp_path / "trade_history.json", trades, [match("HIGH", "b", "s")])
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "trades-json", path, quote="USDT", venue="kucoin")
        assert "1 size was rounded to 0" in notes(report)
        assert rows(lk, "fills", "external_order_id", "side", "symbol", "quantity", "executed_at") == [
            ("b", "BUY", "HIGHUSDT", 10.0, AT),
            ("s", "SELL", "HIGHUSDT", 10.0, AT),
        ]
        assert rows(lk, "trades", "symbol", "quantity", "pnl", "pnl_percent") == [
            ("HIGHUSDT", 10.0, pytest.approx(4.98), pytest.approx(24.9))
        ]
        totals = {total.column: total for table in report.tables for total in table.sums}
        assert (totals["trades.pnl"].found, totals["trades.pnl"].differing) == (-0.02, pytest.approx(-5.0))


def test_what_was_told_with_its_quantity_is_believed(tmp_path: Path) -> None:
    trades = [execution("b", "HIGH", "buy", 10.0, 20.0, 2.0), execution("s", "HIGH", "sell", 10.0, 25.0, 2.5)]
    told = match("HIGH", "b", "s", quantity=10.0, net_pnl=4.9)
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "trades-json", history(tmp_path / "h.json", trades, [told]), quote="USDT")
        assert rows(lk, "trades", "quantity", "pnl") == [(10.0, 4.9)]


def test_a_buy_that_is_matched_with_the_sell_of_another_coin_is_refused(tmp_path: Path) -> None:
    trades = [execution("b", "HIGH", "buy", 1.0, 2.0, 2.0), execution("s", "LAVA", "sell", 1.0, 2.5, 2.5)]
    path = history(tmp_path / "h.json", trades, [match("HIGH", "b", "s")])
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "trades-json", path, quote="USDT")
        assert report.totals["refused"] == 1
        [(dataset, reason, row)] = quarantined(lk)
        assert (dataset, row["symbol_sell"]) == ("trades", "LAVA")
        assert "the sell is of another symbol than the buy" in reason


def test_a_coin_that_ends_like_a_quote_gets_the_quote_all_the_same(tmp_path: Path) -> None:
    path = history(tmp_path / "h.json", [execution("b", "ARCSOL", "buy", 1.0, 2.0, 2.0)], [])
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "trades-json", path, quote="USDT")
        assert rows(lk, "fills", "symbol") == ["ARCSOLUSDT"]


def test_bases_ask_for_their_quote(tmp_path: Path) -> None:
    path = history(tmp_path / "h.json", [execution("b", "HIGH", "buy", 1.0, 2.0, 2.0)], [])
    with lake.open(tmp_path / "lake") as lk, pytest.raises(UsageError, match="--quote USDT"):
        import_from(lk, "trades-json", str(path))


def test_a_round_trip_is_what_it_was_when_its_orders_have_left_the_list(tmp_path: Path) -> None:
    trades = [
        execution("b", "HIGH", "buy", 0.0, 20.0, 2.0), execution("s", "HIGH", "sell", 10.0, 25.0, 2.5),
        execution("b2", "HIGH", "buy", 1.0, 2.0, 2.0), execution("s2", "LAVA", "sell", 1.0, 2.5, 2.5),
    ]  # fmt: skip
    matched = [match("HIGH", "b", "s"), match("HIGH", "b2", "s2")]
    path = tmp_path / "trade_history.json"
    with lake.open(tmp_path / "lake") as lk:
        assert imported(lk, "trades-json", history(path, trades, matched), quote="USDT").totals["refused"] == 1
        before, refused = rows(lk, "trades", "*"), quarantined(lk)
        new = execution("b3", "HIGH", "buy", 1.0, 2.0, 2.0)
        report = imported(lk, "trades-json", history(path, [new], matched), quote="USDT")
        assert [(t.landed, t.unchanged, t.refused) for t in report.tables] == [(1, 0, 0), (0, 1, 1)]
        assert (report.totals["changed"], report.totals["differences_found"]) == (0, 0)
        assert (rows(lk, "trades", "*"), quarantined(lk)) == (before, refused)
