"""Redis, read by SCAN and by commands that change nothing: keys by pattern, and what they hold piece by piece."""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from lake.errors import MissingExtraError, SourceError
from lake.importers.addresses import shown
from lake.importers.base import Notes, Refused
from lake.importers.reading.jsons import DECODER, JsonText, documents, entries, items, told_of_end

_PAGE = 1_000  # entries of a list, hash or set that are fetched together
_WHOLE = 64 << 20  # bytes of a text that are asked for at once, and so are of one moment; a bot may be writing it
_LISTED = 20_000  # entries of a list that are
_ATTEMPTS = 5
_KEPT = 2_000  # characters of a broken entry that are kept
_TIMEOUT = 30.0
_DUMP = "A dump is read by a Redis server that is started on it: give the address of that."
_NOTHING = "no whole JSON value"


class RedisStore:
    """One database of a Redis server, of which nothing is changed.

    Args:
        source: ``redis://user:password@host:port/number``; also ``rediss`` and ``unix``.

    Raises:
        SourceError: it cannot be reached.
        MissingExtraError: the driver is not installed.
    """

    def __init__(self, source: str) -> None:
        self.where = shown(source)
        try:
            self._driver: Any = importlib.import_module("redis")
        except ModuleNotFoundError as error:
            todo = 'Install it: pip install "tradelake[stores]".'
            raise MissingExtraError("reading Redis needs its driver", todo=todo) from error
        try:
            self._server = self._driver.Redis.from_url(source, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT)
        except ValueError as error:
            todo = _DUMP if Path(source).is_file() else "Give redis://host:port/number."
            raise SourceError("not an address of Redis", where=self.where, todo=todo) from error
        with self._telling():
            self._server.ping()

    def close(self) -> None:
        """Let go of the connection."""
        self._server.close()

    def keys(self, *patterns: str) -> list[str]:
        """The keys that match one of the patterns (``phantom:wr:*``), in order."""
        with self._telling():
            found = {key for pattern in patterns for key in self._server.scan_iter(match=pattern, count=_PAGE)}
        return sorted(key.decode("utf-8", "replace") for key in found)

    def some_keys(self) -> list[str]:
        """A few of its keys, for a message."""
        with self._telling():
            _, found = self._server.scan(count=10)
        return sorted(key.decode("utf-8", "replace") for key in found)[:5]

    def kind(self, key: str) -> str:
        """What a key holds: string, list, hash, set, zset; none when it is not there."""
        with self._telling():
            return str(self._server.type(key).decode())

    def value(self, key: str) -> bytes:
        """A string, whole."""
        with self._telling():
            return cast("bytes", self._server.get(key) or b"")

    def text(self, key: str) -> JsonText:
        """A string of JSON, as it was at one moment.

        Raises:
            SourceError: it is larger than what is asked for at once, and changes again and again.
        """
        first = self.stretch(key, 0, _WHOLE)
        return JsonText(Path(key), io.BytesIO(first) if len(first) < _WHOLE else self._copied(key))

    def _copied(self, key: str) -> BinaryIO:
        """A long string in a file of ours, fetched in stretches until it is twice the same."""
        file, before = cast("BinaryIO", tempfile.TemporaryFile()), b""  # noqa: SIM115 (it is given away)
        for _ in range(_ATTEMPTS):
            file.seek(0)
            file.truncate()
            digest = hashlib.sha256()
            while piece := self.stretch(key, file.tell(), _WHOLE):
                file.write(piece)
                digest.update(piece)
            if digest.digest() == before:
                file.seek(0)
                return file
            before = digest.digest()
        file.close()
        raise self._changing(key)

    def _changing(self, key: str) -> SourceError:
        return SourceError(f"{key} changes while it is read", where=self.where, todo="Stop its bot meanwhile.")

    def stretch(self, key: str, start: int, length: int) -> bytes:
        """Some bytes of a string; fewer at its end."""
        with self._telling():
            return cast("bytes", self._server.getrange(key, start, start + length - 1))

    def members(self, key: str) -> Iterator[bytes]:
        """The entries of a list, first to last, or of a set.

        Raises:
            SourceError: a list is longer than what is asked for at once, and changes meanwhile.
        """
        kind = self.kind(key)
        with self._telling():
            if kind == "list":
                yield from self._listed(key)
            elif kind == "set":
                yield from self._server.sscan_iter(key, count=_PAGE)
            elif kind == "zset":
                yield from (member for member, _ in self._server.zscan_iter(key, count=_PAGE))

    def _listed(self, key: str) -> Iterator[bytes]:
        """Stretches of a list, each from the last entry of the one before, which is another one if the list moved."""
        some = self._server.lrange(key, 0, _LISTED - 1)
        yield from some
        start = 0
        while len(some) == _LISTED:
            start, last = start + _LISTED - 1, some[-1]
            some = self._server.lrange(key, start, start + _LISTED - 1)
            if some[:1] != [last]:
                raise self._changing(key)
            yield from some[1:]

    def fields(self, key: str) -> Iterator[tuple[str, bytes]]:
        """The fields of a hash."""
        with self._telling():
            for name, value in self._server.hscan_iter(key, count=_PAGE):
                yield name.decode("utf-8", "replace"), value

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except self._driver.RedisError as error:
            raise SourceError(f"Redis cannot be read: {error}", where=self.where, todo=_todo(error)) from error


