"""Pickled models, of a folder or of Redis (``ml:trend:*``, its mirror ``tml:*``): catalogued, and never loaded unasked.

Each file becomes a version of the registry, with its hash, size and what JSON beside it tells; its bytes are copied
into the lake. A pickle can run any code when it is loaded, so that is left to who says ``allow_pickle``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from lake.clock import now_micros
from lake.errors import SourceError
from lake.importers.addresses import existing, is_server
from lake.importers.base import Notes, Options, Refused, Row, RowMap, Rule, Table
from lake.importers.kinds.model_files import Artifact, beside, features, is_pickle, pickles
from lake.importers.reading.redis import RedisStore
from lake.importers.rules import constant, first_of, moment, text
from lake.importers.values import as_number
from lake.learn.models import foreign, storing
from lake.spec.times import from_micros

_PARTS = ("model", "scaler", "calibrator")
_MIRRORS = {"tml": "ml:trend"}  # an older name of the same keys
_LARGEST = 1 << 30
_PICKLE_HEAD = b"\x80"
_DIGITS = 12  # of the hash, in a version's name


class Models:
    """Catalogues pickled models."""

    name = "models"
    summary = (
        "joblib and pickle files, or Redis ml:trend:*: catalogued with their hash; loaded only with --allow-pickle"
    )

    def tables(self, source: str, options: Options) -> Iterable[Table]:
        """One table: the pickles."""
        kept = _Kept(options.allow_pickle)
        read = partial(_of_redis, RedisStore(source)) if is_server(source) else partial(_of_files, existing(source))
        first = _FirstSeen()
        return [Table("models", (_map(first),), lambda notes: read(kept, notes), before=kept.copy, look=first.look)]


@dataclass
class _Kept:
    """What the rows are of: hash -> how their bytes are had again, to be copied."""

    allow_pickle: bool
    sources: dict[str, Callable[[], bytes]] = field(default_factory=dict)

    def row(self, artifact: Artifact, data: bytes, again: Callable[[], bytes], notes: Notes) -> dict[str, Any]:
        """What is known of some bytes without looking into them; and what is in them, where that is allowed."""
        digest = hashlib.sha256(data).hexdigest()
        self.sources[digest] = again
        version = f"{artifact.name}-{digest[:_DIGITS]}"
        told = {"version": version, "name": artifact.name, "role": artifact.role, "symbol": artifact.symbol}
        row: dict[str, Any] = {
            **told,
            "sha256": digest,
            "size": len(data),
            "path": foreign.path_of(told["name"], version),
        }
        if not self.allow_pickle:
            notes.tell(
                "pickles are catalogued, and not loaded (an import with --allow-pickle would, and run whatever code is "
                "in them)"
            )
            return row
        notes.tell(f"loaded, to tell what is in them: {storing.RISK}")
        try:
            row["inside"] = foreign.described(data)
        except SourceError as error:
            notes.tell(f"{version}: {error.what}")
        return row

    def copy(self, lk: Any, rows: Sequence[Row]) -> None:
        """Put the files into the lake, before their rows land."""
        location = lk.store.location
        for row in rows:
            if not location.exists(row["path"]):
                data = self.sources[row["sha256"]]()
                storing.check_hash(data, row["sha256"])
                location.write(row["path"], data)


def _of_files(source: Path, kept: _Kept, notes: Notes) -> Iterator[Row | Refused]:
    found = False
    for path in pickles(source):
        found = True
        shown = path.name if path == source else str(path.relative_to(source))
        size = path.stat().st_size
        if not 0 < size <= _LARGEST:
            yield Refused({"file": shown, "size": size}, "larger than 1 GiB" if size else "an empty file")
            continue
        if not is_pickle(path):
            yield Refused({"file": shown, "size": size}, "not a pickle, by its first bytes")
            continue
        artifact = Artifact.of(path.name.partition(".")[0])
        at = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat()
        told = beside(path, notes) if artifact.role == "model" else {}
        yield {**kept.row(artifact, path.read_bytes(), path.read_bytes, notes), "file": shown, "modified": at, **told}
    if not found:
        raise SourceError("there are no pickles (.pkl, .pickle, .joblib)", where=str(source))


def _of_redis(store: RedisStore, kept: _Kept, notes: Notes) -> Iterator[Row | Refused]:
    keys = store.keys("ml:*", "tml:*")
    spaces = sorted({key.rpartition(":")[0] for key in keys})
    if not spaces:
        raise SourceError("there are no keys ml:* or tml:*", where=store.where, value=store.some_keys())
    for space in spaces:
        own = {key.rpartition(":")[2]: key for key in keys if key.rpartition(":")[0] == space}
        state = {name: _plain(store, key) for name, key in own.items() if name not in _PARTS}
        if "model" not in own:
            notes.tell(f"{space}:* holds no model, but {', '.join(own) or 'nothing'}")
        for part in (name for name in _PARTS if name in own):
            if space in _MIRRORS and _is_same(store, own[part], f"{_MIRRORS[space]}:{part}"):
                notes.tell(f"{own[part]} holds what {_MIRRORS[space]}:{part} holds: it is taken once")
                continue
            yield _of_key(store, kept, notes, own[part], state if part == "model" else {})
    notes.tell("Redis keeps no time of training: the time of the first import stands for it")


def _is_same(store: RedisStore, key: str, other: str) -> bool:
    return store.kind(other) == "string" and store.value(key) == store.value(other)


def _of_key(store: RedisStore, kept: _Kept, notes: Notes, key: str, state: Mapping[str, Any]) -> Row | Refused:
    data = _bytes(store, key)
    if data is None:
        return Refused({"key": key}, "neither a pickle nor base64 of one")
    space, _, part = key.rpartition(":")
    stem = _MIRRORS.get(space, space) + ("" if part == "model" else f":{part}")
    row = kept.row(Artifact.of(stem), data, partial(_again, store, key), notes)
    return {**row, "key": key, **({"state": dict(state)} if state else {})}


def _again(store: RedisStore, key: str) -> bytes:
    return _bytes(store, key) or b""


def _bytes(store: RedisStore, key: str) -> bytes | None:
    raw = store.value(key) if store.kind(key) == "string" else b""
    if raw.startswith(_PICKLE_HEAD):
        return raw
    try:
        return base64.b64decode(raw, validate=True) or None
    except binascii.Error:
        return None


def _plain(store: RedisStore, key: str) -> Any:
    """A value of the state: a number, a word or JSON text; of lists and hashes what they hold."""
    kind = store.kind(key)
    if kind == "string":
        return store.value(key).decode("utf-8", "replace")
    if kind == "hash":
        return {name: raw.decode("utf-8", "replace") for name, raw in store.fields(key)}
    return [raw.decode("utf-8", "replace") for raw in store.members(key)]


def _stage(row: Row, _options: Options) -> str:
    """A part of a model is never live by itself."""
    return "candidate" if row["role"] == "model" else "retired"


def _schema(row: Row, _options: Options) -> Any:
    inside = row.get("inside") or {}
    names = inside.get("features") or [*features(row.get("feature_importance"))]
    return {"kinds": dict.fromkeys(names, "number"), "texts": {}} if names else None


def _metrics(row: Row, _options: Options) -> Any:
    """What the bot wrote of its training, the newest entry on top; and what the model leans on."""
    told = row.get("performance", row.get("metrics"))
    made: dict[str, Any] = dict(told) if isinstance(told, dict) else {}
    if isinstance(told, list) and told:
        made = {"history": told, **({"overall": told[-1]} if isinstance(told[-1], dict) else {})}
    weights = sorted(features(row.get("feature_importance")).items(), key=lambda pair: -pair[1])
    if weights:
        made["importance"] = [{"feature": name, "weight": weight} for name, weight in weights]
    return {**made, **({"state": row["state"]} if "state" in row else {})} or None


def _threshold(row: Row, _options: Options) -> float | None:
    """Bots count scores from 0 to 100, the registry from 0 to 1."""
    given = (row.get("state") or {}).get("threshold") if isinstance(row.get("state"), dict) else None
    if given in {None, ""}:
        return None
    value = as_number("threshold", given)
    return value / 100 if value > 1 else value


_COLUMNS = {
    "version": text("version"),
    "name": text("name"),
    "symbol": text("symbol"),
    "stage": Rule(("role",), _stage),
    "path": text("path"),
    "format": constant(storing.PICKLE),
    "sha256": text("sha256"),
    "feature_schema": Rule(("feature_importance", "inside"), _schema),
    "metrics": Rule(("performance", "metrics", "feature_importance", "state"), _metrics),
    "threshold": Rule(("state",), _threshold),
}


class _FirstSeen:
    """When versions without a time were imported first: that stands for it ever after."""

    def __init__(self) -> None:
        self._now = from_micros(now_micros())
        self._known: dict[str, datetime] = {}

    def look(self, lk: Any, rows: Sequence[Row], _options: Options) -> None:
        """Ask the lake for the versions of some rows."""
        versions = [row["version"] for row in rows if "modified" not in row]
        if lk is not None and versions:
            sql = "SELECT version, created_at FROM model_versions WHERE list_contains(?, version)"
            self._known |= dict(lk.frame(sql, [versions]).iter_rows())

    def read(self, row: Row, _options: Options) -> datetime:
        """The time of one version."""
        return self._known.get(row["version"], self._now)


def _map(first: _FirstSeen) -> RowMap:
    """What becomes of a row; one without a time has that of its first import."""
    made = first_of(moment("modified"), Rule(("version",), first.read))
    return RowMap("model_versions", {**_COLUMNS, "created_at": made})
