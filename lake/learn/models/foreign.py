"""Pickles of other programs, which were imported: where they lie, and what is in one, for who takes the risk."""

from __future__ import annotations

import hashlib
from typing import Any

from lake.errors import SourceError
from lake.learn.models import storing

_MOST_NAMES = 5_000


def path_of(name: str, version: str) -> str:
    """Where the file of a version lies in a lake."""
    return f"{storing.FOLDER}/{name}/{version}.{storing.PICKLE}"


def described(data: bytes) -> dict[str, Any]:
    """What a pickle holds. It is loaded, which runs whatever code is in it: only for callers who were told.

    Returns:
        type: of the object; and where it says so features (names), n_features, classes.

    Raises:
        SourceError: it cannot be loaded.
    """
    digest = hashlib.sha256(data).hexdigest()
    held = _loaded(data, digest)
    found: dict[str, Any] = {"type": f"{type(held).__module__}.{type(held).__qualname__}"}
    names = getattr(held, "feature_names_in_", None)
    if names is not None and len(names) <= _MOST_NAMES:
        found["features"] = [str(name) for name in names]
    count, classes = getattr(held, "n_features_in_", None), getattr(held, "classes_", None)
    if isinstance(count, int):
        found["n_features"] = count
    if classes is not None and hasattr(classes, "tolist"):
        found["classes"] = classes.tolist()
    return found


def _loaded(data: bytes, digest: str) -> Any:
    try:
        return storing.unpickled(data, digest, allow_pickle=True)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise SourceError(f"the pickle cannot be loaded: {said}", where="models") from error
