"""What a lake has of hummingbot's orders and executions, whatever has become of them in its database since.

An order that was executed, and of whose executions the database does not tell yet, lands as one fill. The first of them
that is told takes its place, and its id; the others stand beside it. An order that had come to nothing, and was
executed after all, is a cancelled trade no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from lake.errors import InvalidRowError
from lake.importers.base import Known, Options, Row, RowMap, Rule
from lake.importers.mapping import Canonical, Mapper, found_before
from lake.importers.there import columns_of
from lake.spec import registry

ORDER, FILL = "hummingbot:Order", "hummingbot:TradeFill"  # labels
IN_PLACE = "in_place_of_order"  # of an execution that takes the place of its order
_OF_ORDER = ("exchange_order_id", "order", "statuses")  # what an execution has of its order
_LANDED = (
    "SELECT DISTINCT order_id, venue, symbol FROM fills WHERE list_contains(?, order_id) "
    f"AND coalesce(bot_id, '') = ? AND contains(extra, '\"{FILL}\"')"
)


class LandedOrders:
    """Tells what the lake has of some orders and executions.

    Args:
        fills: what an execution becomes.
        own: the id of the fill that an order becomes of which no execution is told, by the order or an execution.
        trade: the id of the trade that an order becomes which came to nothing, by the order or an execution.
    """

    def __init__(self, fills: RowMap, own: Rule, trade: Rule) -> None:
        self._fills, self._own, self._trade = fills, own, trade
        self._taken: dict[str, Any] = {}  # id of an order's fill -> which of its executions has it
        self._executed: set[str] = set()  # orders of the last batch whose executions the lake has

    def orders(self, lk: Any, rows: Sequence[Row], options: Options) -> Iterator[Row | Known]:
        """Orders without executions in the database; those whose executions the lake has are known by them."""
        names = [str(row["id"]) for row in rows if row["id"] is not None]
        there, rules = set(lk.frame(_LANDED, [names, options.bot_id]).rows()), self._fills.columns
        self._executed = set()
        for row in rows:
            with suppress(InvalidRowError):  # it is refused when it is mapped
                if (str(row["id"]), *(rules[name].read(row, options) for name in ("venue", "symbol"))) in there:
                    self._executed.add(str(row["id"]))
                    yield Known(row)
                    continue
            yield row

    def executed(self, rows: Sequence[Row], options: Options) -> Iterator[str]:
        """The ids as trades of executed orders, by rows of one or of its executions."""
        for row in rows:
            if row.get("was_filled", True) or str(row["id"]) in self._executed:
                with suppress(InvalidRowError):  # it is refused when it is mapped
                    yield self._trade.read(row, options)

    def fills(self, lk: Any, rows: Sequence[Row], options: Options) -> Iterator[Row]:
        """Executions, each with what its order told if that is gone; one of an order's takes its place."""
        named = [self._named(row, options) for row in rows]
        keys = [{"fill_id": name} for name in sorted({name for names in named for name in names})]
        there = columns_of(lk, registry.get(self._fills.dataset), keys, ["fill_id", "extra"])
        mapper = Mapper(self._fills, options, FILL)
        for row, names in zip(rows, named, strict=True):
            landed, order = (there.get((name,), {}) for name in names or ("", ""))
            done = dict(row)
            if found_before(order, ORDER) is not None and self._takes(row, names[1], order, landed, mapper):
                landed, done[IN_PLACE] = order, True
            yield done if "order" in row else {**done, **_told(landed)}

    def _named(self, row: Row, options: Options) -> tuple[str, ...]:
        """The id of an execution, and that of its order's fill; none of one of no order, or that will be refused."""
        with suppress(InvalidRowError):
            if row.get("order_id") is not None:
                return self._fills.columns["fill_id"].read(row, options), self._own.read(row, options)
        return ()

    def _takes(self, row: Row, own: str, order: Canonical, landed: Canonical, mapper: Mapper) -> bool:
        """Whether an execution has the place of its order's fill, or takes it: if none has, and it did not land."""
        number = row.get("exchange_trade_id")
        told = found_before(order, FILL)
        if told is None and own not in self._taken and (not landed or landed is order):
            with suppress(InvalidRowError):  # it is refused
                mapper(row)
                self._taken[own] = number
        taken = self._taken.get(own) if told is None else told.get("exchange_trade_id")
        return (told is not None or own in self._taken) and bool(taken == number)


def _told(landed: Canonical) -> Mapping[str, Any]:
    """What a fill of the lake tells of its order."""
    told = found_before(landed, FILL) or {}
    return {name: told[name] for name in _OF_ORDER if name in told}
