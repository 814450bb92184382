from __future__ import annotations

import gzip
import json
import sqlite3
import zipfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import lake
from lake.errors import SourceError
from lake.importers.run import import_from
from tests.importers.conftest import Postgres
from tests.importers.contract import imported, notes, quarantined, rows
from tests.importers.databases import run
from tests.importers.freqtrade_bots import archive, bot, order, result, result_trade, trade

OPENED, CLOSED = datetime(2024, 3, 1, 10, 0, 0, 123456, UTC), datetime(2024, 3, 1, 12, 0, 0, 654321, UTC)
FUTURES = {"pair": "XRP/USDT:USDT", "is_short": 1, "leverage": 5.0, "trading_mode": "futures"}


def written(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document))
    return path


def test_a_database_of_2021_becomes_trades_and_fills(tmp_path: Path) -> None:
    trades = [
        trade(1, sell_reason="roi"),
        trade(2, is_open=1, close_rate=None, close_profit=None, close_profit_abs=None, close_date=None, stop_loss=0.0,
              initial_stop_loss=0.0, open_date="2024-03-02 10:00:00.000000"),
    ]  # fmt: skip
    orders = [order(1, 1, "buy"), order(2, 1, "sell", price=2.2), order(3, 2, "buy")]
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "freqtrade", bot(tmp_path / "bot.sqlite", 2021, trades=trades, orders=orders))
        assert rows(
            lk, "trades", "created_at", "venue", "symbol", "side", "status", "mode", "timeframe", "leverage"
        ) == [
            (OPENED, "binance", "XRPUSDT", "LONG", "closed", "live", "5m", 1.0),
            (datetime(2024, 3, 2, 10, tzinfo=UTC), "binance", "XRPUSDT", "LONG", "open", "live", "5m", 1.0),
        ]
        closed = ["closed_at", "quantity", "entry_price", "exit_price", "pnl", "pnl_percent", "exit_reason", "order_id"]
        assert rows(lk, "trades", *closed) == [
            (CLOSED, 50.0, 2.0, 2.2, 9.79, pytest.approx(9.78), "roi", "o1"),
            (None, 50.0, 2.0, None, None, None, None, "o3"),
        ]
        assert rows(lk, "trades", "stop_loss", "max_favorable", "max_adverse") == [(1.8, 2.3, 1.9), (None, 2.3, 1.9)]
        assert rows(lk, "trades", "fees")[1] == pytest.approx(50 * (2.0 + 2.2) * 0.001)
        fills = ["external_order_id", "side", "quantity", "price", "commission", "commission_asset", "is_entry"]
        assert rows(lk, "fills", *fills) == [
            ("o1", "BUY", 50.0, 2.0, pytest.approx(0.1), "USDT", True),
            ("o2", "SELL", 50.0, 2.2, pytest.approx(0.11), "USDT", False),
            ("o3", "BUY", 50.0, 2.0, pytest.approx(0.1), "USDT", True),
        ]
        per_trade = "SELECT count(*) FROM fills JOIN trades USING (trade_id) GROUP BY trade_id ORDER BY ALL"
        assert lk.sql(per_trade).fetchall() == [(1,), (2,)]


