"""Tables of a database that a kind of import does not read: nothing of a store is passed over in silence."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from lake.importers.base import CandleTable, Check, Notes, Table
from lake.importers.reading.database import Database

_SHOWN = 10
_Any = TypeVar("_Any", Table, CandleTable, Table | CandleTable, Table | Check)


def naming_unread(db: Database, read: Collection[str], tables: Iterable[_Any]) -> Iterator[_Any]:
    """The tables, of which the first tells with its rows what else is in the database.

    Args:
        db: the database.
        read: names of tables that are read, if they are there.
        tables: what is imported.
    """
    others = sorted(set(db.tables()) - set(read))
    more = f" and {len(others) - _SHOWN:,} more" if len(others) > _SHOWN else ""
    told = f"not read: {', '.join(others[:_SHOWN])}{more}" if others else ""
    for place, table in enumerate(tables):
        yield _telling(table, told) if told and place == 0 else table


def _telling(table: Any, told: str) -> Any:
    name = "frames" if isinstance(table, CandleTable) else "rows"
    return replace(table, **{name: partial(_told, getattr(table, name), told)})


def _told(read: Any, told: str, notes: Notes) -> Iterator[Any]:
    notes.tell(told)
    yield from read(notes)
