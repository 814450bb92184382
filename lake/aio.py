"""The lake for asyncio: the same writers as coroutines; nothing blocks the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl

from lake.lake import Lake
from lake.lake import open as open_sync
from lake.ledgers.receipt import Receipt
from lake.query.engine import Params
from lake.spec import registry
from lake.store.drain import Drained


class AsyncLake:
    """An open lake for asyncio; ``async with``. Use :func:`open_async` to get one."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.candles = AsyncCandles(lake)

    async def write(self, name: str, rows: Any) -> Receipt:
        """Write rows of any dataset; returns when they are durable."""
        if isinstance(rows, Mapping):
            return await self.lake.writer.write_rows_async(registry.get(name), [rows], strict=True)
        if isinstance(rows, Sequence) and name != "candles":
            return await self.lake.writer.write_rows_async(registry.get(name), rows)
        return await asyncio.to_thread(self.lake.write, name, rows)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Writes inside the block land together, or not at all when it raises."""
        async with self.lake.writer.transaction_async():
            yield

    async def sql(self, sql: str, params: Params = None) -> pl.DataFrame:
        """The whole result of a read-only statement, as a Polars frame."""
        return await asyncio.to_thread(self.lake.frame, sql, params)

    async def read(self, name: str, where: str | Mapping[str, Any] | None = None, as_of: Any = None) -> pl.DataFrame:
        """Rows of a dataset or view."""
        return await asyncio.to_thread(self.lake.read, name, where, as_of)

    async def drain(self) -> Drained:
        """Settle what waits in this process's hot log."""
        return await asyncio.to_thread(self.lake.drain)

    async def close(self) -> None:
        """Close the lake."""
        await asyncio.to_thread(self.lake.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncCandles:
    """``lk.candles`` for asyncio."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def __getattr__(self, name: str) -> Any:
        """Each method of :class:`lake.ledgers.candles.Candles`, as a coroutine that runs in a thread."""
        method = getattr(self._lake.candles, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await asyncio.to_thread(method, *args, **kwargs)

        return call


async def open_async(
    uri: str | Path,
    bot_id: str = "",
    durability: str | None = None,
    storage_options: Mapping[str, str] | None = None,
    create: bool = True,
) -> AsyncLake:
    """:func:`lake.open` for asyncio."""
    return AsyncLake(await asyncio.to_thread(partial(open_sync, uri, bot_id, durability, storage_options, create)))
