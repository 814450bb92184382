"""Random sequences of everything a writer may do, against a dict."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import lake
from tests.helpers import MINUTE_MS, T0, candles, metric, trade, write_candles

NUMBERS = st.integers(0, 12)
VALUES = st.sampled_from([1.0, 2.0, 3.0])
STATUS = st.sampled_from(["open", "closed", "cancelled"])
CREATED = st.sampled_from(["2023-06-01T00:00:00Z", "2024-06-01T00:00:00Z"])
ROWS = st.lists(st.tuples(NUMBERS, VALUES), min_size=1, max_size=6)
BULK = 5_000


class CutOffError(Exception):
    """The process dies here."""


class LakeMachine(RuleBasedStateMachine):
    """One writer; what it wrote is in ``trades``, ``metrics`` and ``candles``, by key."""

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(tempfile.mkdtemp(prefix="tradelake-"))
        self.trades: dict[str, tuple[str, float]] = {}
        self.metrics: dict[int, float] = {}
        self.candles: dict[int, float] = {}
        self.tagged: list[dict[str, tuple[str, float]]] = []
        self.lk = self.opened()

    def opened(self) -> lake.Lake:
        return lake.open(self.path, bot_id="b1", durability="normal")

    def teardown(self) -> None:
        assert self.lk.verify().findings == ()
        self.lk.close()
        shutil.rmtree(self.path)

    @initialize()
    def begin_with_settled_rows(self) -> None:
        self.write_metrics([(0, 1.0), (1, 1.0)])
        self.lk.drain()

    def put_trade(self, number: int, status: str, pnl: float, created: str) -> Any:
        known = self.trades.get(f"t{number}")
        receipt = self.lk.write("trades", trade(number, status=status, pnl=pnl, created_at=created))
        assert receipt.rows == 1
        assert receipt.inserted == (known is None)
        self.trades[f"t{number}"] = (status, pnl)
        return receipt

    @rule(number=NUMBERS, status=STATUS, pnl=VALUES, created=CREATED)
    def write_trade(self, number: int, status: str, pnl: float, created: str) -> None:
        self.put_trade(number, status, pnl, created)

    @rule(rows=ROWS)
    def write_metrics(self, rows: list[tuple[int, float]]) -> None:
        receipt = self.lk.write("market_metrics", [metric(n, value) for n, value in rows])
        assert receipt.rows == len(rows)
        assert receipt.inserted == len({n for n, _ in rows} - self.metrics.keys())
        self.metrics.update(rows)

    @rule(start=NUMBERS, count=st.integers(1, 8), close=VALUES)
    def write_few_candles(self, start: int, count: int, close: float) -> None:
        fresh = dict.fromkeys(range(start, start + count), close)
        receipt = write_candles(self.lk, fresh, close)
        assert receipt.inserted == len(fresh.keys() - self.candles.keys())
        assert receipt.unchanged == sum(self.candles.get(n) == close for n in fresh)
        self.candles.update(fresh)

    @rule(start=NUMBERS, close=VALUES)
    def write_many_candles(self, start: int, close: float) -> None:
        fresh = dict.fromkeys(range(start, start + BULK), close)
        receipt = self.lk.candles.write(candles(fresh, close), "1m", venue="binance")
        assert receipt.inserted == len(fresh.keys() - self.candles.keys())
        assert receipt.unchanged == sum(self.candles.get(n) == close for n in fresh)
        self.candles.update(fresh)

    @rule(number=NUMBERS, pnls=st.lists(VALUES, min_size=1, max_size=3), value=VALUES)
    def write_together(self, number: int, pnls: list[float], value: float) -> None:
        with self.lk.transaction():
            for pnl in pnls:
                self.put_trade(number, "closed", pnl, "2024-06-01T00:00:00Z")
            self.write_metrics([(number, value)])

    @rule(number=NUMBERS)
    def give_a_transaction_up(self, number: int) -> None:
        with pytest.raises(ZeroDivisionError), self.lk.transaction():  # noqa: PT012
            self.lk.write("trades", trade(number, pnl=99.0))
            self.lk.write("market_metrics", metric(number, 99.0))
            number // 0

    @rule()
    def drain(self) -> None:
        self.lk.drain()
        assert self.lk.drain().entries == {}

    @rule(step=st.sampled_from(["drain:commit", "drain:settle", "drain:done"]))
    def crash_in_a_drain(self, step: str) -> None:
        def cut(name: str) -> None:
            if name == step:
                raise CutOffError

        try:
            self.lk.drain(step=cut)
        except CutOffError:
            self.reopen()

    @rule()
    def compact(self) -> None:
        self.lk.compact()

    @rule()
    def vacuum(self) -> None:
        self.lk.vacuum(grace_hours=0)

    @rule()
    def reopen(self) -> None:
        self.lk.close()
        self.lk = self.opened()

    @precondition(lambda self: len(self.tagged) < 3)
    @rule()
    def tag(self) -> None:
        self.lk.tag(f"tag{len(self.tagged)}")
        self.tagged.append(dict(self.trades))

    @precondition(lambda self: self.tagged)
    @rule(data=st.data())
    def read_a_tag(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.tagged) - 1))
        rows = self.lk.at(tag=f"tag{number}").sql("SELECT trade_id, status, pnl FROM trades").fetchall()
        assert sorted(rows) == sorted((name, *value) for name, value in self.tagged[number].items())

    @invariant()
    def reads_what_was_written(self) -> None:
        frame = self.lk.read("trades")
        rows = frame.select("trade_id", "status", "pnl").rows()
        assert sorted(rows) == sorted((name, *value) for name, value in self.trades.items())
        found = self.lk.sql("SELECT epoch_ms(time), value FROM market_metrics").fetchall()
        assert sorted(found) == sorted((T0 + n * MINUTE_MS, value) for n, value in self.metrics.items())
        stored = self.lk.candles.read("BTCUSDT", "1m", columns=("open_time", "close"))
        numbers = (stored["open_time"].dt.epoch("ms") - T0) // MINUTE_MS
        assert list(zip(numbers, stored["close"], strict=True)) == sorted(self.candles.items())


TestLake = LakeMachine.TestCase
TestLake.settings = settings(
    max_examples=12,
    stateful_step_count=22,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
