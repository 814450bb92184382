"""Databases and results as freqtrade has written them over the years, with few rows."""

from __future__ import annotations

import json
import sqlite3
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

_TRADE_2021 = (
    "id integer primary key, exchange varchar not null, pair varchar not null, is_open boolean not null, fee_open float"
    " not null, fee_open_cost float, fee_open_currency varchar, fee_close float not null, open_rate float, close_rate"
    " float, close_profit float, close_profit_abs float, stake_amount float not null, amount float, open_date datetime"
    " not null, close_date datetime, open_order_id varchar, stop_loss float, initial_stop_loss float, max_rate float,"
    " min_rate float, sell_reason varchar, sell_order_status varchar, strategy varchar, timeframe integer"
)
_TRADE_2024 = _TRADE_2021.replace("open_order_id varchar, ", "").replace("sell_reason", "exit_reason") + (
    ", enter_tag varchar, leverage float, is_short boolean, liquidation_price float, interest_rate float, funding_fees"
    " float, realized_profit float, base_currency varchar, stake_currency varchar, trading_mode varchar,"
    " max_stake_amount float"
)
_TRADE_2026 = _TRADE_2024 + ", record_version integer not null default 2"
_ORDER_2021 = (
    "id integer primary key, ft_trade_id integer, ft_order_side varchar not null, ft_pair varchar not null, ft_is_open"
    " boolean not null, order_id varchar not null, status varchar, symbol varchar, order_type varchar, side varchar,"
    " price float, amount float, filled float, remaining float, cost float, order_date datetime, order_filled_date"
    " datetime, order_update_date datetime"
)
_ORDER_2024 = _ORDER_2021 + (
    ", average float, stop_price float, funding_fee float, ft_fee_base float, ft_order_tag varchar, ft_amount float,"
    " ft_price float, ft_cancel_reason varchar"
)
_TABLES = {
    2021: {
        "trades": _TRADE_2021,
        "orders": _ORDER_2021,
        "pairlocks": "id integer primary key, pair varchar, reason varchar, lock_time datetime, lock_end_time datetime,"
        " active boolean",
    },
    2024: {
        "trades": _TRADE_2024,
        "orders": _ORDER_2024,
        "pairlocks": "id integer primary key, pair varchar, side varchar, reason varchar, lock_time datetime,"
        " lock_end_time datetime, active boolean",
        "KeyValueStore": "id integer primary key, key varchar, value_type varchar, string_value varchar, datetime_value"
        " datetime, float_value float, int_value integer",
        "trade_custom_data": "id integer primary key, ft_trade_id integer, cd_key varchar, cd_type varchar, cd_value"
        " text",
    },
}
_TABLES[2026] = {
    **_TABLES[2024],
    "trades": _TRADE_2026,
    "wallet_history": "id integer primary key, timestamp datetime, currency varchar, rate float, quote_currency"
    " varchar, balance float, total_quote float, leverage float, bot_managed boolean",
}


def trade(number: int, **more: Any) -> dict[str, Any]:
    """A closed trade of 2021: 100 USDT of a coin at 2, sold at 2.2."""
    return {
        "id": number, "exchange": "binance", "pair": "XRP/USDT", "is_open": 0, "fee_open": 0.001, "fee_close": 0.001,
        "open_rate": 2.0, "close_rate": 2.2, "close_profit": 0.0978, "close_profit_abs": 9.79, "stake_amount": 100.0,
        "amount": 50.0, "open_date": "2024-03-01 10:00:00.123456", "close_date": "2024-03-01 12:00:00.654321",
        "stop_loss": 2.1, "initial_stop_loss": 1.8, "max_rate": 2.3, "min_rate": 1.9, "strategy": "Bounce",
        "timeframe": 5, **more,
    }  # fmt: skip


def order(number: int, trade_number: int | None, side: str, **more: Any) -> dict[str, Any]:
    """An executed order of fifty coins at 2."""
    return {
        "id": number, "ft_trade_id": trade_number, "ft_order_side": side, "ft_pair": "XRP/USDT", "ft_is_open": 0,
        "order_id": f"o{number}", "status": "closed", "symbol": "XRP/USDT", "order_type": "limit", "side": side,
        "price": 2.0, "amount": 50.0, "filled": 50.0, "remaining": 0.0, "cost": 100.0,
        "order_date": "2024-03-01 10:00:00.000000", "order_filled_date": "2024-03-01 10:00:05.500000", **more,
    }  # fmt: skip


