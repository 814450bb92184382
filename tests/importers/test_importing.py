"""The frame that all imports run in: counts, sums, plans, interruptions, the command."""

from __future__ import annotations

import json
import math
import os
import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

import lake
from lake.cli import main
from lake.errors import SourceError, UsageError
from lake.importers import landing
from lake.importers import run as running
from lake.importers.base import Notes, Options, Refused, Row, RowMap, Table
from lake.importers.report import Difference, ImportReport, Sum, TableReport
from lake.importers.rules import constant, moment, number, share, text
from lake.importers.run import Progress, import_from
from lake.importers.twins import base_of
from tests.helpers import spawned
from tests.importers.contract import differences, imported, notes, quarantined, rows

KIND = "trades-json"


def trade(place: int, **more: Any) -> dict[str, Any]:
    """A row of trade_history.json."""
    at = 1_700_000_000 + 60 * place
    return {
        "symbol": "BTCUSDT", "side": "long", "entry_price": 100.0, "exit_price": 101.0, "quantity": 0.25,
        "entry_time": at, "exit_time": at + 30, "pnl_usd": 0.25, "pnl_percent": 1.0, "exit_reason": "tp", **more,
    }  # fmt: skip


def history(path: Path, trades: Iterable[Any]) -> Path:
    path.write_text(json.dumps([*trades]))
    return path


# --- counts and sums


def test_every_row_is_accounted_for_and_sums_are_equal_to_the_cent(tmp_path: Path) -> None:
    trades = [trade(n, pnl_usd=0.1 * (-1) ** n, quantity=1e-8 * n) for n in range(1000)]
    file = history(tmp_path / "t.json", [*trades, trades[3], trade(2000, side="sideways"), "?"])
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, KIND, file)
        assert (report.totals["found"], report.totals["landed"], report.totals["refused"]) == (1003, 1000, 2)
        pnl, quantity = report.tables[0].sums
        assert pnl.in_lake == pytest.approx(0.0, abs=1e-9)
        assert quantity.in_lake == pytest.approx(math.fsum(1e-8 * n for n in range(1000)), rel=1e-12)
        assert (pnl.refused, pnl.repeated) == (pytest.approx(0.25), pytest.approx(-0.1))


def test_trades_without_a_side_land_and_are_told(tmp_path: Path) -> None:
    trades = [{name: value for name, value in trade(n).items() if name != "side"} for n in range(3)]
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, KIND, history(tmp_path / "t.json", [*trades, trade(9)]))
        assert "3 rows name no side, and land without one" in notes(report)
        assert rows(lk, "trades", "side", "pnl") == [("LONG", 0.25), *[(None, 0.25)] * 3]
        assert lk.read("trade_statistics")["total_pnl"][0] == 1.0
        assert lk.read("winning_patterns").filter(condition="side")["value"].to_list() in (["LONG"], [])


@pytest.mark.parametrize(("share", "told"), [(0.01, True), (1.0, False)])
def test_results_in_percent_that_are_shares_by_the_prices_are_told(tmp_path: Path, share: float, told: bool) -> None:
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, KIND, history(tmp_path / "t.json", [trade(n, pnl_percent=share) for n in range(3)]))
        assert ("it looks like a fraction" in notes(report)) is told


def test_a_number_that_no_float_holds_is_refused(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, KIND, history(tmp_path / "t.json", [trade(1, pnl_usd=10**400), trade(2)]))
        assert (report.totals["landed"], dict(report.tables[0].reasons)) == (1, {"pnl_usd: not a number": 1})


@pytest.mark.parametrize("kind", ["bot-stats", "daily-reports", "journal", "signal-cache", "trades-json"])
def test_a_folder_where_a_file_is_expected_is_one_clear_error(tmp_path: Path, kind: str) -> None:
    with pytest.raises(SourceError, match="it is a folder, and a file is expected"):
        import_from(None, kind, str(tmp_path), dry_run=True)


@pytest.mark.parametrize(("said", "kept"), [("", 0.1), ("percent", 0.1), ("fraction", 10.0)])
def test_results_are_percent_unless_the_caller_says_that_they_are_fractions(
    tmp_path: Path, said: str, kept: float
) -> None:
    file = history(tmp_path / "t.json", [trade(1, entry_price=100.0, exit_price=110.0, pnl_percent=0.1)])
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, KIND, file, percent=said)
        assert rows(lk, "trades", "pnl_percent") == [kept]
        assert ("if it is one, say so: --percent fraction" in notes(report)) is (kept < 1)
    with pytest.raises(UsageError, match="unknown way to store percent"):
        Options(percent="ratio")


