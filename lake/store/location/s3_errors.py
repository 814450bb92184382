"""What an S3 service or the way to it says, in words that tell what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from lake.errors import StorageError

_MEANING: Final[dict[str, tuple[str, str]]] = {
    "NoSuchBucket": ("there is no such bucket", "Make it first, or check the name."),
    "InvalidBucketName": ("that is not a bucket name", "Check the address."),
    "InvalidAccessKeyId": ("the access key is not known there", "Check AWS_ACCESS_KEY_ID."),
    "SignatureDoesNotMatch": ("the secret does not fit the access key", "Check AWS_SECRET_ACCESS_KEY."),
    "ExpiredToken": ("the session token has expired", "Get a new one and set AWS_SESSION_TOKEN."),
    "RequestTimeTooSkewed": ("the clocks of this machine and the service differ too much", "Set this machine's clock."),
    "AccessDenied": ("access denied", "Check the credentials, and what they may do in this bucket."),
    "403": ("access denied", "Check the credentials, and what they may do in this bucket."),
    "PermanentRedirect": ("the bucket is in another region", "Set AWS_REGION."),
    "301": ("the bucket is in another region", "Set AWS_REGION."),
    "SlowDown": ("the service asks to slow down", "Try again later."),
    "503": ("the service is unavailable", "Try again later."),
}
_NO_CREDENTIALS: Final = ("no credentials were found", "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile.")


@contextmanager
def storage_errors(where: str, endpoint: str) -> Iterator[None]:
    """Raise what fails inside as StorageError; a missing file stays FileNotFoundError."""
    import aiohttp
    import botocore.exceptions as boto

    try:
        yield
    except FileNotFoundError as error:
        if error_code(error) == "NoSuchBucket":
            raise _refused(error, where) from error
        raise
    except (boto.NoCredentialsError, boto.PartialCredentialsError, boto.ProfileNotFound) as error:
        raise StorageError(_NO_CREDENTIALS[0], where=where, todo=_NO_CREDENTIALS[1]) from error
    except (boto.BotoCoreError, aiohttp.ClientError, TimeoutError, ConnectionError) as error:
        raise StorageError(
            "the service cannot be reached",
            where=where,
            value=endpoint or str(error),
            todo="Check AWS_ENDPOINT_URL and the network.",
        ) from error
    except (OSError, boto.ClientError) as error:
        raise _refused(error, where) from error


def error_code(error: BaseException) -> str:
    """The service's own name for an error, or its HTTP status; ``""`` when it has none."""
    response = getattr(error.__cause__, "response", None) or getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def status_code(error: BaseException) -> int:
    """The HTTP status that the service answered with; 0 when it did not."""
    response = getattr(error.__cause__, "response", None) or getattr(error, "response", None) or {}
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _refused(error: Exception, where: str) -> StorageError:
    code = error_code(error) or str(status_code(error))
    unknown = (f"the service answered: {error}", "Look the answer up in the service's manual.")
    what, todo = _MEANING.get(code, unknown)
    if code not in _MEANING and isinstance(error, PermissionError):
        what, todo = _MEANING["AccessDenied"]
    return StorageError(what, where=where, todo=todo)
