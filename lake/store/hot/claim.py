"""Who may write a hot log: one live process per writer id and host, and the others are told who it is."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import IO, Any

from lake.errors import UsageError, WriterBusyError
from lake.store import forks

_SLOTS = 1000
_DIGEST = 12  # hexadecimal digits: 48 bits
_READABLE = 40  # characters of a changed id that are kept before its hash
_WRITER, _CARETAKER = "writer", "caretaker"
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Claim:
    """The right to write one hot log, held until ``release`` or the end of the process."""

    writer: str
    folder: Path
    lock: IO[str]

    def release(self) -> None:
        """Let another process have the writer id."""
        self.lock.close()


@cache
def host_name() -> str:
    """This host's name, in characters that are safe in a file name."""
    return _safe(socket.gethostname()) or "localhost"


def host_of(writer: str) -> str:
    """The name of the host that a writer id is of."""
    return writer.rpartition("@")[2]


def writer_id(bot_id: str) -> str:
    """The writer id of a bot on this host, stable over restarts; two bot ids have never the same one.

    Raises:
        UsageError: the bot id has no letter or digit, of any script.
    """
    return f"{file_name(bot_id)}@{host_name()}"


def file_name(bot_id: str) -> str:
    """A bot id as a file may be called; of two bot ids never the same.

    An id that is no safe file name gets one that ends in ``~`` and its hash: ``desk/btc`` and ``desk btc`` stay apart.

    Raises:
        UsageError: the bot id has no letter or digit, of any script.
    """
    if not any(character.isalnum() for character in bot_id):
        raise UsageError("a bot id needs letters or digits", value=bot_id)
    safe = _safe(bot_id)
    if safe != bot_id:
        digest = hashlib.sha256(bot_id.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
        safe = f"{safe[:_READABLE].rstrip('-.') or 'bot'}~{digest}"
    return safe


def claim(folder: Path, bot_id: str) -> Claim:
    """Claim the hot log of ``bot_id`` on this host; without a bot id, the first that no process holds.

    A process that only drains what an ended one left is waited for: it does not keep a bot from starting.

    Raises:
        WriterBusyError: another live process writes under this bot id; it is named.
        UsageError: the bot id has no letter or digit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if bot_id:
        return _claim_named(folder, bot_id)
    for slot in range(_SLOTS):
        held = _try(folder, f"anonymous-{slot}@{host_name()}")
        if held is not None:
            return held
    raise WriterBusyError(f"{_SLOTS} processes write without a bot id", where=str(folder), todo="Give each a bot_id.")


def is_held(folder: Path, writer: str) -> bool:
    """Whether a live process holds that writer id."""
    held = _try(folder, writer, _CARETAKER)
    if held is None:
        return True
    held.release()
    return False


def try_claim(folder: Path, writer: str) -> Claim | None:
    """Claim an existing writer id, to look after what its process left; None while that lives."""
    return _try(folder, writer, _CARETAKER)


def _claim_named(folder: Path, bot_id: str) -> Claim:
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        held = _try(folder, writer_id(bot_id), _WRITER)
        if held is not None:
            return held
        holder = _holder(folder, writer_id(bot_id))
        if holder.get("role") == _WRITER or time.monotonic() > until:
            raise _busy(folder, bot_id, holder)
        time.sleep(0.02)


def _holder(folder: Path, writer: str) -> dict[str, Any]:
    try:
        found = json.loads((folder / f"{writer}.lock").read_text(encoding="utf-8"))
    except ValueError:
        return {}  # it is just being written
    return found if isinstance(found, dict) else {}


def _try(folder: Path, writer: str, role: str = _WRITER) -> Claim | None:
    lock = (folder / f"{writer}.lock").open("a+", encoding="utf-8")
    forks.keep_lock(lock)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    lock.seek(0)
    lock.truncate()
    since = datetime.now(UTC).isoformat(timespec="seconds")
    json.dump({"pid": os.getpid(), "role": role, "command": " ".join(sys.argv)[:200], "since": since}, lock)
    lock.flush()
    return Claim(writer, folder, lock)


def _busy(folder: Path, bot_id: str, holder: Mapping[str, Any]) -> WriterBusyError:
    who = "another process"
    if holder:
        who = f"process {holder.get('pid')} ({holder.get('command')}), since {holder.get('since')}"
    return WriterBusyError(
        f"bot id {bot_id!r} is in use by {who}",
        where=str(folder),
        todo="Give this process a bot_id of its own, or end the other one.",
    )


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:80]
