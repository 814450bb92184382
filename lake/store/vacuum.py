"""Vacuum: delete files that nothing needs, and never one that a tag, a running reader or a coming commit does.

A data file that no kept version knows is either left by a process that was cut off, or belongs to a commit that is
under way, which may take hours when a large partition is compacted. Time cannot tell the two apart, so the process is
asked: each file's name carries the token of its writer's mark, and the mark is there before the file is. Vacuum

1. lists the files,
2. then asks which writers live,
3. then reads the newest version of the table.

A writer that lived at 2 keeps its files. One that did not can commit no more, and what it had committed is seen
at 3. A writer that begins after 1 has no file in the list. So no order of events deletes a file of a commit, with any
grace. Files without a token are another engine's, and stay for a week, as Delta's own vacuum leaves them; so long
at most stays what a living process left behind when one of its writes failed.

Of readers, vacuum looks at the tables before it reads the leases. A reader has a lease before it looks at a table: so
its lease is found, or it looks later than vacuum did and needs nothing that had been replaced by then. Of tags, vacuum
takes those that are there before it reads the leases, as who reads one may have its lease right after, and the tag
be gone then; and those that are there after, as who makes one gives its lease back when the tag is there.

Who asks for an earlier version, which a vacuum that read the leases before may have found unneeded, waits for the
vacuum's end (:mod:`lake.store.vacuums`): what is there then stays.

On S3, and for processes of other hosts, a mark is believed for a day after its last use, and a lease, which renews the
mark every hour, likewise: their commit would have to pause that long after its last file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from lake.clock import MICROS_PER_DAY, MICROS_PER_HOUR, now_micros
from lake.errors import UnknownVersionError, UsageError
from lake.spec import registry
from lake.store import marks, versions
from lake.store.cold.parquet import token_of
from lake.store.cold.table import ColdTable
from lake.store.cold.table_state import TableState
from lake.store.leases import held_versions
from lake.store.location import Entry
from lake.store.location.local import temporary_files
from lake.store.maintain import Maintained
from lake.store.store import Store
from lake.store.vacuums import announced

_UNDER_WAY_MICROS = 7 * MICROS_PER_DAY
_TEMPORARY_MICROS = MICROS_PER_HOUR  # a temporary name lasts for one write; who lost it would fail and say so


@dataclass(frozen=True)
class _Needs:
    """What may still be wanted: files younger than ``before``, versions of tags and readers, files of the living.

    A reader that is about to begin sees version ``newest`` or a later one.
    """

    before: int
    newest: int
    tags: set[int]
    readers: set[int]
    living: set[str]


def vacuum(store: Store, *, dry_run: bool = False, grace_hours: float | None = None) -> Maintained:
    """Delete data files that no current version, tag, running reader or coming commit needs.

    A file that was part of a table less than ``grace_hours`` ago (setting ``reader_grace_hours``), or
    since the oldest version that a living reader holds, stays; so does one whose writer lives and may be about to
    commit it. Temporary files that a crash left go after the grace, and an hour at least. Who cannot write in the lake,
    as on a full disk, has no lease, and another engine has none either: the grace is theirs.

    Raises:
        UsageError: a grace that is not a number from 0 on.
    """
    before = now_micros() - _grace(store.settings.reader_grace_hours if grace_hours is None else grace_hours)
    with nullcontext(_say_nothing) if dry_run else announced(store.location) as tell:
        return _vacuum(store, before, dry_run, tell)


def _say_nothing() -> None:
    """Nothing is deleted."""


def _vacuum(store: Store, before: int, dry_run: bool, tell: Callable[[], None]) -> Maintained:
    listed = {name: list(store.location.list(store.table(name).folder)) for name in registry.names()}
    living = marks.living(store.location)
    newest = {name: store.table(name).state().version for name in listed}
    tagged = [*versions.tags(store).values()]
    held = held_versions(store.location)
    tagged += versions.tags(store).values()
    done = _vacuum_temporary(store, before, dry_run)
    for name, entries in listed.items():
        table = store.table(name)
        if newest[name] < 0:
            continue
        tell()
        tags = {t.datasets[name] for t in tagged if t.datasets.get(name, -1) >= 0}
        readers = {max(v, 0) for v in held.get(name, set())}  # one that began before the table may read it since
        done += _vacuum_table(table, entries, _Needs(before, newest[name], tags, readers, living), dry_run)
    return done


def _grace(hours: object) -> int:
    if isinstance(hours, bool) or not isinstance(hours, int | float) or not 0 <= hours < math.inf:
        raise UsageError(
            "the grace is a number of hours from 0 on", where="grace_hours", value=hours, todo="Such as 24."
        )
    return int(hours * MICROS_PER_HOUR)


def _vacuum_temporary(store: Store, before: int, dry_run: bool) -> Maintained:
    if not store.location.is_local:
        return Maintained()
    left = min(before, now_micros() - _TEMPORARY_MICROS)
    return _delete(store, [e for e in temporary_files(store.location.url("")) if e.modified_micros < left], dry_run)


def _vacuum_table(table: ColdTable, entries: Iterable[Entry], needs: _Needs, dry_run: bool) -> Maintained:
    newest = table.state()  # one for both: a commit between two looks would make its files known, and not needed
    needed = _live(table, min([_version_at(table, needs.before, newest), needs.newest, *needs.readers]), newest)
    known = _live(table, 0, newest)
    for version in needs.tags:
        needed |= set(table.log.load(version).files)
    gone = [
        entry
        for entry in entries
        if entry.path.endswith(".parquet")
        and "/_delta_log/" not in entry.path
        and (path := entry.path.removeprefix(f"{table.folder}/")) not in needed
        and entry.modified_micros < (needs.before if path in known else _abandoned_before(path, needs))
    ]
    done = _delete(table, gone, dry_run)
    if not dry_run:
        _forget_log(table, needs.tags | needs.readers)
    return done


def _abandoned_before(path: str, needs: _Needs) -> int:
    """How old a file that no version knows must be to be nobody's."""
    writer = token_of(path)
    if writer and writer not in needs.living:
        return needs.before
    return min(needs.before, now_micros() - _UNDER_WAY_MICROS)


