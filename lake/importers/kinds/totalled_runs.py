"""Totals of backtests beside the runs that they are of.

The totals of a symbol and timeframe are those of the newest run of it that was made before them, wherever that is: in
the source, or in the lake. They are compared with it and make no run, so that no order of imports has a run twice. Who
knows that their runs have no files says so: then they are runs by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from lake.errors import InvalidRowError
from lake.importers.base import Known, Notes, Options, Row, RowMap, Rule
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
    """

    name: str
    pair: tuple[Any, Any]
    at: int | None
    written: int
    numbers: Mapping[str, float]
    is_total: bool = False


class TotalledRuns:
    """The runs of a source, beside which its totals and those of the lake are held.

    Args:
        kind: of the store, as importers are called.
        made: what a run, or totals, becomes.
        dated: when it was made, where it says so itself.
        options: what the caller said.
    """

    def __init__(self, kind: str, made: RowMap, dated: Rule, options: Options) -> None:
        self._about, self._label = made.dataset, f"{kind}:{TOTALS}"
        self._mapper, self._dated = Mapper(replace(made, keep_found=False), options, ""), dated
        self._options, self._notes = options, Notes()
        self._runs: dict[str, Told] = {}
        self._by_pair: dict[tuple[Any, Any], list[Told]] = {}  # the same

    def add(self, run: Row) -> None:
        """Take in a run of the source; the first of an id is kept, as where they land."""
        told = self._fitting(run)
        if told is not None and told.name not in self._runs:  # else it is refused where it should land
            self._runs[told.name] = told
            self._by_pair.setdefault(told.pair, []).append(told)

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

    def is_beside(self, totals: Row) -> bool:
        """Whether the source has the run that totals are of; of those that do not fit it has none."""
        told = self._fitting(totals)
        return told is not None and _run_of(told, self._by_pair) is not None

    def tell_into(self, notes: Notes) -> None:
        """Take the notes into which :meth:`differences` tells of totals without a run."""
        self._notes = notes

    def completed(self, lk: Any, rows: Sequence[Row], _options: Options) -> Iterator[Row | Known]:
        """Totals that are runs by themselves; as Known those that say what the run before them says in the lake."""
        told = {row[TOLD_BY]: totals for row in rows if (totals := self._fitting(row)) is not None}
        there = _by_pair(run for run in self._of_lake(lk, told.values()).values() if not run.is_total)
        for row in rows:
            totals = told.get(row[TOLD_BY])
            run = None if totals is None else _run_of(totals, there)
            yield Known(row) if run is not None and totals is not None and _is_same(run, totals) else row

    def differences(self, lk: Any, rows: Sequence[Row], _options: Options) -> Iterator[Difference]:
        """What totals say otherwise than the run that they are of, where the source has one of the two."""
        mine = {row[TOLD_BY]: (row["SYM_TF"], self.told(row)) for row in rows}
        asked = [*self._runs.values(), *(totals for _, totals in mine.values())]
        every = self._of_lake(lk, asked) | self._runs
        there, lone = _by_pair(every.values()), []
        for name, totals in mine.values():
            run = _run_of(totals, there)
            lone += [name] if run is None else []
            yield from () if run is None else _differences(name, run, totals)
        for name, totals in self._kept(lk, mine):
            run = _run_of(totals, there)
            yield from () if run is None or run.name not in self._runs else _differences(name, run, totals)
        if lone:
            told = f"{counted(len(lone), 'entry is', 'entries are')} of no run that is known, such as {lone[0]}"
            self._notes.tell(f"{told}: kept as told. Import the file of its run, or say --totals runs if it has none")
        self._tell_made(every.values())

    def _tell_made(self, every: Iterable[Told]) -> None:
        """Of the source's runs those that totals may be of which the caller called runs."""
        files = _by_pair(run for run in every if not run.is_total)
        for totals in (one for one in every if one.is_total):
            run = _run_of(totals, files)
            if run is not None and run.name in self._runs:
                made = f"{totals.name} of the lake is made of totals, as --totals runs said"
                self._notes.tell(f"{made}: it may be {run.name}, which this source has")

    def _fitting(self, row: Row) -> Told | None:
        try:
            return self.told(row)
        except InvalidRowError:
            return None

    def _of_lake(self, lk: Any, told: Iterable[Told]) -> dict[str, Told]:
        """The lake's runs of this bot, of the symbols of some."""
        asked = {"symbols": sorted({one.pair[0] for one in told}), "bot": self._options.bot_id}
        if lk is None or not asked["symbols"]:
            return {}
        rows = lk.frame(_RUNS.read_text("utf-8"), asked).iter_rows(named=True)
        return {row["run_id"]: _told(row) for row in rows}

    def _kept(self, lk: Any, mine: Mapping[str, Any]) -> Iterator[tuple[str, Told]]:
        """The totals of this bot that were kept before, and are not in the source, of what it has runs of."""
        if lk is None or not self._runs:
            return
        asked = {"about": self._about, "source": self._label, "bot": self._options.bot_id}
        for text in lk.frame(_KEPT, asked)["said"]:
            row = orjson.loads(text)
            totals = None if row.get(TOLD_BY) in mine else self._fitting(row)
            if totals is not None and totals.pair in self._by_pair:
                yield row["SYM_TF"], totals


def _told(row: Mapping[str, Any]) -> Told:
    numbers = {name: row[name] for name in _APART if row.get(name) is not None}
    written = row["created_at"]
    at = written if row["is_dated"] else None
    return Told(row["run_id"], (row.get("symbol"), row.get("timeframe")), at, written, numbers, row["is_total"])


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


def _differences(name: str, run: Told, totals: Told) -> Iterator[Difference]:
    for column, held, said in _apart(run, totals):
        yield Difference("backtests", name, column, held, said)