def test_local_times_around_a_clock_change_are_told_or_refused(tmp_path: Path) -> None:
    """In Berlin 02:00 to 03:00 came twice on 26 October 2025, and not at all on 30 March."""
    times = {
        1: ("2025-10-26T02:50:00", "2025-10-26T02:10:00"),
        2: ("2025-10-26T02:20:00", "2025-10-26T04:00:00"),
        3: ("2025-10-26T02:20:00+02:00", "2025-10-26T05:00:00"),
        4: ("2025-03-30T02:30:00", "2025-03-30T03:10:00"),
        5: ("2025-03-30T03:10:00", "2025-03-30T02:59:59"),
        6: ("2025-07-01T12:00:00", "2025-07-01T11:00:00"),
    }
    made = [trade(n, symbol=f"A{n}USDT", entry_time=begun, exit_time=done) for n, (begun, done) in times.items()]
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, KIND, history(tmp_path / "t.json", made), tz="Europe/Berlin")
        assert rows(lk, "trades", "symbol", "strftime(opened_at, '%H:%M')", "strftime(closed_at, '%H:%M')") == [
            ("A1USDT", "00:50", "01:10"), ("A2USDT", "00:20", "03:00"), ("A3USDT", "00:20", "04:00"),
        ]  # fmt: skip
        assert "3 local times lie in an hour that the clock has twice" in notes(report)
        assert dict(report.tables[0].reasons) == {
            "entry_time: a time that the clocks of Europe/Berlin skip": 1,
            "exit_time: a time that the clocks of Europe/Berlin skip": 1,
            "trades.closed_at: it is before opened_at": 1,
        }


def test_a_result_that_is_no_number_is_told(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        made = [trade(1, pnl_usd=math.nan), trade(2, pnl_usd=math.nan, leverage=math.nan), trade(3)]
        report = imported(lk, KIND, history(tmp_path / "t.json", made))
        assert rows(lk, "trades", "pnl is null").count(True) == 2
        assert "no number (NaN) is taken for nothing: leverage (1), pnl_usd (2)" in notes(report)


@pytest.mark.parametrize("word", ["NaN", "nan", "None", "NULL", "\\N"])
def test_a_word_by_which_programs_mean_none_is_nothing_and_told(tmp_path: Path, word: str) -> None:
    with lake.open(tmp_path / "lake") as lk:
        made = [trade(1, pnl_usd=word, exit_price=word, exit_reason=word), trade(2)]
        report = imported(lk, KIND, history(tmp_path / "t.json", made))
        assert rows(lk, "trades", "pnl", "exit_price", "exit_reason") == [(0.25, 101.0, "tp"), (None, None, None)]
        told = f"taken for nothing: {word} in exit_price (1), {word} in exit_reason (1), {word} in pnl_usd (1)"
        assert told in notes(report)
        found = [json.loads(extra)["imported"][f"{KIND}:trades"]["pnl_usd"] for extra in rows(lk, "trades", "extra")]
        assert word in found


def test_a_history_with_a_trade_in_each_line_is_one_and_a_line_that_breaks_off_is_refused(tmp_path: Path) -> None:
    path, made = tmp_path / "t.json", [trade(1), trade(2), trade(3)]
    path.write_text("\n".join(map(json.dumps, made))[:-20])
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, KIND, path)
        assert (report.totals["landed"], dict(report.tables[0].reasons)) == (2, {"no whole JSON value": 1})
        assert "line 3 is no JSON" in notes(report)
        assert report.failed


def test_epoch_times_as_text_with_a_point_are_times(tmp_path: Path) -> None:
    """As ``str(time.time())`` makes them, and a program that wrote milliseconds as a float."""
    with lake.open(tmp_path / "lake") as lk:
        made = [trade(1, entry_time="1700000060.25", exit_time="1700000090.0"), trade(2, exit_time="1700000150000.0")]
        report = imported(lk, KIND, history(tmp_path / "t.json", made))
        at = [(t.timestamp(), end.timestamp()) for t, end in rows(lk, "trades", "opened_at", "closed_at")]
        assert (report.totals["refused"], at) == (0, [(1700000060.25, 1700000090), (1700000120, 1700000150)])


@pytest.mark.parametrize("symbol", [True, 1.5, ["BTCUSDT"], {"base": "BTC"}])
def test_a_symbol_that_is_no_text_is_refused(tmp_path: Path, symbol: Any) -> None:
    report = import_from(None, KIND, str(history(tmp_path / "t.json", [trade(1, symbol=symbol)])), dry_run=True)
    assert dict(report.tables[0].reasons) == {"symbol: not a symbol": 1}


def test_a_name_that_an_object_has_twice_is_kept_with_both_values(tmp_path: Path) -> None:
    text = json.dumps(trade(1)).replace('"symbol":', '"symbol": "ETHUSDT", "symbol":')
    (tmp_path / "t.json").write_text(f"[{text}]")
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, KIND, tmp_path / "t.json")
        found = json.loads(rows(lk, "trades", "extra")[0])["imported"]["trades-json:trades"]
        assert (found["symbol"], found["repeated:symbol"]) == (rows(lk, "trades", "symbol")[0], ["ETHUSDT"])


