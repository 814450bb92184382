"""What rows of a table tell: a story each, in whatever spelling; and what the lake's rows say was told of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from lake.importers.mapping import IMPORTED, Canonical
from lake.spec.dataset import Dataset, Type
from lake.store.drain import is_open

SUFFIX = 12  # characters behind the id that a twin shares: a hyphen and a digest
_MILLISECOND = 1_000  # what most stores keep of a time
Told = tuple[object, ...]
StoryKey = tuple[str, int]  # the id of the facts, and a hash of what is told


@dataclass(slots=True)
class Story:
    """One story of a table.

    Attributes:
        base: the id of its facts.
        row: as it was mapped, where it is told first.
        told: what it tells.
        goes_on: whether the life that it tells of does.
        found: hashes of the rows that tell it, as they were found.
    """

    base: str
    row: Canonical
    told: Told
    goes_on: bool
    found: set[int] = field(default_factory=set)

    def twin(self, again: int = 0) -> str:
        """The id that it has if the id of its facts is another's; and others, if that is another's too."""
        told = repr(self.told) + f" {again}" * bool(again)
        return f"{self.base}-{hashlib.sha256(told.encode(errors='surrogatepass')).hexdigest()[: SUFFIX - 1]}"


@dataclass(frozen=True, slots=True)
class Held:
    """A row that the lake has, and what tables told of it last, as hashes of the rows as they were found.

    Attributes:
        row: it.
        mine: what the table in question told; None when it told nothing.
        all: what any told.
        found: what the table told, as it was found.
    """

    row: Canonical
    mine: int | None
    all: frozenset[int]
    found: Any = None


class Stories:
    """Reads the stories of one table.

    Args:
        ds: the dataset of the rows, whose key is one text.
        label: of the table, under which found rows are kept.
    """

    def __init__(self, ds: Dataset, label: str) -> None:
        (self._column,) = ds.key
        self._ds, self._label = ds, label
        self._told = [(name, column.type) for name, column in ds.by_name.items() if name not in {self._column, "extra"}]

    def told(self, row: Canonical) -> Told:
        """What a row tells, spelled in one way: without what is kept beside it."""
        return tuple([(name, _spelled(row[name], type_)) for name, type_ in self._told if name in row])

    def key(self, row: Canonical, told: Told) -> StoryKey:
        """What tells the story of a row from those of others."""
        return self.base(row), hash(told)

    def story(self, row: Canonical, told: Told) -> Story:
        """The story of a row."""
        return Story(self.base(row), row, told, is_open(self._ds, row))

    def base(self, row: Canonical) -> str:
        """The id of a row's facts."""
        return str(row[self._column])

    def add_found(self, story: Story, row: Canonical) -> None:
        """Note a row that tells a story, as it was found."""
        story.found.update(map(_hashed, _imported(row).values()))

    def held(self, row: Canonical) -> Held:
        """A row of the lake with what was told of it."""
        imported = _imported(row)
        told = {label: _hashed(found) for label, found in imported.items()}
        return Held(row, told.get(self._label), frozenset(told.values()), imported.get(self._label))


def _imported(row: Canonical) -> Mapping[str, Any]:
    extra = orjson.loads(row["extra"]) if row.get("extra") else {}
    imported = extra.get(IMPORTED) if isinstance(extra, dict) else None
    return imported if isinstance(imported, dict) else {}


def _hashed(found: Any) -> int:
    return hash(orjson.dumps(found, option=orjson.OPT_SORT_KEYS))


def _spelled(value: Any, type_: Type) -> object:
    if type_ is Type.FLOAT:
        return f"{value:.10g}"
    if type_ is Type.TIMESTAMP:
        return value // _MILLISECOND
    return orjson.dumps(orjson.loads(value), option=orjson.OPT_SORT_KEYS) if type_ is Type.JSON else value