def test_a_short_of_a_perpetual_keeps_its_leverage_funding_and_tag(tmp_path: Path) -> None:
    short = trade(1, **FUTURES, funding_fees=-0.5, enter_tag="tag", exit_reason="stop_loss", liquidation_price=2.4)
    orders = [
        order(1, 1, "sell", ft_pair="XRP/USDT:USDT", average=1.99, ft_order_tag="tag"),
        order(2, 1, "buy", ft_pair="XRP/USDT:USDT", ft_order_side="stoploss", ft_fee_base=0.05),
    ]
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "freqtrade", bot(tmp_path / "bot.sqlite", 2024, trades=[short], orders=orders))
        assert rows(lk, "trades", "symbol", "side", "leverage", "exit_reason", "max_favorable", "max_adverse") == [
            ("XRPUSDT.P", "SHORT", 5.0, "stop_loss", 1.9, 2.3)
        ]
        assert rows(lk, "trades", "fees") == [pytest.approx(50 * (2.0 + 2.2) * 0.001 + 0.5)]
        assert rows(lk, "trades", "order_id", "opened_at") == [("o1", OPENED)]
        assert json.loads(rows(lk, "trades", "conditions")[0]) == {"enter_tag": "tag"}
        kept = json.loads(rows(lk, "trades", "extra")[0])["imported"]["freqtrade:trades"]
        assert (kept["liquidation_price"], kept["funding_fees"]) == (2.4, -0.5)
        fills = ["symbol", "side", "price", "commission", "commission_asset", "is_entry", "signal_reason"]
        assert rows(lk, "fills", *fills) == [
            ("XRPUSDT.P", "BUY", 2.0, 0.05, "XRP", False, None),
            ("XRPUSDT.P", "SELL", 1.99, pytest.approx(0.0995), "USDT", True, "tag"),
        ]


def test_rows_in_the_log_beside_the_file_count(tmp_path: Path) -> None:
    path = bot(tmp_path / "bot.sqlite", 2024, wal=True, trades=[trade(1)], orders=[order(1, 1, "buy")])
    assert (tmp_path / "bot.sqlite-wal").stat().st_size
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "freqtrade", path)
        assert report.totals["landed"] == 2


def test_orders_that_were_never_executed_are_kept_with_their_trade_and_the_trade_waits(tmp_path: Path) -> None:
    waiting = {"is_open": 1, "close_rate": None, "close_profit": None, "close_profit_abs": None, "close_date": None}
    orders = [
        order(1, 1, "buy", filled=0.0, status="open", order_filled_date=None),
        order(2, 2, "buy"),
        order(3, 2, "sell", filled=0.0, status="canceled", order_filled_date=None),
        order(4, None, "buy", filled=0.0, status="canceled"),
    ]
    trades = [trade(1, **waiting), trade(2, open_date="2024-03-01 11:00:00")]
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "freqtrade", bot(tmp_path / "bot.sqlite", 2024, trades=trades, orders=orders))
        assert "2 orders were never executed" in notes(report)
        assert rows(lk, "trades", "status", "opened_at") == [
            ("closed", datetime(2024, 3, 1, 11, tzinfo=UTC)),
            ("pending", None),
        ]
        kept = [
            json.loads(e)["imported"]["freqtrade:trades"]["orders_not_executed"] for e in rows(lk, "trades", "extra")
        ]
        assert sorted(o["order_id"] for of_trade in kept for o in of_trade) == ["o1", "o3"]
        assert rows(lk, "fills", "external_order_id") == ["o2"]
        assert [(dataset, row["order_id"]) for dataset, _, row in quarantined(lk)] == [("fills", "o4")]


def test_locks_key_values_custom_data_and_the_wallet_are_kept(tmp_path: Path) -> None:
    lock = {"id": 1, "pair": "XRP/USDT", "side": "*", "lock_time": "2024-03-01 12:00:00", "active": 1}
    started = {"id": 1, "key": "bot_start_time", "value_type": "datetime", "datetime_value": "2024-02-01 00:00:00"}
    custom = {"id": 1, "ft_trade_id": 1, "cd_key": "peak", "cd_type": "float", "cd_value": "2.3"}
    coins = [
        {"id": n, "timestamp": f"2024-03-0{n // 2 + 1} 00:00:00", "currency": c, "balance": 1.0}
        for n, c in enumerate(["USDT", "XRP", "USDT"])
    ]
    path = bot(
        tmp_path / "bot.sqlite", 2026, trades=[trade(1)], pairlocks=[lock], KeyValueStore=[started],
        trade_custom_data=[custom], wallet_history=coins,
    )  # fmt: skip
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "freqtrade", path, bot_id="bouncer")
        states = {at: json.loads(state) for at, state in rows(lk, "bot_states", "snapshot_time", "state")}
        assert states[datetime(2024, 3, 1, 12, tzinfo=UTC)]["pairlocks"][0]["pair"] == "XRP/USDT"
        assert states[datetime(2024, 3, 1, 12, tzinfo=UTC)]["KeyValueStore"][0]["key"] == "bot_start_time"
        wallets = {
            at.day: [coin["currency"] for coin in s["wallet_history"]] for at, s in states.items() if at.hour == 0
        }
        assert wallets == {1: ["USDT", "XRP"], 2: ["USDT"]}
        kept = json.loads(rows(lk, "trades", "extra")[0])["imported"]["freqtrade:trades"]
        assert kept["trade_custom_data"][0]["cd_value"] == "2.3"
        assert set(rows(lk, "bot_states", "bot_id")) == {"bouncer"}


