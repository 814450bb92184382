"""Short ways to declare columns, and the columns that many datasets share."""

from __future__ import annotations

from typing import Any

from lake.clock import MICROS_PER_MINUTE
from lake.spec.dataset import CHANGED_INPUTS as _CHANGED_INPUTS
from lake.spec.dataset import Column, Type


def text(name: str, meaning: str, **more: Any) -> Column:
    """A text column."""
    return Column(name, Type.STRING, meaning, **more)


def number(name: str, meaning: str, unit: str = "", **more: Any) -> Column:
    """A floating point column."""
    return Column(name, Type.FLOAT, meaning, unit, **more)


def whole(name: str, meaning: str, unit: str = "", **more: Any) -> Column:
    """An integer column."""
    return Column(name, Type.INT, meaning, unit, **more)


def flag(name: str, meaning: str, **more: Any) -> Column:
    """A yes or no column."""
    return Column(name, Type.BOOL, meaning, **more)


def moment(name: str, meaning: str, **more: Any) -> Column:
    """A time column, microseconds UTC."""
    return Column(name, Type.TIMESTAMP, meaning, "µs UTC", **more)


def document(name: str, meaning: str, **more: Any) -> Column:
    """A column of JSON text."""
    return Column(name, Type.JSON, meaning, **more)


def price(name: str, meaning: str, **more: Any) -> Column:
    """A price in the quote currency."""
    return Column(name, Type.FLOAT, meaning, "quote currency", **more)


def percent(name: str, meaning: str, **more: Any) -> Column:
    """A share in percent: 1.5 means 1.5 %."""
    return Column(name, Type.FLOAT, meaning, "%", **more)


BOT = text("bot_id", "the bot that wrote the row", required=True)
VENUE = text("venue", "the exchange, empty where unknown", required=True)
SYMBOL = text(
    "symbol", "canonical symbol: BTCUSDT, BTCUSDT.P for a perpetual, BTCUSDT.240628 for a dated future", required=True
)
TIMEFRAME = text(
    "timeframe", "length of the candles it is about; one that no candles of the lake have is kept as given"
)
STRATEGY = text("strategy", "name of the strategy")
SIDE = text("side", "direction of the position", choices=("LONG", "SHORT"))
MODE = text("mode", "real money or not", choices=("live", "paper", "backtest"))
CONFIDENCE = number("confidence", "how sure the author was", "0-1", minimum=0, maximum=1)
EXTRA = document("extra", "fields that the specification does not know, kept as given")
CHANGED_INPUTS = document(
    _CHANGED_INPUTS,
    "inputs that were changed after the decision: {column: {was, changed_at}}, the time in microseconds",
)
ENTRY_PRICE = price("entry_price", "price of the entry", minimum=0)
STOP_LOSS = price("stop_loss", "price at which the position is given up")
TP1 = price("tp1", "first target")
TP2 = price("tp2", "second target")
TP3 = price("tp3", "third target")
WHO_AND_WHERE = (BOT, VENUE, SYMBOL)
CLOCK_SKEW = MICROS_PER_MINUTE  # so far the clocks of a bot and an exchange may be apart
EMPTY = {"venue": "", "bot_id": ""}
