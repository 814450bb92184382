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
from lake.sources.report import IngestReport
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
class Live:
    """What to fetch from an exchange.

    Attributes:
        exchange: ccxt's id, such as ``binance``.
        symbols: as ccxt writes them (``BTC/USDT``, ``BTC/USDT:USDT``) or the lake (``BTCUSDT``, ``BTCUSDT.P``).
        timeframe: one that both the exchange and the lake know.
        since: where a symbol without candles starts: an aware time, epoch number or ISO text with offset.
        until: end, not included; now by default.
        venue: name in the lake; the exchange's id by default.
        config: for ccxt: keys, proxies, options, ``urls``.
    """

    exchange: str
    symbols: Sequence[str]
    timeframe: str
    since: Any
    until: Any = None
    venue: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        timeframes.parse(self.timeframe)
        to_micros(self.since, where="since")
        if self.until is not None:
            to_micros(self.until, where="until")
        if isinstance(self.symbols, str) or not self.symbols:
            raise UsageError("which symbols?", where="symbols", value=self.symbols, todo="Give a list of them.")

    @property
    def held_as(self) -> str:
        """The venue in the lake."""
        return self.exchange if self.venue is None else self.venue


def ingest_ccxt(lk: Any, live: Live) -> IngestReport:
    """Fetch candles and land them, symbol by symbol; what is held already is not fetched again.

    Args:
        lk: an open lake.
        live: what to fetch.

    Raises:
        MissingExtraError: ccxt is not installed.
        UsageError: unknown exchange.
        SourceError: the exchange cannot be reached, or does not have the timeframe.
    """
    ccxt = _ccxt()
    if live.exchange not in ccxt.exchanges:
        raise UsageError("ccxt knows no such exchange", value=live.exchange)
    api = getattr(ccxt, live.exchange)({"enableRateLimit": True, **live.config})
    frame = timeframes.parse(live.timeframe)
    client = _Client(ccxt, api, frame)
    labels = {number: f"{live.exchange} {text} {frame}" for number, text in enumerate(live.symbols)}
    landing = Landing(lk, labels)
    reports = []
    for number, text in enumerate(live.symbols):
        error = ""
        try:
            _land(landing, number, client, _span(lk, live, client, text), live.held_as)
        except LakeError as failure:
            error = str(failure)
        landing.flush()
        reports.append(landing.counts[number].report(labels[number], "ccxt", error))
    return IngestReport(tuple(reports))


def _span(lk: Any, live: Live, client: _Client, text: str) -> _Span:
    """From the last candle held, or from ``since``."""
    frame = timeframes.parse(live.timeframe)
    last = lk.candles.last(names.canonical(text), frame, live.held_as)
    first = to_micros(live.since, where="since")
    start = first if last is None else max(first, last + timeframes.micros(frame))
    end = client.now if live.until is None else min(client.now, to_micros(live.until, where="until") // 1000)
    return _Span(client.market(text), frame, start // 1000, end)


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
