"""Rows as CSV and as JSON lines; plain, or packed where the name ends in .gz.

Times are ISO-8601 with microseconds and Z, documents JSON text, bytes hexadecimal. In CSV a null is nothing, and an
empty text is two quotes.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

import orjson
import polars as pl
import polars.selectors as cs

from lake.exporters.asking import Asked, plain_batches
from lake.exporters.base import Target, Tell, Written
from lake.exporters.files import whole
from lake.query.engine import Relation
from lake.query.fitting import is_nested

_LEVEL = 6


def write_csv(asked: Asked, target: Target, tell: Tell) -> Written:
    """Write one CSV file with a header."""
    return _write(asked, target, tell, _csv)


def write_jsonl(asked: Asked, target: Target, tell: Tell) -> Written:
    """Write one file with a JSON object in each line; numbers that JSON does not have (NaN, infinities) are null.

    A dataset's documents are text, as the lake holds them; what a query nests is nested, its decimals are numbers.
    """
    shown = asked.shown
    kinds = zip(shown.columns, map(str, shown.types), strict=True)
    raw = {name for name, kind in kinds if is_nested(kind) or kind.startswith("DECIMAL")}
    return _write(asked, target, tell, partial(_jsonl, raw))


def frames(part: Relation) -> Iterator[pl.DataFrame]:
    """A piece in frames of nothing but numbers, booleans and text, as files of text have them."""
    for batch in plain_batches(part):
        yield spelled(cast("pl.DataFrame", pl.from_arrow(batch)))


def spelled(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with times, dates, decimals and bytes as text.

    >>> from datetime import UTC, datetime
    >>> spelled(pl.DataFrame({"t": [datetime(2024, 1, 1, tzinfo=UTC)]})).item()
    '2024-01-01T00:00:00.000000Z'
    """
    return frame.with_columns(
        cs.datetime(time_zone="*").dt.convert_time_zone("UTC").dt.to_string("%Y-%m-%dT%H:%M:%S%.6fZ"),
        cs.datetime(time_zone=None).dt.to_string("%Y-%m-%dT%H:%M:%S%.6f"),
        cs.date().dt.to_string("iso"),
        cs.decimal().cast(pl.String),
        cs.binary().bin.encode("hex"),
    )


def _write(asked: Asked, target: Target, tell: Tell, put: Callable[[pl.DataFrame, Any, bool], None]) -> Written:
    path, rows = Path(target.to), 0
    with whole(path, replace=target.replace) as draft, _opened(draft, packed=path.suffix == ".gz") as file:
        put(_nothing(asked), file, True)
        for part in asked.parts():
            for frame in frames(part):
                put(frame, file, False)
                rows += frame.height
                tell(frame.height)
    return Written(rows, (str(path),))


def _nothing(asked: Asked) -> pl.DataFrame:
    return pl.DataFrame(schema=dict.fromkeys(asked.columns, pl.String))


@contextmanager
def _opened(path: Path, *, packed: bool) -> Iterator[IO[bytes]]:
    with path.open("wb") as file:
        if not packed:
            yield file
            return
        with gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as gz:
            yield cast("IO[bytes]", gz)


def _csv(frame: pl.DataFrame, file: IO[bytes], is_first: bool) -> None:
    # polars leaves a carriage return alone unquoted, and readers take it for the end of a line
    columns = [c for c in frame.iter_columns() if c.dtype == pl.String]
    careful = any(c.str.contains("\r", literal=True).any() for c in columns)
    text = frame.write_csv(include_header=is_first, quote_style="non_numeric" if careful else "necessary")
    file.write(text.encode())


def _jsonl(raw: set[str], frame: pl.DataFrame, file: IO[bytes], is_first: bool) -> None:
    if is_first:
        return
    if not raw:
        file.write(frame.write_ndjson().encode())
        return
    for row in frame.iter_rows(named=True):
        made = {n: orjson.Fragment(v) if n in raw and v is not None else v for n, v in row.items()}
        file.write(orjson.dumps(made, option=orjson.OPT_APPEND_NEWLINE))
