"""Retention: rows that have been over for long enough are removed."""

from __future__ import annotations

from collections.abc import Mapping
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
from lake.store.cold.frames import frame_of
from lake.store.cold.table import ColdTable, plain
from lake.store.cold.table_state import TableState
from lake.store.location import Location
from lake.store.maintain import Maintained
from lake.store.snapshot import Snapshot
from lake.store.store import Store

_MOST_DAYS = 100_000
FOLDER = "_lake/retired"  # dataset -> up to when its rows were removed: what is made of them cannot be made again


def retain(
    store: Store, days: Mapping[str, int], *, dry_run: bool = False, now: int | None = None
) -> dict[str, Maintained]:
    """Remove rows that are older than the days given, dataset by dataset.

    The age of a row counts from its end where it has one (a trade's closing), else from its event time. Rows that
    are still open are kept, however old, and so are those that an open row needs, as the dataset says: the signal of
    an open trade. Rows that wait in hot are not touched: drain before. A dry run counts them too.

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
    snapshot = store.snapshot(sorted({link.dataset for link in links} | (set(before) if dry_run else set())))
    named = {link: _named(store, snapshot, link) for link in links}
    done = {}
    for name, limit in before.items():
        table = store.table(name)
        keep = _kept(table.ds, limit, named)
        done[name] = _retire(table, keep, limit, snapshot.hot[name] if dry_run else None)
    return done


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


def _retire(table: ColdTable, keep: pl.Expr, before: int, waiting: pl.DataFrame | None) -> Maintained:
    """Remove the old rows, or only count them, and those ``waiting`` in hot, when these are given."""
    outcome = Maintained()
    old_times = {table.ds.event_time: (None, _limit(table.ds, before))}
    dry_run = waiting is not None

    def plan(state: TableState) -> Edit:
        nonlocal outcome
        old = [f for f in state.files.values() if f.may_hold(old_times)]
        removed, added, rows = [], [], 0
        for file in old:
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
        if removed:
            _note(table, before)
        partitions = frozenset(tuple(f.partition.get(n) for n in state.partitioned_by) for f in removed)
        return Edit(tuple(removed), tuple(added), Landed(), partitions)

    if table.state().version >= 0:
        table.commit(plan, operation="DELETE")
    hot = 0 if waiting is None else waiting.filter(~keep).height
    return outcome + Maintained(rows_removed=hot)


def retired_before(location: Location, name: str) -> int | None:
    """The moment before which rows of a dataset were removed, in microseconds; None where all are there."""
    noted = location.read_or_none(f"{FOLDER}/{name}")
    return None if noted is None else int(noted)


def _note(table: ColdTable, before: int) -> None:
    """Before the rows go: what was made of them is kept then, whenever this is cut off."""
    known = retired_before(table.location, table.ds.name)
    if known is None or known < before:
        table.location.write(f"{FOLDER}/{table.ds.name}", str(before).encode())


def _without_old(
    table: ColdTable, file: DataFile, keep: pl.Expr, waiting: pl.DataFrame | None
) -> tuple[list[DataFile], int]:
    """The file rewritten without its old rows, and how many these are; with ``waiting`` only how many."""
    whole = pl.concat([frame_of(t) for t in table.reader.read(table.folder, [file], {}, table.schema())])
    if waiting is not None:
        newer = waiting.select(table.ds.key)  # another version of a row counts where it is
        gone = whole.join(newer, on=list(table.ds.key), how="anti").filter(~keep)
        return [], gone.height
    kept = whole.filter(keep)
    rows = whole.height - kept.height
    if not rows or kept.is_empty():
        return [], rows
    return table.write(file.partition, table.sorted(kept)), rows


def _kept(ds: Dataset, before: int, named: Mapping[Link, pl.Series]) -> pl.Expr:
    """Whether a row is young enough, still open, or needed by an open one."""
    age = plain(ds, ds.event_time)
    if ds.ends_at is not None:
        age = pl.max_horizontal(age, plain(ds, ds.ends_at))
    keep = age >= _limit(ds, before)
    if ds.open_when:
        keep = keep | _is_open(ds)
    for link in ds.kept_by:
        keep = keep | pl.col(link.own).is_in(named[link].implode())
    return keep.fill_null(value=False)


def _is_open(ds: Dataset) -> pl.Expr:
    """Whether a row's life goes on."""
    conditions = []
    for name, values in (ds.open_when or {}).items():
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
    found = [hot.filter(_is_open(ds))[link.column]]
    for part in table.reader.read(table.folder, files, {}, schema):
        opened = frame_of(part).filter(_is_open(ds))
        found.append(opened.join(hot.select(ds.key), on=list(ds.key), how="anti")[link.column])
    return pl.concat(found).drop_nulls().unique()


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
