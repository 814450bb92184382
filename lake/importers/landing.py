"""Batches of records into the lake: looked up, merged, written, read back, and every one accounted for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from lake.errors import InvalidRowError
from lake.importers.base import Notes, Refused, Row
from lake.importers.keys import Keys
from lake.importers.mapping import HELD, Canonical, Mapper, found_before, plain, refusal
from lake.importers.merging import Merged, changed_names, ends, is_same, merged
from lake.importers.plan import Plan, write
from lake.importers.refusals import Refusals
from lake.importers.report import KEPT_DIFFERENCES, Difference, TableReport
from lake.importers.there import Families, Key, columns_of, held
from lake.importers.totals import Total, addend
from lake.importers.twins import Twins
from lake.importers.watching import watches
from lake.importers.wording import counted
from lake.ledgers.changes import change_many
from lake.spec.dataset import Type
from lake.spec.times import from_micros

_OTHERWISE = "another row of this table has its key, and tells it otherwise"
_MOST_WAITING = 20_000  # rows that were changed, and wait in hot, which holds them in memory
_TWINS = "the facts of another row of this table, told otherwise: each gets an id of its own"
_SERIAL = frozenset({"id", "_id", "rowid", "created_at", "updated_at", "inserted_at"})  # they tell of the store


@dataclass(frozen=True, slots=True)
class _Made:
    """One row: its key, what became of it, as it was found, and the numbers that the source has for its sums."""

    key: Key
    row: Canonical
    found: Row
    told: Mapping[str, float]


class RecordLanding:
    """What becomes of the rows of one table in one dataset.

    Args:
        lk: an open lake; None, or with ``write`` False, nothing is written.
        mapper: makes the rows.
        refusals: keeps what does not fit.
        plan: takes what would be written, when nothing is.
        again: the rows of the table from its beginning, in batches.
    """

    def __init__(
        self,
        lk: Any,
        mapper: Mapper,
        refusals: Refusals,
        plan: Plan | None = None,
        again: Callable[[], Iterator[Sequence[Row]]] | None = None,
    ) -> None:
        self._lk, self._mapper, self._refusals, self._plan = lk, mapper, refusals, plan
        self._counts: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._differences: list[Difference] = []
        self._differing = 0
        self._seen = Keys()  # of this table's rows so far
        self._waiting = 0  # rows in hot, at most
        self._names: set[str] = set()  # under which its rows have values
        whole = None if again is None else partial(self._whole, again)
        self._twins = Twins(mapper.dataset, mapper.label, whole) if mapper.map.numbered else None
        self._lk_families = None if lk is None or self._twins is None else Families(lk, mapper.dataset)
        self._totals = {column: Total(self._seen) for column in mapper.map.sums}
        self._watches = watches(mapper.dataset.name)

    def take(self, rows: Iterable[Row | Refused]) -> None:
        """Land one batch; it is durable when this returns."""
        made, there = self._named(self._mapped(rows))
        self._look_up([one.key for one in made])
        made, current = self._apart(made, there)
        before = {column: self._told_sum(column, current) for column in self._totals}
        known, changed = set(current), dict[Key, Canonical]()
        stories: dict[Key, list[Canonical]] = {}
        for one in made:
            fate = self._fate(one, current)
            self._counts["unchanged" if fate == "repeated" else fate] += 1
            if fate not in {"refused", "repeated"}:
                stories.setdefault(one.key, []).append(one.row)
            if fate in {"inserted", "changed"}:
                changed[one.key] = current[one.key]
        if self._plan is None:
            self._land([row for key, row in changed.items() if key not in known])
            self._fold({key: stories[key] for key in changed if key in known})
            self._read_back([current[one.key] for one in made if one.key in current], before)
        else:
            self._plan.add(self._mapper.dataset, changed)
        for total in self._totals.values():
            total.settle()

    def pass_over(self, count: int) -> None:
        """Count rows that the lake has by rows of another shape."""
        self._counts["found"] += count
        self._counts["unchanged"] += count

    def _look_up(self, keys: Sequence[Key]) -> None:
        self._seen.look_up(keys)
        for total in self._totals.values():
            total.silent.look_up(keys)
            total.late.look_up(keys)

    def _apart(self, made: list[_Made], current: dict[Key, Canonical]) -> tuple[list[_Made], dict[Key, Canonical]]:
        """The rows, of which those that are not the lake's of their key have one of their own; and the lake's rows."""
        tell_apart = self._mapper.map.apart
        if tell_apart is None:
            return made, current
        done, moved = [], []
        for one in made:
            other = tell_apart(current[one.key], one.row) if one.key in current else None
            if other is None:
                done.append(one)
                continue
            moved.append(replace(one, row=other, key=self._mapper.key(other)))
            done.append(moved[-1])
        return done, current | self._there(moved)

    def _read_back(self, rows: Sequence[Canonical], before: Mapping[str, float]) -> None:
        """Add what the lake's sums of these rows have become, which are as they should be there."""
        if not rows or not self._totals:
            return
        ds = self._mapper.dataset
        there = columns_of(self._lk, ds, rows, [*ds.key, *self._totals], are_there=True)
        for column, total in self._totals.items():
            total.in_lake += [self._told_sum(column, there), -before[column]]

    def _told_sum(self, column: str, rows: Mapping[Key, Canonical]) -> float:
        """Of the rows for which this source has told a value so far."""
        is_told = self._totals[column].is_told
        return math.fsum(addend(row.get(column)) for key, row in rows.items() if is_told(key))

    def _mapped(self, rows: Iterable[Row | Refused]) -> list[_Made]:
        made = []
        for row in rows:
            if isinstance(row, Refused):
                self._counts["found"] += 1
                self._refuse(row.found, row.reason)
                continue
            if not self._mapper.takes(row):
                continue
            self._counts["found"] += 1
            self._names.update(row)
            told = self._mapper.source_values(row)
            self._add("found", told)
            try:
                mapped = self._mapper(row)
            except InvalidRowError as error:
                self._add("refused", told)
                self._refuse(plain(row), refusal(error), str(error))
                continue
            for watch in self._watches:
                watch.look(mapped)
            made.append(_Made(self._mapper.key(mapped), mapped, row, told))
        return made

    def _named(self, made: list[_Made]) -> tuple[list[_Made], dict[Key, Canonical]]:
        """The rows, of which twins have ids of their own; and the lake's rows of their keys."""
        if self._twins is None or not made:
            return made, self._there(made)
        there = self._families([one.row for one in made])
        named = self._twins.named([one.row for one in made], there.values())
        made = [
            one if one.row is row else replace(one, row=row, key=self._mapper.key(row))
            for one, row in zip(made, named, strict=True)
        ]
        return made, {one.key: there[one.key] for one in made if one.key in there}

    def _families(self, rows: Sequence[Canonical]) -> dict[Key, Canonical]:
        """The lake's rows, or a plan's, of the ids of some rows, and of their twins."""
        ds, bases = self._mapper.dataset, {self._mapper.key(row)[0] for row in rows}
        there = {} if self._lk_families is None else self._lk_families.of(bases)
        return there | ({} if self._plan is None else self._plan.family(ds, bases))

    def _whole(
        self, again: Callable[[], Iterator[Sequence[Row]]]
    ) -> Iterator[tuple[list[Canonical], Iterable[Canonical]]]:
        """All rows of the table that fit, in batches, each with the lake's rows of their ids."""
        for rows in again():
            made = []
            for row in rows:
                with suppress(InvalidRowError):  # it is refused when its turn comes
                    made += [self._mapper(row)] if self._mapper.takes(row) else []
            yield made, self._families(made).values()

    def _fate(self, one: _Made, current: dict[Key, Canonical]) -> str:
        """What becomes of a row; ``current`` is brought up to date."""
        ds, key, row, known = self._mapper.dataset, one.key, one.row, current.get(one.key)
        if known is not None and key in self._seen and not ends(ds, known, row):
            return self._again(one, known)
        both = Merged(row) if known is None else self._merged(known, row)
        current[key] = both.row
        self._tell_sums(one, known or {}, both.row)
        self._see(one)
        if known is None:
            return "inserted"
        for column in both.kept:
            self._note_difference(key, column, known.get(column), row[column])
        for column in both.given_up:
            self._note_difference(key, column, row[column], known[column])
        return "unchanged" if both.row == known else "changed"

    def _again(self, one: _Made, known: Canonical) -> str:
        """What becomes of a row whose key another row of this table has had: the first is kept."""
        both = self._merged(known, one.row)
        beside = self._beside(known, one.row)
        is_repeated = not beside and not both.kept and {**both.row, "extra": None} == {**known, "extra": None}
        if is_repeated or self._twins is not None or self._is_told(known, one.row):
            for name, (kept, found) in beside.items():
                self._note_difference(one.key, f"extra.{name}", kept, found)
            self._tell_sums(one, known, known)
            return "repeated"
        self._add("refused", one.told)
        self._tell_refused(plain(one.found), _OTHERWISE)
        return "refused"

    def _merged(self, known: Canonical, row: Canonical) -> Merged:
        if decided := self._mapper.map.decided:
            known = {**known, **{name: row[name] for name in decided & row.keys()}}
        return merged(self._mapper.dataset, known, row, self._mapper.label, self._mapper.changed)

    def _beside(self, known: Canonical, row: Canonical) -> dict[str, tuple[Any, Any]]:
        """What another row of this table with the same story told besides it, and this one tells otherwise."""
        before, now = (found_before(one, self._mapper.label) or {} for one in (known, row))
        mapped = {name for rule in self._mapper.map.columns.values() for name in rule.names}
        names = changed_names(before, now) - mapped - _SERIAL - {HELD}
        return {name: (before.get(name), now.get(name)) for name in sorted(names)}

    def _is_told(self, known: Canonical, row: Canonical) -> bool:
        """Whether this table said the same before, also of what is not kept beside the row: whole documents."""
        held, columns, label = self._mapper.map.held, self._mapper.map.columns, self._mapper.label
        of_type = self._mapper.dataset.by_name
        documents = [n for n, rule in columns.items() if of_type[n].type is Type.JSON and held.intersection(rule.names)]
        is_same_beside = found_before(known, label) == found_before(row, label)
        return is_same_beside and all(is_same(known.get(name), row.get(name)) for name in documents)

    def _tell_sums(self, one: _Made, known: Canonical, now: Canonical) -> None:
        for column, value in one.told.items():
            held, before = addend(now.get(column)), addend(known.get(column))
            self._totals[column].tell(one.key, value, held, before)

    def _see(self, one: _Made) -> None:
        """From here on the row's key is known to the table."""
        if one.key in self._seen:
            return
        for column in self._totals.keys() - one.told.keys():
            self._totals[column].silent.add(one.key)
        self._seen.add(one.key)

    def _note_difference(self, key: Key, column: str, kept: Any, found: Any) -> None:
        self._differing += 1
        if len(self._differences) < KEPT_DIFFERENCES:
            name, is_time = ", ".join(map(str, key)), self._is_time(column)
            kept, found = (from_micros(v).isoformat() if is_time and v is not None else v for v in (kept, found))
            self._differences.append(Difference(self._mapper.map.dataset, name, column, kept, found))

    def _is_time(self, column: str) -> bool:
        known = self._mapper.dataset.by_name.get(column)
        return known is not None and known.type is Type.TIMESTAMP

    def _add(self, part: str, told: Mapping[str, float]) -> None:
        for column, value in told.items():
            getattr(self._totals[column], part).append(value)

    def _refuse(self, found: Any, reason: str, said: str = "") -> None:
        self._counts["refused"] += 1
        self._tell_refused(found, reason, said)

    def _tell_refused(self, found: Any, reason: str, said: str = "") -> None:
        self._reasons[reason] += 1
        if self._plan is None:
            self._refusals.add(self._mapper.map.dataset, found, said or reason)

    def _there(self, made: Sequence[_Made]) -> dict[Key, Canonical]:
        """The lake's rows of the keys of those."""
        ds, rows = self._mapper.dataset, [one.row for one in made]
        there = {} if self._plan is None else self._plan.of(ds, rows)
        wanted = [one.row for one in made if one.key not in there]
        return there if self._lk is None else there | held(self._lk, ds, wanted)

    def _land(self, rows: list[Canonical]) -> None:
        if rows:
            write(self._lk, self._mapper.map.dataset, rows)

    def _fold(self, stories: Mapping[Key, list[Canonical]]) -> None:
        """Merge with rows that are there, as they are at that moment: a bot may be changing them."""
        if stories:
            folds = {key: self._folding(rows) for key, rows in stories.items()}
            change_many(self._lk.writer, self._mapper.map.dataset, folds)
            self._waiting += len(folds)
        if self._waiting >= _MOST_WAITING:
            self._lk.drain()
            self._waiting = 0

    def _folding(self, stories: Sequence[Canonical]) -> Callable[[Row | None], dict[str, Any] | None]:
        def fold(there: Row | None) -> dict[str, Any] | None:
            row = None if there is None else dict(there)
            for story in stories:
                row = story if row is None else self._merged(row, story).row
            changes = {name: value for name, value in (row or {}).items() if there is None or there.get(name) != value}
            return changes or None

        return fold

    def _tell_missing(self, notes: Notes) -> None:
        """A note of columns that should be summed, and that no row has: they may have other names."""
        columns, sums = self._mapper.map.columns, self._mapper.map.sums
        names = {column: (n,) if isinstance(n, str) else n for column, n in sums.items()}
        missing = [column for column, n in names.items() if self._names and not self._names.intersection(n)]
        if not missing:
            return
        known = {name for rule in columns.values() for name in rule.names}.union(*names.values())
        strange = ", ".join(sorted(map(str, self._names - known)))
        looked = "; ".join(f"{column} (looked for {', '.join(names[column])})" for column in missing)
        notes.tell(f"no row has {looked}; kept beside the rows, and not understood: {strange or 'nothing'}")

    def report(self, table: str, notes: Notes) -> TableReport:
        """What became of all rows so far."""
        self._tell_missing(notes)
        for watch in self._watches:
            watch.tell(notes)
        counts, ds = self._counts, self._mapper.map.dataset
        if self._twins is not None and self._twins.count:
            notes.tell(f"{counted(self._twins.count, 'row has', 'rows have')} {_TWINS}")
        sums = tuple(t.sum(f"{ds}.{column}", read_back=self._plan is None) for column, t in self._totals.items())
        return TableReport(
            table, ds, counts["found"], counts["inserted"] + counts["changed"], counts["changed"],
            counts["unchanged"], counts["refused"], dict(self._reasons), tuple(self._differences), self._differing,
            sums, tuple(notes.texts), notes.failed,
        )  # fmt: skip
