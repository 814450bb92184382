"""Rows of phantoms: what they take from their signal, what follows from their exit, and their features as columns."""

from __future__ import annotations

from typing import Any

import orjson
import polars as pl

from lake.kernels import phantom as kernel
from lake.spec.inputs import as_decided
from lake.store.hot.entry import Row

_RESULT = ("outcome", "pnl_percent", "realized_rr", "time_to_exit_sec")
_SAME = ("bot_id", "venue", "symbol", "timeframe", "strategy", "entry_price", "stop_loss", "tp1", "tp2", "tp3")
_FROM_SIGNAL = {
    **{name: name for name in (*_SAME, "signal_time")},
    "side": "direction",
    "features": "indicators",
    "reject_reason": "rejection_reason",
}


def of_signal(signal: Row | None) -> dict[str, Any]:
    """What a phantom takes from its signal, as that was given."""
    if signal is None:
        return {}
    signal = as_decided(signal)
    taken = {name: signal[of] for name, of in _FROM_SIGNAL.items() if of in signal}
    return {**taken, **({"was_executed": signal["action"] == "EXECUTED"} if "action" in signal else {})}


def result_of(row: Row) -> dict[str, Any]:
    """What follows from the exit of a completed phantom and is not said; nothing where side, entry or exit is not."""
    if any(row.get(name) is None for name in ("side", "entry_price", "exit_price")):
        return {}
    at = max(row.get("exit_time", 0), row["signal_time"])
    found = kernel.ending(row, row.get("exit_reason", ""), row["exit_price"], at)
    names = _RESULT if "exit_time" in row else _RESULT[:-1]
    return {name: found[name] for name in names if name in found and name not in row}


def features(texts: list[str | None]) -> list[pl.Series]:
    """Features given as JSON text, one map a row, as a column ``feature_<name>`` each."""
    maps = [found if isinstance(found := orjson.loads(text or "{}"), dict) else {"value": found} for text in texts]
    names = sorted({name for found in maps for name in found})
    return [_feature(name, [found.get(name) for found in maps]) for name in names]


def _feature(name: str, values: list[Any]) -> pl.Series:
    if all(value is None or isinstance(value, int | float) for value in values):
        return pl.Series(f"feature_{name}", values, pl.Float64, strict=False)
    texts = [v if v is None or isinstance(v, str) else orjson.dumps(v).decode() for v in values]
    return pl.Series(f"feature_{name}", texts, pl.String)
