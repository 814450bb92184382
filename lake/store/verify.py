"""Check what is stored against every promise that can be checked, and mend what can be mended."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl
import pyarrow as pa

from lake.errors import CorruptLakeError, LakeError
from lake.spec import registry
from lake.spec.evolution import added_columns
from lake.spec.schema import arrow_schema
from lake.store.cold.files import DataFile
from lake.store.cold.frames import frame_of
from lake.store.cold.log import schema_of
from lake.store.cold.notes import mend_notes, wrong_notes
from lake.store.cold.table import ColdTable
from lake.store.cold.table_state import TableState
from lake.store.hot.database import HOT_ERRORS, HotDatabase
from lake.store.snapshot import Snapshot
from lake.store.store import Store


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be."""

    where: str
    what: str


@dataclass(frozen=True)
class Report:
    """What a check covered and what it found; ``ok`` when nothing is wrong.

    ``named_files`` are those that rows name with their hash, as models are.
    """

    tables: int = 0
    files: int = 0
    rows: int = 0
    hot_logs: int = 0
    named_files: int = 0
    findings: tuple[Finding, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def verify(store: Store, *, repair: bool = False, named: Callable[[], Mapping[str, str]] = dict) -> Report:
    """Read every file of every table, and every hot log.

    Checked: the logs can be replayed, the schemas fit the specifications, each file is there in the
    size and with the rows its log entry says, rows lie in their partition, keys are unique, what files
    tell of the newest row of each bot is that row; hot logs pass SQLite's own check and spools can be read.

    Args:
        store: of the lake.
        repair: drop the torn end of a log, and write files again that tell another row than the newest.
        named: gives the paths of files that rows name, each with the sha256 that it must have.
    """
    findings: list[Finding] = []
    tables = files = rows = held = 0
    for name in registry.names():
        table = store.table(name)
        try:
            looked = _looked(store, table, repair)
            state = looked.states[name]
            if state.version < 0:
                continue
            tables += 1
            files += len(state.files)
            found = list(_check_table(table, state))
            unsound = {finding.where for finding in found}
            findings += found
            sound = [f for f in state.files.values() if f"{table.folder}/{f.path}" not in unsound]
            rows += table.rows(sound)
            findings += _check_notes(table, sound, repair=repair)
        except LakeError as error:
            findings.append(Finding(error.where or name, error.what))
    writers = store.logs.writers()
    for writer in writers:
        findings += _check_hot(store, writer)
    try:
        wanted = named()
        held = len(wanted)
        findings += _check_named(store, wanted)
    except LakeError as error:
        findings.append(Finding(error.where or "files that rows name", error.what))
    return Report(tables, files, rows, len(writers), held, tuple(findings))


def _looked(store: Store, table: ColdTable, repair: bool) -> Snapshot:
    """The newest version of a table, whose files stay until it was checked; torn ends are dropped only to repair."""
    look = table.state if repair else table.log.load
    first = store.held(Snapshot({table.ds.name: look()}, {}))  # what is newest after this is held too
    return store.held(replace(first, states={table.ds.name: look()}))


def _check_named(store: Store, wanted: Mapping[str, str]) -> Iterator[Finding]:
    for path, sha256 in sorted(wanted.items()):
        data = store.location.read_or_none(path)
        if data is None:
            yield Finding(path, "the file is missing")
        elif (found := hashlib.sha256(data).hexdigest()) != sha256:
            yield Finding(path, f"it has changed: its sha256 is {found}, the row says {sha256}")


def _check_table(table: ColdTable, state: TableState) -> Iterator[Finding]:
    try:
        added_columns(table.ds, schema_of(state))
    except LakeError as error:
        yield Finding(table.folder, str(error))
    by_partition: dict[tuple[str | None, ...], list[DataFile]] = {}
    for file in state.files.values():
        trouble = _check_file(table, file)
        if trouble:
            yield Finding(f"{table.folder}/{file.path}", trouble)
        else:
            by_partition.setdefault(tuple(file.partition.values()), []).append(file)
    for files in by_partition.values():
        keys: list[pl.DataFrame] = []
        for file in files:
            try:
                keys += _keys(table, file)
            except (CorruptLakeError, pa.ArrowException, OSError) as error:
                said = " ".join((error.what if isinstance(error, CorruptLakeError) else str(error)).split())
                yield Finding(f"{table.folder}/{file.path}", f"its rows cannot be read: {said}")
        repeated = int(pl.concat(keys).is_duplicated().sum()) if keys else 0
        if repeated:
            yield Finding(f"{table.folder}/{files[0].path.rsplit('/', 1)[0]}", f"{repeated} keys occur more than once")


def _check_file(table: ColdTable, file: DataFile) -> str:
    path = f"{table.folder}/{file.path}"
    if not table.location.exists(path):
        return "the file is missing"
    size = table.location.size(path)
    if size != file.size:
        return f"it has {size} bytes, the log says {file.size}"
    rows = table.reader.footer(path).metadata.num_rows
    if file.rows is not None and rows != file.rows:
        return f"it has {rows} rows, the log says {file.rows}"
    return ""


def _check_notes(table: ColdTable, files: Sequence[DataFile], *, repair: bool) -> list[Finding]:
    """What files tell beside their rows that is not true, unless it was mended."""
    wrong = {file.path: values for file in files if (values := wrong_notes(table, file))}
    if wrong and repair:
        mend_notes(table, [file for file in files if file.path in wrong])
        return []
    of = table.ds.newest_of
    return [
        Finding(
            f"{table.folder}/{path}", f"its note of the newest row is wrong for {of} {', '.join(map(repr, values))}"
        )
        for path, values in wrong.items()
    ]


def _keys(table: ColdTable, file: DataFile) -> list[pl.DataFrame]:
    schema = pa.schema([f for f in arrow_schema(table.ds) if f.name in table.ds.key])
    return [frame_of(t) for t in table.reader.read(table.folder, [file], {}, schema)]


def _check_hot(store: Store, writer: str) -> Iterator[Finding]:
    path = store.hot_folder / f"{writer}.db"
    if not path.exists():
        return
    try:
        database = HotDatabase(path)
        try:
            for line in database.check():
                yield Finding(str(path), line)
        finally:
            database.close()
    except HOT_ERRORS as error:
        yield Finding(str(path), str(error))
