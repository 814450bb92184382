"""How rows become Parquet files: row groups, and the statistics that let readers skip them.

The row group is small, because one symbol and one day should cost one of them; on real candles that makes the file
0.4 % larger.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lake.clock import now_micros
from lake.spec.dataset import Dataset
from lake.spec.times import from_micros
from lake.store import marks
from lake.store.cold.encodings import writer_options
from lake.store.cold.files import DataFile
from lake.store.cold.newest import Newest
from lake.store.location import Location

ROW_GROUP_ROWS = 16_384
_OWN_GROUP = ROW_GROUP_ROWS // 2  # rows of a symbol that deserve row groups of their own
_TEXT_BOUND = 64  # longer texts are worth no statistics
_COMPACTED = "compacted"
_NAME = re.compile(r"/(?:part|compacted)-([0-9a-f]{12})-[0-9a-f]{32}\.parquet$")


@dataclass(frozen=True, slots=True)
class FileTarget:
    """Where a new file goes: the table's folder, the partition, and zstd's level, or 0 for snappy."""

    folder: str
    partition: Mapping[str, str | None]
    level: int
    compacted: bool = False

    def new_path(self, token: str) -> str:
        """A fresh path inside the table's folder, which tells whose file it is until it is committed."""
        levels = [f"{name}={value}" for name, value in self.partition.items()]
        kind = _COMPACTED if self.compacted else "part"
        return "/".join([*levels, f"{kind}-{token}-{uuid.uuid4().hex}.parquet"])


def is_compacted(file: DataFile) -> bool:
    """Whether compaction wrote the file (a hint from its name; nothing but effort depends on it)."""
    return file.path.rsplit("/", 1)[-1].startswith(_COMPACTED)


def token_of(path: str) -> str:
    """The token of the mark under which the file was written; "" of a file that is not ours."""
    match = _NAME.search(path)
    return match.group(1) if match else ""


def write_file(location: Location, ds: Dataset, target: FileTarget, tables: Iterable[pa.Table]) -> DataFile:
    """Write one file from tables that follow each other in the dataset's sort order; not yet durable.

    The tables hold the stored columns without those of the partition.
    """
    path = target.new_path(marks.token(location))
    full = f"{target.folder}/{path}"
    tables = iter(tables)
    first = list(row_groups(next(tables)))
    schema, options = first[0].schema, writer_options(ds, first, target.level)
    newest = Newest(ds)
    with location.open_output(full) as out:
        with pq.ParquetWriter(out, schema, **options) as writer:
            for group in chain(first, chain.from_iterable(map(row_groups, tables))):
                writer.write_table(group, row_group_size=ds.row_group_rows)
                newest.see(group)
            writer.add_key_value_metadata(newest.told())
        footer = writer.writer.metadata
    return DataFile(
        path, location.size(full), target.partition, now_micros() // 1000, json.dumps(_stats(footer, schema))
    )


def row_groups(table: pa.Table) -> Iterator[pa.Table]:
    """Cut a table so that each long run of one symbol has row groups of its own; short runs share one."""
    if "symbol" not in table.column_names or table.num_rows <= ROW_GROUP_ROWS:
        yield table
        return
    symbols = table.column("symbol").combine_chunks()
    changes = pc.not_equal(symbols.slice(1), symbols.slice(0, len(symbols) - 1)).to_numpy(zero_copy_only=False)
    ends = [*(np.flatnonzero(changes) + 1).tolist(), table.num_rows]
    start = 0
    for before, end in zip([0, *ends], ends, strict=False):
        if before > start and (end - before >= _OWN_GROUP or end - start > ROW_GROUP_ROWS):
            yield table.slice(start, before - start)
            start = before
        if end - start >= _OWN_GROUP:
            yield from _evenly(table, start, end)
            start = end
    if start < table.num_rows:
        yield table.slice(start)


def _evenly(table: pa.Table, start: int, end: int) -> Iterator[pa.Table]:
    count = -(-(end - start) // ROW_GROUP_ROWS)
    size = -(-(end - start) // count)
    for at in range(start, end, size):
        yield table.slice(at, min(size, end - at))


def _stats(footer: pq.FileMetaData, schema: pa.Schema) -> dict[str, Any]:
    low: dict[str, Any] = {}
    high: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    groups = [footer.row_group(group) for group in range(footer.num_row_groups)]
    for index, name in enumerate(schema.names):
        column = [group.column(index).statistics for group in groups]
        if any(s is None for s in column):
            continue
        nulls[name] = sum(s.null_count for s in column)
        bounded = [s for s in column if s.has_min_max]
        # groups without bounds hold only nulls; if one holds values too, nothing is known of the column
        if not bounded or any(not s.has_min_max and s.num_values for s in column):
            continue
        smallest, largest = _bounds(bounded)
        if isinstance(largest, str) and max(len(smallest), len(largest)) > _TEXT_BOUND:
            continue
        if isinstance(largest, bool):
            continue
        low[name], high[name] = _shown(smallest), _shown(largest)
    return {"numRecords": footer.num_rows, "minValues": low, "maxValues": high, "nullCount": nulls}


def is_micros(column: Any) -> bool:
    """Whether a column (its schema, or the statistics of a row group) holds times in microseconds."""
    kind = column.logical_type
    return kind.type == "TIMESTAMP" and "microseconds" in kind.to_json()


def _bounds(statistics: Sequence[pq.Statistics]) -> tuple[Any, Any]:
    if is_micros(statistics[0]):  # from plain numbers: PyArrow imports pandas to make times of them
        return from_micros(min(s.min_raw for s in statistics)), from_micros(max(s.max_raw for s in statistics))
    return min(s.min for s in statistics), max(s.max for s in statistics)


def _shown(value: Any) -> Any:
    """A statistic in the log's JSON; times are cut to milliseconds, as the protocol asks."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"
    if isinstance(value, date):
        return value.isoformat()
    return value
