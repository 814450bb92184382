"""Fold changes into a checked row: only what changes is checked, the rest is canonical already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lake.errors import InvalidRowError
from lake.spec.dataset import Dataset
from lake.spec.rows import Convert, converter, keep_unknown, plainly_named

Folder = Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]
_compiled: dict[int, tuple[Dataset, Folder]] = {}


def folder(ds: Dataset) -> Folder:
    """The function that gives a row's next version: ``(row, changes) -> row``.

    A change to None takes a value away. Fields that the dataset does not know are kept in ``extra``.
    It raises InvalidRowError for a value that does not fit, a key that would change, a required value taken away, or
    a rule of the dataset that the change breaks.
    """
    found = _compiled.get(id(ds))
    if found is None:
        found = _compiled[id(ds)] = (ds, _compile(ds))
    return found[1]


def _compile(ds: Dataset) -> Folder:
    convert: dict[str, Convert] = {c.name: converter(ds, c) for c in ds.columns}
    required = frozenset(c.name for c in ds.columns if c.required)
    key, rules = frozenset(ds.key), [(rule, rule.columns) for rule in ds.rules]

    def fold(row: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
        done, unknown = dict(row), {}
        for name, value in plainly_named(changes).items():
            if name not in convert:
                unknown[name] = value
                continue
            found = None if value is None else convert[name](value)
            if found is None and name in required:
                raise InvalidRowError("a required value cannot be taken away", where=f"{ds.name}.{name}", value=value)
            if name in key and found != row.get(name):
                raise InvalidRowError("a key cannot change", where=f"{ds.name}.{name}", value=value)
            if found is None:
                done.pop(name, None)
            else:
                done[name] = found
        if unknown:
            keep_unknown(ds, done, unknown)
        for rule, columns in rules:
            if not columns.isdisjoint(changes):
                rule.check(ds.name, done)
        return done

    return fold
