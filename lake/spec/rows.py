"""Check one row: every value in its canonical form, or one clear error that names the column and the value.

A checker is compiled once per dataset: a function per column, called only for the columns that a row has. Values that
are canonical as they are given, which in a bot's rows nearly all are, are told by their type and a look into a table
instead (:mod:`lake.spec.canonical`). A row with names that came before, and all of its values canonical, is told by one
function made for these names (:mod:`lake.spec.flat`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NoReturn

import orjson

from lake.clock import now_micros, uuid7
from lake.errors import InvalidRowError, UnknownTimeframeError
from lake.spec import numbers, symbols, timeframes
from lake.spec.canonical import Canonical
from lake.spec.dataset import Column, Dataset, Type
from lake.spec.flat import FlatChecks
from lake.spec.schema import PERIOD
from lake.spec.texts import plain
from lake.spec.times import is_slice, to_micros

Convert = Callable[[Any], Any]
RowChecker = Callable[[Mapping[str, Any]], dict[str, Any]]
_compiled: dict[int, tuple[Dataset, RowChecker]] = {}
_flat: dict[int, tuple[Dataset, FlatChecks]] = {}
_PLAIN = frozenset({str})
_YES, _NO = {"true", "yes", "t", "1"}, {"false", "no", "f", "0"}


def row_checker(ds: Dataset) -> RowChecker:
    """The function that checks one row of the dataset.

    It takes a mapping and returns a dict of the columns that are not null: times as microseconds,
    dates as ISO text, JSON as text. Missing values get their defaults. It raises InvalidRowError.
    """
    found = _compiled.get(id(ds))
    if found is None:
        found = _compiled[id(ds)] = (ds, _compile(ds))
    return found[1]


def flat_checks(ds: Dataset) -> FlatChecks:
    """What tells of a row of the dataset whether it is stored as it is given; :func:`row_checker` asks it first."""
    found = _flat.get(id(ds))
    if found is None:
        found = _flat[id(ds)] = (ds, FlatChecks(ds, Canonical.of(ds), json_text))
    return found[1]


def _compile(ds: Dataset) -> RowChecker:
    flat, long_way = flat_checks(ds).row, _long_way(ds, Canonical.of(ds))

    def check(row: Mapping[str, Any]) -> dict[str, Any]:
        told = flat(row)
        return long_way(row) if told is None else told

    return check


def _long_way(ds: Dataset, canonical: Canonical) -> RowChecker:
    ranges, words, choices = canonical.ranges, canonical.words, canonical.choices
    defaults = {name: value for name, value in (ds.defaults or {}).items() if value != "now"}
    converters = {c.name: converter(ds, c) for c in ds.columns}
    complete = _completer(ds, converters[ds.event_time])

    def check(row: Mapping[str, Any]) -> dict[str, Any]:
        done = defaults.copy()
        unknown: dict[str, Any] = {}
        for name, value in plainly_named(row).items():
            if name in ranges:
                kind, low, high = ranges[name]
                fits = type(value) is kind and low <= value <= high  # NaN is not
            elif type(value) is not str:
                fits = False
            elif name in words:
                fits = value.isascii() and value != ""
            else:
                fits = name in choices and value in choices[name]
            if fits:
                done[name] = value
            elif value is not None:
                if name not in converters:
                    unknown[name] = value
                elif (found := converters[name](value)) is not None:
                    done[name] = found
        complete(done, unknown, row)
        return done

    return check


def plainly_named(row: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The row with its texts for names, also where a member of an enum or a text of NumPy stands for one."""
    if _PLAIN.issuperset(map(type, row)):
        return row
    return {str.__str__(name) if isinstance(name, str) else name: value for name, value in row.items()}


