from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import lake
from lake.errors import SourceError
from lake.importers.run import import_from
from tests.importers.contract import differences, imported, notes, rows
from tests.importers.databases import Changing, run

AT_MS = 1743894827000
AT = datetime(2025, 4, 5, 23, 13, 47, tzinfo=UTC)
_TABLES = {
    "Order": "id text primary key, config_file_path text, strategy text, market text, symbol text, base_asset text,"
    " quote_asset text, creation_timestamp bigint, order_type text, amount {decimal}, leverage integer,"
    " price {decimal}, last_status text, last_update_timestamp bigint, exchange_order_id text, position text",
    "OrderStatus": "id integer primary key, order_id text, timestamp bigint, status text",
    "TradeFill": "config_file_path text, strategy text, market text, symbol text, base_asset text, quote_asset text,"
    " timestamp bigint, order_id text, trade_type text, order_type text, price {decimal}, amount {decimal}, leverage"
    " integer, trade_fee json, trade_fee_in_quote {decimal}, exchange_trade_id text, position text",
    "Executors": "id text primary key, timestamp float, type text, close_type integer, close_timestamp bigint, status"
    " integer, config json, net_pnl_pct float, net_pnl_quote float, cum_fees_quote float, filled_amount_quote float,"
    " is_active boolean, is_trading boolean, custom_info json, controller_id text",
    "FundingPayment": "timestamp bigint, config_file_path text, market text, rate float, symbol text, amount float",
    "MarketData": "timestamp bigint, exchange text, trading_pair text, mid_price bigint, best_bid bigint, best_ask"
    " bigint, order_book json",
    "MarketState": "id integer primary key, config_file_path text, market text, timestamp bigint, saved_state json",
}


def store(path: Path, decimal: str = "bigint", **tables: list[Mapping[str, Any]]) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        for name, columns in _TABLES.items():
            connection.execute(f'create table "{name}" ({columns.format(decimal=decimal)})')
            for row in tables.get(name, []):
                marks = ", ".join("?" * len(row))
                connection.execute(f'insert into "{name}" ({", ".join(row)}) values ({marks})', list(row.values()))
        connection.commit()
    return path


def order(name: str | None, status: str = "OrderCancelled", **more: Any) -> dict[str, Any]:
    return {
        "id": name, "strategy": "pure_market_making", "market": "binance_paper_trade", "symbol": "BTC-USDT",
        "base_asset": "BTC", "quote_asset": "USDT", "creation_timestamp": AT_MS, "order_type": "LIMIT",
        "amount": 1212855, "leverage": 1, "price": 82367680000, "last_status": status,
        "last_update_timestamp": AT_MS + 36_002, "position": "NIL", **more,
    }  # fmt: skip


def fill(of: str | None, number: str = "t1", **more: Any) -> dict[str, Any]:
    return {
        "market": "binance_paper_trade", "symbol": "BTC-USDT", "base_asset": "BTC", "quote_asset": "USDT",
        "timestamp": AT_MS, "order_id": of, "trade_type": "SELL", "order_type": "LIMIT", "price": 84031670000,
        "amount": 500000, "leverage": 1, "trade_fee": json.dumps({"percent": "0.001", "flat_fees": []}),
        "exchange_trade_id": number, "position": "NIL", **more,
    }  # fmt: skip


