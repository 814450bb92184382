"""The active phantoms as arrays, so that a bar of each of many symbols is held against all of them at once.

What is here mirrors the open rows of the dataset: before each look the rows that changed since, by whomever, are taken
in. A row is written when a phantom reaches a level. Nearly every candle gives many of them another best or worst price:
these are kept here, and the bars that gave them in a small journal beside the hot log, synced before they count. A
restart reads it and finds every phantom as it was. When the journal is full, the rows are written and it begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from lake.clock import now_micros
from lake.errors import HotLogError
from lake.kernels import phantom as kernel
from lake.kernels.phantom import Bar, Levels, Touched
from lake.ledgers.changes import change_many
from lake.ledgers.current import Key, Watch, key_of
from lake.ledgers.transaction import Fold
from lake.ledgers.writer import Writer
from lake.spec import registry
from lake.store.hot.entry import Row
from lake.store.hot.spool import Spool

_DS = registry.get("phantoms")
_FIELDS = np.dtype(
    [
        *((name, "f8") for name in ("sign", "favorable", "adverse", "stop", "target")),
        ("timeout", "i8"),
        ("until", "i8"),
    ]
)
_NOBODY = (np.nan, np.nan, np.nan, np.nan, np.nan, kernel.NEVER, kernel.NEVER)
_JOURNAL_BYTES = 4_000_000  # some hours of minutes of 50 symbols
_NO_BAR = (-1, -1, np.nan, np.nan, np.nan, np.nan)


class Followed:
    """The active phantoms that a writer follows: all, or with a bot id those of that bot."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._lock = Lock()
        self._watch: Watch | None = None
        self._slots: dict[Key, int] = {}
        self._free: list[int] = []
        self._rows: list[Row | None] = []
        self._codes: dict[tuple[str, str], int] = {}  # (symbol, venue) -> its number
        self._levels: dict[str, NDArray[Any]] = {name: np.empty(0, _FIELDS[name]) for name in _FIELDS.names or ()}
        self._series = np.empty(0, np.int64)
        self._ahead = np.empty(0, np.bool_)  # whether its best or worst price is not in its row yet
        self._noted = 0

    def apply(self, bars: Mapping[str, Bar], venue: str | None = None) -> tuple[list[Key], int]:
        """Let bars pass; the phantoms that they changed, and how many they were news to.

        Args:
            bars: symbol -> its bar.
            venue: only phantoms of this venue.

        Raises:
            HotLogError: it could not be made durable.
        """
        with self._lock:
            self._refresh()
            near, found = self._touched(bars, venue)
            done = self._settle(np.flatnonzero(found.settles).tolist(), bars)
            if found.better.any():
                self._note(bars, venue)
            self._pass(near, found)
            done += [key_of(_DS, row) for slot in np.flatnonzero(found.better) if (row := self._rows[slot]) is not None]
            if self._noted > _JOURNAL_BYTES:
                self._checkpoint()
            return done, int(np.count_nonzero(found.news))

    def checkpoint(self) -> int:
        """Write the best and worst prices that the rows lack; how many rows there were."""
        with self._lock:
            self._refresh()
            return self._checkpoint()

    def rows(self) -> list[Row]:
        """The rows, as they are now."""
        with self._lock:
            self._refresh()
            return [self.merged(row) for row in self._rows if row is not None]

    def merged(self, row: Row) -> Row:
        """A row with the best and worst price that it lacks."""
        slot = self._slots.get(key_of(_DS, row))
        if slot is None or not self._ahead[slot] or not kernel.can_be_followed(row):
            return row
        levels = self._levels
        favorable, adverse = float(levels["favorable"][slot]), float(levels["adverse"][slot])
        return kernel.with_extremes(row, favorable, adverse, int(levels["until"][slot]))

    def fold(self, change: Callable[[Row], Mapping[str, Any]]) -> Fold:
        """A fold of a known row that makes its changes on top of what it lacks; none where there are none."""

        def fold(known: Row | None) -> Mapping[str, Any] | None:
            if known is None:
                return None
            now = self.merged(known)
            changes = change(now)
            return {**{n: v for n, v in now.items() if known.get(n) != v}, **changes} if changes else None

        return fold

    def _touched(self, bars: Mapping[str, Bar], venue: str | None) -> tuple[NDArray[Any], Touched]:
        given = np.array([_NO_BAR] * (len(self._codes) or 1), kernel.BARS)
        for (symbol, place), code in self._codes.items():
            bar = bars.get(symbol)
            if bar is not None and venue in {None, place}:
                given[code] = tuple(bar)
        near = given[self._series]
        return near, kernel.touched(Levels(**self._levels), near)

    def _settle(self, slots: list[int], bars: Mapping[str, Bar]) -> list[Key]:
        folds = {}
        for slot in slots:
            row = self._rows[slot]
            if row is not None:
                folds[key_of(_DS, row)] = self.fold(partial(kernel.advance, bar=bars[row["symbol"]]))
        made = change_many(self._writer, _DS.name, folds) if folds else []
        return [key for key, (_, after) in zip(folds, made, strict=True) if after is not None]

    def _pass(self, near: NDArray[Any], found: Touched) -> None:
        quiet, better = found.news & ~found.settles, found.better
        levels = self._levels
        levels["until"][quiet] = near["close_time"][quiet]
        levels["favorable"][better] = np.maximum(levels["favorable"], found.best)[better]
        levels["adverse"][better] = np.minimum(levels["adverse"], found.worst)[better]
        self._ahead[better] = True

    def _note(self, bars: Mapping[str, Bar], venue: str | None) -> None:
        try:
            payload = orjson.dumps({"venue": venue, "bars": {symbol: tuple(bar) for symbol, bar in bars.items()}})
            self._journal().append([(now_micros(), _DS.name, payload)])
        except OSError as error:
            raise HotLogError(
                f"the journal of prices cannot be written: {error.strerror or error}",
                where=str(self._journal().path),
                todo="The prices were not accepted: free disk space or fix the folder, then give them again.",
            ) from error
        self._noted += len(payload)

    def _journal(self) -> Spool:
        log = self._writer.hot().log
        return Spool(log.path.with_name(f"{log.writer}.phantoms.jsonl"))

    def _checkpoint(self) -> int:
        ahead = [row for slot in np.flatnonzero(self._ahead) if (row := self._rows[slot]) is not None]
        folds = {key_of(_DS, row): self.fold(_as_it_is) for row in ahead}
        if folds:
            change_many(self._writer, _DS.name, folds)
        self._refresh()
        if self._journal().exists():
            self._journal().remove()
        self._noted = 0
        return len(folds)

    def _refresh(self) -> None:
        hot = self._writer.hot()
        if self._watch is None:
            watch = hot.current.watch(_DS.name)
            for row in hot.latest.open_rows(_DS):
                self._take(key_of(_DS, row), row)
            self._watch = watch
            self._replay()
            return
        hot.latest.look(_DS)
        for key in hot.current.news(self._watch):
            self._take(key, hot.current.get(_DS, key))

    def _replay(self) -> None:
        """Let the bars of the journal pass again.

        One that settles a phantom was not journalled for it: it is of a phantom that was recorded afterwards. That one
        waits there, to be followed from there on.
        """
        waiting = np.zeros(len(self._series), np.bool_)
        for stored in self._journal().read():
            note: dict[str, Any] = orjson.loads(stored.payload)
            self._noted += len(stored.payload)
            near, found = self._touched({symbol: Bar(*bar) for symbol, bar in note["bars"].items()}, note["venue"])
            waiting |= found.settles
            self._pass(near, found._replace(news=found.news & ~waiting, better=found.better & ~waiting))

    def _take(self, key: Key, row: Row | None) -> None:
        slot = self._slots.get(key)
        if row is None or not kernel.can_be_followed(row) or not self._is_own(row):
            if slot is not None:
                del self._slots[key]
                self._rows[slot] = None
                self._free.append(slot)
                self._put(slot, _NOBODY, 0)
                self._ahead[slot] = False
            return
        if slot is not None and self._rows[slot] is row:
            return
        level, ahead = kernel.level_of(row), False
        if slot is None:
            slot = self._slots[key] = self._free.pop() if self._free else self._grown()
        else:
            known = {name: float(values[slot]) for name, values in self._levels.items()}
            until = max(level[-1], int(self._levels["until"][slot]))
            ahead = known["favorable"] > level[1] or known["adverse"] < level[2]
            best, worst = max(level[1], known["favorable"]), min(level[2], known["adverse"])
            level = (level[0], best, worst, *level[3:-1], until)
        self._rows[slot] = row
        self._ahead[slot] = ahead
        self._put(slot, level, self._codes.setdefault((row["symbol"], row["venue"]), len(self._codes)))

    def _is_own(self, row: Row) -> bool:
        return not self._writer.bot or row.get("bot_id", "") == self._writer.bot

    def _put(self, slot: int, level: tuple[Any, ...], series: int) -> None:
        for name, value in zip(self._levels, level, strict=True):
            self._levels[name][slot] = value
        self._series[slot] = series

    def _grown(self) -> int:
        """A new slot; there is room for half as many more."""
        slot = len(self._rows)
        room = len(self._series)
        if slot == room:
            more = max(64, room // 2)
            for number, (name, values) in enumerate(self._levels.items()):
                self._levels[name] = np.concatenate([values, np.full(more, _NOBODY[number], values.dtype)])
            self._series = np.concatenate([self._series, np.zeros(more, np.int64)])
            self._ahead = np.concatenate([self._ahead, np.zeros(more, np.bool_)])
        self._rows.append(None)
        return slot


def _as_it_is(row: Row) -> Mapping[str, Any]:
    return row
