"""Rows that say what they are by rules, as frames of candles: for stores that keep candles among other things.

A batch is understood column by column. Rows of which some value is not surely understood so are mapped one by one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import orjson
import polars as pl

from lake.errors import InvalidRowError
from lake.importers.base import Frames, Options, Refused, Row, Rule
from lake.importers.mapping import plain
from lake.importers.rules import found
from lake.spec import numbers, registry
from lake.spec.dataset import Column, Type
from lake.spec.decode import rows_to_frame
from lake.spec.rows import converter, row_checker
from lake.spec.schema import PERIOD, polars_schema

_ROWS = 50_000
_FEW = 1_000  # different texts of a batch, each of which is understood by itself
_REFUSED = {"reason": pl.String, "row": pl.String}
_CANDLES = registry.get("candles")
_KINDS = {name: kind for name, kind in polars_schema(_CANDLES).items() if name != PERIOD}
_NEEDED = {column.name for column in _CANDLES.columns if column.required} - {"venue"}  # which else is ""
_PLACE = "__place"  # in the batch


def candle_frames(rows: Iterable[Row | Refused], columns: Mapping[str, Rule], options: Options) -> Iterator[Frames]:
    """Rows as frames of candles, by a rule for each column; what does not fit is refused row by row."""
    left = iter(rows)
    while batch := list(islice(left, _ROWS)):
        yield _frames(batch, columns, options)


def _frames(batch: Sequence[Row | Refused], columns: Mapping[str, Rule], options: Options) -> Frames:
    rows = [row for row in batch if not isinstance(row, Refused)]
    refused = [_refused(stray.reason, stray.found) for stray in batch if isinstance(stray, Refused)]
    quick = _by_columns(rows, columns, options)
    if quick.height == len(rows):
        return Frames(quick.drop(_PLACE), pl.DataFrame(refused, schema=_REFUSED), len(batch))
    places = set(range(len(rows))).difference(quick[_PLACE])
    slow, more = _one_by_one([(place, rows[place]) for place in sorted(places)], columns, options)
    frame = pl.concat([quick, slow]).sort(_PLACE).drop(_PLACE)
    return Frames(frame, pl.DataFrame([*refused, *more], schema=_REFUSED), len(batch))


def _by_columns(rows: Sequence[Row], columns: Mapping[str, Rule], options: Options) -> pl.DataFrame:
    """The candles that are surely understood, with their places among the rows."""
    nothing = pl.DataFrame(schema={**_KINDS, _PLACE: pl.Int64})
    sure = pl.Series([True]).new_from_index(0, len(rows))
    made = {}
    for name, rule in columns.items():
        column = _CANDLES.column(name)
        values = _understood(column, rule, rows, options)
        if values is None:
            return nothing
        made[name] = values.alias(name)
        if values.null_count():
            sure &= values.is_not_null() if name in _NEEDED else values.is_not_null() | _absent(rule, rows)
    if not rows or not made.keys() >= _NEEDED:
        return nothing
    others = [pl.lit(None, dtype=kind).alias(name) for name, kind in _KINDS.items() if name not in made]
    frame = pl.DataFrame(list(made.values())).with_columns(*others, pl.int_range(pl.len()).alias(_PLACE))
    return frame.select(*_KINDS, _PLACE).with_columns(pl.col("venue").fill_null("")).filter(sure)


def _understood(column: Column, rule: Rule, rows: Sequence[Row], options: Options) -> pl.Series | None:
    """Values in the column's own type, null where there is none or it is not sure; None when none of them is sure."""
    if rule.many is None or len(rule.names) != 1:
        return _by_text(column, rule, rows, options)
    (name,) = rule.names
    values = rule.many([row.get(name) for row in rows], options)
    if values is None or column.type is Type.TIMESTAMP:
        return None if values is None else values.cast(_KINDS[column.name])
    values = values.cast(_KINDS[column.name], strict=False)
    widest = (-sys.float_info.max, sys.float_info.max) if column.type is Type.FLOAT else numbers.INT64
    return values.set(~values.is_between(*numbers.bounds(column, *widest)), None)


def _by_text(column: Column, rule: Rule, rows: Sequence[Row], options: Options) -> pl.Series | None:
    """Each different text by the rule for one value; None when they are many, or no texts."""
    said = list(zip(*([row.get(name) for row in rows] for name in rule.names), strict=True)) if rule.names else []
    try:
        different = set(said)
    except TypeError:  # a list or an object
        return None
    if len(different) > _FEW or not {type(value) for values in different for value in values} <= {str, type(None)}:
        return None
    meant = {values: _meant(column, rule, dict(zip(rule.names, values, strict=True)), options) for values in different}
    if not rule.names:
        said, meant[()] = [()], _meant(column, rule, {}, options)
    done = pl.Series([meant[values] for values in said], dtype=_KINDS[column.name])
    return done if len(done) == len(rows) else done.new_from_index(0, len(rows))


def _meant(column: Column, rule: Rule, row: Row, options: Options) -> Any:
    try:
        value = rule.read(row, options)
        return None if value is None else converter(_CANDLES, column)(value)
    except InvalidRowError:
        return None


def _absent(rule: Rule, rows: Sequence[Row]) -> pl.Series:
    return pl.Series([found(row, rule.names)[1] is None for row in rows], dtype=pl.Boolean)


def _one_by_one(
    rows: Sequence[tuple[int, Row]], columns: Mapping[str, Rule], options: Options
) -> tuple[pl.DataFrame, list[dict[str, str]]]:
    """Rows by their places as candles with their places, and those that do not fit."""
    check = row_checker(_CANDLES)
    good: list[dict[str, Any]] = []
    places, refused = [], []
    for place, row in rows:
        try:
            made = {name: rule.read(row, options) for name, rule in columns.items()}
            good.append(check({name: value for name, value in made.items() if value is not None}))
            places.append(place)
        except InvalidRowError as error:
            refused.append(_refused(": ".join(filter(None, (error.where, error.what))), row))
    frame = rows_to_frame(_CANDLES, good).drop(PERIOD, strict=False).select(*_KINDS)
    return frame.with_columns(pl.Series(_PLACE, places, dtype=pl.Int64)), refused


def _refused(reason: str, found_there: Any) -> dict[str, str]:
    row = plain(found_there) if isinstance(found_there, Mapping) else {"found": found_there}
    return {"reason": reason, "row": orjson.dumps(row, default=str).decode()}
