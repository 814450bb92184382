"""Candles from an exchange through ccxt: from the last one held on, never the one that is still forming."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import stamina

from lake.errors import LakeError, MissingExtraError, SourceError, UsageError
from lake.sources.freqtrade import row_frame
from lake.sources.landing import Landing
from lake.sources.naming import About
from lake.sources.pieces import Piece
from lake.sources.report import FileReport, IngestReport
from lake.sources.shape import candle_batch
from lake.spec import symbols as names
from lake.spec import timeframes
from lake.spec.times import to_micros

_PAGE = 1000
_ATTEMPTS = 8
_WAIT = {"wait_initial": 0.2, "wait_max": 20.0, "wait_jitter": 0.5, "timeout": 180.0}


@dataclass(frozen=True, slots=True)
class _Span:
    """What to fetch: one market, from ``start`` up to and without ``end``, in milliseconds."""

    market: str
    timeframe: str
    start: int
    end: int

    @property
    def step(self) -> int:
        """Length of a candle in milliseconds."""
        return timeframes.micros(self.timeframe) // 1000


@dataclass(frozen=True, slots=True)
class Extra:
    """What most calls leave out.

    Attributes:
        until: end, not included; now by default.
        venue: name in the lake; the exchange's id by default.
        config: for ccxt: keys, proxies, options, ``urls``.
    """

    until: Any = None
    venue: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Live:
    """A request that was checked; times in microseconds."""

    venue: str
    timeframe: str
    since: int
    until: int | None


def ingest_ccxt(
    lk: Any, exchange: str, symbols: str | Sequence[str], timeframe: str, since: Any, extra: Extra | None = None
) -> IngestReport:
    """Fetch candles and land them, symbol by symbol; what is held already is not fetched again.

    Args:
        lk: an open lake.
        exchange: ccxt's id, such as ``binance``.
        symbols: as ccxt writes them (``BTC/USDT``, ``BTC/USDT:USDT``) or the lake (``BTCUSDT``, ``BTCUSDT.P``).
        timeframe: one that both the exchange and the lake know.
        since: where a symbol without candles starts: an aware time, epoch number or ISO text with offset.
        extra: end, venue, and settings for ccxt.

    Raises:
        MissingExtraError: ccxt is not installed.
        UsageError: unknown exchange, or no symbols.
        InvalidTimeError: a time without a zone.
        UnknownTimeframeError: the lake does not hold the timeframe.
        SourceError: the exchange cannot be reached, or does not have the timeframe.
    """
    asked = extra or Extra()
    wanted = [symbols] if isinstance(symbols, str) else list(symbols)
    until = None if asked.until is None else to_micros(asked.until, where="until")
    venue = exchange if asked.venue is None else asked.venue
    live = _Live(venue, timeframes.parse(timeframe), to_micros(since, where="since"), until)
    if not wanted:
        raise UsageError("which symbols?", where="symbols", todo="Give at least one, such as BTC/USDT.")
    client = _client(exchange, asked.config, live.timeframe)
    labels = {number: f"{exchange} {text} {live.timeframe}" for number, text in enumerate(wanted)}
    landing = Landing(lk, labels)
    return IngestReport(tuple(_symbol(lk, landing, client, live, (n, text)) for n, text in enumerate(wanted)))


def _symbol(lk: Any, landing: Landing, client: _Client, live: _Live, what: tuple[int, str]) -> FileReport:
    """One symbol fetched and landed; its failure is its own."""
    number, text = what
    error = ""
    try:
        _land(landing, number, client, _span(lk, live, client, text), live.venue)
    except LakeError as failure:
        error = str(failure)
    landing.flush()
    return landing.counts[number].report(landing.names[number], "ccxt", error)


def _span(lk: Any, live: _Live, client: _Client, text: str) -> _Span:
    """From behind the last candle held, or from ``since``."""
    last = lk.candles.last(names.canonical(text), live.timeframe, live.venue)
    start = live.since if last is None else max(live.since, last + timeframes.micros(live.timeframe))
    end = client.now if live.until is None else min(client.now, live.until // 1000)
    return _Span(client.market(text), live.timeframe, start // 1000, end)


def _client(exchange: str, config: Mapping[str, Any], timeframe: str) -> _Client:
    ccxt = _ccxt()
    if exchange not in ccxt.exchanges:
        raise UsageError("ccxt knows no such exchange", value=exchange)
    return _Client(ccxt, getattr(ccxt, exchange)({"enableRateLimit": True, **config}), timeframe)


def _land(landing: Landing, number: int, client: _Client, span: _Span, venue: str) -> None:
    about = About(names.canonical(span.market), span.timeframe, venue, tz="UTC", time_unit="ms", where=span.market)
    for rows in client.pages(span):
        landing.add(Piece.of(number, candle_batch(row_frame(rows, about.where), about)))
        if landing.full:
            landing.flush()


def _ccxt() -> Any:
    try:
        return importlib.import_module("ccxt")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "fetching candles needs ccxt", todo='Install it: pip install "tradelake[ccxt]".'
        ) from error


class _Client:
    """One exchange: its markets, and pages of candles fetched with retries."""

    def __init__(self, ccxt: Any, api: Any, timeframe: str) -> None:
        self._ccxt, self._api = ccxt, api
        self._call(api.load_markets)
        if not (api.timeframes or {}).get(timeframe):
            known = ", ".join(api.timeframes or ())
            raise SourceError(
                "the exchange has no candles of this timeframe", where=api.id, value=timeframe, todo=f"It has: {known}."
            )

    @property
    def now(self) -> int:
        """Milliseconds."""
        return int(self._api.milliseconds())

    def market(self, text: str) -> str:
        """The exchange's market for any spelling.

        Raises:
            SourceError: the exchange has no such market.
        """
        if text in self._api.markets:
            return text
        wanted = names.canonical(text)
        found = next((m for m in self._api.markets if names.canonical(m) == wanted), None)
        if found is None:
            raise SourceError("the exchange has no such market", where=self._api.id, value=text)
        return str(found)

    def pages(self, span: _Span) -> Iterator[list[list[object]]]:
        """Closed candles in order, a page at a time; a stretch without any is stepped over."""
        cursor, last = span.start, span.end - span.step  # the last candle that can be closed opens here
        while cursor <= last:
            rows = self._page(span, cursor)
            fresh = [row for row in rows if row[0] >= cursor]
            closed = [row for row in fresh if row[0] <= last]
            if closed:
                yield closed
            cursor = fresh[-1][0] + span.step if fresh else cursor + _PAGE * span.step

    def _page(self, span: _Span, cursor: int) -> list[list[Any]]:
        def fetch() -> list[list[Any]]:
            rows = self._api.fetch_ohlcv(span.market, span.timeframe, since=cursor, limit=_PAGE)
            if not isinstance(rows, list) or any(
                not isinstance(row, list) or len(row) < 6 or row[0] is None for row in rows
            ):
                raise self._ccxt.BadResponse(f"{span.market}: a reply that holds no candles")
            return sorted(rows, key=lambda row: row[0])

        return list(self._call(fetch))

    def _call(self, request: Any) -> Any:
        """The reply, after as many tries as a shaky network may need; refusals by the exchange are final."""
        passing = (self._ccxt.NetworkError, self._ccxt.BadResponse)
        try:
            for attempt in stamina.retry_context(on=passing, attempts=_ATTEMPTS, **_WAIT):
                with attempt:
                    return request()
        except self._ccxt.BaseError as error:
            raise SourceError(f"the exchange refuses: {error}", where=self._api.id) from error
        raise SourceError("the exchange gave no reply", where=self._api.id)
