"""Rows that go straight to the cold table, although versions of them may wait in hot, which override it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from typing import Protocol, TypeVar

import polars as pl

from lake.ledgers.receipt import Receipt
from lake.spec.dataset import Dataset
from lake.spec.decode import frame_to_rows
from lake.store.cold.edit import Landed, OvertakenError
from lake.store.cold.table_state import TableState
from lake.store.drain import Drained
from lake.store.hot.entry import Row
from lake.store.store import Store

_TRIES = 3  # to write what rests on a look while others go on; then they wait
T = TypeVar("T")


class Writes(Protocol):
    """What is needed of the writer."""

    store: Store

    def open_transaction(self) -> object | None:
        """What a write is part of."""
        ...

    def drain(self, *, every_writer: bool = False) -> Drained:
        """Settle what waits."""
        ...

    def undisturbed(self) -> AbstractContextManager[bool]:
        """Nobody else on this host changes a row inside, if that can be had."""
        ...

    def write_checked_rows(self, ds: Dataset, rows: Sequence[Row]) -> Receipt:
        """Write canonical rows through hot."""
        ...


def straight_to_cold(
    writer: Writes, ds: Dataset, rows: pl.DataFrame, *, ordered: bool = False, seen: TableState | None = None
) -> Receipt:
    """Write rows straight to the cold table, in one commit before and after which others may change them.

    The files are made while others go on; nobody changes a row from the last look at what waits in hot, which would
    override the commit, until that is made. If a version of one of the rows waits then, or the caller has the turn and
    must not wait for a drain, which waits for the turn itself, such rows go through hot.

    Args:
        writer: writes them.
        ds: their dataset.
        rows: canonical, each key once.
        ordered: whether they are known to be in the order of the dataset's files.
        seen: the cold table as it was before the look that the rows rest on; not for whoever has the turn.

    Raises:
        OvertakenError: others wrote since ``seen`` what that look may have missed; what waited in hot is settled now.
    """
    store, table = writer.store, writer.store.table(ds.name)

    @contextmanager
    def unless_overtaken() -> Iterator[None]:
        with store.alone() as is_alone:
            if not is_alone or _waiting(store, ds, rows).height:
                raise OvertakenError
            yield

    if not store.has_turn():
        if seen is None and store.waiting_writers([ds.name]):
            writer.drain(every_writer=True)
        try:
            return _receipt(table.upsert(rows, ordered=ordered, within=unless_overtaken, seen=seen))
        except OvertakenError:
            if seen is not None:
                writer.drain(every_writer=True)
                raise
    with writer.undisturbed() as is_alone:
        known = _waiting(store, ds, rows) if is_alone else rows
        hot = writer.write_checked_rows(ds, frame_to_rows(ds, known)) if known.height else Receipt()
        others = rows.join(known, on=list(ds.key), how="anti", maintain_order="left") if known.height else rows
        return replace(hot, keys=()) + _receipt(table.upsert(others, ordered=ordered))


def resting_on_a_look(writer: Writes, ds: Dataset, write: Callable[[TableState | None], T]) -> T:
    """Look rows up and write what becomes of them, again if others wrote meanwhile what the look may have missed.

    Args:
        writer: writes them.
        ds: their dataset.
        write: looks and writes. It is given the cold table as it was before, as ``seen`` of the write, which raises
            OvertakenError; and None where others wait: after some tries, and inside a transaction.
    """
    may_go_on = not (writer.open_transaction() or writer.store.has_turn())
    for _ in range(_TRIES if may_go_on else 0):
        with suppress(OvertakenError):
            return write(writer.store.table(ds.name).state())
    with writer.undisturbed():
        return write(None)


def _receipt(landed: Landed | None) -> Receipt:
    return Receipt() if landed is None else Receipt(landed.inserted, landed.updated, landed.unchanged)


def _waiting(store: Store, ds: Dataset, rows: pl.DataFrame) -> pl.DataFrame:
    """Those of the rows of which a version waits in a hot log."""
    if not store.waiting_writers([ds.name]):
        return rows.clear()
    key = list(ds.key)
    return rows.join(store.snapshot([ds.name]).hot[ds.name].select(key), on=key, how="semi", maintain_order="left")