def test_a_store_of_which_every_row_is_refused_is_no_success(tmp_path: Path) -> None:
    """It may be of another kind. One row that fits, or no rows at all, is enough."""
    where = f"--lake={tmp_path / 'lake'}"
    for made, status in (([{"pair": "BTC/USDT"}], 1), ([{"pair": "BTC/USDT"}, trade(1)], 0), ([], 0)):
        file = history(tmp_path / "t.json", made)
        result = CliRunner().invoke(main, ["import", KIND, str(file), where])
        assert (result.exit_code, "All of it was refused: is it of another kind?" in result.output) == (
            status, status == 1,
        ), result.output  # fmt: skip


@pytest.mark.parametrize("option", [["--map-file", "map.toml"], ["--dataset", "trades"], ["--allow-pickle"]])
def test_an_option_that_a_kind_does_not_take_is_wrong_use(option: list[str], tmp_path: Path) -> None:
    file = history(tmp_path / "t.json", [trade(1)])
    result = CliRunner().invoke(main, ["import", KIND, str(file), f"--lake={tmp_path / 'lake'}", *option])
    assert (result.exit_code, f"Leave {option[0]} out." in result.output) == (2, True), result.output


def test_a_sum_that_does_not_come_out_is_told() -> None:
    wrong = Sum("trades.pnl", 10.0, 0.0, 0.0, 0.0, 9.99)
    assert not wrong.equal
    assert Sum("trades.pnl", 10.0, 1.0, 2.0, 3.0, 4.004).equal
    table = TableReport("trades", "trades", 1, 1, sums=(wrong,))
    assert not table.balanced
    assert not TableReport("trades", "trades", 2, 1).balanced
    report = ImportReport(KIND, "t.json", False, (table,))
    assert "NOT EQUAL" in report.text()
    assert "It does not balance" in report.text()
    assert report.as_dict()["balanced"] is False


@pytest.mark.parametrize("value", ["1e400", "Infinity", "NaN", '"inf"', '"lots"', "[1]", "true", "null"])
def test_numbers_that_are_none_neither_land_nor_spoil_a_sum(tmp_path: Path, value: str) -> None:
    file = tmp_path / "t.json"
    file.write_text(json.dumps([trade(1), trade(2, pnl_usd="HERE")]).replace('"HERE"', value))
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, KIND, file)
        assert report.balanced
        assert report.totals["refused"] == (value not in {"NaN", "null"})


def test_sums_of_numbers_as_large_as_floats_are_do_not_end_an_import(tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    file.write_text(json.dumps([trade(n, pnl_usd=1e308 if n < 3 else 2.5) for n in range(4)]))
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, KIND, file)
        assert report.totals["landed"] == 4
        assert [s.in_lake for s in report.tables[0].sums if s.column == "trades.pnl"] == [2.5]


def test_what_json_allows_and_the_lake_does_not_is_kept_in_quarantine(tmp_path: Path) -> None:
    odd = [{"symbol": "BTC\ud800"}, {"id": 2**70}, {"deep": [[[[[[["a"]]]]]]]}, {"reason": "its own", "symbol": ""}]
    file = history(tmp_path / "t.json", [trade(n, **more) for n, more in enumerate(odd)])
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, KIND, file)
        assert (report.totals["landed"], report.totals["refused"]) == (2, 2)
        kept = {row["symbol"]: row for _, _, row in quarantined(lk)}
        assert kept[""]["reason"] == "its own"
        assert "BTC\\ud800" in kept
        extras = "".join(rows(lk, "trades", "extra"))
        assert str(2**70) in extras


def test_yes_is_no_time_though_it_equals_a_number_that_is_one(tmp_path: Path) -> None:
    told = [trade(1, entry_time=946_684_800_000, exit_time=946_684_801_000.0), trade(2, entry_time=True)]
    told += [trade(3, entry_time=0, exit_time=0.0), trade(4, entry_time=False)]
    map_file = tmp_path / "map.toml"
    columns = 'trade_id = "id"\nsymbol = "symbol"\ncreated_at = { moment = "entry_time", unit = "ms" }'
    map_file.write_text(f'dataset = "trades"\n[columns]\n{columns}\n')
    with lake.open(tmp_path / "lake") as lk:
        file = history(tmp_path / "t.json", [{**row, "id": str(n)} for n, row in enumerate(told)])
        report = imported(lk, "generic", file, map_file=map_file)
        assert dict(report.tables[0].reasons) == {"entry_time: not a time": 2}
        assert rows(lk, "trades", "epoch_ms(created_at)") == [0, 946_684_800_000]


@pytest.mark.parametrize("kind", ["trades-json", "journal"])
@pytest.mark.parametrize("at", ["0001-01-02T00:00:00", "9999-12-31 23:59:59", "1900-01-01T00:00:00+00:00"])
def test_a_time_that_no_market_has_seen_costs_no_more_than_its_row(kind: str, at: str, tmp_path: Path) -> None:
    names = ("entry_time", "exit_time") if kind == KIND else ("timestamp", "closed_at")
    made = [{**trade(n), "signal": "BUY", "timestamp": trade(n)["entry_time"]} for n in (1, 2, 3)]
    made[0][names[0]], made[1][names[1]] = at, at
    for zone in ("", "Asia/Tokyo"):
        with lake.open(tmp_path / f"lake{zone.replace('/', '')}") as lk:
            report = import_from(lk, kind, str(history(tmp_path / "t.json", made)), Options(tz=zone))
            assert (report.totals["landed"], report.totals["refused"]) == (1, 2), report.text()
            assert {reason.rpartition(": ")[2] for reason in report.tables[0].reasons} == {
                "a time outside 1970 to 2200"
            }


