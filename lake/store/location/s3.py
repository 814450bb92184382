"""A prefix of an S3 bucket: what the service acknowledged is durable, and made visible at once."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import IO, Any, Final

import stamina

from lake.errors import MissingExtraError, StorageError, UnsafeStoreError, UsageError
from lake.store.location.base import Entry, checked
from lake.store.location.s3_errors import error_code, status_code, storage_errors
from lake.store.location.s3_files import file_system
from lake.store.location.s3_options import S3Options

_DELETES_AT_ONCE: Final = 1000  # S3's own limit
_EXISTS: Final = 412  # Precondition Failed
_CONTENDED: Final = 409  # another conditional request on the key is under way; nothing is decided yet


class _ContendedError(Exception):
    """The service asks to send a conditional request again."""


class S3Location:
    """``s3://bucket/prefix``; nothing is asked of the service before the first call.

    Args:
        uri: the address.
        options: how to reach the service.
    """

    is_local: Final = False

    def __init__(self, uri: str, options: S3Options) -> None:
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        prefix = "/".join(part for part in prefix.split("/") if part)
        if not bucket:
            raise UsageError("the address names no bucket", value=uri, todo="Write s3://bucket/prefix.")
        self.uri: str = f"s3://{bucket}/{checked(prefix)}".rstrip("/")
        self.delta_options: Mapping[str, str] = options.delta
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._options = options
        self._bucket_seen = False

    @cached_property
    def filesystem(self) -> Any:
        """The ``s3fs.S3FileSystem``.

        Raises:
            MissingExtraError: s3fs is not installed.
        """
        try:
            with self._errors(""):
                return file_system(self._options.s3fs)
        except ImportError as error:
            raise MissingExtraError(
                "a lake on S3 needs the package s3fs", where=self.uri, todo="pip install 'tradelake[s3]'"
            ) from error

    def url(self, path: str) -> str:
        """The ``s3://`` address."""
        return f"{self.uri}/{checked(path)}" if path else self.uri

    def _errors(self, path: str) -> Any:
        return storage_errors(self.url(path), self._options.endpoint)

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        """One S3 request about one key."""
        key = self._prefix + checked(path)
        return self.filesystem.call_s3(method, Bucket=self._bucket, Key=key, **arguments)

    def _require_bucket(self) -> None:
        """A missing key says nothing about the bucket; the first one has it looked up."""
        if not self._bucket_seen:
            with self._errors(""):
                try:
                    self.filesystem.call_s3("head_bucket", Bucket=self._bucket)
                except FileNotFoundError as error:
                    raise StorageError(
                        "there is no such bucket",
                        where=self.uri,
                        value=self._bucket,
                        todo="Make it first, or check the name.",
                    ) from error
            self._bucket_seen = True

    def read(self, path: str) -> bytes:
        """See :class:`Location`."""
        filesystem, url = self.filesystem, self.url(path)
        with self._errors(path):
            try:
                data: bytes = filesystem.cat_file(url, max_concurrency=1)  # else it asks for the size first
            except FileNotFoundError as error:
                raise self._missing(path, error) from None
        return data

    def _missing(self, path: str, error: FileNotFoundError) -> FileNotFoundError:
        """What to raise where a key is not there."""
        error.__traceback__ = None  # fsspec keeps the last error, and with it all that whoever asked is about
        self._require_bucket()
        return FileNotFoundError(self.url(path))

    def read_or_none(self, path: str) -> bytes | None:
        """See :class:`Location`."""
        try:
            return self.read(path)
        except FileNotFoundError:
            return None

    def exists(self, path: str) -> bool:
        """See :class:`Location`."""
        try:
            self.size(path)
        except FileNotFoundError:
            return False
        return True

    def stamp(self, folder: str) -> int | None:
        """See :class:`Location`: a bucket has no folders, and nothing tells."""
        del folder
        return None

    def glance(self, folder: str) -> int | None:
        """See :class:`Location`."""
        return self.stamp(folder)

    def close(self) -> None:
        """See :class:`Location`: nothing is."""

    def size(self, path: str) -> int:
        """See :class:`Location`."""
        with self._errors(path):
            try:
                return int(self._call("head_object", path)["ContentLength"])
            except FileNotFoundError as error:
                raise self._missing(path, error) from None

    def create(self, path: str, data: bytes) -> bool:
        """See :class:`Location`."""
        try:
            return self._put_if_absent(path, data)
        except _ContendedError as error:
            raise StorageError("others kept writing the same file", where=self.url(path), todo="Try again.") from error

    @stamina.retry(on=_ContendedError, attempts=10, timeout=30, wait_initial=0.05, wait_max=2.0)
    def _put_if_absent(self, path: str, data: bytes) -> bool:
        with self._errors(path):
            try:
                self._call("put_object", path, Body=data, IfNoneMatch="*")
            except OSError as error:
                if status_code(error) == _EXISTS or error_code(error) == "PreconditionFailed":
                    return False
                if status_code(error) == _CONTENDED:
                    raise _ContendedError(self.url(path)) from error
                raise
        return True

    def write(self, path: str, data: bytes, *, durable: bool = True) -> None:  # noqa: ARG002 - a bucket always is
        """See :class:`Location`."""
        with self._errors(path):
            self._call("put_object", path, Body=data)

    def delete(self, paths: Sequence[str]) -> None:
        """See :class:`Location`."""
        keys = [{"Key": self._prefix + checked(path)} for path in paths]
        for start in range(0, len(keys), _DELETES_AT_ONCE):
            batch = {"Objects": keys[start : start + _DELETES_AT_ONCE], "Quiet": True}
            with self._errors(""):
                answer = self.filesystem.call_s3("delete_objects", Bucket=self._bucket, Delete=batch)
            for refused in answer.get("Errors", []):
                if refused.get("Code") != "NoSuchKey":
                    raise StorageError(
                        f"a file cannot be deleted: {refused.get('Message') or refused.get('Code')}",
                        where=f"s3://{self._bucket}/{refused.get('Key')}",
                        todo="Check what the credentials may do in this bucket.",
                    )

    def list(self, prefix: str) -> Iterator[Entry]:
        """See :class:`Location`."""
        for page in self._pages(prefix):
            for item in page.get("Contents", []):
                if not item["Key"].endswith("/"):  # a console's idea of a folder
                    modified = int(item["LastModified"].timestamp() * 1_000_000)
                    yield Entry(item["Key"].removeprefix(self._prefix), int(item["Size"]), modified)

    def list_names(self, folder: str) -> Sequence[str]:
        """See :class:`Location`."""
        found: list[str] = []
        for page in self._pages(folder, Delimiter="/"):
            keys = [item["Key"] for item in page.get("Contents", [])]
            keys += [item["Prefix"].rstrip("/") for item in page.get("CommonPrefixes", [])]
            found += [key.rpartition("/")[2] for key in keys if not key.endswith("/")]
        return found

    def _pages(self, folder: str, **arguments: Any) -> Iterator[Mapping[str, Any]]:
        prefix = self._prefix + (f"{checked(folder).rstrip('/')}/" if folder else "")
        token: dict[str, str] = {}
        while True:
            with self._errors(folder):
                page = self.filesystem.call_s3(
                    "list_objects_v2", Bucket=self._bucket, Prefix=prefix, **arguments, **token
                )
            yield page
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def open_output(self, path: str) -> IO[bytes]:
        """See :class:`Location`. The file is there, and durable, once it is closed."""
        with self._errors(path):
            opened: IO[bytes] = self.filesystem.open(self.url(path), "wb")
        return opened

    def open_input(self, path: str) -> Any:
        """An open file; pyarrow asks for the ranges it needs, so that reading ahead would only cost."""
        with self._errors(path):
            return self.filesystem.open(self.url(path), "rb", cache_type="none")

    def sync(self, paths: Sequence[str]) -> None:
        """Nothing to do: a stored object is durable."""

    def check_writable(self) -> None:
        """See :class:`Location`."""
        name = f"_lake/probe-{uuid.uuid4().hex}"
        self.write(name, b"")
        self.delete([name])

    def probe_conditional_put(self) -> None:
        """See :class:`Location`."""
        name = f"_lake/probe-{uuid.uuid4().hex}"
        try:
            if not self.create(name, b"1") or self.create(name, b"2"):
                raise self._unsafe()
            if self.read(name) != b"1":
                raise self._unsafe()
        finally:
            self.delete([name])

    def _unsafe(self) -> UnsafeStoreError:
        return UnsafeStoreError(
            "the service ignores conditional writes (If-None-Match), so that several writers would lose commits",
            where=self.uri,
            value=self._options.endpoint,
            todo="Use a service that honours them: AWS S3, MinIO, Ceph, SeaweedFS, Cloudflare R2.",
        )
