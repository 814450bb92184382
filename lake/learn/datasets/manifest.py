"""What a data set was made from, and what came out: enough to make it again, byte for byte."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import polars as pl

from lake.errors import UsageError
from lake.learn.datasets.request import Request

FORMAT = 1
#: Raised when the same request on the same lake gives other rows than before.
RECIPE = 4
_LIBRARIES = ("tradelake", "polars", "pyarrow", "numpy", "duckdb")


@dataclass(frozen=True)
class Manifest:
    """The manifest of a data set; ``manifest["features"]`` is ``manifest.features``.

    Attributes:
        name: of the data set.
        hash: of all below but created_at and audit: it tells builds of one name apart.
        created_at: when it was built, ISO-8601.
        source: what the rows are.
        request: all arguments, as :class:`Request` has them.
        lake: dataset -> version of its table.
        tag: under which the lake keeps these versions.
        timeframe: of the candles that features, flags and regime are of.
        feature_set: name, version, fingerprint, look-back (bars), and stale: how many bars before a decision a bar may
            have closed, beyond which its features are null. None without computed features.
        features: column -> its type, of all feature columns: computed, planned and recorded.
        schema: column -> its type, of all columns in their order.
        rows: how many.
        excluded: reason -> rows that were left out.
        nulls: feature -> rows in which it is null, where there are such.
        columns: column -> hash of its values.
        content: sha256 and bytes of the Parquet file.
        code: versions of the libraries, and ``recipe``.
        audit: of the build: rows and series that were looked at of how many, in groups near in time, drawn by a seed;
            beyond: features that look back further than they say. Empty in manifests of older builds.
        notes: what is to be told of rows that are there -> how many: ``inputs_changed_later`` (what was recorded first
            counts), ``several_phantoms`` and ``several_trades`` of a signal (the one that came with it counts),
            ``unknown_cutoff`` (rows of models of which nobody said until when they were trained) and
            ``inside_training_period`` (rows that their model may remember, where these were asked for),
            ``own_scores`` (phantoms that a model of the lake scored: the score is no feature unless it was asked for),
            ``no_candles`` (none of its symbol and venue, so that no computed feature is known; a row that names no
            venue has none where several held its symbol then).

    Raises:
        UsageError: a manifest of a later format.
    """

    name: str
    hash: str
    created_at: str
    source: str
    request: Mapping[str, Any]
    lake: Mapping[str, int]
    tag: str
    timeframe: str
    feature_set: Mapping[str, Any] | None
    features: Mapping[str, str]
    schema: Mapping[str, str]
    rows: int
    excluded: Mapping[str, int]
    nulls: Mapping[str, int]
    columns: Mapping[str, str]
    content: Mapping[str, Any]
    code: Mapping[str, Any] = field(default_factory=dict)
    audit: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise UsageError(
                f"a manifest of format {self.format}, this version reads {FORMAT}",
                where=f"data set {self.name}",
                todo="Upgrade Tradelake: pip install -U tradelake.",
            )

    def __getitem__(self, name: str) -> Any:
        """A field by its name."""
        return getattr(self, name)

    def keys(self) -> tuple[str, ...]:
        """The names of its fields, so that ``dict(manifest)`` works."""
        return tuple(f.name for f in fields(self))

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    def as_json(self) -> str:
        """The text of manifest.json."""
        return json.dumps(self.as_dict(), indent=2) + "\n"

    @property
    def asked(self) -> Request:
        """The request."""
        return Request.of(self.request)

    @classmethod
    def of(cls, given: Mapping[str, Any] | str | bytes) -> Manifest:
        """A manifest out of its JSON, or what JSON gave.

        Raises:
            UsageError: that is no manifest.
        """
        try:
            found = dict(given) if isinstance(given, Mapping) else json.loads(given)
            return cls(**found)
        except (ValueError, TypeError) as error:
            raise UsageError(
                f"this is no manifest of a data set: {error}",
                where="datasets",
                todo=f"It has {', '.join(f.name for f in fields(cls))}.",
            ) from error


def hashed(content: Mapping[str, Any]) -> str:
    """A short hash of plain values, whatever the order of their names."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def tag_of(name: str, hash_: str) -> str:
    """Under which the lake keeps the versions that a data set was made from."""
    return f"dataset-{name}-{hash_}"


def schema_of(frame: pl.DataFrame) -> dict[str, str]:
    """Column -> name of its Polars type."""
    return {name: str(kind) for name, kind in frame.schema.items()}


def code_versions() -> dict[str, Any]:
    """What the rows and the bytes of their file depend on besides the lake."""
    found: dict[str, Any] = {"recipe": RECIPE}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
