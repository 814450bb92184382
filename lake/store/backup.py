"""Backup and restore: a copy of a lake that is itself a lake, taken while it is in use."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lake.errors import BackupError
from lake.spec import registry
from lake.store import removed, versions
from lake.store.cold.table_state import TableState
from lake.store.hot.database import HOT_ERRORS, HotDatabase
from lake.store.hot.spool import Spool
from lake.store.location import Location, resolve
from lake.store.opening import FORMAT_FILE, SETTINGS_FILE, read_settings
from lake.store.snapshot import HotLogs, Snapshot, settled_numbers
from lake.store.store import Store, hot_folder

_DONE = "_lake/backup-complete"
_ATTEMPTS = 100
#: What is no table and cannot be made again: tags, models, data sets, what was retired, refused rows. Stored features
#: can be.
_BESIDE = ("_lake/tags", "_lake/models", "_lake/datasets", removed.FOLDER, "_quarantine")
#: Which files are in the lake, and the trades of candles that a later file may add to; in this order.
_INGESTS = ("_ingest", "_ingest_trades")
_HOT = "_hot"


@dataclass(frozen=True, slots=True)
class Copied:
    """How much was copied."""

    files: int = 0
    bytes: int = 0

    def __add__(self, other: Copied) -> Copied:
        return Copied(self.files + other.files, self.bytes + other.bytes)


def backup(store: Store, target: Path) -> Copied:
    """Copy hot logs first, then tables: a row that settles meanwhile is in both, and counts once.

    What ingests have noted is copied before both, so that the rows of files that it calls finished are in the copy. The
    format file comes last: a copy that was cut off is no lake.

    Raises:
        BackupError: the target is not an empty folder, is in the lake, or cannot be written, or drains never paused
            for the length of a copy.
        StorageError: the target cannot be written.
    """
    with _writing(target):
        _must_be_outside(store.location, target)
        _must_be_empty(str(target), target)
    with store.lease.holding(dict.fromkeys(registry.names(), 0)):  # what tags name is copied, though one goes
        return _backup(store, target)


def _backup(store: Store, target: Path) -> Copied:
    copy = resolve(str(target), None)
    with _writing(target):
        noted = _copy_notes(store.location, copy)
        moment = _one_moment(store, target)
    names = [SETTINGS_FILE, *(e.path for prefix in _BESIDE for e in store.location.list(prefix))]
    data = [path for name, state in moment.states.items() for path in _data_files(store, name, state)]
    logs = [path for name, state in moment.states.items() for path in _log_files(store, name, state)]
    done = _copy_all(store.location, copy, [*names, *data, *logs, FORMAT_FILE], set(data))
    copy.write(_DONE, b"")
    return noted + done


def restore(source: Path, uri: str) -> Copied:
    """Make a lake at ``uri`` from a backup; it is one when all is there.

    Raises:
        BackupError: the backup was cut off, or ``uri`` holds something already, or this host has hot logs of it.
        UsageError: a remote lake without a local folder for its hot logs.
    """
    backed = resolve(str(source), None)
    if not backed.exists(_DONE):
        raise BackupError("it is no complete backup", where=str(source), todo="Use one that `lake backup` finished.")
    target = resolve(uri, None)
    if list(target.list_names("")):
        raise BackupError("there is something already", where=uri, todo="Restore to an empty address.")
    hot = resolve(str(hot_folder(target, read_settings(backed))), None)
    held = HotLogs(Path(hot.uri))
    if held.writers() or held.strangers():
        todo = "They are of an earlier lake there: move them away."
        raise BackupError("this host has hot logs of that address", where=hot.uri, todo=todo)
    logs = [e.path for e in backed.list(_HOT)]
    names = [e.path for e in backed.list("") if e.path not in {_DONE, FORMAT_FILE, *logs}]
    unsettled = _copy_all(backed, hot, logs, set(logs), within=f"{_HOT}/")
    return unsettled + _copy_all(backed, target, [*names, FORMAT_FILE], {*names, FORMAT_FILE})


def _copy_notes(source: Location, copy: Location) -> Copied:
    """Copy what ingests have noted.

    An ingest keeps trades before it calls their files finished, and lets go of kept ones when newer ones contain them:
    what is gone while it is copied is looked for once more, and trades that are copied twice count once.
    """
    files, trades = _INGESTS
    done = _copy_all(source, copy, [e.path for e in source.list(files)], set())
    for _ in range(_ATTEMPTS):
        names = [e.path for e in source.list(trades)]
        kept = _copy_all(source, copy, names, set())
        if kept.files == len(names):
            return done + kept
    raise BackupError("ingests kept overtaking the copy", where=source.uri, todo="Try again when it is quieter.")


def _one_moment(store: Store, target: Path) -> Snapshot:
    """Hot logs copied, and the tables as they were then; once more when a drain moved rows in between."""
    settled: dict[str, int] = {}
    for _ in range(_ATTEMPTS):
        last = _copy_hot(store, target)
        states = {name: store.table(name).state() for name in registry.names()}
        before, settled = settled, settled_numbers(states)
        if all(settled.get(writer, -1) <= max(number, before.get(writer, -1)) for writer, number in last.items()):
            return Snapshot(states, {})
    raise BackupError("drains kept overtaking the copy", where=store.location.uri, todo="Try again when it is quieter.")


def _data_files(store: Store, name: str, state: TableState) -> list[str]:
    table = store.table(name)
    if state.version < 0:
        return []
    needed = {f"{table.folder}/{path}" for path in state.files}
    for version in {v.datasets.get(name, -1) for v in versions.tags(store).values()} - {-1}:
        needed |= {f"{table.folder}/{path}" for path in table.log.load(version).files}
    return sorted(needed)


def _log_files(store: Store, name: str, state: TableState) -> list[str]:
    names = (e.path for e in store.location.list(f"{store.table(name).folder}/_delta_log"))
    return sorted(path for path in names if _entry_number(path) <= state.version)


def _entry_number(path: str) -> int:
    number = path.rsplit("/", 1)[-1][:20]
    return int(number) if number.isdigit() else -1


def _copy_hot(store: Store, target: Path) -> dict[str, int]:
    """Copy every hot log that no live process of another host writes; writer -> the last number in its copy."""
    folder = target / _HOT
    folder.mkdir(parents=True, exist_ok=True)
    last: dict[str, int] = {}
    for writer in [*store.logs.writers(), *(left.writer for left in store.left_behind() if not left.held)]:
        last[writer] = -1
        spool = store.hot_folder / f"{writer}.spool.jsonl"
        if spool.exists():
            shutil.copy2(spool, folder / spool.name)
            last[writer] = max((s.sequence for s in Spool(folder / spool.name).read()), default=-1)
        for journal in store.hot_folder.glob(f"{glob.escape(writer)}.*.jsonl"):
            if journal != spool:
                shutil.copy2(journal, folder / journal.name)
        path = store.hot_folder / f"{writer}.db"
        if path.exists():
            database = HotDatabase(path)
            try:
                database.backup_to(folder / path.name)
            finally:
                database.close()
            last[writer] = max(last[writer], _last_in(folder / path.name))
    return last


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """What the disk refuses, in one sentence."""
    try:
        yield
    except HOT_ERRORS as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        todo = "Name another folder, on a disk with room."
        raise BackupError(f"it cannot be written: {reason}", where=str(target), todo=todo) from error


def _last_in(path: Path) -> int:
    database = HotDatabase(path)
    try:
        return database.last()
    finally:
        database.close()


def _copy_all(source: Location, target: Location, names: list[str], needed: set[str], *, within: str = "") -> Copied:
    """Copy files, ``within`` a folder of the source to the top of the target; those that are needed must be there."""
    files = size = 0
    for name in names:
        data = source.read_or_none(name)
        if data is not None:
            target.write(name.removeprefix(within), data)
            files, size = files + 1, size + len(data)
        elif name in needed:
            raise BackupError("a file is missing", where=name, todo="`lake verify` says what else is wrong.")
    return Copied(files, size)


def _must_be_outside(location: Location, folder: Path) -> None:
    if location.is_local and folder.resolve().is_relative_to(Path(location.url("")).resolve()):
        todo = "Name a folder elsewhere, best on another disk."
        what = "the target is in the lake, whose vacuum deletes what it does not know"
        raise BackupError(what, where=str(folder), todo=todo)


def _must_be_empty(shown: str, folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise BackupError("the target is a file", where=shown, todo="Give an empty or new folder.")
    if folder.exists() and any(folder.iterdir()):
        raise BackupError("the target holds something already", where=shown, todo="Give an empty or new folder.")
