"""Symbols: one spelling in the lake, and the spellings of exchanges and tools to and from it.

Canonical is upper case, base then quote, no separator, then suffixes: ``.P`` for a perpetual,
``.240628`` for a dated future, and behind them ``.MARK`` or ``.INDEX`` for candles of its mark or
index price: ``BTCUSDT``, ``BTCUSDT.P``, ``BTCUSDT.240628``, ``XRPUSDT.P.MARK``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from lake.errors import InvalidRowError

#: Assets that prices are given in. A pair whose quote is not here is kept as it was written.
QUOTES: tuple[str, ...] = (
    "USDT", "USDC", "BUSD", "FDUSD", "TUSD", "USDP", "USDD", "USDE", "USDS", "USD1", "PYUSD", "RLUSD", "GUSD", "DAI",
    "UST", "USD", "EUR", "GBP", "JPY", "KRW", "TRY", "BRL", "AUD", "NZD", "CAD", "CHF", "RUB", "UAH", "NGN", "ZAR",
    "IDR", "IDRT", "BIDR", "BVND", "INR", "MXN", "ARS", "PLN", "RON", "CZK", "SGD", "HKD", "BTC", "XBT", "ETH", "BNB",
    "SOL", "TRX", "XRP", "DOGE", "DOT",
)  # fmt: skip
_KNOWN = frozenset(QUOTES)
# bases whose last letter would else be taken for the head of a quote: BNB+USD, not BN+BUSD
_BASES = _KNOWN | {
    "SHIB", "ARB", "BAT", "GRT", "BNT", "ANT", "LPT", "SNT", "FET", "APT", "QNT", "HNT", "NFT", "ACT", "WBT", "FLOKI",
    "MNT", "BLUR", "LIT", "BIT", "GT", "MINT",
}  # fmt: skip
_PERPETUAL = frozenset({"SWAP", "PERP", "PERPETUAL"})
_MONTH_ORDER = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MONTHS = {name: f"{number:02d}" for number, name in enumerate(_MONTH_ORDER, 1)}
_MONTH_NAMES = {number: name for name, number in _MONTHS.items()}
_SUFFIX = re.compile(r"((?:\.(?:P|MARK|INDEX|\d{6}))+)$")
_PAIR = re.compile(r"([^/:_\s-]+)[/_-]([A-Z0-9]+)(?::([A-Z0-9]+)(?:-(\d{6}))?)?")
_DAY = re.compile(r"(\d{1,2})([A-Z]{3})(\d{2})")


_MOST = 65_536
SPELLED: set[str] = set()  # ASCII spellings that are known to be the lake's own, so that most symbols need a look only


def canonical(text: str) -> str:
    """The lake's spelling; what is not understood is kept as given, but for blanks around it.

    >>> [canonical(s) for s in ("BTC/USDT", "BTC-USDT", "btc_usdt", "btcusdt")]
    ['BTCUSDT', 'BTCUSDT', 'BTCUSDT', 'BTCUSDT']
    >>> [canonical(s) for s in ("BTC/USDT:USDT", "BTC_USDT_USDT", "BTC-USDT-SWAP", "BTC/USDT:USDT-240628")]
    ['BTCUSDT.P', 'BTCUSDT.P', 'BTCUSDT.P', 'BTCUSDT.240628']
    >>> canonical("BTC-PERP"), canonical("BRK.B"), canonical("FOO/BAR")
    ('BTCUSD.P', 'BRK.B', 'FOO/BAR')

    Raises:
        InvalidRowError: not a text.
    """
    if not isinstance(text, str):
        raise InvalidRowError("a symbol is a text", value=text)
    return _canonical(text)


@lru_cache(maxsize=_MOST)
def _canonical(text: str) -> str:
    found = _spelled(text)
    if found == text != "" and text.isascii() and len(SPELLED) < _MOST:
        SPELLED.add(found)
    return found


def _spelled(text: str) -> str:
    given = text.strip()
    upper = given.upper()
    suffix = _SUFFIX.search(upper)
    head, tail = (upper[: suffix.start()], suffix.group()) if suffix else (upper, "")
    plain = _plain(head, tail)
    if plain is not None:
        return plain
    known = _of_pair(head) or _of_words(re.split(r"[_-]", head))
    return given if known is None else known + tail


def split(symbol: str) -> tuple[str, str, str]:
    """Base, quote and suffix (without its dot) of a symbol; the quote is ``""`` when it is not a known one.

    >>> split("BTCUSDT.P"), split("BNBUSD"), split("AAPL")
    (('BTC', 'USDT', 'P'), ('BNB', 'USD', ''), ('AAPL', '', ''))
    """
    whole = canonical(symbol)
    found = _SUFFIX.search(whole)
    head, suffix = (whole[: found.start()], found.group()[1:]) if found else (whole, "")
    quote = _quote_of(head)
    return (head[: -len(quote)], quote, suffix) if quote else (head, "", suffix)


def to_ccxt(symbol: str, settle: str | None = None) -> str:
    """As ccxt spells it. A future settles in its quote, or in its base when that is USD, unless ``settle`` says else.

    >>> to_ccxt("BTCUSDT"), to_ccxt("BTCUSDT.P"), to_ccxt("BTCUSD.240628")
    ('BTC/USDT', 'BTC/USDT:USDT', 'BTC/USD:BTC-240628')
    """
    base, quote, suffix = split(symbol)
    if not quote:
        return symbol
    market, pair = suffix.split(".")[0], f"{base}/{quote}"
    if not market:
        return pair
    settled = f"{pair}:{settle or (base if quote == 'USD' else quote)}"
    return f"{settled}-{market}" if market.isdecimal() else settled


def to_freqtrade(symbol: str) -> str:
    """As freqtrade's data files spell it.

    >>> to_freqtrade("BTCUSDT"), to_freqtrade("BTCUSDT.P"), to_freqtrade("BTCUSDT.240628")
    ('BTC_USDT', 'BTC_USDT_USDT', 'BTC_USDT_USDT_240628')
    """
    return re.sub(r"[/:-]", "_", to_ccxt(symbol)) if split(symbol)[1] else symbol


def to_binance(symbol: str) -> str:
    """As Binance spells it: linear perpetuals like the spot pair, coin-margined ones with ``_PERP``.

    >>> to_binance("BTCUSDT.P"), to_binance("BTCUSD.P"), to_binance("BTCUSDT.240628")
    ('BTCUSDT', 'BTCUSD_PERP', 'BTCUSDT_240628')
    """
    base, quote, suffix = split(symbol)
    market = suffix.split(".")[0]
    if market.isdecimal():
        return f"{base}{quote}_{market}"
    return f"{base}{quote}_PERP" if market == "P" and quote == "USD" else f"{base}{quote}"


def from_binance(text: str, *, perpetual: bool = False) -> str:
    """From Binance, whose linear perpetuals are spelled like spot pairs: say so with ``perpetual``.

    >>> from_binance("BTCUSDT"), from_binance("BTCUSDT", perpetual=True), from_binance("BTCUSD_PERP")
    ('BTCUSDT', 'BTCUSDT.P', 'BTCUSD.P')
    """
    return _marked(canonical(text), perpetual)


def to_bybit(symbol: str) -> str:
    """As Bybit spells it.

    >>> to_bybit("BTCUSDT.P"), to_bybit("BTCUSDC.P"), to_bybit("BTCUSDT.240628"), to_bybit("BTCUSDC.240628")
    ('BTCUSDT', 'BTCPERP', 'BTCUSDT-28JUN24', 'BTC-28JUN24')
    """
    base, quote, suffix = split(symbol)
    market = suffix.split(".")[0]
    if market.isdecimal():
        day = f"{market[4:]}{_MONTH_NAMES[market[2:4]]}{market[:2]}" if market[2:4] in _MONTH_NAMES else market
        return f"{base}{'' if quote == 'USDC' else quote}-{day}"
    return f"{base}PERP" if market == "P" and quote == "USDC" else f"{base}{quote}"


def from_bybit(text: str, *, category: str = "spot") -> str:
    """From Bybit; ``category`` is its own word: spot, linear or inverse.

    >>> from_bybit("BTCUSDT", category="linear"), from_bybit("BTCPERP"), from_bybit("BTC-28JUN24")
    ('BTCUSDT.P', 'BTCUSDC.P', 'BTCUSDC.240628')
    """
    upper = text.strip().upper()
    base, _, day = upper.partition("-")
    if upper.endswith("PERP") and upper.isalnum():
        return f"{upper[:-4]}USDC.P"
    if _DAY.fullmatch(day) and not _quote_of(base):
        return canonical(f"{base}USDC-{day}")
    return _marked(canonical(text), category in ("linear", "inverse"))


def to_dash(symbol: str) -> str:
    """With dashes, perpetuals with ``-SWAP``, as OKX and others do.

    >>> to_dash("BTCUSDT"), to_dash("BTCUSDT.P"), to_dash("BTCUSDT.240628")
    ('BTC-USDT', 'BTC-USDT-SWAP', 'BTC-USDT-240628')
    """
    base, quote, suffix = split(symbol)
    market = suffix.split(".")[0]
    parts = [base, quote, "SWAP" if market == "P" else market]
    return "-".join(p for p in parts if p) if quote else symbol


def _marked(symbol: str, perpetual: bool) -> str:
    return f"{symbol}.P" if perpetual and "." not in symbol else symbol


def _plain(head: str, tail: str) -> str | None:
    """Letters and digits alone are canonical in upper case."""
    return head + tail if head.isalnum() or not head else None


def _of_pair(head: str) -> str | None:
    """``BTC/USDT`` and ccxt's futures, also with a dash or underscore."""
    found = _PAIR.fullmatch(head)
    if found is None:
        return None
    base, quote, settle, day = found.groups()
    if quote not in _KNOWN:
        return None
    return f"{base}{quote}" + (f".{day}" if day else ".P" if settle else "")


