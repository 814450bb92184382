"""The Delta log of one table: replay it, follow it, add to it, mend its torn end.

A commit is one file that is created only if it is not there yet, and that is durable before it
has its name; so it lands whole or not at all, and the same step decides every race. Following
the log costs one look for the next version, however many commits lie behind.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, Schema

from lake.clock import now_micros
from lake.errors import CorruptLakeError, UnknownVersionError
from lake.store.cold.files import DataFile
from lake.store.cold.table_state import EVOLVED, READER_VERSION, WRITER_VERSION, TableState
from lake.store.location import Location

Action = Mapping[str, Any]
_CHECKPOINT_COLUMNS = ["add", "txn", "metaData", "protocol"]


def checkpoint(source: Any) -> pa.Table:
    """The columns that tell the state, without ``pq.read_table``: that imports pandas, which takes 0.3 s.

    Raises:
        ArrowInvalid: it is torn, or lacks one of them.
    """
    with pq.ParquetFile(source) as file:
        table = file.read(columns=_CHECKPOINT_COLUMNS)
    lacking = set(_CHECKPOINT_COLUMNS) - set(table.column_names)
    if lacking:
        raise pa.ArrowInvalid(f"no columns {sorted(lacking)}")
    return table


class DeltaLog:
    """Reads and extends the log in ``folder`` of ``location``.

    ``checkpoint_is_doubtful`` tells that one, or the pointer to it, could not be read. ``landed`` is called after each
    commit.
    """

    def __init__(self, location: Location, folder: str) -> None:
        self.location = location
        self.folder = folder
        self.directory = f"{folder}/_delta_log"
        self.checkpoint_is_doubtful = False
        self.landed: Callable[[], None] | None = None

    def entry(self, version: int) -> str:
        """Path of the log entry of that version."""
        return f"{self.directory}/{version:020d}.json"

    def _checkpoint(self, version: int) -> str:
        return f"{self.directory}/{version:020d}.checkpoint.parquet"

    @property
    def _pointer(self) -> str:
        return f"{self.directory}/_last_checkpoint"

    def load(self, version: int | None = None) -> TableState:
        """The table at ``version``, or at its newest.

        Raises:
            UnknownVersionError: the version was never written, or its log is no longer kept.
            CorruptLakeError: the log is damaged before its end.
        """
        state = self._from_checkpoint(version)
        state = self.follow(state, until=version)
        if version is None:
            self._must_be_whole(state)
        elif state.version != version:
            raise UnknownVersionError(
                f"version {version} is not in the history",
                where=self.folder,
                todo=f"The newest is {self.load().version}; versions before the oldest kept log entry are gone.",
            )
        return state

    def follow(self, state: TableState, until: int | None = None) -> TableState:
        """``state`` brought forward by every commit that came after it."""
        while until is None or state.version < until:
            path = self.entry(state.version + 1)
            raw = self.location.read_or_none(path)
            if raw is None:
                return state
            state = state.after(state.version + 1, self._actions(raw, path), self.folder)
        return state

    def commit(self, state: TableState, actions: Sequence[Action], operation: str) -> TableState | None:
        """Try to make ``actions`` the version after ``state``.

        Returns:
            The new state, or None when another commit took that version: plan again on the newer
            state. When the reply was lost, the stored bytes decide, since each commit is unique.
        """
        version = state.version + 1
        info = {
            "timestamp": max(now_micros() // 1000, state.timestamp + 1),
            "operation": operation,
            "operationParameters": {},
            "engineInfo": "tradelake",
            "txnId": str(uuid.uuid4()),
        }
        all_actions = [{"commitInfo": info}, *actions]
        raw = "\n".join(json.dumps(a, separators=(",", ":")) for a in all_actions).encode()
        landed = self.location.create(self.entry(version), raw)
        if not landed and self.location.read_or_none(self.entry(version)) != raw:
            return None
        if self.landed is not None:
            self.landed()
        return state.after(version, all_actions, self.folder)

    def create(self, schema: pa.Schema, partitioned_by: Sequence[str], configuration: Mapping[str, str]) -> TableState:
        """Make the table, or return it as another writer made it a moment ago."""
        actions = [
            {"protocol": {"minReaderVersion": READER_VERSION, "minWriterVersion": WRITER_VERSION}},
            _metadata(str(uuid.uuid4()), schema, partitioned_by, configuration),
        ]
        return self.commit(TableState(), actions, "CREATE TABLE") or self.load()

    def checkpoint(self) -> None:
        """Write a checkpoint of the newest version, durably, so that opening reads it and not every commit."""
        table = DeltaTable(self.location.url(self.folder), storage_options=dict(self.location.delta_options) or None)
        table.create_checkpoint()
        self.location.sync([self._checkpoint(table.version()), self._pointer])

    def forget_expired(self) -> None:
        """Delete log entries that are older than the table's log retention and lie before a checkpoint."""
        DeltaTable(
            self.location.url(self.folder), storage_options=dict(self.location.delta_options) or None
        ).cleanup_metadata()

    def versions(self) -> list[int]:
        """Versions whose own log entry is still kept, ascending."""
        names = self.location.list_names(self.directory)
        return sorted(int(n[:20]) for n in names if n.endswith(".json") and n[:20].isdigit())

    def timestamp(self, version: int) -> int:
        """When that version was committed, in milliseconds since 1970."""
        raw = self.location.read(self.entry(version))
        for action in self._actions(raw, self.entry(version)):
            if info := action.get("commitInfo"):
                return int(info.get("timestamp") or 0)
        return 0

    def _from_checkpoint(self, version: int | None) -> TableState:
        for found in self._checkpoints(version):
            try:
                table = checkpoint(self.location.open_input(self._checkpoint(found)))
            except (pa.ArrowInvalid, OSError):
                self.checkpoint_is_doubtful = True
                continue  # torn, or just cleaned away: an older one and the log behind it say the same
            actions = (
                {name: value} for name in _CHECKPOINT_COLUMNS for value in table.column(name).drop_null().to_pylist()
            )
            return TableState().after(found, actions, self.folder)
        return TableState()

    def _must_be_whole(self, state: TableState) -> None:
        """Refuse a log whose beginning is gone when no checkpoint stands for it: the table is not a new one."""
        kept = self.versions() if state.version < 0 else []
        if kept and kept[0] > 0:
            raise CorruptLakeError(
                f"no checkpoint can be read, and the log begins at version {kept[0]}",
                where=self.folder,
                todo="Restore the table's _delta_log from a backup.",
            )

    def _checkpoints(self, version: int | None) -> Iterable[int]:
        """Candidates, newest first; the pointer saves listing the folder when it holds."""
        raw = self.location.read_or_none(self._pointer)
        pointed = _pointed_version(raw)
        self.checkpoint_is_doubtful |= raw is not None and pointed is None
        if pointed is not None and (version is None or pointed <= version):
            yield pointed
        if pointed is None and raw is None and self.location.exists(self.entry(0)):
            return
        ending = ".checkpoint.parquet"
        names = self.location.list_names(self.directory)
        numbers = {int(n[:20]) for n in names if n.endswith(ending) and len(n) == 20 + len(ending)}
        yield from sorted((n for n in numbers if n != pointed and (version is None or n <= version)), reverse=True)

    def _actions(self, raw: bytes, path: str) -> list[dict[str, Any]]:
        try:
            actions = [orjson.loads(line) for line in raw.splitlines() if line.strip()]
        except ValueError:
            actions = []
        if not actions:
            raise CorruptLakeError(
                "a log entry is torn", where=path, value=raw[-40:], todo="Run `lake verify --repair`."
            )
        return actions

    def add_columns(self, state: TableState, wanted: pa.Schema) -> TableState:
        """Commit a wider schema; rows in older files read as null in the new columns.

        Columns that others have added stay, behind those that are wanted.
        """
        while True:
            configuration = {**state.configuration, EVOLVED: str(int(state.configuration.get(EVOLVED, "0")) + 1)}
            schema = pa.schema([*wanted, *(f for f in schema_of(state) if f.name not in wanted.names)])
            meta = _metadata(state.table_id, schema, state.partitioned_by, configuration)
            done = self.commit(state, [meta], "ADD COLUMNS")
            if done is not None:
                return done
            state = self.follow(state)