def test_a_lock_that_is_released_is_released_in_the_snapshot_of_its_time(tmp_path: Path) -> None:
    lock = {"pair": "XRP/USDT", "lock_time": "2024-03-01 12:00:00", "lock_end_time": "2024-03-01 13:00:00", "active": 1}
    path = bot(tmp_path / "bot.sqlite", 2024, trades=[trade(1)], pairlocks=[lock])
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "freqtrade", path)
        run(path, "update pairlocks set active = 0")
        report = imported(lk, "freqtrade", path)
        assert report.totals["changed"] == 1
        assert [json.loads(state)["pairlocks"][0]["active"] for state in rows(lk, "bot_states", "state")] == [0]


def test_an_odd_time_of_a_lock_does_not_end_an_import(tmp_path: Path) -> None:
    locks = [{"pair": "*", "lock_time": at, "active": 1} for at in ("null", "never", "2024-03-01 10:00:00")]
    path = bot(tmp_path / "bot.sqlite", 2024, trades=[trade(1)], pairlocks=locks)
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "freqtrade", path)
        assert rows(lk, "bot_states", "snapshot_time") == [datetime(2024, 3, 1, 10, tzinfo=UTC)]


def test_a_trade_that_was_open_is_closed_by_the_next_import(tmp_path: Path) -> None:
    path = tmp_path / "bot.sqlite"
    bot(path, 2024, trades=[trade(1, is_open=1, close_rate=None, close_profit_abs=None, close_date=None)])
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "freqtrade", path)
        with sqlite3.connect(path) as connection:
            connection.execute("update trades set is_open = 0, close_rate = 2.2, close_date = '2024-03-01 12:00:00'")
        connection.close()
        report = imported(lk, "freqtrade", path)
        assert report.totals["changed"] == 1
        assert rows(lk, "trades", "status", "exit_price") == [("closed", 2.2)]


@pytest.mark.parametrize("years", [(2021, 2024), (2024, 2021)])
def test_trades_of_a_freqtrade_that_was_upgraded_stay_what_they_are(tmp_path: Path, years: tuple[int, int]) -> None:
    orders = [order(1, 1, "buy"), order(2, 1, "sell")]
    of_year = {2021: {"exchange": "BITTREX"}, 2024: {"exchange": "bittrex", "is_short": 0, "leverage": 1.0}}
    ids: list[Any] = []
    with lake.open(tmp_path / "lake") as lk:
        for year in years:
            path = bot(tmp_path / f"{year}.sqlite", year, trades=[trade(1, **of_year[year])], orders=orders)
            report = imported(lk, "freqtrade", path)
            assert report.totals["differences_found"] == 0
            ids.append((rows(lk, "trades", "trade_id", "venue"), rows(lk, "fills", "fill_id", "trade_id", "venue")))
        assert ids[0] == ids[1]
        assert [venue for _, venue in ids[1][0]] == ["bittrex"]


