"""CSV text in blocks of rows, all columns as text: what a cell means is decided where it is used."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lake.errors import SourceError
from lake.sources.base import BATCH_ROWS
from lake.sources.opening import HEAD, line_blocks, text_lines

MORE = "values beyond the last column"
_NUMERIC = re.compile(r"^\s*[\"']?[+-]?\d[\d.]*([eE][+-]?\d+)?[\"']?\s*$")


@dataclass(frozen=True, slots=True)
class Layout:
    """How a CSV is written: lines to skip, names of its columns, separator, whether a header stands first."""

    columns: tuple[str, ...]
    separator: str = ","
    header: bool = True
    skip: int = 0


def first_line(head: bytes) -> str:
    """The first line that is not blank; ``""`` for bytes that are no table of text."""
    if b"\0" in head or head.lstrip()[:1] in (b"[", b"{"):
        return ""
    return next((line for line in text_lines(head, 5) if line.strip()), "")


def first_row(head: bytes) -> list[str]:
    """Cells of the first line that is not blank, split by the separator that it seems to use."""
    line = first_line(head)
    return cells(line, separator_of(line))


def unique(header: list[str]) -> list[str]:
    """Column names made distinct, nameless ones named by their place.

    >>> unique(["", "a", "a"])
    ['column_0', 'a', 'a_2']
    """
    seen: list[str] = []
    for place, name in enumerate(header):
        own = name or f"column_{place}"
        seen.append(own if own not in seen else f"{own}_{place}")
    return seen


def separator_of(line: str) -> str:
    """The separator a line seems to use: the most frequent of semicolon, tab, comma, bar.

    >>> separator_of("a;b;1,5")
    ';'
    """
    return max(";\t,|", key=lambda s: (line.count(s), s == ","))


def cells(line: str, separator: str) -> list[str]:
    """One line of CSV."""
    return [cell.strip() for cell in next(csv.reader([line.replace("\r", " ")], delimiter=separator), [])]


def looks_like_data(row: list[str]) -> bool:
    """Whether the first cell is a number, so that the line is no header."""
    return bool(row) and _NUMERIC.match(row[0]) is not None


def frames(path: Path, layout: Layout) -> Iterator[pl.DataFrame]:
    """Rows as text columns, in order, blank lines left out.

    Where a row has more values than there are columns, the first of them is in a column ``MORE``: its values may stand
    in the wrong places, as those of numbers with a decimal comma do.

    Raises:
        SourceError: the text is no CSV of these columns.
    """
    first = True
    for block in line_blocks(path):
        lines_to_skip = layout.skip + layout.header if first else 0
        first = False
        frame = _parsed(block, layout, lines_to_skip, path)
        frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))
        if frame[MORE].str.strip_chars().str.len_bytes().sum() == 0:
            frame = frame.drop(MORE)  # a separator at the end of each line is none
        for start in range(0, frame.height, BATCH_ROWS):
            yield frame.slice(start, BATCH_ROWS)


def _parsed(block: bytes, layout: Layout, skip: int, path: Path) -> pl.DataFrame:
    schema = dict.fromkeys((*layout.columns, MORE), pl.String)
    body = _without_lines(block, skip)
    if not body.strip():
        return pl.DataFrame(schema=schema)
    first = cells(first_line(body[: body.find(b"\n", HEAD) + 1 or len(body)]), layout.separator)
    if 0 < len(first) < len(layout.columns):
        what = f"a row of {len(first)} values where {len(layout.columns)} are to be"
        raise SourceError(what, where=str(path), value=first, todo="Look for a missing quote, or another separator.")
    try:
        return pl.read_csv(
            body,
            has_header=False,
            schema=schema,
            separator=layout.separator,
            truncate_ragged_lines=True,
            extra_columns="ignore",
            missing_columns="insert",
            encoding="utf8-lossy",
        )
    except pl.exceptions.PolarsError as error:
        raise SourceError(f"the file is no CSV of {len(layout.columns)} columns: {error}", where=str(path)) from error


def named(frame: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    """The columns that have a name, by it, and what stands beyond the last column."""
    return frame.select(*names, *({MORE} & set(frame.columns))).rename(dict(names))


def _without_lines(block: bytes, count: int) -> bytes:
    position = 0
    for _ in range(count):
        end = block.find(b"\n", position)
        if end < 0:
            return b""
        position = end + 1
    return block[position:]
