"""A decision, its trade and its phantom in one transaction, beside one bare SQLite commit of the same bytes."""

from __future__ import annotations

import sqlite3
from functools import partial
from itertools import count, islice
from pathlib import Path
from statistics import median

import lake
from benchmarks.base import MS, Bench, Result, check, each

_BLOCK = 50
_START = 1_735_689_600_000_000


def run(bench: Bench) -> Result:
    """p50 of both, written in turns of 50."""
    blocks = bench.sized(40, least=4)
    with lake.open(bench.folder / "lake", bot_id="bench") as lk:
        numbers, sequences = count(), count(1_700_000_000_000_000, 3)
        _record(lk, next(numbers))
        payloads = _payloads(bench.folder / "lake")
        bare = _bare(bench.folder / "bare.db")
        made: list[float] = []
        given: list[float] = []
        theirs: list[float] = []
        for _ in range(blocks + 1):
            made += each(partial(_record, lk), list(islice(numbers, _BLOCK)))
            given += each(partial(_record_named, lk), list(islice(numbers, _BLOCK)))
            theirs += each(partial(_insert, bare, payloads), list(islice(sequences, _BLOCK)))
        held = [lk.frame(f"SELECT count(*) FROM {name}").item() for name in ("decisions", "trades", "phantoms")]
        check(held == [len(made) + len(given) + 1] * 3, f"records held: {held}")
        bare.close()
    mine, named, peer = (median(times[_BLOCK:]) for times in (made, given, theirs))
    return Result(
        "record_transaction",
        f"a decision, its trade and its phantom in one transaction ({sum(map(len, payloads))} bytes), p50",
        "<= 1.5x one bare SQLite FULL commit",
        f"{mine * MS:.3f} ms, {named * MS:.3f} ms ({named / peer:.2f}x) under ids of the caller's",
        f"SQLite WAL FULL, one transaction of three inserts {peer * MS:.3f} ms",
        mine / peer,
        max(mine, named) / peer <= 1.5,
        {"lake_ms": mine * MS, "named_ms": named * MS, "sqlite_ms": peer * MS, "records": len(made) - _BLOCK},
    )


def _record(lk: lake.Lake, number: int) -> None:
    """Under ids that the lake makes."""
    at = _START + number * 1_000_000
    what = {"venue": "binance", "symbol": "BTCUSDT", "timeframe": "15m", "entry_price": 43_210.5, "stop_loss": 42_800.0}
    with lk.transaction():
        decision = lk.decisions.record(
            **what, recommendation="LONG", confidence=0.64, take_profit=43_900.0, market_snapshot='{"rsi":61.2}',
            prompt_version="v3", model_version="m1", latency_ms=900, analyzed_at=at,
        )  # fmt: skip
        trade = lk.trades.open(**what, side="LONG", quantity=0.01, decision_id=decision.id, created_at=at)
        lk.phantoms.record(**what, side="LONG", tp1=43_900.0, was_executed=True, trade_id=trade.id, signal_time=at)


def _record_named(lk: lake.Lake, number: int) -> None:
    """Under ids of the caller's, which another process may have used already."""
    at = _START + number * 1_000_000
    what = {"venue": "binance", "symbol": "BTCUSDT", "timeframe": "15m", "entry_price": 43_210.5, "stop_loss": 42_800.0}
    with lk.transaction():
        decision = lk.decisions.record(
            **what, decision_id=f"d{number}", recommendation="LONG", confidence=0.64, take_profit=43_900.0,
            market_snapshot='{"rsi":61.2}', prompt_version="v3", model_version="m1", latency_ms=900, analyzed_at=at,
        )  # fmt: skip
        trade = lk.trades.open(
            **what, trade_id=f"t{number}", side="LONG", quantity=0.01, decision_id=decision.id, created_at=at
        )
        lk.phantoms.record(
            **what, phantom_id=f"p{number}", side="LONG", tp1=43_900.0, was_executed=True, trade_id=trade.id,
            signal_time=at,
        )  # fmt: skip


def _payloads(folder: Path) -> list[bytes]:
    """The bytes that the hot log holds of the first transaction."""
    (path,) = (folder / "_hot").glob("*.db")
    reader = sqlite3.connect(path)
    found = [bytes(payload) for (payload,) in reader.execute("SELECT payload FROM log ORDER BY seq")]
    reader.close()
    return found


def _bare(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE log (seq INTEGER PRIMARY KEY, dataset TEXT NOT NULL, payload BLOB NOT NULL)")
    return connection


def _insert(connection: sqlite3.Connection, payloads: list[bytes], sequence: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(
        "INSERT INTO log VALUES (?, 'signals', ?)", [(sequence + n, payload) for n, payload in enumerate(payloads)]
    )
    connection.execute("COMMIT")
