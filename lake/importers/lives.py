"""Which row each story of one id is, of all that a table tells of it and all that the lake has: decided at once.

A life is a story, or two of which one goes on and the other is how it ended, and which contradict each other in
nothing. Which stories are one life depends on the table alone. Each life has one row, and each row at most one life of
a table, so that the row remembers by what it keeps of the table whose it is. So a life has the row that remembers one
of its stories; then one that it contradicts in nothing; then one that has ended in it, or that it corrects, if no story
of the tables to which its rows move is surely that row; else a row of its own. Nothing of that depends on the order in
which stories are told, and decided anew with the rows that came of it, it is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from lake.importers.mapping import Canonical
from lake.importers.merging import contradictions, steady
from lake.importers.stories import Held, Story, StoryKey
from lake.spec.dataset import Dataset
from lake.store.drain import is_open

Life = tuple[StoryKey, ...]  # the one in which it has ended comes first


@dataclass(frozen=True, slots=True)
class Family:
    """All that is known of one id.

    Attributes:
        ds: the dataset.
        base: the id.
        stories: of the table.
        others: of the tables to and from which its rows move.
        held: the lake's rows of that id, and their twins.
        decided: the rows of stories of the table that have one by now.
        taken: ids of rows that stories of the table have by now.
        remade: what the table told of a row, by how it was found; None where that cannot be read now.
    """

    ds: Dataset
    base: str
    stories: Mapping[StoryKey, Story]
    others: Sequence[Story]
    held: Mapping[str, Held]
    decided: dict[StoryKey, str]
    taken: frozenset[str] = frozenset()
    remade: Callable[[Any], Canonical | None] = lambda _: None


def remembered(stories: Mapping[StoryKey, Story], held: Mapping[str, Held]) -> dict[StoryKey, str]:
    """The rows of which the table said before just what stories tell."""
    rows = {one.mine: name for name, one in sorted(held.items(), reverse=True) if one.mine is not None}
    known = {
        key: min((rows[found] for found in story.found & rows.keys()), default=None) for key, story in stories.items()
    }
    return {key: name for key, name in known.items() if name is not None}


def settled(family: Family) -> dict[StoryKey, str]:
    """The ids of the rows of all stories."""
    known = remembered(family.stories, family.held) | family.decided
    names, lives = _known(_lives(family), known)
    homeless = dict.fromkeys(lives)
    for find in (_surest, _nearest):
        free = family.held.keys() - set(names.values()) - family.taken
        for _, name, life in sorted(find(family, list(homeless), free)):
            if life in homeless and name in free:
                names[life] = name
                del homeless[life]
                free -= {name}
    used = {*names.values(), *family.held, *family.taken}
    names |= zip(homeless, own_ids([family.stories[life[0]] for life in homeless], used), strict=True)
    return {key: name for life, name in names.items() for key in life}


def own_ids(stories: Iterable[Story], used: AbstractSet[str]) -> Iterator[str]:
    """Ids for rows of their own: the one of their facts, or with a digest behind it, if that is used."""
    given = set(used)
    for story in stories:
        name, again = story.base, 0
        while name in given:
            name, again = story.twin(again), again + 1
        given.add(name)
        yield name


def _lives(family: Family) -> Iterator[Life]:
    """Pairs of stories that are one life, the most alike first; and the others."""
    ordered = sorted(family.stories, key=lambda key: family.stories[key].twin())
    begun = [key for key in ordered if family.stories[key].goes_on]
    ended = [key for key in ordered if not family.stories[key].goes_on]
    pairs = []
    for n, first in enumerate(begun):
        for m, last in enumerate(ended):
            one, other = family.stories[first].row, family.stories[last].row
            if not contradictions(family.ds, one, other):
                pairs.append((-_alike(one, other), n, m))
    left = set(ordered)
    for _, n, m in sorted(pairs):
        if {begun[n], ended[m]} <= left:
            left -= {begun[n], ended[m]}
            yield ended[m], begun[n]
    yield from ((key,) for key in ordered if key in left)


def _known(lives: Iterable[Life], known: Mapping[StoryKey, str]) -> tuple[dict[Life, str], list[Life]]:
    """The rows of lives of which a story has one; and the others.

    Of two stories that have a row each, each is a life; and so are they where the row of the one that goes on is that
    of another life, since it changed nothing there.
    """
    names: dict[Life, str] = {}
    homeless, used = [], set[str]()
    for life in sorted(lives, key=lambda life: life[0] not in known):
        last, *begun = life
        if last in known:
            names |= {(key,): known.get(key, known[last]) for key in life}
            used.add(known[last])
        elif not begun or begun[0] not in known:
            homeless.append(life)
        elif known[begun[0]] in used:
            names[tuple(begun)] = known[begun[0]]
            homeless.append((last,))
        else:
            names[life] = known[begun[0]]
            used.add(known[begun[0]])
    return names, homeless


def _surest(
    family: Family, lives: Iterable[Life], names: Iterable[str]
) -> Iterator[tuple[tuple[object, ...], str, Life]]:
    """The rows that lives contradict in nothing, and how surely they are them: the surest have the least.

    That a story goes on changes nothing of a row that has ended and of which this table told before: the row will not
    remember it. So such a row comes first, and what the table told of it counts, which no other table changes.
    """
    told = {name: _told(family, family.held[name]) for name in names} if lives else {}
    for life in lives:
        one = family.stories[life[0]]
        twin = one.twin()
        for name in names:
            there, is_stale = family.held[name].row, _is_stale(family, family.held[name], one)
            if is_stale:
                there = told[name]
            opposed = set(contradictions(family.ds, there, one.row))
            if name == twin or not (opposed & steady(family.ds) if is_stale else opposed):
                yield (not is_stale, name != twin, -_alike(one.row, there), name, twin), name, life


def _told(family: Family, there: Held) -> Canonical:
    """What the table told of a row that has ended, or else the row."""
    if there.mine is None or is_open(family.ds, there.row):
        return there.row
    return family.remade(there.found) or there.row


def _nearest(
    family: Family, lives: Sequence[Life], names: Iterable[str]
) -> Iterator[tuple[tuple[object, ...], str, Life]]:
    """The rows that have ended in lives, or that these correct; the nearest is the one that began most alike."""
    if not lives:
        return
    claimed = _claimed(family)
    for life in lives:
        one = family.stories[life[0]]
        twin = one.twin()
        for name in names:
            there = family.held[name]
            if name not in claimed and not _is_stale(family, there, one):
                is_end = is_open(family.ds, there.row) and not one.goes_on
                yield (not is_end, *_distance(family, there, one), name, twin), name, life


def _claimed(family: Family) -> set[str]:
    """The rows that stories of other tables surely are."""
    done = set[str]()
    for one in family.others:
        told = [name for name, there in family.held.items() if not there.all.isdisjoint(one.found)]
        alike = [
            (-_alike(one.row, there.row), name)
            for name, there in family.held.items()
            if not contradictions(family.ds, there.row, one.row)
        ]
        done.update(told or ([min(alike)[-1]] if alike else []))
    return done


def _is_stale(family: Family, there: Held, one: Story) -> bool:
    return one.goes_on and there.mine is not None and not is_open(family.ds, there.row)


def _distance(family: Family, there: Held, one: Story) -> tuple[int, bool, int]:
    told = contradictions(family.ds, there.row, one.row)
    return len(steady(family.ds) & set(told)), is_open(family.ds, there.row) != one.goes_on, len(told)


def _alike(one: Mapping[str, object], other: Mapping[str, object]) -> int:
    return sum(other.get(column) == value for column, value in one.items() if column != "extra")
