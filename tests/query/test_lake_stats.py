"""The view that says what the lake holds."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import lake
from lake.spec import registry
from tests.helpers import T0, metric, trade, write_candles

START = datetime.fromtimestamp(T0 / 1000, UTC)


def test_lake_stats_has_a_row_for_every_dataset_of_an_empty_lake(tmp_path: Path) -> None:
    with lake.open(tmp_path) as lk:
        found = lk.read("lake_stats")
    assert found["dataset"].to_list() == list(registry.names())
    assert set(found["rows"]) == {0}
    with_symbol = {ds.name for ds in registry.all_datasets() if "symbol" in ds.by_name}
    assert {name for name, count in found.select("dataset", "symbols").rows() if count == 0} == with_symbol


def test_lake_stats_counts_settled_and_waiting_rows(tmp_path: Path) -> None:
    now = START + timedelta(minutes=5999)
    with lake.open(tmp_path, bot_id="b1") as lk:
        write_candles(lk, range(6000))
        write_candles(lk, range(5998, 6002), symbol="ETHUSDT")
        lk.write("trades", [trade(1), trade(2, symbol="ETHUSDT")])
        lk.drain()
        lk.write("trades", [trade(2, symbol="ETHUSDT", strategy="changed"), trade(3)])
        lk.write("market_metrics", metric(0))
        lk.write("performance_snapshots", {"bot_id": "b1", "date": date(2024, 1, 4)})
        found = {row["dataset"]: row for row in lk.read("lake_stats", variables={"now": now}).to_dicts()}
    last_day = 1441 + 2  # both ends count; two candles of the other symbol are later than now
    assert found["candles"] == {
        "dataset": "candles",
        "rows": 6004,
        "first_event": START,
        "last_event": START + timedelta(minutes=6001),
        "symbols": 2,
        "rows_last_day": last_day,
    }
    assert (found["trades"]["rows"], found["trades"]["symbols"], found["trades"]["rows_last_day"]) == (3, 2, 0)
    assert found["market_metrics"]["first_event"] == found["market_metrics"]["last_event"] == START
    assert found["performance_snapshots"]["first_event"] == datetime(2024, 1, 4, tzinfo=UTC)
    assert found["performance_snapshots"]["symbols"] is None


def test_lake_stats_counts_nothing_where_nothing_is_held(tmp_path: Path) -> None:
    def steps() -> int:
        return str(lk.frame("EXPLAIN SELECT * FROM lake_stats").rows()).lower().count("aggregate")

    with lake.open(tmp_path, bot_id="b1") as lk:
        assert steps() == 0
        lk.write("trades", [trade(1), trade(2)])
        assert steps() > 0
