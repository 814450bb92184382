"""Symbols: one canonical form, and the ways in and out of the forms that exchanges and libraries use.

Canonical is upper case, base then quote without a separator, ``.P`` behind a perpetual, the delivery
date behind a dated future: ``BTCUSDT``, ``BTCUSDT.P``, ``BTCUSDT.240628``. ``.MARK`` and ``.INDEX``
may follow for candles of a mark or index price.
"""

from __future__ import annotations

import re
from functools import lru_cache

QUOTES = (
    "FDUSD", "TUSD", "BUSD", "USDT", "USDC", "USDP", "USDD", "USDE", "PYUSD", "DAI", "UST", "BIDR", "IDRT", "BVND", "USD",
    "EUR", "GBP", "JPY", "KRW", "AUD", "CAD", "CHF", "TRY", "BRL", "RUB", "UAH", "NGN", "ZAR", "PLN", "RON", "ARS", "MXN", "INR",
    "SGD", "HKD", "XBT", "BTC", "ETH", "BNB", "SOL", "XRP", "TRX", "DOGE", "DOT",
)  # fmt: skip
_KNOWN = frozenset(QUOTES)
_SEPARATED = re.compile(r"([A-Z0-9]+)[/_\-]([A-Z0-9]+)")
_CCXT = re.compile(r"([A-Z0-9]+)/([A-Z0-9]+):([A-Z0-9]+)(?:-(\d{6}))?(?:-.*)?")
_PERPETUAL = re.compile(r"([A-Z0-9]+)[/_\-]?([A-Z0-9]*)[-_.](?:PERP|SWAP|P)")
_DATED = re.compile(r"([A-Z0-9]+)[_\-.](\d{6})")
_FREQTRADE_FUTURES = re.compile(r"([A-Z0-9]+)_([A-Z0-9]+)_([A-Z0-9]+)")


@lru_cache(65536)
def canonical(text: str) -> str:
    """The canonical form; what is not understood is kept as given, without outer spaces.

    >>> canonical("btc_usdt"), canonical("BTC/USDT:USDT"), canonical("BTC/USDT:USDT-240628"), canonical("BTC-PERP")
    ('BTCUSDT', 'BTCUSDT.P', 'BTCUSDT.240628', 'BTCUSD.P')
    """
    given = text.strip()
    upper = given.upper()
    if match := _CCXT.fullmatch(upper):
        base, quote, _, delivery = match.groups()
        return f"{base}{quote}.{delivery or 'P'}"
    if match := _FREQTRADE_FUTURES.fullmatch(upper):
        if match[2] in _KNOWN and match[3] in _KNOWN:
            return f"{match[1]}{match[2]}.P"
    if match := _PERPETUAL.fullmatch(upper):
        return f"{match[1]}{match[2] or ('' if _ends_with_quote(match[1]) else 'USD')}.P"
    if match := _DATED.fullmatch(upper):
        return f"{match[1]}.{match[2]}"
    if match := _SEPARATED.fullmatch(upper):
        base, quote = match.groups()
        if quote in _KNOWN or base not in _KNOWN:
            return base + quote
        return base + quote
    return upper if re.fullmatch(r"[A-Z0-9.]+", upper) else given


def _ends_with_quote(text: str) -> bool:
    return any(text.endswith(q) and len(text) > len(q) for q in QUOTES)


@lru_cache(65536)
def split(symbol: str) -> tuple[str, str, str]:
    """Base, quote and suffix of a canonical symbol; an unknown quote leaves it whole, with an empty quote.

    >>> split("BTCUSDT.P"), split("1000PEPEUSDT"), split("AAPL")
    (('BTC', 'USDT', 'P'), ('1000PEPE', 'USDT', ''), ('AAPL', '', ''))
    """
    name, _, suffix = symbol.partition(".")
    for quote in QUOTES:
        if name.endswith(quote) and len(name) > len(quote):
            return name[: -len(quote)], quote, suffix
    return name, "", suffix


def to_ccxt(symbol: str) -> str:
    """The form ccxt uses.

    >>> to_ccxt("BTCUSDT"), to_ccxt("BTCUSDT.P"), to_ccxt("BTCUSDT.240628")
    ('BTC/USDT', 'BTC/USDT:USDT', 'BTC/USDT:USDT-240628')
    """
    base, quote, suffix = split(symbol)
    if not quote:
        return symbol
    settle = _settles_in(base, quote)
    if not suffix:
        return f"{base}/{quote}"
    return f"{base}/{quote}:{settle}" if suffix.startswith("P") else f"{base}/{quote}:{settle}-{suffix[:6]}"


def to_freqtrade(symbol: str) -> str:
    """The form of freqtrade's file names.

    >>> to_freqtrade("BTCUSDT"), to_freqtrade("BTCUSDT.P")
    ('BTC_USDT', 'BTC_USDT_USDT')
    """
    base, quote, suffix = split(symbol)
    if not quote:
        return symbol
    return f"{base}_{quote}_{_settles_in(base, quote)}" if suffix else f"{base}_{quote}"


def to_binance(symbol: str) -> str:
    """The form of Binance's interfaces and dumps.

    >>> to_binance("BTCUSDT.P"), to_binance("BTCUSDT.240628")
    ('BTCUSDT', 'BTCUSDT_240628')
    """
    name, _, suffix = symbol.partition(".")
    return f"{name}_{suffix[:6]}" if suffix[:6].isdigit() and len(suffix) >= 6 else name


def to_bybit(symbol: str) -> str:
    """The form of Bybit's linear and spot interfaces.

    >>> to_bybit("BTCUSDT.P")
    'BTCUSDT'
    """
    return symbol.partition(".")[0]


def to_dash(symbol: str) -> str:
    """Base and quote with a dash, as Coinbase and KuCoin write them.

    >>> to_dash("BTCUSD")
    'BTC-USD'
    """
    base, quote, _ = split(symbol)
    return f"{base}-{quote}" if quote else symbol


def _settles_in(base: str, quote: str) -> str:
    """A contract quoted in plain dollars is settled in its coin."""
    return base if quote == "USD" else quote
