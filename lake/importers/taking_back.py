"""Rows that an import made of what has become something else since: they are taken out of the lake again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lake.errors import InvalidRowError
from lake.importers.base import Notes, Options, Row, Undone
from lake.importers.mapping import Canonical, Mapper, found_before
from lake.importers.merging import is_same
from lake.importers.there import held
from lake.importers.wording import counted
from lake.ledgers.removing import remove_unless_changed

_SAID = frozenset({"mode"})  # what the caller may have said otherwise, then


class TakingBack:
    """Takes back what rows of one table show to be none.

    Args:
        lk: an open lake; None where there is none yet.
        undone: which rows; None for a table that shows nothing of the kind.
        options: of the import.
        write: whether it is no plan.
    """

    def __init__(self, lk: Any, undone: Undone | None, options: Options, *, write: bool) -> None:
        self._lk, self._undone, self._options, self._write = lk, undone, options, write
        self._gone = self._kept = 0

    def take(self, rows: Sequence[Row]) -> None:
        """Look at rows of the table, which have landed."""
        if self._undone is None or self._lk is None:
            return
        mapper = Mapper(self._undone.map, self._options, self._undone.label)
        names = set(self._undone.names(rows, self._options))
        (key,) = mapper.dataset.key
        there = held(self._lk, mapper.dataset, [{key: name} for name in sorted(names)]).values()
        theirs = [row for row in there if found_before(row, mapper.label) is not None]
        made = [row for row in theirs if _is_as_made(row, mapper)]
        gone = remove_unless_changed(self._lk.writer, mapper.dataset, made) if self._write else len(made)
        self._gone += gone
        self._kept += len(theirs) - gone

    def tell(self, notes: Notes) -> None:
        """What became of them."""
        if self._undone is None:
            return
        of = f"of {self._undone.map.dataset}"
        if self._gone:
            notes.tell(f"{counted(self._gone, f'row {of} is', f'rows {of} are')} taken back: {self._undone.why}")
        if self._kept:
            said = f"{counted(self._kept, f'row {of} would be', f'rows {of} would be')} taken back"
            notes.tell(f"{said}, and {'stays' if self._kept == 1 else 'stay'}, changed in the lake: {self._undone.why}")


def _is_as_made(row: Canonical, mapper: Mapper) -> bool:
    """Whether a row of the lake is what was made of the source's, and nobody has added anything."""
    try:
        made = mapper(found_before(row, mapper.label))
    except (InvalidRowError, LookupError, AttributeError, TypeError):  # as another version has kept it
        return False
    return all(is_same(row.get(name), made.get(name)) for name in mapper.dataset.by_name if name not in _SAID)
