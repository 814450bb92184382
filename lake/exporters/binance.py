"""Candles as Binance publishes them: a CSV of twelve columns for each symbol, timeframe and month.

``<to>/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01.csv``, perpetuals below ``futures/um`` or ``futures/cm``, with
a header there and none in spot. Times are milliseconds, of spot from 2025 on microseconds, as in the dumps themselves;
a close time is the last moment of its candle. What the lake does not know (quote volume, taker buys) is left empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import polars as pl

from lake.errors import UsageError
from lake.exporters.asking import Asked
from lake.exporters.base import Target, Tell, Written
from lake.exporters.files import whole_folder
from lake.exporters.series import Series, series
from lake.spec import symbols, timeframes

_COLUMNS = (
    "open_time", "open", "high", "low", "close", "volume", "quote_volume", "trade_count", "taker_buy_volume",
    "taker_buy_quote_volume",
)  # fmt: skip
_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,"
    "ignore\n"
)
_KLINES = {
    "": "klines",
    "P": "klines",
    "P.MARK": "markPriceKlines",
    "P.INDEX": "indexPriceKlines",
}
_MICROS_FROM = 2025


def write(asked: Asked, target: Target, tell: Tell) -> Written:
    """Write the files.

    Raises:
        UsageError: candles of several venues, whose files would have the same names.
    """
    folder, rows, places = Path(target.to), 0, []
    venues = set()
    with whole_folder(folder, replace=target.replace) as draft:
        for one in series(asked, _COLUMNS, "binance"):
            venues.add(one.venue)
            if len(venues) > 1:
                what = "candles of several venues would have the same names"
                raise UsageError(what, where="export", value=sorted(venues), todo="Choose one with --venue.")
            for month, frames in _months(one.frames()):
                path = file_name(one, month)
                (draft / path).parent.mkdir(parents=True, exist_ok=True)
                with (draft / path).open("wb") as file:
                    rows += _fill(file, one, frames, tell)
                places.append(str(folder / path))
    return Written(rows, tuple(places))


def file_name(one: Series, month: str) -> Path:
    """The path of a month of a series below the folder."""
    name = symbols.to_binance(one.symbol)
    coin = symbols.split(one.symbol)[1] == "USD"
    market = Path("spot") if not one.market else Path("futures", "cm" if coin else "um")
    place = market / "monthly" / _KLINES[one.market] / name / one.timeframe
    return place / f"{name}-{one.timeframe}-{month}.csv"


def _months(frames: Iterator[pl.DataFrame]) -> Iterator[tuple[str, Iterator[pl.DataFrame]]]:
    """Month and its candles, which are taken before the next month is asked for; the frames are in order."""
    parts = (
        (key[0], part.drop("month"))
        for frame in frames
        for key, part in frame.with_columns(month=pl.col("open_time").dt.to_string("%Y-%m")).group_by(
            "month", maintain_order=True
        )
    )
    waiting = next(parts, None)

    def of(month: str) -> Iterator[pl.DataFrame]:
        nonlocal waiting
        while waiting is not None and waiting[0] == month:
            yield waiting[1]
            waiting = next(parts, None)

    while waiting is not None:
        yield str(waiting[0]), of(str(waiting[0]))


def _fill(file: IO[bytes], one: Series, frames: Iterator[pl.DataFrame], tell: Tell) -> int:
    rows = 0
    if one.market:
        file.write(_HEADER.encode())
    for frame in frames:
        file.write(_rows(frame, one).write_csv(include_header=False).encode())
        rows += frame.height
        tell(frame.height)
    return rows


def _rows(frame: pl.DataFrame, one: Series) -> pl.DataFrame:
    """One month in the dump's columns."""
    in_micros = not one.market and frame["open_time"].dt.year().item(0) >= _MICROS_FROM
    unit = 1 if in_micros else 1_000
    opened = pl.col("open_time").dt.epoch("us")
    closed = (opened + timeframes.micros(one.timeframe)) // unit - 1
    times = frame.with_columns(open_time=opened // unit, close_time=closed, ignore=pl.lit(0))
    return times.select(*_COLUMNS[:6], "close_time", *_COLUMNS[6:], "ignore")
