"""Made-up signals, phantoms, decisions, trades and predictions with all that is awkward about real ones."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

Row = dict[str, Any]
START = datetime(2026, 3, 1, tzinfo=UTC)
STRATEGIES = ("trend", "scalp", "range", None)
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT.P")
REASONS = ("low score", "no slots", "news", None)
NOTHING = (None, math.nan)  # both are written; both are read as null


def some(rng: Random, value: Any, missing: float = 0.1) -> Any:
    """The value, or now and then nothing."""
    return rng.choice(NOTHING) if rng.random() < missing else value


def maybe(rng: Random) -> bool | None:
    return rng.choice((True, False, None))


def when(rng: Random, days: int = 12) -> datetime:
    return START + timedelta(microseconds=rng.randrange(days * 86_400_000_000))


def who(rng: Random) -> Row:
    return {"bot_id": rng.choice(("a", "b")), "venue": rng.choice(("", "bybit")), "symbol": rng.choice(SYMBOLS)}


def signals(rng: Random, count: int) -> list[Row]:
    return [
        {
            "signal_id": f"s{i}",
            **who(rng),
            "strategy": rng.choice(STRATEGIES),
            "action": rng.choice(("EXECUTED", "IGNORED", "REJECTED", "REJECTED", None)),
            "rejection_reason": rng.choice(REASONS) if rng.random() < 0.7 else None,
            "confidence": some(rng, rng.random()),
            "entry_price": some(rng, rng.uniform(90, 110)),
            "stop_loss": some(rng, rng.uniform(80, 90)),
            "tp1": some(rng, rng.uniform(110, 130)),
            "signal_time": when(rng),
        }
        for i in range(count)
    ]


def phantoms(rng: Random, count: int, of_signals: int) -> list[Row]:
    """Some name a signal, two may name the same one, and some name one that is not in the lake."""
    return [_phantom(rng, i, of_signals) for i in range(count)]


def _phantom(rng: Random, i: int, of_signals: int) -> Row:
    executed = maybe(rng)
    given, entry = when(rng), rng.uniform(90, 110)
    row = {
        "phantom_id": f"p{i}",
        "signal_id": rng.choice(
            (None, f"s{rng.randrange(of_signals)}", f"s{rng.randrange(of_signals)}", f"lost{i // 3}")
        ),
        **who(rng),
        "strategy": rng.choice(STRATEGIES),
        "side": rng.choice(("LONG", "SHORT", None)),
        "entry_price": some(rng, entry),
        "stop_loss": some(rng, rng.choice((entry, entry - 2.0, entry + 3.0))),
        **{f"tp{k}": some(rng, entry + k, 0.3) for k in (1, 2, 3)},
        "ml_score": some(rng, rng.choice((0.0, 69.99, 70.0, 100.0, rng.uniform(0, 100)))),
        "was_executed": executed,
        "reject_reason": rng.choice(REASONS) if executed is not True else None,
        "features": {"rsi": rng.random()},
        "regime": rng.choice(("up", None)),
        "signal_time": given,
        "status": rng.choice(("active", "completed")),
    }
    made = {**row, **(_end(rng, given, entry) if rng.random() < 0.8 else {})}
    return made if made["status"] == "completed" else {**made, **_in_order(made)}


def _in_order(row: Row) -> Row:
    """The levels of an active phantom, on their sides of its entry."""
    entry, way = row["entry_price"] or 100.0, -1.0 if row["side"] == "SHORT" else 1.0
    distances = {"stop_loss": -2.0, "tp1": 1.0, "tp2": 2.0, "tp3": 3.0}
    return {n: entry + way * d for n, d in distances.items() if row[n] is not None}


def _end(rng: Random, given: datetime, entry: float) -> Row:
    return {
        "status": "completed",
        "outcome": rng.choice(("win", "win", "loss", "loss", "breakeven", "timeout", "unknown", None)),
        "exit_time": rng.choice((None, given + timedelta(minutes=rng.choice((-1, 5, 5000))))),
        "pnl_percent": some(rng, rng.gauss(0, 2)),
        "realized_rr": some(rng, rng.gauss(0, 1)),
        **{name: maybe(rng) for name in ("tp1_hit", "tp2_hit", "tp3_hit", "be_moved", "one_r_hit", "two_r_hit")},
        "ambiguous": maybe(rng),
        "time_to_tp1_sec": some(rng, rng.uniform(0, 9e4)),
        "time_to_exit_sec": some(rng, rng.uniform(0, 9e4)),
        "max_favorable": some(rng, entry + rng.uniform(-5, 5)),
        "max_adverse": some(rng, entry + rng.uniform(-5, 5)),
    }


def decisions(rng: Random, count: int) -> list[Row]:
    rows = []
    for i in range(count):
        made, known = when(rng), rng.random() < 0.7
        rows.append(
            {
                "decision_id": f"d{i}",
                **who(rng),
                "recommendation": rng.choice(("LONG", "SHORT", "HOLD", None)),
                "confidence": some(rng, rng.choice((0.0, 0.1, 0.3, 0.7, 0.9999999, 1.0, rng.random()))),
                "entry_price": some(rng, rng.uniform(90, 110)),
                "take_profit": some(rng, rng.uniform(110, 120)),
                "market_snapshot": {"price": rng.random()},
                "prompt_version": rng.choice(("v1", "v2", None)),
                "model_version": rng.choice(("m1", "m2", None)),
                "latency_ms": some(rng, rng.uniform(100, 9000)),
                "input_tokens": rng.choice((None, rng.randrange(9000))),
                "output_tokens": rng.choice((None, rng.randrange(900))),
                "cost_usd": some(rng, rng.uniform(0, 0.1)),
                "traded": maybe(rng),
                "trade_id": rng.choice((None, None, f"t{rng.randrange(count)}")),
                "analyzed_at": made,
                **({"outcome_correct": rng.random() < 0.5} if known else {}),
                **({"outcome_recorded_at": made + timedelta(hours=rng.choice((-1, 30)))} if known or i % 5 else {}),
                "actual_pnl": some(rng, rng.choice((0.0, rng.gauss(0, 10))), 0.4),
                "actual_pnl_percent": some(rng, rng.gauss(0, 2)),
                "ambiguous": (None, False, True)[i % 3],
            }
        )
    return rows


def trades(rng: Random, count: int) -> list[Row]:
    """Some name their decision and two may name the same; of the others a decision may name the trade."""
    rows = []
    for i in range(count):
        made = when(rng)
        rows.append(
            {
                "trade_id": f"t{i}",
                **who(rng),
                "side": rng.choice(("LONG", "SHORT")),
                "status": rng.choice(("closed", "closed", "closed", "open", "cancelled")),
                "mode": rng.choice(("live", "paper", "backtest")),
                "strategy": rng.choice(STRATEGIES),
                "signal_id": rng.choice((None, f"s{rng.randrange(count)}")),
                "decision_id": rng.choice((None, f"d{rng.randrange(count)}")),
                "pnl": some(rng, rng.choice((0.0, rng.gauss(0, 10))), 0.2),
                "pnl_percent": some(rng, rng.choice((0.0, rng.gauss(0, 2))), 0.2),
                "stop_loss": 1.0,
                "features": {"x": i},
                "created_at": made,
                "opened_at": rng.choice((None, made + timedelta(seconds=5))),
                "closed_at": rng.choice((None, made + timedelta(hours=1))),
            }
        )
    return rows


def predictions(rng: Random, count: int) -> list[Row]:
    rows = []
    for i in range(count):
        made, minutes = when(rng), rng.choice((15, 60, None))
        rows.append(
            {
                "prediction_id": f"q{i}",
                **who(rng),
                "model_version": rng.choice(("m1", "m2", None)),
                "predicted_direction": rng.choice(("UP", "DOWN", "LONG", "SHORT", "FLAT", None)),
                "probability": some(rng, rng.choice((0.0, 0.5, 1.0, rng.random()))),
                "horizon_minutes": minutes,
                "predicted_at": made,
                "due_at": made + timedelta(minutes=minutes or 1),
                "correct": maybe(rng),
                "resolved_at": rng.choice((None, made + timedelta(minutes=90))),
                "actual_return": some(rng, rng.gauss(0, 0.01)),
            }
        )
    return rows
