"""One import from end to end: planned, or done table by table and batch by batch.

What has landed is durable batch by batch. An import that was cut off is run again: what is there counts as unchanged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from lake.importers.addresses import shown
from lake.importers.base import BATCH_ROWS, CandleTable, Check, Known, Notes, Options, Refused, Row, Table
from lake.importers.candle_landing import CandleLanding
from lake.importers.clock_changes import ClockChanges
from lake.importers.keeping import DATASET, Keeping
from lake.importers.landing import RecordLanding
from lake.importers.mapping import Mapper
from lake.importers.plan import Plan
from lake.importers.reading.ahead import ahead
from lake.importers.refusals import Refusals
from lake.importers.registry import by_name
from lake.importers.report import ImportReport, TableReport
from lake.importers.taking_back import TakingBack
from lake.importers.turns import ImportTurn
from lake.importers.watching import Nans
from lake.importers.wording import counted

Found = TypeVar("Found")
_NOTHING = "no dataset takes such a row"
_PASSED = ("row tells what the lake has by other rows", "rows tell what the lake has by other rows")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is: for a progress bar."""

    table: str
    rows: int
    count: int | None


def import_from(
    lk: Any,
    kind: str,
    source: str,
    options: Options | None = None,
    *,
    dry_run: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> ImportReport:
    """Move what a store holds into a lake, or tell what that would do.

    Args:
        lk: an open lake; None is an empty one, in a dry run.
        kind: of the store, see :func:`lake.importers.registry.kinds`.
        source: a path, or an address such as ``postgresql://...`` or ``redis://...``.
        options: what the store does not say.
        dry_run: only tell.
        progress: called after every batch.

    Raises:
        UsageError: an unknown kind, or an option that it needs is missing.
        SourceError: there is no such store, or it is of another kind.
    """
    importer = by_name(kind)
    turn, plan = ImportTurn(None if dry_run else lk), Plan() if dry_run else None
    refusals = Refusals(lk, f"{kind} {shown(source)}", turn)
    said = options or Options()
    said = replace(said, allow_pickle=False) if dry_run else said  # a plan runs no code that it finds
    run = _Run(lk, kind, said, refusals, turn, progress, plan)
    reports: list[TableReport] = []
    for table in importer.tables(source, run.options):
        reports += run.reports(table)
        run.refusals.flush()
    return ImportReport(kind, shown(source), dry_run, tuple(reports))


@dataclass(frozen=True)
class _Run:
    """What all tables of one import have in common."""

    lk: Any
    kind: str
    options: Options
    refusals: Refusals
    turn: ImportTurn
    progress: Callable[[Progress], None] | None
    plan: Plan | None

    @property
    def write(self) -> bool:
        """Whether it is no plan."""
        return self.plan is None

    def reports(self, table: Table | CandleTable | Check) -> list[TableReport]:
        """What became of one table."""
        if isinstance(table, Check):
            done = self.check(table)
            return [done] if done.found or done.differences or done.notes else []
        return self.candles(table) if isinstance(table, CandleTable) else self.records(table)

    def check(self, table: Check) -> TableReport:
        """Compare what a store derived, and keep it as it is told."""
        notes = Notes()
        rows: list[Row] = []
        reasons: Counter[str] = Counter()
        keeping = Keeping(self.lk, table.about, f"{self.kind}:{table.name}", self.options.bot_id, table.told_by)
        for batch in _batches(table.rows(notes)):
            proper = _proper(batch)
            for stray in (row for row in batch if isinstance(row, Refused)):
                reasons[stray.reason] += 1
                if self.write:
                    self.refusals.add(table.about, stray.found, stray.reason)
            with self.turn.held():
                keeping.take(proper, is_plan=not self.write)
            rows += proper if table.compare is not None else []
        if self.lk is None and table.needs_lake and table.compare is not None:
            notes.tell("there is no lake yet that it could be compared with")
        is_early = table.needs_rows and not self.write
        if is_early:
            notes.tell("it is compared when the rows that it is about are there")
        compared = () if is_early or table.compare is None else table.compare(self.lk, rows, self.options)
        differences, refused = tuple(compared), reasons.total()
        return TableReport(
            table.name, DATASET, keeping.landed + keeping.unchanged + refused, keeping.landed,
            unchanged=keeping.unchanged, refused=refused, reasons=dict(reasons),
            differences=differences, differences_found=len(differences), notes=tuple(notes.texts), failed=notes.failed,
        )  # fmt: skip

    def candles(self, table: CandleTable) -> list[TableReport]:
        """Land a table of candles."""
        notes, done = Notes(), 0
        landing = CandleLanding(self.lk, self.refusals, self.turn, write=self.write)
        for frames in ahead(table.frames(notes)):
            landing.take(frames)
            done += frames.found
            self._tell(table, done)
        return [landing.report(table.name, notes)]

    def records(self, table: Table) -> list[TableReport]:
        """Land a table of records: a report for each dataset that its rows go to."""
        notes, done, passed, clocks = Notes(), 0, 0, ClockChanges(self.options)
        nans = Nans(frozenset().union(*(made.words for made in table.maps)))
        label = f"{self.kind}:{table.label or table.name}"
        mappers = [Mapper(clocks.mapped(m), self.options, label) for m in table.maps]
        again = partial(self._again, table, table.rows)
        moved = None if table.moved is None else partial(self._again, table, table.moved)
        back = TakingBack(self.lk, table.undone, self.options, write=self.write)
        if table.opened is not None:
            table.opened(self.lk, self.options)
        landings = [RecordLanding(self.lk, m, self.refusals, self.plan, again, moved) for m in mappers]
        for rows in _batches(table.rows(notes)):
            told = _proper(rows)
            with self.turn.held():
                proper = self._completed(table, told)
                for row in proper:
                    nans.look(row)
                strays = [row for row in proper if not any(mapper.takes(row) for mapper in mappers)]
                landings[0].take([r for r in rows if isinstance(r, Refused)] + [Refused(r, _NOTHING) for r in strays])
                self._land(table, proper, landings)
                back.take(told)
            landings[0].pass_over(len(told) - len(proper) + sum(isinstance(row, Known) for row in rows))
            passed += len(told) - len(proper)
            done += len(rows)
            self._tell(table, done)
        if passed:
            notes.tell(f"{counted(passed, *_PASSED)}, as it was told before: counted as unchanged")
        back.tell(notes)
        clocks.tell(notes)
        nans.tell(notes)
        reports = [landing.report(table.name, notes if n == 0 else Notes()) for n, landing in enumerate(landings)]
        named = [report.dataset for report in reports]
        return [report for n, report in enumerate(reports) if report.found or report.dataset not in named[:n]]

    def _land(self, table: Table, rows: list[Row], landings: Sequence[RecordLanding]) -> None:
        """Land a batch, from the look at what is there on."""
        if table.look is not None:
            table.look(self.lk, rows, self.options)
        if table.before is not None and self.write:
            table.before(self.lk, rows)
        for landing in landings:
            landing.take(rows)

    def _again(self, table: Table, read: Callable[[Notes], Iterator[Row | Refused | Known]]) -> Iterator[list[Row]]:
        """Rows of a table, or that move to and from it, once more, in batches: what is to be told is told otherwise."""
        for rows in _batches(read(Notes())):
            proper = self._completed(table, _proper(rows))
            if table.look is not None:
                table.look(self.lk, proper, self.options)
            yield proper

    def _completed(self, table: Table, rows: list[Row]) -> list[Row]:
        """The rows that are to land, with what only the lake still knows of them."""
        if table.completed is None or self.lk is None:
            return rows
        return [row for row in table.completed(self.lk, rows, self.options) if not isinstance(row, Known)]

    def _tell(self, table: Table | CandleTable, rows: int) -> None:
        if self.progress is not None:
            self.progress(Progress(table.name, rows, table.count))


def _proper(rows: Sequence[Row | Refused | Known]) -> list[Row]:
    return [row for row in rows if not isinstance(row, Refused | Known)]


def _batches(rows: Iterator[Found]) -> Iterator[list[Found]]:
    while batch := list(islice(rows, BATCH_ROWS)):
        yield batch
