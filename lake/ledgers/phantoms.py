"""Phantoms: every signal followed to its end, executed or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any

import polars as pl

from lake.clock import MICROS_PER_HOUR
from lake.errors import LifeCycleError, UsageError
from lake.kernels import phantom as kernel
from lake.ledgers import bars, phantom_rows
from lake.ledgers.base import Ledger, changed, given, told
from lake.ledgers.changes import change_many
from lake.ledgers.current import Key, key_given
from lake.ledgers.demands import checked, demand, refuse_another, refuse_nan
from lake.ledgers.followed import Followed
from lake.ledgers.phantom_book import PhantomBook
from lake.ledgers.receipt import Receipt
from lake.ledgers.transaction import Fold, Whole
from lake.ledgers.win_rate import WinRate, win_rate
from lake.ledgers.writer import Writer
from lake.query.engine import Engine
from lake.query.read import read
from lake.spec import numbers, registry, symbols
from lake.spec.decode import as_read
from lake.spec.patch import folder
from lake.spec.rows import converter
from lake.spec.tables import as_polars
from lake.store.hot.entry import Row

_SIGNALS = registry.get("signals")
_APART = frozenset({"signal_id"})
_EXTREMES = {"max_favorable", "max_adverse"}


class Phantoms(Ledger):
    """Records phantoms and follows them along prices; ``lk.phantoms``.

    What a candle or a price does to a phantom is defined in :mod:`lake.kernels.phantom`.
    """

    dataset = "phantoms"

    def __init__(self, writer: Writer, engine: Engine) -> None:
        super().__init__(writer, engine)
        self._followed = Followed(writer)
        self._moment = converter(self._ds, self._ds.column("timeout_at"))

    def record(
        self, phantom: Mapping[str, Any] | None = None, /, *, timeout_hours: float | None = 36.0, **fields: Any
    ) -> Receipt:
        """Record a phantom; its id is in the receipt, and may be given as phantom_id.

        What it does not say itself it takes from the signal that ``signal_id`` names, if the lake has that: symbol,
        side, levels, time, strategy, indicators as features, whether it was executed and why not. Recording an active
        one again adds what is new. Of a completed one the result follows from its exit_price, where it is not given.

        Args:
            phantom: columns of the dataset: symbol, side, entry_price, stop_loss, tp1, tp2, tp3, was_executed,
                reject_reason, features, ml_score, ...
            timeout_hours: from the signal on, unless ``timeout_at`` is given; None for no timeout.
            fields: columns, as keyword arguments.

        Raises:
            InvalidRowError: a value does not fit; of an active one side or entry_price is missing, or a level is on
                the wrong side of the entry.
            LifeCycleError: a phantom of this id is completed, or is of another bot, symbol, venue, side or entry_price.
        """
        said = self._as_given(phantom, fields, _APART)
        row = given(phantom, fields) if said is None else fields
        hours = None if timeout_hours is None else numbers.finite(timeout_hours) or 0.0
        if hours is not None and hours <= 0:
            raise UsageError("hours above 0 are wanted", where="timeout_hours", value=timeout_hours)
        taken = phantom_rows.of_signal(self._signal_of(row))
        whole = checked(self._ds, row, taken) if said is None else said
        if whole["status"] == "active":
            demand(self._ds, whole, "an active phantom", ("side", "entry_price"))
            whole.update(kernel.begun(whole))
            if hours is not None and "timeout_at" not in whole:
                whole["timeout_at"] = self._moment(whole["signal_time"] + int(hours * MICROS_PER_HOUR))
        else:
            whole.update(phantom_rows.result_of(whole))
        fold = partial(self._recorded, row, whole, taken)
        if said is not None and (done := self._inserted(whole, fields, fold)) is not None:
            return done
        if row.get("phantom_id") is None:
            return self._new.insert(whole)
        key = (whole["phantom_id"],)
        if self._writer.known(self._ds, key) is not None:
            fold = partial(fold, book=self._seen(key, row))
        return changed(key, *self._writer.change("phantoms", key, fold, is_new=True))

    def _recorded(
        self,
        row: Mapping[str, Any],
        whole: Row,
        taken: Mapping[str, Any],
        known: Row | None,
        *,
        book: PhantomBook | None = None,
    ) -> Mapping[str, Any] | Whole | None:
        if known is None:
            return Whole({**whole})
        refuse_nan(self._ds, row)
        if known["status"] != "active":
            raise _ended(known, "recorded")
        refuse_another(self._ds, known, row, ("symbol", "venue", "side", "entry_price"), self._writer.bot)
        more = {**{name: value for name, value in taken.items() if name not in known}, **told(row)}
        return self._told(known, more, book)

    def _signal_of(self, row: Mapping[str, Any]) -> Row | None:
        signal_id = row.get("signal_id")
        return None if signal_id is None else self._writer.current(_SIGNALS, (str(signal_id),))

    def patch(self, key: Any, /, **changes: Any) -> Receipt:
        """Change some columns of one phantom; None takes a value away, unknown fields are kept in extra.

        Raises:
            UnknownRowError: there is no such phantom.
            InvalidRowError: a value does not fit.
        """
        row_key = key_given(self._ds, key)
        book = self._seen(row_key, changes)

        def fold(known: Row | None) -> Mapping[str, Any] | Whole | None:
            if known is None:
                raise self._unknown(key)
            return self._told(known, changes, book)

        return changed(row_key, *self._writer.change("phantoms", row_key, fold))

    def _seen(self, key: Key, said: Mapping[str, Any]) -> PhantomBook:
        """The prices that one has seen; they are in its row, where something else is said of them."""
        return self._followed.book_of(key, told=not _EXTREMES.isdisjoint(said))

    def _told(self, known: Row, more: Mapping[str, Any], book: PhantomBook | None) -> Mapping[str, Any] | Whole | None:
        """What is told of a known one, with the prices that it has seen: they passed it at its former levels."""
        return self._followed.fold(lambda _: more, book)(known) if folder(self._ds)(known, more) != known else None

    def update(
        self,
        symbol: str,
        news: Any,
        *,
        venue: str | None = None,
        at: Any = None,
        timeframe: str | None = None,
    ) -> Receipt:
        """Follow the active phantoms of a symbol along a closed candle or a price.

        Its receipt counts those that changed, a new best or worst price included (see :meth:`checkpoint`), and those
        that it was news to but did not change. Follow a phantom by candles or by prices: a candle that opened before
        the last price that was looked at is no news.

        Args:
            symbol: in any common spelling.
            news: a candle, as a dict with open_time, open, high, low, close, and timeframe or close_time; or a price.
            venue: only phantoms of this venue.
            at: when the price was seen, now when left out; of a candle its open_time, where it has none.
            timeframe: of a candle that does not say it.

        Raises:
            UsageError: a candle without times, or prices that no candle has; a price that is dated more than a minute
                ahead of the clock, or a candle that closes so late: it would keep the phantoms from all until then.
        """
        return self._apply({symbols.canonical(symbol): bars.news_of(news, at, timeframe)}, venue)

    def update_all(
        self, news: Mapping[str, Any], *, venue: str | None = None, at: Any = None, timeframe: str | None = None
    ) -> Receipt:
        """:meth:`update` of many symbols at once, {symbol: candle or price}; all that reaches a level lands together.

        Where the process ended before it returned, give the same again: nothing is done twice.
        """
        if not isinstance(news, Mapping):
            raise UsageError("{symbol: candle or price} is wanted", where="phantoms.update_all", value=news)
        found = {symbols.canonical(name): bars.news_of(value, at, timeframe) for name, value in news.items()}
        return self._apply(found, venue)

    def update_frame(self, frame: Any, *, venue: str | None = None, timeframe: str | None = None) -> Receipt:
        """:meth:`update` along a table of candles with a ``symbol`` column, in the order of their open times.

        Args:
            frame: a Polars frame, or dicts; of each symbol one candle or several.
            venue: only phantoms of this venue.
            timeframe: of candles that do not say it.
        """
        if isinstance(frame, Sequence) and not all(isinstance(row, Mapping) for row in frame):
            raise UsageError("rows are dicts", where="phantoms.update_frame", value=frame)
        rows = list(frame) if isinstance(frame, Sequence) else as_polars(frame).to_dicts()
        done = Receipt()
        for together in bars.rounds(rows, timeframe):
            done += self._apply(together, venue)
        return done

    def _apply(self, news: Mapping[str, kernel.Bar], venue: str | None) -> Receipt:
        if self._writer.open_transaction() is None:
            done, count = self._followed.apply(news, venue)
            return Receipt(updated=len(done), unchanged=count - len(done), keys=done)
        rows = [row for row in self._active(None) if row["symbol"] in news and venue in {None, row["venue"]}]
        folds = {
            (row["phantom_id"],): self._followed.fold(partial(kernel.advance, bar=news[row["symbol"]])) for row in rows
        }
        return self._change(folds)

    def _change(self, folds: Mapping[Key, Fold]) -> Receipt:
        made = change_many(self._writer, "phantoms", folds) if folds else []
        done = [key for key, (_, after) in zip(folds, made, strict=True) if after is not None]
        return Receipt(updated=len(done), unchanged=len(folds) - len(done), keys=done)

    def checkpoint(self) -> int:
        """Write the best and worst prices that are kept beside the rows so far, for SQL to see; how many rows it wrote.

        Rows are written when a phantom reaches a level. A new best or worst price alone is made durable in a journal
        instead: :meth:`active` shows it at once, SQL with the next version of the row.
        """
        return self._followed.checkpoint()

    def follow(self, now: Any = None) -> Receipt:
        """Follow every active phantom along the lake's candles since it was last looked at.

        Candles are of the finest timeframe that the lake holds of its symbol and venue; of a phantom without venue
        those without venue, else those of the only venue that has its symbol. At a gap it waits for the candles to be
        ingested; when there are candles past its timeout and the gap is still there, it ends with outcome unknown.
        Calling it again, or at the same time elsewhere, does nothing twice.

        Args:
            now: take only candles that closed by then; the clock when left out.
        """
        found = bars.series_of(self._writer, self._active(None), now)
        return self._change(
            {
                (row["phantom_id"],): self._followed.fold(partial(bars.walk, series=series, length=length))
                for row, series, length in found
                if bars.walk(row, series, length)
            }
        )

    def close(self, phantom_id: str, exit_price: float, exit_reason: str = "manual", at: Any = None) -> Receipt:
        """End an active phantom at a price; its result follows from it. Closing it again at this price does nothing.

        Args:
            phantom_id: names it.
            exit_price: in the quote currency.
            exit_reason: in a word; ``timeout`` makes its outcome timeout.
            at: when, now when left out.

        Raises:
            UnknownRowError: there is no such phantom.
            LifeCycleError: it is completed, at another price.
            UsageError: a price that cannot be, or a phantom without side or entry_price.
        """
        bar = bars.bar_of(exit_price, at, None)
        book = self._followed.book_of((str(phantom_id),))  # its best and worst prices may be in a journal still

        def fold(known: Row | None) -> Mapping[str, Any] | Whole | None:
            if known is None:
                raise self._unknown(phantom_id)
            if known["status"] != "active":
                if known.get("exit_price") == bar.close:
                    return None
                raise _ended(known, "closed")
            if not kernel.can_be_followed(known):
                raise UsageError("it has no side or entry_price", where=f"phantoms, {phantom_id}")
            ended_at = max(bar.close_time, known["signal_time"])
            return self._followed.fold(lambda now: kernel.ending(now, exit_reason, bar.close, ended_at), book)(known)

        return changed((phantom_id,), *self._writer.change("phantoms", (phantom_id,), fold))

    def active(self, symbol: str | None = None) -> list[dict[str, Any]]:
        """Phantoms that have not ended, oldest signal first: all, or with a bot id those of that bot."""
        rows = self._active(None if symbol is None else symbols.canonical(symbol))
        return as_read(self._ds, sorted(rows, key=itemgetter("signal_time", "phantom_id")))

    def _active(self, symbol: str | None) -> list[Row]:
        """The same as they are stored; inside a transaction as it sees them."""
        newest = (*self._followed.rows(), *self._writer.unlanded("phantoms"))
        rows = {row["phantom_id"]: row for row in newest}.values()
        return [row for row in rows if kernel.can_be_followed(row) and symbol in {None, row["symbol"]}]

    def stats(self, strategy: str | None = None, days: int | None = None, **variables: Any) -> pl.DataFrame:
        """What became of phantoms: the row of all of them, or of one strategy; the view phantom_statistics.

        Args:
            strategy: only of this one.
            days: only of signals of the last days.
            variables: now.
        """
        where = {"scope": "all"} if strategy is None else {"scope": "strategy", "strategy": strategy}
        window = {} if days is None else {"days": days}
        return read(self._engine, "phantom_statistics", where, {**window, **variables})

    def win_rate(self, strategy: str | None = None, window: int = 200) -> WinRate:
        """Share of wins among the last decided phantoms of a strategy (None: of those without one).

        Decided are wins, losses and breakevens; timeouts and unknown ends take no place in the window. With a window
        of 200 it is the row of the view phantom_win_rate.

        Raises:
            UsageError: a window that is not a whole number above 0.
        """
        return win_rate(self._engine, strategy, window)

    def blocked(self, day: Any = None, **variables: Any) -> pl.DataFrame:
        """How many signals were not traded, by day, reason, symbol and strategy; the view blocked_signals.

        Args:
            day: only of this one, a date or YYYY-MM-DD.
            variables: time_zone, days, now.
        """
        where = None if day is None else {"day": bars.day_given(day)}
        return read(self._engine, "blocked_signals", where, variables)

    def learning_data(self, strategy: str | None = None, executed: bool | None = None) -> pl.DataFrame:
        """Completed phantoms with a known outcome, oldest first, each feature as a column ``feature_<name>``.

        Scores, features and levels are as they were at the signal, whatever was written over them later.

        Features that are numbers or flags are floats; all others are text, maps and lists as JSON.

        Args:
            strategy: only of this one.
            executed: only those that were traded, or were not.
        """
        conditions = ["status = 'completed'", "outcome IS NOT NULL", "outcome <> 'unknown'"]
        values: list[Any] = []
        for name, value in (("strategy", strategy), ("was_executed", executed)):
            if value is not None:
                conditions.append(f"{name} = ?")
                values.append(value)
        where = " AND ".join(conditions)
        sql = f"SELECT * FROM phantoms_as_decided WHERE {where} ORDER BY signal_time, phantom_id"
        frame = self._engine.frame(sql, values)
        return frame.hstack(phantom_rows.features(frame["features"].to_list()))


def _ended(known: Row, step: str) -> LifeCycleError:
    return LifeCycleError(
        f"the phantom is completed and cannot be {step}",
        where=f"phantoms, {known['phantom_id']}",
        value=known.get("outcome"),
        todo="Correct it with lk.phantoms.patch(...) if it is wrong.",
    )
