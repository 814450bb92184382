"""``lk.datasets``: build data sets, make them again from their manifests, list, load and delete them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import polars as pl

from lake.clock import now_micros
from lake.errors import CorruptLakeError, QueryError, RebuildError, UnknownVersionError, UsageError
from lake.learn.datasets import audit, stored
from lake.learn.datasets.assemble import Assembled, assemble
from lake.learn.datasets.dataset import Dataset
from lake.learn.datasets.manifest import Manifest, code_versions, hashed, schema_of, tag_of
from lake.learn.datasets.pinned import Pinned, pin
from lake.learn.datasets.request import REMEMBERED, Options, Request
from lake.learn.features import FeatureSet, load
from lake.learn.features.reading import digest
from lake.ledgers.writer import Writer
from lake.spec.times import from_micros
from lake.store import versions
from lake.store.versions import LakeVersion

Features = str | FeatureSet | None
_UNPINNED = "created_at", "hash", "tag", "content", "audit"
_CUT_OFF = 24 * 3600 * 1_000_000  # a folder without a manifest is a build that was cut off by then, not one under way


class Datasets:
    """Data sets of a lake; ``lk.datasets``."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._store = writer.store
        self._location = writer.store.location

    def build(
        self,
        name: str,
        source: str,
        features: Features = "standard",
        start: Any = None,
        end: Any = None,
        **options: Unpack[Options],
    ) -> Dataset:
        """Build a data set, store it with its manifest, and pin the versions of the lake that it was made from.

        What waits in this host's hot logs is settled first. Rows without a known outcome are left out and counted. What
        was recorded with a row counts as it was when the row was decided (:mod:`lake.spec.inputs`); the manifest's
        ``notes`` tell of how many rows something was written over later.
        A sample of the rows is audited; the same request on the same lake gives the data set that is there.

        Args:
            name: of the data set.
            source: phantoms, decisions, predictions or signals.
            features: a feature set, its name, or ``path.py:name``; None for recorded features alone.
            start: only rows decided at or after it: an aware time, epoch number or ISO text with offset.
            end: only rows decided before it, with an outcome known by then.
            **options: symbols, timeframe, recorded, plan, strategy, own_scores, labels, fees, neutral, ambiguous,
                half_life, keep_inside, cutoffs: see :class:`Request`; at: the lake as it was, by a version's number,
                {dataset: version}, a tag or a time.

        Raises:
            UsageError: an argument is wrong, or there are no rows; it says why rows were left out.
            LeakError: a feature depends on what was not known yet.
        """
        more: dict[str, Any] = dict(options)
        at = more.pop("at", None)
        if source in REMEMBERED and more.get("cutoffs") is None:
            more["cutoffs"] = self._store.settings.knowledge_cutoffs
        feature_set = None if features is None else load(features)
        asked = features.name if isinstance(features, FeatureSet) else features
        request = _request(name, source, asked, (start, end), more)
        pinned = pin(self._writer, at)
        try:
            made = assemble(pinned, request, feature_set)
            audited = audit.refuse_leaks(pinned, made)
            return self._keep(replace(_drafted(pinned, request, made), audit=audited), made)
        finally:
            pinned.close()

    def rebuild(self, manifest: Manifest | Mapping[str, Any] | str | Path, features: Features = None) -> Dataset:
        """Build the data set of a manifest again, byte for byte, from the versions of the lake that it pins.

        Args:
            manifest: a manifest, its dict, or the path of a manifest.json.
            features: the feature set, where its name is not known in this process.

        Raises:
            RebuildError: it comes out otherwise; it says what differs.
            UsageError: that is no manifest.
        """
        wanted = _manifest(manifest)
        request = wanted.asked
        feature_set = self._same_features(wanted, features)
        pinned = Pinned(self._store, wanted.lake)
        try:
            made = assemble(pinned, request, feature_set)
        except (FileNotFoundError, CorruptLakeError, UnknownVersionError, QueryError) as error:
            raise RebuildError(
                f"the lake no longer holds the versions it was made from: {str(error).splitlines()[0]}",
                where=f"data set {wanted.name}",
                todo=f"The tag {wanted.tag} keeps them; it is gone, or this is another lake.",
            ) from error
        finally:
            pinned.close()
        _check_same(wanted, made)
        content = stored.written_again(self._location, wanted, made.frame)
        if content != dict(wanted.content):
            raise RebuildError(
                "the values are the same, the bytes of the file are not",
                where=f"data set {wanted.name}",
                value=_other_code(wanted) or content,
                todo="Parquet is written by pyarrow: use the version of the manifest.",
            )
        self._tag(wanted)
        return Dataset(self._writer, stored.keep_manifest(self._location, wanted), made.frame)

    def list(self, name: str | None = None) -> list[Manifest]:
        """Manifests of all data sets, or of one name; the newest last."""
        return stored.manifests(self._location, name)

    def load(self, name: str, hash: str | None = None) -> Dataset:  # noqa: A002 - the field's name in the manifest
        """The newest data set of that name, or the one whose hash begins so.

        Raises:
            UsageError: there is none.
        """
        return Dataset(self._writer, stored.find(self._location, name, hash))

    def delete(self, name: str, hash: str | None = None) -> Manifest:  # noqa: A002
        """Delete a data set, the newest of its name or the one of that hash, and let go of the versions it pins.

        Raises:
            UsageError: there is none.
        """
        manifest = stored.find(self._location, name, hash)
        stored.forget(self._location, manifest)
        self._clear(name, manifest.hash)
        return manifest

    def _keep(self, drafted: Manifest, made: Assembled) -> Dataset:
        for hash_ in stored.cut_off(self._location, drafted.name, now_micros() - _CUT_OFF):
            self._clear(drafted.name, hash_)
        place = stored.folder(drafted)
        if self._location.exists(f"{place}/{stored.MANIFEST}"):
            self._tag(drafted)
            return Dataset(self._writer, stored.find(self._location, drafted.name, drafted.hash), made.frame)
        content = stored.written(self._location, f"{place}/{stored.DATA}", made.frame)
        self._tag(drafted)  # no tag is without a folder, and until now the lease of this process kept the versions
        kept = stored.keep_manifest(self._location, replace(drafted, content=content))
        return Dataset(self._writer, kept, made.frame)

    def _clear(self, name: str, hash_: str) -> None:
        """Let go of the versions of a build without a manifest, then of its files."""
        tag = tag_of(name, hash_)
        if tag in versions.tags(self._store):
            versions.delete_tag(self._store, tag)
        stored.remove(self._location, name, hash_)

    def _tag(self, manifest: Manifest) -> None:
        versions.replace_tag(self._store, manifest.tag, LakeVersion(manifest.lake))

    def _same_features(self, wanted: Manifest, given: Features) -> FeatureSet | None:
        if wanted.feature_set is None:
            return None
        name = str(wanted.request["features"])
        try:
            found = load(name if given is None else given)
        except UsageError as error:
            raise RebuildError(
                f"the feature set is not known here: {error.what}",
                where=f"data set {wanted.name}",
                value=name,
                todo="Give it: lk.datasets.rebuild(manifest, features=my_set).",
            ) from error
        if found.fingerprint != wanted.feature_set["fingerprint"]:
            raise RebuildError(
                f"the feature set {found.name} is another one than it was made with",
                where=f"data set {wanted.name}",
                value=f"fingerprint {found.fingerprint[:16]}, not {wanted.feature_set['fingerprint'][:16]}",
                todo="Give the set as it was: lk.datasets.rebuild(manifest, features=my_set).",
            )
        return found


