"""Rows for tests of the storage, and what a lake holds of them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from multiprocessing.context import SpawnProcess
from typing import Any

import polars as pl

import lake

MINUTE_MS = 60_000
T0 = 1_704_067_200_000  # 2024-01-01, in milliseconds


def candle(number: int, close: float = 1.5, symbol: str = "BTCUSDT") -> dict[str, Any]:
    """The one-minute candle of that number since 2024."""
    prices = {"open": close, "high": close + 1, "low": close / 2, "close": close}
    return {"symbol": symbol, "open_time": T0 + number * MINUTE_MS, **prices, "volume": float(number)}


def candles(numbers: Iterable[int], close: float = 1.5, symbol: str = "BTCUSDT") -> pl.DataFrame:
    """Several of them as a frame."""
    return pl.DataFrame([candle(n, close, symbol) for n in numbers])


def write_candles(lk: lake.Lake, numbers: Iterable[int], close: float = 1.5, symbol: str = "BTCUSDT") -> Any:
    """Write them; returns the receipt."""
    return lk.candles.write(candles(numbers, close, symbol), "1m", venue="binance")


def trade(number: int | str, status: str = "closed", **more: Any) -> dict[str, Any]:
    """A trade with an id and a time of its own."""
    created = datetime(2024, 3, 1, tzinfo=UTC)
    return {"trade_id": f"t{number}", "symbol": "BTCUSDT", "status": status, "created_at": created, **more}


def metric(number: int, value: float = 1.0, name: str = "funding_rate") -> dict[str, Any]:
    """A market metric at that minute."""
    return {"symbol": "BTCUSDT", "metric": name, "time": T0 + number * MINUTE_MS, "value": value}


def trade_ids(lk: Any) -> list[str]:
    """Ids of all trades that can be read, repeated ones included."""
    return sorted(r[0] for r in lk.sql("SELECT trade_id FROM trades").fetchall())


def closes(lk: Any) -> dict[int, float]:
    """Number -> close of every candle of BTCUSDT; fails when one is there twice."""
    rows = lk.sql("SELECT epoch_ms(open_time), close FROM candles WHERE symbol = 'BTCUSDT'").fetchall()
    found = {(at - T0) // MINUTE_MS: close for at, close in rows}
    assert len(found) == len(rows), "a key is there twice"
    return found


def spawned(work: Callable[..., None], *arguments: Any) -> SpawnProcess:
    """A started process that runs a module's function."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    process.start()
    return process


def finished(*processes: SpawnProcess) -> None:
    """Wait for processes, and fail if one of them did."""
    for process in processes:
        process.join(120)
    assert [p.exitcode for p in processes] == [0] * len(processes)


def settled_rows(lk: lake.Lake, name: str) -> int:
    """How many rows of a dataset have been drained."""
    table = lk.store.table(name)
    return table.rows(table.state().files.values())
