"""A frame that goes into several files goes into as many as keep every writer busy, and whole."""

from __future__ import annotations

import polars as pl
import pytest

from lake.store.cold.slices import even_slices


@pytest.mark.parametrize(
    ("rows", "workers", "files"), [(1, 2, 1), (10, 2, 1), (11, 2, 2), (21, 2, 4), (40, 2, 4), (41, 2, 6), (21, 1, 3)]
)
def test_slices_are_even_and_as_many_for_each_worker(rows: int, workers: int, files: int) -> None:
    frame = pl.DataFrame({"n": range(rows)}, schema={"n": pl.Int64})
    slices = list(even_slices(frame, 10, workers))
    assert len(slices) == files
    assert pl.concat(slices).equals(frame)
    heights = [s.height for s in slices]
    assert max(heights) <= 10
    assert max(heights) - min(heights) < files
