"""The rule for a column, as TOML, guessed from some of its values; or why there is none.

Some values may be odd, as in a last line that breaks off: their rows are refused when they land, and the draft says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lake.errors import InvalidRowError, LakeError
from lake.importers import rules
from lake.importers.base import Options
from lake.importers.moments import as_moment
from lake.importers.values import as_number, is_nothing
from lake.importers.written import ways, written
from lake.spec.dataset import Column, Dataset, Type

_MOST_WORDS = 20
_FEW = 50  # one value in so many may be odd, and one in any case if another is not
_SHOWN = 40  # characters of a value
_PERCENT_NAMES = ("ratio", "fraction")
_WORDS = {
    "LONG": "LONG", "BUY": "LONG", "SHORT": "SHORT", "SELL": "SHORT", "HOLD": "HOLD", "WAIT": "HOLD",
    "NEUTRAL": "HOLD", "UP": "UP", "DOWN": "DOWN", "FLAT": "FLAT",
    "CLOSED": "closed", "CLOSE": "closed", "DONE": "closed", "FILLED": "closed", "COMPLETED": "closed", "OPEN": "open",
    "ACTIVE": "open", "PENDING": "pending", "NEW": "pending", "CANCELLED": "cancelled", "CANCELED": "cancelled",
    "REJECTED": "error", "ERROR": "error", "FAILED": "error", "WIN": "win", "LOSS": "loss", "PAPER": "paper",
    "SIMULATED": "paper", "DRY_RUN": "paper", "LIVE": "live", "REAL": "live", "BACKTEST": "backtest",
}  # fmt: skip
_BOUGHT = {"BUY": "BUY", "B": "BUY", "BID": "BUY", "LONG": "BUY", "SELL": "SELL", "S": "SELL", "ASK": "SELL",
           "SHORT": "SELL"}  # fmt: skip
_TABLES = {"predicted_direction": {**_WORDS, "1": "UP", "0": "DOWN", "-1": "DOWN"}}
_CLOCKS = ("%H:%M:%S", "%H:%M:%S.%f", "%H:%M", "%I:%M:%S %p", "%I:%M %p")
_DAYS = ("%Y-%m-%d", "%Y.%m.%d", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%m-%d-%Y")
_FORMATS = (
    *(f"{day} {clock}" for day in _DAYS for clock in _CLOCKS),
    *(f"{clock} {day}" for clock in _CLOCKS[:3] for day in _DAYS[:3]),
    *(f"%Y-%m-%d {clock} {zone}" for clock in _CLOCKS[:3] for zone in ("UTC", "%z")),
    "%Y-%m-%d %I-%p", *_DAYS[1:],
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Guess:
    """A rule as TOML; without one, why."""

    rule: str = ""
    why: str = ""


def guess(ds: Dataset, column: Column, name: str, values: Sequence[Any], options: Options) -> Guess:
    """The rule by which a column of theirs becomes one of ours.

    Args:
        ds: the dataset that the rows become.
        column: ours.
        name: of theirs.
        values: some of it.
        options: what the caller said.
    """
    known = [value for value in values if not is_nothing(value)]
    if column.type is Type.TIMESTAMP:
        return _moment(name, known, options)
    if column.choices and column.name != "timeframe":
        return _choice(column, name, known)
    if column.type in {Type.FLOAT, Type.INT}:
        return _number(column, name, known)
    if column.name == ds.generated_id:
        return Guess()  # written last, of facts
    return Guess(quoted(name))


def quoted(value: str) -> str:
    """A text as TOML."""
    return json.dumps(value, ensure_ascii=False)


def _moment(name: str, known: Sequence[Any], options: Options) -> Guess:
    odd, is_naive = [], not known  # of nothing but open ends nobody knows yet
    for value in known:
        try:
            as_moment(name, value, zone=None)
        except InvalidRowError:
            odd.append(value)
        except LakeError:
            is_naive = True
    zone = f", zone = {quoted(options.tz or 'UTC')}"
    if _are_few(odd, known):
        rule = f"{{ moment = {quoted(name)}{zone} }}  # the times name no zone" if is_naive else quoted(name)
        return Guess(rule + _told(odd, known, "no times", "; " if is_naive else "  # "))
    fitting = [layout for layout in _FORMATS if _are_few([*_strange(layout, known)], known)]
    if len(fitting) != 1:
        said = ", ".join(f"{{ moment = {quoted(name)}, layout = {quoted(layout)}{zone} }}" for layout in fitting)
        return Guess(why=_odd(odd, "no times") + (f": it may be {said}" if fitting else ""))
    zone = "" if fitting[0].endswith("%z") else zone
    note = _told([*_strange(fitting[0], known)], known, "no such times", "  # ")
    return Guess(f"{{ moment = {quoted(name)}, layout = {quoted(fitting[0])}{zone} }}{note}")


def _strange(layout: str, known: Sequence[Any]) -> Iterator[Any]:
    for value in known:
        try:
            datetime.strptime(str(value).strip(), layout)  # noqa: DTZ007 (whether it is one is all that is asked)
        except ValueError:
            yield value


def _choice(column: Column, name: str, known: Sequence[Any]) -> Guess:
    said = [f"{value:g}" if isinstance(value, float) else str(value).strip() for value in known]
    words = sorted(set(said))
    if not words or len(words) > _MOST_WORDS:
        return Guess(why="too many words" if words else "")
    ours = dict(zip(words, map(_meaning(column), words), strict=True))
    odd = [word for word in said if ours[word] is None]
    if not _are_few(odd, said):
        return Guess(why=_odd(odd, "none of its words"))
    note = _told(odd, said, "none of its words", "  # ")
    if column.choices == ("LONG", "SHORT") or all(
        word.upper() in {c.upper() for c in column.choices} for word in words
    ):
        return Guess(quoted(name) + note)
    pairs = ", ".join(f"{quoted(word)} = {quoted(mine)}" for word, mine in ours.items() if mine)
    return Guess(f"{{ one_of = {quoted(name)}, values = {{ {pairs} }} }}{note}")


def _meaning(column: Column) -> Callable[[str], str | None]:
    """What makes one of our words of one of theirs; None of one that is not understood."""
    if column.choices == ("LONG", "SHORT"):
        return _side
    table = _TABLES.get(column.name, _WORDS) if column.choices != ("BUY", "SELL") else _BOUGHT
    by_word = {**table, **{choice.upper(): choice for choice in column.choices}}
    return lambda word: mine if (mine := by_word.get(word.upper())) in column.choices else None


def _side(word: str) -> str | None:
    try:
        return str(rules.side("word").read({"word": word}, Options()))
    except InvalidRowError:
        return None


def _number(column: Column, name: str, known: Sequence[Any]) -> Guess:
    how, numbers, odd = "", *_read(known, as_number)
    if odd and (layouts := ways(known)):
        settings = [f", decimal = {quoted(mark)}{f', sign = {quoted(sign)}' if sign else ''}" for mark, sign in layouts]
        if len(settings) > 1:
            said = ", ".join(f"{{ number = {quoted(name)}{how} }}" for how in settings)
            return Guess(why=f"it may be {said}")
        how, (numbers, odd) = settings[0], _read(known, written(*layouts[0]))
    if not _are_few(odd, known):
        return Guess(why=_odd(odd, "no numbers"))
    said, note = quoted(name), _told(odd, known, "no numbers", "; ")
    largest = max(map(abs, numbers), default=0.0)
    if column.unit == "0-1" and largest > 1:
        return Guess(f"{{ fraction = {said}{how} }}  # up to {largest:g}: taken as percent{note}")
    if column.unit == "%" and any(word in name.lower() for word in _PERCENT_NAMES):
        return Guess(f"{{ percent = {said}{how} }}  # by its name a fraction: 0.02 is 2 %{note}")
    is_price = column.above is not None or (column.unit == "quote currency" and "price" in column.name)
    rule = (
        f"{{ price = {said}{how} }}" if is_price and 0.0 in numbers else f"{{ number = {said}{how} }}" if how else said
    )
    return Guess(rule + note.replace("; ", "  # ", 1))


def _read(known: Sequence[Any], read: Callable[[str, Any], float]) -> tuple[list[float], list[Any]]:
    """The numbers of some values, and the values that are none."""
    numbers, odd = [], []
    for value in known:
        try:
            numbers.append(read("", value))
        except InvalidRowError:
            odd.append(value)
    return numbers, odd


def _are_few(odd: Sequence[Any], known: Sequence[Any]) -> bool:
    return 2 * len(odd) <= len(known) and len(odd) <= max(1, len(known) // _FEW)


def _told(odd: Sequence[Any], known: Sequence[Any], what: str, before: str) -> str:
    return f"{before}{len(odd)} of {len(known)} are {what}: their rows will be refused" if odd else ""


def _odd(odd: Sequence[Any], what: str) -> str:
    shown = ", ".join(dict.fromkeys(repr(value)[:_SHOWN] for value in odd[:3]))
    return f"values such as {shown} are {what}"
