"""What travels from the readers to the writer: rows for the lake, and the tally of what did not become one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from lake.sources.base import HELD_TICKS, Batch, no_rejects


@dataclass(frozen=True, slots=True)
class Tally:
    """Rows of one file that were read, refused and left out in one step."""

    file: int
    rows_in: int
    rejected: pl.DataFrame = field(default_factory=no_rejects)
    duplicate: int = 0
    notes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows for one dataset.

    Attributes:
        dataset: ``candles`` or ``market_metrics``.
        frame: the rows, in the dataset's columns.
        tallies: of the files they were made from.
        folded: whether the candles are made of trades, so that one may be made of fewer than the lake's.
        shares: ``row`` (place in the frame), ``file``, ``rows`` (how many rows of that file are in it).
        held: trades to keep, since a later run may add to their candles.
        used: what earlier runs kept and this one has read.
    """

    dataset: str
    frame: pl.DataFrame
    tallies: tuple[Tally, ...]
    folded: bool = False
    shares: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(schema={"row": pl.Int64, "file": pl.Int64, "rows": pl.Int64})
    )
    held: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=HELD_TICKS))
    used: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many it holds in memory: for the lake, refused and kept ones."""
        return self.frame.height + self.held.height + sum(tally.rejected.height for tally in self.tallies)

    @classmethod
    def of(cls, file: int, batch: Batch) -> Piece:
        """A batch whose every row is one row of the file."""
        rows = pl.int_range(batch.frame.height, eager=True)
        shares = pl.DataFrame({"row": rows}).with_columns(
            file=pl.lit(file, dtype=pl.Int64), rows=pl.lit(1, dtype=pl.Int64)
        )
        tally = Tally(file, batch.rows_in, batch.rejected, batch.duplicate, batch.notes)
        return cls(batch.dataset, batch.frame, (tally,), shares=shares)
