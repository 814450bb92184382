"""Vacuums under way: who asks for an earlier version of the lake waits until they have ended.

Such a version is the only one that a vacuum may have found unneeded, when it read the leases, before its reader had
one. A vacuum leaves a note before it reads the leases; such a reader looks for notes after it has written its lease.
So either the vacuum finds the lease, or the reader the note, and what is there when it has ended stays.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lake.clock import MICROS_PER_MINUTE, now_micros
from lake.errors import StorageError, UnknownVersionError
from lake.store import marks
from lake.store.hot.claim import host_name
from lake.store.location import Location

_log = logging.getLogger("lake.vacuum")

FOLDER = "_lake/vacuums"
_BELIEVED_MICROS = 10 * MICROS_PER_MINUTE  # elsewhere than on its host; it is renewed before every table
_WAIT_SECONDS = 900.0
_PAUSE_SECONDS = 0.05


@contextmanager
def announced(location: Location) -> Iterator[Callable[[], None]]:
    """A vacuum is under way inside the block, which gets a function to say so again from time to time."""
    path = f"{FOLDER}/{uuid.uuid4().hex[:12]}@{host_name()}"

    def tell() -> None:
        try:
            location.write(path, marks.token(location).encode(), durable=False)
        except StorageError as error:  # a full disk must not keep a vacuum from freeing it
            _log.warning("who asks for earlier versions is not told of this vacuum: %s", error)

    tell()
    try:
        yield tell
    finally:
        location.delete([path])


def wait_for_their_end(location: Location) -> None:
    """Return when no vacuum is under way that had begun before.

    Raises:
        UnknownVersionError: one takes longer than a quarter of an hour.
    """
    begun = _under_way(location)
    until = time.monotonic() + _WAIT_SECONDS
    while begun := begun & _under_way(location):
        if time.monotonic() > until:
            raise UnknownVersionError(
                "a vacuum is under way, which may take files of that version",
                where=location.uri,
                todo="Try again when it has ended; a tag keeps a version from every vacuum.",
            )
        time.sleep(_PAUSE_SECONDS)


def _under_way(location: Location) -> set[str]:
    """Notes of vacuums that may be under way; those of vacuums that surely ended are removed on the way."""
    found, living = set(), set()
    notes = list(location.list(FOLDER))
    if notes:
        living = marks.living(location)
    for note in notes:
        here = location.is_local and note.path.endswith(f"@{host_name()}")
        token = (location.read_or_none(note.path) or b"").decode() if here else ""
        if token in living if here else now_micros() - note.modified_micros < _BELIEVED_MICROS:
            found.add(note.path)
        elif here and token:
            location.delete([note.path])
    return found
