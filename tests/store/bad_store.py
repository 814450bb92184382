"""An S3 service that ignores ``If-None-Match``, as some do: the last writer wins."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.s3_servers import S3Service


class _Handler(BaseHTTPRequestHandler):
    stored: dict[str, bytes]
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self.stored[self.path] = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(200, b"", {"ETag": '"0"'})

    def do_GET(self) -> None:
        found = self.stored.get(self.path)
        if found is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>", {})
        else:
            self._answer(200, found, {"ETag": '"0"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.stored.clear()  # the only POST that a probe sends is its delete
        self._answer(200, b"<DeleteResult></DeleteResult>", {})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def bad_store() -> Iterator[tuple[S3Service, dict[str, bytes]]]:
    """The service, and what it holds."""
    stored: dict[str, bytes] = {}
    handler = type("Handler", (_Handler,), {"stored": stored})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield S3Service(f"http://127.0.0.1:{server.server_port}", "k", "s"), stored
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