def test_a_fill_stays_what_it_is_when_its_trade_is_deleted(tmp_path: Path) -> None:
    path = bot(tmp_path / "bot.sqlite", 2024, trades=[trade(1)], orders=[order(1, 1, "buy"), order(2, 1, "sell")])
    other = bot(tmp_path / "other.sqlite", 2024, trades=[trade(1, exchange="kraken")], orders=[order(1, 1, "buy")])
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "freqtrade", path)
        before = rows(lk, "fills", "fill_id", "trade_id", "venue", "quantity")
        with sqlite3.connect(path) as connection:
            connection.execute("delete from trades")
        connection.close()
        imported(lk, "freqtrade", path)
        assert rows(lk, "fills", "fill_id", "trade_id", "venue", "quantity") == before
        assert imported(lk, "freqtrade", other).totals["landed"] == 2
        assert lk.read("fills").height == 3


def test_a_run_stays_what_it_is_when_the_file_that_names_it_comes_or_goes(tmp_path: Path) -> None:
    document = {name: value for name, value in result().items() if name != "metadata"}
    folder = tmp_path / "results"
    folder.mkdir()
    path, meta = folder / "backtest-result-1.json", folder / "backtest-result-1.meta.json"
    names = ("backtests", "trades", "fills")
    for is_first in (True, False):
        with lake.open(tmp_path / f"lake {is_first}") as lk:
            for has_meta in (is_first, not is_first, is_first):
                written(path, document)
                meta.unlink(missing_ok=True)
                if has_meta:
                    written(meta, result()["metadata"])
                imported(lk, "freqtrade", path)
                assert [lk.read(name).height for name in names] == [1, 1, 2]


def test_a_dry_run_is_paper_unless_the_caller_says_else(tmp_path: Path) -> None:
    orders = [order(1, 1, "buy", order_id="dry_run_buy_1")]
    path = bot(tmp_path / "tradesv3.backup", 2024, trades=[trade(1)], orders=orders)  # known by how it begins
    with lake.open(tmp_path / "lake") as lk:
        assert "dry run" in notes(imported(lk, "freqtrade", path))
        assert rows(lk, "trades", "mode") + rows(lk, "fills", "mode") == ["paper", "paper"]


def test_a_database_on_a_server_is_read_like_a_file(postgres: Postgres, tmp_path: Path) -> None:
    postgres.run(
        "create table trades (id int primary key, exchange varchar, pair varchar, is_open boolean, fee_open float8,"
        " fee_close float8, open_rate float8, close_rate float8, close_profit float8, close_profit_abs float8, amount"
        " float8, open_date timestamp, close_date timestamp, is_short boolean, leverage float8, timeframe int)",
        "insert into trades values (1, 'bybit', 'XRP/USDT:USDT', false, 0.001, 0.001, 2, 1.8, 0.285, 9.5, 50,"
        " '2024-03-01 10:00:00.123456', '2024-03-01 12:00:00.654321', true, 3, 240)",
    )
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "freqtrade", postgres.address)
        columns = ["venue", "symbol", "side", "status", "pnl", "timeframe", "opened_at", "closed_at"]
        assert rows(lk, "trades", *columns) == [("bybit", "XRPUSDT.P", "SHORT", "closed", 9.5, "4h", OPENED, CLOSED)]


