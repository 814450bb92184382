"""A bot of a newer version beside an older one: the older one drains, folds and compacts without losing its columns."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

import lake
from lake.spec import registry
from lake.spec.columns import flag, moment, number, text, whole
from lake.spec.dataset import Column, Dataset, Type

LONG = {"trade_id": "n", "symbol": "BTCUSDT", "side": "LONG", "quantity": 1.0, "entry_price": 100.0, "status": "open"}
NEW = {
    "slippage_bps": 1.5,
    "venue_fee_tier": "vip",
    "retries": 3,
    "is_hedged": True,
    "routed_at": datetime(2026, 1, 5, 12, tzinfo=UTC),
    "value_date": date(2026, 1, 7),
}
COLUMNS = (
    number("slippage_bps", "what the fill cost", "bp"),
    text("venue_fee_tier", "of the account"),
    whole("retries", "orders sent again"),
    flag("is_hedged", "whether it is"),
    moment("routed_at", "when the order left"),
    Column("value_date", Type.DATE, "when it settles"),
)


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """A context in which this process is of a newer version, whose trades have more columns."""
    known: dict[str, Dataset] = {name: registry.get(name) for name in registry.names()}
    known["trades"] = dataclasses.replace(known["trades"], columns=(*known["trades"].columns, *COLUMNS))

    @contextmanager
    def version() -> Iterator[None]:
        with monkeypatch.context() as upgraded:
            upgraded.setattr(registry, "get", lambda name: known[name])
            yield

    return version


def kept(path: Path, newer: Callable[[], Any], trade_id: str = "n") -> dict[str, Any]:
    """The new columns of a trade, as the newer version reads them after everything has settled."""
    with newer(), lake.open(path) as lk:
        lk.drain(every_writer=True)
        row = lk.frame(f"SELECT {', '.join(NEW)} FROM trades WHERE trade_id = ?", [trade_id]).row(0, named=True)
        assert lk.verify().findings == ()
        return row


def write_as_newer(path: Path, newer: Callable[[], Any], *, drain: bool, **more: Any) -> None:
    with newer(), lake.open(path, bot_id="new") as lk:
        lk.write("trades", {**LONG, **NEW, **more})
        if drain:
            lk.drain()


def drain_all(lk: lake.Lake) -> None:
    lk.drain(every_writer=True)


def close(lk: lake.Lake) -> None:
    lk.trades.close("n", 110.0)


def close_and_drain(lk: lake.Lake) -> None:
    close(lk)
    drain_all(lk)


def close_in_a_transaction(lk: lake.Lake) -> None:
    with lk.transaction():
        lk.decisions.record(decision_id="d", symbol="BTCUSDT", recommendation="LONG")
        close(lk)


def compact(lk: lake.Lake) -> None:
    lk.write("trades", {**LONG, "trade_id": "z"})
    drain_all(lk)
    lk.compact()


@pytest.mark.parametrize("older", [drain_all, close, close_and_drain, close_in_a_transaction, compact])
@pytest.mark.parametrize("drained", [False, True])
def test_what_only_a_newer_version_knows_survives_an_older_one(
    tmp_path: Path, newer: Callable[[], Any], older: Callable[[lake.Lake], None], drained: bool
) -> None:
    write_as_newer(tmp_path, newer, drain=drained)
    with lake.open(tmp_path, bot_id="old") as lk:
        older(lk)
        assert lk.frame("SELECT quantity FROM trades WHERE trade_id = 'n'").item() == 1.0
    assert kept(tmp_path, newer) == NEW


@pytest.mark.parametrize("drained", [False, True])
def test_a_correction_by_an_older_version_keeps_them_too(
    tmp_path: Path, newer: Callable[[], Any], drained: bool
) -> None:
    write_as_newer(tmp_path, newer, drain=drained, status="closed", exit_price=110.0, pnl=10.0)
    with lake.open(tmp_path, bot_id="old") as lk:
        lk.patch("trades", "n", {"exit_reason": "by hand"})
    assert kept(tmp_path, newer) == NEW


def test_an_older_version_that_came_first_widens_its_table_for_a_newer_one(
    tmp_path: Path, newer: Callable[[], Any]
) -> None:
    with lake.open(tmp_path, bot_id="old") as lk:
        lk.write("trades", {**LONG, "trade_id": "o"})
        lk.drain()
        write_as_newer(tmp_path, newer, drain=False)
        drain_all(lk)
        assert set(NEW) <= lk.store.table("trades").state().columns
    assert kept(tmp_path, newer) == NEW
    assert kept(tmp_path, newer, "o") == dict.fromkeys(NEW)


def test_a_change_of_such_a_column_alone_is_drained_by_an_older_version(
    tmp_path: Path, newer: Callable[[], Any]
) -> None:
    write_as_newer(tmp_path, newer, drain=True)
    with newer(), lake.open(tmp_path, bot_id="new") as lk:
        lk.patch("trades", "n", {"slippage_bps": 9.0, "venue_fee_tier": None})
    with lake.open(tmp_path, bot_id="old") as lk:
        drain_all(lk)
    assert kept(tmp_path, newer) == {**NEW, "slippage_bps": 9.0, "venue_fee_tier": None}


def test_two_newer_versions_that_know_different_columns_keep_both(
    tmp_path: Path, newer: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_as_newer(tmp_path, newer, drain=True)
    trades = registry.get("trades")
    other = dataclasses.replace(trades, columns=(*trades.columns, number("funding", "paid or received")))
    with monkeypatch.context() as branched:
        real = registry.get
        branched.setattr(registry, "get", lambda name: other if name == "trades" else real(name))
        with lake.open(tmp_path, bot_id="branch") as lk:
            lk.write("trades", {**LONG, "trade_id": "b", "funding": 0.5})
            lk.drain()
            assert lk.frame("SELECT funding FROM trades WHERE trade_id = 'b'").item() == 0.5
    assert kept(tmp_path, newer) == NEW


def test_a_field_whose_type_nobody_told_is_kept_in_extra(tmp_path: Path, newer: Callable[[], Any]) -> None:
    write_as_newer(tmp_path, newer, drain=False)
    with lake.open(tmp_path, bot_id="old") as lk:
        (path,) = (tmp_path / "_hot").glob("new@*.db")
        connection = sqlite3.connect(path)  # as if a version wrote it that declared nothing
        connection.execute("DROP TABLE columns")
        connection.commit()
        connection.close()
        drain_all(lk)
        extra = lk.frame("SELECT extra->>'venue_fee_tier' AS tier FROM trades").item()
    assert extra == "vip"
