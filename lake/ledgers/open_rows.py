"""Rows whose life goes on (open trades, active phantoms), in their newest version."""

from __future__ import annotations

from lake.ledgers.current import key_of
from lake.ledgers.writer import Writer
from lake.spec import registry
from lake.spec.dataset import Dataset
from lake.store.drain import is_open
from lake.store.hot.entry import Row


def landed_open_rows(writer: Writer, name: str) -> list[Row]:
    """Those of the lake; with a bot id, only the rows of that bot."""
    return _of_bot(writer, writer.hot().latest.open_rows(registry.get(name)))


def open_rows(writer: Writer, ds: Dataset) -> list[Row]:
    """:func:`landed_open_rows` as the caller sees them: inside a transaction with what that has done so far."""
    rows = {key_of(ds, row): row for row in landed_open_rows(writer, ds.name)}
    rows.update((key_of(ds, row), row) for row in writer.unlanded(ds.name))
    return _of_bot(writer, [row for row in rows.values() if is_open(ds, row)])


def _of_bot(writer: Writer, rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.get("bot_id", "") == writer.bot] if writer.bot else rows
