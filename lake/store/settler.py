"""A quiet thread that drains a writer's hot log when it has grown or aged, so that nobody has to remember to."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Thread

from lake.errors import LakeError

_log = logging.getLogger("lake.drain")


class Settler:
    """Calls ``drain`` every ``seconds``, and at once when ``rows`` were written since the last time."""

    def __init__(self, drain: Callable[[], object], *, seconds: float, rows: int) -> None:
        self._drain = drain
        self._seconds = seconds
        self._rows = rows
        self._written = 0
        self._due = Event()
        self._stopped = False
        self._thread = Thread(target=self._run, name="lake-drain", daemon=True)
        self._thread.start()

    def wrote(self, rows: int) -> None:
        """Count rows that went to hot."""
        self._written += rows
        if self._written >= self._rows:
            self._due.set()

    def stop(self) -> None:
        """End the thread, after the drain that it may be in."""
        self._stopped = True
        self._due.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._due.wait(self._seconds)
            self._due.clear()
            if self._stopped:
                return
            if not self._written:
                continue
            self._written = 0
            try:
                self._drain()
            except LakeError as error:  # the rows are safe in hot; the next round tries again
                _log.warning("the drain failed and will be tried again: %s", error)
                self._written += 1
