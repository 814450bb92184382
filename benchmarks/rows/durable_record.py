"""One record, acknowledged after an fsync, beside a bare SQLite insert of the same bytes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import partial
from itertools import count, islice
from pathlib import Path
from statistics import median
from typing import Any

import lake
from benchmarks.base import MS, Bench, Result, check, each

_BLOCK = 50


def run(bench: Bench) -> Result:
    """p50 of both, written in turns of 50."""
    blocks = bench.sized(40, least=4)
    with lake.open(bench.folder / "lake", bot_id="bench") as lk:
        records = signals()
        lk.write("signals", next(records))
        payload = _payload(bench.folder / "lake")
        bare = _bare(bench.folder / "bare.db")
        ours: list[float] = []
        theirs: list[float] = []
        write, insert = partial(lk.write, "signals"), partial(_insert, bare, payload)
        sequence = count(1_700_000_000_000_000)
        for _ in range(blocks + 1):
            ours += each(write, [next(records) for _ in range(_BLOCK)])
            theirs += each(insert, list(islice(sequence, _BLOCK)))
        held = lk.sql("SELECT count(*) FROM signals").fetchall()
        kept = bare.execute("SELECT count(*) FROM log").fetchall()
        check(held == [(len(ours) + 1,)] and kept == [(len(theirs),)], f"records held: {held}, {kept}")
        bare.close()
    mine, peer = median(ours[_BLOCK:]), median(theirs[_BLOCK:])
    ratio = mine / peer
    return Result(
        "durable_record",
        f"one durable record ({len(payload)} bytes), p50",
        "<= 1.3x bare SQLite",
        f"{mine * MS:.3f} ms",
        f"SQLite WAL FULL {peer * MS:.3f} ms",
        ratio,
        ratio <= 1.3,
        {"lake_ms": mine * MS, "sqlite_ms": peer * MS, "payload_bytes": len(payload), "records": len(ours) - _BLOCK},
    )


def signals() -> Iterator[dict[str, Any]]:
    """Signals as a bot writes them."""
    for number in count():
        yield {
            "signal_id": f"s-{number:09d}",
            "venue": "binance",
            "symbol": "BTCUSDT",
            "timeframe": "15m",
            "strategy": "trend",
            "signal_type": "BUY",
            "direction": "LONG",
            "strength": 71.5,
            "confidence": 0.64,
            "entry_price": 43_210.5,
            "stop_loss": 42_800.0,
            "tp1": 43_900.0,
            "indicators": '{"rsi":61.2,"adx":27.9,"atr":310.4}',
            "action": "EXECUTED",
            "signal_time": 1_704_067_200_000_000 + number * 1_000_000,
        }


def _payload(folder: Path) -> bytes:
    """The bytes that the hot log holds of the first record."""
    (path,) = (folder / "_hot").glob("*.db")
    reader = sqlite3.connect(path)
    (found,) = reader.execute("SELECT payload FROM log").fetchone()
    reader.close()
    return bytes(found)


def _bare(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE log (seq INTEGER PRIMARY KEY, dataset TEXT NOT NULL, payload BLOB NOT NULL)")
    return connection


def _insert(connection: sqlite3.Connection, payload: bytes, sequence: int) -> None:
    connection.execute("INSERT INTO log VALUES (?, 'signals', ?)", (sequence, payload))
