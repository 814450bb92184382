"""The lake for asyncio: the same calls as coroutines; nothing blocks the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial, wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl

from lake.lake import Lake, LakeView
from lake.lake import open as open_sync
from lake.learn.lessons import Lessons
from lake.ledgers.receipt import Receipt
from lake.ledgers.writer import Writer
from lake.query.engine import Params
from lake.query.variables import Variables
from lake.spec import registry
from lake.spec.frames import dicts
from lake.store.drain import Drained
from lake.store.maintain import Maintained
from lake.store.verify import Report
from lake.store.versions import LakeVersion

_ON_THE_LOOP = 50  # so many rows are checked in well under a millisecond; more of them in a thread


class AsyncLedger:
    """The methods of a ledger (``lk.candles``, ``lk.trades``, ...) as coroutines.

    Each runs in a thread; what it writes lands in one transaction, for which the loop waits without a thread.
    """

    def __init__(self, ledger: object, writer: Writer) -> None:
        self._ledger = ledger
        self._writer = writer

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._ledger, name)

        @wraps(method)
        async def call(*args: Any, **kwargs: Any) -> Any:
            async with self._writer.transaction_async():
                return await asyncio.to_thread(method, *args, **kwargs)

        return call

    def __dir__(self) -> list[str]:
        return dir(self._ledger)


class AsyncOwnCommits(AsyncLedger):
    """A ledger as coroutines whose methods commit themselves, in a thread, unless the caller has a transaction.

    Large writes of candles go straight to the cold table; to put a prompt to use is to look again after the commit.

    Args:
        ledger: the ledger.
        writer: its writer.
        methods: those that commit themselves; all when left out.
        together: those that do not, of which many land together.
    """

    def __init__(
        self,
        ledger: object,
        writer: Writer,
        methods: frozenset[str] | None = None,
        together: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(ledger, writer)
        self._methods = methods
        self._together = together

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        if name in self._together or (self._methods is not None and name not in self._methods):
            return super().__getattr__(name)
        method = getattr(self._ledger, name)

        @wraps(method)
        async def call(*args: Any, **kwargs: Any) -> Any:
            return await asyncio.to_thread(method, *args, **kwargs)

        return call


class AsyncSignals(AsyncOwnCommits):
    """Signals as coroutines: many tasks that record some land together, unless duplicates are looked for."""

    async def record(self, signal: Mapping[str, Any] | None = None, /, **fields: Any) -> Receipt:
        """See :meth:`lake.ledgers.signals.Signals.record`."""
        own = fields.get("unless_duplicate", False)
        recorder = AsyncOwnCommits if own else AsyncLedger
        receipt: Receipt = await recorder(self._ledger, self._writer).record(signal, **fields)
        return receipt


class AsyncWhole(AsyncLedger):
    """A ledger as coroutines, of things that are told whole: of many, what is known is compared in one turn."""

    async def record(self, rows: Any = None, /, **fields: Any) -> Receipt:
        """See :meth:`lake.ledgers.trades.Trades.record`."""
        is_one = rows is None or isinstance(rows, Mapping)
        recorder = AsyncLedger if is_one else AsyncOwnCommits
        receipt: Receipt = await recorder(self._ledger, self._writer).record(rows, **fields)
        return receipt


class AsyncView:
    """The lake at one version, for asyncio."""

    def __init__(self, view: LakeView) -> None:
        self.view = view
        self.version = view.version

    async def sql(self, sql: str, params: Params = None, *, variables: Variables | None = None) -> pl.DataFrame:
        """The whole result of a read-only statement, as a Polars frame."""
        return await asyncio.to_thread(self.view.frame, sql, params, variables=variables)

    async def frame(self, sql: str, params: Params = None, *, variables: Variables | None = None) -> pl.DataFrame:
        """The same as :meth:`sql`, under the name that the other lake has for it."""
        return await self.sql(sql, params, variables=variables)

    async def read(
        self, name: str, where: str | Mapping[str, Any] | None = None, *, variables: Variables | None = None
    ) -> pl.DataFrame:
        """Rows of a dataset or view as they were."""
        return await asyncio.to_thread(self.view.read, name, where, variables=variables)


class AsyncLake:
    """An open lake for asyncio; ``async with``. Use :func:`open_async` to get one."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.candles = AsyncOwnCommits(lake.candles, lake.writer)
        self.trades = AsyncWhole(lake.trades, lake.writer)
        self.decisions = AsyncOwnCommits(lake.decisions, lake.writer, frozenset({"resolve_traded"}))
        self.prompts = AsyncOwnCommits(lake.prompts, lake.writer)
        self.predictions = AsyncOwnCommits(lake.predictions, lake.writer, frozenset({"resolve_due"}))
        self.signals = AsyncSignals(lake.signals, lake.writer)
        self.phantoms = AsyncOwnCommits(lake.phantoms, lake.writer, together=frozenset({"record"}))
        self.positions = AsyncOwnCommits(lake.positions, lake.writer)
        self.fills = AsyncWhole(lake.fills, lake.writer)
        self.bots = AsyncOwnCommits(lake.bots, lake.writer)
        self.backtests = AsyncOwnCommits(lake.backtests, lake.writer)
        self.calibration = AsyncOwnCommits(lake.calibration, lake.writer)
        self.datasets = AsyncOwnCommits(lake.datasets, lake.writer)
        self.comparison = AsyncOwnCommits(lake.comparison, lake.writer)
        self.drift = AsyncOwnCommits(lake.drift, lake.writer)
        self.models = AsyncOwnCommits(lake.models, lake.writer)

    def uri(self, dataset: str) -> str:
        """Address of a dataset's Delta table, for any other engine."""
        return self.lake.uri(dataset)

    async def write(self, name: str, rows: Any) -> Receipt:
        """Write rows of any dataset; returns when they are durable. See :meth:`lake.Lake.write`."""
        if name == "candles":
            return await asyncio.to_thread(self.lake.write, name, rows)
        ds = registry.get(name)
        if type(rows) is dict or isinstance(rows, Mapping):
            return await self.lake.writer.write_row_async(ds, rows)
        if isinstance(rows, Sequence) and len(rows) <= _ON_THE_LOOP:
            return await self.lake.writer.write_rows_async(ds, dicts(ds, rows))
        return await asyncio.to_thread(self.lake.write, name, rows)

    async def patch(self, name: str, key: Any, changes: Mapping[str, Any]) -> Receipt:
        """Change some columns of one row; see :meth:`lake.Lake.patch`."""
        async with self.lake.writer.transaction_async():
            return await asyncio.to_thread(self.lake.patch, name, key, changes)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Writes inside the block land together, or not at all when it raises."""
        async with self.lake.writer.transaction_async():
            yield

    async def sql(
        self, sql: str, params: Params = None, *, allow_external: bool = False, variables: Variables | None = None
    ) -> pl.DataFrame:
        """The whole result of a read-only statement, as a Polars frame."""
        return await asyncio.to_thread(self.lake.frame, sql, params, allow_external=allow_external, variables=variables)

    async def frame(
        self, sql: str, params: Params = None, *, allow_external: bool = False, variables: Variables | None = None
    ) -> pl.DataFrame:
        """The same as :meth:`sql`, under the name that :class:`lake.lake.Lake` has for it."""
        return await self.sql(sql, params, allow_external=allow_external, variables=variables)

    async def read(
        self,
        name: str,
        where: str | Mapping[str, Any] | None = None,
        as_of: Any = None,
        *,
        variables: Variables | None = None,
    ) -> pl.DataFrame:
        """Rows of a dataset or view."""
        return await asyncio.to_thread(self.lake.read, name, where, as_of, variables=variables)

    async def at(
        self, *, version: int | Mapping[str, int] | None = None, time: Any = None, tag: str | None = None
    ) -> AsyncView:
        """The whole lake as it was; see :meth:`lake.Lake.at`."""
        return AsyncView(await asyncio.to_thread(self.lake.at, version=version, time=time, tag=tag))

    async def version(self) -> int:
        """Number of the newest settled version of the whole lake."""
        return await asyncio.to_thread(self.lake.version)

    async def tag(self, name: str) -> LakeVersion:
        """Name the lake as it is now."""
        return await asyncio.to_thread(self.lake.tag, name)

    async def tags(self) -> dict[str, LakeVersion]:
        """All tags."""
        return await asyncio.to_thread(self.lake.tags)

    async def lessons(self, symbol: str, before: Any, k: int = 5, **situation: Any) -> Lessons:
        """Resolved decisions that resemble a situation; see :class:`lake.learn.lessons.Recall`."""
        return await asyncio.to_thread(self.lake.lessons, symbol, before, k, **situation)

    async def drain(self, *, every_writer: bool = False, host: str = "") -> Drained:
        """Settle what waits in this process's hot log; see :meth:`lake.Lake.drain`."""
        return await asyncio.to_thread(self.lake.drain, every_writer=every_writer, host=host)

    async def compact(self, *datasets: str, dry_run: bool = False) -> Maintained:
        """Rewrite small or loosely packed files."""
        return await asyncio.to_thread(self.lake.compact, *datasets, dry_run=dry_run)

    async def retain(self, days: Mapping[str, int] | None = None, *, dry_run: bool = False) -> dict[str, Maintained]:
        """Remove rows older than the days given by dataset, or than the settings say."""
        return await asyncio.to_thread(self.lake.retain, days, dry_run=dry_run)

    async def vacuum(self, *, dry_run: bool = False, grace_hours: float | None = None) -> Maintained:
        """Delete files that no version in reach, tag or running reader needs."""
        return await asyncio.to_thread(self.lake.vacuum, dry_run=dry_run, grace_hours=grace_hours)

    async def verify(self, *, repair: bool = False) -> Report:
        """Check every promise that can be checked on what is stored."""
        return await asyncio.to_thread(self.lake.verify, repair=repair)

    async def publish(self, path: str | Path | None = None) -> Path:
        """Drain, and write a DuckDB catalogue of views."""
        return await asyncio.to_thread(self.lake.publish, path)

    async def quarantine(self, source: str, rows: Sequence[Mapping[str, Any]], *, dataset: str = "candles") -> None:
        """Keep refused input rows; each has its ``reason`` among its fields."""
        await asyncio.to_thread(self.lake.quarantine, source, rows, dataset=dataset)

    async def label(self, source: Any = "phantoms", **options: Any) -> Any:
        """Find out from the lake's candles how positions ended; see :class:`lake.learn.labelling.Labels`."""
        return await asyncio.to_thread(self.lake.label, source, **options)

    async def close(self) -> None:
        """Close the lake."""
        await asyncio.to_thread(self.lake.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def open_async(
    uri: str | Path,
    bot_id: str = "",
    durability: str | None = None,
    storage_options: Mapping[str, str] | None = None,
    create: bool = True,
) -> AsyncLake:
    """:func:`lake.open` for asyncio."""
    return AsyncLake(await asyncio.to_thread(partial(open_sync, uri, bot_id, durability, storage_options, create)))
