"""What a place that holds bytes can do: the one interface that local folders and S3 buckets share."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, Any, Protocol

from lake.errors import UsageError


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored file.

    Attributes:
        path: relative to the location.
        size: bytes.
        modified_micros: last change, microseconds since 1970, UTC.
    """

    path: str
    size: int
    modified_micros: int


class Location(Protocol):
    """A folder or bucket prefix. Paths are relative to it, with ``/`` between names; ``""`` is the place itself.

    Every call may raise StorageError when the place cannot be reached, is full, or refuses access,
    and UsageError for a path that would leave it. An error of :meth:`create`, :meth:`write` or
    :meth:`delete` leaves open whether the change landed.
    """

    @property
    def uri(self) -> str:
        """Its address: an absolute local path, or ``s3://bucket/prefix``; no slash at the end."""

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine."""

    @property
    def delta_options(self) -> Mapping[str, str]:
        """``storage_options`` for delta-rs; empty for a local folder."""

    @property
    def filesystem(self) -> Any:
        """The fsspec file system that DuckDB reads through; UsageError for a local folder."""

    def url(self, path: str) -> str:
        """The absolute address of ``path`` for other engines."""

    def read(self, path: str) -> bytes:
        """The bytes of a file; FileNotFoundError when there is none."""

    def read_or_none(self, path: str) -> bytes | None:
        """The bytes of a file; None when there is none."""

    def exists(self, path: str) -> bool:
        """Whether there is a file (not a folder) at ``path``."""

    def stamp(self, folder: str) -> int | None:
        """A number that is another one after something was added to a folder; None where nothing tells.

        It is the time of the folder's last change, which has the grain of the kernel's clock: see :func:`trusted`.
        """

    def glance(self, folder: str) -> int | None:
        """:meth:`stamp` in half the time, for who asks again and again.

        That a whole folder was put in the place of another one is told within a second.
        """

    def close(self) -> None:
        """Let go of what is held open for :meth:`glance`, until it is asked again."""

    def size(self, path: str) -> int:
        """Length of a file in bytes; FileNotFoundError when there is none."""

    def create(self, path: str, data: bytes) -> bool:
        """Store ``data`` durably unless the file exists: of several callers at once, one gets True.

        On S3 a request whose reply was lost is sent again and may find its own file, which gives
        False: a caller that must know compares what is stored with what it wrote.
        """

    def write(self, path: str, data: bytes, *, durable: bool = True) -> None:
        """Store ``data`` durably, in place of what was there; readers see the old or the new bytes, never a mix.

        With ``durable=False`` a power cut may take a local file back, or leave it torn: for what nobody needs then.
        """

    def delete(self, paths: Sequence[str]) -> None:
        """Remove files; those that are missing already are fine. A power cut may bring local ones back."""

    def list(self, prefix: str) -> Iterator[Entry]:
        """All files below the folder ``prefix``, at any depth, in no promised order; none when it is missing."""

    def list_names(self, folder: str) -> Sequence[str]:
        """Names of the files and folders directly in ``folder``; empty when it is missing."""

    def open_output(self, path: str) -> IO[bytes]:
        """A new file to write to, for ``pq.ParquetWriter``; not durable before :meth:`sync`."""

    def open_input(self, path: str) -> Any:
        """What ``pq.ParquetFile`` reads ``path`` from: a local path, or an open file."""

    def sync(self, paths: Sequence[str]) -> None:
        """Make files that others wrote durable, with every folder up to the location."""

    def check_writable(self) -> None:
        """Raise StorageError unless files can be stored here; leaves nothing behind."""

    def probe_conditional_put(self) -> None:
        """Raise UnsafeStoreError unless :meth:`create` refuses a file that exists."""


_GRAIN_NS = 2_500_000_000  # the clocks of file systems tick every few milliseconds, of old ones every two seconds


_TICK_NS = 50_000_000  # where stamps have fractions of a second, and are of this machine's own clock


def trusted(stamp: int | None, *, is_own: bool = False) -> int | None:
    """The stamp of a folder that is read now, if whatever is added from now on must change it; else None.

    ``is_own`` says that the folder is on a disk of this machine, whose clock made the stamp.

    >>> import time
    >>> trusted(1_000), trusted(time.time_ns()), trusted(None)
    (1000, None, None)
    """
    grain = _TICK_NS if is_own and stamp is not None and stamp % 1_000_000_000 else _GRAIN_NS
    return stamp if stamp is not None and time.time_ns() - stamp > grain else None


@lru_cache(maxsize=1024)
def checked(path: str) -> str:
    """``path`` when it is relative and stays inside.

    >>> checked("candles/_delta_log/00000000000000000000.json")
    'candles/_delta_log/00000000000000000000.json'

    Raises:
        UsageError: it is absolute, or climbs out with ``..``.
    """
    if path.startswith("/") or "\0" in path or (".." in path and ".." in path.split("/")):
        raise UsageError("a path inside the lake is relative and has no '..'", value=path)
    return path