def test_another_database_is_told_from_one_of_freqtrade(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("create table trades (id integer, symbol text, side text)")
    connection.close()
    with lake.open(tmp_path / "lake") as lk, pytest.raises(SourceError, match="the table trades is not freqtrade's"):
        import_from(lk, "freqtrade", str(path))


def test_a_result_becomes_runs_trades_and_fills(tmp_path: Path) -> None:
    path = written(tmp_path / "backtest-result-2024.json", result("Bounce", "Trend"))
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "freqtrade", path)
        runs = [
            "strategy",
            "timeframe",
            "symbol",
            "trades",
            "wins",
            "losses",
            "win_rate",
            "total_signals",
            "created_at",
        ]
        at = datetime(2024, 3, 9, 16, tzinfo=UTC)
        assert rows(lk, "backtests", *runs) == [
            ("Bounce", "5m", "XRPUSDT.P", 1, 1, 0, 100.0, 8, at),
            ("Trend", "5m", "XRPUSDT.P", 1, 1, 0, 100.0, 8, at),
        ]
        assert rows(lk, "backtests", "total_pnl_percent") == [pytest.approx(0.95)] * 2
        assert json.loads(rows(lk, "backtests", "parameters")[0]) == {"stake_currency": "USDT", "stoploss": -0.2}
        trades = ["strategy", "side", "leverage", "mode", "pnl", "pnl_percent", "stop_loss", "max_favorable"]
        assert rows(lk, "trades", *trades) == [
            (name, "SHORT", 3.0, "backtest", 9.5, pytest.approx(28.5), 2.4, 1.7) for name in ("Bounce", "Trend")
        ]
        assert rows(lk, "trades", "fees") == [pytest.approx(50 * (2.0 + 1.8) * 0.001 + 0.2)] * 2
        joined = "SELECT count(*) FROM fills JOIN trades USING (trade_id) JOIN backtests ON run_id = backtests.run_id"
        assert lk.sql(joined.replace("ON run_id", "ON trades.run_id")).fetchall() == [(4,)]
        assert rows(lk, "fills", "side", "is_entry", "commission") == [
            ("BUY", False, pytest.approx(0.09)), ("BUY", False, pytest.approx(0.09)),
            ("SELL", True, pytest.approx(0.1)), ("SELL", True, pytest.approx(0.1)),
        ]  # fmt: skip


def test_an_archive_is_read_without_its_code_and_without_what_opens_an_account(tmp_path: Path) -> None:
    path = archive(tmp_path / "backtest-result-2025-01-01_00-00-00.zip", result())
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "freqtrade", path)
        assert report.totals["landed"] == 4
        assert "left in the archive" in notes(report)
        config = json.loads(rows(lk, "backtests", "parameters")[0])["config"]
        assert config["exchange"] == {"name": "binance"}
        assert {*rows(lk, "backtests", "venue"), *rows(lk, "trades", "venue"), *rows(lk, "fills", "venue")} == {
            "binance"
        }
        assert "SECRET" not in str(rows(lk, "backtests", "parameters", "extra"))


@pytest.mark.parametrize("others", [{"notes.json": [1]}, {"a.json": {"params": {}}, "b.json": {"strategy": "Bounce"}}])
def test_the_result_in_an_archive_of_another_name_is_what_begins_like_one(tmp_path: Path, others: Any) -> None:
    path = tmp_path / "mine.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for name, document in {**others, "backtest-result-2024.json": result()}.items():
            packed.writestr(name, json.dumps(document))
    with lake.open(tmp_path / "lake") as lk:
        assert imported(lk, "freqtrade", path).totals["landed"] == 4


def test_the_same_result_packed_and_unpacked_is_one_run(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    written(folder / "backtest-result-1.json", result())
    with gzip.open(folder / "backtest-result-2.json.gz", "wt") as file:
        json.dump(result(), file)
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "freqtrade", folder)
        assert (report.totals["found"], report.totals["landed"], report.totals["changed"]) == (8, 8, 4)
        assert [lk.read(name).height for name in ("backtests", "trades", "fills")] == [1, 1, 2]


def test_a_folder_holds_bots_and_results_and_the_rest_is_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "user_data"
    results = folder / "backtest_results"
    results.mkdir(parents=True)
    bot(folder / "tradesv3.sqlite", 2024, trades=[trade(1)])
    written(folder / "config.json", {"max_open_trades": 3})
    written(results / "backtest-result-1.json", result())
    meta = {"Bounce": {"run_id": "another", "backtest_start_time": 1710000000}}
    written(results / "backtest-result-1.meta.json", meta)
    written(results / ".last_result.json", {"latest_backtest": "backtest-result-1.json"})
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "freqtrade", folder)
        assert report.totals["landed"] == 5
        assert "passed over, as they look like no result: config.json" in notes(report)
        assert "run_id is run of Bounce in the file, and another in the .meta.json" in notes(report)


def test_totals_that_disagree_with_the_trades_are_told_and_the_trades_are_believed(tmp_path: Path) -> None:
    path = written(tmp_path / "r.json", result(wins=5, losses=0, total_trades=1))
    with lake.open(tmp_path / "lake") as lk:
        assert "Bounce: wins is 5 in the file, and 1 by its trades" in notes(imported(lk, "freqtrade", path))
        assert rows(lk, "backtests", "wins") == [1]


