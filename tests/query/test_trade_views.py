from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

import lake
from tests.query import trade_oracle as oracle
from tests.query.trade_oracle import START

NOW = START + timedelta(days=70)


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake") as opened:
        yield opened


def trade(name: str, pnl: float | None, at: float, **more: Any) -> dict[str, Any]:
    """A closed trade of one hour that ends ``at`` hours after the start."""
    closed = START + timedelta(hours=at)
    return {
        "trade_id": name, "symbol": "BTCUSDT", "status": "closed", "pnl": pnl,
        "created_at": closed - timedelta(hours=1), "opened_at": closed - timedelta(hours=1), "closed_at": closed,
        **more,
    }  # fmt: skip


def statistics(
    lk: lake.Lake, view: str = "trade_statistics", period: str = "all", **variables: Any
) -> list[dict[str, Any]]:
    return lk.read(view, {"period": period}, variables={"now": NOW, **variables}).to_dicts()


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    differing = {
        name: (found[name], value)
        for name, value in expected.items()
        if (found[name] is None) != (value is None)
        or (value is not None and not math.isclose(found[name], value, rel_tol=1e-9, abs_tol=1e-9))
    }
    assert not differing


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_the_statistics_are_those_of_an_independent_implementation(lk: lake.Lake, seed: int, zone: str) -> None:
    trades = oracle.random_trades(seed, 1 + seed * 40)
    lk.write("trades", trades)
    (found,) = statistics(lk, time_zone=zone, periods_per_year=252)
    assert_same(found, oracle.figures(trades, zone=zone, periods=252))


@pytest.mark.parametrize(("period", "days"), [("30d", 30), ("7d", 7)])
def test_a_period_holds_what_closed_within_it_to_the_microsecond(lk: lake.Lake, period: str, days: int) -> None:
    trades = oracle.random_trades(21, 400, days=66)
    edge = NOW - timedelta(days=days)
    trades[0]["closed_at"], trades[1]["closed_at"] = edge, edge + timedelta(microseconds=1)
    trades[0]["opened_at"] = trades[1]["opened_at"] = None
    lk.write("trades", trades)
    (found,) = statistics(lk, period=period)
    assert_same(found, oracle.figures([t for t in trades if t["closed_at"] > edge]))
    (whole,) = statistics(lk)
    assert_same(whole, oracle.figures(trades))


@pytest.mark.parametrize("by", ["symbol", "strategy", "bot"])
def test_each_group_has_the_figures_of_its_own_trades(lk: lake.Lake, by: str) -> None:
    column = "bot_id" if by == "bot" else by
    trades = oracle.random_trades(5, 300) + oracle.random_trades(6, 90, mode="paper")
    lk.write("trades", trades)
    found = {(row["mode"], row[column]): row for row in statistics(lk, f"trade_statistics_by_{by}")}
    groups: dict[tuple[str, str], list[Any]] = {}
    for t in trades:
        groups.setdefault((t["mode"], t[column] or ""), []).append(t)
    assert found.keys() == groups.keys()
    for key, members in groups.items():
        assert_same(found[key], oracle.figures(members))


@pytest.mark.parametrize("run", ["2024-09-05_22-20-02", "2024-09-06_13-05-54"])
def test_real_backtests_have_the_figures_that_freqtrade_gave_them(lk: lake.Lake, shared_data: Path, run: str) -> None:
    path = shared_data / "backtests" / "genetrader_2024" / f"backtest-result-{run}.json.gz"
    trades, totals = oracle.freqtrade_export(path)
    lk.write("trades", trades)
    lk.write("bot_configs", {"bot_id": "freqtrade", "capital": totals["starting_balance"]})
    (found,) = statistics(lk)
    theirs = {
        "trades": totals["total_trades"],
        "wins": totals["wins"],
        "losses": totals["losses"],
        "breakevens": totals["draws"],
        "win_rate": 100 * totals["winrate"],
        "total_pnl": totals["profit_total_abs"],
        "profit_factor": totals["profit_factor"],
        "expectancy": totals["expectancy"],
    }
    assert_same(found, theirs)
    (order,) = lk.read("trade_sequences", {"kind": "all"}).to_dicts()
    streaks = {"longest_win_streak": "max_consecutive_wins", "longest_loss_streak": "max_consecutive_losses"}
    assert_same(order, {ours: totals[name] for ours, name in streaks.items()})
    deepest = lk.read("drawdowns", "bot_id IS NULL").row(0, named=True)
    depth = {"depth": totals["max_drawdown_abs"], "depth_percent": 100 * totals["max_drawdown_account"]}
    assert_same(deepest, depth)