def _delete(place: Store | ColdTable, gone: Sequence[Entry], dry_run: bool) -> Maintained:
    if gone and not dry_run:
        place.location.delete([e.path for e in gone])
    return Maintained(len(gone), 0, sum(e.size for e in gone), 0, 0, [e.path for e in gone])


def _live(table: ColdTable, version: int, newest: TableState) -> set[str]:
    """Paths of all files that were part of the table at ``version`` or at any time after, up to ``newest``."""
    state = _oldest_from(table, max(version, 0), newest)
    needed = set(state.files)
    while state.version < newest.version:
        state = table.log.follow(state, until=state.version + 1)
        needed |= set(state.files)
    return needed


def _oldest_from(table: ColdTable, version: int, newest: TableState) -> TableState:
    """The table at ``version``, or at the first after it that the log still tells of."""
    for kept in [version, *(n for n in table.log.versions() if version < n < newest.version)]:
        try:
            return table.log.load(kept)
        except UnknownVersionError:  # what the versions up to a checkpoint were cannot be told any more
            continue
    return newest


def _version_at(table: ColdTable, micros: int, newest: TableState) -> int:
    """The version that was the newest at that time, or the oldest that the log still tells of."""
    found = newest.version
    for version in reversed(table.log.versions()):
        found = min(version, newest.version)
        if table.log.timestamp(version) * 1000 <= micros:
            break
    return found


def _forget_log(table: ColdTable, held: set[int]) -> None:
    """Clean away old log entries, unless a tag or a reader needs them to be read."""
    retention = table.settings.log_retention_days * 86_400_000_000
    if all(version >= _version_at(table, now_micros() - retention, table.state()) for version in held):
        table.log.forget_expired()
