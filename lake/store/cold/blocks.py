"""Row groups decoded a moment ago, kept within a bound: data files never change, so they stay right."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Any

import polars as pl

Key = tuple[Any, ...]


class Blocks:
    """The blocks used last, as many as fit into ``most`` bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._blocks: OrderedDict[Key, tuple[pl.DataFrame, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Key) -> pl.DataFrame | None:
        """The block, None when it is not held."""
        with self._lock:
            found = self._blocks.get(key)
            if found is None:
                return None
            self._blocks.move_to_end(key)
            return found[0]

    def put(self, key: Key, block: pl.DataFrame) -> None:
        """Hold a block; those that were not used for longest make room."""
        size = int(block.estimated_size())
        if size > self._most // 8:
            return
        with self._lock:
            known = self._blocks.pop(key, None)
            self._held += size - (known[1] if known else 0)
            self._blocks[key] = (block, size)
            while self._held > self._most:
                self._held -= self._blocks.popitem(last=False)[1][1]
