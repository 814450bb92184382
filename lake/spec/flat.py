"""Flat checks: a function generated for just the columns that a row names.

A bot writes rows of a dataset with the same names again and again. When names come a second time, a function is made
for them that has no loop and looks up no specification: it tests whether every value is stored as it is given, and
gives the whole row, defaults and all. It judges nothing. What it gives is what the long way (:mod:`lake.spec.rows`)
gives; for a row of which it is not sure it gives None, and the long way converts that or says what is wrong with it.

Values mostly come again with their types too. So those of the row for which it is made are looked at together, by one
comparison: a third of its time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from lake.clock import now_micros, uuid7
from lake.spec.canonical import Canonical
from lake.spec.dataset import Dataset, Type
from lake.spec.schema import PERIOD

Flat = Callable[[Mapping[str, Any]], dict[str, Any] | None]
_TEXT = frozenset({str})
_DOCUMENTS = frozenset({dict, list, str})
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
            types = tuple(map(type, given.values()))
            self._made[names] = _Code(self._ds, self._canonical, names).compiled(types, self._json_text)
        elif len(self._seen) < MOST:
            self._seen.add(names)
        return None


class _Test(NamedTuple):
    """What is tested of one value: whether it has one of some types, and more of one that has."""

    value: str
    types: frozenset[type]
    more: str = ""

    def text(self, given: type | None) -> str:
        """The expression, of a value whose type is known, or of any; empty where nothing is left to test."""
        if given is not None:
            return self.more
        is_kind = " or ".join(f"type({self.value}) is {kind.__name__}" for kind in sorted(self.types, key=repr))
        return f"({is_kind}) and {self.more}" if self.more else f"({is_kind})"


class _Code:
    """The code of one function: what is tested, what is stored, and what both of them know by name."""

    def __init__(self, ds: Dataset, canonical: Canonical, names: tuple[str, ...]) -> None:
        self._ds, self._canonical = ds, canonical
        self._names = {name: f"v{number}" for number, name in enumerate(names)}
        self._known: dict[str, Any] = {"now": now_micros, "fresh_id": uuid7}
        self._tests: list[_Test] = []
        self._stored: dict[str, str] = {}
        self._floats: dict[str, str] = {}  # columns of numbers, and the values that they are given

    def compiled(self, types: tuple[type, ...], json_text: Callable[..., str]) -> Flat:
        """The function; where nothing can be told of rows with these names, the one that says so.

        ``types`` are those that the values have mostly.
        """
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
        exec(self._text(types), self._known)  # noqa: S102 - names are quoted; values are not in it
        made: Flat = self._known["flat"]
        return made

    def _add(self, name: str, value: str) -> bool:
        """Add a column; whether a look tells which of its values are canonical. One without a column comes later."""
        if type(name) is not str:  # a member of an enum, a text of NumPy: its repr is no text of a program
            return False
        column, canonical = self._ds.by_name.get(name), self._canonical
        if column is None:
            self._tests.append(_Test(value, _PLAIN))
            return True
        self._stored[name] = value
        if name in canonical.ranges:
            kind, low, high = canonical.ranges[name]
            more = "" if kind is bool else f"{low!r} <= {value} <= {high!r}"  # NaN is not
            test = _Test(value, frozenset({float, int} if kind is float else {kind}), more)
            if kind is float:
                self._floats[name] = value
        elif name in canonical.words:
            test = _Test(value, _TEXT, f"{value} and {value}.isascii()")
        elif name in canonical.choices:
            self._known[f"{value}_among"] = canonical.choices[name]
            test = _Test(value, _TEXT, f"{value} in {value}_among")
        elif column.type is Type.JSON:
            test = _Test(value, _DOCUMENTS)  # a NaN is none
            self._stored[name] = f"json_text({value}, {f'{self._ds.name}.{name}'!r})"
        else:
            return False
        self._tests.append(test)
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

    def _text(self, types: tuple[type, ...]) -> str:
        lines = ["def flat(row):"]
        if self._names:
            lines += [f"    {', '.join(self._names.values())}, = row.values()"]
        if self._names and all(kind in test.types for kind, test in zip(types, self._tests, strict=True)):
            self._known["types"] = types
            lines += ["    if (*map(type, row.values()),) == types:", *self._branch(types), "    else:"]
        else:
            lines += ["    if True:"]
        lines += self._branch((None,) * len(types))
        for number, rule in enumerate(self._ds.rules):
            if rule.may_be_broken(self._stored.keys()):
                self._known[f"rule{number}"] = rule.check
                is_kept = rule.kept_where(self._stored.keys())  # a tenth of the time of a call
                lines += [f"    if not ({is_kept}):", f"        rule{number}({self._ds.name!r}, row)"]
        return "\n".join([*lines, "    return row"])

    def _branch(self, types: Sequence[type | None]) -> list[str]:
        """What is done with values of those types, None where a type is to be tested."""
        tests = [text for kind, test in zip(types, self._tests, strict=True) if (text := test.text(kind))]
        of_value = dict(zip(self._names.values(), types, strict=True))
        numbers = {name: f"float({v})" for name, v in self._floats.items() if of_value[v] is not float}
        fields = ", ".join(f"{name!r}: {stored}" for name, stored in {**self._stored, **numbers}.items())
        refused = [f"        if not ({' and '.join(tests)}):", "            return None"] if tests else []
        return [*refused, f"        row = {{{fields}}}"]


def _unsure(_: Mapping[str, Any]) -> None:
    return None
