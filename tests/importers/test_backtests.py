from __future__ import annotations

import itertools
import json
import os
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import lake
from lake.errors import SourceError
from lake.importers.base import Options
from lake.importers.run import import_from
from tests.importers.contract import differences, imported, notes, quarantined, rows

TRADE = {
    "timestamp": 1764216000000, "signal": "SELL", "entry_price": 91408.34, "tp_price": 89123.25, "sl_price": 92505.25,
    "result": "LOSS", "profit_pct": -1.2000000000000073,
}  # fmt: skip
RUN = {
    "symbol": "BTCUSDT", "timeframe": "4h", "period_days": 15, "total_trades": 2, "wins": 1, "losses": 1,
    "win_rate": 50.0, "total_profit_pct": 1.3, "timestamp": "2025-12-05T11:58:46.050264",
    "trades": [TRADE, {**TRADE, "timestamp": 1764230400000, "signal": "BUY", "result": "WIN", "profit_pct": 2.5}],
}  # fmt: skip
SYMBOL_RUN = {
    "symbol": "XRPUSDT", "timeframe": "3h", "total_trades": 12, "total_win": 8, "total_loss": 4, "win_rate": 66.7,
    "total_pnl": 9.25, "alerts_80": [{"recommendation": "HOLD", "confidence": 88}], "final_alerts": [],
    "timestamp": "2025-12-23T08:54:34.848895",
}  # fmt: skip
UNDATED = {
    "symbol": "BTCUSDT", "timeframe": "1h", "total_trades": 1, "total_win": 1, "total_loss": 0, "win_rate": 100.0,
    "trades": [
        {"id": "trade_1", "symbol": "BTCUSDT", "direction": "BUY", "entry_price": 50000, "exit_price": 51000,
         "result": "WIN", "profit_percent": 2.0}
    ],
}  # fmt: skip
SEED = {
    "symbol": "ETHUSDT", "timeframe": "1h", "period": "2026-01-01 to 2026-01-23", "total_signals": 45,
    "winning_trades": 28, "losing_trades": 17, "win_rate": 62.2, "profit_factor": 1.85, "total_pnl_pct": 12.5,
    "trades": [],
}  # fmt: skip
TOTALS = {"total_trades": 12, "win_rate": 66.66, "total_pnl": 9.25, "avg_rr": 1.5}


def written(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def test_a_list_of_runs_becomes_runs_and_their_trades(tmp_path: Path) -> None:
    empty = {**RUN, "total_trades": 0, "wins": 0, "losses": 0, "timestamp": "2025-12-05T11:58:10.47", "trades": []}
    file = written(tmp_path / "backtest_results.json", {"backtests": [empty, RUN]})
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "backtests", file, strategy="ict")
        assert [(t.dataset, t.landed) for t in report.tables] == [("backtests", 2), ("trades", 2)]
        columns = ("created_at", "trades", "wins", "total_pnl_percent", "strategy", "parameters")
        assert rows(lk, "backtests", *columns)[1] == (
            datetime(2025, 12, 5, 11, 58, 46, 50264, UTC), 2, 1, 1.3, "ict", '{"period_days":15}',
        )  # fmt: skip
        assert rows(lk, "trades", "opened_at", "side", "mode", "symbol", "timeframe", "pnl_percent", "take_profit") == [
            (
                datetime(2025, 11, 27, 4, tzinfo=UTC),
                "SHORT",
                "backtest",
                "BTCUSDT",
                "4h",
                -1.2000000000000073,
                89123.25,
            ),
            (datetime(2025, 11, 27, 8, tzinfo=UTC), "LONG", "backtest", "BTCUSDT", "4h", 2.5, 89123.25),
        ]
        assert lk.frame("SELECT 1 FROM trades JOIN backtests USING (run_id, symbol)").height == 2


