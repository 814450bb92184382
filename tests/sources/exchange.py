"""A local HTTP server that speaks the public candles REST of Binance, and fails as told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

import orjson

STEP = 60_000


def kline(open_ms: int) -> list[object]:
    """One minute as Binance sends it, its prices made from its time."""
    price = 100 + open_ms // STEP % 50
    texts = [f"{price}.0", f"{price + 2}.0", f"{price - 2}.0", f"{price + 1}.0", "10.0"]
    return [open_ms, *texts, open_ms + STEP - 1, "1000.0", 7, "4.0", "400.0", "0"]


def market(base: str, quote: str) -> dict[str, object]:
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
        {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
    ]
    return {
        "symbol": base + quote, "status": "TRADING", "baseAsset": base, "quoteAsset": quote, "baseAssetPrecision": 8,
        "quotePrecision": 8, "quoteAssetPrecision": 8, "orderTypes": ["LIMIT"], "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False, "permissions": ["SPOT"], "permissionSets": [["SPOT"]], "filters": filters,
    }  # fmt: skip


class Exchange:
    """Minutes from ``first`` to ``last`` (ms), both included; ``faults`` are taken one by one, a request each."""

    def __init__(self, first: int, last: int, faults: list[str] | None = None) -> None:
        self.first, self.last, self.faults = first, last, list(faults or [])
        self.asked: list[int] = []
        self.url = ""

    def config(self) -> dict[str, object]:
        """For ccxt's binance."""
        api = dict.fromkeys(("public", "private", "v1"), f"{self.url}/api/v3")
        options = {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "defaultType": "spot"}
        return {"urls": {"api": api}, "options": options, "rateLimit": 1}

    def klines(self, query: dict[str, list[str]]) -> list[list[object]]:
        start, limit = int(query.get("startTime", ["0"])[0]), int(query.get("limit", ["500"])[0])
        self.asked.append(start)
        begin = max(self.first, -(-start // STEP) * STEP)
        return [kline(t) for t in range(begin, self.last + 1, STEP)[:limit]]


@contextmanager
def serving(exchange: Exchange) -> Iterator[Exchange]:
    """Serve on 127.0.0.1 while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlparse(self.path)
            kind = address.path.rsplit("/", 1)[-1]
            fault = exchange.faults.pop(0) if kind == "klines" and exchange.faults else ""
            body = orjson.dumps(self._answer(kind, parse_qs(address.query)))
            self._send(
                {"429": 429, "500": 500}.get(fault, 200),
                b"{}" if fault in ("429", "500") else body,
                half=fault == "half",
            )

        def _answer(self, kind: str, query: dict[str, list[str]]) -> object:
            if kind == "klines":
                return exchange.klines(query)
            return {
                "timezone": "UTC",
                "serverTime": exchange.last,
                "symbols": [market("BTC", "USDT"), market("ETH", "USDT")],
            }

        def _send(self, status: int, body: bytes, *, half: bool) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if half else body)
            if half:
                self.close_connection = True

        def log_message(self, *args: object) -> None:
            del args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    exchange.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield exchange
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
