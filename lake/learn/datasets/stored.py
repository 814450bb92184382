"""Where data sets lie: ``_lake/datasets/<name>/<hash>/`` with data.parquet and, written last, manifest.json."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lake.errors import CorruptLakeError, UsageError
from lake.learn.datasets.manifest import Manifest
from lake.learn.datasets.request import check_name
from lake.store.location import Location

FOLDER = "_lake/datasets"
DATA, MANIFEST = "data.parquet", "manifest.json"
_GROUP = 131_072
_HELD = 64  # pieces of some hundred kB at most


def write_parquet(frame: pl.DataFrame, sink: Any) -> None:
    """The frame as Parquet: the same values give the same bytes, in one version of the libraries."""
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    numbers = [f.name for f in table.schema if pa.types.is_floating(f.type)]
    rest = [f.name for f in table.schema if f.name not in numbers]
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="lz4",
        use_dictionary=rest,
        use_byte_stream_split=numbers,
        write_statistics=rest,
        store_schema=True,
    ) as writer:
        writer.write_table(table, row_group_size=_GROUP)


def written(location: Location, path: str, frame: pl.DataFrame) -> dict[str, Any]:
    """Store the frame, durably; returns sha256 and bytes of the file."""
    with location.open_output(path) as out:
        content = _into(out, frame)
    location.sync([path])
    return content


def written_again(location: Location, manifest: Manifest, frame: pl.DataFrame) -> dict[str, Any]:
    """Store the frame in the place of what a data set has lost; what is as it was, and what differs, is not touched.

    Returns sha256 and bytes that the file has, or would have.
    """
    with open(os.devnull, "wb") as nowhere:
        content = _into(nowhere, frame)
    path = f"{folder(manifest)}/{DATA}"
    if content != dict(manifest.content) or _digest(location.read_or_none(path)) == content["sha256"]:
        return content
    return written(location, path, frame)


def _into(out: Any, frame: pl.DataFrame) -> dict[str, Any]:
    with ThreadPoolExecutor(1) as pool:
        sink = Hashed(out, pool)
        write_parquet(frame, sink)
        sink.finish()
    return {"sha256": sink.digest.hexdigest(), "bytes": sink.size}


def _digest(raw: bytes | None) -> str | None:
    return None if raw is None else hashlib.sha256(raw).hexdigest()


class Hashed(io.RawIOBase):
    """Hands bytes on and hashes them on their way, in another thread: meanwhile the next ones are made."""

    def __init__(self, out: Any, pool: Executor) -> None:
        super().__init__()
        self._out = out
        self._pool = pool
        self._held: list[bytes] = []
        self._on_their_way: Future[None] | None = None
        self.digest = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any, /) -> int:
        """Take the bytes; what went wrong with those before is raised here, or at the end."""
        given = bytes(data)  # no copy of what is bytes
        self._held.append(given)
        self.size += len(given)
        if len(self._held) == _HELD:
            self._hand_on()
        return len(given)

    def finish(self) -> None:
        """Wait until all has been handed on."""
        self._hand_on()
        self._wait()

    def _hand_on(self) -> None:
        self._wait()  # so that no more than twice as much is in memory
        self._on_their_way, self._held = self._pool.submit(self._pass, self._held), []

    def _wait(self) -> None:
        if self._on_their_way is not None:
            self._on_their_way.result()

    def _pass(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self.digest.update(piece)
            self._out.write(piece)


def read_frame(location: Location, manifest: Manifest) -> pl.DataFrame:
    """The stored rows.

    Raises:
        CorruptLakeError: the file is gone, or is not what was written.
    """
    path = f"{folder(manifest)}/{DATA}"
    raw = location.read_or_none(path)
    if raw is None:
        raise CorruptLakeError("its file is gone", where=path, todo="lk.datasets.rebuild(manifest) makes it again.")
    if _digest(raw) != manifest.content["sha256"]:
        raise CorruptLakeError("the file is not what was written", where=path, todo="Delete and rebuild the data set.")
    return pl.read_parquet(io.BytesIO(raw))


def folder(manifest: Manifest) -> str:
    """Where a data set is."""
    return f"{FOLDER}/{manifest.name}/{manifest.hash}"


def keep_manifest(location: Location, manifest: Manifest) -> Manifest:
    """Store the manifest, unless it is there; returns the one that is."""
    path = f"{folder(manifest)}/{MANIFEST}"
    if location.create(path, manifest.as_json().encode()):
        return manifest
    return Manifest.of(location.read(path))


def manifests(location: Location, name: str | None = None) -> list[Manifest]:
    """All manifests, of one name or of all; the newest last."""
    names = sorted(location.list_names(FOLDER)) if name is None else [check_name(name)]
    found = []
    for known in names:
        for hash_ in sorted(location.list_names(f"{FOLDER}/{known}")):
            raw = location.read_or_none(f"{FOLDER}/{known}/{hash_}/{MANIFEST}")
            if raw is not None:
                found.append(Manifest.of(raw))
    return sorted(found, key=lambda m: (m.created_at, m.name, m.hash))


def find(location: Location, name: str, hash_: str | None = None) -> Manifest:
    """The newest data set of that name, or the one whose hash begins so.

    Raises:
        UsageError: there is none, or several hashes begin so.
    """
    held = manifests(location, name)
    if not held:
        names = ", ".join(sorted({m.name for m in manifests(location)})) or "none yet"
        raise UsageError("there is no such data set", where="datasets", value=name, todo=f"There are: {names}.")
    if hash_ is None:
        return held[-1]
    fits = [m for m in held if m.hash.startswith(hash_)]
    if len(fits) != 1 or not hash_:
        known = ", ".join(m.hash for m in held)
        raise UsageError("it is not one build", where=f"data set {name}", value=hash_, todo=f"There are: {known}.")
    return fits[0]


def cut_off(location: Location, name: str, before: int) -> Iterator[str]:
    """Hashes of builds that never got their manifest, and whose files were all written before a time (microseconds).

    Each is looked at when it is asked for: another process may be building it again.
    """
    for hash_ in location.list_names(f"{FOLDER}/{name}"):
        entries = list(location.list(f"{FOLDER}/{name}/{hash_}"))
        held = {entry.path.rpartition("/")[2] for entry in entries}
        if entries and MANIFEST not in held and all(entry.modified_micros < before for entry in entries):
            yield hash_


def forget(location: Location, manifest: Manifest) -> None:
    """Delete a data set's manifest, so that none is ever without its rows."""
    location.delete([f"{folder(manifest)}/{MANIFEST}"])


def remove(location: Location, name: str, hash_: str) -> None:
    """Delete the files of a build."""
    location.delete([entry.path for entry in location.list(f"{FOLDER}/{name}/{hash_}")])
