"""What file and folder names say: symbol, timeframe, venue, kind of market."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from lake.errors import SourceError, UnknownTimeframeError
from lake.sources.base import Options
from lake.sources.moments import Units
from lake.sources.opening import stem
from lake.spec import symbols, timeframes

_VENUES = frozenset(
    [
        "ascendex",
        "binance",
        "binancecoinm",
        "binanceus",
        "binanceusdm",
        "bingx",
        "bitfinex",
        "bitflyer",
        "bitget",
        "bithumb",
        "bitmex",
        "bitstamp",
        "bittrex",
        "bitvavo",
        "bybit",
        "cexio",
        "coinbase",
        "coinbasepro",
        "cryptocom",
        "deribit",
        "ftx",
        "gate",
        "gateio",
        "gdax",
        "gemini",
        "hitbtc",
        "htx",
        "huobi",
        "hyperliquid",
        "kraken",
        "krakenfutures",
        "kucoin",
        "mexc",
        "okcoin",
        "okex",
        "okx",
        "phemex",
        "poloniex",
        "upbit",
        "whitebit",
    ]
)
_FRAME_TEXT = r"(?:\d+(?:mo|[smhdwy])|\d+M|\d+Mo)"
_TIMEFRAME = re.compile(rf"(?<![A-Za-z0-9])({_FRAME_TEXT})(?![A-Za-z0-9])")
_QUOTED = re.compile(rf"[A-Z0-9]{{2,14}}/?(?:{'|'.join(symbols.QUOTES)})")
_TRADINGVIEW = re.compile(
    r"[A-Z0-9]+_(?P<symbol>[A-Z0-9.]+), (?P<count>\d*)(?P<unit>[SDWM]?)(?:_[0-9a-f]+)?(?: \(\d+\))?"
)
_NOISE = frozenset(
    [
        "spot",
        "futures",
        "perp",
        "swap",
        "ohlcv",
        "candles",
        "klines",
        "data",
        "trades",
        "daily",
        "hourly",
        "minute",
        "hour",
    ]
)
_PERPETUAL_FOLDERS = frozenset(
    {"futures", "um", "cm", "swap", "linear", "inverse", "cryptofuture", "perpetual", "perp"}
)
_PRICE_KINDS = {"markPriceKlines": ".MARK", "indexPriceKlines": ".INDEX", "premiumIndexKlines": ".PREMIUM"}


@dataclass(frozen=True, slots=True)
class About:
    """What is known of the rows of one file before they are read.

    Attributes:
        symbol: canonical; ``""`` when the rows say it themselves.
        timeframe: as written; one that the lake does not hold is found out row by row.
        venue: ``""`` where unknown.
        tz: zone of naive times; None refuses them.
        time_unit: of epoch numbers, or None.
        where: the file, for messages.
        volume: ``base`` or ``quote``: what the volume column counts.
        collected: when the rows were fetched, where the file says it: a bar that closes later is half-built.
        units: what was seen of its epoch numbers.
    """

    symbol: str
    timeframe: str
    venue: str
    tz: str | None
    time_unit: str | None
    where: str
    volume: str = "base"
    collected: datetime | None = None
    units: Units = field(default_factory=Units, compare=False)


def about(
    path: Path, options: Options, *, symbol: str, timeframe: str, venue: str = "", tz: str | None = None
) -> About:
    """What the file says, with the caller's options above it."""
    chosen = symbols.canonical(options.symbol) if options.symbol else symbol
    return About(
        symbol=chosen,
        timeframe=options.timeframe or timeframe,
        venue=venue if options.venue is None else options.venue,
        tz=options.tz or tz,
        time_unit=options.time_unit,
        where=str(path),
        volume=options.volume or "base",
    )


def need(value: str | None, what: str, path: Path) -> str:
    """The value, or an error that says how to give it.

    Raises:
        SourceError: the value is empty.
    """
    if not value:
        todo = f"Give it with --{what}."
        raise SourceError(f"neither the file nor its name says the {what}", where=str(path), todo=todo)
    return value


