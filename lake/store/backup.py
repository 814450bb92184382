"""Backup and restore: a copy of a lake that is itself a lake, taken while it is in use."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from lake.errors import BackupError
from lake.spec import registry
from lake.store import versions
from lake.store.hot.database import HotDatabase
from lake.store.location import Location, resolve
from lake.store.opening import FORMAT_FILE, SETTINGS_FILE
from lake.store.store import Store

_DONE = "_lake/backup-complete"


@dataclass(frozen=True, slots=True)
class Copied:
    """How much was copied."""

    files: int = 0
    bytes: int = 0


def backup(store: Store, target: Path) -> Copied:
    """Copy hot logs first, then tables: a row that settles meanwhile is in both, and counts once.

    Raises:
        BackupError: the target is not an empty folder.
    """
    _must_be_empty(str(target), target)
    copy = resolve(str(target), None)
    _copy_hot(store, target)
    names = [FORMAT_FILE, SETTINGS_FILE]
    names += [e.path for prefix in ("_lake/tags", "_quarantine") for e in store.location.list(prefix)]
    for name in registry.names():
        names += _table_files(store, name)
    done = _copy_all(store.location, copy, names)
    copy.write(_DONE, b"")
    return done


def restore(source: Path, uri: str) -> Copied:
    """Make a lake at ``uri`` from a backup.

    Raises:
        BackupError: the backup was cut off, or ``uri`` holds something already.
    """
    backed = resolve(str(source), None)
    if not backed.exists(_DONE):
        raise BackupError("it is no complete backup", where=str(source), todo="Use one that `lake backup` finished.")
    target = resolve(uri, None)
    if list(target.list_names("")):
        raise BackupError("there is something already", where=uri, todo="Restore to an empty address.")
    return _copy_all(backed, target, [e.path for e in backed.list("") if e.path != _DONE])


def _table_files(store: Store, name: str) -> list[str]:
    table = store.table(name)
    state = table.state()
    if state.version < 0:
        return []
    needed = {f"{table.folder}/{path}" for path in state.files}
    for version in {v.datasets.get(name, -1) for v in versions.tags(store).values()} - {-1}:
        needed |= {f"{table.folder}/{path}" for path in table.log.load(version).files}
    log = [e.path for e in store.location.list(f"{table.folder}/_delta_log") if _entry_number(e.path) <= state.version]
    return [*sorted(needed), *sorted(log)]


def _entry_number(path: str) -> int:
    number = path.rsplit("/", 1)[-1][:20]
    return int(number) if number.isdigit() else -1


def _copy_hot(store: Store, target: Path) -> None:
    folder = target / "_hot"
    folder.mkdir(parents=True, exist_ok=True)
    for writer in store.logs.writers():
        spool = store.hot_folder / f"{writer}.spool.jsonl"
        if spool.exists():
            shutil.copy2(spool, folder / spool.name)
        path = store.hot_folder / f"{writer}.db"
        if path.exists():
            database = HotDatabase(path)
            try:
                database.backup_to(folder / path.name)
            finally:
                database.close()


def _copy_all(source: Location, target: Location, names: list[str]) -> Copied:
    files = size = 0
    for name in names:
        data = source.read_or_none(name)
        if data is not None:
            target.write(name, data)
            files, size = files + 1, size + len(data)
    return Copied(files, size)


def _must_be_empty(shown: str, folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise BackupError("the target holds something already", where=shown, todo="Give an empty or new folder.")