def test_runs_of_one_symbol_are_understood_with_and_without_times(tmp_path: Path) -> None:
    folder = tmp_path / "bot" / "backtest_results"
    for run in (SYMBOL_RUN, UNDATED, SEED):
        written(folder / f"{run['symbol']}_{run['timeframe']}.json", run)
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "backtests", tmp_path / "bot")
        assert (report.tables[0].landed, report.tables[1].landed) == (3, 1)
        assert "1 run names no time" in notes(report)
        columns = ("symbol", "timeframe", "total_signals", "trades", "wins", "losses", "win_rate", "total_pnl_percent")
        assert rows(lk, "backtests", *columns) == [
            ("BTCUSDT", "1h", None, 1, 1, 0, 100.0, None),
            ("ETHUSDT", "1h", 45, 0, 28, 17, 62.2, 12.5),
            ("XRPUSDT", "3h", None, 12, 8, 4, 66.7, 9.25),
        ]
        periods = rows(lk, "backtests", "start_time", "end_time")
        assert (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 23, tzinfo=UTC)) in periods
        assert rows(lk, "trades", "exit_price", "pnl_percent", "created_at IS NOT NULL") == [(51000.0, 2.0, True)]
        kept = [text for text in rows(lk, "backtests", "extra") if "alerts_80" in text]
        assert json.loads(kept[0])["imported"]["backtests:runs"]["alerts_80"] == SYMBOL_RUN["alerts_80"]


def test_a_run_in_results_and_in_the_archive_is_one_and_what_differs_is_reported(tmp_path: Path) -> None:
    bot = tmp_path / "bot"
    older = {**SYMBOL_RUN, "timestamp": "2025-12-22T08:54:34.848895"}
    written(bot / "backtest_results" / "XRPUSDT_3h_backtest.json", SYMBOL_RUN)
    written(bot / "backtest_archive" / "2025-12-23" / "XRPUSDT_3h_backtest.json", {**SYMBOL_RUN, "total_pnl": 9.5})
    written(bot / "backtest_archive" / "2025-12-22" / "XRPUSDT_3h_backtest.json", older)
    written(bot / "backtest_archive" / "2025-12-23" / "_metadata.json", {"files_archived": 1})
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "backtests", bot)
        assert differences(report) == [("total_pnl_percent", 9.25, 9.5)]
        assert rows(lk, "backtests", "created_at", "total_pnl_percent") == [
            (datetime(2025, 12, 22, 8, 54, 34, 848895, UTC), 9.25),
            (datetime(2025, 12, 23, 8, 54, 34, 848895, UTC), 9.25),
        ]
        again = imported(lk, "backtests", bot / "backtest_archive" / "2025-12-22")
        assert (again.totals["found"], again.totals["unchanged"]) == (1, 1)


def test_a_trade_that_a_file_corrects_is_corrected_and_told(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "backtests", written(tmp_path / "backtest_results.json", RUN))
        better = {**RUN, "trades": [{**TRADE, "profit_pct": -1.1}, RUN["trades"][1]]}
        report = imported(lk, "backtests", written(tmp_path / "backtest_results.json", better))
        assert rows(lk, "trades", "pnl_percent") == [-1.1, 2.5]
        assert differences(report) == [("pnl_percent", -1.1, TRADE["profit_pct"])]


def test_totals_are_compared_with_their_runs_and_are_runs_where_there_is_none(tmp_path: Path) -> None:
    bot = tmp_path / "bot"
    written(bot / "backtest_results" / "XRPUSDT_3h_backtest.json", SYMBOL_RUN)
    aggregate = {"XRPUSDT_3h": {**TOTALS, "total_pnl": 10}, "BTC_USDT_5m": {**TOTALS, "total_trades": 3}}
    written(bot / "ict_backtest_results.json", {"timestamp": "2025-12-23T14:04:29.866434", "results": aggregate})
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "backtests", bot)
        assert [(d.key, d.column, d.kept, d.found) for t in report.tables for d in t.differences] == [
            ("XRPUSDT_3h", "total_pnl_percent", 9.25, 10)
        ]
        assert "1 entry is of no run that is known, such as BTC_USDT_5m" in notes(report)
        assert rows(lk, "backtests", "symbol", "timeframe", "trades") == [("BTCUSDT", "5m", 3), ("XRPUSDT", "3h", 12)]
        assert len(rows(lk, "data_quality", "finding_id")) == 2


