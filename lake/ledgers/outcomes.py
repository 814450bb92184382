"""How a decision came out: what is said of it, and what follows from the trades that came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from lake.clock import MICROS_PER_MINUTE
from lake.errors import UsageError
from lake.kernels.pnl import margin
from lake.spec import registry
from lake.spec.numbers import is_null
from lake.spec.rows import converter
from lake.store.hot.entry import Row

OUTCOME = (
    "outcome_correct",
    "actual_pnl",
    "actual_pnl_percent",
    "max_favorable",
    "max_adverse",
    "hold_duration_minutes",
)
_DIRECTIONS = ("LONG", "SHORT")
_DS = registry.get("decisions")


def with_former(known: Row) -> list[Row]:
    """The history of a decision's outcomes, the recorded one at its end."""
    names = (*OUTCOME, "ambiguous", "traded", "outcome_source", "outcome_recorded_at")
    former = {name: known[name] for name in names if name in known}
    return [*orjson.loads(known.get("outcome_history") or "[]"), former]


def said_of(outcome: Mapping[str, Any]) -> dict[str, Any]:
    """The outcome as far as it is given.

    Raises:
        UsageError: no part of an outcome, or NaN.
        InvalidRowError: a value does not fit.
    """
    said: dict[str, Any] = {}
    for name, value in outcome.items():
        if name not in OUTCOME:
            raise UsageError("no part of an outcome", value=name, todo=f"It has: {', '.join(OUTCOME)}.")
        if value is None or is_null(value):
            continue
        said[name] = converter(_DS, _DS.column(name))(value)
        if said[name] is None:
            raise UsageError("an outcome that is no number", where=name, value=value, todo="Leave it out.")
    return said


def are_over(trades: Sequence[Row]) -> bool:
    """Whether the trades of a decision tell its outcome: one was closed, and none goes on."""
    statuses = {row["status"] for row in trades}
    return "closed" in statuses and statuses.isdisjoint({"pending", "open"})


def outcome_of(decision: Row, said: Mapping[str, Any], trades: Sequence[Row]) -> dict[str, Any]:
    """What is given, and what follows from it and from the trades once all of them have ended."""
    closed = [row for row in trades if row["status"] == "closed"]
    is_over = are_over(trades)
    found = {**_result(closed), **said} if is_over else dict(said)
    direction, pnl = decision.get("recommendation"), found.get("actual_pnl")
    if "outcome_correct" not in found and direction in _DIRECTIONS and pnl is not None:
        same_side = not is_over or closed[0].get("side") in (None, direction)
        found["outcome_correct"] = pnl > 0 if same_side else pnl < 0
    if is_over:
        found["traded"] = True
        if len(closed) == 1:
            found["trade_id"] = closed[0]["trade_id"]
    return found


def _result(closed: Sequence[Row]) -> dict[str, Any]:
    """The outcome of closed trades taken as one."""
    pnls = [row["pnl"] for row in closed if row.get("pnl") is not None]
    opened = [row.get("opened_at", row["created_at"]) for row in closed]
    ended = [row["closed_at"] for row in closed if row.get("closed_at") is not None]
    best, worst = (max, min) if closed[0].get("side") != "SHORT" else (min, max)
    found = {
        "actual_pnl": sum(pnls) if len(pnls) == len(closed) else None,
        "actual_pnl_percent": _percent(closed),
        "max_favorable": best((row["max_favorable"] for row in closed if "max_favorable" in row), default=None),
        "max_adverse": worst((row["max_adverse"] for row in closed if "max_adverse" in row), default=None),
        "hold_duration_minutes": max(0.0, (max(ended) - min(opened)) / MICROS_PER_MINUTE) if ended else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _percent(closed: Sequence[Row]) -> float | None:
    """Result of the trades on their own money; None where it is not known of all."""
    if len(closed) == 1:
        return closed[0].get("pnl_percent")
    if any(row.get(name) is None for row in closed for name in ("pnl", "entry_price", "quantity")):
        return None
    bound = sum(margin(row["entry_price"], row["quantity"], row.get("leverage") or 1.0) for row in closed)
    total: float = sum(row["pnl"] for row in closed)
    return 100.0 * total / bound if bound else None
