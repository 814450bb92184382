"""Labels for what a lake holds unresolved, from its own candles; ``lk.label``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lake.clock import now_micros
from lake.errors import UsageError
from lake.kernels import barrier
from lake.kernels.barrier_bars import bars_of, lives_of
from lake.kernels.barrier_loops import ALIVE, GAP
from lake.kernels.barrier_types import Bars, Events, Lives
from lake.learn import label_sources
from lake.learn.label_candles import Market, market_of
from lake.learn.label_rows import arrays, events_frame, faults, refuse
from lake.learn.label_sources import Source
from lake.learn.labels import Costs, by_series, outcomes
from lake.ledgers import at_times
from lake.ledgers.candles import Candles
from lake.ledgers.changes import change_many
from lake.ledgers.current import Key
from lake.ledgers.open_rows import landed_open_rows
from lake.ledgers.predictions import Predictions
from lake.ledgers.transaction import Fold
from lake.ledgers.writer import Writer
from lake.query.engine import Engine
from lake.spec import timeframes

SOURCES = ("phantoms", "decisions", "predictions", "signals", "unknown")
_BATCH = 5_000  # rows that land together, in one append
_NONE = bars_of(np.empty(0, np.int64), (np.empty(0), np.empty(0), np.empty(0), np.empty(0)), 1)
_LONGEST = 876_600  # hours; a time long after that is none
_COLUMNS = ("venue", "symbol", "open_time", "open", "high", "low", "close")


@dataclass(frozen=True, slots=True)
class Labelled:
    """What a call of ``lk.label`` came to.

    Attributes:
        source: what was labelled.
        unresolved: how many were looked at.
        labelled: how many got their outcome now.
        outcomes: how many of each outcome; of predictions nothing.
        waiting: those whose end the candles do not tell yet, or hide in a gap that may still be filled.
        skipped: (id, why) of those that cannot be labelled as they are.
        dry_run: nothing was written.
    """

    source: str
    unresolved: int = 0
    labelled: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    waiting: int = 0
    skipped: tuple[tuple[str, str], ...] = ()
    dry_run: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The same, for JSON."""
        return {**asdict(self), "skipped": len(self.skipped), "reasons": dict(self.skipped[:20])}


@dataclass(frozen=True)
class Options:
    """How a lake is labelled; see ``lk.label``."""

    timeframe: str | None = None
    costs: Costs = field(default_factory=Costs)
    timeout_hours: float | None = 36.0
    dry_run: bool = False

    def __post_init__(self) -> None:
        if self.timeframe is not None:
            timeframes.parse(self.timeframe)
        hours: Any = self.timeout_hours
        if hours is not None and not (type(hours) in {int, float} and 0 < hours <= _LONGEST):
            raise UsageError(
                f"hours above 0 are wanted, {_LONGEST:,} (100 years) at most", where="timeout_hours", value=hours
            )


