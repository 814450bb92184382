"""Any CSV, Parquet or feather file of candles, by column names or a column map."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from lake.errors import SourceError
from lake.sources import csvs, frames
from lake.sources.base import Batch, CandleFiles, Options
from lake.sources.columns import CANDLE_NAMES, NEEDED, require, translate
from lake.sources.naming import About, about, guess, held_timeframe, need, venue_of
from lake.sources.opening import head
from lake.sources.shape import candle_batch
from lake.spec import symbols


class Generic(CandleFiles):
    """The last resort: columns found by their usual names, or by the caller's map; naive times need ``tz``."""

    name = "table"

    def matches(self, path: Path, head: bytes) -> bool:
        """The columns are those of candles, though perhaps not all are there."""
        if frames.kind_of(head) in ("feather", "parquet"):
            return len(_found(frames.columns(path, head))) >= len(NEEDED) - 1
        if b"\0" in head or head.lstrip()[:1] in (b"[", b"{", b""):
            return False
        return len(_found(csvs.first_row(head))) >= len(NEEDED) - 1

    def read(self, path: Path, options: Options) -> Iterator[Batch]:
        """Candles.

        Raises:
            SourceError: a needed column is missing, times carry no zone, or symbol or timeframe are nowhere said.
        """
        known: About | None = None
        for rows in _tables(path):
            names = translate(rows.columns, CANDLE_NAMES, options.columns)
            absent = [theirs for theirs in options.columns.values() if theirs not in rows.columns]
            if absent:
                raise SourceError("the column map names a column that the file lacks", where=str(path), value=absent[0])
            require(names.values(), NEEDED, path, rows.columns)
            known = known or _known(path, options, set(names.values()))
            raw = csvs.named(rows, names)
            said = {"symbol": options.symbol, "timeframe": options.timeframe, "venue": options.venue}
            yield candle_batch(raw.drop([c for c, v in said.items() if v is not None], strict=False), known)


def _found(columns: list[str]) -> set[str]:
    return set(translate(columns, CANDLE_NAMES).values()) & set(NEEDED)


def _known(path: Path, options: Options, present: set[str]) -> About:
    guessed = guess(path)
    symbol = "-" if "symbol" in present and not options.symbol else need(options.symbol or guessed[0], "symbol", path)
    frame = "-" if "timeframe" in present and not options.timeframe else options.timeframe or guessed[1]
    frame = need(frame, "timeframe", path)
    if options.timeframe and held_timeframe(options.timeframe) is None:
        raise SourceError("the lake does not hold this timeframe", where="timeframe", value=options.timeframe)
    return about(path, options, symbol=symbols.canonical(symbol), timeframe=frame, venue=venue_of(path))


def _tables(path: Path) -> Iterator[pl.DataFrame]:
    first = head(path)
    if frames.kind_of(first):
        yield from frames.slices(path, first)
        return
    line = csvs.first_line(first)
    header = csvs.unique(csvs.cells(line, csvs.separator_of(line)))
    if csvs.looks_like_data(header):
        raise SourceError("the CSV has no header, and is of no known kind", where=str(path), todo="Add a header line.")
    layout = csvs.Layout(tuple(header), csvs.separator_of(line))
    yield from csvs.frames(path, layout)