def bot(path: Path, year: int, *, wal: bool = False, **tables: Sequence[Mapping[str, Any]]) -> Path:
    """A database of that year's schema; with ``wal`` its rows lie in the log beside it, as of a bot that runs."""
    with closing(sqlite3.connect(path)) as connection:
        for name, columns in _TABLES[year].items():
            connection.execute(f'create table "{name}" ({columns})')
        if wal:
            connection.execute("pragma journal_mode = wal")
        connection.commit()
        if wal:
            connection.execute("pragma wal_checkpoint(truncate)")
        for name, rows in tables.items():
            for row in rows:
                marks = ", ".join("?" * len(row))
                connection.execute(f'insert into "{name}" ({", ".join(row)}) values ({marks})', list(row.values()))
        connection.commit()
        if wal:
            _keep_log(path)
    if wal:
        _bring_log(path)
    return path


def _keep_log(path: Path) -> None:
    """Put file and log aside while the connection is open: closing it would empty the log."""
    for suffix in ("", "-wal"):
        (path.parent / f".kept{suffix}").write_bytes(path.with_name(path.name + suffix).read_bytes())


def _bring_log(path: Path) -> None:
    for suffix in ("", "-wal"):
        (path.parent / f".kept{suffix}").replace(path.with_name(path.name + suffix))
    path.with_name(path.name + "-shm").unlink(missing_ok=True)


def result_trade(**more: Any) -> dict[str, Any]:
    """A trade of a backtest of 2024, with both its orders."""
    return {
        "pair": "XRP/USDT:USDT", "stake_amount": 100.0, "amount": 50.0, "open_date": "2024-03-01 10:00:00+00:00",
        "close_date": "2024-03-01 12:00:00+00:00", "open_rate": 2.0, "close_rate": 1.8, "fee_open": 0.001,
        "fee_close": 0.001, "profit_ratio": 0.285, "profit_abs": 9.5, "exit_reason": "roi", "is_open": False,
        "initial_stop_loss_abs": 2.4, "stop_loss_abs": 1.9, "min_rate": 1.7, "max_rate": 2.1, "is_short": True,
        "leverage": 3.0, "enter_tag": "dip", "open_timestamp": 1709287200000, "close_timestamp": 1709294400000,
        "funding_fees": -0.2,
        "orders": [
            {"amount": 50.0, "safe_price": 2.0, "ft_order_side": "sell", "order_filled_timestamp": 1709287200000,
             "ft_is_entry": True, "ft_order_tag": "dip", "cost": 100.0},
            {"amount": 50.0, "safe_price": 1.8, "ft_order_side": "buy", "order_filled_timestamp": 1709294400000,
             "ft_is_entry": False, "ft_order_tag": "roi", "cost": 90.0},
        ],
        **more,
    }  # fmt: skip


def result(*strategies: str, trades: Sequence[Mapping[str, Any]] = (), **more: Any) -> dict[str, Any]:
    """What a backtest exports of some strategies, which all made the same trades."""
    made = list(trades) or [result_trade()]
    told = {
        "total_trades": len(made), "profit_total_abs": sum(t["profit_abs"] for t in made), "profit_total": 0.0095,
        "backtest_start_ts": 1709251200000, "backtest_end_ts": 1709337600000, "timeframe": "5m",
        "backtest_run_start_ts": 1710000000, "stake_currency": "USDT", "rejected_signals": 7, "stoploss": -0.2, **more,
    }  # fmt: skip
    names = strategies or ("Bounce",)
    return {
        "metadata": {name: {"run_id": f"run of {name}", "backtest_start_time": 1710000000} for name in names},
        "strategy": {name: {"trades": made, **told, "strategy_name": name} for name in names},
        "strategy_comparison": [{"key": name, "trades": len(made)} for name in names],
    }


def archive(path: Path, document: Mapping[str, Any]) -> Path:
    """A result as it is packed since 2025: with configuration, strategy code, pickles and a feather."""
    config = {
        "max_open_trades": 3, "exchange": {"name": "binance", "key": "SECRET-KEY", "secret": "SECRET"},
        "telegram": {"token": "SECRET-TOKEN", "chat_id": "1234", "enabled": True},
    }  # fmt: skip
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(f"{path.stem}.json", json.dumps(document))
        packed.writestr(f"{path.stem}_config.json", json.dumps(config))
        packed.writestr(f"{path.stem}_Bounce.py", "raise SystemExit('the code of a strategy was run')")
        packed.writestr(f"{path.stem}_Bounce.json", json.dumps({"strategy_name": "Bounce", "params": {}}))
        packed.writestr(f"{path.stem}_signals.pkl", b"\x80\x04not to be read")
        packed.writestr(f"{path.stem}_market_change.feather", b"ARROW1")
    return path
