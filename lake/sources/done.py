"""Which files an ingest has finished, kept in the lake: content, not dates, decides whether one is done."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson

from lake.sources.base import Options

FOLDER = "_ingest"


@dataclass(frozen=True, slots=True)
class Identity:
    """One file as it was ingested: name, size, content, and the options that change its meaning."""

    name: str
    size: int
    sha256: str
    options: str

    @classmethod
    def of(cls, path: Path, options: Options, source: str) -> Identity:
        """Identity of a file on disk; reads it once."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        meaning = repr([(name, getattr(options, name)) for name in Options.__slots__]) + source
        return cls(path.name, path.stat().st_size, digest, hashlib.sha256(meaning.encode()).hexdigest()[:16])


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
        self._known = set(self._load())

    def __contains__(self, identity: Identity) -> bool:
        return identity in self._known

    def add(self, identities: Iterable[Identity]) -> None:
        """Remember files; to be called only after all their rows are durable."""
        new = [i for i in identities if i not in self._known]
        if new:
            lines = b"".join(orjson.dumps(asdict(i)) + b"\n" for i in new)
            self._location.write(f"{FOLDER}/{uuid.uuid4().hex}.jsonl", lines)
            self._known.update(new)

    def _load(self) -> Iterable[Identity]:
        for entry in self._location.list(FOLDER):
            for line in self._location.read(entry.path).splitlines():
                yield Identity(**orjson.loads(line))
