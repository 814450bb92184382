"""Rows whose ids were made just now land by a step of their own, with the promises of all others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import lake
from lake.errors import ClosedError, HotLogError, UnknownRowError, UsageError
from lake.spec.times import from_micros
from lake.store.hot.database import HotDatabase
from lake.store.hot.group import GroupCommit
from lake.store.hot.numbers import Numbers
from lake.store.hot.spool import Spool

ENTRY = {"venue": "binance", "symbol": "BTCUSDT", "side": "LONG", "entry_price": 100.0}


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path, bot_id="b") as opened:
        yield opened


def _fail(*_: Any) -> None:
    raise OSError(28, os.strerror(28))


def _count(lk: lake.Lake, dataset: str) -> int:
    return int(lk.frame(f"SELECT count(*) FROM {dataset}").item())


def _record(lk: lake.Lake) -> tuple[str, str]:
    with lk.transaction():
        trade = lk.trades.open(**ENTRY, quantity=1.0)
        phantom = lk.phantoms.record(**ENTRY, trade_id=trade.id)
    return trade.id, phantom.id


def test_new_rows_that_the_disk_refuses_are_not_there_and_land_when_they_are_recorded_again(
    lk: lake.Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    _record(lk)
    with monkeypatch.context() as broken:
        broken.setattr(HotDatabase, "append", _fail)
        broken.setattr(Spool, "append", _fail)
        with pytest.raises(HotLogError, match="neither SQLite .* nor the spool .* could take the record"):
            _record(lk)
        with pytest.raises(HotLogError, match="could take the record"):
            lk.trades.open(**ENTRY, quantity=1.0)
    assert (_count(lk, "trades"), _count(lk, "phantoms")) == (1, 1)
    assert len(lk.phantoms.active()) == 1
    monkeypatch.setattr("lake.store.hot.log._RETRY_SECONDS", 0.0)
    _record(lk)
    assert (_count(lk, "trades"), _count(lk, "phantoms")) == (2, 2)


def test_new_rows_are_known_at_once_and_can_be_changed(lk: lake.Lake) -> None:
    trade, phantom = _record(lk)
    assert [row["phantom_id"] for row in lk.phantoms.active()] == [phantom]
    lk.trades.close(trade, 110.0)
    assert lk.frame("SELECT status, pnl FROM trades").rows() == [("closed", 10.0)]


def test_new_rows_of_many_threads_land_each_once(lk: lake.Lake) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: _record(lk), range(200)))
    found = lk.frame("SELECT json_extract_string(extra, '$.trade_id') AS trade_id, phantom_id FROM phantoms")
    assert sorted(found.rows()) == sorted(made)
    assert _count(lk, "trades") == 200


def test_a_new_row_waits_for_no_turn_of_other_processes(lk: lake.Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    _record(lk)
    with lk.writer.hot().log.turn.alone(), monkeypatch.context() as held:
        held.setattr(Numbers, "_await_turn", pytest.fail)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(_record, lk).result(timeout=60)
    assert _count(lk, "trades") == 2


def test_a_new_row_that_ctrl_c_interrupts_leaves_the_log_to_others(
    lk: lake.Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(HotDatabase, "append", interrupt)
        with pytest.raises(KeyboardInterrupt):
            lk.trades.open(**ENTRY, quantity=1.0)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(_record, lk).result(timeout=60)
    assert _count(lk, "trades") == 1


def test_a_new_row_joins_the_queue_where_others_write(lk: lake.Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GroupCommit, "lead_alone", lambda _: False)
    trade, _ = _record(lk)
    assert lk.frame("SELECT trade_id FROM trades").item() == trade


def test_a_closed_lake_takes_no_new_row(tmp_path: Path) -> None:
    lk = lake.open(tmp_path, bot_id="b")
    lk.trades.open(**ENTRY, quantity=1.0)
    lk.close()
    with pytest.raises(ClosedError, match="the lake was closed"):
        lk.trades.open(**ENTRY, quantity=1.0)
    with pytest.raises(ClosedError, match="the lake was closed"), lk.transaction():
        lk.trades.open(**ENTRY, quantity=1.0)


def test_a_new_row_after_a_restart_is_one_of_its_own(tmp_path: Path) -> None:
    for count in (1, 2, 3):
        with lake.open(tmp_path, bot_id="b") as lk:
            trade, _ = _record(lk)
            assert _count(lk, "trades") == count
            with pytest.raises(UnknownRowError):
                lk.trades.close(f"{trade}x", 100.0)


def test_what_is_recorded_is_the_same_however_often_its_names_came(lk: lake.Lake) -> None:
    at = 1_735_689_600_000_000
    levels = {"stop_loss": 90.0, "venue": "binance", "symbol": "BTCUSDT", "entry_price": 100.0, "mine": 7}
    for _ in range(4):
        decision = lk.decisions.record(**levels, recommendation="LONG", timeframe="1h", confidence=0.5, analyzed_at=at)
        lk.trades.open(**levels, side="LONG", quantity=1.0, created_at=at)
        lk.phantoms.record(**levels, side="LONG", signal_time=at)
        lk.trades.open({**levels, "side": "LONG", "quantity": 1.0, "created_at": at})
    assert lk.decisions.get(decision.id) is not None
    for name, key in (("decisions", "decision_id"), ("trades", "trade_id"), ("phantoms", "phantom_id")):
        found = lk.frame(f"SELECT * EXCLUDE ({key}) FROM {name}").unique()
        assert found.height == 1, found
    [trade] = lk.frame("SELECT DISTINCT status, opened_at, created_at, extra FROM trades").rows()
    assert trade == ("open", from_micros(at), from_micros(at), '{"mine":7}')
    assert lk.frame("SELECT DISTINCT traded, extra FROM decisions").rows() == [(False, '{"mine":7}')]


def test_odd_values_are_taken_alike_however_often_their_names_came(lk: lake.Lake) -> None:
    for odd in (pd.NA, float("nan"), None, "", pd.NaT):
        for _ in range(3):
            lk.trades.open(**ENTRY, quantity=1.0, decision_id=odd, mine=odd)
            lk.decisions.record(symbol="BTCUSDT", timeframe="1h", recommendation="LONG", trade_id=odd, mine=odd)
            lk.phantoms.record(**ENTRY, signal_id=odd, mine=odd)
    for name in ("trades", "decisions", "phantoms"):
        found = lk.frame(f"SELECT extra, count(*) FROM {name} GROUP BY ALL ORDER BY ALL").rows()
        assert found == [('{"mine":""}', 3), ('{"mine":null}', 3), (None, 9)]
    assert lk.frame("SELECT DISTINCT decision_id FROM trades").rows() == [(None,)]


@pytest.mark.parametrize("number", range(3))
def test_a_row_without_any_value_is_refused_however_often(lk: lake.Lake, number: int) -> None:
    for _ in range(number + 1):
        with pytest.raises(UsageError, match="a row without any value"):
            lk.decisions.record()
        with pytest.raises(UsageError, match="a row without any value"):
            lk.phantoms.record()
