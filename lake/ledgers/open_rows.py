"""Rows whose life goes on, as the caller sees them: inside a transaction with what that has done so far."""

from __future__ import annotations

from lake.ledgers.current import key_of
from lake.ledgers.writer import Writer
from lake.spec.dataset import Dataset
from lake.store.drain import is_open
from lake.store.hot.entry import Row


def open_rows(writer: Writer, ds: Dataset) -> list[Row]:
    """Every open row of the lake, in its newest version; with a bot id, only the rows of that bot."""
    rows = {key_of(ds, row): row for row in writer.open_rows(ds.name)}
    rows.update((key_of(ds, row), row) for row in writer.unlanded(ds.name))
    live = [row for row in rows.values() if is_open(ds, row)]
    return [row for row in live if row.get("bot_id", "") == writer.bot] if writer.bot else live
