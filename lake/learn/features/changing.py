"""Other bars in the place of those that came, to see whether a feature minds: nothing of the old ones is left in them.

A bar that was only scaled would keep its colour, its wicks and the sign of its funding rate, and tell them on.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from lake.learn.features.base import BAR_COLUMNS, PRICES

Booleans = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float64]
_TIMES = ("open_time", "known_at", "time")
_MISSING = 0.125  # share of amounts and metrics that are not known of a changed bar
_LOST = 0.25  # share of later rows that have not come


def changed(rows: pl.DataFrame, where: Booleans, rng: np.random.Generator) -> pl.DataFrame:
    """The rows with all prices, amounts, counts and metrics of some of them changed at random, each by itself.

    Prices stay prices: above 0, the high highest and the low lowest. Zeros and nulls become numbers, some numbers of
    columns that have nulls become nulls, and metrics, which may be below 0, change their sign. Times stay.

    Args:
        rows: candles, or market metrics.
        where: which of the rows.
        rng: of the changes.
    """
    places = np.flatnonzero(where)
    if not len(places):
        return rows
    prices = {n: _moved(rows[n], places, rng) for n in PRICES if n in rows.columns}
    if prices:
        highest, lowest = (np.array(pick(list(prices.values()), axis=0)) for pick in (np.max, np.min))
        prices |= {n: v for n, v in (("high", highest), ("low", lowest)) if n in prices}
    made = [_put(rows[name], places, pl.Series(values)) for name, values in prices.items()]
    others = [c for c in rows if c.dtype.is_numeric() and c.name not in {*prices, *_TIMES}]
    return rows.with_columns(made + [_put(c, places, _others(c, places, rng)) for c in others])


def lost(later: Booleans, rng: np.random.Generator) -> Booleans:
    """Some of the later rows, which are taken away: that one came tells something, too."""
    return np.array(later & (rng.random(len(later)) < _LOST))


def _moved(column: pl.Series, places: npt.NDArray[np.intp], rng: np.random.Generator) -> Numbers:
    values = column.gather(places).cast(pl.Float64).fill_null(0.0).to_numpy()
    factors = rng.uniform(0.5, 2.0, len(places))
    return np.where(values == 0, 1.0, values) * factors


def _others(column: pl.Series, places: npt.NDArray[np.intp], rng: np.random.Generator) -> pl.Series:
    values = _moved(column, places, rng)
    if column.dtype.is_float() and column.name not in BAR_COLUMNS:
        values *= rng.choice((-1.0, 1.0), len(places))
    found = pl.Series(values)
    if not column.dtype.is_float():
        old = column.gather(places).cast(pl.Float64).fill_null(0.0)
        found = found.round()
        found += (found == old).cast(pl.Float64)  # a small count may round back
    if not column.null_count():  # Polars can do less with nulls: a weighted mean, say
        return found
    return found.set(pl.Series(rng.random(len(places)) < _MISSING), None)


def _put(column: pl.Series, places: npt.NDArray[np.intp], values: pl.Series) -> pl.Series:
    return column.clone().scatter(pl.Series(places), values.cast(column.dtype))