def test_the_time_by_which_some_languages_mean_none_is_nothing(tmp_path: Path) -> None:
    going_on = {**trade(1), "exit_time": "0001-01-01T00:00:00Z", "exit_reason": "tp"}
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, KIND, history(tmp_path / "t.json", [going_on]))
        assert rows(lk, "trades", "closed_at") == [None]
    assert "a word for none is taken for nothing: 0001-01-01T00:00:00Z in exit_time (1)" in notes(report)


def test_a_row_without_a_time_is_refused_and_not_dated_today(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, KIND, history(tmp_path / "t.json", [trade(1, entry_time=None)]))
        ((reason, count),) = report.tables[0].reasons.items()
        assert (reason.startswith("entry_time or "), reason.endswith(": no time"), count) == (True, True, 1)


_pnl = st.sampled_from([None, 0, 0.1, -0.3, 1e6, 1e-9, "2.5", "x", float("nan")])
_trades = st.lists(
    st.builds(
        trade,
        st.integers(0, 6),
        pnl_usd=_pnl,
        side=st.sampled_from(["long", "BUY", "short", "sideways"]),
        quantity=st.sampled_from([1, 0.25, -1, None]),
    )
    | st.sampled_from(["text", 7, None, {}]),
    max_size=8,
)


@settings(max_examples=15)
@given(_trades, _trades, st.integers(1, 5))
def test_whatever_two_files_say_counts_and_sums_balance_and_a_second_run_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, first: list[Any], second: list[Any], batch: int
) -> None:
    folder = tmp_path_factory.mktemp("importing")
    with lake.open(folder / "lake") as lk, pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "BATCH_ROWS", batch)
        for name, trades in (("a.json", first), ("b.json", second)):
            report = imported(lk, KIND, history(folder / name, trades))
            assert report.totals["found"] == len(trades)
        held = lk.frame("SELECT trade_id, pnl FROM trades")
        assert held["trade_id"].is_unique().all()


# --- rows with one key in one table


def test_rows_with_one_id_and_different_stories_are_numbered_and_all_of_them_land(tmp_path: Path) -> None:
    other, last = trade(1, pnl_usd=7.0), trade(1, quantity=0.5)
    file = history(tmp_path / "t.json", [trade(1), other, trade(1), last, other])
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, KIND, file)
        assert (report.totals["landed"], report.totals["unchanged"], report.totals["refused"]) == (3, 2, 0)
        (name, *twins) = rows(lk, "trades", "trade_id")
        assert all(base_of(twin) == name != twin for twin in twins)
        assert sorted(rows(lk, "trades", "pnl", "quantity")) == [(0.25, 0.25), (0.25, 0.5), (7.0, 0.25)]
        assert "2 rows have the facts of another row" in notes(report)
    twin = history(tmp_path / "u.json", [trade(1), other, last])
    with lake.open(tmp_path / "lake") as lk:
        assert imported(lk, KIND, twin).totals["landed"] == 0


def test_one_trade_that_is_spelled_or_noted_otherwise_is_one(tmp_path: Path) -> None:
    base = trade(1, id=1)
    at = "2023-11-14T22:14:20Z"
    told = [base, {**base, "symbol": "BTC/USDT"}, {**base, "side": "BUY", "entry_time": at}, {**base, "id": 2}]
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, KIND, history(tmp_path / "t.json", [*told, {**base, "note": "edited"}]))
        assert (report.totals["landed"], report.totals["unchanged"], report.totals["refused"]) == (1, 4, 0)
        assert differences(report) == [("extra.note", None, "edited")]
        assert report.tables[0].sums[0].repeated == pytest.approx(1.0)


@pytest.mark.parametrize("batch", [1, 100])
def test_a_source_that_has_forgotten_a_trade_does_not_make_its_twin_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(running, "BATCH_ROWS", batch)
    twins = [trade(1), trade(1, pnl_usd=7.0, quantity=3.0), trade(1, pnl_usd=-2.0)]
    file = tmp_path / "t.json"
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, KIND, history(file, twins))
        held = rows(lk, "trades", "trade_id", "pnl", "quantity")
        for left in (twins[1:], twins[:1], twins[2:], [twins[2], twins[1]], twins):
            assert imported(lk, KIND, history(file, left)).totals["landed"] == 0
        assert rows(lk, "trades", "trade_id", "pnl", "quantity") == held
        first, second = sorted(trade[1] for trade in held)[:2]
        assert (first, second, len(held)) == (-2.0, 0.25, 3)


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_what_is_new_beside_a_trade_that_is_there_is_its_twin_in_whatever_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(running, "BATCH_ROWS", batch)
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, KIND, history(tmp_path / "t.json", [trade(1)]))
        report = imported(lk, KIND, history(tmp_path / "t.json", [trade(1, pnl_usd=7.0), trade(1)]))
        assert (report.totals["landed"], report.totals["changed"], differences(report)) == (1, 0, [])
        assert sorted(rows(lk, "trades", "pnl")) == [0.25, 7.0]


