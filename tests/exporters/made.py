"""Rows of every dataset with values that are hard to carry, and what a lake holds of them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl

import lake
from lake.spec import registry
from lake.spec.dataset import Column, Dataset, Type
from lake.spec.rules import Needed

HARD_TEXTS = (
    'a "quoted", comma', "line\nbreak\r", "überall 漢字 🚀", " blanks ", "\\N", "null", "NaN", "1e5", "true",
    "2024-01-01", "'; drop table trades --", "tab\tand\x01",
)  # fmt: skip
HARD_NUMBERS = (0.1 + 0.2, 5e-324, 1.2345678901234567e300, 123456789.12345679, 1e-7, 2 / 3)
DOCUMENTS = ('{"a": 1, "b": [1.50, null, "x\\"y"]}', '"text"', "5", "[]", '{"π":"\\u00e9 \\n"}', '{"deep":{"er":{}}}')
_LEVELS = {"stop_loss": 90.0, "entry_price": 100.0, "tp1": 110.0, "take_profit": 110.0, "tp2": 120.0, "tp3": 130.0}
_AT = datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC)


def rows(ds: Dataset) -> list[dict[str, Any]]:
    """Some rows: full ones of hard values, and one with nothing but what is required."""
    return [*(_row(ds, number, full=True) for number in range(12)), _row(ds, 12, full=False)]


def filled(lk: lake.Lake) -> None:
    """A lake with rows in every dataset."""
    for ds in registry.all_datasets():
        receipt = lk.write(ds.name, rows(ds))
        assert receipt.rejected == 0, receipt.rejections[:1]


def held(lk: lake.Lake, name: str) -> pl.DataFrame:
    """All rows of a dataset, in the order of their keys."""
    return lk.read(name).sort(registry.get(name).key)


def _row(ds: Dataset, number: int, *, full: bool) -> dict[str, Any]:
    needed = {name for rule in ds.rules if isinstance(rule, Needed) for name in rule.names}
    wanted = [c for c in ds.columns if full or c.required or c.name in {*ds.key, ds.event_time, *needed}]
    made = {c.name: _value(ds, c, number) for c in wanted}
    if "open_time" in made:
        at = (
            datetime(2024 + number // 6, 1 + number, 1, tzinfo=UTC) if number < 12 else datetime(2030, 1, 1, tzinfo=UTC)
        )
        prices = {"open": 100.1 + number, "high": 101.0 + number, "low": 2 / 3, "close": 100.7, "volume": 0.1 + 0.2}
        made.update({**made, **prices, "open_time": at, "timeframe": "1m", "symbol": "BTCUSDT"})
    return made


def _value(ds: Dataset, column: Column, number: int) -> Any:
    if column.name in ds.key and column.type is Type.STRING and column.name not in {"symbol", "timeframe", "venue"}:
        return f"{column.name}-{number:02d}-{HARD_TEXTS[number % len(HARD_TEXTS)]}"
    if column.name in {"symbol", "timeframe"}:
        return "BTCUSDT.P" if column.name == "symbol" else "5m"
    if column.choices:
        return (
            "LONG"
            if column.name == "side" and "LONG" in column.choices
            else column.choices[number % len(column.choices)]
        )
    if column.name in _LEVELS:
        return _LEVELS[column.name] + number / 7
    return _of_type(column, number)


def _of_type(column: Column, number: int) -> Any:
    if column.type is Type.STRING:
        return "" if number == 11 and not column.required else HARD_TEXTS[number % len(HARD_TEXTS)]
    if column.type is Type.JSON:
        return DOCUMENTS[number % len(DOCUMENTS)]
    if column.type is Type.TIMESTAMP:
        return _AT.replace(month=1 + number % 12, day=1)
    if column.type is Type.DATE:
        return date(2024, 1 + number % 12, 28)
    if column.type is Type.BOOL:
        return (True, False)[number % 2]
    low = column.least if column.least is not None else 0
    high = column.maximum
    if column.type is Type.INT:
        return int(low) if high is not None else 2**63 - 1 - number
    value = HARD_NUMBERS[number % len(HARD_NUMBERS)]
    return value if high is None or value <= high else (low + high) / 3
