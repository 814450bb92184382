"""Who may write a hot log: one live process per writer id and host, and the others are told who it is."""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from lake.errors import UsageError, WriterBusyError

_SLOTS = 1000


@dataclass(frozen=True)
class Claim:
    """The right to write one hot log, held until ``release`` or the end of the process."""

    writer: str
    folder: Path
    lock: IO[str]

    def release(self) -> None:
        """Let another process have the writer id."""
        self.lock.close()


def host_name() -> str:
    """This host's name, in characters that are safe in a file name."""
    return _safe(socket.gethostname()) or "localhost"


def writer_id(bot_id: str) -> str:
    """The writer id of a bot on this host, stable over restarts.

    Raises:
        UsageError: the bot id has no letter or digit.
    """
    if not _safe(bot_id):
        raise UsageError("a bot id needs letters or digits", value=bot_id)
    return f"{_safe(bot_id)}@{host_name()}"


def claim(folder: Path, bot_id: str) -> Claim:
    """Claim the hot log of ``bot_id`` on this host; without a bot id, the first that no process holds.

    Raises:
        WriterBusyError: another live process writes under this bot id; it is named.
        UsageError: the bot id has no letter or digit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if bot_id:
        held = _try(folder, writer_id(bot_id))
        if held is None:
            raise _busy(folder, bot_id)
        return held
    for slot in range(_SLOTS):
        held = _try(folder, f"anonymous-{slot}@{host_name()}")
        if held is not None:
            return held
    raise WriterBusyError(f"{_SLOTS} processes write without a bot id", where=str(folder), todo="Give each a bot_id.")


def is_held(folder: Path, writer: str) -> bool:
    """Whether a live process holds that writer id."""
    held = _try(folder, writer)
    if held is None:
        return True
    held.release()
    return False


def try_claim(folder: Path, writer: str) -> Claim | None:
    """Claim an existing writer id, to look after what its process left; None while that lives."""
    return _try(folder, writer)


def _try(folder: Path, writer: str) -> Claim | None:
    lock = (folder / f"{writer}.lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    lock.seek(0)
    lock.truncate()
    since = datetime.now(UTC).isoformat(timespec="seconds")
    json.dump({"pid": os.getpid(), "command": " ".join(sys.argv)[:200], "since": since}, lock)
    lock.flush()
    return Claim(writer, folder, lock)


def _busy(folder: Path, bot_id: str) -> WriterBusyError:
    writer = writer_id(bot_id)
    text = (folder / f"{writer}.lock").read_text(encoding="utf-8")
    try:
        holder = json.loads(text)
        who = f"process {holder['pid']} ({holder['command']}), since {holder['since']}"
    except (ValueError, KeyError):
        who = "another process"
    return WriterBusyError(
        f"bot id {bot_id!r} is in use by {who}",
        where=str(folder),
        todo="Give this process a bot_id of its own, or end the other one.",
    )


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:80]