@pytest.mark.parametrize(
    "name",
    [
        "freqtrade_testdata/backtest-result.json",
        "genetrader_2024/backtest-result-2024-09-05_22-20-02.json.gz",
        "genetrader_2024/backtest-result-2024-09-06_13-05-54.json.gz",
    ],
)
def test_real_trade_lists_have_the_figures_of_an_independent_implementation(
    lk: lake.Lake, shared_data: Path, name: str
) -> None:
    trades, totals = oracle.freqtrade_export(shared_data / "backtests" / name)
    lk.write("trades", trades)
    lk.write("bot_configs", {"bot_id": "freqtrade", "capital": totals["starting_balance"]})
    (found,) = statistics(lk)
    assert_same(found, oracle.figures(trades, capital=totals["starting_balance"]))
    (order,) = lk.read("trade_sequences", {"kind": "all"}).to_dicts()
    assert_same(order, oracle.sequences(trades))


def test_no_trade_is_no_row_and_only_open_trades_are_rows_of_zeros(lk: lake.Lake) -> None:
    assert lk.read("trade_statistics").height == 0
    lk.write("trades", {"trade_id": "a", "symbol": "BTCUSDT", "status": "open", "mode": "paper"})
    rows = lk.read("trade_statistics").to_dicts()
    assert [(r["mode"], r["period"], r["trades"], r["open_trades"], r["total_pnl"]) for r in rows] == [
        ("paper", period, 0, 1, 0.0) for period in ("all", "30d", "7d")
    ]
    undefined = ("win_rate", "win_rate_low", "profit_factor", "expectancy", "max_drawdown", "sharpe_ratio")
    assert all(row[name] is None for row in rows for name in undefined)


def test_what_is_not_closed_with_a_result_is_counted_apart_and_never_a_loss(lk: lake.Lake) -> None:
    lk.write("trades", [trade("a", 5.0, 10), trade("b", None, 11), trade("c", math.nan, 12)])
    for status in ("open", "pending", "cancelled", "error"):
        lk.write("trades", trade(status, -100.0, 13, status=status))
    (found,) = statistics(lk)
    counts = {name: found[f"{name}_trades"] for name in ("unresolved", "open", "pending", "cancelled", "error")}
    assert counts == {"unresolved": 2, "open": 1, "pending": 1, "cancelled": 1, "error": 1}
    assert_same(found, {"trades": 1, "wins": 1, "losses": 0, "win_rate": 100.0, "total_pnl": 5.0})


def test_only_wins_have_no_profit_factor_no_sortino_and_no_drawdown(lk: lake.Lake) -> None:
    lk.write("trades", [trade("a", 0.1, 1), trade("b", 0.2, 30), trade("c", 0.3, 60)])
    (found,) = statistics(lk)
    nothing = ("profit_factor", "payoff_ratio", "avg_loss", "largest_loss", "sortino_ratio", "calmar_ratio")
    assert_same(found, dict.fromkeys(nothing) | {"max_drawdown": 0.0, "max_drawdown_days": 0, "win_rate": 100.0})
    assert found["sharpe_ratio"] > 0


def test_one_day_has_neither_sharpe_nor_sortino_however_bad_it_was(lk: lake.Lake) -> None:
    lk.write("trades", [trade("a", -1.0, 1), trade("b", 0.5, 2)])
    (found,) = statistics(lk)
    assert_same(found, {"days": 1, "losses": 1, "max_drawdown": 0.5} | dict.fromkeys(("sharpe_ratio", "sortino_ratio")))


def test_breakevens_count_in_the_denominator_and_break_both_streaks(lk: lake.Lake) -> None:
    lk.write("trades", [trade(str(i), pnl, i) for i, pnl in enumerate([1.0, 1.0, 0.0, 1.0, -1.0, 0.0, -1.0, 0.0])])
    (found,) = lk.trades.statistics(now=NOW).to_dicts()
    expected = {"breakevens": 3, "win_rate": 37.5, "longest_win_streak": 2, "longest_loss_streak": 1}
    assert_same(found, expected | {"current_streak": 0})


