"""Predictions: what a model said a price would do, and whether it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import polars as pl

from lake.clock import MICROS_PER_MINUTE, now_micros
from lake.errors import InvalidRowError, LifeCycleError, UsageError
from lake.kernels.rounding import slack
from lake.ledgers import at_times
from lake.ledgers.base import Ledger, changed, given, stated
from lake.ledgers.candles import Candles
from lake.ledgers.changes import change_many
from lake.ledgers.current import Key
from lake.ledgers.demands import refuse_nan
from lake.ledgers.open_rows import landed_open_rows
from lake.ledgers.receipt import Receipt
from lake.ledgers.transaction import Fold
from lake.ledgers.writer import Writer
from lake.query.engine import Engine
from lake.query.read import read
from lake.spec import symbols, timeframes
from lake.spec.numbers import finite, whole
from lake.spec.patch import folder
from lake.spec.rows import row_checker
from lake.spec.times import from_micros, to_micros
from lake.store.hot.entry import Row

_BATCH = 5_000  # rows that land together, in one append
_PREMISES = ("venue", "symbol", "predicted_direction", "price", "horizon_minutes", "predicted_at", "due_at")
_OUTCOME = ("actual_price", "actual_return", "correct")
_Series = tuple[str, str, str]  # venue, symbol, timeframe


@dataclass(frozen=True, slots=True)
class Resolution:
    """What became of the predictions that were due.

    Attributes:
        due: unresolved predictions whose due time is past.
        resolved: those whose outcome was recorded.
        waiting: those whose candle has not come yet.
        missing: those whose candles are missing: none is held for their symbol and venue, or there is a gap at their
            due time, or when they were made. They stay unresolved, until the candles are ingested.
    """

    due: int = 0
    resolved: int = 0
    waiting: int = 0
    missing: int = 0

    def as_dict(self) -> dict[str, int]:
        """The counts, for JSON."""
        return asdict(self)


class Predictions(Ledger):
    """Records predictions and finds their outcomes in the lake's candles; ``lk.predictions``."""

    dataset = "predictions"

    def __init__(self, writer: Writer, engine: Engine) -> None:
        super().__init__(writer, engine)
        self._candles = Candles(writer)

    def record(self, prediction: Mapping[str, Any] | None = None, /, **fields: Any) -> Receipt:
        """Record a prediction; its id is in the receipt, and may be given as prediction_id.

        Recording it again under its id adds what is new; the same again changes nothing.

        Args:
            prediction: columns of the dataset: symbol, model_version, predicted_direction (UP or LONG, DOWN or
                SHORT, FLAT), probability and confidence (0-1), price, horizon_minutes, ... ``predicted_at`` is now
                when left out, ``due_at`` is horizon_minutes later.
            fields: the same, as keyword arguments.

        Raises:
            InvalidRowError: a value does not fit, neither due_at nor horizon_minutes is given, or it is due no later
                than it is made.
            LifeCycleError: it is resolved, and this would change what it said or its outcome.
        """
        row = given(prediction, fields)
        refuse_nan(self._ds, row)
        if row.get("prediction_id") is None:
            return self._new.insert(self._completed(row))
        more = stated(self._ds, row)
        prediction_id = more["prediction_id"]

        def fold(known: Row | None) -> Mapping[str, Any] | None:
            return self._completed(row) if known is None else self._again(known, more)

        return changed((prediction_id,), *self._writer.change("predictions", (prediction_id,), fold, is_new=True))

    def _completed(self, row: Mapping[str, Any]) -> dict[str, Any]:
        whole = row_checker(self._ds)(row)
        return {**whole, "due_at": _checked_due(whole)}

    def _again(self, known: Row, more: Mapping[str, Any]) -> Row:
        """The next version of a known prediction that is recorded again."""
        made = folder(self._ds)(known, more)
        if "due_at" not in more and more.keys() & {"horizon_minutes", "predicted_at"} and "horizon_minutes" in made:
            made.pop("due_at", None)  # a row that was written whole may lack it
        made["due_at"] = _checked_due(made)
        fixed = (*_PREMISES, *_OUTCOME)
        if known.get("resolved_at") is not None and any(made.get(name) != known.get(name) for name in fixed):
            raise LifeCycleError(
                "the prediction is resolved",
                where=f"predictions, {known['prediction_id']}",
                todo="Correct it with lk.predictions.patch(...) if it is wrong.",
            )
        return made

    def resolve_due(
        self, now: Any = None, *, timeframe: str | None = None, flat_band: float = 0.0, max_gap_bars: int = 5
    ) -> Resolution:
        """Record the outcome of every prediction that is due: all, or with a bot id those of that bot.

        The price at its horizon is the close of the first candle that closes at or after ``due_at`` and by ``now``.
        The price when it was made is the one given with it, else the close of the last candle that closed at or
        before ``predicted_at``. Candles are those of its symbol and venue; of a prediction without venue those
        without venue, else those of the only venue that has its symbol. Several calls, also at once, resolve a
        prediction once.

        UP and LONG came true when the return is above 0, DOWN and SHORT below 0. FLAT came true when the return is
        at most ``flat_band`` either way. A prediction without a direction gets its return alone.

        Args:
            now: resolve as of this moment; the clock when left out.
            timeframe: of the candles to look at; the finest one held for the symbol and venue when left out.
            flat_band: as a fraction: 0.001 is 0.1 %.
            max_gap_bars: so many candles may be missing before the one that is found. With a longer gap the price
                would be that of another horizon: the prediction stays unresolved, and is counted as missing.

        Raises:
            UsageError: a band or gap below 0.
            UnknownTimeframeError: a timeframe that the lake does not know.
        """
        band, gap = finite(flat_band), whole(max_gap_bars)
        if band is None or gap is None or band < 0 or gap < 0:
            raise UsageError("a band and a gap are at least 0", value=(flat_band, max_gap_bars))
        moment = now_micros() if now is None else to_micros(now, where="now")
        wanted = None if timeframe is None else timeframes.parse(timeframe)
        due = [row for row in landed_open_rows(self._writer, "predictions") if _is_due(row, moment)]
        if not due:
            return Resolution()
        series = self._series(due, wanted)
        starts, ends = self._prices(due, series, moment, gap)
        found = _outcomes(due, starts, ends, band)
        resolved = self._write(due, found, moment)
        waiting = sum(
            number in starts and moment < _due(row) + (gap + 1) * timeframes.micros(series[number][2])
            for number, row in enumerate(due)
            if number in series and number not in ends
        )
        return Resolution(len(due), resolved, waiting, len(due) - len(found) - waiting)

    def accuracy(
        self,
        model_version: str | None = None,
        symbol: str | None = None,
        days: int | None = None,
        **variables: Any,
    ) -> pl.DataFrame:
        """How often predictions came true, by model, symbol and horizon; the view model_accuracy.

        Args:
            model_version, symbol: only predictions of these; a row for each when left out.
            days: only predictions of so many days before now.
            variables: now.
        """
        where = {} if model_version is None else {"model_version": model_version}
        if symbol is not None:
            where["symbol"] = symbols.canonical(symbol)
        window = {} if days is None else {"days": days}
        return read(self._engine, "model_accuracy", where, {**window, **variables})

    def _series(self, due: Sequence[Row], timeframe: str | None) -> dict[int, _Series]:
        """Number of a prediction -> the candles that tell its prices; without those of which none are held."""
        held = at_times.finest(self._writer.store, {row["symbol"] for row in due})
        venues: dict[str, list[str]] = {}
        for symbol, venue in held:
            venues.setdefault(symbol, []).append(venue)
        found = {}
        for number, row in enumerate(due):
            symbol, venue = row["symbol"], row["venue"]
            if not venue and (symbol, venue) not in held and len(venues.get(symbol, ())) == 1:
                venue = venues[symbol][0]
            if (symbol, venue) in held:
                found[number] = (venue, symbol, timeframe or held[symbol, venue])
        return found

    def _prices(
        self, due: Sequence[Row], series: Mapping[int, _Series], now: int, gap: int
    ) -> tuple[dict[int, float], dict[int, float]]:
        """Number of a prediction -> its price when it was made, and -> its price at its horizon."""
        unpriced = [number for number in series if not due[number].get("price")]
        before = at_times.asked((n, *series[n], due[n]["predicted_at"]) for n in unpriced)
        after = at_times.asked((n, *series[n], _due(due[n])) for n in series)
        starts = {number: row["price"] for number, row in enumerate(due) if row.get("price")}
        starts.update(at_times.closes_before(self._candles, before, now, gap).iter_rows())
        return starts, dict(at_times.closes_after(self._candles, after, now, gap).iter_rows())

    def _write(self, due: Sequence[Row], found: Mapping[int, Row], now: int) -> int:
        """Record outcomes, many in one append; how many there were that nobody else had recorded."""
        resolved, numbers = 0, list(found)
        for first in range(0, len(numbers), _BATCH):
            folds: dict[Key, Fold] = {}
            for number in numbers[first : first + _BATCH]:
                row = due[number]
                folds[(row["prediction_id"],)] = partial(_resolved, row, {**found[number], "resolved_at": now})
            resolved += sum(after is not None for _, after in change_many(self._writer, "predictions", folds))
        return resolved


