"""A run, its totals and its trades; and how far real trading parts from it."""

from __future__ import annotations

import asyncio
import contextvars
import json
import random
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import polars as pl
import pytest

import lake
from lake.errors import InvalidRowError, LifeCycleError, UnknownRowError, UsageError
from lake.ledgers import backtests
from lake.ledgers.open_rows import landed_open_rows
from lake.spec import registry
from lake.spec.decode import frame_to_rows
from lake.spec.rows import row_checker

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RUN = {"run_id": "r", "symbol": "BTC/USDT", "strategy": "s", "timeframe": "15m", "parameters": {"rsi": 14}}


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake", bot_id="b") as opened:
        yield opened


def trade(minute: int, exit_price: float, **more: Any) -> dict[str, Any]:
    at = NOON + timedelta(minutes=minute)
    prices = {"side": "LONG", "quantity": 1.0, "entry_price": 100.0, "exit_price": exit_price}
    return {**prices, "opened_at": at, "closed_at": at + timedelta(minutes=5), **more}


TRADES = [trade(0, 110.0), trade(30, 95.0), trade(60, 100.0), trade(90, 102.0)]


def test_a_run_has_the_totals_of_its_trades(lk: lake.Lake) -> None:
    assert lk.backtests.record(RUN, [*TRADES, trade(99, 1.0, status="open")]).id == "r"
    row = lk.backtests.get("r")
    assert row is not None
    assert (row["trades"], row["wins"], row["losses"], row["win_rate"]) == (4, 2, 1, 50.0)
    assert (row["profit_factor"], row["total_pnl_percent"]) == (pytest.approx(12 / 5), pytest.approx(7.0))
    assert (row["start_time"], row["symbol"]) == (NOON, "BTCUSDT")
    found = lk.backtests.trades("r")
    assert found.select("symbol", "mode", "strategy", "timeframe").unique().rows() == [
        ("BTCUSDT", "backtest", "s", "15m")
    ]
    assert found["created_at"].to_list() == found["opened_at"].to_list()
    assert lk.trades.statistics(mode="backtest").filter(pl.col("period") == "all")["trades"].item() == 4


def test_given_totals_are_kept_and_what_cannot_be_computed_is_left_out(lk: lake.Lake) -> None:
    lk.backtests.record(RUN, [], win_rate=60.0)
    lk.backtests.record({**RUN, "run_id": "w"}, [trade(0, 110.0)])
    assert lk.frame("SELECT trades, win_rate, profit_factor FROM backtests ORDER BY run_id").rows() == [
        (0, 60.0, None),
        (1, 100.0, None),
    ]


def test_totals_that_are_given_and_not_those_of_the_trades_are_told(lk: lake.Lake) -> None:
    told = {"trades": 5, "win_rate": 80.0, "profit_factor": 2.4, "total_pnl_percent": 7.004}
    differences = {"trades": (5, 4), "win_rate": (80.0, 50.0)}
    assert lk.backtests.record(RUN, TRADES, **told).differences == differences
    assert lk.frame("SELECT trades, win_rate FROM backtests").rows() == [(5, 80.0)]
    again = lk.backtests.record(RUN, TRADES, **told)
    assert (again.unchanged, again.differences) == (1, differences)
    assert lk.backtests.record(RUN, [], **told).differences == differences
    with lk.transaction():
        assert lk.backtests.record({**RUN, "run_id": "u"}, TRADES, wins="3").differences == {"wins": (3, 2)}
    lk.trades.record(trade(0, 111.0), mode="paper", strategy="s", bot_id="b", symbol="BTCUSDT", trade_id="real",
                     status="closed")  # fmt: skip
    found = lk.backtests.divergence("r").select("backtest_n", "stated_trades", "backtest_win_rate", "stated_win_rate")
    assert found.rows() == [(4, 5, 50.0, 80.0)]


