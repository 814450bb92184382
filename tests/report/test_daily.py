"""The report of one day: the same whenever it is asked for."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import lake
from lake.cli import main
from lake.errors import UsageError

DAY = datetime(2026, 3, 2, tzinfo=UTC)
OPEN = {"symbol": "ETHUSDT", "side": "LONG", "quantity": 1.0, "entry_price": 3000.0, "opened_at": DAY}


def closed(hours: float, pnl: float, **more: Any) -> dict[str, Any]:
    end = DAY + timedelta(hours=hours)
    start = end - timedelta(minutes=30)
    times = {"created_at": start, "opened_at": start, "closed_at": end}
    return {"symbol": "BTCUSDT", "side": "LONG", "status": "closed", "pnl": pnl, "fees": 0.5, **times, **more}


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake", bot_id="tester") as opened:
        opened.trades.record([closed(1, 10.0), closed(5, -4.0), closed(23.5, 2.0), closed(26, 100.0)])
        opened.trades.open(trade_id="o", created_at=DAY, **OPEN)
        yield opened


def test_a_day_is_reported_from_its_trades(lk: lake.Lake) -> None:
    found = lake.daily_report(lk, "2026-03-02").modes["live"]
    assert (found["trades_closed"], found["wins"], found["losses"], found["trades_active"]) == (3, 2, 1, 1)
    assert (found["total_pnl"], found["fees"], found["best_trade_pnl"]) == (8.0, 1.5, 10.0)


def test_a_day_ends_where_the_zone_says(lk: lake.Lake) -> None:
    found = lake.daily_report(lk, date(2026, 3, 3), time_zone="Europe/Berlin").modes["live"]
    assert (found["trades_closed"], found["total_pnl"]) == (2, 102.0)  # 23:30 UTC is half past midnight there


def test_a_past_day_comes_out_the_same_after_later_trades_and_settling(lk: lake.Lake) -> None:
    before = lake.daily_report(lk, "2026-03-02")
    lk.trades.record([closed(48, -7.0)])
    lk.trades.close("o", 1.0, closed_at=DAY + timedelta(days=9), pnl=1.0)
    lk.drain()
    lk.compact()
    assert lake.daily_report(lk, "2026-03-02") == before


def test_a_past_day_comes_out_the_same_to_the_last_digit_whatever_order_its_trades_lie_in(tmp_path: Path) -> None:
    trades = [closed(n % 12, pnl, fees=fees) for n, (pnl, fees) in enumerate([(0.1, 0.1), (0.2, 0.7), (0.3, 0.2)] * 9)]
    trades += [closed(n % 12, -pnl / 7, fees=0.3) for n, pnl in enumerate([0.7, 0.11, 0.13] * 9)]
    seen = set()
    for number in range(5):
        with lake.open(tmp_path / str(number), bot_id="b") as lk:
            random.Random(number).shuffle(trades)
            lk.trades.record([{**trade, "trade_id": f"t{n}"} for n, trade in enumerate(trades[:20])])
            lk.drain()
            lk.trades.record([{**trade, "trade_id": f"u{n}"} for n, trade in enumerate(trades[20:])])
            found = lake.daily_report(lk, DAY.date()).modes["live"]
            seen.add(tuple(found[name] for name in ("total_pnl", "gross_profit", "gross_loss", "fees")))
            assert found["total_pnl"] == found["gross_profit"] + found["gross_loss"]
    assert len(seen) == 1


@pytest.mark.parametrize("end", ["cancel", "error"])
def test_a_past_day_comes_out_the_same_when_a_trade_opened_then_is_cancelled_or_fails(tmp_path: Path, end: str) -> None:
    with lake.open(tmp_path / "other", bot_id="b") as lk:
        for name, at in (("k", DAY), ("later", DAY + timedelta(hours=30))):
            lk.trades.open({**OPEN, "opened_at": at}, trade_id=name, created_at=at)
        before = [lake.daily_report(lk, DAY.date() + timedelta(days=n)) for n in range(3)]
        assert [r.modes["live"]["trades_active"] for r in before] == [1, 2, 2]
        getattr(lk.trades, end)("k")
        assert [lake.daily_report(lk, DAY.date() + timedelta(days=n)) for n in range(3)] == before
        getattr(lk.trades, end)("later")
        assert lake.daily_report(lk, DAY.date()) == before[0]
        today = lake.daily_report(lk, datetime.now(UTC).date()).modes["live"]
        assert (today["trades_active"], today["trades_closed"]) == (0, 0)


def test_what_was_planned_and_never_filled_is_on_no_day(tmp_path: Path) -> None:
    with lake.open(tmp_path / "other", bot_id="b") as lk:
        lk.trades.open({**OPEN, "opened_at": None}, trade_id="k", status="pending", created_at=DAY)
        lk.trades.cancel("k")
        assert not lake.daily_report(lk, datetime.now(UTC).date()).modes


def test_a_past_day_comes_out_the_same_after_the_first_trade_in_another_mode(tmp_path: Path) -> None:
    with lake.open(tmp_path / "other", bot_id="b") as lk:
        days = [DAY.date() + timedelta(days=n) for n in range(4)]
        lk.signals.record(symbol="ETHUSDT", direction="LONG", signal_time=DAY)
        before = lake.daily_report(lk, days[0])
        assert list(before.modes) == ["live"]
        lk.trades.open({**OPEN, "opened_at": DAY + timedelta(days=1)}, mode="paper", created_at=DAY)
        assert [list(lake.daily_report(lk, day).modes) for day in days[:2]] == [["live"], ["paper"]]
        quiet = lake.daily_report(lk, days[2])
        lk.trades.open({**OPEN, "opened_at": DAY + timedelta(days=3)}, mode="live", created_at=DAY)
        assert [lake.daily_report(lk, days[0]), lake.daily_report(lk, days[2])] == [before, quiet]
        assert list(lake.daily_report(lk, days[3]).modes) == ["live", "paper"]


def test_a_past_day_comes_out_the_same_when_what_was_planned_then_is_filled(tmp_path: Path) -> None:
    with lake.open(tmp_path / "other", bot_id="b") as lk:
        lk.trades.open(trade_id="k", symbol="X", status="pending", created_at=DAY)
        lk.signals.record(symbol="ETHUSDT", direction="LONG", signal_time=DAY)
        before = lake.daily_report(lk, DAY.date())
        lk.trades.patch("k", status="open", side="LONG", quantity=1.0, entry_price=2.0)
        assert lake.daily_report(lk, DAY.date()) == before
        found = lk.trades.get("k")
        assert found is not None
        assert found["opened_at"] > datetime.now(UTC) - timedelta(minutes=1)


def test_no_day_ends_with_fewer_than_no_trades_active(tmp_path: Path) -> None:
    with lake.open(tmp_path / "other") as lk:
        row = {"trade_id": "w", "symbol": "X", "side": "LONG", "mode": "paper", "status": "closed", "pnl": 1.0}
        lk.write("trades", {**row, "closed_at": DAY})  # created_at is now
        found = lk.read("daily_report").to_dicts()
        assert [(r["day"], r["trades_opened"], r["trades_closed"], r["trades_active"]) for r in found] == [
            (DAY.date(), 1, 1, 0)
        ]


def test_a_quiet_day_tells_what_is_still_open(lk: lake.Lake) -> None:
    found = lake.daily_report(lk, "2026-04-01").modes["live"]
    assert (found["trades_active"], found["trades_closed"], found["total_pnl"], found["best_trade_id"]) == (
        1,
        0,
        0,
        None,
    )
    assert lake.daily_report(lk, "2026-01-01").text().endswith("nothing was recorded")


def test_the_command_prints_text_and_json(lk: lake.Lake) -> None:
    uri = lk.location.uri
    text = CliRunner().invoke(main, ["report", "--lake", uri, "--day", "2026-03-02"]).stdout
    assert "live: 3 closed, 4 opened, 1 active" in text
    assert "pnl 8.00, fees 1.50; win rate 66.7 %" in text
    told = json.loads(CliRunner().invoke(main, ["report", "--lake", uri, "--day", "2026-03-02", "--json"]).stdout)
    assert told["modes"]["live"]["total_pnl"] == 8.0
    assert CliRunner().invoke(main, ["report", "--lake", uri]).exit_code == 0


@pytest.mark.parametrize(
    ("day", "zone", "message"),
    [("31.1.2026", "UTC", "no date"), (DAY, "UTC", "without a time"), (None, "Mars/Base", "no such time zone")],
)
def test_what_is_no_day_is_refused(lk: lake.Lake, day: Any, zone: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        lake.daily_report(lk, day, time_zone=zone)
