"""Which trades a later run may need again: those of candles whose neighbouring trades have not all been seen."""

from __future__ import annotations

import polars as pl

from lake.kernels import ticks
from lake.sources.base import HELD_TICKS

_KEY = [*ticks.MARKET, "open_time"]


class Unsettled:
    """Looks at the trades of whole candles, piece by piece in order of time.

    A trade is settled when the ones next to it are known: by consecutive numbers as ids, else by standing next to it in
    the same file. A candle is settled when all its trades are.

    Args:
        timeframe: of the candles.
    """

    def __init__(self, timeframe: str) -> None:
        self._timeframe = timeframe
        self._last: pl.DataFrame | None = None  # candles that the next piece tells more of

    def take(self, trades: pl.DataFrame) -> pl.DataFrame:
        """The trades to keep, in the columns of ``HELD_TICKS``; those of the last candle are decided later.

        Args:
            trades: each once, in the columns of ``HELD_TICKS`` with ``file``, which is negative for kept ones.
        """
        together = trades if self._last is None else pl.concat([self._last, trades])
        judged = _judged(together.with_columns(ticks.opening(self._timeframe)))
        last = judged.select(pl.col("open_time") == pl.col("open_time").max().over(*ticks.MARKET)).to_series()
        self._last = judged.filter(last).select(trades.columns)
        return _loose(judged.with_columns(decided=~last))

    def rest(self) -> pl.DataFrame:
        """The last trades to keep."""
        last, self._last = self._last, None
        if last is None:
            return pl.DataFrame(schema=HELD_TICKS)
        return _loose(last.with_columns(ticks.opening(self._timeframe), decided=pl.lit(True)))


def _judged(trades: pl.DataFrame) -> pl.DataFrame:
    """``before`` and ``after`` made true where the trade next to one is known."""
    single = all(trades[name].n_unique() == 1 for name in ticks.MARKET)
    numbered = trades.with_columns(_id=pl.col("trade_id").cast(pl.Int64, strict=False))
    if not single or trades["file"].n_unique() > 1:
        numbered = numbered.sort(*ticks.MARKET, "time", "_id", nulls_last=True, maintain_order=True)
    same = pl.lit(True) if single else pl.all_horizontal(pl.col(n) == pl.col(n).shift(1) for n in ticks.MARKET)
    step = pl.col("_id") - pl.col("_id").shift(1) == 1
    beside = (pl.col("file") >= 0) & (pl.col("file") == pl.col("file").shift(1))
    unnumbered = pl.col("_id").is_null() & pl.col("_id").shift(1).is_null()
    joined = numbered.with_columns(_joined=(same & pl.when(unnumbered).then(beside).otherwise(step)).fill_null(False))
    return joined.with_columns(
        before=pl.col("before") | pl.col("_joined"),
        after=pl.col("after") | pl.col("_joined").shift(-1, fill_value=False),
    ).drop("_id", "_joined")


def _loose(trades: pl.DataFrame) -> pl.DataFrame:
    """Trades of candles that are ``decided`` and not settled."""
    open_end = ~(pl.col("before") & pl.col("after")) & pl.col("decided")
    if not trades.select(open_end.any()).item():
        return pl.DataFrame(schema=HELD_TICKS)
    return trades.filter(open_end.any().over(_KEY)).select(list(HELD_TICKS))
