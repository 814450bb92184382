"""The lake as its users hold it: one object, its writers as attributes. It only passes calls on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl

from lake.errors import ReadOnlyError
from lake.ledgers.candles import Candles
from lake.ledgers.receipt import Receipt
from lake.ledgers.writer import Writer
from lake.query.engine import Engine, Params, Relation
from lake.query.publish import publish
from lake.query.read import read
from lake.spec import registry
from lake.store import maintain, vacuum, verify, versions
from lake.store.drain import Drained, Step, ignore
from lake.store.location import Location
from lake.store.opening import open_store
from lake.store.store import Store


class LakeView:
    """The lake at one version: everything that reads, nothing that writes."""

    def __init__(self, store: Store, version: versions.LakeVersion) -> None:
        self.version = version
        self._store = store
        self._store.lease.cover({n: v for n, v in version.datasets.items() if v >= 0})
        self._engine = Engine(store.location, partial(store.at, version.datasets))

    def sql(self, sql: str, params: Params = None) -> Relation:
        """Read-only SQL over the lake as it was."""
        return self._engine.sql(sql, params)

    def frame(self, sql: str, params: Params = None) -> pl.DataFrame:
        """The whole result of a read-only statement as a Polars frame."""
        return self._engine.frame(sql, params)

    def read(self, name: str, where: str | Mapping[str, Any] | None = None) -> pl.DataFrame:
        """Rows of a dataset or view as they were."""
        return read(self._engine, name, where)


class Lake:
    """An open lake. Use :func:`lake.open` to get one; it is a context manager.

    All methods may be called from several threads at once.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.writer = Writer(store)
        self._engine = Engine(store.location, store.snapshot)
        self.candles = Candles(self.writer)

    @property
    def location(self) -> Location:
        """Where the lake is."""
        return self._store.location

    @property
    def store(self) -> Store:
        """The storage layer, for maintenance and inspection."""
        return self._store

    def uri(self, dataset: str) -> str:
        """Address of a dataset's Delta table, for any other engine."""
        return self._store.location.url(self._store.table(dataset).folder)

    def sql(self, sql: str, params: Params = None, *, allow_external: bool = False) -> Relation:
        """A DuckDB relation over one consistent snapshot: ``.show() .df() .pl() .arrow()``.

        Every dataset and view is a table. The statement can only read the lake, unless
        ``allow_external`` lets it read, attach and write elsewhere.

        Raises:
            QueryError: DuckDB cannot run it.
            ReadOnlyError: it would write.
        """
        return self._answering(allow_external).sql(sql, params)

    def frame(self, sql: str, params: Params = None, *, allow_external: bool = False) -> pl.DataFrame:
        """The whole result of :meth:`sql` as a Polars frame, times in UTC."""
        return self._answering(allow_external).frame(sql, params)

    def _answering(self, allow_external: bool) -> Engine:
        if not allow_external:
            return self._engine
        return Engine(self._store.location, self._store.snapshot, allow_external=True)

    def read(self, name: str, where: str | Mapping[str, Any] | None = None, as_of: Any = None) -> pl.DataFrame:
        """Rows of a dataset or view as a Polars frame.

        Args:
            name: of the dataset or view.
            where: an SQL condition, or {column: value or list of values}.
            as_of: read the lake as it was settled at that time.
        """
        return read(self._engine, name, where) if as_of is None else self.at(time=as_of).read(name, where)

    def write(self, name: str, rows: Any) -> Receipt:
        """Write rows of any dataset: a dict, a list of dicts, or a Polars, pandas or Arrow table."""
        if name == "candles" and not isinstance(rows, Mapping):
            return self.candles.write_checked_data(rows)
        return self.writer.write(name, rows)

    def transaction(self) -> AbstractContextManager[None]:
        """Writes inside the block land together, or not at all when it raises."""
        return self.writer.transaction()

    def quarantine(self, source: str, rows: Sequence[Mapping[str, Any]], *, dataset: str = "candles") -> None:
        """Keep refused input rows; each has its ``reason`` among its fields."""
        kept = [({k: v for k, v in row.items() if k != "reason"}, str(row.get("reason", ""))) for row in rows]
        self.writer.quarantine.add(dataset, kept, source)

    def at(
        self, *, version: int | Mapping[str, int] | None = None, time: Any = None, tag: str | None = None
    ) -> LakeView:
        """The whole lake as it was: at a version (see :meth:`version`), a time, or a tag.

        Raises:
            UnknownVersionError: there is no such version or tag.
            UsageError: not exactly one of the three.
        """
        return LakeView(self._store, versions.find(self._store, version=version, time=time, tag=tag))

    def version(self) -> int:
        """Number of the newest settled version of the whole lake; each commit adds one."""
        return versions.current(self._store).number

    def tag(self, name: str) -> versions.LakeVersion:
        """Name the lake as it is now; what waits in hot is drained first, so that it is part of it."""
        self.drain()
        return versions.tag(self._store, name)

    def tags(self) -> dict[str, versions.LakeVersion]:
        """All tags."""
        return versions.tags(self._store)

    def drain(self, *, every_writer: bool = False, step: Step = ignore) -> Drained:
        """Settle what waits in this process's hot log; with ``every_writer`` in all on this host."""
        return self.writer.drain(every_writer=every_writer, step=step)

    def compact(self, *datasets: str, dry_run: bool = False) -> maintain.Maintained:
        """Rewrite small or loosely packed files; all datasets when none is named."""
        return maintain.compact(self._store, datasets or None, dry_run=dry_run)

    def retain(self, days: Mapping[str, int] | None = None, *, dry_run: bool = False) -> dict[str, maintain.Maintained]:
        """Remove rows older than the days given by dataset, or than the settings say."""
        return maintain.retain(self._store, dict(days or self._store.settings.retention_days), dry_run=dry_run)

    def vacuum(self, *, dry_run: bool = False, grace_hours: float | None = None) -> maintain.Maintained:
        """Delete files that no version in reach, tag or running reader needs."""
        return vacuum.vacuum(self._store, dry_run=dry_run, grace_hours=grace_hours)

    def verify(self, *, repair: bool = False) -> verify.Report:
        """Check every promise that can be checked on what is stored."""
        return verify.verify(self._store, repair=repair)

    def publish(self, path: str | Path | None = None) -> Path:
        """Drain, and write a DuckDB catalogue of views that any SQL tool opens read-only; returns its path.

        Raises:
            ReadOnlyError: a remote lake without a path.
        """
        if path is None and not self._store.location.is_local:
            raise ReadOnlyError("a remote lake's catalogue needs a local path", where=self._store.location.uri)
        target = Path(path) if path is not None else Path(self._store.location.url("lake.duckdb"))
        self.drain(every_writer=True)
        versions.replace_tag(self._store, "published")
        publish(target, self._store.location, self._store.snapshot(registry.names()))
        return target

    def close(self) -> None:
        """Close the lake; what was acknowledged stays where it is."""
        self._engine.close()
        self.writer.close()
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open(
    uri: str | Path,
    bot_id: str = "",
    durability: str | None = None,
    storage_options: Mapping[str, str] | None = None,
    create: bool = True,
) -> Lake:
    """Open a lake, making it when it is not there.

    Args:
        uri: a folder, or ``s3://bucket/prefix``.
        bot_id: under which name this process writes: one live process each. Without it a name is
            chosen at the first write.
        durability: "full" (default) syncs to disk before a write is acknowledged; "normal" leaves that
            to the operating system: about ten times as many writes a second, and a power cut (not a
            crash of the process) can lose the last of them.
        storage_options: for S3: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...
        create: False raises NotALakeError when there is none.
    """
    return Lake(
        open_store(str(uri), bot_id=bot_id, durability=durability, storage_options=storage_options, create=create)
    )
