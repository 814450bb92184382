"""A second, plain calculation of a phantom's life, written from its definition and sharing no code with the lake."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any


class Oracle:
    """One phantom; longs and shorts written out, one bar after the other."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self.long = row["side"] == "LONG"
        self.entry = row["entry_price"]
        self.start = row["signal_time"]
        self.first_stop = row.get("stop_loss")
        self.stop = self.first_stop
        self.timeout = row.get("timeout_at")
        self.waiting = [(name, row[name]) for name in ("tp1", "tp2", "tp3") if row.get(name) is not None]
        self.hit = {f"{name}_hit": False for name, _ in self.waiting}
        self.seen = [self.entry]
        self.until = self.start
        self.moved = self.ambiguous = False
        self.to_tp1: float | None = None
        self.end: tuple[str, float, int] | None = None

    def bar(self, began: int, ended: int, opened: float, high: float, low: float, close: float) -> None:
        if self.end is not None or began < self.until:
            return
        self.until = ended
        if self.timeout is not None and began > self.timeout:
            self.seen.append(opened)
            self.end = ("timeout", opened, began)
            return
        if self._stopped(opened):
            self._exit(opened, began)
            return
        if self._targets(opened, began, filled=opened):
            return
        self.seen.append(opened)
        if self.timeout is not None and began >= self.timeout:
            self.end = ("timeout", opened, began)
            return
        bad, good = (low, high) if self.long else (high, low)
        if self.timeout is not None and ended > self.timeout:
            self._given_up_within(good, bad, close, ended)
        else:
            self._range(good, bad, close, ended)

    def _range(self, good: float, bad: float, close: float, ended: int) -> None:
        if self._stopped(bad):
            self.ambiguous = bool(self.waiting) and self._reached(good, self.waiting[0][1])
            self._exit(self.stop, ended)
            return
        if self._turned(good, bad, ended):
            return
        self.seen.append(bad)
        if self._targets(good, ended):
            return
        self.seen.append(good)
        if self.timeout is not None and ended >= self.timeout:
            self.end = ("timeout", close, ended)

    def _stopped(self, price: float) -> bool:
        if self.stop is None:
            return False
        return price <= self.stop if self.long else price >= self.stop

    def _given_up_within(self, good: float, bad: float, close: float, at: int) -> None:
        """A range of which nobody knows what was before the timeout: a stop in it counts, a target does not."""
        if self._stopped(bad):
            self.ambiguous = True
            self._exit(self.stop, at)
            return
        if self.waiting and self._reached(good, self.waiting[0][1]):
            self.ambiguous = True
            level = self.waiting[0][1]
            close = good = min(close, level) if self.long else max(close, level)
        self.seen += [bad, good]
        self.end = ("timeout", close, at)

    def _turned(self, good: float, bad: float, at: int) -> bool:
        """A range across both the first of several targets and the entry, where the stop is once that is reached."""
        prices = [level for _, level in self.waiting]
        back = bad <= self.entry if self.long else bad >= self.entry
        if self.moved or not back or not prices or not self._reached(good, prices[0]) or prices[0] == prices[-1]:
            return False
        self._targets(prices[0], at)
        self.seen.append(prices[0])
        self.ambiguous = True
        self._exit(self.entry, at)
        return True

    def _reached(self, price: float, level: float) -> bool:
        return price >= level if self.long else price <= level

    def _exit(self, price: float, at: int) -> None:
        self.seen.append(price)
        self.end = ("breakeven" if self.moved else "sl", price, at)

    def _targets(self, price: float, at: int, filled: float | None = None) -> bool:
        while self.waiting and self._reached(price, self.waiting[0][1]):
            name, level = self.waiting.pop(0)
            self.hit[f"{name}_hit"] = True
            if name == "tp1":
                self.to_tp1 = (at - self.start) / 1e6
            if not self.waiting:
                self.seen.append(level if filled is None else filled)
                self.end = (name, self.seen[-1], at)
                return True
            self.moved, self.stop = True, self.entry
        return False

    def columns(self) -> dict[str, Any]:
        """The outcome columns, as the phantom would be stored now."""
        best, worst = (max(self.seen), min(self.seen)) if self.long else (min(self.seen), max(self.seen))
        made: dict[str, Any] = {
            "status": "active",
            **self.hit,
            "be_moved": self.moved,
            "ambiguous": self.ambiguous,
            "max_favorable": best,
            "max_adverse": worst,
        }
        if self.to_tp1 is not None:
            made["time_to_tp1_sec"] = self.to_tp1
        risk = None if self.first_stop is None else abs(self.entry - self.first_stop)
        if risk:
            top, entry, stop = (Fraction(str(float(price))) for price in (best, self.entry, self.first_stop))
            ahead, way = top - entry if self.long else entry - top, abs(entry - stop)
            made.update(one_r_hit=ahead >= way, two_r_hit=ahead >= 2 * way)
        if self.end is None:
            return made
        reason, price, at = self.end
        gain = price - self.entry if self.long else self.entry - price
        made.update(status="completed", exit_reason=reason, exit_price=price, exit_time=at)
        made["outcome"] = (
            "timeout" if reason == "timeout" else "win" if gain > 0 else "loss" if gain < 0 else "breakeven"
        )
        made["pnl_percent"] = 100 * gain / self.entry
        made["time_to_exit_sec"] = (at - self.start) / 1e6
        if risk:
            made["realized_rr"] = gain / risk
        return made
