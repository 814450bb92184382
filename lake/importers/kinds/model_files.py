"""What lies in a folder of models: pickles, what each is, and the JSON that a bot writes beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lake.importers.base import Notes
from lake.spec.symbols import QUOTES, canonical
from lake.store.walking import files_below

ENDINGS = (".pkl", ".pickle", ".joblib", ".sav")
_HEADS = (b"\x80", b"x", b"ZF", b"\x1f\x8b", b"BZ", b"]\x00", b"\xfd7zXZ", b"\x04\x22\x4d\x18")
_OLDEST = tuple(bytes([code]) for code in b"(]}cIFLSVN")  # of a pickle of protocol 0 or 1, which is text
_HEAD = 6
_ROLES = ("scaler", "calibrator", "encoder", "imputer")
_PAIR = re.compile(rf"(?P<name>.+?)[_-](?P<base>[A-Z0-9]{{2,12}})[_-]?(?P<quote>{'|'.join(QUOTES)})")
_STRANGE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST = 40  # of a name, to which a hash is added


@dataclass(frozen=True)
class Artifact:
    """What a name says of a pickle.

    Attributes:
        name: of the model, as the registry can have it.
        role: model, or a part of one: scaler, calibrator, encoder, imputer.
        symbol: that it is for; empty for all.
    """

    name: str
    role: str
    symbol: str = ""

    @classmethod
    def of(cls, stem: str) -> Artifact:
        """The name taken apart.

        >>> Artifact.of("random_forest_BTC_USD")
        Artifact(name='random_forest', role='model', symbol='BTCUSD')
        >>> Artifact.of("ml:trend:scaler")
        Artifact(name='ml-trend-scaler', role='scaler', symbol='')
        """
        role = next((word for word in _ROLES if word in stem.lower()), "model")
        pair = _PAIR.fullmatch(stem)
        symbol = canonical(f"{pair['base']}/{pair['quote']}") if pair else ""
        name = _STRANGE.sub("-", pair["name"] if pair else stem).strip("-._")[:_LONGEST]
        return cls(name or "model", role, symbol)


def pickles(source: Path) -> Iterator[Path]:
    """The files of a folder and those below it, or the file itself."""
    if source.is_file():
        yield source
        return
    yield from (file for file in files_below(source) if file.suffix.lower() in ENDINGS)


def is_pickle(path: Path) -> bool:
    """Whether a file begins like a pickle, or like a packed one, as joblib writes them."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return head.startswith(_HEADS) or (path.suffix.lower() in ENDINGS and head.startswith(_OLDEST))


def beside(path: Path, notes: Notes) -> dict[str, Any]:
    """What the JSON files that belong to a model say: performance, feature_importance, metadata."""
    stem = path.name.partition(".")[0]
    prefix = re.sub(r"model$", "", stem)
    found: dict[str, Any] = {}
    for what in ("performance", "feature_importance", "metrics", "metadata"):
        candidates = (f"{stem}_{what}.json", f"{prefix}{what}.json")
        file = next((path.with_name(name) for name in candidates if path.with_name(name).is_file()), None)
        if file is not None:
            value = _json(file, notes)
            found |= {} if value is None else {what: value}
    return found


def _json(file: Path, notes: Notes) -> Any:
    """What a file holds; a number that is none, which Python writes as NaN, is null."""
    try:
        return json.loads(file.read_bytes().decode("utf-8-sig"), parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        notes.tell(f"{file.name} is no JSON, or not whole ({error}): it is left out", failed=True)
        return None


def features(importance: Any) -> dict[str, float]:
    """Feature -> weight, of the shapes in which bots write it; empty where it is none of them."""
    if isinstance(importance, dict) and isinstance(importance.get("features"), list):
        weights = importance.get("importances") or importance.get("importance") or [0.0] * len(importance["features"])
        pairs = list(zip(importance["features"], weights, strict=False))
    elif isinstance(importance, dict):
        pairs = list(importance.items())
    elif isinstance(importance, list):
        pairs = [_pair(entry) for entry in importance]
    else:
        pairs = []
    fits = all(isinstance(n, str) and isinstance(w, int | float) and not isinstance(w, bool) for n, w in pairs)
    return {name: float(weight) for name, weight in pairs} if fits else {}


def _pair(entry: Any) -> tuple[Any, Any]:
    if isinstance(entry, dict):
        return entry.get("feature") or entry.get("name"), entry.get("importance", entry.get("weight"))
    return (entry[0], entry[1]) if isinstance(entry, list) and len(entry) == 2 else (entry, None)
