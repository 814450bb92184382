"""Totals of backtests beside the runs that they are of, in the source, in the lake, and in earlier imports.

What they come to is told by :mod:`lake.importers.kinds.told_runs`, of all that is known. All totals are kept, so that
it is the same in whatever order files are imported. A run whose file comes after its totals takes the place of the row
that they made: its id stays, under which the run is found again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from lake.errors import InvalidRowError
from lake.importers.base import Known, Notes, Options, Row, RowMap, Rule
from lake.importers.kinds.met_trades import MetTrades
from lake.importers.kinds.told_runs import COMPARED, Settled, Told, apart, places, settled
from lake.importers.mapping import Mapper
from lake.importers.report import Difference
from lake.importers.wording import counted
from lake.spec.times import from_micros
from lake.store.removed import removed_before

TOTALS, TOLD_BY = "totals", "content"
_RUNS = Path(__file__).with_suffix(".sql")
_KEPT = (
    "SELECT details -> '$.said' AS said FROM data_quality WHERE \"check\" = 'imported' AND dataset = $about "
    "AND details ->> '$.source' = $source AND details ->> '$.bot_id' = $bot ORDER BY finding_id"
)


@dataclass(frozen=True)
class _All:
    """All that tells of the runs of a source's symbols and timeframes, and what it comes to.

    Attributes:
        told: own id -> it.
        kept: own id of totals -> them as they were found, of those that earlier imports kept.
        now: what it comes to.
    """

    told: Mapping[str, Told]
    kept: Mapping[str, Row]
    now: Settled


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
        self._source: dict[str, Told] = {}  # by the ids that they have by themselves
        self._kept_told: dict[str, Told | None] = {}  # by the digests of what they tell
        self._taken: frozenset[str] = frozenset()  # ids of rows of the lake whose place is taken
        self._oldest: dict[str, int] = {}  # own ids of what names no time -> that of the oldest of its files
        self._lone: list[Row] = []

    def map(self, made: RowMap) -> RowMap:
        """A map of runs, or of totals, that take the place of totals."""
        met = super().map(made)
        columns = {**met.columns, "created_at": self.made_at(made.columns["created_at"])}
        return replace(met, columns=columns, gives_way=self._gives_way, decided=frozenset({"created_at"}))

    def made_at(self, told: Rule) -> Rule:
        """When a run, or totals, was made: what is told, or of several files of one that names no time the oldest."""

        def read(row: Row, options: Options) -> Any:
            oldest = self._oldest.get(self._own.read(row, options)) if self._oldest else None
            return told.read(row, options) if oldest is None else from_micros(oldest)

        return Rule((*self._own.names, *told.names), read)

    def add(self, row: Row) -> None:
        """Take in a run or totals of the source; the first of an id is kept, as where they land."""
        told = self._fitting(row)
        if told is not None:  # else it is refused where it should land
            self._source |= _together([told, self._source.get(told.own, told)])

    def told(self, row: Row) -> Told:
        """What a run, or totals, tells.

        Raises:
            InvalidRowError: it does not fit.
        """
        made = self._mapper(row)
        wins, losses = made.get("wins"), made.get("losses")
        trades = None if wins is None or losses is None else wins + losses
        is_dated = self._dated.read(row, self._options) is not None
        return _told({"trades": trades, **made, "is_dated": is_dated, "is_total": "SYM_TF" in row})

    def tell_into(self, notes: Notes) -> None:
        """Take the notes into which :meth:`differences` tells of totals without a run."""
        self._notes = notes

    def look(self, lk: Any, _rows: Sequence[Row], _options: Options) -> None:
        """Find which rows of the lake the source's runs and totals are, and whose place they take."""
        known = self._all(lk)
        new = places(list(known.told.values()), known.now)
        there = {own: one.row for own, one in known.told.items() if one.row is not None and one.row != own}
        self._theirs, self._taken = {**there, **new}, frozenset(new.values())
        self._oldest = {own: one.written for own, one in known.told.items() if one.at is None}

    def completed(self, lk: Any, rows: Sequence[Row], _options: Options) -> Iterator[Row | Known]:
        """Totals that are runs; as Known those that another import has made none meanwhile."""
        are_runs = {one.own for one in self._all(lk).now.lone}
        return (row if self.told(row).own in are_runs else Known(row) for row in rows)

    @property
    def lone(self) -> Sequence[Row]:
        """Totals that are runs, of the source and of those kept before; known when totals have been compared."""
        return self._lone

    def differences(self, lk: Any, rows: Sequence[Row], _options: Options) -> Iterator[Difference]:
        """What totals say otherwise than the run that they are of, where the source has one of the two."""
        known = self._all(lk)
        mine = {self.told(row).own: row for row in reversed(rows)}
        found, lone = {**mine, **known.kept}, []
        for own, row in found.items():
            run, totals = known.now.of_run.get(own), known.told[own]
            if run is None:
                lone += [row["SYM_TF"]] if own in mine and totals.numbers else []
            elif own in mine or run.own in self._source:
                yield from (Difference("backtests", row["SYM_TF"], *told) for told in apart(run, totals))
        if lone:
            told = f"{counted(len(lone), 'entry is', 'entries are')} of no run that is known, such as {lone[0]}"
            self._notes.tell(f"{told}: it makes a row of backtests, until the file of its run is imported")
        self._lone = list(self._that_are_runs(lk, known, mine))

    def _that_are_runs(self, lk: Any, known: _All, mine: Mapping[str, Row]) -> Iterator[Row]:
        """The source's totals that are runs, and those kept before that are one now; not what retention removed."""
        limit = None if lk is None else removed_before(lk.store.location, "backtests")
        for one in known.now.lone:
            if one.own in mine:
                yield known.kept.get(one.own, mine[one.own])
            elif one.row is None and (limit is None or one.written >= limit):
                self._notes.tell(f"{known.kept[one.own]['SYM_TF']}, kept before, is of no run that is known now")
                yield known.kept[one.own]

    def _gives_way(self, there: Mapping[str, Any]) -> bool:
        """Whether a row of the lake is one of totals whose place is taken."""
        return there["run_id"] in self._taken and [*self.tellers(there["extra"])[0]] == [self._label]

    def _fitting(self, row: Row) -> Told | None:
        try:
            return self.told(row)
        except InvalidRowError:
            return None

    def _all(self, lk: Any) -> _All:
        """All that is known now: the lake's word counts where it has a row."""
        pairs, kept = {one.pair for one in self._source.values()}, dict[str, Row]()
        known = [*self._source.values()]
        for row, totals in self._kept(lk):
            if totals.pair in pairs:
                known.append(totals)
                kept[totals.own] = row
        told = _together([*known, *(one for one in self._of_lake(lk) if one.pair in pairs)])
        return _All(told, kept, settled(told.values()))

    def _of_lake(self, lk: Any) -> list[Told]:
        """The lake's runs of this bot, of the symbols of the source."""
        asked = {"symbols": sorted({one.pair[0] for one in self._source.values()}), "bot": self._options.bot_id}
        if lk is None or not asked["symbols"]:
            return []
        return [_told(row) for row in lk.frame(_RUNS.read_text("utf-8"), asked).iter_rows(named=True)]

    def _kept(self, lk: Any) -> Iterator[tuple[Row, Told]]:
        """The totals of this bot that were kept before."""
        if lk is None or not self._source:
            return
        asked = {"about": self._about, "source": self._label, "bot": self._options.bot_id}
        for text in lk.frame(_KEPT, asked)["said"]:
            row = orjson.loads(text)
            name = row.get(TOLD_BY)
            if name not in self._kept_told:
                self._kept_told[name] = self._fitting(row)
            totals = self._kept_told[name]
            if totals is not None:
                yield row, totals


def _together(told: Iterable[Told]) -> dict[str, Told]:
    """The last of each own id; what names no time is as old as the oldest."""
    done: dict[str, Told] = {}
    for one in told:
        oldest = one.written if one.at is not None or one.own not in done else min(one.written, done[one.own].written)
        done[one.own] = replace(one, written=oldest)
    return done


def _told(row: Mapping[str, Any]) -> Told:
    numbers = {name: row[name] for name in COMPARED if row.get(name) is not None}
    written = row["created_at"]
    pair = (row.get("symbol"), row.get("timeframe"))
    at, own = (written if row["is_dated"] else None), row.get("own", row["run_id"])
    return Told(own, pair, at, written, numbers, row["is_total"], row["run_id"] if "own" in row else None)
