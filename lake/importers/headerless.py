"""What the columns of a CSV are that does not name them, by what stands in them."""

from __future__ import annotations

from collections.abc import Sequence

from lake.errors import InvalidRowError, LakeError
from lake.importers.moments import as_moment
from lake.importers.values import as_number

_BAR = ("open", "high", "low", "close")
_PLACES = slice(1, 5)  # of a bar behind its time


def is_data(cells: Sequence[str]) -> bool:
    """Whether a first line holds values, and no names: all numbers, or a time before numbers.

    >>> is_data(["1672531436", "90.54", ""]), is_data(["time", "price", "2. amount"])
    (True, False)
    """
    first, *others = cells or ("",)
    return (_is_number(first) or _is_time(first)) and all(_is_number(cell) for cell in others if cell.strip())


def guessed_names(rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """A name for each column, told by its values if they are those of candles; else by its place.

    >>> guessed_names([["1672531436", "2", "3", "1", "2", "10", "0"]])
    ('time', 'open', 'high', 'low', 'close', 'volume', 'column_6')
    """
    width = max(map(len, rows))
    names = [f"column_{place}" for place in range(width)]
    if rows and all(_is_bar(row) for row in rows):
        names[:5] = ["time", *_BAR]
        names[5:6] = ["volume"] if width > 5 else []
    return tuple(names)


def _is_bar(row: Sequence[str]) -> bool:
    values = row[_PLACES]
    if len(values) < len(_BAR) or not _is_time(row[0]) or not all(map(_is_number, values)):
        return False
    begin, high, low, end = map(float, values)
    return low <= min(begin, end) <= max(begin, end) <= high


def _is_number(cell: str) -> bool:
    try:
        as_number("", cell)
    except InvalidRowError:
        return False
    return True


def _is_time(cell: str) -> bool:
    try:
        as_moment("", cell)
    except LakeError:
        return False
    return True
