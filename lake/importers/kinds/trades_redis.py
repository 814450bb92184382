"""Redis ``trade_history:executed``: executed trades, the newest few thousand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from lake.errors import SourceError
from lake.importers.base import Notes, Options, Refused, Row, Table
from lake.importers.kinds.executed_trades import TRADES, met_by
from lake.importers.reading.redis import RedisStore, records

KEY = "trade_history:executed"


class TradesRedis:
    """Reads trade_history:executed."""

    name = "trades-redis"
    summary = f"Redis {KEY}: executed trades"

    def tables(self, source: str, _options: Options) -> Iterable[Table]:
        """One table: the trades."""
        store = RedisStore(source)
        if store.kind(KEY) == "none":
            todo = "Is it in another database (redis://host/NUMBER)?"
            raise SourceError(f"there is no key {KEY}", where=store.where, value=store.some_keys(), todo=todo)
        met = met_by(self.name)
        return [Table(KEY, (met.map(TRADES),), partial(rows, store), look=met.look)]


def rows(store: RedisStore, notes: Notes) -> Iterator[Row | Refused]:
    """The trades; an entry that is a list of trades, or an object with them, is opened."""
    for entry in records(store, KEY, notes):
        inner = entry.get("trades") if isinstance(entry, dict) else entry
        for trade in inner if isinstance(inner, list) else [entry]:
            yield trade if isinstance(trade, dict | Refused) else Refused(trade, "not an object")
