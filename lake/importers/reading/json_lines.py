"""Files with one JSON value in each line."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from lake.errors import SourceError
from lake.importers.base import Notes, Refused
from lake.importers.reading.jsons import DECODER, ZEROS
from lake.importers.reading.packed import encoding_at
from lake.importers.reading.steady import steady

_LONGEST = 64 << 20  # characters of one line; one that is longer is no row
_BLANK = " \t\r\n\0"
_KEPT = 2_000  # characters of a broken line that are kept


def lines_in(path: Path, notes: Notes) -> Iterator[Any]:
    """The values of a file with one JSON value in each line; a line that is none is Refused, and the others go on.

    The last of them, when it has no end either, is where the file breaks off.
    """
    with steady(path, grows=True) as file:
        yield from lines_of(file, notes, encoding_at(path))


def lines_of(file: BinaryIO, notes: Notes, encoding: str = "utf-8-sig") -> Iterator[Any]:
    """The same of an open file."""
    lines = io.TextIOWrapper(file, encoding=encoding, errors="replace")
    try:
        number = 0
        while line := lines.readline(_LONGEST):
            number += 1
            while len(line) == _LONGEST and (rest := lines.readline(_LONGEST)) and not rest.endswith("\n"):
                pass
            if "\0" in line:
                notes.tell(ZEROS)
            if text := line.strip(_BLANK):
                try:
                    yield DECODER.decode(text)
                except (json.JSONDecodeError, RecursionError) as error:
                    why = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
                    notes.tell(f"line {number} is no JSON: {why}", failed=not line.endswith("\n"))
                    yield Refused(text[:_KEPT], "no whole JSON value")
    except (EOFError, SourceError) as error:  # of a packed file, or in an archive
        notes.tell(f"the file breaks off or is damaged ({error}): what comes before is taken", failed=True)
    finally:
        lines.detach()  # whoever opened the file closes it