def _completer(ds: Dataset, moment: Convert) -> Callable[[dict[str, Any], dict[str, Any], Mapping[str, Any]], None]:
    """The function that adds fields without a column, times by the clock and a fresh id, and refuses an unsound row."""
    required = frozenset(c.name for c in ds.columns if c.required)
    nows = tuple(name for name, value in (ds.defaults or {}).items() if value == "now")
    generated, rules = ds.generated_id, ds.rules

    def complete(done: dict[str, Any], unknown: dict[str, Any], row: Mapping[str, Any]) -> None:
        if unknown:
            _take_time(ds, unknown, done, moment)
            keep_unknown(ds, done, unknown)
        for name in nows:
            if name not in done:
                done[name] = now_micros()
        if generated is not None and generated not in done:
            done[generated] = uuid7()
        if not required <= done.keys():
            raise _missing(ds, next(c.name for c in ds.columns if c.required and c.name not in done), row)
        for rule in rules:
            rule.check(ds.name, done)

    return complete


def _take_time(ds: Dataset, unknown: dict[str, Any], done: dict[str, Any], convert: Convert) -> None:
    """The event time under another common name, such as ``timestamp``."""
    if ds.event_time in done:
        return
    for name in [n for n in unknown if str(n).lower() in ds.time_aliases]:
        found = convert(unknown.pop(name))
        if found is not None:
            done[ds.event_time] = found
        return


def _missing(ds: Dataset, name: str, row: Mapping[str, Any]) -> InvalidRowError:
    return InvalidRowError(
        "a required value is missing", where=f"{ds.name}.{name}", value=dict(row), todo=f"Give {name!r}."
    )


def keep_unknown(ds: Dataset, done: dict[str, Any], unknown: dict[str, Any]) -> None:
    """Fields that the dataset does not know go into ``extra``, except the slice's name that a row read from it has.

    Raises:
        InvalidRowError: the dataset keeps no other fields, or one cannot be JSON.
    """
    if is_slice(unknown.get(PERIOD), ds.partition.period):
        del unknown[PERIOD]
    if not unknown:
        return
    if not ds.keeps_unknown:
        names = ", ".join(repr(n) for n in unknown)
        raise InvalidRowError(f"no such column: {names}", where=ds.name, todo=f"It has: {', '.join(ds.by_name)}.")
    done["extra"] = merged_extra(done.get("extra"), unknown, f"{ds.name}.extra")


def merged_extra(known: str | None, more: Mapping[str, Any], where: str) -> str:
    """JSON text of the fields that are kept already and of more of them."""
    kept = {} if known is None else orjson.loads(known)
    if not isinstance(kept, dict):
        kept = {"extra": kept}
    return json_text({**kept, **more}, where, default=str)


def converter(ds: Dataset, column: Column) -> Convert:
    """The function that makes one value of a column canonical, or null; it raises InvalidRowError."""
    where = f"{ds.name}.{column.name}"
    if column.type is Type.TIMESTAMP:
        return lambda value: to_micros(value, where=where) if type(value) is int else _moment(value, where)
    if column.type is Type.FLOAT:
        return numbers.floating(column, where)
    if column.type is Type.INT:
        return numbers.integer(column, where)
    if column.type is Type.BOOL:
        return lambda value: value if value is True or value is False else _bool(value, where)
    if column.type is Type.JSON:
        return lambda value: None if numbers.is_nothing(value) else json_text(value, where)
    if column.type is Type.DATE:
        return lambda value: None if numbers.is_nothing(value) else _date(value, where)
    return _text(ds, column, where)


def _moment(value: Any, where: str) -> int | None:
    if numbers.is_nothing(value):
        return None
    return to_micros(value, where=where)


def _bool(value: Any, where: str) -> bool | None:
    if numbers.is_nothing(value):
        return None
    if isinstance(value, str):
        text = value.strip().lower()
        if text in _YES or text in _NO:
            return text in _YES
    elif not isinstance(value, (list, dict, tuple)) and value in (0, 1):
        return bool(value)
    raise InvalidRowError("yes or no is wanted", where=where, value=value, todo="Give True or False.")


def _symbol(where: str, may_be_empty: bool) -> Convert:
    def convert(value: Any) -> str | None:
        given = value if type(value) is str and value.isascii() else _string(value, where)
        if given is None:
            return None
        found = symbols.canonical(given)
        return found if found or may_be_empty else _empty(where)

    return convert


