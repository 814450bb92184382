"""The views of prompts, made of sums that are kept of large files, held to one pass over all decisions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import lake
from lake.query.kept import LARGE
from tests.query import signal_rows as rows

ROWS = LARGE + 500
LATER = rows.START + timedelta(days=7, hours=5)
KNOWN = {"m1": "2026-03-04", "m*": "2026-03-06"}
VIEWS = ("prompt_performance", "confidence_calibration")
ONE_PASS = {
    name: Path(__file__).with_name(f"one_pass_{name}.sql").read_text(encoding="utf-8").partition("\n")[2]
    for name in VIEWS
}


def table(seed: int, prefix: str, **same: Any) -> pl.DataFrame:
    """As many decisions as make a large file, of two bots: with NaN, nulls, no prompt, no outcome yet."""
    made = rows.decisions(Random(seed), ROWS)
    named = [{**row, "decision_id": f"{prefix}{row['decision_id']}", **same} for row in made]
    return pl.DataFrame(named, infer_schema_length=None).drop("market_snapshot")


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lake.Lake]:
    """Two large files of decisions, some of which name a trade that is not there."""
    with lake.open(tmp_path_factory.mktemp("settled") / "lake", bot_id="tester") as opened:
        for number, prefix in enumerate("ab"):
            opened.write("decisions", table(number, prefix))
        opened.write("prompt_versions", [{"version": "v1", "name": "first", "is_active": True}])
        yield opened


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake", bot_id="tester") as opened:
        yield opened


def assert_one_pass(lk: lake.Lake | lake.LakeView, **variables: Any) -> None:
    """Each figure of each row, twice: when the sums are computed, and when they are there."""
    for name in (*VIEWS, *VIEWS):
        expected = lk.frame(ONE_PASS[name], variables=variables)
        assert expected.height
        assert_frame_equal(lk.read(name, variables=variables), expected, rel_tol=1e-9, abs_tol=1e-9)


def files_scanned(lk: lake.Lake, **variables: Any) -> int:
    """How many files the calibration is computed from, beside what is kept."""
    plan = str(lk.frame("EXPLAIN SELECT * FROM confidence_calibration", variables=variables).rows())
    return plan.lower().count("read parquet")


def test_sums_kept_of_files_give_the_figures_of_one_pass(settled: lake.Lake) -> None:
    assert_one_pass(settled)
    assert not files_scanned(settled)


def test_kept_sums_know_the_knowledge_cutoffs(settled: lake.Lake) -> None:
    assert_one_pass(settled, knowledge_cutoffs=KNOWN)
    assert not files_scanned(settled, knowledge_cutoffs=KNOWN)
    inside = settled.read("prompt_performance", variables={"knowledge_cutoffs": KNOWN})["inside_training_period"].sum()
    assert 0 < inside < 2 * ROWS
    assert_one_pass(settled)


@pytest.mark.parametrize("variables", [{"now": LATER}, {"days": 3, "now": LATER}, {"days": 100_00}])
def test_who_looks_back_or_at_some_days_asks_no_kept_sums(settled: lake.Lake, variables: dict[str, Any]) -> None:
    assert_one_pass(settled, **variables)
    assert files_scanned(settled, **variables)


def test_a_file_that_hot_may_override_is_summed_anew_and_an_older_version_keeps_its_figures(lk: lake.Lake) -> None:
    first, second = table(3, "a"), table(4, "b")
    lk.write("decisions", first)
    lk.write("decisions", second)
    before = {name: lk.read(name) for name in VIEWS}
    lk.tag("before")
    changed = {**first.row(7, named=True), "prompt_version": "v9", "confidence": 0.25, "cost_usd": 5.0}
    added = {**first.row(8, named=True), "decision_id": "ad-new", "outcome_correct": True, "latency_ms": 1e6}
    lk.write("decisions", [changed, added])
    assert_one_pass(lk)
    assert files_scanned(lk) == 1
    for name, frame in before.items():
        assert_frame_equal(lk.at(tag="before").read(name), frame, rel_tol=1e-9)
    lk.drain()
    lk.compact("decisions")
    assert_one_pass(lk)
    assert not files_scanned(lk)
    assert "v9" not in lk.read("prompt_performance")["prompt_version"].to_list()  # what it said is as it was then


def test_outcomes_that_were_corrected_count_as_they_are_now_and_as_they_were_then(lk: lake.Lake) -> None:
    lk.write("decisions", table(5, "a", recommendation="LONG", outcome_correct=None, outcome_recorded_at=None))
    found = lk.read("decisions").head(3)
    for number, (which, at) in enumerate(found.select("decision_id", "analyzed_at").iter_rows()):
        lk.decisions.resolve(which, outcome_correct=True, actual_pnl=float(number), at=at + timedelta(hours=1))
        lk.decisions.correct(which, outcome_correct=False, actual_pnl=-2.0, at=at + timedelta(days=30))
    assert_one_pass(lk)
    lk.drain()
    assert_one_pass(lk)
    assert not files_scanned(lk)
    assert_one_pass(lk, now=LATER + timedelta(days=10))


def test_money_is_that_of_trades_as_soon_as_one_names_a_decision(lk: lake.Lake) -> None:
    lk.write("decisions", table(6, "a", trade_id=None, traded=False))
    assert_one_pass(lk)
    assert lk.read("prompt_performance")["closed"].sum() == 0
    for number, status in enumerate(("closed", "closed", "open")):
        trade = {"trade_id": f"t{number}", "symbol": "BTCUSDT", "side": "LONG", "status": status, "pnl": 3.0 - number}
        lk.write("trades", [{**trade, "decision_id": f"ad{number}", "created_at": LATER, "closed_at": LATER}])
    for settle in (False, True):
        if settle:
            lk.drain()
        assert_one_pass(lk)
        assert lk.read("prompt_performance")["total_pnl"].sum() == 5.0


def test_sums_as_many_as_the_decisions_are_not_kept(lk: lake.Lake) -> None:
    numbers = pl.int_range(ROWS, eager=True).cast(pl.String)
    lk.write("decisions", table(8, "a").with_columns(symbol="X" + numbers + "USDT", recommendation=pl.lit("LONG")))
    assert_one_pass(lk)
    assert files_scanned(lk) == 1


@pytest.mark.parametrize("macro", ["prompt_sums", "CONFIDENCE_SUMS"])
def test_a_statement_that_gives_a_macro_a_table_of_its_own_has_the_sums_of_that_table(
    settled: lake.Lake, macro: str
) -> None:
    mine = "WITH mine AS (SELECT * FROM decisions_as_decided WHERE symbol = 'BTCUSDT') SELECT sum(n), sum(inside) FROM"
    expected = settled.frame(f"{mine} {'sums_by_prompt' if macro[0] == 'p' else 'sums_by_confidence'}('mine', '')")
    assert 0 < expected.row(0)[0] < ROWS
    assert_frame_equal(settled.frame(f"{mine} {macro}('mine')"), expected)


def test_names_of_what_is_kept_may_stand_in_any_text(lk: lake.Lake) -> None:
    text = "trade_figures, prompt_sums, confidence_sums and decisions_and_money"
    assert lk.frame(f"SELECT '{text}' AS x").item() == text
