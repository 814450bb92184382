"""Which runs of backtests there are, by their own files and by totals, whatever came first.

Totals are of the newest run that was made before them. Until the next run there may be totals that tell different
numbers: those of one of these stories are that run's, and each other story is of a run whose file is not known. So a
run or an entry that becomes known later never makes rows fewer: between a run and the next there are as many as there
are stories, and one at least, and before the first run as many as there are stories.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

_APART = {"trades": 0.0, "win_rate": 0.051, "total_pnl_percent": 0.005}  # they are rounded
COMPARED = tuple(_APART)
_DIGITS = {"trades": 0, "win_rate": 1, "total_pnl_percent": 2}
_SECOND = 1_000_000
_Pair = tuple[Any, Any]
_Story = tuple[_Pair, int, tuple[Any, ...]]  # of which runs, by their symbol and timeframe; after which; its numbers


@dataclass(frozen=True, slots=True)
class Told:
    """What tells of a run: its own file, or totals.

    Attributes:
        own: the id that it has by itself.
        pair: symbol and timeframe.
        at: when it was made, in microseconds; None where it does not say.
        written: that, or the time of its file.
        numbers: our column -> value, of those that are compared.
        is_total: whether it is totals.
        row: the id of the lake's row that tells what it tells; None where there is none.
    """

    own: str
    pair: _Pair
    at: int | None
    written: int
    numbers: Mapping[str, float]
    is_total: bool = False
    row: str | None = None

    @property
    def age(self) -> tuple[float, str]:
        """By which totals come one after another; those that say no time come after all others."""
        return (math.inf if self.at is None else self.at, self.own)


@dataclass(frozen=True)
class Settled:
    """What is a run, and what is told of which.

    Attributes:
        runs: those that have files.
        lone: totals that are runs: of each story that no run has as its own the earliest.
        of_run: totals -> the run whose own they are.
        stories: totals -> their story.
    """

    runs: tuple[Told, ...]
    lone: tuple[Told, ...]
    of_run: Mapping[str, Told]
    stories: Mapping[str, _Story]

    def is_told_by(self, one: Told) -> object:
        """What is the same for a run and all totals that are its own, and for totals of one story."""
        if one.is_total and one.own not in self.of_run:
            return self.stories.get(one.own)
        return self.of_run.get(one.own, one).own


def settled(told: Iterable[Told]) -> Settled:
    """Which runs there are, given all that tells of some."""
    runs: list[Told] = []
    lone: list[Told] = []
    of_run: dict[str, Told] = {}
    named: dict[str, _Story] = {}
    for pair, some in _by(told, lambda one: one.pair).items():
        of_pair = sorted((one for one in some if not one.is_total), key=_run_age)
        runs += of_pair
        for after, stories in _stories(pair, of_pair, [one for one in some if one.is_total and one.numbers]).items():
            run = of_pair[after] if after >= 0 else None
            first = None if run is None else min(stories, key=lambda story: _distance(run, story[1][0]))
            for story, entries in stories:
                named |= dict.fromkeys((one.own for one in entries), story)
                if run is not None and first is not None and story == first[0]:
                    of_run |= dict.fromkeys((one.own for one in entries), run)
                else:
                    lone.append(entries[0])
    return Settled(tuple(runs), tuple(lone), of_run, named)


def _stories(pair: _Pair, runs: Sequence[Told], totals: Iterable[Told]) -> dict[int, list[tuple[_Story, list[Told]]]]:
    """Place of the newest run before them -> the stories that totals tell then, each from the earliest on."""
    made = [-math.inf if run.at is None else run.at // _SECOND for run in runs]
    found: dict[_Story, list[Told]] = defaultdict(list)
    for one in sorted(totals, key=lambda one: one.age):
        after = bisect_right(made, math.inf if one.at is None else one.at // _SECOND) - 1
        found[pair, after, _rounded(one)].append(one)
    done: dict[int, list[tuple[_Story, list[Told]]]] = defaultdict(list)
    for story, entries in found.items():
        done[story[1]].append((story, entries))
    return done


def _run_age(run: Told) -> tuple[bool, int, str]:
    """By which runs come one after another; those that say no time come before all others."""
    return (run.at is not None, run.written, run.own)


def _rounded(totals: Told) -> tuple[Any, ...]:
    return tuple((name, round(totals.numbers[name], n)) for name, n in _DIGITS.items() if name in totals.numbers)


def _distance(run: Told, totals: Told) -> tuple[bool, tuple[float, str]]:
    """Of totals that may be a run's own the nearest tell what it tells, else they are the earliest."""
    is_same = bool(run.numbers.keys() & totals.numbers.keys()) and not any(apart(run, totals))
    return (not is_same, totals.age)


def apart(run: Told, totals: Told) -> Iterator[tuple[str, float, float]]:
    """Column, what a run tells and what totals tell otherwise."""
    for column, tolerance in _APART.items():
        held, said = run.numbers.get(column), totals.numbers.get(column)
        if held is not None and said is not None and abs(held - said) > tolerance:
            yield column, held, said


def places(told: Sequence[Told], now: Settled) -> dict[str, str]:
    """The ids, of those that have no row yet, that are others than their own: own id -> id.

    A row of totals is to become another when those are no run, or when earlier ones of their story are known. It
    becomes what tells of the same run, else anything that is new: rows are never removed. And an own id is another's
    where that took its row.

    Args:
        told: all that tells of runs.
        now: what it comes to.
    """
    are_runs = {one.own for one in now.lone}
    free = {o.own: o for o in sorted(told, key=lambda o: o.age) if o.is_total and o.row and o.own not in are_runs}
    new = [one for one in (*now.runs, *now.lone) if one.row is None]
    done: dict[str, str] = {}
    for claim in (now.is_told_by, lambda one: one.pair):
        claimed = _by(free.values(), claim)
        for one in new:
            if one.own not in done and (rows := claimed.get(claim(one))):
                row = rows.pop(0)
                done[one.own] = str(free.pop(row.own).row)
    occupied = {one.row for one in told}
    for one in new:
        if one.own not in done and one.own in occupied:
            done[one.own] = next(name for n in count(2) if (name := f"{one.own}-{n}") not in occupied)
    return done


def _by(told: Iterable[Told], name: Callable[[Told], Any]) -> dict[Any, list[Told]]:
    done: dict[Any, list[Told]] = defaultdict(list)
    for one in told:
        done[name(one)].append(one)
    return done
