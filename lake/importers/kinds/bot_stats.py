"""bot_stats.json: a signal bot's totals, and the signals they were counted from, some of them with their outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from lake.errors import SourceError
from lake.importers.addresses import existing_file
from lake.importers.base import Check, Notes, Options, Refused, Row, RowMap, Rule, Table
from lake.importers.kinds.beside import beside
from lake.importers.kinds.journal import TRADES
from lake.importers.kinds.same_trades import SameTrades
from lake.importers.kinds.signal_bot import GIVEN, Contradictions, disagreeing, objects, trade_id
from lake.importers.kinds.signal_cache import SIGNALS
from lake.importers.reading.jsons import JsonText, rows_in
from lake.importers.rules import found
from lake.importers.wording import counted

_TRADED = ("status", "result", "outcome")
_TOTAL = ("count", "total", "total_signals")
_BY = {"by_symbol": "symbol", "by_timeframe": "timeframe"}


def _is_trade(row: Row) -> bool:
    """Whether it was followed up: older entries are signals only."""
    return found(row, _TRADED)[1] is not None


def _maps(same: SameTrades) -> tuple[RowMap, ...]:
    """Signals and trades, which meet those that another store of the bot has told of."""
    traded = same.met_id
    name = Rule(traded.names, lambda row, options: traded.read(row, options) if _is_trade(row) else None)
    return (
        RowMap("signals", {**SIGNALS.columns, "trade_id": name}),
        replace(same.map(TRADES), when=_is_trade),
    )


class BotStats:
    """Reads bot_stats.json."""

    name = "bot-stats"
    summary = "bot_stats.json: a signal bot's signals and their outcomes; its totals are compared and kept"

    def tables(self, source: str, _options: Options) -> Iterable[Table | Check]:
        """The signals, of which those that were followed up are trades as well; and the totals."""
        path, same = existing_file(source), SameTrades(self.name, trade_id(), GIVEN)

        def look(lk: Any, rows: Sequence[Row], options: Options) -> None:
            same.look(lk, [row for row in rows if _is_trade(row)], options)

        yield Table("signals", _maps(same), partial(_rows, path), look=look)
        yield Check("totals", "signals", partial(beside, path, "signals".__eq__))


def _rows(path: Path, notes: Notes) -> Iterator[Row | Refused]:
    totals = _Totals()
    for row in objects(rows_in(path, "signals", notes, totals.take, required=False)):
        if not isinstance(row, Refused):
            totals.look(row)
        yield row
    if not totals.count and not totals.said.keys() & {"total_signals", "statistics", *_BY} and totals.said:
        raise SourceError("it has neither signals nor totals", where=str(path), value=[*totals.said][:5])
    totals.tell(notes)


class _Totals:
    """What the file says of its signals, and what they are."""

    def __init__(self) -> None:
        self.said: dict[str, Any] = {}
        self.count = 0
        self._counted = {name: Counter[str]() for name in _BY}
        self._contradictions = Contradictions()

    def take(self, name: str, text: JsonText) -> None:
        """Take what stands beside the signals."""
        self.said[name] = text.value()

    def look(self, row: Row) -> None:
        """Count one signal."""
        self.count += 1
        self._contradictions.look(row)
        for name, column in _BY.items():
            self._counted[name][str(row.get(column))] += 1

    def tell(self, notes: Notes) -> None:
        """Tell what is said otherwise."""
        self._contradictions.tell(notes)
        statistics = self.said.get("statistics")
        _, total = found({**self.said, **(statistics if isinstance(statistics, dict) else {})}, ("total_signals",))
        if isinstance(total, int) and total != self.count:
            notes.tell(f"its total says {counted(total, 'signal')}, and it lists {self.count:,}")
        for name in _BY:
            wrong = disagreeing(name, self.said.get(name), self._counted[name], _TOTAL)
            if wrong and self.count:
                notes.tell(wrong)
