"""Turns: of all processes on a host, one at a time changes rows of a lake.

A change looks at the newest version of a row, makes the next one of it, and makes that durable. Who has the turn while
doing so sees what all others did before, and no one else comes in between; so no change is lost. The turn is a lock on
a file: it ends with its process, however that ends. New rows need no turn.

Who waits for the turn says so by a shared lock on a second file; while nobody does, the threads and tasks of one
process may follow each other in it for as long as they like.

One thread may also have it without the others of its process, to write what was compared with many rows.
"""

from __future__ import annotations

import asyncio
import fcntl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, RLock, local
from types import TracebackType

from lake.store import forks

_LONGEST_SECONDS = 0.02  # where others wait, threads that follow each other hand the turn on after so long
_PATIENCE_SECONDS = 0.2  # who has waited so long for the others of its process joins them: they may wait for its thread
_LONGEST_ALONE_SECONDS = 5.0  # and who wants it without them gives up then: they may wait for its loop


@dataclass(slots=True)
class _Waiter:
    """A task for which a thread waits for the turn, and which may be cancelled meanwhile: the second gives it back."""

    has_turn: bool = False
    is_gone: bool = False


class _Own(local):
    """Whether the thread that asks has the turn, and how often it has entered without leaving."""

    has = False
    entered = 0


class Held:
    """The turn, had inside a ``with`` block by one thread; it gives whether that has it alone."""

    __slots__ = ("_enter", "_is_inside", "_outer", "_turn")

    def __init__(self, turn: Turn, enter: Callable[[], None]) -> None:
        self._turn, self._enter = turn, enter
        self._is_inside = False

    def __enter__(self) -> bool:
        own = self._turn.own
        before = own.entered
        try:
            self._enter()
            self._outer, own.has = own.has, True
            self._is_inside = True
        except BaseException:  # Ctrl-C
            self._turn.back_to(before)
            raise
        return self._turn.is_alone

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        own = self._turn.own
        before = own.entered - 1
        own.has, self._is_inside = self._outer, False
        try:
            self._turn.leave()
        except BaseException:  # as above
            self._turn.back_to(before)
            raise

    def __del__(self) -> None:
        """Ctrl-C may keep the block from being left."""
        if getattr(self, "_is_inside", False):
            self.__exit__(None, None, None)


