"""Executions, and what they say of a trade."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import lake
from lake.errors import InvalidRowError, LifeCycleError
from lake.ledgers.writer import BULK_ROWS

FILL = {"symbol": "BTC/USDT", "trade_id": "t", "venue": "x"}


@pytest.mark.parametrize(("side", "opening", "closing"), [("LONG", "BUY", "SELL"), ("SHORT", "SELL", "BUY")])
def test_a_trade_has_the_average_prices_and_fees_of_its_fills(
    tmp_path: Path, side: str, opening: str, closing: str
) -> None:
    with lake.open(tmp_path, bot_id="a") as lk:
        lk.trades.open(symbol="BTCUSDT", side=side, quantity=4.0, entry_price=100.0, trade_id="t")
        first = {**FILL, "fill_id": "f1", "side": opening, "quantity": 1.0, "price": 100.0}
        assert lk.fills.record(first, commission=0.5, commission_asset="USDT").inserted == 1
        assert lk.fills.record(first, commission=0.5, commission_asset="USDT").unchanged == 1
        lk.drain()
        assert lk.fills.record(first, commission=0.5, commission_asset="USDT").unchanged == 1
        lk.fills.record(
            [
                {
                    **FILL,
                    "side": opening,
                    "quantity": 3.0,
                    "price": 104.0,
                    "commission": 0.1,
                    "commission_asset": "BNB",
                },
                {
                    **FILL,
                    "side": closing,
                    "quantity": 4.0,
                    "price": 110.0,
                    "commission": 0.7,
                    "commission_asset": "USDT",
                },
                {**FILL, "trade_id": "other", "side": closing, "quantity": 9.0, "price": 1.0},
            ]
        )
        found = lk.fills.summary("t")
        assert (found.entry_quantity, found.entry_price) == (4.0, pytest.approx(103.0))
        assert (found.exit_quantity, found.exit_price) == (4.0, 110.0)
        assert found.fees == {"BNB": pytest.approx(0.1), "USDT": pytest.approx(1.2)}
        assert lk.fills.of_trade("t").height == 3


def test_a_trade_that_is_bought_and_sold_in_parts_at_one_price_is_breakeven(tmp_path: Path) -> None:
    draw = random.Random(1)
    with lake.open(tmp_path, bot_id="a") as lk:
        for number in range(30):
            price, parts = draw.randrange(100, 99_999) / 100, [draw.randrange(1, 99) / 1000 for _ in range(3)]
            named = {"trade_id": f"t{number}", "symbol": "BTCUSDT"}
            lk.trades.open(**named, side="LONG", quantity=sum(parts), entry_price=price)
            lk.fills.record(
                [{**named, "side": s, "quantity": q, "price": price} for q in parts for s in ("BUY", "SELL")]
            )
            found = lk.fills.summary(f"t{number}")
            assert (found.entry_price, found.exit_price) == (price, price)
            lk.trades.close(f"t{number}", exit_price=found.exit_price)
        assert lk.trades.statistics().select("wins", "losses", "breakevens").row(0) == (0, 0, 30)


@pytest.mark.parametrize("side", ["LONG", "SHORT"])
def test_a_trade_that_is_bought_and_sold_in_parts_counts_once_with_the_sum_of_their_results(
    tmp_path: Path, side: str
) -> None:
    way, opening, closing = (1, "BUY", "SELL") if side == "LONG" else (-1, "SELL", "BUY")
    parts = [(opening, 1.0, 100.0), (closing, 0.4, 104.0), (opening, 0.5, 106.0), (closing, 0.6, 99.0)]
    last = (closing, 0.5, 112.0)
    when = datetime(2026, 3, 1, tzinfo=UTC)
    with lake.open(tmp_path, bot_id="a") as lk:

        def fill(number: int, part: tuple[str, float, float]) -> None:
            lk.fills.record(
                trade_id="t", fill_id=f"f{number}", symbol="BTCUSDT", side=part[0], quantity=part[1], price=part[2],
                commission=0.1, commission_asset="USDT", executed_at=when + timedelta(days=number),
            )  # fmt: skip

        def close(**more: Any) -> None:
            found = lk.fills.summary("t")
            assert found.exit_price is not None
            lk.trades.close(
                "t", found.exit_price, entry_price=found.entry_price, quantity=found.exit_quantity,
                fees=found.fees["USDT"], **more,
            )  # fmt: skip

        lk.trades.open(symbol="BTCUSDT", side=side, quantity=1.0, entry_price=100.0, leverage=5.0, trade_id="t",
                       opened_at=when)  # fmt: skip
        for number, part in enumerate(parts):
            fill(number, part)
            if part[0] == opening:
                found = lk.fills.summary("t")
                lk.trades.patch("t", quantity=found.entry_quantity, entry_price=found.entry_price)
        with pytest.raises(LifeCycleError, match=r"holds 1\.5.*got 1\.0\).*with quantity= that of its exits"):
            close()
        with lk.transaction():
            fill(4, last)
            close(closed_at=when + timedelta(days=4))
        made = sum((1 if part[0] == closing else -1) * way * part[1] * part[2] for part in (*parts, last)) - 0.5
        margin = (1.0 * 100.0 + 0.5 * 106.0) / 5.0
        [row] = lk.trades.statistics().to_dicts()
        assert (row["trades"], row["total_pnl"], row["fees"]) == (1, pytest.approx(made), pytest.approx(0.5))
        assert row["avg_pnl_percent"] == pytest.approx(100 * made / margin)
        [day] = lk.frame("SELECT day, total_pnl FROM daily_report WHERE trades_closed > 0").rows()
        assert day == ((when + timedelta(days=4)).date(), pytest.approx(made))
        by_symbol = lk.read("trade_statistics_by_symbol", {"period": "all"})
        assert (by_symbol["trades"].item(), by_symbol["total_pnl"].item()) == (1, pytest.approx(made))


def test_a_summary_inside_a_transaction_knows_its_fills_and_its_trade(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="a") as lk:
        lk.fills.record(ONE)
        with lk.transaction():
            assert lk.fills.summary("t").entry_quantity == 0.0, "of an unknown trade"
            lk.trades.open(symbol="BTCUSDT", side="LONG", quantity=1.0, entry_price=100.0, trade_id="t", venue="x")
            lk.fills.record({**ONE, "fill_id": "8", "side": "SELL", "price": 110.0})
            lk.fills.record(ONE, commission=0.25)
            found = lk.fills.summary("t")
        assert (found.entry_quantity, found.exit_quantity, found.exit_price) == (1.0, 1.0, 110.0)
        assert found.fees == {"": 0.75}
        assert lk.fills.summary("t") == found


def test_a_trade_without_fills_has_no_prices(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="a") as lk:
        found = lk.fills.summary("t")
        assert (found.entry_quantity, found.entry_price, found.exit_price, found.fees) == (0.0, None, None, {})


def test_an_execution_that_is_neither_bought_nor_sold_is_refused(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="a") as lk:
        with pytest.raises(InvalidRowError, match=r"fills\.side"):
            lk.fills.record(FILL, side="HOLD")
        assert lk.read("fills").is_empty()


ONE = {**FILL, "fill_id": "7", "side": "BUY", "quantity": 1.0, "price": 100.0, "commission": 0.5}


@pytest.mark.parametrize("settled", [False, True])
def test_a_fill_does_not_take_the_place_of_another_one_of_its_id(tmp_path: Path, settled: bool) -> None:
    with lake.open(tmp_path, bot_id="a") as one, lake.open(tmp_path, bot_id="b") as two:
        one.fills.record(ONE)
        if settled:
            one.drain()
        for changes in ({"symbol": "ETHUSDT"}, {"side": "SELL"}, {"price": 101.0}, {"quantity": 2.0}, {"venue": "y"}):
            with pytest.raises(LifeCycleError, match=rf"fills\.{next(iter(changes))}, 7: another one has this id"):
                one.fills.record(ONE, **changes)
        with pytest.raises(LifeCycleError, match=r"fills\.bot_id, 7: another one has this id, and its bot_id is 'a'"):
            two.fills.record(ONE)
        done = one.fills.record([{**ONE, "symbol": "ETHUSDT"}, ONE, {**ONE, "fill_id": "8"}])
        assert (done.inserted, done.unchanged, done.rejected) == (1, 1, 1)
        assert "its symbol is 'BTCUSDT'" in done.rejections[0].reason
        done = one.fills.record([{**ONE, "fill_id": "9"}, {**ONE, "fill_id": "9", "symbol": "ETHUSDT"}])
        assert (done.inserted, done.rejected) == (1, 1)
        assert len(list(one.writer.quarantine.read("fills"))) == 2
        assert one.frame("SELECT DISTINCT symbol, bot_id, price FROM fills").rows() == [("BTCUSDT", "a", 100.0)]


def test_what_is_told_of_a_fill_later_adds_to_it(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="a") as lk:
        lk.fills.record(ONE)
        late = {name: ONE[name] for name in ("fill_id", "symbol", "side", "quantity", "price")}
        assert lk.fills.record(late, order_id="o").updated == 1
        assert lk.frame("SELECT trade_id, commission, order_id FROM fills").rows() == [("t", 0.5, "o")]


def test_a_fill_of_the_same_transaction_is_seen(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="a") as lk:
        with lk.transaction():
            lk.fills.record(ONE)
            assert lk.fills.record([{**ONE, "symbol": "ETHUSDT"}]).rejected == 1
        assert lk.read("fills")["symbol"].to_list() == ["BTCUSDT"]


@pytest.mark.parametrize("number", [3, BULK_ROWS])
def test_a_table_of_known_fills_without_times_changes_none(number: int, tmp_path: Path) -> None:
    table = pl.DataFrame([{**FILL, "fill_id": f"f{n}", "side": "BUY", "quantity": 1.0} for n in range(number)])
    table = table.with_columns(price=2.0)
    with lake.open(tmp_path, bot_id="a") as lk:
        assert lk.fills.record(table).inserted == number
        before = lk.read("fills")
        assert lk.fills.record(table).unchanged == number
        assert lk.read("fills").sort("fill_id").equals(before.sort("fill_id"))


@pytest.mark.parametrize("number", [3, BULK_ROWS])
@pytest.mark.parametrize("ledger", ["fills", "trades"])
def test_many_that_are_known_and_told_again_without_their_time_are_unchanged(
    ledger: str, number: int, tmp_path: Path
) -> None:
    key = f"{ledger[:-1]}_id"
    rows = [{"symbol": "BTCUSDT", key: f"f{n}", "side": "BUY", "quantity": 1.0, "price": 9.0} for n in range(number)]
    if ledger == "trades":
        rows = [{"symbol": "BTCUSDT", key: f"f{n}", "side": "LONG", "status": "pending"} for n in range(number)]
    with lake.open(tmp_path, bot_id="a") as lk:
        record = getattr(lk, ledger).record
        record(rows)
        before = lk.read(ledger)
        again = [dict(row) for row in rows]
        again[1]["timestamp"] = "2026-03-04T00:00:00Z"
        again.append({**rows[0], key: "new"})
        receipt = record(again)
        assert (receipt.inserted, receipt.updated, receipt.unchanged) == (1, 1, number - 1)
        moved = lk.read(ledger).join(before, on=key, how="left", suffix="_before")
        time = "executed_at" if ledger == "fills" else "created_at"
        moved = moved.filter(moved[time] != moved[f"{time}_before"])
        assert (moved[key].to_list(), moved[time].dt.strftime("%F").to_list()) == (["f1"], ["2026-03-04"])
