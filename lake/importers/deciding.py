"""What becomes of rows of a batch beside those of the lake: decided without a trace, so that it can be decided anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lake.importers.base import Row
from lake.importers.keys import Keys
from lake.importers.mapping import HELD, Canonical, Mapper, found_before
from lake.importers.merging import Merged, changed_names, ends, is_same, merged
from lake.importers.there import Key
from lake.spec.dataset import Type
from lake.store.drain import is_open

_SERIAL = frozenset({"id", "_id", "rowid", "created_at", "updated_at", "inserted_at"})  # they tell of the store


@dataclass(frozen=True, slots=True)
class Made:
    """One row: its key, what became of it, as it was found, and the numbers that the source has for its sums."""

    key: Key
    row: Canonical
    found: Row
    told: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a row.

    Attributes:
        one: it.
        known: the row of its key before it, of the lake or of the batch.
        both: what they become.
        is_again: whether another row of its table has had the key, and is kept.
    """

    one: Made
    known: Canonical | None
    both: Merged
    is_again: bool

    @property
    def name(self) -> str:
        """What a row that is not there again counts as."""
        if self.known is None:
            return "inserted"
        return "unchanged" if self.both.row == self.known else "changed"


class Deciding:
    """Decides on rows of one table in one dataset.

    Args:
        mapper: made the rows.
        seen: keys of the table's rows of earlier batches.
    """

    def __init__(self, mapper: Mapper, seen: Keys) -> None:
        self._mapper, self._seen = mapper, seen
        self._stale = Keys()  # of rows that had ended when the table first told of them, and told that they go on
        self._ended = Keys()  # those of them of which it told since that they have

    def decided(self, made: Sequence[Made], there: Mapping[Key, Canonical]) -> tuple[list[Fate], dict[Key, Canonical]]:
        """The fates of rows, and what the lake's rows of their keys then are.

        Args:
            made: the rows.
            there: the lake's rows of their keys.
        """
        current, fates, ds = dict(there), list[Fate](), self._mapper.dataset
        had: dict[Key, bool] = {}  # of this batch, and whether it only told that they go on
        for one in made:
            known = current.get(one.key)
            is_again = known is not None and self._is_had(one, had) and not ends(ds, known, one.row)
            both = Merged(one.row) if known is None else self.merged(known, one.row)
            if not is_again:
                current[one.key] = both.row
                had[one.key] = had.get(one.key, True) and self._is_stale(known, one.row)
            fates.append(Fate(one, known, both, is_again))
        return fates, current

    def see(self, fate: Fate) -> None:
        """From here on the row is one of an earlier batch."""
        key = fate.one.key
        if self._is_stale(fate.known, fate.one.row):
            if key not in self._seen:
                self._stale.add(key)
        elif key in self._stale:
            self._ended.add(key)

    def _is_stale(self, known: Canonical | None, row: Canonical) -> bool:
        """Whether a row had ended in the lake, and its table tells that it goes on: it may tell its end elsewhere."""
        return known is not None and ends(self._mapper.dataset, row, known)

    def _is_had(self, one: Made, had: Mapping[Key, bool]) -> bool:
        """Whether the table told of a row before; that it goes on only counts where it is told again."""
        only_stale = had.get(one.key, True)
        if one.key in self._seen:
            only_stale = only_stale and one.key in self._stale and one.key not in self._ended
        elif one.key not in had:
            return False
        return not only_stale or is_open(self._mapper.dataset, one.row)

    def merged(self, known: Canonical, row: Canonical) -> Merged:
        """What a row that is there and one of the table become."""
        if self._mapper.map.gives_way is not None and self._mapper.map.gives_way(known):
            return Merged({**dict.fromkeys(known), **row})
        if decided := self._mapper.map.decided:
            known = {**known, **{name: row[name] for name in decided & row.keys()}}
        return merged(self._mapper.dataset, known, row, self._mapper.label, self._mapper.changed)

    def folding(self, stories: Sequence[Canonical]) -> Callable[[Row | None], dict[str, Any] | None]:
        """The change that some rows of one key make of the row that is there."""

        def fold(there: Row | None) -> dict[str, Any] | None:
            row = None if there is None else dict(there)
            for story in stories:
                row = story if row is None else self.merged(row, story).row
            changes = {name: value for name, value in (row or {}).items() if there is None or there.get(name) != value}
            return changes or None

        return fold

    def beside(self, known: Canonical, row: Canonical) -> dict[str, tuple[Any, Any]]:
        """What another row of this table with the same story told besides it, and this one tells otherwise."""
        before, now = (found_before(one, self._mapper.label) or {} for one in (known, row))
        mapped = {name for rule in self._mapper.map.columns.values() for name in rule.names}
        names = changed_names(before, now) - mapped - _SERIAL - {HELD}
        return {name: (before.get(name), now.get(name)) for name in sorted(names)}

    def is_told(self, known: Canonical, row: Canonical) -> bool:
        """Whether this table said the same before, also of what is not kept beside the row: whole documents."""
        held, columns, label = self._mapper.map.held, self._mapper.map.columns, self._mapper.label
        of_type = self._mapper.dataset.by_name
        documents = [n for n, rule in columns.items() if of_type[n].type is Type.JSON and held.intersection(rule.names)]
        is_same_beside = found_before(known, label) == found_before(row, label)
        return is_same_beside and all(is_same(known.get(name), row.get(name)) for name in documents)
