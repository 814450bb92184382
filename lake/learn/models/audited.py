"""No model is trained on a data set that nobody audited, unless its user says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lake.errors import LeakError


def must_be_audited(data: Any, *, audit: bool) -> None:
    """Audit every row of a data set whose manifest tells of no audit, as those of older builds do.

    Args:
        data: a data set; of a plain frame nobody knows how its features came to be, and nothing is asked.
        audit: whether to; False is its user's own risk.

    Raises:
        LeakError: features look ahead; they are named.
    """
    manifest: Mapping[str, Any] = getattr(data, "manifest", None) or {}
    if not audit or not hasattr(data, "audit") or manifest["audit"]:
        return
    found = data.audit()
    if not found.passed:
        name, example = next(iter(found.leaking.items()))
        raise LeakError(
            f"{', '.join(found.leaking)}: what was known only after the decision changes the value",
            where=f"training, data set {manifest['name']}, row {example['id']}",
            value=f"{name} was {example['built']}, and {example['found']} without what came later",
            todo="Build the data set anew with features that look back.",
        )
