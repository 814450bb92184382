"""From an address as people write it to the place it names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from lake.errors import UsageError
from lake.store.location.base import Location
from lake.store.location.local import LocalLocation
from lake.store.location.s3 import S3Location
from lake.store.location.s3_options import options


def resolve(uri: str | os.PathLike[str], storage_options: Mapping[str, str] | None = None) -> Location:
    """The place that ``uri`` names; nothing is read or made yet.

    A local lake has one address, however it is reached: symbolic links are followed here, once.

    Args:
        uri: a path (``~`` and relative ones too), ``file:///path``, or ``s3://bucket/prefix``.
        storage_options: for S3, in the spelling of delta-rs (``AWS_ENDPOINT_URL``,
            ``AWS_ACCESS_KEY_ID``, ...; any case); what is left out comes from the environment.
            A local folder has none, and ignores them.

    >>> resolve("file:///srv/my%20lake").uri
    '/srv/my lake'
    >>> resolve("s3://bots/lake/").url("candles")
    's3://bots/lake/candles'

    Raises:
        UsageError: an empty address, or one of another scheme.
    """
    text = os.fspath(uri)
    if not text:
        raise UsageError("the lake's address is empty", todo="Give a path or s3://bucket/prefix.")
    scheme = text.partition("://")[0].lower() if "://" in text else ""
    if scheme in ("s3", "s3a"):
        return S3Location(f"s3://{text.partition('://')[2]}", options(storage_options, os.environ))
    if scheme == "file":
        return LocalLocation(os.path.realpath(_file_path(text)))
    if scheme:
        raise UsageError("no lake can be kept there", value=text, todo="Give a path or s3://bucket/prefix.")
    return LocalLocation(os.path.realpath(os.path.expanduser(text)))


def _file_path(text: str) -> str:
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise UsageError("a file address names a path of this machine", value=text, todo="Write file:///absolute/path.")
    return unquote(parts.path)
