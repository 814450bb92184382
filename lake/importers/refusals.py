"""What an import refuses, kept in quarantine once, however often the import is run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from lake.importers.mapping import plain
from lake.importers.turns import ImportTurn

_GATHER = 10_000


class Refusals:
    """Gathers refused rows of one source and adds to the quarantine those that are not there yet.

    Args:
        lk: an open lake.
        source: names the store in the quarantine.
        turn: to be had from the look at what is there until rows are added.
    """

    def __init__(self, lk: Any, source: str, turn: ImportTurn) -> None:
        self._lk, self._source, self._turn = lk, source, turn
        self._known: set[bytes] = set()
        self._read: set[str] = set()  # files of the quarantine
        self._waiting: dict[str, dict[bytes, tuple[dict[str, Any], str]]] = {}

    def add(self, dataset: str, found: Any, reason: str) -> None:
        """Keep a row, or a piece of the source that is none, with the reason."""
        row = plain(found if isinstance(found, Mapping) else {"found": found})
        mark, waiting = _mark(dataset, row, reason), self._waiting.setdefault(dataset, {})
        if mark in self._known:
            return
        waiting[mark] = (row, reason)
        if len(waiting) >= _GATHER:
            self.flush()

    def flush(self) -> None:
        """Make durable what was gathered, but for what is there by now."""
        if not any(self._waiting.values()):
            return
        waiting, self._waiting = self._waiting, {}
        with self._turn.held():
            self._look()
            for dataset, rows in waiting.items():
                fresh = {mark: row for mark, row in rows.items() if mark not in self._known}
                self._lk.writer.quarantine.add(dataset, list(fresh.values()), self._source)
                self._known.update(fresh)

    def _look(self) -> None:
        """Take in what the quarantine has got since the last look."""
        for entry in self._lk.writer.quarantine.read_new(self._read):
            if entry["source"] == self._source:
                self._known.add(_mark(entry["dataset"], entry["row"], entry["reason"]))


def _mark(dataset: str, row: Mapping[str, Any], reason: str) -> bytes:
    text = orjson.dumps(dict(row), default=str, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS)
    return hashlib.sha256(b"\0".join((dataset.encode(), reason.encode(), text))).digest()[:16]
