"""QuantConnect Lean files: ZIPs of candles and CSV of funding rates, without headers; the names say what they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lake.errors import SourceError
from lake.sources import csvs
from lake.sources.base import Batch, CandleFiles, Options
from lake.sources.naming import about, need, perpetual, venue_of
from lake.sources.opening import member_name, stem
from lake.sources.shape import candle_batch, metric_batch
from lake.spec import symbols

_CANDLE = ("open_time", "open", "high", "low", "close", "volume")
_RESOLUTIONS = {"minute": "1m", "hour": "1h", "daily": "1d"}
_WHEN = re.compile(r"^\d{8} \d{2}:\d{2}(:\d{2})?$")
_WORDS = frozenset({"trade", "minute", "hour", "daily", "second"})


@dataclass(frozen=True, slots=True)
class _Named:
    """What path, file name and the name inside the ZIP say together."""

    symbol: str
    resolution: str
    date: str
    venue: str


def _named(path: Path) -> _Named | None:
    """Words of the name: venue, resolution, symbol and date in any order; None when it is not Lean's."""
    outer, inner = (stem(Path(name)).lower().split("_") for name in (path.name, member_name(path)))
    if "trade" not in (*outer, *inner):
        return None
    parts = [part.lower() for part in path.parts[:-1]]
    folder = next((part for part in reversed(parts) if part in (*_RESOLUTIONS, "second")), "")
    above = parts[parts.index(folder) - 1] if folder and parts.index(folder) else ""
    words = [*outer, *inner]
    coins = [w for w in words if w not in _WORDS and not w.isdigit() and w != venue_of(Path(w))]
    return _Named(
        symbol=coins[0] if coins else "",
        resolution=next((w for w in words if w in (*_RESOLUTIONS, "second")), folder),
        date=next((w for w in words if len(w) == len("20240101") and w.isdigit()), ""),
        venue=venue_of(path) or above,
    )


class Lean(CandleFiles):
    """``20161007_trade.zip`` (ms since midnight UTC) and ``btcusdt_trade.zip`` (``YYYYMMDD HH:MM``)."""

    name = "lean"

    def matches(self, path: Path, head: bytes) -> bool:
        """Six columns without header, whose time needs the name or is Lean's."""
        row = csvs.first_row(head)
        if len(row) != len(_CANDLE) or not (_WHEN.match(row[0]) or (row[0].isdigit() and int(row[0]) < 86_400_000)):
            return False
        return _named(path) is not None or _WHEN.match(row[0]) is not None

    def read(self, path: Path, options: Options) -> Iterator[Batch]:
        """Candles.

        Raises:
            SourceError: damaged, or the name lacks the date, symbol or resolution.
        """
        named = _named(path) or _Named("", "", "", venue_of(path))
        symbol = symbols.canonical(need(options.symbol or named.symbol, "symbol", path))
        if "cryptofuture" in path.parts and not options.symbol:
            symbol = perpetual(symbol)
        written = _RESOLUTIONS.get(named.resolution, "1s" if named.resolution == "second" else "")
        frame = need(options.timeframe or written, "timeframe", path)
        known = about(path, options, symbol=symbol, timeframe=frame, venue=named.venue, tz="UTC")
        for rows in csvs.frames(path, csvs.Layout(_CANDLE, header=False)):
            yield candle_batch(_dated(rows, named.date, path), known)


def _dated(rows: pl.DataFrame, date: str, path: Path) -> pl.DataFrame:
    if not rows["open_time"].str.contains(r"^\d+$").any():
        return rows
    if not date:
        raise SourceError(
            "the times are counted from midnight and the name has no date", where=str(path), value=path.name
        )
    midnight = pl.lit(date).str.to_datetime("%Y%m%d", time_unit="us", time_zone="UTC")
    since = pl.duration(milliseconds=pl.col("open_time").cast(pl.Int64, strict=False))
    return rows.with_columns(open_time=midnight + since)


class LeanFunding(CandleFiles):
    """``btcusd.csv`` of the margin interest folder: ``YYYYMMDD HH:MM:SS``, rate; UTC."""

    name = "lean-funding"

    def matches(self, _path: Path, head: bytes) -> bool:
        """Two columns, Lean's time and a number."""
        row = csvs.first_row(head)
        return len(row) == 2 and _WHEN.match(row[0]) is not None

    def read(self, path: Path, options: Options) -> Iterator[Batch]:
        """Market metrics ``funding_rate`` of the perpetual.

        Raises:
            SourceError: the name says no symbol.
        """
        words = stem(path).split("_")
        parts = [part.lower() for part in path.parts[:-1]]
        folder = parts[parts.index("margin_interest") - 1] if "margin_interest" in parts else ""
        symbol = perpetual(symbols.canonical(need(options.symbol or words[-1], "symbol", path)))
        known = about(path, options, symbol=symbol, timeframe="", venue=venue_of(path) or folder, tz="UTC")
        for rows in csvs.frames(path, csvs.Layout(("time", "value"), header=False)):
            yield metric_batch(rows, known, "funding_rate")
