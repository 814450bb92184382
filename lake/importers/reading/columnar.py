"""Parquet and CSV files, frame by frame, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import polars as pl
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq

from lake.errors import SourceError
from lake.importers.base import Notes, Refused
from lake.importers.reading.packed import opened
from lake.importers.wording import counted

_BLOCK = 4 << 20  # bytes of CSV that are read together
_SAMPLE = 1 << 20


def parquet_schema(path: Path) -> pa.Schema:
    """The columns of a Parquet file, with its metadata.

    Raises:
        SourceError: it is none.
    """
    with _telling(path):
        return pq.read_schema(path)


def parquet_frames(path: Path, rows: int) -> Iterator[pl.DataFrame]:
    """A Parquet file in frames of so many rows.

    Raises:
        SourceError: it is damaged.
    """
    with _telling(path), pq.ParquetFile(path) as file:
        for batch in file.iter_batches(rows):
            yield cast("pl.DataFrame", pl.from_arrow(batch))


def csv_columns(path: Path) -> list[str]:
    """The header of a CSV file.

    Raises:
        SourceError: the file is empty, or no text.
    """
    with _telling(path), opened(path) as file:
        line = file.readline(_SAMPLE).removeprefix(b"\xef\xbb\xbf").decode()
        if not line.strip():
            raise SourceError("the file is empty", where=str(path))
        return list(pl.read_csv(line.encode(), infer_schema=False).columns)


def csv_frames(path: Path, notes: Notes) -> Iterator[pl.DataFrame | Refused]:
    """A CSV file with a header, in frames of text; nothing between two commas is null, two quotes are an empty text.

    Lines with more or fewer cells than the header are refused one by one, and told in the notes.
    """
    strays = _Strays()
    names = csv_columns(path)
    parsing = arrow_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=strays)
    reading = arrow_csv.ReadOptions(block_size=_BLOCK)
    converting = arrow_csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )  # fmt: skip
    with _telling(path), opened(path) as file, arrow_csv.open_csv(file, reading, parsing, converting) as batches:
        for batch in batches:
            yield cast("pl.DataFrame", pl.from_arrow(batch))
            yield from strays.taken()
    yield from strays.taken()
    if strays.count:
        notes.tell(f"{counted(strays.count, 'line has', 'lines have')} too many or too few cells: refused", failed=True)


class _Strays:
    """The lines that are no rows, until they are taken."""

    def __init__(self) -> None:
        self.count = 0
        self._lines: deque[str] = deque()

    def __call__(self, row: arrow_csv.InvalidRow) -> str:
        self.count += 1
        self._lines.append(row.text or "")
        return "skip"

    def taken(self) -> Iterator[Refused]:
        """Those that came since."""
        while self._lines:
            yield Refused(self._lines.popleft(), "too many or too few cells")


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, pl.exceptions.PolarsError, OSError, EOFError, UnicodeDecodeError) as error:
        said = str(error).strip().partition("\n")[0]
        raise SourceError(f"it cannot be read: {said}", where=str(path)) from error
