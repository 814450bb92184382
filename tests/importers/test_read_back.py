"""What others change between an import's write and its reading back is told as theirs, and a loss as a loss."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest

import lake
import lake.importers.run as running
from lake.importers import landing
from lake.importers.base import Options
from lake.importers.read_back import ReadBack
from lake.importers.report import ImportReport, TableReport
from lake.importers.run import import_from
from lake.ledgers.changes import change_many
from lake.ledgers.inserting import insert_unless_there
from tests.importers.contract import differences, rows
from tests.importers.test_beside_a_bot import Bot, drained

AT = 1_700_000_000
KIND = "trades-json"


def source(path: Path, **last: Any) -> Path:
    told = [
        {
            "id": f"t{n}", "symbol": "BTCUSDT", "side": "long", "entry_price": 100.0, "exit_price": 101.0,
            "quantity": 0.25, "entry_time": AT + 60 * n, "exit_time": AT + 60 * n + 30, "pnl_usd": 0.25 + n,
        }
        for n in range(3)
    ]  # fmt: skip
    path.write_text(json.dumps([*told[:-1], {**told[-1], **last}]))
    return path


def bring(lk: lake.Lake, path: Path) -> ImportReport:
    return import_from(lk, KIND, str(path), Options(bot_id="b1"))


def last_id(lk: lake.Lake) -> str:
    name: str = lk.frame("SELECT max_by(trade_id, opened_at) FROM trades").item()
    return name


def before_reading_back(monkeypatch: pytest.MonkeyPatch, does: Callable[[], object]) -> None:
    """When rows were written, and before they are read back, something is done once."""
    read, left = ReadBack.rows, [does]

    def late(self: ReadBack, batch: Any) -> Any:
        if left:
            left.pop()()
        return read(self, batch)

    monkeypatch.setattr(ReadBack, "rows", late)


def patched(**changes: Any) -> Bot:
    return lambda lk: lk.patch("trades", last_id(lk), changes)


def overwritten(lk: lake.Lake) -> object:
    """A bot knows of no imports, and writes the whole row as it has it: under another time, too."""
    row = {"trade_id": last_id(lk), "bot_id": "b1", "symbol": "BTCUSDT", "side": "LONG", "status": "closed"}
    return lk.write("trades", {**row, "created_at": (AT - 90 * 86_400) * 1000, "pnl": 9.25, "quantity": 0.25})


def begun(folder: Path, how: str) -> Path:
    """A lake whose last row is new to a source, or changes by it, or stays as it is; and that source."""
    path = source(folder / "trade_history.json")
    with lake.open(folder / "lake") as lk:
        if how != "new":
            bring(lk, path)
    return source(path, pnl_usd=2.5) if how == "changed" else path


def pnl(report: ImportReport) -> tuple[TableReport, Any]:
    table = report.tables[0]
    (total,) = (s for s in table.sums if s.column == "trades.pnl")
    return table, total


@pytest.mark.parametrize("settles", [False, True], ids=["in-hot", "settled"])
@pytest.mark.parametrize("how", ["new", "changed", "unchanged"])
@pytest.mark.parametrize("who", ["another", "own"])
@pytest.mark.parametrize("bot", [patched(pnl=9.25), overwritten], ids=["patched", "overwritten"])
def test_what_a_bot_changes_after_an_import_wrote_it_is_told_as_changed_since_and_balances(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bot: Bot, who: str, how: str, settles: bool
) -> None:
    path, does = begun(tmp_path, how), drained(bot) if settles else bot
    with lake.open(tmp_path / "lake") as lk:

        def change() -> None:
            if who == "own":
                does(lk)
            else:
                with lake.open(tmp_path / "lake", bot_id="beside") as other:
                    does(other)

        before_reading_back(monkeypatch, change)
        report = bring(lk, path)
        table, total = pnl(report)
        told = 2.5 if how == "changed" else 2.25
        assert report.balanced, report.text()
        assert (table.found, table.landed + table.unchanged, table.changed_since) == (3, 3, 1)
        assert (total.found, total.since, total.in_lake) == (1.5 + told, 9.25 - told, 10.75)
        assert ("pnl", 9.25, told) in differences(report)
        assert "changed by other writers since this import wrote or met them: 1 row" in report.text()
        assert f"{9.25 - told:.2f} changed since, 10.75 in the lake, as what other writers changed since have it" in (
            report.text()
        )
        assert rows(lk, "trades", "pnl") == [0.25, 1.25, 9.25]


def test_a_value_that_a_bot_takes_away_after_an_import_wrote_it_is_changed_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = begun(tmp_path, "new")
    with lake.open(tmp_path / "lake") as lk:
        before_reading_back(monkeypatch, lambda: patched(pnl=None)(lk))
        report = bring(lk, path)
        assert report.balanced, report.text()
        assert (pnl(report)[0].changed_since, pnl(report)[1].since) == (1, -2.25)


def fewer(*arguments: Any) -> Any:
    """A write that loses a row."""
    store, ds, written, seen = arguments
    return insert_unless_there(store, ds, written.head(2), seen)


def other(*arguments: Any) -> Any:
    """A write of other values."""
    store, ds, written, seen = arguments
    return insert_unless_there(store, ds, written.with_columns(pnl=written["pnl"] + 1), seen)


@pytest.mark.parametrize("write", [fewer, other])
@pytest.mark.parametrize("is_changed", [False, True], ids=["alone", "beside-a-change"])
def test_new_rows_that_are_lost_do_not_balance_whatever_a_bot_changes_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[..., Any], is_changed: bool
) -> None:
    path = begun(tmp_path, "new")
    monkeypatch.setattr(landing, "insert_unless_there", write)
    with lake.open(tmp_path / "lake") as lk:
        if is_changed:
            before_reading_back(monkeypatch, lambda: drained(patched(quantity=7.0))(lk))
        report = bring(lk, path)
        assert not report.balanced
        assert "NOT EQUAL" in report.text()


def test_a_new_row_that_was_written_and_is_gone_when_it_is_read_back_does_not_balance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = begun(tmp_path, "new")
    with lake.open(tmp_path / "lake") as lk:
        before_reading_back(monkeypatch, lambda: lk.retain({"trades": 1}))
        report = bring(lk, path)
        assert not report.balanced
        assert pnl(report)[0].changed_since == 0


def unwritten(writer: Any, name: str, folds: Mapping[Any, Any]) -> Any:
    """A change that is acknowledged, and lost."""
    return [(row, {**row, **fold(row)}) for fold in folds.values() for row in _now(writer, name, list(folds))]


def _now(writer: Any, name: str, keys: list[Any]) -> list[dict[str, Any]]:
    done = change_many(writer, name, dict.fromkeys(keys, lambda _: None))
    return [dict(before) for before, _ in done if before is not None]


@pytest.mark.parametrize("is_changed", [False, True], ids=["alone", "beside-a-change"])
def test_a_change_of_a_row_that_is_lost_does_not_balance_whatever_a_bot_changes_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_changed: bool
) -> None:
    path = begun(tmp_path, "changed")
    monkeypatch.setattr(landing, "change_many", unwritten)
    with lake.open(tmp_path / "lake") as lk:
        if is_changed:
            before_reading_back(monkeypatch, lambda: patched(quantity=7.0, strategy="breakout")(lk))
        report = bring(lk, path)
        assert rows(lk, "trades", "pnl") == [0.25, 1.25, 2.25]
        assert pnl(report)[0].changed == 1
        assert not report.balanced
        assert "NOT EQUAL" in report.text()


def test_imports_beside_a_bot_that_changes_their_rows_all_the_time_balance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "BATCH_ROWS", 1)
    is_done = Event()

    def live() -> None:
        """A bot patches the trades that are there, each time to a value that it never had, and settles."""
        with lake.open(tmp_path / "lake", bot_id="beside") as bot:
            for count in itertools.takewhile(lambda _: not is_done.is_set(), itertools.count()):
                for name in rows(bot, "trades", "trade_id"):
                    bot.patch("trades", name, {"pnl": 1000.0 + count})
                if count % 3 == 0:
                    bot.drain()

    with lake.open(tmp_path / "lake") as lk, ThreadPoolExecutor(1) as threads:
        bot = threads.submit(live)
        try:
            reports = [bring(lk, source(tmp_path / "trade_history.json", pnl_usd=float(n // 2))) for n in range(6)]
        finally:
            is_done.set()
        bot.result()
    assert [report.text() for report in reports if not report.balanced] == []
