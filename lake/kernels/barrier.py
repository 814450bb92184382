"""Barrier outcomes of many events along candles of one symbol, with finer candles where the coarse ones do not tell.

The meaning is that of :mod:`lake.kernels.phantom`, with what labels add:

- A candle that touches the stop and the next target, or the first target and the entry to which the stop moves then, or
  within which the event is given up, is looked at in the finer candles that it consists of, coarsest first, from the
  event's state at its beginning; these may ask still finer ones. Finer candles are asked only where they cover the
  candle without a gap, up to the timeout, and believed only when they end the event or, where it came back to the
  entry, at least reach the target. Where none does, the stop counts (the entry, where it came back), and the event is
  ambiguous; one that is given up within a candle that touches a target alone is given up, and ambiguous.
- An event that begins inside a candle never uses its earlier part: finer candles that open at or after the start
  cover the rest, where they are held without a gap up to its close; the next finer ones the rest of the first of
  those, and so on. Where none are held, following begins at the next candle. Where some are, with gaps, and one of
  them reaches a level, nobody knows what came before it: a GAP.
- A candle that is missing before the end, with later ones held, is a GAP: there is no outcome. Candles that end
  before the event does leave it ALIVE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lake.kernels import barrier_compiled
from lake.kernels.barrier_bars import lives_of
from lake.kernels.barrier_loops import ALIVE, BACK, BOTH, EVEN, GAP, STOPPED, TARGET
from lake.kernels.barrier_types import Bars, Events, Integers, Lives

_Windows = tuple[Integers, Integers]


def follow(levels: Sequence[Bars], events: Events, rows: Integers | None = None, lives: Lives | None = None) -> Lives:
    """What became of events.

    Args:
        levels: candles of one symbol, those that events are followed on, then finer ones, coarsest first.
        events: positions.
        rows: which of the events are of that symbol; all when left out.
        lives: to write to; those of untouched events when left out.

    Raises:
        MissingExtraError: numba is not installed.
    """
    made = lives_of(events) if lives is None else lives
    wanted = np.arange(len(events.side)) if rows is None else rows
    held = [bars for bars in levels[1:] if len(bars.time)]
    if len(levels[0].time):
        _Follower(events, made).follow([levels[0], *held], wanted)
    return made


@dataclass(frozen=True)
class _Follower:
    events: Events
    lives: Lives

    def follow(self, levels: Sequence[Bars], rows: Integers) -> None:
        base = levels[0]
        if len(levels) > 1:
            start = self.events.start[rows]
            since_open = (start - base.time[0]) % base.step
            late = since_open > 0
            self.enter(levels[1:], rows[late], start[late], (start + base.step - since_open)[late])
        events = self.events
        while len(rows):
            barrier_compiled.from_start(base, events, self.lives, rows, is_finest=len(levels) == 1)
            going, last = self.resolve(levels, rows)
            rows, events = rows[going], events._replace(start=np.empty_like(events.start))
            events.start[rows] = base.time[last] + base.step

    def enter(self, levels: Sequence[Bars], rows: Integers, since: Integers, until: Integers) -> None:
        """Follow events through the rest of the candle that they begin in."""
        for number, bars in enumerate(levels):
            if not len(rows):
                return
            first_open = since + (bars.time[0] - since) % bars.step
            windows, whole = cover(bars, first_open, self.needed(bars, rows, first_open, until))
            finer = levels[number + 1 :]
            self.enter(finer, rows[whole], since[whole], np.minimum(first_open, until)[whole])
            alive = whole & (self.lives.code[rows] == ALIVE)
            self.lives.bars[rows[alive & (windows[1] > windows[0])]] = 1
            self.through(levels[number:], rows[alive], (windows[0][alive], windows[1][alive]))
            rows, since, until = rows[~whole], since[~whole], until[~whole]
        for bars in levels:
            self.doubt(bars, rows, since, until)

    def doubt(self, bars: Bars, rows: Integers, since: Integers, until: Integers) -> None:
        """Make a GAP of events that reach a level in candles which do not cover a time."""
        last = np.minimum(until, self.events.timeout[rows]) - bars.step
        windows = np.searchsorted(bars.time, since), np.searchsorted(bars.time, last, side="right")
        before = self.lives.taken(rows)
        barrier_compiled.inside(bars, self.events, self.lives, rows, windows, is_finest=True)
        has_ended = np.isin(self.lives.code[rows], (STOPPED, EVEN, TARGET))
        reached = has_ended | (self.lives.hit[rows] > before.hit)
        self.lives.put(rows, before)
        self.lives.code[rows[reached]] = GAP

    def through(self, levels: Sequence[Bars], rows: Integers, windows: _Windows) -> None:
        """Follow events through candles of the first level, asking the others where they do not tell."""
        first, end = windows
        while len(rows):
            barrier_compiled.inside(levels[0], self.events, self.lives, rows, (first, end), is_finest=len(levels) == 1)
            going, last = self.resolve(levels, rows)
            rows, first, end = rows[going], last + 1, end[going]

    def needed(self, bars: Bars, rows: Integers, since: Integers, until: Integers) -> Integers:
        """Up to when candles from a time on are needed: not beyond the close of the one that holds the timeout."""
        left = self.events.timeout[rows] - since
        held = -(-left // bars.step) * bars.step
        return np.where(left < until - since, np.minimum(until, since + np.maximum(held, bars.step)), until)

    def resolve(self, levels: Sequence[Bars], among: Integers) -> tuple[Integers, Integers]:
        """Take events through the candle of the first level that they met, which alone does not tell.

        Returns:
            The places of those that live on, and the index of that candle.
        """
        places = np.flatnonzero(self.lives.code[among] >= BOTH)
        if not len(places):
            return places, places
        base, rows = levels[0], among[places]
        met = self.lives.taken(rows)
        open_time = base.time[met.last]
        self.lives.code[rows] = ALIVE
        waiting = np.ones(len(rows), np.bool_)
        for number in range(1, len(levels)):
            finer = levels[number]
            windows, whole = cover(finer, open_time, self.needed(finer, rows, open_time, open_time + base.step))
            asked = np.flatnonzero(waiting & whole)
            self.through(levels[number:], rows[asked], (windows[0][asked], windows[1][asked]))
            reached = (met.code[asked] == BACK) & (self.lives.hit[rows[asked]] > met.hit[asked])
            waiting[asked] = (self.lives.code[rows[asked]] == ALIVE) & ~reached
            left = np.flatnonzero(waiting)
            self.lives.put(rows[left], met.taken(left))
            self.lives.code[rows[left]] = ALIVE
        left = np.flatnonzero(waiting)
        window = (met.last[left], met.last[left] + 1)
        barrier_compiled.inside(base, self.events, self.lives, rows[left], window, is_finest=True)
        going = np.flatnonzero(self.lives.code[rows] == ALIVE)
        return places[going], met.last[going]


def cover(bars: Bars, since: Integers, until: Integers) -> tuple[_Windows, NDArray[np.bool_]]:
    """Candles that cover a time each without a gap: from index, to before index; and whether they do.

    Args:
        bars: the candles.
        since, until: microseconds; nothing is wanted, and covered, where they do not rise.
    """
    first = np.searchsorted(bars.time, since)
    count = np.maximum(0, -(-(until - since) // bars.step))
    last = first + count - 1
    is_held = last < len(bars.time)
    at_last = bars.time[np.where(is_held, last, 0)]
    is_whole = is_held & (at_last == since + (count - 1) * bars.step) & (since + count * bars.step == until)
    return (first, first + count), (count == 0) | is_whole
