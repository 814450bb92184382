"""trade_history.json: executed trades as a plain array or one a line, or an object with an exchange's executions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from lake.importers.addresses import existing_file
from lake.importers.base import Notes, Options, Refused, Row, Table
from lake.importers.kinds import exchange_fills
from lake.importers.kinds.executed_trades import TRADES, met_by
from lake.importers.reading.json_lines import lines_in
from lake.importers.reading.jsons import rows_in
from lake.importers.reading.tabular import form_of


class TradesJson:
    """Reads trade_history.json."""

    name = "trades-json"
    summary = "trade_history.json: executed trades"

    def tables(self, source: str, options: Options) -> Iterable[Table]:
        """The trades; or executions and what was matched of them."""
        path, met = existing_file(source), met_by(self.name)
        if _is_of_lines(path):
            return [Table("trades", (met.map(TRADES),), partial(_objects, partial(lines_in, path)), look=met.look)]
        if exchange_fills.is_of_exchange(next(rows_in(path, "trades", Notes()), None)):
            return exchange_fills.tables(path, options)
        rows = partial(_objects, partial(rows_in, path, "trades"))
        return [Table("trades", (met.map(TRADES),), rows, look=met.look)]


def _is_of_lines(path: Path) -> bool:
    """Whether each line is a trade."""
    first = next(lines_in(path, Notes()), None) if form_of(path) == "lines" else None
    return isinstance(first, dict) and "trades" not in first


def _objects(read: Callable[[Notes], Iterator[Any]], notes: Notes) -> Iterator[Row | Refused]:
    for row in read(notes):
        yield row if isinstance(row, dict | Refused) else Refused(row, "not an object")
