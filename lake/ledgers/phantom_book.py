"""The levels of active phantoms as arrays, to hold a bar of each of many symbols against all of them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lake.kernels import phantom as kernel
from lake.kernels.phantom import Bar, Levels, Touched
from lake.ledgers.current import Key, key_of
from lake.ledgers.price_journal import Note
from lake.spec import registry
from lake.store.hot.entry import Row

_DS = registry.get("phantoms")
_FIELDS = np.dtype(
    [
        *((name, "f8") for name in ("sign", "favorable", "adverse", "stop", "target")),
        ("timeout", "i8"),
        ("until", "i8"),
    ]
)
_NOBODY = (np.nan, np.nan, np.nan, np.nan, np.nan, kernel.NEVER, kernel.NEVER)
_NO_BAR = (-1, -1, np.nan, np.nan, np.nan, np.nan)


class PhantomBook:
    """Active phantoms, with the best and worst prices that their rows lack.

    Args:
        bot: only phantoms of this bot; all when empty.
    """

    def __init__(self, bot: str) -> None:
        self._bot = bot
        self._slots: dict[Key, int] = {}
        self._free: list[int] = []
        self.slots: list[Row | None] = []  # the row of each slot
        self._codes: dict[tuple[str, str, str], int] = {}  # (symbol, venue, bot) -> its number
        self._levels: dict[str, NDArray[Any]] = {name: np.empty(0, _FIELDS[name]) for name in _FIELDS.names or ()}
        self._series = np.empty(0, np.int64)
        self._since = np.empty(0, np.int64)  # the number of the row that it came with; 0 where that has seen prices
        self._ahead = np.empty(0, np.bool_)  # whether its best or worst price is not in its row yet

    def rows(self) -> list[Row]:
        """The rows, as they are now."""
        return [self.merged(row) for row in self.slots if row is not None]

    def ahead(self) -> list[Row]:
        """The rows, as stored, that lack a best or worst price."""
        return [row for slot in np.flatnonzero(self._ahead) if (row := self.slots[slot]) is not None]

    def merged(self, row: Row) -> Row:
        """A row with the best and worst price that it lacks."""
        slot = self._slots.get(key_of(_DS, row))
        if slot is None or not self._ahead[slot] or not kernel.can_be_followed(row):
            return row
        levels = self._levels
        favorable, adverse = float(levels["favorable"][slot]), float(levels["adverse"][slot])
        return kernel.with_extremes(row, favorable, adverse, int(levels["until"][slot]))

    def touched(self, bars: Mapping[str, Bar], venue: str | None, bot: str = "") -> tuple[NDArray[Any], Touched]:
        """The bar of each slot, and what it does to the phantom there; of a venue or bot only, where one is named."""
        given = np.array([_NO_BAR] * (len(self._codes) or 1), kernel.BARS)
        for (symbol, place, owner), code in self._codes.items():
            bar = bars.get(symbol)
            if bar is not None and venue in {None, place} and bot in {"", owner}:
                given[code] = tuple(bar)
        near = given[self._series]
        return near, kernel.touched(Levels(**self._levels), near)

    def let_pass(self, near: NDArray[Any], found: Touched) -> None:
        """Keep the best and worst prices of bars that settled nothing."""
        quiet, better = found.news & ~found.settles, found.better
        levels = self._levels
        levels["until"][quiet] = near["close_time"][quiet]
        levels["favorable"][better] = np.maximum(levels["favorable"], found.best)[better]
        levels["adverse"][better] = np.minimum(levels["adverse"], found.worst)[better]
        self._ahead[better] = True

    def replay(self, notes: Sequence[Note]) -> list[str]:
        """Let the bars of a journal pass again, in their order.

        A phantom that a note calls late was not there for earlier ones; nor was one for any before the number of its
        row, if that tells of no price. A bar that settles a phantom was not journalled for it: it is of one that was
        recorded afterwards, or has just been written. That one waits, to be followed from there on. A price that its
        row has seen is none of these: it passed the levels that the phantom had then.

        Returns:
            The ids of those that wait.
        """
        since, waiting = self._since.copy(), np.zeros(len(self._series), np.bool_)
        for name, until in ((name, until) for note in reversed(notes) for name, until in note.late.items()):
            if (slot := self._slots.get((name,))) is not None:
                since[slot] = until + 1
        for note in notes:
            near, found = self.touched(note.bars, note.venue, note.bot)
            is_there = since <= note.at
            waiting |= found.settles & is_there & (near["close_time"] > self._levels["until"])
            passes = is_there & ~waiting
            self.let_pass(near, found._replace(news=found.news & passes, better=found.better & passes))
        rows = [self.slots[slot] for slot in np.flatnonzero(waiting)]
        return [row["phantom_id"] for row in rows if row is not None]

    def has(self, key: Key) -> bool:
        """Whether it is there."""
        return key in self._slots

    def untold(self, key: Key) -> int | None:
        """Since which number it has been there, if it has seen prices but its row says that there were none."""
        slot = self._slots.get(key)
        if slot is None or not self._ahead[slot] or "followed_until" in (self.slots[slot] or ()):
            return None
        return int(self._since[slot])

    def take(self, key: Key, row: Row | None, number: int) -> bool:
        """Take in the newest version of a row; one that cannot be followed, or is another bot's, leaves.

        Args:
            key: of the row.
            row: the row, None when it is gone.
            number: of that version.

        Returns:
            Whether it was not there before.
        """
        slot = self._slots.get(key)
        if row is None or not kernel.can_be_followed(row) or self._bot not in {"", row.get("bot_id", "")}:
            if slot is not None:
                del self._slots[key]
                self.slots[slot] = None
                self._free.append(slot)
                self._put(slot, _NOBODY, 0)
                self._ahead[slot] = False
            return False
        if slot is not None and self.slots[slot] is row:
            return False
        level, ahead, is_new = kernel.level_of(row), False, slot is None
        if slot is None:
            slot = self._slots[key] = self._free.pop() if self._free else self._grown()
            self._since[slot] = 0 if "followed_until" in row else number
        else:
            known = {name: float(values[slot]) for name, values in self._levels.items()}
            until, best, worst = max(level[-1], int(self._levels["until"][slot])), level[1], level[2]
            if self._ahead[slot] and level[-1] < until:  # else it was made of all prices, and tells others on purpose
                _, former_best, former_worst, *_ = kernel.level_of(self.slots[slot] or row)
                best = max(best, known["favorable"]) if known["favorable"] > former_best else best
                worst = min(worst, known["adverse"]) if known["adverse"] < former_worst else worst
            ahead = best > level[1] or worst < level[2]
            level = (level[0], best, worst, *level[3:-1], until)
        self.slots[slot] = row
        self._ahead[slot] = ahead
        name = (row["symbol"], row["venue"], row.get("bot_id", ""))
        self._put(slot, level, self._codes.setdefault(name, len(self._codes)))
        return is_new

    def _put(self, slot: int, level: tuple[Any, ...], series: int) -> None:
        for name, value in zip(self._levels, level, strict=True):
            self._levels[name][slot] = value
        self._series[slot] = series

    def _grown(self) -> int:
        """A new slot; there is room for half as many more."""
        slot = len(self.slots)
        room = len(self._series)
        if slot == room:
            more = max(64, room // 2)
            for number, (name, values) in enumerate(self._levels.items()):
                self._levels[name] = np.concatenate([values, np.full(more, _NOBODY[number], values.dtype)])
            self._series = np.concatenate([self._series, np.zeros(more, np.int64)])
            self._since = np.concatenate([self._since, np.zeros(more, np.int64)])
            self._ahead = np.concatenate([self._ahead, np.zeros(more, np.bool_)])
        self.slots.append(None)
        return slot