def _of_words(words: list[str]) -> str | None:
    """Words that were joined by dashes or underscores: the pair, or base and quote, then the kind of future."""
    *pair, last = words
    market = "P" if last in _PERPETUAL else _date(last)
    if market is None:
        market, pair = "P", words
        if len(words) != 3 or words[2] not in (words[0], words[1]):
            return None
    if len(pair) == 3 and pair[2] in pair[:2]:
        pair = pair[:2]
    if len(pair) == 1 and pair[0].isalnum():
        if _quote_of(pair[0]):
            return f"{pair[0]}.{market}"
        return f"{pair[0]}USD.P" if last in _PERPETUAL else None  # named after the coin alone: quoted in dollars
    if len(pair) == 2 and all(pair) and pair[1] in _KNOWN:
        return f"{pair[0]}{pair[1]}.{market}"
    return None


def _date(word: str) -> str | None:
    """``240628`` from itself or ``28JUN24``."""
    if len(word) == 6 and word.isdecimal():
        return word
    found = _DAY.fullmatch(word)
    if found is None or found.group(2) not in _MONTHS:
        return None
    day, month, year = found.groups()
    return f"{year}{_MONTHS[month]}{int(day):02d}"


@lru_cache(maxsize=65_536)
def _quote_of(head: str) -> str:
    """The quote a joined pair ends in: the one that leaves a base we know, else the longest."""
    endings = [head[-n:] for n in range(1, min(6, len(head))) if head[-n:] in _KNOWN] if head.isalnum() else []
    return _first(q for q in endings if head[: -len(q)] in _BASES) or (endings[-1] if endings else "")


def _first(found: Iterable[str]) -> str:
    return next(iter(found), "")
