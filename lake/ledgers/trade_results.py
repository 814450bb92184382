"""What a trade made: as it follows from its row, or as it was given."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lake.clock import now_micros
from lake.errors import InvalidRowError, LifeCycleError, UsageError
from lake.kernels import pnl as kernel
from lake.spec.dataset import Dataset
from lake.spec.patch import folder
from lake.spec.rows import converter, row_checker
from lake.store.hot.entry import Row

LIQUIDATED = "liquidated"
IDENTITY = ("symbol", "venue", "side", "mode")  # what tells one trade from another, beside its bot
PRICES = ("entry_price", "exit_price", "quantity", "side")
MONEY = (*PRICES, "leverage", "fees")
RESULT = ("pnl", "pnl_percent")
IF_WRONG = "Correct it with lk.trades.correct(...) if it is wrong, with status='open' if it is not over."
_FEES = 0.01  # so much less may be left to sell where fees were taken in what was bought


def follows(row: Mapping[str, Any], *, capped: bool = True) -> kernel.Pnl | None:
    """The result that follows from a row, None where it lacks a price, its quantity or its side.

    Of a liquidated trade it is no less than the loss of its margin, unless it is asked for without that cap.
    """
    if any(row.get(name) is None for name in PRICES):
        return None
    entry, exit_, quantity, side = (row[name] for name in PRICES)
    leverage = row.get("leverage") or 1.0
    found = kernel.pnl(entry, exit_, quantity, side, leverage, row.get("fees") or 0.0)
    bound = kernel.margin(entry, quantity, leverage)
    if capped and row.get("exit_reason") == LIQUIDATED and found.pnl < -bound:
        return kernel.Pnl(-bound, -100.0 if bound else 0.0)
    return found


def is_given(row: Row) -> bool:
    """Whether a row's pnl was given: it has one that does not follow from its prices, quantity, side and fees."""
    pnl = row.get("pnl")
    if pnl is None:
        return False
    found = [follows(row, capped=capped) for capped in (True, False)]
    return not any(f is not None and math.isclose(f.pnl, pnl, rel_tol=1e-12, abs_tol=_last_digits(row)) for f in found)


def _last_digits(row: Row) -> float:
    """So far two ways to compute the same result may be apart."""
    return 1e-12 * float(row["quantity"] * (row["entry_price"] + row["exit_price"]) + abs(row.get("fees") or 0.0))


