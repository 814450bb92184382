"""The life of an event along candles, in the part of Python that :mod:`lake.kernels.barrier_compiled` compiles.

The meaning is that of :mod:`lake.kernels.phantom`. All prices are times the sign of the side, so that up is good.
Candles that can reach neither the stop nor the next target are passed over by blocks: a block whose extremes stay
between the two has no candle that touches one. Each function also runs as it stands, slowly.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from lake.kernels.barrier_types import Bars, Events, Integers, Lives, Numbers

# numba keeps compiled code until this file changes: what it builds in as a constant stands here
SMALL, LARGE = 16, 256  # candles in a block; the larger a multiple of the smaller
ALIVE, STOPPED, EVEN, TARGET, TIMEOUT, GAP, BOTH, BACK, DUE = range(9)
NEVER = 2**63 - 1
_INF = math.inf
_RATIO = LARGE // SMALL


class Event(NamedTuple):
    """What one event waits for; infinite where there is no such level."""

    entry: float
    stop: float
    first: float
    second: float
    third: float
    even: bool


class Life(NamedTuple):
    """What one event lived through: targets reached, best and worst price, time of the first target or -1."""

    hit: int
    best: float
    worst: float
    tp1: int


class End(NamedTuple):
    """How a look at candles ended: code, price, time, the candle's index, the life then, whether it is ambiguous."""

    code: int
    price: float
    at: int
    last: int
    life: Life
    ambiguous: bool


class Window(NamedTuple):
    """Candles to look at: from an index to before another, all in one run; and when the event is given up."""

    first: int
    end: int
    timeout: int


def target(event: Event, hit: int) -> float:
    """The next target when so many are reached; infinite when there is none."""
    if hit == 0:
        return event.first
    if hit == 1:
        return event.second
    return event.third if hit == 2 else _INF


def guard(event: Event, hit: int) -> float:
    """Where the event is given up when so many targets are reached."""
    return event.entry if hit > 0 and event.even else event.stop


def reached(event: Event, life: Life, price: float, at: int) -> Life:
    """The life after a price as far as targets go."""
    hit = life.hit
    while price >= target(event, hit):
        hit += 1
    tp1 = at if life.hit == 0 and hit > 0 else life.tp1
    return Life(hit, life.best, life.worst, tp1)


def seen(life: Life, price: float) -> Life:
    """The life after a price as far as extremes go."""
    best = max(life.best, price)
    worst = min(life.worst, price)
    return Life(life.hit, best, worst, life.tp1)


def is_over(event: Event, hit: int) -> bool:
    """Whether the last target is reached."""
    return hit > 0 and target(event, hit) == _INF


def stop_code(event: Event, hit: int) -> int:
    """What a stop is called."""
    return EVEN if hit > 0 and event.even else STOPPED


def at_open(bars: Bars, side: int, event: Event, life: Life, bar: int) -> End:
    """What the open of a candle does; every outcome of it is dated by the open."""
    price, at = bars.open[side, bar], bars.time[bar]
    if price <= guard(event, life.hit):
        return End(stop_code(event, life.hit), price, at, bar, seen(life, price), False)
    life = seen(reached(event, life, price, at), price)
    return End(TARGET if is_over(event, life.hit) else ALIVE, price, at, bar, life, False)


def settle(bars: Bars, side: int, event: Event, before: Life, bar: int, is_finest: bool) -> End:
    """What a candle does; with the life before it BOTH or BACK where finer candles may tell.

    BOTH: it touches the stop and a target. BACK: the first target, and the entry to which the stop moves with it.
    """
    opened = at_open(bars, side, event, before, bar)
    if opened.code != ALIVE:
        return opened
    life, at = opened.life, bars.time[bar] + bars.step
    worst, best = bars.span[side, bar, 0], bars.span[side, bar, 1]
    stop = guard(event, life.hit)
    if worst <= stop:
        is_both = best >= target(event, life.hit)
        if is_both and not is_finest:
            return End(BOTH, stop, at, bar, before, False)
        return End(stop_code(event, life.hit), stop, at, bar, seen(life, stop), is_both)
    if event.even and worst <= event.entry:  # it may have ended there before it went further
        best = min(best, target(event, life.hit))
    after = reached(event, life, best, at)
    if is_over(event, after.hit):
        price = target(event, after.hit - 1)
        return End(TARGET, price, at, bar, seen(seen(after, worst), price), False)
    if worst <= guard(event, after.hit):
        if not is_finest:
            return End(BACK, event.entry, at, bar, before, False)
        return End(EVEN, event.entry, at, bar, seen(after, best), True)
    return End(ALIVE, best, at, bar, seen(seen(after, worst), best), False)