@pytest.mark.parametrize("count", [{"trades": [TRADE, TRADE]}, {"trades": None, "wins": 1, "losses": 1}])
def test_totals_are_compared_with_the_trades_of_a_run_that_does_not_count_them(
    tmp_path: Path, count: dict[str, Any]
) -> None:
    bot = tmp_path / "bot"
    uncounted = {n: v for n, v in SYMBOL_RUN.items() if n not in {"total_trades", "wins", "losses", "total_win"}}
    written(bot / "backtest_results" / "XRPUSDT_3h_backtest.json", {**uncounted, **count})
    aggregate = {"XRPUSDT_3h": {"total_trades": 3}}
    written(bot / "ict_backtest_results.json", {"timestamp": "2025-12-23T14:04:29.866434", "results": aggregate})
    with lake.open(tmp_path / "lake") as lk:
        assert ("trades", 2, 3) in differences(import_from(lk, "backtests", str(bot)))


def test_totals_alone_become_runs_but_for_entries_that_tell_nothing(tmp_path: Path) -> None:
    results = {"XRPUSDT_3h": TOTALS, "BTCUSDT_1h": {}, "SOLUSDT_1h": None}
    file = written(tmp_path / "r.json", {"timestamp": "2025-12-23T14:04:29", "results": results})
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "backtests", file)
        assert len(rows(lk, "data_quality", "finding_id")) == 3
        assert rows(lk, "backtests", "symbol", "win_rate", "created_at") == [
            ("XRPUSDT", 66.66, datetime(2025, 12, 23, 14, 4, 29, tzinfo=UTC))
        ]


def test_a_run_that_lists_other_trades_than_it_counts_is_told(tmp_path: Path) -> None:
    file = written(tmp_path / "backtest.json", {**RUN, "total_trades": 10})
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "backtests", file)
        assert "in 1 run the number of trades is not that of those listed: backtest.json says 10 and lists 2" in notes(
            report
        )
        assert rows(lk, "backtests", "trades") == [10]


def test_runs_and_trades_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    runs = [{**RUN, "trades": [{**TRADE, "signal": "UP AND AWAY"}, TRADE, 7]}, {**RUN, "symbol": None}, {"a": 1}, 3]
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "backtests", written(tmp_path / "backtest.json", {"backtests": runs}))
        assert [(t.found, t.landed, t.refused) for t in report.tables] == [(4, 1, 3), (5, 1, 4)]
        assert {dataset for dataset, _, _ in quarantined(lk)} == {"backtests", "trades"}


def test_one_broken_file_of_a_folder_leaves_the_others(tmp_path: Path) -> None:
    folder = tmp_path / "backtest_results"
    written(folder / "XRPUSDT_3h.json", SYMBOL_RUN)
    (folder / "ADAUSDT_1h.json").write_text(json.dumps(RUN)[:-30])
    (folder / "SOLUSDT_1h.json").write_text("")
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "backtests", folder)
        assert report.failed
        assert report.tables[0].landed == 1
        assert "SOLUSDT_1h.json is empty" in notes(report)


@pytest.mark.parametrize(
    "odd", [{"symbol": ["BTCUSDT"]}, {"timeframe": {}}, {"win_rate": 10**400}, {"timestamp": "soon"}, {"wins": "x"}]
)
def test_an_odd_value_of_a_run_costs_no_more_than_the_run(tmp_path: Path, odd: dict[str, Any]) -> None:
    written(tmp_path / "a" / "backtest_results.json", {"backtests": [{**RUN, **odd}, SYMBOL_RUN]})
    written(tmp_path / "a" / "aggregate.json", {"timestamp": RUN["timestamp"], "results": {"BTCUSDT_4h": TOTALS}})
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "backtests", tmp_path / "a")
        assert "XRPUSDT" in rows(lk, "backtests", "symbol")


def test_what_is_no_backtest_is_one_clear_error(tmp_path: Path) -> None:
    freqtrade = written(
        tmp_path / "backtest-result.json", {"strategy": {"S": {"trades": []}}, "strategy_comparison": []}
    )
    with pytest.raises(SourceError, match="no backtest of a known shape"):
        import_from(None, "backtests", str(freqtrade), dry_run=True)
    written(tmp_path / "other" / "journal.json", {"trades": []})
    with pytest.raises(SourceError, match="there are no backtests in it"):
        import_from(None, "backtests", str(tmp_path / "other"), dry_run=True)


