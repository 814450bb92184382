"""candles.db, and the same tables in PostgreSQL: candles of many symbols."""

from __future__ import annotations

from collections.abc import Iterable

from lake.importers.base import CandleTable, Options
from lake.importers.kinds.candle_tables import candle_tables
from lake.importers.reading.postgres import PostgresDatabase
from lake.importers.reading.sqlite import SqliteFile


class CandlesSqlite:
    """Reads candles.db."""

    name = "candles-sqlite"
    summary = "candles.db: candles of 15 minutes, candles_3m and the like"

    def tables(self, source: str, options: Options) -> Iterable[CandleTable]:
        """A table for each timeframe."""
        return candle_tables(SqliteFile(source), options)


class CandlesPostgres:
    """Reads tables of candles in PostgreSQL."""

    name = "candles-postgres"
    summary = "tables candles (15 minutes), candles_3m and the like in PostgreSQL"

    def tables(self, source: str, options: Options) -> Iterable[CandleTable]:
        """A table for each timeframe."""
        return candle_tables(PostgresDatabase(source), options)