def settle_due(bars: Bars, side: int, event: Event, before: Life, bar: int, is_finest: bool) -> End:
    """What a candle does within which the event is given up; with the life before it DUE where finer candles may tell.

    Its range may be of after that: the stop counts, a target does not, and either is ambiguous.
    """
    opened = at_open(bars, side, event, before, bar)
    if opened.code != ALIVE:
        return opened
    life, at = opened.life, bars.time[bar] + bars.step
    if not is_finest:
        return End(DUE, opened.price, at, bar, before, False)
    worst, best = bars.span[side, bar, 0], bars.span[side, bar, 1]
    stop, goal = guard(event, life.hit), target(event, life.hit)
    if worst <= stop:
        return End(stop_code(event, life.hit), stop, at, bar, seen(life, stop), True)
    is_unsure = best >= goal
    price = min(bars.close[side, bar], goal)
    return End(TIMEOUT, price, at, bar, seen(seen(life, worst), price if is_unsure else best), is_unsure)


def quiet(ranges: Numbers, levels: tuple[int, float, float], life: Life, first: int, end: int) -> tuple[int, Life]:
    """The first range that touches the stop or the target, or ``end``; and the life before it."""
    side, stop, goal = levels
    best, worst, place = life.best, life.worst, first
    while place < end:
        low, high = ranges[side, place, 0], ranges[side, place, 1]
        if low <= stop or high >= goal:
            break
        best = max(best, high)
        worst = min(worst, low)
        place += 1
    return place, Life(life.hit, best, worst, life.tp1)


