"""Batches of records into the lake: looked up, merged, written, read back, and every one accounted for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from lake.errors import InvalidRowError
from lake.importers.base import Notes, Refused, Row
from lake.importers.deciding import Deciding, Fate, Made
from lake.importers.differing import Differing
from lake.importers.keys import Keys
from lake.importers.mapping import Canonical, Mapper, plain, refusal
from lake.importers.merging import Merged
from lake.importers.plan import Plan, checked_rows
from lake.importers.read_back import Batch, ReadBack
from lake.importers.refusals import Refusals
from lake.importers.report import TableReport
from lake.importers.there import Families, Key, held, key_of, plain_row
from lake.importers.totals import Total, addend
from lake.importers.twins import Twins
from lake.importers.watching import watches
from lake.importers.wording import counted
from lake.ledgers.changes import Made as Versions
from lake.ledgers.changes import change_many
from lake.ledgers.inserting import insert_unless_there
from lake.spec.decode import plain_rows
from lake.store.cold.table_state import TableState

_OTHERWISE = "another row of this table has its key, and tells it otherwise"
_MOST_WAITING = 20_000  # rows that were changed, and wait in hot, which holds them in memory
_AT_ONCE = 500  # rows that are changed in one turn, for which bots wait
Again = Callable[[], Iterator[Sequence[Row]]]
_TWINS = "the facts of another row of this table, told otherwise: each gets an id of its own"


class RecordLanding:
    """What becomes of the rows of one table in one dataset.

    Args:
        lk: an open lake; None, or with ``write`` False, nothing is written.
        mapper: makes the rows.
        refusals: keeps what does not fit.
        plan: takes what would be written, when nothing is.
        again: the rows of the table from its beginning, in batches.
        moved: those of the tables to and from which its rows move.
    """

    def __init__(
        self,
        lk: Any,
        mapper: Mapper,
        refusals: Refusals,
        plan: Plan | None = None,
        again: Again | None = None,
        moved: Again | None = None,
    ) -> None:
        self._lk, self._mapper, self._refusals, self._plan = lk, mapper, refusals, plan
        self._counts: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._differing = Differing(mapper.dataset)
        self._seen = Keys()  # of this table's rows so far
        self._waiting = 0  # rows in hot, at most
        self._names: set[str] = set()  # under which its rows have values
        own, others = (None if read is None else partial(self._once_more, read) for read in (again, moved))
        twins = partial(Twins, mapper.dataset, mapper.label, own, others, mapper.remade)
        self._twins = twins() if mapper.map.numbered else None
        self._lk_families = None if lk is None or self._twins is None else Families(lk, mapper.dataset)
        self._totals = {column: Total(self._seen) for column in mapper.map.sums}
        self._watches = watches(mapper.dataset.name)
        self._deciding = Deciding(mapper, self._seen)

    def take(self, rows: Iterable[Row | Refused]) -> None:
        """Land one batch; it is durable when this returns."""
        seen = None if self._plan is not None else self._lk.store.table(self._mapper.dataset.name).state()
        made, there = self._named(self._mapped(rows))
        self._look_up([one.key for one in made])
        if seen is None:
            made, there = self._apart(made, there)
            fates, current = self._deciding.decided(made, there)
        else:
            fates, there, current = self._landed(made, there, seen)
        before = {column: self._told_sum(column, there) for column in self._totals}
        for fate in fates:
            self._account(fate)
        if seen is not None:
            self._read_back(Batch(seen, there, current), before)
        if self._plan is not None:
            self._plan.add(self._mapper.dataset, _changed(fates, current))
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

    def _apart(self, made: list[Made], current: dict[Key, Canonical]) -> tuple[list[Made], dict[Key, Canonical]]:
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

    def _read_back(self, batch: Batch, before: Mapping[str, float]) -> None:
        """Add what the lake's sums of the rows have become, and what of it is others' doing."""
        if not batch.after or not self._totals:
            return
        reading = ReadBack(self._lk, self._mapper.dataset, list(self._totals))
        there = reading.rows(batch)
        for column, total in self._totals.items():
            total.in_lake += [self._told_sum(column, there), -before[column]]
        since = reading.changed_since(batch, there)
        for key in (key for key in there if key in since):
            self._changed_since(key, there[key], batch.after[key])

    def _changed_since(self, key: Key, now: Canonical, written: Canonical) -> None:
        """Tell of a row that is not as it was written, since another writer has changed it."""
        told = [column for column, total in self._totals.items() if total.is_told(key)]
        differing = [column for column in told if addend(now.get(column)) != addend(written.get(column))]
        for column in differing:
            self._totals[column].since.append(addend(now.get(column)) - addend(written.get(column)))
            self._differing.add(key, column, now.get(column), written.get(column))
        self._counts["changed since"] += bool(differing)

    def _told_sum(self, column: str, rows: Mapping[Key, Canonical]) -> float:
        """Of the rows for which this source has told a value so far."""
        is_told = self._totals[column].is_told
        return math.fsum(addend(row.get(column)) for key, row in rows.items() if is_told(key))

    def _mapped(self, rows: Iterable[Row | Refused]) -> list[Made]:
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
            made.append(Made(self._mapper.key(mapped), mapped, row, told))
        return made

    def _named(self, made: list[Made]) -> tuple[list[Made], dict[Key, Canonical]]:
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

    def _once_more(self, again: Again) -> Iterator[list[Canonical]]:
        """Rows that fit, in batches; the others are refused when their turn comes."""
        for rows in again():
            made = []
            for row in rows:
                with suppress(InvalidRowError):
                    made += [self._mapper(row)] if self._mapper.takes(row) else []
            yield made

    def _account(self, fate: Fate) -> None:
        """Count what becomes of a row, and tell what of it is not taken over."""
        if fate.is_again and fate.known is not None:
            self._counts["unchanged" if self._again(fate.one, fate.known, fate.both) else "refused"] += 1
            return
        one, known = fate.one, fate.known or {}
        self._counts[fate.name] += 1
        self._tell_sums(one, known, fate.both.row)
        self._deciding.see(fate)
        self._see(one)
        for column in fate.both.kept:
            self._differing.add(one.key, column, known.get(column), one.row[column])
        for column in fate.both.given_up:
            self._differing.add(one.key, column, one.row[column], known[column])

    def _again(self, one: Made, known: Canonical, both: Merged) -> bool:
        """Whether a row tells the same as another of this table with its key, which is kept; else it is refused."""
        beside = self._deciding.beside(known, one.row)
        is_repeated = not beside and not both.kept and {**both.row, "extra": None} == {**known, "extra": None}
        if is_repeated or self._twins is not None or self._deciding.is_told(known, one.row):
            for name, (kept, found) in beside.items():
                self._differing.add(one.key, f"extra.{name}", kept, found)
            self._tell_sums(one, known, known)
            return True
        self._add("refused", one.told)
        self._tell_refused(plain(one.found), _OTHERWISE)
        return False

    def _tell_sums(self, one: Made, known: Canonical, now: Canonical) -> None:
        for column, value in one.told.items():
            held, before = addend(now.get(column)), addend(known.get(column))
            self._totals[column].tell(one.key, value, held, before)

    def _see(self, one: Made) -> None:
        """From here on the row's key is known to the table."""
        if one.key in self._seen:
            return
        for column in self._totals.keys() - one.told.keys():
            self._totals[column].silent.add(one.key)
        self._seen.add(one.key)

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

    def _there(self, made: Sequence[Made]) -> dict[Key, Canonical]:
        """The lake's rows of the keys of those."""
        ds, rows = self._mapper.dataset, [one.row for one in made]
        there = {} if self._plan is None else self._plan.of(ds, rows)
        wanted = [one.row for one in made if one.key not in there]
        return there if self._lk is None else there | held(self._lk, ds, wanted)

    def _landed(
        self, made: list[Made], there: dict[Key, Canonical], seen: TableState
    ) -> tuple[list[Fate], dict[Key, Canonical], dict[Key, Canonical]]:
        """Write a batch; what became of each row, and the lake's rows before and after.

        Bots go on meanwhile: what a row turns out to meet when it is written is decided as if it had been there.

        Args:
            made: the rows.
            there: the lake's rows of their keys.
            seen: the cold table as it was before these were looked up.
        """
        landed = set[Key]()
        while True:
            named, known = self._apart(made, there)
            fates, current = self._deciding.decided(named, known)
            fresh = {key: current[key] for key in dict.fromkeys(one.key for one in named) if key not in known}
            met = self._inserted({key: row for key, row in fresh.items() if key not in landed}, seen)
            landed.update(fresh.keys() - met.keys())
            if not met:
                break
            there = there | met
        if changed := self._folded(fates, known, current):
            known = {key: row for key, row in (known | changed).items() if row is not None}
            fates, current = self._deciding.decided(named, known)
        return fates, known, current

    def _inserted(self, fresh: Mapping[Key, Canonical], seen: TableState) -> dict[Key, Canonical]:
        """Write new rows; the lake's rows of those keys that are new no more."""
        ds = self._mapper.dataset
        if not fresh:
            return {}
        met = insert_unless_there(self._lk.store, ds, checked_rows(ds, list(fresh.values())), seen)
        return {key_of(ds, row): row for row in plain_rows(met, list(ds.by_name))}

    def _folded(
        self, fates: Sequence[Fate], known: Mapping[Key, Canonical], current: Mapping[Key, Canonical]
    ) -> dict[Key, Canonical | None]:
        """Merge with rows that are there, as they are at that moment; those of them that had changed since the look."""
        changed = {key: row for key, row in _changed(fates, current).items() if key in known}
        stories: dict[Key, list[Canonical]] = {}
        for fate in fates:
            if not fate.is_again and fate.one.key in changed:
                stories.setdefault(fate.one.key, []).append(fate.one.row)
        folds = {key: self._deciding.folding(rows) for key, rows in stories.items()}
        made, keys = list[Versions](), list(folds)
        for start in range(0, len(keys), _AT_ONCE):
            some = {key: folds[key] for key in keys[start : start + _AT_ONCE]}
            made += change_many(self._lk.writer, self._mapper.map.dataset, some)
        self._waiting += len(folds)
        if self._waiting >= _MOST_WAITING:
            self._lk.drain()
            self._waiting = 0
        ds = self._mapper.dataset
        before = {key: None if row is None else plain_row(ds, row) for key, (row, _) in zip(folds, made, strict=True)}
        return {key: row for key, row in before.items() if row != known[key]}

    def _tell_missing(self, notes: Notes) -> None:
        """A note of columns that should be summed, or are wanted, and that no row has: they may have other names."""
        columns, sums = self._mapper.map.columns, self._mapper.map.sums
        wanted = {column: columns[column].names for column in self._mapper.map.wanted}
        names = {column: (n,) if isinstance(n, str) else n for column, n in sums.items()} | wanted
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
            counts["unchanged"], counts["refused"], dict(self._reasons), tuple(self._differing.first),
            self._differing.count, sums, tuple(notes.texts), notes.failed, counts["changed since"],
        )  # fmt: skip


def _changed(fates: Iterable[Fate], current: Mapping[Key, Canonical]) -> dict[Key, Canonical]:
    """The rows that are to be written."""
    return {f.one.key: current[f.one.key] for f in fates if not f.is_again and f.name != "unchanged"}
