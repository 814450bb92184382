"""A transaction: what was written in it, kept as operations until its end, when they land together.

A change was made on top of the version that was current when it was called. If another thread has put a later
version there before the end, all operations are done again on top of that one: nothing of either is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar, Token
from functools import wraps
from types import TracebackType
from typing import Any, NamedTuple, ParamSpec, TypeVar

from lake.clock import now_micros
from lake.errors import ClosedError, UsageError
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
        own: its own rows.
        stored: cold rows that were looked up, of ``read_at`` or a later version of the cold table.
        first_read_at: the version of the cold table in which rows were looked up first; -2 before that.
    """

    __slots__ = ("current", "first_read_at", "own", "read_at", "stored", "table")

    def __init__(self, table: ColdTable, current: Mapping[Key, Version]) -> None:
        self.table = table
        self.current = current
        self.own: dict[Key, Row] = {}
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

    def __init__(self, current: Callable[[], CurrentRows], basis: Basis) -> None:
        self.ended = False
        self.whole = False  # whether its block ended well, so that it is landing or has landed
        self.entries: list[Entry] = []
        self.changes: list[Change] = []  # those of its operations that were made on top of a version
        self.checks: list[Callable[[], None]] = []  # made at its end, before it lands; each may raise
        self._current = current
        self._basis = basis
        self._operations: list[Entry | Change] = []
        self._parts: dict[str, _Part] = {}

    def check(self) -> None:
        """Make its checks."""
        for check in self.checks:
            check()

    def get(self, ds: Dataset, key: Key) -> Row | None:
        """The latest row of that key as the transaction sees it, None when it is not known."""
        part = self._part(ds)
        found = part.own.get(key)
        if found is not None:
            return found
        outside = part.current.get(key)
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
            self._part(ds).own.update((key_of(ds, row), row) for row in entry.rows)

    def change(
        self, ds: Dataset, key: Key, fold: Fold, look: Callable[[Dataset], object] | None = None
    ) -> tuple[Row | None, Row | None]:
        """Keep a change for the end; the version before it and the one it makes, None when it makes none.

        Where there is a version, ``look`` is asked first to take in what others did to the dataset; None: it was.
        """
        part = self._parts.get(ds.name) or self._part(ds)
        own, outside = part.own.get(key), part.current.get(key)
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
            part.own[key] = row
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
        self.entries, self.changes, self._operations = [], [], []
        for part in self._parts.values():
            part.own = {}
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


class Block:
    """A ``with`` block whose writes are one transaction; inside another one's they are a part of that.

    It gives the transaction, or None inside another one: then what it wrote is forgotten when it raises, also when the
    outer one goes on. It is entered once; a function that it decorates has one of its own at each call.

    Args:
        transactions: of the lake.
        land: is given the transaction when the block has ended well.
    """

    __slots__ = ("_is_used", "_land", "_made", "_outer", "_savepoint", "_token", "_transactions")

    def __init__(self, transactions: Transactions, land: Callable[[Transaction], object] | None = None) -> None:
        self._transactions = transactions
        self._land = land
        self._made: Transaction | None = None
        self._is_used = False

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """The function, each call of which is one transaction."""

        @wraps(function)
        def inside(*args: P.args, **kwargs: P.kwargs) -> R:
            with Block(self._transactions, self._land):
                return function(*args, **kwargs)

        return inside

    def __enter__(self) -> Transaction | None:
        if self._is_used:
            raise UsageError("a transaction is entered once", todo="Call transaction() for each block.")
        self._is_used = True
        self._outer = self._transactions.open()
        if self._outer is not None:
            self._savepoint = self._outer.savepoint()
        else:
            self._made, self._token = self._transactions.begin()
        return self._made

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        made = self._made
        if made is None:
            if kind is not None and self._outer is not None:
                self._outer.back_to(self._savepoint)
            return
        made.whole, made.ended = kind is None, True
        self._transactions.end(self._token)
        if made.whole and self._land is not None and made.entries:
            self._land(made)


class Landing:
    """What is done at a transaction's end: when that raises, it is not whole; nothing refers to it afterwards."""

    __slots__ = ("_made",)

    def __init__(self, made: Transaction) -> None:
        self._made = made

    def __enter__(self) -> None:
        """It begins."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._made.whole = kind is None
        self._made.checks.clear()


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

    def begin(self) -> tuple[Transaction, Token[Transaction | None]]:
        """A new one, which the caller is in from now on, and what :meth:`end` is to be given."""
        made = Transaction(self._current, self._basis)
        return made, self._open.set(made)

    def end(self, token: Token[Transaction | None]) -> None:
        """The caller is in it no more."""
        self._open.reset(token)
