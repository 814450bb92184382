"""Which candles an import has had already: a bit for each place on a series' grid, so that it fits into memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from lake.spec import timeframes

_BLOCK = 1 << 16  # places of which the bits lie together: 8 KiB
_SERIES = ("symbol", "venue", "timeframe")  # in the order of the dataset's files
_SECOND_BITS = 33  # seconds until 2200 fit
_Bits = npt.NDArray[np.uint8]
_Ints = npt.NDArray[np.int64]


class SeenCandles:
    """Sorts candles, and tells which have the key of another; of those in one frame the last counts, else the first."""

    def __init__(self) -> None:
        self._bits: dict[tuple[object, ...], dict[int, _Bits]] = {}

    def sorted_out(self, candles: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
        """Candles in order of series and time; and of each whether a later one of the frame, or one before, counts.

        Args:
            candles: on the grids of their timeframes.
        """
        if candles.is_empty():
            return candles, pl.Series("again", [], dtype=pl.Boolean)
        keys = _series(candles) << _SECOND_BITS | candles["open_time"].dt.epoch("s").to_numpy()
        if (keys[1:] < keys[:-1]).any():
            order = np.argsort(keys, kind="stable")  # of runs in order, which is how candles come, it makes use
            candles, keys = candles[order], keys[order]
        found = np.append(keys[1:] == keys[:-1], [False])
        starts = np.flatnonzero(np.diff(keys >> _SECOND_BITS, prepend=-1))
        for start, end in zip(starts, np.append(starts[1:], len(keys)), strict=True):
            series = candles.select(_SERIES).row(int(start))
            seconds = keys[start:end] & ((1 << _SECOND_BITS) - 1)
            found[start:end] |= self._seen(series, seconds * 1_000_000 // timeframes.micros(str(series[2])))
        return candles, pl.Series("again", found)

    def _seen(self, series: tuple[object, ...], places: _Ints) -> npt.NDArray[np.bool_]:
        """Which places earlier frames have had; now all of them are had. They ascend."""
        found = np.zeros(len(places), dtype=bool)
        blocks = self._bits.setdefault(series, {})
        for block in range(int(places[0]) // _BLOCK, int(places[-1]) // _BLOCK + 1):
            first, last = np.searchsorted(places, [block * _BLOCK, (block + 1) * _BLOCK])
            if first == last:
                continue
            bits = np.unpackbits(blocks.get(block, np.zeros(_BLOCK // 8, dtype=np.uint8)))
            inside = places[first:last] % _BLOCK
            found[first:last] = bits[inside] == 1
            bits[inside] = 1
            blocks[block] = np.packbits(bits)
        return found


def _series(candles: pl.DataFrame) -> _Ints:
    """Numbers of the series that candles belong to, in their order."""
    done = np.zeros(candles.height, dtype=np.int64)
    for name in _SERIES:
        column = candles.get_column(name)
        different = column.unique().sort()
        if len(different) > 1:
            done = done * len(different) + column.cast(pl.Enum(different)).to_physical().to_numpy()
    return done
