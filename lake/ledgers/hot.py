"""This process's hot log with what is known of its rows: entries take their place in it, then wait for the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from weakref import WeakKeyDictionary

from lake.errors import LakeError
from lake.ledgers.current import CurrentRows, Promise, Rows, Version
from lake.ledgers.latest import Latest
from lake.ledgers.together import Together
from lake.store.hot.entry import Entry
from lake.store.hot.group import Batch, Check, Then, UnfoundedError
from lake.store.hot.log import HotLog
from lake.store.settler import Settler

Plan = Callable[[], Sequence[Entry]]
B = TypeVar("B", bound=Batch)
Submit = Callable[[Sequence[Entry], Then, Check | None], B]
_known: WeakKeyDictionary[HotLog, CurrentRows] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Hot:
    """The hot log, the rows that are known of it and kept true, the thread that drains it, and what tasks share.

    ``aside`` reads for tasks that have the turn: its threads never wait for the turn, as those of a loop may.
    """

    log: HotLog
    current: CurrentRows
    latest: Latest
    settler: Settler
    together: Together
    aside: ThreadPoolExecutor

    def land(self, plan: Plan) -> None:
        """Make durable what ``plan`` makes of the current rows; nothing comes between it and its place in the log.

        It is made again when a row that it was made of is refused by the disk before.

        Raises:
            HotLogError: it could not be made durable; nothing was accepted.
        """
        try:
            while (batch := self._placed(plan, self.log.submit)) is not None:
                with suppress(UnfoundedError):
                    self.log.wait(batch)
                    return
        except BaseException:
            self.log.desert()
            raise

    def land_new(self, entries: Sequence[Entry], rows: Rows) -> None:
        """:meth:`land` rows of which nobody else can have a version: nothing has to come between."""
        if not self._appended(entries, rows, self.current.note_new):
            self.land(lambda: entries)

    def land_first(self, entries: Sequence[Entry], rows: Rows, is_known: Callable[[], bool]) -> bool:
        """:meth:`land_new` of rows of which no other process has a version; False where another thread has one.

        ``is_known`` tells that, in a moment in which nobody makes one.
        """
        return self._appended(entries, rows, partial(self.current.note_first, is_known=is_known))

    def _appended(self, entries: Sequence[Entry], rows: Rows, note: Callable[[Rows, int], bool]) -> bool:
        try:
            is_done = self.log.append_new(entries, rows, note, self.current.take_back)
        except BaseException:
            self.log.desert()
            raise
        if is_done:
            self.settler.wrote(len(entries))
        return is_done

    async def land_async(self, plan: Plan) -> None:
        """:meth:`land` for asyncio: waits for the disk without blocking the loop.

        A task that is cancelled meanwhile waits for it all the same: its rows land, and its turn must not end before.
        """
        while (batch := self._placed(plan, self.log.submit_async)) is not None:
            try:
                await _seen_through(batch.future)
            except UnfoundedError:
                continue
            return

    def _placed(self, plan: Plan, submit: Submit[B]) -> B | None:
        with self.current.order:
            entries = plan()
            return self._submitted(entries, submit) if entries else None

    def _submitted(self, entries: Sequence[Entry], submit: Submit[B]) -> B:
        promises: list[Promise] = []
        batch: B | None = None
        try:
            self.current.promise(entries, promises)
            before = [version.before for _, _, _, version in promises if version.before is not None]
            if before:
                self._number_above(before)
            then = partial(self.current.committed, promises, self.settler.wrote)
            batch = submit(entries, then, partial(self.current.rest_on_refused, promises) if before else None)
        finally:
            if batch is None:
                self.current.withdraw(promises)
        return batch

    def _number_above(self, before: Sequence[Version]) -> None:
        """Number what takes the place of others' versions above these, by any clock."""
        others = [version.sequence for version in before if version.writer]
        if others:
            self.log.raise_floor(max(others))


async def _seen_through(landing: asyncio.Future[list[int]]) -> None:
    """Wait for rows to land; who is cancelled meanwhile is so afterwards."""
    cancelled: asyncio.CancelledError | None = None
    while not landing.done():
        try:
            await asyncio.shield(landing)
        except asyncio.CancelledError as error:
            cancelled = error
        except (LakeError, UnfoundedError):
            break
    refused = landing.exception()
    if cancelled is not None:
        raise cancelled
    if refused is not None:
        raise refused


def rows_of(log: HotLog) -> CurrentRows:
    """What is known of a log's rows, shared by all who write to it in this process."""
    if log not in _known:
        _known[log] = CurrentRows(log.recall(), log.writer)
    return _known[log]
