"""Which candles an import has had already: a bit for each place on a series' grid, so that it fits into memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from lake.spec import timeframes

_BLOCK = 1 << 16  # places of which the bits lie together: 8 KiB
_SERIES = ["venue", "symbol", "timeframe"]
_Bits = npt.NDArray[np.uint8]


class SeenCandles:
    """Tells which candles have the key of another; of those in one frame the last counts, of frames the first."""

    def __init__(self) -> None:
        self._bits: dict[tuple[object, ...], dict[int, _Bits]] = {}

    def repeated(self, candles: pl.DataFrame) -> pl.Series:
        """Which candles have the key of a later one in this frame, or of one in an earlier frame.

        Args:
            candles: on the grids of their timeframes.
        """
        where = candles.with_row_index("row").with_columns(pl.col("open_time").dt.timestamp("us"))
        found = np.zeros(candles.height, dtype=bool)
        for series, rows in where.partition_by(_SERIES, as_dict=True, maintain_order=True).items():
            places = rows["open_time"].to_numpy() // timeframes.micros(str(series[2]))
            found[rows["row"].to_numpy()] = self._repeated(series, places)
        return pl.Series("repeated", found)

    def _repeated(self, series: tuple[object, ...], places: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        found = np.ones(len(places), dtype=bool)
        found[len(places) - 1 - np.unique(places[::-1], return_index=True)[1]] = False
        blocks = self._bits.setdefault(series, {})
        for block in np.unique(places // _BLOCK).tolist():
            mine = np.flatnonzero(places // _BLOCK == block)
            bits = np.unpackbits(blocks.get(block, np.zeros(_BLOCK // 8, dtype=np.uint8)))
            inside = places[mine] % _BLOCK
            found[mine] |= bits[inside] == 1
            bits[inside] = 1
            blocks[block] = np.packbits(bits)
        return found
