"""Names of models and versions: those that a file can have anywhere."""

from __future__ import annotations

import re
from typing import Any

from lake.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def checked_name(name: Any, what: str = "name") -> str:
    """The name of a model or version, if it can be one.

    Raises:
        UsageError: it cannot.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"the {what} of a model is letters, digits, dot, dash and underscore, 64 at most", where="models",
            value=name, todo="Begin with a letter or digit.",
        )  # fmt: skip
    return name
