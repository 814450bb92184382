"""freqtrade: a bot's database, results of backtests, or a folder of both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from lake.errors import SourceError
from lake.importers.addresses import existing, is_server
from lake.importers.base import Notes, Options, Row, Table
from lake.importers.kinds import freqtrade_backtests, freqtrade_bot
from lake.importers.kinds.freqtrade_files import is_beside, looks_like_result, meant
from lake.importers.reading.database import database
from lake.store.walking import files_below

_DATABASES = (".sqlite", ".db", ".sqlite3")
_RESULTS = (".json", ".gz", ".zip")
_SHOWN = 10


class Freqtrade:
    """Reads what freqtrade keeps."""

    name = "freqtrade"
    summary = "freqtrade: tradesv3.sqlite, backtest results (.json, .zip), or a folder of them"

    def tables(self, source: str, _options: Options) -> Iterable[Table]:
        """Trades, orders and memory of a bot; runs, trades and orders of backtests."""
        if is_server(source):
            yield from freqtrade_bot.tables(database(source))
            return
        path = existing(source)
        if not path.is_dir():
            yield from _of_file(path)
            return
        files = [file for file in files_below(path) if file.suffix in (*_DATABASES, *_RESULTS)]
        mine = [file for file in files if file.suffix in _DATABASES or looks_like_result(file)]
        if not mine:
            raise SourceError("neither a database nor a result of a backtest in the folder", where=str(path))
        unread, among = [], dict[str, str]()
        for file in mine:
            try:
                tables = list(_of_file(file, among))
            except SourceError as error:
                unread.append(str(error))
                continue
            yield from tables
        others = [file.name for file in files if file not in mine and not is_beside(file)]
        if others or unread:
            yield Table("other files", (freqtrade_backtests.RUNS,), partial(_passed_over, others, unread))


def _of_file(path: Path, among: dict[str, str] | None = None) -> Iterable[Table]:
    """The tables of one file, ``among`` those of a folder."""
    if path.suffix in _DATABASES or _begins_with(path, b"SQLite format 3"):
        return freqtrade_bot.tables(database(str(path)), several=among is not None)
    return freqtrade_backtests.tables(meant(path), among)


def _begins_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _passed_over(names: list[str], unread: list[str], notes: Notes) -> Iterator[Row]:
    for error in unread:
        notes.tell(error, failed=True)
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    if names:
        notes.tell(f"passed over, as they look like no result: {', '.join(names[:_SHOWN])}{more}")
    return iter(())
