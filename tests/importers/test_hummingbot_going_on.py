"""A hummingbot whose database is imported while it trades: in whatever order, each fill is in the lake once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given

from tests.importers.databases import Changing, run
from tests.importers.going_on import IMPORT, MODEL, Steps, lived, steps, without
from tests.importers.test_hummingbot import AT_MS, fill, order, store

ACTS = (
    "create", "create", "fill", "complete", "complete", "cancel", "tell_late", "tell_late", "purge_fills",
    "purge_orders", "execute", "fill_after_all", "fill_after_all",
)  # fmt: skip
_AMOUNT, _PART = 1_200_000, 400_000


class Hummingbot(Changing):
    """A bot and its database, and the same database as if nothing of it had been purged."""

    kind = "hummingbot"
    options: dict[str, Any] = {"bot_id": "maker"}  # noqa: RUF012

    def __init__(self, folder: Path) -> None:
        whole = store(folder / "whole.sqlite")
        super().__init__(store(folder / "h.sqlite"), whole)
        self.whole = str(whole)
        self._now, self._count = AT_MS, 0
        self._orders: dict[str, int] = {}  # that are not over -> what was executed
        self._over: dict[str, int] = {}
        self._given_up: dict[str, int] = {}

    def create(self, choice: int) -> None:
        """Send an order."""
        self._count += 1
        name = f"{'buy' if choice % 2 else 'sell'}://{self._count}"
        self._orders[name] = 0
        word = "BuyOrderCreated" if choice % 2 else "SellOrderCreated"
        at = self._tick()
        self.insert("Order", order(name, word, amount=_AMOUNT, creation_timestamp=at, last_update_timestamp=at))
        self.insert("OrderStatus", {"order_id": name, "timestamp": at, "status": word})

    def fill(self, choice: int) -> None:
        """A part of an order that goes on is executed, and written down."""
        if name := _chosen(self._orders, choice):
            self._orders[name] += _PART
            self._execution(name, self._orders[name])
            if self._orders[name] == _AMOUNT:
                self.complete(list(self._orders).index(name))

    def complete(self, choice: int) -> None:
        """An order is executed as a whole; of what was not written down there is no row, or not yet."""
        if name := _chosen(self._orders, choice):
            self._end(name, "BuyOrderCompleted" if name.startswith("buy") else "SellOrderCompleted")

    def cancel(self, choice: int) -> None:
        """The rest of an order is given up."""
        if name := _chosen(self._orders, choice):
            self._end(name, "OrderCancelled" if choice % 2 else "OrderFailure")
            self._given_up[name] = self._over.pop(name)

    def fill_after_all(self, choice: int) -> None:
        """A part of an order that was given up is written down late, or was executed all the same."""
        if (name := _chosen(self._given_up, choice)) and self._given_up[name] < _AMOUNT:
            self._given_up[name] += _PART
            self._execution(name, self._given_up[name], "OrderFilled" if choice % 2 else None)

    def tell_late(self, choice: int) -> None:
        """A part of an order that was executed as a whole is written down afterwards."""
        if (name := _chosen(self._over, choice)) and self._over[name] < _AMOUNT:
            self._over[name] += _PART
            self._execution(name, self._over[name])

    def purge_fills(self, _choice: int) -> None:
        """Executions are purged, once they were imported."""
        self._forget("TradeFill")

    def purge_orders(self, _choice: int) -> None:
        """Orders that are over are purged, once they were imported."""
        self._forget("Order")

    def execute(self, choice: int) -> None:
        """An executor begins, goes on, or ends."""
        active = [name for (name,) in self.read("select id from Executors where is_active")]
        name = _chosen(active, choice)
        if name is None or choice % 3 == 0:
            [(count,)] = self.read("select count(*) from Executors")
            name = f"x{count}"
            config = {"trading_pair": "ETH-USDT", "connector_name": "kucoin", "side": 1, "amount": "0.5"}
            row = {"id": name, "timestamp": self._tick() / 1000, "type": "position_executor", "status": 2}
            self.insert("Executors", {**row, "config": json.dumps(config), "net_pnl_quote": 0.0, "is_active": 1})
        else:
            over = "is_active = 0, close_type = 3, close_timestamp = ?" if choice % 3 == 1 else "status = ?"
            self.run(f"update Executors set net_pnl_quote = net_pnl_quote + 1.25, {over} where id = ?",
                      [self._tick(), name])  # fmt: skip

    def _end(self, name: str, word: str) -> None:
        self._over[name] = self._orders.pop(name)
        self._status(name, word)

    def _execution(self, name: str, number: int, word: str | None = None) -> None:
        self._status(name, "OrderFilled" if name in self._orders else word)
        side = "BUY" if name.startswith("buy") else "SELL"
        self.insert("TradeFill", fill(name, f"t{number}", trade_type=side, amount=_PART, timestamp=self._tick()))

    def _status(self, name: str, word: str | None) -> None:
        if word is not None:
            at = self._tick()
            self.run('update "Order" set last_status = ?, last_update_timestamp = ? where id = ?', [word, at, name])
            self.insert("OrderStatus", {"order_id": name, "timestamp": at, "status": word})

    def _forget(self, table: str) -> None:
        gone = ", ".join(f"'{name}'" for name in self._orders)
        column = "id" if table == "Order" else "order_id"
        run(Path(self.source), f'delete from "{table}" where {column} not in ({gone})')

    def _tick(self) -> int:
        self._now += 1_000
        return self._now


def _chosen(names: Any, choice: int) -> str | None:
    return list(names)[choice % len(names)] if names else None


def _imported_before_purges(done: Steps) -> Steps:
    """What was never imported cannot be known once it is gone."""
    return [one for act in done for one in ([(IMPORT, 0), act] if act[0].startswith("purge") else [act])]


@MODEL
@given(steps(*ACTS))
def test_in_whatever_order_a_bot_trades_and_is_imported_each_fill_is_there_once(done: Steps) -> None:
    """As in a lake that was brought all of it at once, but for the ids of fills, and states that were in between."""
    ours, once = lived(Hummingbot, _imported_before_purges(done))
    for name in ("fills", "trades"):
        beside = ("fill_id", "extra") if name == "fills" else ()
        assert without({name: ours[name]}, *beside) == without({name: once[name]}, *beside)
