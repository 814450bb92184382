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
            name = ", ".join(str(self._shown(part, value)) for part, value in zip(self._ds.key, key, strict=True))
            kept, found = self._shown(column, kept), self._shown(column, found)
            self.first.append(Difference(self._ds.name, name, column, kept, found))

    def _shown(self, column: str, value: Any) -> Any:
        """A value for people: moments as text."""
        known = self._ds.by_name.get(column)
        is_time = known is not None and known.type is Type.TIMESTAMP and value is not None
        return from_micros(value).isoformat() if is_time else value
