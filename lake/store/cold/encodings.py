"""How the columns of a new Parquet file are encoded and compressed: small where that pays, else quick to read.

A number is decoded from snappy three times as fast as from zstd. Times and counts go as deltas, names as dictionaries.
A number with decimals goes as it is, or as a dictionary where its values repeat, as prices on ticks do: then snappy
makes it small too, and zstd has less to decode. Each column of numbers is tried in several ways on a sample; of those
that take at most :data:`_WORTH` bytes a value more than the smallest it goes in the one that is read soonest. There is
no encoding that other engines may not know, such as LZ4 or byte streams.
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
_DELTA = "DELTA_BINARY_PACKED"


@dataclass(frozen=True, slots=True)
class Layout:
    """How one column is written: as a dictionary, or in an encoding (None: the plain one); level of zstd, 0: snappy."""

    dictionary: bool = False
    encoding: str | None = None
    level: int = 0
    bare: bool = False  # not compressed at all

    @property
    def codec(self) -> str:
        """As PyArrow calls it."""
        return "none" if self.bare else "zstd" if self.level else "snappy"


_REPEATING = (Layout(dictionary=True),)
_PLAIN = (Layout(bare=True), Layout())  # snappy makes nothing of most volumes


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
        return _soonest(samples, [Layout(encoding=_DELTA), *([Layout(encoding=_DELTA, level=level)] if level else [])])
    if kind is Type.FLOAT:
        small = [Layout(dictionary=True, level=level), Layout(level=level)] if level else []
        return _soonest(samples, [*(_REPEATING if _repeats(samples) else _PLAIN), *small])
    if kind is Type.STRING and name != ds.generated_id:
        return Layout(dictionary=True, level=level)
    return Layout(encoding="DELTA_LENGTH_BYTE_ARRAY" if kind in (Type.STRING, Type.JSON) else None, level=level)


def _soonest(samples: Sequence[pa.ChunkedArray], layouts: Sequence[Layout]) -> Layout:
    """The first layout that is about as small as any; the first of them is read soonest. The last for no values."""
    values = sum(len(sample) - sample.null_count for sample in samples)
    if len(layouts) == 1 or not values:
        return layouts[-1]
    sizes = [_size(samples, layout) for layout in layouts]
    enough = min(sizes) + _WORTH * values
    return next(layout for layout, size in zip(layouts, sizes, strict=True) if size <= enough)


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
        "compression": {name: layout.codec for name, layout in layouts.items()},
        "compression_level": {name: layout.level for name, layout in layouts.items() if layout.level} or None,
        "use_dictionary": [name for name, layout in layouts.items() if layout.dictionary] or False,
        "column_encoding": {name: layout.encoding for name, layout in layouts.items() if layout.encoding} or None,
        "write_statistics": True,
    }
