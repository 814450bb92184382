"""All stories that a table tells of some ids, wherever in it: gathered when it is in doubt whose a row of the lake is.

Few ids have several stories. Those that do are found in one pass over the table, and their stories are held, as many
as fit; what does not fit is gathered in further passes, in the order in which it comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from lake.importers.keys import Keys
from lake.importers.mapping import Canonical
from lake.importers.stories import Stories, Story, StoryKey, Told

Reader = Callable[[], Iterator[Sequence[Canonical]]]
_MOST = 50_000  # stories that are held


@dataclass(slots=True)
class All:
    """All stories of one id.

    Attributes:
        own: of the table.
        others: of the tables to and from which its rows move.
    """

    own: dict[StoryKey, Story] = field(default_factory=dict)
    others: dict[StoryKey, Story] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.own) + len(self.others)


class Gathered:
    """The stories of a table, by their ids.

    Args:
        stories: reads them.
        own: the rows of the table from its beginning, in batches.
        others: those of the tables to and from which its rows move.
    """

    def __init__(self, stories: Stories, own: Reader, others: Reader) -> None:
        self._stories, self._readers = stories, (own, others)
        self._held: dict[str, All] = {}
        self._several: Keys | None = None  # ids of which several stories are told
        self._given = Keys()  # ids whose stories were asked for

    def of(self, bases: AbstractSet[str]) -> dict[str, All]:
        """The stories of some ids; of one that is told one story of, or that was asked for before, there are none."""
        if self._several is None:
            self._several = self._look()
        wanted = {base for base in bases if base in self._several and base not in self._given}
        if not wanted <= self._held.keys():
            self._held = self._pass(wanted)
        for base in wanted:
            self._given.add(base)
        return {base: self._held.pop(base) for base in wanted if base in self._held}

    def _look(self) -> Keys:
        """Find the ids with several stories, and hold these if they fit."""
        met, stories, several, held = Keys(), Keys(), Keys(), dict[str, All]()
        count = 0
        for is_own, row in self._rows():
            told = self._stories.told(row)
            key = self._stories.key(row, told)
            if (is_own, key) not in stories:
                stories.add((is_own, key))
                if key[0] in met:
                    several.add(key[0])
                met.add(key[0])
                count += 1
            if count <= _MOST:
                self._hold(held, is_own, row, told)
            else:
                held.clear()
        self._held = {base: one for base, one in held.items() if base in several}
        return several

    def _pass(self, wanted: Iterable[str]) -> dict[str, All]:
        """The stories of the ids that are wanted, and of as many others as fit, which may be wanted next."""
        held = {base: All() for base in wanted}
        count = 0
        for is_own, row in self._rows():
            base = self._stories.base(row)
            if base in held or (count < _MOST and base in (self._several or ()) and base not in self._given):
                count += self._hold(held, is_own, row, self._stories.told(row))
        return held

    def _rows(self) -> Iterator[tuple[bool, Canonical]]:
        for is_own, read in zip((True, False), self._readers, strict=True):
            for batch in read():
                yield from ((is_own, row) for row in batch)

    def _hold(self, held: dict[str, All], is_own: bool, row: Canonical, told: Told) -> bool:
        """Hold the story of a row; whether it is a new one."""
        key = self._stories.key(row, told)
        of = held.setdefault(key[0], All())
        stories = of.own if is_own else of.others
        is_new = key not in stories
        if is_new:
            bare = {name: value for name, value in row.items() if name != "extra"}
            stories[key] = self._stories.story(bare, told)
        self._stories.add_found(stories[key], row)
        return is_new
