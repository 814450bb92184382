"""Rules by which columns of other stores are understood: times, sides, percentages, symbols, documents, ids.

Each takes the names under which a store has the value; the first that a row has, and that is not empty, counts. What
was found stays beside the row, in ``extra``, so nothing that a rule changes is lost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson
import polars as pl

from lake.errors import InvalidRowError, UnknownTimeframeError
from lake.importers import columns
from lake.importers.base import Options, Row, Rule
from lake.importers.moments import as_moment
from lake.importers.values import as_number, as_text, is_nothing
from lake.spec import timeframes
from lake.spec.symbols import QUOTES, canonical, split

_SIDES = {
    "LONG": "LONG", "BUY": "LONG", "STRONG_BUY": "LONG", "BULLISH": "LONG", "UP": "LONG", "1": "LONG",
    "SHORT": "SHORT", "SELL": "SHORT", "STRONG_SELL": "SHORT", "BEARISH": "SHORT", "DOWN": "SHORT", "-1": "SHORT",
}  # fmt: skip
_YES = {"1": True, "true": True, "yes": True, "t": True, "0": False, "false": False, "no": False, "f": False}
_ID_CHARACTERS = 24
_DIGITS = 12  # behind the point: 0.07 is 7 percent, not 7.000000000000001


def found(row: Row, names: tuple[str, ...]) -> tuple[str, Any]:
    """The first of the names that the row has a value under, and the value; ``None`` and NaN are none."""
    for name in names:
        value = row.get(name)
        if not is_nothing(value):
            return name, value
    return names[0] if names else "", None


def _rule(names: tuple[str, ...], read: Callable[[str, Any], Any]) -> Rule:
    def reading(row: Row, _options: Options) -> Any:
        name, value = found(row, names)
        return None if value is None else read(name, value)

    return Rule(names, reading) if len(names) != 1 else Rule(names, _of_one(names[0], read))


def _of_one(name: str, read: Callable[[str, Any], Any]) -> Callable[[Row, Options], Any]:
    """The same of one name, in a third less time than the loop takes; most rules look at one."""

    def reading(row: Row, _options: Options) -> Any:
        value = row.get(name)
        return None if is_nothing(value) else read(name, value)

    return reading


def constant(value: Any) -> Rule:
    """The same in every row."""
    return Rule((), lambda _row, _options: value)


def option(name: str, otherwise: Any = None) -> Rule:
    """What the caller said, or else the value given."""
    return Rule((), lambda _row, options: getattr(options, name) or otherwise)


def text(*names: str) -> Rule:
    """A text; numbers are written out, lists and objects as JSON, and bytes are none."""
    return _rule(names, as_text)


def numbered(*names: str, by: Rule) -> Rule:
    """An id; one that is only a number begins again in each store, so it stands behind what ``by`` makes: ``bot:7``."""

    def read(row: Row, options: Options) -> str | None:
        name, value = found(row, names)
        if value is None:
            return None
        given = as_text(name, value)
        scope = by.read(row, options) if given.isdecimal() else None
        return f"{scope}:{given}" if scope else given

    return Rule(names, read)


def number(*names: str, scale: float = 1.0) -> Rule:
    """A number, also as text or Decimal, times ``scale``."""

    def read(name: str, value: Any) -> float:
        given = as_number(name, value)
        return given if scale == 1.0 else round(given * scale, _DIGITS)

    made = _rule(names, read)
    return made if scale != 1.0 else replace(made, many=lambda values, _options: columns.floats(values))


def price(*names: str) -> Rule:
    """A price, or another number of which 0 means that it is not there."""
    return _rule(names, lambda name, value: as_number(name, value) or None)


def fraction(*names: str) -> Rule:
    """A share as a number from 0 to 1, which is stored in percent (75.5 is 0.755)."""
    return _rule(names, lambda name, value: as_number(name, value) / 100)


def share(*names: str) -> Rule:
    """A share as a number from 0 to 1, of stores in which some say 0.755 and others 75.5: above 1 it is in percent."""

    def read(name: str, value: Any) -> float:
        given = as_number(name, value)
        return given / 100 if given > 1 else given

    return _rule(names, read)


def percent(*names: str) -> Rule:
    """A share in percent, which is stored as a fraction (0.02 is 2)."""
    return number(*names, scale=100.0)


def result(*names: str) -> Rule:
    """A result in percent, which is stored as a fraction where the caller says so."""
    in_percent, as_fraction = number(*names).read, percent(*names).read
    return Rule(names, lambda row, o: (as_fraction if o.percent == "fraction" else in_percent)(row, o))


def whole(*names: str) -> Rule:
    """A whole number; 3.0 is one, 3.5 is refused."""

    def read(name: str, value: Any) -> int:
        given = as_number(name, value)
        if given != int(given):
            raise InvalidRowError("not a whole number", where=name, value=value)
        return int(given)

    return replace(_rule(names, read), many=lambda values, _options: columns.wholes(values))


def flag(*names: str) -> Rule:
    """Yes or no, also as 1 and 0 or as text."""

    def read(name: str, value: Any) -> bool:
        done = _YES.get(str(value).strip().lower())
        if done is None and isinstance(value, float) and value in {0.0, 1.0}:
            done = bool(value)
        if done is None:
            raise InvalidRowError("neither yes nor no", where=name, value=value)
        return done

    return _rule(names, read)


def side(*names: str) -> Rule:
    """LONG or SHORT, of long, short, buy, sell, 1, -1 in any case."""
    return one_of(_SIDES, *names)


def one_of(known: Mapping[str, Any], *names: str) -> Rule:
    """One of our words, by a table of theirs (upper case) -> ours; a word that maps to None is nothing."""

    def read(name: str, value: Any) -> Any:
        word = str(value).strip().upper()
        if word not in known:
            raise InvalidRowError("unknown word", where=name, value=value, todo=f"Known are {', '.join(known)}.")
        return known[word]

    return _rule(names, read)


def renamed(known: Mapping[str, str], *names: str) -> Rule:
    """A word in lower case; those in a table of theirs -> ours in ours."""

    def read(name: str, value: Any) -> str:
        word = as_text(name, value).strip().lower()
        return known.get(word, word)

    return _rule(names, read)


def symbol(*names: str) -> Rule:
    """A symbol in our spelling; of a base alone, with the quote that the caller gave."""

    def read(row: Row, options: Options) -> Any:
        name, value = found(row, names)
        if value is None:
            value = options.symbol
        if not value:
            raise InvalidRowError("no symbol", where=name, todo="Give --symbol.")
        done = canonical(_symbol_text(name, value))
        if options.quote and (done in QUOTES or (done.isalnum() and not split(done)[1])):
            done = canonical(f"{done}/{options.quote}")
        return done

    return Rule(names, read)


def _symbol_text(name: str, value: Any) -> str:
    if isinstance(value, bool | float | list | dict):
        raise InvalidRowError("not a symbol", where=name, value=value)
    return as_text(name, value)


def base(*names: str) -> Rule:
    """A symbol of which only the base is told, with the quote that the caller gave; whatever the base ends in."""

    def read(row: Row, options: Options) -> Any:
        name, value = found(row, names)
        if value is None:
            raise InvalidRowError("no symbol", where=name)
        given = _symbol_text(name, value)
        is_pair = any(separator in given for separator in "/-_:")
        return canonical(given if is_pair or not options.quote else f"{given}/{options.quote}")

    return Rule(names, read)


def timeframe(*names: str) -> Rule:
    """A timeframe in our spelling; of rows that name none the caller's. One that the lake does not hold is kept."""

    def read(row: Row, options: Options) -> Any:
        name, value = found(row, names)
        if value is None:
            return options.timeframe or None
        given = as_text(name, value)
        try:
            return timeframes.parse(given)
        except UnknownTimeframeError:
            return given

    return Rule(names, read)


