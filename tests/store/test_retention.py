"""Retention: what has been over for long enough goes, what is open or needed by it stays."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

import lake
from lake.spec import registry
from lake.store.cold.reader import Footer

OLD = datetime(2024, 3, 1, 12, tzinfo=UTC)
NOW = datetime.now(UTC)
BASE = {"symbol": "BTCUSDT", "side": "LONG", "quantity": 1.0, "entry_price": 100.0}
SIGNAL = {"symbol": "BTCUSDT", "timeframe": "1h", "direction": "LONG", "signal_time": OLD}


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake", bot_id="b1") as opened:
        yield opened


def ids(lk: lake.Lake, name: str) -> list[str]:
    found: list[str] = lk.read(name)[registry.get(name).key[0]].sort().to_list()
    return found


def retained(lk: lake.Lake, name: str, days: int = 30) -> int:
    """Rows that are removed; as many as a dry run tells, before and after a drain."""
    told = lk.retain({name: days}, dry_run=True)[name].rows_removed
    lk.drain()
    assert lk.retain({name: days}, dry_run=True)[name].rows_removed == told
    assert lk.retain({name: days})[name].rows_removed == told
    assert lk.verify().ok
    return told


@pytest.mark.parametrize("settled", [False, True])
def test_a_signal_stays_while_a_trade_position_or_phantom_of_it_is_open_however_old_it_is(
    lk: lake.Lake, settled: bool
) -> None:
    for n, name in enumerate(("trade", "owned", "position", "held", "phantom", "none", "other")):
        own = {"owned": {"trade_id": "t2"}, "held": {"trade_id": "p2t"}}.get(name, {})
        lk.signals.record({**SIGNAL, "signal_id": name, "entry_price": 100.0 * (n + 1), **own})
    lk.trades.open(BASE, trade_id="t1", signal_id="trade", opened_at=OLD)
    lk.trades.open(BASE, trade_id="t2", opened_at=OLD)
    lk.trades.record(BASE, trade_id="t3", signal_id="other", status="closed", exit_price=101.0)
    position = {**BASE, "opened_at": OLD, "status": "open"}
    lk.write("positions", [{**position, "position_id": "p1", "signal_id": "position"}])
    lk.write("positions", [{**position, "position_id": "p2", "trade_id": "p2t"}])
    lk.write("phantoms", {**BASE, "phantom_id": "f", "signal_id": "phantom", "signal_time": OLD, "quantity": None})
    if settled:
        lk.drain()
    assert retained(lk, "signals") == 2
    assert ids(lk, "signals") == ["held", "owned", "phantom", "position", "trade"]
    for price in (100.0, 200.0, 300.0, 400.0):
        assert lk.signals.is_duplicate("BTCUSDT", "1h", "LONG", price), price
    assert not lk.signals.is_duplicate("BTCUSDT", "1h", "LONG", 600.0)
    with lake.open(lk.location.uri, bot_id="b2") as restarted:
        assert restarted.signals.is_duplicate("BTCUSDT", "1h", "LONG", 100.0)
    lk.trades.close("t1", 110.0)
    lk.trades.close("t2", 110.0)
    assert retained(lk, "signals") == 2
    assert ids(lk, "signals") == ["held", "phantom", "position"]


def test_what_another_writer_holds_open_keeps_its_signal_and_what_it_has_closed_does_not(lk: lake.Lake) -> None:
    for name in ("a", "b"):
        lk.signals.record({**SIGNAL, "signal_id": name, "entry_price": 100.0})
        lk.trades.open(BASE, trade_id=name, signal_id=name, opened_at=OLD)
    lk.drain()
    with lake.open(lk.location.uri, bot_id="b2") as other:
        other.trades.close("a", 110.0)
        assert lk.retain({"signals": 30}, dry_run=True)["signals"].rows_removed == 1
        assert lk.retain({"signals": 30})["signals"].rows_removed == 1
    assert ids(lk, "signals") == ["b"]


_ENDED: list[tuple[str, dict[str, Any], str]] = [
    ("trades", {**BASE, "status": "closed", "created_at": OLD, "exit_price": 101.0}, "closed_at"),
    ("positions", {**BASE, "status": "closed", "opened_at": OLD}, "synced_at"),
    ("phantoms", {**BASE, "status": "completed", "signal_time": OLD, "quantity": None}, "exit_time"),
    ("decisions", {"symbol": "BTCUSDT", "recommendation": "LONG", "analyzed_at": OLD}, "outcome_recorded_at"),
    ("predictions", {"symbol": "BTCUSDT", "predicted_at": OLD, "due_at": OLD + timedelta(days=1)}, "resolved_at"),
]


@pytest.mark.parametrize(("name", "row", "end"), _ENDED)
def test_age_counts_from_the_end_of_what_began_long_ago(
    lk: lake.Lake, name: str, row: dict[str, Any], end: str
) -> None:
    key = registry.get(name).key[0]
    for number, days in enumerate((1, 29, 31, 400)):
        lk.write(name, {**row, key: f"r{number}", end: NOW - timedelta(days=days)})
    assert retained(lk, name) == 2
    assert ids(lk, name) == ["r0", "r1"]


def test_a_decision_is_open_only_while_a_long_or_short_has_no_outcome(lk: lake.Lake) -> None:
    said = {"symbol": "BTCUSDT", "analyzed_at": OLD}
    for name, recommendation in {"open": "LONG", "hold": "HOLD", "over": "SHORT", "needed": "HOLD"}.items():
        lk.decisions.record(said, decision_id=name, recommendation=recommendation)
    lk.decisions.resolve("over", outcome_correct=True, at=OLD)
    lk.trades.open(BASE, trade_id="t", decision_id="needed", opened_at=OLD)
    assert retained(lk, "decisions") == 2
    assert ids(lk, "decisions") == ["needed", "open"]


def test_fills_of_an_open_trade_and_alerts_of_an_open_position_stay(lk: lake.Lake) -> None:
    for trade_id in "ab":
        lk.trades.open(BASE, trade_id=trade_id, opened_at=OLD)
        fill = {"symbol": "BTCUSDT", "side": "BUY", "price": 100.0, "quantity": 1.0, "executed_at": OLD}
        lk.write("fills", {**fill, "fill_id": f"f-{trade_id}", "trade_id": trade_id})
    lk.trades.close("b", 110.0)
    assert retained(lk, "fills") == 1
    assert ids(lk, "fills") == ["f-a"]
    for position_id, status in {"p": "open", "q": "closed"}.items():
        lk.write("positions", {**BASE, "position_id": position_id, "opened_at": OLD, "status": status})
        alert = {"position_id": position_id, "level": 50.0, "alerted_at": OLD}
        lk.write("checkpoint_alerts", {**alert, "alert_id": f"a-{position_id}"})
    assert retained(lk, "checkpoint_alerts") == 1
    assert ids(lk, "checkpoint_alerts") == ["a-p"]


def test_every_link_names_columns_that_are_there_and_a_dataset_whose_rows_can_be_open() -> None:
    links = [link for ds in registry.all_datasets() for link in ds.kept_by]
    assert len(links) >= 5
    for link in links:
        other = registry.get(link.dataset)
        assert other.open_when
        assert link.column in other.by_name


@pytest.mark.parametrize("settled", [False, True])
def test_the_newest_state_of_a_bot_and_its_configuration_stay_so_that_a_halted_one_stays_halted(
    lk: lake.Lake, settled: bool
) -> None:
    for bot in ("b1", "b2"):
        lk.bots.configure(bot, drawdown_guard_pct=10.0, updated_at=OLD)
        for hour, equity in enumerate((1000.0, 990.0, 800.0)):
            lk.bots.save_state(bot, equity=equity, snapshot_time=OLD + timedelta(hours=hour))
    lk.drain()
    if settled:
        lk.bots.save_state("b2", equity=810.0)
    assert retained(lk, "bot_states") == (5 if settled else 4)
    assert retained(lk, "bot_configs") == 0
    states = [lk.bots.latest_state(bot) for bot in ("b1", "b2")]
    assert [s and (s["trading_halted"], s["peak_equity"]) for s in states] == [(True, 1000.0)] * 2


def test_the_prompt_in_use_and_a_live_model_stay(lk: lake.Lake) -> None:
    for version in ("v1", "v2"):
        lk.write("prompt_versions", {"version": version, "prompt_text": version, "created_at": OLD})
        stage = "live" if version == "v2" else "candidate"
        lk.write("model_versions", {"version": version, "name": "m", "stage": stage, "created_at": OLD})
    lk.prompts.activate("v2")
    assert (retained(lk, "prompt_versions"), ids(lk, "prompt_versions")) == (1, ["v2"])
    assert (retained(lk, "model_versions"), ids(lk, "model_versions")) == (1, ["v2"])


def test_the_trades_of_a_backtest_stay_and_go_with_it_however_old_the_market_was(lk: lake.Lake) -> None:
    simulated = {**BASE, "exit_price": 101.0, "opened_at": OLD, "closed_at": OLD + timedelta(hours=1)}
    for run_id, created_at in {"old": NOW - timedelta(days=40), "new": NOW}.items():
        lk.backtests.record({"run_id": run_id, "symbol": "BTCUSDT", "created_at": created_at}, [simulated] * 2)
    lk.trades.record(simulated, trade_id="real", status="closed")
    lk.trades.record(simulated, trade_id="alone", status="closed", mode="backtest", run_id="of no run")
    assert retained(lk, "trades") == 2
    assert ids(lk, "trades") == ["new/0", "new/1", "old/0", "old/1"]
    assert {n: d.rows_removed for n, d in lk.retain({"backtests": 30}, dry_run=True).items()} == {
        "trades": 2, "backtests": 1,
    }  # fmt: skip
    assert retained(lk, "backtests") == 1
    assert (ids(lk, "backtests"), ids(lk, "trades")) == (["new"], ["new/0", "new/1"])
    assert lk.retain({"backtests": 30}).keys() == {"backtests"}


def test_a_dry_run_counts_a_backtest_that_waits_in_hot_and_its_trades(lk: lake.Lake) -> None:
    simulated = {**BASE, "exit_price": 101.0, "opened_at": OLD, "closed_at": OLD + timedelta(hours=1)}
    lk.backtests.record({"run_id": "settled", "symbol": "BTCUSDT", "created_at": OLD}, [simulated])
    lk.drain()
    lk.backtests.record({"run_id": "waits", "symbol": "BTCUSDT", "created_at": OLD}, [simulated] * 2)
    lk.backtests.record({"run_id": "settled", "symbol": "BTCUSDT", "created_at": OLD, "name": "named later"})
    for dry_run in (True, False):
        done = lk.retain({"backtests": 30}, dry_run=dry_run)
        assert {name: part.rows_removed for name, part in done.items()} == {"trades": 3, "backtests": 2}
    assert (ids(lk, "backtests"), ids(lk, "trades")) == ([], [])


def test_old_rows_go_from_a_file_that_is_read_in_pieces(lk: lake.Lake, tmp_path: Path) -> None:
    """In its first half a third of the trades closed just now; all in its second half are old."""
    count, year = 200_000, NOW.year - 2
    number = pl.int_range(count, eager=True)
    at = datetime(year, 3, 1, tzinfo=UTC) + pl.int_range(count, eager=True).cast(pl.Duration("ms"))
    young = (number % 3 == 0) & (number < count // 2)
    frame = pl.DataFrame({"trade_id": number.cast(pl.String), "created_at": at}).with_columns(
        symbol=pl.lit("BTCUSDT"),
        status=pl.lit("closed"),
        pnl=pl.lit(1.0),
        closed_at=pl.when(young).then(NOW).otherwise("created_at"),
    )
    lk.write("trades", frame)
    (path,) = (tmp_path / "lake" / "trades").rglob("*.parquet")
    footer = Footer(pq.ParquetFile(path).metadata)
    assert len(list(footer.pieces(range(footer.metadata.num_row_groups)))) > 1
    assert retained(lk, "trades") == count - young.sum()
    assert set(lk.read("trades")["trade_id"]) == set(frame.filter(young)["trade_id"])
    assert retained(lk, "trades") == 0
