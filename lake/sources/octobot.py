"""OctoBot's collector files: SQLite with one JSON candle a row. The only importer module that opens SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import orjson
import polars as pl

from lake.errors import SourceError
from lake.sources.base import BATCH_ROWS, Batch, CandleFiles, Options
from lake.sources.freqtrade import row_frame
from lake.sources.naming import about
from lake.sources.shape import candle_batch

_MAGIC = b"SQLite format 3\0"
_ROWS = "select exchange_name, symbol, time_frame, candle from ohlcv order by rowid"


class OctoBot(CandleFiles):
    """``*.data``: the row's own timestamp is the close; the candle's first value is the open, in seconds UTC."""

    name = "octobot"

    def matches(self, path: Path, head: bytes) -> bool:
        """A SQLite file with a table ``ohlcv`` whose rows hold a ``candle``."""
        return head.startswith(_MAGIC) and b"candle" in _schema(path)

    def read(self, path: Path, options: Options) -> Iterator[Batch]:
        """Candles; symbol, timeframe and venue stand in every row.

        Raises:
            SourceError: damaged, or no OctoBot file.
        """
        known = about(path, options, symbol="", timeframe="", tz="UTC")
        try:
            with closing(_connected(path)) as connection:
                known = replace(known, collected=_collected(connection))
                cursor = connection.execute(_ROWS)
                while rows := cursor.fetchmany(BATCH_ROWS):
                    yield candle_batch(_frame(rows, path, options), known)
        except sqlite3.DatabaseError as error:
            raise SourceError(f"the OctoBot file is damaged or of another shape: {error}", where=str(path)) from error


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)


def _collected(connection: sqlite3.Connection) -> datetime | None:
    """When the collector wrote the file; None where it does not say."""
    if connection.execute("select 1 from sqlite_master where name = 'description'").fetchone() is None:
        return None
    (seconds,) = connection.execute("select max(timestamp) from description").fetchone()
    return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, (int, float)) else None


def _schema(path: Path) -> bytes:
    try:
        with closing(_connected(path)) as connection:
            found = connection.execute("select sql from sqlite_master where name = 'ohlcv'").fetchone()
    except sqlite3.DatabaseError:
        return b""
    return str(found[0]).encode() if found else b""


def check(path: Path, head: bytes) -> None:
    """Refuse a ``*.data`` file of SQLite that cannot be opened.

    Raises:
        SourceError: it is damaged or cut off.
    """
    if path.suffix != ".data" or not head.startswith(_MAGIC):
        return
    try:
        with closing(_connected(path)) as connection:
            connection.execute("select count(*) from sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        raise SourceError(f"the OctoBot file is damaged or of another shape: {error}", where=str(path)) from error


def _frame(rows: list[tuple[str, str, str, str]], path: Path, options: Options) -> pl.DataFrame:
    try:
        candles = [orjson.loads(row[3]) for row in rows]
    except orjson.JSONDecodeError as error:
        raise SourceError(f"a candle is no JSON: {error}", where=str(path)) from error
    said = {
        "venue": options.venue if options.venue is not None else [row[0] for row in rows],
        "symbol": options.symbol or [row[1] for row in rows],
        "timeframe": options.timeframe or [row[2] for row in rows],
    }
    columns = [pl.Series(n, [v] * len(rows) if isinstance(v, str) else v, dtype=pl.String) for n, v in said.items()]
    return row_frame(candles, path).with_columns(columns)
