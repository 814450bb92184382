"""Whether a file is there to its end, and text in UTF-8: looked at before any row of it lands."""

from __future__ import annotations

from pathlib import Path

from lake.errors import SourceError
from lake.sources import claims, csvs
from lake.sources.opening import head, tail

_AGAIN = "Fetch the file again."


def check(path: Path) -> None:
    """Refuse a file that is cut off: compressed, JSON, or a table of text that ends inside of a row; or in UTF-16.

    Feather, Parquet, HDF5 and SQLite files tell it themselves when they are opened.

    Raises:
        SourceError: the file is damaged or cut off, or its text in another encoding than UTF-8.
    """
    first, last = head(path), tail(path)
    claims.check_encoding(path, first)
    if first.lstrip()[:1] in (b"[", b"{"):
        if last.rstrip()[-1:] not in (b"]", b"}"):
            raise SourceError("the JSON is damaged or cut off: it has no end", where=str(path), todo=_AGAIN)
    elif b"\0" not in first:
        _check_last_row(first, last, path)


def _check_last_row(first: bytes, last: bytes, path: Path) -> None:
    """A last row that no line end follows has as many values as the one before it.

    Commas of decimals may be as many as semicolons in a row, so that the first line is asked for the separator too.
    """
    if last[-1:] in (b"\n", b"\r"):
        return
    lines = [line.decode("utf-8", "replace") for line in last.replace(b"\r", b"\n").split(b"\n") if line.strip()]
    before, cut = ["", "", *lines][-2:]
    separators = {csvs.separator_of(line) for line in (csvs.first_line(first), before)}
    is_shorter = all(len(csvs.cells(cut, by)) < len(csvs.cells(before, by)) for by in separators)
    if cut.lstrip("\"' ")[:1].isdigit() and is_shorter:
        raise SourceError("the file ends in the middle of a row", where=str(path), value=cut, todo=_AGAIN)
