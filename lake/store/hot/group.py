"""Group commit: one fsync serves every thread and task that waits for it.

The first to come commits for all who came while the last commit ran; a lone writer pays for no hand-over, and waits
for nobody. Who leads others gives those who were just served the time to come again, half a commit at most: else the
threads of a bot fall into two halves that wait for each other's syncs (where a sync takes 1.3 ms, 16 threads make 9
times the records of one, and made 7 times as many).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Lock, get_ident
from time import perf_counter

from lake.store.hot.entry import Entry, encoded

Then = Callable[["Batch"], None]
Check = Callable[[], bool]
_LONGEST_SECONDS = 0.001  # nobody is waited for longer, however slow the disk


class UnfoundedError(Exception):
    """What the entries were made on top of was refused by the disk: they are to be made again."""


class Batch:
    """Entries of one write, and what became of them; who writes them encodes them, while the disk works for others.

    ``then`` is called with the batch when that is known, by whoever committed it: who wrote it may have been cancelled.
    ``is_unfounded`` is asked when all batches before it are through; its entries are left out if so.
    """

    __slots__ = ("abandoned", "encoded", "error", "gate", "is_unfounded", "led", "sequences", "then", "thread")

    def __init__(self, entries: Sequence[Entry], then: Then | None = None, is_unfounded: Check | None = None) -> None:
        self.is_unfounded = is_unfounded
        self.encoded = encoded(entries)
        self.then = then
        self.sequences: list[int] = []
        self.error: BaseException | None = None
        self.gate: Lock | None = None
        self.thread = get_ident()
        self.led = False
        self.abandoned = False

    def stands(self, is_unfounded: Check) -> bool:
        """Whether it is to be committed; if not, whoever made it is told, before the next one is asked."""
        if not is_unfounded():
            return True
        self.error = UnfoundedError()
        if self.then is not None:
            self.then(self)
        return False

    def wake(self) -> None:
        """Let the waiting thread go on; that may be said again."""
        if self.gate is not None and self.gate.locked():
            self.gate.release()

    def result(self) -> list[int]:
        """The sequence numbers, or the error that kept the entries out."""
        if self.error is not None:
            raise self.error
        return self.sequences


class AsyncBatch(Batch):
    """A batch that an asyncio task waits for."""

    __slots__ = ("future", "loop")

    def __init__(
        self,
        entries: Sequence[Entry],
        loop: asyncio.AbstractEventLoop,
        then: Then | None = None,
        is_unfounded: Check | None = None,
    ) -> None:
        super().__init__(entries, then, is_unfounded)
        self.loop = loop
        self.future: asyncio.Future[list[int]] = loop.create_future()

    def resolve(self) -> None:
        """Wake the task; runs on its loop."""
        if self.future.done():  # its task was cancelled, and its entries are durable all the same; or this was done
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.sequences)


class _HandOver:
    """The end of a group: who waited for it goes on, and somebody else leads; another thread can see it through."""

    __slots__ = ("by_helper", "group", "has_led", "is_settled", "seconds", "successor")

    def __init__(self) -> None:
        self.group: list[Batch] = []
        self.seconds = 0.0  # that it took
        self.successor: Batch | None = None
        self.by_helper = self.is_settled = self.has_led = False


class GroupCommit:
    """Hands groups of batches to ``commit``, one group at a time, in the order they came."""

    def __init__(self, commit: Callable[[Sequence[Batch]], None]) -> None:
        self._commit = commit
        self._mutex = Lock()
        self._waiting: list[Batch] = []
        self._leading = False
        self._leader = 0  # the thread that does, or will; 0 for the helper
        self._expected = 1
        self._patience = 0.0
        self._complete: Lock | None = None
        self._pool: ThreadPoolExecutor | None = None

    def run(self, entries: Sequence[Entry]) -> list[int]:
        """Commit from a thread; returns when the entries are durable."""
        return self.wait(self.submit(entries))

    def submit(self, entries: Sequence[Entry], then: Then | None = None, is_unfounded: Check | None = None) -> Batch:
        """Take a place in the queue, without waiting; :meth:`wait` must follow, in the same thread."""
        batch = Batch(entries, then, is_unfounded)
        try:
            self._place(batch)
        except BaseException:  # Ctrl-C: nobody will wait for it
            self._displace(batch)
            raise
        return batch

    def _place(self, batch: Batch) -> None:
        with self._mutex:
            if self._leading:
                batch.gate = Lock()
                batch.gate.acquire()
            # nothing is called in the next lines: Ctrl-C, which comes between calls, finds all of it done or nothing
            self._waiting += [batch]
            if batch.gate is None:
                self._leader = batch.thread
                batch.led = self._leading = True
            self._look_if_complete()

    def _displace(self, batch: Batch) -> None:
        """Take a batch out of the queue again, unless another thread has taken it from there to commit it."""
        with self._mutex:
            batch.abandoned = True
            if batch not in self._waiting:
                return
            self._waiting.remove(batch)
            if batch.led:
                self._leader, self._leading = 0, bool(self._waiting)
        if batch.led and self._leading:
            self._executor().submit(self._lead)

    def lead_alone(self) -> bool:
        """Lead without a batch, where nobody else is there or expected; :meth:`end_alone` must follow."""
        with self._mutex:
            if self._leading or self._expected > 1:
                return False
            self._leader = get_ident()
            self._leading = True
        return True

    def end_alone(self, began: float) -> None:
        """Let those lead who came since the commit began, by ``perf_counter``."""
        with self._mutex:
            if not self._waiting:
                self._leading, self._leader = False, 0
                return
        handing = _HandOver()
        handing.seconds = perf_counter() - began
        self._see_through(handing)

    def desert(self) -> None:
        """The calling thread was broken off, by Ctrl-C: if it leads, wherever that reached it, the helper does."""
        with self._mutex:
            if self._leader != get_ident():
                return
            self._leader = 0
            self._leading = bool(self._waiting)
        if self._leading:
            self._executor().submit(self._lead)

    def _look_if_complete(self) -> None:
        if self._complete is not None and len(self._waiting) >= self._expected:
            self._complete.release()
            self._complete = None

    def wait(self, batch: Batch) -> list[int]:
        """The sequence numbers of a submitted batch, when its entries are durable."""
        if batch.led or self._wait(batch):
            self._lead()
        return batch.result()

    def _wait(self, batch: Batch) -> bool:
        """Wait for the batch to be committed, or to be asked to lead; True for the latter."""
        gate = batch.gate
        if gate is None:
            return True
        woken = False
        try:
            woken = gate.acquire()
        finally:
            if not woken:  # Ctrl-C while waiting: the others must still have a leader
                self._abandon(batch)
        return batch.led

    def _abandon(self, batch: Batch) -> None:
        with self._mutex:
            leads, batch.abandoned = batch.led, True
            if leads:
                self._leader = 0
        if leads:
            self._executor().submit(self._lead)

    def submit_async(
        self, entries: Sequence[Entry], then: Then | None = None, is_unfounded: Check | None = None
    ) -> AsyncBatch:
        """:meth:`submit` from a task; its ``future`` gives the sequence numbers."""
        batch = AsyncBatch(entries, asyncio.get_running_loop(), then, is_unfounded)
        with self._mutex:
            self._waiting += [batch]
            follows, self._leading = self._leading, True
            self._look_if_complete()
        if not follows:
            self._executor().submit(self._lead)
        return batch

    def close(self) -> None:
        """End the helper thread of asyncio commits."""
        if self._pool is not None:
            self._pool.shutdown()

    def _executor(self) -> ThreadPoolExecutor:
        with self._mutex:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, thread_name_prefix="lake-commit")
            return self._pool

    def _lead(self) -> None:
        try:
            self._gather()
        except BaseException:  # Ctrl-C: the others must still have a leader
            self._leader = 0
            self._executor().submit(self._commit_waiting)
            raise
        self._commit_waiting()

    def _gather(self) -> None:
        """Wait a little for as many as were there last."""
        with self._mutex:
            if len(self._waiting) >= self._expected:
                return
            complete = self._complete = Lock()
            complete.acquire()
        complete.acquire(timeout=self._patience)
        with self._mutex:
            self._complete = None

    def _commit_waiting(self) -> None:
        handing, began = _HandOver(), perf_counter()
        try:
            with self._mutex:  # Ctrl-C may come as soon as it is let go of: those who wait must learn of that too
                handing.group, self._waiting = self._waiting, handing.group
            group = handing.group
            sound = [batch for batch in group if batch.is_unfounded is None or batch.stands(batch.is_unfounded)]
            if sound:
                self._commit(sound)
        except BaseException as error:
            if not handing.group:
                raise
            for batch in handing.group:
                batch.error = error
        try:
            handing.seconds = perf_counter() - began
            _tell(handing.group)
            self._see_through(handing)
        except BaseException:  # Ctrl-C: they must go on all the same, and what became of each batch be known
            self._leader = 0
            self._executor().submit(self._see_through, handing)
            _tell(handing.group)
            raise

    def _see_through(self, handing: _HandOver) -> None:
        """Wake who waited for a group, and who leads next; that may be done again."""
        if not handing.is_settled:
            self._settle(handing)
        group, successor = handing.group, handing.successor
        if len(group) > 1 or (group and not group[0].led):  # else nobody waits but who leads
            _wake(group)
        if handing.by_helper:
            self._executor().submit(self._lead_once, handing)
        elif successor is not None:
            successor.wake()

    def _settle(self, handing: _HandOver) -> None:
        """Who leads next."""
        with self._mutex:
            expected = (len(handing.group) or 1) + len(self._waiting)
            patience = min(handing.seconds / 2, _LONGEST_SECONDS)
            successor = self._waiting[0] if self._waiting else None
            by_helper = isinstance(successor, AsyncBatch) or (successor is not None and successor.abandoned)
            # nothing is called from here on: Ctrl-C, which comes between calls, finds all of it done or nothing
            self._expected, self._patience = expected, patience
            self._leading, self._leader = successor is not None, 0
            if successor is not None and not by_helper:
                self._leader, successor.led = successor.thread, True
            handing.successor, handing.by_helper, handing.is_settled = successor, by_helper, True

    def _lead_once(self, handing: _HandOver) -> None:
        """Lead in the helper thread, which does one thing after the other, however often it was asked to."""
        if not handing.has_led:
            handing.has_led = True
            self._lead()


def _tell(group: Sequence[Batch]) -> None:
    """Say what became of batches; that may be said again."""
    for batch in group:
        if batch.then is not None:
            batch.then(batch)


def _wake(group: Sequence[Batch]) -> None:
    """Let all who wait for a group go on; the tasks of a loop are told together."""
    loops: dict[asyncio.AbstractEventLoop, list[AsyncBatch]] = {}
    for batch in group:
        if isinstance(batch, AsyncBatch):
            loops.setdefault(batch.loop, []).append(batch)
        else:
            batch.wake()
    for loop, batches in loops.items():
        with suppress(RuntimeError):  # the loop was closed, and its tasks with it
            loop.call_soon_threadsafe(_resolve_all, batches)


def _resolve_all(batches: Sequence[AsyncBatch]) -> None:
    for batch in batches:
        batch.resolve()