def aggregated(bot: Path, **more: Any) -> Path:
    """A folder with a run, and a file with the totals of it."""
    written(bot / "backtest_results" / "XRPUSDT_3h_backtest.json", SYMBOL_RUN)
    told = {"timestamp": "2025-12-23T14:04:29.866434", "results": {"XRPUSDT_3h": {**TOTALS, **more}}}
    written(bot / "ict_backtest_results.json", told)
    return bot


def test_totals_whose_run_landed_and_was_deleted_make_no_other_run(tmp_path: Path) -> None:
    bot = aggregated(tmp_path / "bot")
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "backtests", bot)
        before = [rows(lk, "backtests", "*"), rows(lk, "data_quality", "finding_id")]
        (bot / "backtest_results" / "XRPUSDT_3h_backtest.json").unlink()
        report = imported(lk, "backtests", bot)
        assert (report.totals["found"], report.totals["unchanged"]) == (1, 1)
        assert [rows(lk, "backtests", "*"), rows(lk, "data_quality", "finding_id")] == before


def test_totals_of_a_file_that_was_copied_or_touched_are_kept_once(tmp_path: Path) -> None:
    bot = aggregated(tmp_path / "bot")
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "backtests", bot)
        os.utime(bot / "ict_backtest_results.json", (0, 0))
        assert imported(lk, "backtests", bot).totals["landed"] == 0
        assert imported(lk, "backtests", bot.rename(tmp_path / "moved")).totals["landed"] == 0
        assert len(rows(lk, "data_quality", "finding_id")) == 1


LATER = "2025-12-23T14:04:29.866434"
TOUCHED = 1_765_929_600  # 2025-12-17


def totalled(folder: Path, at: str | None = LATER, **more: Any) -> Path:
    """A file with nothing but the totals of a run."""
    return written(folder / "r_backtest.json", {"timestamp": at, "results": {"XRPUSDT_3h": {**TOTALS, **more}}})


@pytest.mark.parametrize("at", [LATER, "2026-02-01T00:00:00", SYMBOL_RUN["timestamp"][:19], None])
@pytest.mark.parametrize("made_at", [SYMBOL_RUN["timestamp"], None])
@pytest.mark.parametrize("place", ["backtest_results", "backtest_archive/2025-12-23"])
@pytest.mark.parametrize("is_first", [True, False], ids=["run first", "totals first"])
def test_totals_and_their_run_are_one_however_far_apart_and_what_differs_is_told_once(
    tmp_path: Path, at: str | None, made_at: str | None, place: str, is_first: bool
) -> None:
    run = {**SYMBOL_RUN, "timestamp": made_at, "trades": [TRADE]}
    told = totalled(tmp_path / "totals", at, total_pnl=10)
    files = [written(tmp_path / "bot" / place / "XRP_backtest.json", run), told]
    with lake.open(tmp_path / "lake") as lk:
        first, second = (imported(lk, "backtests", f, bot_id="b") for f in (files if is_first else files[::-1]))
        assert (differences(first), differences(second)) == ([], [("total_pnl_percent", 9.25, 10)])
        assert rows(lk, "backtests", "wins", "total_pnl_percent") == [(8, 9.25)]
        assert rows(lk, "trades", "run_id") == rows(lk, "backtests", "run_id")
        lk.vacuum()
        before = [rows(lk, dataset, "*") for dataset in ("backtests", "trades", "data_quality")]
        for file in files:
            assert imported(lk, "backtests", file, bot_id="b").totals["landed"] == 0
        assert [rows(lk, dataset, "*") for dataset in ("backtests", "trades", "data_quality")] == before


def test_a_run_that_takes_the_place_of_its_totals_leaves_nothing_of_them(tmp_path: Path) -> None:
    told = totalled(tmp_path / "totals", avg_rr=2, profit_factor=3, strategy="ict")
    with lake.open(tmp_path / "lake") as lk, lake.open(tmp_path / "other") as other:
        imported(lk, "backtests", told)
        (name,) = rows(lk, "backtests", "run_id")
        for one in (lk, other):
            imported(one, "backtests", written(tmp_path / "bot" / "XRP_backtest.json", SYMBOL_RUN))
        kept = "* EXCLUDE (run_id, extra), json_keys(extra, '$.imported')"
        assert rows(lk, "backtests", kept) == rows(other, "backtests", kept)
        assert rows(lk, "backtests", "run_id") == [name]


