"""The life of a phantom: what one candle or price does to a signal that is followed to its end.

A phantom is in the market from its signal on, at ``entry_price``. Its targets are those of tp1, tp2, tp3 that it has;
it ends at the last of them, at its stop, or at its timeout. All of it counts whole: nothing is sold at earlier targets.

- A bar is a price at its open, then a range from low to high of which the order is not known, then a price at its
  close. A single price is a bar of which all of it is that price. What a bar's open settles comes before its range.
- The stop is ``stop_loss``; when the first target is reached and there are more, it moves to the entry (``be_moved``).
  Moved by an open it guards the rest of that bar. A range that reaches the first target and the entry may have come
  back to the entry after the target, or been there before: it ends at the entry, the target reached, ``ambiguous``.
- An open is a price that there was: at or beyond the stop it ends it at the open, at or beyond the last target too.
  A range ends it at the level that it touches: at the stop, whatever else it touches (touching a target as well, it is
  ``ambiguous``), else at the entry as above, else at the last target.
- Bars that open before the signal, or before the end of the last bar looked at, change nothing.
- The first bar that opens at or after ``timeout_at`` ends it at its open (one that opens at it only if the open settles
  nothing); one that closes at or after it and does nothing else at its close. Then the outcome is ``timeout``; else it
  is the sign of the result: win, loss, breakeven. A range with ``timeout_at`` within it may have touched a level only
  after that: it ends at the stop that it touches; touching a target alone it is a timeout, at the close or the target,
  whichever is worse, of which nothing else counts as favourable. Either is ``ambiguous``.
- ``max_favorable`` and ``max_adverse`` are the best and worst price while it lived, from the entry on. Of a bar that
  ends at the stop only the open counts as favourable (and the target after which the stop moved within it), and nothing
  is worse than the exit; of one that ends at the last target nothing is better than the exit. A risk once reached by
  the best price sets ``one_r_hit``, twice of it ``two_r_hit``; the risk is the distance between the entry and its
  ``stop_loss``, as that is when the price comes.
- What a range did is dated by the bar's close, what an open did by its open.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lake.clock import MICROS_PER_SECOND
from lake.kernels.rounding import slack

Row = Mapping[str, Any]
Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
TARGETS = ("tp1", "tp2", "tp3")
_HITS = (*((name, f"{name}_hit") for name in TARGETS), ("stop_loss", "one_r_hit"), ("stop_loss", "two_r_hit"))


class Bar(NamedTuple):
    """A candle, or one price at one moment; times in microseconds."""

    open_time: int
    close_time: int
    open: float
    high: float
    low: float
    close: float


def price_bar(at: int, price: float) -> Bar:
    """One price at one moment."""
    return Bar(at, at, price, price, price, price)


def sign(row: Row) -> float:
    """1 for LONG, -1 for SHORT."""
    return 1.0 if row["side"] == "LONG" else -1.0


def can_be_followed(row: Row) -> bool:
    """Whether it says enough of itself: side and entry."""
    return row.get("status") == "active" and row.get("side") is not None and row.get("entry_price") is not None


def looked_until(row: Row) -> int:
    """Up to when its prices were looked at; bars that open before it are not news."""
    return max(int(row.get("followed_until", 0)), int(row["signal_time"]))


def begun(row: Row) -> dict[str, Any]:
    """What a phantom says of itself at its beginning, where the row does not say it: nothing happened yet."""
    start: dict[str, Any] = {hit: False for name, hit in _HITS if row.get(name) is not None}
    start["be_moved"] = start["ambiguous"] = False
    if row.get("entry_price") is not None:
        start["max_favorable"] = start["max_adverse"] = row["entry_price"]
    told = start.keys() & row.keys()
    return {name: value for name, value in start.items() if row.get(name) is None} if told else start


def next_target(row: Row) -> tuple[str, float, bool] | None:
    """The next target that it has not reached, its price, and whether it is the last; None without one."""
    left = [name for name in TARGETS if row.get(name) is not None and not row.get(f"{name}_hit")]
    return (left[0], row[left[0]], len(left) == 1) if left else None


def stop(row: Row) -> float | None:
    """Where it is given up now."""
    return row["entry_price"] if row.get("be_moved") else row.get("stop_loss")


def advance(row: Row, bar: Bar) -> dict[str, Any]:
    """What a bar changes; empty when it is no news or changes nothing but how far it was looked at."""
    if not can_be_followed(row) or bar.open_time < looked_until(row):
        return {}
    life = _Life(row)
    timeout = row.get("timeout_at")
    if timeout is not None and bar.open_time > timeout:
        life.see(bar.open)
        life.end("timeout", bar.open, bar.open_time)
    elif not life.at_open(bar):
        if timeout is not None and bar.open_time >= timeout:
            life.end("timeout", bar.open, bar.open_time)
        elif timeout is not None and bar.close_time > timeout:
            life.in_last_range(bar)
        elif not life.in_range(bar) and timeout is not None and bar.close_time >= timeout:
            life.end("timeout", bar.close, bar.close_time)
    changes = life.changes()
    return {**changes, "followed_until": bar.close_time} if changes else {}


def advance_all(row: Row, bars: NDArray[Any]) -> dict[str, Any]:
    """What a series of bars changes, in order of time; the same as :func:`advance` of one after the other.

    Bars between two that settle anything are taken as one: nothing but their best and worst price counts.
    """
    now: Row = row
    rest = bars[np.searchsorted(bars["open_time"], looked_until(row)) :]
    while len(rest) and now["status"] == "active":
        levels = Levels(*(np.array([value]) for value in level_of(now)))
        settles = np.flatnonzero(touched(levels, rest).settles)
        quiet = int(settles[0]) if len(settles) else len(rest)
        steps = [_merged(rest[:quiet])] if quiet else []
        steps += [Bar(*rest[quiet].tolist())] if len(settles) else []
        for bar in steps:
            now = {**now, **advance(now, bar)}
        rest = rest[quiet + 1 :]
    return {name: value for name, value in now.items() if row.get(name) != value}


def _merged(bars: NDArray[Any]) -> Bar:
    first, last = bars[0], bars[-1]
    high, low = float(bars["high"].max()), float(bars["low"].min())
    return Bar(int(first["open_time"]), int(last["close_time"]), float(first["open"]), high, low, float(last["close"]))


def with_extremes(row: Row, favorable: float, adverse: float, until: int) -> Row:
    """The row with a best and a worst price, times the sign of its side, that were seen since it was written."""
    life = _Life(row)
    life.favorable, life.adverse = max(life.favorable, favorable), min(life.adverse, adverse)
    changes = life.changes()
    return {**row, **changes, "followed_until": until} if changes else row


def ending(row: Row, reason: str, price: float, at: int) -> dict[str, Any]:
    """What changes when it ends at a price for any reason, such as a word of its owner: it has reached that price."""
    life = _Life(row)
    life.reach(price, at)
    life.end(reason, price, at)
    return life.changes()


class _Life:
    """A phantom while one bar passes; prices times ``sign``, so that up is good."""

    __slots__ = ("adverse", "entry", "exit", "favorable", "made", "row", "sign")

    def __init__(self, row: Row) -> None:
        self.row = row
        self.sign = sign(row)
        self.entry = self.sign * row["entry_price"]
        self.favorable = self.sign * row.get("max_favorable", row["entry_price"])
        self.adverse = self.sign * row.get("max_adverse", row["entry_price"])
        self.made: dict[str, Any] = {}
        self.exit: tuple[str, float, int] | None = None

    def see(self, price: float) -> None:
        """A price that it lived through."""
        there = self.sign * price
        self.favorable = max(self.favorable, there)
        self.adverse = min(self.adverse, there)

    def reach(self, price: float, at: int) -> tuple[str, float] | None:
        """A price that it lived through, and all targets up to it; the last one and its price when it is among them."""
        last = self._reached(self.sign * price, at)
        self.see(price)
        return last

    def end(self, reason: str, price: float, at: int) -> None:
        """It ends."""
        self.exit = (reason, price, at)

    def at_open(self, bar: Bar) -> bool:
        """The bar's open as a price; whether it ended there."""
        guard = stop(self._now())
        if guard is not None and self.sign * bar.open <= self.sign * guard:
            self.see(bar.open)
            self.end(self._stop_reason(), bar.open, bar.open_time)
            return True
        last = self.reach(bar.open, bar.open_time)
        if last is not None:
            self.end(last[0], bar.open, bar.open_time)
        return last is not None

    def in_range(self, bar: Bar) -> bool:
        """The bar's range; whether it ended in it."""
        best, worst = (bar.high, bar.low) if self.sign > 0 else (bar.low, bar.high)
        now = self._now()
        guard, target = stop(now), next_target(now)
        if guard is not None and self.sign * worst <= self.sign * guard:
            if target is not None and self.sign * best >= self.sign * target[1]:
                self.made["ambiguous"] = True
            self.see(guard)
            self.end(self._stop_reason(), guard, bar.close_time)
            return True
        if target is not None and self.sign * worst <= self.entry:  # it may have ended there before it went further
            best = min(best, target[1], key=lambda price: self.sign * price)
        last = self._reached(self.sign * best, bar.close_time)
        self.see(best if last is None else last[1])
        moved = stop(self._now())
        if last is None and moved is not None and self.sign * worst <= self.sign * moved:
            self.made["ambiguous"] = True
            last = self._stop_reason(), moved
        else:
            self.see(worst)
        if last is not None:
            self.end(*last, bar.close_time)
        return last is not None

    def in_last_range(self, bar: Bar) -> None:
        """The bar's range, within which it is given up."""
        best, worst = (bar.high, bar.low) if self.sign > 0 else (bar.low, bar.high)
        now = self._now()
        guard, target = stop(now), next_target(now)
        if guard is not None and self.sign * worst <= self.sign * guard:
            self.made["ambiguous"] = True
            self.see(guard)
            self.end(self._stop_reason(), guard, bar.close_time)
            return
        self.see(worst)
        price = bar.close
        if target is not None and self.sign * best >= self.sign * target[1]:
            self.made["ambiguous"] = True
            best = price = min(price, target[1], key=lambda price: self.sign * price)
        self.see(best)
        self.end("timeout", price, bar.close_time)

    def _reached(self, best: float, at: int) -> tuple[str, float] | None:
        """Reach the targets up to a price; the last one and its price when it is among them."""
        while (target := next_target(self._now())) is not None and best >= self.sign * target[1]:
            name, price, last = target
            self.made[f"{name}_hit"] = True
            if name == "tp1":
                self.made["time_to_tp1_sec"] = (at - self.row["signal_time"]) / MICROS_PER_SECOND
            if last:
                return name, price
            self.made["be_moved"] = True
        return None

    def _now(self) -> Row:
        return {**self.row, **self.made} if self.made else self.row

    def _stop_reason(self) -> str:
        return "breakeven" if self._now().get("be_moved") else "sl"

    def changes(self) -> dict[str, Any]:
        """All that differs from the row."""
        made = {**self.made, "max_favorable": self.sign * self.favorable, "max_adverse": self.sign * self.adverse}
        risk = abs(self.row["entry_price"] - self.row["stop_loss"]) if self.row.get("stop_loss") is not None else 0.0
        if risk:
            ahead = self.favorable - self.entry + slack(self.favorable, self.entry, self.row["stop_loss"])
            made |= {hit: bool(self.row.get(hit)) or ahead >= n * risk for n, (_, hit) in enumerate(_HITS[-2:], 1)}
        if self.exit is not None:
            made = {**begun(self.row), **made, **self._ended(*self.exit, risk)}
        return {name: value for name, value in made.items() if self.row.get(name) != value}

    def _ended(self, reason: str, price: float, at: int, risk: float) -> dict[str, Any]:
        result = self.sign * price - self.entry
        by_result = "win" if result > 0 else "loss" if result < 0 else "breakeven"
        return {
            "status": "completed",
            "outcome": "timeout" if reason == "timeout" else by_result,
            "exit_reason": reason,
            "exit_price": price,
            "exit_time": at,
            "pnl_percent": 100.0 * result / self.row["entry_price"],
            "time_to_exit_sec": (at - self.row["signal_time"]) / MICROS_PER_SECOND,
            **({"realized_rr": result / risk} if risk else {}),
        }


