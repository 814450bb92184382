"""Two million candles at once, from an Arrow table."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

import lake
from benchmarks.base import Bench, Result, check, medians, shown
from benchmarks.market import Market, market_of
from benchmarks.peers import arctic, indexed, pandas_by_symbol, write_arctic

_SAME = "ArcticDB from the same Arrow table"


def run(bench: Bench) -> Result:
    """Every round writes into a new store, opened before the clock starts; ArcticDB has finished frames but once."""
    market = market_of(bench)
    works: dict[str, _Work] = {"lake": _Lake(bench.folder, market), "pyarrow zstd": _Parquet(bench.folder, market)}
    if arctic(bench.folder / "probe") is not None:
        works["ArcticDB by symbol"] = _Arctic(bench.folder, market)
        works["ArcticDB one frame"] = _ArcticWhole(bench.folder, market)
        works[_SAME] = _ArcticFromArrow(bench.folder, market)
    found = medians(works, rounds=5, before={name: work.prepare for name, work in works.items()})
    for work in works.values():
        work.check()
    theirs = {n: s for n, s in found.items() if n.startswith("ArcticDB")}
    ratio = found["lake"] / theirs[_SAME] if theirs else None
    strict = f" ({found['lake'] / min(theirs.values()):.2f}x ArcticDB given finished pandas frames)" if theirs else ""
    return Result(
        "bulk_write",
        f"bulk write of {market.table.num_rows:,} candles from Arrow",
        "<= 1.0x ArcticDB (LMDB)",
        f"{found['lake']:.2f} s{strict}",
        shown({n: s for n, s in found.items() if n != "lake"}, "s"),
        ratio,
        None if ratio is None else ratio <= 1.0,
        {"seconds": found, "rows": market.table.num_rows},
    )


class _Work:
    """Writes the market into a store that is new each time."""

    def __init__(self, folder: Path, market: Market) -> None:
        self.folder = folder / type(self).__name__
        self.market = market

    def prepare(self) -> None:
        """An empty store."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def __call__(self) -> None:
        raise NotImplementedError

    def check(self) -> None:
        """The last store holds the market."""


class _Lake(_Work):
    lk: lake.Lake | None = None

    def prepare(self) -> None:
        if self.lk is not None:
            self.lk.close()
        super().prepare()
        self.lk = lake.open(self.folder)

    def __call__(self) -> None:
        if self.lk is not None:
            self.lk.candles.write(self.market.table, "1m")

    def check(self) -> None:
        if self.lk is not None:
            held = self.lk.candles.read(None, "1m", columns=self.market.table.column_names)
            check(held.equals(self.market.frame), "the candles written are not those read")
            self.lk.close()


class _Parquet(_Work):
    def prepare(self) -> None:
        super().prepare()
        self.folder.mkdir()

    def __call__(self) -> None:
        pq.write_table(self.market.table, self.folder / "candles.parquet", compression="zstd")


class _Arctic(_Work):
    """One time series per symbol, all in one batch."""

    def __init__(self, folder: Path, market: Market) -> None:
        super().__init__(folder, market)
        self.frames = pandas_by_symbol(market)
        self.kept: Any = None

    def prepare(self) -> None:
        self.kept = None
        super().prepare()
        self.kept = arctic(self.folder)

    def __call__(self) -> None:
        write_arctic(self.kept, self.frames)

    def check(self) -> None:
        held = sum(len(self.kept.read(symbol).data) for symbol in self.market.symbols)
        check(held == self.market.table.num_rows, f"ArcticDB holds {held} rows")


class _ArcticFromArrow(_Arctic):
    """The same, from where the lake begins: the table becomes pandas frames while the clock runs."""

    def __call__(self) -> None:
        write_arctic(self.kept, pandas_by_symbol(self.market))


class _ArcticWhole(_Arctic):
    """All symbols in one frame, by time, with the symbol as a column."""

    def __init__(self, folder: Path, market: Market) -> None:
        super().__init__(folder, market)
        ordered = market.frame.sort("open_time", maintain_order=True)
        self.whole = indexed(ordered)
        names = ordered["symbol"].to_list()
        self.whole["symbol"] = pd.Series(names, dtype=object, index=self.whole.index)  # it takes no other text

    def __call__(self) -> None:
        self.kept.write("candles", self.whole)

    def check(self) -> None:
        check(len(self.kept.read("candles").data) == self.market.table.num_rows, "ArcticDB's rows")
