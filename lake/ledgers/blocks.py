"""Blocks: ``with`` blocks whose writes are one transaction, and which one the calling thread or task is in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from functools import wraps
from types import TracebackType
from typing import ParamSpec, TypeVar

from lake.errors import ClosedError, UsageError
from lake.ledgers.basis import Basis
from lake.ledgers.current import CurrentRows
from lake.ledgers.transaction import Transaction
from lake.store.store import Store

P = ParamSpec("P")
R = TypeVar("R")


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
            try:
                self._made, self._token = self._transactions.begin()
            except BaseException:  # Ctrl-C: what comes next is in no transaction
                self._transactions.forget()
                raise
        return self._made

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        made = self._made
        if made is None:
            if kind is not None and self._outer is not None:
                self._outer.back_to(self._savepoint)
            return
        try:
            made.whole, made.ended = kind is None, True
            self._transactions.end(self._token)
        except BaseException:  # as above
            self._transactions.forget()
            raise
        if made.whole and self._land is not None and made.entries:
            self._land(made)

    def __del__(self) -> None:
        """Ctrl-C may keep it from being left: then nobody is in it once it is gone."""
        made = getattr(self, "_made", None)
        if made is not None and not made.ended:
            made.ended = True
            self._transactions.forget(made)


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
        store: of the lake.
        current: gives the rows that are current outside of any transaction.
        basis: gives the cold rows.
    """

    def __init__(self, store: Store, current: Callable[[], CurrentRows], basis: Basis) -> None:
        self._store = store
        self._current = current
        self._basis = basis
        self._open: ContextVar[Transaction | None] = ContextVar(f"transaction-{id(self)}", default=None)

    def open(self) -> Transaction | None:
        """The transaction that a write is part of.

        Raises:
            ClosedError: it has ended, and a task or thread that it started writes after it; or the lake was closed.
        """
        transaction = self._open.get()
        if transaction is not None and (transaction.ended or not self._store.is_open):
            self._store.must_be_open()
            raise ClosedError(
                "the transaction has ended",
                where=self._store.location.uri,
                todo="Wait inside its block for the tasks that write in it, or start them outside.",
            )
        return transaction

    def begin(self) -> tuple[Transaction, Token[Transaction | None]]:
        """A new one, which the caller is in from now on, and what :meth:`end` is to be given."""
        made = Transaction(self._current, self._basis)
        return made, self._open.set(made)

    def forget(self, broken: Transaction | None = None) -> None:
        """The caller is in none from now on, or not in that one, whatever became of it."""
        if broken is None or self._open.get() is broken:
            self._open.set(None)

    @contextmanager
    def outside(self) -> Iterator[None]:
        """The caller is in none inside the block."""
        token = self._open.set(None)
        try:
            yield
        finally:
            self._open.reset(token)

    def end(self, token: Token[Transaction | None]) -> None:
        """The caller is in it no more."""
        self._open.reset(token)
