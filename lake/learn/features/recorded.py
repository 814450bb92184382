"""What a bot recorded with its signals, phantoms, trades and decisions: JSON text as typed columns.

Objects inside objects are flattened with dots, and every name begins with its column's: ``features.rsi``,
``market_snapshot.book.spread``. So nothing recorded can be taken for something computed, whose names have no dots.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import polars as pl

from lake.errors import InvalidRowError, UsageError

_IDS = ("id", "phantom_id", "signal_id", "decision_id", "prediction_id", "trade_id", "position_id", "bot_id")
_TYPES: dict[str, pl.DataType] = {
    "Float64": pl.Float64(),
    "Int64": pl.Int64(),
    "Boolean": pl.Boolean(),
    "String": pl.String(),
}
_WIDEST = 2**63
_CHUNK = 100_000  # rows whose values are held as Python objects at a time


@dataclass(frozen=True)
class Recorded:
    """Typed columns out of one JSON column.

    Attributes:
        frame: a row for each row that was given, in their order.
        schema: column -> name of its type.
        misfits: column -> how many values did not fit and are null; under the JSON column's own name, how many texts
            are no JSON object.
    """

    frame: pl.DataFrame
    schema: Mapping[str, str]
    misfits: Mapping[str, int]


def recorded(frame: pl.DataFrame, json_column: str, schema: Mapping[str, Any] | None = None) -> pl.DataFrame:
    """The typed columns of :func:`read_recorded`, where every value must fit.

    >>> rows = pl.DataFrame({"signal_id": ["a", "b"], "indicators": ['{"rsi": 55, "macd": {"hist": 0.5}}', None]})
    >>> recorded(rows, "indicators").to_dict(as_series=False)
    {'indicators.macd.hist': [0.5, None], 'indicators.rsi': [55, None]}
    """
    return read_recorded(frame, json_column, schema).frame


def read_recorded(
    frame: pl.DataFrame, json_column: str, schema: Mapping[str, Any] | None = None, *, strict: bool = True
) -> Recorded:
    """Typed columns out of a column of JSON objects.

    Args:
        frame: rows with the column; errors name a row by its id.
        json_column: such as features, indicators, market_snapshot or conditions.
        schema: name -> type: Float64, Int64, Boolean or String, as Polars types or their names. Names may leave out
            the column's own. Keys that it does not name are left out, names that a row lacks are null. When left
            out, the types are those of the values, a column for each key; lists are kept as JSON text.
        strict: raise at the first value that does not fit; else it is null, and counted.

    A whole number fits Float64, and a number without a fraction fits Int64; nothing else is converted.

    Raises:
        InvalidRowError: a text is no JSON object, or a value does not fit.
        UsageError: no such column, a column that is no text, an unknown type.
    """
    if json_column not in frame.columns:
        raise UsageError("there is no such column", where="recorded", value=json_column)
    if frame.schema[json_column] not in {pl.String(), pl.Null()}:
        raise UsageError("a column of JSON is text", where=json_column, value=frame.schema[json_column])
    reader = _Reader(frame, json_column, strict, Counter())
    types = reader.inferred() if schema is None else _given(json_column, schema)
    found = reader.columns(types)
    return Recorded(found, types, dict(reader.misfits))


@dataclass
class _Reader:
    """One JSON column; what does not fit is raised, or counted."""

    frame: pl.DataFrame
    column: str
    strict: bool
    misfits: Counter[str]

    def inferred(self) -> dict[str, str]:
        """Column -> the type that its values have; of several the most frequent, if they need not all fit."""
        seen: dict[str, Counter[str]] = {}
        first: dict[tuple[str, str], int] = {}
        for number, found in self._rows():
            for name, value in found.items():
                kinds = seen.setdefault(name, Counter())
                if value is not None:
                    kind = _kind(value)
                    kinds[kind] += 1
                    first.setdefault((name, kind), number)
        self.misfits.clear()  # they are counted again when the values are read
        return {name: self._one(name, kinds, first) for name, kinds in sorted(seen.items())}

    def _one(self, name: str, kinds: Counter[str], first: Mapping[tuple[str, str], int]) -> str:
        if set(kinds) <= {"Float64", "Int64"}:
            return "Int64" if set(kinds) == {"Int64"} else "Float64"
        if len(kinds) == 1 or not self.strict:
            return kinds.most_common(1)[0][0]
        examples = ", ".join(f"{kind} in {self._row(first[name, kind])}" for kind in kinds)
        raise InvalidRowError(
            f"values of several types: {examples}", where=name, todo="Give a schema, or strict=False for nulls."
        )

    def columns(self, types: Mapping[str, str]) -> pl.DataFrame:
        """The columns of these types."""
        pieces, values = [], _nothing(types)
        for number, found in self._rows():
            for name, kind in types.items():
                values[name].append(self._fitting(name, kind, found.get(name), number))
            if (number + 1) % _CHUNK == 0:
                pieces.append(_frame(values, types))
                values = _nothing(types)
        return pl.concat([*pieces, _frame(values, types)])

    def _rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, text in enumerate(self.frame.get_column(self.column)):
            found: dict[str, Any] = {}
            if text is not None:
                self._flatten(self._object(text, number), f"{self.column}.", found, number)
            yield number, found

    def _flatten(self, found: Mapping[str, Any], prefix: str, into: dict[str, Any], number: int) -> None:
        for key, value in found.items():
            name = f"{prefix}{key}"
            if isinstance(value, dict):
                self._flatten(value, f"{name}.", into, number)
            elif name in into:
                self._misfit(name, "two values have this name", value, number)
            else:
                into[name] = value

    def _object(self, text: str, number: int) -> dict[str, Any]:
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError:
            found = text
        if isinstance(found, dict):
            return found
        if found is None:
            return {}
        self._misfit(self.column, "it is no JSON object", found, number)
        return {}

    def _fitting(self, name: str, kind: str, value: Any, number: int) -> Any:
        if value is None:
            return None
        fits = _kind(value)
        if fits == kind or (kind == "Float64" and fits == "Int64"):
            return float(value) if kind == "Float64" else _text(value) if kind == "String" else value
        if kind == "Int64" and fits == "Float64" and float(value).is_integer() and abs(value) < _WIDEST:
            return int(value)
        self._misfit(name, f"the value does not fit {kind}", value, number)
        return None

    def _misfit(self, name: str, what: str, value: Any, number: int) -> None:
        self.misfits[name] += 1
        if self.strict:
            todo = "Correct it, or read with strict=False, which makes it null and counts it."
            raise InvalidRowError(what, where=f"{self._row(number)}, {name}", value=value, todo=todo)

    def _row(self, number: int) -> str:
        for name in _IDS:
            if name in self.frame.columns:
                return f"{name} {self.frame[name][number]}"
        return f"row {number}"


def _given(json_column: str, schema: Mapping[str, Any]) -> dict[str, str]:
    types = {}
    for name, kind in schema.items():
        told = kind if isinstance(kind, str) else str(pl.Series([], dtype=kind).dtype)
        if told not in _TYPES:
            raise UsageError(f"a recorded value is one of {', '.join(_TYPES)}", where=name, value=kind)
        types[name if name.startswith(f"{json_column}.") else f"{json_column}.{name}"] = told
    return types


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "Boolean"
    if isinstance(value, int):
        return "Int64" if -_WIDEST <= value < _WIDEST else "Float64"
    return "Float64" if isinstance(value, float) else "String"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _nothing(types: Mapping[str, str]) -> dict[str, list[Any]]:
    return {name: [] for name in types}


def _frame(values: Mapping[str, list[Any]], types: Mapping[str, str]) -> pl.DataFrame:
    return pl.DataFrame([pl.Series(name, values[name], dtype=_TYPES[kind]) for name, kind in types.items()])
