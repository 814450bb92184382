"""What an import refuses, kept in quarantine once, however often the import is run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from lake.importers.mapping import plain

_GATHER = 10_000


class Refusals:
    """Gathers refused rows of one source and adds to the quarantine those that are not there yet.

    Args:
        lk: an open lake.
        source: names the store in the quarantine.
    """

    def __init__(self, lk: Any, source: str) -> None:
        self._lk, self._source = lk, source
        self._known: set[bytes] | None = None
        self._waiting: dict[str, list[tuple[dict[str, Any], str]]] = {}

    def add(self, dataset: str, found: Any, reason: str) -> None:
        """Keep a row, or a piece of the source that is none, with the reason."""
        row = plain(found if isinstance(found, Mapping) else {"found": found})
        mark = _mark(dataset, row, reason)
        known = self._kept()
        if mark in known:
            return
        known.add(mark)
        self._waiting.setdefault(dataset, []).append((row, reason))
        if len(self._waiting[dataset]) >= _GATHER:
            self.flush()

    def flush(self) -> None:
        """Make durable what was gathered."""
        waiting, self._waiting = self._waiting, {}
        for dataset, rows in waiting.items():
            self._lk.writer.quarantine.add(dataset, rows, self._source)

    def _kept(self) -> set[bytes]:
        if self._known is None:
            every = self._lk.writer.quarantine.read()
            self._known = {_mark(e["dataset"], e["row"], e["reason"]) for e in every if e["source"] == self._source}
        return self._known


def _mark(dataset: str, row: Mapping[str, Any], reason: str) -> bytes:
    text = orjson.dumps(dict(row), default=str, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS)
    return hashlib.sha256(b"\0".join((dataset.encode(), reason.encode(), text))).digest()[:16]
