from __future__ import annotations

import copy
import pickle
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import lake
from lake.errors import ClosedError, HotLogError, InvalidRowError, InvalidTimeError, UnknownDatasetError, UsageError
from lake.spec import registry
from tests.helpers import settled_rows


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake", bot_id="tester") as opened:
        yield opened


TRADE = {"symbol": "BTC/USDT", "side": "LONG", "quantity": 0.01, "entry_price": 90_000.0}


def test_a_row_gets_an_id_a_time_and_its_bot_and_the_receipt_names_the_id(lk: lake.Lake) -> None:
    receipt = lk.write("trades", TRADE)
    row = lk.read("trades").row(0, named=True)
    assert receipt.keys == ((row["trade_id"],),)
    assert (row["bot_id"], row["symbol"], row["status"]) == ("tester", "BTCUSDT", "open")
    assert row["created_at"] is not None


def test_fields_that_the_specification_does_not_know_are_kept(lk: lake.Lake) -> None:
    lk.write("trades", {**TRADE, "mood": "greedy", "tags": ["a", "b"]})
    assert lk.frame("SELECT extra->>'mood' m, extra->'tags'->>1 t FROM trades").row(0) == ("greedy", "b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"side": "UP"}, r"trades\.side.*'UP'.*LONG, SHORT"),
        ({"quantity": -1}, r"trades\.quantity.*at least 0"),
        ({"quantity": "many"}, r"trades\.quantity.*'many'"),
        ({"symbol": None}, r"trades\.symbol"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_whole_with_column_and_value(
    lk: lake.Lake, change: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidRowError, match=message):
        lk.write("trades", {**TRADE, **change})
    assert lk.read("trades").is_empty()


def test_a_naive_time_is_refused_with_its_value(lk: lake.Lake) -> None:
    with pytest.raises(InvalidTimeError, match=r"trades\.opened_at.*2026-01-01"):
        lk.write("trades", {**TRADE, "opened_at": "2026-01-01T00:00:00"})


def test_of_several_rows_the_bad_ones_are_quarantined_and_the_others_land(lk: lake.Lake) -> None:
    receipt = lk.write("trades", [TRADE, {**TRADE, "side": "UP"}, TRADE])
    assert (receipt.inserted, receipt.rejected) == (2, 1)
    kept = list(lk.writer.quarantine.read("trades"))
    assert [k["row"]["side"] for k in kept] == ["UP"]


def test_an_unknown_dataset_is_refused_with_the_names_near_it(lk: lake.Lake) -> None:
    with pytest.raises(UnknownDatasetError, match="Did you mean trades"):
        lk.write("trade", TRADE)


@pytest.mark.parametrize("settled", [False, True])
def test_writing_a_row_again_keeps_the_time_that_the_clock_gave_it(lk: lake.Lake, settled: bool) -> None:
    lk.write("trades", {**TRADE, "trade_id": "t1"})
    first = lk.read("trades")["created_at"][0]
    if settled:
        lk.drain()
    assert lk.write("trades", {**TRADE, "trade_id": "t1"}).unchanged == 1
    assert lk.write("trades", {**TRADE, "trade_id": "t1", "status": "closed"}).updated == 1
    lk.drain()
    assert lk.read("trades").select("created_at", "status").rows() == [(first, "closed")]


@pytest.mark.parametrize("settled", [False, True])
def test_writing_many_rows_again_keeps_the_times_that_the_clock_gave_them(lk: lake.Lake, settled: bool) -> None:
    rows = [{"trade_id": f"t{n}", "symbol": "BTCUSDT", "status": "closed", "pnl": float(n)} for n in range(20)]
    lk.write("trades", rows)
    if settled:
        lk.drain()
    first = dict(lk.frame("SELECT trade_id, created_at FROM trades").iter_rows())
    given = {"trade_id": "t3", "symbol": "BTCUSDT", "status": "closed", "created_at": "2026-01-01T00:00Z"}
    odd = [{"trade_id": [], "symbol": "BTCUSDT"}, {"trade_id": "new", "symbol": "ETHUSDT"}, {"symbol": "SOLUSDT"}]
    receipt = lk.write("trades", [*rows, given, *odd])
    assert (receipt.inserted, receipt.rejected, receipt.rows) == (2, 1, 24)
    again = dict(lk.frame("SELECT trade_id, created_at FROM trades WHERE starts_with(trade_id, 't')").iter_rows())
    assert again == first | {"t3": datetime(2026, 1, 1, tzinfo=UTC)}


@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize("count", [20, 6000])
@pytest.mark.parametrize("form", [pl.DataFrame, lambda rows: pl.DataFrame(rows).to_arrow(), list])
def test_a_table_written_again_keeps_the_times_that_it_does_not_say(
    lk: lake.Lake, form: Callable[[Any], Any], count: int, settled: bool
) -> None:
    rows = [{"trade_id": f"t{n}", "symbol": "BTCUSDT", "status": "closed", "pnl": float(n)} for n in range(count)]
    old = {"trade_id": "old", "symbol": "BTCUSDT", "status": "closed", "pnl": 0.0}
    lk.write("trades", [{**old, "created_at": "2024-05-01T00:00Z"}])
    assert lk.write("trades", form(rows)).inserted == count
    if settled:
        lk.drain()
    first = dict(lk.frame("SELECT trade_id, created_at FROM trades").iter_rows())
    again = [*rows, {**old, "pnl": 5.0}, {**old, "trade_id": "new"}]
    receipt = lk.write("trades", form(again))
    assert (receipt.inserted, receipt.updated, receipt.unchanged) == (1, 1, count)
    lk.drain()
    times = dict(lk.frame("SELECT trade_id, created_at FROM trades").iter_rows())
    assert times.pop("new") >= max(first.values())
    assert times == first
    assert lk.read("trades", {"trade_id": "old"}).select("period", "pnl").rows() == [("2024", 5.0)]
    assert lk.verify().ok


@pytest.mark.parametrize("name", ["created_at", "timestamp"])
@pytest.mark.parametrize("form", [lambda row: row, lambda row: [row, row], lambda row: pl.DataFrame([row, row])])
def test_a_row_written_again_has_the_time_that_it_is_given_under_any_name(
    lk: lake.Lake, form: Callable[[Any], Any], name: str
) -> None:
    row = {"trade_id": "t1", "symbol": "BTCUSDT", "status": "closed", "pnl": 1.0}
    lk.write("trades", row)
    lk.write("trades", form({**row, name: "2026-01-01T00:00Z"}))
    assert lk.read("trades")["created_at"].to_list() == [datetime(2026, 1, 1, tzinfo=UTC)]


def test_a_table_of_which_some_rows_say_their_time_changes_theirs_alone(lk: lake.Lake) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [{**TRADE, "trade_id": f"t{n}"} for n in range(3)]
    lk.write("trades", rows)
    first = dict(lk.frame("SELECT trade_id, created_at FROM trades").iter_rows())
    lk.write(
        "trades",
        pl.DataFrame(rows).with_columns(created_at=pl.Series([None, at, None], dtype=pl.Datetime("us", "UTC"))),
    )
    lk.write("trades", pl.DataFrame(rows[:1]).with_columns(created_at=None))
    assert dict(lk.frame("SELECT trade_id, created_at FROM trades").iter_rows()) == first | {"t1": at}


def test_a_table_in_a_transaction_keeps_the_times_of_rows_of_that_transaction(lk: lake.Lake) -> None:
    table = pl.DataFrame([{**TRADE, "trade_id": "t1"}, {**TRADE, "trade_id": "t2"}])
    with lk.transaction():
        lk.write("trades", {**TRADE, "trade_id": "t1", "created_at": "2024-05-01T00:00:00Z"})
        lk.write("trades", table)
    assert lk.read("trades", {"trade_id": "t1"})["created_at"].to_list() == [datetime(2024, 5, 1, tzinfo=UTC)]


def test_a_key_stays_unique_when_a_correction_moves_it_to_another_partition(lk: lake.Lake) -> None:
    lk.write("trades", {**TRADE, "trade_id": "t1", "created_at": "2024-05-01T00:00:00Z"})
    lk.write("trades", {**TRADE, "trade_id": "t2", "created_at": "2024-05-01T00:00:00Z"})
    lk.drain()
    lk.write("trades", {**TRADE, "trade_id": "t1", "created_at": "2025-05-01T00:00:00Z"})
    lk.drain()
    assert lk.read("trades").sort("trade_id").select("trade_id", "period").rows() == [("t1", "2025"), ("t2", "2024")]
    assert lk.verify().ok


@pytest.mark.parametrize("ds", registry.all_datasets(), ids=lambda ds: ds.name)
def test_every_dataset_takes_a_row_settles_it_and_gives_it_back(lk: lake.Lake, ds: object) -> None:
    values = {
        "string": "x",
        "int64": 3,
        "float64": 0.5,
        "bool": True,
        "timestamp": 1_767_225_600_000_000,
        "date": "2026-01-01",
        "json": {"a": 1},
    }
    row = {c.name: c.choices[-1] if c.choices else values[c.type.value] for c in ds.columns}  # type: ignore[attr-defined]
    if ds.name == "candles":  # type: ignore[attr-defined]
        row["timeframe"] = "1m"  # of phantoms completed: levels need not be in order
    name = ds.name  # type: ignore[attr-defined]
    assert lk.write(name, row).inserted == 1
    hot = lk.read(name)
    lk.drain()
    assert lk.read(name).equals(hot)
    assert lk.write(name, row).unchanged == 1
    theirs = pl.scan_delta(lk.uri(name)).collect()
    assert theirs.select(hot.columns).equals(hot)


def test_rows_of_any_dataset_go_in_as_a_table(lk: lake.Lake) -> None:
    frame = pl.DataFrame([{**TRADE, "trade_id": f"t{i}", "pnl": float(i)} for i in range(6000)])
    assert lk.write("trades", frame).inserted == 6000
    assert lk.write("trades", frame[:10].with_columns(pnl=pl.lit(-1.0))).updated == 10
    assert lk.frame("SELECT count(*) n, sum(pnl) s FROM trades").row(0) == (6000, float(sum(range(10, 6000)) - 10))


@pytest.mark.parametrize("form", [lambda r: r, lambda r: r.arrow(), lambda r: r.pl()])
def test_what_a_query_gives_is_written_as_it_is(tmp_path: Path, lk: lake.Lake, form: Callable[[Any], Any]) -> None:
    for number in range(3):
        lk.write("trades", {**TRADE, "trade_id": f"t{number}"})
        lk.write("fills", {"fill_id": f"f{number}", "symbol": "BTC/USDT", "side": "BUY", "quantity": 1.0, "price": 2.0})
    with lake.open(tmp_path / "copy") as other:
        assert other.write("trades", form(lk.sql("SELECT * FROM trades"))).inserted == 3
        assert other.trades.record(form(lk.sql("SELECT * FROM trades"))).unchanged == 3
        assert other.fills.record(form(lk.sql("SELECT * FROM fills"))).inserted == 3
        assert other.read("trades").sort("trade_id").equals(lk.read("trades").sort("trade_id"))


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_an_open_lake_cannot_be_copied_and_says_what_to_do(lk: lake.Lake, copied: Callable[[object], object]) -> None:
    with pytest.raises(UsageError, match=r"cannot be copied\. Open it there too"):
        copied(lk)


def test_a_lake_shows_where_it_is(lk: lake.Lake, tmp_path: Path) -> None:
    assert repr(lk) == f"<lake.Lake at {tmp_path / 'lake'}>"


def test_a_closed_lake_says_so(tmp_path: Path) -> None:
    lk = lake.open(tmp_path / "lake")
    was = lk.at(version=0)
    lk.close()
    calls: tuple[Callable[[], object], ...] = (
        lambda: lk.write("trades", TRADE), lambda: lk.read("trades"), lambda: lk.sql("SELECT * FROM trades"),
        lk.drain, lambda: lk.drain(every_writer=True), lk.compact, lambda: lk.retain({"trades": 0}, dry_run=True),
        lk.vacuum, lk.verify, lk.publish, lambda: lk.tag("late"), lk.version, lk.tags, lambda: was.read("trades"),
    )  # fmt: skip
    for call in calls:
        with pytest.raises(ClosedError, match="the lake was closed"):
            call()


def test_a_nested_block_that_raises_lands_nothing_of_its_own(lk: lake.Lake) -> None:
    with lk.transaction():
        lk.write("trades", {**TRADE, "trade_id": "outer"})
        with pytest.raises(KeyError), lk.transaction():  # noqa: PT012 - the block that raises is what is tested
            lk.write("trades", {**TRADE, "trade_id": "inner"})
            raise KeyError("no")
    assert lk.read("trades")["trade_id"].to_list() == ["outer"]


def test_of_two_writers_the_later_version_wins_whoever_drains_first(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake", bot_id="a") as a, lake.open(tmp_path / "lake", bot_id="b") as b:
        a.write("trades", {**TRADE, "trade_id": "1", "pnl": 1.0})
        b.write("trades", {**TRADE, "trade_id": "1", "pnl": 2.0})
        for step in (lambda: None, b.drain, a.drain):
            step()
            assert a.read("trades")["pnl"].to_list() == [2.0]
        a.write("trades", {**TRADE, "trade_id": "1", "pnl": 1.0})
        b.write("trades", pl.DataFrame([{**TRADE, "trade_id": str(n), "pnl": 9.0} for n in range(6000)]))
        for step in (lambda: None, a.drain, b.drain):
            step()
            assert a.read("trades", where={"trade_id": "1"})["pnl"].to_list() == [9.0]


def test_a_row_written_back_lands_though_its_writer_held_the_same_version(tmp_path: Path) -> None:
    first = {**TRADE, "trade_id": "1", "status": "open", "created_at": "2026-01-01T00:00:00Z"}
    with lake.open(tmp_path / "lake", bot_id="a") as a, lake.open(tmp_path / "lake", bot_id="b") as b:
        a.write("trades", first)
        a.drain()
        b.write("trades", {**first, "status": "closed"})
        b.drain()
        a.write("trades", first)
        assert a.read("trades")["status"].to_list() == ["open"]


def test_full_durability_is_not_lowered_by_another_user_of_the_log(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake", bot_id="a", durability="normal") as first:
        first.write("trades", TRADE)
        with lake.open(tmp_path / "lake", bot_id="a", durability="full") as second:
            second.write("trades", TRADE)
            database = second.writer.hot().log._db()
            assert database._connection.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_the_background_drain_outlives_a_lock_on_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKE_DRAIN_SECONDS", "0.1")
    monkeypatch.setenv("LAKE_BUSY_TIMEOUT_MS", "50")
    with lake.open(tmp_path / "lake", bot_id="a") as lk:
        lk.write("trades", TRADE)
        other = sqlite3.connect(lk.writer.hot().log.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        time.sleep(0.5)
        with pytest.raises(HotLogError, match="locked"):
            lk.drain()
        other.execute("ROLLBACK")
        other.close()
        for _ in range(100):
            if settled_rows(lk, "trades"):
                break
            time.sleep(0.1)
        assert settled_rows(lk, "trades") == 1


def test_a_transaction_that_is_entered_again_is_refused_and_what_it_is_part_of_goes_on(lk: lake.Lake) -> None:
    block = lk.transaction()
    with block:
        lk.trades.open(TRADE, trade_id="first")
        with pytest.raises(UsageError, match="a transaction is entered once"), block:
            lk.trades.open(TRADE, trade_id="never")
        assert lk.read("trades").is_empty()
    with pytest.raises(UsageError, match="a transaction is entered once"), block:
        lk.trades.open(TRADE, trade_id="never")
    lk.trades.open(TRADE, trade_id="last")
    assert sorted(lk.read("trades")["trade_id"]) == ["first", "last"]


def test_each_call_of_a_function_that_a_transaction_decorates_lands_as_a_whole_or_not_at_all(lk: lake.Lake) -> None:
    @lk.transaction()
    def open_two(name: str, quantity: float) -> str:
        lk.trades.open(TRADE, trade_id=f"{name}1")
        lk.trades.open(TRADE, trade_id=f"{name}2", quantity=quantity)
        return name

    assert [open_two("a", 1.0), open_two("b", 2.0)] == ["a", "b"]
    with pytest.raises(InvalidRowError, match="above 0"):
        open_two("c", 0.0)
    assert sorted(lk.read("trades")["trade_id"]) == ["a1", "a2", "b1", "b2"]


def test_a_lake_that_is_closed_inside_a_transaction_ends_it_in_one_error_and_nothing_of_it_is_written(
    tmp_path: Path,
) -> None:
    closed = lake.open(tmp_path / "closed", bot_id="tester")
    closed.trades.open(TRADE, trade_id="before")

    @closed.transaction()
    def close_inside() -> None:
        closed.trades.open(TRADE, trade_id="inside")
        closed.close()
        closed.write("signals", {"symbol": "BTCUSDT", "direction": "LONG"})

    with pytest.raises(ClosedError, match="the lake was closed"):
        close_inside()
    with lake.open(tmp_path / "closed", bot_id="tester") as again:
        assert again.read("trades")["trade_id"].to_list() == ["before"]
        assert again.read("signals").is_empty()
