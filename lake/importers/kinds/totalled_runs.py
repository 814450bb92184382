"""Totals of backtests beside the runs that they are of.

The totals of a symbol and timeframe are those of the newest run of it that was made before them, wherever that is: in
the source, or in the lake. They are compared with it, and make no run. Totals of which no run is known become one, and
the run whose file comes after them takes its place: its id stays, under which the run is found again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from lake.errors import InvalidRowError
from lake.importers.base import Known, Notes, Options, Row, RowMap, Rule
from lake.importers.kinds.met_trades import MetTrades
from lake.importers.mapping import Mapper
from lake.importers.report import Difference
from lake.importers.wording import counted

TOTALS, TOLD_BY = "totals", "content"
_APART = {"trades": 0.0, "win_rate": 0.051, "total_pnl_percent": 0.005}  # they are rounded
_SECOND = 1_000_000
_RUNS = Path(__file__).with_suffix(".sql")
_KEPT = (
    "SELECT details -> '$.said' AS said FROM data_quality WHERE \"check\" = 'imported' AND dataset = $about "
    "AND details ->> '$.source' = $source AND details ->> '$.bot_id' = $bot ORDER BY finding_id"
)


@dataclass(frozen=True, slots=True)
class Told:
    """What tells of a run: its own file, a row of the lake, or totals.

    Attributes:
        name: the id that it has as a run.
        pair: symbol and timeframe.
        at: when it was made, in microseconds; None where it does not say.
        written: that, or the time of its file.
        numbers: our column -> value, of those that are compared.
        is_total: whether it is totals.
        known_as: the id that it has by itself, where that is another.
    """

    name: str
    pair: tuple[Any, Any]
    at: int | None
    written: int
    numbers: Mapping[str, float]
    is_total: bool = False
    known_as: str | None = None

    @property
    def since(self) -> float:
        """When totals were made; those that say no time come after all others."""
        return math.inf if self.at is None else self.at


class TotalledRuns(MetTrades):
    """The runs of a source, beside which its totals and those of the lake are held, and the ids they have in the lake.

    Args:
        kind: of the store, as importers are called.
        made: what a run, or totals, becomes, with the id that it has by itself.
        dated: when it was made, where it says so itself.
        options: what the caller said.
    """

    def __init__(self, kind: str, made: RowMap, dated: Rule, options: Options) -> None:
        super().__init__(kind, made.columns["run_id"], "run_id")
        self._about, self._label = made.dataset, f"{kind}:{TOTALS}"
        self._mapper, self._dated = Mapper(replace(made, keep_found=False), options, ""), dated
        self._options, self._notes = options, Notes()
        self._runs: dict[str, Told] = {}  # by the ids that they have by themselves
        self._taken: frozenset[str] = frozenset()  # ids of rows of the lake whose place is taken

    def map(self, made: RowMap) -> RowMap:
        """A map of runs, or of totals, that take the place of totals."""
        return replace(super().map(made), gives_way=self._gives_way)

    def add(self, run: Row) -> None:
        """Take in a run of the source; the first of an id is kept, as where they land."""
        told = self._fitting(run)
        if told is not None:  # else it is refused where it should land
            self._runs.setdefault(told.name, told)

    def told(self, row: Row) -> Told:
        """What a run, or totals, tells.

        Raises:
            InvalidRowError: it does not fit.
        """
        made = self._mapper(row)
        wins, losses = made.get("wins"), made.get("losses")
        trades = None if wins is None or losses is None else wins + losses
        is_dated = self._dated.read(row, self._options) is not None
        return _told({"trades": trades, **made, "is_dated": is_dated, "is_total": "SYM_TF" in row, "known_as": None})

    def tell_into(self, notes: Notes) -> None:
        """Take the notes into which :meth:`differences` tells of totals without a run."""
        self._notes = notes

    def look(self, lk: Any, _rows: Sequence[Row], _options: Options) -> None:
        """Find which runs of the lake the source's are, and the totals there whose place its new ones take."""
        there = self._of_lake(lk, self._runs.values())
        landed = {run.known_as or run.name: run.name for run in there if not run.is_total}
        self._theirs = {own: landed[own] for own in self._runs if landed.get(own, own) != own}
        runs, free = _by_pair(self._known_runs(there)), dict[str, list[Told]]()
        for totals in (one for one in there if one.is_total):
            run = _run_of(totals, runs)
            if run is not None and run.name in self._runs and run.name not in landed:
                free.setdefault(run.name, []).append(totals)
        for own, some in free.items():
            self._theirs[own] = _likeliest(self._runs[own], some).name
        self._taken = frozenset(self._theirs.values())

    def look_for_totals(self, lk: Any, rows: Sequence[Row], _options: Options) -> None:
        """Find the totals of the lake whose place earlier ones take that say the same: the earliest tell the time."""
        told = [self.told(row) for row in rows]
        there, theirs = _by_pair(self._of_lake(lk, told)), dict[str, str]()
        for totals in told:
            same = (one for one in there.get(totals.pair, ()) if _are_one(one, totals) and totals.since < one.since)
            later = [one.name for one in same if one.name not in theirs.values()]
            theirs |= {totals.name: later[0]} if later else {}
        self._theirs, self._taken = theirs, frozenset(theirs.values())

    def lone(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Totals of which the source has no run; of those that say the same the earliest."""
        runs, fitting = _by_pair(self._runs.values()), [(row, self._fitting(row)) for row in rows]
        lone = [(row, one) for row, one in fitting if one is not None and one.numbers and _run_of(one, runs) is None]
        beside = _by_pair(one for _, one in lone)
        for row, totals in lone:
            order = (totals.since, totals.name)
            if not any(_are_one(one, totals) and (one.since, one.name) < order for one in beside[totals.pair]):
                yield row

    def completed(self, lk: Any, rows: Sequence[Row], _options: Options) -> Iterator[Row | Known]:
        """Totals that are runs; as Known those whose run the lake has, or has made of totals that say the same."""
        told = [self.told(row) for row in rows]
        there = self._of_lake(lk, told)
        runs, beside = _by_pair(self._known_runs(there)), _by_pair(there)
        for row, totals in zip(rows, told, strict=True):
            same = [one for one in beside.get(totals.pair, ()) if _are_one(one, totals) and one.since <= totals.since]
            is_other = any((one.since, one.name) != (totals.since, totals.name) for one in same)
            yield Known(row) if is_other or _run_of(totals, runs) is not None else row

    def differences(self, lk: Any, rows: Sequence[Row], _options: Options) -> Iterator[Difference]:
        """What totals say otherwise than the run that they are of, where the source has one of the two."""
        mine = {row[TOLD_BY]: (row["SYM_TF"], self.told(row)) for row in rows}
        there = self._of_lake(lk, [*self._runs.values(), *(totals for _, totals in mine.values())])
        runs, lone = _by_pair(self._known_runs(there)), []
        for name, totals in mine.values():
            run = _run_of(totals, runs)
            lone += [name] if run is None and totals.numbers else []
            yield from () if run is None else _differences(name, run, totals)
        ours = {self._theirs.get(own, own) for own in self._runs}
        for name, totals in self._kept(lk, mine):
            run = _run_of(totals, runs)
            yield from () if run is None or run.name not in ours else _differences(name, run, totals)
        if lone:
            told = f"{counted(len(lone), 'entry is', 'entries are')} of no run that is known, such as {lone[0]}"
            self._notes.tell(f"{told}: it makes a row of backtests, until the file of its run is imported")
        for totals in (one for one in there if one.is_total and one.name not in ours):
            run = _run_of(totals, runs)
            if run is not None and run.name in ours:
                self._notes.tell(f"{totals.name} of the lake is made of totals: it may be {run.name}, which is here")

    def _gives_way(self, there: Mapping[str, Any]) -> bool:
        """Whether a row of the lake is one of totals whose place is taken."""
        return there["run_id"] in self._taken and [*self.tellers(there["extra"])[0]] == [self._label]

    def _known_runs(self, there: Iterable[Told]) -> Iterable[Told]:
        """The runs of the lake, and those of the source by the ids that they have there."""
        ours = (replace(run, name=self._theirs.get(own, own)) for own, run in self._runs.items())
        return {run.name: run for run in (*(run for run in there if not run.is_total), *ours)}.values()

    def _fitting(self, row: Row) -> Told | None:
        try:
            return self.told(row)
        except InvalidRowError:
            return None

    def _of_lake(self, lk: Any, told: Iterable[Told]) -> list[Told]:
        """The lake's runs of this bot, of the symbols of some."""
        asked = {"symbols": sorted({one.pair[0] for one in told}), "bot": self._options.bot_id}
        if lk is None or not asked["symbols"]:
            return []
        return [_told(row) for row in lk.frame(_RUNS.read_text("utf-8"), asked).iter_rows(named=True)]

    def _kept(self, lk: Any, mine: Mapping[str, Any]) -> Iterator[tuple[str, Told]]:
        """The totals of this bot that were kept before, and are not in the source, of what it has runs of."""
        if lk is None or not self._runs:
            return
        pairs = {run.pair for run in self._runs.values()}
        asked = {"about": self._about, "source": self._label, "bot": self._options.bot_id}
        for text in lk.frame(_KEPT, asked)["said"]:
            row = orjson.loads(text)
            totals = None if row.get(TOLD_BY) in mine else self._fitting(row)
            if totals is not None and totals.pair in pairs:
                yield row["SYM_TF"], totals


def _told(row: Mapping[str, Any]) -> Told:
    numbers = {name: row[name] for name in _APART if row.get(name) is not None}
    written = row["created_at"]
    at = written if row["is_dated"] else None
    pair = (row.get("symbol"), row.get("timeframe"))
    return Told(row["run_id"], pair, at, written, numbers, row["is_total"], row.get("known_as"))


def _by_pair(runs: Iterable[Told]) -> dict[tuple[Any, Any], list[Told]]:
    done: dict[tuple[Any, Any], list[Told]] = {}
    for run in runs:
        done.setdefault(run.pair, []).append(run)
    return done


def _run_of(totals: Told, runs: Mapping[tuple[Any, Any], Sequence[Told]]) -> Told | None:
    """The newest that was made before some totals, or in their second; one that says no time is older than all."""
    before = (run for run in runs.get(totals.pair, ()) if not _is_later(run, totals))
    return max(before, key=lambda run: (run.at is not None, run.written, run.name), default=None)


def _is_later(run: Told, totals: Told) -> bool:
    return run.at is not None and totals.at is not None and run.at // _SECOND > totals.at // _SECOND


def _apart(run: Told, totals: Told) -> Iterator[tuple[str, float, float]]:
    for column, tolerance in _APART.items():
        held, said = run.numbers.get(column), totals.numbers.get(column)
        if held is not None and said is not None and abs(held - said) > tolerance:
            yield column, held, said


def _is_same(run: Told, totals: Told) -> bool:
    """Whether the two have a number in common, and tell none otherwise."""
    return bool(run.numbers.keys() & totals.numbers.keys()) and not any(_apart(run, totals))


def _likeliest(run: Told, some: Iterable[Told]) -> Told:
    """Of totals that may be of a run those that tell what it tells, else the earliest."""
    return min(some, key=lambda one: (not _is_same(run, one), one.since, one.name))


def _are_one(one: Told, other: Told) -> bool:
    """Whether two of one pair are totals that tell the same numbers."""
    are_alike = one.is_total and other.is_total and one.numbers.keys() == other.numbers.keys()
    return are_alike and not any(_apart(one, other))


def _differences(name: str, run: Told, totals: Told) -> Iterator[Difference]:
    for column, held, said in _apart(run, totals):
        yield Difference("backtests", name, column, held, said)
