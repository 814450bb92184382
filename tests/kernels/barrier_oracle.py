"""Barrier labels candle by candle in plain Python: slow, and made to be read; what a compiled kernel is held to.

Times are whole numbers of any unit. Candles are {open time: (open, high, low, close)}, each timeframe with its step,
of which open times are multiples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

Candles = dict[int, tuple[float, float, float, float]]
Level = tuple[int, Candles]


@dataclass(frozen=True)
class Event:
    """A position to be followed; sign is 1 for LONG, -1 for SHORT."""

    sign: int
    entry: float
    stop: float | None
    targets: tuple[float, ...]
    start: int
    timeout: int | None
    break_even: bool = True


@dataclass(frozen=True)
class End:
    """How it ended: reason is sl, breakeven, target, timeout, gap, or None while it is not resolved."""

    reason: str | None
    price: float | None = None
    at: int | None = None
    targets_hit: int = 0
    ambiguous: bool = False
    tp1_at: int | None = None
    best: float = 0.0
    worst: float = 0.0
    bars: int = 0


@dataclass
class Life:
    """What one event lived through so far."""

    event: Event
    hit: int = 0
    tp1_at: int | None = None
    seen: list[float] = field(default_factory=list)
    end: tuple[str, float | None, int | None] | None = None
    ambiguous: bool = False

    def copy(self) -> Life:
        return Life(self.event, self.hit, self.tp1_at, list(self.seen), self.end, self.ambiguous)

    def stop(self) -> float | None:
        return self.event.entry if self.hit and self.event.break_even else self.event.stop

    def stopped_by(self, price: float) -> bool:
        level = self.stop()
        if level is None:
            return False
        return price <= level if self.event.sign == 1 else price >= level

    def reaches(self, price: float) -> bool:
        left = self.event.targets[self.hit :]
        if not left:
            return False
        return price >= left[0] if self.event.sign == 1 else price <= left[0]

    def comes_back(self, good: float, bad: float) -> bool:
        """Whether a range holds the first target and the entry, to which the stop moves when there are more targets."""
        if self.hit or not self.event.break_even or len(set(self.event.targets)) < 2 or not self.reaches(good):
            return False
        return bad <= self.event.entry if self.event.sign == 1 else bad >= self.event.entry

    def give_up(self, price: float, at: int) -> None:
        self.seen.append(price)
        self.end = ("breakeven" if self.hit and self.event.break_even else "sl", price, at)

    def take(self, price: float, at: int, filled: float | None) -> bool:
        """Targets up to a price; whether the last one ended it."""
        while self.reaches(price):
            self.hit += 1
            if self.hit == 1:
                self.tp1_at = at
            if self.hit == len(self.event.targets):
                self.seen.append(self.event.targets[-1] if filled is None else filled)
                self.end = ("target", self.seen[-1], at)
                return True
        return False

    def open(self, price: float, at: int) -> None:
        """A candle's open, which is a price that there was."""
        if self.stopped_by(price):
            self.give_up(price, at)
        elif not self.take(price, at, price):
            self.seen.append(price)
            if self.event.timeout is not None and at >= self.event.timeout:
                self.end = ("timeout", price, at)


def candle(life: Life, levels: list[Level], time: int) -> Life:
    """The life after one candle of the first level."""
    step, candles = levels[0]
    before = life.copy()
    opened = candles[time][0]
    timeout = life.event.timeout
    if timeout is not None and time > timeout:
        life.seen.append(opened)
        life.end = ("timeout", opened, time)
        return life
    life.open(opened, time)
    if life.end:
        return life
    if timeout is not None and timeout < time + step:
        told = next((tried for tried in closer(before, levels, time) if tried.end), None)
        return told or given_up_within(life, levels[0], time)
    return ranged(life, before, levels, time)


