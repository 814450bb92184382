"""A frame that goes into several files goes into as many as keep every writer busy, and whole."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pytest

from lake.spec import registry
from lake.spec.decode import is_one_value
from lake.store.cold.order import is_ordered, sort_columns
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


@pytest.mark.parametrize(
    ("values", "one"),
    [("aaa", True), ("aab", False), ((None, None), True), ((None, "a"), False), (("a", None), False)],
)
def test_one_value_is_told_the_same_of_columns_known_to_be_sorted(values: Sequence[str | None], one: bool) -> None:
    column = pl.Series([*values], dtype=pl.String)
    assert is_one_value(column) is is_one_value(column.sort(nulls_last=values[-1] is None)) is one


def test_a_column_of_one_value_does_not_hide_the_order_of_the_next() -> None:
    ds = registry.get("candles")
    venue = pl.Series("venue", ["x"]).new_from_index(0, 3)
    for times, ordered in (([1, 2, 3], True), ([1, 3, 2], False), ([1, 2, 2], False)):
        frame = pl.DataFrame({"symbol": ["A"] * 3, "open_time": times}).with_columns(venue)
        assert is_ordered(frame, sort_columns(ds), strictly=True) is ordered
