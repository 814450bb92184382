"""Rows that are mapped one by one, as frames of candles: for stores that keep candles among other things."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import orjson
import polars as pl

from lake.errors import InvalidRowError
from lake.importers.base import Frames, Options, Refused, Row, Rule
from lake.importers.mapping import plain
from lake.spec import registry
from lake.spec.decode import rows_to_frame
from lake.spec.rows import row_checker
from lake.spec.schema import PERIOD

_ROWS = 50_000
_REFUSED = {"reason": pl.String, "row": pl.String}


def candle_frames(rows: Iterable[Row | Refused], columns: Mapping[str, Rule], options: Options) -> Iterator[Frames]:
    """Rows as frames of candles, by a rule for each column; what does not fit is refused row by row."""
    left = iter(rows)
    while batch := list(islice(left, _ROWS)):
        yield _frame(batch, columns, options)


def _frame(batch: list[Row | Refused], columns: Mapping[str, Rule], options: Options) -> Frames:
    ds = registry.get("candles")
    check = row_checker(ds)
    good: list[dict[str, Any]] = []
    refused: list[dict[str, str]] = []
    for row in batch:
        if isinstance(row, Refused):
            refused.append(_refused(row.reason, row.found))
            continue
        try:
            made = {name: rule.read(row, options) for name, rule in columns.items()}
            good.append(check({name: value for name, value in made.items() if value is not None}))
        except InvalidRowError as error:
            refused.append(_refused(": ".join(filter(None, (error.where, error.what))), row))
    frame = rows_to_frame(ds, good).drop(PERIOD, strict=False)
    return Frames(frame, pl.DataFrame(refused, schema=_REFUSED), len(batch))


def _refused(reason: str, found: Any) -> dict[str, str]:
    row = plain(found) if isinstance(found, Mapping) else {"found": found}
    return {"reason": reason, "row": orjson.dumps(row, default=str).decode()}
