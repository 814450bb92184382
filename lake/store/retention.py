"""Retention: rows that have been over for long enough are removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa

from lake.clock import MICROS_PER_DAY, now_micros
from lake.errors import UsageError
from lake.spec import registry
from lake.spec.dataset import Dataset, Link, Type
from lake.spec.schema import arrow_schema
from lake.spec.times import from_micros
from lake.store.cold.edit import Edit, Landed
from lake.store.cold.files import DataFile
from lake.store.cold.frames import frame_of, plain
from lake.store.cold.table import ColdTable
from lake.store.cold.table_state import TableState
from lake.store.maintain import Maintained
from lake.store.removed import note
from lake.store.snapshot import Snapshot
from lake.store.store import Store

_MOST_DAYS = 100_000


def retain(
    store: Store, days: Mapping[str, int], *, dry_run: bool = False, now: int | None = None
) -> dict[str, Maintained]:
    """Remove rows that are older than the days given, dataset by dataset.

    The age of a row counts from its end where it has one (a trade's closing), else from its event time. Rows that
    are still open are kept, however old, and so are those that are in use or that an open row needs, as the dataset
    says: the newest state of a bot, the active prompt, the signal of an open trade. The trades of a backtest stay and
    go with it. Rows that wait in hot are not touched: drain before. A dry run counts them too.

    Args:
        store: of the lake.
        days: dataset -> how many days its rows are kept; 0 removes all that is past.
        dry_run: only tell what would go.
        now: the moment from which days are counted back, in microseconds; the clock's when None.

    Raises:
        UnknownDatasetError, UsageError: as :func:`checked_days`; nothing was removed then.
    """
    moment = now_micros() if now is None else now
    before = {name: moment - keep * MICROS_PER_DAY for name, keep in checked_days(days).items()}
    links = {link for name in before for link in registry.get(name).kept_by}
    parts = {ds.name: ds.goes_with for ds in registry.all_datasets() if ds.goes_with is not None}
    parts = {name: link for name, link in parts.items() if {name, link.dataset} & before.keys()}
    ranked = {name for name in before if registry.get(name).newest_of is not None}
    asked = {link.dataset for link in (*links, *parts.values())} | ranked
    snapshot = store.snapshot(sorted(asked | ({*before, *parts} if dry_run else set())))
    named = {link: _named(store, snapshot, link) for link in links}
    newest = {name: _newest(store, snapshot, name) for name in ranked}
    keeps = {n: _kept(registry.get(n), limit, named, newest.get(n, {})) for n, limit in before.items()}
    wholes = {n: _wholes(store, snapshot, link, keeps, counts_hot=dry_run) for n, link in parts.items()}
    for whole in wholes.values():
        keeps.update(whole.of_owner(keeps))
    done = {}
    for name in (*parts, *(name for name in before if name not in parts)):  # what is part of a row goes before it
        rule = _Rule(registry.get(name), keeps.get(name, pl.lit(value=True)), before.get(name), wholes.get(name))
        done[name] = _retire(store.table(name), rule, snapshot.hot[name] if dry_run else None)
    return {name: found for name, found in done.items() if name in before or found.rows_removed}


@dataclass(frozen=True, slots=True)
class _Wholes:
    """The rows of another dataset that rows are part of: those among them that ``go`` now take their parts along."""

    store: Store
    link: Link
    go: pl.Series

    def of_owner(self, keeps: Mapping[str, pl.Expr]) -> dict[str, pl.Expr]:
        """What of them is kept: none goes whose parts stay, such as one that settles just now."""
        name, goes = self.link.dataset, pl.col(self.link.column).is_in(self.go.implode())
        return {name: keeps[name] | ~goes} if name in keeps else {}

    def kept(self, keep: pl.Expr) -> pl.Expr:
        """Whether a part is kept: with its whole where the lake has that, else by ``keep``.

        To be asked once the parts are listed: then their wholes, which land with them, are seen.
        """
        wholes = _rows(self.store, self.store.snapshot([self.link.dataset]), self.link.dataset)[self.link.column]
        own = pl.col(self.link.own)
        goes, stays = (own.is_in(ids.implode()).fill_null(value=False) for ids in (self.go, wholes))
        return ~goes & (stays | keep)

    def may_go_from(self, file: DataFile) -> bool:
        """False when the file's statistics show that it has no part of those that go."""
        return not self.go.is_empty() and file.may_hold({self.link.own: (self.go.min(), self.go.max())})


def _wholes(store: Store, snapshot: Snapshot, link: Link, keeps: Mapping[str, pl.Expr], *, counts_hot: bool) -> _Wholes:
    ds, hot = registry.get(link.dataset), snapshot.hot[link.dataset]
    rows = _rows(store, snapshot, link.dataset).join(hot, on=list(ds.key), how="anti")
    if counts_hot:
        rows = pl.concat([rows, hot.select(rows.columns)])
    go = rows.filter(~keeps[ds.name]) if ds.name in keeps else rows.clear()
    return _Wholes(store, link, go[link.column])


def _rows(store: Store, snapshot: Snapshot, name: str, columns: Sequence[str] = ()) -> pl.DataFrame:
    """Some columns of all rows of a dataset, or all columns; settled and waiting."""
    table, whole = store.table(name), arrow_schema(registry.get(name))
    schema = pa.schema([whole.field(column) for column in columns or whole.names])
    files = list(snapshot.states[name].files.values())
    parts = [*(frame_of(t) for t in table.reader.read(table.folder, files, {}, schema)), snapshot.hot[name]]
    return pl.concat([part.select(schema.names) for part in parts])


@dataclass(frozen=True, slots=True)
class _Rule:
    """Which rows of a dataset are kept: by ``keep``, which removes none from ``before`` on; parts with their whole."""

    ds: Dataset
    keep: pl.Expr
    before: int | None
    whole: _Wholes | None

    def now(self) -> pl.Expr:
        """Whether a row is kept, asked once the rows are listed."""
        return self.keep if self.whole is None else self.whole.kept(self.keep)

    def may_remove_of(self, file: DataFile) -> bool:
        """False when the file's statistics show that all of it is kept."""
        if self.before is not None and file.may_hold({self.ds.event_time: (None, _limit(self.ds, self.before))}):
            return True
        return self.whole is not None and self.whole.may_go_from(file)


def checked_days(days: Any) -> dict[str, int]:
    """Dataset -> days to keep, checked.

    Raises:
        UnknownDatasetError: a dataset that does not exist.
        UsageError: days that are not a whole number from 0 to 100,000.
    """
    if not isinstance(days, Mapping):
        raise UsageError("days are given by dataset", value=days, todo="Such as {'candles': 365}.")
    for name, keep in days.items():
        registry.get(name)
        if isinstance(keep, bool) or not isinstance(keep, int) or not 0 <= keep <= _MOST_DAYS:
            raise UsageError(
                f"days to keep are a whole number from 0 to {_MOST_DAYS:,}", where=name, value=keep, todo="Such as 365."
            )
    return dict(days)


def _retire(table: ColdTable, rule: _Rule, waiting: pl.DataFrame | None) -> Maintained:
    """Remove the rows that are not kept, or only count them, and those ``waiting`` in hot, when these are given."""
    outcome = Maintained()
    dry_run = waiting is not None

    def plan(state: TableState) -> Edit:
        nonlocal outcome
        keep = rule.now()
        removed, added, rows = [], [], 0
        for file in filter(rule.may_remove_of, state.files.values()):
            rest, gone = _without_old(table, file, keep, waiting)
            if gone:
                removed.append(file)
                added += rest
                rows += gone
        outcome = Maintained(
            len(removed),
            len(added),
            sum(f.size for f in removed),
            sum(f.size for f in added),
            rows,
            [f"{table.folder}/{f.path}" for f in removed],
        )
        if dry_run:
            return Edit((), (), Landed(), frozenset())
        if removed and rule.before is not None:
            note(table.location, table.ds.name, rule.before)  # first: whenever this is cut off
        partitions = frozenset(tuple(f.partition.get(n) for n in state.partitioned_by) for f in removed)
        return Edit(tuple(removed), tuple(added), Landed(), partitions)

    if table.state().version >= 0:
        table.commit(plan, operation="DELETE")
    hot = 0 if waiting is None else waiting.filter(~rule.now()).height
    return outcome + Maintained(rows_removed=hot)


def _without_old(
    table: ColdTable, file: DataFile, keep: pl.Expr, waiting: pl.DataFrame | None
) -> tuple[list[DataFile], int]:
    """The file rewritten without its old rows, and how many these are; with ``waiting`` only how many."""
    key, whole = list(table.ds.key), table.schema()
    schema = pa.schema([whole.field(name) for name in dict.fromkeys((*key, *keep.meta.root_names()))])
    rows = gone = 0
    groups = range(table.reader.footer(f"{table.folder}/{file.path}").metadata.num_row_groups)
    for piece in table.reader.pieces(table.folder, file, groups, schema):
        old = frame_of(piece).filter(~keep)
        if waiting is not None and waiting.height:  # another version of a row counts where it is
            old = old.join(waiting.select(key), on=key, how="anti")
        rows += piece.num_rows
        gone += old.height
    rest = table.rewritten(file, lambda frame: frame.filter(keep)) if waiting is None and 0 < gone < rows else None
    return [] if rest is None else [rest], gone


def _kept(ds: Dataset, before: int, named: Mapping[Link, pl.Series], newest: Mapping[str, int]) -> pl.Expr:
    """Whether a row is young enough, still open, in use, or needed by an open one."""
    age = plain(ds, ds.event_time)
    if ds.ends_at is not None:
        age = pl.max_horizontal(age, plain(ds, ds.ends_at))
    keep = age >= _limit(ds, before)
    for conditions in (ds.open_when, ds.in_use_when):
        if conditions:
            keep = keep | _holds(conditions)
    if ds.newest_of is not None and newest:
        latest = pl.col(ds.newest_of).replace_strict(newest, default=None, return_dtype=pl.Int64)
        keep = keep | (plain(ds, ds.event_time) >= latest)
    for link in ds.kept_by:
        keep = keep | pl.col(link.own).is_in(named[link].implode())
    return keep.fill_null(value=False)


def _holds(wanted: Mapping[str, tuple[object, ...]]) -> pl.Expr:
    """Whether each column of a row has one of the values wanted, such as those for which its life goes on."""
    conditions = []
    for name, values in wanted.items():
        is_one = pl.col(name).is_in([v for v in values if v is not None]) if set(values) != {None} else pl.lit(False)
        conditions.append((is_one | pl.col(name).is_null() if None in values else is_one).fill_null(value=False))
    return pl.all_horizontal(conditions)


def _named(store: Store, snapshot: Snapshot, link: Link) -> pl.Series:
    """What the open rows of a dataset hold in the link's column."""
    ds = registry.get(link.dataset)
    table, hot = store.table(ds.name), snapshot.hot[ds.name]
    whole = arrow_schema(ds)
    schema = pa.schema([whole.field(name) for name in dict.fromkeys((*ds.key, *(ds.open_when or {}), link.column))])
    files = [f for f in snapshot.states[ds.name].files.values() if _may_be_open(ds, f)]
    found = [hot.filter(_holds(ds.open_when or {}))[link.column]]
    for part in table.reader.read(table.folder, files, {}, schema):
        opened = frame_of(part).filter(_holds(ds.open_when or {}))
        found.append(opened.join(hot.select(ds.key), on=list(ds.key), how="anti")[link.column])
    return pl.concat(found).drop_nulls().unique()


def _newest(store: Store, snapshot: Snapshot, name: str) -> dict[str, int]:
    """The time of the newest row of each value of ``newest_of``, settled or waiting, in microseconds."""
    ds = registry.get(name)
    rows = _rows(store, snapshot, name, (str(ds.newest_of), ds.event_time))
    return dict(rows.group_by(ds.newest_of).agg(plain(ds, ds.event_time).max().alias("at")).iter_rows())


def _may_be_open(ds: Dataset, file: DataFile) -> bool:
    """False when the file's statistics show that none of its rows is open."""
    return all(
        None in values or any(file.may_hold({name: (v, v)}) for v in values)
        for name, values in (ds.open_when or {}).items()
    )


def _limit(ds: Dataset, before: int) -> int | str:
    """The earliest event time that is young enough, as file statistics hold it."""
    is_date = ds.column(ds.event_time).type is Type.DATE
    return from_micros(before).date().isoformat() if is_date else before
