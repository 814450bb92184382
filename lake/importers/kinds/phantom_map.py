"""Phantoms, which one bot kept in Redis and in a table: one map, so that they merge by key.

The table has no ``phantom_id``, so what tells phantoms apart is symbol, side, entry and the time of the signal.
A phantom whose stop was moved to the entry, or trailed past it, has lost the stop that it was given; a stop that lies
there says only that.
One that timed out is a timeout here, whatever its sign was; what the store called it stays beside it.
"""

from __future__ import annotations

from lake.importers.base import Options, Row, RowMap, Rule
from lake.importers.rules import (
    document,
    first_of,
    flag,
    identity,
    moment,
    number,
    one_of,
    option,
    price,
    renamed,
    result,
    side,
    symbol,
    text,
)

_OUTCOMES = {
    "WIN": "win", "LOSS": "loss", "BREAKEVEN": "breakeven", "BE": "breakeven", "TIMEOUT": "timeout",
    "EXPIRED": "timeout", "UNKNOWN": "unknown", "CANCELLED": "unknown", "ACTIVE": None, "OPEN": None, "NONE": None,
}  # fmt: skip
_ENDS = {"take_profit": "tp", "tp_hit": "tp", "stop_loss": "sl", "sl_hit": "sl", "time_out": "timeout"}

_SYMBOL, _SIDE, _SIGNALLED = symbol("symbol"), side("side"), moment("signal_time")
_ENTRY, _STOP = price("entry_price", "entry"), price("stop_loss", "sl")
_ENDED, _OUTCOME = moment("exit_time"), one_of(_OUTCOMES, "outcome")
_REASON = renamed(_ENDS, "exit_reason")


def _is_moved(row: Row, options: Options) -> bool:
    """Whether the stop lies at the entry."""
    stop = _STOP.read(row, options)
    return stop is not None and stop == _ENTRY.read(row, options)


def _is_trailed(row: Row, options: Options) -> bool:
    """Whether a stop that was moved lies where the price makes a profit."""
    stop, entry = _STOP.read(row, options), _ENTRY.read(row, options)
    if stop is None or entry is None or not flag("be_moved").read(row, options):
        return False
    return bool(stop < entry if _SIDE.read(row, options) == "SHORT" else stop > entry)


def _stop(row: Row, options: Options) -> float | None:
    is_lost = _is_moved(row, options) or _is_trailed(row, options)
    return None if is_lost else _STOP.read(row, options)


def _is_over(row: Row, options: Options) -> bool:
    return bool(_OUTCOME.read(row, options) or _ENDED.read(row, options))


def _status(row: Row, options: Options) -> str:
    return "completed" if _is_over(row, options) else "active"


def _outcome(row: Row, options: Options) -> str | None:
    if not _is_over(row, options):
        return None
    return "timeout" if _REASON.read(row, options) == "timeout" else _OUTCOME.read(row, options) or "unknown"


def _be_moved(row: Row, options: Options) -> bool | None:
    return _is_moved(row, options) or flag("be_moved").read(row, options)


def _ratio(row: Row, options: Options) -> float | None:
    """Multiples of the risk taken; a bot that has lost the stop writes 0."""
    return None if _is_moved(row, options) else number("realized_rr").read(row, options)


def _known_ratio(row: Row, options: Options) -> float | None:
    return _ratio(row, options) or None


def _known_result(row: Row, options: Options) -> float | None:
    """The result, where 0.0 is true only if the stop lay at the entry."""
    value = result("pnl_percent").read(row, options)
    return value if value or _is_moved(row, options) else None


_COLUMNS = {
    "phantom_id": identity("phantom", _SYMBOL, _SIDE, _SIGNALLED, _ENTRY),
    "symbol": _SYMBOL,
    "timeframe": first_of(text("timeframe"), option("timeframe")),
    "strategy": first_of(text("strategy_name", "strategy"), option("strategy")),
    "side": _SIDE,
    "entry_price": _ENTRY,
    "stop_loss": Rule(_STOP.names, _stop),
    "tp1": price("take_profit", "tp"),
    "ml_score": number("ml_score"),
    "was_executed": flag("was_executed"),
    "features": document("features"),
    "regime": text("regime"),
    "signal_time": _SIGNALLED,
    "status": Rule(("outcome", "exit_time"), _status),
    "outcome": Rule(("outcome", "exit_reason"), _outcome),
    "exit_reason": _REASON,
    "exit_price": price("exit_price"),
    "exit_time": _ENDED,
    "pnl_percent": result("pnl_percent"),
    "realized_rr": Rule(("realized_rr",), _ratio),
    "tp1_hit": flag("tp1_hit"),
    "be_moved": Rule(("be_moved",), _be_moved),
    "one_r_hit": flag("one_r_hit"),
    "two_r_hit": flag("two_r_hit"),
    "time_to_tp1_sec": number("time_to_tp1_sec"),
    "time_to_exit_sec": number("time_to_exit_sec"),
    "max_favorable": price("max_favorable"),
    "max_adverse": price("max_adverse"),
}

_SUMS = {"pnl_percent": "pnl_percent"}

REDIS_PHANTOMS = RowMap("phantoms", _COLUMNS, sums=_SUMS, numbered=True)
"""Of the JSON in Redis, which writes null for what is missing."""

TABLE_PHANTOMS = RowMap(
    "phantoms",
    {
        **_COLUMNS,
        "ml_score": price("ml_score"),
        "pnl_percent": Rule(("pnl_percent",), _known_result),
        "realized_rr": Rule(("realized_rr",), _known_ratio),
    },
    sums=_SUMS,
    numbered=True,
)
"""Of ``phantom_trades_live``, which writes 0.0 for what is missing."""
