"""What rows of one table tell otherwise than the lake: counted, and the first of them kept."""

from __future__ import annotations

from typing import Any

from lake.importers.report import KEPT_DIFFERENCES, Difference
from lake.importers.there import Key
from lake.spec.dataset import Dataset, Type
from lake.spec.times import from_micros


class Differing:
    """Gathers differences in rows of a dataset.

    Args:
        ds: the dataset.
    """

    def __init__(self, ds: Dataset) -> None:
        self._ds = ds
        self.first: list[Difference] = []
        self.count = 0

    def add(self, key: Key, column: str, kept: Any, found: Any) -> None:
        """Take a value that the lake holds, and what a source says instead."""
        self.count += 1
        if len(self.first) < KEPT_DIFFERENCES:
            name, is_time = ", ".join(map(str, key)), self._is_time(column)
            kept, found = (from_micros(v).isoformat() if is_time and v is not None else v for v in (kept, found))
            self.first.append(Difference(self._ds.name, name, column, kept, found))

    def _is_time(self, column: str) -> bool:
        known = self._ds.by_name.get(column)
        return known is not None and known.type is Type.TIMESTAMP
