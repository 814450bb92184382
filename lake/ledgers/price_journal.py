"""The journal of prices that gave phantoms another best or worst price: one for each writer, beside its hot log."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from lake.errors import CorruptLakeError, HotLogError
from lake.kernels.phantom import Bar
from lake.store.hot.spool import Spool

_ENDING = ".phantoms.jsonl"
_HEAD = 19  # bytes: the number of the first line, by which a journal that began anew is told from the one before


class Note(NamedTuple):
    """Bars that passed, and by which phantoms.

    Attributes:
        at: when its phantoms were looked at, in microseconds: above all earlier notes, and above the numbers of just
            those rows of which it knew.
        bot: only phantoms of this bot; of all when empty.
        venue: only phantoms of this venue; of all when None.
        bars: symbol -> its bar.
        late: phantoms that were recorded after bars that began after their signal -> when the last of these was noted:
            none up to then passed them, and all since, whatever their rows tell.
    """

    at: int
    bot: str
    venue: str | None
    bars: Mapping[str, Bar]
    late: Mapping[str, int] = {}


def journalled(folder: Path) -> list[str]:
    """The writers that have a journal there, of this host or one that it was."""
    return sorted(path.name.removesuffix(_ENDING) for path in folder.glob(f"*{_ENDING}"))


class PriceJournal:
    """The notes of one writer; read as they come, also by other processes."""

    def __init__(self, folder: Path, writer: str) -> None:
        self._spool = Spool(folder / f"{writer}{_ENDING}")
        self._stamp: tuple[int, int] | None = None
        self._head = b""
        self._read = 0
        self.noted = 0  # bytes that it has grown by, or was found with, since it began

    def add(self, note: Note) -> None:
        """Add a note; it is durable when it returns.

        Raises:
            HotLogError: it cannot be written.
        """
        found = {symbol: tuple(bar) for symbol, bar in note.bars.items()}
        late = {"late": note.late} if note.late else {}
        payload = orjson.dumps({"bot": note.bot, "venue": note.venue, "bars": found, **late})
        try:
            self._spool.append([(note.at, "phantoms", payload)])
        except OSError as error:
            raise HotLogError(
                f"the journal of prices cannot be written: {error.strerror or error}",
                where=str(self._spool.path),
                todo="The prices were not accepted: free disk space or fix the folder, then give them again.",
            ) from error
        self.noted += len(payload)

    def fresh(self) -> list[Note]:
        """The notes since it was last read; all of them when it began anew meanwhile.

        Raises:
            CorruptLakeError: a line is damaged.
        """
        try:
            status = os.stat(self._spool.path)  # noqa: PTH116 - each look asks, and a Path takes longer
        except FileNotFoundError:
            self._stamp, self._head, self._read = None, b"", 0
            return []
        stamp = (status.st_mtime_ns, status.st_size)
        if stamp == self._stamp:
            return []
        head, start, raw = self._rest()
        notes = [note for line in raw.splitlines() for note in self._notes(line)]
        self._stamp = stamp
        if raw:
            self._head, self._read = head, start + len(raw)
            self.noted += len(raw)
        return notes

    def _rest(self) -> tuple[bytes, int, bytes]:
        """How it begins, and from where on the whole lines that were not read yet: a cut off one was not written."""
        with self._spool.path.open("rb") as file:
            head = file.read(_HEAD)
            start = self._read if head == self._head else 0
            file.seek(start)
            raw = file.read()
        return head, start, raw[: raw.rfind(b"\n") + 1]

    def _notes(self, line: bytes) -> list[Note]:
        try:
            found: list[tuple[int, str, dict[str, Any]]] = orjson.loads(line)
            return [
                Note(
                    at,
                    note["bot"],
                    note["venue"],
                    {symbol: Bar(*bar) for symbol, bar in note["bars"].items()},
                    note.get("late", {}),
                )
                for at, _, note in found
            ]
        except (ValueError, TypeError, KeyError, AttributeError):
            raise CorruptLakeError(
                "a line of the journal of prices is damaged",
                where=str(self._spool.path),
                value=line[:60],
                todo="Move the line to another file to go on without it.",
            ) from None

    def begin_anew(self) -> None:
        """Forget the notes: what they say is in the rows."""
        if self._spool.exists():
            self._spool.remove()
        self.noted = 0
