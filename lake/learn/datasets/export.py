"""Data sets in the forms that others read: files whole or not at all, and frames and arrays in memory."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from lake.errors import MissingExtraError, StorageError, UsageError
from lake.learn.datasets.stored import write_parquet

FORMATS = ("parquet", "csv", "arrow", "npz")
_ENDINGS = {f".{name}": name for name in FORMATS} | {".ipc": "arrow", ".feather": "arrow"}


def export(frame: pl.DataFrame, features: Sequence[str], path: Path, form: str | None = None) -> Path:
    """Write a frame to a file; on any error what was there stays as it was.

    Raises:
        UsageError: an unknown format.
        StorageError: it cannot be written there.
    """
    chosen = form or _ENDINGS.get(path.suffix.lower())
    if chosen not in FORMATS:
        raise UsageError(
            "an unknown format", where=str(path), value=form or path.suffix, todo=f"One of {', '.join(FORMATS)}."
        )
    writers: Mapping[str, Callable[[Path], object]] = {
        "parquet": lambda draft: _parquet(frame, draft),
        "csv": frame.write_csv,
        "arrow": lambda draft: frame.write_ipc(draft, compat_level=pl.CompatLevel.oldest()),
        "npz": lambda draft: _npz(numpy(frame, features), draft),
    }
    _whole(path, writers[chosen])
    return path


def arrow(frame: pl.DataFrame) -> pa.Table:
    """The frame as an Arrow table."""
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def pandas(frame: pl.DataFrame) -> Any:
    """The frame in pandas.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    if find_spec("pandas") is None:
        raise MissingExtraError("pandas is not installed", todo="pip install 'tradelake[pandas]'.")
    return arrow(frame).to_pandas()


def numpy(frame: pl.DataFrame, features: Sequence[str]) -> dict[str, Any]:
    """Arrays of one length, a row each, none of them of objects.

    X (rows x numeric features, float64, NaN where null, booleans 0 and 1) and feature_names; y (1 win, 0 loss, NaN
    neither), pnl_percent and rr (NaN where unknown); decision_time and label_time (datetime64[us], UTC); id, venue,
    symbol and side (text); each weight, flag and regime under its own name. Features of text have no number and are
    under their own names.
    """
    numeric = [n for n in features if frame.schema[n].is_numeric() or frame.schema[n] == pl.Boolean]
    found: dict[str, Any] = {
        "X": np.column_stack([_floats(frame[n]) for n in numeric]) if numeric else np.empty((frame.height, 0)),
        "feature_names": np.asarray(numeric, dtype=np.str_),
        "y": _floats(frame["label_win"]),
        "pnl_percent": _floats(frame["label_pnl_percent"]),
        "rr": _floats(frame["label_rr"]),
        **{n: frame[n].dt.replace_time_zone(None).to_numpy() for n in ("decision_time", "label_time")},
    }
    texts = ["id", "venue", "symbol", "side", "regime", *(n for n in features if n not in numeric)]
    found.update({n: np.asarray(frame[n].cast(pl.String).fill_null("").to_list(), dtype=np.str_) for n in texts})
    found.update({n: _floats(frame[n]) for n in frame.columns if n.startswith("weight_")})
    found.update({n: frame[n].to_numpy() for n in frame.columns if n.startswith("flag_")})
    return found


def _floats(values: pl.Series) -> Any:
    return values.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _parquet(frame: pl.DataFrame, draft: Path) -> None:
    with draft.open("wb") as out:
        write_parquet(frame, out)


def _npz(arrays: Mapping[str, Any], draft: Path) -> None:
    with draft.open("wb") as out:
        np.savez_compressed(out, **arrays)


def _whole(target: Path, write: Callable[[Path], object]) -> None:
    if target.is_dir():
        raise StorageError("that is a folder", where=str(target), todo="Name a file in it.")
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        write(draft)
        draft.replace(target)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StorageError(f"it cannot be written: {reason}", where=str(target), todo="Name another place.") from error
    finally:
        if target.parent.is_dir():
            draft.unlink(missing_ok=True)