def _request(name: str, source: str, features: str | None, span: tuple[Any, Any], more: Mapping[str, Any]) -> Request:
    strange = sorted(set(more) - set(Options.__annotations__))
    if strange:
        known = ", ".join(Options.__annotations__)
        raise UsageError("unknown arguments", where="datasets.build", value=strange, todo=f"There are {known}.")
    return Request(name, source, features, *span, **more)


def _drafted(pinned: Pinned, request: Request, made: Assembled) -> Manifest:
    nulls = made.frame.select(pl.col(made.features).null_count()) if made.features else pl.DataFrame()
    schema = schema_of(made.frame)
    draft = Manifest(
        name=request.name,
        hash="",
        created_at=from_micros(now_micros()).isoformat(),
        source=request.source,
        request=request.as_dict(),
        lake=pinned.datasets,
        tag="",
        timeframe=made.joined.timeframe,
        feature_set=_told(made),
        features={name: schema[name] for name in made.features},
        schema=schema,
        rows=made.frame.height,
        excluded=made.excluded,
        notes=made.notes,
        nulls={name: nulls[name][0] for name in nulls.columns if nulls[name][0]},
        columns=_column_hashes(made.frame),
        content={},
        code=code_versions(),
    )
    hash_ = hashed({n: v for n, v in draft.as_dict().items() if n not in _UNPINNED})
    return replace(draft, hash=hash_, tag=tag_of(request.name, hash_))


def _told(made: Assembled) -> dict[str, Any] | None:
    found = made.joined.feature_set
    if found is None:
        return None
    names = {"name": found.name, "version": str(found.version), "fingerprint": found.fingerprint}
    return {**names, "lookback": found.lookback, "stale": found.stale}


def _column_hashes(frame: pl.DataFrame) -> dict[str, str]:
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # large buffers are hashed without the interpreter's lock
        return dict(zip(frame.columns, pool.map(_hash, frame.get_columns()), strict=True))


def _hash(column: pl.Series) -> str:
    into = hashlib.sha256()
    digest(into, column.to_frame())
    return into.hexdigest()[:32]


def _check_same(wanted: Manifest, made: Assembled) -> None:
    found = _column_hashes(made.frame)
    if found == dict(wanted.columns):
        return
    differ = sorted(n for n in {*found, *wanted.columns} if found.get(n) != wanted.columns.get(n))
    rows = "" if made.frame.height == wanted.rows else f", {made.frame.height:,} rows instead of {wanted.rows:,}"
    raise RebuildError(
        f"other values came out in {len(differ)} of {len(wanted.columns)} columns{rows}",
        where=f"data set {wanted.name}",
        value=[*differ[:10], *_other_code(wanted)],
        todo="Use the versions of the libraries that the manifest names, and the same settings.",
    )


def _other_code(wanted: Manifest) -> list[str]:
    now = code_versions()
    return [f"{n} {now.get(n)}, not {v}" for n, v in wanted.code.items() if now.get(n) != v]


def _manifest(given: Any) -> Manifest:
    if isinstance(given, Manifest):
        return given
    if isinstance(given, Dataset):
        return given.manifest
    if isinstance(given, Mapping):
        return Manifest.of(given)
    if not isinstance(given, str | Path):
        raise UsageError(
            "a manifest is a Manifest, its dict, or the path of a manifest.json", where="datasets", value=given,
            todo="Such as lk.datasets.load(name).manifest.",
        )  # fmt: skip
    path = Path(given)
    file = path / stored.MANIFEST if path.is_dir() else path
    if not file.is_file():
        raise UsageError("there is no manifest", where=str(file), todo="Give the path of a manifest.json.")
    return Manifest.of(file.read_bytes())
