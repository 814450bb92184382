"""Rows as one Parquet file, which names the dataset that they are of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lake.exporters.asking import Asked, arrow
from lake.exporters.base import Target, Tell, Written
from lake.exporters.files import whole
from lake.query.fitting import fitted
from lake.spec.schema import arrow_schema

DATASET = "tradelake.dataset"  # in the file's metadata
_GROUP_ROWS = 131_072


def write(asked: Asked, target: Target, tell: Tell) -> Written:
    """Write the file."""
    schema = _schema(asked)
    strings = [field.name for field in schema if pa.types.is_string(field.type)]
    rows = 0
    with (
        whole(Path(target.to), replace=target.replace) as draft,
        pq.ParquetWriter(draft, schema, compression="zstd", use_dictionary=strings) as writer,
    ):
        for table in _grouped(batch for part in asked.parts() for batch in arrow(fitted(part, "parquet"))):
            writer.write_table(table.cast(schema), row_group_size=_GROUP_ROWS)
            rows += table.num_rows
            tell(table.num_rows)
    return Written(rows, (str(target.to),))


def _schema(asked: Asked) -> pa.Schema:
    given: pa.Schema = fitted(asked.shown, "parquet").limit(0).to_arrow_reader(1).schema
    if asked.dataset is None:
        return given
    own = arrow_schema(asked.dataset)
    return pa.schema([own.field(name) for name in given.names], metadata={DATASET: asked.dataset.name})


def _grouped(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Batches together, so that row groups are of one size however small the pieces are."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(b.num_rows for b in waiting) >= _GROUP_ROWS:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)
