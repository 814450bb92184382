"""A local folder: what is acknowledged survives a power cut.

Files are written under a temporary name, synced, and only then linked or renamed to their own,
after which the folder is synced. Such temporary names, which a crash may leave, are never listed.
"""

from __future__ import annotations

import io
import os
import re
import stat
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

from lake.errors import StorageError, UnsafeStoreError, UsageError
from lake.store.location.base import Entry, checked
from lake.store.location.glances import Glance
from lake.store.location.local_errors import SUPPORTS_NO_LINKS, storage_errors
from lake.store.location.syncing import Syncer

_TEMPORARY = re.compile(r"^\..+\.[0-9a-f]{32}\.tmp(\.wal)?$")
_BUFFER: Final = 1 << 20


class LocalLocation:
    """The folder ``root``, which comes into being with the first file.

    Args:
        root: an absolute path.
    """

    is_local: Final = True

    def __init__(self, root: str) -> None:
        if not os.path.isabs(root):
            raise UsageError("a local lake is named by an absolute path", value=root)
        self.uri: str = os.path.normpath(root)
        self.delta_options: dict[str, str] = {}
        self._syncer = Syncer(self.uri)
        self._glances: dict[str, Glance] = {}

    @property
    def filesystem(self) -> Any:
        """There is none: engines open local files by their path."""
        raise UsageError("a local lake needs no file system object", where=self.uri)

    def url(self, path: str) -> str:
        """The absolute path."""
        return f"{self.uri}/{checked(path)}" if path else self.uri

    def read(self, path: str) -> bytes:
        """See :class:`Location`."""
        with storage_errors(self.uri, path):
            try:
                with open(
                    self.url(path), "rb"
                ) as file:  # a Path would take five times as long, and this is asked often
                    return file.read()
            except IsADirectoryError:
                raise FileNotFoundError(self.url(path)) from None

    def read_or_none(self, path: str) -> bytes | None:
        """See :class:`Location`."""
        try:
            return self.read(path)
        except FileNotFoundError:
            return None

    def exists(self, path: str) -> bool:
        """See :class:`Location`."""
        with storage_errors(self.uri, path):
            try:
                return stat.S_ISREG(os.stat(self.url(path)).st_mode)
            except FileNotFoundError:
                return False

    def stamp(self, folder: str) -> int | None:
        """See :class:`Location`."""
        try:  # asked several times in each transaction
            return os.stat(self.url(folder)).st_mtime_ns
        except FileNotFoundError:
            return 0
        except OSError:
            with storage_errors(self.uri, folder):
                raise

    def glance(self, folder: str) -> int | None:
        """See :class:`Location`."""
        found = self._glances.get(folder)
        if found is None:
            found = self._glances[folder] = Glance(self.url(folder), is_own=True)
        try:
            return found.stamp()
        except OSError:
            return self.stamp(folder)

    def close(self) -> None:
        """See :class:`Location`."""
        self._glances.clear()

    def size(self, path: str) -> int:
        """See :class:`Location`."""
        with storage_errors(self.uri, path):
            return os.stat(self.url(path)).st_size

    def create(self, path: str, data: bytes) -> bool:
        """See :class:`Location`."""
        target = self.url(path)
        with storage_errors(self.uri, path):
            if os.path.lexists(target):
                return False
            temporary = self._stored_aside(target, data)
            try:
                os.link(temporary, target)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in SUPPORTS_NO_LINKS:
                    raise
                raise UnsafeStoreError(
                    "its file system has no hard links, so that two writers would lose commits",
                    where=self.uri,
                    todo="Put the lake on another file system.",
                ) from error
            finally:
                os.unlink(temporary)
            self._syncer.folders_of(target)
        return True

    def write(self, path: str, data: bytes, *, durable: bool = True) -> None:
        """See :class:`Location`."""
        target = self.url(path)
        with storage_errors(self.uri, path):
            temporary = self._stored_aside(target, data, durable=durable)
            try:
                os.replace(temporary, target)
            except OSError:
                os.unlink(temporary)
                raise
            if durable:
                self._syncer.folders_of(target)

    def _stored_aside(self, target: str, data: bytes, *, durable: bool = True) -> str:
        """A temporary file beside ``target`` that holds ``data``, synced where it is to be durable."""
        folder, name = os.path.split(target)
        temporary = f"{folder}/.{name}.{uuid.uuid4().hex}.tmp"
        try:
            self._syncer.make_folder(folder)
        except FileNotFoundError as error:
            raise StorageError("no folder can be made there", where=folder, todo="Choose another path.") from error
        try:
            with open(temporary, "xb", buffering=0) as file:
                written = memoryview(data)
                while written:
                    written = written[file.write(written) :]
                if durable:
                    self._syncer.open_file(file.fileno())
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
        return temporary

    def delete(self, paths: Sequence[str]) -> None:
        """See :class:`Location`."""
        for path in paths:
            with storage_errors(self.uri, path):
                Path(self.url(path)).unlink(missing_ok=True)

    def list(self, prefix: str) -> Iterator[Entry]:
        """See :class:`Location`."""
        with storage_errors(self.uri, prefix):
            entries = self._scan(self.url(prefix))
        for entry in entries:
            path = f"{prefix.rstrip('/')}/{entry.name}" if prefix else entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from self.list(path)
                continue
            try:
                with storage_errors(self.uri, path):
                    status = entry.stat()
            except FileNotFoundError:  # deleted since the folder was read
                continue
            yield Entry(path, status.st_size, status.st_mtime_ns // 1000)

    def list_names(self, folder: str) -> Sequence[str]:
        """See :class:`Location`."""
        with storage_errors(self.uri, folder):
            return [entry.name for entry in self._scan(self.url(folder))]

    @staticmethod
    def _scan(folder: str) -> Sequence[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                return [entry for entry in entries if not _TEMPORARY.match(entry.name)]
        except FileNotFoundError:
            return ()

    def open_output(self, path: str) -> IO[bytes]:
        """See :class:`Location`."""
        target = self.url(path)
        with storage_errors(self.uri, path):
            self._syncer.make_folder(os.path.dirname(target))
            return io.BufferedWriter(_Output(target, self.uri, path), _BUFFER)

    def open_input(self, path: str) -> str:
        """The path itself, which pyarrow can map into memory."""
        return self.url(path)

    def sync(self, paths: Sequence[str]) -> None:
        """See :class:`Location`."""
        targets = [self.url(path) for path in paths]
        for target, path in zip(targets, paths, strict=True):
            with storage_errors(self.uri, path):
                self._syncer.file(target)
        with storage_errors(self.uri, ""):
            self._syncer.folders_of(*targets)

    def check_writable(self) -> None:
        """See :class:`Location`."""
        name = f"_lake/.probe-{uuid.uuid4().hex}"
        self.write(name, b"")
        self.delete([name])

    def probe_conditional_put(self) -> None:
        """See :class:`Location`."""
        name = f"_lake/.probe-{uuid.uuid4().hex}"
        try:
            if not self.create(name, b"1") or self.create(name, b"2"):
                raise UnsafeStoreError(
                    "it stored one file twice, so that two writers would lose commits", where=self.uri
                )
        finally:
            self.delete([name])


def temporary_files(root: str) -> Iterator[Entry]:
    """Files below ``root`` that are being written under a temporary name, or were left so by a crash."""
    for folder, _, names in os.walk(root):
        for name in names:
            if not _TEMPORARY.match(name):
                continue
            path = f"{folder}/{name}"
            try:
                status = os.stat(path)
            except FileNotFoundError:  # it got its own name since the folder was read
                continue
            yield Entry(os.path.relpath(path, root), status.st_size, status.st_mtime_ns // 1000)


class _Output(io.FileIO):
    """A file whose writes fail in the words of the lake, so that a full disk is said as one."""

    def __init__(self, target: str, uri: str, path: str) -> None:
        super().__init__(target, "wb")
        self._place = (uri, path)

    def write(self, data: Any, /) -> int:
        with storage_errors(*self._place):
            return super().write(data)
