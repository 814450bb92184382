"""Which files an ingest has finished, kept in the lake: content, not dates, decides whether one is done.

Of a file of which not one row could be taken it is kept too why, so that a later run tells it again.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import orjson

from lake.sources.base import Options
from lake.sources.naming import folder_meaning

FOLDER = "_ingest"


@dataclass(frozen=True, slots=True)
class Identity:
    """One file as it was ingested: name, size, content, and the options and folders that change its meaning."""

    name: str
    size: int
    sha256: str
    options: str

    @classmethod
    def of(cls, path: Path, options: Options, source: str) -> Identity:
        """Identity of a file on disk; reads it once."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        said = [(name, getattr(options, name)) for name in Options.__slots__ if name != "again"]
        meaning = repr(said) + source + folder_meaning(path)
        return cls(path.name, path.stat().st_size, digest, hashlib.sha256(meaning.encode()).hexdigest()[:16])


_IDENTITY = tuple(field.name for field in fields(Identity))


@dataclass(frozen=True, slots=True)
class Refusal:
    """How many rows a file has that were all refused, and why: reason -> rows."""

    rows: int
    reasons: Mapping[str, int]


class Location(Protocol):
    """The part of the lake's storage that is used here."""

    def list(self, prefix: str) -> Any:
        """Entries below a prefix, each with ``path``."""

    def read(self, path: str) -> bytes:
        """All bytes."""

    def write(self, path: str, data: bytes) -> None:
        """Write durably."""


class Done:
    """The finished files of one lake."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._known = dict(self._load())

    def __contains__(self, identity: Identity) -> bool:
        return identity in self._known

    def refusal(self, identity: Identity) -> Refusal | None:
        """Why all rows of a finished file were refused; None where some were taken, or it has none."""
        return self._known.get(identity)

    def look_again(self) -> None:
        """Learn of what other ingests have finished since."""
        self._known.update(self._load())

    def add(self, files: Mapping[Identity, Refusal | None]) -> None:
        """Remember files; to be called only after all their rows are durable."""
        new = {identity: refusal for identity, refusal in files.items() if identity not in self._known}
        if new:
            lines = b"".join(_line(identity, refusal) for identity, refusal in new.items())
            self._location.write(f"{FOLDER}/{uuid.uuid4().hex}.jsonl", lines)
            self._known.update(new)

    def _load(self) -> Iterator[tuple[Identity, Refusal | None]]:
        for entry in self._location.list(FOLDER):
            for line in self._location.read(entry.path).splitlines():
                told = orjson.loads(line)
                refused = told.get("refused")
                yield Identity(**{name: told[name] for name in _IDENTITY}), Refusal(**refused) if refused else None


def _line(identity: Identity, refusal: Refusal | None) -> bytes:
    refused = {"refused": asdict(refusal)} if refusal else {}
    return orjson.dumps({**asdict(identity), **refused}) + b"\n"
