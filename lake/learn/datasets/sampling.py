"""Rows that stand for all: of every series, at moments that are spread over all of the time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl

from lake.kernels import runs

_SLICES = 8  # parts of the time, of about as many rows each
_LEAST = 2  # rows of a series


def stratified(frame: pl.DataFrame, rows: int, seed: int) -> list[pl.DataFrame]:
    """About so many rows, and two of each series at least, in groups that lie near one another in time.

    The time is cut into slices of about equally many rows, and in each a moment is drawn. Every series gives the rows
    that are nearest to the moments of some slices, turn about; where there are few series each gives some of every
    slice. So every series is there and the whole time, and little has to be read for a group.

    Args:
        frame: venue, symbol, decision_time.
        rows: how many in all; a frame with no more comes back whole.
        seed: of the moments.
    """
    if frame.height <= rows:
        return [frame]
    decided = runs.micros(frame, "decision_time")
    moments = _moments(decided, np.random.default_rng(seed))
    places = frame.select("venue", "symbol").with_row_index("__at").group_by("venue", "symbol").agg("__at")
    series = places.sort("venue", "symbol")["__at"].to_list()
    turns = -(-_SLICES // len(series))
    each = max(_LEAST, -(-rows // len(series)))
    chosen: list[set[int]] = [set() for _ in range(_SLICES)]
    for number, own in enumerate(np.array(at) for at in series):
        taken: set[int] = set()
        for turn in range(turns):
            slice_ = (number * turns + turn) % _SLICES
            order = np.argsort(np.abs(decided[own] - moments[slice_]), kind="stable")
            near = set(own[order[: -(-each // turns)]].tolist()) - taken
            taken |= near
            chosen[slice_] |= near
    return [frame[sorted(group)] for group in chosen if group]


def _moments(decided: runs.Integers, rng: np.random.Generator) -> list[int]:
    ordered = np.sort(decided)
    edges = np.linspace(0, len(ordered), _SLICES + 1).astype(np.int64)
    return [int(ordered[rng.integers(low, max(high, low + 1))]) for low, high in pairwise(edges.tolist())]