def _due(row: Row) -> int:
    """When the outcome can be known; rows that :meth:`Predictions.record` did not write may not say."""
    due: int = row.get("due_at") or row["predicted_at"] + row["horizon_minutes"] * MICROS_PER_MINUTE
    return due


def _is_due(row: Row, now: int) -> bool:
    return (row.get("due_at") or row.get("horizon_minutes")) is not None and _due(row) <= now


def _checked_due(row: Row) -> int:
    if row.get("due_at") is None and row.get("horizon_minutes") is None:
        raise InvalidRowError(
            "when can its outcome be known?", where="predictions.due_at", todo="Give horizon_minutes or due_at."
        )
    if _due(row) <= row["predicted_at"]:
        raise InvalidRowError(
            "it is due no later than it is made",
            where="predictions.due_at",
            value=from_micros(_due(row)).isoformat(),
            todo="Give a time after predicted_at, or horizon_minutes from 1 on.",
        )
    return _due(row)


def _outcomes(
    due: Sequence[Row], starts: Mapping[int, float], ends: Mapping[int, float], flat_band: float
) -> dict[int, Row]:
    """Number of a prediction -> its outcome, where both prices are known."""
    found: dict[int, Row] = {}
    for number, end in ends.items():
        start = starts.get(number)
        if start:
            change = end / start - 1
            outcome = {"price": start, "actual_price": end, "actual_return": change}
            direction = due[number].get("predicted_direction")
            found[number] = {**outcome, "correct": _is_right(direction, change, flat_band)}
    return found


def _is_right(direction: str | None, change: float, flat_band: float) -> bool | None:
    if direction in {"UP", "LONG"}:
        return change > 0
    if direction in {"DOWN", "SHORT"}:
        return change < 0
    return abs(change) <= flat_band + slack(1.0, change, flat_band) if direction == "FLAT" else None


def _resolved(seen: Row, outcome: Row, known: Row | None) -> Mapping[str, Any] | None:
    """The outcome, unless another was recorded meanwhile, or what it was computed from has changed."""
    if known is None or known.get("resolved_at") is not None:
        return None
    return outcome if all(known.get(name) == seen.get(name) for name in _PREMISES) else None
