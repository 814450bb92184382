"""Rows under ids of the caller's, written in transactions: as quick as others while nobody else writes, and as safe."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event
from typing import Any

import orjson
import pytest

import lake
from lake.errors import HotLogError, LifeCycleError, UnknownRowError
from lake.ledgers.blocks import Block, Transactions
from lake.ledgers.current import CurrentRows, Version
from lake.ledgers.ending import Ending
from lake.spec import registry
from lake.store.hot.database import HotDatabase
from lake.store.hot.group import GroupCommit
from lake.store.hot.spool import Spool
from lake.store.hot.turn import Held, Turn
from tests.helpers import finished, spawned

ENTRY = {"venue": "binance", "symbol": "BTCUSDT", "side": "LONG", "entry_price": 100.0}
ROUNDS = 25


@pytest.fixture
def lk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[lake.Lake]:
    monkeypatch.setenv("LAKE_DRAIN_SECONDS", "3600")  # after a drain its tables are looked at for some seconds
    monkeypatch.setattr("lake.spec.flat.MOST", 1_000_000)  # names that come now are told, whatever came in other tests
    with lake.open(tmp_path, bot_id="b") as opened:
        _settle(opened)
        yield opened


def _settle(lk: lake.Lake) -> None:
    """Names have come often enough to be checked at a glance, and folders are older than what a clock tells apart."""
    for number in range(3):
        _record(lk, f"before{number}")
    for path in (Path(lk.store.location.uri), *Path(lk.store.location.uri).rglob("*")):
        if path.is_dir():
            os.utime(path, ns=(0, 1_700_000_000_000_000_000))


def _record(lk: lake.Lake, name: str, quantity: float = 1.0) -> None:
    with lk.transaction():
        lk.decisions.record(decision_id=name, symbol="BTCUSDT", timeframe="1h", recommendation="LONG")
        lk.trades.open(**ENTRY, trade_id=name, quantity=quantity, decision_id=name)
        lk.phantoms.record(**ENTRY, phantom_id=name)


def _count(lk: lake.Lake, dataset: str, name: str) -> int:
    key = registry.get(dataset).key[0]
    return int(lk.frame(f"SELECT count(*) FROM {dataset} WHERE {key} = ?", [name]).item())


def test_rows_under_new_ids_land_without_a_look_at_tables_while_nobody_else_writes(
    lk: lake.Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as watched:
        watched.setattr(Ending, "_look_at", pytest.fail)
        _record(lk, "n1")
    assert [_count(lk, name, "n1") for name in ("decisions", "trades", "phantoms")] == [1, 1, 1]
    assert lk.trades.get("n1") is not None
    assert lk.frame("SELECT DISTINCT bot_id FROM trades").item() == "b"
    lk.trades.close("n1", 110.0)
    assert lk.frame("SELECT status, pnl FROM trades WHERE trade_id = 'n1'").rows() == [("closed", 10.0)]


def test_rows_under_new_ids_that_the_disk_refuses_are_not_there_and_land_when_they_are_recorded_again(
    lk: lake.Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as broken:
        broken.setattr(HotDatabase, "append", fail)
        broken.setattr(Spool, "append", fail)
        with pytest.raises(HotLogError, match="neither SQLite .* nor the spool .* could take the record"):
            _record(lk, "n1")
    assert _count(lk, "trades", "n1") == 0
    with pytest.raises(UnknownRowError):
        lk.trades.close("n1", 110.0)
    monkeypatch.setattr("lake.store.hot.log._RETRY_SECONDS", 0.0)
    _record(lk, "n1")
    assert [_count(lk, name, "n1") for name in ("decisions", "trades", "phantoms")] == [1, 1, 1]


def test_a_change_of_a_row_that_is_then_refused_by_the_disk_is_refused_too(
    lk: lake.Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, asked, commit = Event(), Event(), HotDatabase.append

    def late(database: HotDatabase, rows: Any) -> None:
        if begun.is_set():
            commit(database, rows)
            return
        begun.set()
        assert asked.wait(60)
        raise OSError(28, os.strerror(28))

    def fail(*_: Any) -> None:
        raise OSError(28, os.strerror(28))

    def hand_on(group: GroupCommit, began: float) -> None:
        lead_next(group, began)
        wait([patched], 60)  # who leads next is quicker than who was refused

    current, lead_next = lk.writer.hot().current, GroupCommit.end_alone
    monkeypatch.setattr("lake.store.hot.log._RETRY_SECONDS", 0.0)
    monkeypatch.setattr(HotDatabase, "append", late)
    monkeypatch.setattr(Spool, "append", fail)
    monkeypatch.setattr(GroupCommit, "end_alone", hand_on)
    with ThreadPoolExecutor(2) as pool:
        recorded = pool.submit(_record, lk, "n1")
        assert begun.wait(60)
        patched = pool.submit(lk.trades.patch, "n1", notes="seen")
        versions = current.versions(registry.get("trades"))
        while versions[("n1",)].before is None:  # until the change was made on top of the row
            assert not patched.done()
        asked.set()
        with pytest.raises(HotLogError, match="could take the record"):
            recorded.result(60)
        with pytest.raises(UnknownRowError, match="no such row"):
            patched.result(60)
    assert _count(lk, "trades", "n1") == 0
    assert ("n1",) not in versions


def _patch(path: str) -> None:
    with lake.open(path, bot_id="other") as lk:
        lk.trades.patch("before0", notes="seen")


@pytest.mark.parametrize("is_done", [False, True])
@pytest.mark.parametrize(
    ("kind", "step"),
    [
        (GroupCommit, "lead_alone"),
        (GroupCommit, "end_alone"),
        (GroupCommit, "submit"),
        (GroupCommit, "wait"),
        (CurrentRows, "note_first"),
        (HotDatabase, "append"),
        (Transactions, "begin"),
        (Transactions, "end"),
        (Block, "__exit__"),
        (Turn, "_begin"),
        (Turn, "_enter"),
        (Turn, "leave"),
        (Held, "__exit__"),
    ],
)
def test_rows_whose_transaction_ctrl_c_interrupts_anywhere_land_when_they_are_recorded_again(
    lk: lake.Lake, monkeypatch: pytest.MonkeyPatch, kind: type, step: str, is_done: bool
) -> None:
    take, interrupts = getattr(kind, step), iter([KeyboardInterrupt])

    def interrupted(*given: Any, **named: Any) -> Any:
        interrupt = next(interrupts, None)
        done = take(*given, **named) if is_done or interrupt is None else None
        if interrupt is not None:
            raise interrupt
        return done

    with monkeypatch.context() as broken:
        if step in {"submit", "wait"}:
            broken.setattr(Ending, "_landed_first", lambda *_: False)
        broken.setattr(kind, step, interrupted)
        with pytest.raises(KeyboardInterrupt):
            _record(lk, "n1")
    finished(spawned(_patch, lk.store.location.uri))  # has its turn
    _record(lk, "n1")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(_record, lk, "n2").result(60)
    for name in ("n1", "n2"):
        assert [_count(lk, dataset, name) for dataset in ("decisions", "trades", "phantoms")] == [1, 1, 1]


@pytest.mark.parametrize("noted", [0, 1, 2])
def test_a_row_that_ctrl_c_keeps_from_its_place_in_the_log_is_not_known(
    lk: lake.Lake, monkeypatch: pytest.MonkeyPatch, noted: int
) -> None:
    def interrupted(*given: Any) -> Version:
        if len(made) == noted:
            raise KeyboardInterrupt
        made.append(Version(*given))
        return made[-1]

    made: list[Version] = []
    with monkeypatch.context() as broken:
        broken.setattr(Ending, "_landed_first", lambda *_: False)
        broken.setattr("lake.ledgers.current.Version", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _record(lk, "n1")
    for dataset in ("decisions", "trades", "phantoms"):
        assert lk.writer.current(registry.get(dataset), ("n1",)) is None
    with pytest.raises(UnknownRowError):
        lk.decisions.patch("n1", note="seen")
    _record(lk, "n1")
    assert [_count(lk, dataset, "n1") for dataset in ("decisions", "trades", "phantoms")] == [1, 1, 1]


def test_what_threads_tell_of_one_new_row_at_once_is_all_kept(lk: lake.Lake) -> None:
    def tell(thread: int) -> None:
        for number in range(ROUNDS):
            fields = {f"note{thread}": thread}
            with lk.transaction():
                lk.decisions.record(decision_id=f"n{number}", symbol="BTCUSDT", timeframe="1h", **fields)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(tell, range(4)))
    found = lk.frame("SELECT decision_id, extra FROM decisions WHERE decision_id LIKE 'n%'").rows()
    assert len(found) == ROUNDS
    assert all(orjson.loads(extra) == {f"note{n}": n for n in range(4)} for _, extra in found)


def test_a_trade_of_another_size_under_an_id_that_a_thread_has_just_taken_is_refused(lk: lake.Lake) -> None:
    def take(quantity: float) -> int:
        taken = 0
        for number in range(ROUNDS):
            try:
                _record(lk, f"n{number}", quantity)
            except LifeCycleError:
                continue
            taken += 1
        return taken

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(take, (1.0, 2.0, 3.0, 4.0))) == ROUNDS


def _take(path: str, bot: str, start: Any, taken: Any) -> None:
    with lake.open(path, bot_id=bot) as lk:
        for number in range(ROUNDS):
            start.wait(60)
            try:
                with lk.transaction():
                    lk.trades.open(**ENTRY, trade_id=f"n{number}", quantity=float(bot[1:]) + 1, bot_id="shared")
            except LifeCycleError:
                continue
            with taken.get_lock():
                taken.value += 1


def test_of_processes_that_take_one_new_id_in_transactions_one_gets_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, taken = context.Barrier(3), context.Value("i", 0)
    finished(*(spawned(_take, str(tmp_path), f"b{n}", start, taken) for n in range(3)))
    assert taken.value == ROUNDS


def _close(path: str) -> None:
    with lake.open(path, bot_id="other") as lk:
        lk.trades.open(**ENTRY, trade_id="n1", quantity=1.0, bot_id="b")
        lk.trades.close("n1", 110.0)
        lk.drain(every_writer=True)


def test_a_row_that_another_process_has_settled_since_the_transaction_began_is_not_new(lk: lake.Lake) -> None:
    def record() -> None:
        with lk.transaction():
            lk.trades.open(**ENTRY, trade_id="n1", quantity=1.0)
            finished(spawned(_close, lk.store.location.uri))

    with pytest.raises(LifeCycleError, match="the trade is closed and cannot be opened"):
        record()
    assert lk.frame("SELECT status, pnl FROM trades WHERE trade_id = 'n1'").rows() == [("closed", 10.0)]


def test_of_two_versions_with_one_number_that_of_the_later_name_counts_for_all(lk: lake.Lake) -> None:
    current, trades = lk.writer.hot().current, registry.get("trades")
    row = dict(current.versions(trades)[("before0",)].row)
    for writer, wanted in (("a@host", 1.0), ("z@host", 5.0), ("c@host", 5.0)):
        current.put(trades, [{**row, "quantity": 5.0}], current.number(trades, ("before0",)), writer)
        assert current.versions(trades)[("before0",)].row["quantity"] == wanted