def test_totals_that_say_the_same_are_one_run_as_of_the_earliest(tmp_path: Path) -> None:
    times = ["2025-12-29T00:00:00", LATER, None, "2025-12-30T00:00:00"]
    files = [totalled(tmp_path / "bot" / str(number), at) for number, at in enumerate(times)]
    with lake.open(tmp_path / "lake") as lk:
        for file in [*files, *files]:
            imported(lk, "backtests", file)
        assert rows(lk, "backtests", "day(created_at)", "win_rate") == [(23, 66.66)]
        imported(lk, "backtests", totalled(tmp_path / "bot" / "other", "2025-12-29T00:00:00", total_pnl=3))
        assert rows(lk, "backtests", "day(created_at)", "total_pnl_percent") == [(23, 9.25), (29, 3)]
    with lake.open(tmp_path / "whole") as lk:
        imported(lk, "backtests", tmp_path / "bot")
        assert rows(lk, "backtests", "day(created_at)", "total_pnl_percent") == [(23, 9.25), (29, 3)]


@pytest.mark.parametrize(("pnl", "taken"), [(9.25, 29), (3, 23), (7, 23)])
def test_a_run_takes_the_place_of_totals_that_tell_the_same_else_of_the_earliest(
    tmp_path: Path, pnl: float, taken: int
) -> None:
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "backtests", totalled(tmp_path / "a", LATER, total_pnl=3))
        imported(lk, "backtests", totalled(tmp_path / "b", "2025-12-29T00:00:00"))
        names = dict(lk.frame("SELECT day(created_at), run_id FROM backtests").rows())
        run = written(tmp_path / "bot" / "XRP_backtest.json", {**SYMBOL_RUN, "total_pnl": pnl})
        told = differences(imported(lk, "backtests", run))
        assert told == ([("total_pnl_percent", 7, 3)] if pnl == 7 else [])
        left = ({*names} - {taken}).pop()
        now = {name: (day, pnl) for name, day, pnl in rows(lk, "backtests", "run_id", "hour(created_at)", "wins")}
        assert now[names[taken]] == (8, 8)
        assert now[names[left]][1] is None


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_totals_that_tell_otherwise_than_those_of_a_run_are_another_run_in_whatever_order(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    files = [
        written(tmp_path / "bot" / "XRP_backtest.json", SYMBOL_RUN),
        totalled(tmp_path / "a", LATER, total_pnl=10),
        totalled(tmp_path / "b", "2025-12-29T00:00:00", total_pnl=3),
    ]
    with lake.open(tmp_path / "lake") as lk:
        told = [difference for n in order for difference in differences(imported(lk, "backtests", files[n]))]
        assert ("total_pnl_percent", 9.25, 10) in told
        assert rows(lk, "backtests", "day(created_at)", "wins", "total_pnl_percent") == [(23, 8, 9.25), (29, None, 3)]
        assert rows(lk, "backtests", "count(DISTINCT run_id)") == [2]


def test_totals_kept_before_that_are_of_no_run_any_more_become_one(tmp_path: Path) -> None:
    run = written(tmp_path / "bot" / "XRP_backtest.json", SYMBOL_RUN)
    with lake.open(tmp_path / "lake") as lk:
        for file in (totalled(tmp_path / "other", LATER, total_pnl=3), run):
            imported(lk, "backtests", file)
        assert rows(lk, "backtests", "total_pnl_percent") == [9.25]
        report = imported(lk, "backtests", totalled(tmp_path / "own", "2025-12-29T00:00:00"))
        assert "XRPUSDT_3h, kept before, is of no run that is known now" in notes(report)
        assert rows(lk, "backtests", "day(created_at)", "total_pnl_percent") == [(23, 3), (23, 9.25)]
        for file in (tmp_path / "other", tmp_path / "own", run):
            assert imported(lk, "backtests", file).totals["landed"] == 0


def test_totals_whose_run_retention_removed_do_not_come_back(tmp_path: Path) -> None:
    bot = aggregated(tmp_path / "bot")
    newer = written(tmp_path / "new" / "XRP_backtest.json", {**SYMBOL_RUN, "timestamp": "2026-01-05T08:00:00"})
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "backtests", bot)
        lk.drain()
        lk.retain({"backtests": 0})
        assert rows(lk, "backtests", "run_id") == []
        imported(lk, "backtests", newer)
        assert rows(lk, "backtests", "month(created_at)") == [1]


