"""Stores that their bots change between imports: the lake has in the end what one import would have brought."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import given

from tests.importers import test_redis_stores
from tests.importers import test_trades_db as trades_db
from tests.importers.conftest import Redis
from tests.importers.databases import Changing, run
from tests.importers.going_on import MODEL, Bot, Steps, lived, steps, without
from tests.importers.test_binance_schema import BOT, SCHEMA, fill
from tests.importers.test_decisions_postgres import SEED

_BEGAN = datetime.fromisoformat("2024-03-01T10:00:00")


def made(path: Path, schema: str) -> Path:
    """A SQLite file with the tables of a schema of PostgreSQL, which takes much longer to be asked as often."""
    names = r"create table (\w+) \((.*)\)"
    for statement in schema.split(";"):
        [(name, columns)] = re.findall(names, statement, re.DOTALL)
        columns = re.sub(r" generated always as \(.*?\) stored", "", columns)
        columns = re.sub(r"\{\w+\}|jsonb|uuid(?!\()|timestamptz", "text", columns)
        columns = columns.replace("default now()", "default '2025-10-01'")
        columns = columns.replace("default gen_random_uuid()", "default (hex(randomblob(8)))")
        run(path, f"create table {name} ({columns})")
    return path


class Clock:
    """Gives each act its time."""

    now = _BEGAN

    def tick(self, **time: int) -> str:
        """A time after all others."""
        self.now += timedelta(**(time or {"minutes": 7}))
        return self.now.isoformat(sep=" ")


class TradesDb(Changing, Clock):
    """A bot that predicts and trades, with all of it in one file."""

    kind = "trades-db"
    options: dict[str, Any] = {"bot_id": "b", "tz": "UTC", "timeframe": "15m"}  # noqa: RUF012
    refuses = True  # older rows of a bar

    def __init__(self, folder: Path) -> None:
        super().__init__(trades_db.store(folder / "t.db", market_data=[], predictions=[], trades=[]))

    def watch(self, choice: int) -> None:
        """A bar is written, or written again while it is not over, of which the indicator is the same."""
        [(bars, written)] = self.read("select count(distinct timestamp), count(*) from market_data")
        bars += not bars or choice % 2
        at = _BEGAN + timedelta(minutes=15 * bars)
        row = trades_db.bar(written + 1, str(at), 1.0 + choice / 10, rsi=50.0 + bars)
        self.insert("market_data", {**row, "volume": 10.0 + written})

    def predict(self, _choice: int) -> None:
        """A direction is predicted."""
        [(last,)] = self.read("select count(*) from predictions")
        self.insert("predictions", {**trades_db.prediction(last + 1), "timestamp": self.tick()})

    def validate(self, choice: int) -> None:
        """What became of a prediction is known."""
        if due := self.read("select id from predictions where correct is null"):
            self.run("update predictions set actual_outcome = 1, correct = ?, price_after_1h = 101 where id = ?",
                     [choice % 2, due[choice % len(due)][0]])  # fmt: skip

    def enter(self, choice: int) -> None:
        """A trade begins; of two at once one is a twin."""
        at = self.tick() if choice % 3 else self.now.isoformat(sep=" ")
        row = {"symbol": "BTC-USD", "side": "BUY", "entry_time": at, "entry_price": 100.0 + choice, "quantity": 0.5}
        self.insert("trades", row)

    def leave(self, choice: int) -> None:
        """A trade is over."""
        if held := self.read("select id from trades where exit_time is null"):
            self.run("update trades set exit_time = ?, exit_price = 110, pnl = ?, pnl_percent = 2, stop_loss_hit = ?"
                     " where id = ?", [self.tick(), choice, choice % 2, held[choice % len(held)][0]])  # fmt: skip


class DecisionsPostgres(Changing, Clock):
    """A bot that asks a language model, and trades as that says."""

    kind = "decisions-postgres"
    options: dict[str, Any] = {"bot_id": "b"}  # noqa: RUF012

    def __init__(self, folder: Path) -> None:
        super().__init__(made(folder / "d.db", SEED))
        self._count = 0
        self._status: dict[int, str] = {}

    def prompt(self, choice: int) -> None:
        """Another prompt is in use, or one that was."""
        self._run(
            "update prompt_versions set is_active = false",
            f"insert into prompt_versions values ('p{choice}', 'v{choice}', 'n', null, 'Say {choice}.',"
            f" '{self.tick()}', true) on conflict (id) do update set is_active = true",
        )

    def decide(self, choice: int) -> None:
        """A decision is made, and mostly followed by an order."""
        self._count += 1
        number, at, traded = self._count, self.tick(), choice % 3 > 0
        self._run(
            "insert into decisions (id, symbol, timeframe, recommendation, confidence, traded, trade_id,"
            f" prompt_version, analyzed_at, market_snapshot) values ('d{number}', 'BTCUSDT', '1h', 'LONG', 0.5,"
            f" {traded},"
            f""" {f"'t{number}'" if traded else "null"}, 'v{choice}', '{at}', '{{"n": {choice}}}')""",
        )
        if traded:
            self._status[number] = "pending"
            self._run(
                "insert into trades (id, symbol, side, quantity, stop_loss, status, created_at, decision_id,"
                f" prompt_version) values ('t{number}', 'C{number}USDT', 'LONG', 1, 90, 'pending', '{at}',"
                f" 'd{number}', 'v{choice}')",
            )

    def open(self, choice: int) -> None:
        """An order is executed, and a position held; or it is cancelled."""
        number = self._one("pending", choice)
        if number and choice % 4 == 3:
            self._end(number, f"status = 'cancelled', closed_at = '{self.tick()}'")
        elif number:
            self._status[number] = "open"
            self._run(
                f"update trades set status = 'open', opened_at = '{self.tick()}', entry_price = 100"
                f" where id = 't{number}'",
                "insert into positions (id, symbol, side, quantity, entry_price, trade_id, synced_at) values"
                f" ('x{number}', 'C{number}USDT', 'LONG', 1, 100, 't{number}', '{self.now}')",
            )

    def sync(self, choice: int) -> None:
        """What a position is worth is looked up."""
        if number := self._one("open", choice):
            self._run(
                f"update positions set current_price = {100 + choice}, unrealized_pnl = {choice},"
                f" synced_at = '{self.tick()}' where id = 'x{number}'"
            )

    def trail(self, choice: int) -> None:
        """The stop of a trade moves."""
        if number := self._one("open", choice):
            self._run(f"update trades set stop_loss = {90 + choice} where id = 't{number}'")

    def close(self, choice: int) -> None:
        """A trade is over, and its position is not synced any more."""
        if number := self._one("open", choice):
            at = self.tick()
            self._end(number, f"status = 'closed', closed_at = '{at}', exit_price = 110, pnl = {choice}")

    def judge(self, choice: int) -> None:
        """What came of the decisions whose trades are over is recorded, with the time or without."""
        told = f"'{self.tick()}'" if choice % 2 else "null"
        self._run(
            f"update decisions set actual_pnl = {choice}, outcome_correct = true, outcome_recorded_at = {told}"
            " where actual_pnl is null and trade_id in (select id from trades where status = 'closed')"
        )

    def _end(self, number: int, how: str) -> None:
        self._status[number] = "over"
        self._run(f"update trades set {how} where id = 't{number}'")

    def _one(self, status: str, choice: int) -> int | None:
        of = [number for number, its in self._status.items() if its == status]
        return of[choice % len(of)] if of else None

    def _run(self, *statements: str) -> None:
        for statement in statements:
            self.run(statement)


class Phantoms(Clock):
    """A bot whose phantoms are moved in Redis from those that are followed to those that have ended."""

    kind = "phantoms-redis"
    options: dict[str, Any] = {"bot_id": "b"}  # noqa: RUF012
    refuses = False

    def __init__(self, redis: Redis) -> None:
        self._redis, self.source, self.whole = redis.server, redis.address, redis.address
        for key in ("phantom:active", "phantom:completed"):
            redis.server.delete(key)
        self._active: dict[str, list[dict[str, Any]]] = {}
        self._done: list[dict[str, Any]] = []
        self._count = 0
        self._redis.set("phantom:completed", "[]")
        self._redis.set("phantom:active", "{}")

    def begin(self, choice: int) -> None:
        """A phantom is followed; of two from one moment, which have each a score of their own, one is a twin."""
        self._count += 1
        at = self.tick() if choice % 3 else self.now.isoformat(sep=" ")
        symbol = f"C{choice % 2}USDT"
        self._active.setdefault(symbol, []).append(
            test_redis_stores.phantom(1, symbol, signal_time=at, ml_score=50.0 + self._count, strategy_name="s")
        )
        self._write()

    def follow(self, choice: int) -> None:
        """How far a phantom has come is written down."""
        for one in self._one(choice):
            one["max_favorable"] -= 0.25
        self._write()

    def end(self, choice: int) -> None:
        """A phantom has ended."""
        for one in self._one(choice):
            self._active[one["symbol"]].remove(one)
            done = {"outcome": "win" if choice % 2 else "loss", "exit_time": self.tick(), "exit_price": 46.0}
            self._done.append({**one, **done, "pnl_percent": 10.0 * (choice % 2)})
        self._write()

    def _one(self, choice: int) -> list[dict[str, Any]]:
        of = [one for held in self._active.values() for one in held]
        return [of[choice % len(of)]] if of else []

    def _write(self) -> None:
        self._redis.set("phantom:active", json.dumps(self._active))
        self._redis.set("phantom:completed", json.dumps(self._done))


class BinanceSchema(Changing, Clock):
    """Bots that keep their configuration, states, executions and signals in PostgreSQL."""

    kind = "binance-schema"
    options: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, folder: Path) -> None:
        super().__init__(made(folder / "b.db", SCHEMA))
        self.run(BOT.replace("Z'", "T00:00:00Z'"))
        self._count, self._held = 0, 0.0

    def buy(self, choice: int) -> None:
        """A position is opened, or added to."""
        self._execute("BUY", 0.1 * (1 + choice % 2))

    def sell(self, choice: int) -> None:
        """A position is closed, or a part of it."""
        if self._held:
            self._execute("SELL", self._held if choice % 2 else min(0.1, self._held), pnl=choice)

    def report(self, choice: int) -> None:
        """The result of a day is written, or written anew."""
        self._run(
            "insert into bot_performance_snapshots (bot_id, snapshot_date, total_pnl, daily_pnl, total_trades) values"
            f" ('rsi_btc', '2025-10-1{choice % 3}', {choice}, {choice}, 3) on conflict (bot_id, snapshot_date)"
            f" do update set total_pnl = {choice}, daily_pnl = {choice}"
        )

    def configure(self, choice: int) -> None:
        """The configuration changes, or what it says of its bot."""
        change = f"capital = {1000 + choice}" if choice % 2 else f"is_running = {choice % 4 == 0}"
        self._run(f"update bot_configs set {change}, updated_at = '{self.tick()}'")

    def signal(self, choice: int) -> None:
        """A signal is given, or those that were are acted upon."""
        name = f"00000000-0000-0000-0001-{choice:012d}"
        self._run(
            f"insert into bot_signals values ('{name}', 'rsi_btc', '{self.tick()}', 'BUY', 80.5, null, 45000, null,"
            " null, null) on conflict do nothing",
            f"update bot_signals set action_taken = 'EXECUTED' where {choice} > 2",
        )

    def snapshot(self, choice: int) -> None:
        """The state of the bot is kept."""
        self._run(
            "insert into bot_states (bot_id, state_data, total_pnl, total_trades, snapshot_time)"
            f""" values ('rsi_btc', '{{"n": {choice}}}', {choice}, 1, '{self.tick()}')"""
        )

    def _execute(self, side: str, quantity: float, **more: object) -> None:
        self._count += 1
        self._held = round(self._held + (quantity if side == "BUY" else -quantity), 4)
        self._run(fill(self._count, side, quantity, 100 + self._count, **more))

    def _run(self, *statements: str) -> None:
        for statement in statements:
            self.run(statement)


def same_in_the_end(make: Callable[[Any], Bot], done: Steps, *but: str) -> None:
    """But for ids of which it depends on what came first which of two twins has which."""
    ours, once = (without(rows, *but) for rows in lived(make, done))
    for name, there in once.items():
        assert ours[name] == there


@MODEL
@given(done=steps("watch", "predict", "validate", "enter", "leave"))
def test_trades_db(done: Steps) -> None:
    same_in_the_end(TradesDb, done, "trade_id")


@MODEL
@given(done=steps("prompt", "decide", "decide", "open", "open", "sync", "trail", "trail", "close", "judge"))
def test_decisions_postgres(done: Steps) -> None:
    same_in_the_end(DecisionsPostgres, done)


@MODEL
@given(done=steps("begin", "begin", "follow", "end"))
def test_phantoms_redis(redis: Redis, done: Steps) -> None:
    same_in_the_end(lambda _: Phantoms(redis), done, "phantom_id", "extra")


@MODEL
@given(done=steps("buy", "sell", "report", "configure", "signal", "snapshot"))
def test_binance_schema(done: Steps) -> None:
    same_in_the_end(BinanceSchema, done)
