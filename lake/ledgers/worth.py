"""What a position is worth at its price, and the target on the way to which its checkpoints lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from lake.kernels import pnl as kernel
from lake.spec import registry
from lake.spec.numbers import finite
from lake.spec.patch import folder
from lake.spec.rows import row_checker
from lake.store.hot.entry import Row

_DS = registry.get("positions")
_RESULT = ("unrealized_pnl", "unrealized_pnl_percent")
_OF = ("side", "entry_price", "quantity", "current_price")


def unrealized(row: Row) -> dict[str, float]:
    """The result at the current price of a position, in the columns of the dataset; empty where that is not known.

    Percent are of own money, by its ``leverage`` (1 where it has none).
    """
    if any(row.get(name) is None for name in _OF) or not row["entry_price"]:
        return {}
    side, entry, quantity, price = (row[name] for name in _OF)
    return dict(zip(_RESULT, kernel.pnl(entry, price, quantity, side, _leverage(row)), strict=True))


def valued(known: Row | None, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes of a position (of a new one, all of it) with the result that they make, where they do not tell it.

    A result that the exchange reports is kept, and its percent follow from it.

    Raises:
        InvalidRowError: a value does not fit.
    """
    made = row_checker(_DS)(changes) if known is None else folder(_DS)(known, changes)
    before = known or {}
    said = changes.get(_RESULT[0]) is not None
    same = all(made.get(name) == before.get(name) for name in _OF) and _leverage(made) == _leverage(before)
    if same and not said:
        return dict(changes)
    found: dict[str, Any] = unrealized(made)
    if said:
        found = _percent(made)
    elif not found:
        found = {name: None for name in _RESULT if name in before}
    told = {name for name in _RESULT if changes.get(name) is not None}
    return {**changes, **{name: value for name, value in found.items() if name not in told}}


def target(row: Row) -> float | None:
    """Where it is to go: its tp1, else the ``take_profit`` that was given with it."""
    return row.get("tp1") or _more(row, "take_profit")


def _percent(row: Row) -> dict[str, float]:
    entry, quantity = row.get("entry_price"), row.get("quantity")
    bound = kernel.margin(entry, quantity, _leverage(row)) if entry and quantity else 0.0
    return {_RESULT[1]: 100.0 * row[_RESULT[0]] / bound} if bound else {}


def _leverage(row: Row) -> float:
    return _more(row, "leverage") or 1.0


def _more(row: Row, name: str) -> float | None:
    """A number above 0 that the dataset has no column for, as text too, as exchanges tell it."""
    if "extra" not in row:
        return None
    found = finite(orjson.loads(row["extra"]).get(name))
    return found if found is not None and found > 0 else None
