"""A million labels of a year: their uniqueness, and the 45 combinatorial purged splits of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np

from benchmarks.base import MS, Bench, Result, check, medians, seconds
from lake.learn.splits import CombinatorialPurged, WalkForward
from lake.learn.weights import uniqueness

_YEAR = 365 * 86_400 * 1_000_000
_MINUTE = 60_000_000
_PEER_ROWS = 20_000  # of a million, a peer that works with sets of rows would take minutes


def run(bench: Bench) -> Result:
    """Seconds for uniqueness overall and by 50 symbols, and per split; timeseriescv has fewer rows to split."""
    rows = bench.sized(1_000_000, least=10_000)
    starts, ends, symbols = _labels(rows)
    moments = starts.view("datetime64[us]"), ends.view("datetime64[us]")
    walking = WalkForward(10, embargo=timedelta(hours=1), start_times=moments[0], end_times=moments[1])
    combined = CombinatorialPurged(10, 2, timedelta(hours=1), *moments)
    taken = medians(
        {
            "uniqueness": lambda: uniqueness(*moments),
            "by symbol": lambda: uniqueness(*moments, symbols),
            "walk-forward": lambda: list(walking.split()),
            "combinatorial": lambda: [(len(train), len(test)) for train, test in combined.split()],
        },
        rounds=3,
    )
    ours, theirs = _beside_a_peer()
    return Result(
        "splits",
        f"{rows:,} labels up to two days long: average uniqueness; 45 combinatorial purged splits",
        "uniqueness < 1 s",
        f"{taken['uniqueness']:.2f} s overall, {taken['by symbol']:.2f} s by symbol; "
        f"{taken['combinatorial'] / 45 * MS:.0f} ms a split, {taken['walk-forward']:.2f} s for 10 walk-forward",
        compared=f"{_PEER_ROWS:,} rows in 10 splits: {ours * MS:.0f} ms, timeseriescv {theirs * MS:.0f} ms",
        ratio=theirs / ours,
        met=taken["uniqueness"] < 1.0,
        numbers={**taken, "peer_rows": _PEER_ROWS, "ours": ours, "timeseriescv": theirs},
    )


def _labels(rows: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(4)
    starts = np.sort(rng.integers(0, _YEAR, rows))
    return starts, starts + rng.integers(1, 2880, rows) * _MINUTE, rng.integers(0, 50, rows)


def _beside_a_peer() -> tuple[float, float]:
    """Seconds of each for the same splits; with one test block they agree row by row."""
    import pandas as pd
    from timeseriescv.cross_validation import CombPurgedKFoldCV

    starts, ends, _ = _labels(_PEER_ROWS)
    begun, over = (pd.Series(pd.to_datetime(t, unit="us")) for t in (starts, ends))
    frame = pd.DataFrame({"x": np.zeros(_PEER_ROWS)})
    zoned = begun.dt.tz_localize("UTC"), over.dt.tz_localize("UTC")
    mine = CombinatorialPurged(10, 1, timedelta(hours=1), *zoned)
    peer = CombPurgedKFoldCV(10, 1, pd.Timedelta(hours=1))
    theirs = list(peer.split(frame, pred_times=begun, eval_times=over))[::-1]
    same = all((a[0] == b[0]).all() and (a[1] == b[1]).all() for a, b in zip(mine.split(), theirs, strict=True))
    check(same, "purged splits")
    return (
        min(seconds(lambda: list(mine.split())) for _ in range(3)),
        min(seconds(lambda: list(peer.split(frame, pred_times=begun, eval_times=over))) for _ in range(3)),
    )