def passed(bars: Bars, side: int, event: Event, life: Life, first: int, end: int) -> tuple[int, Life]:
    """The first candle that touches the stop or the next target, or ``end``; and the life before it.

    By candles to the first full block, by blocks and large blocks on, and by blocks and candles down to what touches.
    """
    levels = (side, guard(event, life.hit), target(event, life.hit))
    until = min(end, -(-first // SMALL) * SMALL)
    bar, life = quiet(bars.span, levels, life, first, until)
    if bar < until:
        return bar, life
    last = end // SMALL
    block = bar // SMALL
    until = min(last, -(-block // _RATIO) * _RATIO)
    block, life = quiet(bars.small, levels, life, block, until)
    if block == until and block < last:
        heap, life = quiet(bars.large, levels, life, block // _RATIO, end // LARGE)
        block, life = quiet(bars.small, levels, life, heap * _RATIO, last)
    return quiet(bars.span, levels, life, max(bar, block * SMALL), end)


def walk(bars: Bars, side: int, event: Event, life: Life, window: Window, is_finest: bool) -> End:
    """What the candles of a window do until the event ends, meets one that touches both sides, or the window ends."""
    first = window.first
    left = window.timeout - bars.time[first]
    if left < 0:
        price = bars.open[side, first]
        return End(TIMEOUT, price, bars.time[first], first, seen(life, price), False)
    if left == 0:
        done = at_open(bars, side, event, life, first)
        if done.code != ALIVE:
            return done
        return End(TIMEOUT, done.price, done.at, first, done.life, False)
    count = left // bars.step  # candles that are over when the event is given up
    is_due = count * bars.step == left
    whole = first + count
    end = min(window.end, whole)
    bar = first
    while bar < end:
        bar, life = passed(bars, side, event, life, bar, end)
        if bar < end:
            done = settle(bars, side, event, life, bar, is_finest)
            if done.code != ALIVE:
                return done
            life = done.life
            bar += 1
    if whole < window.end and not is_due:
        return settle_due(bars, side, event, life, whole, is_finest)
    code = TIMEOUT if is_due and whole <= window.end else ALIVE
    return End(code, bars.close[side, end - 1], bars.time[end - 1] + bars.step, end - 1, life, False)


def event_of(events: Events, row: int) -> Event:
    """One event, with its targets moved together."""
    way = 1.0 - 2.0 * events.side[row]
    stop = way * events.stop[row]
    first, second, third = way * events.targets[row, 0], way * events.targets[row, 1], way * events.targets[row, 2]
    if math.isnan(first):
        first, second, third = second, third, math.nan
    if math.isnan(first):
        first, second = second, math.nan
    if math.isnan(second):
        second, third = third, math.nan
    return Event(
        way * events.entry[row],
        -_INF if math.isnan(stop) else stop,
        _INF if math.isnan(first) else first,
        _INF if math.isnan(second) else second,
        _INF if math.isnan(third) else third,
        events.break_even[row],
    )


def life_of(lives: Lives, row: int) -> Life:
    """One life as it is."""
    return Life(lives.hit[row], lives.best[row], lives.worst[row], lives.tp1[row])


def store(lives: Lives, row: int, end: End) -> None:
    """Keep what a look at candles came to."""
    lives.code[row] = end.code
    lives.hit[row] = end.life.hit
    lives.best[row] = end.life.best
    lives.worst[row] = end.life.worst
    lives.tp1[row] = end.life.tp1
    lives.price[row] = end.price
    lives.at[row] = end.at
    lives.last[row] = end.last
    lives.ambiguous[row] = end.ambiguous


def run_from(bars: Bars, start: int) -> tuple[int, int]:
    """The first candle that opens at or after a time, and the end of its run; n, n when there is none."""
    low, high = 0, len(bars.run_time)  # the number of runs that begin at or before it
    while low < high:
        middle = (low + high) // 2
        if bars.run_time[middle] <= start:
            low = middle + 1
        else:
            high = middle
    first = 0
    if low > 0:
        late = start - bars.run_time[low - 1] + bars.step - 1
        first = min(bars.run[low], bars.run[low - 1] + late // bars.step)
        if first < bars.run[low]:
            return first, bars.run[low]
    count = len(bars.time)
    return (first, bars.run[low + 1]) if first < count else (count, count)


def from_start(bars: Bars, events: Events, lives: Lives, rows: Integers, is_finest: bool) -> None:
    """Follow events that live from their start on; a candle that is missing ends them as a GAP."""
    count = len(bars.time)
    for number in range(len(rows)):
        row = rows[number]
        first, run_end = run_from(bars, events.start[row])
        if lives.code[row] != ALIVE or first == count:
            continue
        if bars.time[first] - events.start[row] >= bars.step:
            lives.code[row] = GAP
            continue
        window = Window(first, run_end, events.timeout[row])
        end = walk(bars, events.side[row], event_of(events, row), life_of(lives, row), window, is_finest)
        store(lives, row, end)
        lives.bars[row] += end.last - first + 1
        if end.code == ALIVE and run_end < count:
            lives.code[row] = GAP


def inside(
    bars: Bars, events: Events, lives: Lives, rows: Integers, windows: tuple[Integers, Integers], is_finest: bool
) -> None:
    """Follow events along a window each: from an index to before another."""
    for number in range(len(rows)):
        row = rows[number]
        window = Window(windows[0][number], windows[1][number], events.timeout[row])
        if window.first < window.end:
            life = life_of(lives, row)
            store(lives, row, walk(bars, events.side[row], event_of(events, row), life, window, is_finest))


PARTS: tuple[Any, ...] = (
    target, guard, reached, seen, is_over, stop_code, at_open, settle, settle_due, quiet, passed, walk, event_of,
    life_of, store, run_from,
)  # fmt: skip
WHOLE = (from_start, inside)