def _todo(error: Exception) -> str:
    """What to do next, where that may be known."""
    words = str(error).lower()
    if "connect" in words or "timed out" in words or "timeout" in words:
        return "Is the server running there (redis://host:port/number)?"
    is_unknown = any(word in words for word in ("auth", "password", "wrongpass", "noperm"))
    return "Give user and password in the address: redis://user:password@host:port/number." if is_unknown else ""


def records(store: RedisStore, key: str, notes: Notes) -> Iterator[Any]:
    """The JSON values that a key holds: of an array, of the entries of a list or set, of the fields of a hash."""
    kind = store.kind(key)
    if kind == "string":
        with store.text(key) as text:
            yield from _of_text(text, notes)
    elif kind == "hash":
        yield from (decoded(raw, notes, f"{key} {name}") for name, raw in store.fields(key))
    elif kind in {"list", "set", "zset"}:
        yield from (decoded(raw, notes, key) for raw in store.members(key))
    else:
        raise SourceError(f"{key} is a {kind}, which holds no JSON", where=store.where, todo="Is it of another kind?")


def _of_text(text: JsonText, notes: Notes) -> Iterator[Any]:
    for first in documents(text, notes):
        if first == "[":
            yield from items(text, notes)
            continue
        value = _or_refused(text.value, notes, str(text.path))
        yield value
        if isinstance(value, Refused):
            return
    told_of_end(text, notes)


def named(store: RedisStore, key: str, notes: Notes) -> Iterator[tuple[str, Any]]:
    """Name and JSON value of an object's entries, or of a hash's fields."""
    if store.kind(key) == "hash":
        yield from ((name, decoded(raw, notes, f"{key} {name}")) for name, raw in store.fields(key))
        return
    with store.text(key) as text:
        if text.peek() == "{":
            yield from entries(text, notes)
        elif text.peek():
            yield "", _or_refused(text.value, notes, key)
        told_of_end(text, notes)


def decoded(raw: bytes, notes: Notes, where: str) -> Any:
    """A JSON value; what is none is Refused, and told."""
    text = raw.decode("utf-8", "replace")
    done = _or_refused(lambda: DECODER.decode(text), notes, where)
    return Refused(text[:_KEPT], _NOTHING) if isinstance(done, Refused) else done


def _or_refused(read: Callable[[], Any], notes: Notes, where: str) -> Any:
    try:
        return read()
    except (json.JSONDecodeError, RecursionError):
        notes.tell(f"{where}: an entry is no JSON, or not whole", failed=True)
        return Refused(where, _NOTHING)
