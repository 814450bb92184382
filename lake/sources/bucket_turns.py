"""Turns among hosts: of all ingests into a lake in a bucket, one at a time reads the trades of a market.

A turn is a numbered file that only one of several can create. Who has it writes it anew every few seconds, and says in
it when it is given back; then, or when it has stayed the same for a minute, the next number may be taken. So a host
that is gone keeps nobody waiting for longer, and clocks need not agree. A host that only stood still for so
long is told, when it goes on, that its turn is over.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Event, Thread

from lake.errors import StorageError
from lake.store.hot.claim import host_name
from lake.store.location import Location

_log = logging.getLogger("lake.ingest")

_RENEW_SECONDS = 10.0
_STALE_SECONDS = 60.0
_LOOK_SECONDS = 1.0
_FREE = b"free"


@contextmanager
def bucket_turn(location: Location, folder: str, market: str) -> Iterator[Callable[[], None]]:
    """Have the turn inside the block; waits for other hosts.

    Args:
        location: of the lake.
        folder: of the turns at this market.
        market: for the log.

    Yields:
        What to call before a commit; it raises StorageError where another host has taken the turn over.

    Raises:
        StorageError: the bucket cannot be reached or written.
    """
    holder = f"{host_name()} {os.getpid()} {uuid.uuid4().hex}"
    path = _taken(location, folder, market, holder)
    given_back = Event()
    beating = Thread(target=_beat, args=(location, path, holder, given_back), name="ingest-turn", daemon=True)
    beating.start()
    try:
        yield partial(_check, location, path, market)
    finally:
        given_back.set()
        beating.join()
        _write(location, path, _FREE)


def _taken(location: Location, folder: str, market: str, holder: str) -> str:
    """The file of the turn, once this process has it."""
    waiting = _Waiting(market)
    while True:
        last = _numbers(location, folder)[-1:]
        said = location.read_or_none(_path(folder, last[0])) if last else _FREE
        if said is None:  # a later turn has just begun
            continue
        if said != _FREE and not waiting.is_stale((last[0], said)):
            time.sleep(_LOOK_SECONDS)
            continue
        number = last[0] + 1 if last else 1
        if _created(location, _path(folder, number), f"{holder} 0".encode()):
            numbers = _numbers(location, folder)
            if numbers[-1] == number:
                location.delete([_path(folder, n) for n in numbers[:-1]])
                return _path(folder, number)
            location.delete([_path(folder, number)])  # it was an old number: turns after it are over, or go on


def _check(location: Location, path: str, market: str) -> None:
    folder, _, number = path.rpartition("/")
    if _numbers(location, folder)[-1:] != [int(number)]:
        what = f"this ingest stood still for so long that another host has taken its turn at trades of {market}"
        raise StorageError(what, where=location.uri, todo="Run it again: what has landed stays, and the rest is added.")


class _Waiting:
    """How long a turn of somebody else has not been written anew."""

    def __init__(self, market: str) -> None:
        self._market = market
        self._seen: tuple[int, bytes] | None = None
        self._since = 0.0

    def is_stale(self, turn: tuple[int, bytes]) -> bool:
        """Whether the turn, as it is now, stayed the same for so long that its host must be gone."""
        if self._seen is None:
            host = turn[1].split(b" ", 1)[0].decode("utf-8", "replace")
            _log.warning("%s ingests trades of %s: this ingest waits until it has ended", host, self._market)
        if self._seen != turn:
            self._seen, self._since = turn, time.monotonic()
        return time.monotonic() - self._since >= _STALE_SECONDS


def _created(location: Location, path: str, text: bytes) -> bool:
    """Whether the file is this process's; a reply that was lost has it created all the same."""
    return location.create(path, text) or location.read_or_none(path) == text


def _beat(location: Location, path: str, holder: str, given_back: Event) -> None:
    """Write the file anew until the turn is given back."""
    count = 0
    while not given_back.wait(_RENEW_SECONDS):
        count += 1
        _write(location, path, f"{holder} {count}".encode())


def _write(location: Location, path: str, text: bytes) -> None:
    """Write what others look at; where that fails, the next time may come through, and else they wait for a minute."""
    try:
        location.write(path, text)
    except StorageError as error:
        _log.warning("the turn at a market could not be renewed or given back: %s", error)


def _numbers(location: Location, folder: str) -> list[int]:
    return sorted(int(name) for name in location.list_names(folder))


def _path(folder: str, number: int) -> str:
    return f"{folder}/{number}"
