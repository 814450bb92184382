"""One dataset's cold table: upsert, rewrite and retire rows by optimistic commits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import chain
from threading import Lock

import polars as pl
import pyarrow as pa
import stamina

from lake.errors import CommitConflictError, CorruptLakeError
from lake.settings import Settings
from lake.spec.dataset import Dataset
from lake.spec.evolution import added_columns
from lake.spec.schema import arrow_schema
from lake.store.cold.edit import Edit, Landed, LostRaceError, OvertakenError
from lake.store.cold.files import DataFile
from lake.store.cold.frames import frame_of
from lake.store.cold.keys import FileKeys
from lake.store.cold.log import DeltaLog, remove_and_add, schema_of, settle
from lake.store.cold.lookup import Asked, Lookup
from lake.store.cold.mend import load_and_mend
from lake.store.cold.merge import Change, Merger
from lake.store.cold.order import is_ordered, sort_columns
from lake.store.cold.parquet import FileTarget, write_file
from lake.store.cold.reader import FileReader
from lake.store.cold.slices import even_slices, split_by_partition
from lake.store.cold.table_state import TableState
from lake.store.location import Location, trusted

_ATTEMPTS = 100
_FILE_ROWS = 1_048_576  # rows of one file of a bulk write; two are written side by side
_WRITERS = 2

Guard = Callable[[], AbstractContextManager[None]]


class ColdTable:
    """The Delta table of ``ds`` in ``location``; safe to use from several threads and processes."""

    def __init__(self, location: Location, ds: Dataset, settings: Settings, reader: FileReader) -> None:
        self.location = location
        self.ds = ds
        self.settings = settings
        self.reader = reader
        self.folder = ds.name
        self.log = DeltaLog(location, self.folder)
        self.lookup = Lookup(ds, reader, self.folder)
        self._merger = Merger(ds, self.lookup, self.schema)
        self.keys = FileKeys(ds, self.lookup)
        self._state: TableState | None = None
        self._stamp: int | None = None
        self._lock = Lock()

    def state(self) -> TableState:
        """The newest version; version -1 while the table does not exist."""
        with self._lock:
            known, stamp = self._state, self.location.stamp(self.log.directory)
            if known is not None and stamp is not None and stamp == self._stamp:
                return known
            settled = trusted(stamp)
            fresh = load_and_mend(self.log) if known is None else self.log.follow(known)
            self._state, self._stamp = fresh, settled
        return fresh

    def is_unchanged(self, version: int) -> bool:
        """Whether that is the newest version still, as far as one look at a folder tells."""
        known, stamp = self._state, self._stamp
        if known is None or stamp is None or known.version != version:
            return False
        return self.location.glance(self.log.directory) == stamp

    def known_state(self) -> TableState:
        """The newest version seen so far, without asking again."""
        return self._state or self.state()

    def ready(self) -> TableState:
        """The newest version of a table that exists and has all columns of its specification.

        Raises:
            SchemaChangeError: the specification changed in a way that is not allowed.
        """
        state = self.state()
        if state.version < 0:
            configuration = {"delta.logRetentionDuration": f"interval {self.settings.log_retention_days} days"}
            state = self.log.create(arrow_schema(self.ds), self.ds.partitioned_by, configuration)
        elif added_columns(self.ds, schema_of(state)):
            state = self.log.add_columns(state, arrow_schema(self.ds))
        self._remember(state)
        return state

    def _remember(self, state: TableState) -> None:
        with self._lock:
            if self._state is None or state.version >= self._state.version:
                self._state = state
        self.lookup.forget_all_but(state.files)

    def rows_of(self, state: TableState, asked: Asked, schema: pa.Schema) -> Iterator[pl.DataFrame]:
        """The rows of some keys at a version, in the columns of ``schema`` (the key's among them), piece by piece."""
        for file in state.files.values():
            yield from self.lookup.rows(file, asked, schema)

    def schema(self) -> pa.Schema:
        """The dataset's columns, and behind them those that a newer version of it has added to the table.

        Rewritten files keep them, so that an older bot beside a newer one loses nothing of it.
        """
        known = arrow_schema(self.ds)
        state = self._state
        if state is None or state.columns <= set(known.names):
            return known
        return pa.schema([*known, *(f for f in schema_of(state) if f.name not in known.names)])

    def widen(self, fields: Sequence[pa.Field]) -> None:
        """Add columns that this version's specification does not have."""
        if fields:
            self._remember(self.log.add_columns(self.ready(), pa.schema([*self.schema(), *fields])))

    @property
    def foreign(self) -> list[str]:
        """Columns that a newer version of the dataset has added to the table."""
        return list(self.schema().names[len(arrow_schema(self.ds)) :])

    def upsert(
        self,
        frame: pl.DataFrame,
        settled: Mapping[str, int] | None = None,
        *,
        ordered: bool = False,
        within: Guard = nullcontext,
        seen: TableState | None = None,
    ) -> Landed | None:
        """Add rows, or replace those of the same key, in one commit.

        Args:
            frame: canonical columns, keys unique within it.
            settled: writer -> sequence, to record with the commit.
            ordered: whether the frame is known to be in the order of the dataset's files.
            within: as in :meth:`commit`.
            seen: a version that the frame rests on.

        Returns:
            What happened, or None when one of the writers was settled so far before.

        Raises:
            OvertakenError: others have changed files of its partitions since ``seen``, or ``within`` raised it.
        """

        def plan(state: TableState) -> Edit:
            if seen is not None and self._is_overtaken(seen, state, frame):
                raise OvertakenError
            return self._plan_upsert(state, frame, ordered=ordered)

        return self.commit(plan, settled, "MERGE", within)

    def _is_overtaken(self, seen: TableState, now: TableState, frame: pl.DataFrame) -> bool:
        """Whether files that rows with the frame's keys may lie in are others now."""
        if seen.version == now.version:
            return False
        parts = None if self._keys_may_move else {v for v, _ in split_by_partition(frame, now.partitioned_by)}
        return bool(_differing(seen, now, parts))

    def commit(
        self,
        plan: Callable[[TableState], Edit],
        settled: Mapping[str, int] | None = None,
        operation: str = "WRITE",
        within: Guard = nullcontext,
    ) -> Landed | None:
        """Commit what ``plan`` makes of the newest version, planning again for as long as others win the race.

        The commit is made ``within`` a block, when the files are there; what that raises keeps it from being made.

        Raises:
            CommitConflictError: others won every time.
            OvertakenError: the block raised it.
        """
        self.ready()
        tries = stamina.RetryingCaller(
            attempts=_ATTEMPTS, timeout=120, wait_initial=0.002, wait_max=0.5, wait_jitter=0.02
        )
        try:
            return tries(LostRaceError, self._commit_once, plan, settled, operation, within)
        except LostRaceError:
            raise CommitConflictError("others kept winning the race", where=self.folder, todo="Try again.") from None

    def _commit_once(
        self, plan: Callable[[TableState], Edit], settled: Mapping[str, int] | None, operation: str, within: Guard
    ) -> Landed | None:
        state = self.state()
        if any(state.settled(writer) >= sequence for writer, sequence in (settled or {}).items()):
            return None
        try:
            edit = plan(state)
        except (FileNotFoundError, CorruptLakeError) as error:
            if self.state().version > state.version:  # a file was replaced, and vacuumed, while we planned with it
                raise LostRaceError from error
            raise
        self.location.sync([f"{self.folder}/{f.path}" for f in edit.added])
        try:
            with within():
                done = self._land(state, edit, settled, operation)
        except (LostRaceError, OvertakenError):
            self.location.delete([f"{self.folder}/{f.path}" for f in edit.added])
            raise
        self._checkpoint_if_due(state, done)
        return edit.landed

    def _land(self, state: TableState, edit: Edit, settled: Mapping[str, int] | None, operation: str) -> TableState:
        if not (edit.removed or edit.added or settled):
            return state
        actions = remove_and_add(edit.removed, edit.added, data_change=edit.data_change)
        if settled:
            actions += [settle(writer, sequence) for writer, sequence in settled.items()]
        base = state
        while True:
            done = self.log.commit(base, actions, operation)
            if done is not None:
                self._remember(done)
                return done
            base = self.log.follow(base)
            if not self._still_holds(state, base, edit, settled):
                raise LostRaceError

    def _still_holds(self, planned: TableState, now: TableState, edit: Edit, settled: Mapping[str, int] | None) -> bool:
        """Whether the edit can be committed on ``now`` as it is: nobody touched its partitions, schema or writer."""
        if planned.schema_json != now.schema_json:
            return False
        if any(now.settled(writer) >= sequence for writer, sequence in (settled or {}).items()):
            return False
        if not edit.data_change:  # the same rows in other files: nothing else can be in its way
            return all(f.path in now.files for f in edit.removed)
        return not _differing(planned, now, edit.partitions)

    def _checkpoint_if_due(self, before: TableState, state: TableState) -> None:
        if state is not before and state.version and state.version % self.settings.checkpoint_every == 0:
            self.log.checkpoint()

    def _plan_upsert(self, state: TableState, frame: pl.DataFrame, *, ordered: bool = False) -> Edit:
        removed: list[DataFile] = []
        added: list[DataFile] = []
        landed, partitions = Landed(), set()
        for values, part in split_by_partition(frame, state.partitioned_by):
            current = self._replaced(state, removed, added)
            files = [f for f in current.files.values() if _values(f, state.partitioned_by) == values]
            searched = list(current.files.values()) if self._keys_may_move else files
            change = self._merger.plan(dict(zip(state.partitioned_by, values, strict=True)), files, part, searched)
            landed += Landed(change.inserted, change.updated, change.unchanged)
            partitions.add(values)
            gone, come = self._carry_out(current, change, ordered=ordered and change.fresh is part)
            removed += [f for f in gone if f not in added]
            added = [f for f in added if f not in gone] + come
        return Edit(tuple(removed), tuple(added), landed, None if self._keys_may_move else frozenset(partitions))

    @property
    def _keys_may_move(self) -> bool:
        """Whether the key says nothing of the partition, so that a key is looked for in all of them."""
        inside = {self.ds.partition.time, *self.ds.partition.columns} - {None}
        return not inside <= set(self.ds.key)

    def _replaced(self, state: TableState, removed: list[DataFile], added: list[DataFile]) -> TableState:
        """The state as this edit leaves it so far."""
        if not self._keys_may_move or not (removed or added):
            return state
        gone = {f.path for f in removed}
        files = {path: f for path, f in state.files.items() if path not in gone}
        return replace(state, files={**files, **{f.path: f for f in added}})

    def _carry_out(self, state: TableState, change: Change, *, ordered: bool) -> tuple[list[DataFile], list[DataFile]]:
        removed = [state.files[path] for path in change.dropped] + list(change.merged)
        added = [f for path, keys in change.dropped.items() if (f := self._without(state.files[path], keys))]
        fresh = change.fresh
        if change.merged:
            kept = [self._rest(file, fresh) for file in change.merged]
            fresh = pl.concat([*kept, fresh], how="diagonal")
        if fresh.height:
            in_order = ordered and not change.merged
            added += self.write(change.partition, fresh if in_order else self.sorted(fresh))
        return removed, added

    def _rest(self, file: DataFile, replaced: pl.DataFrame) -> pl.DataFrame:
        keys = replaced.select(self.ds.key)
        tables = self.reader.read(self.folder, [file], {}, self.schema())
        return pl.concat([frame_of(t) for t in tables]).join(keys, on=list(self.ds.key), how="anti")

    def _without(self, file: DataFile, keys: pl.DataFrame) -> DataFile | None:
        """The file rewritten without some keys; None when nothing is left of it."""
        on = list(self.ds.key)
        return self.rewritten(file, lambda rows: rows.join(keys, on=on, how="anti", maintain_order="left"))

    def rewritten(self, file: DataFile, keep: Callable[[pl.DataFrame], pl.DataFrame]) -> DataFile | None:
        """The file with what is kept of its rows, piece by piece, not committed; None when nothing is left of it."""
        groups = range(self.reader.footer(f"{self.folder}/{file.path}").metadata.num_row_groups)
        tables = self.reader.pieces(self.folder, file, groups, self.schema())
        pieces = (self.stored(kept) for table in tables if (kept := keep(frame_of(table))).height)
        first = next(pieces, None)
        if first is None:
            return None
        target = FileTarget(self.folder, file.partition, self.settings.write_zstd)
        return write_file(self.location, self.ds, target, chain([first], pieces))

    def rows(self, files: Iterable[DataFile]) -> int:
        """How many rows files of the table hold."""
        return self.reader.rows(self.folder, files)

    def sorted(self, frame: pl.DataFrame) -> pl.DataFrame:
        """``frame`` in the order of the dataset's files."""
        columns = sort_columns(self.ds)
        return frame if is_ordered(frame, columns) else frame.sort(columns)

    def stored(self, frame: pl.DataFrame) -> pa.Table:
        """The columns that are in the files, in their exact stored types."""
        schema = self.schema()
        inside = [f for f in schema if f.name not in self.ds.partitioned_by]
        absent = [pl.lit(None).alias(f.name) for f in inside if f.name not in frame.columns]
        frame = (frame.with_columns(absent) if absent else frame).select(f.name for f in inside)
        return frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.schema(inside))

    def write(self, partition: Mapping[str, str | None], frame: pl.DataFrame) -> list[DataFile]:
        """Write sorted rows of one partition as new files (not committed; durable or not)."""
        target = FileTarget(self.folder, partition, self.settings.write_zstd)
        slices = list(even_slices(frame, self.ds.file_rows or _FILE_ROWS, _WRITERS))
        if len(slices) == 1:
            return [write_file(self.location, self.ds, target, [self.stored(frame)])]
        added = []
        with ThreadPoolExecutor(_WRITERS) as pool:
            for file in pool.map(lambda s: write_file(self.location, self.ds, target, [self.stored(s)]), slices):
                self.location.sync([f"{self.folder}/{file.path}"])  # while the next ones are encoded
                added.append(file)
        return added


def _values(file: DataFile, partitioned_by: Sequence[str]) -> tuple[str | None, ...]:
    return tuple(file.partition.get(name) for name in partitioned_by)


def _differing(
    before: TableState, now: TableState, partitions: AbstractSet[tuple[str | None, ...]] | None
) -> list[str]:
    """The files of some partitions, None for all, that came or went from one version to another."""
    known = {**before.files, **now.files}
    paths = before.files.keys() ^ now.files.keys()
    return [p for p in paths if partitions is None or _values(known[p], now.partitioned_by) in partitions]
