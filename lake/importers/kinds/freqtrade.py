"""freqtrade: a bot's database, results of backtests, or a folder of both."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lake.errors import SourceError
from lake.importers.addresses import existing, is_server
from lake.importers.base import Options, Table
from lake.importers.kinds import freqtrade_backtests, freqtrade_bot
from lake.importers.kinds.freqtrade_files import is_result, meant
from lake.importers.reading.database import database

_DATABASES = (".sqlite", ".db", ".sqlite3")


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
            yield from _of_file(path, several=False)
            return
        files = [p for p in sorted(path.iterdir()) if p.is_file() and (is_result(p) or p.suffix in _DATABASES)]
        if not files:
            raise SourceError("neither a database nor a result of a backtest in the folder", where=str(path))
        for file in files:
            yield from _of_file(file, several=True)


def _of_file(path: Path, *, several: bool) -> Iterable[Table]:
    if path.suffix in _DATABASES:
        return freqtrade_bot.tables(database(str(path)))
    return freqtrade_backtests.tables(meant(path), several=several)