def test_a_run_that_is_recorded_again_without_its_trades_keeps_its_totals(lk: lake.Lake) -> None:
    lk.backtests.record(RUN, TRADES)
    before = lk.read("backtests")
    assert lk.backtests.record(RUN).unchanged == 1
    assert lk.backtests.record(RUN, name="first").updated == 1
    lk.drain()
    assert lk.backtests.record(RUN, [], name="second").updated == 1
    assert lk.read("backtests").drop("name").equals(before.drop("name"))
    told = {"start_time": NOON - timedelta(days=9), "win_rate": 80.0}
    lk.backtests.record({**RUN, "run_id": "a", **told}, TRADES)
    assert lk.backtests.record({**RUN, "run_id": "a"}, name="given").differences == {"win_rate": (80.0, 50.0)}
    assert lk.read("backtests", {"run_id": "a"}).select("name", *told).rows() == [("given", *told.values())]
    assert lk.backtests.record({**RUN, "run_id": "a"}, TRADES).differences == {"win_rate": (80.0, 50.0)}
    assert lk.read("backtests", {"run_id": "a"})["win_rate"].to_list() == [80.0]
    lk.backtests.record({**RUN, "run_id": "t"}, trades=17, win_rate=60.0)
    assert lk.backtests.record({**RUN, "run_id": "t"}, name="totals").updated == 1
    sql = "SELECT name, trades, wins, win_rate FROM backtests ORDER BY run_id"
    assert lk.frame(sql).rows() == [("given", 4, 2, 80.0), ("second", 4, 2, 50.0), ("totals", 17, 0, 60.0)]


def test_a_run_whose_totals_are_those_of_its_trades_or_that_has_none_differs_in_nothing(lk: lake.Lake) -> None:
    assert lk.backtests.record(RUN, TRADES, win_rate=50.0, profit_factor=2.4).differences == {}
    assert lk.backtests.record({**RUN, "run_id": "x"}, TRADES).differences == {}
    assert lk.backtests.record({**RUN, "run_id": "y"}, [], trades=17, win_rate=60.0).differences == {}
    assert lk.backtests.record({**RUN, "run_id": "z"}, TRADES[:1], profit_factor=9.0).differences == {}


def test_recording_a_run_again_changes_nothing(lk: lake.Lake) -> None:
    lk.backtests.record(RUN, TRADES)
    before = lk.read("trades").sort("trade_id"), lk.read("backtests")
    assert lk.backtests.record(RUN, TRADES).unchanged == 1
    lk.drain()
    assert lk.backtests.record(RUN, pl.DataFrame(TRADES)).unchanged == 1
    assert lk.read("trades").sort("trade_id").equals(before[0])
    assert lk.read("backtests").equals(before[1])
    with pytest.raises(LifeCycleError, match="recorded with other trades"):
        lk.backtests.record(RUN, TRADES[:2])
    assert lk.read("trades").height == 4


def test_a_run_with_a_wrong_trade_is_refused_whole(lk: lake.Lake) -> None:
    with pytest.raises(InvalidRowError, match=r"trade 1, trades\.side"):
        lk.backtests.record(RUN, [TRADES[0], {**TRADES[1], "side": "UP"}])
    with pytest.raises(InvalidRowError, match=r"backtests\.total_signals"):
        lk.backtests.record(RUN, TRADES, total_signals=-1)
    with pytest.raises(UsageError, match="Give a list or a table"):
        lk.backtests.record(RUN, TRADES[0])
    assert lk.read("trades").is_empty()
    assert lk.read("backtests").is_empty()


def test_no_moment_shows_a_run_without_its_trades(tmp_path: Path) -> None:
    """Many rows, more than a write that goes straight to cold; every snapshot holds all of a run or nothing of it."""
    many = [trade(n, 101.0) for n in range(6000)]

    async def work() -> list[tuple[int, int]]:
        async with await lake.open_async(tmp_path, bot_id="b") as alk:
            writing = asyncio.ensure_future(alk.backtests.record(RUN, many))
            seen = []
            sql = "SELECT (SELECT count(*) FROM trades), (SELECT count(*) FROM backtests)"
            while not writing.done():
                seen.append((await alk.sql(sql)).row(0))
            draining = asyncio.ensure_future(alk.drain())
            while not draining.done():
                seen.append((await alk.sql(sql)).row(0))
            return [*seen, (await alk.sql(sql)).row(0)]

    seen = asyncio.run(work())
    assert set(seen) <= {(0, 0), (6000, 1)}
    assert seen[-1] == (6000, 1)


