"""Rows that go straight to the cold table, although versions of them may wait in hot, which override it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from typing import Protocol

import polars as pl

from lake.ledgers.receipt import Receipt
from lake.spec.dataset import Dataset
from lake.spec.decode import frame_to_rows
from lake.store.cold.edit import Landed, OvertakenError
from lake.store.drain import Drained
from lake.store.hot.entry import Row
from lake.store.store import Store


class Writes(Protocol):
    """What is needed of the writer."""

    store: Store

    def drain(self, *, every_writer: bool = False) -> Drained:
        """Settle what waits."""
        ...

    def undisturbed(self) -> AbstractContextManager[bool]:
        """Nobody else on this host changes a row inside, if that can be had."""
        ...

    def write_checked_rows(self, ds: Dataset, rows: Sequence[Row]) -> Receipt:
        """Write canonical rows through hot."""
        ...


def straight_to_cold(writer: Writes, ds: Dataset, rows: pl.DataFrame, *, ordered: bool = False) -> Receipt:
    """Write rows straight to the cold table, in one commit before and after which others may change them.

    The files are made while others go on; nobody changes a row from the last look at what waits in hot, which would
    override the commit, until that is made. If a version of one of the rows waits then, or the caller has the turn and
    must not wait for a drain, which waits for the turn itself, such rows go through hot.

    Args:
        writer: writes them.
        ds: their dataset.
        rows: canonical, each key once.
        ordered: whether they are known to be in the order of the dataset's files.
    """
    store, table = writer.store, writer.store.table(ds.name)

    @contextmanager
    def unless_overtaken() -> Iterator[None]:
        with store.alone() as is_alone:
            if not is_alone or _waiting(store, ds, rows).height:
                raise OvertakenError
            yield

    if not store.has_turn():
        if store.waiting_writers([ds.name]):
            writer.drain(every_writer=True)
        with suppress(OvertakenError):
            return _receipt(table.upsert(rows, ordered=ordered, within=unless_overtaken))
    with writer.undisturbed() as is_alone:
        known = _waiting(store, ds, rows) if is_alone else rows
        hot = writer.write_checked_rows(ds, frame_to_rows(ds, known)) if known.height else Receipt()
        others = rows.join(known, on=list(ds.key), how="anti", maintain_order="left") if known.height else rows
        return replace(hot, keys=()) + _receipt(table.upsert(others, ordered=ordered))


def _receipt(landed: Landed | None) -> Receipt:
    return Receipt() if landed is None else Receipt(landed.inserted, landed.updated, landed.unchanged)


def _waiting(store: Store, ds: Dataset, rows: pl.DataFrame) -> pl.DataFrame:
    """Those of the rows of which a version waits in a hot log."""
    if not store.waiting_writers([ds.name]):
        return rows.clear()
    key = list(ds.key)
    return rows.join(store.snapshot([ds.name]).hot[ds.name].select(key), on=key, how="semi", maintain_order="left")
