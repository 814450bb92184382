"""Two stories of one row: how they become one, and what they tell differently.

A source that is imported again, and says something new, is believed in that: it is newer. Of two sources that both know
a row, the one that came first is kept, and gets what it did not know from the other. A row whose life goes on gives way
to one that has ended, never the other way round; what was known when it began stays. Every value that is not taken
over is reported, and so is every one that a source corrects of what had ended, or puts in the place of another's.

Times of two stories are not put together in an order that neither tells, as where one store keeps whole seconds: all of
them are then those of the story whose end is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import orjson

from lake.importers.mapping import HELD, IMPORTED, Canonical, found_before
from lake.spec.dataset import Dataset, Type
from lake.spec.rules import InOrder
from lake.store.drain import is_open

Changed = Callable[[Any, Any], AbstractSet[str]]
_TIMES = 10**12  # whole numbers from here on are times, of which some stores keep milliseconds, and some seconds
_MILLISECOND, _SECOND = 1_000, 1_000_000
_DIGITS = 8  # of decimals, as databases keep them
_AGREED = frozenset({"entry_price", "stop_loss", "take_profit", "tp1", "tp2", "tp3", "quantity", "leverage"})


@dataclass(frozen=True, slots=True)
class Merged:
    """The row that two became.

    Attributes:
        row: it.
        kept: columns in which what was there is kept, though the other differs.
        given_up: columns in which what was there gave way to another source, and was no mere stage of the row's life.
    """

    row: Canonical
    kept: tuple[str, ...] = ()
    given_up: tuple[str, ...] = ()


def changed_names(before: Any, now: Any) -> AbstractSet[str]:
    """The names under which two found rows tell otherwise."""
    return {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)}


def merged(ds: Dataset, there: Canonical, incoming: Canonical, label: str, changed: Changed = changed_names) -> Merged:
    """What a row in the lake and one of a source become.

    Args:
        ds: their dataset.
        there: the lake's row.
        incoming: the row that an import made.
        label: of the table that it is from.
        changed: tells, of what the table said before and says now, which of our columns it tells otherwise.
    """
    if there == incoming:
        return Merged(there)
    before, now = found_before(there, label), found_before(incoming, label)
    is_stale = ends(ds, incoming, there)
    if is_stale and before is not None:
        return Merged(there)
    is_again, has_ended = before is not None and _is_other(before, now), ends(ds, there, incoming)
    is_final = is_again and not is_open(ds, there)  # a source corrects what had ended, or an older copy of it is read
    news = changed(before, now) if is_again else frozenset()
    inputs = frozenset(ds.inputs.columns if ds.inputs else ())
    row, kept, given_up = dict(there), [], []
    for name, value in incoming.items():
        own = there.get(name)
        if name == "extra" or name in ds.key or is_same(own, value) or _is_untold(ds, name, value):
            continue
        if own is None or own == "":
            row[name] = value
        elif name in news if is_again else (has_ended and name not in inputs):
            row[name] = value
            given_up += [name] if is_final or (name in _AGREED and not is_again) else []
        elif not _is_default(ds, name, value) and (not is_stale or name in _AGREED | inputs):
            kept.append(name)
    if "extra" in incoming and incoming["extra"] != there.get("extra"):
        row["extra"] = _extra(there.get("extra"), incoming["extra"], is_newer=is_again or has_ended)
    return _with_times_in_order(ds, there, incoming, Merged(row, tuple(kept), tuple(given_up)))


def _is_other(before: Any, now: Any) -> bool:
    """Whether a table tells of a row otherwise than before; by the digest too, where there was one."""
    if isinstance(before, Mapping) and isinstance(now, Mapping) and HELD not in before:
        now = {name: value for name, value in now.items() if name != HELD}
    return bool(before != now)


def _with_times_in_order(ds: Dataset, there: Canonical, incoming: Canonical, both: Merged) -> Merged:
    """The same, with all times of one story where an order came of both that neither tells."""
    for rule in ds.rules:
        if isinstance(rule, InOrder) and _turns(rule, both.row) and not any(_turns(rule, o) for o in (there, incoming)):
            both = _with_times_of_one(ds, rule, (there, incoming), both)
    return both


def _turns(rule: InOrder, row: Canonical) -> bool:
    first, then = row.get(rule.first), row.get(rule.then)
    return first is not None and then is not None and then < first


def _with_times_of_one(ds: Dataset, rule: InOrder, stories: tuple[Canonical, Canonical], both: Merged) -> Merged:
    """The source's times where its end was taken and it tells the beginning too; else those that were there."""
    there, incoming = stories
    is_theirs = both.row[rule.then] == incoming.get(rule.then) and incoming.get(rule.first) is not None
    chosen, other = (incoming, there) if is_theirs else (there, incoming)
    names = [n for n, column in ds.by_name.items() if column.type is Type.TIMESTAMP and incoming.get(n) is not None]
    row = {**both.row, **{name: chosen.get(name) for name in names}}
    told = tuple(n for n in names if n in rule.columns or not is_same(chosen.get(n), other.get(n)))
    told = tuple(n for n in told if chosen.get(n) != other.get(n) and other.get(n) is not None)
    kept, given_up = (tuple(n for n in part if n not in names) for part in (both.kept, both.given_up))
    return Merged(row, kept, given_up + told) if is_theirs else Merged(row, kept + told, given_up)


