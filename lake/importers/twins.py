"""Ids of rows that share the facts their ids are made of: what tells the same story is one row, others are twins.

A row's story is what it tells in canonical columns: without what is kept beside it, so that a spelling or a serial
number makes no second row. The first story of an id has it; a twin has a digest of its own behind it, and not its
number, so that neither the order in which a store tells them nor what it has forgotten meanwhile makes one another.
Most ids have one story, which is surely their row. Where it is in doubt which of the lake's rows stories are, all
that the whole table tells of the id is decided at once, in whichever batches it comes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from lake.importers.gathered import All, Gathered, Reader
from lake.importers.keys import Keys
from lake.importers.lives import Family, own_ids, remembered, settled
from lake.importers.mapping import Canonical
from lake.importers.merging import contradictions
from lake.importers.stories import SUFFIX, Held, Stories, Story, StoryKey
from lake.spec.dataset import Dataset
from lake.store.drain import is_open

_TWIN = re.compile(rf".+-[0-9a-f]{{{SUFFIX - 1}}}", re.DOTALL)
_New = dict[str, dict[StoryKey, Story]]


def base_of(name: str) -> str:
    """The id without what a twin has behind it.

    >>> base_of("trade-1-0123456789a"), base_of("trade-1")
    ('trade-1', 'trade-1')
    """
    return name[:-SUFFIX] if is_twin(name) else name


def is_twin(name: str) -> bool:
    """Whether there is something behind an id that tells a twin."""
    return _TWIN.fullmatch(name) is not None


class Twins:
    """Gives each story of one table its id.

    Args:
        ds: the dataset of the rows, whose key is one text.
        label: of the table, under which found rows are kept.
        own: the rows of the table from its beginning, in batches, which are read where it is in doubt whose a row of
            the lake is. Left out, a batch is all that there is.
        others: those of the tables to and from which its rows move.
        remade: what a row tells that is kept as it was found; None where that cannot be read now.

    >>> from lake.spec import registry
    >>> twins = Twins(registry.get("trades"), "trades-json:trades")
    >>> rows = [{"trade_id": "t", "status": "closed", "quantity": quantity} for quantity in (1.0, 2.0, 1.0, 2.0)]
    >>> [row["trade_id"] for row in twins.named(rows, [])], twins.count
    (['t', 't-1fc6abbcf3e', 't', 't-1fc6abbcf3e'], 1)
    """

    def __init__(
        self,
        ds: Dataset,
        label: str,
        own: Reader | None = None,
        others: Reader | None = None,
        remade: Callable[[Any], Canonical | None] = lambda _: None,
    ) -> None:
        (self._column,) = ds.key
        self._remade = remade
        self._ds, self._stories = ds, Stories(ds, label)
        self._whole = Gathered(self._stories, own or _none, others or _none)
        self._firsts = Keys()  # stories that have the id of their facts
        self._names: dict[StoryKey, str] = {}  # those that have another
        self._taken = Keys()  # ids that stories of this table have
        self.count = 0

    def named(self, rows: Sequence[Canonical], there: Iterable[Canonical]) -> list[Canonical]:
        """The rows, each under the id that is its own.

        Args:
            rows: in order, under the ids of their facts.
            there: what the lake, or a plan of it, has under those ids and with digests behind them.
        """
        tellings = [self._stories.told(row) for row in rows]
        keys = [self._stories.key(row, told) for row, told in zip(rows, tellings, strict=True)]
        new: _New = {}
        for row, told, key in zip(rows, tellings, keys, strict=True):
            if key not in self._firsts and key not in self._names and key not in new.get(key[0], ()):
                new.setdefault(key[0], {})[key] = self._stories.story(row, told)
        families = self._families(new, there)
        doubtful = {base: told for base, told in new.items() if not self._is_plain(base, told, families[base])}
        for row, key in zip(rows, keys, strict=True) if doubtful else ():
            if key in doubtful.get(key[0], ()):
                self._stories.add_found(doubtful[key[0]][key], row)
        self._decide(doubtful, families)
        return [
            {**row, self._column: self._names[key]} if key in self._names else row
            for row, key in zip(rows, keys, strict=True)
        ]

    def _families(self, bases: Iterable[str], there: Iterable[Canonical]) -> dict[str, dict[str, Canonical]]:
        families: dict[str, dict[str, Canonical]] = {base: {} for base in bases}
        for row in there:
            name = str(row[self._column])
            for base in {name, base_of(name)} & families.keys():
                families[base][name] = row
        return families

    def _is_plain(self, base: str, told: Mapping[StoryKey, Story], family: Mapping[str, Canonical]) -> bool:
        """Give stories their rows where nothing is in doubt.

        A story that is told alone is the lake's only row of its id, if it may be what comes next of it. Where no row is
        left that it could be, it has one of its own, unless it may be how another of its table ended, or began.
        """
        stories = list(told.values())
        free = [name for name in family if name not in self._taken]
        if free:
            is_only = free == [base] and len(family) == len(stories) == 1
            names = [base] if is_only and self._is_next(family[base], stories[0]) else []
        else:
            stages = {*(is_open(self._ds, row) for row in family.values()), *(story.goes_on for story in stories)}
            used = {*family, base} if base in self._taken else {*family}
            names = list(own_ids(stories, used)) if len(stages) == 1 else []
        if names:
            self._take(base, dict(zip(told, names, strict=True)), family)
        return bool(names)

    def _is_next(self, there: Canonical, one: Story) -> bool:
        """Whether a story may be what comes next of a row; once that has ended, what goes on may be another."""
        return not contradictions(self._ds, there, one.row) and (is_open(self._ds, there) or not one.goes_on)

    def _decide(self, doubtful: _New, families: Mapping[str, Mapping[str, Canonical]]) -> None:
        """Give stories the rows that remember them, or those that all that is told of their ids shows to be theirs."""
        unknown = dict[str, dict[str, Held]]()
        for base, told in doubtful.items():
            held = {name: self._stories.held(row) for name, row in families[base].items()}
            known = remembered(told, held)
            if known.keys() == told.keys():
                self._take(base, known, held)
            else:
                unknown[base] = held
        gathered = self._whole.of(unknown.keys()) if unknown else {}
        for base, held in unknown.items():
            of = gathered.get(base, All())
            stories = doubtful[base] | of.own
            decided = {key: name for key in stories if (name := self._name(key)) is not None}
            taken = frozenset(name for name in (base, *held) if name in self._taken)
            family = Family(self._ds, base, stories, list(of.others.values()), held, decided, taken, self._remade)
            self._take(base, settled(family), held)

    def _name(self, key: StoryKey) -> str | None:
        """The id of a story that has one by now."""
        return key[0] if key in self._firsts else self._names.get(key)

    def _take(self, base: str, names: Mapping[StoryKey, str], family: Iterable[str]) -> None:
        self.count += sum(name not in self._taken for name in {*names.values()}.difference(family, {base}))
        for key, name in names.items():
            self._taken.add(name)
            if name == base:
                self._firsts.add(key)
            else:
                self._names[key] = name


def _none() -> Iterator[Sequence[Canonical]]:
    return iter(())