def test_divergence_compares_like_with_like(lk: lake.Lake) -> None:
    lk.backtests.record(RUN, TRADES)
    assert lk.backtests.divergence("r").is_empty()
    real = {"symbol": "BTCUSDT", "strategy": "s", "status": "closed", "created_at": NOON}
    for number, row in enumerate(
        [
            {**trade(3, 108.0), "entry_price": 101.0},  # matches the first one, entered worse
            trade(45, 90.0),  # within the tolerance of the second
            trade(62, 101.0, side="SHORT"),  # another side: no match
            trade(5, 500.0, strategy="other"),
            trade(9999, 500.0),  # after the run's period
            trade(10, 500.0, symbol="ETHUSDT"),
        ]
    ):
        lk.trades.record({**real, **row, "trade_id": f"l{number}"})
    lk.trades.record({**real, **trade(0, 110.0), "mode": "paper", "bot_id": "c"})
    found = lk.backtests.divergence("r", "b").row(0, named=True)
    assert (found["backtest_n"], found["real_n"], found["matched"]) == (4, 3, 2)
    assert (found["backtest_only"], found["real_only"], found["tolerance_minutes"]) == (2, 1, 15)
    percents = (100 * 7 / 101, -10.0, -1.0)
    assert found["real_mean_pnl_percent"] == pytest.approx(sum(percents) / 3)
    assert found["mean_pnl_percent_difference"] == pytest.approx(sum(percents) / 3 - 7 / 4)
    assert found["win_rate_difference"] == pytest.approx(100 / 3 - 50)
    assert found["expectancy_difference"] == pytest.approx((7 - 10 - 1) / 3 - 7 / 4)
    assert found["matched_pnl_percent_difference"] == pytest.approx((percents[0] - 10 + percents[1] + 5) / 2)
    assert found["entry_slippage_percent"] == pytest.approx(0.5)
    paper = lk.backtests.divergence("r", mode="paper")
    assert paper.select("bot_id", "real_n", "matched").rows() == [("c", 1, 1)]
    with pytest.raises(UnknownRowError, match="'nothing'"):
        lk.backtests.divergence("nothing")


def one_by_one(trade: dict[str, Any], number: int) -> dict[str, Any]:
    """A trade of a run, worked out by itself."""
    known = {name: value for name, value in trade.items() if value is not None}
    at = {"created_at": known.get("opened_at", known.get("closed_at"))}
    row = {"trade_id": f"r/{number}", "status": "closed", **at, "symbol": "BTC/USDT", "strategy": "s", **known}
    row |= {"mode": "backtest", "run_id": "r", "bot_id": known.get("bot_id") or "b", "timeframe": "15m"}
    names = ("entry_price", "exit_price", "quantity", "side")
    if row["status"] == "closed" and "pnl" not in known and all(known.get(name) is not None for name in names):
        found = lake.pnl(*(known[name] for name in names), known.get("leverage", 1.0), known.get("fees", 0.0))
        row |= {"pnl": found.pnl, "pnl_percent": known.get("pnl_percent", found.pnl_percent)}
    elif row["status"] == "closed" and all(known.get(name) is not None for name in ("pnl", "entry_price", "quantity")):
        bound = known["entry_price"] * known["quantity"] / known.get("leverage", 1.0)
        row.setdefault("pnl_percent", 100.0 * known["pnl"] / bound)
    return row_checker(registry.get("trades"))(row)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shape", ["alike", "of many shapes", "a table"])