class Labels:
    """Labels a lake's phantoms, decisions, predictions and signals, and any events, from its candles; ``lk.label``."""

    def __init__(self, writer: Writer, engine: Engine) -> None:
        self._writer = writer
        self._engine = engine
        self._candles = Candles(writer)

    def __call__(
        self,
        source: Any = "phantoms",
        *,
        timeframe: str | None = None,
        fees: float = 0.0,
        slippage: float = 0.0,
        timeout_hours: float | None = 36.0,
        dry_run: bool = False,
    ) -> Any:
        """Find the outcomes of positions in the lake's candles; what one is stands in :mod:`lake.learn.labels`.

        Each is followed on the finest timeframe that tells its end, with what is finer to look into its candles. Only
        what is unresolved is looked at: a second call changes nothing.

        - phantoms: active ones get their outcome. One whose end a gap hides is unknown once there are candles past its
          timeout; until then it waits for the candles to be ingested, as in ``lk.phantoms.follow``.
        - decisions: unresolved LONGs and SHORTs that were not traded (a trade tells its own result, see
          ``lk.decisions.resolve``) get outcome_correct (net above 0), actual_pnl_percent, max_favorable,
          max_adverse, hold_duration_minutes; outcome_recorded_at is now. One whose end a gap hides waits.
        - predictions: ``lk.predictions.resolve_due()``.
        - signals: those that no phantom follows become phantoms, under their signal's id, once their end is known.
        - unknown: phantoms whose end a gap hid are looked at again, since it may be filled by now; where it is not,
          they stay unknown and wait.
        - a table of events: its labels are returned, nothing is written.

        The result is a :class:`Labelled`, of a table a Polars frame. With a bot id, only rows of that bot. Rows that
        cannot be followed are skipped, and told in the result.

        Args:
            source: one of these words, or events as in :func:`lake.label_events`.
            timeframe: follow on this one alone, with what is finer.
            fees, slippage: see :func:`lake.label_events`.
            timeout_hours: when decisions and signals are given up, which do not say it themselves.
            dry_run: tell what would be done, and write nothing.

        Raises:
            UsageError: an unknown source, or a rate that is none.
            InvalidRowError: an event of a table that cannot be followed.
            MissingExtraError: numba is not installed.
        """
        options = Options(timeframe, Costs(fees, slippage), timeout_hours, dry_run)
        return self._write(source, options) if isinstance(source, str) else self._frame(source, options)

    def _frame(self, events: Any, options: Options) -> pl.DataFrame:
        """The labels of any events; nothing is written."""
        frame = events_frame(events)
        refuse(frame)
        made, lives, _ = self._followed(frame, options, now_micros())
        return outcomes(frame, made, lives, options.costs)

    def _write(self, source: str, options: Options) -> Labelled:
        """Label what is unresolved of a source, and write the outcomes."""
        if source not in SOURCES:
            raise UsageError("unknown source of labels", value=source, todo=f"One of {', '.join(SOURCES)}.")
        if source == "predictions":
            return self._predictions(options)
        now = now_micros()
        found = label_sources.unresolved(source, self._writer, self._engine, options.timeout_hours)
        frame = events_frame(found.events)
        wrong = faults(frame)
        skipped = tuple((row["event_id"], f"{row['column']}: {row['what']}") for row in wrong.iter_rows(named=True))
        begun = frame["start_time"].dt.timestamp("us") <= now
        sound = begun.fill_null(value=False) & ~pl.int_range(frame.height, eager=True).is_in(wrong["row"].implode())
        frame = frame.filter(sound)
        unclear = self._unclear(frame)
        frame = frame.filter(~pl.col("event_id").is_in([name for name, _ in unclear]))
        made, lives, is_past = self._followed(frame, options, now)
        labels = outcomes(frame, made, lives, options.costs)
        is_told = labels["outcome"].is_not_null() & (
            (labels["outcome"] != "unknown") | pl.Series(is_past & found.has_unknown)
        )
        told = labels.filter(is_told)
        count = told.height if options.dry_run else self._land(found, told, now)
        totals = {str(name): int(n) for name, n in told["outcome"].value_counts(sort=True).iter_rows()}
        waiting = labels.height - told.height
        return Labelled(source, found.events.height, count, totals, waiting, (*skipped, *unclear), options.dry_run)

    def _unclear(self, frame: pl.DataFrame) -> list[tuple[str, str]]:
        """(event_id, why) of events without a venue whose symbol is held at several."""
        bare = frame.filter(pl.col("venue") == "").select("event_id", "symbol")
        venues: dict[str, list[str]] = {}
        for symbol, venue in at_times.held(self._writer.store, bare["symbol"].unique()):
            venues.setdefault(symbol, []).append(venue)
        several = {symbol: sorted(names) for symbol, names in venues.items() if len(names) > 1 and "" not in names}
        why = {symbol: f"venue: held at {', '.join(names)}: say which" for symbol, names in several.items()}
        return [(name, why[symbol]) for name, symbol in bare.rows() if symbol in why]

    def _predictions(self, options: Options) -> Labelled:
        ledger = Predictions(self._writer, self._engine)
        if options.dry_run:
            return Labelled("predictions", len(landed_open_rows(self._writer, "predictions")), dry_run=True)
        done = ledger.resolve_due(timeframe=options.timeframe)
        return Labelled("predictions", done.due, done.resolved, waiting=done.waiting + done.missing)

    def _land(self, found: Source, told: pl.DataFrame, now: int) -> int:
        """Write labels; how many there were that nobody else had written."""
        labels = told.with_columns(pl.col("exit_time").dt.timestamp("us")).to_dicts()
        done = 0
        for first in range(0, len(labels), _BATCH):
            folds: dict[Key, Fold] = {}
            for label in labels[first : first + _BATCH]:
                row = found.rows[label["event_id"]]
                folds[(label["event_id"],)] = partial(found.fold, row, label, now)
            done += sum(after is not None for _, after in change_many(self._writer, found.dataset, folds))
        return done

    def _followed(self, frame: pl.DataFrame, options: Options, now: int) -> tuple[Events, Lives, NDArray[np.bool_]]:
        """Events, what became of them, and whether there are candles past the timeout of each."""
        events = arrays(frame)
        lives = lives_of(events)
        is_past = np.zeros(frame.height, np.bool_)
        held = at_times.held(self._writer.store, frame["symbol"].unique())
        wanted = None if options.timeframe is None else timeframes.parse(options.timeframe)
        for (venue, symbol), rows in by_series(frame):
            name = _series(held, venue, symbol)
            if name is None:
                continue
            ladder = _Ladder(self._candles, name, held[name], int(events.start[rows].min()), now)
            for bars in ladder.levels(wanted):
                waiting = rows[np.isin(lives.code[rows], (ALIVE, GAP))]
                if len(waiting) and len(bars[0].time):
                    lives.put(waiting, lives_of(Events(*(values[waiting] for values in events))))
                    barrier.follow(bars, events, waiting, lives)
                    is_past[waiting] |= events.timeout[waiting] <= bars[0].time[-1] + bars[0].step
        return events, lives, is_past


