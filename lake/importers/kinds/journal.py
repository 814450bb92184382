"""trading_journal.json: a signal bot's trades with the conditions of their entry, and what it learnt of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from lake.importers.addresses import existing_file
from lake.importers.base import Check, Notes, Options, Refused, Row, RowMap, Table
from lake.importers.kinds.beside import beside
from lake.importers.kinds.same_trades import SameTrades
from lake.importers.kinds.signal_bot import (
    CLOSED,
    ENTRY,
    EXIT_REASON,
    GIVEN,
    NEEDED_SIDE,
    OUTCOME,
    PERCENT,
    STATUS,
    SYMBOL,
    TIMEFRAME,
    Contradictions,
    disagreeing,
    objects,
    shared_id,
    trade_id,
)
from lake.importers.nested import item, together
from lake.importers.reading.jsons import JsonText, names, rows_in, text_value
from lake.importers.rules import document, first_of, number, option, price, result, share, text
from lake.importers.wording import counted

TRADES = RowMap(
    "trades",
    {
        "trade_id": trade_id(),
        "symbol": SYMBOL,
        "side": NEEDED_SIDE,
        "status": STATUS,
        "mode": option("mode", "live"),
        "strategy": first_of(text("strategy", "strategy_name"), option("strategy")),
        "timeframe": TIMEFRAME,
        "quantity": number("quantity"),
        "leverage": price("leverage"),
        "entry_price": ENTRY,
        "exit_price": price("exit_price"),
        "stop_loss": price("sl_price", "stop_loss"),
        "take_profit": first_of(price("tp_price"), item(0, "tp_prices")),
        "pnl": number("profit_loss_usd", "pnl_usd"),
        "pnl_percent": result(*PERCENT),
        "exit_reason": EXIT_REASON,
        "signal_id": shared_id("id"),
        "conditions": document("conditions", "ict_analysis"),
        "features": document("ml_features"),
        "created_at": GIVEN,
        "opened_at": GIVEN,
        "closed_at": CLOSED,
        "extra": together(confidence=share("confidence"), outcome=OUTCOME),
    },
    sums={"pnl_percent": PERCENT, "pnl": ("profit_loss_usd", "pnl_usd"), "quantity": "quantity"},
    held=frozenset({"conditions", "ml_features"}),
    numbered=True,
)
_CHECKED = {"best_symbols": "symbol", "best_timeframes": "timeframe"}


class Journal:
    """Reads trading_journal.json."""

    name = "journal"
    summary = "trading_journal.json: a signal bot's trades, with conditions and outcomes"

    def tables(self, source: str, _options: Options) -> Iterable[Table | Check]:
        """The trades, and what the bot learnt of them."""
        path = existing_file(source)
        same = SameTrades(self.name, trade_id(), GIVEN)
        yield Table("trades", (same.map(TRADES),), partial(_rows, path), look=same.look)
        yield Check("learnt", "trades", partial(beside, path, "trades".__eq__))


def _rows(path: Path, notes: Notes) -> Iterator[Row | Refused]:
    learnt = _Learnt(notes)
    for row in objects(rows_in(path, "trades", notes, learnt.take)):
        if not isinstance(row, Refused):
            learnt.look(row)
        yield row
    learnt.tell()


class _Learnt:
    """What a journal says of its own trades, compared with them."""

    def __init__(self, notes: Notes) -> None:
        self._notes, self._contradictions = notes, Contradictions()
        self._said: dict[str, Any] = {}
        self._count = 0
        self._ended: dict[str, Counter[str]] = {name: Counter() for name in _CHECKED}

    def take(self, name: str, text: JsonText) -> None:
        """Take what stands beside the trades; of the patterns, which repeat the trades' conditions, only the totals."""
        if name != "patterns" or text.peek() != "{":
            self._said[name] = text.value()
            return
        self._said[name] = True
        for inner in names(text, self._notes):
            if inner in _CHECKED:
                self._said[inner] = text_value(text, self._notes)
            else:
                text.pass_over()

    def look(self, row: Row) -> None:
        """Count one trade."""
        self._count += 1
        self._contradictions.look(row)
        word = str(row.get("outcome") or row.get("status")).upper()
        for name, column in _CHECKED.items():
            if word in {"WIN", "LOSS", "SUCCESS", "FAILED"}:
                self._ended[name][str(row.get(column))] += 1

    def tell(self) -> None:
        """Tell of it."""
        self._contradictions.tell(self._notes)
        metadata = self._said.get("metadata")
        total = metadata.get("total_trades") if isinstance(metadata, dict) else None
        if isinstance(total, int) and total != self._count:
            self._notes.tell(f"its metadata says {counted(total, 'trade')}, and there are {self._count:,}")
        for name in _CHECKED:
            wrong = disagreeing(name, self._said.get(name), self._ended[name], ("total",))
            if wrong:
                self._notes.tell(wrong)
