"""Rows that were refused, kept with the reason in JSON-lines files beside the data: nothing is dropped silently."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from lake.clock import now_micros
from lake.spec.texts import half_character
from lake.store.location import Location

FOLDER = "_quarantine"


class Quarantine:
    """Adds to and reads the refused rows of one lake."""

    def __init__(self, location: Location) -> None:
        self._location = location

    def add(self, dataset: str, rows: Sequence[tuple[Mapping[str, Any], str]], source: str = "") -> None:
        """Keep refused rows as they were given, durably, each with its reason; half a character is written out."""
        if not rows:
            return
        at = now_micros()
        lines = [
            _line({"at": at, "dataset": dataset, "source": source, "reason": reason, "row": dict(row)})
            for row, reason in rows
        ]
        day = datetime.fromtimestamp(at / 1e6, UTC).date().isoformat()
        self._location.write(f"{FOLDER}/{dataset}/{day}-{uuid.uuid4().hex}.jsonl", b"\n".join(lines) + b"\n")

    def read(self, dataset: str | None = None) -> Iterator[dict[str, Any]]:
        """Every refused row: at (µs), dataset, source, reason, row."""
        return self._read(FOLDER if dataset is None else f"{FOLDER}/{dataset}", set())

    def read_new(self, known: set[str]) -> Iterator[dict[str, Any]]:
        """The same of files whose paths are not known; afterwards they are."""
        return self._read(FOLDER, known)

    def _read(self, prefix: str, known: set[str]) -> Iterator[dict[str, Any]]:
        for entry in sorted(self._location.list(prefix), key=lambda e: e.path):
            if entry.path in known:
                continue
            for line in self._location.read(entry.path).splitlines():
                yield orjson.loads(line)
            known.add(entry.path)


def _line(entry: Mapping[str, Any]) -> bytes:
    whole = entry if half_character(entry) is None else _escaped(entry)
    return orjson.dumps(whole, default=str, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)


def _escaped(value: Any) -> Any:
    """The value with halves of characters written out in its texts, which JSON does not hold."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_escaped(name): _escaped(found) for name, found in value.items()}
    return [_escaped(found) for found in value] if isinstance(value, list | tuple | set | frozenset) else value
