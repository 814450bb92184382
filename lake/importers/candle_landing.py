"""Candles of a store into the lake, frame by frame: as many as a bot has gathered in years, in bounded memory."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
import polars as pl

from lake.importers.base import Frames, Notes
from lake.importers.refusals import Refusals
from lake.importers.report import TableReport
from lake.importers.seen_candles import SeenCandles
from lake.kernels import ohlcv
from lake.ledgers.writer import BULK_ROWS

_REPEATED = "another row of this table has its time, and tells it otherwise"
_KEY = ["venue", "symbol", "timeframe", "open_time"]


class CandleLanding:
    """What becomes of the candles of one table.

    Args:
        lk: an open lake; None when there is none yet, in a plan.
        refusals: keeps what does not fit.
        write: False for a plan only.
    """

    def __init__(self, lk: Any, refusals: Refusals, *, write: bool) -> None:
        self._lk, self._refusals, self._write = lk, refusals, write
        self._counts: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._seen = SeenCandles()

    def take(self, frames: Frames) -> None:
        """Land some candles; they are durable when this returns."""
        self._counts["found"] += frames.found
        wrong = ohlcv.violations(frames.good)
        bad = frames.good.filter(wrong.is_not_null())
        for row, reason in zip(bad.iter_rows(named=True), wrong.drop_nulls(), strict=True):
            self._refuse(row, reason)
        for row in frames.refused.iter_rows(named=True):
            self._refuse(orjson.loads(row["row"]), row["reason"])
        good = self._once(frames.good.filter(wrong.is_null()) if bad.height else frames.good)
        counts = self._land(good) if self._write else self._planned(good)
        self._counts.update(counts)

    def _once(self, good: pl.DataFrame) -> pl.DataFrame:
        """One candle of each time: the others are refused, if they tell it otherwise."""
        good, again = self._seen.sorted_out(good)
        if not again.any():
            return good
        kept, others = good.filter(~again), good.filter(again)
        otherwise = others.join(kept, on=good.columns, how="anti", nulls_equal=True)
        self._counts["unchanged"] += others.height - otherwise.height
        for row in otherwise.iter_rows(named=True):
            self._refuse(row, _REPEATED)
        return kept

    def _land(self, good: pl.DataFrame) -> dict[str, int]:
        fresh = good
        if good.height < BULK_ROWS:  # so few would go through hot, which takes a row again though it is there already
            there = self._there(good).select(pl.col(name).cast(dtype) for name, dtype in good.schema.items())
            fresh = good.join(there, on=good.columns, how="anti", nulls_equal=True)
        receipt = self._lk.candles.write_checked(fresh, unique=True)
        self._counts["refused"] += receipt.rejected
        unchanged = receipt.unchanged + good.height - fresh.height
        return {"inserted": receipt.inserted, "changed": receipt.updated, "unchanged": unchanged}

    def _planned(self, good: pl.DataFrame) -> dict[str, int]:
        """What a write would do."""
        if self._lk is None or good.is_empty():
            return {"inserted": good.height}
        there = self._there(good).select([*_KEY, "open", "high", "low", "close", "volume"])
        both = good.join(there, on=_KEY, how="inner", suffix="_there")
        same = both.filter(
            [pl.col(n).eq_missing(pl.col(f"{n}_there")) for n in ("open", "high", "low", "close", "volume")]
        )
        changed = both.height - same.height
        return {"inserted": good.height - both.height, "changed": changed, "unchanged": same.height}

    def _there(self, good: pl.DataFrame) -> pl.DataFrame:
        """The lake's candles of the same symbols and span."""
        symbols = good["symbol"].unique().to_list()
        span = [good["open_time"].min(), good["open_time"].max(), symbols]
        sql = "SELECT * FROM candles WHERE open_time BETWEEN ? AND ? AND list_contains(?, symbol)"
        there: pl.DataFrame = self._lk.frame(sql, span)
        return there

    def _refuse(self, found: Any, reason: str) -> None:
        self._counts["refused"] += 1
        self._reasons[reason.split(",", maxsplit=1)[0]] += 1
        if self._write:
            self._refusals.add("candles", found, reason)

    def report(self, table: str, notes: Notes) -> TableReport:
        """What became of all candles so far."""
        counts = self._counts
        return TableReport(
            table, "candles", counts["found"], counts["inserted"] + counts["changed"], counts["changed"],
            counts["unchanged"], counts["refused"], dict(self._reasons), notes=tuple(notes.texts), failed=notes.failed,
        )  # fmt: skip
