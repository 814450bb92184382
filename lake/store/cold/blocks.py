"""Row groups decoded a moment ago, kept within a bound: data files never change, so they stay right."""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property
from threading import Lock
from typing import Any

import polars as pl
import pyarrow as pa

from lake.store.cold.frames import frame_of

Key = tuple[Any, ...]


class Block:
    """Rows as they were decoded, in both forms in which they are asked for."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    @cached_property
    def frame(self) -> pl.DataFrame:
        """The same in Polars, where numbers share their memory with the table."""
        return frame_of(self.table)


class Blocks:
    """The blocks used last, as many as fit into ``most`` bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._blocks: OrderedDict[Key, tuple[Block, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Key) -> Block | None:
        """The block, None when it is not held."""
        with self._lock:
            found = self._blocks.get(key)
            if found is None:
                return None
            self._blocks.move_to_end(key)
            return found[0]

    def put(self, key: Key, block: Block) -> None:
        """Hold a block; those that were not used for longest make room."""
        size = block.table.nbytes
        if size > self._most // 8:
            return
        with self._lock:
            known = self._blocks.pop(key, None)
            self._held += size - (known[1] if known else 0)
            self._blocks[key] = (block, size)
            while self._held > self._most:
                self._held -= self._blocks.popitem(last=False)[1][1]