def test_nothing_but_breakevens_is_zeros_and_nothing_undefined_is_made_up(lk: lake.Lake) -> None:
    lk.write("trades", [trade(str(i), 0.0, 30 * i) for i in range(4)])
    (found,) = statistics(lk)
    assert_same(found, {"win_rate": 0.0, "total_pnl": 0.0, "max_drawdown": 0.0, "expectancy": 0.0, "breakevens": 4})
    assert_same(found, dict.fromkeys(("profit_factor", "avg_win", "sharpe_ratio", "sqn", "sortino_ratio")))


def test_modes_are_never_mixed(lk: lake.Lake) -> None:
    lk.write(
        "trades", [trade(mode, pnl, 1, mode=mode) for mode, pnl in (("live", -5.0), ("paper", 7.0), ("backtest", 9.0))]
    )
    assert {r["mode"]: r["total_pnl"] for r in statistics(lk)} == {"live": -5.0, "paper": 7.0, "backtest": 9.0}


def test_the_percent_of_a_drawdown_needs_the_capital_of_every_bot(lk: lake.Lake) -> None:
    lk.write("trades", [trade("a", 100.0, 1, bot_id="x"), trade("b", -50.0, 30, bot_id="y")])
    lk.write("bot_configs", {"bot_id": "x", "capital": 300.0})
    assert statistics(lk)[0]["max_drawdown_percent"] is None
    lk.write("bot_configs", {"bot_id": "y", "capital": 100.0})
    assert statistics(lk)[0]["max_drawdown_percent"] == pytest.approx(100 * 50 / 500)
    by_bot = {r["bot_id"]: r["max_drawdown_percent"] for r in statistics(lk, "trade_statistics_by_bot")}
    assert by_bot == {"x": 0.0, "y": pytest.approx(50.0)}


def test_the_variable_now_looks_back_and_without_it_a_fast_clock_hides_nothing(lk: lake.Lake) -> None:
    lk.write("trades", [trade("a", 1.0, 1), trade("b", 2.0, 50), trade("c", 4.0, 24 * 365 * 50)])
    assert lk.read("trade_statistics", {"period": "all"})["total_pnl"].to_list() == [7.0]
    then = START + timedelta(hours=49)
    assert lk.read("trade_statistics", {"period": "7d"}, variables={"now": then})["total_pnl"].to_list() == [1.0]


def states_then(trades: list[dict[str, Any]], now: Any) -> dict[str, int]:
    """How many trades were in each state at a moment, by walking through the life of each."""
    counts = dict.fromkeys(("trades", "open", "pending", "cancelled", "error", "unresolved"), 0)
    for t in trades:
        opened, closed, status = t.get("opened_at"), t.get("closed_at"), t["status"]
        if min(m for m in (t["created_at"], opened, closed) if m) > now:
            continue
        if status == "closed" and opened is None:
            opened = t["created_at"]
        if closed and closed > now:
            status = "open" if opened and opened <= now else "pending"
        elif status == "open" and opened and opened > now:
            status = "pending"
        elif status == "closed":
            known = closed is not None and t["pnl"] is not None and math.isfinite(t["pnl"])
            status = "trades" if known else "unresolved"
        counts[status] += 1
    return counts


def random_lives(seed: int, n: int) -> list[dict[str, Any]]:
    """Trades of every status, some filled later than planned, some never filled."""
    rng = random.Random(seed)
    found = oracle.random_trades(seed, n)
    for t in found:
        t["status"] = rng.choice(["closed", "closed", "open", "pending", "cancelled", "error"])
        t["created_at"] -= timedelta(hours=rng.choice([0, 0, 30]))
        t["pnl"] = rng.choice([None, math.nan, t["pnl"], t["pnl"], t["pnl"]])
        if t["status"] in {"open", "pending"}:
            t["closed_at"] = None
        if t["status"] == "pending":
            t["opened_at"] = None
    return found


def test_looking_back_shows_each_trade_in_the_state_that_it_had_then(lk: lake.Lake) -> None:
    trades = random_lives(41, 500)
    lk.write("trades", trades)
    for hours in (-1, 30, 333, 900.5, 5000):
        now = START + timedelta(hours=hours)
        rows = lk.read("trade_statistics", {"period": "all"}, variables={"now": now}).to_dicts()
        expected = states_then(trades, now)
        found = rows[0] if rows else {}
        names = {name: name if name == "trades" else f"{name}_trades" for name in expected}
        assert {name: found.get(column, 0) for name, column in names.items()} == expected


