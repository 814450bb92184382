"""Candles of a store into the lake, frame by frame: as many as a bot has gathered in years, in bounded memory."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import orjson
import polars as pl

from lake.importers.base import Frames, Notes
from lake.importers.candle_merging import MergedCandles, merged_candles
from lake.importers.refusals import Refusals
from lake.importers.report import KEPT_DIFFERENCES, Difference, TableReport
from lake.importers.seen_candles import SeenCandles
from lake.importers.turns import ImportTurn
from lake.kernels import ohlcv
from lake.ledgers.bulk import resting_on_a_look
from lake.ledgers.receipt import Receipt
from lake.spec import registry
from lake.store.cold.table_state import TableState

_DS = registry.get("candles")
_REPEATED = "another row of this table has its time, and tells it otherwise"


class CandleLanding:
    """What becomes of the candles of one table.

    Args:
        lk: an open lake; None when there is none yet, in a plan.
        refusals: keeps what does not fit.
        turn: to be had from the look at what is there until candles are written.
        write: False for a plan only.
    """

    def __init__(self, lk: Any, refusals: Refusals, turn: ImportTurn, *, write: bool) -> None:
        self._lk, self._refusals, self._turn, self._write = lk, refusals, turn, write
        self._counts: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._seen = SeenCandles()
        self._differences: list[Difference] = []
        self._differing = 0

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
        with self._turn.held():
            self._counts.update(self._land(good))

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
        """Write what is new, and what the lake's candles become; or tell what a write would do."""
        if self._lk is None or good.is_empty():
            return {"inserted": good.height}
        if self._write:
            both, counts = resting_on_a_look(self._lk.writer, _DS, partial(self._merged_and_written, good))
        else:
            both = merged_candles(good, self._there(good))
            counts = {"inserted": both.new.height, "changed": both.changed.height, "unchanged": both.unchanged}
        self._differing += both.otherwise.height
        self._differences += map(_difference, both.otherwise.head(KEPT_DIFFERENCES - len(self._differences)).rows())
        return counts

    def _merged_and_written(self, good: pl.DataFrame, seen: TableState | None) -> tuple[MergedCandles, dict[str, int]]:
        both = merged_candles(good, self._there(good))
        fresh = pl.concat([both.new, both.changed], how="diagonal_relaxed") if both.changed.height else both.new
        done = self._lk.candles.write_checked(fresh, unique=True, seen=seen) if fresh.height else Receipt()
        counts = {"inserted": done.inserted, "changed": done.updated, "unchanged": both.unchanged + done.unchanged}
        return both, counts | {"refused": done.rejected}

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
            counts["unchanged"], counts["refused"], dict(self._reasons), tuple(self._differences), self._differing,
            notes=tuple(notes.texts), failed=notes.failed,
        )  # fmt: skip


def _difference(told: tuple[Any, ...]) -> Difference:
    venue, symbol, timeframe, at, column, kept, found = told
    return Difference("candles", f"{venue}, {symbol}, {timeframe}, {at.isoformat()}", column, kept, found)
