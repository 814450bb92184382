"""Two stories of one row: how they become one, and what they tell differently.

A source that is imported again, and says something new, is believed: it is newer. Of two sources that both know a
row, the one that came first is kept, and gets what it did not know from the other. A row whose life goes on gives way
to one that has ended, never the other way round. Every value that is not taken over is reported.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import orjson

from lake.importers.mapping import IMPORTED, Canonical, found_before
from lake.spec.dataset import Dataset
from lake.store.drain import is_open

_MILLISECOND = 1_000


@dataclass(frozen=True, slots=True)
class Merged:
    """The row that two became, and the columns in which the one that was there is kept though the other differs."""

    row: Canonical
    kept: tuple[str, ...] = ()


def merged(ds: Dataset, there: Canonical, incoming: Canonical, label: str) -> Merged:
    """What a row in the lake and one of a source become.

    Args:
        ds: their dataset.
        there: the lake's row.
        incoming: the row that an import made.
        label: of the table that it is from.
    """
    before, now = found_before(there, label), found_before(incoming, label)
    reopened = is_open(ds, incoming) and not is_open(ds, there)
    is_newer = ends(ds, there, incoming) or (before is not None and before != now)
    if reopened:
        return Merged(there)
    row, kept = dict(there), []
    for name, value in incoming.items():
        if name == "extra" or name in ds.key:
            continue
        own = there.get(name)
        if own is None or own == "":
            row[name] = value
        elif not is_same(own, value):
            if is_newer:
                row[name] = value
            elif not _is_default(ds, name, value):
                kept.append(name)
    if "extra" in incoming:
        row["extra"] = _extra(there.get("extra"), incoming["extra"])
    return Merged(row, tuple(kept))


def ends(ds: Dataset, there: Canonical, incoming: Canonical) -> bool:
    """Whether a row's life goes on in the lake, and has ended in the source."""
    return is_open(ds, there) and not is_open(ds, incoming)


def is_same(one: Any, other: Any) -> bool:
    """Equal, but for what decimals, floats and milliseconds cannot tell apart."""
    if isinstance(one, float) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(one, int) and isinstance(other, int) and abs(one) > _MILLISECOND**4:
        return abs(one - other) < _MILLISECOND  # times: some stores keep milliseconds
    if isinstance(one, str) and isinstance(other, str) and one[:1] in "{[" and other[:1] in "{[":
        return bool(_loaded(one) == _loaded(other))
    return bool(one == other)


def _loaded(text: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        return text


def _is_default(ds: Dataset, name: str, value: Any) -> bool:
    """Whether the dataset, not the source, said it."""
    default = (ds.defaults or {}).get(name)
    return default is not None and bool(default in (value, "now"))


def _extra(there: str | None, incoming: str) -> str:
    old = orjson.loads(there) if there else {}
    old = old if isinstance(old, dict) else {"extra": old}
    new = orjson.loads(incoming)
    imported = {**old.get(IMPORTED, {}), **new.get(IMPORTED, {})}
    return orjson.dumps({**new, **old, IMPORTED: imported}).decode()
