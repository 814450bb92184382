"""The kinds of stores that can be imported, by name."""

from __future__ import annotations

from lake.errors import UsageError
from lake.importers.base import Importer
from lake.importers.kinds.backtests import Backtests
from lake.importers.kinds.binance_schema import BinanceSchema
from lake.importers.kinds.bot_stats import BotStats
from lake.importers.kinds.candles import CandlesPostgres, CandlesSqlite
from lake.importers.kinds.daily_reports import DailyReports
from lake.importers.kinds.decisions_postgres import DecisionsPostgres
from lake.importers.kinds.freqtrade import Freqtrade
from lake.importers.kinds.generic import Generic
from lake.importers.kinds.hummingbot import Hummingbot
from lake.importers.kinds.journal import Journal
from lake.importers.kinds.llm_logs import LlmLogs
from lake.importers.kinds.models import Models
from lake.importers.kinds.phantoms_postgres import PhantomsPostgres
from lake.importers.kinds.phantoms_redis import PhantomsRedis
from lake.importers.kinds.positions_sqlite import PositionsSqlite
from lake.importers.kinds.signal_cache import SignalCache
from lake.importers.kinds.tradelake import Tradelake
from lake.importers.kinds.trades_db import TradesDb
from lake.importers.kinds.trades_json import TradesJson
from lake.importers.kinds.trades_postgres import TradesPostgres
from lake.importers.kinds.trades_redis import TradesRedis

_KINDS: tuple[Importer, ...] = (
    Backtests(),
    BinanceSchema(),
    BotStats(),
    CandlesPostgres(),
    CandlesSqlite(),
    DailyReports(),
    DecisionsPostgres(),
    Freqtrade(),
    Generic(),
    Hummingbot(),
    Journal(),
    LlmLogs(),
    Models(),
    PhantomsPostgres(),
    PhantomsRedis(),
    PositionsSqlite(),
    SignalCache(),
    Tradelake(),
    TradesDb(),
    TradesJson(),
    TradesRedis(),
    TradesPostgres(),
)


def kinds() -> tuple[Importer, ...]:
    """All importers, in order of their names."""
    return tuple(sorted(_KINDS, key=lambda importer: importer.name))


def by_name(name: str) -> Importer:
    """The importer of that name.

    Raises:
        UsageError: there is none.
    """
    for importer in _KINDS:
        if importer.name == name:
            return importer
    known = ", ".join(importer.name for importer in kinds())
    raise UsageError("unknown kind of store", where="kind", value=name, todo=f"One of: {known}.")