def test_trades_checked_together_are_those_checked_one_by_one(lk: lake.Lake, seed: int, shape: str) -> None:
    random_ = random.Random(seed)

    def some(value: Any) -> Any:
        return random_.choice((value, value, value, None))

    trades = []
    for number in range(40):
        at = NOON + timedelta(minutes=number)
        row = {
            "opened_at": at,
            "closed_at": at + timedelta(minutes=3),
            "side": random_.choice(("LONG", "SHORT")),
            **{name: some(random_.uniform(1, 9)) for name in ("entry_price", "exit_price", "quantity", "leverage")},
            "fees": some(random_.uniform(-1, 1)),
            "pnl": random_.choice((None, None, 3.0)),
            "note": some("x"),
            "status": random_.choice((None, "open", "closed")),
            "symbol": some("eth/usdt"),
            "pnl_percent": some(1.5),
        }
        if shape == "of many shapes":
            row = {name: value for name, value in row.items() if value is not None or random_.random() < 0.5}
            row |= {"features": {"rsi": number}, "seen": [number], "fees": random_.choice((1, "0.5", 2.5))}
        trades.append(row)
    given = pl.DataFrame(trades) if shape == "a table" else trades
    lk.backtests.record(RUN, given)
    expected = []
    for number, row in enumerate(trades):
        fees = row.get("fees")
        expected.append(one_by_one({**row, "fees": float(fees) if fees is not None else None}, number))
    found = {row["trade_id"]: row for row in landed_open_rows(lk.writer, "trades")}
    stored = {row["trade_id"]: row for row in frame_to_rows(registry.get("trades"), lk.read("trades"))}
    for row in (*stored.values(), *expected):
        row["extra"] = json.loads(row.get("extra", "{}"))  # in whatever order
    assert stored == {row["trade_id"]: row for row in expected}
    assert set(found) == {row["trade_id"] for row in expected if row["status"] == "open"}


def test_a_trade_that_does_not_fit_is_named_by_its_place_and_nothing_lands(lk: lake.Lake) -> None:
    many = [trade(n, 101.0) for n in range(50)]
    for wrong, message in (
        ({"quantity": -1.0}, r"trade 17, trades\.quantity: out of range"),
        ({"closed_at": NOON - timedelta(days=1)}, r"trade 17, trades\.closed_at: it is before opened_at"),
        ({"side": "UP"}, r"trade 17, trades\.side: not one of its values"),
        ({"entry_price": 1e300, "exit_price": 1e308, "quantity": 1e300}, r"trade 17, trades\.pnl: no finite result"),
    ):
        with pytest.raises(InvalidRowError, match=message):
            lk.backtests.record(RUN, [*many[:17], {**many[17], **wrong}, *many[18:]])
    assert lk.read("trades").is_empty()
    assert lk.read("backtests").is_empty()


def stored(lk: lake.Lake) -> list[tuple[Any, ...]]:
    return lk.frame("SELECT trade_id, mode, run_id, symbol, status FROM trades ORDER BY trade_id").rows()


@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize("ids", [(1, 2), ("1", "2")], ids=["numbers", "texts"])
def test_a_backtesters_ids_touch_neither_real_trades_nor_other_runs(
    lk: lake.Lake, ids: tuple[Any, ...], settled: bool
) -> None:
    lk.trades.open(trade_id="1", symbol="BTCUSDT", side="LONG", quantity=1.0, entry_price=100.0)
    if settled:
        lk.drain()
    for run_id in ("r", "s"):
        lk.backtests.record(RUN, [trade(30 * n, 110.0, trade_id=i) for n, i in enumerate(ids)], run_id=run_id)
    assert [row["trade_id"] for row in lk.trades.active()] == ["1"]
    assert stored(lk) == [
        ("1", "live", None, "BTCUSDT", "open"),
        *((f"{run}/{i}", "backtest", run, "BTCUSDT", "closed") for run in "rs" for i in ids),
    ]
    lk.trades.close("1", 110.0)
    before = lk.read("trades").sort("trade_id")
    assert lk.backtests.record(RUN, lk.backtests.trades("r")).unchanged == 1, "as they are read back"
    assert lk.read("trades").sort("trade_id").equals(before)


def test_two_trades_of_a_run_with_one_id_are_refused(lk: lake.Lake) -> None:
    with pytest.raises(
        InvalidRowError, match=r"trade 1, trades\.trade_id: another trade of the run has this id.*'r/7'"
    ):
        lk.backtests.record(RUN, [trade(0, 110.0, trade_id="7"), trade(30, 95.0, trade_id=7)])
    with pytest.raises(InvalidRowError, match=r"trade 2, trades\.trade_id"):
        lk.backtests.record(RUN, [trade(0, 110.0), trade(30, 95.0), trade(60, 95.0, trade_id="0")])
    assert lk.read("backtests").is_empty()
    assert lk.read("trades").is_empty()