class Turn:
    """This process's share in the turns of the lake whose hot logs are in ``folder``; threads and tasks share it."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "changes.lock").open("ab")
        self._waiting = (folder / "changes.waiting.lock").open("ab")
        forks.keep_lock(self._file)
        forks.keep_lock(self._waiting)
        self._mutex = RLock()
        self._state = Condition(self._mutex)
        self._waiters = 0  # threads that wait for the state to change
        self._inside = 0
        self._asking = False
        self.is_alone = False  # whether one thread has it without the others
        self._wanting_alone = 0
        self._since = 0.0
        self._loops: Counter[asyncio.AbstractEventLoop] = Counter()  # whose tasks have the turn, or wait for it
        self.own = _Own()

    def held(self) -> Held:
        """Have the turn inside the block; waits for other processes. A thread that has it may take it again."""
        return Held(self, self._enter)

    def alone(self) -> Held:
        """:meth:`held` without the other threads and tasks of this process; whether that could be had.

        Who has the turn alone waits for no other thread that might want it. False after five seconds in which others
        kept it, for a thread whose loop has tasks that keep it, since these wait for the loop, and for one that has it
        together with others: then it has the turn as they do.
        """
        return Held(self, self._enter_alone)

    def is_own(self) -> bool:
        """Whether the calling thread has the turn."""
        return self.own.has

    @asynccontextmanager
    async def held_async(self) -> AsyncIterator[None]:
        """:meth:`held` for asyncio: waits in a thread, if at all."""
        loop = asyncio.get_running_loop()
        self._loops[loop] += 1  # who waits may get it at any time
        try:
            if not self._try_enter():
                await self._entered()
            try:
                yield
            finally:
                self.leave()
        finally:
            self._loops[loop] -= 1
            if not self._loops[loop]:
                del self._loops[loop]

    async def _entered(self) -> None:
        waiter = _Waiter()
        try:
            await asyncio.to_thread(self._enter_for, waiter)
        except (asyncio.CancelledError, GeneratorExit):  # the thread still gets the turn, maybe when the loop has ended
            with self._mutex:
                waiter.is_gone = True
                if waiter.has_turn:
                    self.leave()
            raise

    def _enter_for(self, waiter: _Waiter) -> None:
        self._enter()
        with self._mutex:
            waiter.has_turn = True
            if waiter.is_gone:
                self.leave()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
        self._waiting.close()

    def _try_enter(self) -> bool:
        with self._mutex:
            if self._inside:
                joins = self._may_join()
                self._inside += joins
                self.own.entered += joins
                return joins
            if self._asking or self._wanting_alone:
                return False
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            self._begin()
            return True

    def _is_taken(self) -> bool:
        return bool(self._inside or self._asking or self._wanting_alone)

    def _enter(self) -> None:
        if self._try_enter():
            return
        with self._mutex:
            self._waited_while(lambda: self._is_taken() and not self._may_join(), _PATIENCE_SECONDS)
            if self._inside:
                self._inside += 1
                self.own.entered += 1
                return
            self._asking = True
        self._ask()

    def _enter_alone(self) -> None:
        if self.is_bound():
            self._enter()
            return
        with self._mutex:
            self._wanting_alone += 1
            try:
                is_free = self._waited_while(lambda: self._inside or self._asking, _LONGEST_ALONE_SECONDS)
                self._asking = is_free
            finally:
                self._wanting_alone -= 1
                self._state.notify_all()
        if is_free:
            self._ask(is_alone=True)
        else:
            self._enter()

    def is_bound(self) -> bool:
        """Whether the turn cannot end before the calling thread goes on: it or a task of its loop has it, or will."""
        try:
            return self.is_own() or asyncio.get_running_loop() in self._loops
        except RuntimeError:  # the thread runs no loop
            return False

    def _waited_while(self, is_so: Callable[[], object], patience: float) -> bool:
        """Wait while something is so; False when others of this process shared the turn for longer than one waits."""
        while is_so():
            is_shared = bool(self._inside) and not self.is_alone
            if is_shared and patience <= 0:
                return False
            began = time.monotonic()
            self._waiters += 1
            try:
                self._state.wait(patience if is_shared else None)
            finally:
                self._waiters -= 1
            patience -= time.monotonic() - began if is_shared else 0.0
        return True

    def _ask(self, *, is_alone: bool = False) -> None:
        """Wait for other processes; nobody else of this one does so."""
        try:
            self._wait_for_others()
        except BaseException:
            with self._mutex:
                self._asking = False
                self._state.notify_all()
            raise
        with self._mutex:
            self._asking, self.is_alone = False, is_alone
            self._begin()

    def _wait_for_others(self) -> None:
        fcntl.flock(self._waiting, fcntl.LOCK_SH)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
        finally:
            fcntl.flock(self._waiting, fcntl.LOCK_UN)

    def _may_join(self) -> bool:
        if not self._inside:
            return False
        if self.is_own():
            return True
        if self.is_alone or self._wanting_alone:
            return False
        now = time.monotonic()
        if now - self._since >= _LONGEST_SECONDS and self._is_unwanted():
            self._since = now
        return now - self._since < _LONGEST_SECONDS

    def _is_unwanted(self) -> bool:
        """Whether no other process waits for the turn."""
        try:
            fcntl.flock(self._waiting, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        fcntl.flock(self._waiting, fcntl.LOCK_UN)
        return True

    def _begin(self) -> None:
        self._inside, self._since = 1, time.monotonic()
        self.own.entered += 1
        if self._waiters:
            self._state.notify_all()

    def back_to(self, entered: int) -> None:
        """The calling thread was broken off while it entered or left: it has entered so often, and not again."""
        while self.own.entered > entered:
            self.leave()
        with self._mutex:
            if not (self._inside or self._asking):
                fcntl.flock(self._file, fcntl.LOCK_UN)
                self._state.notify_all()

    def leave(self) -> None:
        """One who has entered has the turn no more."""
        with self._mutex:
            self._inside -= 1
            self.own.entered -= 1
            if not self._inside:
                self.is_alone = False
                fcntl.flock(self._file, fcntl.LOCK_UN)
                if self._waiters:
                    self._state.notify_all()