def test_an_order_that_came_to_nothing_is_a_cancelled_trade_in_decimals(tmp_path: Path) -> None:
    statuses = [
        {"id": 1, "order_id": "HB1", "timestamp": AT_MS, "status": "SellOrderCreated"},
        {"id": 2, "order_id": "HB1", "timestamp": AT_MS + 36_002, "status": "OrderCancelled"},
    ]
    orders = [order("HB1"), order("buy://BTC-USDT/2", "OrderFailure"), order("buy://BTC-USDT/3", "BuyOrderCreated")]
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "hummingbot", store(tmp_path / "h.sqlite", Order=orders, OrderStatus=statuses))
        assert rows(lk, "trades", "order_id", "side", "status", "mode", "venue", "symbol") == [
            ("HB1", "SHORT", "cancelled", "paper", "binance", "BTCUSDT"),
            ("buy://BTC-USDT/2", "LONG", "error", "paper", "binance", "BTCUSDT"),
        ]
        assert set(rows(lk, "trades", "quantity", "entry_price", "created_at")) == {(1.212855, 82367.68, AT)}
        kept = [json.loads(extra)["imported"]["hummingbot:Order"] for extra in rows(lk, "trades", "extra")]
        assert {o["id"]: len(o["statuses"]) for o in kept}["HB1"] == 2
        assert kept[0]["stored"] == {"amount": 1212855, "price": 82367680000}


def test_an_order_that_was_executed_is_kept_with_its_fills(tmp_path: Path) -> None:
    orders = [order("s1", "SellOrderCompleted", exchange_order_id="E1"), order("s2", "SellOrderCompleted")]
    flat = json.dumps({"flat_fees": [{"token": "BNB", "amount": "0.01"}]})
    fills = [fill("s1"), fill("s1", "t2", trade_fee=flat), fill("s1", "t3", trade_fee_in_quote=2500000)]
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "hummingbot", store(tmp_path / "h.sqlite", Order=orders, TradeFill=fills))
        assert "1 order was executed: kept with the fills" in notes(report)
        assert lk.read("trades").is_empty()
        assert rows(lk, "fills", "order_id", "side", "quantity", "price", "commission", "commission_asset") == [
            ("s1", "SELL", 0.5, 84031.67, 0.01, "BNB"),
            ("s1", "SELL", 0.5, 84031.67, 2.5, "USDT"),
            ("s1", "SELL", 0.5, 84031.67, pytest.approx(42.015835), "USDT"),
            ("s2", "SELL", 1.212855, 82367.68, None, "USDT"),  # what became of it is told by its status alone
        ]
        assert set(rows(lk, "fills", "external_order_id")) == {"E1", None}


@pytest.mark.parametrize("odd", [
    {"trade_fee": "2024-13-01"}, {"trade_fee": "[]"}, {"trade_fee": '{"percent": "x"}'}, {"trade_type": None},
    {"trade_fee": '{"flat_fees": [5]}'}, {"order_id": 7}, {"trade_fee": '{"percent": 0.1}', "price": "x"},
])  # fmt: skip
def test_an_odd_value_of_a_fill_costs_no_more_than_the_fill(tmp_path: Path, odd: dict[str, Any]) -> None:
    """Columns of SQLite hold values of any type, also those by which tables belong together."""
    fills = [fill("sell://1", "t1"), {**fill("sell://1", "t2"), **odd}]
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "hummingbot", store(tmp_path / "h.sqlite", Order=[order("sell://1")], TradeFill=fills))
        assert 1 <= lk.read("fills").height <= 2


def test_rows_of_no_order_take_nothing_from_those_of_one(tmp_path: Path) -> None:
    orders = [order(None, "SellOrderCompleted"), order("s1", "SellOrderCompleted", exchange_order_id="E1")]
    fills = [fill(None, "t0"), fill("s1", "t1")]
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "hummingbot", store(tmp_path / "h.sqlite", Order=orders, TradeFill=fills))
        assert "1 order was executed: kept with the fills" in notes(report)
        assert ("s1", "E1") in rows(lk, "fills", "order_id", "external_order_id")


def test_numbers_of_old_files_are_not_scaled(tmp_path: Path) -> None:
    path = store(tmp_path / "h.sqlite", "float", Order=[order("buy://1", amount=1.5, price=82000.25)])
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "hummingbot", path)
        assert rows(lk, "trades", "quantity", "entry_price") == [(1.5, 82000.25)]


