"""Flags on rows of a data set whose market was not itself: after a flash crash, on an outlier, in a thin market.

All three look back from the decision: at the newest bar that had closed by then, and at bars before it. So they may be
features, filters before training, or filters before trading.

- flag_flash_crash: within the newest 5 bars the price left the level before them by more than 8 robust standard
  deviations (of 5 bars) and by more than 0.8 %, down or up, and came back at least half of the way by the newest close.
  0.8 % is the least move of the "ultrafast extreme events" of Johnson et al., Scientific Reports 3:2627 (2013).
- flag_outlier: the newest bar's log return is more than 10 robust standard deviations from the median of the window.
- flag_low_liquidity: the newest bar's volume is below the 5 % quantile of the window's volumes, or 0.

The usual 3.5 deviations of Iglewicz & Hoaglin (1993) are meant for normal values: of hourly and 1m bars of liquid pairs
they flag 2 to 4 %, the 10 of here 0.1 to 0.2 %. Eight deviations make 0.1 to 0.4 % of these bars a flash crash. Where a
price hardly moves from minute to minute, each real move is far from the median, and up to a tenth is flagged.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from lake.errors import UsageError
from lake.kernels import runs
from lake.kernels.extremes import Bars, Booleans, Extremes, Positions, Thresholds, extremes
from lake.learn.label_times import moments
from lake.spec import timeframes

__all__ = ["NAMES", "Thresholds", "flags", "flags_of_series"]

NAMES = ("flag_flash_crash", "flag_outlier", "flag_low_liquidity")
_VALUES = Bars._fields
_DEFAULT = Thresholds()
_ENDLESS = float("inf")  # Polars orders NaN above it


def flags(
    frame: pl.DataFrame, candles: pl.DataFrame, thresholds: Thresholds = _DEFAULT, *, timeframe: str | None = None
) -> pl.DataFrame:
    """The flags of each row, booleans in the order of the rows.

    A flag is False where it cannot be told: fewer bars before the decision than the window needs, no candles of that
    venue and symbol, or the newest bar closed a whole timeframe or more before the decision.

    Args:
        frame: venue, symbol, decision_time.
        candles: venue, symbol, open_time, high, low, close, volume of one timeframe, each bar once, in any order.
        thresholds: when a bar is extreme.
        timeframe: of the candles; told by their column ``timeframe`` when left out.

    Raises:
        UsageError: columns are missing, several timeframes, a bar is there twice, a price is not above 0, a decision
            has no time.
    """
    _check(frame, ("symbol", "decision_time"), "frame")
    _check(candles, ("symbol", "open_time", *_VALUES), "candles")
    _check_prices(candles)
    found = Extremes(*(np.zeros(frame.height, dtype=bool) for _ in range(3)))
    if frame.height and candles.height:
        step = timeframes.micros(timeframe or _told(candles))
        decided = moments(frame["decision_time"], "decision_time")
        rows = _rows_by_series(frame)
        for name, bars in _series(candles):
            if name in rows:
                mine = rows[name]
                for column, flagged in zip(found, _flagged(bars, decided[mine], step, thresholds), strict=True):
                    column[mine] = flagged
    return _named(found)


def flags_of_series(bars: pl.DataFrame, decided: runs.Integers, step: int) -> pl.DataFrame:
    """The flags of rows of one series.

    Args:
        bars: open_time, high, low, close, volume in order of time, each bar once.
        decided: when each row was decided, in microseconds.
        step: length of a bar, in microseconds.

    Raises:
        UsageError: a price is not above 0.
    """
    _check_prices(bars)
    return _named(_flagged(bars, decided, step, _DEFAULT))


def _flagged(bars: pl.DataFrame, decided: runs.Integers, step: int, thresholds: Thresholds) -> Extremes:
    """The flags of the rows of one series; each bar is looked at once."""
    latest, fresh = newest(bars, decided, step)
    at, place = np.unique(latest[fresh], return_inverse=True)
    found = Extremes(*(np.zeros(len(decided), dtype=bool) for _ in range(3)))
    for column, flagged in zip(found, extremes(values(bars), at, thresholds), strict=True):
        column[fresh] = flagged[place]
    return found


def newest(bars: pl.DataFrame, decided: runs.Integers, step: int) -> tuple[Positions, Booleans]:
    """The newest bar that had closed when each row was decided, and whether it did so less than a step before."""
    closes = runs.micros(bars) + step
    latest = np.searchsorted(closes, decided, side="right") - 1
    if not len(closes):
        return latest, np.zeros(len(decided), dtype=bool)
    return latest, (latest >= 0) & (decided - closes[latest] < step)


def values(bars: pl.DataFrame) -> Bars:
    """The bars as arrays."""
    columns = (bars[name].cast(pl.Float64) for name in _VALUES)
    return Bars(*((c.fill_null(np.nan) if c.null_count() else c).to_numpy() for c in columns))


def at_bars(bars: Bars, at: Positions) -> pl.DataFrame:
    """The flags of the bars at some positions."""
    return _named(extremes(bars, at, _DEFAULT))


def _named(found: Extremes) -> pl.DataFrame:
    return pl.DataFrame([pl.Series(name, values) for name, values in zip(NAMES, found, strict=True)])


def _check_prices(candles: pl.DataFrame) -> None:
    low, high, close = (pl.col(name) for name in ("low", "high", "close"))
    if not candles.select(((low > 0) & (high < _ENDLESS) & (close > 0) & (close < _ENDLESS)).all()).item():
        raise UsageError("a price is not above 0", where="flags, candles", todo="Repair or leave out these candles.")


def _series(candles: pl.DataFrame) -> list[tuple[tuple[str, str], pl.DataFrame]]:
    """Each venue and symbol with its bars in order of time."""
    names = runs.series_columns(candles)
    bars = candles.select(*names, "open_time", *_VALUES)
    heads, times = runs.starts(bars, names), runs.micros(bars)
    if not runs.in_order(bars, names, heads, times):
        bars = bars.sort(*names, "open_time")
        heads, times = runs.starts(bars, names), runs.micros(bars)
        if not runs.in_order(bars, names, heads, times):
            raise UsageError("a candle is there twice", where="flags", todo="Keep one of each symbol and time.")
    ends = np.append(heads[1:], bars.height)
    return [(_name(bars, int(h)), bars.slice(int(h), int(e - h))) for h, e in zip(heads, ends, strict=True)]


def _rows_by_series(frame: pl.DataFrame) -> dict[tuple[str, str], Any]:
    names = runs.series_columns(frame)
    groups = frame.select(*names).with_row_index("__row").group_by(names, maintain_order=True).agg("__row")
    return {_name(groups, n): groups["__row"][n].to_numpy() for n in range(groups.height)}


def _name(frame: pl.DataFrame, row: int) -> tuple[str, str]:
    venue = frame["venue"][row] if "venue" in frame.columns else None
    return venue or "", frame["symbol"][row]


def _told(candles: pl.DataFrame) -> str:
    if "timeframe" not in candles.columns:
        raise UsageError("which timeframe do the candles have?", where="flags", todo="Give timeframe.")
    told = candles["timeframe"].unique().to_list()
    if len(told) != 1 or told[0] is None:
        raise UsageError("candles of several timeframes", where="flags", value=told, todo="Give those of one.")
    return str(told[0])


def _check(frame: pl.DataFrame, names: tuple[str, ...], where: str) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise UsageError("columns are missing", where=f"flags, {where}", value=missing)
