"""New rows that tasks write in one turn of an event loop, landed by one step instead of one each.

Most of the time that a task's record takes went into its place in the log: locks, a batch, callbacks. Tasks that write
at the same time share them and one entry of each dataset, so that 200 tasks write twice as many records a second.
Nobody waits longer for it than until the turn of the loop ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from lake.ledgers.current import CurrentRows, Key, Promise
from lake.spec.dataset import Dataset
from lake.store.hot.entry import Entry, Row
from lake.store.hot.log import HotLog
from lake.store.settler import Settler

Landing = asyncio.Future[bool]


class Together:
    """Gathers the new rows of each event loop's turn, and lands them.

    Args:
        log: the hot log.
        current: what is known of its rows.
        settler: is told how many have landed.
    """

    def __init__(self, log: HotLog, current: CurrentRows, settler: Settler) -> None:
        self._log, self._current, self._settler = log, current, settler
        self._gathered: dict[asyncio.AbstractEventLoop, list[tuple[str, Key, Row, Landing]]] = {}

    def land(self, ds: Dataset, key: Key, row: Row) -> Landing:
        """Land a row of which there is no version; to be awaited.

        It gives True when the row is durable, and False when somebody else has made a first version of it meanwhile:
        then it was not written. It raises HotLogError when the row could not be made durable.
        """
        loop = asyncio.get_running_loop()
        landing: Landing = loop.create_future()
        gathered = self._gathered.get(loop)
        if gathered is None:
            gathered = self._gathered[loop] = []
            loop.call_soon(self._submit, loop)
        gathered.append((ds.name, key, row, landing))
        return landing

    def _submit(self, loop: asyncio.AbstractEventLoop) -> None:
        gathered = self._gathered.pop(loop)
        landings = [landing for *_, landing in gathered]
        made: list[Promise] = []
        try:
            with self._current.order:
                promises = self._current.promise_first(gathered)
                late = [landing for landing, promise in zip(landings, promises, strict=True) if promise is None]
                made = [promise for promise in promises if promise is not None]
                then = partial(self._current.committed, made, self._settler.wrote)
                batch = self._log.submit_async(_entries(made), then) if made else None
        except BaseException as error:
            self._current.withdraw(made)
            _fail(landings, error)
            raise
        _tell(late, is_durable=False)
        if batch is not None:
            kept = [landing for landing in landings if landing not in late] if late else landings
            batch.future.add_done_callback(partial(_tell_all, kept))


def _tell_all(landings: Sequence[Landing], done: asyncio.Future[list[int]]) -> None:
    error = done.exception()
    if error is None:
        _tell(landings, is_durable=True)
    else:
        _fail(landings, error)


def _entries(made: Sequence[Promise]) -> list[Entry]:
    """The rows of each dataset as one entry, in the order in which :meth:`CurrentRows.promise_first` numbers them."""
    rows: dict[str, list[Row]] = {}
    for _, dataset, _, version in made:
        rows.setdefault(dataset, []).append(version.row)
    return [Entry(dataset, together) for dataset, together in rows.items()]


def _tell(landings: Sequence[Landing], *, is_durable: bool) -> None:
    for landing in landings:
        if not landing.done():  # else its task was cancelled
            landing.set_result(is_durable)


def _fail(landings: Sequence[Landing], error: BaseException) -> None:
    for landing in landings:
        if not landing.done():
            landing.set_exception(error)