def test_executors_are_trades_and_markets_give_metrics(tmp_path: Path) -> None:
    config = {
        "trading_pair": "ETH-USDT",
        "connector_name": "kucoin_perpetual_testnet",
        "side": 2,
        "amount": "0.5",
        "leverage": 3,
    }
    executor = {
        "id": "x1", "timestamp": AT_MS / 1000, "type": "position_executor", "close_type": 2,
        "close_timestamp": AT_MS + 60_000, "status": 4, "config": json.dumps(config), "net_pnl_pct": -0.02,
        "net_pnl_quote": -12.5, "cum_fees_quote": 0.5, "is_active": 0,
    }  # fmt: skip
    funding = {"timestamp": AT_MS, "market": "binance_perpetual", "rate": 0.0001, "symbol": "BTC-USDT", "amount": -0.3}
    market = {"timestamp": AT_MS, "exchange": "binance", "trading_pair": "BTC-USDT", "mid_price": 82000500000,
              "best_bid": 82000000000, "best_ask": 82001000000}  # fmt: skip
    path = store(tmp_path / "h.sqlite", Executors=[executor], FundingPayment=[funding], MarketData=[market])
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "hummingbot", path)
        assert rows(lk, "trades", "symbol", "side", "status", "quantity", "leverage", "pnl", "pnl_percent") == [
            ("ETHUSDT.P", "SHORT", "closed", 0.5, 3.0, -12.5, -2.0)
        ]
        assert rows(lk, "trades", "venue", "mode", "exit_reason", "opened_at") == [("kucoin", "paper", "sl", AT)]
        assert set(rows(lk, "market_metrics", "symbol", "venue")) == {("BTCUSDT.P", "binance"), ("BTCUSDT", "binance")}
        assert dict(rows(lk, "market_metrics", "metric", "value")) == {
            "funding_rate": 0.0001, "funding_payment": -0.3, "mid_price": 82000.5, "best_bid": 82000.0,
            "best_ask": 82001.0,
        }  # fmt: skip


def test_what_the_bot_remembers_is_a_snapshot_of_its_state(tmp_path: Path) -> None:
    state = {"id": 1, "market": "binance", "timestamp": AT_MS, "saved_state": "{}"}
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "hummingbot", store(tmp_path / "h.sqlite", MarketState=[state]), bot_id="maker")
        [(bot, at, kept)] = rows(lk, "bot_states", "bot_id", "snapshot_time", "state")
        assert (bot, at, json.loads(kept)["MarketState"][0]["market"]) == ("maker", AT, "binance")


def test_another_database_is_told_from_one_of_hummingbot(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "o.sqlite")) as connection:
        connection.execute("create table candles (symbol text)")
    with lake.open(tmp_path / "lake") as lk, pytest.raises(SourceError, match="none of the tables of hummingbot"):
        import_from(lk, "hummingbot", str(tmp_path / "o.sqlite"))


@pytest.mark.parametrize("status", ["SellOrderCompleted", "OrderCancelled"])
def test_an_order_whose_fills_landed_and_were_deleted_lands_no_more(tmp_path: Path, status: str) -> None:
    fills = [fill("s1"), fill("s1", "t2")]
    with lake.open(tmp_path / "lake") as lk:
        path = store(tmp_path / "h.sqlite", Order=[order("s1", status)], TradeFill=fills)
        imported(lk, "hummingbot", path)
        run(path, "delete from TradeFill")
        report = imported(lk, "hummingbot", path)
        assert (report.totals["found"], report.totals["unchanged"]) == (1, 1)
        assert rows(lk, "fills", "order_id", "quantity") == [("s1", 0.5), ("s1", 0.5)]
        assert rows(lk, "trades", "order_id") == []
        imported(lk, "hummingbot", path, bot_id="another")
        assert len(rows(lk, "fills", "order_id")) + len(rows(lk, "trades", "order_id")) == 3