def ranged(life: Life, before: Life, levels: list[Level], time: int) -> Life:
    """The life after the range and the close of a candle of which the open settled nothing."""
    step, candles = levels[0]
    _, high, low, close = candles[time]
    good, bad = (high, low) if life.event.sign == 1 else (low, high)
    is_stopped, comes_back = life.stopped_by(bad), life.comes_back(good, bad)
    if (is_stopped and life.reaches(good)) or comes_back:
        for tried in closer(before, levels, time):
            if tried.end or (not is_stopped and tried.hit):
                return tried
        life.ambiguous = True
    if comes_back and not is_stopped:
        first = life.event.targets[0]
        while life.reaches(first):
            life.hit, life.tp1_at = life.hit + 1, time + step
        life.seen.append(first)
    if is_stopped or comes_back:
        life.give_up(life.stop(), time + step)  # type: ignore[arg-type]
        return life
    life.seen.append(bad)
    if life.take(good, time + step, None):
        return life
    life.seen.append(good)
    if life.event.timeout is not None and time + step >= life.event.timeout:
        life.end = ("timeout", close, time + step)
    return life


def given_up_within(life: Life, level: Level, time: int) -> Life:
    """The life after a candle that holds the timeout: whatever it touches it may have touched too late."""
    _, high, low, close = level[1][time]
    good, bad = (high, low) if life.event.sign == 1 else (low, high)
    at = time + level[0]
    if life.stopped_by(bad):
        life.ambiguous = True
        life.give_up(life.stop(), at)  # type: ignore[arg-type]
        return life
    life.seen.append(bad)
    if life.reaches(good):
        life.ambiguous = True
        worse = min if life.event.sign == 1 else max
        close = good = worse(close, life.event.targets[life.hit])
    life.seen.append(good)
    life.end = ("timeout", close, at)
    return life


def needed(life: Life, since: int, until: int, step: int) -> list[int]:
    """The open times of candles that cover a time, as far as the event lives: the one with the timeout is the last."""
    timeout = until if life.event.timeout is None else life.event.timeout
    return [time for time in range(since, until, step) if time == since or time < timeout]


def closer(before: Life, levels: list[Level], time: int) -> Iterator[Life]:
    """The life after a candle by the finer candles that cover it, coarsest first."""
    step = levels[0][0]
    for number in range(1, len(levels)):
        finer_step, finer = levels[number]
        opens = needed(before, time, time + step, finer_step)
        if opens[-1] + finer_step > time + step or any(each not in finer for each in opens):
            continue
        tried = before.copy()
        for each in opens:
            if not tried.end:
                tried = candle(tried, levels[number:], each)
        yield tried


def begin(life: Life, levels: list[Level], since: int, until: int) -> tuple[Life, bool]:
    """The life after the rest of the candle that it began in, as far as finer candles cover it; whether any did."""
    for number, (step, candles) in enumerate(levels):
        first = -(-since // step) * step
        opens = needed(life, first, until, step)
        if not candles or any(time not in candles for time in opens) or (opens and opens[-1] + step > until):
            continue
        life, any_did = begin(life, levels[number + 1 :], since, min(first, until))
        for time in opens:
            if not life.end:
                life, any_did = candle(life, levels[number:], time), True
        return life, any_did
    if any(reaches_level(life, level, since, until) for level in levels):
        life.end = ("gap", None, None)
    return life, False


def reaches_level(life: Life, level: Level, since: int, until: int) -> bool:
    """Whether the candles that are held of a time, which do not cover it, reach a level before the timeout."""
    step, candles = level
    end = until if life.event.timeout is None else min(until, life.event.timeout)
    tried = life.copy()
    for time in sorted(candles):
        if since <= time <= end - step and not tried.end:
            tried = candle(tried, [level], time)
    return tried.hit > life.hit or (tried.end is not None and tried.end[0] != "timeout")


def follow(event: Event, levels: list[Level]) -> End:
    """The end of an event; the first level is what it is followed on, the others are finer, coarsest first."""
    step, candles = levels[0]
    life, bars = Life(event, seen=[event.entry]), 0
    times = sorted(candles)
    if times and (event.start - times[0]) % step and len(levels) > 1:
        close = event.start + step - (event.start - times[0]) % step
        life, any_did = begin(life, levels[1:], event.start, close)
        bars = int(any_did)
    due = None
    for time in times:
        if time < event.start or life.end:
            continue
        if time >= event.start + step if due is None else time != due:
            life.end = ("gap", None, None)
            break
        bars, due = bars + 1, time + step
        life = candle(life, levels, time)
    reason, price, at = life.end or (None, None, None)
    best, worst = (max, min) if event.sign == 1 else (min, max)
    return End(reason, price, at, life.hit, life.ambiguous, life.tp1_at, best(life.seen), worst(life.seen), bars)