def test_a_trade_that_was_open_then_is_open_when_looking_back_to_it(lk: lake.Lake) -> None:
    base = {"symbol": "BTCUSDT", "side": "LONG", "quantity": 1, "entry_price": 100}
    lk.trades.open(base, trade_id="a", opened_at="2025-10-01T00:00Z")  # created_at is now
    lk.trades.close("a", 110, closed_at="2025-10-10T00:00Z")
    (found,) = lk.trades.statistics(now="2025-10-05T00:00Z").to_dicts()
    assert (found["open_trades"], found["trades"]) == (1, 0)
    (bot,) = lk.read("bot_status", variables={"now": "2025-10-05T00:00Z"}).to_dicts()
    assert (bot["open_trades"], bot["trades"], bot["last_trade_at"].day) == (1, 0, 1)
    assert lk.trades.statistics(now="2025-09-30T00:00Z").is_empty()
    (after,) = lk.trades.statistics(now="2025-10-11T00:00Z").to_dicts()
    assert (after["open_trades"], after["trades"]) == (0, 1)


def test_the_variable_days_leaves_out_what_closed_earlier(lk: lake.Lake) -> None:
    trades = oracle.random_trades(3, 200)
    lk.write("trades", trades)
    (found,) = statistics(lk, days=14)
    assert_same(found, oracle.figures([t for t in trades if t["closed_at"] > NOW - timedelta(days=14)]))


def test_the_best_and_the_worst_symbols_are_ranked_within_mode_and_period(lk: lake.Lake) -> None:
    results = {"AUSDT": 5.0, "BUSDT": -3.0, "CUSDT": 9.0}
    lk.write("trades", [trade(s, pnl, 1, symbol=s) for s, pnl in results.items()])
    rows = statistics(lk, "trade_statistics_by_symbol")
    assert [(r["symbol"], r["pnl_rank"], r["pnl_rank_from_worst"]) for r in rows] == [
        ("CUSDT", 1, 3), ("AUSDT", 2, 2), ("BUSDT", 3, 1),
    ]  # fmt: skip


def test_the_equity_curve_adds_up_trade_by_trade_for_each_mode_and_bot(lk: lake.Lake) -> None:
    trades = oracle.random_trades(8, 120) + oracle.random_trades(9, 30, mode="paper")
    lk.write("trades", trades)
    rows = lk.read("equity_curve").to_dicts()
    for mode in ("live", "paper"):
        ordered = sorted(
            (t for t in trades if t["mode"] == mode), key=lambda t: (t["closed_at"], t["pnl"], t["trade_id"])
        )
        found = [r for r in rows if r["mode"] == mode]
        assert [r["trade_id"] for r in found] == [t["trade_id"] for t in ordered]
        equity, of_bot, peak = 0.0, {"alpha": 0.0, "beta": 0.0}, 0.0
        for row, t in zip(found, ordered, strict=True):
            equity += t["pnl"]
            of_bot[t["bot_id"]] += t["pnl"]
            peak = max(peak, equity)
            expected = {"equity": equity, "bot_equity": of_bot[t["bot_id"]], "peak": peak, "drawdown": peak - equity}
            assert_same(row, expected)


@pytest.mark.parametrize("seed", range(4))
def test_the_deepest_drawdown_is_the_one_of_the_curve_trade_by_trade(lk: lake.Lake, seed: int) -> None:
    trades = oracle.random_trades(seed, 30 + 60 * seed)
    lk.write("trades", trades)
    lk.write("bot_configs", [{"bot_id": "alpha", "capital": 500.0}, {"bot_id": "beta", "capital": 900.0}])
    rows = lk.read("drawdowns", variables={"time_zone": "Asia/Tokyo"}).to_dicts()
    for bot, capital in ((None, 1400.0), ("alpha", 500.0), ("beta", 900.0)):
        steps = oracle.by_trade([t for t in trades if bot in {None, t["bot_id"]}], "Asia/Tokyo")
        deepest = next(r for r in rows if r["bot_id"] == bot)
        names = {"depth": "max_drawdown", "depth_percent": "max_drawdown_percent", "days": "max_drawdown_days"}
        expected = oracle.drawdown(steps, capital)
        assert_same(deepest, {ours: expected[theirs] for ours, theirs in names.items()})