@pytest.mark.parametrize("where", ["hot", "cold", "one transaction"])
def test_a_run_is_not_recorded_again_with_other_trades_of_the_same_totals(lk: lake.Lake, where: str) -> None:
    totals = {"trades": 2, "wins": 1, "losses": 1, "win_rate": 50.0, "profit_factor": 1.0, "total_pnl_percent": 0.0}

    def attempts() -> None:
        lk.backtests.record(RUN, TRADES[:2], **totals)
        if where == "cold":
            lk.drain()
        for other, message in (
            ([{**TRADES[0], "side": "SHORT"}, TRADES[1]], "the side of r/0 is LONG, not SHORT"),
            ([{**TRADES[0], "symbol": "ETHUSDT"}, TRADES[1]], "the symbol of r/0 is BTCUSDT, not ETHUSDT"),
            ([TRADES[0], {**TRADES[1], "exit_price": 99.0}], r"the exit_price of r/1 is 95\.0, not 99\.0"),
            ([*TRADES[:2], TRADES[2]], "it has 2, and 3 are given, of which it has 2"),
            ([{**TRADES[0], "trade_id": "x"}, TRADES[1]], "it has 2, and 2 are given, of which it has 1"),
        ):
            with pytest.raises(LifeCycleError, match=f"recorded with other trades: {message}.*a run_id of its own"):
                lk.backtests.record(RUN, other, **totals)
        with lake.open(lk.location.uri, bot_id="c") as foreign:
            if where != "one transaction":
                with pytest.raises(LifeCycleError, match="the bot_id of r/0 is b, not c"):
                    foreign.backtests.record(RUN, TRADES[:2], **totals)
        assert lk.backtests.record(RUN, TRADES[:2], **totals).unchanged == 1

    if where == "one transaction":
        with lk.transaction():
            attempts()
    else:
        attempts()
    rows = lk.frame("SELECT trade_id, bot_id, symbol, side, exit_price FROM trades ORDER BY trade_id").rows()
    assert rows == [("r/0", "b", "BTCUSDT", "LONG", 110.0), ("r/1", "b", "BTCUSDT", "LONG", 95.0)]


def test_a_run_does_not_take_the_place_of_a_trade_that_is_none_of_its_own(lk: lake.Lake) -> None:
    lk.trades.open(trade_id="r/0", symbol="BTCUSDT", side="LONG", quantity=1.0, entry_price=100.0)
    with pytest.raises(LifeCycleError, match="trade_id, r/0: another trade has this id, of mode live and no run"):
        lk.backtests.record(RUN, TRADES)
    assert lk.backtests.get("r") is None
    assert len(lk.trades.active()) == 1


def test_what_nobody_told_of_a_run_stays_as_it_was_first_recorded(lk: lake.Lake) -> None:
    """Trades without times have those of the first time; what was added to one of them since stays."""
    timeless = [{"side": "LONG", "quantity": 1.0, "entry_price": 100.0, "exit_price": 101.0}]
    lk.backtests.record(RUN, timeless)
    lk.trades.patch("r/0", strategy="s", note="looked at")
    before = lk.read("trades"), lk.read("backtests")
    assert lk.backtests.record(RUN, timeless).unchanged == 1
    assert (lk.read("trades").equals(before[0]), lk.read("backtests").equals(before[1])) == (True, True)


