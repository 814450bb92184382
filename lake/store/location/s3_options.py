"""Storage options in the spelling of delta-rs and of the AWS tools, for both engines that need them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lake.errors import UsageError

_ALIASES: Final[dict[str, str]] = {
    "AWS_ENDPOINT": "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3": "AWS_ENDPOINT_URL",
    "AWS_DEFAULT_REGION": "AWS_REGION",
    "AWS_TOKEN": "AWS_SESSION_TOKEN",
    "ALLOW_HTTP": "AWS_ALLOW_HTTP",
}
_KNOWN: Final = (
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_PROFILE",
    "AWS_ALLOW_HTTP",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
    "AWS_SKIP_SIGNATURE",
)
_CREDENTIALS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_TRUE: Final = frozenset({"true", "1", "yes", "on"})


@dataclass(frozen=True)
class S3Options:
    """How to reach an S3 service.

    Attributes:
        values: known option in ``AWS_*`` spelling -> value.
    """

    values: Mapping[str, str]

    def __post_init__(self) -> None:
        if ("AWS_ACCESS_KEY_ID" in self.values) is not ("AWS_SECRET_ACCESS_KEY" in self.values):
            raise UsageError(
                "an access key and its secret come together",
                where="storage_options",
                todo="Give both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
            )

    @property
    def endpoint(self) -> str:
        """The service's address; ``""`` for AWS itself."""
        return self.values.get("AWS_ENDPOINT_URL", "")

    @property
    def delta(self) -> dict[str, str]:
        """Options for delta-rs, which refuses plain HTTP unless told."""
        found = dict(self.values)
        if self.endpoint.startswith("http://"):
            found.setdefault("AWS_ALLOW_HTTP", "true")
        if self.endpoint:
            found.setdefault("AWS_REGION", "us-east-1")
        return found

    @property
    def s3fs(self) -> dict[str, Any]:
        """Keyword arguments for ``s3fs.S3FileSystem``."""
        get = self.values.get
        style = "virtual" if self._is_true("AWS_VIRTUAL_HOSTED_STYLE_REQUEST") else "path" if self.endpoint else "auto"
        return {
            "key": get("AWS_ACCESS_KEY_ID"),
            "secret": get("AWS_SECRET_ACCESS_KEY"),
            "token": get("AWS_SESSION_TOKEN"),
            "profile": get("AWS_PROFILE"),
            "anon": self._is_true("AWS_SKIP_SIGNATURE"),
            "endpoint_url": self.endpoint or None,
            "client_kwargs": {"region_name": region} if (region := self.delta.get("AWS_REGION")) else {},
            "config_kwargs": {"s3": {"addressing_style": style}, "retries": {"max_attempts": 2, "mode": "standard"}},
        }

    def _is_true(self, name: str) -> bool:
        return self.values.get(name, "").lower() in _TRUE


def options(given: Mapping[str, str] | None, env: Mapping[str, str]) -> S3Options:
    """What the caller gave, over what the environment says.

    Names may be in any case and without their ``AWS_``. Credentials of the environment are not mixed
    with given ones.

    >>> options({"endpoint_url": "http://127.0.0.1:8333"}, {}).delta["AWS_ALLOW_HTTP"]
    'true'

    Raises:
        UsageError: an option that is not known, or half of a pair of credentials.
    """
    mine = {_name(key): str(value) for key, value in (given or {}).items()}
    theirs = {_ALIASES.get(key, key): value for key, value in env.items() if value}
    if any(name in mine for name in (*_CREDENTIALS, "AWS_PROFILE")):
        theirs = {key: value for key, value in theirs.items() if key not in (*_CREDENTIALS, "AWS_PROFILE")}
    return S3Options({**{k: v for k, v in theirs.items() if k in _KNOWN}, **mine})


def _name(key: str) -> str:
    upper = key.upper()
    full = upper if upper.startswith("AWS_") or upper in _ALIASES else f"AWS_{upper}"
    name = _ALIASES.get(full, full)
    if name not in _KNOWN:
        raise UsageError(
            "unknown storage option", where="storage_options", value=key, todo=f"Known are: {', '.join(_KNOWN)}."
        )
    return name
