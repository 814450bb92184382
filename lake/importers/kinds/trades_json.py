"""trade_history.json: executed trades as a plain array, or as an object with an exchange's executions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from lake.importers.addresses import existing_file
from lake.importers.base import Notes, Options, Refused, Row, Table
from lake.importers.kinds import exchange_fills
from lake.importers.kinds.executed_trades import TRADES
from lake.importers.reading.jsons import rows_in


class TradesJson:
    """Reads trade_history.json."""

    name = "trades-json"
    summary = "trade_history.json: executed trades"

    def tables(self, source: str, options: Options) -> Iterable[Table]:
        """The trades; or executions and what was matched of them."""
        path = existing_file(source)
        if exchange_fills.is_of_exchange(next(rows_in(path, "trades", Notes()), None)):
            return exchange_fills.tables(path, options)
        return [Table("trades", (TRADES,), partial(_rows, path))]


def _rows(path: Path, notes: Notes) -> Iterator[Row | Refused]:
    for row in rows_in(path, "trades", notes):
        yield row if isinstance(row, dict | Refused) else Refused(row, "not an object")
