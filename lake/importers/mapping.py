"""One row of a source as a row of a dataset, with all that was found kept beside it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Any

import orjson

from lake.errors import InvalidRowError
from lake.importers.base import Options, Row, RowMap, Rule
from lake.importers.rules import found
from lake.importers.totals import addend
from lake.importers.values import as_number
from lake.spec import registry
from lake.spec.rows import row_checker

IMPORTED = "imported"  # in ``extra``: label of the source's table -> the row as it was found
HELD = "digest of the rest"  # beside a row as it was found: of our columns that are made of what is not kept there
_CHARACTERS = 16
_VALUES = re.compile(r" \([^()]*\)")
_BITS = 63  # and a sign: what JSON's readers hold
_DEPTH = 100  # of documents in documents
_NAMED = 5  # names of one column in a reason

Canonical = dict[str, Any]


class Mapper:
    """Maps rows of one table to one dataset.

    Args:
        row_map: what becomes of the columns.
        options: what the caller said.
        label: names the kind and table, under which the found row is kept.
    """

    def __init__(self, row_map: RowMap, options: Options, label: str) -> None:
        self.map, self.options, self.label = row_map, options, label
        self.dataset = registry.get(row_map.dataset)
        self._check = row_checker(self.dataset)
        defaults = self.dataset.defaults or {}
        self._rules = [(name, rule.read) for name, rule in row_map.columns.items()]
        # the lake would give an id of its own, and another at each import, and the time of the import
        needed: dict[str | None, str] = {name: "no time" for name, value in defaults.items() if value == "now"}
        needed[self.dataset.generated_id] = "no id"
        self._needed = {name: what for name, what in needed.items() if name in row_map.columns}
        told = {"bot_id": options.bot_id, "venue": options.venue}
        self._told = {name: value for name, value in told.items() if value and name in self.dataset.by_name}
        self._keeps = "extra" in self.dataset.by_name and row_map.keep_found
        self._of_held = self._made_of_held() if self._keeps else ()
        self._sums = {column: (n,) if isinstance(n, str) else n for column, n in row_map.sums.items()}

    def _made_of_held(self) -> tuple[str, ...]:
        """Our columns that are made of what is not kept beside, but for those that tie a row to another."""
        held, ties = self.map.held, {link.own for link in self.dataset.kept_by}
        others = {"extra", *self.dataset.key} | ties | self.map.decided
        return tuple(
            name for name, rule in self.map.columns.items() if held.intersection(rule.names) and name not in others
        )

    def takes(self, row: Row) -> bool:
        """Whether the row becomes one of this dataset."""
        return self.map.when is None or self.map.when(row)

    def __call__(self, row: Row) -> Canonical:
        """The row in canonical columns.

        Raises:
            InvalidRowError: it does not fit.
        """
        made = self._made(row)
        if self._keeps:
            made["extra"] = self._beside(row, made)
        return self._check(made)

    def _made(self, row: Row) -> dict[str, Any]:
        made = self._told.copy()
        for name, read in self._rules:
            value = read(row, self.options)
            if value is not None:
                made[name] = value
            elif name in self._needed:
                raise InvalidRowError(self._needed[name], where=_any_of(self.map.columns[name].names) or name)
        return made

    def _beside(self, row: Row, made: dict[str, Any]) -> str:
        """All that was found, as JSON text."""
        kept = made.pop("extra", None)
        kept = kept if isinstance(kept, Mapping) else {} if kept is None else {"extra": kept}
        held = self.map.held
        beside = {name: value for name, value in row.items() if name not in held} if held else dict(row)
        if self._of_held:
            told = _json({name: made.get(name) for name in self._of_held})
            beside[HELD] = hashlib.sha256(told.encode()).hexdigest()[:_CHARACTERS]
        return _json({**kept, IMPORTED: {self.label: beside}})

    def remade(self, found: Any) -> Canonical | None:
        """What a row tells that is kept as it was found, as far as it is kept; None of one that cannot be read now."""
        try:
            return self(found) if isinstance(found, Mapping) else None
        except (InvalidRowError, LookupError, AttributeError, TypeError):  # as in ``_differs``
            return None

    def changed(self, before: Any, now: Any) -> AbstractSet[str]:
        """The columns that a table tells otherwise now; those too of which what was found is not kept beside.

        Args:
            before, now: rows as they are kept.
        """
        if not isinstance(before, Mapping) or not isinstance(now, Mapping):
            return self.dataset.by_name.keys()
        then, here = (_Kept(row, self.map.held) for row in (before, now))
        return {name for name, rule in self.map.columns.items() if self._differs(rule, then, here)}

    def _differs(self, rule: Rule, before: Row, now: Row) -> bool:
        """Whether a rule makes another value of a row than before, or cannot tell: not all that it asks for is kept."""
        try:
            return bool(rule.read(before, self.options) != rule.read(now, self.options))
        except (InvalidRowError, LookupError, AttributeError, TypeError):  # also of rows that another version has kept
            return True

    def key(self, row: Canonical) -> tuple[Any, ...]:
        """The row's key."""
        return tuple([row[name] for name in self.dataset.key])

    def source_values(self, row: Row) -> dict[str, float]:
        """The numbers that the source has for the columns that are summed, without those that are none."""
        done = {}
        for column, names in self._sums.items():
            name, value = found(row, names)
            if value is not None:
                with suppress(InvalidRowError):  # the row is refused, if that is one of its numbers
                    done[column] = addend(self.map.written.get(column, as_number)(name, value))
        return done


class _Kept(dict[str, Any]):
    """A row as it is kept beside ours; who asks it for what is not kept is told so, and not that it had nothing."""

    def __init__(self, row: Mapping[str, Any], held: AbstractSet[str]) -> None:
        super().__init__(row)
        self._held = held

    def get(self, name: str, default: Any = None) -> Any:
        """The value, as of any row; KeyError of what is not kept."""
        return self[name] if name in self._held else super().get(name, default)


def _any_of(names: Sequence[str]) -> str:
    """Names under which something was looked for, as a reason tells them."""
    more = f" or {len(names) - _NAMED} other names" if len(names) > _NAMED else ""
    return " or ".join(names[:_NAMED]) + more


def plain(row: Row) -> dict[str, Any]:
    """The row in values that JSON has: half characters and numbers of more than 64 bits as text."""
    done: dict[str, Any] = orjson.loads(_json(dict(row)))
    return done


def _json(row: dict[str, Any]) -> str:
    option = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
    try:
        return orjson.dumps(row, default=str, option=option).decode()
    except TypeError:
        return orjson.dumps(_spelled_out(row), default=str, option=option).decode()


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
