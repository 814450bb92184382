"""phantom_trades_live: every signal that one bot followed to its end, in PostgreSQL or beside its candles in SQLite."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from lake.importers.base import Options, Table
from lake.importers.kinds.phantom_map import TABLE_PHANTOMS
from lake.importers.reading.database import database, require
from lake.importers.unread import naming_unread

_TABLE = "phantom_trades_live"


class PhantomsPostgres:
    """Reads phantom_trades_live."""

    name = "phantoms-postgres"
    summary = "table phantom_trades_live in PostgreSQL or in a SQLite file"

    def tables(self, source: str, _options: Options) -> Iterable[Table]:
        """One table: the phantoms."""
        db = database(source)
        require(db, (_TABLE,), kind=self.name)
        order = [name for name in ("id",) if name in db.columns(_TABLE)]
        tables = [Table(_TABLE, (TABLE_PHANTOMS,), partial(db.rows, _TABLE, order_by=order), db.count(_TABLE))]
        return naming_unread(db, (_TABLE,), tables)
