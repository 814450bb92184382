"""ml4t-engineer's triple barrier, in an environment of its own: it wants an older numpy than the lake.

``python peer_ml4t.py candles.npz labels.npz``, run by the benchmark of labels with the interpreter of that environment.
"""

from __future__ import annotations

import sys
import time
from importlib.metadata import version

import numpy as np
import polars as pl
from ml4t.engineer.config import LabelingConfig
from ml4t.engineer.labeling import triple_barrier_labels
from ml4t.engineer.labeling.numba_ops import _apply_triple_barrier_nb

ROUNDS = 3


def main(source: str, target: str) -> None:
    """Label every candle that has an event, and keep the labels and how long it took."""
    given = np.load(source)
    count, horizon, away = len(given["side"]), int(given["horizon"]), float(given["away"])
    rows = len(given["close"])
    has_event = np.arange(rows) < count
    side = np.zeros(rows, np.int64)
    side[:count] = given["side"]
    frame = pl.DataFrame({name: given[name] for name in ("high", "low", "close")}).with_columns(
        pl.Series("event_time", np.where(has_event, 1, 0)).replace(0, None), pl.Series("position", side)
    )
    config = LabelingConfig(
        method="triple_barrier", upper_barrier=away, lower_barrier=away, max_holding_period=horizon, side="position"
    )
    arrays = (given["close"], given["high"], given["low"], np.arange(count))
    barriers = (np.full(count, away), np.full(count, away), np.full(count, horizon), given["side"].astype(np.int32))
    whole, kernel = [], []
    for _ in range(ROUNDS + 1):
        begun = time.perf_counter()
        made = triple_barrier_labels(frame, config, price_col="close", high_col="high", low_col="low")
        whole.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        _apply_triple_barrier_nb(*arrays, *barriers, np.zeros(count))
        kernel.append(time.perf_counter() - begun)
    np.savez(
        target, label=made["label"].head(count).to_numpy().astype(np.int64), whole=np.median(whole[1:]),
        bars=made["label_bars"].head(count).to_numpy().astype(np.int64), kernel=np.median(kernel[1:]),
        version=version("ml4t-engineer"),
    )  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
