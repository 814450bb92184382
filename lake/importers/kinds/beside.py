"""What stands in a JSON object beside its rows: totals, patterns, what a bot has learnt; in pieces, it may be large."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from lake.importers.base import Notes, Refused, Row
from lake.importers.reading.jsons import JsonText, items, names, text_value

_TOGETHER = 1_000  # entries of a list that are kept as one


def beside(path: Path, is_rows: Callable[[str], bool], _notes: Notes) -> Iterator[Row]:
    """The values under other names than those of rows, each with its name; long lists in several pieces.

    What is damaged is told where the rows are read.
    """
    quiet = Notes()
    with JsonText(path) as text:
        if text.peek() != "{":
            return
        for name in names(text, quiet):
            if not is_rows(name):
                yield from _pieces(text, name, quiet)
            elif not _is_passed(text):
                return


def _is_passed(text: JsonText) -> bool:
    try:
        text.pass_over()
    except json.JSONDecodeError:
        return False
    return True


def _pieces(text: JsonText, name: str, quiet: Notes, *, is_outer: bool = True) -> Iterator[Row]:
    if is_outer and text.peek() == "{":
        for inner in names(text, quiet):
            yield from _pieces(text, f"{name}.{inner}", quiet, is_outer=False)
    elif text.peek() == "[":
        entries = (entry for entry in items(text, quiet) if not isinstance(entry, Refused))
        for part, some in enumerate(iter(lambda: list(islice(entries, _TOGETHER)), [])):
            yield {"name": name, "part": part, "value": some}
    elif not isinstance(value := text_value(text, quiet), Refused):
        yield {"name": name, "value": value}