@pytest.mark.parametrize("where", ["hot", "cold", "one transaction"])
def test_what_a_run_did_not_tell_is_added_when_it_is_recorded_again(lk: lake.Lake, where: str) -> None:
    """A result in percent that was not known contradicts no trade and no total that was made without it."""
    bare = [{"side": "LONG", "pnl": 5.0}, {"side": "SHORT", "pnl": -1.0}]
    whole = [{**row, "pnl_percent": row["pnl"] / 2} for row in bare]
    with lk.transaction() if where == "one transaction" else nullcontext():
        lk.backtests.record(RUN, bare)
        if where == "cold":
            lk.drain()
        with pytest.raises(LifeCycleError, match="recorded with other trades"):
            lk.backtests.record(RUN, whole, total_pnl_percent=3.0)
        lk.backtests.record(RUN, whole)
        assert lk.backtests.record(RUN, whole).unchanged == 1
        with pytest.raises(LifeCycleError, match=r"the pnl_percent of r/0 is 2\.5, not 9\.0"):
            lk.backtests.record(RUN, [{**whole[0], "pnl_percent": 9.0}, whole[1]])
    assert lk.frame("SELECT pnl_percent FROM trades ORDER BY trade_id")["pnl_percent"].to_list() == [2.5, -0.5]
    assert lk.frame("SELECT total_pnl_percent, win_rate FROM backtests").row(0) == (2.0, 50.0)


def test_a_run_that_another_process_has_just_recorded_is_recorded_again(lk: lake.Lake) -> None:
    with lake.open(lk.location.uri) as other:
        other.backtests.record({**RUN, "run_id": "first"}, TRADES)
        lk.backtests.record(RUN, TRADES)
        assert other.backtests.record(RUN, [{**row, "bot_id": "b"} for row in TRADES]).unchanged == 1
        assert lk.frame("SELECT count(*) FROM trades WHERE run_id = 'r'").item() == len(TRADES)


def test_two_processes_that_record_one_run_at_once_leave_the_trades_of_one(
    lk: lake.Lake,
) -> None:
    """The second one looks for the run before the first one has landed it, and lands after it."""
    with lake.open(lk.location.uri, bot_id="c") as other:

        def work() -> None:
            with lk.transaction():
                lk.backtests.record(RUN, TRADES)
                outside = contextvars.Context()
                outside.run(other.backtests.record, RUN, [{**row, "side": "SHORT"} for row in TRADES])

        with pytest.raises(LifeCycleError, match=r"recorded by someone else meanwhile.*Record it again"):
            work()
        assert set(lk.frame("SELECT bot_id, side FROM trades").rows()) == {("c", "SHORT")}


