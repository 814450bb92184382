"""Drafts of column maps, fed back as they are: for what exchanges and programs hand out."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import lake
from lake.errors import UsageError
from lake.importers.base import Options
from lake.importers.report import ImportReport
from lake.importers.run import import_from
from lake.importers.suggesting import suggest
from tests.importers.contract import imported, notes, rows

HEAD = "coin,direction,qty,entry,exit,profit,opened,closed"
DEAL = "BTC/USDT,long,2,100,110,20,2024-05-01 10:00:00,2024-05-01 11:00:00"
AT = datetime(2024, 5, 13, 10, tzinfo=UTC)


def fed_back(lk: Any, path: Path, text: str) -> ImportReport:
    """The report of an import by the draft that is made of the file."""
    path.write_text(text)
    made = path.with_suffix(".toml")
    made.write_text(suggest(str(path)))
    return imported(lk, "generic", path, map_file=made)


BINANCE = """Date(UTC),Symbol,Side,Price,Quantity,Amount,Fee,Fee Coin,Realized Profit,Quote Asset
2024-05-01 10:00:00,BTCUSDT,BUY,60000,0.01,600,0.24,USDT,0,USDT
2024-05-01 10:00:00,BTCUSDT,BUY,60001,0.02,1200.02,0.48,USDT,0,USDT
"""
KRAKEN = """txid,ordertxid,pair,time,type,ordertype,price,cost,fee,vol,margin,misc,ledgers
T1,O1,XBTUSD,2024-05-01 10:00:00.1234,buy,limit,60000,600,1,0.01,0,,
"""
COINBASE = """portfolio,trade id,product,side,created at,size,size unit,price,fee,total
default,1,BTC-USD,BUY,2024-05-01T10:00:00.000Z,0.01,BTC,60000,1,-601
"""
BINANCE_SPOT = """Date(UTC),Pair,Side,Price,Executed,Amount,Fee
2024-05-01 10:00:00,BTCUSDT,BUY,"60,000.00",0.01BTC,600.00USDT,0.00001000BTC
"""
ACTIONS = """id,symbol,action,price,amount,fee,pnl,timestamp,date
1,SEIUSDT,BUY,0.5,0.01,0.24,0,2024-05-01T10:00:00.000Z,2024-05-01
"""
EXPORTS = {
    "binance spot, amounts with their assets": (BINANCE_SPOT, [("BUY", 0.01, 60000.0, 0.00001)]),
    "a bot's journal of actions": (ACTIONS, [("BUY", 0.01, 0.5, 0.24)]),
    "binance futures": (BINANCE, [("BUY", 0.01, 60000.0, 0.24), ("BUY", 0.02, 60001.0, 0.48)]),
    "kraken": (KRAKEN, [("BUY", 0.01, 60000.0, 1.0)]),
    "coinbase": (COINBASE, [("BUY", 0.01, 60000.0, 1.0)]),
}


@pytest.mark.parametrize("name", EXPORTS)
def test_executions_as_exchanges_hand_them_out_land_by_their_draft(name: str, tmp_path: Path) -> None:
    text, there = EXPORTS[name]
    with lake.open(tmp_path / "lake") as lk:
        report = fed_back(lk, tmp_path / "fills.csv", text)
        assert (report.totals["refused"], rows(lk, "fills", "side", "quantity", "price", "commission")) == (0, there)
        assert rows(lk, "fills", "trade_id is null") == [True] * len(there)


def test_an_amount_in_the_quote_asset_is_not_taken_for_the_quantity(tmp_path: Path) -> None:
    path = tmp_path / "fills.csv"
    path.write_text(BINANCE_SPOT + BINANCE_SPOT.splitlines()[1].replace("BTC", "ETH") + "\n")
    draft = suggest(str(path))
    assert "\nquantity" not in draft
    assert "# quantity: not made of \"Executed\", values such as '0.01BTC', '0.01ETH' are no numbers" in draft


@pytest.mark.parametrize("head", ["date", "date,opened"])
def test_trades_that_share_all_facts_of_their_id_all_land(head: str, tmp_path: Path) -> None:
    """Of a file that tells only the day, and of one that tells the day beside the time."""
    times = [",2024-05-01 10:00:00", ",2024-05-01 12:00:00"] if "opened" in head else ["", ""]
    lines = [f"2024-05-01{at},BTC/USDT,long,1,100,10{n},{n}" for n, at in enumerate(times, start=1)]
    with lake.open(tmp_path / "lake") as lk:
        report = fed_back(lk, tmp_path / "t.csv", "\n".join([f"{head},coin,side,qty,entry,exit,profit", *lines]))
        assert (report.totals["refused"], rows(lk, "trades", "pnl")) == (0, [1.0, 2.0])
        assert ("an id of its own" in notes(report)) == (head == "date")


def test_a_row_of_ids_that_the_map_makes_of_another_id_is_still_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"deal,{HEAD}\n1,{DEAL}\n1,{DEAL.replace(',20,', ',21,')}\n")
    made = tmp_path / "map.toml"
    made.write_text(suggest(str(path)).replace('id = ["symbol"', 'id = ["deal", "symbol"'))
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "generic", path, map_file=made)
        assert (report.totals["landed"], report.totals["refused"]) == (1, 1)


def test_a_few_odd_values_cost_their_rows_and_not_the_column(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        good = [DEAL.replace(":00:00,", f":{n:02d}:00,") for n in range(10)]
        path = tmp_path / "t.csv"
        report = fed_back(lk, path, "\n".join([HEAD, *good, DEAL.replace(",20,", ",2O,")]))
        assert '"profit"  # 1 of 11 are no numbers: their rows will be refused' in path.with_suffix(".toml").read_text()
        assert (report.totals["landed"], dict(report.tables[0].reasons)) == (10, {"profit: not a number": 1})
        assert report.tables[0].sums[0].column == "trades.pnl"


def test_of_a_column_whose_values_do_not_fit_the_draft_says_why(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"{HEAD}\n{DEAL.replace(',100,', ',about 100,')}\n")
    assert "# entry_price: not made of \"entry\", values such as 'about 100' are no numbers" in suggest(str(path))


@pytest.mark.parametrize("opened", [
    "05/13/2024 10:00", "13.05.2024 10:00:00", "2024.05.13 10:00", "10:00:00 2024-05-13", "2024-05-13 10:00:00 UTC",
    "05/13/2024 10:00:00 AM", "2024-05-13 12:00:00 +0200",
])  # fmt: skip
def test_times_in_the_layouts_of_programs_are_told_by_all_values(tmp_path: Path, opened: str) -> None:
    with lake.open(tmp_path / "lake") as lk:
        deal = DEAL.replace("2024-05-01 10:00:00", opened).replace("2024-05-01 11:00:00", "")
        report = fed_back(lk, tmp_path / "t.csv", f"{HEAD}\n{deal}\n")
        assert (report.totals["refused"], rows(lk, "trades", "opened_at")) == (0, [AT])


def test_a_day_that_may_be_a_month_is_left_to_the_reader(tmp_path: Path) -> None:
    path, made = tmp_path / "t.csv", tmp_path / "map.toml"
    path.write_text(f"{HEAD}\n{DEAL.replace('2024-05-01 10:00:00', '05/06/2024 10:00')}\n")
    draft = suggest(str(path), Options(tz="Europe/Berlin"))
    assert (
        'layout = "%m/%d/%Y %H:%M", zone = "Europe/Berlin" }, { moment = "opened", layout = "%d/%m/%Y %H:%M"' in draft
    )
    made.write_text(draft.replace("\ncreated_at = ", "\n# "))
    with (
        lake.open(tmp_path / "lake") as lk,
        pytest.raises(UsageError, match="the time created_at of trades"),
    ):
        import_from(lk, "generic", str(path), Options(map_file=made))


@pytest.mark.parametrize("layout", ["%H:%M", "%Y-%m", "%Q", ""])
def test_a_layout_that_tells_no_day_is_refused(tmp_path: Path, layout: str) -> None:
    path, made = tmp_path / "t.csv", tmp_path / "map.toml"
    path.write_text(f"{HEAD}\n{DEAL}\n")
    drafted = suggest(str(path)).replace('moment = "opened"', f'moment = "opened", layout = "{layout}"')
    made.write_text(drafted)
    with lake.open(tmp_path / "lake") as lk, pytest.raises(UsageError, match="layout"):
        import_from(lk, "generic", str(path), Options(map_file=made))
