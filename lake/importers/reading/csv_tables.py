"""CSV files: behind commas, semicolons, tabs or bars, in UTF-8 or what their first bytes say."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TextIO

from lake.errors import SourceError
from lake.importers.base import Notes, Refused, Row
from lake.importers.reading.jsons import GARBLED, ZEROS
from lake.importers.reading.packed import encoding_at
from lake.importers.reading.steady import steady

_SEPARATORS = ",;\t|"
_LONGEST_CELL = 1 << 24
_CUT = "the line breaks off"


class _Lines:
    """The lines of a text, and those of the record that is being read."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._record: list[str] = []
        self.is_garbled = self.has_zeros = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline()
        if not line:
            raise StopIteration
        if "\0" in line:
            self.has_zeros, line = True, line.strip("\0")
        self._record.append(line)
        self.is_garbled |= "\ufffd" in line
        return line

    def record(self) -> str:
        """What was read since this was asked for last."""
        text = "".join(self._record)
        self._record.clear()
        return text


def csv_columns(path: Path, header: tuple[str, ...] = (), skip: int = 0) -> list[str]:
    """The names of its columns; the places of those without one.

    Args:
        path: of the file.
        header: names, of a file that does not say them.
        skip: lines before the header.
    """
    with _lines_of(path) as lines:
        return _begun(lines, header, skip)[0]


def csv_rows(path: Path, notes: Notes, header: tuple[str, ...] = (), skip: int = 0) -> Iterator[Row | Refused]:
    """Its rows; cells that are empty or not there are nothing.

    Lines with more cells than the header are refused, and a last one that breaks off: inside of quotes, or without its
    end and last cells where all others have theirs.

    Raises:
        SourceError: two of its columns have one name.
    """
    csv.field_size_limit(_LONGEST_CELL)
    with _lines_of(path) as lines:
        columns, separator, rows = _begun(lines, header, skip)
        repeated = [name for name, count in Counter(columns).items() if count > 1]
        if repeated:
            raise SourceError("columns with the same name", where=str(path), value=repeated[0], todo="Rename one.")
        are_whole = True
        try:
            for cells in rows:
                is_short = 0 < len(cells) < len(columns)
                if _is_cut(lines.record(), cells, separator, is_short=is_short and are_whole):
                    notes.tell("the file breaks off: what comes before is taken", failed=True)
                    yield Refused(cells, _CUT)
                elif len(cells) > len(columns):
                    yield Refused(cells, "more cells than the header has")
                elif cells:
                    yield dict(zip(columns, cells, strict=False))
                are_whole &= not is_short
        except (csv.Error, EOFError, SourceError) as error:
            notes.tell(f"the CSV is damaged ({error}): what comes before is taken", failed=True)
        for is_so, told in ((lines.is_garbled, GARBLED), (lines.has_zeros, ZEROS)):
            if is_so:
                notes.tell(told)


def _is_cut(record: str, cells: Sequence[str], separator: str, *, is_short: bool) -> bool:
    """Whether the text of a line is surely not whole: it has no end, or the last cell has the line's end in it."""
    end = ("\n", "\r")
    if not cells or (record.endswith(end) and not cells[-1].endswith(end)):
        return False
    is_endless = not record.endswith(end)
    return (is_short and is_endless) or next(csv.reader([f"{record}\n"], delimiter=separator))[-1] != cells[-1]


@contextmanager
def _lines_of(path: Path) -> Iterator[_Lines]:
    with (
        steady(path, grows=True) as file,
        io.TextIOWrapper(file, encoding=encoding_at(path), errors="replace", newline="") as text,
    ):
        yield _Lines(text)


def _begun(lines: _Lines, header: tuple[str, ...], skip: int) -> tuple[list[str], str, Iterator[list[str]]]:
    """The names of the columns, what separates them, and the rows behind; empty lines before are passed over."""
    for _ in range(skip):
        next(lines, "")
    first = next((line for line in lines if line.strip("\ufeff\r\n")), "")
    separator = max(_SEPARATORS, key=first.count)
    before = [first] if header else []  # a row, which may go on in the next line
    if not header:
        lines.record()
    columns = list(header) or [name.strip() for name in next(csv.reader([first], delimiter=separator), [])]
    named = [name or f"column_{place}" for place, name in enumerate(columns)]
    return named, separator, csv.reader(chain(before, lines), delimiter=separator)
