"""freqtrade data folders: feather, json, json.gz, parquet and h5; spot and futures candles, marks, funding rates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lake.errors import SourceError
from lake.sources import frames, jsons
from lake.sources.base import Batch, CandleFiles, Options
from lake.sources.columns import CANDLE_NAMES, NEEDED, require, translate
from lake.sources.naming import About, about, is_perpetual, perpetual, venue_of
from lake.sources.opening import head, stem
from lake.sources.shape import candle_batch, metric_batch
from lake.spec import symbols

ROW = ("open_time", "open", "high", "low", "close", "volume")
_NAME = re.compile(
    r"^(?P<pair>[A-Za-z0-9]+(?:_[A-Za-z0-9]+){1,2})-(?P<timeframe>\d+(?:[smhdwMy]|Mo|mo))"
    r"(?:-(?P<kind>futures|mark|index|premiumIndex|funding_rate|open_interest|spot))?$"
)
_METRICS = ("funding_rate", "open_interest")
_PRICES = {"mark": ".MARK", "index": ".INDEX", "premiumIndex": ".PREMIUM"}


@dataclass(frozen=True, slots=True)
class FileName:
    """What a name such as ``XRP_USDT_USDT-1h-mark`` says."""

    symbol: str
    timeframe: str
    kind: str

    @classmethod
    def of(cls, path: Path) -> FileName | None:
        """The name taken apart, or None when it is not freqtrade's.

        >>> FileName.of(Path("futures/XRP_USDT_USDT-1h-mark.feather"))
        FileName(symbol='XRPUSDT.P.MARK', timeframe='1h', kind='mark')
        """
        found = _NAME.match(stem(path))
        if not found:
            return None
        kind = found["kind"] or ""
        symbol = pair(found["pair"])
        if kind in ("futures", "mark", "index", *_METRICS) or is_perpetual(path):
            symbol = perpetual(symbol)
        return cls(symbol + _PRICES.get(kind, ""), found["timeframe"], kind)


def pair(text: str) -> str:
    """A pair such as ``BTC_USDT`` or ``BTC_USDT_USDT`` (base, quote, settlement) as the lake's symbol.

    >>> pair("XRP_USDT_USDT")
    'XRPUSDT.P'
    """
    parts = text.split("_")
    return symbols.canonical("/".join(parts[:2]) + (f":{parts[2]}" if len(parts) > 2 else ""))


class Freqtrade(CandleFiles):
    """``BTC_USDT-5m.feather`` and its kin; times are UTC; 0 rows are fine, 0 bytes are not."""

    name = "freqtrade"

    def matches(self, path: Path, head: bytes) -> bool:
        """The name is freqtrade's and the content a table with ``date``, or an array of rows."""
        if FileName.of(path) is None:
            return False
        if frames.kind_of(head) == "hdf5":
            return True
        if frames.kind_of(head):
            return "date" in frames.columns(path, head)
        return jsons.is_empty_array(head) or len(jsons.first_array(head)) >= 6

    def read(self, path: Path, options: Options) -> Iterator[Batch]:
        """Candles, or funding rates and open interest as market metrics.

        Raises:
            SourceError: not such a file, cut off, or not named as freqtrade names it.
        """
        named = FileName.of(path)
        if named is None:
            todo = "Rename it PAIR-TIMEFRAME, e.g. BTC_USDT-5m, or use another --format."
            raise SourceError("the name is not freqtrade's", where=str(path), todo=todo)
        known = about(path, options, symbol=named.symbol, timeframe=named.timeframe, venue=venue_of(path), tz="UTC")
        for raw in _raw(path):
            yield _batch(raw, known, named)


def _raw(path: Path) -> Iterator[pl.DataFrame]:
    first = head(path)
    if frames.kind_of(first):
        for frame in frames.slices(path, first):
            names = translate(frame.columns, {k: CANDLE_NAMES[k] for k in ROW})
            require(names.values(), NEEDED, path, frame.columns)
            yield frame.select(list(names)).rename(names)
    else:
        for rows in jsons.rows(path):
            yield row_frame(rows, path)


def row_frame(rows: list[list[object]], path: Path | str) -> pl.DataFrame:
    """Rows ``[time, open, high, low, close, volume, ...]`` as a frame.

    Raises:
        SourceError: a row is no list of at least six values.
    """
    for number, row in enumerate(rows):
        if type(row) is not list or len(row) < len(ROW):
            raise SourceError(
                "a row is not [time, open, high, low, close, volume]", where=f"{path} row {number}", value=row
            )
    return pl.DataFrame([_series(name, [row[place] for row in rows]) for place, name in enumerate(ROW)])


def _series(name: str, values: list[object]) -> pl.Series:
    try:
        return pl.Series(name, values, strict=True)
    except (TypeError, pl.exceptions.PolarsError):
        if all(v is None or isinstance(v, (int, float)) for v in values):
            return pl.Series(name, values, dtype=pl.Float64, strict=False)
        return pl.Series(name, [None if v is None else str(v) for v in values], dtype=pl.String)


def _batch(raw: pl.DataFrame, known: About, named: FileName) -> Batch:
    if named.kind in _METRICS:
        return metric_batch(raw.rename({"open_time": "time", "open": "value"}), known, named.kind)
    if named.kind in _PRICES:
        raw = raw.with_columns(volume=pl.lit(None, dtype=pl.Float64))
    return candle_batch(raw, known)
