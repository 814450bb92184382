"""What the stores of a signal bot have in common: how they name one trade, one signal, and how a trade ended.

Its journal, positions and statistics tell of the same trades. An id that names its symbol is shared by them, and kept;
others are numbers that begin again in each file: there a trade is its symbol, timeframe, side, price and second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lake.errors import InvalidRowError
from lake.importers.base import Notes, Options, Refused, Row, Rule
from lake.importers.rules import (
    first_of,
    found,
    identity,
    moment,
    one_of,
    price,
    second_of,
    side,
    symbol,
    timeframe,
)
from lake.importers.values import as_number
from lake.importers.wording import counted
from lake.ledgers.recent import group_of
from lake.spec.symbols import canonical

SYMBOL, SIDE = symbol("symbol"), side("signal", "direction", "signal_type", "type")
ENTRY, TIMEFRAME = price("entry_price", "entry"), timeframe("timeframe")
GIVEN = moment("timestamp", "entry_timestamp", "opened_at")
CLOSED = moment("closed_at", "exit_timestamp", "closed_timestamp")
PERCENT = ("profit_loss_pct", "profit_loss_percent", "profit_pct", "profit_percent", "pnl_percent", "pct")

_ENDED = {
    "WIN": "win", "SUCCESS": "win", "TP": "win", "TP1": "win", "TP2": "win", "TP3": "win", "PROFIT": "win",
    "LOSS": "loss", "FAILED": "loss", "FAIL": "loss", "SL": "loss",
    "BREAKEVEN": "breakeven", "BREAK_EVEN": "breakeven", "BE": "breakeven",
}  # fmt: skip
_NAMED = 5  # in a note
GOES_ON = ("PENDING", "ACTIVE", "OPEN", "PARTIAL", "RUNNING")
_STATUS = (
    dict.fromkeys(GOES_ON, "open")
    | dict.fromkeys((*_ENDED, "COMPLETED", "CLOSED", "MANUAL_CLOSE", "EARLY_EXIT", "TIMEOUT"), "closed")
    | dict.fromkeys(("CANCELLED", "CANCELED", "EXPIRED"), "cancelled")
)
_OUTCOME = _ENDED | dict.fromkeys((*GOES_ON, "MANUAL_CLOSE", "EARLY_EXIT", "TIMEOUT", "COMPLETED", "CLOSED"))
_REASONS = {"TP": "tp", "SL": "sl", "MANUAL_CLOSE": "manual", "EARLY_EXIT": "early_exit", "TIMEOUT": "timeout"}
_TARGETS = {f"TP{number}": f"tp{number}" for number in (1, 2, 3)}
EXIT_REASON = one_of(dict.fromkeys(_OUTCOME) | _REASONS | _TARGETS, "outcome", "result")
OUTCOME = first_of(one_of(_OUTCOME, "outcome", "result"), one_of(dict.fromkeys(_STATUS) | _OUTCOME, "status"))


def _side(row: Row, options: Options) -> str:
    """A trade of a signal bot is one of its signals, which say LONG or SHORT; what says neither is of another kind."""
    said: str | None = SIDE.read(row, options)
    if said is None:
        raise InvalidRowError("no side", where=" or ".join(SIDE.names))
    return said


NEEDED_SIDE = Rule(SIDE.names, _side)


def shared_id(*names: str) -> Rule:
    """An id that names its symbol, and so means the same in all stores of the bot; None of any other."""

    def read(row: Row, options: Options) -> str | None:
        _, given = found(row, names)
        base = canonical(str(found(row, ("symbol",))[1] or options.symbol))
        if not isinstance(given, str) or not base or not given.upper().startswith(base):
            return None
        return f"{options.bot_id}:{given}" if options.bot_id else given

    return Rule(names, read)


def named(prefix: str, shared: Rule, *facts: Rule) -> Rule:
    """The shared id, or one made of facts."""
    return first_of(shared, identity(prefix, *facts))


def trade_id(given: Rule = GIVEN, *names: str) -> Rule:
    """What names a trade: a shared id under one of the names, or its facts."""
    return named("trade", shared_id(*names or ("id",)), SYMBOL, TIMEFRAME, SIDE, ENTRY, second_of(given))


def signal_id(given: Rule = GIVEN, *names: str) -> Rule:
    """What names a signal: a shared id under one of the names, or its facts."""
    return named("signal", shared_id(*names or ("id",)), SYMBOL, TIMEFRAME, SIDE, ENTRY, second_of(given))


def _status(row: Row, options: Options) -> str:
    """A trade that has an outcome, or a time at which it was closed, has ended, whatever else is said."""
    said = one_of(_STATUS, "status").read(row, options)
    ended = one_of(_OUTCOME, "outcome", "result").read(row, options)
    if ended is not None:
        return "closed"
    if said is None:
        return "closed" if found(row, CLOSED.names)[1] is not None else "open"
    return str(said)


STATUS = Rule(("status", "outcome", "result", *CLOSED.names), _status)
SIGNAL_TYPE = Rule(SIDE.names, lambda row, options: {"LONG": "BUY", "SHORT": "SELL"}.get(SIDE.read(row, options)))


def _dedupe_key(row: Row, options: Options) -> str | None:
    """As the lake makes it of its own signals; None of one without a side or time."""
    made = {"venue": options.venue, "symbol": SYMBOL.read(row, options), "timeframe": TIMEFRAME.read(row, options)}
    direction, given = SIDE.read(row, options), GIVEN.read(row, options)
    if direction is None or given is None:
        return None
    return "|".join((*group_of({**made, "direction": direction}), given.date().isoformat()))


DEDUPE_KEY = Rule((*SYMBOL.names, *TIMEFRAME.names, *SIDE.names, *GIVEN.names), _dedupe_key)


def objects(values: Iterator[Any]) -> Iterator[Row | Refused]:
    """The values that are rows; the others refused."""
    for value in values:
        yield value if isinstance(value, dict | Refused) else Refused(value, "not an object")


class Contradictions:
    """Counts the trades whose percentage and outcome contradict each other; both are kept as they are told."""

    def __init__(self) -> None:
        self._count = 0
        self._first: list[str] = []

    def look(self, row: Row) -> None:
        """Look at one trade."""
        _, word = found(row, ("outcome", "result", "status"))
        name, value = found(row, PERCENT)
        ended = _ENDED.get(str(word).strip().upper())
        try:
            gained = 0.0 if value is None else as_number(name, value)
        except InvalidRowError:
            return  # it is refused when it is mapped
        if (ended == "win" and gained < 0) or (ended == "loss" and gained > 0):
            self._count += 1
            if len(self._first) < _NAMED:
                self._first.append(f"{row.get('id', row.get('symbol'))} is a {word} of {gained:g} %")

    def tell(self, notes: Notes) -> None:
        """Tell of them, if there are any."""
        if self._count:
            more = ", ..." if self._count > len(self._first) else ""
            notes.tell(
                f"in {counted(self._count, 'trade')} the percentage contradicts the outcome, and both are kept "
                f"as told: {', '.join(self._first)}{more}"
            )


def disagreeing(name: str, said: Any, there: Mapping[str, float], inner: tuple[str, ...]) -> str | None:
    """What totals by a name say otherwise than what was counted, as a sentence; None where they agree.

    Args:
        name: of the totals.
        said: value -> its totals, of which one of the inner names is meant.
        there: value -> number.
        inner: names under which the totals are.
    """
    told = said if isinstance(said, Mapping) else {}
    numbers = {v: found(t, inner)[1] for v, t in told.items() if isinstance(t, Mapping)}
    wrong = [
        f"{number:,} of {value}, and there are {there.get(value, 0):,}"
        for value, number in numbers.items()
        if isinstance(number, int | float) and number != there.get(value, 0)
    ]
    more = f", and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
    return f"its {name} tell otherwise than its rows: {'; '.join(wrong[:_NAMED])}{more}" if wrong else None