def test_a_run_that_a_newer_one_hides_from_totals_of_the_lake_takes_no_place(tmp_path: Path) -> None:
    older = written(tmp_path / "old" / "XRP_backtest.json", {**SYMBOL_RUN, "timestamp": "2025-12-22T08:00:00"})
    newer = written(tmp_path / "bot" / "XRP_backtest.json", SYMBOL_RUN)
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "backtests", totalled(tmp_path / "totals"))
        (name,) = rows(lk, "backtests", "run_id")
        for file in (newer, older):
            imported(lk, "backtests", file)
        assert [day for day, of in rows(lk, "backtests", "day(created_at)", "run_id") if of == name] == [23]
        assert rows(lk, "backtests", "day(created_at)") == [22, 23]


def test_a_run_made_in_the_moment_of_totals_that_an_older_one_took_is_another(tmp_path: Path) -> None:
    older = written(tmp_path / "old" / "XRP_backtest.json", {**SYMBOL_RUN, "timestamp": "2025-12-22T08:00:00"})
    newer = written(tmp_path / "bot" / "XRP_backtest.json", {**SYMBOL_RUN, "timestamp": LATER})
    with lake.open(tmp_path / "lake") as lk:
        for file in (totalled(tmp_path / "totals", LATER), older, newer):
            imported(lk, "backtests", file)
        assert rows(lk, "backtests", "day(created_at)", "wins") == [(22, 8), (23, 8)]


def test_totals_are_of_the_newest_run_before_them(tmp_path: Path) -> None:
    days = [f"2025-12-{day}T08:00:00" for day in (22, 23, 24)]
    runs = [{**SYMBOL_RUN, "timestamp": day, "total_pnl": float(n)} for n, day in enumerate(days)]
    file = written(tmp_path / "bot" / "backtest_results.json", {"backtests": runs})
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "backtests", totalled(tmp_path / "totals"))
        assert differences(imported(lk, "backtests", file)) == [("total_pnl_percent", 1, 9.25)]
        assert rows(lk, "backtests", "total_pnl_percent") == [0, 1, 2]


def test_totals_are_of_no_run_that_was_made_after_them(tmp_path: Path) -> None:
    late = written(tmp_path / "bot" / "XRP_backtest.json", {**SYMBOL_RUN, "timestamp": "2025-12-23T20:00:00"})
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "backtests", late)
        report = imported(lk, "backtests", totalled(tmp_path / "totals", total_pnl=3))
        assert (differences(report), rows(lk, "backtests", "hour(created_at)")) == ([], [14, 20])
        assert "of no run that is known" in notes(report)


def test_totals_are_of_no_run_of_another_bot(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "backtests", totalled(tmp_path / "totals", total_pnl=3), bot_id="a")
        run = written(tmp_path / "bot" / "XRP_backtest.json", SYMBOL_RUN)
        assert differences(imported(lk, "backtests", run, bot_id="b")) == []
        assert differences(imported(lk, "backtests", totalled(tmp_path / "totals", total_pnl=3), bot_id="a")) == []
        assert rows(lk, "backtests", "extra ->> '$.bot_id'", "wins") == [("a", None), ("b", 8)]


def test_totals_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    told = {"timestamp": LATER, "results": {"XRPUSDT_3h": {**TOTALS, "win_rate": "high"}, "BTCUSDT_1h": TOTALS}}
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "backtests", written(tmp_path / "bot" / "r_backtest.json", told))
        assert [(t.dataset, t.found, t.landed, t.refused) for t in report.tables if t.found] == [
            ("data_quality", 2, 1, 1), ("backtests", 1, 1, 0),
        ]  # fmt: skip
        assert [dataset for dataset, _, _ in quarantined(lk)] == ["backtests"]