def _words(where: str, may_be_empty: bool) -> Convert:
    def convert(value: Any) -> str | None:
        found: str | None = value if type(value) is str and value.isascii() else _string(value, where)
        return found if found or found is None or may_be_empty else _empty(where)

    return convert


def _timeframe(column: Column, where: str) -> Convert:
    """Candles have timeframes that the lake holds; elsewhere one that it does not hold is kept as given."""
    held = timeframes.TABLE

    def convert(value: Any) -> str | None:
        if type(value) is str and value in held:
            return value
        try:
            return timeframes.parse(value)
        except UnknownTimeframeError as error:
            if not column.choices:
                return _string(value, where)
            raise UnknownTimeframeError(error.what, where=where, value=value, todo=error.todo) from None

    return convert


def _empty(where: str) -> NoReturn:
    raise InvalidRowError("a text that may not be empty", where=where, value="")


def _text(ds: Dataset, column: Column, where: str) -> Convert:
    may_be_empty = not column.required or (ds.defaults or {}).get(column.name) == ""
    if column.name == ds.generated_id or column.is_link:
        return lambda value: _words(where, may_be_empty=True)(value) or None
    if column.name == "symbol":
        return _symbol(where, may_be_empty)
    if column.name == "timeframe":
        return _timeframe(column, where)
    if not column.choices:
        return _words(where, may_be_empty)
    known = {c.lower(): c for c in column.choices}
    exact = frozenset(column.choices)

    def convert(value: Any) -> str | None:
        if type(value) is str and value in exact:
            return value
        if numbers.is_nothing(value):
            return None
        found = known.get(str(plain(value)).strip().lower())
        if found is None:
            raise InvalidRowError(
                "not one of its values", where=where, value=value, todo=f"It is one of {', '.join(column.choices)}."
            )
        return found

    return convert


def _string(value: Any, where: str) -> str | None:
    value = plain(value)
    if isinstance(value, str):
        _valid(value, where)
        return value
    if numbers.is_nothing(value):
        return None
    if isinstance(value, (bool, list, dict, tuple, set, bytes)):
        raise InvalidRowError("text is wanted", where=where, value=value)
    return str(value)


def _valid(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRowError("text with half a character (a lone surrogate)", where=where, value=text) from None


def _date(value: Any, where: str) -> str:
    if isinstance(value, datetime):
        raise InvalidRowError(
            "a date is wanted, not a time", where=where, value=value.isoformat(), todo="Give value.date()."
        )
    if isinstance(value, date):
        return value.isoformat()
    try:
        return date.fromisoformat(str(value)).isoformat()
    except ValueError:
        raise InvalidRowError("a date is wanted", where=where, value=value, todo="Give a date or YYYY-MM-DD.") from None


def _jsonable(value: Any) -> Any:
    """What JSON can hold of a Decimal, a time or null of pandas, its Series, or another mapping that is no dict.

    Raises:
        InvalidRowError: another kind of value.
    """
    if isinstance(value, Decimal):
        return float(value)
    if numbers.is_null(value):
        return None
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "to_dict"):
        return value.to_dict()
    raise InvalidRowError("JSON does not hold it", value=value)  # orjson's own error names the type


def json_text(value: Any, where: str = "", default: Callable[[Any], Any] = _jsonable) -> str:
    """A value as JSON text; text that is JSON already stays as it is.

    Raises:
        InvalidRowError: it cannot be JSON.

    >>> json_text({"rsi": 58.5}), json_text('{"a": 1}'), json_text("plain words")
    ('{"rsi":58.5}', '{"a": 1}', '"plain words"')
    """
    if isinstance(value, str):
        try:
            orjson.loads(value)
        except orjson.JSONDecodeError:
            _valid(value, where)
            return orjson.dumps(value).decode()
        return value
    try:
        return orjson.dumps(
            value, default=default, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
        ).decode()
    except TypeError as error:
        raise InvalidRowError(f"it cannot be JSON: {error}", where=where, value=value) from None
