"""Data files of a table as the log describes them: where they are, and between which values their rows lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import quote, unquote

import orjson

Bounds = tuple[Any, Any]


@dataclass(frozen=True)
class DataFile:
    """One Parquet file that is part of a table.

    Attributes:
        path: relative to the table's folder.
        size: bytes.
        partition: partition column -> value, as text; None for null.
        modified: milliseconds since 1970, when it was committed.
        stats_json: the log's statistics: row count, smallest and largest value by column.
    """

    path: str
    size: int
    partition: Mapping[str, str | None]
    modified: int
    stats_json: str | None

    @cached_property
    def stats(self) -> dict[str, Any]:
        """The statistics as a dict; empty when the file has none."""
        found = orjson.loads(self.stats_json) if self.stats_json else {}
        return found if isinstance(found, dict) else {}

    @property
    def rows(self) -> int | None:
        """Number of rows, None when the log does not say."""
        count = self.stats.get("numRecords")
        return None if count is None else int(count)

    @cached_property
    def empty(self) -> frozenset[str]:
        """The columns that have no value in any row, as far as the log says so."""
        nulls = self.stats.get("nullCount") or {}
        return frozenset(name for name, count in nulls.items() if count is not None and count == self.rows)

    def bounds(self, name: str) -> Bounds | None:
        """The smallest and the largest value of a column, times as microseconds; None where they are not known."""
        if name not in self._bounds:
            self._bounds[name] = self._found_bounds(name)
        return self._bounds[name]

    @cached_property
    def _bounds(self) -> dict[str, Bounds | None]:
        """By column, as they were asked for: a restart asks for one of twenty."""
        return {}

    def _found_bounds(self, name: str) -> Bounds | None:
        value = self.partition.get(name)
        if value is not None:
            return value, value
        low, high = self.stats.get("minValues") or {}, self.stats.get("maxValues") or {}
        return (_bound(low[name], 0), _bound(high[name], 999)) if name in low and name in high else None

    def may_hold(self, wanted: Mapping[str, Bounds]) -> bool:
        """False when no row of the file can lie between all the bounds of ``wanted``."""
        for name, (low, high) in wanted.items():
            mine = self.bounds(name)
            if mine is None or isinstance(mine[0], str) is not isinstance(low if low is not None else high, str):
                continue  # nothing is known, or a text that only looks like a time
            if (high is not None and mine[0] > high) or (low is not None and mine[1] < low):
                return False
        return True

    def add_action(self, *, data_change: bool) -> dict[str, Any]:
        """The log's ``add`` action for this file."""
        return {
            "add": {
                "path": quote(self.path, safe="/=-_.~"),
                "partitionValues": dict(self.partition),
                "size": self.size,
                "modificationTime": self.modified,
                "dataChange": data_change,
                "stats": self.stats_json,
            }
        }

    def remove_action(self, at_ms: int, *, data_change: bool) -> dict[str, Any]:
        """The log's ``remove`` action for this file."""
        return {
            "remove": {
                "path": quote(self.path, safe="/=-_.~"),
                "deletionTimestamp": at_ms,
                "dataChange": data_change,
                "extendedFileMetadata": True,
                "partitionValues": dict(self.partition),
                "size": self.size,
            }
        }


def file_of(add: Mapping[str, Any]) -> DataFile:
    """The file that a log's ``add`` action describes."""
    values = add.get("partitionValues") or {}
    pairs = values.items() if isinstance(values, Mapping) else values
    return DataFile(
        unquote(add["path"]), int(add["size"]), dict(pairs), int(add["modificationTime"] or 0), add.get("stats")
    )


def _bound(value: Any, round_up_micros: int) -> Any:
    """A statistic as a comparable value; the log cuts times to milliseconds, so an upper bound is rounded up."""
    if isinstance(value, str) and len(value) >= 20 and value[4] == "-" and value[10] == "T" and value[-1] == "Z":
        moment = datetime.fromisoformat(value)
        return int(moment.timestamp()) * 1_000_000 + moment.microsecond + round_up_micros
    return value