OTHERS = {**TOTALS, "total_trades": 20, "total_pnl": 2.5}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_run_that_names_no_time_is_as_old_as_the_oldest_of_its_files(tmp_path: Path, order: tuple[int, ...]) -> None:
    untimed = {**UNDATED, "trades": [{**UNDATED["trades"][0], "exit_reason": "tp"}]}
    places = ("backtest_results", "backtest_archive/2025-12-19", "backtest_archive/2025-12-20")
    files = [touched(written(tmp_path / "bot" / place / "BTC_backtest.json", untimed)) for place in places]
    with lake.open(tmp_path / "lake") as lk:
        for number in order:
            assert differences(imported(lk, "backtests", files[number])) == []
        os.utime(files[0])
        assert imported(lk, "backtests", tmp_path / "bot").totals["landed"] == 0
        assert (
            rows(lk, "backtests", "created_at")
            == rows(lk, "trades", "created_at")
            == [datetime(2025, 12, 17, tzinfo=UTC)]
        )


STORES: dict[str, Any] = {
    "backtest_results/XRPUSDT_3h_backtest.json": {**SYMBOL_RUN, "timestamp": "2025-12-28T08:00:00", "trades": [TRADE]},
    "backtest_results/BTCUSDT_1h_backtest.json": UNDATED,
    "backtest_archive/2025-12-23/XRPUSDT_3h_backtest.json": {**SYMBOL_RUN, "trades": [TRADE]},
    "backtest_archive/2025-12-24/XRPUSDT_3h_backtest.json": {**SYMBOL_RUN, "trades": [TRADE]},
    "backtest_archive/2025-12-22/XRPUSDT_3h_backtest.json": {**SYMBOL_RUN, "timestamp": "2025-12-22T08:00:00"},
    "ict_backtest_results.json": {"timestamp": LATER, "results": {"XRPUSDT_3h": TOTALS, "BTCUSDT_1h": TOTALS}},
    "later/ict_backtest_results.json": {"timestamp": "2025-12-29T00:00:00", "results": {"XRPUSDT_3h": OTHERS}},
    "undated/ict_backtest_results.json": {"results": {"XRPUSDT_3h": OTHERS, "SOLUSDT_1h": TOTALS}},
}  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_in_whatever_order_and_parts_a_store_is_imported_the_lake_has_each_run_once(tmp_path: Path, seed: int) -> None:
    """Parts of a model store, some of them twice: the rows are those of one import of all, but for the ids."""
    chance, left = random.Random(seed), list(STORES)
    chance.shuffle(left)
    with lake.open(tmp_path / "whole") as whole, lake.open(tmp_path / "parts") as parts:
        for name, content in STORES.items():
            touched(written(tmp_path / "bot" / name, content))
        imported(whole, "backtests", tmp_path / "bot", bot_id="b")
        for number, newest in enumerate(left):
            for name in {newest, *chance.sample(left[:number], min(number, chance.randint(0, 2)))}:
                touched(written(tmp_path / str(number) / "backtests" / name, STORES[name]))
            import_from(parts, "backtests", str(tmp_path / str(number)), Options(bot_id="b"))
        for dataset, columns in (
            ("backtests", "* EXCLUDE (run_id, extra)"),
            ("trades", "* EXCLUDE (run_id, extra)"),
            ("trades JOIN backtests USING (run_id)", "trade_id, backtests.created_at"),
            ("data_quality", "details -> '$.said.content'"),
        ):
            assert rows(parts, dataset, columns) == rows(whole, dataset, columns)
        assert rows(parts, "backtests", "symbol") == ["BTCUSDT", "SOLUSDT", "XRPUSDT", "XRPUSDT", "XRPUSDT"]
        assert import_from(parts, "backtests", str(tmp_path / "bot"), Options(bot_id="b")).totals["landed"] == 0


def touched(file: Path) -> Path:
    os.utime(file, (TOUCHED, TOUCHED))
    return file
