"""The peers as a careful user of theirs would set them up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl

from benchmarks.market import Market

PRICES = ["open", "high", "low", "close", "volume"]


def arctic(folder: Path, library: str = "candles") -> Any:
    """An ArcticDB library in LMDB; None where ArcticDB is not installed."""
    try:
        from arcticdb import Arctic
    except ImportError:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    store = Arctic(f"lmdb://{folder}?map_size=8GB")
    return store.get_library(library, create_if_missing=True)


def pandas_by_symbol(market: Market) -> dict[str, pd.DataFrame]:
    """{symbol: prices indexed by time}: the shape in which ArcticDB keeps time series."""
    parts = market.frame.partition_by("symbol", as_dict=True)
    return {str(key[0]): indexed(part) for key, part in parts.items()}


def indexed(frame: pl.DataFrame) -> pd.DataFrame:
    """One symbol's candles as ArcticDB wants them."""
    made = frame.select("open_time", *PRICES).to_pandas().set_index("open_time")
    made.index = made.index.tz_localize(None).astype("datetime64[ns]")
    return made


def write_arctic(library: Any, frames: dict[str, pd.DataFrame]) -> None:
    """All symbols at once, as ArcticDB does it fastest."""
    from arcticdb import WritePayload

    library.write_batch([WritePayload(symbol, frame) for symbol, frame in frames.items()])
