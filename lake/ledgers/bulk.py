"""What waits in hot when rows go straight to the cold table: it must not override them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import polars as pl

from lake.ledgers.hot import Hot
from lake.ledgers.receipt import Receipt
from lake.spec.dataset import Dataset
from lake.spec.decode import frame_to_rows
from lake.store.drain import Drained
from lake.store.hot.entry import Row
from lake.store.store import Store


class Writes(Protocol):
    """What is needed of the writer."""

    store: Store

    def hot(self) -> Hot:
        """This process's hot log."""
        ...

    def drain(self, *, every_writer: bool = False) -> Drained:
        """Settle what waits."""
        ...

    def write_checked_rows(self, ds: Dataset, rows: Sequence[Row]) -> Receipt:
        """Write canonical rows through hot."""
        ...


def make_way(writer: Writes, ds: Dataset, rows: pl.DataFrame) -> tuple[Receipt, pl.DataFrame]:
    """Let nothing wait in a hot log that would override rows written straight to the cold table.

    It is drained. Whoever has the turn must not wait for a drain, which waits for the turn itself, in whatever process
    it is: then those of the rows of which a version waits go through hot.

    Args:
        writer: writes them.
        ds: their dataset.
        rows: canonical, each key once.

    Returns:
        The receipt of those that went through hot, and the others.
    """
    if not writer.store.waiting_writers([ds.name]):
        return Receipt(), rows
    if not (writer.store.has_writer() and writer.hot().log.turn.is_own()):
        writer.drain(every_writer=True)
        return Receipt(), rows
    key = list(ds.key)
    waiting = writer.store.snapshot([ds.name]).hot[ds.name].select(key)
    known = rows.join(waiting, on=key, how="semi", maintain_order="left")
    done = writer.write_checked_rows(ds, frame_to_rows(ds, known))
    return replace(done, keys=()), rows.join(waiting, on=key, how="anti", maintain_order="left")
