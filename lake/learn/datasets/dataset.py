"""A built data set: its rows, its manifest, where they lie, and the forms it is handed on in."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from lake.learn.datasets import audit, export, stored
from lake.learn.datasets.audit import Audit
from lake.learn.datasets.manifest import Manifest
from lake.learn.datasets.pinned import Pinned
from lake.learn.features import FeatureSet
from lake.ledgers.writer import Writer


class Dataset:
    """Rows that a model can learn from, none of whose features was known later than its decision.

    Columns of ``frame``: id, kind, bot_id, venue, symbol, timeframe, strategy, side, decision_time; the features, as
    ``manifest["features"]`` names them; label_outcome, label_win, label_pnl_percent (%), label_rr (R), label_time (when
    it was over); weight_uniqueness, weight_return, weight_recency; flag_flash_crash, flag_outlier, flag_low_liquidity,
    with ``keep_inside`` flag_inside_training_period; regime. Rows are in order of decision_time and id.

    Args:
        writer: of the lake.
        manifest: of the data set.
        frame: its rows, if they are at hand; read when asked for else.
    """

    def __init__(self, writer: Writer, manifest: Manifest, frame: pl.DataFrame | None = None) -> None:
        self.manifest = manifest
        self._writer = writer
        self._location = writer.store.location
        if frame is not None:
            self.frame = frame

    @cached_property
    def frame(self) -> pl.DataFrame:
        """All rows, as a Polars frame.

        Raises:
            CorruptLakeError: the stored file is gone, or is not what was written.
        """
        return stored.read_frame(self._location, self.manifest)

    @property
    def path(self) -> str:
        """Address of the Parquet file."""
        return self._location.url(f"{stored.folder(self.manifest)}/{stored.DATA}")

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the feature columns."""
        return tuple(self.manifest.features)

    def __len__(self) -> int:
        return self.manifest.rows

    def audit(self, rows: int | None = None, *, features: str | FeatureSet | None = None, seed: int = 0) -> Audit:
        """Change all that was known after each row's decision, and look whether a feature of the row changes.

        Args:
            rows: how many rows, spread over all; every row when left out.
            features: the feature set, where its name is not known in this process.
            seed: of the random changes.

        Raises:
            UsageError: the feature set is not known here.
            RebuildError: it is another one than the rows were made with.
        """
        pinned = Pinned(self._writer.store, self.manifest.lake)
        try:
            return audit.of_dataset(pinned, self.manifest, self.frame, audit.Asked(rows, seed, features))
        finally:
            pinned.close()

    def export(self, path: str | Path, format: str | None = None) -> Path:  # noqa: A002 - the word of the contract
        """Write the rows to a file, whole or not at all: parquet, csv, arrow (IPC) or npz.

        Args:
            path: of the file.
            format: by the file's ending when left out.

        Raises:
            UsageError: an unknown format.
            StorageError: it cannot be written there.
        """
        return export.export(self.frame, self.features, Path(path), format)

    def arrow(self) -> pa.Table:
        """All columns as an Arrow table."""
        return export.arrow(self.frame)

    def numpy(self) -> dict[str, Any]:
        """Arrays for training, see :func:`lake.learn.datasets.export.numpy`."""
        return export.numpy(self.frame, self.features)

    def pandas(self) -> Any:
        """All columns as a pandas frame.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        return export.pandas(self.frame)

    def polars(self) -> pl.DataFrame:
        """The frame."""
        return self.frame
