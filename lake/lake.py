"""The lake as its users hold it: one object, its writers as attributes. It only passes calls on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl

from lake.errors import ReadOnlyError, UsageError
from lake.learn.calibration import Calibration
from lake.learn.comparison import Comparing
from lake.learn.cutoff import Cutoffs
from lake.learn.datasets import Datasets
from lake.learn.drift import Drift
from lake.learn.labelling import Labels
from lake.learn.lessons import Recall
from lake.learn.models.registry import Models
from lake.ledgers.backtests import Backtests
from lake.ledgers.blocks import Block
from lake.ledgers.bots import Bots
from lake.ledgers.candles import Candles
from lake.ledgers.changes import patch_row
from lake.ledgers.decisions import Decisions
from lake.ledgers.fills import Fills
from lake.ledgers.phantoms import Phantoms
from lake.ledgers.positions import Positions
from lake.ledgers.predictions import Predictions
from lake.ledgers.prompts import Prompts
from lake.ledgers.receipt import Receipt
from lake.ledgers.signals import Signals
from lake.ledgers.trades import Trades
from lake.ledgers.writer import Writer
from lake.query.engine import Engine, Params, Relation
from lake.query.publish import publish
from lake.query.read import read
from lake.query.variables import Variables
from lake.spec import registry
from lake.store import maintain, retention, vacuum, verify, versions
from lake.store.drain import Drained, Step, ignore
from lake.store.location import Location
from lake.store.opening import open_store
from lake.store.store import Store


class LakeView:
    """The lake at one version: everything that reads, nothing that writes."""

    def __init__(self, store: Store, version: versions.LakeVersion) -> None:
        self.version = version
        self._store = store
        versions.hold(store, self, version.datasets)
        self._engine = Engine(store.location, partial(store.at, version.datasets), variables=_variables(store))

    def sql(self, sql: str, params: Params = None, *, variables: Variables | None = None) -> Relation:
        """Read-only SQL over the lake as it was."""
        return self._engine.sql(sql, params, variables)

    def frame(self, sql: str, params: Params = None, *, variables: Variables | None = None) -> pl.DataFrame:
        """The whole result of a read-only statement as a Polars frame."""
        return self._engine.frame(sql, params, variables)

    def read(
        self, name: str, where: str | Mapping[str, Any] | None = None, *, variables: Variables | None = None
    ) -> pl.DataFrame:
        """Rows of a dataset or view as they were."""
        return read(self._engine, name, where, variables)


class Lake:
    """An open lake. Use :func:`lake.open` to get one; it is a context manager.

    All methods may be called from several threads at once.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.writer = Writer(store)
        self._engine = Engine(store.location, store.snapshot, variables=_variables(store))
        self.candles = Candles(self.writer)
        self.trades = Trades(self.writer, self._engine)
        self.decisions = Decisions(self.writer, self._engine)
        self.prompts = Prompts(self.writer, self._engine)
        self.predictions = Predictions(self.writer, self._engine)
        self.signals = Signals(self.writer, self._engine)
        self.phantoms = Phantoms(self.writer, self._engine)
        self.positions = Positions(self.writer, self._engine)
        self.fills = Fills(self.writer, self._engine)
        self.bots = Bots(self.writer, self._engine)
        self.backtests = Backtests(self.writer, self._engine)
        self.label = Labels(self.writer, self._engine)
        cutoffs = Cutoffs(store.settings.knowledge_cutoffs)
        self.calibration = Calibration(self._engine, cutoffs)
        self.comparison = Comparing(self._engine, cutoffs)
        self.drift = Drift(self._engine, cutoffs)
        self.lessons = Recall(self._engine)
        self.models = Models(self.writer, self._engine)
        self.datasets = Datasets(self.writer)

    def __repr__(self) -> str:
        return f"<lake.Lake at {self.location.uri}>"

    def __reduce__(self) -> tuple[object, ...]:
        raise UsageError("an open lake cannot be copied", where=self.location.uri, todo="Open it there too: lake.open.")

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
        return self._store.location.url(registry.get(dataset).name)

    def sql(
        self, sql: str, params: Params = None, *, allow_external: bool = False, variables: Variables | None = None
    ) -> Relation:
        """A DuckDB relation over one consistent snapshot: ``.show() .df() .pl() .arrow()``.

        Every dataset and view is a table. The statement can only read the lake, unless
        ``allow_external`` lets it read, attach and write elsewhere.

        The relation is computed when it is asked for its rows: what fails only then, such as a value that cannot
        be cast, is raised there as DuckDB's own ``duckdb.Error``. :meth:`frame` raises QueryError for these too.

        Args:
            sql: one statement.
            params: its parameters, by place or by name.
            allow_external: whether it may go outside the lake.
            variables: parameters of the views: periods_per_year (365), time_zone ("UTC"), now, days.

        Raises:
            QueryError: DuckDB cannot run it.
            ReadOnlyError: it would write.
        """
        return self._answering(allow_external).sql(sql, params, variables)

    def frame(
        self, sql: str, params: Params = None, *, allow_external: bool = False, variables: Variables | None = None
    ) -> pl.DataFrame:
        """The whole result of :meth:`sql` as a Polars frame, times in UTC."""
        return self._answering(allow_external).frame(sql, params, variables)

    def _answering(self, allow_external: bool) -> Engine:
        if not allow_external:
            return self._engine
        variables = _variables(self._store)
        return Engine(self._store.location, self._store.snapshot, allow_external=True, variables=variables)

    def read(
        self,
        name: str,
        where: str | Mapping[str, Any] | None = None,
        as_of: Any = None,
        *,
        variables: Variables | None = None,
    ) -> pl.DataFrame:
        """Rows of a dataset or view as a Polars frame.

        Args:
            name: of the dataset or view.
            where: an SQL condition, or {column: value or list of values}.
            as_of: read the lake as it was settled at that time.
            variables: parameters of the views: periods_per_year (365), time_zone ("UTC"), now, days.
        """
        if as_of is None:
            return read(self._engine, name, where, variables)
        return self.at(time=as_of).read(name, where, variables=variables)

    def write(self, name: str, rows: Any) -> Receipt:
        """Write rows of any dataset: a dict, an iterable of dicts, a Polars, pandas or Arrow table, or a relation.

        It is the raw tool: a row takes the place of the one that has its key, whatever that one's life had come to.
        ``lk.trades``, ``lk.positions`` and the others refuse what cannot follow.
        """
        return self.candles.write_rows(rows) if name == "candles" else self.writer.write(name, rows)

    def patch(self, name: str, key: Any, changes: Mapping[str, Any]) -> Receipt:
        """Change some columns of one row; what others write to its other columns meanwhile is kept.

        It is the raw tool, for mending too: it checks the values, but not whether one status can follow another, and
        computes nothing anew, such as a trade's result (see ``lk.trades.correct``).

        Args:
            name: of the dataset.
            key: the row's key: its id, or a tuple or dict where the key has several columns.
            changes: column -> new value; None takes a value away. Fields that the dataset does not know go to extra.

        Raises:
            UnknownRowError: there is no such row.
            InvalidRowError: a value does not fit.
        """
        is_phantom = name == "phantoms"  # which has seen prices that its row lacks
        return self.phantoms.patch(key, **changes) if is_phantom else patch_row(self.writer, name, key, changes)

    def transaction(self) -> Block:
        """Writes inside the ``with`` block, or the function it decorates, land together, or not at all when it raises.

        The block's own changes build on one another; queries see them when it has ended. What another process has done
        meanwhile may be something on which a step cannot follow (it has closed the trade, or recorded the signal): then
        the block raises at its end, and nothing of it has landed.
        """
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

    def drain(self, *, every_writer: bool = False, host: str = "", step: Step = ignore) -> Drained:
        """Settle what waits in this process's hot log; with ``every_writer`` in all on this host.

        With ``host``, what another host name left in this lake's folder is taken over too: of a machine or container
        that was renamed, or that is gone. Of a row that was written here meanwhile, the version taken over wins.

        Raises:
            UsageError: that host has left nothing here.
            WriterBusyError: one of its processes lives.
        """
        return self.writer.drain(every_writer=every_writer, host=host, step=step)

    def compact(self, *datasets: str, dry_run: bool = False) -> maintain.Maintained:
        """Rewrite small or loosely packed files; all datasets when none is named."""
        return maintain.compact(self._store, datasets or None, dry_run=dry_run)

    def retain(self, days: Mapping[str, int] | None = None, *, dry_run: bool = False) -> dict[str, maintain.Maintained]:
        """Remove rows older than the days given by dataset, or than the settings say; what waits is drained first.

        Age counts from the end of a row where it has one. What is open stays, and what an open row needs: the signal
        of an open trade.

        Raises:
            UnknownDatasetError: a dataset that does not exist.
            UsageError: days that are not a whole number from 0 on.
        """
        wanted = retention.checked_days(self._store.settings.retention_days if days is None else days)
        if wanted and not dry_run:
            self.drain(every_writer=True)
        return retention.retain(self._store, wanted, dry_run=dry_run)

    def vacuum(self, *, dry_run: bool = False, grace_hours: float | None = None) -> maintain.Maintained:
        """Delete files that no version in reach, tag or running reader needs."""
        return vacuum.vacuum(self._store, dry_run=dry_run, grace_hours=grace_hours)

    def verify(self, *, repair: bool = False) -> verify.Report:
        """Check every promise that can be checked on what is stored."""
        return verify.verify(self._store, repair=repair, named=self.models.files)

    def publish(self, path: str | Path | None = None) -> Path:
        """Drain, and write a DuckDB catalogue of views that any SQL tool opens read-only; returns its path.

        Its views leave out what models may remember by the settings of now. The catalogue's files stay, under the tag
        ``published``, until it is published again. On any error the catalogue and the tag are as they were.

        Raises:
            ReadOnlyError: a remote lake without a path.
            StorageError: the path cannot be written, or a remote lake needs DuckDB's httpfs.
        """
        if path is None and not self._store.location.is_local:
            raise ReadOnlyError("a remote lake's catalogue needs a local path", where=self._store.location.uri)
        target = Path(path) if path is not None else Path(self._store.location.url("lake.duckdb"))
        self.drain(every_writer=True)
        snapshot = self._store.snapshot(registry.names())
        publish(target, self._store.location, snapshot, _variables(self._store))
        versions.replace_tag(self._store, versions.PUBLISHED, versions.LakeVersion(snapshot.versions()))
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
    bot_id: str | None = "",
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
    given: Any = uri
    if not isinstance(given, str | Path) or not str(given):
        raise UsageError("a lake is at a path or an s3:// address", where="uri", value=uri, todo="Name a folder.")
    if bot_id is not None and not isinstance(bot_id, str):
        raise UsageError("a bot id is a text", where="bot_id", value=bot_id, todo=f"Such as {str(bot_id)!r}.")
    return Lake(
        open_store(str(uri), bot_id=bot_id or "", durability=durability, storage_options=storage_options, create=create)
    )


def _variables(store: Store) -> Variables:
    """What views are told of the settings."""
    cutoffs = store.settings.knowledge_cutoffs
    return {"knowledge_cutoffs": cutoffs} if cutoffs else {}
