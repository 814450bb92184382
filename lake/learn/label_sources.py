"""What a lake holds unresolved, as events, and how an outcome goes into each kind of row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from lake.clock import MICROS_PER_HOUR
from lake.errors import UsageError
from lake.kernels import phantom as kernel
from lake.ledgers.open_rows import landed_open_rows
from lake.ledgers.phantom_rows import of_signal
from lake.ledgers.writer import Writer
from lake.query.engine import Engine
from lake.spec import registry
from lake.spec.decode import frame_to_rows
from lake.store.hot.entry import Row

_PRICES = ("entry_price", "stop_loss", "tp1", "tp2", "tp3")
_EVENT = {
    **dict.fromkeys(("event_id", "venue", "symbol", "side"), pl.String),
    **dict.fromkeys(_PRICES, pl.Float64),
    **dict.fromkeys(("start_time", "timeout_at"), pl.Int64),
}
_PHANTOM = ("status", "outcome", "side", "venue", "symbol", *_PRICES, "signal_time", "timeout_at")
_DECISION = ("recommendation", "venue", "symbol", "entry_price", "stop_loss", "take_profit", "analyzed_at", "traded")
_KEPT = (
    "outcome", "exit_reason", "exit_price", "exit_time", "pnl_percent", "realized_rr", "tp1_hit", "tp2_hit", "tp3_hit",
    "be_moved", "one_r_hit", "two_r_hit", "time_to_tp1_sec", "time_to_exit_sec", "max_favorable", "max_adverse",
    "ambiguous",
)  # fmt: skip
_SIGNALS = """
SELECT s.* FROM signals AS s
WHERE s.direction IN ('LONG', 'SHORT')
    AND NOT EXISTS (SELECT 1 FROM phantoms AS p WHERE p.signal_id = s.signal_id OR p.phantom_id = s.signal_id)
ORDER BY s.signal_time, s.signal_id
"""
_UNKNOWN = """
SELECT * FROM phantoms WHERE status = 'completed' AND outcome = 'unknown' AND exit_reason = 'gap' ORDER BY phantom_id
"""
_TRADED = """
SELECT DISTINCT decision_id FROM trades
WHERE decision_id IS NOT NULL AND mode IS DISTINCT FROM 'backtest' AND status IN ('pending', 'open', 'closed')
"""


@dataclass(frozen=True)
class Source:
    """Unresolved rows of one kind.

    Attributes:
        dataset: where outcomes are written.
        events: the rows as events.
        rows: id -> the row as it was read.
        fold: (row as it was read, label, now, row as it is) -> what changes, or None.
        has_unknown: whether it is news of its rows that their outcome is unknown.
    """

    dataset: str
    events: pl.DataFrame
    rows: Mapping[str, Row]
    fold: Callable[[Row, Row, int, Row | None], Mapping[str, Any] | None]
    has_unknown: bool


def unresolved(source: str, writer: Writer, engine: Engine, timeout_hours: float | None) -> Source:
    """What is unresolved of phantoms, decisions or signals, or unknown of phantoms; with a bot id those of that bot.

    Raises:
        UsageError: decisions or signals, which have no timeout of their own, and none is given.
    """
    if source in {"phantoms", "unknown"}:
        is_again = source == "unknown"
        rows = _stored("phantoms", _UNKNOWN, writer, engine) if is_again else landed_open_rows(writer, "phantoms")
        events = [{**row, "event_id": row["phantom_id"], "start_time": row["signal_time"]} for row in rows]
        return Source("phantoms", _frame(events), {row["phantom_id"]: row for row in rows}, _phantom, not is_again)
    if timeout_hours is None:
        raise UsageError("when are they given up?", where="timeout_hours", todo="Give hours above 0.")
    wait = int(timeout_hours * MICROS_PER_HOUR)
    if source == "decisions":
        rows = [row for row in landed_open_rows(writer, "decisions") if not row.get("traded")]
        named = set(engine.frame(_TRADED)["decision_id"]) if rows else set()
        by_id = {row["decision_id"]: row for row in rows if row["decision_id"] not in named}
        asked = [_of_decision(row, wait) for row in by_id.values()]
        return Source("decisions", _frame(asked), by_id, _decision, has_unknown=False)
    made: list[Row] = [_of_signal(row, wait) for row in _stored("signals", _SIGNALS, writer, engine)]
    events = [{**row, "event_id": row["phantom_id"], "start_time": row["signal_time"]} for row in made]
    return Source("phantoms", _frame(events), {row["phantom_id"]: row for row in made}, _signal, has_unknown=True)


def _stored(dataset: str, sql: str, writer: Writer, engine: Engine) -> list[Row]:
    """Rows that a query finds; with a bot id those of that bot."""
    rows = frame_to_rows(registry.get(dataset), engine.frame(sql))
    return [row for row in rows if not writer.bot or row.get("bot_id", "") == writer.bot]


def _frame(events: Sequence[Row]) -> pl.DataFrame:
    made = pl.DataFrame([{name: row.get(name) for name in _EVENT} for row in events], schema=_EVENT)
    return made.with_columns(pl.col("start_time", "timeout_at").cast(pl.Datetime("us", "UTC")))


def _of_decision(row: Row, wait: int) -> Row:
    start = row["analyzed_at"]
    more = {"event_id": row["decision_id"], "side": row["recommendation"], "tp1": row.get("take_profit")}
    return {**row, **more, "start_time": start, "timeout_at": start + wait}


def _of_signal(row: Row, wait: int) -> Row:
    """The phantom that follows a signal; it has the signal's id."""
    taken = {name: value for name, value in of_signal(row).items() if value is not None}
    made = {**taken, "phantom_id": row["signal_id"], "signal_id": row["signal_id"]}
    return {**made, "timeout_at": row["signal_time"] + wait}


def _phantom(seen: Row, label: Row, _: int, known: Row | None) -> Mapping[str, Any] | None:
    """The outcome, unless it has ended meanwhile, or what it was computed from has changed."""
    if known is None or any(known.get(name) != seen.get(name) for name in _PHANTOM):
        return None
    return _outcome(label)


def _signal(seen: Row, label: Row, _: int, known: Row | None) -> Mapping[str, Any] | None:
    """A new phantom with its outcome, unless there is one meanwhile."""
    return {**seen, **kernel.begun(seen), **_outcome(label)} if known is None else None


def _outcome(label: Row) -> Row:
    return {"status": "completed", **{name: label[name] for name in _KEPT if label[name] is not None}}


def _decision(seen: Row, label: Row, now: int, known: Row | None) -> Mapping[str, Any] | None:
    """The outcome, unless another was recorded or it was traded meanwhile. Without an amount there is no actual_pnl."""
    if known is None or known.get("outcome_recorded_at") is not None:
        return None
    if any(known.get(name) != seen.get(name) for name in _DECISION):
        return None
    return {
        "outcome_correct": label["pnl_percent"] > 0,
        "actual_pnl_percent": label["pnl_percent"],
        "max_favorable": label["max_favorable"],
        "max_adverse": label["max_adverse"],
        "hold_duration_minutes": label["time_to_exit_sec"] / 60,
        "outcome_recorded_at": now,
        "outcome_source": "candles",
        "ambiguous": label["ambiguous"],
    }