@pytest.mark.parametrize(
    "odd", [{"fee_open": "a"}, {"amount": [1]}, {"orders": "none"}, {"orders": True}, {"orders": ["x"]}]
)
def test_an_odd_value_of_a_trade_costs_no_more_than_the_trade(tmp_path: Path, odd: dict[str, Any]) -> None:
    path = written(tmp_path / "r.json", result(trades=[result_trade(**odd), result_trade(pair="ETH/BTC")]))
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "freqtrade", path)
        assert "ETHBTC" in rows(lk, "trades", "symbol")


@pytest.mark.parametrize("odd", [True, 5, "Bounce", {"Bounce": 1}])
def test_a_comparison_of_strategies_that_is_no_list_is_passed_over(tmp_path: Path, odd: Any) -> None:
    path = written(tmp_path / "r.json", {**result(), "strategy_comparison": odd})
    with lake.open(tmp_path / "lake") as lk:
        assert imported(lk, "freqtrade", path).totals["refused"] == 0


def test_repeated_runs_of_one_configuration_are_told_apart_by_their_beginning(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        for begun in (1710000000, 1710009999):
            document = result()
            document["metadata"]["Bounce"]["backtest_start_time"] = begun
            imported(lk, "freqtrade", written(tmp_path / f"r{begun}.json", document))
        assert lk.read("backtests").height == 2
        assert lk.read("trades").height == 2


def test_fees_of_results_from_2020_are_known_by_their_older_names(tmp_path: Path) -> None:
    then = {"open_fee": 0.001, "close_fee": 0.002, "fee_open": None, "fee_close": None, "orders": [], "is_short": False}
    made = result_trade(**then, profit_percent=-0.1, funding_fees=None)
    path = written(tmp_path / "backtest-result-2020.json", result(trades=[made]))
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "freqtrade", path)
        assert rows(lk, "trades", "fees") == [pytest.approx(50 * (2.0 * 0.001 + 1.8 * 0.002))]


def test_a_list_of_lists_is_a_run_named_after_its_file(tmp_path: Path) -> None:
    entries = [
        ["LINK/USDT", 0.0125, 1561096200.0, 1561098000.0, 69, 30, 1.5, 1.6, False, "roi"],
        ["LINK/USDT", -0.02, 1561176000.0, 1561176000.0, 47, 0, 1.6, 1.5, True, "force_sell"],
        ["LINK/USDT", "broken"],
    ]
    path = written(tmp_path / "backtest-result-BinHV45.json", entries)
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "freqtrade", path)
        assert (report.totals["landed"], report.totals["refused"]) == (3, 1)
        assert rows(lk, "backtests", "strategy", "trades", "wins", "losses") == [("BinHV45", 2, 1, 1)]
        assert rows(lk, "trades", "opened_at", "pnl_percent", "exit_reason", "pnl") == [
            (datetime(2019, 6, 21, 5, 50, tzinfo=UTC), pytest.approx(1.25), "roi", None),
            (datetime(2019, 6, 22, 4, 0, tzinfo=UTC), pytest.approx(-2.0), "force_sell", None),
        ]


def test_a_result_that_breaks_off_gives_what_comes_before(tmp_path: Path) -> None:
    whole = json.dumps(result(trades=[result_trade(), result_trade(pair="ADA/USDT:USDT")]))
    path = tmp_path / "r.json"
    path.write_text(whole[: whole.index("ADA/USDT") + 3])
    with lake.open(tmp_path / "lake") as lk:
        report = import_from(lk, "freqtrade", str(path))
        assert report.balanced
        assert report.failed
        assert rows(lk, "trades", "symbol") == ["XRPUSDT.P"]