def test_what_rises_again_within_the_day_is_a_drawdown_of_trades_but_not_of_days(lk: lake.Lake) -> None:
    lk.write("trades", [trade(str(at), pnl, at) for at, pnl in ((1, 9.0), (2, -6.0), (3, 7.0), (30, -2.0), (60, 1.0))])
    assert lk.read("drawdowns", "bot_id IS NULL")["depth"].to_list() == [6.0, 2.0]
    assert_same(statistics(lk)[0], {"max_drawdown": 2.0, "max_drawdown_days": 2})


@pytest.mark.parametrize("by", [None, "symbol", "strategy", "bot"])
@pytest.mark.parametrize("days", [None, 25])
def test_the_statistics_of_the_ledger_have_streaks_and_exposure_beside_the_figures(
    lk: lake.Lake, by: str | None, days: int | None
) -> None:
    trades = oracle.random_trades(15, 300) + oracle.random_trades(16, 90, mode="paper")
    lk.write("trades", trades)
    column = {None: None, "bot": "bot_id"}.get(by, by)
    groups: dict[tuple[str, str], list[Any]] = {}
    for t in trades:
        if days is None or t["closed_at"] > NOW - timedelta(days=days):
            groups.setdefault((t["mode"], (t[column] or "") if column else ""), []).append(t)
    rows = lk.trades.statistics(days, by, now=NOW).to_dicts()
    found = {(row["mode"], (row[column] or "") if column else ""): row for row in rows}
    assert found.keys() == groups.keys()
    for key, members in groups.items():
        assert_same(found[key], oracle.figures(members) | oracle.sequences(members))
    paper = lk.trades.statistics(days, by, mode="paper", now=NOW)
    kept = [row for row in rows if row["mode"] == "paper"]
    assert paper.select("mode", "trades", "longest_win_streak").rows() == [
        (row["mode"], row["trades"], row["longest_win_streak"]) for row in kept
    ]


def test_each_drawdown_has_its_peak_trough_and_recovery_and_the_last_may_be_open(lk: lake.Lake) -> None:
    results = {1: -5.0, 2: 2.0, 30: 13.0, 31: -4.0, 60: -2.0, 80: 6.0, 90: 1.0, 100: -3.0, 130: 1.0}
    lk.write("trades", [trade(f"t{at}", pnl, at) for at, pnl in results.items()])
    rows = lk.read("drawdowns", "bot_id IS NULL").sort("started_at").to_dicts()
    hours = [
        tuple(
            None if r[k] is None else (r[k] - START) / timedelta(hours=1)
            for k in ("started_at", "trough_at", "recovered_at")
        )
        for r in rows
    ]
    assert hours == [(1, 1, 30), (30, 60, 80), (90, 100, None)]
    assert [(r["depth"], r["days"], r["trades"]) for r in rows] == [(5.0, 1, 2), (6.0, 2, 2), (3.0, 2, 2)]


def test_sums_that_differ_only_by_rounding_are_no_drawdown(lk: lake.Lake) -> None:
    lk.write("trades", [trade(str(i), pnl, i) for i, pnl in enumerate([0.3, -0.1, -0.2, 0.1, 0.2, 0.0, 0.7])])
    assert lk.read("drawdowns", "bot_id IS NULL")["depth"].to_list() == [pytest.approx(0.3)]


