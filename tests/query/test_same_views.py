"""Every view gives the same in a lake, which shortens it where nothing is held, as in a catalogue, in its full text."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

import lake
from lake.query.engine import fetched
from lake.spec import registry
from tests.exporters import made
from tests.helpers import trade

NOW = datetime(2024, 12, 28, 1, tzinfo=UTC)
NAMES = registry.names()
HELD = {
    "nothing": [],
    "one row of each": [*NAMES],
    "every second dataset": [*NAMES[::2]],
    "the other half": [*NAMES[1::2]],
    "trades alone": ["trades"],
    "all but trades": [name for name in NAMES if name != "trades"],
}


def told(frame: pl.DataFrame) -> tuple[list[tuple[str, pl.DataType]], list[str]]:
    """Its columns with their types, and its rows in any order; NaN is NaN."""
    return list(frame.schema.items()), sorted(map(repr, frame.iter_rows()))


def in_full(catalogue: Path, name: str) -> pl.DataFrame:
    with duckdb.connect(str(catalogue), read_only=True) as other:
        other.execute(f"SET TimeZone = 'UTC'; SET VARIABLE now = '{NOW.isoformat()}'::TIMESTAMPTZ")
        return fetched(other.sql(f"SELECT * FROM {name}"))


@pytest.mark.parametrize("held", HELD.values(), ids=HELD)
def test_every_view_is_the_same_as_by_its_full_text(tmp_path: Path, held: list[str]) -> None:
    with lake.open(tmp_path / "lake", bot_id="b1") as lk:
        for name in held:
            assert lk.write(name, made.rows(registry.get(name))[1]).inserted == 1
        waiting = {view: told(lk.read(view, variables={"now": NOW})) for view in lake.views()}
        lk.drain()
        catalogue = lk.publish(tmp_path / "all.duckdb")
        counts = dict(lk.frame("SELECT dataset, rows FROM lake_stats").iter_rows())
        for view in lake.views():
            expected = told(in_full(catalogue, view))
            assert waiting[view] == expected, view
            assert told(lk.read(view, variables={"now": NOW})) == expected, view
            assert told(lk.read(view, {}, variables={"now": NOW})) == expected, view
            assert told(lk.read(view, "true", variables={"now": NOW})) == expected, view
            assert told(lk.frame(f"SELECT * FROM {view}", variables={"now": NOW})) == expected, view
    assert counts == {name: int(name in held) for name in NAMES}


def test_a_dataset_that_holds_nothing_is_a_table_beside_the_view_that_skips_it(tmp_path: Path) -> None:
    asked = "SELECT count(*) FROM lake_stats AS s LEFT JOIN trades AS t ON s.dataset = t.trade_id"
    hidden = "SELECT count(*) FROM lake_stats, (SELECT count(*) FROM query_table('fil' || 'ls'))"
    with lake.open(tmp_path / "lake") as lk:
        assert lk.frame(asked).item() == lk.frame(hidden).item() == len(NAMES)
        listed = lk.frame("SELECT table_name FROM information_schema.tables, (SELECT count(*) FROM lake_stats)")
    assert set(listed["table_name"]) == {*NAMES, *lake.views()}


def test_a_view_of_few_rows_is_told_in_its_order(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b") as lk:
        for number, pnl in enumerate((3.0, -7.0, 12.0, 0.0, 5.0)):
            lk.write("trades", trade(number, symbol=f"S{number}USDT", status="closed", pnl=pnl, closed_at=NOW))
        found = lk.read("trade_statistics_by_symbol", {"period": "all"})
        assert found["total_pnl"].to_list() == [12.0, 5.0, 3.0, 0.0, -7.0]
        assert found.equals(lk.frame("SELECT * FROM trade_statistics_by_symbol WHERE period = 'all'"))
