"""Every source, in the order in which they are asked: the most particular first."""

from __future__ import annotations

from pathlib import Path

from lake.errors import SourceError, UsageError
from lake.sources import claims
from lake.sources.base import Source
from lake.sources.binance_dump import BinanceDump
from lake.sources.binance_metrics import BinanceMetrics
from lake.sources.cryptodatadownload import CryptoDataDownload, WideCsv
from lake.sources.freqtrade import Freqtrade
from lake.sources.generic import Generic
from lake.sources.json_candles import AlphaVantage, Bittrex, Ccxt
from lake.sources.lean import Lean, LeanFunding
from lake.sources.nautilus import Nautilus
from lake.sources.octobot import OctoBot
from lake.sources.opening import SeveralFilesError, head
from lake.sources.trade_files import CcxtTrades, FreqtradeTrades, KrakenCandles, KrakenTrades, TradesCsv

SOURCES: tuple[Source, ...] = (
    OctoBot(),
    AlphaVantage(),
    FreqtradeTrades(),
    CcxtTrades(),
    Freqtrade(),
    Bittrex(),
    Ccxt(),
    CryptoDataDownload(),
    WideCsv(),
    BinanceDump(),
    BinanceMetrics(),
    Lean(),
    LeanFunding(),
    KrakenTrades(),
    KrakenCandles(),
    Nautilus(),
    TradesCsv(),
    Generic(),
)


def by_name(name: str) -> Source:
    """The source of that name.

    Raises:
        UsageError: there is none.

    >>> by_name("octobot").name
    'octobot'
    """
    for source in SOURCES:
        if source.name == name:
            return source
    names = ", ".join(source.name for source in SOURCES)
    raise UsageError("unknown format", value=name, todo=f"Use one of: {names}.")


class UnknownKindError(SourceError):
    """The file is read, and is of no kind that a source knows."""


def sniff(path: Path) -> Source:
    """The source that recognises the file, by its content and its name.

    Raises:
        SourceError: the file is missing, empty or damaged, or not what its name says.
        UnknownKindError: it is of no known kind.
    """
    first = _first(path)
    for source in SOURCES:
        if source.matches(path, first):
            return source
    claims.check(path, first)
    names = ", ".join(source.name for source in SOURCES)
    raise UnknownKindError(
        "no known kind of candles or trades", where=str(path), todo=f"Give --format, one of: {names}."
    )


def _first(path: Path) -> bytes:
    """The first bytes of a file; a ZIP of several files is of no known kind, unless one is named like candles."""
    try:
        return head(path)
    except SeveralFilesError as error:
        if any(claims.is_named(Path(name)) for name in (path.name, *(Path(n).name for n in error.names))):
            raise
        raise UnknownKindError(error.what, where=error.where, value=error.names[:5], todo=error.todo) from error
