"""trade_history.json: executed trades as a plain array."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from lake.importers.addresses import existing
from lake.importers.base import Notes, Options, Refused, Row, Table
from lake.importers.kinds.executed_trades import TRADES
from lake.importers.reading.jsons import rows_in


class TradesJson:
    """Reads trade_history.json."""

    name = "trades-json"
    summary = "trade_history.json: executed trades"

    def tables(self, source: str, _options: Options) -> Iterable[Table]:
        """One table: the trades."""
        path = existing(source)
        return [Table("trades", (TRADES,), partial(_rows, path))]


def _rows(path: Path, notes: Notes) -> Iterator[Row | Refused]:
    for row in rows_in(path, "trades", notes):
        yield row if isinstance(row, dict | Refused) else Refused(row, "not an object")