@pytest.mark.parametrize("batch", [1, 100])
def test_a_trade_that_its_source_tells_otherwise_is_corrected_in_whatever_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(running, "BATCH_ROWS", batch)
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, KIND, history(tmp_path / "t.json", [trade(1), trade(2), trade(3)]))
        told = [trade(1, pnl_usd=9.0), trade(1), trade(2, pnl_usd=7.0), trade(3)]
        report = imported(lk, KIND, history(tmp_path / "t.json", told))
        assert (report.totals["landed"], report.totals["changed"]) == (2, 1)
        assert sorted(rows(lk, "trades", "pnl")) == sorted([9.0, 0.25, 7.0, trade(3)["pnl_usd"]])
        assert len(differences(report)) == 1


def test_rows_that_are_changed_do_not_pile_up_in_hot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landing, "_MOST_WAITING", 2)
    monkeypatch.setattr(running, "BATCH_ROWS", 2)
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, KIND, history(tmp_path / "t.json", [trade(n) for n in range(5)]))
        done = import_from(lk, KIND, str(history(tmp_path / "t.json", [trade(n, pnl_usd=7.0) for n in range(5)])))
        assert done.balanced
        assert done.totals["changed"] == 5
        assert lk.drain().landed.updated == 1
        assert rows(lk, "trades", "pnl") == [7.0] * 5