def contradictions(ds: Dataset, there: Canonical, incoming: Canonical) -> tuple[str, ...]:
    """The columns in which two stories cannot both be true; of two stages of a life only what an end does not change.

    Args:
        ds: their dataset.
        there: the lake's row.
        incoming: one of a source.
    """
    is_stage = is_open(ds, there) != is_open(ds, incoming)
    unchanged = steady(ds)
    return tuple(
        name
        for name, value in incoming.items()
        if name not in ds.key
        and name != "extra"
        and (name in unchanged or not is_stage)
        and there.get(name) not in {None, ""}
        and not is_same(there[name], value)
        and not _is_default(ds, name, value)
    )


def steady(ds: Dataset) -> AbstractSet[str]:
    """The columns that tell how a row's life began, which no stage of it changes."""
    return _AGREED | frozenset(ds.inputs.columns if ds.inputs else ())


def ends(ds: Dataset, there: Canonical, incoming: Canonical) -> bool:
    """Whether a row's life goes on in the lake, and has ended in the source."""
    return is_open(ds, there) and not is_open(ds, incoming)


def is_same(one: Any, other: Any) -> bool:
    """Equal, but for what decimals, floats and milliseconds cannot tell apart."""
    if isinstance(one, float) and isinstance(other, (int, float)):
        rounded = one == round(other, _DIGITS) or other == round(one, _DIGITS)
        return rounded or math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(one, int) and isinstance(other, int) and abs(one) > _TIMES:
        is_cut = one // _SECOND == other // _SECOND and 0 in {one % _SECOND, other % _SECOND}
        return is_cut or abs(one - other) < _MILLISECOND
    if isinstance(one, str) and isinstance(other, str) and one[:1] in "{[" and other[:1] in "{[":
        return bool(_loaded(one) == _loaded(other))
    return bool(one == other)


def _loaded(text: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        return text


def _is_default(ds: Dataset, name: str, value: Any) -> bool:
    """Whether the dataset may have said it, and not the source; times are always the source's."""
    default = (ds.defaults or {}).get(name)
    return default is not None and bool(default == value)


def _is_untold(ds: Dataset, name: str, value: Any) -> bool:
    """Whether the dataset says that nobody told it; a source that no longer tells takes nothing back."""
    return value == "" and _is_default(ds, name, value)


def _extra(there: str | None, incoming: str, *, is_newer: bool) -> str:
    old = orjson.loads(there) if there else {}
    old = old if isinstance(old, dict) else {"extra": old}
    new = orjson.loads(incoming)
    new = new if isinstance(new, dict) else {"extra": new}
    imported = {**old.get(IMPORTED, {}), **new.get(IMPORTED, {})}
    both = {**({**old, **new} if is_newer else {**new, **old}), **({IMPORTED: imported} if imported else {})}
    return there if there and both == old else orjson.dumps(both).decode()
