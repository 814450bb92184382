"""Stores of a signal bot as they are found: its journal, positions and signals, in both shapes that are known."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

# what the positions of the first shape look like
FOUND = """
CREATE TABLE open_positions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, symbol TEXT NOT NULL, timeframe TEXT NOT NULL, signal_type TEXT NOT NULL,
    entry_price REAL NOT NULL, tp1_price REAL NOT NULL, tp2_price REAL, tp3_price REAL, sl_price REAL NOT NULL,
    current_size REAL DEFAULT 1.0, original_signal_json TEXT NOT NULL, opened_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    last_checked_at TIMESTAMP, checkpoint_25_triggered INTEGER DEFAULT 0, checkpoint_50_triggered INTEGER DEFAULT 0,
    checkpoint_75_triggered INTEGER DEFAULT 0, checkpoint_85_triggered INTEGER DEFAULT 0, status TEXT DEFAULT 'OPEN',
    source TEXT, notes TEXT
);
CREATE TABLE checkpoint_alerts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, position_id INTEGER NOT NULL, checkpoint_level TEXT NOT NULL,
    triggered_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, trigger_price REAL NOT NULL, original_confidence REAL,
    current_confidence REAL, confidence_delta REAL, recommendation TEXT NOT NULL, reasoning TEXT, warnings TEXT,
    action_taken TEXT DEFAULT 'ALERTED', FOREIGN KEY (position_id) REFERENCES open_positions(id)
);
CREATE TABLE position_history (
    id INTEGER PRIMARY KEY AUTOINCREMENT, position_id INTEGER NOT NULL, symbol TEXT NOT NULL, timeframe TEXT NOT NULL,
    signal_type TEXT NOT NULL, entry_price REAL NOT NULL, exit_price REAL NOT NULL, profit_loss_percent REAL,
    profit_loss_usd REAL, outcome TEXT, opened_at TIMESTAMP, closed_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    duration_hours REAL, checkpoints_triggered INTEGER DEFAULT 0
);
"""
SEED = """
CREATE TABLE positions (
    id INTEGER PRIMARY KEY, signal_id TEXT UNIQUE, symbol TEXT, timeframe TEXT, direction TEXT, entry_price REAL,
    sl_price REAL, tp1_price REAL, tp2_price REAL, tp3_price REAL, confidence REAL, status TEXT,
    entry_timestamp INTEGER, checkpoint_25_triggered INTEGER DEFAULT 0, checkpoint_50_triggered INTEGER DEFAULT 0,
    checkpoint_75_triggered INTEGER DEFAULT 0, checkpoint_85_triggered INTEGER DEFAULT 0
);
CREATE TABLE checkpoint_alerts (
    id INTEGER PRIMARY KEY, signal_id TEXT, checkpoint_level REAL, checkpoint_price REAL, recommendation TEXT,
    confidence_at_checkpoint REAL, timestamp INTEGER, FOREIGN KEY (signal_id) REFERENCES positions(signal_id)
);
"""
SIGNAL = "BTCUSDT_1h_20260123_150000"
SEED_TRADE = {
    "id": SIGNAL, "symbol": "BTCUSDT", "timeframe": "1h", "direction": "LONG", "entry_price": 100000.0,
    "sl_price": 97000.0, "tp_prices": [106000.0, 109000.0, 115000.0], "confidence": 75.5, "timestamp": 1769180400,
    "status": "active", "conditions": {"rsi": 41.5}, "ml_features": {"atr": 1.25, "session": "asia"},
}  # fmt: skip
SEED_POSITION = {
    "id": 1, "signal_id": SIGNAL, "symbol": "BTCUSDT", "timeframe": "1h", "direction": "LONG",
    "entry_price": 100000.0, "sl_price": 97000.0, "tp1_price": 106000.0, "tp2_price": 109000.0, "tp3_price": 115000.0,
    "confidence": 75.5, "status": "active", "entry_timestamp": 1769180402, "checkpoint_25_triggered": 1,
}  # fmt: skip


def journal_trade(number: int | str, at: str, signal: str = "BUY", **more: Any) -> dict[str, Any]:
    """One trade of a journal of the first shape, not ended."""
    return {
        "id": number, "timestamp": at, "symbol": "XRPUSDT", "timeframe": "4h", "signal": signal, "confidence": 87,
        "entry_price": 2.25, "tp_price": 2.5, "sl_price": 2.0, "status": "PENDING", "outcome": None,
        "profit_loss_pct": None, "closed_at": None, "notes": [],
        "conditions": {"rsi": 83.25, "ma_20": 2.0625, "trend": None, "aligned": True}, **more,
    }  # fmt: skip


def ended(outcome: str, percent: float, at: str) -> dict[str, Any]:
    """What a trade of a journal has more when it has ended."""
    note = {"timestamp": at, "note": "Автоматично затворен: Цената удари TP @ $2.17"}
    return {"status": outcome, "outcome": outcome, "profit_loss_pct": percent, "closed_at": at, "notes": [note]}


def journal(path: Path, trades: Iterable[Any], **beside: Any) -> Path:
    """A journal's file."""
    text = json.dumps({"metadata": {"version": "1.0"}, "trades": [*trades], **beside})
    path.write_text(text, encoding="utf-8")
    return path


def positions(path: Path, schema: str, rows: Mapping[str, Iterable[Mapping[str, Any]]]) -> Path:
    """A database of positions."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(schema)
        for table, some in rows.items():
            for row in some:
                marks = ", ".join("?" * len(row))
                connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", [*row.values()])
        connection.commit()
    return path


def open_position(number: int, at: str, **more: Any) -> dict[str, Any]:
    """One row of open_positions, of the same trade as :func:`journal_trade`."""
    return {
        "id": number, "symbol": "XRPUSDT", "timeframe": "4h", "signal_type": "BUY", "entry_price": 2.25,
        "tp1_price": 2.5, "sl_price": 2.0, "opened_at": at, "original_signal_json": '{"confidence": 72.5}', **more,
    }  # fmt: skip


def closed_position(number: int, at: str, closed_at: str, **more: Any) -> dict[str, Any]:
    """One row of position_history."""
    return {
        "position_id": number, "symbol": "XRPUSDT", "timeframe": "4h", "signal_type": "BUY", "entry_price": 2.25,
        "exit_price": 2.5, "profit_loss_percent": 11.11, "profit_loss_usd": 25.5, "outcome": "TP1", "opened_at": at,
        "closed_at": closed_at, "duration_hours": 4.25, **more,
    }  # fmt: skip
