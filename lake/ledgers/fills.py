"""Fills: the executions that an exchange reported, and what they say of a trade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from lake.ledgers.base import Ledger, changed, given, stated
from lake.ledgers.demands import checked, refuse_another, refuse_nan
from lake.ledgers.receipt import Receipt
from lake.ledgers.same_id import Kind, write_apart
from lake.ledgers.transaction import Whole
from lake.spec.frames import dicts
from lake.spec.tables import as_polars, is_rows
from lake.store.hot.entry import Row

_IDENTITY = ("symbol", "venue", "side", "quantity", "price")
_SUMMARY = """
SELECT entry, sum(quantity) AS quantity, sum(quantity * price) / nullif(sum(quantity), 0) AS price
FROM (
    SELECT f.quantity, f.price, coalesce(f.is_entry, (f.side = 'BUY') = (t.side = 'LONG')) AS entry
    FROM fills f LEFT JOIN trades t USING (trade_id) WHERE f.trade_id = ?
) GROUP BY entry"""
_FEES = """
SELECT coalesce(commission_asset, '') AS asset, sum(commission) AS fees FROM fills
WHERE trade_id = ? AND commission IS NOT NULL GROUP BY ALL ORDER BY asset"""


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
            return self._writer.insert(self._ds, checked(self._ds, row))
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
        return self._engine.frame("SELECT * FROM fills WHERE trade_id = ? ORDER BY executed_at, fill_id", [trade_id])

    def summary(self, trade_id: str) -> TradeFills:
        """Quantities, average prices and fees of a trade, from its fills.

        A fill that does not say whether it is an entry is one when its side opens the trade: BUY of a LONG, SELL of a
        SHORT. Of an unknown trade it is neither.
        """
        sides = {row[0]: row[1:] for row in self._engine.frame(_SUMMARY, [trade_id]).iter_rows()}
        fees = dict(self._engine.frame(_FEES, [trade_id]).iter_rows())
        entry, exit_ = sides.get(True, (0.0, None)), sides.get(False, (0.0, None))
        return TradeFills(entry[0] or 0.0, entry[1], exit_[0] or 0.0, exit_[1], fees)