def result(row: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Pnl and pnl_percent of a checked row as far as they are known; those among its changes are kept."""
    said = {name: row[name] for name in _said(changes)}
    if "pnl" in said:
        return {**_percent(row, said["pnl"]), **said}
    found = follows(row)
    return {**(found._asdict() if found else {}), **said}


def unknown(trade_id: str, row: Row) -> LifeCycleError:
    """The error of a trade that ends, whose result does not follow from what is known of it."""
    missing = next(name for name in ("side", "entry_price", "quantity") if row.get(name) is None)
    return LifeCycleError(
        f"its result cannot be known without {missing}",
        where=f"trades, {trade_id}",
        todo=f"Give {missing}=... or pnl=..., or cancel a trade that was never filled.",
    )


def _said(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in RESULT if row.get(name) is not None}


def _percent(row: Mapping[str, Any], pnl: float) -> dict[str, Any]:
    if row.get("entry_price") is None or row.get("quantity") is None:
        return {}
    bound = kernel.margin(row["entry_price"], row["quantity"], row.get("leverage") or 1.0)
    return {"pnl_percent": 100.0 * pnl / bound} if bound else {}


def corrected(ds: Dataset, known: Row, changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The changes of a closed trade, and what they make of its result.

    Raises:
        InvalidRowError: a value does not fit.
        LifeCycleError: its pnl was given, and a price, its quantity or its side changes without another pnl; or it
            would lose its closed_at.
    """
    row = folder(ds)(known, changes)
    _refuse_unended(known, row)
    if "pnl" in changes:
        again = {} if row.get("pnl") is not None else {"pnl": None, "pnl_percent": None}
        return {**changes, **again, **result(row, changes)}
    moved = [name for name in MONEY if row.get(name) != known.get(name)]
    if not moved and known.get("exit_reason") == row.get("exit_reason"):
        return changes
    if not is_given(known):
        return {**changes, **result(row, changes)}
    for name in moved:
        if name in PRICES and known.get(name) is not None:
            raise LifeCycleError(
                f"its pnl was given, and another {name} does not say what it is now",
                where=f"trades, {known['trade_id']}",
                value=known["pnl"],
                todo="Give pnl=... with it, or pnl=None to have it computed.",
            )
    pnl = known["pnl"] - ((row.get("fees") or 0.0) - (known.get("fees") or 0.0))
    return {"pnl": pnl, **(_percent(row, pnl) if moved else {}), **changes}


def _refuse_unended(known: Row, made: Row) -> None:
    """A closed trade without its closed_at would count in no period's figures."""
    if known.get("closed_at") is not None and made.get("closed_at") is None:
        where = f"trades.closed_at, {known['trade_id']}"
        raise LifeCycleError("a closed trade was closed at some time", where=where, todo="Give another closed_at.")


def reopened(known: Row, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes of a trade that is not over after all, and what they take back: its end and its result."""
    ended = ("closed_at", "exit_price", "exit_reason", *RESULT)
    back = {} if known["status"] == "open" else dict.fromkeys(name for name in ended if name in known)
    return {"opened_at": known.get("opened_at", known["created_at"]), **back, **changes}


def refuse_patch(known: Row, made: Row) -> None:
    """Refuse a patch that goes round the life of a trade: of its status, or of the result of a closed one.

    Raises:
        LifeCycleError: it does.
    """
    before, after = known["status"], made.get("status")
    where = f"trades, {known['trade_id']}"
    if after != before and (before, after) != ("pending", "open"):
        todo = "Use lk.trades.open, close, liquidate, cancel or error, or correct if it is not over after all."
        raise LifeCycleError(f"a patch does not make it {after}, it is {before}", where=where, todo=todo)
    if before != "closed":
        return
    _refuse_unended(known, made)
    for name in (*MONEY, *RESULT):
        if made.get(name) != known.get(name):
            raise LifeCycleError(
                f"it is closed, and a patch of its {name} would leave the rest of its result",
                where=where,
                value=made.get(name),
                todo="Correct it with lk.trades.correct(...).",
            )


def refuse_back(ds: Dataset, known: Row, row: Mapping[str, Any]) -> None:
    """Refuse a whole trade that would take back what is known of its life.

    Raises:
        LifeCycleError: it has ended otherwise than ``row`` says, or is open and not pending any more.
        InvalidRowError: no status.
    """
    said = row.get("status")
    after = "open" if said is None else converter(ds, ds.column("status"))(said)
    before = known.get("status", "open")
    if before in {after, "pending"} or (before == "open" and after != "pending"):
        return
    raise LifeCycleError(
        f"it is {before}, and a record of it as {after} would take that back",
        where=f"trades, {known['trade_id']}",
        todo=IF_WRONG,
    )


def completed(ds: Dataset, row: Mapping[str, Any]) -> dict[str, Any]:
    """A whole trade with its result, planned when it was filled if it does not say when.

    A trade that does not fit is left as it is: the check of the row, when it is written, says what is wrong.
    """
    made = {**row}
    try:
        checked = row_checker(ds)(row)
    except InvalidRowError:
        return made
    if row.get("status") is not None:
        made["status"] = checked["status"]
    if row.get(ds.event_time) is None and not any(str(name).lower() in ds.time_aliases for name in row):
        made[ds.event_time] = checked.get("opened_at", checked.get("closed_at"))
    if checked["status"] == "closed":
        made.update(result(checked, checked))
    return made


def ended_now(known: Row) -> int:
    """When a trade ended of which that is said now: not before it was opened, by a clock that may be ahead."""
    opened: int = known.get("opened_at", 0)
    return max(now_micros(), opened)


def refuse_part(ds: Dataset, known: Row, said: Mapping[str, Any]) -> None:
    """Refuse to end a trade with less than it holds: the result of the rest would be lost.

    Raises:
        LifeCycleError: the quantity given is less than the trade's.
        InvalidRowError: a value does not fit.
    """
    held, left = known.get("quantity"), folder(ds)(known, said).get("quantity")
    if held is not None and left is not None and left < held * (1 - _FEES):
        raise LifeCycleError(
            f"it holds {held:g}, and a trade is closed as a whole",
            where=f"trades.quantity, {known['trade_id']}",
            value=left,
            todo="Record partial exits as fills, and close the trade at their mean price (lk.fills.summary) when all "
            "is sold, with quantity= that of its exits. If no more was ever filled, patch its quantity first.",
        )


def exit_given(ds: Dataset, price: Any) -> float:
    """The price of an exit, in whatever form a number is given.

    Raises:
        InvalidRowError: it is no finite number of at least 0.
    """
    try:
        found: float | None = converter(ds, ds.column("exit_price"))(price)
    except InvalidRowError:
        found = None
    if found is None:
        raise InvalidRowError(
            "the price of an exit is a finite number of at least 0",
            where="trades.exit_price",
            value=price,
            todo="Give exit_price, or the pnl that the exchange reports.",
        )
    return found


def liquidated(ds: Dataset, known: Row, exit_price: float | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What a liquidation changes: the price, where none is given that at which the margin is lost, and the result.

    Raises:
        UsageError: the row lacks what its margin is computed from.
        InvalidRowError: a value does not fit.
    """
    row = folder(ds)(known, fields)
    if any(row.get(name) is None for name in ("entry_price", "quantity", "side")):
        where = f"trades, {known['trade_id']}"
        raise UsageError("its margin is unknown", where=where, todo="Patch entry_price, quantity and side first.")
    price = exit_price
    if price is None:
        price = kernel.liquidation_price(row["entry_price"], row["side"], row.get("leverage") or 1.0)
    end = {"status": "closed", "exit_reason": LIQUIDATED, "exit_price": price}
    found = result({**row, **end}, fields)
    return {"closed_at": ended_now(known), **fields, **end, **found}
