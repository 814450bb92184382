"""Tables that are kept in memory of data files."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lake.query import kept
from lake.query.kept import ALONE, Kept, Key


def of(rows: int) -> pa.Table:
    return pa.table({"n": range(rows)})


def known(tables: Kept, keys: range) -> list[int]:
    """Those that need not be computed."""
    new: list[Key] = []
    for key in keys:
        tables.of((key,), lambda key=key: new.append((key,)))  # type: ignore[misc]
    return [key for key in keys if (key,) not in new]


@pytest.mark.parametrize("rows", [0, 3, 500])
def test_tables_are_forgotten_from_the_oldest_on_however_few_rows_each_has(
    monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    fit = 10
    monkeypatch.setattr(kept, "KEPT", fit * (ALONE + rows))
    tables = Kept()
    for number in range(50):
        tables.of((number,), lambda: of(rows) if rows else None)
    assert known(tables, range(50 - fit, 50)) == list(range(50 - fit, 50))
    assert known(tables, range(50 - fit)) == []


def test_a_table_that_was_computed_twice_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "KEPT", 3 * (ALONE + 10))
    tables = Kept()

    def twice() -> pa.Table:
        tables.of(("a",), lambda: of(10))
        return of(10)

    for key in ("b", "c"):
        tables.of((key,), lambda: of(10))
    tables.of(("a",), twice)
    assert [tables.of((key,), lambda: None) is not None for key in "abc"] == [True] * 3
