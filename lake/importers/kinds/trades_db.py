"""trades.db of the bot that learns: candles with indicators, predictions and trades in one SQLite file.

Its candles name no timeframe, so the caller does. They have the exchange's times, in UTC; predictions and trades have
those of the machine, without a zone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any

from lake.importers.base import CandleTable, Frames, Notes, Options, Refused, Row, RowMap, Rule, Table
from lake.importers.columns import moments
from lake.importers.moments import as_moment
from lake.importers.reading.candle_frames import candle_frames
from lake.importers.reading.database import Database, database, require
from lake.importers.rules import (
    constant,
    first_of,
    flag,
    found,
    identity,
    moment,
    number,
    one_of,
    option,
    price,
    result,
    side,
    symbol,
    text,
    timeframe,
)
from lake.importers.unread import naming_unread
from lake.importers.wording import counted
from lake.spec import timeframes

_TABLES = ("market_data", "predictions", "trades")
_NO_INDICATORS = {"id", "symbol", "timestamp", "open", "high", "low", "close", "volume", "timeframe", "created_at"}
_HORIZON = 60  # minutes
_OLDER = "an older row of a bar that was written again"
_SYMBOL = symbol("symbol", "product_id", "pair")


def _exchange_time(*names: str) -> Rule:
    """A time of the exchange: in UTC, whatever zone the bot's own times are in."""

    def read(row: Row, _options: Options) -> Any:
        name, value = found(row, names)
        return None if value is None else as_moment(name, value)

    return Rule(names, read, lambda values, _options: moments(values, None, "UTC"))


_BAR = _exchange_time("timestamp", "time")
_TIMEFRAME = timeframe("timeframe")
CANDLES: Mapping[str, Rule] = {
    "venue": option("venue", ""),
    "symbol": _SYMBOL,
    "timeframe": _TIMEFRAME,
    "open_time": _BAR,
    **{name: number(name) for name in ("open", "high", "low", "close", "volume")},
}


def _bar_end(row: Row, options: Options) -> Any:
    """When the values of a bar were known: at its end."""
    begun = _BAR.read(row, options)
    return begun and begun + timedelta(microseconds=timeframes.micros(_TIMEFRAME.read(row, options)))


INDICATORS = RowMap(
    "market_metrics",
    {
        "venue": option("venue"),
        "symbol": _SYMBOL,
        "metric": Rule(("metric",), lambda row, o: f"{row['metric']}_{_TIMEFRAME.read(row, o)}"),
        "time": Rule(("timestamp",), _bar_end),
        "value": number("value"),
    },
    sums={"value": "value"},
)
_PREDICTED = moment("timestamp", "predicted_at", "prediction_time", zone=None)
_MODEL = text("model_version", "model_name", "model", "model_type")
_BEFORE, _AFTER = price("price_at_prediction"), price("price_after_1h")


def _due(row: Row, options: Options) -> Any:
    made = _PREDICTED.read(row, options)
    return made and made + timedelta(minutes=_HORIZON)


def _is_known(row: Row, options: Options) -> bool:
    return _AFTER.read(row, options) is not None or any(
        found(row, (name,))[1] is not None for name in ("actual_outcome", "correct")
    )


def _return(row: Row, options: Options) -> float | None:
    before, after = _BEFORE.read(row, options), _AFTER.read(row, options)
    return None if before is None or after is None else after / before - 1


PREDICTIONS = RowMap(
    "predictions",
    {
        "prediction_id": identity("prediction", _SYMBOL, _MODEL, _PREDICTED),
        "symbol": _SYMBOL,
        "model_version": _MODEL,
        "predicted_direction": one_of(
            {"1": "UP", "0": "DOWN", "-1": "DOWN", "1.0": "UP", "0.0": "DOWN", "UP": "UP", "DOWN": "DOWN"}, "prediction"
        ),
        "probability": number("confidence", "probability"),
        "confidence": number("confidence", "probability"),
        "price": _BEFORE,
        "horizon_minutes": constant(_HORIZON),
        "predicted_at": _PREDICTED,
        "due_at": Rule(_PREDICTED.names, _due),
        "actual_price": _AFTER,
        "actual_return": Rule(("price_at_prediction", "price_after_1h"), _return),
        "correct": flag("correct"),
        "resolved_at": first_of(
            moment("validated_at", "resolved_at", "updated_at", zone=None),
            Rule(_PREDICTED.names, lambda row, options: _due(row, options) if _is_known(row, options) else None),
        ),
    },
)
_ENTERED = moment("entry_time", "timestamp", "opened_at", zone=None)
_LEFT = moment("exit_time", "closed_at", zone=None)
_TRADED = side("side", "direction")
_STOPS = {
    "sl": ("stop_loss_hit", "stop_loss_triggered", "hit_stop_loss"),
    "tp": ("take_profit_hit", "take_profit_triggered", "hit_take_profit"),
}


