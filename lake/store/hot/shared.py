"""One hot log per writer id and process, however often a lake is opened in it.

A second claim would fail, and two SQLite connections that both write would wait for each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from lake.errors import LakeError
from lake.store import forks
from lake.store.hot.claim import claim, writer_id
from lake.store.hot.log import HotLog
from lake.store.location.local_errors import storage_errors


@dataclass
class _Open:
    log: HotLog
    users: int


_lock = Lock()
_open: dict[Path, _Open] = {}


class _Inherited:
    """The logs that a forked child finds open: they are its parent's, and so is the right to write them."""

    def __init__(self) -> None:
        self._kept: list[_Open] = []  # closing them would end what the parent has open

    def forsake(self) -> None:
        global _lock  # noqa: PLW0603 - a thread of the parent may have held it
        _lock = Lock()
        self._kept += _open.values()
        _open.clear()


_inherited = _Inherited()
forks.watch(_inherited)


def acquire(folder: Path, bot_id: str, *, durability: str, busy_timeout_ms: int) -> tuple[HotLog, bool]:
    """The hot log of ``bot_id``, and whether its file was made just now; give it back with :func:`release`.

    Without a bot id each call gets a log of its own.

    Raises:
        WriterBusyError: another live process writes under this bot id.
        StorageError: nothing can be written in the folder.
    """
    with _lock:
        known = _open.get(folder / writer_id(bot_id)) if bot_id else None
        if known is not None:
            known.users += 1
            if durability == "full":
                known.log.strengthen()
            return known.log, False
        with storage_errors(str(folder), ""):
            held = claim(folder, bot_id)
            is_new = not (folder / f"{held.writer}.db").exists()
            try:
                log = HotLog(held, durability=durability, busy_timeout_ms=busy_timeout_ms)
            except (LakeError, OSError):
                held.release()
                raise
        _open[folder / held.writer] = _Open(log, 1)
        return log, is_new


def release(log: HotLog) -> None:
    """Close the log when its last user gives it back."""
    with _lock:
        path = log.claim.folder / log.writer
        _open[path].users -= 1
        if not _open[path].users:
            del _open[path]
            log.close()
