"""Turns: of all ingests on a host, one at a time reads trades of a market.

A candle is made of the trades of its files and of those that earlier runs kept. Of two ingests that read at once,
neither would see what the other is about to keep, and the candle that both have trades of would lack some. A turn is a
lock on a file beside the hot logs: it ends with its process, however that ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lake.store.location.local_errors import storage_errors

_log = logging.getLogger("lake.ingest")


@contextmanager
def turns_at(folder: Path, markets: Iterable[str]) -> Iterator[None]:
    """Have the turns at some markets inside the block; waits for other ingests of them.

    Args:
        folder: of the lake's hot logs.
        markets: whose trades are read, and into candles of which timeframe.

    Raises:
        StorageError: the folder cannot be written.
    """
    with ExitStack() as held:
        for market in sorted(set(markets)):  # in one order everywhere, so that two ingests never wait for each other
            held.enter_context(_turn_at(folder, market))
        yield


@contextmanager
def _turn_at(folder: Path, market: str) -> Iterator[None]:
    name = f"trades-{hashlib.sha256(market.encode()).hexdigest()[:16]}.lock"
    with storage_errors(str(folder), name):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / name).open("ab")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.warning("another ingest reads trades of %s: this one waits until it has ended", market)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