def _stopped(row: Row, options: Options) -> str | None:
    return next((why for why, names in _STOPS.items() if flag(*names).read(row, options)), None)


def _conditions(row: Row, _options: Options) -> dict[str, Any] | None:
    """What spoke for the trade; signals are a list behind commas."""
    signals = row.get("technical_signals")
    listed = [s.strip() for s in signals.split(",") if s.strip()] if isinstance(signals, str) else signals
    kept = {"technical_signals": listed, "ml_confidence": row.get("ml_confidence")}
    return {name: value for name, value in kept.items() if value not in (None, [])} or None


TRADES = RowMap(
    "trades",
    {
        "trade_id": identity("trade", _SYMBOL, _TRADED, _ENTERED),
        "symbol": _SYMBOL,
        "side": _TRADED,
        "status": Rule(_LEFT.names, lambda row, o: "open" if _LEFT.read(row, o) is None else "closed"),
        "mode": option("mode", "live"),
        "strategy": first_of(text("strategy"), option("strategy")),
        "quantity": number("quantity", "size", "amount"),
        "leverage": price("leverage"),
        "entry_price": price("entry_price"),
        "exit_price": price("exit_price"),
        "stop_loss": price("stop_loss", "stop_loss_price"),
        "take_profit": price("take_profit", "take_profit_price"),
        "fees": number("fees", "fee", "commission"),
        "pnl": number("pnl", "profit_loss"),
        "pnl_percent": result("pnl_percent", "pnl_pct"),
        "exit_reason": first_of(text("exit_reason"), Rule(sum(_STOPS.values(), ()), _stopped)),
        "order_id": text("order_id"),
        "conditions": Rule(("technical_signals", "ml_confidence"), _conditions),
        "created_at": _ENTERED,
        "opened_at": _ENTERED,
        "closed_at": _LEFT,
    },
    sums={"pnl": ("pnl", "profit_loss"), "quantity": ("quantity", "size", "amount")},
    numbered=True,
)


class TradesDb:
    """Reads trades.db."""

    name = "trades-db"
    summary = "trades.db (SQLite): market_data with indicators, predictions, trades"

    def tables(self, source: str, options: Options) -> Iterable[Table | CandleTable]:
        """Those that are there; the indicators beside the candles are metrics."""
        db = database(source)
        there = require(db, _TABLES, kind=self.name)
        yield from naming_unread(db, there, self._tables(db, there, options))

    def _tables(self, db: Database, there: tuple[str, ...], options: Options) -> Iterator[Table | CandleTable]:
        for name in there:
            if name in {"predictions", "trades"}:
                made = PREDICTIONS if name == "predictions" else TRADES
                yield Table(name, (made,), partial(db.rows, name), db.count(name))
            elif options.timeframe or "timeframe" in db.columns(name):
                yield CandleTable(name, partial(_candles, db, options), db.count(name))
                yield Table("indicators", (INDICATORS,), partial(_indicators, db))
            else:
                yield CandleTable(name, partial(_untold, db.count(name)))


def _candles(db: Database, options: Options, notes: Notes) -> Iterator[Frames]:
    return candle_frames(_every_bar(db, notes), CANDLES, options)


def _untold(count: int | None, notes: Notes) -> Iterator[Frames]:
    if count != 0:
        some = "candles" if count is None else counted(count, "candle")
        notes.tell(f"{some} of no timeframe: say which with --timeframe to have them", failed=True)
    return iter(())


def _indicators(db: Database, notes: Notes) -> Iterator[Row]:
    """Each indicator of each candle by itself, named with the timeframe that it was made of."""
    for row in _every_bar(db, notes):
        if isinstance(row, Refused):
            continue  # it is counted among the candles
        common = {name: row[name] for name in row.keys() & {"symbol", "timestamp", "timeframe"}}
        for name, value in row.items():
            if name not in _NO_INDICATORS and value is not None:
                yield {**common, "metric": name, "value": value}


def _every_bar(db: Database, notes: Notes) -> Iterator[Row | Refused]:
    """Candles; of several rows of one time the last, since the bot looked again while the bar was not over."""
    order = [name for name in ("symbol", "timeframe", "timestamp", "id") if name in db.columns("market_data")]
    key = itemgetter(*(name for name in order if name != "id"))
    superseded = 0
    for _, versions in groupby(db.rows("market_data", notes, order_by=order), key):
        *older, last = versions
        superseded += len(older)
        yield from (Refused(row, _OLDER) for row in older)
        yield last
    if superseded:
        notes.tell(f"{counted(superseded, 'older row')} of bars that were written again: the last of each bar is taken")