def test_a_fill_whose_order_was_deleted_keeps_what_the_order_told(tmp_path: Path) -> None:
    status = {"id": 1, "order_id": "s1", "timestamp": AT_MS, "status": "SellOrderCreated"}
    told = order("s1", "SellOrderCompleted", exchange_order_id="E1")
    with lake.open(tmp_path / "lake") as lk:
        path = store(tmp_path / "h.sqlite", Order=[told], OrderStatus=[status], TradeFill=[fill("s1")])
        imported(lk, "hummingbot", path)
        before = rows(lk, "fills", "*")
        run(path, 'delete from "Order"')
        assert imported(lk, "hummingbot", path).totals["changed"] == 0
        assert rows(lk, "fills", "*") == before


def test_executions_that_are_written_down_late_take_the_place_of_their_order(tmp_path: Path) -> None:
    """An order that was executed, and of which no execution was told, had landed as one fill."""
    done = order("s1", "SellOrderCompleted", amount=900000, exchange_order_id="E1")
    late = [fill("s1", "t1", amount=0), fill("s1", "t2"), fill("s1", "t3", amount=400000)]
    with lake.open(tmp_path / "lake") as lk:
        path = store(tmp_path / "h.sqlite", Order=[done])
        imported(lk, "hummingbot", path)
        [(name, quantity)] = rows(lk, "fills", "fill_id", "quantity")
        assert quantity == 0.9
        for one in late:
            Changing(path).insert("TradeFill", one)
            report = imported(lk, "hummingbot", path)
            assert report.totals["differences_found"] == 0
        assert rows(lk, "fills", "quantity", "price", "external_order_id") == [
            (0.4, 84031.67, "E1"), (0.5, 84031.67, "E1"),
        ]  # fmt: skip
        assert dict(rows(lk, "fills", "fill_id", "quantity"))[name] == 0.5
        run(path, "delete from TradeFill")
        assert imported(lk, "hummingbot", path).totals["landed"] == 0


def test_an_execution_that_is_written_down_when_its_order_is_gone_takes_its_place(tmp_path: Path) -> None:
    done = order("s1", "SellOrderCompleted", exchange_order_id="E1")
    with lake.open(tmp_path / "lake") as lk:
        path = store(tmp_path / "h.sqlite", Order=[done])
        imported(lk, "hummingbot", path)
        run(path, 'delete from "Order"')
        Changing(path).insert("TradeFill", fill("s1"))
        imported(lk, "hummingbot", path)
        assert rows(lk, "fills", "quantity", "external_order_id") == [(0.5, "E1")]


def test_an_order_in_flight_is_no_trade_yet_and_kept_with_what_the_bot_remembers(tmp_path: Path) -> None:
    sent = [order(name, "BuyOrderCreated", last_update_timestamp=AT_MS) for name in ("buy://1", "buy://2")]
    with lake.open(tmp_path / "lake") as lk:
        path = store(tmp_path / "h.sqlite", Order=sent)
        report = imported(lk, "hummingbot", path)
        assert "2 orders are in flight: kept with what the bot remembers" in notes(report)
        assert lk.read("trades").is_empty()
        [(at, state)] = rows(lk, "bot_states", "snapshot_time", "state")
        assert (at, [o["id"] for o in json.loads(state)["Order"]]) == (AT, ["buy://1", "buy://2"])
        run(path, f"update \"Order\" set last_status = 'OrderCancelled', last_update_timestamp = {AT_MS + 1_000}"
            " where id = 'buy://1'")  # fmt: skip
        run(path, f"update \"Order\" set last_status = 'OrderFilled', last_update_timestamp = {AT_MS + 2_000}"
            " where id = 'buy://2'")  # fmt: skip
        Changing(path).insert("TradeFill", fill("buy://2", trade_type="BUY"))
        imported(lk, "hummingbot", path)
        assert rows(lk, "trades", "order_id", "status") == [("buy://1", "cancelled")]
        assert rows(lk, "fills", "order_id") == ["buy://2"]


