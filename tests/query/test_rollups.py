from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import lake
from lake.errors import QueryError
from lake.query.kept import LARGE
from tests.query import trade_oracle as oracle
from tests.query.test_trade_views import NOW, assert_same, random_lives, states_then, statistics
from tests.query.trade_oracle import START

ROWS = LARGE + 500


@pytest.fixture(scope="module")
def trades() -> list[dict[str, Any]]:
    """Two batches, each of them a large file, closed over the two months before NOW."""
    first, second = oracle.random_trades(31, ROWS, days=66), oracle.random_trades(32, ROWS, days=66, mode="paper")
    ends = [NOW - timedelta(days=back, microseconds=off) for back in (7, 30) for off in (-1, 0, 1)]
    for t, end in zip(first, ends, strict=False):
        t["closed_at"], t["opened_at"] = end, None
    return [*first, *second]


@pytest.fixture(scope="module")
def lk(tmp_path_factory: pytest.TempPathFactory, trades: list[dict[str, Any]]) -> Iterator[lake.Lake]:
    with lake.open(tmp_path_factory.mktemp("rollups") / "lake") as opened:
        for batch in (trades[:ROWS], trades[ROWS:]):
            opened.write("trades", pl.DataFrame(batch, infer_schema_length=None))
        yield opened


def scans_files(lk: lake.Lake) -> bool:
    """Whether the statistics are computed from a file, not from what is kept alone."""
    return "parquet" in str(lk.sql("EXPLAIN SELECT * FROM trade_statistics").fetchall()).lower()


def kept(trades: list[dict[str, Any]], mode: str = "live", **window: Any) -> list[dict[str, Any]]:
    """The trades of a mode that closed later than the moment after, and not later than the moment until."""
    after, until = window.get("after", START), window.get("until", NOW)
    return [t for t in trades if t["mode"] == mode and after < t["closed_at"] <= until]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
@pytest.mark.parametrize(("period", "days"), [("all", 100), ("30d", 30), ("7d", 7)])
def test_sums_kept_from_files_give_the_figures_of_all_trades(
    lk: lake.Lake, trades: list[dict[str, Any]], zone: str, period: str, days: int
) -> None:
    rows = statistics(lk, period=period, time_zone=zone)
    assert [row["mode"] for row in rows] == ["live", "paper"]
    assert not scans_files(lk)
    for row in rows:
        members = kept(trades, row["mode"], after=NOW - timedelta(days=days))
        assert_same(row, oracle.figures(members, zone=zone))


@pytest.mark.parametrize("back", [timedelta(0), timedelta(days=20, hours=5, seconds=1)])
@pytest.mark.parametrize("days", [None, 11])
def test_kept_sums_know_the_variables_days_and_now(
    lk: lake.Lake, trades: list[dict[str, Any]], back: timedelta, days: int | None
) -> None:
    now = NOW - back
    window = {} if days is None else {"days": days}
    after = now - timedelta(days=days or 1000)
    rows = statistics(lk, "trade_statistics_by_strategy", now=now, **window)
    assert len(rows) == 6
    for row in rows:
        members = [
            t for t in kept(trades, row["mode"], after=after, until=now) if (t["strategy"] or "") == row["strategy"]
        ]
        assert_same(row, oracle.figures(members))
    for row in statistics(lk, "trade_statistics_by_bot", "7d", now=now, **window):
        members = kept(trades, row["mode"], after=now - timedelta(days=7), until=now)
        assert_same(row, oracle.figures([t for t in members if t["bot_id"] == row["bot_id"]]))


def test_rows_that_hot_overrides_are_in_no_kept_sum_and_an_older_version_keeps_its_figures(
    lk: lake.Lake, trades: list[dict[str, Any]]
) -> None:
    before = statistics(lk)
    lk.tag("before")
    changed = {**trades[ROWS + 5], "pnl": 1e6, "closed_at": NOW - timedelta(days=1)}
    added = {**trades[3], "trade_id": "z", "pnl": -5e5, "closed_at": NOW - timedelta(hours=1)}
    lk.write("trades", [changed, added])
    assert scans_files(lk)
    now = [*trades[: ROWS + 5], changed, *trades[ROWS + 6 :], added]
    for row in statistics(lk):
        assert_same(row, oracle.figures(kept(now, row["mode"])))
    older = lk.at(tag="before").read("trade_statistics", {"period": "all"}, variables={"now": NOW}).to_dicts()
    for row, then in zip(older, before, strict=True):
        assert_same(row, {k: v for k, v in then.items() if isinstance(v, (int, float))})


@pytest.mark.parametrize("all_closed", [True, False])
def test_kept_sums_know_what_was_open_at_a_moment(tmp_path: Path, all_closed: bool) -> None:
    lives = oracle.random_trades(44, ROWS) if all_closed else random_lives(43, ROWS)
    lives = [{**t, "symbol": "BTCUSDT", "strategy": None} for t in lives]
    with lake.open(tmp_path / "lake") as opened:
        opened.write("trades", pl.DataFrame(lives, infer_schema_length=None))
        for now in [START + timedelta(hours=hours) for hours in (1.5, 700.25, 1500)]:
            expected = states_then(lives, now)
            (found,) = statistics(opened, now=now)
            names = {name: name if name == "trades" else f"{name}_trades" for name in expected}
            assert {name: found[column] for name, column in names.items()} == expected
            plan = opened.frame("EXPLAIN SELECT * FROM trade_statistics", variables={"now": now})
            assert ("parquet" in str(plan.rows()).lower()) is not all_closed  # sums are kept of those that are over


@pytest.mark.parametrize("macro", ["trade_sums", "TRADE_SUMS"])
def test_a_statement_that_gives_a_macro_a_table_of_its_own_has_the_sums_of_that_table(
    lk: lake.Lake, macro: str
) -> None:
    mine = "WITH mine AS (SELECT * FROM trades WHERE mode = 'live' AND pnl > 0)"
    expected = lk.frame(f"{mine} SELECT count(*)::BIGINT FROM mine WHERE has_result(status, pnl, closed_at)").item()
    assert 0 < expected < ROWS
    assert lk.frame(f"{mine} SELECT sum(n)::BIGINT FROM {macro}('mine') WHERE state = 'closed'").item() == expected
    figures = f"{mine} SELECT trades FROM trade_figures('mine', 'bot_configs', '') WHERE period = 'all'"
    assert lk.frame(figures).item() == expected


@pytest.mark.parametrize("where", [None, {"period": "all"}])
def test_reading_a_view_by_its_name_uses_kept_sums(tmp_path: Path, where: dict[str, str] | None) -> None:
    with lake.open(tmp_path / "lake") as opened:
        opened.write("trades", pl.DataFrame(oracle.random_trades(45, ROWS), infer_schema_length=None))
        before = opened.read("trade_statistics", where, variables={"now": NOW})
        assert before.height
        for file in (tmp_path / "lake" / "trades").rglob("*.parquet"):
            file.write_bytes(bytes(file.stat().st_size // 2) + file.read_bytes()[file.stat().st_size // 2 :])
        again = opened.read("trade_statistics", where, variables={"now": NOW})
        assert_frame_equal(again, before)  # but for the order in which DuckDB's threads add floats up
        with pytest.raises(QueryError):
            opened.frame("SELECT sum(pnl) FROM trades")
