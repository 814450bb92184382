"""Inputs as they were when a row was decided: what is changed later is kept beside what it was.

A bot that writes a better score, other features or kinder reasons into a row whose end it has seen would teach a model
the future. So every version of a row carries, in its column ``changed_inputs``, what each input was that has changed:
``{"ml_score": {"was": 55.0, "changed_at": 1767225600000000}}``. Ledgers keep it when they change a row, the cold
table when versions of a row meet in it, however each was written.

An input may still come until a minute after the decision, as a score does that is computed beside it: where there was
none, or as more keys of a JSON map. A value that is there is never replaced, and nothing comes once the end is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from lake.clock import MICROS_PER_MINUTE
from lake.spec.dataset import CHANGED_INPUTS, Dataset, Inputs, Type

IN_TIME = MICROS_PER_MINUTE


def with_inputs(ds: Dataset, before: Mapping[str, Any], after: dict[str, Any], at: int) -> dict[str, Any]:
    """The next version of a row, with what its inputs were; ``after`` itself where there is nothing to add.

    Args:
        ds: of the row.
        before: the version before, canonical.
        after: the next one, canonical.
        at: when it was written, in microseconds.
    """
    inputs = ds.inputs
    if inputs is None:
        return after
    is_pending = any(before.get(name) in values for name, values in inputs.pending.items())
    changed = [] if is_pending else [name for name in inputs.columns if before.get(name) != after.get(name)]
    known = before.get(CHANGED_INPUTS)
    if not changed and known == after.get(CHANGED_INPUTS):
        return after
    kept, told = changes_of(before), changes_of(after)
    is_late = _is_late(ds, inputs, (before, after), at)
    for name in changed:
        if name in kept:
            kept[name] = {**kept[name], "changed_at": told.get(name, {}).get("changed_at", at)}
        elif name not in told and (is_late or not _adds(ds, name, before.get(name), after.get(name))):
            kept[name] = {"was": before.get(name), "changed_at": at}
    return with_changes(after, joined(kept, told))


def as_decided(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row with its inputs as they were when it was decided.

    >>> as_decided({"ml_score": 99.0, "changed_inputs": '{"ml_score": {"was": 55.0, "changed_at": 1}}'})["ml_score"]
    55.0
    """
    changes = changes_of(row)
    if not changes:
        return row
    decided = {**row, **{name: change["was"] for name, change in changes.items()}}
    return {name: value for name, value in decided.items() if value is not None}


def changes_of(row: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Input -> what it ``was``, and its last change, ``changed_at``."""
    found: dict[str, dict[str, Any]] = orjson.loads(row.get(CHANGED_INPUTS) or "{}")
    return found


def joined(older: Mapping[str, dict[str, Any]], newer: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What inputs were, by two versions of a row: the older one was nearer to the decision."""
    return {
        name: {
            "was": (older.get(name) or newer[name])["was"],
            "changed_at": max(kept[name]["changed_at"] for kept in (older, newer) if name in kept),
        }
        for name in [*older, *(n for n in newer if n not in older)]
    }


def with_changes(row: dict[str, Any], changes: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The row with these as its changed inputs."""
    return {**row, CHANGED_INPUTS: orjson.dumps(changes).decode()} if changes else row


def _is_late(ds: Dataset, inputs: Inputs, versions: tuple[Mapping[str, Any], Mapping[str, Any]], at: int) -> bool:
    """Whether a version comes when its end is known, or a minute after the decision."""
    before = versions[0]
    if ds.ends_at is not None and any(version.get(ds.ends_at) is not None for version in versions):
        return True
    decided = next(before[name] for name in inputs.decided_at if before.get(name) is not None)
    was = changes_of(before).get(ds.event_time)
    return bool(at > (decided if was is None else was["was"]) + IN_TIME)


def _adds(ds: Dataset, name: str, before: Any, after: Any) -> bool:
    """Whether a value comes where there was none, or as a JSON map with the same and more keys."""
    if before is None or after is None:
        return before is None
    if ds.column(name).type is not Type.JSON:
        return False
    old, new = orjson.loads(before), orjson.loads(after)
    return isinstance(old, dict) and isinstance(new, dict) and old.items() <= new.items()