def schema_of(state: TableState) -> pa.Schema:
    """The stored schema as Arrow."""
    return pa.schema(Schema.from_json(state.schema_json).to_arrow())


def remove_and_add(removed: Iterable[DataFile], added: Iterable[DataFile], *, data_change: bool) -> list[Action]:
    """The file actions of one commit."""
    at_ms = now_micros() // 1000
    return [
        *(f.remove_action(at_ms, data_change=data_change) for f in removed),
        *(f.add_action(data_change=data_change) for f in added),
    ]


def settle(writer: str, sequence: int) -> Action:
    """The action that records how far a writer's hot log is in this table."""
    return {"txn": {"appId": writer, "version": sequence, "lastUpdated": now_micros() // 1000}}


def _metadata(
    table_id: str, schema: pa.Schema, partitioned_by: Sequence[str], configuration: Mapping[str, str]
) -> Action:
    return {
        "metaData": {
            "id": table_id,
            "format": {"provider": "parquet", "options": {}},
            "schemaString": Schema.from_arrow(schema).to_json(),
            "partitionColumns": list(partitioned_by),
            "configuration": dict(configuration),
            "createdTime": now_micros() // 1000,
        }
    }


def _pointed_version(raw: bytes | None) -> int | None:
    try:
        return int(json.loads(raw)["version"]) if raw else None
    except (ValueError, KeyError, TypeError):
        return None
