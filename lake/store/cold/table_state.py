"""The state of one table at one version, and how a commit changes it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from lake.errors import ForeignTableError
from lake.store.cold.files import DataFile, file_of

READER_VERSION, WRITER_VERSION = 1, 2
EVOLVED = "tradelake.columnsAdded"


@dataclass(frozen=True)
class TableState:
    """What a Delta table holds at ``version``.

    Attributes:
        version: -1 for a table that does not exist yet.
        files: path -> file, the live ones.
        transactions: writer -> the last sequence number settled for it.
        schema_json: the table's schema in Delta's JSON.
        partitioned_by: partition columns, outermost first.
        configuration: the table's properties.
        timestamp: of the newest commit, milliseconds since 1970.
    """

    version: int = -1
    files: Mapping[str, DataFile] = field(default_factory=dict)
    transactions: Mapping[str, int] = field(default_factory=dict)
    schema_json: str = ""
    table_id: str = ""
    partitioned_by: tuple[str, ...] = ()
    configuration: Mapping[str, str] = field(default_factory=dict)
    timestamp: int = 0

    def settled(self, writer: str) -> int:
        """The last sequence number of that writer that is in this table; -1 for none."""
        return self.transactions.get(writer, -1)

    @cached_property
    def columns(self) -> frozenset[str]:
        """Names of the stored columns."""
        return frozenset(f["name"] for f in json.loads(self.schema_json)["fields"]) if self.schema_json else frozenset()

    @property
    def evolved(self) -> bool:
        """Whether columns were added after the table was made, so that older files lack them."""
        return EVOLVED in self.configuration

    @property
    def size(self) -> int:
        """Bytes of all live files."""
        return sum(f.size for f in self.files.values())

    def after(self, version: int, actions: Iterable[Mapping[str, Any]], where: str) -> TableState:
        """The state after a commit's actions.

        Raises:
            ForeignTableError: an action asks for a table feature that this version does not know.
        """
        files, transactions = dict(self.files), dict(self.transactions)
        changes: dict[str, Any] = {"version": version}
        for action in actions:
            if add := action.get("add"):
                _refuse_deletion_vector(add, where)
                files[unquote(add["path"])] = file_of(add)
            elif remove := action.get("remove"):
                files.pop(unquote(remove["path"]), None)
            elif txn := action.get("txn"):
                transactions[txn["appId"]] = int(txn["version"])
            elif meta := action.get("metaData"):
                changes.update(self._metadata(meta))
            elif protocol := action.get("protocol"):
                _refuse_newer_protocol(protocol, where)
            elif info := action.get("commitInfo"):
                changes["timestamp"] = int(info.get("timestamp") or 0)
        return replace(self, files=files, transactions=transactions, **changes)

    def _metadata(self, meta: Mapping[str, Any]) -> dict[str, Any]:
        configuration = meta.get("configuration") or {}
        pairs = configuration.items() if isinstance(configuration, Mapping) else configuration
        return {
            "schema_json": meta["schemaString"],
            "table_id": meta["id"],
            "partitioned_by": tuple(meta.get("partitionColumns") or ()),
            "configuration": dict(pairs),
        }


def _refuse_deletion_vector(add: Mapping[str, Any], where: str) -> None:
    if add.get("deletionVector"):
        raise ForeignTableError(
            "another engine wrote deletion vectors into this table",
            where=where,
            value=add["path"],
            todo="Rewrite the table without them (REORG TABLE ... APPLY (PURGE)) before opening it here.",
        )


def _refuse_newer_protocol(protocol: Mapping[str, Any], where: str) -> None:
    reader, writer = int(protocol["minReaderVersion"]), int(protocol["minWriterVersion"])
    if reader > READER_VERSION or writer > WRITER_VERSION:
        raise ForeignTableError(
            f"the table asks for Delta reader {reader} and writer {writer}",
            where=where,
            value=protocol.get("writerFeatures") or None,
            todo=f"Tradelake writes reader {READER_VERSION}, writer {WRITER_VERSION}; drop the feature that raised it.",
        )
