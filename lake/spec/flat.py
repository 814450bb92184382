"""Flat checks: a function generated for just the columns that a row names.

A bot writes rows of a dataset with the same names again and again. When names come a second time, a function is made
for them that has no loop and looks up no specification: it tests whether every value is stored as it is given, and
gives the whole row, defaults and all. It judges nothing. What it gives is what the long way (:mod:`lake.spec.rows`)
gives; for a row of which it is not sure it gives None, and the long way converts that or says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lake.clock import now_micros, uuid7
from lake.spec.canonical import Canonical
from lake.spec.dataset import Dataset, Type
from lake.spec.schema import PERIOD

Flat = Callable[[Mapping[str, Any]], dict[str, Any] | None]
_PLAIN = frozenset({str, float, int, bool, dict, list})  # of fields without a column: none is a null of pandas
MOST = 256  # sets of names of one dataset that are told apart; a caller of ever new ones goes the long way


class FlatChecks:
    """Those of one dataset, by the names in the order in which a row gives them.

    Args:
        ds: the dataset.
        canonical: which of its values are stored as they are given.
        json_text: (value, where, default) -> JSON text.
    """

    def __init__(self, ds: Dataset, canonical: Canonical, json_text: Callable[..., str]) -> None:
        self._ds, self._canonical, self._json_text = ds, canonical, json_text
        self._made: dict[tuple[str, ...], Flat] = {}
        self._seen: set[tuple[str, ...]] = set()

    def row(self, given: Mapping[str, Any]) -> dict[str, Any] | None:
        """The row as it is stored; None for one that goes the long way."""
        names = tuple(given)
        flat = self._made.get(names)
        if flat is not None:
            return flat(given)
        if names in self._seen:
            self._made[names] = _Code(self._ds, self._canonical, names).compiled(self._json_text)
        elif len(self._seen) < MOST:
            self._seen.add(names)
        return None


_DOCUMENTS = frozenset({dict, list, str})


class _Code:
    """The code of one function: what is tested, what is stored, and what both of them know by name."""

    def __init__(self, ds: Dataset, canonical: Canonical, names: tuple[str, ...]) -> None:
        self._ds, self._canonical = ds, canonical
        self._names = {name: f"v{number}" for number, name in enumerate(names)}
        self._known: dict[str, Any] = {"now": now_micros, "fresh_id": uuid7, "documents": _DOCUMENTS}
        self._tests: list[str] = []
        self._stored: dict[str, str] = {}

    def compiled(self, json_text: Callable[..., str]) -> Flat:
        """The function; where nothing can be told of rows with these names, the one that says so."""
        self._known["json_text"] = json_text
        defaults = self._ds.defaults or {}
        self._stored.update((name, repr(value)) for name, value in defaults.items() if value != "now")
        is_told = all(self._add(name, value) for name, value in self._names.items()) and self._add_unknown()
        for name in [name for name, value in defaults.items() if value == "now"]:
            self._stored.setdefault(name, "now()")
        if self._ds.generated_id is not None:
            self._stored.setdefault(self._ds.generated_id, "fresh_id()")
        if not is_told or any(c.required and c.name not in self._stored for c in self._ds.columns):
            return _unsure
        exec(self._text(), self._known)  # noqa: S102 - names are quoted; values are not in it
        made: Flat = self._known["flat"]
        return made

    def _add(self, name: str, value: str) -> bool:
        """Add a column; whether a look tells which of its values are canonical. One without a column comes later."""
        if type(name) is not str:  # a member of an enum, a text of NumPy: its repr is no text of a program
            return False
        column, canonical = self._ds.by_name.get(name), self._canonical
        test, stored = f"{value} is not None", value
        if column is None:
            self._known["plain"] = _PLAIN
            test = f"type({value}) in plain"
        if name in canonical.ranges:
            kind, low, high = canonical.ranges[name]
            kinds = ("float", "int") if kind is float else (kind.__name__,)
            is_kind = " or ".join(f"type({value}) is {name}" for name in kinds)
            test = f"({is_kind}) and {low!r} <= {value} <= {high!r}"  # NaN is not
            stored = f"float({value})" if kind is float else value
        elif name in canonical.words:
            test = f"type({value}) is str and {value} and {value}.isascii()"
        elif name in canonical.choices:
            self._known[f"{value}_among"] = canonical.choices[name]
            test = f"type({value}) is str and {value} in {value}_among"
        elif column is not None and column.type is Type.JSON:
            test = f"type({value}) in documents"  # a NaN is none
            stored = f"json_text({value}, {f'{self._ds.name}.{name}'!r})"
        elif column is not None:
            return False
        self._tests.append(test)
        if column is not None:
            self._stored[name] = stored
        return True

    def _add_unknown(self) -> bool:
        """Add the fields without a column; False where they may be the time, or would be joined to other ones."""
        unknown = {name: value for name, value in self._names.items() if name not in self._ds.by_name}
        if not unknown:
            return True
        special = {"extra", PERIOD, *self._ds.time_aliases}
        if not self._ds.keeps_unknown or not special.isdisjoint(map(str.lower, self._names)):
            return False
        fields = ", ".join(f"{name!r}: {value}" for name, value in unknown.items())
        self._stored["extra"] = f"json_text({{{fields}}}, {f'{self._ds.name}.extra'!r}, str)"
        return True

    def _text(self) -> str:
        lines = ["def flat(row):"]
        if self._names:
            lines += [f"    {', '.join(self._names.values())}, = row.values()"]
            lines += [f"    if not ({' and '.join(self._tests)}):", "        return None"]
        fields = ", ".join(f"{name!r}: {stored}" for name, stored in self._stored.items())
        lines += [f"    row = {{{fields}}}"]
        for number, rule in enumerate(self._ds.rules):
            if rule.may_be_broken(self._stored.keys()):
                self._known[f"rule{number}"] = rule.check
                is_kept = rule.kept_where(self._stored.keys())  # a tenth of the time of a call
                lines += [f"    if not ({is_kept}):", f"        rule{number}({self._ds.name!r}, row)"]
        return "\n".join([*lines, "    return row"])


def _unsure(_: Mapping[str, Any]) -> None:
    return None
