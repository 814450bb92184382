"""How the columns of a new Parquet file are encoded and compressed: small where that pays, else quick to read.

A number is decoded from snappy three times as fast as from zstd. Times and counts go as deltas, names as dictionaries.
A number with decimals goes as it is, or as a dictionary where its values repeat, as prices on ticks do: then snappy
makes it small too. Of a file that is to be small each column of numbers is tried both ways on a sample, and zstd is
taken where it saves more than :data:`_WORTH` bytes a value. There is no encoding that other engines may not know, such
as LZ4 or byte streams.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lake.spec.dataset import Dataset, Type

_WORTH = 0.2  # with 1.0, real one-minute candles took up to 26 % more, by market
_SAMPLES = 3  # row groups; a symbol has groups of its own
_FEW = 1_024  # rows in which repetition tells nothing
_DELTAS = (Type.TIMESTAMP, Type.INT, Type.DATE)


@dataclass(frozen=True, slots=True)
class Layout:
    """How one column is written: as a dictionary, or in an encoding (None: the plain one); level of zstd, 0: snappy."""

    dictionary: bool = False
    encoding: str | None = None
    level: int = 0


def writer_options(ds: Dataset, groups: Sequence[pa.Table], level: int) -> dict[str, Any]:
    """What ``pq.ParquetWriter`` is to be told for a file of the dataset.

    Args:
        ds: whose rows they are.
        groups: rows of the file as they will be grouped, at least one group; some are looked at.
        level: of zstd, for a file that is to be small; 0 is snappy, for one that is to be written quickly.
    """
    spread = [groups[at] for at in sorted({len(groups) * number // _SAMPLES for number in range(_SAMPLES)})]
    chosen = [group for group in spread if level or group.num_rows >= _FEW]
    samples = {name: [group.column(name) for group in chosen] for name in groups[0].column_names}
    return _options({name: _layout(ds, name, columns, level) for name, columns in samples.items()})


def _layout(ds: Dataset, name: str, columns: Sequence[pa.ChunkedArray], level: int) -> Layout:
    """Of one column, of which these are samples."""
    samples = [column.slice(0, ds.row_group_rows) if len(column) > ds.row_group_rows else column for column in columns]
    kind = ds.by_name[name].type if name in ds.by_name else None
    if kind in _DELTAS:
        return _fitting(samples, Layout(encoding="DELTA_BINARY_PACKED"), Layout(False, "DELTA_BINARY_PACKED", level))
    if kind is Type.FLOAT:
        return _fitting(samples, Layout(dictionary=_repeats(samples)), Layout(level=level))
    if kind is Type.STRING and name != ds.generated_id:
        return Layout(dictionary=True, level=level)
    return Layout(encoding="DELTA_LENGTH_BYTE_ARRAY" if kind in (Type.STRING, Type.JSON) else None, level=level)


def _fitting(samples: Sequence[pa.ChunkedArray], quick: Layout, small: Layout) -> Layout:
    """The small layout where it saves enough of a column to be worth the time of reading it."""
    if not small.level:
        return quick
    values = sum(len(sample) - sample.null_count for sample in samples)
    return small if _size(samples, quick) - _size(samples, small) > _WORTH * values else quick


def _repeats(samples: Sequence[pa.ChunkedArray]) -> bool:
    """Whether a column of many rows has each of its values twice or more, as a mean."""
    columns = [pl.Series(sample) for sample in samples if len(sample) >= _FEW]
    held = sum(column.len() - column.null_count() for column in columns)
    return held > 0 and 2 * sum(map(_distinct, columns)) <= held


def _distinct(column: pl.Series) -> int:
    """About how many values it has; an exact count takes five times as long."""
    found: Any = column.approx_n_unique()
    return int(found)


def _size(samples: Sequence[pa.ChunkedArray], layout: Layout) -> int:
    """Bytes of a column in a layout."""
    out, schema = pa.BufferOutputStream(), pa.schema({"sample": samples[0].type})
    with pq.ParquetWriter(out, schema, **_options({"sample": layout})) as writer:
        for sample in samples:
            writer.write_table(pa.Table.from_arrays([sample], schema=schema))
    footer = writer.writer.metadata
    return sum(footer.row_group(at).column(0).total_compressed_size for at in range(footer.num_row_groups))


def _options(layouts: Mapping[str, Layout]) -> dict[str, Any]:
    return {
        "compression": {name: "zstd" if layout.level else "snappy" for name, layout in layouts.items()},
        "compression_level": {name: layout.level for name, layout in layouts.items() if layout.level} or None,
        "use_dictionary": [name for name, layout in layouts.items() if layout.dictionary] or False,
        "column_encoding": {name: layout.encoding for name, layout in layouts.items() if layout.encoding} or None,
        "write_statistics": True,
    }
