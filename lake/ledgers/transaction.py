"""A transaction: what was written in it, kept as operations until its end, when they land together.

A change was made on top of the version that was current when it was called. If another thread has put a later
version there before the end, all operations are done again on top of that one: nothing of either is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from lake.clock import now_micros
from lake.errors import ClosedError
from lake.ledgers.basis import Basis
from lake.ledgers.current import CurrentRows, Key, Version, key_of
from lake.spec import registry
from lake.spec.dataset import Dataset
from lake.spec.inputs import with_inputs
from lake.spec.patch import folder
from lake.spec.rows import row_checker
from lake.store.hot.entry import Entry, Row


class Whole(NamedTuple):
    """A whole row that a fold has checked already: a new one, or one to take the place of the known one."""

    row: Row


Fold = Callable[[Row | None], Mapping[str, Any] | Whole | None]


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
    follows: bool


class Transaction:
    """The operations so far, and the rows as they see them; it takes no more when it has ended."""

    def __init__(self, current: Callable[[], CurrentRows], basis: Basis) -> None:
        self.ended = False
        self.whole = False  # whether its block ended well, so that it is landing or has landed
        self.entries: list[Entry] = []
        self.checks: list[Callable[[], None]] = []  # made at its end, before it lands; each may raise
        self._current = current
        self._basis = basis
        self._first_read_at: dict[str, int] = {}  # version of each cold table in which rows were looked up
        self._read_at: dict[str, int] = {}
        self._stored: dict[str, dict[Key, Row | None]] = {}
        self._operations: list[Entry | Change] = []
        self._own: dict[str, dict[Key, Row]] = {}

    @contextmanager
    def landing(self) -> Iterator[None]:
        """What is done at its end: when that raises, it is not whole; nothing that refers to it is kept afterwards."""
        whole = False
        try:
            yield
            whole = True
        finally:
            self.whole = whole
            self.checks.clear()

    def check(self) -> None:
        """Make its checks."""
        for check in self.checks:
            check()

    def get(self, ds: Dataset, key: Key) -> Row | None:
        """The latest row of that key as the transaction sees it, None when it is not known."""
        found = self._own_row(ds, key)
        return self._current().get(ds, key) if found is None else found

    def _own_row(self, ds: Dataset, key: Key) -> Row | None:
        rows = self._own.get(ds.name)
        return rows.get(key) if rows else None

    def write(self, entries: Sequence[Entry]) -> None:
        """Keep whole rows for the end of the transaction."""
        for entry in entries:
            self._operations.append(entry)
            self._add(entry)

    def change(self, ds: Dataset, key: Key, fold: Fold) -> tuple[Row | None, Row | None]:
        """Keep a change for the end; the version before it and the one it makes, None when it makes none."""
        outside = self._current().version(ds, key)
        own = self._own_row(ds, key)
        stored = self.stored(ds, key) if own is None and outside is None else None
        before = own if own is not None else outside.row if outside is not None else stored
        row = folded(ds, before, fold)
        if row is not None:
            self._operations.append(Change(ds, key, fold, outside, stored, own is not None))
            self._add(Entry(ds.name, [row]))
        return before, row

    def stored(self, ds: Dataset, key: Key) -> Row | None:
        """The cold row of that key."""
        known = self._stored.get(ds.name)
        if known is None or key not in known or self._read_at[ds.name] != self._basis.version(ds):
            self._look_up(ds, [key])
        return self._stored[ds.name][key]

    def look_up(self, ds: Dataset, keys: Iterable[Key]) -> None:
        """Have the cold rows of those keys at hand of which nothing newer is known, looked up together."""
        self._look_up(ds, [key for key in keys if self.get(ds, key) is None])

    def _look_up(self, ds: Dataset, keys: Sequence[Key]) -> None:
        version = self._basis.version(ds)
        self._first_read_at.setdefault(ds.name, version)
        if self._read_at.get(ds.name) != version:
            self._read_at[ds.name], self._stored[ds.name] = version, {}
        self._stored[ds.name].update(self._basis.rows(ds, keys))

    def _add(self, entry: Entry) -> None:
        self.entries.append(entry)
        ds = registry.get(entry.dataset)
        self._own.setdefault(ds.name, {}).update((key_of(ds, row), row) for row in entry.rows)

    @property
    def changes(self) -> list[Change]:
        """Those of its operations that were made on top of a version."""
        return [o for o in self._operations if isinstance(o, Change)]

    def datasets(self) -> list[Dataset]:
        """Those in which it changes rows."""
        return list({change.ds.name: change.ds for change in self.changes}.values())

    def renew(self) -> None:
        """Make changes again whose rows others have settled meanwhile, as far as a look at what they did shows."""
        gone = self.gone()
        for ds in {change.ds.name: change.ds for change in gone}.values():
            self._look_up(ds, [change.key for change in gone if change.ds is ds])
        if any(c.outside is not None or c.stored != self._stored[c.ds.name][c.key] for c in gone):
            self._again(self._operations)

    def gone(self) -> list[Change]:
        """Changes of rows that are current no more, or have never been, of which there may be a later version."""
        first = (c for c in self.changes if not c.follows and self._may_be_older(c))
        return [c for c in first if self._current().version(c.ds, c.key) is None]

    def _may_be_older(self, change: Change) -> bool:
        """Whether it was made on top of a version that is current no more, or of a cold table that others changed."""
        name = change.ds.name
        return change.outside is not None or self._first_read_at.get(name) != self._basis.version(change.ds)

    def settled_entries(self) -> list[Entry]:
        """The entries to land, on top of what is current now; to be called with the rows' ``order`` held."""
        if any(self._current().version(c.ds, c.key) is not c.outside for c in self.changes):
            self._again(self._operations)
        return self.entries

    def _again(self, operations: Sequence[Entry | Change]) -> None:
        self.entries, self._operations, self._own = [], [], {}
        for operation in operations:
            if isinstance(operation, Change):
                self.change(operation.ds, operation.key, operation.fold)
            else:
                self.write([operation])

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """What a nested block wrote is forgotten when it raises, also when the outer one goes on."""
        before, whole = len(self._operations), False
        try:
            yield
            whole = True
        finally:
            if not whole:
                self._again(self._operations[:before])


class Transactions:
    """Which transaction the calling thread or task is in.

    Args:
        place: the lake, for errors.
        current: gives the rows that are current outside of any transaction.
        basis: gives the cold rows.
    """

    def __init__(self, place: str, current: Callable[[], CurrentRows], basis: Basis) -> None:
        self._place = place
        self._current = current
        self._basis = basis
        self._open: ContextVar[Transaction | None] = ContextVar(f"transaction-{id(self)}", default=None)

    def open(self) -> Transaction | None:
        """The transaction that a write is part of.

        Raises:
            ClosedError: it has ended; a task or thread that it started writes after it.
        """
        transaction = self._open.get()
        if transaction is not None and transaction.ended:
            raise ClosedError(
                "the transaction has ended",
                where=self._place,
                todo="Wait inside its block for the tasks that write in it, or start them outside.",
            )
        return transaction

    @contextmanager
    def collecting(self) -> Iterator[Transaction | None]:
        """A transaction to write in; None inside another one, of which it is then a part."""
        outer = self.open()
        if outer is not None:
            with outer.savepoint():
                yield None
            return
        made = Transaction(self._current, self._basis)
        token = self._open.set(made)
        try:
            yield made
            made.whole = True
        finally:
            made.ended = True
            self._open.reset(token)