def test_the_daily_report_tells_each_day_in_its_zone(lk: lake.Lake) -> None:
    lk.write("trades", [
        trade("a", 10.0, 20.5, fees=1.0), trade("b", -4.0, 23.5), trade("c", 0.0, 24.5), trade("d", None, 25),
        trade("e", 7.0, 95), trade("f", 1.0, 26, mode="paper"), trade("g", 0.0, 30, status="cancelled"),
        {"trade_id": "h", "symbol": "ETHUSDT", "status": "open", "opened_at": START, "created_at": START},
    ])  # fmt: skip
    actions = ["EXECUTED", "REJECTED", "REJECTED", "IGNORED"]
    lk.write(
        "signals", [{"symbol": "BTCUSDT", "action": a, "signal_time": START + timedelta(hours=1)} for a in actions]
    )
    rows = {(r["day"].day, r["mode"]): r for r in lk.read("daily_report", variables={"time_zone": "UTC"}).to_dicts()}
    assert sorted(rows) == [(1, "live"), *((d, m) for d in (2, 3, 4) for m in ("live", "paper"))]
    assert_same(
        {k: v for k, v in rows[1, "live"].items() if isinstance(v, (int, float, type(None)))},
        {
            "signals_seen": 4, "signals_executed": 1, "signals_rejected": 2, "signals_ignored": 1, "trades_opened": 4,
            "trades_closed": 2, "trades_active": 2, "wins": 1, "losses": 1, "breakevens": 0, "unresolved": 0,
            "win_rate": 50.0, "total_pnl": 6.0, "gross_profit": 10.0, "gross_loss": -4.0, "fees": 1.0,
        },
    )  # fmt: skip
    second = {
        "trades_closed": 2,
        "breakevens": 1,
        "unresolved": 1,
        "win_rate": 0.0,
        "trades_active": 1,
        "total_pnl": 0.0,
    }
    assert {k: rows[2, "live"][k] for k in second} == second
    quiet = {"trades_closed": 0, "trades_active": 1, "win_rate": None, "total_pnl": 0.0, "best_trade_id": None}
    assert {k: rows[3, "live"][k] for k in quiet} == quiet
    first = rows[1, "live"]
    assert (first["best_trade_id"], first["best_trade_symbol"], first["best_trade_pnl"]) == ("a", "BTCUSDT", 10.0)
    assert (first["worst_trade_id"], first["worst_trade_pnl"]) == ("b", -4.0)
    tokyo = {
        (r["day"].day, r["mode"]): r for r in lk.read("daily_report", variables={"time_zone": "Asia/Tokyo"}).to_dicts()
    }
    assert tokyo[2, "live"]["total_pnl"] == 6.0


def test_a_past_day_is_reported_alike_however_much_later(lk: lake.Lake) -> None:
    lk.write("trades", oracle.random_trades(11, 80, days=10))
    before = lk.read("daily_report", "day <= '2026-01-09'")
    lk.write("trades", [trade(f"late{i}", 3.0, 24 * 12 + i) for i in range(9)])
    assert lk.read("daily_report", "day <= '2026-01-09'").equals(before)


def test_the_daily_report_adds_up_to_the_statistics(lk: lake.Lake) -> None:
    lk.write("trades", oracle.random_trades(12, 200))
    days = lk.read("daily_report", variables={"time_zone": "America/New_York"})
    (found,) = statistics(lk)
    names = ("wins", "losses", "breakevens", "total_pnl", "fees", "gross_profit", "gross_loss")
    assert_same(found, {name: days[name].sum() for name in names})
    assert days["trades_active"][-1] == 0


def test_fees_are_those_of_trades_with_a_known_result_in_every_view(lk: lake.Lake) -> None:
    lk.write("trades", [trade("a", 5.0, 1, fees=2.0, bot_id="x"), trade("b", None, 2, fees=9.0, bot_id="x")])
    views = ("trade_statistics", "trade_statistics_by_bot", "daily_report", "bot_performance", "trade_days")
    found = {name: lk.read(name) for name in views}
    assert {
        name: (f.filter(pl.col("period") == "all") if "period" in f.columns else f)["fees"].sum()
        for name, f in found.items()
    } == dict.fromkeys(views, 2.0)
    assert found["daily_report"]["unresolved"].to_list() == [1]


def test_a_day_with_signals_alone_is_reported_too(lk: lake.Lake) -> None:
    lk.write("signals", {"symbol": "BTCUSDT", "action": "REJECTED", "signal_time": START})
    (row,) = lk.read("daily_report").to_dicts()
    assert (row["mode"], row["signals_seen"], row["signals_rejected"], row["trades_closed"]) == ("live", 1, 1, 0)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_a_bots_performance_up_to_a_day_is_that_of_its_trades_up_to_it(lk: lake.Lake, zone: str) -> None:
    trades = oracle.random_trades(13, 150, days=20)
    lk.write("trades", trades)
    lk.write("bot_configs", {"bot_id": "alpha", "capital": 500.0})
    rows = lk.read("bot_performance", {"bot_id": "alpha"}, variables={"time_zone": zone}).to_dicts()
    of_bot = [t for t in trades if t["bot_id"] == "alpha"]
    for row in rows:
        so_far = [t for t in of_bot if oracle.day(t["closed_at"], zone) <= row["date"]]
        expected = oracle.figures(so_far, zone=zone) | oracle.drawdown(oracle.by_trade(so_far, zone), 500.0)
        names = ("total_pnl", "max_drawdown", "max_drawdown_percent", "sharpe_ratio")  # also of days without a closing
        assert_same(row, {name: expected[name] for name in names})
        today = [t["pnl"] for t in so_far if oracle.day(t["closed_at"], zone) == row["date"]]
        counts = {"trades": len(today), "wins": sum(p > 0 for p in today), "daily_pnl": math.fsum(today)}
        assert_same(row, counts)
    assert len(rows) == (rows[-1]["date"] - rows[0]["date"]).days + 1


