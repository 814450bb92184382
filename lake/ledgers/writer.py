"""Writing rows of any dataset: small writes to hot, large ones straight to cold, refused rows to quarantine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from threading import Lock
from typing import Any

import polars as pl

from lake.errors import InvalidRowError
from lake.ledgers.basis import Basis
from lake.ledgers.blocks import Block, Transactions
from lake.ledgers.bulk import straight_to_cold
from lake.ledgers.classify import Classifier, Known, Prepared
from lake.ledgers.current import Key, key_given
from lake.ledgers.ending import Ending
from lake.ledgers.first_times import with_first_times
from lake.ledgers.given import GivenRows
from lake.ledgers.hot import Hot, rows_of
from lake.ledgers.latest import Latest
from lake.ledgers.new_rows import NewRows
from lake.ledgers.receipt import Receipt, Rejection, rejections_of
from lake.ledgers.together import Together
from lake.ledgers.transaction import Fold, Transaction, folded
from lake.spec import registry
from lake.spec.dataset import Dataset
from lake.spec.decode import frame_to_rows
from lake.spec.frames import Checked, check_frame, dicts
from lake.spec.tables import is_rows
from lake.store import forks
from lake.store.cold.order import is_unique_and_ordered
from lake.store.cold.table_state import TableState
from lake.store.drain import Drained, Step, ignore
from lake.store.hot.entry import Entry, Row
from lake.store.quarantine import Quarantine
from lake.store.settler import Settler
from lake.store.store import Store

BULK_ROWS = 5_000  # from here on a write goes straight to cold: one commit beats so many hot rows


class Writer:
    """Checks rows and lands them; one for each open lake."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.quarantine = Quarantine(store.location)
        self._classifier = Classifier(store)
        self.bot = store.bot_id
        self._hot: Hot | None = None
        self._lock = Lock()
        self.basis = Basis(store, self._classifier)
        self._transactions = Transactions(store, lambda: self.hot().current, self.basis)
        self._ending = Ending(store, self.hot, self.look)
        self._given = GivenRows(self.bot, self._classifier, self._rows)
        forks.watch(self)

    def write(self, name: str, data: Any, constants: Mapping[str, Any] | None = None) -> Receipt:
        """Write rows of a dataset: a dict, an iterable of dicts, or a Polars, pandas or Arrow table.

        One row that does not fit raises; of many, those that do not fit are quarantined and reported.

        Raises:
            InvalidRowError: the row does not fit the dataset.
            UnknownDatasetError: there is no such dataset.
        """
        ds = registry.get(name)
        if isinstance(data, Mapping):
            return self.write_rows(ds, [{**constants, **data} if constants else data], strict=True)
        if is_rows(data):
            data = dicts(ds, data)
            if len(data) < BULK_ROWS:
                return self.write_rows(ds, data if not constants else [{**constants, **row} for row in data])
        signed = {"bot_id": self.bot, **(constants or {})} if self.bot and "bot_id" in ds.by_name else constants
        return self.write_frame(ds, check_frame(ds, data, constants=signed))

    def write_rows(self, ds: Dataset, rows: Sequence[Mapping[str, Any]], *, strict: bool = False) -> Receipt:
        """Write rows given one by one, through hot. With ``strict`` the first bad one refuses all."""
        prepared, refused = self._prepare(ds, rows, strict)
        self._land(ds, prepared)
        return prepared.receipt.with_rejections(refused)

    def new_rows(self, ds: Dataset) -> NewRows:
        """What takes new rows of a dataset that are checked already."""
        return NewRows(ds, self.bot, self._transactions, self.hot, self._given)

    async def write_rows_async(
        self, ds: Dataset, rows: Sequence[Mapping[str, Any]], *, strict: bool = False
    ) -> Receipt:
        """:meth:`write_rows` for asyncio: waits for the disk without blocking the loop."""
        prepared, refused = self._prepare(ds, rows, strict)
        hot, entries = self.hot(), [Entry(ds.name, prepared.rows)]
        if self.open_transaction() is not None or not prepared.rows:
            self._land(ds, prepared)
        elif prepared.replaces:
            async with hot.log.turn.held_async():
                await hot.land_async(lambda: entries)
        else:
            await hot.land_async(lambda: entries)
        return prepared.receipt.with_rejections(refused)

    async def write_row_async(self, ds: Dataset, row: Mapping[str, Any]) -> Receipt:
        """:meth:`write_rows_async` of one row; a new one goes together with those of other tasks."""
        (good,), receipt = self._classifier.one(ds, self._given.checker(ds)(row), self._rows())
        goes_alone = not receipt.inserted or self.open_transaction() is not None
        if not goes_alone and await self.hot().together.land(ds, receipt.keys[0], good):
            return receipt
        return await self.write_rows_async(ds, [row], strict=True)

    def change(self, name: str, key: Key, fold: Fold, *, is_new: bool = False) -> tuple[Row | None, Row | None]:
        """Make the next version of one row out of its current one; the only way in which rows are patched.

        Nothing that another thread, task or process writes to the row in between is lost: threads and tasks
        have ``fold`` called again with the later version, and of the processes on a host one has its turn.

        Args:
            name: of the dataset.
            key: of the row.
            fold: takes the current version (None when there is none; as stored: times in microseconds, JSON as
                text) and returns what changes, a whole new row, or None for no change. It may raise.
            is_new: there is hardly ever a current version. In a transaction that of another process is then looked
                for at the end only, where ``fold`` is called again if there is one.

        Returns:
            The version before, and the one it made (None when it made none).
        """
        ds = registry.get(name)
        key, fold = key_given(ds, key), self._given.signing(ds, fold)
        transaction = self._transactions.open()
        if transaction is not None:
            if not is_new:
                self.look(ds)
            return transaction.change(ds, key, fold, self.look if is_new else None)
        before: Row | None = None
        after: Row | None = None

        def plan() -> list[Entry]:
            nonlocal before, after
            before = newest(key)
            after = folded(ds, before, fold)
            return [] if after is None else [Entry(ds.name, [after])]

        with self.hot().log.turn.held():
            self.look(ds)
            newest = self.basis.newest(ds, [key], self.hot().current)
            self.hot().land(plan)
        return before, after

    def alone(self) -> AbstractContextManager[object]:
        """No other process of the host writes between a look and the write; a transaction looks again at its end."""
        return self.hot().log.turn.held() if self.open_transaction() is None else nullcontext()

    def undisturbed(self) -> AbstractContextManager[bool]:
        """:meth:`alone`, and no other thread or task either; whether that could be had, in a transaction not."""
        return self.hot().log.turn.alone() if self.open_transaction() is None else nullcontext(enter_result=False)

    def look(self, *datasets: Dataset) -> bool:
        """Take in what others wrote of datasets; whether a cold table has changed."""
        changed = self.hot().latest.look(*datasets)
        if changed:
            self._classifier.look_again()
        return changed

    def write_frame(
        self, ds: Dataset, checked: Checked, *, unique: bool = False, seen: TableState | None = None
    ) -> Receipt:
        """Write a checked frame: through hot when small or inside a transaction, else straight to cold.

        ``unique``: no two rows are known to have one key. ``seen``: as of :func:`straight_to_cold`, where all go then.
        """
        rejections = self._quarantined(ds, rejections_of(checked.bad))
        good = with_first_times(self.store, ds, checked, self.unlanded(ds.name)) if checked.undated else checked.good
        if self.open_transaction() is not None or (good.height < BULK_ROWS and seen is None):
            receipt = self.write_checked_rows(ds, frame_to_rows(ds, good))
        else:
            receipt = self.bulk(ds, good, unique=unique, seen=seen)
        return receipt.with_rejections(rejections)

    def write_checked_rows(self, ds: Dataset, rows: Sequence[Row]) -> Receipt:
        """Write rows that are canonical already, through hot."""
        prepared = self._classifier.prepare(ds, rows, self._rows())
        self._land(ds, prepared)
        return prepared.receipt

    def bulk(
        self, ds: Dataset, frame: pl.DataFrame, *, unique: bool = False, seen: TableState | None = None
    ) -> Receipt:
        """Write canonical rows straight to the cold table, in one commit; the options as of :meth:`write_frame`."""
        ordered = is_unique_and_ordered(ds, frame)
        rows = frame if ordered or unique else frame.unique(subset=list(ds.key), keep="last", maintain_order=True)
        done = straight_to_cold(self, ds, rows, ordered=ordered, seen=seen)
        self._classifier.look_again()
        if self.store.has_writer():
            self.hot().latest.look(ds)
        return done + Receipt(unchanged=frame.height - rows.height)

    def transaction(self) -> Block:
        """Writes inside land together or, when the block raises, not at all."""
        return Block(self._transactions, self._ending.land)

    @asynccontextmanager
    async def transaction_async(self) -> AsyncIterator[None]:
        """:meth:`transaction` for asyncio."""
        with Block(self._transactions) as made:
            yield
        if made is not None and made.entries:
            await self._ending.land_async(made)

    def outside(self) -> AbstractContextManager[None]:
        """What is written in the block lands by itself, whatever transaction its caller is in."""
        return self._transactions.outside()

    def open_transaction(self) -> Transaction | None:
        """The transaction that a write is part of; raises ClosedError when it has ended."""
        return self._transactions.open()

    def unlanded(self, name: str) -> list[Row]:
        """Rows of a dataset that the open transaction has written so far, in their order: no query sees them."""
        transaction = self.open_transaction()
        entries = [] if transaction is None else transaction.entries
        return [row for entry in entries if entry.dataset == name for row in entry.rows]

    def _rows(self) -> Known:
        """What is known of rows where this write stands: inside a transaction, or outside of any."""
        return self.open_transaction() or self.hot().current

    def _land(self, ds: Dataset, prepared: Prepared) -> None:
        if not prepared.rows:
            return
        entries = [Entry(ds.name, prepared.rows)]
        transaction = self.open_transaction()
        if transaction is not None:
            transaction.write(entries)
            return
        hot = self.hot()
        if not prepared.replaces:
            hot.land(lambda: entries)
            return
        with hot.log.turn.held():
            hot.land(lambda: entries)

    def hot(self) -> Hot:
        """This process's hot log, opened at the first write."""
        return self._hot or self._open()

    def _open(self) -> Hot:
        with self._lock:
            if self._hot is None:
                log = self.store.writer()
                settings = self.store.settings
                settler = Settler(self.drain, seconds=settings.drain_seconds, rows=settings.drain_rows)
                current = rows_of(log)
                together = Together(log, current, settler)
                aside = ThreadPoolExecutor(2, thread_name_prefix="lake-look")
                self._hot = Hot(log, current, Latest(self.store, log, current), settler, together, aside)
            return self._hot

    def forsake(self) -> None:
        """This process is a child of the one that opened the lake, whose hot log it must not touch."""
        self._hot, self._lock = None, Lock()

    def close(self) -> None:
        """End the background drain; what was acknowledged stays where it is."""
        if self._hot is not None:
            self._hot.settler.stop()
            self._hot.aside.shutdown()
            self._hot = None

    def current(self, ds: Dataset, key: Key) -> Row | None:
        """The newest version of a row, whoever wrote it; None when there is none."""
        self.look(ds)
        return self.known(ds, key)

    def known(self, ds: Dataset, key: Key) -> Row | None:
        """The newest version of a row as of the last :meth:`look`; None when there is none."""
        key, transaction = key_given(ds, key), self.open_transaction()
        if transaction is not None:
            return transaction.newest(ds, key)
        return self._classifier.find(ds, key, self.hot().current)

    def drain(self, *, every_writer: bool = False, host: str = "", step: Step = ignore) -> Drained:
        """Drain hot logs into the cold tables."""
        done = self.store.drain(every_writer=every_writer, host=host, step=step)
        self._classifier.look_again()
        if self._hot is not None:
            self._hot.latest.let_go()
            self._hot.log.gauge.save()
        return done

    def _prepare(
        self, ds: Dataset, rows: Sequence[Mapping[str, Any]], strict: bool
    ) -> tuple[Prepared, list[Rejection]]:
        check = self._given.checker(ds, rows)
        good: list[Row] = []
        refused: list[Rejection] = []
        for row in rows:
            try:
                good.append(check(row))
            except InvalidRowError as error:
                if strict:
                    raise
                refused.append(Rejection(row, str(error)))
        self._quarantined(ds, refused)
        return self._classifier.prepare(ds, good, self._rows()), refused

    def _quarantined(self, ds: Dataset, refused: list[Rejection]) -> list[Rejection]:
        if refused:
            self.quarantine.add(ds.name, [(r.row, r.reason) for r in refused])
        return refused