@pytest.mark.parametrize(
    ("text", "told"),
    [("", "the file is empty"), ('{"trades": []}', "not a result of a backtest"), ("nothing", "not a JSON file")],
)
def test_another_file_is_no_result(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with lake.open(tmp_path / "lake") as lk, pytest.raises(SourceError, match=told):
        import_from(lk, "freqtrade", str(path))


def test_a_pointer_to_a_result_that_is_gone_is_told(tmp_path: Path) -> None:
    path = written(tmp_path / ".last_result.json", {"latest_backtest": "gone.json"})
    with lake.open(tmp_path / "lake") as lk, pytest.raises(SourceError, match="is not beside it"):
        import_from(lk, "freqtrade", str(path))


@pytest.mark.parametrize(
    ("name", "mode"), [("tradesv3.sqlite", "live"), ("tradesv3.dryrun.sqlite", "paper"), ("dry_run.sqlite", "paper")]
)
def test_a_database_from_before_results_and_orders_were_kept_tells_what_its_trades_brought(
    tmp_path: Path, name: str, mode: str
) -> None:
    """As freqtrade itself does when it brings such a database to a later version; Bittrex called pairs quote first."""
    path = bot(tmp_path / name, 2021, trades=[trade(1, pair="BTC_XRP"), trade(2, is_open=1, close_date=None)])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("alter table trades drop column close_profit_abs")
        connection.execute("drop table orders")
        connection.commit()
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "freqtrade", path)
        assert rows(lk, "trades", "symbol", "mode", "pnl") == [
            ("XRPBTC", mode, pytest.approx(50 * 2.2 * 0.999 - 50 * 2.0 * 1.001)), ("XRPUSDT", mode, None),
        ]  # fmt: skip
        assert "reckoned of amount, rates and fees" in notes(report)
        assert ("a dry run, by the name" in notes(report)) == (mode == "paper")


@pytest.mark.parametrize("damage", ["cut", "checksum"])
def test_of_a_folder_with_a_damaged_result_the_others_land(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    legacy = [["XRP/BTC", 0.1, 1_583_020_800.0, 1_583_024_400.0, n, 60, 1.0, 1.1, False, "roi"] for n in range(50)]
    packed = gzip.compress(json.dumps(legacy).encode())
    broken = packed[:-20] if damage == "cut" else packed[:-8] + b"1234" + packed[-4:]
    (folder / "backtest-result-a.json.gz").write_bytes(broken)
    written(folder / "backtest-result-b.json", legacy)
    (folder / "other.sqlite").write_bytes(b"")
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "freqtrade", folder)
        assert report.failed
        told = notes(report)
        assert ("breaks off" if damage == "cut" else "backtest-result-a.json.gz: it cannot be read: CRC") in told
        assert "other.sqlite: the file is empty" in told
        assert [t.landed for t in report.tables if t.table == "backtest-result-b.json trades"] == [50]


def test_what_follows_the_end_of_a_result_is_told_and_makes_no_other_run_of_it(tmp_path: Path) -> None:
    legacy = [["XRP/USDT", 0.01, 1709287200, 1709294400, 1, 120, 2.0, 2.1, False, "roi"]]
    file = written(tmp_path / "backtest-result-Old.json", legacy)
    once = file.read_text()
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "freqtrade", file)
        file.write_text(once * 2)
        report = import_from(lk, "freqtrade", str(file))
        assert "something follows the end of the JSON" in notes(report)
        assert report.failed
        assert [lk.read(name).height for name in ("backtests", "trades")] == [1, 1]


def test_lists_of_trades_that_are_equal_are_told_for_only_their_names_tell_the_strategy(tmp_path: Path) -> None:
    legacy = [["XRP/USDT", 0.01, 1709287200, 1709294400, 1, 120, 2.0, 2.1, False, "roi"]]
    (folder := tmp_path / "results").mkdir()
    for name in ("backtest-result-A.json", "backtest-result-B.json"):
        written(folder / name, legacy)
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "freqtrade", folder)
        assert "it holds the same as backtest-result-A.json, byte for byte" in notes(report)
        assert rows(lk, "backtests", "strategy") == ["A", "B"]
