"""CryptoDataDownload CSV (a banner above the header, newest first, two volumes) and the wide form with many coins."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from lake.sources import csvs
from lake.sources.base import Batch, CandleFiles, Options
from lake.sources.columns import CANDLE_NAMES, NEEDED, require, translate
from lake.sources.naming import about, guess, need, venue_of
from lake.sources.opening import head, stem, text_lines
from lake.sources.shape import candle_batch
from lake.spec import symbols

_PERIODS = {
    "d": "1d",
    "1d": "1d",
    "daily": "1d",
    "h": "1h",
    "1h": "1h",
    "hourly": "1h",
    "minute": "1m",
    "1min": "1m",
    "m": "1m",
}
_VOLUME = re.compile(r"^volume[ _]?(?P<asset>[a-z0-9]+)?$")
_WIDE = re.compile(r"^(?P<coin>[A-Za-z0-9]+):(?P<field>open|high|low|close|volume)$")
_QUOTE = re.compile(r"(?P<quote>USDT|USDC|USD|EUR|GBP|BTC)(?=[_.]|$)")


def _period(path: Path) -> str:
    words = [w for w in re.split(r"[_\-]", stem(path).lower()) if w != "wide"]
    return _PERIODS.get(words[-1], guess(path)[1])


class CryptoDataDownload(CandleFiles):
    """``Coinbase_BTCUSD_1h.csv``: UTC, ``2019-10-17 09-AM`` or ISO; a unix column, often maimed, only where alone."""

    name = "cryptodatadownload"

    def matches(self, _path: Path, head: bytes) -> bool:
        """The banner names the site."""
        return b"cryptodatadownload" in (head.splitlines() or [b""])[0].lower()

    def read(self, path: Path, options: Options) -> Iterator[Batch]:
        """Candles.

        Raises:
            SourceError: a column is missing, or neither name nor options say the timeframe.
        """
        lines = text_lines(head(path), 2)
        header = csvs.unique(csvs.cells(lines[1], ",")) if len(lines) > 1 else []
        names = _names(header)
        require(names.values(), NEEDED, path, header)
        frame = need(options.timeframe or _period(path), "timeframe", path)
        symbol = "-" if "symbol" in names.values() else need(options.symbol or guess(path)[0], "symbol", path)
        venue = venue_of(path) or re.split(r"[_\-]", stem(path))[0].lower()
        known = about(path, options, symbol=symbol, timeframe=frame, venue=venue, tz="UTC")
        for rows in csvs.frames(path, csvs.Layout(tuple(header), skip=1)):
            raw = csvs.named(rows, names)
            yield candle_batch(raw.drop("symbol", strict=False) if options.symbol else raw, known)


def _names(header: list[str]) -> dict[str, str]:
    """Two volumes: the one in the base asset is the volume, the other the quote volume."""
    lower = {h.strip().lower(): h for h in header}
    names = {k: v for k, v in translate(header, CANDLE_NAMES).items() if v not in ("volume", "quote_volume")}
    volumes = [(lower[n], _VOLUME.match(n)) for n in lower if _VOLUME.match(n)]
    for place, (column, _) in enumerate(volumes[:2]):
        names[column] = "volume" if place == 0 else "quote_volume"
    return names


class WideCsv(CandleFiles):
    """One row a time, columns ``BTC:open`` ... ``LTC:volume``; a coin not listed yet has empty cells and is no row."""

    name = "wide"

    def matches(self, _path: Path, head: bytes) -> bool:
        """Columns are coin and field."""
        return sum(_WIDE.match(cell) is not None for cell in csvs.first_row(head)) >= 5

    def read(self, path: Path, options: Options) -> Iterator[Batch]:
        """Candles of every coin; the quote asset and the timeframe come from the file name.

        Raises:
            SourceError: the name says no timeframe.
        """
        header = csvs.unique(csvs.first_row(head(path)))
        frame = need(options.timeframe or _period(path), "timeframe", path)
        quote = (_QUOTE.findall(stem(path)) or [""])[-1]
        venue = venue_of(path)
        for rows in csvs.frames(path, csvs.Layout(tuple(header))):
            for coin in dict.fromkeys(m["coin"] for m in map(_WIDE.match, header) if m):
                fields = {h: m["field"] for h in header if (m := _WIDE.match(h)) and m["coin"] == coin}
                raw = csvs.named(rows, {header[0]: "open_time", **fields})
                raw = raw.filter(~pl.all_horizontal(pl.col(list(fields.values())).is_null()))
                symbol = symbols.canonical(f"{coin}/{quote}" if quote else coin)
                require(fields.values(), NEEDED[1:], path, header)
                yield candle_batch(raw, about(path, options, symbol=symbol, timeframe=frame, venue=venue, tz="UTC"))
