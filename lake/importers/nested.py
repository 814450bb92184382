"""Rules for lists inside documents, and for documents made of several values."""

from __future__ import annotations

from typing import Any

from lake.importers.base import Options, Row, Rule
from lake.importers.rules import document
from lake.importers.values import as_number


def item(number: int, *names: str) -> Rule:
    """The number at that place of a list, counted from 0; 0 means that it is not there."""
    listed = document(*names)

    def read(row: Row, options: Options) -> Any:
        values = listed.read(row, options)
        if not isinstance(values, list) or number >= len(values) or values[number] is None:
            return None
        return as_number(names[0], values[number]) or None

    return Rule(names, read)


def together(**rules: Rule) -> Rule:
    """One document of what several rules make, without those that make nothing."""

    def read(row: Row, options: Options) -> Any:
        made = {name: rule.read(row, options) for name, rule in rules.items()}
        return {name: value for name, value in made.items() if value is not None} or None

    return Rule(tuple(name for rule in rules.values() for name in rule.names), read)
