"""Stores whose rows share the facts that ids are made of, and that go on: in whatever batches and order they tell them.

After each change an import is done twice, of which the second changes nothing; and each story of a table is a row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

import lake
from lake.importers import gathered
from lake.importers import run as running
from lake.importers.base import Options, RowMap
from lake.importers.kinds.journal import TRADES as JOURNAL
from lake.importers.kinds.phantom_map import REDIS_PHANTOMS
from lake.importers.kinds.trades_db import TRADES as TRADES_DB
from lake.importers.mapping import Mapper
from lake.importers.run import import_from
from lake.importers.stories import Stories
from lake.importers.twins import base_of
from lake.store.drain import is_open
from tests.importers.conftest import Redis
from tests.importers.contract import differences, imported, rows
from tests.importers.signal_bots import ended, journal, journal_trade
from tests.importers.test_trades_db import store

AT = "2025-11-25T06:59:56.360429"
_BEGUN: dict[str, dict[str, list[Any]]] = {
    "phantoms": {"stop_loss": [52.0, 53.0, 50.0], "ml_score": [60.0, 80.0], "strategy_name": ["trend", "mr"],
                 "max_favorable": [49.0, 48.0], "phantom_id": ["a", "b"]},
    "journal": {"quantity": [1.0, 2.0], "tp_price": [2.5, 2.75], "strategy": ["s", "t"], "id": [1, 2],
                "conditions": [{"rsi": 1.0}, {"rsi": 2.0}]},
    "trades": {"quantity": [1.0, 2.0], "entry_price": [1.5, 1.75], "ml_confidence": [0.5, 0.75]},
}  # fmt: skip
_ENDED: dict[str, dict[str, list[Any]]] = {
    "phantoms": {"outcome": ["win", "loss"], "exit_time": [f"2025-04-01T0{n}:55:30.5" for n in (3, 4)],
                 "pnl_percent": [10.0, -4.0], "realized_rr": [2.5, 0]},
    "journal": {"status": ["WIN", "LOSS"], "profit_loss_pct": [1.0, -2.0], "closed_at": ["2025-11-25T15:03:07"]},
    "trades": {"exit_time": ["2024-03-01T15:00:00Z", "2024-03-01T16:00:00Z"], "exit_price": [1.0, 2.0]},
}  # fmt: skip
_FACTS: dict[str, list[dict[str, Any]]] = {
    "phantoms": [{"symbol": "SOLUSDT", "side": "short", "entry_price": 50.0, "signal_time": f"2025-04-01T01:15:{at}"}
                 for at in ("00", "00.5")],
    "journal": [journal_trade(1, AT, conditions=None, tp_price=None, sl_price=None)],
    "trades": [{"symbol": "BTC-USD", "side": "BUY", "entry_time": "2024-03-01T11:00:00Z"}],
}  # fmt: skip
_KEYS = [f"{whose}phantom:{stage}" for whose in ("", "mr_") for stage in ("active", "completed", "completed:SOLUSDT")]
Tables = dict[str, list[dict[str, Any]]]


class Going:
    """A store of one kind that goes on, by chance."""

    def __init__(self, random: Random, kind: str, tables: list[str]) -> None:
        self._random, self._kind = random, kind
        self.tables: Tables = {table: [] for table in tables}
        self._before: list[str] = []

    def go_on(self) -> None:
        """Rows come, end, change, are forgotten and told again; or an older copy of the store is back."""
        self._before.append(json.dumps(self.tables))
        if self._random.random() < 0.2:
            self.tables = json.loads(self._random.choice(self._before))
        for _ in range(self._random.randint(1, 6)):
            table = self._random.choice(list(self.tables))
            told = self.tables[table]
            act = self._random.choice([self._come, self._come, self._end, self._change, self._forget, self._repeat])
            if told or act == self._come:
                act(table)
            self._random.shuffle(told)

    def _come(self, table: str) -> None:
        facts = self._random.choice(_FACTS[self._kind])
        row = facts | self._some(_BEGUN, 0.4)
        self.tables[table].append(self._over(row) if "completed" in table or self._random.random() < 0.1 else row)

    def _end(self, table: str) -> None:
        row = self._random.choice(self.tables[table])
        to = table.replace("active", "completed")
        self.tables.setdefault(to, []).append(self._over(row))
        if self._random.random() < 0.7:
            self.tables[table].remove(row)

    def _change(self, table: str) -> None:
        row = self._random.choice(self.tables[table])
        row.update(self._some(_BEGUN, 0.3))

    def _forget(self, table: str) -> None:
        self.tables[table].pop()

    def _repeat(self, table: str) -> None:
        self.tables[table].append(self._random.choice(self.tables[table]) | {"id": 3})

    def _over(self, row: dict[str, Any]) -> dict[str, Any]:
        (name, values), *_ = _ENDED[self._kind].items()
        return {**row, name: self._random.choice(values), **self._some(_ENDED, 0.6)}

    def _some(self, of: dict[str, dict[str, list[Any]]], share: float) -> dict[str, Any]:
        choices = of[self._kind].items()
        return {name: self._random.choice(values) for name, values in choices if self._random.random() < share}


@pytest.fixture(params=range(6))
def random(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Random:
    random = Random(request.param)
    monkeypatch.setattr(running, "BATCH_ROWS", random.choice([1, 2, 3, 10_000]))
    monkeypatch.setattr(gathered, "_MOST", random.choice([0, 3, 50_000]))
    return random


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake", durability="normal") as lk:
        yield lk


def lived(lk: lake.Lake, bot: Going, kind: str, put: Callable[[], str]) -> None:
    for _ in range(4):
        bot.go_on()
        source = put()
        if any(bot.tables.values()):
            first, second = (import_from(lk, kind, source) for _ in range(2))
            assert first.balanced
            assert second.balanced
            assert second.totals["landed"] == 0, second.text()


def most_of_a_stage(made: RowMap, told: list[dict[str, Any]]) -> int:
    """How many stories rows tell in one stage of their lives, of which none is another."""
    mapper = Mapper(made, Options(), "t")
    stories, mapped = Stories(mapper.dataset, "t"), [mapper(row) for row in told]
    stages = [[row for row in mapped if is_open(mapper.dataset, row) == goes_on] for goes_on in (True, False)]
    return max(len({stories.key(row, stories.told(row)) for row in stage}) for stage in stages)


def test_phantoms_of_one_moment_of_bots_that_go_on(lk: lake.Lake, redis: Redis, random: Random) -> None:
    bot = Going(random, "phantoms", random.sample(_KEYS, random.randint(1, 6)))

    def put() -> str:
        redis.server.delete(*_KEYS)  # and not the mark that the database is this test's
        for key, told in bot.tables.items():
            redis.server.set(key, json.dumps({"SOLUSDT": told} if key.endswith("active") else told))
        return redis.address

    lived(lk, bot, "phantoms-redis", put)
    for prefix in ("phantom:", "mr_phantom:"):
        ended_ones = [row for key, of in bot.tables.items() if key.startswith(f"{prefix}completed") for row in of]
        assert most_of_a_stage(REDIS_PHANTOMS, ended_ones) <= len(rows(lk, "phantoms", "1"))


def test_trades_of_one_moment_of_a_journal_that_goes_on(lk: lake.Lake, tmp_path: Path, random: Random) -> None:
    bot = Going(random, "journal", ["trades"])
    lived(lk, bot, "journal", lambda: str(journal(tmp_path / "trading_journal.json", bot.tables["trades"])))
    assert most_of_a_stage(JOURNAL, bot.tables["trades"]) <= len(rows(lk, "trades", "1"))


def test_trades_of_one_moment_of_a_database_that_goes_on(lk: lake.Lake, tmp_path: Path, random: Random) -> None:
    bot = Going(random, "trades", ["trades"])

    def put() -> str:
        (tmp_path / "trades.db").unlink(missing_ok=True)
        told = [{name: value for name, value in row.items() if name != "id"} for row in bot.tables["trades"]]
        return str(store(tmp_path / "trades.db", trades=told))

    lived(lk, bot, "trades-db", put)
    assert most_of_a_stage(TRADES_DB, bot.tables["trades"]) <= len(rows(lk, "trades", "1"))


@pytest.mark.parametrize("batch", [1, 100])
def test_an_end_that_is_corrected_lands_though_the_trade_is_told_beside_as_going_on(
    lk: lake.Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(running, "BATCH_ROWS", batch)
    file, then = tmp_path / "trading_journal.json", "2025-11-25T15:03:07"
    imported(lk, "journal", journal(file, [journal_trade(1, AT, **ended("WIN", 1.0, then))]))
    told = [journal_trade(1, AT), journal_trade(1, AT, **ended("WIN", 2.0, then))]
    report = imported(lk, "journal", journal(file, told))
    assert (report.totals["landed"], report.totals["changed"]) == (1, 1)
    assert rows(lk, "trades", "status", "pnl_percent") == [("closed", 2.0)]
    assert [column for column, _, _ in differences(report)] == ["pnl_percent"]


def test_trades_that_met_a_twin_of_another_store_are_found_where_they_landed(
    lk: lake.Lake, redis: Redis, tmp_path: Path
) -> None:
    """The other store keeps whole seconds, by which its trades have an id of their own."""
    facts = {"symbol": "SOL", "side": "short", "entry_time": "2025-11-26T22:18:22.978652", "entry_price": 143.5}
    exact, whole = ({**facts, "exit_time": f"2025-11-26T22:22:15{part}"} for part in (".695107", ""))
    redis.server.set("trade_history:executed", json.dumps([{**exact, "pnl_usd": 3.0}, {**exact, "quantity": 1.5}]))
    imported(lk, "trades-redis", redis.address)
    told = [{**whole, "quantity": 1.5, "exit_reason": reason} for reason in ("liquidated", "sl", "tp")]
    (tmp_path / "trade_history.json").write_text(json.dumps(told))
    imported(lk, "trades-json", tmp_path / "trade_history.json")
    assert {base_of(name) for name in rows(lk, "trades", "trade_id")} == {min(rows(lk, "trades", "trade_id"))}