def moment(*names: str, unit: str | None = None, zone: str | None = "UTC") -> Rule:
    """A time: epoch numbers, ISO text, datetimes. One without a zone is in the caller's, else in ``zone``.

    Args:
        names: of the column.
        unit: of numbers: s, ms, us, ns; by magnitude when left out.
        zone: of times without one, when the caller gives none; None when the caller must say.
    """

    def read(row: Row, options: Options) -> Any:
        name, value = found(row, names)
        if value is None:
            return None
        return as_moment(name, value, unit=unit, zone=options.tz or zone, second=options.second_hour)

    def many(values: Sequence[Any], options: Options) -> pl.Series | None:
        return columns.moments(values, unit, options.tz or zone, second=options.second_hour)

    return Rule(names, read, many)


def document(*names: str) -> Rule:
    """A JSON document: an object, a list, or text that holds one; other text is kept as a JSON string.

    A number that is none, which Python writes as NaN, is null; an infinity is the text that Python writes.
    """

    def read(_name: str, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return orjson.loads(value)
        except ValueError:
            return _loosely(value)

    return _rule(names, read)


def _loosely(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=lambda name: None if name == "NaN" else name)
    except (ValueError, RecursionError):
        return text


def gathered(*names: str) -> Rule:
    """One document of several columns: name -> value, without those that are not there."""

    def read(row: Row, _options: Options) -> Any:
        kept = {name: row[name] for name in names if found(row, (name,))[1] is not None}
        return kept or None

    return Rule(names, read)


def identity(prefix: str, *rules: Rule) -> Rule:
    """An id made of what tells rows apart, the same whenever and wherever they are imported from.

    The values are those that the rules make, so that two stores that spell the same facts differently agree.
    """

    def read(row: Row, options: Options) -> str:
        parts = [options.bot_id, *(_spelled(rule.read(row, options)) for rule in rules)]
        digest = hashlib.sha256("\x1f".join(parts).encode(errors="surrogatepass")).hexdigest()
        return f"{prefix}-{digest[:_ID_CHARACTERS]}"

    return Rule(tuple(name for rule in rules for name in rule.names), read)


def _spelled(value: Any) -> str:
    if isinstance(value, datetime):
        finer = value.microsecond % 1000
        return (value.replace(microsecond=value.microsecond - finer) if finer else value).isoformat()
    return f"{value:.10g}" if isinstance(value, float) else "" if value is None else str(value)


def first_of(*rules: Rule) -> Rule:
    """What the first of several rules makes that makes anything."""

    def read(row: Row, options: Options) -> Any:
        for rule in rules:
            value = rule.read(row, options)
            if value is not None:
                return value
        return None

    return Rule(tuple(name for rule in rules for name in rule.names), read)


def within(name: str, rule: Rule) -> Rule:
    """What a rule makes of the object under a name, which may be text that holds one."""
    inside = document(name)

    def read(row: Row, options: Options) -> Any:
        found_there = inside.read(row, options)
        return rule.read(found_there, options) if isinstance(found_there, Mapping) else None

    return Rule((name,), read)


def second_of(rule: Rule) -> Rule:
    """A time to the second, for stores that keep no more: what they tell of one moment is then the same."""

    def read(row: Row, options: Options) -> Any:
        value = rule.read(row, options)
        return value.replace(microsecond=0) if isinstance(value, datetime) else value

    return Rule(rule.names, read)
