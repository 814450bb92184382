"""Vacuum: delete files that nothing needs, and never one that a tag or a running reader does."""

from __future__ import annotations

from lake.clock import now_micros
from lake.errors import UnknownVersionError
from lake.spec import registry
from lake.store import versions
from lake.store.cold.table import ColdTable
from lake.store.leases import held_versions
from lake.store.maintain import Maintained
from lake.store.store import Store

_COMMIT_MICROS = 3_600_000_000  # longer than any commit takes from its first file to its log entry


def vacuum(store: Store, *, dry_run: bool = False, grace_hours: float | None = None) -> Maintained:
    """Delete data files that no current version, tag or running reader needs.

    A file that was part of a table less than ``grace_hours`` ago (setting ``reader_grace_hours``), or
    since the oldest version that a living reader holds, stays. A file that no kept version knows may
    belong to a commit that is under way; it stays for an hour at least.
    """
    hours = store.settings.reader_grace_hours if grace_hours is None else grace_hours
    before = now_micros() - int(hours * 3_600_000_000)
    held, tagged = held_versions(store.location), versions.tags(store).values()
    done = Maintained()
    for name in registry.names():
        table = store.table(name)
        if table.state().version < 0:
            continue
        tags = {t.datasets[name] for t in tagged if t.datasets.get(name, -1) >= 0}
        readers = {max(v, 0) for v in held.get(name, set())}  # one that began before the table may read it since
        done += _vacuum_table(table, tags, readers, before, dry_run)
    return done


def _vacuum_table(table: ColdTable, tags: set[int], readers: set[int], before: int, dry_run: bool) -> Maintained:
    needed = live_since(table, min([_version_at(table, before), *readers]))
    known = live_since(table, 0)
    for version in tags:
        needed |= set(table.log.load(version).files)
    uncommitted = min(before, now_micros() - _COMMIT_MICROS)
    gone = [
        entry
        for entry in table.location.list(table.folder)
        if entry.path.endswith(".parquet")
        and "/_delta_log/" not in entry.path
        and (path := entry.path.removeprefix(f"{table.folder}/")) not in needed
        and entry.modified_micros < (before if path in known else uncommitted)
    ]
    if not dry_run:
        table.location.delete([e.path for e in gone])
        _forget_log(table, tags)
    return Maintained(len(gone), 0, sum(e.size for e in gone), 0, 0, [e.path for e in gone])


def live_since(table: ColdTable, version: int) -> set[str]:
    """Paths of all files that were part of the table at ``version`` or at any time after."""
    newest = table.state()
    try:
        state = table.log.load(max(version, 0))
    except UnknownVersionError:
        kept = table.log.versions()
        state = table.log.load(kept[0]) if kept and kept[0] == 0 else newest
    needed = set(state.files)
    while state.version < newest.version:
        state = table.log.follow(state, until=state.version + 1)
        needed |= set(state.files)
    return needed


def _version_at(table: ColdTable, micros: int) -> int:
    """The version that was the newest at that time, or the oldest that the log still tells of."""
    found = table.state().version
    for version in reversed(table.log.versions()):
        found = version
        if table.log.timestamp(version) * 1000 <= micros:
            break
    return found


def _forget_log(table: ColdTable, tags: set[int]) -> None:
    """Clean away old log entries, unless a tag needs them to be read."""
    retention = table.settings.log_retention_days * 86_400_000_000
    if all(version >= _version_at(table, now_micros() - retention) for version in tags):
        table.log.forget_expired()
