"""The active phantoms that are followed, kept true in memory and durable beside their rows.

What is here mirrors the open rows of the dataset: before each look the rows that changed since, by whomever, are taken
in. A row is written when a phantom reaches a level. Nearly every candle gives many of them another best or worst price:
these are kept here, and the bars that gave them in a small journal beside the hot log, synced before they count. A
restart reads it and finds every phantom as it was; so do the other processes that follow the same phantoms, and all
that write to one hot log share what is here. When the journal is full, the rows are written and it begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from lake.kernels import phantom as kernel
from lake.kernels.phantom import Bar
from lake.ledgers.changes import change_many
from lake.ledgers.current import Key, Watch, key_of
from lake.ledgers.phantom_book import PhantomBook
from lake.ledgers.price_journal import Note, PriceJournal, journalled
from lake.ledgers.transaction import Fold
from lake.ledgers.writer import Writer
from lake.spec import registry
from lake.store.hot.entry import Row
from lake.store.hot.log import HotLog

_DS = registry.get("phantoms")
_JOURNAL_BYTES = 4_000_000  # some hours of minutes of 50 symbols
_ANONYMOUS = "anonymous-"  # how the writer ids begin of processes without a bot id, which follow every phantom


@dataclass
class _Shared:
    """What all lakes of this process that write to one hot log follow together."""

    book: PhantomBook
    journal: PriceJournal
    journals: dict[str, PriceJournal] = field(default_factory=dict)  # of other writers that follow the same ones
    watch: Watch | None = None
    passed: dict[str, int] = field(default_factory=dict)  # symbol -> when the last bar that was noted began
    looked_at: int = 0  # what is noted now was seen by rows of numbers up to this
    noted_at: int = 0
    late: dict[str, int] = field(default_factory=dict)  # those that the next note is to call late
    replayed: bool = False  # whether its own journal was read
    lock: Lock = field(default_factory=Lock)

    def saw(self, note: Note) -> None:
        """Bars were noted."""
        began = {symbol: max(bar.open_time, self.passed.get(symbol, 0)) for symbol, bar in note.bars.items()}
        self.passed.update(began)
        self.noted_at = max(self.noted_at, note.at)

    def take(self, key: Key, row: Row | None, number: int) -> None:
        """Take in what became of a row; a new one may come late, one written over may tell less than it has seen."""
        if self.book.take(key, row, number) and row is not None:
            if row["signal_time"] <= self.passed.get(row["symbol"], -1):
                self.late[row["phantom_id"]] = self.noted_at
        elif row is not None and (since := self.book.untold(key)) is not None:
            self.late[row["phantom_id"]] = since - 1


_shared: WeakKeyDictionary[HotLog, _Shared] = WeakKeyDictionary()
_sharing = Lock()


class Followed:
    """The active phantoms that a writer follows: all, or with a bot id those of that bot."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._loaded = False

    def apply(self, bars: Mapping[str, Bar], venue: str | None = None) -> tuple[list[Key], int]:
        """Let bars pass; the phantoms that they changed, and how many they were news to.

        Args:
            bars: symbol -> its bar.
            venue: only phantoms of this venue.

        Raises:
            HotLogError: it could not be made durable.
        """
        with self._renewed() as shared:
            book = shared.book
            near, found = book.touched(bars, venue)
            done = self._settle([row for slot in np.flatnonzero(found.settles) if (row := book.slots[slot])], bars)
            if found.better.any():
                self._note(shared, venue, bars)
            book.let_pass(near, found)
            done += [key_of(_DS, row) for slot in np.flatnonzero(found.better) if (row := book.slots[slot])]
            if shared.journal.noted > _JOURNAL_BYTES:
                self._checkpoint(shared)
            return done, int(np.count_nonzero(found.news))

    def _note(self, shared: _Shared, venue: str | None, bars: Mapping[str, Bar]) -> None:
        note = Note(shared.looked_at, self._writer.bot, venue, bars, dict(shared.late))
        shared.journal.add(note)
        shared.saw(note)
        shared.late.clear()

    def checkpoint(self) -> int:
        """Write the best and worst prices that the rows lack; how many rows there were."""
        with self._renewed() as shared:
            return self._checkpoint(shared)

    def rows(self) -> list[Row]:
        """The rows, as they are now."""
        with self._renewed() as shared:
            return shared.book.rows()

    def book_of(self, key: Key, *, told: bool = False) -> PhantomBook:
        """What is known of the prices of a phantom by now; to be asked before :meth:`fold` is, outside of any lock.

        That is in the book of those that are followed, and of another bot's phantom in the journals of all. With
        ``told`` it is in the row before, so that a row which tells others corrects them: what was seen is written at
        once, also in a transaction, in which the two would be one version.
        """
        if told:
            book = self.book_of(key)
            with self._writer.outside():
                self._writer.change(_DS.name, key, self.fold(_as_it_is, book))
        with self._renewed() as shared:
            row = self._writer.hot().current.get(_DS, key)
            if row is None or self._writer.bot in {"", row.get("bot_id", "")}:
                return shared.book
            made = PhantomBook("")
            made.take(key, row, self._writer.hot().current.number(_DS, key))
            folder = self._writer.hot().log.path.parent
            writers = {*self._writer.store.logs.writers(), *journalled(folder)}
            notes = [note for writer in writers for note in PriceJournal(folder, writer).fresh()]
            made.replay(sorted(notes, key=attrgetter("at")))
            return made

    def fold(self, change: Callable[[Row], Mapping[str, Any]], book: PhantomBook | None = None) -> Fold:
        """A fold of a known row that makes its changes on top of what it lacks; none where there are none."""

        def fold(known: Row | None) -> Mapping[str, Any] | None:
            if known is None:
                return None
            now = (book or self._known().book).merged(known)
            changes = change(now)
            return {**{n: v for n, v in now.items() if known.get(n) != v}, **changes} if changes else None

        return fold

    def _settle(self, rows: list[Row], bars: Mapping[str, Bar]) -> list[Key]:
        folds = {key_of(_DS, row): self.fold(partial(kernel.advance, bar=bars[row["symbol"]])) for row in rows}
        made = change_many(self._writer, _DS.name, folds) if folds else []
        return [key for key, (_, after) in zip(folds, made, strict=True) if after is not None]

    def _checkpoint(self, shared: _Shared) -> int:
        folds = {key_of(_DS, row): self.fold(_as_it_is) for row in shared.book.ahead()}
        if folds:
            change_many(self._writer, _DS.name, folds)
        self._take_rows(shared)
        shared.journal.begin_anew()
        return len(folds)

    def _known(self) -> _Shared:
        log = self._writer.hot().log
        found = _shared.get(log)
        if found is not None:
            return found
        with _sharing:
            made = _Shared(PhantomBook(self._writer.bot), PriceJournal(log.path.parent, log.writer))
            return _shared.setdefault(log, made)

    @contextmanager
    def _renewed(self) -> Iterator[_Shared]:
        """What is followed, with all that others did; nobody else is in it inside the block."""
        shared = self._known()
        with shared.lock:
            self._take_rows(shared)
            self._read_journals(shared)
            yield shared

    def _take_rows(self, shared: _Shared) -> None:
        hot = self._writer.hot()
        shared.looked_at = max(hot.log.newest(), shared.noted_at + 1)
        if shared.watch is None:
            watch = hot.current.watch(_DS.name)
            hot.current.notice(watch, [key_of(_DS, row) for row in hot.latest.open_rows(_DS)])
            shared.watch = watch
        elif not self._loaded:
            hot.latest.open_rows(_DS)
        else:
            hot.latest.look(_DS)
        self._loaded = True
        for key in hot.current.news(shared.watch):
            number = hot.current.number(_DS, key)
            if number > shared.looked_at and not shared.book.has(key):
                hot.current.notice(shared.watch, [key])  # for the next look: a restart will find that it came later
            else:
                shared.take(key, hot.current.get(_DS, key), number)

    def _read_journals(self, shared: _Shared) -> None:
        """Take in the prices that other writers noted for the same phantoms, and at the beginning its own."""
        log = self._writer.hot().log
        notes = [] if shared.replayed else shared.journal.fresh()
        others = set(self._writer.store.logs.writers())
        if not shared.replayed:
            others.update(journalled(log.path.parent))
        for writer in others - shared.journals.keys() - {log.writer}:
            if self._may_follow_the_same(writer):
                shared.journals[writer] = PriceJournal(log.path.parent, writer)
        for journal in shared.journals.values():
            notes += journal.fresh()
        if notes:
            for note in notes:
                shared.saw(note)
            waiting = shared.book.replay(sorted(notes, key=attrgetter("at")))
            shared.late.update(dict.fromkeys(waiting, shared.noted_at))
        shared.replayed = True

    def _may_follow_the_same(self, writer: str) -> bool:
        own = self._writer.hot().log.writer.partition("@")[0]
        return not self._writer.bot or writer.startswith(_ANONYMOUS) or writer.partition("@")[0] == own


def _as_it_is(row: Row) -> Mapping[str, Any]:
    return row