def held_timeframe(text: str) -> str | None:
    """The timeframe as the lake spells it, or None for one that it does not hold."""
    try:
        return str(timeframes.parse(text))
    except UnknownTimeframeError:
        return None


def venue_of(path: Path) -> str:
    """The exchange that the file's or a near folder's name speaks of, else ``""``.

    >>> venue_of(Path("user_data/data/binance/BTC_USDT-5m.feather"))
    'binance'
    >>> venue_of(Path("candles/BTC_USDT-5m.feather"))
    ''
    """
    near = path.parent.parent.name if path.parent.name.lower() in _PERPETUAL_FOLDERS | {"spot"} else ""
    for name in (path.name, path.parent.name, near):
        for token in re.split(r"[^a-z]+", name.lower()):
            if token in _VENUES:
                return token
    return ""


def is_perpetual(path: Path) -> bool:
    """Whether a folder or a prefix of the name says that these are perpetual futures."""
    folders = {part.lower() for part in path.parts[-8:-1]}
    return (
        bool(folders & _PERPETUAL_FOLDERS) or re.match(r"(futures|um|cm|swap|perp)[_-]", path.name.lower()) is not None
    )


def folder_meaning(path: Path) -> str:
    """What the folders of a file say beside its name: the exchange, and the kind of market or price; ``""`` if nothing.

    >>> folder_meaning(Path("data/futures/um/daily/markPriceKlines/BTCUSDT-1m-2024-01-01.zip"))
    ' perpetual .MARK'
    >>> folder_meaning(Path("downloads/BTC_USDT-5m.feather"))
    ''
    """
    market = "perpetual" if is_perpetual(path) else ""
    said = (venue_of(path.parent / "_"), market, price_kind(path))
    return "".join(f" {word}" for word in said if word)


def price_kind(path: Path) -> str:
    """``.MARK``, ``.INDEX`` or ``.PREMIUM`` where a folder of Binance's dumps says so, else ``""``."""
    return next((suffix for folder, suffix in _PRICE_KINDS.items() if folder in path.parts), "")


def perpetual(symbol: str) -> str:
    """The canonical perpetual of a symbol; futures stay what they are."""
    return symbol if "." in symbol else f"{symbol}.P"


def guess(path: Path) -> tuple[str, str]:
    """Symbol and timeframe out of a file name of no known convention; either may be ``""``.

    A word is a symbol when it ends in a known quote asset, or when it and the timeframe are all there is. TradingView
    counts minutes where it names no unit.

    >>> guess(Path("BINANCE_BTCUSDT, 240_1f00c.csv"))
    ('BTCUSDT', '4h')
    >>> guess(Path("binance_BTC-USDT_1h.json"))
    ('BTCUSDT', '1h')
    >>> guess(Path("my_public_trades_list.csv"))
    ('', '')
    """
    name = stem(path)
    export = _TRADINGVIEW.fullmatch(name)
    if export is not None:
        return symbols.canonical(export["symbol"]), _resolution(export["count"], export["unit"])
    found = _TIMEFRAME.search(name)
    frame = found.group(1) if found else ""
    words = [
        w for w in re.split(r"[_\-. ]+", name[: found.start()] + " " + name[found.end() :] if found else name) if w
    ]
    words = [w for w in words if w.lower() not in _VENUES | _NOISE and not re.fullmatch(r"\d{4,}", w)]
    for text in ["/".join(pair) for pair in pairwise(words)] + words:
        if _QUOTED.fullmatch(text.upper()):
            return symbols.canonical(text), frame
    if len(words) == 1 and found and words[0].isupper():
        return symbols.canonical(words[0]), frame
    return "", frame


def _resolution(count: str, unit: str) -> str:
    """A timeframe as TradingView writes it: a number of minutes, or of the unit.

    >>> _resolution("60", ""), _resolution("", "D"), _resolution("30", "S"), _resolution("1", "M")
    ('1h', '1d', '30s', '1M')
    """
    text = f"{count or 1}{'M' if unit == 'M' else unit.lower() or 'm'}"
    return held_timeframe(text) or text
