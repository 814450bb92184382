"""Writing rows of any dataset: small writes to hot, large ones straight to cold, refused rows to quarantine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import polars as pl

from lake.errors import ClosedError, InvalidRowError, LakeError
from lake.ledgers.classify import Classifier, Prepared
from lake.ledgers.current import CurrentRows, CurrentWithin, Key, key_of
from lake.ledgers.receipt import Receipt, Rejection
from lake.spec import registry
from lake.spec.dataset import Dataset
from lake.spec.decode import frame_to_rows, rows_to_frame
from lake.spec.frames import Checked, check_frame
from lake.spec.rows import row_checker
from lake.store.cold.order import is_unique_and_ordered
from lake.store.drain import Drained, Step, ignore, is_open, key_text
from lake.store.hot.entry import Entry, Row
from lake.store.hot.log import HotLog
from lake.store.quarantine import Quarantine
from lake.store.settler import Settler
from lake.store.store import Store

BULK_ROWS = 5_000  # from here on a write goes straight to cold: one commit beats so many hot rows


@dataclass
class Pending:
    """The entries of a transaction, and the rows as it sees them; it takes no more when it has ended."""

    rows: CurrentWithin
    entries: list[Entry] = field(default_factory=list)
    ended: bool = False

    def add(self, entries: Sequence[Entry]) -> None:
        """Keep entries for the end of the transaction."""
        for entry in entries:
            self.entries.append(entry)
            self.rows.put(registry.get(entry.dataset), entry.rows, len(self.entries))

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """What a nested block wrote is forgotten when it raises, also when the outer one goes on."""
        before, whole = len(self.entries), False
        try:
            yield
            whole = True
        finally:
            if not whole:
                kept, self.entries, self.rows = self.entries[:before], [], self.rows.anew()
                self.add(kept)


@dataclass(frozen=True, slots=True)
class Hot:
    """This process's hot log and what it knows of its rows."""

    log: HotLog
    current: CurrentRows
    settler: Settler