@pytest.mark.parametrize("seed", range(5))
def test_results_walked_in_stretches_are_those_walked_at_once(lk: lake.Lake, seed: int) -> None:
    rng = random.Random(seed)
    results = [rng.choice([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0]) for _ in range(200)]
    cuts = [0, *sorted(rng.sample(range(1, 200), 12)), 200]
    pieces = [results[first:last] for first, last in itertools.pairwise(cuts)]
    walks = ", ".join(f"walk({piece}::DOUBLE[])" for piece in pieces)
    at_once, in_stretches = lk.sql(f"SELECT walk({results}::DOUBLE[]), walk_on([{walks}])").fetchall()[0]
    assert in_stretches == at_once
    assert at_once["fall"] > 0


def test_a_days_fall_from_one_hour_to_a_later_one_is_a_drawdown(lk: lake.Lake) -> None:
    pnls = [4.0, 1.0, -1.0, -2.0, 1.0, -6.0, 3.0]
    lk.write("trades", [trade(str(n), pnl, n / 2, bot_id="x") for n, pnl in enumerate(pnls)])
    [row] = lk.read("bot_performance").to_dicts()
    assert (row["trades"], row["total_pnl"], row["max_drawdown"]) == (7, 0.0, 8.0)


def test_a_bots_status_joins_its_last_state_and_metric_with_what_it_holds(lk: lake.Lake) -> None:
    lk.write("bot_configs", {"bot_id": "x", "bot_name": "First", "capital": 100.0, "is_running": True})
    hours = [START + timedelta(hours=h) for h in range(3)]
    lk.write("bot_states", [
        {
            "bot_id": "x", "snapshot_time": t, "peak_equity": 100.0 + i, "trading_halted": i == 2,
            "halt_reason": f"guard {i}",
        }
        for i, t in enumerate(hours)
    ])  # fmt: skip
    lk.write("bot_metrics", [{"bot_id": "x", "time": t, "price": float(i)} for i, t in enumerate(hours)])
    lk.write("positions", [
        {"position_id": str(i), "bot_id": "x", "symbol": "BTCUSDT", "unrealized_pnl": 5.0, "status": status}
        for i, status in enumerate(["open", "active", "closed"])
    ])  # fmt: skip
    lk.write("trades", [trade("a", 4.0, 1, bot_id="x"), trade("b", None, 2, bot_id="x", status="open")])
    lk.write("trades", trade("c", -9.0, 1, bot_id="x", mode="paper"))
    lk.write("bot_configs", {"bot_id": "idle"})
    rows = {(r["bot_id"], r["mode"]): r for r in lk.read("bot_status").to_dicts()}
    assert sorted(rows, key=str) == [("idle", None), ("x", "live"), ("x", "paper")]
    expected = {
        "bot_name": "First", "capital": 100.0, "is_running": True, "snapshot_time": hours[2], "peak_equity": 102.0,
        "trading_halted": True, "halt_reason": "guard 2", "metric_time": hours[2], "price": 2.0, "open_positions": 2,
        "unrealized_pnl": 10.0, "trades": 1, "wins": 1, "win_rate": 100.0, "total_pnl": 4.0, "open_trades": 1,
    }  # fmt: skip
    assert {k: rows["x", "live"][k] for k in expected} == expected
    assert rows["x", "paper"]["total_pnl"] == -9.0
    assert (rows["idle", None]["trades"], rows["idle", None]["win_rate"]) == (0, None)
    then = lk.read("bot_status", {"bot_id": "x", "mode": "live"}, variables={"now": hours[1]})
    assert then.select("halt_reason", "price", "trades").rows() == [("guard 1", 1.0, 1)]


