"""A freqtrade that is imported while it trades: the lake has in the end what one import would have brought."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import given

from tests.importers import freqtrade_bots
from tests.importers.databases import Changing
from tests.importers.going_on import MODEL, Steps, lived, steps

ACTS = (
    "enter", "enter", "fill", "fill", "fill", "order_exit", "order_exit", "give_up", "trail", "lock", "unlock",
    "remember",
)  # fmt: skip
_OPEN = {"is_open": 1, "close_rate": None, "close_profit": None, "close_profit_abs": None, "close_date": None}


class Freqtrade(Changing):
    """A bot and its database, of which it purges nothing."""

    kind = "freqtrade"
    options: dict[str, Any] = {"bot_id": "bouncer"}  # noqa: RUF012

    def __init__(self, folder: Path) -> None:
        begun = {"key": "bot_start_time", "value_type": "datetime", "datetime_value": "2024-03-01 10:00:00"}
        super().__init__(freqtrade_bots.bot(folder / "bot.sqlite", 2024, KeyValueStore=[begun]))
        self._now = datetime(2024, 3, 1, 10, 0, 0, 123456, tzinfo=UTC)

    def enter(self, choice: int) -> None:
        """Open a trade, or add to one: an order is sent."""
        held = self.read("select id from trades where is_open")
        if not held or choice % 2:
            [(last,)] = self.read("select coalesce(max(id), 0) from trades")
            more = {**_OPEN, "open_date": self._tick(), "amount": 50.0}
            self.insert("trades", freqtrade_bots.trade(last + 1, **more))
            self._order(last + 1, "buy")
        else:
            self._order(held[choice % len(held)][0], "buy")

    def order_exit(self, choice: int) -> None:
        """Send an order that sells a trade, or half of it."""
        if held := self.read("select t.id from trades t where is_open and exists(select 1 from orders where filled > 0"
                             " and ft_trade_id = t.id)"):  # fmt: skip
            self._order(held[choice % len(held)][0], "sell")

    def fill(self, choice: int) -> None:
        """An order is executed by half, or to its end, and with it a trade goes on or is closed."""
        orders = self.read("select id, ft_trade_id, ft_order_side, filled from orders where ft_is_open")
        if not orders:
            return
        order, trade, side, filled = orders[choice % len(orders)]
        now, is_done = self._tick(), bool(choice % 3)
        done = 50.0 if is_done else 25.0
        self.run("update orders set filled = ?, remaining = 50 - ?, average = ?, order_update_date = ?, status = ?,"
                 " ft_is_open = ?, order_filled_date = ? where id = ?",
                 [done, done, 2.0 + choice / 100, now, "closed" if is_done else "open", not is_done,
                  now if is_done else None, order])  # fmt: skip
        sign = 1 if side == "buy" else -1
        self.run("update trades set amount = max(amount + ?, 0), open_rate = open_rate + 0.01 where id = ?",
                 [sign * (done - filled), trade])  # fmt: skip
        if side == "sell" and choice >= 3:
            self.run("update trades set is_open = 0, close_rate = 2.2, close_profit = 0.1, close_profit_abs = 10.0,"
                     " close_date = ?, exit_reason = 'roi' where id = ?", [now, trade])  # fmt: skip
        elif side == "sell":
            self.run("update trades set realized_profit = coalesce(realized_profit, 0) + 1.5 where id = ?", [trade])

    def give_up(self, choice: int) -> None:
        """An order is cancelled, of which a part may have been executed."""
        if orders := self.read("select id from orders where ft_is_open"):
            self.run("update orders set ft_is_open = 0, status = 'canceled', order_update_date = ? where id = ?",
                     [self._tick(), orders[choice % len(orders)][0]])  # fmt: skip

    def trail(self, choice: int) -> None:
        """Stop and extremes of the trades that are open move."""
        self.run("update trades set stop_loss = stop_loss + 0.01, max_rate = max_rate + ? where is_open", [choice / 10])

    def lock(self, choice: int) -> None:
        """A pair is locked."""
        row = {"pair": f"C{choice}/USDT", "lock_time": self._tick(), "lock_end_time": self._tick(), "active": 1}
        self.insert("pairlocks", row)

    def unlock(self, _choice: int) -> None:
        """All pairs are unlocked."""
        self.run("update pairlocks set active = 0")

    def remember(self, choice: int) -> None:
        """A value is remembered, or another for it."""
        self.run("delete from KeyValueStore where key = ?", [f"k{choice % 2}"])
        self.insert("KeyValueStore", {"key": f"k{choice % 2}", "value_type": "int", "int_value": choice})

    def _order(self, trade: int, side: str) -> None:
        [(last,)] = self.read("select coalesce(max(id), 0) from orders")
        more = {"ft_is_open": 1, "status": "open", "filled": 0.0, "remaining": 50.0, "order_filled_date": None}
        self.insert("orders", freqtrade_bots.order(last + 1, trade, side, order_date=self._tick(), **more))

    def _tick(self) -> str:
        self._now += timedelta(seconds=7)
        return self._now.strftime("%Y-%m-%d %H:%M:%S.%f")


@MODEL
@given(steps(*ACTS))
def test_in_whatever_order_a_bot_trades_and_is_imported_the_lake_has_the_same_in_the_end(done: Steps) -> None:
    ours, once = lived(Freqtrade, done)
    for name in ("fills", "trades"):
        assert ours[name] == once[name]
    if "bot_states" in once:  # those in between are there too
        assert all(state in ours["bot_states"] for state in once["bot_states"])
