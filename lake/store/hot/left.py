"""Hot logs of other host names in this host's folder: of a machine or container that was renamed, or lives elsewhere.

Nobody here reads them: only SQLite on the host that writes a log may. What is looked at is how much waits in them.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from lake.errors import CorruptLakeError
from lake.store.hot.claim import host_of, is_held
from lake.store.hot.spool import Spool


@dataclass(frozen=True, slots=True)
class Left:
    """One such log.

    Attributes:
        writer: whose it is.
        waiting: entries that are not settled; None where the file cannot be read.
        oldest: number of the oldest of them, the microsecond at which it was written; None when none waits.
        held: whether a live process writes it.
    """

    writer: str
    waiting: int | None
    oldest: int | None
    held: bool

    @property
    def is_lost(self) -> bool:
        """Whether rows of it are seen nowhere until somebody takes it over."""
        return not self.held and self.waiting != 0

    def told(self) -> str:
        """One sentence on what it is and what to do."""
        name = host_of(self.writer)
        if self.held:
            return f"a live process of host {name} writes it: its rows are seen here when they have settled"
        if self.waiting == 0:
            return f"host {name} left nothing in it that has not settled"
        count = "an unknown number of" if self.waiting is None else str(self.waiting)
        return (
            f"{count} acknowledged writes of host {name} are not seen here; if that is an earlier name of this machine,"
            f" or it is gone, take them over: `lake drain --host {name}`, and give containers a fixed host name"
        )


def look(folder: Path, writer: str) -> Left:
    """What is left in the hot log of a writer of another host; it is only read."""
    held = is_held(folder, writer)
    try:
        numbers = _numbers(folder / f"{writer}.db")
        numbers += [s.sequence for s in Spool(folder / f"{writer}.spool.jsonl").read()]
    except (sqlite3.Error, CorruptLakeError):
        return Left(writer, None, None, held)
    return Left(writer, len(set(numbers)), min(numbers, default=None), held)


def _numbers(path: Path) -> list[int]:
    if not path.exists() or not path.stat().st_size:
        return []
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
        return [number for (number,) in connection.execute("SELECT seq FROM log")]
