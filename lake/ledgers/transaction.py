"""A transaction: what was written in it, kept as operations until its end, when they land together.

A change was made on top of the version that was current when it was called. If another thread has put a later
version there before the end, all operations are done again on top of that one: nothing of either is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, ParamSpec, TypeVar

from lake.clock import now_micros
from lake.ledgers.basis import Basis
from lake.ledgers.current import CurrentRows, Key, Version, key_of
from lake.spec import registry
from lake.spec.dataset import Dataset
from lake.spec.inputs import with_inputs
from lake.spec.patch import folder
from lake.spec.rows import row_checker
from lake.store.cold.table import ColdTable
from lake.store.hot.entry import Entry, Row


class Whole(NamedTuple):
    """A whole row that a fold has checked already: a new one, or one to take the place of the known one.

    Nobody else has it: who is given it signs it.
    """

    row: dict[str, Any]


Fold = Callable[[Row | None], Mapping[str, Any] | Whole | None]
P = ParamSpec("P")
R = TypeVar("R")
_UNREAD = -2  # below the version of any table


def folded(ds: Dataset, row: Row | None, fold: Fold) -> Row | None:
    """The next version of a row; None when the fold leaves it as it is.

    ``fold`` is given the current version, or None when there is none, and returns what changes (a whole new row
    when there is none, :class:`Whole` if it is checked, which may also take the place of the current version). What
    the row's inputs were when it was decided stays with it.
    """
    changes = fold(row)
    if changes is None:
        return None
    if isinstance(changes, Whole):
        return changes.row if row is None else with_inputs(ds, row, {**changes.row}, now_micros())
    if row is None:
        return row_checker(ds)(changes)
    return with_inputs(ds, row, folder(ds)(row, changes), now_micros())


class Change(NamedTuple):
    """A change of one row, and what it was made on top of: a current version, a cold row, or one of the transaction."""

    ds: Dataset
    key: Key
    fold: Fold
    outside: Version | None
    stored: Row | None
    part: _Part
    follows: bool

    def may_be_older(self) -> bool:
        """Whether it was made on top of a version that was current, or of a cold table that others changed since."""
        return self.outside is not None or self.part.first_read_at != self.part.table.known_state().version


class _Part:
    """What a transaction knows of one dataset.

    Attributes:
        table: its cold table.
        current: its current rows.
        stored: cold rows that were looked up, of ``read_at`` or a later version of the cold table.
        first_read_at: the version of the cold table in which rows were looked up first; -2 before that.
    """

    __slots__ = ("current", "first_read_at", "read_at", "stored", "table")

    def __init__(self, table: ColdTable, current: Mapping[Key, Version]) -> None:
        self.table = table
        self.current = current
        self.stored: dict[Key, Row | None] = {}
        self.first_read_at = self.read_at = _UNREAD

    def read(self) -> dict[Key, Row | None]:
        """The cold rows that are at hand, of the version of the table that was seen last."""
        version = self.table.known_state().version
        if self.read_at != version:
            if self.first_read_at == _UNREAD:
                self.first_read_at = version
            self.read_at, self.stored = version, {}
        return self.stored


class Transaction:
    """The operations so far, and the rows as they see them; it takes no more when it has ended."""

    __slots__ = (
        "__weakref__", "_basis", "_current", "_first", "_inserted", "_operations", "_parts", "changes",
        "checks", "ended", "entries", "own", "whole",
    )  # fmt: skip

    def __init__(self, current: Callable[[], CurrentRows], basis: Basis) -> None:
        self.ended = False
        self.whole = False  # whether its block ended well, so that it is landing or has landed
        self.entries: list[Entry] = []
        self.changes: list[Change] = []  # those of its operations that were made on top of a version
        self.checks: list[Callable[[], None]] = []  # made at its end, before it lands; each may raise
        self._current = current
        self._basis = basis
        self._operations: list[Entry | Change] = []
        self._inserted = 0  # of them, new rows with fresh ids
        self._first = 0  # and new rows as far as is known
        self.own: dict[tuple[str, Key], Row] = {}  # the rows of it, by dataset and key
        self._parts: dict[str, _Part] = {}

    def are_new(self) -> bool:
        """Whether nobody else can have a version of any of its rows, so that nothing is to be looked at."""
        return self._inserted == len(self._operations) and not self.checks

    def are_still_new(self) -> bool:
        """Whether all of its rows were new, and no cold table of theirs has changed since, as far as folders tell."""
        if self.checks or self._inserted + self._first < len(self._operations):
            return False
        for part in self._parts.values():  # noqa: SIM110 - a generator takes longer
            if not part.table.is_unchanged(part.first_read_at):
                return False
        return True

    def is_known(self) -> bool:
        """Whether there is a current version of one of the rows that it changes."""
        for change in self.changes:  # noqa: SIM110 - as above
            if change.key in change.part.current:
                return True
        return False

    def check(self) -> None:
        """Make its checks."""
        for check in self.checks:
            check()

    def get(self, ds: Dataset, key: Key) -> Row | None:
        """The latest row of that key as the transaction sees it, None when it is not known."""
        found = self.own.get((ds.name, key))
        if found is not None:
            return found
        outside = self._part(ds).current.get(key)
        return None if outside is None else outside.row

    def newest(self, ds: Dataset, key: Key) -> Row | None:
        """:meth:`get`, and where it is not known, the cold row of that key."""
        found = self.get(ds, key)
        return self._stored(ds, self._part(ds), key) if found is None else found

    def _part(self, ds: Dataset) -> _Part:
        found = self._parts.get(ds.name)
        if found is None:
            found = self._parts[ds.name] = _Part(self._basis.table(ds), self._current().versions(ds))
        return found

    def write(self, entries: Sequence[Entry]) -> None:
        """Keep whole rows for the end of the transaction."""
        for entry in entries:
            ds = registry.get(entry.dataset)
            self._operations.append(entry)
            self.entries.append(entry)
            self.own.update(((ds.name, key_of(ds, row)), row) for row in entry.rows)

    def insert(self, name: str, key: Key, row: Row) -> None:
        """Keep a row of which there can be no other version for the end of the transaction."""
        entry = Entry(name, [row])
        self._operations.append(entry)
        self.entries.append(entry)
        self._inserted += 1
        self.own[name, key] = row

    def insert_first(self, ds: Dataset, key: Key, row: Row, fold: Fold) -> bool:
        """Keep a row for the end of which no version is known; False where one is, and nothing was done.

        ``fold`` makes it anew, where there is one at the end.
        """
        part = self._parts.get(ds.name) or self._part(ds)
        if (ds.name, key) in self.own or key in part.current or self._stored(ds, part, key) is not None:
            return False
        made = Change(ds, key, fold, None, None, part, False)
        self._operations.append(made)
        self.changes.append(made)
        self.entries.append(Entry(ds.name, [row]))
        self._first += 1
        self.own[ds.name, key] = row
        return True

    def change(
        self, ds: Dataset, key: Key, fold: Fold, look: Callable[[Dataset], object] | None = None
    ) -> tuple[Row | None, Row | None]:
        """Keep a change for the end; the version before it and the one it makes, None when it makes none.

        Where there is a version, ``look`` is asked first to take in what others did to the dataset; None: it was.
        """
        part = self._parts.get(ds.name) or self._part(ds)
        own, outside = self.own.get((ds.name, key)), part.current.get(key)
        stored = self._stored(ds, part, key) if own is None and outside is None else None
        before = own if own is not None else outside.row if outside is not None else stored
        if look is not None and before is not None:
            look(ds)
            return self.change(ds, key, fold)
        row = folded(ds, before, fold)
        if row is not None:
            made = Change(ds, key, fold, outside, stored, part, own is not None)
            self._operations.append(made)
            self.changes.append(made)
            self.entries.append(Entry(ds.name, [row]))
            self.own[ds.name, key] = row
        return before, row

    def _stored(self, ds: Dataset, part: _Part, key: Key) -> Row | None:
        known = part.read()
        if key not in known:
            known[key] = self._basis.row(ds, key)
        return known[key]

    def look_up(self, ds: Dataset, keys: Iterable[Key]) -> None:
        """Have the cold rows of those keys at hand of which nothing newer is known, looked up together."""
        self._look_up(ds, [key for key in keys if self.get(ds, key) is None])

    def _look_up(self, ds: Dataset, keys: Sequence[Key]) -> None:
        self._part(ds).read().update(self._basis.rows(ds, keys))

    def datasets(self) -> list[Dataset]:
        """Those in which it changes rows."""
        return list({change.ds.name: change.ds for change in self.changes}.values())

    def renew(self) -> None:
        """Make changes again whose rows others have settled meanwhile, as far as a look at what they did shows."""
        gone = self.gone()
        if not gone:
            return
        for ds in {change.ds.name: change.ds for change in gone}.values():
            self._look_up(ds, [change.key for change in gone if change.ds is ds])
        if any(c.outside is not None or c.stored != c.part.stored[c.key] for c in gone):
            self._again(self._operations)

    def gone(self) -> list[Change]:
        """Changes of rows that are current no more, or have never been, of which there may be a later version."""
        return [c for c in self.changes if c.key not in c.part.current and not c.follows and c.may_be_older()]

    def settled_entries(self) -> list[Entry]:
        """The entries to land, on top of what is current now; to be called with the rows' ``order`` held."""
        for change in self.changes:
            if change.part.current.get(change.key) is not change.outside:
                self._again(self._operations)
                break
        return self.entries

    def _again(self, operations: Sequence[Entry | Change]) -> None:
        self.entries, self.changes, self._operations, self._inserted, self._first = [], [], [], 0, 0
        self.own.clear()
        for operation in operations:
            if isinstance(operation, Change):
                self.change(operation.ds, operation.key, operation.fold)
            else:
                self.write([operation])

    def savepoint(self) -> int:
        """How far it has come, for :meth:`back_to`."""
        return len(self._operations)

    def back_to(self, savepoint: int) -> None:
        """Forget what was written since a savepoint."""
        self._again(self._operations[:savepoint])
