"""Profit and loss of a position, in money and in percent of its margin."""

from __future__ import annotations

from typing import Any, NamedTuple

import polars as pl

from lake.errors import UsageError
from lake.kernels.rounding import slack
from lake.spec.numbers import finite
from lake.spec.texts import plain

_SIGNS = {"LONG": 1.0, "BUY": 1.0, "SHORT": -1.0, "SELL": -1.0}


class Pnl(NamedTuple):
    """A result: ``pnl`` in the quote currency, ``pnl_percent`` of the margin (1.5 means 1.5 %)."""

    pnl: float
    pnl_percent: float


def direction(side: object) -> float:
    """1 for LONG (or BUY), -1 for SHORT (or SELL).

    Raises:
        UsageError: another side.
    """
    try:
        return _SIGNS[str(plain(side)).upper()]
    except KeyError:
        raise UsageError("a side is LONG or SHORT", where="side", value=side) from None


def margin(entry: float, quantity: float, leverage: float = 1.0) -> float:
    """Money that a position binds: its value at entry over its leverage."""
    return entry * quantity / leverage


def pnl(entry: float, exit: float, quantity: float, side: str, leverage: float = 1.0, fees: float = 0.0) -> Pnl:
    """What a position made, after fees.

    The money is ``(exit - entry) * quantity`` for LONG and its negative for SHORT, less ``fees``; leverage does not
    change it, since the quantity is what was really held. The percentage is of the margin
    ``entry * quantity / leverage``, so leverage multiplies it. A gain of just the fees is 0, whatever rounding says.

    Args:
        entry, exit: prices, above 0 and not below 0, in the quote currency.
        quantity: in the base currency, not negative.
        side: LONG or SHORT.
        leverage: from 1 on for a position with borrowed money.
        fees: all of them, in the quote currency; negative for a rebate.

    >>> pnl(100.0, 110.0, 2.0, "LONG", leverage=5.0, fees=1.0)
    Pnl(pnl=19.0, pnl_percent=47.5)
    >>> pnl(100.0, 110.0, 2.0, "SHORT")
    Pnl(pnl=-20.0, pnl_percent=-10.0)

    Raises:
        UsageError: a price, quantity, leverage or side that cannot be.
    """
    given = _checked(entry=entry, exit=exit, quantity=quantity, leverage=leverage, fees=fees)
    entry, ended, quantity, leverage, fees = given
    amount = direction(side) * (ended - entry) * quantity - fees
    amount = 0.0 if abs(amount) < slack(entry * quantity, ended * quantity, fees) else amount
    bound = margin(entry, quantity, leverage)
    return Pnl(amount, 100.0 * amount / bound if bound else 0.0)


def columns() -> tuple[pl.Expr, pl.Expr]:
    """:func:`pnl` over a table: expressions for the money and the percent.

    The table has entry_price, exit_price and quantity (floats), side (LONG or SHORT), leverage (1 where null) and fees
    (0 where null). Where one of the first four is null, so is the result.

    >>> row = pl.DataFrame({"entry_price": 100.0, "exit_price": 110.0, "quantity": 2.0, "side": "LONG"})
    >>> row.with_columns(leverage=5.0, fees=1.0).select(*columns()).row(0)
    (19.0, 47.5)
    """
    entry, exit_, quantity = pl.col("entry_price"), pl.col("exit_price"), pl.col("quantity")
    sign = pl.col("side").replace_strict({"LONG": 1.0, "SHORT": -1.0}, default=None, return_dtype=pl.Float64)
    fees = pl.col("fees").fill_null(0.0)
    result = sign * (exit_ - entry) * quantity - fees
    amount = pl.when(result.abs() < slack(entry * quantity, exit_ * quantity, fees)).then(0.0).otherwise(result)
    bound = entry * quantity / pl.col("leverage").fill_null(1.0)
    percent = pl.when(bound != 0.0).then(100.0 * amount / bound).otherwise(amount * 0.0)
    return amount.alias("pnl"), percent.alias("pnl_percent")


def liquidation_price(entry: float, side: str, leverage: float) -> float:
    """Price at which the loss is the whole margin (isolated margin, without maintenance margin and fees).

    A LONG with a leverage below 1 never loses all of it: its price is 0.

    >>> liquidation_price(100.0, "LONG", 5.0), liquidation_price(100.0, "SHORT", 5.0)
    (80.0, 120.0)
    >>> liquidation_price(100.0, "LONG", 0.5)
    0.0
    """
    entry, leverage = _checked(entry=entry, leverage=leverage)
    return max(0.0, entry * (1.0 - direction(side) / leverage))


def _checked(**values: Any) -> list[float]:
    """The values as floats, in whatever form the numbers are given."""
    found = []
    for name, value in values.items():
        number = None if isinstance(value, str) else finite(value)
        if number is None:
            raise UsageError("a finite number is wanted", where=name, value=value)
        if (name in {"entry", "leverage"} and number <= 0) or (name in {"exit", "quantity"} and number < 0):
            raise UsageError(
                f"{name} cannot be {'0 or ' if name in {'entry', 'leverage'} else ''}negative", value=value
            )
        found.append(number)
    return found