def _meanwhile(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> list[Thread]:
    """Once, when a run has looked for its trades, other ones do something; it goes on when they are through."""
    threads: list[Thread] = []
    look = backtests.known_trades

    def then_others(*args: Any) -> pl.DataFrame:
        found = look(*args)
        if not threads:
            threads.append(Thread(target=work, daemon=True))
            threads[0].start()
            threads[0].join(0.3)
        return found

    monkeypatch.setattr(backtests, "known_trades", then_others)
    return threads


@pytest.mark.parametrize("other_bot", ["b", ""], ids=["threads", "processes"])
def test_of_two_that_record_one_run_at_once_the_second_changes_nothing(
    lk: lake.Lake, other_bot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{**row, "bot_id": "b"} for row in TRADES]
    receipts: list[lake.Receipt] = []
    with lake.open(lk.location.uri, bot_id=other_bot) as other:
        threads = _meanwhile(monkeypatch, lambda: receipts.append(other.backtests.record(RUN, rows)))
        receipts.append(lk.backtests.record(RUN, rows))
        threads[0].join(30)
    assert [(r.inserted, r.unchanged) for r in receipts] == [(1, 0), (0, 1)]
    assert lk.frame("SELECT count(*) FROM trades").item() == len(rows)


@pytest.mark.parametrize("other_bot", ["b", "c"], ids=["thread", "process"])
@pytest.mark.parametrize("within", [False, True], ids=["alone", "in a transaction"])
def test_a_run_told_again_takes_nothing_back_that_is_told_of_its_trades_meanwhile(
    lk: lake.Lake, other_bot: str, within: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lk.backtests.record(RUN, TRADES)
    lk.drain()
    with lake.open(lk.location.uri, bot_id=other_bot) as other:
        threads = _meanwhile(monkeypatch, lambda: other.trades.patch("r/1", note="looked at"))
        with lk.transaction() if within else nullcontext():
            lk.backtests.record(RUN, [{**row, "exit_reason": "tp"} for row in TRADES])
        threads[0].join(30)
        assert lk.frame("SELECT exit_reason, extra FROM trades WHERE trade_id = 'r/1'").row(0) == (
            "tp",
            '{"note":"looked at"}',
        )
        assert lk.frame("SELECT count(*) FROM trades WHERE exit_reason = 'tp'").item() == len(TRADES)


def test_a_run_told_again_in_a_transaction_is_refused_where_a_trade_of_it_becomes_another(lk: lake.Lake) -> None:
    lk.backtests.record(RUN, TRADES)
    with lake.open(lk.location.uri, bot_id="c") as other:

        def work() -> None:
            with lk.transaction():
                lk.backtests.record(RUN, [{**row, "exit_reason": "tp"} for row in TRADES])
                contextvars.Context().run(other.trades.correct, "r/1", exit_price=96.0)

        with pytest.raises(LifeCycleError, match=r"the exit_price of r/1 has become 96\.0, and is not 95\.0"):
            work()
    assert lk.frame("SELECT count(exit_reason), max(exit_price) FILTER (trade_id = 'r/1') FROM trades").row(0) == (
        0,
        96,
    )


def test_divergence_of_candles_of_any_length(lk: lake.Lake) -> None:
    """A real trade five minutes off matches, whatever one candle is; an hour and a half off only within longer ones."""
    wanted = {"1m": 1, "15m": 15, "1h": 60, "4h": 240, "1d": 1440, "1w": 10080, "2147483647w": 2147483647 * 10080}
    for number, timeframe in enumerate(wanted):
        run = {"symbol": f"S{number}USDT", "strategy": "s", "timeframe": timeframe, "run_id": timeframe}
        lk.backtests.record(run, [trade(0, 110.0), trade(500, 95.0)])
        real = {"symbol": f"S{number}USDT", "strategy": "s", "status": "closed"}
        lk.trades.record([{**real, **trade(minute, 110.0)} for minute in (5, 90)])
    found = lk.frame("SELECT run_id, tolerance_minutes, matched FROM divergence").rows()
    matched = {"1m": 0, "15m": 1, "1h": 1}
    assert sorted(found) == sorted((name, minutes, matched.get(name, 2)) for name, minutes in wanted.items())
    assert lk.backtests.divergence("1h")["matched"].to_list() == [1]


@pytest.mark.parametrize(("tested", "elsewhere"), [("binance", 1), ("", 0)])
def test_divergence_tells_of_real_trades_on_a_venue_that_was_not_tested(
    lk: lake.Lake, tested: str, elsewhere: int
) -> None:
    lk.backtests.record({**RUN, "venue": tested}, TRADES)
    real = {"symbol": "BTCUSDT", "strategy": "s", "status": "closed"}
    for minute, venue in ((0, "binance"), (30, "bybit"), (60, "")):
        lk.trades.record({**real, **trade(minute, 110.0), "venue": venue})
    found = lk.backtests.divergence("r").select("real_n", "matched", "elsewhere", "backtest_venue").rows()
    assert found == [(3, 3, elsewhere, tested)]


def test_divergence_of_a_run_over_two_venues_matches_each_by_itself(lk: lake.Lake) -> None:
    tested = [trade(0, 110.0, venue="binance"), trade(0, 105.0, venue="bybit"), trade(200, 110.0, venue="bybit")]
    lk.backtests.record({**RUN, "venue": ""}, tested)
    real = {"symbol": "BTCUSDT", "strategy": "s", "status": "closed"}
    for minute, price, venue in ((0, 105.0, "bybit"), (200, 110.0, "binance")):
        lk.trades.record({**real, **trade(minute, price), "venue": venue})
    columns = ("real_n", "matched", "real_only", "elsewhere", "matched_pnl_percent_difference")
    assert lk.backtests.divergence("r").select(columns).rows() == [(2, 1, 1, 0, 0.0)]


def test_a_liquidated_trade_of_a_run_loses_no_more_than_its_margin(lk: lake.Lake) -> None:
    lk.backtests.record(RUN, [trade(0, 70.0, leverage=5.0, exit_reason="liquidated")])
    assert lk.backtests.trades("r").select("pnl", "pnl_percent").row(0) == (-20.0, -100.0)
