"""Round trips of bots that hold a position for as long as they live: whatever its length, little of it is in memory."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import lake
from lake.importers.base import Notes, Row
from lake.importers.kinds import binance_trips
from lake.importers.reading.set_aside import SetAside
from tests.importers.conftest import Postgres
from tests.importers.contract import imported, rows
from tests.importers.test_binance_schema import BOT, SCHEMA, fill


class Bots:
    """A database of one bot that buys and buys, of so many executions."""

    def __init__(self, count: int) -> None:
        self._count = count

    def columns(self, _table: str) -> dict[str, str]:
        return {"bot_id": "text", "execution_time": "timestamptz", "trade_id": "uuid"}

    def rows(self, _table: str, _notes: Notes, _order_by: Sequence[str] = ()) -> Iterator[Row]:
        at = datetime(2025, 1, 1, tzinfo=UTC)
        for number in range(self._count):
            yield {
                "trade_id": f"t{number}", "bot_id": "grid", "symbol": "BTCUSDT", "side": "BUY", "is_entry": True,
                "quantity": 1.0, "price": 100.0, "execution_time": at + timedelta(seconds=number), "commission": 0.05,
                "order_id": f"o{number}", "strategy_signal": f"S{number}",
            }  # fmt: skip


@pytest.mark.parametrize("what", ["fills", "trips"])
def test_a_position_that_is_never_flat_is_not_held_in_memory(what: str) -> None:
    count, db, notes = 60_000, Bots(60_000), Notes()
    tracemalloc.start()
    if what == "fills":
        found = sum(1 for row in binance_trips.fills(db, dict, notes) if row[binance_trips.TRIP] is None)  # type: ignore[arg-type]
    else:
        found = sum(1 for _ in binance_trips.trips(db, {}, dict, notes))  # type: ignore[arg-type]
        assert notes.texts == [f"{count:,} executions are part of no whole round trip; kept as fills"]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == (count if what == "fills" else 0)
    assert peak < 20 << 20  # all of it takes 39


def test_round_trips_are_the_same_whether_they_wait_in_memory_or_on_disk(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [fill(number, "BUY", 0.1, 100 + number) for number in range(1, 10)]
    postgres.run(
        *SCHEMA.split(";"), BOT, *entries, fill(10, "SELL", 0.4, 111, pnl=4.0), fill(11, "SELL", 0.5, 112, pnl=5.0),
        fill(12, "BUY", 1, 100), fill(13, "BUY", 1, 100), fill(14, "BUY", 1, 100), fill(15, "BUY", 1, 100),
        fill(16, "SELL", 1, 100, commission_asset="BNB"),
    )  # fmt: skip
    with lake.open(tmp_path / "memory") as lk:
        imported(lk, "binance-schema", postgres.address)
        in_memory = [rows(lk, name, "*") for name in ("fills", "trades")]
    assert len(in_memory[1]) == 1
    monkeypatch.setattr(SetAside.__init__, "__defaults__", (2,))
    with lake.open(tmp_path / "disk") as lk:
        imported(lk, "binance-schema", postgres.address)
        assert [rows(lk, name, "*") for name in ("fills", "trades")] == in_memory


def test_what_is_set_aside_is_given_again_in_order_as_often_as_one_likes() -> None:
    waiting = SetAside(piece=3)
    at = datetime(2025, 1, 1, 2, 3, 4, 5, tzinfo=UTC)
    values: dict[str, Any] = {
        "at": at, "naive": at.replace(tzinfo=None), "day": at.date(), "paid": Decimal("0.0500"), "rate": 0.1,
        "raw": b"\xff\0", "text": "\udcff \N{EURO SIGN}", "more": {"a": [1, None, {"b": True}]}, "none": None,
        "large": math.inf, "count": 2**62,
    }  # fmt: skip
    given: list[Row] = [{"number": number, **values} for number in range(20)]
    for number, row in enumerate(given):
        waiting.add(row)
        assert list(waiting) == given[: number + 1]
    assert len(waiting) == 20
    assert str(list(waiting)) == str(given)
    assert list(zip(waiting, waiting, strict=True)) == list(zip(given, given, strict=True))
