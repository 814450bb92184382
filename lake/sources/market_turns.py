"""Turns: of all ingests into a lake, one at a time reads trades of a market.

A candle is made of the trades of its files and of those that earlier runs kept. Of two ingests that read at once,
neither would see what the other is about to keep, and the candle that both have trades of would lack some. A turn on a
host is a lock on a file: it ends with its process, however that ends. The hosts of a lake in a bucket take turns in the
bucket too.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO

from lake.errors import StorageError
from lake.sources.bucket_turns import bucket_turn
from lake.store import forks
from lake.store.location import Location
from lake.store.location.local_errors import storage_errors

_log = logging.getLogger("lake.ingest")

FOLDER = "_lake/turns"
_TRIES = 100


@contextmanager
def turns_at(location: Location, hot_folder: Path, markets: Iterable[str]) -> Iterator[Callable[[], None]]:
    """Have the turns at some markets inside the block; waits for other ingests of them.

    Args:
        location: of the lake, which need not be there yet.
        hot_folder: of this host's hot logs, where a remote lake has its locks.
        markets: whose trades are read, and into candles of which timeframe.

    Yields:
        What to call before and after each commit; it raises StorageError where a turn is no longer this process's.

    Raises:
        StorageError: the folder or the bucket cannot be written.
    """
    folder = Path(location.url(FOLDER)) if location.is_local else hot_folder
    checks: list[Callable[[], None]] = []
    with ExitStack() as held:
        for market in sorted(set(markets)):  # in one order everywhere, so that two ingests never wait for each other
            name = hashlib.sha256(market.encode()).hexdigest()[:16]
            held.enter_context(_turn_at(folder / f"trades-{name}.lock", market))
            if not location.is_local:
                checks.append(held.enter_context(bucket_turn(location, f"{FOLDER}/{name}", market)))
        yield partial(_all, checks)


def _all(checks: Iterable[Callable[[], None]]) -> None:
    for check in checks:
        check()


@contextmanager
def _turn_at(path: Path, market: str) -> Iterator[None]:
    with _locked(path, market):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _locked(path: Path, market: str) -> IO[bytes]:
    """The lock's file, locked and still under its name: who has it takes the name away in the end."""
    for _ in range(_TRIES):
        try:
            with storage_errors(str(path.parent), path.name):
                path.parent.mkdir(parents=True, exist_ok=True)
                file = path.open("ab")
        except FileNotFoundError:  # an ingest that landed nothing has just taken its folders away
            continue
        forks.keep_lock(file)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.warning("another ingest reads trades of %s: this one waits until it has ended", market)
            fcntl.flock(file, fcntl.LOCK_EX)
        if _is_named(file, path):
            return file
        file.close()
    todo = "Choose another place for the lake, or try again."
    raise StorageError("no lock can be kept there", where=str(path), todo=todo)


def _is_named(file: IO[bytes], path: Path) -> bool:
    try:
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False
