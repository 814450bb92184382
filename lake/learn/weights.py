"""How much each row of a data set should count in training: by uniqueness, by return, by age.

Labels that overlap in time tell the same story several times. A label's *uniqueness* at a moment is one over the number
of labels that are open then; its average over the label's life is the weight. López de Prado, Advances in Financial
Machine Learning (2018), chapter 4, counts bar by bar; here time is continuous, which is the same for labels that
begin and end with bars: what is open from bar 3 to bar 5, both included, lives from the begin of 3 to the end of 5.

Each function gives float64 in the order of the rows; :func:`combined` multiplies and brings the mean to 1.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from lake.errors import UsageError
from lake.learn.label_times import Array, LabelTimes, label_times, moments

Floats = npt.NDArray[np.float64]
_MICROSECOND = timedelta(microseconds=1)


def uniqueness(decision_time: Any, label_time: Any, series: Any = None) -> Floats:
    """Average uniqueness of each label, above 0 and at most 1: 1 for a label that overlaps no other.

    Args:
        decision_time: when each label began: datetimes or numbers.
        label_time: when it was over. A label that ends as it begins counts those open at that moment, ends included.
        series: what each row is about, such as its symbol: only labels of one series overlap. A sequence, or a frame of
            columns such as venue and symbol; None for all rows in one.

    Raises:
        UsageError: a time is missing, a label ends before it begins, lengths differ.

    >>> uniqueness([0, 1, 10], [2, 3, 11]).tolist()
    [0.75, 0.75, 1.0]
    """
    times = label_times(decision_time, label_time)
    codes = _codes(series, len(times))
    moments_, change = np.concatenate([times.starts, times.ends]), np.repeat([1, -1], len(times))
    order = np.lexsort((moments_, codes)) if codes is not None else np.argsort(moments_, kind="stable")
    open_then = np.cumsum(change[order])
    moments_ = moments_[order]
    lasts = np.diff(moments_, append=moments_[-1:])
    shared = np.divide(lasts, open_then, out=np.zeros(len(lasts)), where=open_then > 0)
    until = np.empty(len(lasts))
    until[order] = np.concatenate([np.zeros(1), np.cumsum(shared)[:-1]])[: len(lasts)]
    lives = times.ends - times.starts
    found = np.ones(len(times))
    np.divide(until[len(times) :] - until[: len(times)], lives, out=found, where=lives > 0)
    if (lives == 0).any():
        _at_moments(found, times, codes, order, open_then)
    return np.clip(found, 1.0 / max(len(times), 1), 1.0)


def by_return(label_pnl_percent: Any, decision_time: Any = None, label_time: Any = None, series: Any = None) -> Floats:
    """What each label moved, without its sign: a label that ended where it began teaches little.

    With the times the return is spread evenly over the label's life and shared with the labels open then: the absolute
    return times the average uniqueness. (The book attributes each bar's return; that is the same for a steady move.)

    Args:
        label_pnl_percent: of each row, finite.
        decision_time: as for :func:`uniqueness`; None weighs the returns alone.
        label_time: as for :func:`uniqueness`.
        series: as for :func:`uniqueness`.

    Raises:
        UsageError: a return is missing or not finite, or one time is given without the other.

    >>> by_return([2.0, -4.0, 0.0]).tolist()
    [2.0, 4.0, 0.0]
    """
    returns = _numbers(label_pnl_percent, "label_pnl_percent")
    if (decision_time is None) != (label_time is None):
        raise UsageError("both times are needed, or none", where="by_return", todo="Give decision_time and label_time.")
    if decision_time is None:
        return np.abs(returns)
    shares = uniqueness(decision_time, label_time, series)
    _check_lengths([returns, shares])
    return np.abs(returns) * shares


def recency(decision_time: Any, half_life: timedelta, now: datetime | None = None) -> Floats:
    """Half as much for each half-life of age: 0.5 ** (age / half_life).

    Args:
        decision_time: of each row, with dates.
        half_life: above zero.
        now: from which ages are counted, at or after every row; the newest row when left out.

    Raises:
        UsageError: a half-life of nothing, a row after ``now``, missing times.

    >>> from datetime import UTC
    >>> days = [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
    >>> recency(days, timedelta(days=1)).tolist()
    [0.25, 0.5, 1.0]
    """
    _check_half_life(half_life)
    times = moments(decision_time, "decision_time")
    if not len(times):
        return np.empty(0)
    newest = int(times.max())
    latest = newest if now is None else int(moments([now], "now")[0])
    if newest > latest:
        raise UsageError(f"{int((times > latest).sum())} rows are later than now", where="now", value=now)
    return np.asarray(0.5 ** ((latest - times) / (half_life / _MICROSECOND)), dtype=np.float64)


def combined(*weights: Any) -> Floats:
    """The product of weights, brought to mean 1, so that a sum over rows keeps its size.

    Args:
        weights: arrays of one length, finite, 0 or more.

    Raises:
        UsageError: lengths differ, a weight is negative or not finite, or all of them are 0.

    >>> combined([1.0, 2.0], [3.0, 1.0]).tolist()
    [1.2, 0.8]
    """
    arrays = [_numbers(w, f"weight {number}") for number, w in enumerate(weights, start=1)]
    if not arrays:
        raise UsageError("nothing to combine", where="weights")
    _check_lengths(arrays)
    for number, array in enumerate(arrays, start=1):
        if (array < 0).any():
            raise UsageError("a weight is 0 or more", where=f"weight {number}", value=float(array.min()))
    product = np.prod(arrays, axis=0)
    if not len(product):
        return np.empty(0)
    mean = product.mean()
    if not mean > 0:
        raise UsageError("all weights are 0", where="weights", todo="Leave out the one that is 0 everywhere.")
    return np.asarray(product / mean, dtype=np.float64)


def _at_moments(found: Floats, times: LabelTimes, codes: Array | None, order: Array, open_then: Array) -> None:
    """Fill in the labels that end as they begin: one over how many are open at that moment.

    In the stable order starts come before ends of the same moment, so the most that are open in a run of equal moments
    are those open at it, ends included.
    """
    moments_ = np.concatenate([times.starts, times.ends])[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = moments_[1:] != moments_[:-1]
    if codes is not None:
        new[1:] |= codes[order][1:] != codes[order][:-1]
    heads = np.flatnonzero(new)
    most = np.repeat(np.maximum.reduceat(open_then, heads), np.diff(np.append(heads, len(order))))
    at = np.empty(len(order))
    at[order] = most
    still = times.ends == times.starts
    found[still] = 1.0 / at[: len(times)][still]


def _codes(series: Any, count: int) -> Array | None:
    """A number for each series, for starts and then ends."""
    if series is None:
        return None
    frame = series if isinstance(series, pl.DataFrame) else pl.DataFrame({"series": series})
    if frame.height != count:
        raise UsageError(f"there are {count} labels", where=f"series of {frame.height} rows")
    if not frame.width:
        raise UsageError("a series is told by at least one column", where="series")
    known = frame.unique()  # a few, so that these alone are put in order
    known = known.with_columns(known.select(pl.struct(pl.all()).rank("dense")).to_series().alias("__code"))
    rows = frame.join(known, on=frame.columns, how="left", nulls_equal=True, maintain_order="left")
    codes = rows["__code"].to_numpy().astype(np.int32)
    return np.concatenate([codes, codes])


def _numbers(given: Any, where: str) -> Floats:
    try:
        found = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError("these are no numbers", where=where) from error
    if found.ndim != 1:
        raise UsageError("one number for each row is needed", where=where, value=found.shape)
    if not np.isfinite(found).all():
        row = int(np.flatnonzero(~np.isfinite(found))[0])
        raise UsageError("a number is missing or not finite", where=f"{where}, row {row}", value=float(found[row]))
    return found


def _check_half_life(given: Any) -> None:
    if not isinstance(given, timedelta) or given <= timedelta(0):
        raise UsageError("a half-life is a timedelta above zero", where="half_life", value=given)


def _check_lengths(arrays: list[Floats]) -> None:
    if len({len(a) for a in arrays}) > 1:
        raise UsageError("weights are of one length", where="weights", value=[len(a) for a in arrays])
