"""Features kept in the lake's location: computed once for each version of a set, and used while its candles stay.

``_lake/features/<set>-<fingerprint>/<timeframe>/<venue>/<symbol>/`` holds a Parquet file for each block and an index:
which file, made of which candles. The files a block's candles lie in tell at a glance that nothing changed; when they
did (a correction, a compaction, other symbols' candles), the candles themselves are read and compared.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from urllib.parse import quote

import polars as pl

from lake.learn.features.base import FeatureSet
from lake.learn.features.reading import digest
from lake.spec.timeframes import Timeframe
from lake.store.location import Location

FOLDER = "_lake/features"
_INDEX = "index.json"


@dataclass(frozen=True, slots=True)
class Kept:
    """One stored block.

    Attributes:
        content: hash of the candles and metrics that it was made of.
        stamp: of the files that they lay in.
    """

    content: str
    stamp: str


class StoredSeries:
    """The stored blocks of one set and series.

    Args:
        location: the lake's.
        feature_set: whose features.
        timeframe: of the candles.
        name: venue and symbol.
    """

    def __init__(
        self, location: Location, feature_set: FeatureSet, timeframe: Timeframe, name: tuple[str, str]
    ) -> None:
        self._location = location
        self._folder = "/".join((folder_of(feature_set), timeframe.name, *(quote(n, safe="") or "-" for n in name)))
        self._kept: dict[int, Kept] = {}
        text = location.read_or_none(f"{self._folder}/{_INDEX}")
        if text is not None:
            self._kept = {int(number): Kept(**kept) for number, kept in json.loads(text).items()}
        self._found = dict(self._kept)

    def with_stamp(self, number: int, stamp: str) -> pl.DataFrame | None:
        """A block whose candles lie in the very files that it was made from."""
        kept = self._kept.get(number)
        return None if kept is None or kept.stamp != stamp else self._read(number, kept)

    def with_content(self, number: int, content: str, stamp: str) -> pl.DataFrame | None:
        """A block that was made of the very same candles, wherever they lie now."""
        kept = self._kept.get(number)
        if kept is None or kept.content != content:
            return None
        self._kept[number] = replace(kept, stamp=stamp)
        return self._read(number, kept)

    def keep(self, number: int, frame: pl.DataFrame, made_of: Kept) -> None:
        """Store a block; :meth:`save` makes it count."""
        data = io.BytesIO()
        frame.write_parquet(data, compression="lz4", statistics=False)
        self._location.write(self._path(number, made_of), data.getvalue())
        self._kept[number] = made_of

    def save(self) -> None:
        """Write the index if it changed, then delete the files that it names no more."""
        if self._kept == self._found:
            return
        text = json.dumps({str(n): asdict(kept) for n, kept in sorted(self._kept.items())})
        self._location.write(f"{self._folder}/{_INDEX}", text.encode())
        old = {self._path(n, kept) for n, kept in self._found.items()} - {
            self._path(n, k) for n, k in self._kept.items()
        }
        self._location.delete(sorted(old))
        self._found = dict(self._kept)

    def _read(self, number: int, kept: Kept) -> pl.DataFrame | None:
        data = self._location.read_or_none(self._path(number, kept))
        return None if data is None else pl.read_parquet(io.BytesIO(data))

    def _path(self, number: int, kept: Kept) -> str:
        return f"{self._folder}/{number}-{kept.content[:16]}.parquet"


def folder_of(feature_set: FeatureSet) -> str:
    """Where the blocks of one version of a set are."""
    return f"{FOLDER}/{feature_set.name}-{feature_set.fingerprint[:16]}"


def content_of(rows: pl.DataFrame, metrics: pl.DataFrame | None) -> str:
    """Hash of the candles and metrics that a block is made of."""
    found = hashlib.sha256()
    digest(found, rows)
    if metrics is not None:
        digest(found, metrics)
    return found.hexdigest()


def remove(location: Location, name: str | None = None, *, but: Mapping[str, FeatureSet] | None = None) -> int:
    """Delete what is stored of a set, or of all sets; returns how many files went.

    Args:
        location: the lake's.
        name: of the set; None for all.
        but: sets by name whose version is kept.
    """
    current = {folder_of(feature_set) for feature_set in (but or {}).values()}
    gone = []
    for folder in location.list_names(FOLDER):
        is_asked = name is None or folder.rpartition("-")[0] == name
        if is_asked and f"{FOLDER}/{folder}" not in current:
            gone += [entry.path for entry in location.list(f"{FOLDER}/{folder}")]
    location.delete(gone)
    return len(gone)
