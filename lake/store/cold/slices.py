"""Cut a frame into what goes to one partition, and into what goes to one file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from lake.spec.decode import is_one_value


def split_by_partition(
    frame: pl.DataFrame, columns: Sequence[str]
) -> Iterator[tuple[tuple[str | None, ...], pl.DataFrame]]:
    """The frame's rows by partition."""
    if frame.is_empty():
        return
    if not columns:
        yield (), frame
        return
    if all(is_one_value(frame.get_column(name)) for name in columns):
        yield tuple(frame.select(columns).row(0)), frame
        return
    for values, part in frame.partition_by(columns, as_dict=True, maintain_order=True).items():
        yield tuple(None if v is None else str(v) for v in values), part


def even_slices(frame: pl.DataFrame, rows: int, workers: int = 1) -> Iterator[pl.DataFrame]:
    """The frame cut into the fewest equal slices of at most ``rows`` rows; if several, so many for each worker."""
    count = max(1, -(-frame.height // rows))
    count = count if count == 1 else -(-count // workers) * workers
    size = -(-frame.height // count)
    for start in range(0, frame.height, size):
        yield frame.slice(start, size)