class Levels(NamedTuple):
    """What many phantoms wait for, prices times the sign of the side; NaN and the largest time where there is none."""

    sign: Numbers
    favorable: Numbers
    adverse: Numbers
    stop: Numbers
    target: Numbers
    timeout: NDArray[np.int64]
    until: NDArray[np.int64]


NEVER = np.iinfo(np.int64).max


def level_of(row: Row) -> tuple[float, float, float, float, float, int, int]:
    """One phantom's entry in :class:`Levels`."""
    way, entry = sign(row), row["entry_price"]
    guard, target = stop(row), next_target(row)
    return (
        way,
        way * row.get("max_favorable", entry),
        way * row.get("max_adverse", entry),
        np.nan if guard is None else way * guard,
        np.nan if target is None else way * target[1],
        row.get("timeout_at", NEVER),
        looked_until(row),
    )


class Touched(NamedTuple):
    """What a bar does to each of many phantoms.

    Attributes:
        news: it is news to it.
        settles: it may reach its stop, its next target or its timeout.
        better: it does nothing but give it a new best or worst price.
        best, worst: the bar's prices in its direction, times the sign of its side.
    """

    news: Flags
    settles: Flags
    better: Flags
    best: Numbers
    worst: Numbers


def touched(levels: Levels, bars: NDArray[Any]) -> Touched:
    """What a bar does to each of many phantoms.

    Args:
        levels: of the phantoms.
        bars: a structured array of :data:`BARS`, one for each phantom.
    """
    high, low = levels.sign * bars["high"], levels.sign * bars["low"]
    best, worst = np.maximum(high, low), np.minimum(high, low)
    news = bars["open_time"] >= levels.until
    settles = (worst <= levels.stop) | (best >= levels.target) | (bars["close_time"] >= levels.timeout)
    better = (best > levels.favorable) | (worst < levels.adverse)
    return Touched(news, news & settles, news & better & ~settles, best, worst)


BARS = np.dtype([("open_time", "i8"), ("close_time", "i8"), *((n, "f8") for n in ("open", "high", "low", "close"))])
