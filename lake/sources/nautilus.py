"""Nautilus Trader's bar CSV: ``btc-perp-20211231-20220201_1m.csv``, times without zone but UTC."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from lake.sources import csvs
from lake.sources.base import Batch, CandleFiles, Options
from lake.sources.columns import CANDLE_NAMES, NEEDED, require, translate
from lake.sources.naming import about, need, venue_of
from lake.sources.opening import head, stem
from lake.sources.shape import candle_batch
from lake.spec import symbols

_NAME = re.compile(r"^(?P<symbol>[A-Za-z0-9]+(?:[-_][A-Za-z]+)?)-\d{8}-\d{8}_(?P<timeframe>\d+[mhdw])$")
_HEADER = ["timestamp", "open", "high", "low", "close", "volume"]


class Nautilus(CandleFiles):
    """Bars under a header; the volume of perpetuals named ``-perp`` counts quote units (FTX)."""

    name = "nautilus"

    def matches(self, path: Path, head: bytes) -> bool:
        """Both the name and the header are Nautilus'."""
        return _NAME.match(stem(path)) is not None and [c.lower() for c in csvs.first_row(head)] == _HEADER

    def read(self, path: Path, options: Options) -> Iterator[Batch]:
        """Candles.

        Raises:
            SourceError: a column is missing, or the name is another.
        """
        header = csvs.first_row(head(path))
        names = translate(header, CANDLE_NAMES)
        require(names.values(), NEEDED, path, header)
        found = _NAME.match(stem(path))
        text = need(options.symbol or (found["symbol"] if found else ""), "symbol", path)
        frame = need(options.timeframe or (found["timeframe"] if found else ""), "timeframe", path)
        known = about(
            path,
            _quoted(options, text),
            symbol=symbols.canonical(text),
            timeframe=frame,
            venue=venue_of(path),
            tz="UTC",
        )
        for rows in csvs.frames(path, csvs.Layout(tuple(header), csvs.separator_of(csvs.first_line(head(path))))):
            yield candle_batch(rows.rename(names), known)


def _quoted(options: Options, text: str) -> Options:
    if options.volume or not text.lower().endswith("-perp"):
        return options
    fields = {name: getattr(options, name) for name in Options.__slots__}
    return Options(**(fields | {"volume": "quote"}))