def test_twins_go_on_over_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "BATCH_ROWS", 2)
    file = history(tmp_path / "t.json", [trade(1, quantity=float(n // 2 + 1)) for n in range(8)])
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, KIND, file)
        assert (report.totals["landed"], report.totals["unchanged"]) == (4, 4)
        assert rows(lk, "trades", "quantity") == [1.0, 2.0, 3.0, 4.0]


def test_a_row_that_goes_on_and_one_in_which_it_has_ended_are_one_life(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        report = _both(lk, [_life("open"), _life("closed", pnl=2.0)])
        assert [(t.landed, t.changed, t.unchanged, t.refused) for t in report.tables] == [(2, 1, 0, 0)]
        again = _both(lk, [_life("open"), _life("closed", pnl=2.0)])
        assert [(t.landed, t.unchanged, t.refused) for t in again.tables] == [(0, 2, 0)]
        assert rows(lk, "trades", "status", "pnl") == [("closed", 2.0)]


def test_a_row_whose_time_its_source_tells_otherwise_is_found_where_it_lies(tmp_path: Path) -> None:
    """It stays in its year, and its sum is read back from there."""
    with lake.open(tmp_path / "lake") as lk:
        _both(lk, [_life("closed", pnl=2.0), _life("closed", id="t2", at=1_500_000_000, pnl=1.0)])
        lk.drain()
        told = [_life("closed", pnl=3.0, at=1_600_000_000), _life("closed", id="t2", at=1_500_000_000, pnl=1.0)]
        (report,) = _both(lk, told).tables
        assert (report.found, report.changed, report.unchanged) == (2, 1, 1)
        assert report.balanced
        assert rows(lk, "trades", "trade_id", "pnl") == [("t1", 3.0), ("t2", 1.0)]


def _life(status: str, **more: Any) -> dict[str, Any]:
    return {
        "id": "t1",
        "symbol": "BTCUSDT",
        "side": "LONG",
        "status": status,
        "at": 1_700_000_000,
        "kind": "trade",
        **more,
    }


_LIVES = RowMap(
    "trades",
    {"trade_id": text("id"), "symbol": text("symbol"), "side": text("side"), "status": text("status"),
     "created_at": moment("at"), "pnl": number("pnl")},
    sums={"pnl": "pnl"},
    when=lambda row: row["kind"] != "signal",
)  # fmt: skip
_SIGNALS = RowMap(
    "signals",
    {"signal_id": text("id"), "symbol": text("symbol"), "signal_time": moment("at"), "action": constant("EXECUTED")},
    when=lambda row: row["kind"] in {"signal", "both"},
)


class _Made:
    """A store of rows that a test makes."""

    name, summary = "made", "rows of a test"

    def __init__(self, made: list[Any], *maps: RowMap) -> None:
        self._made, self._maps = made, maps or (_LIVES,)

    def tables(self, _source: str, _options: Options) -> Iterator[Table]:
        yield Table("rows", self._maps, self._rows, len(self._made))

    def _rows(self, notes: Notes) -> Iterator[Row | Refused]:
        notes.tell("made by a test")
        yield from self._made


def _both(lk: Any, made: list[Any], *maps: RowMap, **how: Any) -> ImportReport:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "by_name", lambda _: _Made(made, *maps))
        return import_from(lk, "made", "nowhere", **how)


@pytest.mark.parametrize("batch", [1, 10])
def test_a_value_that_a_later_row_of_a_key_tells_first_counts_once(
    tmp_path: Path, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "BATCH_ROWS", batch)
    ended = _life("closed", pnl=2.0)
    with lake.open(tmp_path / "lake") as lk:
        (table,) = _both(lk, [_life("open"), ended, ended, _life("closed", id="t2", pnl=1.0)]).tables
        (pnl,) = [total for total in table.sums if total.column == "trades.pnl"]
        assert (pnl.found, pnl.repeated, pnl.differing, pnl.in_lake) == (5.0, 2.0, 0.0, 3.0)


def test_a_row_may_become_rows_of_several_datasets_and_one_that_becomes_none_is_refused(tmp_path: Path) -> None:
    made = [{**_life("open"), "kind": kind, "id": kind} for kind in ("trade", "signal", "both")]
    stray = replace(_LIVES, when=lambda row: row["kind"] in {"trade", "both"})
    with lake.open(tmp_path / "lake") as lk:
        report = _both(lk, [*made, {**_life("open"), "kind": "else"}, Refused("scrap", "torn")], stray, _SIGNALS)
        assert [(t.dataset, t.found, t.landed, t.refused) for t in report.tables] == [
            ("trades", 4, 2, 2),
            ("signals", 2, 2, 0),
        ]
        assert dict(report.tables[0].reasons) == {"torn": 1, "no dataset takes such a row": 1}
        looked = "no row has pnl (looked for pnl); kept beside the rows, and not understood: kind"
        assert [t.notes for t in report.tables] == [("made by a test", looked), ()]


# --- what bots and others changed meanwhile


def test_what_a_bot_wrote_is_kept_and_what_the_file_says_otherwise_is_reported(tmp_path: Path) -> None:
    file = history(tmp_path / "t.json", [trade(1)])
    with lake.open(tmp_path / "lake") as lk:
        import_from(lk, KIND, str(file))
        (trade_id,) = rows(lk, "trades", "trade_id")
        lk.patch("trades", trade_id, {"pnl": 9.5})
        report = imported(lk, KIND, file)
        assert differences(report) == [("pnl", 9.5, 0.25)]
        assert report.tables[0].sums[0].differing == pytest.approx(-9.25)
        assert rows(lk, "trades", "pnl") == [9.5]


def test_of_a_source_that_is_corrected_only_what_it_tells_otherwise_is_taken(tmp_path: Path) -> None:
    file = history(tmp_path / "t.json", [trade(1, strategy_name="theirs")])
    with lake.open(tmp_path / "lake") as lk:
        import_from(lk, KIND, str(file))
        (trade_id,) = rows(lk, "trades", "trade_id")
        lk.patch("trades", trade_id, {"pnl": 9.5, "strategy": "mine"})
        report = imported(lk, KIND, history(file, [trade(1, strategy_name="theirs", exit_reason="manual")]))
        assert rows(lk, "trades", "pnl", "strategy", "exit_reason") == [(9.5, "mine", "manual")]
        assert set(differences(report)) == {
            ("pnl", 9.5, 0.25), ("strategy", "mine", "theirs"), ("exit_reason", "manual", "tp"),
        }  # fmt: skip


def test_differences_are_counted_beyond_those_that_are_kept(tmp_path: Path) -> None:
    made = [{**_life("closed", pnl=1.0), "id": f"t{n}"} for n in range(1200)]
    with lake.open(tmp_path / "lake") as lk:
        there = {"symbol": "BTCUSDT", "status": "closed", "created_at": 1_700_000_000_000_000, "pnl": 2.0}
        lk.write("trades", [{"trade_id": row["id"], **there} for row in made])
        report = _both(lk, made)
        assert (len(report.tables[0].differences), report.tables[0].differences_found) == (1000, 1200)
        assert "... 1,200 differences in all" in report.text()
        assert report.balanced


def test_times_that_differ_are_told_as_times(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        _both(lk, [_life("open")])
        lk.patch("trades", "t1", {"opened_at": "2023-11-14T22:00:00Z"})
        known = replace(_LIVES, columns={**_LIVES.columns, "opened_at": moment("at")})
        report = _both(lk, [_life("open")], known)
        assert report.tables[0].differences == (
            Difference("trades", "t1", "opened_at", "2023-11-14T22:00:00+00:00", "2023-11-14T22:13:20+00:00"),
        )


# --- plans


def test_a_plan_writes_nothing(tmp_path: Path) -> None:
    file = history(tmp_path / "t.json", [trade(1), trade(2, side="sideways")])
    with lake.open(tmp_path / "lake") as lk:
        version = lk.version()
        report = import_from(lk, KIND, str(file), dry_run=True)
        assert (report.totals["landed"], report.totals["refused"], report.dry_run) == (1, 1, True)
        assert "would land" in report.text()
        assert report.tables[0].sums[0].in_lake is None
        assert (lk.version(), rows(lk, "trades", "trade_id"), quarantined(lk)) == (version, [], [])


def test_a_plan_of_more_rows_than_it_keeps_in_memory_says_the_same(tmp_path: Path) -> None:
    trades = [trade(n % 60) for n in range(100)]
    file = history(tmp_path / "t.json", trades)
    whole = import_from(None, KIND, str(file), dry_run=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lake.importers.plan._IN_MEMORY", 20)
        patch.setattr(running, "BATCH_ROWS", 10)
        assert import_from(None, KIND, str(file), dry_run=True).as_dict() == whole.as_dict()
    assert (whole.totals["landed"], whole.totals["unchanged"]) == (60, 40)


# --- progress, interruptions


def test_progress_is_told_after_each_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "BATCH_ROWS", 4)
    told: list[Progress] = []
    with lake.open(tmp_path / "lake") as lk:
        _both(lk, [{**_life("open"), "id": f"t{n}"} for n in range(10)], progress=told.append)
    assert told == [Progress("rows", n, 10) for n in (4, 8, 10)]


def _import_until_killed(lake_path: str, source: str, batches: int) -> None:
    """End this process, as a power cut would, when so many batches have landed."""
    running.BATCH_ROWS = 50
    count = Counter[str]()

    def kill(progress: Progress) -> None:
        count[progress.table] += 1
        if count.total() == batches:
            os.kill(os.getpid(), signal.SIGKILL)

    with lake.open(lake_path) as lk:
        import_from(lk, KIND, source, progress=kill)


@pytest.mark.parametrize("batches", [1, 6])
def test_an_import_that_was_killed_is_continued_by_running_it_again(tmp_path: Path, batches: int) -> None:
    trades = [trade(n, side="sideways" if n % 25 == 0 else "long") for n in range(400)]
    file = history(tmp_path / "t.json", trades)
    process = spawned(_import_until_killed, str(tmp_path / "lake"), str(file), batches)
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    with lake.open(tmp_path / "lake") as lk:
        done = len(rows(lk, "trades", "trade_id"))
        assert done == 48 * batches
        report = imported(lk, KIND, file)
        assert report.totals | {"differences_found": 0, "changed": 0} == {
            "found": 400, "landed": 384 - done, "changed": 0, "unchanged": done, "refused": 16, "differences_found": 0,
        }  # fmt: skip
        assert report.tables[0].sums[0].in_lake == pytest.approx(384 * 0.25)
        assert len(quarantined(lk)) == 16
        assert lk.verify().findings == ()


def test_a_file_that_breaks_off_is_continued_when_it_is_whole(tmp_path: Path) -> None:
    file = history(tmp_path / "t.json", [trade(n) for n in range(10)])
    whole = file.read_text()
    file.write_text(whole[: len(whole) // 2])
    with lake.open(tmp_path / "lake") as lk:
        broken = imported(lk, KIND, file)
        assert broken.failed
        assert 0 < broken.totals["landed"] < 10
        assert "breaks off" in notes(broken)
        file.write_text(whole)
        assert imported(lk, KIND, file).totals["landed"] == 10 - broken.totals["landed"]


# --- the command


def cli(*words: str) -> Result:
    return CliRunner().invoke(main, ["import", *words])


def test_the_command_imports_and_reports_as_text_and_json(tmp_path: Path) -> None:
    file, address = str(history(tmp_path / "t.json", [trade(1), trade(2)])), str(tmp_path / "lake")
    planned = cli(KIND, file, "--dry-run", "--lake", address, "--json")
    assert json.loads(planned.stdout)["totals"]["landed"] == 2
    assert not (tmp_path / "lake").exists()
    done = cli(KIND, file, "--lake", address)
    assert (done.exit_code, done.stdout.splitlines()[0]) == (
        0, f"{KIND} {file}: 2 rows found = 2 landed (0 of them changed) + 0 unchanged + 0 refused",
    )  # fmt: skip
    again = json.loads(cli(KIND, file, "--lake", address, "--json").stdout)
    assert (again["balanced"], again["failed"], again["totals"]["unchanged"]) == (True, False, 2)
    assert again["tables"][0]["sums"][0] | {"expected": 0.5} == {
        "column": "trades.pnl", "found": 0.5, "refused": 0.0, "repeated": 0.0, "differing": 0.0, "in_lake": 0.5,
        "since": 0.0, "expected": 0.5, "equal": True, "is_otherwise": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("nonsense", "{file}"), 2, "unknown kind of store"),
        ((KIND, "{file}", "--mode", "real"), 2, "unknown mode"),
        ((KIND, "{file}", "--timeframe", "7q"), 2, "7q"),
        ((KIND, "{file}", "--tz", "Mars/Base"), 2, "unknown time zone"),
        ((KIND, "{file}.none"), 1, "there is no such file"),
        ((KIND, "{empty}"), 1, "the file is empty"),
        ((KIND,), 2, "Missing argument"),
        ((KIND, ""), 2, "no source is named"),
        ((KIND, "postgresql://me:secret@127.0.0.1/db"), 1, "postgresql://me@127.0.0.1/db: it is an address, and this"),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_a_status(
    tmp_path: Path, words: tuple[str, ...], status: int, message: str
) -> None:
    (tmp_path / "empty.json").touch()
    names = {"file": history(tmp_path / "t.json", [trade(1, entry_time="2024-01-01T00:00:00")]),
             "empty": tmp_path / "empty.json"}  # fmt: skip
    result = cli(*(word.format(**names) for word in words), "--lake", str(tmp_path / "lake"))
    assert result.exit_code == status
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_file_that_could_not_be_read_to_its_end_is_a_failure_that_tells_what_landed(tmp_path: Path) -> None:
    file = history(tmp_path / "t.json", [trade(1), trade(2)])
    file.write_text(file.read_text()[:-20])
    result = cli(KIND, str(file), "--lake", str(tmp_path / "lake"), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["totals"]["landed"] == 1


def test_the_kinds_are_listed_in_order(tmp_path: Path) -> None:
    names = [line.split()[0] for line in cli("--kinds").stdout.splitlines()]
    assert names == sorted(names)
    assert {KIND, "journal", "positions-sqlite", "daily-reports", "bot-stats", "backtests", "signal-cache"} <= {*names}
    with pytest.raises(UsageError, match="unknown kind"):
        import_from(None, "nothing", str(tmp_path), dry_run=True)


def test_columns_of_other_names_are_named_where_a_sum_finds_nothing(tmp_path: Path) -> None:
    trade = {"symbol": "BTCUSDT", "side": "long", "entry_price": 1.0, "gain": 5.0, "entry_time": "2024-01-01T00:00:00"}
    path = tmp_path / "trades.json"
    path.write_text(json.dumps([{**trade, "exit_time": "2024-01-01T01:00:00"}]), encoding="utf-8")
    (note,) = import_from(None, "trades-json", str(path), dry_run=True).tables[0].notes
    assert "no row has pnl (looked for pnl_usd" in note
    assert note.endswith("not understood: gain")


def test_an_older_copy_that_tells_a_closed_trade_otherwise_is_reported(tmp_path: Path) -> None:
    trade = {"symbol": "BTCUSDT", "side": "long", "entry_price": 1.0, "quantity": 1.0, "pnl_usd": 10.0}
    times = {"entry_time": "2024-01-01T00:00:00", "exit_time": "2024-01-01T01:00:00"}
    for name, pnl in (("new.json", 10.0), ("old.json", 12.5)):
        (tmp_path / name).write_text(json.dumps([{**trade, **times, "pnl_usd": pnl}]), encoding="utf-8")
    with lake.open(tmp_path / "lake") as lk:
        import_from(lk, "trades-json", str(tmp_path / "new.json"))
        (difference,) = import_from(lk, "trades-json", str(tmp_path / "old.json")).tables[0].differences
        assert (difference.column, difference.kept, difference.found) == ("pnl", 12.5, 10.0)


def test_results_that_are_fractions_by_their_prices_are_told(tmp_path: Path) -> None:
    told = import_from(None, KIND, str(history(tmp_path / "a.json", [trade(1, pnl_percent=0.01)])), dry_run=True)
    assert "it looks like a fraction" in notes(told)
    right = import_from(None, KIND, str(history(tmp_path / "b.json", [trade(1, leverage=10.0)])), dry_run=True)
    assert "fraction" not in notes(right)


def test_a_quantity_that_is_lost_is_not_hidden_below_a_cent() -> None:
    lost = Sum("trades.quantity", 0.004, 0.0, 0.0, 0.0, 0.0)
    assert not lost.equal
    assert lost.shown(lost.found) == "0.004"
    assert Sum("trades.pnl", 10.004, 0.0, 0.0, 0.0, 10.0).equal


@pytest.mark.parametrize(("said", "means"), [(72, 0.72), (100.0, 1.0), (0.72, 0.72), (1, 1.0), (0, 0.0), ("65", 0.65)])
def test_a_confidence_is_a_share_whichever_way_it_is_told(said: Any, means: float) -> None:
    assert share("confidence").read({"confidence": said}, Options()) == pytest.approx(means)


@pytest.mark.parametrize("kind", ["models", "freqtrade", "backtests", "llm-logs"])
def test_a_folder_that_holds_nothing_but_the_lake_has_nothing_of_a_store(kind: str, tmp_path: Path) -> None:
    """Its logs are JSON, and it keeps the pickles that were imported."""
    with lake.open(tmp_path / "backtests") as lk:
        lk.write("backtests", {"run_id": "a", "strategy": "s", "trades": 1})
        lk.drain()
        (tmp_path / "backtests" / "models.pkl").write_bytes(b"\x80\x04")
        with pytest.raises(SourceError):
            import_from(lk, kind, str(tmp_path))
