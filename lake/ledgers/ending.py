"""The end of a transaction: what others did meanwhile is taken in, and then all of it lands, or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext

from lake.ledgers.blocks import Landing
from lake.ledgers.hot import Hot
from lake.ledgers.transaction import Transaction
from lake.store.store import Store


class Ending:
    """Ends the transactions of one lake.

    Args:
        store: of the lake.
        hot: opens its hot log.
        look: takes in what others wrote of datasets.
    """

    def __init__(self, store: Store, hot: Callable[[], Hot], look: Callable[..., object]) -> None:
        self._store, self._hot, self._look = store, hot, look

    def land(self, made: Transaction) -> None:
        """Land it.

        Raises:
            HotLogError: it could not be made durable; nothing was accepted.
            ClosedError: the lake was closed.
        """
        hot = self._hot()
        if made.are_new():
            self._store.must_be_open()
            is_done = False
            try:  # a block of its own would take a hundredth of the transaction
                hot.land_new(made.entries, made.own)
                is_done = True
            finally:
                made.whole = is_done
            return
        with Landing(made), hot.log.turn.held() if made.changes or made.checks else nullcontext():
            if not self._landed_first(hot, made):
                self._look_at(made)
                hot.land(made.settled_entries)

    def _landed_first(self, hot: Hot, made: Transaction) -> bool:
        """Whether all of its rows were new, and have landed without a look at what others wrote of their datasets."""
        if not (self._store.logs.is_alone(hot.log.writer) and made.are_still_new()):
            return False
        self._store.must_be_open()
        return hot.land_first(made.entries, made.own, made.is_known)

    async def land_async(self, made: Transaction) -> None:
        """:meth:`land` for asyncio: waits for the disk without blocking the loop."""
        hot = self._hot()
        with Landing(made):
            async with hot.log.turn.held_async() if made.changes or made.checks else nullcontext():
                if made.checks or made.gone() or not hot.latest.is_quiet(made.datasets()):
                    await asyncio.get_running_loop().run_in_executor(hot.aside, self._look_at, made)
                else:
                    self._look_at(made)
                await hot.land_async(made.settled_entries)

    def _look_at(self, made: Transaction) -> None:
        """Take in what others wrote of the datasets in which it changes rows."""
        if made.changes:
            self._look(*made.datasets())
            made.renew()
        else:
            self._store.must_be_open()
        made.check()
