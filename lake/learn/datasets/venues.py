"""The venue of rows that name none, where candles of their symbol are held at several."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from lake.kernels import runs
from lake.ledgers.series import Series
from lake.store.cold.scan import Scanner

_VENUELESS = pl.col("venue") == ""


def told(scanner: Scanner, series: Sequence[Series], events: pl.DataFrame, fresh: tuple[int, int]) -> pl.DataFrame:
    """Events with the venue that alone had a candle of their symbol when they were decided.

    What another venue holds of other times, earlier or later, changes nothing. Where several had one, or a venue
    without a name holds the symbol, none is told.

    Args:
        scanner: reads the files.
        series: candles of these symbols.
        events: venue, symbol, decision_time.
        fresh: length of a candle, and how long before a decision it may have closed; microseconds.
    """
    bare = events.with_row_index("__row").filter(_VENUELESS)
    symbols = set(bare["symbol"].unique())
    names = [one.name for one in series]
    several = {
        symbol for symbol in symbols if sum(name == symbol for name, _ in names) > 1 and (symbol, "") not in names
    }
    if not several:
        return events
    venues = events["venue"].to_list()
    for part in bare.filter(pl.col("symbol").is_in(several)).partition_by("symbol"):
        rows, decided = part["__row"].to_numpy(), runs.micros(part, "decision_time")
        held = [one for one in series if one.name[0] == part["symbol"][0]]
        known = np.stack([_known(scanner, one, decided, fresh) for one in held])
        for at in np.flatnonzero(known.sum(axis=0) == 1):
            venues[rows[at]] = held[int(known[:, at].argmax())].name[1]
    return events.with_columns(pl.Series("venue", venues, dtype=pl.String))


def _known(
    scanner: Scanner, one: Series, decided: runs.Integers, fresh: tuple[int, int]
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """At which decisions a series had a candle that closed not long before."""
    step, age = fresh
    closes = runs.micros(one.load(scanner, ["open_time"], threads=False, keep=False)) + step
    newest = np.searchsorted(closes, decided, side="right") - 1
    return (
        (newest >= 0) & (decided - closes[np.maximum(newest, 0)] <= age)
        if len(closes)
        else np.zeros(len(decided), bool)
    )
