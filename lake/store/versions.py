"""The whole lake as it was: tags, and the versions of all tables at a moment."""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from lake.clock import now_micros
from lake.errors import UnknownVersionError, UsageError
from lake.spec import registry
from lake.spec.times import to_micros
from lake.store.snapshot import Snapshot
from lake.store.store import Store
from lake.store.vacuums import wait_for_their_end

FOLDER = "_lake/tags"
PUBLISHED = "published"  # what the newest catalogue shows
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class LakeVersion:
    """The version of every dataset's table at one moment; -1 for one that did not exist.

    ``number`` counts all commits of all tables up to here, so it grows with each and orders the
    lake's history; it is what ``lk.at(version=...)`` takes.
    """

    datasets: Mapping[str, int] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """Commits up to here."""
        return sum(version + 1 for version in self.datasets.values())


def current(store: Store) -> LakeVersion:
    """The newest version of every table."""
    return LakeVersion({name: store.table(name).state().version for name in registry.names()})


def at_number(store: Store, number: int) -> LakeVersion:
    """The lake after its first ``number`` commits, in order of their times.

    Raises:
        UnknownVersionError: so many commits were never made, or their log is no longer kept.
    """
    newest = current(store)
    if not 0 <= number <= newest.number:
        raise UnknownVersionError("no such version", value=number, todo=f"They run from 0 to {newest.number}.")
    versions = dict(newest.datasets)
    # walk back from the newest: undo the latest commit until the number fits
    heap = [(-_time(store, name, version), name) for name, version in versions.items() if version >= 0]
    heapq.heapify(heap)
    for _ in range(newest.number - number):
        _, name = heapq.heappop(heap)
        versions[name] -= 1
        if versions[name] >= 0:
            heapq.heappush(heap, (-_time(store, name, versions[name]), name))
    return LakeVersion(versions)


def at_time(store: Store, micros: int) -> LakeVersion:
    """The lake as it was settled at that time: every commit made by then, none made later."""
    versions = {}
    for name, newest in current(store).datasets.items():
        low, high = -1, newest
        while low < high:
            middle = (low + high + 1) // 2
            if _time(store, name, middle) * 1000 <= micros:
                low = middle
            else:
                high = middle - 1
        versions[name] = low
    return LakeVersion(versions)


def hold(store: Store, reader: object, datasets: Mapping[str, int]) -> None:
    """Keep what is there of the files of those versions for as long as ``reader`` is.

    An earlier version than the newest, which no tag names, is held once no vacuum is under way that may have found it
    unneeded.

    Raises:
        UnknownVersionError: a vacuum takes longer than a quarter of an hour.
    """
    wanted = {name: version for name, version in datasets.items() if version >= 0}
    store.lease.hold(reader, wanted)
    earlier = [(name, version) for name, version in wanted.items() if version < store.table(name).state().version]
    named = {pair for found in tags(store).values() for pair in found.datasets.items()} if earlier else set()
    if not named.issuperset(earlier):
        wait_for_their_end(store.location)


def tag(store: Store, name: str) -> LakeVersion:
    """Name the lake as it is settled now.

    Raises:
        UsageError: a name that is not a plain word, or is taken, or the catalogue's.
    """
    path = _path(name)
    if name == PUBLISHED:
        raise UsageError("the tag goes with the published catalogue", value=name, todo="Choose another name.")
    store.cover(registry.names())
    states = {dataset: store.table(dataset).state() for dataset in registry.names()}
    kept = store.held(Snapshot(states, {}))  # until the tag is there
    found = LakeVersion(kept.versions())
    if not store.location.create(path, _text(found)):
        raise UsageError("the tag exists", value=name, todo="Choose another name, or delete it first.")
    return found


def tagged(store: Store, name: str) -> LakeVersion:
    """The version that a tag names.

    Raises:
        UsageError: a name that no tag can have.
        UnknownVersionError: there is no such tag.
    """
    raw = store.location.read_or_none(_path(name))
    if raw is None:
        raise UnknownVersionError(
            "no such tag", value=name, todo=f"There are: {', '.join(sorted(tags(store))) or 'none'}."
        )
    return LakeVersion(json.loads(raw)["datasets"])


def tags(store: Store) -> dict[str, LakeVersion]:
    """All tags."""
    store.must_be_open()
    names = [n.removesuffix(".json") for n in store.location.list_names(FOLDER) if n.endswith(".json")]
    return {n: LakeVersion(json.loads(store.location.read(f"{FOLDER}/{n}.json"))["datasets"]) for n in sorted(names)}


def delete_tag(store: Store, name: str) -> None:
    """Let go of a tag; its files may be vacuumed then."""
    tagged(store, name)
    store.location.delete([_path(name)])


def _time(store: Store, name: str, version: int) -> int:
    log = store.table(name).log
    if log.location.exists(log.entry(version)):
        return log.timestamp(version)
    return 0  # its entry was cleaned away: older than everything that is kept


def find(store: Store, *, version: int | Mapping[str, int] | None, time: object, tag: str | None) -> LakeVersion:
    """The version that exactly one of the three names.

    A dataset that a mapping of versions leaves out is empty, as it was before its first commit.

    Raises:
        UsageError: none or several of them, or one of the wrong type.
        UnknownDatasetError: a mapping names a dataset that does not exist.
        UnknownVersionError: it does not exist, or the time is yet to come.
    """
    given = [v for v in (version, time, tag) if v is not None]
    if len(given) != 1:
        raise UsageError(
            "name one of version, time and tag", value=given or None, todo="Such as lk.at(tag='before-retrain')."
        )
    store.cover(registry.names())
    if tag is not None:
        return tagged(store, tag)
    if time is not None:
        micros = to_micros(time, where="time")
        if micros > now_micros():
            raise UnknownVersionError("that time is yet to come", where="time", value=time, todo="Give a past one.")
        return at_time(store, micros)
    if isinstance(version, Mapping):
        return LakeVersion({name: _version_of(store, name, number) for name, number in version.items()})
    return at_number(store, _whole(version, "version"))


def _version_of(store: Store, name: str, number: object) -> int:
    newest = store.table(name).state().version
    found = _whole(number, name)
    if not -1 <= found <= newest:
        raise UnknownVersionError(
            "no such version", where=name, value=number, todo=f"They run from -1 (no table yet) to {newest}."
        )
    return found


def _whole(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(
            "a version is a whole number",
            where=where,
            value=value,
            todo="lk.version() gives the newest, lk.tags() all tags.",
        )
    return value


def replace_tag(store: Store, name: str, found: LakeVersion) -> None:
    """Point a tag at ``found``, whether the tag exists or not, in one step.

    Raises:
        UsageError: a name that is not a plain word.
    """
    store.location.write(_path(name), _text(found))


def _path(name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            "a tag is letters, digits, dot, dash and underscore", value=name, todo="Begin with a letter or digit."
        )
    return f"{FOLDER}/{name}.json"


def _text(found: LakeVersion) -> bytes:
    return json.dumps({"created": now_micros(), "datasets": dict(found.datasets)}).encode()
