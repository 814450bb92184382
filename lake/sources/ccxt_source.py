"""Candles from an exchange through ccxt: from the last one held on, never the one that is still forming."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import stamina

from lake.errors import LakeError, MissingExtraError, SourceError, UsageError
from lake.sources.freqtrade import row_frame
from lake.sources.landing import Counts, Landing
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


def ingest_ccxt(
    lk: Any, exchange: str, symbols: str | Sequence[str], timeframe: str, since: Any, until: Any = None, *,
    venue: str | None = None, config: Mapping[str, Any] | None = None,
) -> IngestReport:  # fmt: skip
    """Fetch candles and land them, symbol by symbol; what is held already is not fetched again.

    Args:
        lk: an open lake.
        exchange: ccxt's id of the exchange, such as ``binance``.
        symbols: as ccxt writes them (``BTC/USDT``, ``BTC/USDT:USDT``) or the lake (``BTCUSDT``, ``BTCUSDT.P``).
        timeframe: such as ``1h``; one that both the exchange and the lake know.
        since: where a symbol without candles starts: an aware time, epoch number or ISO text with offset.
        until: end, not included; now by default.
        venue: name in the lake; the exchange's id by default.
        config: for ccxt: keys, proxies, options, ``urls``.

    Raises:
        MissingExtraError: ccxt is not installed.
        UsageError: unknown exchange.
        SourceError: the exchange cannot be reached, or does not have the timeframe.
    """
    ccxt = _ccxt()
    if exchange not in ccxt.exchanges:
        raise UsageError("ccxt knows no such exchange", value=exchange)
    held_as = exchange if venue is None else venue
    frame = timeframes.parse(timeframe)
    client = _Client(ccxt, getattr(ccxt, exchange)({"enableRateLimit": True, **(config or {})}), frame)
    wanted = [symbols] if isinstance(symbols, str) else list(symbols)
    landing = Landing(lk, {n: f"{exchange} {text} {frame}" for n, text in enumerate(wanted)})
    end = client.now if until is None else min(client.now, to_micros(until, where="until") // 1000)
    reports = []
    for number, text in enumerate(wanted):
        error = ""
        try:
            last = lk.candles.last(names.canonical(text), frame, held_as)
            first = to_micros(since, where="since") // 1000
            start = first if last is None else max(first, (last + timeframes.micros(frame)) // 1000)
            _land(landing, number, client, _Span(client.market(text), frame, start, end), held_as)
        except LakeError as failure:
            error = str(failure)
        landing.flush()
        reports.append(_report(f"{exchange} {text} {frame}", landing.counts[number], error))
    return IngestReport(tuple(reports))


def _land(landing: Landing, number: int, client: _Client, span: _Span, venue: str) -> None:
    about = About(names.canonical(span.market), span.timeframe, venue, tz="UTC", time_unit="ms", where=span.market)
    for rows in client.pages(span):
        landing.add(Piece.of(number, candle_batch(row_frame(rows, about.where), about)))
        if landing.full:
            landing.flush()


def _report(name: str, counts: Counts, error: str) -> FileReport:
    return FileReport(
        name, "ccxt", "failed" if error else "done", counts.rows_in, counts.landed, counts.updated, counts.duplicate,
        counts.quarantined, dict(counts.reasons), error,
    )  # fmt: skip


def _ccxt() -> Any:
    try:
        return importlib.import_module("ccxt")
    except ModuleNotFoundError as error:
        raise MissingExtraError("fetching candles needs ccxt", todo='Install it: pip install "tradelake[ccxt]".') from error


class _Client:
    """One exchange: its markets, and pages of candles fetched with retries."""

    def __init__(self, ccxt: Any, api: Any, timeframe: str) -> None:
        self._ccxt, self._api = ccxt, api
        self._call(api.load_markets)
        if not (api.timeframes or {}).get(timeframe):
            known = ", ".join(api.timeframes or ())
            raise SourceError("the exchange has no candles of this timeframe", where=api.id, value=timeframe, todo=f"It has: {known}.")

    @property
    def now(self) -> int:
        """Milliseconds."""
        return int(self._api.milliseconds())

    def market(self, text: str) -> str:
        """ccxt's symbol for any spelling.

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
            if not isinstance(rows, list) or any(not isinstance(row, list) or len(row) < 6 or row[0] is None for row in rows):
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