class Writer:
    """Checks rows and lands them; one for each open lake."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.quarantine = Quarantine(store.location)
        self._classifier = Classifier(store)
        self._bot = store.bot_id
        self._hot: Hot | None = None
        self._lock = Lock()
        self._pending: ContextVar[Pending | None] = ContextVar(f"pending-{id(self)}", default=None)

    def write(self, name: str, data: Any, constants: Mapping[str, Any] | None = None) -> Receipt:
        """Write rows of a dataset: a dict, a list of dicts, or a Polars, pandas or Arrow table.

        One row that does not fit raises; of many, those that do not fit are quarantined and reported.

        Raises:
            InvalidRowError: the row does not fit the dataset.
            UnknownDatasetError: there is no such dataset.
        """
        ds = registry.get(name)
        if isinstance(data, Mapping):
            return self.write_rows(ds, [data], strict=True)
        if isinstance(data, Sequence) and len(data) < BULK_ROWS:
            return self.write_rows(ds, data if not constants else [{**constants, **row} for row in data])
        filled = {"bot_id": self._bot, **(constants or {})} if self._bot and "bot_id" in ds.by_name else constants
        return self.write_frame(ds, check_frame(ds, data, constants=filled))

    def write_rows(self, ds: Dataset, rows: Sequence[Mapping[str, Any]], *, strict: bool = False) -> Receipt:
        """Write rows given one by one, through hot. With ``strict`` the first bad one refuses all."""
        prepared, refused = self._prepare(ds, rows, strict)
        return self._finish(
            ds, prepared, self._append([Entry(ds.name, prepared.rows)] if prepared.rows else []), refused
        )

    async def write_rows_async(
        self, ds: Dataset, rows: Sequence[Mapping[str, Any]], *, strict: bool = False
    ) -> Receipt:
        """:meth:`write_rows` for asyncio: waits for the disk without blocking the loop."""
        prepared, refused = self._prepare(ds, rows, strict)
        entries = [Entry(ds.name, prepared.rows)] if prepared.rows else []
        if self._open_transaction() is not None or not entries:
            sequences = self._append(entries)
        else:
            sequences = await self.hot().log.append_async(entries)
        return self._finish(ds, prepared, sequences, refused)

    def write_frame(self, ds: Dataset, checked: Checked) -> Receipt:
        """Write a checked frame: through hot when small or inside a transaction, else straight to cold."""
        rejections = self._refuse(ds, checked.bad)
        if checked.good.height < BULK_ROWS or self._open_transaction() is not None:
            receipt = self.write_checked_rows(ds, frame_to_rows(ds, checked.good))
        else:
            receipt = self.bulk(ds, checked.good)
        return receipt + Receipt(rejected=len(rejections), rejections=rejections)

    def write_checked_rows(self, ds: Dataset, rows: Sequence[Row]) -> Receipt:
        """Write rows that are canonical already, through hot."""
        prepared = self._classifier.prepare(ds, rows, self._rows())
        return self._finish(ds, prepared, self._append([Entry(ds.name, prepared.rows)] if prepared.rows else []), [])

    def bulk(self, ds: Dataset, frame: pl.DataFrame) -> Receipt:
        """Write canonical rows straight to the cold table, in one commit."""
        unique = frame
        if not is_unique_and_ordered(ds, frame):
            unique = frame.unique(subset=list(ds.key), keep="last", maintain_order=True)
        if self.store.waiting_writers([ds.name]):
            self.drain(every_writer=True)  # what was written before must not override what is written now
        landed = self.store.table(ds.name).upsert(unique)
        self._classifier.look_again()
        if landed is None:
            raise LakeError("a bulk write was taken for a drain", where=ds.name)
        if self.store.has_writer():
            self._renew_open_rows(ds, unique)
        return Receipt(landed.inserted, landed.updated, landed.unchanged + frame.height - unique.height)

    def _renew_open_rows(self, ds: Dataset, settled: pl.DataFrame) -> None:
        """Open rows stay at hand over a drain; a bulk write passed them by, and they must not be stale."""
        hot = self.hot()
        known = [dict(row) for row in hot.current.open_rows(ds)]
        if not known:
            return
        key = list(ds.key)
        touched = settled.join(rows_to_frame(ds, known).select(key), on=key, how="semi")
        rows = frame_to_rows(ds, touched) if touched.height else []
        opened = {key_text(ds, row): (0, Entry(ds.name, [row]).payload()) for row in rows if is_open(ds, row)}
        hot.log.settle(ds.name, -1, opened, [key_text(ds, row) for row in rows])
        hot.current.replace(ds, rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Writes inside land together or, when the block raises, not at all."""
        outer = self._open_transaction()
        if outer is not None:
            with outer.savepoint():
                yield
            return
        pending = Pending(CurrentWithin(self.hot().current))
        token = self._pending.set(pending)
        try:
            yield
        finally:
            pending.ended = True
            self._pending.reset(token)
        if pending.entries:
            self._note(pending.entries, self.hot().log.append(pending.entries))

    @asynccontextmanager
    async def transaction_async(self) -> AsyncIterator[None]:
        """:meth:`transaction` for asyncio."""
        outer = self._open_transaction()
        if outer is not None:
            with outer.savepoint():
                yield
            return
        pending = Pending(CurrentWithin(self.hot().current))
        token = self._pending.set(pending)
        try:
            yield
        finally:
            pending.ended = True
            self._pending.reset(token)
        if pending.entries:
            self._note(pending.entries, await self.hot().log.append_async(pending.entries))

    def _open_transaction(self) -> Pending | None:
        """The transaction that a write is part of.

        Raises:
            ClosedError: it has ended; a task or thread that it started writes after it.
        """
        pending = self._pending.get()
        if pending is not None and pending.ended:
            raise ClosedError(
                "the transaction has ended",
                where=self.store.location.uri,
                todo="Wait inside its block for the tasks that write in it, or start them outside.",
            )
        return pending

    def _rows(self) -> CurrentRows:
        """What is known of rows where this write stands: inside a transaction, or outside of any."""
        pending = self._open_transaction()
        return self.hot().current if pending is None else pending.rows

    def _note(self, entries: Sequence[Entry], sequences: Sequence[int]) -> None:
        for entry, sequence in zip(entries, sequences, strict=True):
            self.hot().current.put(registry.get(entry.dataset), entry.rows, sequence)
        self.hot().settler.wrote(sum(len(entry.rows) for entry in entries))

    def hot(self) -> Hot:
        """This process's hot log, opened at the first write."""
        hot = self._hot
        return hot if hot is not None else self._open()

    def _open(self) -> Hot:
        with self._lock:
            if self._hot is None:
                log = self.store.writer()
                settings = self.store.settings
                settler = Settler(self.drain, seconds=settings.drain_seconds, rows=settings.drain_rows)
                self._hot = Hot(log, _current(log), settler)
            return self._hot

    def close(self) -> None:
        """End the background drain; what was acknowledged stays where it is."""
        if self._hot is not None:
            self._hot.settler.stop()
            self._hot = None

    def current(self, ds: Dataset, key: Key) -> Row | None:
        """The newest version of a row that this writer knows or the lake holds; None when there is none."""
        row = dict(zip(ds.key, key, strict=True))
        return self._classifier.find(ds, key, row, self._rows())

    def drain(self, *, every_writer: bool = False, step: Step = ignore) -> Drained:
        """Drain hot logs into the cold tables."""
        done = self.store.drain(every_writer=every_writer, step=step)
        self._classifier.look_again()
        if self._hot is not None:
            self._hot.current.forget(self._hot.log.settled())
        return done

    def _prepare(
        self, ds: Dataset, rows: Sequence[Mapping[str, Any]], strict: bool
    ) -> tuple[Prepared, list[Rejection]]:
        check = row_checker(ds)
        if self._bot and "bot_id" in ds.by_name:
            rows = [row if row.get("bot_id") else {**row, "bot_id": self._bot} for row in rows]
        good, refused = [], []
        for row in rows:
            try:
                good.append(self._with_first_times(ds, row, check(row)))
            except InvalidRowError as error:
                if strict:
                    raise
                refused.append(Rejection(row, str(error)))
        if refused:
            self.quarantine.add(ds.name, [(r.row, r.reason) for r in refused])
        return self._classifier.prepare(ds, good, self._rows()), refused

    def _with_first_times(self, ds: Dataset, given: Mapping[str, Any], row: dict[str, Any]) -> dict[str, Any]:
        """A time that the clock filled in is the first version's: writing a row again does not make it newer."""
        names = [n for n, v in (ds.defaults or {}).items() if v == "now" and n not in ds.key and given.get(n) is None]
        if names and (ds.generated_id is None or given.get(ds.generated_id) is not None):
            known = self._classifier.find(ds, key_of(ds, row), row, self._rows()) or {}
            row.update((n, known[n]) for n in names if n in known)
        return row

    def _append(self, entries: list[Entry]) -> list[int]:
        if not entries:
            return []
        pending = self._open_transaction()
        if pending is not None:
            pending.add(entries)
            return []
        return self.hot().log.append(entries)

    def _finish(self, ds: Dataset, prepared: Prepared, sequences: list[int], refused: list[Rejection]) -> Receipt:
        if sequences:
            hot = self.hot()
            hot.current.put(ds, prepared.rows, sequences[-1])
            hot.settler.wrote(len(prepared.rows))
        if not refused:
            return prepared.receipt
        return prepared.receipt + Receipt(rejected=len(refused), rejections=refused)

    def _refuse(self, ds: Dataset, bad: pl.DataFrame) -> list[Rejection]:
        if bad.is_empty():
            return []
        rows = [(dict(row), str(row.pop("reason"))) for row in bad.to_dicts()]
        refused = [Rejection({k: v for k, v in row.items() if k != "reason"}, reason) for row, reason in rows]
        self.quarantine.add(ds.name, [(r.row, r.reason) for r in refused])
        return refused


_known: WeakKeyDictionary[HotLog, CurrentRows] = WeakKeyDictionary()


def _current(log: HotLog) -> CurrentRows:
    """What is known of a log's rows, shared by all who write to it."""
    if log not in _known:
        _known[log] = CurrentRows(log.recall())
    return _known[log]