def test_a_metric_that_was_told_otherwise_before_is_corrected_and_its_row_is_kept_as_found_once(tmp_path: Path) -> None:
    funding = {"timestamp": AT_MS, "market": "binance_perpetual", "rate": 0.0001, "symbol": "BTC-USDT", "amount": -0.3}
    market = {"timestamp": AT_MS, "exchange": "binance", "trading_pair": "BTC-USDT", "mid_price": 82000500000,
              "best_bid": 82000000000, "best_ask": 82001000000, "order_book": '{"bids": []}'}  # fmt: skip
    path = store(tmp_path / "h.sqlite", FundingPayment=[funding], MarketData=[market])
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "hummingbot", path)
        run(path, "update FundingPayment set rate = 0.0002")
        run(path, "update MarketData set best_bid = 81999000000")
        report = imported(lk, "hummingbot", path)
        assert sorted(differences(report)) == [("value", 0.0002, 0.0001), ("value", 81999.0, 82000.0)]
        told = dict(rows(lk, "market_metrics", "metric", "value"))
        assert (told["funding_rate"], told["best_bid"], told["best_ask"]) == (0.0002, 81999.0, 82001.0)
        found = dict(rows(lk, "market_metrics", "metric", "extra"))
        assert {metric for metric, extra in found.items() if "order_book" in extra} == {"mid_price"}


@pytest.mark.parametrize("late", ["a fill", "a fill and its status", "a status alone", "a fill without its order"])
@pytest.mark.parametrize("is_settled", [False, True])
def test_an_order_filled_after_it_was_cancelled_leaves_no_cancelled_trade(
    tmp_path: Path, late: str, is_settled: bool
) -> None:
    """As in a lake into which the database is brought once, in the end."""
    (tmp_path / "bot").mkdir()
    with lake.open(tmp_path / "lake") as lk, lake.open(tmp_path / "once") as once:
        path = store(tmp_path / "bot" / "h.sqlite", Order=[order("sell://1"), order("sell://2")])
        imported(lk, "hummingbot", path, bot_id="maker")
        if not is_settled:  # a version of it waits in hot
            lk.patch("trades", _trade_of(lk, "sell://1"), {"exit_reason": "mine"})
            lk.patch("trades", _trade_of(lk, "sell://1"), {"exit_reason": None})
        if "status" in late:
            run(path, "update \"Order\" set last_status = 'OrderFilled' where id = 'sell://1'")
        if "fill" in late:
            Changing(path).insert("TradeFill", fill("sell://1"))
        if "without" in late:
            run(path, "delete from \"Order\" where id = 'sell://1'")
        report = imported(lk, "hummingbot", path, bot_id="maker")
        imported(once, "hummingbot", path, bot_id="maker")
        assert "1 row of trades is taken back" in notes(report)
        for name in ("trades", "fills"):
            assert rows(lk, name, "* EXCLUDE extra") == rows(once, name, "* EXCLUDE extra")
        assert rows(lk, "trades", "order_id") == ["sell://2"]


def test_a_cancelled_trade_that_was_changed_in_the_lake_is_not_taken_back(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        path = store(tmp_path / "h.sqlite", Order=[order("sell://1")])
        imported(lk, "hummingbot", path)
        lk.patch("trades", _trade_of(lk, "sell://1"), {"exit_reason": "mine"})
        Changing(path).insert("TradeFill", fill("sell://1"))
        report = imported(lk, "hummingbot", path)
        assert "1 row of trades would be taken back, and stays" in notes(report)
        assert rows(lk, "trades", "order_id", "exit_reason") == [("sell://1", "mine")]


def test_an_order_of_another_bot_takes_back_no_trade(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        path = store(tmp_path / "h.sqlite", Order=[order("sell://1")])
        imported(lk, "hummingbot", path, bot_id="maker")
        Changing(path).insert("TradeFill", fill("sell://1"))
        imported(lk, "hummingbot", path, bot_id="another")
        assert rows(lk, "trades", "order_id", "bot_id") == [("sell://1", "maker")]


def _trade_of(lk: Any, order_id: str) -> str:
    return lk.frame("SELECT trade_id FROM trades WHERE order_id = ?", [order_id]).item()  # type: ignore[no-any-return]
