"""Every dataset takes the same way: hot, seen at once, drained, compacted, the same to the last value."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import lake
from lake.spec import registry
from lake.spec.dataset import Column, Dataset, Type
from lake.spec.rules import Needed

START = datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC)
SAMPLES: dict[Type, Any] = {
    Type.STRING: lambda n: f"ä{n}'\"\n",
    Type.INT: lambda n: 2**53 + n,
    Type.FLOAT: lambda n: 0.1 + n,
    Type.BOOL: lambda n: n % 2 == 0,
    Type.TIMESTAMP: lambda n: START + timedelta(days=n),
    Type.DATE: lambda n: date(2024, 2, 28) + timedelta(days=n),
    Type.JSON: lambda n: {"deep": [n, None, {"ü": 1.5}]},
}


_UPWARDS = ("stop_loss", "entry_price", "tp1", "tp2", "tp3")


def value(ds: Dataset, column: Column, number: int) -> Any:
    """A valid value that tells the rows of one dataset apart."""
    if ds.name == "candles" and column.name == "open_time":
        return START.replace(microsecond=0, second=0) + timedelta(minutes=number)
    if ds.name == "candles" and column.type is Type.FLOAT:
        return {"high": 9.0, "low": 0.25}.get(column.name, 1.0 + number)
    if column.name == "symbol":
        return "BTCUSDT"
    if column.name == "timeframe":
        return "1m"
    if ds.name == "phantoms" and column.name in _UPWARDS:
        way = 1 if number % 2 == 0 else -1  # its side is LONG, SHORT, LONG, ...
        return 100.0 + number + way * _UPWARDS.index(column.name)
    if column.choices:
        return column.choices[number % len(column.choices)]
    if column.type in (Type.INT, Type.FLOAT) and column.maximum is not None:
        return type(SAMPLES[column.type](0))(column.maximum)
    return SAMPLES[column.type](number)


def rows(ds: Dataset, *, sparse: bool) -> list[dict[str, Any]]:
    """Five rows with every column, or with only those that are required or needed."""
    needed = {name for rule in ds.rules if isinstance(rule, Needed) for name in rule.names}
    columns = [c for c in ds.columns if c.required or c.name in needed or not sparse]
    return [{c.name: value(ds, c, n) for c in columns} for n in range(5)]


def sorted_frame(lk: lake.Lake, ds: Dataset) -> pl.DataFrame:
    return lk.read(ds.name).sort(ds.key)


@pytest.mark.parametrize("sparse", [False, True], ids=["every column", "required columns"])
@pytest.mark.parametrize("name", registry.names())
def test_rows_are_the_same_in_hot_in_cold_and_compacted(tmp_path: Path, name: str, sparse: bool) -> None:
    ds = registry.get(name)
    given = rows(ds, sparse=sparse)
    with lake.open(tmp_path, bot_id="b1") as lk:
        receipt = lk.write(name, given)
        assert (receipt.inserted, receipt.rejected) == (5, 0), receipt.rejections
        hot = sorted_frame(lk, ds)
        assert hot.height == 5
        for column in (ds.column(c) for c in given[0]):
            if column.type in (Type.TIMESTAMP, Type.INT, Type.FLOAT, Type.BOOL, Type.DATE):
                assert sorted(hot[column.name]) == sorted(row[column.name] for row in given)
        assert lk.drain().landed.inserted == 5
        assert sorted_frame(lk, ds).equals(hot)
        assert lk.write(name, given).unchanged == 5
        lk.compact()
        assert sorted_frame(lk, ds).equals(hot)
        named = {row.get("path") for row in given} if name == "model_versions" else set()  # files that nobody made
        assert [finding for finding in lk.verify().findings if finding.where not in named] == []
    with lake.open(tmp_path, create=False) as lk:
        assert sorted_frame(lk, ds).equals(hot)


def test_one_transaction_holds_rows_of_every_dataset(tmp_path: Path) -> None:
    async def work() -> None:
        async with await lake.open_async(tmp_path, bot_id="b1") as alk:
            with pytest.raises(ZeroDivisionError):
                await all_of_them(alk, fails=True)
            assert [len(await alk.read(name)) for name in registry.names()] == [0] * len(registry.names())
            await all_of_them(alk, fails=False)
            assert [len(await alk.read(name)) for name in registry.names()] == [5] * len(registry.names())

    async def all_of_them(alk: lake.AsyncLake, *, fails: bool) -> None:
        async with alk.transaction():
            for ds in registry.all_datasets():
                await alk.write(ds.name, rows(ds, sparse=False))
            assert not fails or 1 // 0

    asyncio.run(work())