def test_recent_signals_tell_why_and_what_became_of_them(lk: lake.Lake) -> None:
    def signal(name: str, hours_ago: float, **more: Any) -> dict[str, Any]:
        at = NOW - timedelta(hours=hours_ago)
        return {"signal_id": name, "symbol": "BTCUSDT", "signal_time": at, "action": "EXECUTED", **more}

    lk.write("signals", [
        signal("won", 1, trade_id="a"), signal("named", 2), signal("held", 3), signal("old", 30), signal("ahead", -1),
        signal("refused", 4, action="REJECTED", rejection_reason="low confidence"),
    ])  # fmt: skip
    lk.write("trades", [
        trade("a", 3.0, 5), trade("b", 9.0, 6, signal_id="named"), trade("c", -1.0, 7, signal_id="named"),
        trade("d", None, 8, signal_id="held", status="open"),
    ])  # fmt: skip
    rows = lk.read("recent_signals", variables={"now": NOW})
    assert rows.select("signal_id", "trade_id", "outcome", "pnl", "rejection_reason").rows() == [
        ("won", "a", "win", 3.0, None),
        ("named", "c", "loss", -1.0, None),
        ("held", "d", "open", None, None),
        ("refused", None, None, None, "low confidence"),
    ]
    assert lk.read("recent_signals", variables={"now": NOW, "days": 2})["signal_id"].to_list()[-1] == "old"


def test_recent_signals_of_a_moment_know_no_end_that_came_later(lk: lake.Lake) -> None:
    hours = 24.0 * 70  # of NOW, after the start
    signals = {"ended": -2.0, "ends later": 0.5, "opens later": 2.0, "made later": 1.5}
    lk.write("signals", [
        {"signal_id": name, "symbol": "BTCUSDT", "signal_time": NOW - timedelta(hours=3)} for name in signals
    ])  # fmt: skip
    lk.write("trades", [trade(name, 5.0, hours + at, signal_id=name) for name, at in signals.items()])
    lk.patch("trades", "opens later", {"created_at": NOW - timedelta(hours=1)})

    def outcomes(now: datetime) -> dict[str, tuple[str | None, float | None, bool]]:
        found = lk.read("recent_signals", variables={"now": now})
        columns = found.select("signal_id", "outcome", "pnl", pl.col("closed_at").is_not_null()).rows()
        return {name: (outcome, pnl, is_over) for name, outcome, pnl, is_over in columns}

    assert outcomes(NOW) == {
        "ended": ("win", 5.0, True), "ends later": ("open", None, False),
        "opens later": ("pending", None, False), "made later": (None, None, False),
    }  # fmt: skip
    assert outcomes(NOW + timedelta(hours=3)) == dict.fromkeys(signals, ("win", 5.0, True))


def test_winning_patterns_count_each_condition_and_put_the_surest_first(lk: lake.Lake) -> None:
    trades = oracle.random_trades(14, 300)
    lk.write("trades", trades)
    rows = lk.read("winning_patterns", variables={"time_zone": "Asia/Tokyo"}).to_dicts()
    lows = [r["win_rate_low"] for r in rows]
    assert lows == sorted(lows, reverse=True)
    found = {(r["condition"], r["value"]): r for r in rows}
    assert len(found) == len(rows)
    groups: dict[tuple[str, str], list[float]] = {}
    for t in trades:
        keys = [(c, t[c]) for c in ("symbol", "timeframe", "strategy", "side") if t[c]]
        keys += [("symbol, timeframe, strategy, side", ", ".join(v for _, v in keys))] if len(keys) == 4 else []
        if t["opened_at"]:
            local = t["opened_at"].astimezone(ZoneInfo("Asia/Tokyo"))
            keys += [("hour", str(local.hour)), ("weekday", local.strftime("%A"))]
        for key in keys:
            groups.setdefault(key, []).append(t["pnl"])
    assert found.keys() == groups.keys()
    for key, pnl in groups.items():
        wins, lost = [p for p in pnl if p > 0], [p for p in pnl if p < 0]
        factor = sum(wins) / -sum(lost) if lost else None
        expected = {"trades": len(pnl), "wins": len(wins), "losses": len(lost), "expectancy": sum(pnl) / len(pnl)}
        assert_same(found[key], {**expected, "win_rate": 100 * len(wins) / len(pnl), "profit_factor": factor})
