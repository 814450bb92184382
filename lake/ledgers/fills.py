"""Fills: the executions that an exchange reported, and what they say of a trade."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from lake.ledgers.base import Ledger, changed, given, stated
from lake.ledgers.demands import checked, refuse_another, refuse_nan
from lake.ledgers.receipt import Receipt
from lake.ledgers.same_id import Kind, write_apart
from lake.ledgers.transaction import Whole
from lake.query.read import text_asked
from lake.spec.frames import dicts
from lake.spec.tables import as_polars, is_rows
from lake.store.hot.entry import Row

_IDENTITY = ("symbol", "venue", "side", "quantity", "price")
_COLUMNS = "fill_id, trade_id, side, quantity, price, is_entry, commission, commission_asset"
_OPENS = {"LONG": "BUY", "SHORT": "SELL"}


@dataclass(frozen=True, slots=True)
class TradeFills:
    """What the fills of one trade come to.

    Attributes:
        entry_quantity, exit_quantity: in the base currency.
        entry_price, exit_price: averages weighted by quantity; None without such fills.
        fees: by commission asset, "" where it is unknown; they are not converted.
    """

    entry_quantity: float
    entry_price: float | None
    exit_quantity: float
    exit_price: float | None
    fees: Mapping[str, float]


class Fills(Ledger):
    """Records executions; ``lk.fills``."""

    dataset = "fills"

    def record(self, fills: Any = None, /, **fields: Any) -> Receipt:
        """Record executions: one as a dict or keyword arguments, or many in any form.

        The same fill_id again is the same fill, so what an exchange reports twice counts once; one that is given alone
        adds to what is known, of many each is whole. A fill of another bot, symbol, venue, side, quantity or price
        under a known id is refused, except in a table with times: where an exchange counts the fills of each symbol
        anew, put the symbol into the id.

        Raises:
            InvalidRowError: the one row given does not fit, or lacks its side, quantity or price; of many, those are
                quarantined and reported.
            LifeCycleError: the one row given has the id of another fill; of many, those are quarantined and reported.
        """
        if fills is None or isinstance(fills, Mapping):
            return self._record(given(fills, fields))
        if is_rows(fills):
            return self._record_many(dicts(self._ds, fills))
        table = as_polars(fills)
        if any(name == self._ds.event_time or name.lower() in self._ds.time_aliases for name in table.columns):
            return self._writer.write("fills", table)
        return self._record_many(table.to_dicts())  # of known ones the time is kept

    def _record_many(self, rows: Sequence[Mapping[str, Any]]) -> Receipt:
        return write_apart(self._writer, self._engine, Kind(self._ds, _IDENTITY), rows)

    def _record(self, row: Mapping[str, Any]) -> Receipt:
        if row.get("fill_id") is None:
            return self._new.insert(checked(self._ds, row))
        fill_id = str(row["fill_id"])

        def fold(known: Row | None) -> Mapping[str, Any] | Whole:
            if known is None:
                return Whole(checked(self._ds, row))
            refuse_nan(self._ds, row)
            refuse_another(self._ds, known, row, _IDENTITY, self._writer.bot)
            return stated(self._ds, row)

        return changed((fill_id,), *self._writer.change("fills", (fill_id,), fold, is_new=True))

    def of_trade(self, trade_id: str) -> pl.DataFrame:
        """The fills of a trade, in order of time."""
        asked = text_asked("fills", "trade_id", trade_id)
        return self._engine.frame("SELECT * FROM fills WHERE trade_id = ? ORDER BY executed_at, fill_id", [asked])

    def summary(self, trade_id: str) -> TradeFills:
        """Quantities, average prices and fees of a trade, from its fills; inside a transaction also from those in it.

        A fill that does not say whether it is an entry is one when its side opens the trade: BUY of a LONG, SELL of a
        SHORT. Of an unknown trade it is neither.

        A trade that was bought or sold in parts is closed with it, at the mean prices of all of them and once nothing
        is left, also in the transaction of its last fill:

            found = lk.fills.summary("t1")
            lk.trades.close("t1", found.exit_price, entry_price=found.entry_price, quantity=found.exit_quantity,
                            fees=found.fees.get("USDT", 0.0))
        """
        trade_id = text_asked("fills", "trade_id", trade_id)
        found = self._engine.frame(f"SELECT {_COLUMNS} FROM fills WHERE trade_id = ?", [trade_id]).to_dicts()
        newest: dict[str, Row] = {row["fill_id"]: row for row in (*found, *self._writer.unlanded("fills"))}
        opening = self._opening_side(trade_id)
        parts: dict[bool | None, list[Row]] = {True: [], False: [], None: []}
        fees: dict[str, list[float]] = {}
        for row in newest.values():
            if row.get("trade_id") == trade_id:
                is_entry = row.get("is_entry")
                parts[is_entry if is_entry is not None or opening is None else row.get("side") == opening].append(row)
                if row.get("commission") is not None:
                    fees.setdefault(row.get("commission_asset") or "", []).append(row["commission"])
        total = {asset: math.fsum(fees[asset]) for asset in sorted(fees)}
        return TradeFills(*_mean(parts[True]), *_mean(parts[False]), total)

    def _opening_side(self, trade_id: str) -> str | None:
        """The side of the executions that open a trade; None where the trade, or its side, is not known."""
        known = self._engine.frame("SELECT trade_id, side FROM trades WHERE trade_id = ?", [trade_id]).to_dicts()
        sides = {row["trade_id"]: row.get("side") for row in (*known, *self._writer.unlanded("trades"))}
        return _OPENS.get(sides.get(trade_id) or "")


def _mean(fills: Sequence[Row]) -> tuple[float, float | None]:
    """The quantity of executions and their mean price; of one price it is that one, whatever rounding says."""
    known = [(row["quantity"], row["price"]) for row in fills if None not in (row.get("quantity"), row.get("price"))]
    quantity = math.fsum(part for part, _ in known)
    if not quantity:
        return quantity, None
    prices = [price for _, price in known]
    mean = math.fsum(part * price for part, price in known) / quantity
    return quantity, min(max(mean, min(prices)), max(prices))