def _series(held: at_times.Timeframes, venue: str, symbol: str) -> tuple[str, str] | None:
    """The lake's candles of an event, as (symbol, venue)."""
    if (symbol, venue) in held:
        return symbol, venue
    venues = [place for name, place in held if name == symbol]
    return (symbol, venues[0]) if not venue and len(venues) == 1 else None


@dataclass(frozen=True)
class _Ladder:
    """The timeframes of one series, read when they are needed."""

    candles: Candles
    name: tuple[str, str]  # symbol, venue
    timeframes: list[str]  # finest first
    since: int
    now: int
    _read: dict[str, Bars] = field(default_factory=dict)

    def levels(self, timeframe: str | None) -> Any:
        """What events are followed on, with what is finer: of one timeframe, else of each in turn, finest first."""
        for number, name in enumerate(self.timeframes):
            if timeframe in {None, name}:
                finer = [self.bars(other) for other in reversed(self.timeframes[:number])]
                yield [self.bars(name), *(bars for bars in finer if len(bars.time))]

    def bars(self, timeframe: str) -> Bars:
        if timeframe not in self._read:
            symbol, venue = self.name
            length = timeframes.micros(timeframe)
            frame = self.candles.read(
                symbol, timeframe, max(0, self.since - length), max(1, self.now), _COLUMNS, venue=venue
            )
            closed = frame.filter(pl.col("open_time").dt.timestamp("us") + length <= self.now)
            market: Market = market_of(closed, "candles of the lake", timeframe)
            found = market.bars((venue, symbol))
            self._read[timeframe] = _NONE if found is None else found
        return self._read[timeframe]
