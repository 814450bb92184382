"""One row of a source as a row of a dataset, with all that was found kept beside it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from lake.errors import InvalidRowError
from lake.importers.base import Options, Row, RowMap
from lake.importers.rules import found
from lake.spec import registry
from lake.spec.dataset import Dataset
from lake.spec.rows import row_checker

IMPORTED = "imported"  # in ``extra``: label of the source's table -> the row as it was found
_VALUES = re.compile(r" \([^()]*\)")
_BITS = 63  # and a sign: what JSON's readers hold
_DEPTH = 100  # of documents in documents

Canonical = dict[str, Any]


@dataclass(frozen=True)
class Mapper:
    """Maps rows of one table to one dataset.

    Attributes:
        map: what becomes of the columns.
        options: what the caller said.
        label: names the kind and table, under which the found row is kept.
    """

    map: RowMap
    options: Options
    label: str

    @property
    def dataset(self) -> Dataset:
        """The dataset that rows go to."""
        return registry.get(self.map.dataset)

    def takes(self, row: Row) -> bool:
        """Whether the row becomes one of this dataset."""
        return self.map.when is None or self.map.when(row)

    def __call__(self, row: Row) -> Canonical:
        """The row in canonical columns.

        Raises:
            InvalidRowError: it does not fit.
        """
        made: dict[str, Any] = {}
        for name, rule in self.map.columns.items():
            value = rule.read(row, self.options)
            if value is not None:
                made[name] = value
            elif (self.dataset.defaults or {}).get(name) == "now":  # the time of the import is not what it tells
                raise InvalidRowError("no time", where=" or ".join(rule.names) or name)
        if self.options.bot_id and "bot_id" in self.dataset.by_name:
            made.setdefault("bot_id", self.options.bot_id)
        if self.options.venue and "venue" in self.dataset.by_name:
            made.setdefault("venue", self.options.venue)
        if "extra" in self.dataset.by_name and self.map.keep_found:
            kept = made.pop("extra", None)
            kept = kept if isinstance(kept, Mapping) else {} if kept is None else {"extra": kept}
            beside = {name: value for name, value in row.items() if name not in self.map.held}
            made["extra"] = {**kept, IMPORTED: {self.label: plain(beside)}}
        return row_checker(self.dataset)(made)

    def key(self, row: Canonical) -> tuple[Any, ...]:
        """The row's key."""
        return tuple(row[name] for name in self.dataset.key)

    def source_value(self, column: str, row: Row) -> float | None:
        """The number that the source has for a column that is summed, None when it has none."""
        names = self.map.sums[column]
        _, value = found(row, (names,) if isinstance(names, str) else names)
        try:
            done = 0.0 if value is None else float(value)
        except (TypeError, ValueError):
            return None
        return done if value is not None and math.isfinite(done) else None


def plain(row: Row) -> dict[str, Any]:
    """The row in values that JSON has: half characters and numbers of more than 64 bits as text."""
    option = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
    try:
        text = orjson.dumps(dict(row), default=str, option=option)
    except TypeError:
        text = orjson.dumps(_spelled_out(dict(row)), default=str, option=option)
    done: dict[str, Any] = orjson.loads(text)
    return done


def _spelled_out(value: Any, depth: int = 0) -> Any:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, int) and value.bit_length() >= _BITS:
        return str(value)
    if isinstance(value, (Mapping, list, tuple)) and depth >= _DEPTH:
        return str(value).encode(errors="backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_spelled_out(name): _spelled_out(inner, depth + 1) for name, inner in value.items()}
    return [_spelled_out(inner, depth + 1) for inner in value] if isinstance(value, (list, tuple)) else value


def found_before(row: Canonical, label: str) -> Any:
    """What this table said of the row when it was imported before; None when it was not."""
    extra = orjson.loads(row["extra"]) if row.get("extra") else {}
    imported = extra.get(IMPORTED) if isinstance(extra, dict) else None
    return imported.get(label) if isinstance(imported, dict) else None


def refusal(error: InvalidRowError) -> str:
    """Why a row is refused, the same for all rows with the same fault: without the values in brackets."""
    return ": ".join(filter(None, (error.where, _VALUES.sub("", error.what))))
